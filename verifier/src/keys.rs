//! What a verifier derives once and keeps: generators, and keys of the halo2 seal.

use std::sync::Arc;

use weightproof_circuits::curve::Generators;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::key::{Key, KeyError, Parameters};

/// The key of one program under the halo2 seal, with the parameters that it was built over.
///
/// Building one takes a second or so; a proof of the same program is then verified in a fraction of that. The parameters
/// must be halo2's own, derived or recognised: see
/// [`read_parameters`](weightproof_circuits::seal::halo2::key::read_parameters).
#[derive(Clone, Debug)]
pub struct SealKey {
    /// Public parameters of the circuit's size.
    pub parameters: Arc<Parameters>,
    /// The verifying key.
    pub key: Key,
}

impl SealKey {
    /// Builds the key of a program.
    ///
    /// # Errors
    /// [`KeyError`] for a program that is too large, or parameters of another size.
    pub fn new(program: &Program, parameters: Arc<Parameters>) -> Result<Self, KeyError> {
        let key = Key::new(program, &parameters)?;
        Ok(Self { parameters, key })
    }
}

/// Generators and keys that a caller lends to the verifier.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// At least as many as the largest program needs.
    pub generators: &'a Generators,
    /// One for each program whose proofs under the halo2 seal may come.
    pub halo2: &'a [SealKey],
}

impl<'a> From<&'a Generators> for Keys<'a> {
    fn from(generators: &'a Generators) -> Self {
        Self { generators, halo2: &[] }
    }
}

impl<'a> Keys<'a> {
    /// The key of a program.
    pub fn find(&self, program_digest: &[u8; 32]) -> Option<&'a SealKey> {
        self.halo2.iter().find(|known| known.key.program_digest == *program_digest)
    }
}
