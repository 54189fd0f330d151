//! The exact arithmetic: what one contribution's integers are (specs/protocol/arithmetic.md).
//!
//! Tensors are unpadded, row-major `[step][example][unit]`, flattened. [`run`] is the slow, obvious meaning in big
//! integers, [`check`] is the same as a plain predicate, equation by equation: the oracle by which the fast trainer and
//! the argument are judged.
mod exponential;
mod reference;
mod relation;

use std::fmt;

pub use exponential::{EXPONENTIAL_BITS, EXPONENTIAL_ENTRIES, exp_table};
pub use reference::run;
pub use relation::{Equation, RelationViolation, check};

use crate::program::{Loss, Program};

/// One layer's committed integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerTrace {
    /// Rounded pre-activations `Q`, `K·B·n_l`.
    pub q: Vec<i16>,
    /// Remainders `R` of the forward rounding, `0 ≤ R < 2^fw`.
    pub r: Vec<u64>,
    /// Rounded back-propagated sums `P` (hidden layers only, else empty), `K·B·n_l`.
    pub p: Vec<i16>,
    /// Remainders `S` of the backward rounding (hidden layers only).
    pub s: Vec<u64>,
}

/// The softmax cross-entropy witness; `kb` index = `step·B + example`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoftmaxTrace {
    /// Maximum logit a row, `K·B`.
    pub max: Vec<i16>,
    /// One-hot choice of the maximum (the first of equal ones), `K·B·C`.
    pub hot: Vec<u8>,
    /// `d = max − Q`, `K·B·C`.
    pub d: Vec<u16>,
    /// `e = EXP[d]`, `K·B·C`.
    pub e: Vec<u16>,
    /// `p`, `K·B·C`.
    pub p: Vec<i16>,
    /// Division remainder `ρ = 2^(fe+1)·e + T − 2T·p`, `K·B·C`.
    pub rho: Vec<u64>,
    /// `2T − 1 − ρ`, `K·B·C`.
    pub rho_complement: Vec<u64>,
}

/// Everything a contribution's integer run computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Inputs `X`, `K·B·n_0`.
    pub x: Vec<i16>,
    /// Labels `Y`, `K·B·C`: bits (softmax) or values at scale `2^fa` (squared error).
    pub y: Vec<i16>,
    /// Layers `1..=L` at index `l − 1`.
    pub layers: Vec<LayerTrace>,
    /// Present for softmax cross-entropy.
    pub softmax: Option<SoftmaxTrace>,
}

/// The rounding of the whole protocol, half up: `⌊(x + 2^(s−1)) / 2^s⌋` and the remainder `R`, so that
/// `x + 2^(s−1) = 2^s·Q + R` with `0 ≤ R < 2^s`.
///
/// Exact for every `x`; `s` must be 1 to 63.
pub fn round_shift(x: i128, s: u32) -> (i128, u64) {
    debug_assert!((1..64).contains(&s), "a shift of 1 to 63, found {s}");
    // Split first, so that adding the half cannot overflow.
    let low = (x & ((1 << s) - 1)) + (1 << (s - 1));
    // `low` is below 2^(s+1).
    ((x >> s) + (low >> s), (low & ((1 << s) - 1)) as u64)
}

/// A quantity that must stay in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// A rounded pre-activation `Q`.
    PreActivation,
    /// A rounded back-propagated sum `P`.
    BackPropagated,
    /// An entry of the update `U`.
    Update,
}

/// A value leaves its range: these weights and examples have no witness, and training stops before proving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeError {
    /// Which quantity.
    pub what: Quantity,
    /// Layer, from 1 to the depth.
    pub layer: usize,
    /// Step, from 0; 0 for an update.
    pub step: usize,
    /// Example within the batch, from 0; 0 for an update.
    pub example: usize,
    /// `|value|`, at the quantity's scale.
    pub magnitude: u128,
    /// The largest magnitude allowed on that side of zero.
    pub limit: u128,
}

