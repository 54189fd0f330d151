//! Sums of products with one reduction at the end.
//!
//! Field elements are used through their Montgomery limbs: `raw = value·2^256 mod p`. A sum of `raw·integer` is the raw
//! form of the sum, and a sum of `raw·raw` needs one Montgomery reduction.

use crate::field::F;
use ark_ff::{AdditiveGroup, BigInt, MontConfig};

/// Parameters of the field.
pub type Config = ark_vesta::FrConfig;

#[inline(always)]
fn multiply_add(accumulator: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let t = u128::from(accumulator) + u128::from(a) * u128::from(b) + u128::from(carry);
    (t as u64, (t >> 64) as u64)
}

#[inline(always)]
fn add_carry(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let t = u128::from(a) + u128::from(b) + u128::from(carry);
    (t as u64, (t >> 64) as u64)
}

/// An element whose raw limbs are `2^512 mod p`: multiplying by it multiplies raw limbs by `2^256`.
#[inline(always)]
fn raise() -> F {
    F::new_unchecked(<Config as MontConfig<4>>::R2)
}

/// `limbs mod p` as raw limbs, for any 256-bit integer: `2^256 < 4p`, so at most three subtractions.
#[inline(always)]
fn reduce_raw(mut limbs: [u64; 4]) -> F {
    while BigInt(limbs) >= BigInt(MODULUS) {
        subtract_modulus(&mut limbs);
    }
    F::new_unchecked(BigInt(limbs))
}

#[inline(always)]
fn subtract_modulus(limbs: &mut [u64; 4]) {
    let mut borrow = 0u64;
    for (limb, m) in limbs.iter_mut().zip(MODULUS) {
        let t = u128::from(*limb).wrapping_sub(u128::from(m)).wrapping_sub(u128::from(borrow));
        *limb = t as u64;
        borrow = u64::from(t >> 64 != 0);
    }
}

/// `Σ value·integer` for signed integers of at most 64 bits.
#[derive(Clone, Copy, Default)]
pub struct SmallSum {
    positive: [u64; 6],
    negative: [u64; 6],
}

impl SmallSum {
    /// Adds `value·integer`.
    #[inline(always)]
    pub fn add(&mut self, value: &F, integer: i64) {
        let magnitude = integer.unsigned_abs();
        let sum = if integer < 0 { &mut self.negative } else { &mut self.positive };
        let limbs = &value.0.0;
        let mut carry = 0;
        for i in 0..4 {
            (sum[i], carry) = multiply_add(sum[i], limbs[i], magnitude, carry);
        }
        (sum[4], carry) = add_carry(sum[4], carry, 0);
        sum[5] += carry;
    }

    /// The sum.
    pub fn value(&self) -> F {
        let part = |limbs: &[u64; 6]| {
            let low = reduce_raw([limbs[0], limbs[1], limbs[2], limbs[3]]);
            low + F::new_unchecked(BigInt([limbs[4], limbs[5], 0, 0])) * raise()
        };
        part(&self.positive) - part(&self.negative)
    }
}

/// Bits of a limb of [`limbs`].
pub const LIMB_BITS: u32 = 29;
/// Limbs of an element.
pub const LIMBS: usize = 9;

/// The raw limbs of an element in pieces of 29 bits, low first: with an integer of `b` bits, `2^(63 − 29 − b)` products fit
/// a signed 64-bit sum.
pub fn limbs(value: &F) -> [i32; LIMBS] {
    let words = value.0.0;
    core::array::from_fn(|i| {
        let bit = i * LIMB_BITS as usize;
        let (word, shift) = (bit / 64, bit % 64);
        let low = words[word] >> shift;
        let high = if shift > 64 - LIMB_BITS as usize && word + 1 < words.len() {
            words[word + 1] << (64 - shift)
        } else {
            0
        };
        ((low | high) & ((1 << LIMB_BITS) - 1)) as i32
    })
}

/// The element `Σᵢ sums[i]·2^(29·i)` whose sums were made of [`limbs`].
pub fn join_limbs(sums: &[i64; LIMBS]) -> F {
    let mut words = [0u64; 6];
    let mut carry = 0i64;
    for (i, sum) in sums.iter().enumerate() {
        let sum = i128::from(*sum) + i128::from(carry);
        let digit = (sum & ((1 << LIMB_BITS) - 1)) as u64;
        carry = (sum >> LIMB_BITS) as i64;
        let bit = i * LIMB_BITS as usize;
        let (word, shift) = (bit / 64, bit % 64);
        words[word] |= digit << shift;
        if shift > 64 - LIMB_BITS as usize {
            words[word + 1] |= digit >> (64 - shift);
        }
    }
    // What is beyond 261 bits: its raw form is carry·2^261.
    let top = F::new_unchecked(BigInt([carry.unsigned_abs(), 0, 0, 0])) * raise() * F::from(1u64 << 5);
    let low = SmallSum { positive: words, negative: [0; 6] }.value();
    if carry < 0 { low - top } else { low + top }
}

