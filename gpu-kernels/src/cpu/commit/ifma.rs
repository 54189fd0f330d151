//! [`Lanes`] on AVX-512 IFMA: `8·K` additions at once, in `K` vectors whose instructions are interleaved.
//!
//! # Scale
//! Slots hold `coordinate·2^256`, but a product is reduced by `2^260`. Nothing is converted; the powers of two are
//! balanced instead. Write `⟨a⟩` for the integer in a register and `⟨a⟩·⟨b⟩·2^-260` for a product.
//!
//! - Coordinates and differences are `⟨d⟩ = d·2^256`. A link of the chain is whatever it is: `⟨Pₖ⟩ = ⟨Pₖ₋₁⟩·dₖ·2^-4`.
//! - Unwinding starts with `⟨Iₙ⟩ = 2^518/⟨Pₙ⟩`, and `⟨Iₖ⟩·⟨dₖ⟩·2^-260 = 2^518/⟨Pₖ₋₁⟩` keeps that form. So
//!   `⟨Iₖ⟩·⟨Pₖ₋₁⟩·2^-260 = 2^262/dₖ`, and the slope is `⟨λ⟩ = λ·2^258`.
//! - Its square is `λ²·2^256`, to the scale of `x`. Its product with a difference is `2^254`, so `y` takes four times
//!   the difference.
//!
//! # Bounds
//! Limbs are 52 bits. Written coordinates are below `2p + 2^221`, so adding `3p` makes a difference positive and below
//! `6p`. A product of factors below `αp` and `βp` is below `(αβ/64 + 1)p`: links are below `1.2p`.

use core::arch::x86_64::*;

use ark_ff::Field;
use ark_vesta::FqConfig;
use weightproof_circuits::curve::Base;

use super::additions::{Lanes, Pairs, Slot, add_all, reduced};
use crate::cpu::ifma::{LIMB_BITS, MASK, Modulus, is_available, set, split};

/// Vectors at once.
const K: usize = 2;
const COUNT: usize = 8 * K;

/// Shows that the processor has the instructions.
#[derive(Clone, Copy)]
pub struct Ifma(());

impl Ifma {
    /// `None` where the processor lacks them.
    pub fn new() -> Option<Self> {
        is_available().then_some(Self(()))
    }
}

type Vector = [__m512i; 5];
type Value = [Vector; K];

const P: [u64; 5] = Modulus::<FqConfig>::LIMBS;
/// The modulus is `2^254 + t`.
const TOP_BITS: u32 = 254 - 4 * LIMB_BITS;
const _: () = assert!(P[4] == 1 << TOP_BITS && P[3] == 0);

/// `factor·p`, with limbs that are not carried.
const fn times_modulus(factor: u64) -> [u64; 5] {
    let mut limbs = P;
    let mut i = 0;
    while i < 5 {
        limbs[i] *= factor;
        i += 1;
    }
    limbs
}

/// `p − q·t` for `q = 0, …, 7`, in the low limbs: what replaces `q·2^254`, and one `p` that keeps the result
/// positive.
const REPLACEMENT: [[i64; 8]; 3] = {
    let mut table = [[0; 8]; 3];
    let mut q = 0;
    while q < 8 {
        let mut i = 0;
        while i < 3 {
            table[i][q] = P[i] as i64 * (1 - q as i64);
            i += 1;
        }
        q += 1;
    }
    table
};

#[inline(always)]
fn zero(_: Ifma) -> Value {
    // SAFETY: `Ifma` shows that the processor has AVX-512.
    [[unsafe { _mm512_setzero_si512() }; 5]; K]
}

/// Takes carries; limbs are signed, the value is not.
#[inline(always)]
fn carried(_: Ifma, mut value: Value) -> Value {
    // SAFETY: `Ifma` shows that the processor has AVX-512.
    unsafe {
        let mask = set(MASK);
        for i in 0..4 {
            for limbs in &mut value {
                limbs[i + 1] = _mm512_add_epi64(limbs[i + 1], _mm512_srai_epi64::<LIMB_BITS>(limbs[i]));
                limbs[i] = _mm512_and_si512(limbs[i], mask);
            }
        }
    }
    value
}

/// `Σ aᵢ·bⱼ` by weight, plus `addend·2^260`.
#[inline(always)]
fn columns(_: Ifma, a: &Value, b: &Value, addend: &Value) -> [[__m512i; 10]; K] {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        let mut columns = [[_mm512_setzero_si512(); 10]; K];
        for k in 0..K {
            columns[k][5..].copy_from_slice(&addend[k]);
        }
        for i in 0..5 {
            for j in 0..5 {
                for k in 0..K {
                    let column = &mut columns[k];
                    column[i + j] = _mm512_madd52lo_epu64(column[i + j], a[k][i], b[k][j]);
                    column[i + j + 1] = _mm512_madd52hi_epu64(column[i + j + 1], a[k][i], b[k][j]);
                }
            }
        }
        columns
    }
}

