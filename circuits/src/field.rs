//! The field `F` of the argument: the scalar field of Vesta, 255 bits (specs/glossary.md).

use core::ops::{Add, Mul, Neg, Sub};

use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};

use crate::multilinear;

/// The scalar field of Vesta (the base field of Pallas).
pub type F = ark_vesta::Fr;

/// Bytes of a canonical field element.
pub const FIELD_BYTES: usize = 32;

/// A value that the verifier knows: a field element, or a circuit's cell that holds one.
///
/// The checks of [`crate::argument`] compute with public values through this trait alone, so that the same code
/// runs on field elements and lays out a circuit.
pub trait Scalar:
    Clone + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self>
{
    /// The constant `value`.
    fn constant(value: F) -> Self;

    /// Zero.
    fn zero() -> Self {
        Self::constant(F::ZERO)
    }

    /// One.
    fn one() -> Self {
        Self::constant(F::ONE)
    }

    /// [`multilinear::extend_integers`], by whatever way suits the type.
    fn extend_integers(values: &[i64], point: &[Self]) -> Self {
        multilinear::extend_integers(values, point)
    }

    /// [`multilinear::extend_diagonals`], by whatever way suits the type.
    fn extend_diagonals(diagonals: &[i64], row: &[Self], column: &[Self]) -> Self {
        multilinear::extend_diagonals(diagonals, row, column)
    }
}

impl Scalar for F {
    fn constant(value: F) -> Self {
        value
    }

    fn extend_diagonals(diagonals: &[i64], row: &[Self], column: &[Self]) -> Self {
        multilinear::fold_diagonals(diagonals, row, column)
    }
}

/// A scalar without a value, for runs that only ask what is computed and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unvalued;

impl Add for Unvalued {
    type Output = Self;
    fn add(self, _other: Self) -> Self {
        Self
    }
}

impl Sub for Unvalued {
    type Output = Self;
    fn sub(self, _other: Self) -> Self {
        Self
    }
}

impl Mul for Unvalued {
    type Output = Self;
    fn mul(self, _other: Self) -> Self {
        Self
    }
}

impl Neg for Unvalued {
    type Output = Self;
    fn neg(self) -> Self {
        Self
    }
}

impl Scalar for Unvalued {
    fn constant(_value: F) -> Self {
        Self
    }

    fn extend_integers(_values: &[i64], _point: &[Self]) -> Self {
        Self
    }

    fn extend_diagonals(_diagonals: &[i64], _row: &[Self], _column: &[Self]) -> Self {
        Self
    }
}

/// Canonical little-endian bytes.
pub fn to_bytes(value: &F) -> [u8; FIELD_BYTES] {
    let mut bytes = [0u8; FIELD_BYTES];
    for (chunk, limb) in bytes.chunks_exact_mut(8).zip(value.into_bigint().0) {
        chunk.copy_from_slice(&limb.to_le_bytes());
    }
    bytes
}

/// Reads canonical little-endian bytes; `None` when the integer is not below the modulus.
pub fn from_bytes(bytes: &[u8; FIELD_BYTES]) -> Option<F> {
    let mut limbs = [0u64; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut word = [0u8; 8];
        word.copy_from_slice(chunk);
        *limb = u64::from_le_bytes(word);
    }
    F::from_bigint(ark_ff::BigInt(limbs))
}

/// Reduces 64 uniform bytes; the bias is below `2^-256`.
pub fn from_wide_bytes(bytes: &[u8; 64]) -> F {
    F::from_le_bytes_mod_order(bytes)
}

/// `2^exponent`.
pub fn power_of_two(exponent: usize) -> F {
    F::from(2u64).pow([exponent as u64])
}

/// `2^-exponent`.
pub fn inverse_power_of_two(exponent: usize) -> F {
    one_half().pow([exponent as u64])
}

/// `1/2`, computed as `(p + 1)/2`.
pub fn one_half() -> F {
    let mut integer = F::MODULUS;
    integer.div2();
    // (p − 1)/2 + 1; the modulus is odd, so this is below it.
    F::from_bigint(integer).unwrap_or_default() + F::ONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_half_doubles_to_one() {
        assert_eq!(one_half() + one_half(), F::ONE);
        assert_eq!(inverse_power_of_two(9) * power_of_two(9), F::ONE);
    }

    #[test]
    fn bytes_are_canonical() {
        let value = -F::from(7u64);
        assert_eq!(from_bytes(&to_bytes(&value)), Some(value));
        let modulus = F::MODULUS.to_bytes_le();
        let mut bytes = [0u8; 32];
        bytes.copy_from_slice(&modulus);
        assert_eq!(from_bytes(&bytes), None, "the modulus itself is not canonical");
        assert_eq!(from_bytes(&[0xff; 32]), None);
    }
}
