//! Exact decimals: `±digits·10^exponent`, never through a float.
//!
//! A program's rates are part of what is proved, so `0.1` means one tenth and nothing else. A [`Decimal`] is
//! canonical (no trailing zero in `digits`, zero is `+0·10^0`), so equal values are equal bytes.
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use num_bigint::BigInt;

/// Most significant digits of a [`Decimal`].
pub const MAXIMUM_DIGITS: u32 = 18;
/// Largest magnitude of the exponent of a [`Decimal`], in canonical form.
pub const MAXIMUM_EXPONENT: i16 = 18;
/// Longest text that is looked at.
const MAXIMUM_TEXT: usize = 100;

/// An exact decimal `±digits·10^exponent` in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// Below `10^MAXIMUM_DIGITS`, no trailing zero unless it is zero.
    digits: u64,
    /// Within `±MAXIMUM_EXPONENT`; zero when `digits` is.
    exponent: i16,
}

/// Why a text or a triple is no [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a plain decimal number.
    #[error("expected a decimal number such as 0.125 or 1e-3, found `{0}`")]
    Syntax(String),
    /// More digits than are kept.
    #[error("expected at most {MAXIMUM_DIGITS} significant digits, found `{0}`")]
    Digits(String),
    /// Too large or too small.
    #[error("expected a power of ten within ±{MAXIMUM_EXPONENT}, found `{0}`")]
    Exponent(String),
}

impl Decimal {
    /// The number zero.
    pub const ZERO: Self = Self { negative: false, digits: 0, exponent: 0 };
    /// The number one.
    pub const ONE: Self = Self { negative: false, digits: 1, exponent: 0 };

    /// `±digits·10^exponent`, brought to canonical form.
    ///
    /// # Errors
    /// When the canonical form has too many digits or too large an exponent.
    pub fn new(negative: bool, digits: u64, exponent: i32) -> Result<Self, DecimalError> {
        let shown = || format!("{}{digits}e{exponent}", if negative { "-" } else { "" });
        if digits == 0 {
            return Ok(Self::ZERO);
        }
        let (mut reduced, mut power) = (digits, i64::from(exponent));
        while reduced % 10 == 0 {
            reduced /= 10;
            power += 1;
        }
        if reduced >= 10u64.pow(MAXIMUM_DIGITS) {
            return Err(DecimalError::Digits(shown()));
        }
        match i16::try_from(power) {
            Ok(exponent) if exponent.abs() <= MAXIMUM_EXPONENT => {
                Ok(Self { negative, digits: reduced, exponent })
            }
            _ => Err(DecimalError::Exponent(shown())),
        }
    }

    /// Whether the value is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether the value is zero.
    pub fn is_zero(&self) -> bool {
        self.digits == 0
    }

    /// Canonical digits.
    pub fn digits(&self) -> u64 {
        self.digits
    }

    /// Canonical power of ten.
    pub fn exponent(&self) -> i16 {
        self.exponent
    }

