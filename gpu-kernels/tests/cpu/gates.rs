//! The sumcheck over a layer's gates.

use ark_ff::Field;
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::kernels::GateLayer;

use crate::instance::{Draw, Instance, bind};
use crate::statement::{arrays, round, terms};

#[test]
fn rounds_are_those_of_the_sum() {
    let mut draw = Draw(99);
    let mut instance = Instance::new(15, 8, &mut draw);
    instance.stack.fill_with(|| draw.integer());
    for variables in 1..=13 {
        // Either weight may have no claim: it is zero then, and says nothing about how points are split.
        for counts in [[0, 0], [1, 0], [0, 2], [3, 2]] {
            let size = 1usize << variables;
            let layer = GateLayer {
                signs: 1..1 + size,
                pre_activations: 1 + size..1 + 2 * size,
                back_sums: 5 + 2 * size..5 + 3 * size,
                activation_weight: terms(counts[0], variables, &mut draw),
                error_weight: terms(counts[1], variables, &mut draw),
            };
            let mut challenges = draw.elements(variables);
            // One at which a binding drops a factor.
            challenges[draw.below(variables)] = F::ONE;
            let mut left = arrays(&instance.stack, &layer);
            let mut expected = Vec::with_capacity(variables);
            for challenge in &challenges {
                expected.push(round(&left));
                left = left.map(|array| bind(&array, *challenge, 1));
            }
            instance.on_both(|session| {
                let mut sum = session.gates(&layer).unwrap();
                for (index, (challenge, expected)) in challenges.iter().zip(&expected).enumerate() {
                    let found = sum.round().unwrap();
                    assert_eq!(found, *expected, "{variables} variables, {counts:?} claims, round {index}");
                    sum.bind(challenge).unwrap();
                }
            });
        }
    }
}
