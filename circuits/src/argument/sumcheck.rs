//! Sumcheck with weighted rounds: one routine for plain sums and for sums against `eq` (specs/protocol/sumcheck.md).
//!
//! For a polynomial `g` in `n` variables and weights `ω`, the claim is
//! `Σ_{x ∈ {0,1}ⁿ} ∏ᵢ eq(ωᵢ, xᵢ) · g(x) = claim`. A plain sum is the case `ωᵢ = 1/2`, scaled by `2⁻ⁿ`.
//!
//! Round `i`, for the least significant variable not yet bound:
//! 1. The prover sends `t₁ … t_d` of `t(X) = t₀ + t₁X + … + t_d X^d`.
//! 2. `t₀` follows from `(1 − ω)·t(0) + ω·t(1) = claim`, so `t₀ = claim − ω·Σ tⱼ`: nothing is divided, nothing is left
//!    to check.
//! 3. Draw `ρ`; the next claim is `t(ρ) = claim + Σ tⱼ·(ρʲ − ω)`.
//!
//! An instance with fewer variables is constant in the others and contributes nothing to their rounds.

use crate::algebra::{Algebra, ArgumentError};
use crate::field::Scalar;

/// Runs the rounds; returns the challenges in round order (least significant variable first) and the final claim.
pub fn check<A: Algebra>(
    algebra: &mut A,
    label: &'static str,
    weights: &[A::Public],
    degree: usize,
    claim: A::Hidden,
) -> Result<(Vec<A::Public>, A::Hidden), ArgumentError> {
    let mut claim = claim;
    let mut challenges = Vec::with_capacity(weights.len());
    for weight in weights {
        let coefficients = algebra.receive(label, degree)?;
        let challenge = algebra.challenge(label);
        let mut power = A::Public::one();
        for coefficient in &coefficients {
            power = power * challenge.clone();
            claim = algebra.add(claim, &algebra.scale(coefficient, &(power.clone() - weight.clone())));
        }
        challenges.push(challenge);
    }
    Ok((challenges, claim))
}

/// Orders challenges as a point: most significant coordinate first.
pub fn as_point<S: Scalar>(challenges: &[S]) -> Vec<S> {
    challenges.iter().rev().cloned().collect()
}
