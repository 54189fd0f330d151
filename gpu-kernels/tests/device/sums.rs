//! Sums over rows and columns.

use weightproof_circuits::field::F;
use weightproof_gpu_kernels::kernels::{KernelError, Source};

use crate::products::{combined, contracted, stacked};
use crate::support::{Draw, Instance};

/// Every kind of source with its integers.
fn sources(instance: &Instance) -> Vec<(Source, Vec<i64>)> {
    let stack: Vec<i64> = instance.stack.iter().map(|v| i64::from(*v)).collect();
    let mut all = vec![
        (Source::Stack(0..stack.len()), stack.clone()),
        (Source::Stack(9..9 + 60), stack[9..9 + 60].to_vec()),
        (Source::Data, instance.data.iter().map(|v| i64::from(*v)).collect()),
        (Source::Exponential, instance.exponential.iter().map(|v| i64::from(*v)).collect()),
        (
            Source::Gated { signs: 3..3 + 48, values: 200..200 + 48 },
            (0..48).map(|i| stack[3 + i] * stack[200 + i]).collect(),
        ),
        (
            Source::Difference { left: 5..5 + 36, left_shift: 31, right: 100..100 + 36, right_shift: 3 },
            (0..36).map(|i| (stack[5 + i] << 31) - (stack[100 + i] << 3)).collect(),
        ),
    ];
    let stacked = [&instance.base, &instance.update].map(|model| stacked(&instance.layout, model));
    let size = stacked[0].len();
    all.push((Source::Base(0..size), stacked[0].clone()));
    all.push((Source::Base(2..2 + 20), stacked[0][2..2 + 20].to_vec()));
    all.push((Source::Update(0..size), stacked[1].clone()));
    all.push((Source::Update(size - 15..size), stacked[1][size - 15..].to_vec()));
    all
}

#[test]
fn rows_are_combined_by_group() {
    let mut draw = Draw(3);
    let instance = Instance::new(9, 31, &mut draw);
    let weights = draw.elements(512);
    instance.on_devices(|session| {
        for (source, integers) in sources(&instance) {
            for width in (1..=integers.len()).filter(|width| integers.len().is_multiple_of(*width)) {
                let rows = integers.len() / width;
                for groups in [1, 2, 3, rows].into_iter().filter(|groups| rows.is_multiple_of(*groups)) {
                    let expected = combined(&integers, width, groups, &weights[..rows]);
                    let found = session.combine_rows(&source, width, groups, &weights[..rows]).unwrap();
                    assert_eq!(found, expected, "{source:?}, {width} wide, {groups} groups");
                }
            }
        }
    });
}

#[test]
fn rows_are_contracted() {
    let mut draw = Draw(4);
    let instance = Instance::new(9, 31, &mut draw);
    let weights = draw.elements(512);
    instance.on_devices(|session| {
        for (source, integers) in sources(&instance) {
            for width in (1..=integers.len()).filter(|width| integers.len().is_multiple_of(*width)) {
                let expected = contracted(&integers, &weights[..width]);
                let found = session.contract_rows(&source, &weights[..width]).unwrap();
                assert_eq!(found, expected, "{source:?}, {width} wide");
            }
        }
    });
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let mut draw = Draw(5);
    let instance = Instance::new(4, 8, &mut draw);
    let weights = draw.elements(16);
    let refused = |result: Result<Vec<F>, KernelError>, expected: &str| match result {
        Err(KernelError::Device { reason, .. }) => assert!(reason.starts_with(expected), "{reason}"),
        other => panic!("{other:?}"),
    };
    instance.on_devices(|session| {
        let all = Source::Stack(0..16);
        refused(session.combine_rows(&all, 3, 1, &weights), "expected 16 rows of 3");
        refused(session.combine_rows(&all, 1, 3, &weights), "expected 16 rows of 1 in 3 equal groups");
        refused(session.combine_rows(&all, 1, 0, &weights), "expected 16 rows of 1 in 0 equal groups");
        refused(session.combine_rows(&all, usize::MAX, 1, &weights), "expected 16 rows");
        refused(session.contract_rows(&all, &weights[..5]), "expected rows of 5");
        refused(session.contract_rows(&all, &[]), "expected rows of 0");
        refused(session.contract_rows(&Source::Stack(0..17), &weights), "expected a range of 16 positions");
        refused(session.contract_rows(&Source::Base(0..1 << 20), &weights), "expected a range of");
        refused(
            session.contract_rows(&Source::Update(1 << 20..(1 << 20) + 16), &weights),
            "expected a range of",
        );
        refused(
            session.contract_rows(&Source::Gated { signs: 0..3, values: 0..4 }, &weights),
            "expected ranges",
        );
        let shifted = Source::Difference { left: 0..4, left_shift: 32, right: 0..4, right_shift: 0 };
        refused(session.contract_rows(&shifted, &weights), "expected shifts");
    });
}

#[test]
fn a_stack_of_another_size_is_refused() {
    let mut instance = Instance::new(4, 8, &mut Draw(6));
    instance.stack.pop();
    for device in crate::support::devices() {
        let Err(KernelError::Device { reason, .. }) = device.open(instance.tensors()) else {
            panic!("fifteen integers are no stack of sixteen")
        };
        assert_eq!(reason, "expected a stack of 16 integers, found 15");
    }
}

#[test]
fn a_model_of_another_shape_is_refused() {
    let instance = Instance::new(4, 8, &mut Draw(19));
    let mut changed = vec![instance.base.clone(); 4];
    changed[0].layers.pop();
    changed[1].layers[0].outputs = 9;
    changed[2].layers[1].weights.extend([0; 8]);
    changed[3].layers[1].outputs = 0;
    for base in &changed {
        for device in crate::support::devices() {
            let tensors = weightproof_gpu_kernels::kernels::Tensors { base, ..instance.tensors() };
            assert!(matches!(device.open(tensors), Err(KernelError::Device { .. })));
        }
    }
}
