//! Multilinear polynomials as the prover holds them: small integers until a round binds them.

use rayon::prelude::*;
use weightproof_circuits::accumulate::{SmallSum, inner};
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;

use ark_ff::{AdditiveGroup, Field};

/// Below this many entries a loop is not worth splitting between threads.
pub const PARALLEL: usize = 1 << 12;

/// `eq(point, ·)` as two tables, of the high and the low coordinates.
pub struct SplitTable {
    /// Of the high half.
    pub high: Vec<F>,
    /// Of the low half.
    pub low: Vec<F>,
}

impl SplitTable {
    /// Splits a point in the middle.
    pub fn new(point: &[F]) -> Self {
        let (high, low) = point.split_at(point.len() / 2);
        Self { high: eq_table(high), low: eq_table(low) }
    }
}

/// The value of `integers`, in index order, at a point of as many variables.
pub fn evaluate<T: Copy + Into<i64> + Sync>(integers: &[T], point: &[F]) -> F {
    debug_assert_eq!(integers.len(), 1 << point.len());
    let table = SplitTable::new(point);
    integers
        .par_chunks(table.low.len())
        .with_min_len((PARALLEL / table.low.len()).max(1))
        .zip(&table.high)
        .map(|(row, weight)| inner(row, &table.low) * weight)
        .reduce(|| F::ZERO, |a, b| a + b)
}

/// For a tensor `[rows][units]`: the vector over rows of `Σ_u weights[u]·tensor[row][u]`.
pub fn contract_units<T: Copy + Into<i64> + Sync>(integers: &[T], weights: &[F]) -> Vec<F> {
    integers
        .par_chunks(weights.len())
        .with_min_len((PARALLEL / weights.len()).max(1))
        .map(|row| inner(row, weights))
        .collect()
}

/// For a tensor `[steps][examples][units]`: the `[steps][units]` array of `Σ_b weights(k, b)·tensor[k][b][u]`.
pub fn contract_examples<T: Copy + Into<i64> + Sync>(
    integers: &[T],
    units: usize,
    weights: &[F],
    steps: usize,
) -> Vec<F> {
    let examples = weights.len() / steps;
    let block = 64.min(units);
    let mut out = vec![F::ZERO; steps * units];
    out.par_chunks_mut(block).enumerate().for_each(|(index, chunk)| {
        let (step, first) = (index * block / units, index * block % units);
        let mut sums = vec![SmallSum::default(); chunk.len()];
        for example in 0..examples {
            let row = step * examples + example;
            let start = row * units + first;
            for (sum, integer) in sums.iter_mut().zip(&integers[start..start + chunk.len()]) {
                sum.add(&weights[row], (*integer).into());
            }
        }
        for (out, sum) in chunk.iter_mut().zip(&sums) {
            *out = sum.value();
        }
    });
    out
}

/// `array[y] ← array[2y] + challenge·(array[2y + 1] − array[2y])`, halving the array.
pub fn bind(array: &mut Vec<F>, challenge: &F) {
    let half = array.len() / 2;
    if half < PARALLEL {
        for y in 0..half {
            array[y] = array[2 * y] + *challenge * (array[2 * y + 1] - array[2 * y]);
        }
        array.truncate(half);
    } else {
        *array = array
            .par_chunks_exact(2)
            .with_min_len(PARALLEL)
            .map(|pair| pair[0] + *challenge * (pair[1] - pair[0]))
            .collect();
    }
}

/// Weights `∏ eq(ωᵢ, xᵢ)` over the variables that a round has not reached, factored into two tables.
///
/// Round `i` of `n` needs the weights of the first `n − 1 − i` coordinates (most significant first), so the tables of all
/// prefixes are kept; together they are no larger than twice the largest.
pub struct RoundWeights {
    high: Vec<Vec<F>>,
    low: Vec<Vec<F>>,
}

impl RoundWeights {
    /// For weights given most significant first.
    pub fn new(weights: &[F]) -> Self {
        let middle = weights.len() / 2;
        let (high, low) = weights.split_at(middle);
        Self { high: prefixes(high), low: prefixes(low) }
    }

    /// Tables `(high, low)` over the first `variables` coordinates: the weight of `y` is
    /// `high[y / low.len()]·low[y % low.len()]`.
    pub fn tables(&self, variables: usize) -> (&[F], &[F]) {
        let middle = self.high.len() - 1;
        if variables <= middle {
            (&self.high[variables], &self.low[0])
        } else {
            (&self.high[middle], &self.low[variables - middle])
        }
    }
}

fn prefixes(point: &[F]) -> Vec<Vec<F>> {
    let mut tables = vec![vec![F::ONE]];
    for x in point {
        let last = &tables[tables.len() - 1];
        let mut next = Vec::with_capacity(2 * last.len());
        for value in last {
            let high = *value * x;
            next.push(*value - high);
            next.push(high);
        }
        tables.push(next);
    }
    tables
}
