//! `space init`: a space file, with columns learned from a sample.
use super::estimate::describe;
use super::plan::{check_fits, default_program, read_program};
use crate::cli::{PolicyName, SpaceAction, SpaceInit};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, hex};
use crate::validation;
use crate::{keys, spaces};
use std::path::{Path, PathBuf};
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::policy::Policy;
use weightproof_prover::atomic_file::{Access, write_atomic};
use weightproof_prover::data::{Schema, Table, TargetKind};

/// Does what is asked.
pub fn run(action: &SpaceAction, output: &Output) -> Result<Exit, Failure> {
    match action {
        SpaceAction::Init(arguments) => init(arguments, output),
    }
}

fn init(arguments: &SpaceInit, output: &Output) -> Result<Exit, Failure> {
    let path =
        arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.space.toml", arguments.name)));
    if path.symlink_metadata().is_ok() {
        let text = "expected a new file, found one that exists; choose another --out";
        return Err(Failure::Usage(format!("{}: {text}", path.display())));
    }
    let given = arguments.model.as_deref().map(read_program).transpose()?;
    let table = Table::read(&arguments.data)?;
    let kind = match &given {
        Some(program) => TargetKind::of(program.loss(), program.outputs()),
        None => TargetKind::guess(&table, &arguments.label)?,
    };
    // All rows: nothing is measured on this sample, so nothing has to be held out from it.
    let rows: Vec<usize> = (0..table.rows()).collect();
    let mut schema = Schema::fit(&table, &arguments.label, kind, &rows, 0)?;
    let program = match given {
        Some(program) => program,
        None => default_program(&schema, kind)?,
    };
    schema.activation_bits = program.activation_bits();
    check_fits(&schema, &program)?;
    let json = serde_json::to_string(&schema).map_err(|error| Failure::write(&path)(error.into()))?;
    let mut spec = SpaceSpec {
        name: arguments.name.clone(),
        program: Bytes(program.encode()),
        seed: match arguments.seed {
            Some(seed) => seed,
            None => *keys::random()?,
        },
        schema: Bytes(json.into_bytes()),
        validation: None,
        policy: match arguments.policy {
            PolicyName::Open => Policy::without_tokens(),
            PolicyName::Tokens => Policy::with_tokens(),
        },
    };
    let kept =
        arguments.validation.as_deref().map(|data| keep_validation(data, &mut spec, &path)).transpose()?;
    let text = spaces::to_toml(&spec)?;
    // What is written must be what the node reads: a bad name is said here and not when the node starts.
    spaces::parse(&text).map_err(|problems| Failure::Usage(problems.join("; ")))?;
    write_atomic(&path, text.as_bytes(), Access::Shared).map_err(Failure::write(&path))?;
    output.line("sample", format!("{} rows x {} columns", table.rows(), table.header().len() - 1));
    output.line("model", describe(&program));
    output.line("seed", hex(&spec.seed));
    output.line(
        "public",
        "column names, categories, classes, means and deviations of the sample become public with the space",
    );
    if let Some(kept) = kept {
        let place = validation::path(Path::new("DATA"), &spec.name);
        let text = "its rows leave the machine never, what it measures does";
        output.line(
            "wrote",
            format!("{}   (mode 0600) for the node's {}   {text}", kept.display(), place.display()),
        );
    }
    output.line(
        "wrote",
        format!("{}   adapt [policy], then name the file in the node's configuration", path.display()),
    );
    Ok(Exit::Success)
}

/// Writes the validation set with its salt beside the space file, and its digest into the space.
fn keep_validation(data: &Path, spec: &mut SpaceSpec, beside: &Path) -> Result<PathBuf, Failure> {
    let csv = std::fs::read(data).map_err(Failure::read(data))?;
    // A set that the node could not use is refused now.
    validation::examples(spec, &csv)?;
    let (file, digest) = validation::salted(&csv)?;
    spec.validation = Some(digest);
    let path = beside.with_file_name(format!("{}.validation.csv", spec.name));
    if path.symlink_metadata().is_ok() {
        let text = "expected a new file, found one that exists; move it away";
        return Err(Failure::Usage(format!("{}: {text}", path.display())));
    }
    write_atomic(&path, &file, Access::Owner).map_err(Failure::write(&path))?;
    Ok(path)
}
