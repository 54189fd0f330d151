//! Real numbers onto the grid `2^−activation_bits`, and what that costs.
use serde::Serialize;

/// What rounding to the grid did to the feature values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantization {
    /// Largest `|rounded − value|` over the values that were not saturated, in the values' own (standardised) unit.
    pub maximum_error: f64,
    /// Values beyond ±32767 grid units, clamped there.
    pub saturated: u64,
    /// Values in all.
    pub values: u64,
}

impl Quantization {
    /// `⌊x·2^bits + 1/2⌋` (half up, the project's only rounding), clamped to ±32767 and counted.
    ///
    /// `x` is finite; `bits ≤ 15`, so the product is exact in `f64` and its rounding the same on every platform.
    pub fn round(&mut self, x: f64, bits: u32) -> i16 {
        let scale = f64::from(1u32 << bits);
        let limit = f64::from(i16::MAX);
        let grid = half_up(x * scale);
        self.values += 1;
        if grid.abs() > limit {
            self.saturated += 1;
            return if grid > 0.0 { i16::MAX } else { -i16::MAX };
        }
        self.maximum_error = self.maximum_error.max((grid / scale - x).abs());
        // In range by the test above.
        grid as i16
    }

    /// The same for two parts of one data set.
    pub fn and(self, other: Quantization) -> Quantization {
        Quantization {
            maximum_error: self.maximum_error.max(other.maximum_error),
            saturated: self.saturated + other.saturated,
            values: self.values + other.values,
        }
    }
}

/// `⌊x + 1/2⌋` without the error of adding: `0.49999999999999994 + 0.5` is 1 in `f64`.
fn half_up(x: f64) -> f64 {
    let floor = x.floor();
    if x - floor >= 0.5 { floor + 1.0 } else { floor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_up_on_both_sides_of_zero() {
        let mut report = Quantization::default();
        // At 2 bits the grid is a quarter; an eighth is a tie.
        let rounded: Vec<i16> =
            [0.125, -0.125, 0.375, -0.375, 0.124, -0.126].iter().map(|&x| report.round(x, 2)).collect();
        assert_eq!(rounded, [1, 0, 2, -1, 0, -1]);
        assert_eq!((report.maximum_error, report.saturated, report.values), (0.125, 0, 6));
        assert_eq!(report.round(0.499_999_999_999_999_94, 0), 0);
    }

    #[test]
    fn clamps_and_counts_at_the_exact_boundary() {
        let mut report = Quantization::default();
        assert_eq!(report.round(32767.0, 0), 32767);
        assert_eq!(report.round(-32767.0, 0), -32767);
        assert_eq!(report.round(32767.49, 0), 32767);
        assert_eq!(report.saturated, 0);
        assert_eq!(report.round(32767.5, 0), 32767);
        assert_eq!(report.round(-32767.6, 0), -32767);
        assert_eq!(report.round(f64::MAX, 8), 32767);
        assert_eq!(report.saturated, 3);
        assert!(report.maximum_error < 0.5);
    }
}
