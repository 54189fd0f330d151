//! Sums over rows and columns.

use core::ops::Range;

use weightproof_circuits::parameters::Parameters;
use weightproof_gpu_kernels::kernels::Source;

use crate::instance::{Draw, Instance};
use crate::products::{combined, contracted, stacked};

/// Positions of the stack that sources read: a number with many divisors.
const SIZE: usize = 6720;

/// Clamps a model to 32 bits: it is kept in 32 bits then.
fn narrow(model: &mut Parameters) {
    for layer in &mut model.layers {
        for value in layer.weights.iter_mut().chain(&mut layer.biases) {
            *value = (*value).clamp(i32::MIN.into(), i32::MAX.into());
        }
    }
}

/// A stack of magnitudes up to `2^bits`, the largest ones often, and two models: one of 64 bits and one of 32.
fn instance(bits: u32, draw: &mut Draw) -> Instance {
    let mut instance = Instance::new(13, 8, draw);
    let bound = 1i64 << bits;
    instance.stack.fill_with(|| match draw.below(4) {
        0 => (bound - 1) as i32,
        1 => (-bound) as i32,
        _ => draw.signed(bound - 1) as i32,
    });
    narrow(&mut instance.update);
    instance
}

/// Every kind of source with its integers.
fn sources(instance: &Instance) -> Vec<(Source, Vec<i64>)> {
    let stack = |range: Range<usize>| instance.stack[range].iter().map(|v| i64::from(*v));
    let (left, right) = (5..5 + SIZE / 2, 5 + SIZE / 2..5 + SIZE);
    let difference = |left_shift: u32, right_shift: u32| {
        let source = Source::Difference { left: left.clone(), left_shift, right: right.clone(), right_shift };
        let pairs = stack(left.clone()).zip(stack(right.clone()));
        (source, pairs.map(|(l, r)| (l << left_shift) - (r << right_shift)).collect())
    };
    let model = |model: &Parameters| stacked(&instance.layout, model);
    let (base, update) = (model(&instance.base), model(&instance.update));
    vec![
        (Source::Stack(9..9 + SIZE), stack(9..9 + SIZE).collect()),
        (
            Source::Gated { signs: left.clone(), values: right.clone() },
            stack(left.clone()).zip(stack(right.clone())).map(|(sign, value)| sign * value).collect(),
        ),
        difference(0, 0),
        difference(31, 31),
        (Source::Data, instance.data.iter().map(|v| i64::from(*v)).collect()),
        (Source::Exponential, instance.exponential.iter().map(|v| i64::from(*v)).collect()),
        (Source::Base(0..base.len()), base),
        (Source::Update(0..update.len()), update),
    ]
}

/// Widths that divide `size`: one column, columns that do and do not fill the chunks of sixteen that sums are kept in,
/// and one row.
fn widths(size: usize) -> impl Iterator<Item = usize> {
    let widths = [1, 7, 16, 35, 120, 480].into_iter().filter(move |width| *width < size);
    widths.chain([size]).filter(move |width| size.is_multiple_of(*width))
}

fn check(instance: &Instance, draw: &mut Draw) {
    let weights = draw.elements(SIZE);
    for (source, integers) in sources(instance) {
        for width in widths(integers.len()) {
            let rows = integers.len() / width;
            for groups in [1, 2, 7, rows].into_iter().filter(|groups| rows.is_multiple_of(*groups)) {
                let weights = &weights[..rows];
                let expected = combined(&integers, width, groups, weights);
                instance.on_both(|session| {
                    let found = session.combine_rows(&source, width, groups, weights).unwrap();
                    assert!(found == expected, "{source:?}, {width} wide, {groups} groups");
                });
            }
            let expected = contracted(&integers, &weights[..width]);
            instance.on_both(|session| {
                let found = session.contract_rows(&source, &weights[..width]).unwrap();
                assert!(found == expected, "{source:?}, {width} wide");
            });
        }
    }
}

#[test]
fn sums_are_those_of_the_integers() {
    let mut draw = Draw(3);
    // Products of integers of up to 15 bits fit 32. Sums of limbs have room for 2^34, looked at once every 64 rows: 27 bits
    // fill it in two looks, 28 in one, and 29 do not fit. 31 has the extremes of 32-bit integers: products and differences
    // leave 32 bits.
    for bits in [8, 15, 17, 27, 28, 29, 31] {
        check(&instance(bits, &mut draw), &mut draw);
    }
}

#[test]
fn one_value_may_leave_32_bits() {
    let mut draw = Draw(4);
    for (last, sign) in [(i32::MAX, 2), (i32::MIN, -1), (i32::MIN, 2)] {
        let mut instance = instance(8, &mut draw);
        // The last pair of the products and of the differences: a product leaves 32 bits, or both do.
        (instance.stack[4 + SIZE / 2], instance.stack[4 + SIZE]) = (sign, last);
        check(&instance, &mut draw);
    }
}
