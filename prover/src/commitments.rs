//! Pedersen commitments as the prover makes them: tables for the fixed bases, small-integer rows in parallel.

use ark_ec::CurveGroup;
use weightproof_circuits::curve::{Generators, Point, Projective, multi_exponentiation};
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::cpu::commit::blind;
use weightproof_gpu_kernels::cpu::fixed_base::FixedBase;
use weightproof_gpu_kernels::cpu::session::commit_rows;
use weightproof_gpu_kernels::kernels::Session;

use crate::argument::ProveError;
use crate::progress::Progress;

/// Message generators that get a table: round polynomials have at most three coefficients, layers four values.
const TABLED: usize = 4;

/// Generators with the tables that the prover uses.
pub struct Committer<'a> {
    /// The generators.
    pub generators: &'a Generators,
    blinding: FixedBase,
    value: FixedBase,
    messages: Vec<FixedBase>,
}

impl<'a> Committer<'a> {
    /// Builds the tables.
    pub fn new(generators: &'a Generators) -> Self {
        Self {
            generators,
            blinding: FixedBase::new(&generators.blinding()),
            value: FixedBase::new(&generators.value()),
            messages: generators.messages().iter().take(TABLED).map(FixedBase::new).collect(),
        }
    }

    /// `⟨values, M⟩ + blinding·H`.
    pub fn message(&self, values: &[F], blinding: &F) -> Projective {
        let mut sum = self.blinding.multiply(blinding);
        if values.len() > TABLED {
            return sum + multi_exponentiation(self.generators.messages(), values);
        }
        for (table, value) in self.messages.iter().zip(values) {
            sum += table.multiply(value);
        }
        sum
    }

    /// The mask's row: full-size entries, `⟨values, G⟩ + blinding·H`.
    pub fn mask(&self, values: &[F], blinding: &F) -> Point {
        let middle = values.len() / 2;
        let bases = self.generators.rows();
        let (low, high) = rayon::join(
            || multi_exponentiation(&bases[..middle], &values[..middle]),
            || multi_exponentiation(&bases[middle..], &values[middle..]),
        );
        (low + high + self.blinding(blinding)).into_affine()
    }

    /// `value·V + blinding·H`.
    pub fn value(&self, value: &F, blinding: &F) -> Projective {
        self.value.multiply(value) + self.blinding.multiply(blinding)
    }

    /// `blinding·H`.
    pub fn blinding(&self, blinding: &F) -> Projective {
        self.blinding.multiply(blinding)
    }

    /// Commits rows of `width` small integers each, in parallel; `None` when cancelled.
    pub fn rows(
        &self,
        values: &[i32],
        width: usize,
        blindings: &[F],
        progress: &dyn Progress,
    ) -> Option<Vec<Point>> {
        let rows = commit_rows(self.generators.rows(), values, width, &|| watch(progress)).ok()?;
        Some(blind(rows, blindings, &self.blinding))
    }

    /// Commits the rows of `width` entries of a device's stack.
    ///
    /// # Errors
    /// [`ProveError::Cancelled`] and [`ProveError::Device`].
    pub fn stack(
        &self,
        session: &dyn Session,
        width: usize,
        blindings: &[F],
        progress: &dyn Progress,
    ) -> Result<Vec<Point>, ProveError> {
        let rows = session.commit_rows(self.generators.rows(), width, &|| watch(progress))?;
        Ok(blind(rows, blindings, &self.blinding))
    }
}

/// One more row is done; whether to go on.
fn watch(progress: &dyn Progress) -> bool {
    progress.advance(1);
    !progress.cancelled()
}
