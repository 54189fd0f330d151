//! [`Lanes`] on AVX-512 IFMA: sixteen additions at once.
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
//! `6p`. A product of factors below `αp` and `βp` is below `(αβ/64 + 1)p`: links are below `1.2p`, slopes of chords too.
//! Slopes of tangents, from factors below `52p` and `1.2p`, are below `2p`. With `24p` for four times a difference,
//! neither coordinate reaches `7p` before it is reduced.

use core::arch::x86_64::*;

use ark_ff::Field;
use ark_vesta::FqConfig;
use weightproof_circuits::curve::Base;

use super::{Lanes, Links, Operands, Pair, add_all, reduced};
use crate::cpu::ifma::{
    Columns, Ifma, Modulus, TOP_BITS, Vector, carried, load, montgomery, multiply, set, split, store, zero,
};

/// Two vectors: the instructions of one fill the gaps between those of the other.
type Value = [Vector; 2];

const P: [u64; 5] = Modulus::<FqConfig>::LIMBS;
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

/// `a² + addend·2^260`.
#[inline(always)]
fn square_columns(_: Ifma, a: &Vector, addend: &Vector) -> Columns {
    // SAFETY: `Ifma` shows that the processor has AVX-512 IFMA.
    unsafe {
        let mut columns = [_mm512_setzero_si512(); 10];
        for i in 0..5 {
            for j in i + 1..5 {
                columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], a[i], a[j]);
                columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], a[i], a[j]);
            }
        }
        for column in &mut columns {
            *column = _mm512_add_epi64(*column, *column);
        }
        for i in 0..5 {
            columns[5 + i] = _mm512_add_epi64(columns[5 + i], addend[i]);
        }
        for i in 0..5 {
            columns[2 * i] = _mm512_madd52lo_epu64(columns[2 * i], a[i], a[i]);
            columns[2 * i + 1] = _mm512_madd52hi_epu64(columns[2 * i + 1], a[i], a[i]);
        }
        columns
    }
}

/// Reduces a value between `0` and `8p`, limbs not carried, below `2p + 2^221`.
#[inline(always)]
fn reduce(ifma: Ifma, mut limbs: Vector) -> Vector {
    // SAFETY: `Ifma` shows that the processor has AVX-512; a row of the table is a vector.
    unsafe {
        // What lies above 2^254, but for the carries into the last limb, which amount to less than 2^221.
        let quotient = _mm512_srli_epi64::<TOP_BITS>(limbs[4]);
        limbs[4] = _mm512_and_si512(limbs[4], set((1 << TOP_BITS) - 1));
        limbs[4] = _mm512_add_epi64(limbs[4], set(P[4]));
        for (limb, row) in limbs.iter_mut().zip(&REPLACEMENT) {
            let row = _mm512_loadu_si512(row.as_ptr().cast());
            *limb = _mm512_add_epi64(*limb, _mm512_permutexvar_epi64(quotient, row));
        }
    }
    carried(ifma, limbs)
}

/// `a + factor·p − b`, not carried.
#[inline(always)]
fn plus_modulus_minus(_: Ifma, a: &Vector, factor: u64, b: &Vector) -> Vector {
    let modulus = Modulus::<FqConfig>::times(factor);
    let mut out = *a;
    for i in 0..5 {
        // SAFETY: `Ifma` shows that the processor has AVX-512.
        out[i] = unsafe { _mm512_sub_epi64(_mm512_add_epi64(a[i], set(modulus[i])), b[i]) };
    }
    out
}

/// `a·b`.
#[inline(always)]
fn product(ifma: Ifma, a: &Vector, b: &Vector) -> Vector {
    carried(ifma, multiply::<FqConfig>(ifma, a, b, &zero(ifma)))
}

/// `b − a + 3p`.
#[inline(always)]
fn difference(ifma: Ifma, b: &Vector, a: &Vector) -> Vector {
    carried(ifma, plus_modulus_minus(ifma, b, 3, a))
}

/// `2y`, below `6p`.
#[inline(always)]
fn twice(ifma: Ifma, y: &Vector) -> Vector {
    let mut out = *y;
    for limb in &mut out {
        // SAFETY: `Ifma` shows that the processor has AVX-512.
        *limb = unsafe { _mm512_add_epi64(*limb, *limb) };
    }
    carried(ifma, out)
}

