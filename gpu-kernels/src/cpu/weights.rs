//! `eq` factors, split so that no array of full size is made of them.

use ark_ff::Field;
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;

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
            // As the low table: loops run within a row.
            (&self.low[0], &self.high[variables])
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
