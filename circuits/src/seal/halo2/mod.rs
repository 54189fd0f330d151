//! The halo2 seal: the checks as a halo2 circuit over the clear messages (specs/protocol/halo2.md).
//!
//! 1. The prover commits the witness and a *mask*, one row of random entries.
//! 2. Messages are absorbed by Poseidon: first the digest of everything public as two limbs, then a secret salt, then the
//!    argument's messages in order ([`crate::poseidon`]).
//! 3. The circuit algebra records a run of [`crate::argument::check`] as a plan: sponge blocks and gates ([`plan`]).
//! 4. The plan is laid out ([`table`]), its rows are constrained ([`rows`]), and halo2 proves that the table is
//!    satisfied ([`circuit`]). Public values: the two limbs, `r*`, the coefficients, `y` ([`Exposed`]).
//! 5. The verifier rebuilds the key from the program ([`key`]) and adds halo2's equations to the opening's ([`verify`]).
//! 6. The opening proves `y`, mask included; its transcript absorbs the public values and the seal.

pub mod algebra;
pub mod circuit;
pub mod key;
pub mod plan;
pub mod rows;
pub mod table;
pub mod verify;

use crate::field::F;
use crate::layout::Layout;

/// What the circuit shows of the argument: `Σ_f coefficient_f·f(r*) = y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// `r*`.
    pub point: Vec<F>,
    /// One coefficient for each of [`crate::argument::Opened::ALL`].
    pub coefficients: [F; 6],
    /// `y`.
    pub value: F,
}

impl Exposed {
    /// Number of field elements.
    pub fn length(layout: &Layout) -> usize {
        layout.opening_variables + 7
    }

    /// All values, in order.
    pub fn values(&self) -> Vec<F> {
        self.point.iter().chain(&self.coefficients).chain([&self.value]).copied().collect()
    }

    /// Takes [`Exposed::length`] values apart.
    pub fn from_values(layout: &Layout, values: &[F]) -> Option<Self> {
        let (point, rest) = values.split_at_checked(layout.opening_variables)?;
        match rest {
            [coefficients @ .., value] => Some(Self {
                point: point.to_vec(),
                coefficients: coefficients.try_into().ok()?,
                value: *value,
            }),
            [] => None,
        }
    }

    /// The instance column: the digest's limbs, then all values.
    pub fn instance(&self, digest: &[F; 2]) -> Vec<F> {
        digest.iter().copied().chain(self.values()).collect()
    }
}
