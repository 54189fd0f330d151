//! `audit`: what one version of a model came from, verified offline from its bundle.
use crate::audit::bundle::{self, WriteError};
use crate::audit::export::Exported;
use crate::audit::folder::Folder;
use crate::audit::{self, AuditError, Finding, Report, Verdict, page};
use crate::bars::Bars;
use crate::cli::{Audit, AuditBundle, AuditExport, AuditPage, AuditVerify, ExportFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex, size};
use crate::store::{DATABASE, StoreError};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::atomic_file::{Access, write_atomic};

/// Runs an audit command.
pub fn run(arguments: &Audit, output: &Output) -> Result<Exit, Failure> {
    match arguments {
        Audit::Verify(arguments) => verify(arguments, output),
        Audit::Page(arguments) => write_page(arguments, output),
        Audit::Export(arguments) => export(arguments, output),
        Audit::Bundle(arguments) => write_bundle(arguments, output),
    }
}

/// How a command ends after a verdict.
pub fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Valid => Exit::Success,
        Verdict::Invalid => Exit::Invalid,
        Verdict::NeedsNewerVersion => Exit::NewerVersion,
    }
}

/// `invalid   [E506] …`, or `newer` when another version might tell.
pub fn show_finding(finding: &Finding, verdict: Verdict, output: &Output) {
    let topic = if verdict == Verdict::NeedsNewerVersion { "newer" } else { "invalid" };
    output.line(topic, format!("[{}] {}", finding.code, finding.message));
}

/// An audit without a verdict.
pub fn failure(path: &Path) -> impl FnOnce(AuditError) -> Failure {
    let path = path.to_owned();
    move |error| match error {
        AuditError::Source(source) => Failure::read(&path)(source),
        AuditError::Store(error) => store_failure(&path, &error),
        AuditError::Interrupted => Failure::Interrupted,
    }
}

fn store_failure(path: &Path, error: &StoreError) -> Failure {
    let reason = match error {
        StoreError::Fatal { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    Failure::read(path)(std::io::Error::other(reason))
}

/// A data folder must have a database: else the path is wrong, and that is said before anything is opened.
pub fn check_folder(folder: &Path) -> Result<(), Failure> {
    let database = folder.join(DATABASE);
    if database.is_file() {
        return Ok(());
    }
    let text = format!(
        "expected a node's data folder with {DATABASE}, found none in {}; give the folder that the node's configuration names",
        folder.display()
    );
    Err(Failure::Usage(text))
}

/// Opens a file to be read in pieces.
pub fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file = File::open(path).map_err(Failure::read(path))?;
    Ok(BufReader::with_capacity(64 << 10, file))
}

fn report(path: &Path, key: Option<&Id>) -> Result<Report, Failure> {
    let bars = Bars::new();
    audit::verify(open(path)?, key, &bars).map_err(failure(path))
}

fn verify(arguments: &AuditVerify, output: &Output) -> Result<Exit, Failure> {
    let report = report(&arguments.file, arguments.key.as_ref())?;
    if output.json() {
        output.envelope(&report)?;
        return Ok(exit(report.verdict));
    }
    show(&report, output)?;
    Ok(exit(report.verdict))
}

fn show(report: &Report, output: &Output) -> Result<(), Failure> {
    if let Some(node) = &report.node {
        let pinned = if node.key_pinned { "as given with --key" } else { "not compared: give --key" };
        output.line("node", format!("{}   key {}   {pinned}", node.origin, node.key));
    }
    if let Some(checkpoint) = &report.checkpoint {
        let text = format!("{} entries played again   root {}", checkpoint.size, checkpoint.root);
        output.line("log", text);
    }
    if let Some(space) = &report.space {
        output.line("space", format!("{}   program {}", space.name, space.program_digest));
    }
    if let (Some(version), Some(digest)) = (report.version, &report.model_digest) {
        output.line("model", format!("version {version}   digest {digest}"));
    }
    for (topic, lines) in
        [("proved", &report.proved), ("signed", &report.signed), ("not shown", &report.not_shown)]
    {
        lines.iter().for_each(|line| output.line(topic, line));
    }
    if let Some(finding) = &report.failure {
        show_finding(finding, report.verdict, output);
    }
    output.result(&format!("{}\n", report.summary))
}

fn write_page(arguments: &AuditPage, output: &Output) -> Result<Exit, Failure> {
    let report = report(&arguments.file, arguments.key.as_ref())?;
    write_file(&arguments.out, page::html(&report).as_bytes(), output)?;
    if let Some(finding) = &report.failure {
        show_finding(finding, report.verdict, output);
    }
    output.result(&format!("{}\n", report.summary))?;
    Ok(exit(report.verdict))
}

fn export(arguments: &AuditExport, output: &Output) -> Result<Exit, Failure> {
    let report = report(&arguments.file, arguments.key.as_ref())?;
    let Some(exported) = Exported::new(&report) else {
        if let Some(finding) = &report.failure {
            show_finding(finding, report.verdict, output);
        }
        output.line("wrote", "nothing: evidence is exported of what holds alone");
        return Ok(exit(report.verdict));
    };
    std::fs::create_dir_all(&arguments.out).map_err(Failure::write(&arguments.out))?;
    let mut formats = arguments.formats.clone();
    formats.sort_unstable();
    formats.dedup();
    for format in formats {
        let (ending, text) = match format {
            ExportFormat::InToto => ("intoto.json", json(&exported.in_toto())?),
            ExportFormat::ModelCard => ("model-card.md", exported.model_card()),
            ExportFormat::Cyclonedx => ("cdx.json", json(&exported.cyclonedx())?),
        };
        let path = arguments.out.join(format!("{}.{ending}", exported.name()));
        write_file(&path, text.as_bytes(), output)?;
    }
    output.result(&format!("{}\n", report.summary))?;
    Ok(exit(report.verdict))
}

fn json(value: &serde_json::Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Failure::write(Path::new("an export"))(error.into()))
}

