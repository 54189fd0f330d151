//! The proving half of `circuits::argument::relations`.

use weightproof_circuits::argument::claims::Virtual;
use weightproof_circuits::argument::relations::{RelationPoint, queries};
use weightproof_circuits::argument::weights::step_coefficients;
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::suffix;

use super::channel::Channel;
use super::prover::Prover;
use super::{ProveError, ProvedClaim};

use ark_ff::AdditiveGroup;

/// What later pieces need of this one.
pub struct Relations {
    /// `r`.
    pub point: RelationPoint<F>,
    /// `Δ_l(j, b, r_u)` for every padded row, at `l − 1`.
    pub errors: Vec<Vec<F>>,
    /// `N_l` at `l − 1`.
    pub bias_sums: Vec<F>,
}

/// Steps 1 and 2.
pub fn prove(
    prover: &Prover<'_>,
    channel: &mut dyn Channel,
    claims: &mut Vec<ProvedClaim>,
) -> Result<Relations, ProveError> {
    let (layout, program) = (prover.witness.layout, prover.witness.program);
    let point = RelationPoint {
        step: channel.challenges("r_k", layout.step_variables),
        example: channel.challenges("r_b", layout.example_variables),
        unit: channel.challenges("r_u", layout.unit_point_variables()),
    };
    let mut message = prover.answer(queries(layout, &point), claims)?;
    let mut errors = Vec::with_capacity(layout.depth());
    for layer in 1..=layout.depth() {
        let units = suffix(&point.unit, layout.unit_variables[layer]);
        errors.push(prover.contract_units(Virtual::Error(layer), units)?);
    }
    let coefficients = step_coefficients(program, &point.step);
    let examples = 1usize << layout.example_variables;
    let bias_sums: Vec<F> = errors
        .iter()
        .map(|rows| {
            rows.chunks(examples)
                .zip(&coefficients)
                .fold(F::ZERO, |sum, (step, coefficient)| sum + step.iter().sum::<F>() * coefficient)
        })
        .collect();
    message.extend_from_slice(&bias_sums);
    channel.send("relations", message);
    Ok(Relations { point, errors, bias_sums })
}
