//! The proving half of the weighted sumcheck: `circuits::argument::sumcheck` states the rounds.

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::field::{F, inverse_power_of_two, one_half};

use weightproof_gpu_kernels::cpu::weights::RoundWeights;
use weightproof_gpu_kernels::kernels::GateSum;

use super::ProveError;
use super::channel::Channel;
use super::polynomial::{PARALLEL, bind};

/// One summand of a batched sumcheck; it takes part in some of the rounds.
pub trait Instance {
    /// Coefficients `t₁ … t_d` of this round, or `None` when the instance is constant in the variable.
    fn round(&mut self, claim: &F, weight: &F, inverse_weight: &F) -> Result<Option<Vec<F>>, ProveError>;
    /// Moves to the next round.
    fn bind(&mut self, challenge: &F) -> Result<(), ProveError>;
}

/// Runs the rounds over all instances, each given with its claim; returns the challenges in round order.
pub fn prove<I: Instance>(
    channel: &mut dyn Channel,
    label: &'static str,
    weights: &[F],
    degree: usize,
    instances: &mut [(F, I)],
) -> Result<Vec<F>, ProveError> {
    let mut challenges = Vec::with_capacity(weights.len());
    for weight in weights {
        let inverse = weight.inverse().ok_or(ProveError::ZeroChallenge)?;
        let mut message = vec![F::ZERO; degree];
        let mut parts = Vec::with_capacity(instances.len());
        for (claim, instance) in instances.iter_mut() {
            let part = instance.round(claim, weight, &inverse)?;
            for (sum, coefficient) in message.iter_mut().zip(part.iter().flatten()) {
                *sum += coefficient;
            }
            parts.push(part);
        }
        channel.send(label, message);
        let challenge = channel.challenge(label);
        for ((claim, instance), part) in instances.iter_mut().zip(&parts) {
            let mut power = F::ONE;
            for coefficient in part.iter().flatten() {
                power *= challenge;
                *claim += *coefficient * (power - weight);
            }
            instance.bind(&challenge)?;
        }
        challenges.push(challenge);
    }
    Ok(challenges)
}

/// `t₁, t₂` from `t(0)`, the leading coefficient and the claim.
pub fn complete_quadratic(claim: &F, inverse_weight: &F, at_zero: F, leading: F) -> Vec<F> {
    vec![(*claim - at_zero) * inverse_weight - leading, leading]
}

/// `t₁, t₂, t₃` from `t(0)`, `t(−1)`, the leading coefficient and the claim.
pub fn complete_cubic(claim: &F, inverse_weight: &F, at_zero: F, at_minus_one: F, leading: F) -> Vec<F> {
    let sum = (*claim - at_zero) * inverse_weight;
    let difference = at_minus_one - at_zero;
    let half = one_half();
    let second = (sum + difference) * half;
    vec![sum - second - leading, second, leading]
}

/// `Σ_x ω(x)·Σ_terms coefficient·∏ factors(x)` with two or three factors a term.
pub struct ProductInstance {
    arrays: Vec<Vec<F>>,
    terms: Vec<(F, Vec<usize>)>,
    degree: usize,
    weights: RoundWeights,
    variables: usize,
    /// Rounds in which the instance takes part.
    active: Vec<bool>,
    round: usize,
}

impl ProductInstance {
    /// Arrays over the instance's own variables, whose weights are given most significant first; `active` says in
    /// which rounds those variables are bound, least significant first.
    pub fn new(arrays: Vec<Vec<F>>, terms: Vec<(F, Vec<usize>)>, weights: &[F], active: Vec<bool>) -> Self {
        let degree = terms.iter().map(|(_, factors)| factors.len()).max().unwrap_or(0);
        debug_assert!(arrays.iter().all(|a| a.len() == 1 << weights.len()));
        debug_assert_eq!(active.iter().filter(|a| **a).count(), weights.len());
        Self {
            arrays,
            terms,
            degree,
            weights: RoundWeights::new(weights),
            variables: weights.len(),
            active,
            round: 0,
        }
    }

