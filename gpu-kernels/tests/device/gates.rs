//! The sumcheck over a layer's gates.

use ark_ff::Field;
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::kernels::{GateLayer, KernelError};

use crate::statement::{self, terms};
use crate::support::{Draw, Instance, bind};

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
            let mut arrays = statement::arrays(&instance.stack, &layer);
            let mut sum = session.gates(&layer).unwrap();
            for challenge in &challenges {
                assert_eq!(sum.round().unwrap(), statement::round(&arrays));
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
