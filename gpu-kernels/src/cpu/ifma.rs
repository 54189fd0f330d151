//! Eight elements at a time with AVX-512 IFMA: five limbs of 52 bits, one vector a limb.
//!
//! Elements keep ark's Montgomery form `a·2^256 mod p` in memory. A product is reduced by `2^260`, five limbs, so one
//! factor is multiplied by 16 beforehand. After Gueron and Krasnov, "Accelerating big integer arithmetic using Intel
//! IFMA extensions" (ARITH 2016).

use core::arch::x86_64::*;
use core::marker::PhantomData;
use std::sync::OnceLock;

use ark_ff::{AdditiveGroup, MontConfig};
use weightproof_circuits::accumulate::{Config, ProductSum};
use weightproof_circuits::field::{F, inverse_power_of_two, power_of_two};

use super::lanes::{Kernel, Lanes};
use super::packed::{Element, Packed};

pub(super) const LIMB_BITS: u32 = 52;
pub(super) const MASK: u64 = (1 << LIMB_BITS) - 1;

/// Whether this processor has the instructions.
pub fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512ifma")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
    })
}

/// Eight elements.
pub struct Eight<C: MontConfig<4>> {
    limbs: [__m512i; 5],
    config: PhantomData<C>,
}

impl<C: MontConfig<4>> Clone for Eight<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: MontConfig<4>> Copy for Eight<C> {}

/// Columns of `Σ a·b`: weight `2^(52·i)`.
#[derive(Clone, Copy)]
pub struct EightSum {
    columns: [__m512i; 10],
}

/// The limbs of a 256-bit integer.
pub(super) const fn split(words: [u64; 4]) -> [u64; 5] {
    [
        words[0] & MASK,
        (words[0] >> 52 | words[1] << 12) & MASK,
        (words[1] >> 40 | words[2] << 24) & MASK,
        (words[2] >> 28 | words[3] << 36) & MASK,
        words[3] >> 16,
    ]
}

/// Constants of a modulus.
pub(super) struct Modulus<C>(PhantomData<C>);

impl<C: MontConfig<4>> Modulus<C> {
    pub(super) const LIMBS: [u64; 5] = split(C::MODULUS.0);
    /// `2p`.
    const DOUBLE: [u64; 5] = split([
        C::MODULUS.0[0] << 1,
        C::MODULUS.0[1] << 1 | C::MODULUS.0[0] >> 63,
        C::MODULUS.0[2] << 1 | C::MODULUS.0[1] >> 63,
        C::MODULUS.0[3] << 1 | C::MODULUS.0[2] >> 63,
    ]);
    /// `−p^-1 mod 2^52`.
    pub(super) const INVERSE: u64 = C::INV & MASK;
}

#[inline(always)]
pub(super) unsafe fn set(value: u64) -> __m512i {
    // SAFETY: the caller has checked for AVX-512.
    unsafe { _mm512_set1_epi64(value as i64) }
}

impl<C: MontConfig<4>> Eight<C> {
    #[inline(always)]
    fn of(limbs: [__m512i; 5]) -> Self {
        Self { limbs, config: PhantomData }
    }

    /// Takes carries, so that every limb but the last is below `2^52`. Limbs are signed.
    #[inline(always)]
    unsafe fn carried(mut limbs: [__m512i; 5]) -> [__m512i; 5] {
        // SAFETY: the caller has checked for AVX-512.
        unsafe {
            let mask = set(MASK);
            for i in 0..4 {
                limbs[i + 1] = _mm512_add_epi64(limbs[i + 1], _mm512_srai_epi64::<LIMB_BITS>(limbs[i]));
                limbs[i] = _mm512_and_si512(limbs[i], mask);
            }
            limbs
        }
    }

    /// Subtracts `amount` from the lanes that are at least as large.
    #[inline(always)]
    unsafe fn reduce_once(limbs: [__m512i; 5], amount: [u64; 5]) -> [__m512i; 5] {
        // SAFETY: the caller has checked for AVX-512.
        unsafe {
            let mut difference = limbs;
            for (limb, amount) in difference.iter_mut().zip(amount) {
                *limb = _mm512_sub_epi64(*limb, set(amount));
            }
            let difference = Self::carried(difference);
            let negative = _mm512_movepi64_mask(difference[4]);
            let mut out = difference;
            for (out, limb) in out.iter_mut().zip(limbs) {
                *out = _mm512_mask_mov_epi64(*out, negative, limb);
            }
            out
        }
    }