impl RangeError {
    /// `value` as 16 bits, or the error that says where it was too large.
    ///
    /// # Errors
    /// When the value does not fit.
    pub fn narrow(
        what: Quantity,
        layer: usize,
        step: usize,
        example: usize,
        value: i128,
    ) -> Result<i16, Self> {
        i16::try_from(value).map_err(|_| Self {
            what,
            layer,
            step,
            example,
            magnitude: value.unsigned_abs(),
            limit: if value < 0 { 1 << 15 } else { (1 << 15) - 1 },
        })
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, layer, step, example, magnitude, limit } = self;
        match what {
            Quantity::PreActivation => write!(
                formatter,
                "step {step}, example {example}, layer {layer}: expected a pre-activation of magnitude at most {limit}, \
                 found {magnitude}; standardise the inputs, lower the learning rate, or use fewer activation_bits"
            ),
            Quantity::BackPropagated => write!(
                formatter,
                "step {step}, example {example}, layer {layer}: expected a back-propagated error of magnitude at most \
                 {limit}, found {magnitude}; lower the learning rate, or use fewer error_bits"
            ),
            Quantity::Update => write!(
                formatter,
                "layer {layer}: expected an update of magnitude at most {limit}, found {magnitude}; lower the learning \
                 rate, or use fewer weight_bits"
            ),
        }
    }
}

impl std::error::Error for RangeError {}

/// Whether labels are what the program's loss takes: for softmax, bits with one set in each row.
///
/// `y` is `rows·C` long.
pub fn labels_are_valid(program: &Program, y: &[i16]) -> bool {
    if program.loss() == Loss::SquaredError {
        return true;
    }
    y.chunks(program.outputs()).all(|row| {
        row.iter().all(|bit| (0..=1).contains(bit)) && row.iter().map(|bit| i32::from(*bit)).sum::<i32>() == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounding_is_half_up_everywhere_small() {
        for s in 1..=6u32 {
            for x in -400i128..=400 {
                let (quotient, remainder) = round_shift(x, s);
                let unit = 1i128 << s;
                assert_eq!(x + unit / 2, unit * quotient + i128::from(remainder));
                assert!(i128::from(remainder) < unit);
                // Half up: the nearest, and of two equally near the larger.
                let distance = (unit * quotient - x).abs();
                assert!(2 * distance <= unit, "{x} {s}");
                if 2 * distance == unit {
                    assert!(unit * quotient > x, "the tie {x} / {unit} goes up");
                    assert_eq!(remainder, 0);
                }
            }
        }
        assert_eq!([-3, -1, 1, 3].map(|x| round_shift(x, 1).0), [-1, 0, 1, 2]);
    }

    #[test]
    fn rounding_holds_at_the_extremes() {
        assert_eq!(round_shift(i128::MAX, 40), ((i128::MAX >> 40) + 1, (1 << 39) - 1));
        assert_eq!(round_shift(i128::MIN, 40), (i128::MIN >> 40, 1 << 39));
        assert_eq!(round_shift(i128::MIN, 63), (i128::MIN >> 63, 1 << 62));
    }

    #[test]
    fn sixteen_bits_are_sixteen_bits() {
        let narrow = |value| RangeError::narrow(Quantity::PreActivation, 2, 3, 7, value);
        assert_eq!(narrow(32_767), Ok(i16::MAX));
        assert_eq!(narrow(-32_768), Ok(i16::MIN));
        let error = narrow(32_768).unwrap_err();
        assert_eq!((error.magnitude, error.limit), (32_768, 32_767));
        let error = narrow(-32_769).unwrap_err();
        assert_eq!((error.magnitude, error.limit), (32_769, 32_768));
        assert!(error.to_string().starts_with("step 3, example 7, layer 2: expected a pre-activation"));
        assert_eq!(narrow(i128::MIN).unwrap_err().magnitude, 1 << 127);
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(512))]
        #[test]
        fn rounding_divides(x in any::<i128>(), shrink in 0u32..100, s in 1u32..64) {
            let x = x >> (shrink + 2);
            let (quotient, remainder) = round_shift(x, s);
            prop_assert_eq!(x + (1i128 << (s - 1)), (quotient << s) + i128::from(remainder));
            prop_assert!(remainder < 1 << s);
        }
    }
}