/// [`columns`] of a square.
#[inline(always)]
fn square_columns(_: Ifma, a: &Value, addend: &Value) -> [[__m512i; 10]; K] {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        let mut columns = [[_mm512_setzero_si512(); 10]; K];
        for i in 0..5 {
            for j in i + 1..5 {
                for k in 0..K {
                    let column = &mut columns[k];
                    column[i + j] = _mm512_madd52lo_epu64(column[i + j], a[k][i], a[k][j]);
                    column[i + j + 1] = _mm512_madd52hi_epu64(column[i + j + 1], a[k][i], a[k][j]);
                }
            }
        }
        for k in 0..K {
            let column = &mut columns[k];
            for c in column.iter_mut() {
                *c = _mm512_add_epi64(*c, *c);
            }
            for i in 0..5 {
                column[5 + i] = _mm512_add_epi64(column[5 + i], addend[k][i]);
            }
            for i in 0..5 {
                column[2 * i] = _mm512_madd52lo_epu64(column[2 * i], a[k][i], a[k][i]);
                column[2 * i + 1] = _mm512_madd52hi_epu64(column[2 * i + 1], a[k][i], a[k][i]);
            }
        }
        columns
    }
}

/// `columns·2^-260 mod p`, below `columns·2^-260 + p`; limbs are not carried.
///
/// The modulus is `1 + …` in its lowest limb's reduction: adding `factor·p` clears a column's low 52 bits, so what it
/// carries is known before the factor is: one more unless those bits are zero. The modulus' top limb is a power of two
/// and takes shifts.
#[inline(always)]
fn montgomery(ifma: Ifma, mut columns: [[__m512i; 10]; K]) -> Value {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        let zero = _mm512_setzero_si512();
        let mask = set(MASK);
        let inverse = set(Modulus::<FqConfig>::INVERSE);
        let mut top = [zero; K];
        for i in 0..5 {
            for k in 0..K {
                let column = &mut columns[k];
                let factor = _mm512_madd52lo_epu64(zero, column[i], inverse);
                let carry = _mm512_srli_epi64::<LIMB_BITS>(_mm512_add_epi64(column[i], mask));
                let next = _mm512_madd52lo_epu64(carry, factor, set(P[1]));
                column[i + 1] = _mm512_madd52hi_epu64(column[i + 1], factor, set(P[0]));
                column[i + 1] = _mm512_add_epi64(column[i + 1], next);
                column[i + 2] = _mm512_madd52hi_epu64(column[i + 2], factor, set(P[1]));
                column[i + 2] = _mm512_madd52lo_epu64(column[i + 2], factor, set(P[2]));
                column[i + 3] = _mm512_madd52hi_epu64(column[i + 3], factor, set(P[2]));
                let low = _mm512_and_si512(_mm512_slli_epi64::<TOP_BITS>(factor), mask);
                column[i + 4] = _mm512_add_epi64(column[i + 4], _mm512_or_si512(low, top[k]));
                top[k] = _mm512_srli_epi64::<{ LIMB_BITS - TOP_BITS }>(factor);
            }
        }
        let mut out = self::zero(ifma);
        for k in 0..K {
            out[k].copy_from_slice(&columns[k][5..]);
            out[k][4] = _mm512_add_epi64(out[k][4], top[k]);
        }
        out
    }
}

/// Reduces a value between `0` and `8p`, limbs not carried, below `2p + 2^221`.
#[inline(always)]
fn reduce(ifma: Ifma, mut value: Value) -> Value {
    // SAFETY: `Ifma` shows that the processor has AVX-512; a row of the table is a vector.
    unsafe {
        for limbs in &mut value {
            // What lies above 2^254, but for the carries into the last limb, which amount to less than 2^221.
            let quotient = _mm512_srli_epi64::<TOP_BITS>(limbs[4]);
            limbs[4] = _mm512_and_si512(limbs[4], set((1 << TOP_BITS) - 1));
            limbs[4] = _mm512_add_epi64(limbs[4], set(P[4]));
            for (limb, row) in limbs.iter_mut().zip(&REPLACEMENT) {
                let row = _mm512_loadu_si512(row.as_ptr().cast());
                *limb = _mm512_add_epi64(*limb, _mm512_permutexvar_epi64(quotient, row));
            }
        }
    }
    carried(ifma, value)
}