    /// Sixteen times the value, which is below `2^256`.
    #[inline(always)]
    unsafe fn times_sixteen(limbs: [__m512i; 5]) -> [__m512i; 5] {
        // SAFETY: the caller has checked for AVX-512.
        unsafe {
            let mask = set(MASK);
            let mut out = limbs;
            out[0] = _mm512_and_si512(_mm512_slli_epi64::<4>(limbs[0]), mask);
            for i in 1..5 {
                let high = _mm512_slli_epi64::<4>(limbs[i]);
                let low = _mm512_srli_epi64::<48>(limbs[i - 1]);
                out[i] = _mm512_and_si512(_mm512_or_si512(high, low), mask);
            }
            out
        }
    }

    /// `self + amount − other`.
    #[inline(always)]
    unsafe fn add_and_subtract(self, amount: [u64; 5], other: Self) -> Self {
        // SAFETY: the caller has checked for AVX-512.
        unsafe {
            let mut difference = self.limbs;
            for ((difference, limb), amount) in difference.iter_mut().zip(other.limbs).zip(amount) {
                *difference = _mm512_sub_epi64(_mm512_add_epi64(*difference, set(amount)), limb);
            }
            Self::of(Self::carried(difference))
        }
    }

    /// `columns += a·b`.
    #[inline(always)]
    unsafe fn multiply_into(columns: &mut [__m512i; 10], a: [__m512i; 5], b: [__m512i; 5]) {
        // SAFETY: the caller has checked for AVX-512 IFMA.
        unsafe {
            for i in 0..5 {
                for j in 0..5 {
                    columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], a[i], b[j]);
                    columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], a[i], b[j]);
                }
            }
        }
    }

    /// `columns·2^-260 mod p`, below `columns·2^-260 + p`.
    #[inline(always)]
    unsafe fn montgomery(mut columns: [__m512i; 10]) -> [__m512i; 5] {
        // SAFETY: the caller has checked for AVX-512 IFMA.
        unsafe {
            let zero = _mm512_setzero_si512();
            let inverse = set(Modulus::<C>::INVERSE);
            for i in 0..5 {
                let factor = _mm512_madd52lo_epu64(zero, columns[i], inverse);
                for (j, limb) in Modulus::<C>::LIMBS.into_iter().enumerate() {
                    if limb != 0 {
                        columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], factor, set(limb));
                        columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], factor, set(limb));
                    }
                }
                columns[i + 1] = _mm512_add_epi64(columns[i + 1], _mm512_srli_epi64::<LIMB_BITS>(columns[i]));
            }
            Self::carried([columns[5], columns[6], columns[7], columns[8], columns[9]])
        }
    }
}

