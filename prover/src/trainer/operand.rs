//! A step's activations or errors as the left or right side of an exact product, with the magnitudes that bound it.
use ndarray::Array2;
use rayon::prelude::*;

use super::products::matrix;

/// Fewest entries that are worth a thread of their own.
const SHARED: usize = 1 << 13;

/// Integers as `f64`, one row an example, and what bounds the sums made from them.
pub(super) struct Operand {
    /// `examples × units`; every entry is an integer below `2^53` in magnitude.
    pub values: Array2<f64>,
    /// Largest magnitude in each row.
    pub row_largest: Vec<u64>,
    /// Sum of magnitudes of each row.
    pub row_sum: Vec<u64>,
}

impl Operand {
    /// `value(index)` for the row-major index of each of `rows × columns` entries.
    ///
    /// The caller's values stay below `2^53` in magnitude: activations and errors have at most 16 bits times
    /// `2^(fe−fa)`.
    pub fn new(rows: usize, columns: usize, value: impl Fn(usize) -> i64 + Sync) -> Operand {
        let mut values = vec![0.0; rows * columns];
        let fill = |(row, cells): (usize, &mut [f64])| {
            let (mut largest, mut sum) = (0_u64, 0_u64);
            for (column, cell) in cells.iter_mut().enumerate() {
                let entry = value(row * columns + column);
                let magnitude = entry.unsigned_abs();
                largest = largest.max(magnitude);
                // At most 2^16 columns of magnitudes below 2^47 (a 17-bit difference shifted by at most 14 bits).
                sum += magnitude;
                *cell = entry as f64;
            }
            (largest, sum)
        };
        let rows_of_cells =
            values.par_chunks_mut(columns).enumerate().with_min_len(SHARED / columns.max(1) + 1);
        let (row_largest, row_sum) = rows_of_cells.map(fill).unzip();
        Operand { values: matrix(rows, columns, values), row_largest, row_sum }
    }

    /// `Σ_b` of every column.
    pub fn column_sums(&self) -> Vec<i64> {
        let mut sums = vec![0; self.values.ncols()];
        for row in self.values.outer_iter() {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += *value as i64);
        }
        sums
    }

    /// Largest magnitude of all entries.
    pub fn largest(&self) -> u64 {
        self.row_largest.iter().copied().max().unwrap_or(0)
    }
}

/// Bounds on the magnitudes of a matrix's entries, of its column sums and of its row sums; saturating, so that
/// `u64::MAX` means "unknown".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bounds every entry.
    pub entry: u64,
    /// Bounds `Σ_i |M_io|` for every column `o`.
    pub column: u64,
    /// Bounds `Σ_o |M_io|` for every row `i`.
    pub row: u64,
}

impl Bounds {
    /// Bounds on `activationsᵀ·errors`, and on every partial sum of its entries.
    pub fn of_gradient(activations: &Operand, errors: &Operand) -> Bounds {
        let mut bounds = Bounds::default();
        for example in 0..activations.row_largest.len().min(errors.row_largest.len()) {
            let (largest, sum) = (activations.row_largest[example], activations.row_sum[example]);
            let (error_largest, error_sum) = (errors.row_largest[example], errors.row_sum[example]);
            bounds.entry = bounds.entry.saturating_add(largest.saturating_mul(error_largest));
            bounds.column = bounds.column.saturating_add(sum.saturating_mul(error_largest));
            bounds.row = bounds.row.saturating_add(largest.saturating_mul(error_sum));
        }
        bounds
    }

    /// Bounds on `self + coefficient·other`.
    pub fn plus_multiple(self, coefficient: i64, other: Bounds) -> Bounds {
        let factor = coefficient.unsigned_abs();
        let sum = |own: u64, added: u64| own.saturating_add(factor.saturating_mul(added));
        Bounds {
            entry: sum(self.entry, other.entry),
            column: sum(self.column, other.column),
            row: sum(self.row, other.row),
        }
    }
}
