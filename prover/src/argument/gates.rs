//! The proving half of `circuits::argument::gates`.

use ark_ff::AdditiveGroup;
use rayon::prelude::*;
use weightproof_circuits::algebra::Powers;
use weightproof_circuits::argument::claims::{Query, Target};
use weightproof_circuits::argument::gates::{is_needed, queries, unit_rounds};
use weightproof_circuits::field::{F, inverse_power_of_two, one_half, power_of_two};
use weightproof_circuits::layout::Tensor;
use weightproof_circuits::multilinear::{eq_table, suffix};
use weightproof_gpu_kernels::kernels::{EqSum, GateLayer};

use super::channel::Channel;
use super::prover::Prover;
use super::relations::Relations;
use super::sumcheck::{self, GateInstance, ProductInstance, Summand};
use super::{ProveError, ProvedClaim, is_gated};

fn field_array(integers: &[i32]) -> Vec<F> {
    integers.par_iter().with_min_len(1 << 12).map(|v| F::from(*v)).collect()
}

/// Steps 1–3.
pub fn prove(
    prover: &Prover<'_>,
    channel: &mut dyn Channel,
    relation: &Relations,
    claims: &mut Vec<ProvedClaim>,
) -> Result<(), ProveError> {
    let witness = prover.witness;
    let layout = witness.layout;
    if !is_needed(layout) {
        return Ok(());
    }
    let mut powers = Powers::new(channel.challenge("theta"));
    let gated: Vec<(F, F, Query<F>)> =
        claims.extract_if(.., |c| is_gated(c)).map(|c| (powers.draw(), c.value, c.query)).collect();
    let hot_coefficient = powers.draw();
    let division_coefficient = powers.draw();
    let rows = layout.row_variables();
    let rounds = unit_rounds(layout) + rows;
    let active = |variables: usize| -> Vec<bool> {
        (0..rounds).map(|i| i < variables || i >= unit_rounds(layout)).collect()
    };

    let mut instances: Vec<(F, Summand)> = Vec::new();
    if layout.has_signs() {
        for layer in 1..layout.depth() {
            let variables = rows + layout.unit_variables[layer];
            let mut claim = F::ZERO;
            let mut weight = |target: Target| -> EqSum {
                let gated = gated.iter().filter(|g| g.2.target == target);
                gated
                    .map(|(coefficient, value, query)| {
                        claim += *coefficient * value;
                        (*coefficient, query.point.clone())
                    })
                    .collect()
            };
            let gates = prover.session().gates(&GateLayer {
                activation_weight: weight(Target::GatedActivation(layer)),
                error_weight: weight(Target::GatedError(layer)),
                signs: witness.range(Tensor::Sign(layer)),
                pre_activations: witness.range(Tensor::PreActivation(layer)),
                back_sums: witness.range(Tensor::BackSum(layer)),
            })?;
            let instance = GateInstance::new(gates, variables, active(layout.unit_variables[layer]));
            instances.push((claim * inverse_power_of_two(variables), Summand::Gate(instance)));
        }
    }
    if layout.is_softmax() {
        let classes = 1usize << layout.label_variables();
        let variables = rows + layout.label_variables();
        let row_table = eq_table(&relation.point.rows());
        let class_table = eq_table(suffix(&relation.point.unit, layout.label_variables()));
        let spread = |values: &[F]| -> Vec<F> {
            values.iter().flat_map(|v| std::iter::repeat_n(*v, classes)).collect()
        };
        // The mean of e over classes, T/2^ℓ.
        let mean_scale = inverse_power_of_two(layout.label_variables());
        let means: Vec<F> = witness
            .tensor(Tensor::Exponential)
            .chunks(classes)
            .map(|row| row.iter().map(|e| F::from(*e)).sum::<F>() * mean_scale)
            .collect();
        let division_weights: Vec<F> =
            row_table.iter().flat_map(|r| class_table.iter().map(move |c| *r * c)).collect();
        let arrays = vec![
            spread(&row_table),
            field_array(witness.tensor(Tensor::Hot)),
            field_array(witness.tensor(Tensor::Distance)),
            division_weights,
            spread(&means),
            field_array(witness.tensor(Tensor::Probability)),
        ];
        let total = power_of_two(layout.label_variables());
        let terms = vec![(hot_coefficient, vec![0, 1, 2]), (division_coefficient * total, vec![3, 4, 5])];
        let claim: F = (0..arrays[0].len())
            .map(|y| terms.iter().map(|(c, f)| f.iter().fold(*c, |p, i| p * arrays[*i][y])).sum::<F>())
            .sum();
        let instance = ProductInstance::new(
            arrays,
            terms,
            &vec![one_half(); variables],
            active(layout.label_variables()),
        );
        instances.push((claim * inverse_power_of_two(variables), Summand::Product(instance)));
    }
    let challenges = sumcheck::prove(channel, "gates", &vec![one_half(); rounds], 3, &mut instances)?;
    let message = prover.answer(queries(layout, &challenges), claims)?;
    channel.send("gate factors", message);
    Ok(())
}