/// `3x²`, below `52p`: a product lacks a factor of 16.
#[inline(always)]
fn tangent(ifma: Ifma, x: &Vector) -> Vector {
    let mut out = montgomery::<FqConfig>(ifma, square_columns(ifma, x, &zero(ifma)));
    for limb in &mut out {
        // SAFETY: `Ifma` shows that the processor has AVX-512. Limbs are below 2^57 before.
        *limb = unsafe { _mm512_add_epi64(_mm512_slli_epi64::<5>(*limb), _mm512_slli_epi64::<4>(*limb)) };
    }
    carried(ifma, out)
}

/// `λ² − 2x₁`.
#[inline(always)]
fn tangent_x(ifma: Ifma, slope: &Vector, x1: &Vector) -> Vector {
    let addend = plus_modulus_minus(ifma, &zero(ifma), 5, x1);
    let addend = plus_modulus_minus(ifma, &addend, 0, x1);
    reduce(ifma, montgomery::<FqConfig>(ifma, square_columns(ifma, slope, &addend)))
}

#[inline(always)]
fn third_x(ifma: Ifma, slope: &Vector, x1: &Vector, difference: &Vector) -> Vector {
    // The difference has 3p in it.
    let addend = plus_modulus_minus(ifma, &zero(ifma), 8, difference);
    let addend = plus_modulus_minus(ifma, &addend, 0, x1);
    let addend = plus_modulus_minus(ifma, &addend, 0, x1);
    reduce(ifma, montgomery::<FqConfig>(ifma, square_columns(ifma, slope, &addend)))
}

#[inline(always)]
fn third_y(ifma: Ifma, slope: &Vector, x1: &Vector, x: &Vector, y1: &Vector) -> Vector {
    let mut run = plus_modulus_minus(ifma, x1, 3, x);
    for limb in &mut run {
        // SAFETY: `Ifma` shows that the processor has AVX-512.
        *limb = unsafe { _mm512_slli_epi64::<2>(*limb) };
    }
    let addend = plus_modulus_minus(ifma, &zero(ifma), 3, y1);
    reduce(ifma, multiply::<FqConfig>(ifma, slope, &carried(ifma, run), &addend))
}

#[inline(always)]
fn load_x<O: Operands>(ifma: Ifma, operands: &O, at: impl Fn(usize) -> u32) -> Vector {
    let x = |i: usize| operands.x(at(i));
    load(ifma, [x(0), x(1), x(2), x(3), x(4), x(5), x(6), x(7)])
}

#[inline(always)]
fn load_y<O: Operands>(ifma: Ifma, operands: &O, at: impl Fn(usize) -> u32) -> Vector {
    let y = |i: usize| operands.y(at(i));
    let mut limbs = load(ifma, [y(0), y(1), y(2), y(3), y(4), y(5), y(6), y(7)]);
    if O::SIGNED {
        let mut negative = 0;
        for i in 0..8 {
            negative |= u8::from(O::is_negative(at(i))) << i;
        }
        // 3p − y is positive, and below 3p: differences keep their bounds.
        for (limb, modulus) in limbs.iter_mut().zip(Modulus::<FqConfig>::times(3)) {
            // SAFETY: `Ifma` shows that the processor has AVX-512.
            *limb = unsafe { _mm512_mask_sub_epi64(*limb, negative, set(modulus), *limb) };
        }
    }
    limbs
}

#[inline(always)]
fn write<O: Operands>(ifma: Ifma, operands: &mut O, at: impl Fn(usize) -> u32, x: Vector, y: Vector) {
    let (x, y) = (store(ifma, x), store(ifma, y));
    for (i, (x, y)) in x.into_iter().zip(y).enumerate() {
        let slot = operands.out(at(i));
        // SAFETY: `Ifma` shows that the processor has AVX-512; a coordinate is 32 bytes.
        unsafe {
            _mm256_storeu_si256(slot.x.as_mut_ptr().cast(), x);
            _mm256_storeu_si256(slot.y.as_mut_ptr().cast(), y);
        }
    }
}

impl Lanes for Ifma {
    const COUNT: usize = 16;
    type Value = Value;

