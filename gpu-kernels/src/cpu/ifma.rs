//! Field arithmetic on eight elements at once with AVX-512 IFMA: five limbs of 52 bits, one vector a limb.
//!
//! The instructions multiply limbs of 52 bits and add the low or the high half of the product. Products are reduced by
//! `2^260`, a limb at a time. After Gueron and Krasnov, "Accelerating big integer arithmetic using Intel IFMA extensions"
//! (ARITH 2016). Functions say what they need of their arguments: nothing here is reduced fully.

use core::arch::x86_64::*;
use core::marker::PhantomData;
use std::sync::OnceLock;

use ark_ff::MontConfig;

pub(super) const LIMB_BITS: u32 = 52;
pub(super) const MASK: u64 = (1 << LIMB_BITS) - 1;

/// Shows that the processor has the instructions: AVX-512 F, IFMA, DQ and VL.
#[derive(Clone, Copy)]
pub struct Ifma(());

impl Ifma {
    /// `None` where the processor lacks them.
    pub fn new() -> Option<Self> {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        let is_available = || {
            std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512ifma")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512vl")
        };
        AVAILABLE.get_or_init(is_available).then_some(Self(()))
    }
}

/// Eight numbers, limb by limb.
pub(super) type Vector = [__m512i; 5];

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

/// Constants of a modulus `2^254 + t` with `t < 2^156`.
pub(super) struct Modulus<C>(PhantomData<C>);

/// Bits of the last limb below the modulus's highest.
pub(super) const TOP_BITS: u32 = 254 - 4 * LIMB_BITS;

impl<C: MontConfig<4>> Modulus<C> {
    /// `p`.
    pub(super) const LIMBS: [u64; 5] = {
        let limbs = split(C::MODULUS.0);
        assert!(limbs[4] == 1 << TOP_BITS && limbs[3] == 0);
        limbs
    };
    /// `−p^-1 mod 2^52`.
    pub(super) const INVERSE: u64 = C::INV & MASK;

    /// `factor·p`, with limbs that are not carried.
    pub(super) const fn times(factor: u64) -> [u64; 5] {
        let mut limbs = Self::LIMBS;
        let mut i = 0;
        while i < 5 {
            limbs[i] *= factor;
            i += 1;
        }
        limbs
    }
}

/// The same word in every lane.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn set(value: u64) -> __m512i {
    // SAFETY: the caller has checked for AVX-512.
    unsafe { _mm512_set1_epi64(value as i64) }
}

/// Zeros.
#[inline(always)]
pub(super) fn zero(_: Ifma) -> Vector {
    // SAFETY: `Ifma` shows that the processor has AVX-512.
    [unsafe { _mm512_setzero_si512() }; 5]
}

/// Takes carries; limbs are signed, the value is not.
#[inline(always)]
pub(super) fn carried(_: Ifma, mut limbs: Vector) -> Vector {
    // SAFETY: `Ifma` shows that the processor has AVX-512.
    unsafe {
        let mask = set(MASK);
        for i in 0..4 {
            limbs[i + 1] = _mm512_add_epi64(limbs[i + 1], _mm512_srai_epi64::<LIMB_BITS>(limbs[i]));
            limbs[i] = _mm512_and_si512(limbs[i], mask);
        }
    }
    limbs
}

/// Sums of limb products by weight.
pub(super) type Columns = [__m512i; 10];

/// `columns += a·b`: at most nine terms below `2^52` a column.
#[inline(always)]
pub(super) fn multiply_into(_: Ifma, columns: &mut Columns, a: &Vector, b: &Vector) {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        for i in 0..5 {
            for j in 0..5 {
                columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], a[i], b[j]);
                columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], a[i], b[j]);
            }
        }
    }
}

/// `(a·b + addend·2^260)·2^-260`, limbs not carried.
#[inline(always)]
pub(super) fn multiply<C: MontConfig<4>>(ifma: Ifma, a: &Vector, b: &Vector, addend: &Vector) -> Vector {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        let mut columns = [_mm512_setzero_si512(); 10];
        columns[5..].copy_from_slice(addend);
        let mut top = _mm512_setzero_si512();
        for i in 0..5 {
            for j in 0..5 {
                columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], a[i], b[j]);
                columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], a[i], b[j]);
            }
            reduce_column::<C>(ifma, &mut columns, i, &mut top);
        }
        let top = _mm512_add_epi64(columns[9], top);
        [columns[5], columns[6], columns[7], columns[8], top]
    }
}