impl<C: MontConfig<4>> Packed<C> for Eight<C> {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const Element<C>, stride: usize) -> Self {
        // SAFETY: the caller vouches for the eight elements; an element is four words without padding.
        unsafe {
            let element = |i: usize| _mm256_loadu_si256(from.add(i * stride).cast());
            let pair = |i: usize| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(element(i)), element(i + 2));
            let (z0, z1, z2, z3) = (pair(0), pair(1), pair(4), pair(5));
            let (u0, u1) = (_mm512_unpacklo_epi64(z0, z1), _mm512_unpackhi_epi64(z0, z1));
            let (v0, v1) = (_mm512_unpacklo_epi64(z2, z3), _mm512_unpackhi_epi64(z2, z3));
            let w0 = _mm512_shuffle_i64x2::<0x88>(u0, v0);
            let w1 = _mm512_shuffle_i64x2::<0x88>(u1, v1);
            let w2 = _mm512_shuffle_i64x2::<0xDD>(u0, v0);
            let w3 = _mm512_shuffle_i64x2::<0xDD>(u1, v1);
            let mask = set(MASK);
            let join = |low: __m512i, high: __m512i| _mm512_and_si512(_mm512_or_si512(low, high), mask);
            Self::of([
                _mm512_and_si512(w0, mask),
                join(_mm512_srli_epi64::<52>(w0), _mm512_slli_epi64::<12>(w1)),
                join(_mm512_srli_epi64::<40>(w1), _mm512_slli_epi64::<24>(w2)),
                join(_mm512_srli_epi64::<28>(w2), _mm512_slli_epi64::<36>(w3)),
                _mm512_srli_epi64::<16>(w3),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut Element<C>, stride: usize) {
        // SAFETY: the caller vouches for the eight elements.
        unsafe {
            let l = Self::reduce_once(self.limbs, Modulus::<C>::DOUBLE);
            let l = Self::reduce_once(l, Modulus::<C>::LIMBS);
            let w0 = _mm512_or_si512(l[0], _mm512_slli_epi64::<52>(l[1]));
            let w1 = _mm512_or_si512(_mm512_srli_epi64::<12>(l[1]), _mm512_slli_epi64::<40>(l[2]));
            let w2 = _mm512_or_si512(_mm512_srli_epi64::<24>(l[2]), _mm512_slli_epi64::<28>(l[3]));
            let w3 = _mm512_or_si512(_mm512_srli_epi64::<36>(l[3]), _mm512_slli_epi64::<16>(l[4]));
            let (a_even, a_odd) = (_mm512_unpacklo_epi64(w0, w1), _mm512_unpackhi_epi64(w0, w1));
            let (b_even, b_odd) = (_mm512_unpacklo_epi64(w2, w3), _mm512_unpackhi_epi64(w2, w3));
            let low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
            let high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
            let put = |i: usize, pair: __m512i| {
                _mm256_storeu_si256(to.add(i * stride).cast(), _mm512_castsi512_si256(pair));
                _mm256_storeu_si256(to.add((i + 2) * stride).cast(), _mm512_extracti64x4_epi64::<1>(pair));
            };
            put(0, _mm512_permutex2var_epi64(a_even, low, b_even));
            put(4, _mm512_permutex2var_epi64(a_even, high, b_even));
            put(1, _mm512_permutex2var_epi64(a_odd, low, b_odd));
            put(5, _mm512_permutex2var_epi64(a_odd, high, b_odd));
        }
    }

    #[inline(always)]
    unsafe fn broadcast(value: &Element<C>) -> Self {
        // SAFETY: the caller has checked for AVX-512.
        let [a, b, c, d, e] = split(value.0.0);
        Self::of(unsafe { [set(a), set(b), set(c), set(d), set(e)] })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has checked for AVX-512.
        unsafe {
            let mut sum = self.limbs;
            for (sum, limb) in sum.iter_mut().zip(other.limbs) {
                *sum = _mm512_add_epi64(*sum, limb);
            }
            Self::of(Self::carried(sum))
        }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller has checked for AVX-512.
        unsafe { self.add_and_subtract(Modulus::<C>::LIMBS, other) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: the caller has checked for AVX-512 IFMA.
        unsafe {
            let mut columns = [_mm512_setzero_si512(); 10];
            Self::multiply_into(&mut columns, self.limbs, Self::times_sixteen(other.limbs));
            Self::of(Self::montgomery(columns))
        }
    }

    #[inline(always)]
    unsafe fn mul_add(a: [Self; 2], b: [Self; 2]) -> Self {
        // SAFETY: the caller has checked for AVX-512 IFMA.
        unsafe {
            let mut columns = [_mm512_setzero_si512(); 10];
            for (a, b) in a.into_iter().zip(b) {
                Self::multiply_into(&mut columns, a.limbs, Self::times_sixteen(b.limbs));
            }
            Self::of(Self::montgomery(columns))
        }
    }
}

/// Eight elements in memory: limb by limb, in Montgomery form for `2^260`, below `4p`.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Block([[u64; 8]; 5]);

/// `2^252` and `2^-8`, which lead from the form for `2^260` back to ark's: for an element read as a sum of products, and
/// for such a sum.
fn leaving() -> &'static [F; 2] {
    static FACTORS: OnceLock<[F; 2]> = OnceLock::new();
    FACTORS.get_or_init(|| [power_of_two(252), inverse_power_of_two(8)])
}

/// Shows that the processor has the instructions: only [`Lanes::vectorize`] makes one, after it has looked.
#[derive(Clone, Copy)]
pub struct Available(());

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512vl")]
fn with_instructions<K: Kernel<EightLanes>>(kernel: K, token: Available) -> K::Output {
    kernel.run(token)
}

/// `4p`.
const QUADRUPLE: [u64; 5] = {
    let mut limbs = Modulus::<Config>::DOUBLE;
    let mut i = 0;
    while i < limbs.len() {
        limbs[i] *= 2;
        i += 1;
    }
    limbs
};

/// `2^520 mod p`: leads an integer to its Montgomery form for `2^260`.
const RAISE: [u64; 5] = {
    // Doubling 2^512 mod p eight times.
    let mut words = <Config as MontConfig<4>>::R2.0;
    let mut i = 0;
    while i < 8 {
        words = double(words);
        i += 1;
    }
    split(words)
};

/// `2·words mod p` for reduced words.
const fn double(words: [u64; 4]) -> [u64; 4] {
    let modulus = <Config as MontConfig<4>>::MODULUS.0;
    let doubled = [
        words[0] << 1,
        words[1] << 1 | words[0] >> 63,
        words[2] << 1 | words[1] >> 63,
        words[3] << 1 | words[2] >> 63,
    ];
    let mut difference = [0; 4];
    let mut borrow = false;
    let mut i = 0;
    while i < 4 {
        let (first, a) = doubled[i].overflowing_sub(modulus[i]);
        let (second, b) = first.overflowing_sub(borrow as u64);
        difference[i] = second;
        borrow = a || b;
        i += 1;
    }
    if borrow { doubled } else { difference }
}

/// Added to signed integers to make them unsigned, and taken off again in the field.
const OFFSET: u64 = 1 << 31;

/// `2^31` as a constant.
const OFFSET_ELEMENT: [u64; 5] = {
    let mut words = <Config as MontConfig<4>>::R.0;
    let mut i = 0;
    // Four doublings enter the form for 2^260.
    while i < 31 + 4 {
        words = double(words);
        i += 1;
    }
    split(words)
};

type Inner = Eight<Config>;

/// Eight elements of `F` in the form of a [`Block`]; made with a token only.
#[derive(Clone, Copy)]
pub struct EightLanes(Inner);

impl Lanes for EightLanes {
    const LANES: usize = 8;
    type Token = Available;
    type Block = Block;
    type Constant = [u64; 5];
    type Sum = EightSum;