/// Words of eight elements to limbs.
#[inline(always)]
fn load(_: Ifma, words: [&[u64; 4]; 8]) -> Vector {
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
fn store(_: Ifma, limbs: Vector) -> [__m256i; 8] {
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

/// `a + factor·p − b`, not carried.
#[inline(always)]
fn plus_modulus_minus(_: Ifma, a: &Value, factor: u64, b: &Value) -> Value {
    let modulus = times_modulus(factor);
    // SAFETY: `Ifma` shows that the processor has AVX-512.
    unsafe {
        let mut out = *a;
        for k in 0..K {
            for i in 0..5 {
                out[k][i] = _mm512_sub_epi64(_mm512_add_epi64(a[k][i], set(modulus[i])), b[k][i]);
            }
        }
        out
    }
}

impl Lanes for Ifma {
    const COUNT: usize = COUNT;
    type Value = Value;

    #[inline(always)]
    fn start(self) -> Value {
        let mut value = zero(self);
        for limbs in &mut value {
            for (limb, one) in limbs.iter_mut().zip(split(Base::ONE.0.0)) {
                // SAFETY: `Ifma` shows that the processor has AVX-512.
                *limb = unsafe { set(one) };
            }
        }
        value
    }

    #[inline(always)]
    fn x(self, slots: &[Slot], at: &[u32]) -> Value {
        let mut value = zero(self);
        for (limbs, at) in value.iter_mut().zip(at.chunks_exact(8)) {
            let x = |i: usize| &slots[at[i] as usize].x;
            *limbs = load(self, [x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)]);
        }
        value
    }

    #[inline(always)]
    fn y(self, slots: &[Slot], at: &[u32]) -> Value {
        let mut value = zero(self);
        for (limbs, at) in value.iter_mut().zip(at.chunks_exact(8)) {
            let y = |i: usize| &slots[at[i] as usize].y;
            *limbs = load(self, [y(0), y(1), y(2), y(3), y(4), y(5), y(6), y(7)]);
        }
        value
    }

    #[inline(always)]
    fn write(self, slots: &mut [Slot], at: &[u32], x: Value, y: Value) {
        for ((x, y), at) in x.into_iter().zip(y).zip(at.chunks_exact(8)) {
            let (x, y) = (store(self, x), store(self, y));
            for i in 0..8 {
                let slot = &mut slots[at[i] as usize];
                // SAFETY: `Ifma` shows that the processor has AVX-512; a coordinate is 32 bytes.
                unsafe {
                    _mm256_storeu_si256(slot.x.as_mut_ptr().cast(), x[i]);
                    _mm256_storeu_si256(slot.y.as_mut_ptr().cast(), y[i]);
                }
            }
        }
    }

    #[inline(always)]
    fn difference(self, a: Value, b: Value) -> Value {
        carried(self, plus_modulus_minus(self, &a, 3, &b))
    }

    #[inline(always)]
    fn product(self, a: Value, b: Value) -> Value {
        carried(self, montgomery(self, columns(self, &a, &b, &zero(self))))
    }

    #[inline(always)]
    fn inverse(self, ends: Value) -> Option<Value> {
        let mut elements = [Base::ONE; COUNT];
        for (elements, limbs) in elements.chunks_exact_mut(8).zip(ends) {
            for (element, vector) in elements.iter_mut().zip(store(self, limbs)) {
                let mut words = [0; 4];
                // SAFETY: `Ifma` shows that the processor has AVX-512; the array is 32 bytes.
                unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
                *element = reduced(words);
            }
        }
        // An element e here stands for the integer e·2^256; 2^6/e then stands for 2^518 over that integer.
        let mut before = [Base::ONE; COUNT];
        let mut product = Base::ONE;
        for (before, element) in before.iter_mut().zip(&elements) {
            *before = product;
            product *= element;
        }
        let mut inverse = product.inverse()? * Base::from(64u64);
        for (before, element) in before.iter().zip(elements.iter_mut()).rev() {
            let this = inverse * before;
            inverse *= *element;
            *element = this;
        }
        let mut value = zero(self);
        for (limbs, elements) in value.iter_mut().zip(elements.chunks_exact(8)) {
            let words = |i: usize| &elements[i].0.0;
            *limbs =
                load(self, [words(0), words(1), words(2), words(3), words(4), words(5), words(6), words(7)]);
        }
        Some(value)
    }

    #[inline(always)]
    fn third_x(self, slope: Value, x1: Value, x2: Value) -> Value {
        let addend = plus_modulus_minus(self, &zero(self), 5, &x1);
        let addend = plus_modulus_minus(self, &addend, 0, &x2);
        reduce(self, montgomery(self, square_columns(self, &slope, &addend)))
    }

    #[inline(always)]
    fn third_y(self, slope: Value, x1: Value, x: Value, y1: Value) -> Value {
        let mut run = plus_modulus_minus(self, &x1, 3, &x);
        for limb in run.iter_mut().flatten() {
            // SAFETY: `Ifma` shows that the processor has AVX-512.
            *limb = unsafe { _mm512_slli_epi64::<2>(*limb) };
        }
        let addend = plus_modulus_minus(self, &zero(self), 3, &y1);
        reduce(self, montgomery(self, columns(self, &slope, &carried(self, run), &addend)))
    }

    fn add_all(self, slots: &mut [Slot], pairs: &Pairs, chain: &mut Vec<Value>) -> bool {
        #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512vl")]
        fn compiled(ifma: Ifma, slots: &mut [Slot], pairs: &Pairs, chain: &mut Vec<Value>) -> bool {
            add_all(ifma, slots, pairs, chain)
        }
        // SAFETY: `Ifma` shows that the processor has these instructions.
        unsafe { compiled(self, slots, pairs, chain) }
    }
}
