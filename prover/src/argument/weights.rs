//! The proving half of `circuits::argument::weights`.

use ark_ff::AdditiveGroup;
use weightproof_circuits::argument::claims::Virtual;
use weightproof_circuits::argument::weights::{
    batch, end_point, factor_queries, parameter_queries, step_coefficients,
};
use weightproof_circuits::field::{F, inverse_power_of_two, one_half, power_of_two};
use weightproof_circuits::multilinear::suffix;

use super::channel::Channel;
use super::products::Products;
use super::prover::Prover;
use super::relations::Relations;
use super::sumcheck::{self, ProductInstance};
use super::{ProveError, ProvedClaim};

/// Steps 1–3.
pub fn prove(
    prover: &Prover<'_>,
    channel: &mut dyn Channel,
    relation: &Relations,
    product: &Products,
    claims: &mut Vec<ProvedClaim>,
) -> Result<(), ProveError> {
    let (layout, program) = (prover.witness.layout, prover.witness.program);
    let queries = parameter_queries(layout, &relation.point, &product.point);
    let message = prover.answer(queries, claims)?;
    channel.send("parameters", message);
    let batches = batch(layout, channel.challenge("mu"));

    let examples = 1usize << layout.example_variables;
    let rows = 1usize << layout.row_variables();
    // Per-step coefficients, repeated over examples and padded with zero steps.
    let spread = |steps: &[F]| -> Vec<F> {
        let mut out: Vec<F> = steps.iter().flat_map(|c| std::iter::repeat_n(*c, examples)).collect();
        out.resize(rows, F::ZERO);
        out
    };
    let out: Vec<F> = program.coefficients().out.iter().map(|c| F::from(*c)).collect();
    // Arrays 0, 1, 2: C(ρ_k, ·), c_out, C(r_k, ·).
    let mut arrays = vec![
        spread(&step_coefficients(program, &product.point.step)),
        spread(&out),
        spread(&step_coefficients(program, &relation.point.step)),
    ];
    let activation_scale = power_of_two(program.activation_bits() as usize);
    let mut terms: Vec<(F, Vec<usize>)> = Vec::new();
    for (layer, batch) in (1..=layout.depth()).zip(&batches) {
        let inputs = suffix(&product.point.unit, layout.unit_variables[layer - 1]);
        let activation = arrays.len();
        arrays.push(prover.contract_units(Virtual::Activation(layer - 1), inputs)?);
        let error = arrays.len();
        arrays.push(relation.errors[layer - 1].clone());
        terms.push((batch.forward, vec![0, activation, error]));
        terms.push((batch.update, vec![1, activation, error]));
        terms.push((batch.bias, vec![2, error]));
        terms.push((batch.bias_update * activation_scale, vec![1, error]));
        if let Some(backward) = batch.backward {
            let activation = arrays.len();
            arrays.push(product.activations[layer - 2].clone());
            let error = arrays.len();
            let outputs = suffix(&product.point.unit, layout.unit_variables[layer]);
            arrays.push(prover.contract_units(Virtual::Error(layer), outputs)?);
            terms.push((backward, vec![0, activation, error]));
        }
    }
    let sum: F = terms
        .iter()
        .map(|(coefficient, factors)| {
            let total: F = (0..rows).map(|y| factors.iter().map(|f| arrays[*f][y]).product::<F>()).sum();
            total * coefficient
        })
        .sum();
    let claim = sum * inverse_power_of_two(layout.row_variables());
    let weights = vec![one_half(); layout.row_variables()];
    let active = vec![true; weights.len()];
    let mut instances: Vec<(F, ProductInstance)> =
        vec![(claim, ProductInstance::new(arrays, terms, &weights, active))];
    let challenges = sumcheck::prove(channel, "weights", &weights, 3, &mut instances)?;
    let end = end_point(&challenges);
    let queries = factor_queries(layout, program, &relation.point, &product.point, &end);
    let message = prover.answer(queries, claims)?;
    channel.send("weight factors", message);
    Ok(())
}