    fn vectorize<K: Kernel<Self>>(kernel: K) -> K::Output {
        assert!(is_available(), "this implementation is chosen only where the processor has it");
        // SAFETY: checked above.
        unsafe { with_instructions(kernel, Available(())) }
    }

    fn enter(value: F) -> F {
        value.double().double().double().double()
    }

    fn constant(value: &F) -> [u64; 5] {
        split(Self::enter(*value).0.0)
    }

    fn zero() -> Block {
        Block([[0; 8]; 5])
    }

    fn elements(block: &Block) -> impl Iterator<Item = F> {
        (0..8).map(|lane| {
            let mut columns = [0; 10];
            for (column, limb) in columns.iter_mut().zip(&block.0) {
                *column = limb[lane];
            }
            ProductSum::from_columns(columns).value() * leaving()[0]
        })
    }

    #[inline(always)]
    fn load(_token: Available, block: &Block) -> Self {
        // SAFETY: a block is five aligned vectors; a token was given.
        let limb = |i: usize| block.0[i].as_ptr().cast();
        // An array of expressions, here and below: a closure handed to another function would not be compiled with the
        // instruction set.
        Self(Inner::of(unsafe {
            [
                _mm512_load_si512(limb(0)),
                _mm512_load_si512(limb(1)),
                _mm512_load_si512(limb(2)),
                _mm512_load_si512(limb(3)),
                _mm512_load_si512(limb(4)),
            ]
        }))
    }

