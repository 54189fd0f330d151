//! The one door to trainer, prover and verifier: the rest of the command knows nothing of their types.
use crate::bars::Bars;
use crate::failure::Failure;
use serde::Serialize;
use std::collections::BTreeMap;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_prover::data::{Examples, Share};
use weightproof_prover::float::{self, FloatModel};
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
    STUB
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
        TrainError::Shape { .. } => Failure::Proof(error.to_string()),
    }
}
