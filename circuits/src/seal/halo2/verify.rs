//! The verifying half of the seal: halo2's own verifier, with its last equation left open (specs/protocol/halo2.md,
//! step 5).

use halo2_proofs::plonk::{Error, VerificationStrategy, verify_proof};
use halo2_proofs::poly::commitment::{Guard, MSM};
use halo2_proofs::transcript::{Blake2bRead, Challenge255, EncodedChallenge};
use pasta_curves::EqAffine;

use super::Exposed;
use super::key::{Key, Parameters};
use crate::curve::Generators;
use crate::field::F;
use crate::pasta::{point_to_pasta, to_pasta};
use crate::seal::equation::GroupEquation;

/// Sums of group elements that must be zero, one for each proof, waiting for their weights.
#[derive(Clone, Debug)]
pub struct PendingHalo2<'a> {
    sum: MSM<'a, EqAffine>,
}

impl PendingHalo2<'_> {
    /// Whether the sum is zero: one multi-exponentiation over the parameters.
    pub fn is_zero(self) -> bool {
        self.sum.eval()
    }
}

/// Yields the sum instead of evaluating it.
struct Pending<'a>(&'a Parameters);

impl<'a> VerificationStrategy<'a, EqAffine> for Pending<'a> {
    type Output = MSM<'a, EqAffine>;
    fn process<E: EncodedChallenge<EqAffine>>(
        self,
        f: impl FnOnce(MSM<'a, EqAffine>) -> Result<Guard<'a, EqAffine, E>, Error>,
    ) -> Result<Self::Output, Error> {
        Ok(f(MSM::new(self.0))?.use_challenges())
    }
}

/// Runs halo2's verifier up to its last equation; `None` when the proof is malformed. A constraint that does not hold at
/// halo2's challenge makes the last equation false, so only [`PendingHalo2::is_zero`] tells.
pub fn verify<'a>(
    key: &Key,
    parameters: &'a Parameters,
    digest: &[F; 2],
    exposed: &Exposed,
    proof: &[u8],
) -> Option<PendingHalo2<'a>> {
    let instance: Vec<_> = exposed.instance(digest).iter().map(to_pasta).collect();
    let mut rest = proof;
    let mut transcript = Blake2bRead::<_, EqAffine, Challenge255<EqAffine>>::init(&mut rest);
    let sum = verify_proof(parameters, &key.verifying, Pending(parameters), &[&[&instance]], &mut transcript)
        .ok()?;
    rest.is_empty().then_some(PendingHalo2 { sum })
}

/// A sum of group elements over halo2's parameters and any other points: one multi-exponentiation for many proofs.
#[derive(Clone, Debug)]
pub struct Sum<'a> {
    sum: MSM<'a, EqAffine>,
}

impl<'a> Sum<'a> {
    /// The empty sum.
    pub fn new(parameters: &'a Parameters) -> Self {
        Self { sum: MSM::new(parameters) }
    }

    /// Adds a proof's sum under a weight drawn after all proofs are fixed.
    pub fn add(&mut self, weight: &F, pending: &PendingHalo2<'a>) {
        let mut scaled = pending.sum.clone();
        scaled.scale(to_pasta(weight));
        self.sum.add_msm(&scaled);
    }

    /// Adds the terms of a group equation.
    pub fn add_equation(&mut self, equation: &GroupEquation, generators: &Generators) {
        let (bases, scalars) = equation.terms(generators);
        for (base, scalar) in bases.iter().zip(&scalars) {
            self.sum.append_term(to_pasta(scalar), point_to_pasta(base));
        }
    }

    /// Whether the sum is zero: one multi-exponentiation.
    pub fn is_zero(self) -> bool {
        self.sum.eval()
    }
}