    /// `(t(0), t(−1), leading)` over one range of `y`.
    fn sums(&self, range: core::ops::Range<usize>, low: &[F]) -> [F; 3] {
        let mut sums = [F::ZERO; 3];
        let mut values = vec![[F::ZERO; 3]; self.arrays.len()];
        for y in range {
            for (value, array) in values.iter_mut().zip(&self.arrays) {
                let (a, b) = (array[2 * y], array[2 * y + 1]);
                let difference = b - a;
                *value = [a, a - difference, difference];
            }
            let weight = low[y % low.len()];
            for (point, sum) in sums.iter_mut().enumerate() {
                // A quadratic needs no value at −1.
                if point == 1 && self.degree < 3 {
                    continue;
                }
                let mut total = F::ZERO;
                for (coefficient, factors) in &self.terms {
                    // A term of lower degree has no leading coefficient.
                    if point == 2 && factors.len() < self.degree {
                        continue;
                    }
                    let product = factors.iter().fold(*coefficient, |p, f| p * values[*f][point]);
                    total += product;
                }
                *sum += total * weight;
            }
        }
        sums
    }
}

impl Instance for ProductInstance {
    fn round(&mut self, claim: &F, _weight: &F, inverse_weight: &F) -> Result<Option<Vec<F>>, ProveError> {
        if !self.active[self.round] {
            return Ok(None);
        }
        let (high, low) = self.weights.tables(self.variables - 1);
        let rows = high.len();
        let block = low.len();
        let per_task = (PARALLEL / block).max(1);
        let [zero, minus, leading] = (0..rows)
            .into_par_iter()
            .with_min_len(per_task)
            .map(|row| self.sums(row * block..(row + 1) * block, low).map(|sum| sum * high[row]))
            .reduce(|| [F::ZERO; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
        Ok(Some(match self.degree {
            3 => complete_cubic(claim, inverse_weight, zero, minus, leading),
            _ => complete_quadratic(claim, inverse_weight, zero, leading),
        }))
    }

    fn bind(&mut self, challenge: &F) -> Result<(), ProveError> {
        if self.active[self.round] {
            for array in &mut self.arrays {
                bind(array, challenge);
            }
            self.variables -= 1;
        }
        self.round += 1;
        Ok(())
    }
}

/// `2^-n·Σ_x g(x)·(E_A(x)·Q(x) + E_Δ(x)·P(x))`, the largest cubic sum of a proof; all rounds have weight 1/2.
pub struct GateInstance<'a> {
    gates: Box<dyn GateSum + 'a>,
    /// Variables that no round has bound yet: sums are scaled by `2^-left`.
    left: usize,
    active: Vec<bool>,
    round: usize,
}

impl<'a> GateInstance<'a> {
    /// A sum over `variables`; `active` says in which rounds they are bound.
    pub fn new(gates: Box<dyn GateSum + 'a>, variables: usize, active: Vec<bool>) -> Self {
        Self { gates, left: variables, active, round: 0 }
    }
}

impl Instance for GateInstance<'_> {
    fn round(&mut self, claim: &F, _weight: &F, inverse_weight: &F) -> Result<Option<Vec<F>>, ProveError> {
        if !self.active[self.round] {
            return Ok(None);
        }
        let scale = inverse_power_of_two(self.left - 1);
        let [zero, minus, leading] = self.gates.round()?.map(|sum| sum * scale);
        Ok(Some(complete_cubic(claim, inverse_weight, zero, minus, leading)))
    }

    fn bind(&mut self, challenge: &F) -> Result<(), ProveError> {
        if self.active[self.round] {
            self.gates.bind(challenge)?;
            self.left -= 1;
        }
        self.round += 1;
        Ok(())
    }
}

/// Either kind of instance, so that one sumcheck can hold both.
pub enum Summand<'a> {
    /// The general form.
    Product(ProductInstance),
    /// A layer of gates.
    Gate(GateInstance<'a>),
}

impl Instance for Summand<'_> {
    fn round(&mut self, claim: &F, weight: &F, inverse_weight: &F) -> Result<Option<Vec<F>>, ProveError> {
        match self {
            Summand::Product(instance) => instance.round(claim, weight, inverse_weight),
            Summand::Gate(instance) => instance.round(claim, weight, inverse_weight),
        }
    }

    fn bind(&mut self, challenge: &F) -> Result<(), ProveError> {
        match self {
            Summand::Product(instance) => instance.bind(challenge),
            Summand::Gate(instance) => instance.bind(challenge),
        }
    }
}
