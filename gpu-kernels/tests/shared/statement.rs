//! The sum over a layer's gates, from its definition (specs/protocol/gates.md).

use core::ops::Range;

use ark_ff::AdditiveGroup;
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;
use weightproof_gpu_kernels::kernels::{EqSum, GateLayer};

use crate::instance::{Draw, bind};

/// Random coefficients and points.
pub fn terms(count: usize, variables: usize, draw: &mut Draw) -> EqSum {
    (0..count).map(|_| (draw.element(), draw.elements(variables))).collect()
}

/// `E_A, E_Δ, g, Q, P` at every position.
pub fn arrays(stack: &[i32], layer: &GateLayer) -> [Vec<F>; 5] {
    let table = |terms: &EqSum| {
        let mut sum = vec![F::ZERO; layer.signs.len()];
        for (coefficient, point) in terms {
            sum.iter_mut().zip(eq_table(point)).for_each(|(sum, value)| *sum += *coefficient * value);
        }
        sum
    };
    let integers = |range: &Range<usize>| stack[range.clone()].iter().map(|v| F::from(*v)).collect();
    [
        table(&layer.activation_weight),
        table(&layer.error_weight),
        integers(&layer.signs),
        integers(&layer.pre_activations),
        integers(&layer.back_sums),
    ]
}

/// `Σ_y` of the gate at `x` of the line through each pair, as a polynomial's value.
fn value_at(arrays: &[Vec<F>; 5], x: F) -> F {
    let bound = arrays.each_ref().map(|array| bind(array, x, 1));
    (0..bound[0].len()).map(|y| bound[2][y] * (bound[0][y] * bound[3][y] + bound[1][y] * bound[4][y])).sum()
}

/// `[t(0), t(−1), leading coefficient]` of the round that binds the least significant coordinate.
pub fn round(arrays: &[Vec<F>; 5]) -> [F; 3] {
    let at = |x: i64| value_at(arrays, F::from(x));
    let (zero, minus) = (at(0), at(-1));
    // The third difference of a cubic is six times its leading coefficient.
    let third = at(2) - at(1) * F::from(3) + zero * F::from(3) - minus;
    [zero, minus, third / F::from(6)]
}
