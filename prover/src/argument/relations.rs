//! The proving half of `circuits::argument::relations`.

use weightproof_circuits::argument::relations::{RelationPoint, queries};
use weightproof_circuits::argument::weights::step_coefficients;
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::{eq_table, suffix};

use super::channel::Channel;
use super::polynomial::contract_units;
use super::witness::Witness;
use super::{ProvedClaim, answer};

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
pub fn prove(witness: &Witness<'_>, channel: &mut dyn Channel, claims: &mut Vec<ProvedClaim>) -> Relations {
    let layout = witness.layout;
    let point = RelationPoint {
        step: channel.challenges("r_k", layout.step_variables),
        example: channel.challenges("r_b", layout.example_variables),
        unit: channel.challenges("r_u", layout.unit_point_variables()),
    };
    let mut message = answer(witness, queries(layout, &point), claims);
    let errors: Vec<Vec<F>> = (1..=layout.depth())
        .map(|layer| {
            let weights = eq_table(suffix(&point.unit, layout.unit_variables[layer]));
            contract_units(&witness.error(layer), &weights)
        })
        .collect();
    let coefficients = step_coefficients(witness.program, &point.step);
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
    Relations { point, errors, bias_sums }
}
