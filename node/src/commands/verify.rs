//! `verify`: contributions as a chain from a base model, offline.
use crate::bars::Bars;
use crate::cli::Verify;
use crate::engine::{Refusal, StatementView, Verifying};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, duration, size};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use weightproof_circuits::parameters::Parameters;

/// Larger files are refused unread: a valid contribution is never so large.
const MAXIMUM_FILE: u64 = 4 << 30;

/// One proof's entry in the array of `verify --json`.
#[derive(Serialize)]
struct Report {
    file: String,
    verdict: Verdict,
    code: Option<String>,
    message: String,
    seconds: f64,
    proof_bytes: Option<u64>,
    statement: Option<StatementView>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Valid,
    Invalid,
    NeedsNewerVersion,
}

/// Verifies all proofs; a later one is judged against the model that the valid ones before it lead to.
pub fn run(arguments: &Verify, output: &Output) -> Result<Exit, Failure> {
    let base = Failure::read_model(&arguments.base)?;
    // A missing file is a mistake on the command line: say so before minutes of work.
    for proof in &arguments.proofs {
        if let Err(error) = std::fs::metadata(proof) {
            let text =
                format!("expected a contribution file {}, found: {error}; check the path", proof.display());
            return Err(Failure::Usage(text));
        }
    }
    let bars = Bars::new();
    let mut verifying = Verifying::new(&bars);
    let mut chain = Chain {
        parameters: base.parameters,
        version: base.model_version,
        weight_bits: base.program.weight_bits(),
        broken: None,
    };
    let mut reports = Vec::with_capacity(arguments.proofs.len());
    for proof in &arguments.proofs {
        let report = judge(proof, &mut chain, &mut verifying)?;
        bars.clear();
        output.line(verdict_name(report.verdict), describe(&report));
        reports.push(report);
    }
    if output.json() {
        output.envelope(&reports)?;
    }
    let any = |verdict| reports.iter().any(|report| report.verdict == verdict);
    Ok(if any(Verdict::Invalid) {
        Exit::Invalid
    } else if any(Verdict::NeedsNewerVersion) {
        Exit::NewerVersion
    } else {
        Exit::Success
    })
}

/// The model so far.
struct Chain {
    parameters: Parameters,
    version: u64,
    weight_bits: u32,
    /// The last contribution refused: what follows it starts from a model that the chain never reached.
    broken: Option<String>,
}

fn judge(path: &Path, chain: &mut Chain, verifying: &mut Verifying<'_>) -> Result<Report, Failure> {
    let file = path.display().to_string();
    let length = std::fs::metadata(path).map_err(Failure::read(path))?.len();
    let started = Instant::now();
    let checked = if length > MAXIMUM_FILE {
        let message = format!("expected at most {}, found {}", size(MAXIMUM_FILE), size(length));
        Err(Refusal { code: "E103".to_owned(), message, newer: false, statement: None })
    } else {
        let bytes = std::fs::read(path).map_err(Failure::read(path))?;
        verifying
            .verify(&bytes, &chain.parameters, chain.version, chain.weight_bits)
            .map_err(|refusal| *refusal)
    };
    let seconds = started.elapsed().as_secs_f64();
    Ok(match checked {
        Ok(checked) => {
            chain.parameters = checked.next;
            chain.version += 1;
            Report {
                file,
                verdict: Verdict::Valid,
                code: None,
                message: "the proof is valid for this base model".to_owned(),
                seconds: checked.seconds,
                proof_bytes: Some(checked.proof_bytes),
                statement: Some(checked.statement),
            }
        }
        Err(refusal) => {
            let before = chain.broken.replace(file.clone());
            let message = match before.filter(|_| refusal.code == "E203") {
                Some(before) => format!("{} (the chain is broken: {before} was refused)", refusal.message),
                None => refusal.message,
            };
            Report {
                file,
                verdict: if refusal.newer { Verdict::NeedsNewerVersion } else { Verdict::Invalid },
                code: Some(refusal.code),
                message,
                seconds,
                proof_bytes: None,
                statement: refusal.statement,
            }
        }
    })
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::NeedsNewerVersion => "newer",
    }
}

fn describe(report: &Report) -> String {
    match (&report.code, &report.statement) {
        (None, Some(statement)) => format!(
            "{}   in {}   proof {}   model {} -> version {}   program {}   mode {}   seal {}",
            report.file,
            duration(report.seconds),
            size(report.proof_bytes.unwrap_or(0)),
            brief(&statement.model_digest),
            statement.model_version + 1,
            brief(&statement.program_digest),
            statement.mode,
            statement.seal,
        ),
        (code, _) => format!("{}   [{}] {}", report.file, code.as_deref().unwrap_or("E000"), report.message),
    }
}

/// A hexadecimal digest cut to what eyes compare.
pub fn brief(digest: &str) -> String {
    format!("{}…", digest.get(..8).unwrap_or(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_shortened_as_everywhere() {
        assert_eq!(brief(&crate::output::hex(&[0xab; 32])), crate::output::short(&[0xab; 32]));
    }
}
