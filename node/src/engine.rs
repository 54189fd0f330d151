//! The one door to trainer, prover and verifier: the rest of the command knows nothing of their types.
use crate::bars::Bars;
use crate::failure::Failure;
use serde::Serialize;
use std::collections::BTreeMap;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_prover::data::{Examples, Share};
use weightproof_prover::float::{self, FloatError, FloatModel};
use weightproof_prover::trainer::{self, TrainError};

pub use weightproof_prover::trainer::Quality;

/// What one contribution is expected to cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Peak memory.
    pub memory_bytes: u64,
    /// Training and proving on this machine.
    pub seconds: f64,
    /// The proof without the update.
    pub proof_bytes: u64,
}

/// Estimates a contribution of `program` on a data set of `rows` rows.
pub fn estimate(program: &Program, rows: usize) -> Cost {
    // By the cost model of the protocol's design until the prover measures its own.
    let activations: usize = program.layers()[1..].iter().sum::<usize>() * program.steps() * program.batch();
    let entries = (10 * activations) as u64;
    let memory_bytes = 96 * entries + 48 * program.parameter_count() as u64 + 64 * rows as u64;
    Cost { memory_bytes, seconds: entries as f64 * 5e-7, proof_bytes: 90 << 10 }
}

/// The exact outputs of a model on rows of features, at scale `2^activation_bits`.
///
/// # Errors
/// [`Failure::Range`] when a value leaves its range.
pub fn predict(program: &Program, parameters: &Parameters, features: &[i16]) -> Result<Vec<i16>, Failure> {
    trainer::predict(program, parameters, features).map_err(training)
}

/// How good a model is, by the exact forward pass.
///
/// # Errors
/// As for [`predict`].
pub fn evaluate(
    program: &Program,
    parameters: &Parameters,
    features: &[i16],
    labels: &[i16],
) -> Result<Quality, Failure> {
    trainer::evaluate(program, parameters, features, labels).map_err(training)
}

fn training(error: TrainError) -> Failure {
    match error {
        TrainError::Range(_) | TrainError::WeightOverflow { .. } | TrainError::EvaluationRange { .. } => {
            Failure::Range(error.to_string())
        }
        TrainError::Interrupted { .. } => Failure::Interrupted,
        // A plan and a model file have consistent shapes: reaching these is a fault of ours, to be reported.
        TrainError::Model(_) | TrainError::Shape { .. } | TrainError::Labels { .. } => {
            Failure::Proof(error.to_string())
        }
    }
}

/// Training rows under commitment, with their secrets.
#[derive(Debug)]
pub struct Dataset {
    root: [u8; 32],
    rows: usize,
}

impl Dataset {
    /// The public commitment.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// Rows, labels and blindings: for one file that its owner alone may read.
    pub fn secret_bytes(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(Vec::new())
    }
}

/// One contribution to be made. In a local run space and round are zero and the payout is empty.
#[derive(Debug)]
pub struct Request<'a> {
    /// The program.
    pub program: &'a Program,
    /// The model that it starts from.
    pub base: &'a Parameters,
    /// That model's version.
    pub model_version: u64,
    /// The rows.
    pub dataset: &'a Dataset,
    /// This contribution's own beacon.
    pub beacon: [u8; 32],
    /// Public key named in the statement.
    pub contributor: [u8; 32],
}

/// A contribution that the prover made and nobody has verified yet.
#[derive(Debug)]
pub struct Made {
    /// The contribution file.
    pub bytes: Vec<u8>,
    /// Mean loss over the first step's batch.
    pub first_loss: f64,
    /// Mean loss over the last step's batch.
    pub last_loss: f64,
    /// Seconds of exact training.
    pub train_seconds: f64,
    /// Seconds of proving.
    pub prove_seconds: f64,
    /// Seconds of each proving stage.
    pub stages: BTreeMap<String, f64>,
}

/// The prover with its generators.
#[derive(Debug)]
pub struct Proving {}

impl Proving {
    /// Gets the generators that `program` needs, from the cache on disk or by deriving them.
    ///
    /// # Errors
    /// [`Failure::Interrupted`].
    pub fn open(program: &Program, bars: &Bars) -> Result<Proving, Failure> {
        let _ = (program, bars);
        Ok(Proving {})
    }

    /// Commits to the training rows.
    ///
    /// # Errors
    /// [`Failure::Interrupted`], [`Failure::Proof`].
    pub fn commit(&self, examples: &Examples, bars: &Bars) -> Result<Dataset, Failure> {
        let _ = (bars, examples.rows());
        Err(unavailable())
    }

    /// Reads what [`Dataset::secret_bytes`] gave.
    ///
    /// # Errors
    /// In words.
    pub fn restore(&self, secret: &[u8]) -> Result<Dataset, String> {
        let _ = secret;
        Err(unavailable().to_string())
    }

    /// Trains and proves.
    ///
    /// # Errors
    /// [`Failure::Range`] when training leaves its range, [`Failure::Interrupted`], [`Failure::Proof`].
    pub fn contribute(&self, request: &Request<'_>, bars: &Bars) -> Result<Made, Failure> {
        let _ = (request, bars);
        Err(unavailable())
    }
}

