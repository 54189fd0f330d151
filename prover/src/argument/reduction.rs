//! The proving half of `circuits::argument::reduction`.

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::accumulate::{ProductSum, SmallMultiplier, SmallSum};
use weightproof_circuits::algebra::Powers;
use weightproof_circuits::argument::reduction::{Opened, place};
use weightproof_circuits::argument::sumcheck::as_point;
use weightproof_circuits::field::{F, inverse_power_of_two, one_half};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;

use super::channel::Channel;
use super::gates::add_eq;
use super::polynomial::{PARALLEL, bind};
use super::sumcheck::{self, Instance, complete_quadratic};
use super::witness::Witness;
use super::{ProveError, ProvedClaim};

/// What is left to open: `r*` and `E_f(r*)` for the two committed polynomials.
#[derive(Clone, Debug)]
pub struct Opening {
    /// `r*`, most significant coordinate first.
    pub point: Vec<F>,
    /// `E_w(r*)`.
    pub witness_coefficient: F,
    /// `E_D(r*)`, zero-extension included.
    pub data_coefficient: F,
    /// `y`, the public polynomials' share included.
    pub value: F,
}

/// The values of a polynomial: integers until the first round binds them.
enum Values<'a> {
    Small(&'a [i32]),
    Large(Vec<i64>),
    Field(Vec<F>),
}

/// What a round does to an instance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Binds a variable of the arrays.
    Own,
    /// Both factors are extended by zero.
    Extension,
    /// Constant.
    Idle,
}

/// One polynomial `f` with the weight `E_f` of its claims.
struct Reduced<'a> {
    weight: Vec<F>,
    values: Values<'a>,
    roles: Vec<Role>,
    round: usize,
    /// Variables that no round has bound yet, the extension's included: sums are scaled by `2^-left`.
    left: usize,
    /// `∏ (1 − r)` over the extension's variables: what zero-extension multiplies each of `E_f` and `f` by.
    extension: F,
}

impl<'a> Reduced<'a> {
    fn new(weight: Vec<F>, values: Values<'a>, roles: Vec<Role>) -> Self {
        let left = roles.iter().filter(|r| **r != Role::Idle).count();
        Self { weight, values, roles, round: 0, left, extension: F::ONE }
    }

    /// `E(r*)` and `f(r*)` once all rounds are done.
    fn end(&self) -> (F, F) {
        let weight = self.weight[0] * self.extension;
        let value = match &self.values {
            Values::Field(values) => values[0] * self.extension,
            Values::Small(values) => F::from(values[0]) * self.extension,
            Values::Large(values) => F::from(values[0]) * self.extension,
        };
        (weight, value)
    }
}

/// `Σ E(2y)·f(2y)` and `Σ (E(2y+1) − E(2y))·(f(2y+1) − f(2y))` over integers.
fn integer_sums<T: Copy + Into<i64> + Sync>(weight: &[F], values: &[T]) -> (F, F) {
    weight
        .par_chunks(2 * PARALLEL)
        .zip(values.par_chunks(2 * PARALLEL))
        .map(|(weights, values)| {
            let mut zero = SmallSum::default();
            let mut leading = SmallSum::default();
            for (e, v) in weights.chunks_exact(2).zip(values.chunks_exact(2)) {
                let (a, b): (i64, i64) = (v[0].into(), v[1].into());
                zero.add(&e[0], a);
                leading.add(&(e[1] - e[0]), b - a);
            }
            (zero.value(), leading.value())
        })
        .reduce(|| (F::ZERO, F::ZERO), |a, b| (a.0 + b.0, a.1 + b.1))
}

fn field_sums(weight: &[F], values: &[F]) -> (F, F) {
    weight
        .par_chunks(2 * PARALLEL)
        .zip(values.par_chunks(2 * PARALLEL))
        .map(|(weights, values)| {
            let mut zero = ProductSum::default();
            let mut leading = ProductSum::default();
            for (e, v) in weights.chunks_exact(2).zip(values.chunks_exact(2)) {
                zero.add(&e[0], &v[0]);
                leading.add(&(e[1] - e[0]), &(v[1] - v[0]));
            }
            (zero.value(), leading.value())
        })
        .reduce(|| (F::ZERO, F::ZERO), |a, b| (a.0 + b.0, a.1 + b.1))
}

fn bind_integers<T: Copy + Into<i64> + Sync>(values: &[T], challenge: &F) -> Vec<F> {
    let multiplier = SmallMultiplier::new(challenge);
    values
        .par_chunks_exact(2)
        .with_min_len(PARALLEL)
        .map(|v| {
            let (a, b): (i64, i64) = (v[0].into(), v[1].into());
            F::from(a) + multiplier.multiply(b - a)
        })
        .collect()
}

