//! `inspect`: what a file holds, and what it does and does not show.
use super::estimate::describe;
use super::verify::brief;
use crate::cli::Inspect;
use crate::engine::{self, Inspected};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex, short, size};
use serde_json::json;
use weightproof_prover::data::Target;
use weightproof_prover::model_file::ModelFile;

/// What a valid proof shows.
const PROVED: &str = "the update follows exactly from the base model by this program, on the rows that the beacon chose among rows matching the dataset commitment";
/// What carries a signature.
const SIGNED: &str = "nothing: a local contribution names its contributor's key but carries no signature";
/// What no proof shows.
const NOT_SHOWN: &str = "where the data comes from, its quality, consent, fairness; nothing is proved until `weightproof verify` says valid";
/// What open mode means for privacy.
const OPEN: &str = "open: model and update are public, and an update leaks something about the data whatever the proof hides";

/// Shows a contribution or a model.
pub fn run(arguments: &Inspect, output: &Output) -> Result<Exit, Failure> {
    let bytes = std::fs::read(&arguments.file).map_err(Failure::read(&arguments.file))?;
    if is_safetensors(&bytes) {
        model(&ModelFile::from_bytes(&bytes)?, output)?;
        return Ok(Exit::Success);
    }
    match engine::inspect(&bytes) {
        Ok(inspected) => {
            contribution(&inspected, bytes.len(), output)?;
            Ok(Exit::Success)
        }
        Err(refusal) => {
            output.line("invalid", format!("[{}] {}", refusal.code, refusal.message));
            if output.json() {
                output.envelope(
                    &json!({ "kind": "unknown", "code": refusal.code, "message": refusal.message }),
                )?;
            }
            Ok(if refusal.newer { Exit::NewerVersion } else { Exit::Invalid })
        }
    }
}

/// A safetensors file begins with its header's length and the header's opening brace.
fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

fn contribution(inspected: &Inspected, file_bytes: usize, output: &Output) -> Result<(), Failure> {
    let Inspected { statement, program, proof_bytes, update_bytes } = inspected;
    output.line(
        "kind",
        format!("contribution, protocol version {}, seal {}", statement.protocol_version, statement.seal),
    );
    output.line("network", describe(program));
    output.line(
        "steps",
        format!(
            "{} steps x {} rows of {} committed",
            program.steps(),
            program.batch(),
            statement.dataset_rows
        ),
    );
    output.line("base", format!("version {}   {}", statement.model_version, statement.model_digest));
    output.line("update", &statement.update_digest);
    output.line("dataset", format!("{} (salted)", statement.dataset_root));
    output.line("beacon", &statement.beacon);
    output.line(
        "from",
        format!("{}   space {}   round {}", statement.contributor, brief(&statement.space), statement.round),
    );
    output.line(
        "size",
        format!(
            "file {}   proof {}   update {}",
            size(file_bytes as u64),
            size(*proof_bytes),
            size(*update_bytes)
        ),
    );
    output.line("mode", OPEN);
    output.line("proved", PROVED);
    output.line("signed", SIGNED);
    output.line("not shown", NOT_SHOWN);
    if output.json() {
        output.envelope(&json!({
            "kind": "contribution",
            "statement": statement,
            "program": program.to_toml(),
            "file_bytes": file_bytes,
            "proof_bytes": proof_bytes,
            "update_bytes": update_bytes,
            "proved": PROVED,
            "signed": SIGNED,
            "not_shown": NOT_SHOWN,
        }))?;
    }
    Ok(())
}

fn model(model: &ModelFile, output: &Output) -> Result<(), Failure> {
    let digest = model.digest()?;
    output.line("kind", format!("model, version {}   {}", model.model_version, short(&digest)));
    output.line("network", describe(&model.program));
    let label = &model.schema.label;
    output.line(
        "columns",
        format!(
            "{} columns as {} inputs, with their standardisation",
            model.schema.columns.len(),
            model.schema.inputs()
        ),
    );
    output.line(
        "label",
        match &label.target {
            Target::Classes { classes } => format!("{}   classes {}", label.name, classes.join(", ")),
            Target::Value { .. } => format!("{}   a quantity", label.name),
        },
    );
    output.line("mode", OPEN);
    if output.json() {
        output.envelope(&json!({
            "kind": "model",
            "model_version": model.model_version,
            "model_digest": hex(&digest),
            "program_digest": hex(&model.program.digest()),
            "program": model.program.to_toml(),
            "schema": model.schema,
        }))?;
    }
    Ok(())
}