    /// The value as `numerator / denominator`; the denominator is a power of ten, the fraction need not be reduced.
    pub fn fraction(&self) -> (BigInt, BigInt) {
        let signed = if self.negative { -BigInt::from(self.digits) } else { BigInt::from(self.digits) };
        let power = BigInt::from(10u32).pow(u32::from(self.exponent.unsigned_abs()));
        if self.exponent < 0 { (signed, power) } else { (signed * power, BigInt::from(1u32)) }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads `[+-]digits[.digits][(e|E)[+-]digits]`; at least one digit before the exponent.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let syntax = || DecimalError::Syntax(text.chars().take(MAXIMUM_TEXT).collect());
        if text.len() > MAXIMUM_TEXT {
            return Err(syntax());
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, signed_small(exponent).ok_or_else(syntax)?),
            None => (unsigned, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let dotted = mantissa.contains('.');
        if whole.is_empty() || (dotted && part.is_empty()) || !all_digits(whole) || !all_digits(part) {
            return Err(syntax());
        }
        let joined = format!("{whole}{part}");
        let significant = joined.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        if significant.len() > MAXIMUM_DIGITS as usize {
            return Err(DecimalError::Digits(text.to_owned()));
        }
        let trailing = joined.len() - joined.trim_end_matches('0').len();
        let digits: u64 = significant.parse().map_err(|_| syntax())?;
        // Both lengths are below MAXIMUM_TEXT and the exponent below 10^9, so nothing wraps.
        let power = exponent + trailing as i32 - part.len() as i32;
        Self::new(negative, digits, power).map_err(|error| match error {
            DecimalError::Exponent(_) => DecimalError::Exponent(text.to_owned()),
            other => other,
        })
    }
}

/// A signed integer of at most nine digits.
fn signed_small(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for Decimal {
    /// Plain notation without an exponent: `0.125`, `-3`, `1000`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            formatter.write_str("-")?;
        }
        let digits = self.digits.to_string();
        if self.exponent >= 0 {
            let zeros = if self.digits == 0 { 0 } else { usize::from(self.exponent.unsigned_abs()) };
            return write!(formatter, "{digits}{}", "0".repeat(zeros));
        }
        let places = usize::from(self.exponent.unsigned_abs());
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, part) = padded.split_at(padded.len() - places);
        write!(formatter, "{whole}.{part}")
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, left_denominator) = self.fraction();
        let (right, right_denominator) = other.fraction();
        (left * right_denominator).cmp(&(right * left_denominator))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_value_are_equal_and_canonical() {
        for text in ["0.125", "+0.125", "125e-3", "00.1250", "1.25E-1", "0.0125e+1"] {
            let value = decimal(text);
            assert_eq!((value.is_negative(), value.digits(), value.exponent()), (false, 125, -3), "{text}");
            assert_eq!(value.to_string(), "0.125");
        }
        for text in ["0", "-0", "0.000", "0e9", "+0.0e-300"] {
            assert_eq!(decimal(text), Decimal::ZERO, "{text}");
        }
        assert_eq!(decimal("-1200").to_string(), "-1200");
        assert_eq!(decimal("1.0"), Decimal::ONE);
        assert_eq!(decimal("1e-18").to_string(), "0.000000000000000001");
        assert_eq!(decimal("1e18").to_string(), "1000000000000000000");
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in [
            "",
            "-",
            "+",
            ".5",
            "5.",
            "1e",
            "1e+",
            "e3",
            "inf",
            "nan",
            "-inf",
            "1_0",
            "0x10",
            "1 ",
            " 1",
            "1.2.3",
            "--1",
            "1e1.5",
            "1e9999999999",
            "١",
        ] {
            assert!(matches!(text.parse::<Decimal>(), Err(DecimalError::Syntax(_))), "{text}");
        }
        assert!(matches!("0.1234567890123456789".parse::<Decimal>(), Err(DecimalError::Digits(_))));
        assert!(matches!("1e19".parse::<Decimal>(), Err(DecimalError::Exponent(_))));
        assert!(matches!("1e-19".parse::<Decimal>(), Err(DecimalError::Exponent(_))));
        assert!(matches!("1".repeat(1000).parse::<Decimal>(), Err(DecimalError::Syntax(_))));
        assert!(matches!(Decimal::new(false, u64::MAX, 0), Err(DecimalError::Digits(_))));
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(256))]
        #[test]
        fn display_round_trips_and_order_is_the_order_of_values(
            a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, ea in -9i32..9, eb in -9i32..9,
        ) {
            let left = Decimal::new(a < 0, a.unsigned_abs(), ea).unwrap();
            let right = Decimal::new(b < 0, b.unsigned_abs(), eb).unwrap();
            prop_assert_eq!(decimal(&left.to_string()), left);
            let scaled = |v: i64, e: i32| i128::from(v) * 10i128.pow((e + 9) as u32);
            prop_assert_eq!(left.cmp(&right), scaled(a, ea).cmp(&scaled(b, eb)));
            prop_assert_eq!(left == right, scaled(a, ea) == scaled(b, eb));
        }
    }
}
