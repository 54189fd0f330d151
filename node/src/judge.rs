//! The node's door to the verifier and to the integers of models: bytes from a stranger in, a judgement out.
use std::sync::{Arc, RwLock};
use std::time::Instant;

use weightproof_circuits::curve::Generators;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::{LayerParameters, Parameters};
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::Statement;
use weightproof_ledger::{Id, Refusal};
use weightproof_verifier::{Contribution, Keys, SealKey, generator_counts, verify_with};

use crate::bars::Bars;
use crate::engine;
use crate::failure::Failure;

/// What the verifier found about a file that holds.
#[derive(Debug)]
pub struct Judged {
    /// The update that it proves.
    pub update: Parameters,
    /// Largest magnitude of its integers.
    pub largest: u64,
    /// Milliseconds of verification.
    pub milliseconds: f64,
}

/// Generators and keys for the programs of a node's spaces, got ready before anybody submits: no stranger can make the node
/// derive anything.
#[derive(Debug)]
pub struct Judge {
    generators: RwLock<Arc<Generators>>,
    keys: RwLock<Arc<Vec<SealKey>>>,
}

impl Default for Judge {
    fn default() -> Judge {
        let generators = Arc::new(Generators::from_parts(Vec::new(), Vec::new()));
        Judge { generators: RwLock::new(generators), keys: RwLock::default() }
    }
}

impl Judge {
    /// Gets ready for a space's program: seconds, once.
    ///
    /// # Errors
    /// `Failure::Program` when the program is too large for the halo2 seal.
    pub fn prepare(&self, program: &Program, halo2: bool) -> Result<(), Failure> {
        let bars = Bars::new();
        let needed = generator_counts(&Layout::new(program).masked(), program);
        let present = self.generators();
        if let Some((rows, messages)) = grown((present.rows().len(), present.messages().len()), needed) {
            let found = engine::shared_generators(rows, messages, &bars);
            *self.generators.write().unwrap_or_else(std::sync::PoisonError::into_inner) = found;
        }
        let digest = program.digest();
        if halo2 && !self.keys().iter().any(|key| key.key.program_digest == digest) {
            let key = engine::seal_key(program, &bars)?;
            let mut keys = self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut list = Vec::clone(&keys);
            list.push(key);
            *keys = Arc::new(list);
        }
        Ok(())
    }

    fn generators(&self) -> Arc<Generators> {
        Arc::clone(&self.generators.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn keys(&self) -> Arc<Vec<SealKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Verifies a file against the model that it starts from. What it is about must be `statement`, which the contributor
    /// signed.
    ///
    /// # Errors
    /// [`Refusal`] with the verifier's code.
    pub fn judge(&self, file: &[u8], base: &Parameters, statement: &Statement) -> Result<Judged, Refusal> {
        let clock = Instant::now();
        let other = || {
            Refusal::new(
                ErrorCode::E201,
                "expected the file to hold the statement that was signed, found another; sign the file's own",
            )
        };
        // Before the dear part: nobody pays for a file that was signed as another's, so it must cost next to nothing.
        let read = Contribution::decode(file).map_err(|error| Refusal::of(error.code(), &error))?;
        if read.statement != *statement {
            return Err(other());
        }
        let (generators, keys) = (self.generators(), self.keys());
        let verified = verify_with(file, base, Keys { generators: &generators, halo2: &keys })
            .map_err(|error| Refusal::of(error.code(), &error))?;
        if verified.get() != statement {
            return Err(other());
        }
        let update = verified.update().clone();
        let largest = update.largest();
        Ok(Judged { update, largest, milliseconds: clock.elapsed().as_secs_f64() * 1000.0 })
    }
}

/// So many rows and messages that every program so far has enough, unless there are as many: one that needs more rows may
/// need fewer messages than another.
fn grown(present: (usize, usize), needed: (usize, usize)) -> Option<(usize, usize)> {
    let all = (present.0.max(needed.0), present.1.max(needed.1));
    (all != present).then_some(all)
}

/// `model + weight · update`, exactly.
///
/// # Errors
/// `E601` when a sum leaves 64 bits, or when shapes differ.
pub fn add_weighted(model: &Parameters, update: &Parameters, weight: u32) -> Result<Parameters, Refusal> {
    let outside = |text: &str| {
        Refusal::new(
            ErrorCode::E601,
            format!(
                "expected sums inside 64 bits and equal shapes, found {text}; the update was not applied"
            ),
        )
    };
    if model.layers.len() != update.layers.len() {
        return Err(outside("another number of layers"));
    }
    let sum = |model: &[i64], update: &[i64]| -> Result<Vec<i64>, Refusal> {
        if model.len() != update.len() {
            return Err(outside("another shape"));
        }
        let exact = model.iter().zip(update).map(|(&base, &change)| {
            change.checked_mul(i64::from(weight)).and_then(|change| base.checked_add(change))
        });
        exact.collect::<Option<_>>().ok_or_else(|| outside("a larger one"))
    };
    let layers = model.layers.iter().zip(&update.layers).map(|(base, change)| {
        if (base.inputs, base.outputs) != (change.inputs, change.outputs) {
            return Err(outside("another shape"));
        }
        Ok(LayerParameters {
            inputs: base.inputs,
            outputs: base.outputs,
            weights: sum(&base.weights, &change.weights)?,
            biases: sum(&base.biases, &change.biases)?,
        })
    });
    Ok(Parameters { layers: layers.collect::<Result<_, Refusal>>()? })
}

/// A model's digest.
///
/// # Errors
/// `E201` when it is not of the program's shape.
pub fn digest(model: &Parameters, program: &Program) -> Result<Id, Refusal> {
    model.digest(program).map_err(|error| Refusal::new(ErrorCode::E201, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getting_ready_for_one_program_unmakes_no_other() {
        assert_eq!(grown((0, 0), (8, 2)), Some((8, 2)));
        assert_eq!(grown((8, 2), (4, 5)), Some((8, 5)));
        assert_eq!(grown((8, 5), (8, 2)), None);
        assert_eq!(grown((8, 5), (4, 5)), None);
    }
}
