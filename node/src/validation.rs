//! A space's validation set: rows that the operator alone has, by which contributions may be judged beside their proof.
//!
//! The space names the digest of a file, so the operator cannot exchange the rows later. The file is a CSV under one line
//! of salt, or a digest of few rows could be guessed. It lies in the node's data folder as `validation/NAME.csv`.
use std::path::{Path, PathBuf};

use sha2::Digest;
use weightproof_circuits::encoding::tagged_hash;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_ledger::event::SpaceSpec;
use weightproof_ledger::{Id, Refusal};
use weightproof_prover::data::{self, Examples, Schema, Table};

use crate::core::Validation;
use crate::engine::{self, Quality};
use crate::failure::Failure;
use crate::keys;
use crate::output::hex;

/// Where a node looks for a space's validation set.
pub fn path(data_folder: &Path, name: &str) -> PathBuf {
    data_folder.join("validation").join(format!("{name}.csv"))
}

/// Names of the validation sets in a data folder, below it.
///
/// # Errors
/// [`Failure::File`].
pub fn files(data_folder: &Path) -> Result<Vec<String>, Failure> {
    let folder = data_folder.join("validation");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::read(&folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(Failure::read(&folder))?.file_name();
        names.extend(
            name.to_str().filter(|name| name.ends_with(".csv")).map(|name| format!("validation/{name}")),
        );
    }
    Ok(names)
}

/// A CSV under a fresh line of salt, and the digest that the space names.
///
/// # Errors
/// [`Failure::Key`] without randomness.
pub fn salted(csv: &[u8]) -> Result<(Vec<u8>, Id), Failure> {
    let mut file = format!("# salt {}\n", hex(&*keys::random()?)).into_bytes();
    file.extend_from_slice(csv);
    let digest = digest(&file);
    Ok((file, digest))
}

fn digest(file: &[u8]) -> Id {
    tagged_hash("weightproof validation v1").chain_update(file).finalize().into()
}

/// Rows as the space's columns say; they must be labelled with classes.
///
/// # Errors
/// [`Failure::Data`], [`Failure::Program`].
pub fn examples(spec: &SpaceSpec, csv: &[u8]) -> Result<(Program, Examples), Failure> {
    let program = Program::decode(&spec.program.0).map_err(|error| Failure::Program(error.to_string()))?;
    let schema: Schema = serde_json::from_slice(&spec.schema.0)
        .map_err(|error| Failure::Program(format!("schema: expected columns as JSON, found {error}")))?;
    let table = Table::from_bytes(csv)?;
    let (examples, _) = data::encode(&table, &schema, &schema.label.name, program.loss())?;
    let model = Parameters::initial(&program, spec.seed);
    match engine::evaluate(&program, &model, &examples.features, &examples.labels)? {
        Quality::Accuracy { rows, .. } if rows > 0 => Ok((program, examples)),
        _ => Err(Failure::Usage(
            "expected a validation set of at least one row with classes as labels, found another; accuracy is what contributions are judged by".to_owned(),
        )),
    }
}

/// Opens the validation set of a space that has one.
///
/// # Errors
/// [`Failure::File`] without the file, [`Failure::Usage`] when it is not the one that the space names.
pub fn open(data_folder: &Path, spec: &SpaceSpec) -> Result<Option<Validation>, Failure> {
    let Some(expected) = spec.validation else { return Ok(None) };
    let path = path(data_folder, &spec.name);
    let file = std::fs::read(&path).map_err(Failure::read(&path))?;
    let found = digest(&file);
    if found != expected {
        return Err(Failure::Usage(format!(
            "{}: expected the validation set with digest {}, found {}; put the file of `space init --validation` there",
            path.display(),
            hex(&expected),
            hex(&found)
        )));
    }
    let csv = file.iter().position(|byte| *byte == b'\n').map_or(&[][..], |end| &file[end + 1..]);
    let (program, examples) = examples(spec, csv)?;
    Ok(Some(Box::new(move |model| measure(&program, model, &examples))))
}

/// Rows answered rightly, and rows. A model whose outputs leave their range on a row answers nothing rightly: that it cannot
/// be used there is what the figure should say.
fn measure(program: &Program, model: &Parameters, examples: &Examples) -> Result<(u64, u64), Refusal> {
    let rows = examples.rows() as u64;
    match engine::evaluate(program, model, &examples.features, &examples.labels) {
        Ok(Quality::Accuracy { correct, .. }) => Ok((correct as u64, rows)),
        Err(Failure::Range(_)) => Ok((0, rows)),
        _ => Err(Refusal::new(
            ErrorCode::E603,
            "expected a model that the validation set can judge, found another",
        )),
    }
}