/// A step of Montgomery reduction: adds `factor·p·2^(52i)` for the factor that clears column `i`, and takes its carry.
///
/// Clearing the low 52 bits carries one more unless they are zero, so the carry is known before the factor is. The top
/// limb of the modulus is a power of two and takes shifts; `top` is what the next step adds to its last column.
#[inline(always)]
fn reduce_column<C: MontConfig<4>>(_: Ifma, columns: &mut Columns, i: usize, top: &mut __m512i) {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        let mask = set(MASK);
        let factor = _mm512_madd52lo_epu64(_mm512_setzero_si512(), columns[i], set(Modulus::<C>::INVERSE));
        let carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(columns[i], mask));
        let next = _mm512_madd52lo_epu64(carry, factor, set(Modulus::<C>::LIMBS[1]));
        columns[i + 1] = _mm512_madd52hi_epu64(columns[i + 1], factor, set(Modulus::<C>::LIMBS[0]));
        columns[i + 1] = _mm512_add_epi64(columns[i + 1], next);
        columns[i + 2] = _mm512_madd52hi_epu64(columns[i + 2], factor, set(Modulus::<C>::LIMBS[1]));
        columns[i + 2] = _mm512_madd52lo_epu64(columns[i + 2], factor, set(Modulus::<C>::LIMBS[2]));
        columns[i + 3] = _mm512_madd52hi_epu64(columns[i + 3], factor, set(Modulus::<C>::LIMBS[2]));
        let low = _mm512_and_si512(_mm512_slli_epi64::<TOP_BITS>(factor), mask);
        columns[i + 4] = _mm512_add_epi64(columns[i + 4], _mm512_or_si512(low, *top));
        *top = _mm512_srli_epi64::<{ LIMB_BITS - TOP_BITS }>(factor);
    }
}

/// `columns·2^-260 mod p`, below `columns·2^-260 + p`; limbs are not carried.
#[inline(always)]
pub(super) fn montgomery<C: MontConfig<4>>(ifma: Ifma, mut columns: Columns) -> Vector {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        let mut top = _mm512_setzero_si512();
        for i in 0..5 {
            reduce_column::<C>(ifma, &mut columns, i, &mut top);
        }
        let top = _mm512_add_epi64(columns[9], top);
        [columns[5], columns[6], columns[7], columns[8], top]
    }
}

/// Words of eight elements to limbs.
#[inline(always)]
pub(super) fn load(_: Ifma, words: [&[u64; 4]; 8]) -> Vector {
    // SAFETY: `Ifma` shows that the processor has AVX-512; each element is 32 bytes.
    unsafe {
        let element = |i: usize| _mm256_loadu_si256(words[i].as_ptr().cast());
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
        [
            _mm512_and_si512(w0, mask),
            join(_mm512_srli_epi64::<52>(w0), _mm512_slli_epi64::<12>(w1)),
            join(_mm512_srli_epi64::<40>(w1), _mm512_slli_epi64::<24>(w2)),
            join(_mm512_srli_epi64::<28>(w2), _mm512_slli_epi64::<36>(w3)),
            _mm512_srli_epi64::<16>(w3),
        ]
    }
}

/// Limbs to the words of eight elements.
#[inline(always)]
pub(super) fn store(_: Ifma, limbs: Vector) -> [__m256i; 8] {
    // SAFETY: `Ifma` shows that the processor has AVX-512.
    unsafe {
        let [l0, l1, l2, l3, l4] = limbs;
        let w0 = _mm512_or_si512(l0, _mm512_slli_epi64::<52>(l1));
        let w1 = _mm512_or_si512(_mm512_srli_epi64::<12>(l1), _mm512_slli_epi64::<40>(l2));
        let w2 = _mm512_or_si512(_mm512_srli_epi64::<24>(l2), _mm512_slli_epi64::<28>(l3));
        let w3 = _mm512_or_si512(_mm512_srli_epi64::<36>(l3), _mm512_slli_epi64::<16>(l4));
        let (a_even, a_odd) = (_mm512_unpacklo_epi64(w0, w1), _mm512_unpackhi_epi64(w0, w1));
        let (b_even, b_odd) = (_mm512_unpacklo_epi64(w2, w3), _mm512_unpackhi_epi64(w2, w3));
        let low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        let high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        let a = _mm512_permutex2var_epi64(a_even, low, b_even);
        let b = _mm512_permutex2var_epi64(a_odd, low, b_odd);
        let c = _mm512_permutex2var_epi64(a_even, high, b_even);
        let d = _mm512_permutex2var_epi64(a_odd, high, b_odd);
        [
            _mm512_castsi512_si256(a),
            _mm512_castsi512_si256(b),
            _mm512_extracti64x4_epi64::<1>(a),
            _mm512_extracti64x4_epi64::<1>(b),
            _mm512_castsi512_si256(c),
            _mm512_castsi512_si256(d),
            _mm512_extracti64x4_epi64::<1>(c),
            _mm512_extracti64x4_epi64::<1>(d),
        ]
    }
}
