//! [`Lanes`] on AVX-512 IFMA: eight elements of `F` at once.

use core::arch::x86_64::*;
use core::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use ark_ff::{AdditiveGroup, MontConfig};
use weightproof_circuits::accumulate::{Config, ProductSum};
use weightproof_circuits::field::{F, inverse_power_of_two, power_of_two};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::ifma::{
    Columns, Ifma, LIMB_BITS, MASK, Modulus, Vector, carried, load, montgomery, multiply, multiply_into, set,
    split, zero,
};
use super::lanes::{Kernel, Lanes};

/// Eight elements in memory: limb by limb, in Montgomery form for `2^260`, below `4p`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Block([[u64; 8]; 5]);

/// An array of blocks within one of words.
///
/// Large arrays of words come from the system as pages that are zero and not there until they are touched. For types of
/// greater alignment the standard library writes the zeros itself, on the thread that asks.
pub struct Blocks {
    words: Vec<u64>,
    /// The first word on the alignment of a block.
    first: usize,
    blocks: usize,
}

const BLOCK_WORDS: usize = size_of::<Block>() / size_of::<u64>();
const ALIGNMENT_WORDS: usize = align_of::<Block>() / size_of::<u64>();

impl Blocks {
    fn zeros(blocks: usize) -> Self {
        let words = vec![0u64; blocks * BLOCK_WORDS + ALIGNMENT_WORDS];
        // The address does not change while the vector is not resized, which nobody can do.
        let first = (words.as_ptr() as usize / size_of::<u64>()).wrapping_neg() % ALIGNMENT_WORDS;
        Self { words, first, blocks }
    }

    fn range(&self) -> core::ops::Range<usize> {
        self.first..self.first + self.blocks * BLOCK_WORDS
    }
}

impl Deref for Blocks {
    type Target = [Block];

    fn deref(&self) -> &[Block] {
        <[Block]>::ref_from_bytes(self.words[self.range()].as_bytes()).expect("aligned, and whole blocks")
    }
}

impl DerefMut for Blocks {
    fn deref_mut(&mut self) -> &mut [Block] {
        let range = self.range();
        <[Block]>::mut_from_bytes(self.words[range].as_mut_bytes()).expect("aligned, and whole blocks")
    }
}

/// `2^252` and `2^-8`, which lead from the form for `2^260` back to ark's: for an element read as a sum of products, and
/// for such a sum.
fn leaving() -> &'static [F; 2] {
    static FACTORS: OnceLock<[F; 2]> = OnceLock::new();
    FACTORS.get_or_init(|| [power_of_two(252), inverse_power_of_two(8)])
}

#[target_feature(enable = "avx512f,avx512ifma,avx512dq,avx512vl")]
fn with_instructions<K: Kernel<Eight>>(kernel: K, ifma: Ifma) -> K::Output {
    kernel.run(ifma)
}

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

/// Eight elements.
#[derive(Clone, Copy)]
pub struct Eight {
    limbs: Vector,
    ifma: Ifma,
}

/// `Σ a·b` in every lane, by columns of weight `2^(52·i)`.
#[derive(Clone, Copy)]
pub struct EightSum {
    columns: Columns,
    ifma: Ifma,
}

impl Eight {
    /// With carries taken.
    #[inline(always)]
    fn of(ifma: Ifma, limbs: Vector) -> Self {
        Self { limbs: carried(ifma, limbs), ifma }
    }

    /// `self + amount − other`.
    #[inline(always)]
    fn plus_minus(self, amount: [u64; 5], other: Self) -> Self {
        let mut limbs = self.limbs;
        for ((limb, other), amount) in limbs.iter_mut().zip(other.limbs).zip(amount) {
            // SAFETY: `Ifma` shows that the processor has AVX-512.
            *limb = unsafe { _mm512_sub_epi64(_mm512_add_epi64(*limb, set(amount)), other) };
        }
        Self::of(self.ifma, limbs)
    }
}

impl Lanes for Eight {
    const LANES: usize = 8;
    type Token = Ifma;
    type Block = Block;
    type Storage = Blocks;
    type Constant = [u64; 5];
    type Sum = EightSum;

    fn vectorize<K: Kernel<Self>>(ifma: Ifma, kernel: K) -> K::Output {
        // SAFETY: `Ifma` shows that the processor has the instructions.
        unsafe { with_instructions(kernel, ifma) }
    }

    fn enter(value: F) -> F {
        value.double().double().double().double()
    }

    fn constant(value: &F) -> [u64; 5] {
        split(Self::enter(*value).0.0)
    }