impl Instance for Reduced<'_> {
    fn round(&mut self, claim: &F, _weight: &F, inverse_weight: &F) -> Option<Vec<F>> {
        match self.roles[self.round] {
            Role::Idle => None,
            // t(X) = S·(1 − X)² with t(0) + t(1) = 2·claim.
            Role::Extension => Some(vec![-claim.double().double(), claim.double()]),
            Role::Own => {
                let (zero, leading) = match &self.values {
                    Values::Small(values) => integer_sums(&self.weight, values),
                    Values::Large(values) => integer_sums(&self.weight, values),
                    Values::Field(values) => field_sums(&self.weight, values),
                };
                let scale = self.extension.square() * inverse_power_of_two(self.left - 1);
                Some(complete_quadratic(claim, inverse_weight, zero * scale, leading * scale))
            }
        }
    }

    fn bind(&mut self, challenge: &F) {
        match self.roles[self.round] {
            Role::Idle => {}
            Role::Extension => {
                self.extension *= F::ONE - challenge;
                self.left -= 1;
            }
            Role::Own => {
                bind(&mut self.weight, challenge);
                let bound = match &mut self.values {
                    Values::Small(values) => bind_integers(values, challenge),
                    Values::Large(values) => bind_integers(values, challenge),
                    Values::Field(values) => {
                        bind(values, challenge);
                        core::mem::take(values)
                    }
                };
                self.values = Values::Field(bound);
                self.left -= 1;
            }
        }
        self.round += 1;
    }
}

/// A model's stacked integers.
fn stack_parameters(layout: &Layout, parameters: &Parameters) -> Vec<i64> {
    let mut stack = vec![0i64; 1 << layout.parameter_variables];
    for block in &layout.parameters {
        let layer = &parameters.layers[block.layer - 1];
        let (values, width) =
            if block.is_bias { (&layer.biases, layer.outputs) } else { (&layer.weights, layer.outputs) };
        let padded = 1usize << block.output_variables;
        for (index, row) in values.chunks(width).enumerate() {
            let start = block.offset + index * padded;
            stack[start..start + row.len()].copy_from_slice(row);
        }
    }
    stack
}

/// Steps 1–3.
pub fn prove(
    witness: &Witness<'_>,
    channel: &mut dyn Channel,
    claims: &[ProvedClaim],
) -> Result<Opening, ProveError> {
    let layout = witness.layout;
    let mut powers = Powers::new(channel.challenge("eta"));
    let coefficients: Vec<F> = claims.iter().map(|_| powers.draw()).collect();
    let rounds = layout.opening_variables;

    let mut instances: Vec<(F, Reduced<'_>)> = Vec::new();
    for opened in Opened::ALL {
        let own = opened.variables(layout);
        // Dataset rows are held without their zero-extension.
        let extension = match opened {
            Opened::Data => layout.data_variables..layout.column_variables,
            _ => 0..0,
        };
        let mut weight = vec![F::ZERO; 1 << (own - extension.len())];
        let mut claim = F::ZERO;
        let mut used = false;
        for (proved, coefficient) in claims.iter().zip(&coefficients) {
            let Some((polynomial, index, variables)) = place(layout, proved.query.target) else { continue };
            if polynomial != opened {
                continue;
            }
            used = true;
            claim += proved.value * coefficient;
            let start = index << variables;
            add_eq(&mut weight[start..start + (1 << variables)], &proved.query.point, coefficient);
        }
        if !used {
            continue;
        }
        let values = match opened {
            Opened::Witness => Values::Small(&witness.stack),
            Opened::Data => Values::Small(&witness.data),
            Opened::Weights => Values::Large(stack_parameters(layout, witness.base)),
            Opened::Update => Values::Large(stack_parameters(layout, witness.update)),
            Opened::Mask => Values::Field(witness.mask.clone()),
            Opened::Exponential => Values::Large(witness.exponential.iter().map(|e| i64::from(*e)).collect()),
        };
        let roles = (0..rounds)
            .map(|round| match round {
                _ if round >= own => Role::Idle,
                _ if extension.contains(&round) => Role::Extension,
                _ => Role::Own,
            })
            .collect();
        instances.push((claim * inverse_power_of_two(own), Reduced::new(weight, values, roles)));
    }
    let weights = vec![one_half(); rounds];
    let challenges = sumcheck::prove(channel, "reduction", &weights, 2, &mut instances)?;
    let ends: Vec<(F, F)> = instances.iter().map(|(_, instance)| instance.end()).collect();
    let value = ends.iter().map(|(weight, value)| *weight * value).sum();
    channel.send_opening_value(value);
    // Every program has claims on the witness and on the dataset rows.
    let (witness_coefficient, data_coefficient) = (ends[0].0, ends[1].0);
    Ok(Opening { point: as_point(&challenges), witness_coefficient, data_coefficient, value })
}
