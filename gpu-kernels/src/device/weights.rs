//! Tables of `eq(point, ·)`, split in two so that they stay small: the weight of `y` is
//! `high[y / low.len()]·low[y % low.len()]`.

use ark_ff::Field;
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;

/// `eq(point, ·)` by the tables of its high and of its low coordinates.
pub(super) fn split(point: &[F]) -> (Vec<F>, Vec<F>) {
    let (high, low) = point.split_at(point.len() / 2);
    (eq_table(high), eq_table(low))
}

/// The tables of every prefix of a point, one after another, and where each starts: a sumcheck that binds the last
/// coordinate first needs them all.
pub(super) struct Prefixes {
    /// All tables; together at most four times the largest.
    pub entries: Vec<F>,
    high: Vec<usize>,
    low: Vec<usize>,
}

/// Where the two tables of a prefix are.
#[derive(Clone, Copy)]
pub(super) struct Split {
    /// Start of the high table.
    pub high: usize,
    /// Start of the low table.
    pub low: usize,
    /// Entries of the low table.
    pub low_size: usize,
}

impl Prefixes {
    /// Of a point given most significant coordinate first.
    pub fn new(point: &[F]) -> Self {
        let (high, low) = point.split_at(point.len() / 2);
        let mut entries = Vec::new();
        let mut tables = |point: &[F]| -> Vec<usize> {
            let mut starts = vec![entries.len()];
            let mut last = vec![F::ONE];
            entries.extend_from_slice(&last);
            for x in point {
                last = last.iter().flat_map(|value| [*value - *value * x, *value * x]).collect();
                starts.push(entries.len());
                entries.extend_from_slice(&last);
            }
            starts
        };
        let (high, low) = (tables(high), tables(low));
        Self { entries, high, low }
    }

    /// The tables of the first `variables` coordinates.
    pub fn split(&self, variables: usize) -> Split {
        let middle = self.high.len() - 1;
        let (high, low) = (variables.min(middle), variables.saturating_sub(middle));
        Split { high: self.high[high], low: self.low[low], low_size: 1 << low }
    }
}
