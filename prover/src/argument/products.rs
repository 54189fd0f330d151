//! The proving half of `circuits::argument::products`.

use ark_ff::AdditiveGroup;
use weightproof_circuits::algebra::Powers;
use weightproof_circuits::argument::claims::Virtual;
use weightproof_circuits::argument::products::{ProductPoint, end_point, queries, round_weights};
use weightproof_circuits::field::{F, inverse_power_of_two, one_half};
use weightproof_circuits::multilinear::{eq_table, suffix};
use weightproof_gpu_kernels::kernels::Source;

use super::channel::Channel;
use super::prover::Prover;
use super::relations::Relations;
use super::sumcheck::{self, ProductInstance};
use super::witness::Witness;
use super::{ProveError, ProvedClaim};

use rayon::prelude::*;

/// What later pieces need of this one.
pub struct Products {
    /// `(ρ_k, ρ_x)`.
    pub point: ProductPoint<F>,
    /// `A_l(j, b, r_u)` for every padded row, at `l − 1`, for hidden layers.
    pub activations: Vec<Vec<F>>,
}

/// `[k][x]`: `W⁽ᵏ⁾` with one axis contracted, from `W⁰` likewise and `H_j(x) = Σ_b factor(j, b)·tensor(j, b, x)`.
fn contracted_weights(witness: &Witness<'_>, base: &[F], gradients: &[F], width: usize) -> Vec<F> {
    let steps = 1usize << witness.layout.step_variables;
    let mut out = vec![F::ZERO; steps * width];
    let coefficients = witness.program.coefficients();
    out.par_chunks_mut(width).enumerate().take(witness.layout.steps).for_each(|(k, row)| {
        row[..base.len()].copy_from_slice(base);
        for (j, c) in coefficients.row(k).enumerate() {
            if c == 0 {
                continue;
            }
            let c = F::from(c);
            for (out, gradient) in row.iter_mut().zip(&gradients[j * width..]) {
                *out -= c * gradient;
            }
        }
    });
    out
}

/// Steps 1–3.
pub fn prove(
    prover: &Prover<'_>,
    channel: &mut dyn Channel,
    relation: &Relations,
    claims: &mut Vec<ProvedClaim>,
) -> Result<Products, ProveError> {
    let witness = prover.witness;
    let layout = witness.layout;
    let depth = layout.depth();
    let steps = 1usize << layout.step_variables;
    let example_weights = eq_table(&relation.point.example);
    // eq(r_b, b), the same for every step.
    let row_weights: Vec<F> = (0..steps).flat_map(|_| example_weights.iter().copied()).collect();
    let mut powers = Powers::new(channel.challenge("lambda"));
    let session = prover.session();
    let weights_of = |layer: usize| Source::Base(witness.parameter_range(layer, false));
    let unit_table = |layer: usize| eq_table(suffix(&relation.point.unit, layout.unit_variables[layer]));

    let mut pairs: Vec<(Vec<F>, Vec<F>, usize)> = Vec::new();
    for layer in 1..=depth {
        let width = 1usize << layout.unit_variables[layer - 1];
        let activation = prover.source(Virtual::Activation(layer - 1));
        let by_step = |weights: &[F]| session.combine_rows(&activation, width, steps, weights);
        let gradients = by_step(&relation.errors[layer - 1])?;
        let base = session.contract_rows(&weights_of(layer), &unit_table(layer))?;
        pairs.push((
            by_step(&row_weights)?,
            contracted_weights(witness, &base, &gradients, width),
            layout.unit_variables[layer - 1],
        ));
    }
    let mut activations = Vec::new();
    for layer in 2..=depth {
        let width = 1usize << layout.unit_variables[layer];
        let error = prover.source(Virtual::Error(layer));
        let by_step = |weights: &[F]| session.combine_rows(&error, width, steps, weights);
        let activation =
            session.contract_rows(&prover.source(Virtual::Activation(layer - 1)), &unit_table(layer - 1))?;
        let gradients = by_step(&activation)?;
        let base = session.combine_rows(&weights_of(layer), width, 1, &unit_table(layer - 1))?;
        pairs.push((
            by_step(&row_weights)?,
            contracted_weights(witness, &base, &gradients, width),
            layout.unit_variables[layer],
        ));
        activations.push(activation);
    }

    let weights = round_weights(layout, &relation.point);
    let step_table = eq_table(&relation.point.step);
    let mut ends: Vec<Vec<F>> = Vec::new();
    let mut instances: Vec<(F, ProductInstance)> = Vec::new();
    for (factor, weight, variables) in pairs {
        let coefficient = powers.draw();
        let width = 1usize << variables;
        let sum = factor
            .chunks(width)
            .zip(weight.chunks(width))
            .zip(&step_table)
            .fold(F::ZERO, |sum, ((a, w), e)| sum + a.iter().zip(w).map(|(a, w)| *a * w).sum::<F>() * e);
        let claim = coefficient * sum * inverse_power_of_two(variables);
        let mut own = relation.point.step.clone();
        own.extend(vec![one_half(); variables]);
        let active = (0..weights.len()).map(|i| i < variables || i >= layout.widest).collect();
        ends.push(weight.clone());
        instances.push((
            claim,
            ProductInstance::new(vec![factor, weight], vec![(coefficient, vec![0, 1])], &own, active),
        ));
    }
    let challenges = sumcheck::prove(channel, "products", &weights, 2, &mut instances)?;
    let point = end_point(layout, &challenges);
    let mut message = prover.answer(queries(layout, witness.program, &relation.point, &point), claims)?;
    let step_table = eq_table(&point.step);
    message.extend(ends.iter().map(|weight| {
        let width = weight.len() / steps;
        let unit = eq_table(suffix(&point.unit, width.trailing_zeros() as usize));
        weight
            .chunks(width)
            .zip(&step_table)
            .fold(F::ZERO, |sum, (row, e)| sum + row.iter().zip(&unit).map(|(w, u)| *w * u).sum::<F>() * e)
    }));
    channel.send("product factors", message);
    Ok(Products { point, activations })
}
