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

/// The extension over `j` of `values[j]`, at most `2^point.len()` of them.
pub fn extend_integers<S: Scalar>(values: &[i64], point: &[S]) -> S {
    values
        .iter()
        .enumerate()
        .fold(S::zero(), |sum, (j, value)| sum + S::constant(F::from(*value)) * eq_index(point, j))
}

/// Row `row`, extended, of the matrix `M[k][j] = diagonals[k − j − 1]` for `j < k < K`, zero elsewhere: its entries at
/// `j < K = diagonals.len()`, one product for each nonzero entry of `M`.
pub fn extend_rows<S: Scalar>(diagonals: &[i64], row: &[S]) -> Vec<S> {
    let weights: Vec<S> = (0..diagonals.len()).map(|k| eq_index(row, k)).collect();
    let column = |j: usize| {
        weights.iter().skip(j + 1).zip(diagonals).fold(S::zero(), |sum, (weight, entry)| match entry {
            0 => sum,
            _ => sum + weight.clone() * S::constant(F::from(*entry)),
        })
    };
    (0..diagonals.len()).map(column).collect()
}

/// The extension of the matrix of [`extend_rows`] in both indices, entry by entry.
pub fn extend_diagonals<S: Scalar>(diagonals: &[i64], row: &[S], column: &[S]) -> S {
    extend_rows(diagonals, row)
        .into_iter()
        .enumerate()
        .fold(S::zero(), |sum, (j, value)| sum + value * eq_index(column, j))
}

/// [`extend_diagonals`] of field elements in `K·log K` products instead of `K²`. The points have one length.
///
/// In a square of size `2h` at distance `d` from the diagonal, the top bits of `k` and `j` choose one of four squares of
/// size `h`, at distances `d`, `d ± h`: on the diagonals, a bit of both points is a fold of each with its neighbours `h`
/// away. `[0, K)` is cut into the rows of aligned blocks, one for each bit of `K`; left of a block there are only
/// whole squares of its size.
pub fn fold_diagonals(diagonals: &[i64], row: &[F], column: &[F]) -> F {
    debug_assert_eq!(row.len(), column.len());
    let count = diagonals.len();
    let entries: Vec<F> = core::iter::once(F::ZERO).chain(diagonals.iter().map(|c| F::from(*c))).collect();
    let mut sum = F::ZERO;
    for bits in (0..=row.len()).filter(|bits| count >> bits & 1 == 1) {
        // Rows `block·size ..` of `size`.
        let (size, block) = (1usize << bits, (count >> bits) - 1);
        let (row_prefix, row) = row.split_at(row.len() - bits);
        let (column_prefix, column) = column.split_at(column.len() - bits);
        // Entry `size − 1 + d` is for k − j = d inside a square, summed over the squares of these rows.
        let mut distances = vec![F::ZERO; 2 * size - 1];
        for left in 0..=block {
            let weight = eq_index(column_prefix, left);
            let nearest = (block - left) * size;
            for (at, distance) in distances.iter_mut().enumerate() {
                // Nothing above the diagonal.
                if let Some(entry) = (nearest + at).checked_sub(size - 1).and_then(|d| entries.get(d)) {
                    *distance += weight * entry;
                }
            }
        }
        for (k, j) in row.iter().zip(column) {
            let half = distances.len().div_ceil(4);
            let (equal, below, above) =
                (*k * j + (F::ONE - k) * (F::ONE - j), *k * (F::ONE - j), (F::ONE - k) * j);
            distances = (0..2 * half - 1)
                .map(|at| {
                    above * distances[at] + equal * distances[at + half] + below * distances[at + 2 * half]
                })
                .collect();
        }
        sum += eq_index(row_prefix, block) * distances[0];
    }
    sum
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
    fn folded_diagonals_are_the_matrix() {
        for count in (1..=70usize).chain([127, 128, 200]) {
            let variables = count.next_power_of_two().trailing_zeros() as u64;
            let diagonals: Vec<i64> = (0..count as i64).map(|n| (n * n * 7919 + 3) << (n % 20)).collect();
            let (row, mut column) = (point(variables), point(variables + 1));
            column.remove(0);
            let (rows, columns) = (eq_table(&row), eq_table(&column));
            let mut expected = F::ZERO;
            for k in 0..count {
                for j in 0..k {
                    expected += rows[k] * columns[j] * F::from(diagonals[k - j - 1]);
                }
            }
            assert_eq!(extend_diagonals(&diagonals, &row, &column), expected, "{count}");
            assert_eq!(fold_diagonals(&diagonals, &row, &column), expected, "{count}");
        }
    }

    #[test]
    fn empty_points() {
        assert_eq!(less_than::<F>(&[], 1), F::ONE);
        assert_eq!(less_than::<F>(&[], 0), F::ZERO);
        assert_eq!(eq_table(&[]), vec![F::ONE]);
    }
}