/// `Σ integers[i]·weights[i]` over the shorter of the two.
pub fn inner<T: Copy + Into<i64>>(integers: &[T], weights: &[F]) -> F {
    let mut sum = SmallSum::default();
    for (integer, weight) in integers.iter().zip(weights) {
        sum.add(weight, (*integer).into());
    }
    sum.value()
}

/// `Σ a·b` over field elements; room for `2^64` terms.
#[derive(Clone, Copy, Default)]
pub struct ProductSum {
    limbs: [u64; 9],
}

impl ProductSum {
    /// Adds `a·b`.
    #[inline(always)]
    pub fn add(&mut self, a: &F, b: &F) {
        let (a, b) = (&a.0.0, &b.0.0);
        let mut product = [0u64; 8];
        for i in 0..4 {
            let mut carry = 0;
            for j in 0..4 {
                (product[i + j], carry) = multiply_add(product[i + j], a[i], b[j], carry);
            }
            product[i + 4] = carry;
        }
        let mut carry = 0;
        for (limb, p) in self.limbs.iter_mut().zip(product) {
            (*limb, carry) = add_carry(*limb, p, carry);
        }
        self.limbs[8] += carry;
    }

    /// The sum `Σ columns[i]·2^(52·i)` of products of raw limbs.
    pub fn from_columns(columns: [u64; 10]) -> Self {
        let mut limbs = [0u64; 9];
        for (i, column) in columns.into_iter().enumerate() {
            let (word, shift) = (i * 52 / 64, i * 52 % 64);
            let shifted = u128::from(column) << shift;
            let mut carry = 0;
            (limbs[word], carry) = add_carry(limbs[word], shifted as u64, carry);
            let mut rest = (shifted >> 64) as u64;
            for limb in &mut limbs[word + 1..] {
                (*limb, carry) = add_carry(*limb, rest, carry);
                rest = 0;
            }
        }
        Self { limbs }
    }

    /// The sum.
    pub fn value(&self) -> F {
        let l = &self.limbs;
        let low = reduce_raw([l[0], l[1], l[2], l[3]]) * F::new_unchecked(BigInt([1, 0, 0, 0]));
        let middle = reduce_raw([l[4], l[5], l[6], l[7]]);
        let high = if l[8] == 0 { F::ZERO } else { F::new_unchecked(BigInt([l[8], 0, 0, 0])) * raise() };
        low + middle + high
    }
}

/// `Σ a[i]·b[i]` over the shorter of the two.
pub fn inner_product(a: &[F], b: &[F]) -> F {
    let mut sum = ProductSum::default();
    for (a, b) in a.iter().zip(b) {
        sum.add(a, b);
    }
    sum.value()
}

const MODULUS: [u64; 4] = <Config as MontConfig<4>>::MODULUS.0;

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::Field;

    fn elements() -> Vec<F> {
        let mut x = F::from(3u64);
        let mut all = vec![F::ZERO, F::ONE, -F::ONE, -F::from(2u64)];
        for _ in 0..200 {
            x = x.square() + F::from(7u64);
            all.push(x);
        }
        all
    }

    #[test]
    fn sums_equal_naive_sums() {
        let elements = elements();
        let mut small = SmallSum::default();
        let mut expected = F::ZERO;
        for (i, x) in elements.iter().cycle().take(5000).enumerate() {
            for integer in [i as i64, -(i as i64) * 7919, i64::MAX, i64::MIN, -1, 0] {
                small.add(x, integer);
                expected += *x * F::from(integer);
            }
        }
        assert_eq!(small.value(), expected);
        let mut products = ProductSum::default();
        let mut expected = F::ZERO;
        for x in &elements {
            for y in &elements {
                products.add(x, y);
                expected += *x * y;
            }
        }
        assert_eq!(products.value(), expected);
    }

    #[test]
    fn limbs_join_to_sums() {
        for x in elements() {
            for integer in [0i64, 1, -1, 4095, -32768, (1 << 34) - 1, -(1 << 34)] {
                let sums = limbs(&x).map(|limb| i64::from(limb) * integer);
                assert_eq!(join_limbs(&sums), x * F::from(integer));
            }
        }
        let extremes = [i64::MIN; LIMBS];
        let expected: F = (0..LIMBS as u64)
            .map(|i| F::from(i64::MIN) * F::from(2u64).pow([u64::from(LIMB_BITS) * i]))
            .sum();
        // As raw limbs, that is the value times 2^-256.
        assert_eq!(join_limbs(&extremes), expected * F::new_unchecked(BigInt([1, 0, 0, 0])));
    }

    #[test]
    fn unreduced_limbs_reduce() {
        let all_ones = reduce_raw([u64::MAX; 4]);
        let expected = (0..256).fold(F::ZERO, |sum, _| sum.double() + F::ONE);
        // `expected` is 2^256 − 1 as a value; as raw limbs it is that times 2^-256.
        assert_eq!(all_ones, expected * F::new_unchecked(BigInt([1, 0, 0, 0])));
    }
}
