//! The sumcheck over a layer's gates.

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;
use weightproof_gpu_kernels::kernels::{EqSum, GateLayer, KernelError};

use crate::support::{Draw, Instance, bind};

fn terms(count: usize, variables: usize, draw: &mut Draw) -> EqSum {
    (0..count).map(|_| (draw.element(), draw.elements(variables))).collect()
}

fn table(terms: &EqSum, variables: usize) -> Vec<F> {
    let mut sum = vec![F::ZERO; 1 << variables];
    for (coefficient, point) in terms {
        sum.iter_mut().zip(eq_table(point)).for_each(|(sum, value)| *sum += *coefficient * value);
    }
    sum
}

/// `Σ_y` of the gate at `x` of the line through each pair, as a polynomial's value.
fn value_at(arrays: &[Vec<F>; 5], x: F) -> F {
    let bound = arrays.each_ref().map(|array| bind(array, x, 1));
    (0..bound[0].len()).map(|y| bound[2][y] * (bound[0][y] * bound[3][y] + bound[1][y] * bound[4][y])).sum()
}

#[test]
fn rounds_are_those_of_the_sum() {
    let mut draw = Draw(7);
    let instance = Instance::new(10, 17, &mut draw);
    for (variables, counts) in [(0, [1, 1]), (1, [1, 2]), (2, [0, 1]), (5, [3, 2]), (8, [2, 1])] {
        let size = 1usize << variables;
        let layer = GateLayer {
            signs: 3..3 + size,
            pre_activations: 300..300 + size,
            back_sums: 700..700 + size,
            activation_weight: terms(counts[0], variables, &mut draw),
            error_weight: terms(counts[1], variables, &mut draw),
        };
        let challenges = draw.elements(variables);
        instance.on_devices(|session| {
            let integers = |range: &core::ops::Range<usize>| -> Vec<F> {
                instance.stack[range.clone()].iter().map(|v| F::from(*v)).collect()
            };
            let mut arrays = [
                table(&layer.activation_weight, variables),
                table(&layer.error_weight, variables),
                integers(&layer.signs),
                integers(&layer.pre_activations),
                integers(&layer.back_sums),
            ];
            let mut sum = session.gates(&layer).unwrap();
            for challenge in &challenges {
                let [zero, minus, leading] = sum.round().unwrap();
                assert_eq!([zero, minus], [value_at(&arrays, F::ZERO), value_at(&arrays, -F::ONE)]);
                // The third difference of a cubic is six times its leading coefficient.
                let at = |x: u64| value_at(&arrays, F::from(x));
                let third = at(3) - at(2) * F::from(3) + at(1) * F::from(3) - at(0);
                assert_eq!(leading * F::from(6), third);
                sum.bind(challenge).unwrap();
                arrays = arrays.map(|array| bind(&array, *challenge, 1));
            }
            assert!(matches!(sum.round(), Err(KernelError::Device { .. })), "no coordinate is left");
            assert!(matches!(sum.bind(&F::ONE), Err(KernelError::Device { .. })));
        });
    }
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let mut draw = Draw(8);
    let instance = Instance::new(5, 8, &mut draw);
    let layer = GateLayer {
        signs: 0..4,
        pre_activations: 4..8,
        back_sums: 8..12,
        activation_weight: terms(1, 2, &mut draw),
        error_weight: vec![],
    };
    instance.on_devices(|session| {
        assert!(session.gates(&layer).is_ok());
        let refused = [
            GateLayer { signs: 0..3, ..layer.clone() },
            GateLayer { signs: 0..0, pre_activations: 0..0, back_sums: 0..0, ..layer.clone() },
            GateLayer { back_sums: 29..33, ..layer.clone() },
            GateLayer { activation_weight: vec![(F::ONE, vec![F::ONE; 3])], ..layer.clone() },
        ];
        for layer in refused {
            assert!(matches!(session.gates(&layer), Err(KernelError::Device { .. })), "{layer:?}");
        }
    });
}
