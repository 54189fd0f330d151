//! What `train` and `estimate` share: from a data file and perhaps a program to everything that is to be trained.
use crate::failure::Failure;
use std::path::Path;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::{Loss, Program};
use weightproof_prover::data::{self, Prepared, Schema, Table, TargetKind};
use weightproof_prover::model_file::ModelFile;

/// Inputs of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The data file.
    pub data: &'a Path,
    /// Its label column.
    pub label: &'a str,
    /// The program file.
    pub program: Option<&'a Path>,
    /// The model to go on from.
    pub from: Option<&'a Path>,
    /// Chooses split and initial weights.
    pub seed: u64,
}

/// A training run before its first step.
#[derive(Debug)]
pub struct Plan {
    /// The model to begin with; its schema and program are the run's.
    pub base: ModelFile,
    /// Examples to train on and to measure on.
    pub data: Prepared,
    /// SHA-256 of the data file.
    pub data_digest: [u8; 32],
    /// Columns of the data file beside the label.
    pub columns: usize,
}

/// Reads a program file.
///
/// # Errors
/// [`Failure::File`], [`Failure::Program`] with every problem at once.
pub fn read_program(path: &Path) -> Result<Program, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
    Program::parse(&text).map_err(|error| Failure::Program(format!("{}: {error}", path.display())))
}

impl Plan {
    /// Reads, checks and prepares everything.
    ///
    /// # Errors
    /// [`Failure::Data`], [`Failure::Program`], [`Failure::Model`], [`Failure::File`].
    pub fn make(sources: Sources<'_>) -> Result<Plan, Failure> {
        let from = sources.from.map(Failure::read_model).transpose()?;
        let given = sources.program.map(read_program).transpose()?;
        let table = Table::read(sources.data)?;
        data::check_rows(&table)?;
        let split = data::split(table.rows(), sources.seed);
        // A model that goes on keeps its own columns and standardisation: its weights know no others.
        let (mut schema, program) = match (&from, given) {
            (Some(model), given) => {
                let program = given.unwrap_or_else(|| model.program.clone());
                check_continues(&model.program, &program)?;
                let mut schema = model.schema.clone();
                sources.label.clone_into(&mut schema.label.name);
                (schema, program)
            }
            (None, Some(program)) => {
                let kind = TargetKind::of(program.loss(), program.outputs());
                (fit(&table, sources.label, kind, &split)?, program)
            }
            (None, None) => {
                let kind = TargetKind::guess(&table, sources.label)?;
                let schema = fit(&table, sources.label, kind, &split)?;
                let program = default_program(&schema, kind)?;
                (schema, program)
            }
        };
        schema.activation_bits = program.activation_bits();
        check_fits(&schema, &program)?;
        let data = data::prepare(&table, &schema, program.loss(), &split)?;
        let (parameters, model_version) = match from {
            Some(model) => (model.parameters, model.model_version),
            None => (Parameters::initial(&program, wide_seed(sources.seed)), 0),
        };
        let base = ModelFile { parameters, program, model_version, schema };
        let columns = table.header().len() - 1;
        Ok(Plan { base, data, data_digest: table.digest(), columns })
    }
}

/// The seed of the initial weights: the number, little-endian, in 32 bytes.
fn wide_seed(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

fn fit(table: &Table, label: &str, kind: TargetKind, split: &data::Split) -> Result<Schema, Failure> {
    // The program may not be known yet; its activation bits are filled in before anything is encoded.
    Ok(Schema::fit(table, label, kind, &split.training, 0)?)
}

/// One hidden layer for any data: classes by softmax, a quantity by squared error.
///
/// # Errors
/// [`Failure::Program`].
pub fn default_program(schema: &Schema, kind: TargetKind) -> Result<Program, Failure> {
    let problem = |error| Failure::Program(format!("no default program suits the data: {error}"));
    match kind {
        TargetKind::Classes => Program::default_for(schema.inputs(), schema.outputs()).map_err(problem),
        TargetKind::Value => {
            let mut spec = Program::default_for(schema.inputs(), 2).map_err(problem)?.spec();
            spec.loss = Loss::SquaredError;
            spec.weight_bits = None;
            if let Some(outputs) = spec.layers.last_mut() {
                *outputs = 1;
            }
            Program::validate(spec).map_err(problem)
        }
    }
}

/// A program may go on from a model when the model's integers mean the same to it.
fn check_continues(of_model: &Program, program: &Program) -> Result<(), Failure> {
    if of_model.layers() != program.layers() || of_model.weight_bits() != program.weight_bits() {
        return Err(Failure::Program(format!(
            "expected a program with the model's layers {:?} and weight_bits {}, found {:?} and {}; change the program or leave --model out to use the model's own",
            of_model.layers(),
            of_model.weight_bits(),
            program.layers(),
            program.weight_bits()
        )));
    }
    Ok(())
}

/// That a program has the inputs and outputs of the data.
///
/// # Errors
/// [`Failure::Program`].
pub fn check_fits(schema: &Schema, program: &Program) -> Result<(), Failure> {
    if program.inputs() != schema.inputs() || program.outputs() != schema.outputs() {
        return Err(Failure::Program(format!(
            "expected layers from {} inputs (the data's columns, one a category) to {} outputs (the label's classes), found {} to {}; change model.layers in the program",
            schema.inputs(),
            schema.outputs(),
            program.inputs(),
            program.outputs()
        )));
    }
    Ok(())
}