    #[inline(always)]
    fn store(self) -> Block {
        let mut block = Block([[0; 8]; 5]);
        for (limb, vector) in block.0.iter_mut().zip(self.0.limbs) {
            // SAFETY: a block is five aligned vectors; the value was made with a token.
            unsafe { _mm512_store_si512(limb.as_mut_ptr().cast(), vector) }
        }
        block
    }

    #[inline(always)]
    fn spread(_token: Available, constant: &[u64; 5]) -> Self {
        // SAFETY: a token was given.
        let [a, b, c, d, e] = *constant;
        Self(Inner::of(unsafe { [set(a), set(b), set(c), set(d), set(e)] }))
    }

    #[inline(always)]
    fn gather(_token: Available, entered: &[F], first: usize, stride: usize) -> Self {
        let range = &entered[first..=first + 7 * stride];
        // SAFETY: the range holds all eight elements; a token was given.
        unsafe { Self(Inner::load(range.as_ptr(), stride)) }
    }

    #[inline(always)]
    fn integers(token: Available, integers: &[i32], first: usize, stride: usize) -> Self {
        // SAFETY: a token was given.
        unsafe {
            let mut values = [OFFSET as i64; 8];
            for (lane, value) in values.iter_mut().enumerate() {
                *value += i64::from(integers[first + lane * stride]);
            }
            let unsigned = _mm512_loadu_si512(values.as_ptr().cast());
            let mut columns = [_mm512_setzero_si512(); 10];
            for (i, limb) in RAISE.into_iter().enumerate() {
                columns[i] = _mm512_madd52lo_epu64(columns[i], unsigned, set(limb));
                columns[i + 1] = _mm512_madd52hi_epu64(columns[i + 1], unsigned, set(limb));
            }
            let element = Inner::of(Inner::montgomery(columns));
            Self(element.sub(Self::spread(token, &OFFSET_ELEMENT).0))
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: the value was made with a token.
        unsafe { Self(self.0.add(other.0)) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: the value was made with a token.
        unsafe { Self(self.0.add_and_subtract(QUADRUPLE, other.0)) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: the value was made with a token.
        unsafe {
            let mut columns = [_mm512_setzero_si512(); 10];
            Inner::multiply_into(&mut columns, self.0.limbs, other.0.limbs);
            Self(Inner::of(Inner::montgomery(columns)))
        }
    }

    #[inline(always)]
    fn mul_add<const N: usize>(a: [Self; N], b: [Self; N]) -> Self {
        // SAFETY: the value was made with a token.
        unsafe {
            let mut columns = [_mm512_setzero_si512(); 10];
            for (a, b) in a.into_iter().zip(b) {
                Inner::multiply_into(&mut columns, a.0.limbs, b.0.limbs);
            }
            Self(Inner::of(Inner::montgomery(columns)))
        }
    }

    #[inline(always)]
    fn reduce(self) -> Self {
        // SAFETY: the value was made with a token.
        unsafe { Self(Inner::of(Inner::reduce_once(self.0.limbs, Modulus::<Config>::DOUBLE))) }
    }

    #[inline(always)]
    fn empty_sum(_token: Available) -> EightSum {
        // SAFETY: a token was given.
        EightSum { columns: [unsafe { _mm512_setzero_si512() }; 10] }
    }

    #[inline(always)]
    fn sum_add(sum: &mut EightSum, a: Self, b: Self) {
        // SAFETY: the value was made with a token. A column takes at most nine terms below 2^52 a product, and `TERMS` times
        // that, with what a carry leaves, is below 2^64.
        unsafe { Inner::multiply_into(&mut sum.columns, a.0.limbs, b.0.limbs) }
    }

    #[inline(always)]
    fn carry(sum: &mut EightSum) {
        // SAFETY: the value was made with a token.
        unsafe {
            let mask = set(MASK);
            for i in 0..9 {
                let carry = _mm512_srli_epi64::<LIMB_BITS>(sum.columns[i]);
                sum.columns[i + 1] = _mm512_add_epi64(sum.columns[i + 1], carry);
                sum.columns[i] = _mm512_and_si512(sum.columns[i], mask);
            }
        }
    }

    #[inline(always)]
    fn total(sum: EightSum, weights: &[F]) -> F {
        let mut columns = [[0u64; 8]; 10];
        for (column, vector) in columns.iter_mut().zip(sum.columns) {
            // SAFETY: eight words are written; the value was made with a token.
            unsafe { _mm512_storeu_si512(column.as_mut_ptr().cast(), vector) }
        }
        let lanes = weights.iter().enumerate().map(|(lane, weight)| {
            ProductSum::from_columns(columns.map(|column| column[lane])).value() * weight
        });
        lanes.sum::<F>() * leaving()[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{AdditiveGroup, BigInt, Field};

    /// Elements with edge cases among them: 0, 1, p − 1, and raw limbs at both ends.
    fn elements<C: MontConfig<4>>(count: usize) -> Vec<Element<C>> {
        let mut raw_largest = C::MODULUS;
        raw_largest.0[0] -= 1;
        let mut all = vec![
            Element::<C>::ZERO,
            Element::ONE,
            -Element::<C>::ONE,
            Element::new_unchecked(BigInt([1, 0, 0, 0])),
            Element::new_unchecked(raw_largest),
            Element::new_unchecked(BigInt([u64::MAX, u64::MAX, u64::MAX, C::MODULUS.0[3] - 1])),
        ];
        let mut x = Element::<C>::from(3u64);
        while all.len() < count {
            x = x.square() + Element::<C>::from(7u64);
            all.push(x);
        }
        all
    }

    fn operations_agree<C: MontConfig<4>>() {
        if !is_available() {
            return;
        }
        let all = elements::<C>(64);
        for shift in 0..all.len() {
            let a: Vec<_> = (0..8).map(|i| all[i]).collect();
            let b: Vec<_> = (0..8).map(|i| all[(i + shift) % 64]).collect();
            let run = |f: &dyn Fn(Eight<C>, Eight<C>) -> Eight<C>, stride: usize| -> Vec<Element<C>> {
                let spread = |v: &[Element<C>]| -> Vec<Element<C>> {
                    v.iter().flat_map(|x| std::iter::repeat_n(*x, stride)).collect()
                };
                let mut out = vec![Element::<C>::ZERO; 8 * stride];
                // SAFETY: availability was checked; eight elements lie at each pointer.
                unsafe {
                    let x = Eight::load(spread(&a).as_ptr(), stride);
                    let y = Eight::load(spread(&b).as_ptr(), stride);
                    f(x, y).store(out.as_mut_ptr(), stride);
                }
                out.into_iter().step_by(stride).collect()
            };
            let expect = |f: &dyn Fn(Element<C>, Element<C>) -> Element<C>| -> Vec<Element<C>> {
                a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect()
            };
            for stride in [1, 3] {
                // SAFETY: availability was checked.
                unsafe {
                    assert_eq!(run(&|x, _| x, stride), a);
                    assert_eq!(run(&|x, y| x.add(y), stride), expect(&|x, y| x + y));
                    assert_eq!(run(&|x, y| x.sub(y), stride), expect(&|x, y| x - y));
                    assert_eq!(run(&|x, y| x.mul(y), stride), expect(&|x, y| x * y));
                    // Loose values as factors: 2p by 2p, and sums of up to 4p by p.
                    assert_eq!(
                        run(&|x, y| x.sub(y).mul(y.sub(x)), stride),
                        expect(&|x, y| (x - y) * (y - x))
                    );
                    assert_eq!(
                        run(&|x, y| x.add(y).add(x).add(y).mul(y), stride),
                        expect(&|x, y| (x + y).double() * y)
                    );
                    assert_eq!(
                        run(&|x, y| Eight::mul_add([x.sub(y), y], [x, y.sub(x)]), stride),
                        expect(&|x, y| (x - y) * x + y * (y - x))
                    );
                    assert_eq!(
                        run(&|x, y| x.add(Eight::broadcast(&all[shift]).mul(x.sub(y))), stride),
                        expect(&|x, y| x + all[shift] * (x - y))
                    );
                }
            }
        }
    }

    #[test]
    fn eight_at_a_time_agree_with_one() {
        operations_agree::<Config>();
        operations_agree::<ark_vesta::FqConfig>();
    }
}