    #[inline(always)]
    fn start(self) -> Value {
        let mut one = zero(self);
        for (limb, word) in one.iter_mut().zip(split(Base::ONE.0.0)) {
            // SAFETY: `Ifma` shows that the processor has AVX-512.
            *limb = unsafe { set(word) };
        }
        [one; 2]
    }

    #[inline(always)]
    fn x<O: Operands>(self, operands: &O, at: impl Fn(usize) -> u32) -> Value {
        [load_x(self, operands, &at), load_x(self, operands, |i| at(8 + i))]
    }

    #[inline(always)]
    fn y<O: Operands>(self, operands: &O, at: impl Fn(usize) -> u32) -> Value {
        [load_y(self, operands, &at), load_y(self, operands, |i| at(8 + i))]
    }

    #[inline(always)]
    fn write<O: Operands>(self, operands: &mut O, at: impl Fn(usize) -> u32, x: Value, y: Value) {
        write(self, operands, &at, x[0], y[0]);
        write(self, operands, |i| at(8 + i), x[1], y[1]);
    }

    #[inline(always)]
    fn difference(self, b: Value, a: Value) -> Value {
        [difference(self, &b[0], &a[0]), difference(self, &b[1], &a[1])]
    }

    #[inline(always)]
    fn twice(self, y: Value) -> Value {
        [twice(self, &y[0]), twice(self, &y[1])]
    }

    #[inline(always)]
    fn tangent(self, x: Value) -> Value {
        [tangent(self, &x[0]), tangent(self, &x[1])]
    }

    #[inline(always)]
    fn tangent_x(self, slope: Value, x1: Value) -> Value {
        [tangent_x(self, &slope[0], &x1[0]), tangent_x(self, &slope[1], &x1[1])]
    }

    #[inline(always)]
    fn product(self, a: Value, b: Value) -> Value {
        [product(self, &a[0], &b[0]), product(self, &a[1], &b[1])]
    }

    #[inline(always)]
    fn inverse(self, ends: Value) -> Option<Value> {
        // One for both vectors, then one for eight lanes.
        let mut elements = [Base::ONE; 8];
        for (element, vector) in elements.iter_mut().zip(store(self, product(self, &ends[0], &ends[1]))) {
            let mut words = [0; 4];
            // SAFETY: `Ifma` shows that the processor has AVX-512; the array is 32 bytes.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
            *element = reduced(words);
        }
        // An element e here stands for the integer e·2^256; 2^6/e then stands for 2^518 over that integer.
        let mut before = [Base::ONE; 8];
        let mut running = Base::ONE;
        for (before, element) in before.iter_mut().zip(&elements) {
            *before = running;
            running *= element;
        }
        let mut inverse = running.inverse()? * Base::from(64u64);
        for (before, element) in before.iter().zip(elements.iter_mut()).rev() {
            let this = inverse * before;
            inverse *= *element;
            *element = this;
        }
        let words = |i: usize| &elements[i].0.0;
        let both =
            load(self, [words(0), words(1), words(2), words(3), words(4), words(5), words(6), words(7)]);
        Some([product(self, &both, &ends[1]), product(self, &both, &ends[0])])
    }

    #[inline(always)]
    fn third_x(self, slope: Value, x1: Value, difference: Value) -> Value {
        [third_x(self, &slope[0], &x1[0], &difference[0]), third_x(self, &slope[1], &x1[1], &difference[1])]
    }

    #[inline(always)]
    fn third_y(self, slope: Value, x1: Value, x: Value, y1: Value) -> Value {
        [third_y(self, &slope[0], &x1[0], &x[0], &y1[0]), third_y(self, &slope[1], &x1[1], &x[1], &y1[1])]
    }

    fn add_all<O: Operands, const DOUBLE: bool>(
        self,
        operands: &mut O,
        pairs: &mut Vec<Pair>,
        links: &mut Links<Self>,
    ) -> bool {
        #[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512vl")]
        fn compiled<O: Operands, const DOUBLE: bool>(
            ifma: Ifma,
            operands: &mut O,
            pairs: &mut Vec<Pair>,
            links: &mut Links<Ifma>,
        ) -> bool {
            add_all::<_, _, DOUBLE>(ifma, operands, pairs, links)
        }
        // SAFETY: `Ifma` shows that the processor has these instructions.
        unsafe { compiled::<_, DOUBLE>(self, operands, pairs, links) }
    }
}