    fn zeros(blocks: usize) -> Blocks {
        Blocks::zeros(blocks)
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
    fn load(ifma: Ifma, block: &Block) -> Self {
        let mut limbs = zero(ifma);
        for (vector, limb) in limbs.iter_mut().zip(&block.0) {
            // SAFETY: `Ifma` shows that the processor has AVX-512; a limb is an aligned vector.
            *vector = unsafe { _mm512_load_si512(limb.as_ptr().cast()) };
        }
        Self { limbs, ifma }
    }

    #[inline(always)]
    fn store(self) -> Block {
        let mut block = Block([[0; 8]; 5]);
        for (limb, vector) in block.0.iter_mut().zip(self.limbs) {
            // SAFETY: `Ifma` shows that the processor has AVX-512; a limb is an aligned vector.
            unsafe { _mm512_store_si512(limb.as_mut_ptr().cast(), vector) }
        }
        block
    }

    #[inline(always)]
    fn spread(ifma: Ifma, constant: &[u64; 5]) -> Self {
        let mut limbs = zero(ifma);
        for (vector, limb) in limbs.iter_mut().zip(constant) {
            // SAFETY: `Ifma` shows that the processor has AVX-512.
            *vector = unsafe { set(*limb) };
        }
        Self { limbs, ifma }
    }

    #[inline(always)]
    fn gather(ifma: Ifma, entered: &[F], first: usize, stride: usize) -> Self {
        let words = |lane: usize| &entered[first + lane * stride].0.0;
        let limbs =
            load(ifma, [words(0), words(1), words(2), words(3), words(4), words(5), words(6), words(7)]);
        Self { limbs, ifma }
    }

    #[inline(always)]
    fn integers(ifma: Ifma, integers: &[i32], first: usize, stride: usize) -> Self {
        let mut values = [OFFSET as i64; 8];
        for (lane, value) in values.iter_mut().enumerate() {
            *value += i64::from(integers[first + lane * stride]);
        }
        let mut unsigned = zero(ifma);
        // SAFETY: `Ifma` shows that the processor has AVX-512; eight words are read.
        unsigned[0] = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
        let raise = Self::spread(ifma, &RAISE);
        let element = Self::of(ifma, multiply::<Config>(ifma, &unsigned, &raise.limbs, &zero(ifma)));
        element.plus_minus(Modulus::<Config>::LIMBS, Self::spread(ifma, &OFFSET_ELEMENT))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let mut limbs = self.limbs;
        for (limb, other) in limbs.iter_mut().zip(other.limbs) {
            // SAFETY: `Ifma` shows that the processor has AVX-512.
            *limb = unsafe { _mm512_add_epi64(*limb, other) };
        }
        Self::of(self.ifma, limbs)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.plus_minus(Modulus::<Config>::times(4), other)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let zero = zero(self.ifma);
        Self::of(self.ifma, multiply::<Config>(self.ifma, &self.limbs, &other.limbs, &zero))
    }

    #[inline(always)]
    fn mul_add<const N: usize>(a: [Self; N], b: [Self; N]) -> Self {
        const { assert!(N > 0) };
        let ifma = a[0].ifma;
        let mut sum = Self::empty_sum(ifma);
        for (a, b) in a.iter().zip(&b) {
            multiply_into(ifma, &mut sum.columns, &a.limbs, &b.limbs);
        }
        Self::of(ifma, montgomery::<Config>(ifma, sum.columns))
    }

    #[inline(always)]
    fn reduce(self) -> Self {
        let mut limbs = self.limbs;
        for (limb, amount) in limbs.iter_mut().zip(Modulus::<Config>::times(2)) {
            // SAFETY: `Ifma` shows that the processor has AVX-512.
            *limb = unsafe { _mm512_sub_epi64(*limb, set(amount)) };
        }
        let mut difference = Self::of(self.ifma, limbs);
        // SAFETY: `Ifma` shows that the processor has AVX-512.
        unsafe {
            let negative = _mm512_movepi64_mask(difference.limbs[4]);
            for (limb, own) in difference.limbs.iter_mut().zip(self.limbs) {
                *limb = _mm512_mask_mov_epi64(*limb, negative, own);
            }
        }
        difference
    }

    #[inline(always)]
    fn empty_sum(ifma: Ifma) -> EightSum {
        let [a, b, c, d, e] = zero(ifma);
        EightSum { columns: [a, b, c, d, e, a, b, c, d, e], ifma }
    }

    #[inline(always)]
    fn sum_add(sum: &mut EightSum, a: Self, b: Self) {
        // A column takes at most nine terms below 2^52 a product, and `TERMS` times that, with what a carry leaves, is
        // below 2^64.
        multiply_into(sum.ifma, &mut sum.columns, &a.limbs, &b.limbs);
    }

    #[inline(always)]
    fn carry(sum: &mut EightSum) {
        // SAFETY: `Ifma` shows that the processor has AVX-512.
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
            // SAFETY: `Ifma` shows that the processor has AVX-512; eight words are written.
            unsafe { _mm512_storeu_si512(column.as_mut_ptr().cast(), vector) }
        }
        let lanes = weights.iter().enumerate().map(|(lane, weight)| {
            ProductSum::from_columns(columns.map(|column| column[lane])).value() * weight
        });
        lanes.sum::<F>() * leaving()[1]
    }
}