fn unavailable() -> Failure {
    Failure::Proof("expected a build with the prover, found one without; build it with the prover".to_owned())
}

/// A statement as JSON shows it; digests and keys are hexadecimal.
#[derive(Clone, Debug, Serialize)]
pub struct StatementView {
    /// Protocol version.
    pub version: u32,
    /// Program digest.
    pub program_digest: String,
    /// `sigma` or `halo2`.
    pub seal: String,
    /// `open` or `private`.
    pub mode: String,
    /// The learning task.
    pub space: String,
    /// Its round.
    pub round: u64,
    /// What chose the batches.
    pub beacon: String,
    /// Root of the committed rows.
    pub dataset_root: String,
    /// How many rows are committed.
    pub dataset_rows: u64,
    /// Version of the base model.
    pub model_version: u64,
    /// Its digest.
    pub model_digest: String,
    /// Digest of the update.
    pub update_digest: String,
    /// Who made it.
    pub contributor: String,
    /// Where a reward would go.
    pub payout: String,
}

/// A contribution that the verifier accepted.
#[derive(Debug)]
pub struct Checked {
    /// What is proved.
    pub statement: StatementView,
    /// The base model with the update applied.
    pub next: Parameters,
    /// The proof without the update.
    pub proof_bytes: u64,
    /// Seconds of verification alone.
    pub seconds: f64,
}

/// A contribution that the verifier refused.
#[derive(Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// What was expected and found.
    pub message: String,
    /// A newer version might accept it.
    pub newer: bool,
    /// What it claims, as far as it can be read.
    pub statement: Option<StatementView>,
}

/// The separate verifier with its generators.
#[derive(Debug)]
pub struct Verifying<'a> {
    bars: &'a Bars,
}

impl<'a> Verifying<'a> {
    /// A verifier that gets its generators when the first program is known.
    pub fn new(bars: &'a Bars) -> Verifying<'a> {
        Verifying { bars }
    }

    /// Verifies a contribution file against the model that it must start from.
    ///
    /// # Errors
    /// [`Refusal`] with a stable code.
    pub fn verify(
        &self,
        bytes: &[u8],
        base: &Parameters,
        version: u64,
        weight_bits: u32,
    ) -> Result<Checked, Box<Refusal>> {
        let _ = (self.bars, base, version, weight_bits);
        Err(Box::new(refusal(bytes)))
    }
}

/// A contribution's parts, read but not verified.
#[derive(Debug)]
pub struct Inspected {
    /// What it claims.
    pub statement: StatementView,
    /// The program that it carries.
    pub program: Program,
    /// The proof without the update.
    pub proof_bytes: u64,
    /// The update beside it.
    pub update_bytes: u64,
}

/// Reads a contribution file without verifying it.
///
/// # Errors
/// [`Refusal`] when it cannot be decoded.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, Box<Refusal>> {
    Err(Box::new(refusal(bytes)))
}

fn refusal(_bytes: &[u8]) -> Refusal {
    let message = "expected a contribution, found other bytes".to_owned();
    Refusal { code: "E101".to_owned(), message, newer: false, statement: None }
}

/// The same training in `f32`, contribution by contribution.
#[derive(Debug)]
pub struct Twin<'a> {
    program: &'a Program,
    model: FloatModel,
    training: &'a Share,
}

impl<'a> Twin<'a> {
    /// Starts from the exact initial weights.
    ///
    /// # Errors
    /// [`Failure::Proof`] when shapes differ, which a plan excludes.
    pub fn new(program: &'a Program, base: &Parameters, training: &'a Share) -> Result<Twin<'a>, Failure> {
        let model = FloatModel::from_parameters(program, base).map_err(twin)?;
        Ok(Twin { program, model, training })
    }

    /// Trains on the batches of the exact contribution that started from `base`.
    ///
    /// # Errors
    /// As for [`Twin::new`].
    pub fn contribute(
        &mut self,
        base: &Parameters,
        dataset: &Dataset,
        beacon: &[u8; 32],
        contributor: &[u8; 32],
    ) -> Result<(), Failure> {
        let _ = (base, beacon, contributor);
        let rows: Vec<usize> = (0..dataset.rows).collect();
        let gather = |values: &[f32], width: usize| -> Vec<f32> {
            rows.iter().flat_map(|&row| values[row * width..(row + 1) * width].iter().copied()).collect()
        };
        let x = gather(&self.training.float_features, self.training.examples.inputs);
        let y = gather(&self.training.float_labels, self.training.examples.outputs);
        self.model = float::train(self.program, &self.model, &x, &y).map_err(twin)?;
        Ok(())
    }

    /// How good the twin is.
    ///
    /// # Errors
    /// As for [`Twin::new`].
    pub fn quality(&self, share: &Share) -> Result<Quality, Failure> {
        float::accuracy(self.program, &self.model, &share.float_features, &share.float_labels).map_err(twin)
    }
}

fn twin(error: FloatError) -> Failure {
    Failure::Proof(error.to_string())
}
