//! Multilinear extensions that have a closed form, and the points they are evaluated at.
//!
//! A point lists its coordinates from the most significant index bit to the least.

use crate::field::{F, Scalar};
use ark_ff::{AdditiveGroup, Field};

/// `eq(a, b) = ∏ (aᵢ·bᵢ + (1 − aᵢ)(1 − bᵢ))`. Points of different lengths are a programmer's mistake.
pub fn eq<S: Scalar>(a: &[S], b: &[S]) -> S {
    debug_assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(S::one(), |product, (x, y)| {
        let xy = x.clone() * y.clone();
        product * (S::one() - x.clone() - y.clone() + xy.clone() + xy)
    })
}

/// `eq` with the bits of an index, most significant first: the weight of a block's prefix.
pub fn eq_index<S: Scalar>(point: &[S], index: usize) -> S {
    let last = point.len();
    point.iter().enumerate().fold(S::one(), |product, (i, x)| {
        let set = (index >> (last - 1 - i)) & 1 == 1;
        product * if set { x.clone() } else { S::one() - x.clone() }
    })
}

/// The extension of `[index < bound]` over `point.len()` variables, for `bound ≤ 2^point.len()`.
///
/// Walking from the top bit, an index is below the bound when it agrees with it down to a set bit and has 0 there.
pub fn less_than<S: Scalar>(point: &[S], bound: usize) -> S {
    if bound >> point.len() != 0 {
        return S::one();
    }
    let last = point.len();
    let mut below = S::zero();
    let mut agree = S::one();
    for (i, x) in point.iter().enumerate() {
        let complement = S::one() - x.clone();
        if (bound >> (last - 1 - i)) & 1 == 1 {
            below = below + agree.clone() * complement;
            agree = agree * x.clone();
        } else {
            agree = agree * complement;
        }
    }
    below
}

/// The extension of `index ↦ index`.
pub fn index_value<S: Scalar>(point: &[S]) -> S {
    point.iter().fold(S::zero(), |sum, x| sum.clone() + sum + x.clone())
}

/// All `2^point.len()` values of `eq(point, ·)`, in index order.
pub fn eq_table(point: &[F]) -> Vec<F> {
    let mut table = Vec::with_capacity(1 << point.len());
    table.push(F::ONE);
    for x in point {
        let length = table.len();
        table.resize(2 * length, F::ZERO);
        for i in (0..length).rev() {
            let high = table[i] * x;
            table[2 * i] = table[i] - high;
            table[2 * i + 1] = high;
        }
    }
    table
}

/// The last `count` coordinates of a point.
pub fn suffix<S: Scalar>(point: &[S], count: usize) -> &[S] {
    &point[point.len() - count..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(length: u64) -> Vec<F> {
        (0..length).map(|i| F::from(i * i + 11) * F::from(0x9e37_79b9_7f4a_7c15u64)).collect()
    }

    #[test]
    fn closed_forms_agree_with_tables() {
        let r = point(5);
        let table = eq_table(&r);
        for bound in 0..=32usize {
            let expected: F = table.iter().take(bound).sum();
            assert_eq!(less_than(&r, bound), expected, "bound {bound}");
        }
        for (index, weight) in table.iter().enumerate() {
            assert_eq!(eq_index(&r, index), *weight);
        }
        let expected: F = table.iter().enumerate().map(|(i, w)| F::from(i as u64) * w).sum();
        assert_eq!(index_value(&r), expected);
    }

    #[test]
    fn empty_points() {
        assert_eq!(less_than::<F>(&[], 1), F::ONE);
        assert_eq!(less_than::<F>(&[], 0), F::ZERO);
        assert_eq!(eq_table(&[]), vec![F::ONE]);
    }
}