fn write_file(path: &Path, bytes: &[u8], output: &Output) -> Result<(), Failure> {
    write_atomic(path, bytes, Access::Shared).map_err(Failure::write(path))?;
    output.line("wrote", format!("{}   {}", path.display(), size(bytes.len() as u64)));
    Ok(())
}

fn write_bundle(arguments: &AuditBundle, output: &Output) -> Result<Exit, Failure> {
    let folder = &arguments.data;
    check_folder(folder)?;
    let opened = match Folder::open(folder).map_err(failure(folder))? {
        Ok(opened) => opened,
        Err(finding) => {
            show_finding(&finding, Verdict::Invalid, output);
            return Ok(Exit::Invalid);
        }
    };
    let state = &opened.snapshot.state;
    let Some(space) = opened.space(&arguments.space) else {
        let names: Vec<&str> = state.spaces.values().map(|space| space.spec.name.as_str()).collect();
        let names = if names.is_empty() { "it has none".to_owned() } else { names.join(", ") };
        let text =
            format!("expected a space of this node ({names}), found `{}`", arguments.space.escape_debug());
        return Err(Failure::Usage(text));
    };
    let present = state.spaces.get(&space).map_or(0, |space| space.version());
    let version = arguments.version.unwrap_or(present);
    let plan = match bundle::plan(&opened.snapshot, &opened.index, &space, version) {
        Err(WriteError::Unknown(Refusal { message, .. })) => return Err(Failure::Usage(message)),
        plan => plan.map_err(|error| write_failure(folder, &arguments.out, error))?,
    };
    let written = write_whole(&arguments.out, |file| plan.write(&opened.reader, file));
    let bytes = written.map_err(|error| write_failure(folder, &arguments.out, error))?;
    let text = format!(
        "{}   {}   version {version} of {}   {} entries   {} contributions   node's key {}",
        arguments.out.display(),
        size(bytes),
        arguments.space,
        opened.snapshot.size,
        plan.contributions(),
        hex(&state.network)
    );
    output.line("wrote", text);
    Ok(Exit::Success)
}

fn write_failure(folder: &Path, out: &Path, error: WriteError) -> Failure {
    match error {
        WriteError::Output(source) => Failure::write(out)(source),
        WriteError::Store(error) => store_failure(folder, &error),
        missing => Failure::read(folder)(std::io::Error::other(missing.to_string())),
    }
}

/// Writes a file in pieces so that it is there whole or not at all. Returns its length.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), WriteError>,
) -> Result<u64, WriteError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let attempt = || -> Result<u64, WriteError> {
        let mut file = BufWriter::with_capacity(64 << 10, File::create_new(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let length = file.metadata()?.len();
        std::fs::rename(&temporary, path)?;
        Ok(length)
    };
    let written = attempt();
    if written.is_err() {
        // The first error is the one to report; a temporary file that cannot be removed is only litter.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
