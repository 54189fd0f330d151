//! Arrays of field elements in the form in which the processor multiplies them fastest.
//!
//! An array of `N` elements is held as `N / LANES` blocks; lane `k` of block `b` is element `k·N/LANES + b`. So the lanes
//! are the most significant coordinates of the index, and binding the least significant one combines neighbouring blocks
//! lane by lane, without moving anything between lanes. Blocks are only loosely reduced, below `4p`; elements that leave
//! an array are reduced fully and do not depend on the implementation.

use core::ops::DerefMut;

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::accumulate::ProductSum;
use weightproof_circuits::field::F;

/// Terms that an unreduced sum holds before its carries must be taken.
pub const TERMS: usize = 256;

/// Arithmetic on the lanes of a block.
///
/// Bounds are multiples of `p`; all values must stay below `63p`, which is below `2^260`. Factors below `αp` and `βp` have a
/// product below `(αβ/64 + 1)p`, up to `2^-120·p`.
///
/// Where an implementation needs an instruction set, its token shows that the processor has it. Every value is made with a
/// token, so that none exists where the instructions do not.
pub trait Lanes: Copy + Send + Sync + 'static {
    /// Elements of a block, a power of two.
    const LANES: usize;
    /// Shows that the processor has the instructions.
    type Token: Copy + Send + Sync;
    /// What is held in memory.
    type Block: Copy + Send + Sync;
    /// An array of blocks.
    type Storage: DerefMut<Target = [Self::Block]> + Send + Sync;
    /// One element for all lanes.
    type Constant: Copy + Send + Sync;
    /// `Σ a·b` in every lane, unreduced.
    type Sum: Copy;

    /// Runs a kernel with the instruction set of the implementation.
    fn vectorize<K: Kernel<Self>>(token: Self::Token, kernel: K) -> K::Output;

    /// The element whose own limbs are the limbs of `value` in a block.
    fn enter(value: F) -> F;
    /// A constant.
    fn constant(value: &F) -> Self::Constant;
    /// Blocks of zeros. Where it can be, their memory is touched first by whoever writes them, so that all threads share
    /// the page faults.
    fn zeros(blocks: usize) -> Self::Storage;
    /// The reduced elements of a block.
    fn elements(block: &Self::Block) -> impl Iterator<Item = F>;

    /// Reads a block.
    fn load(token: Self::Token, block: &Self::Block) -> Self;
    /// Makes a block of values below `4p`.
    fn store(self) -> Self::Block;
    /// The constant in every lane.
    fn spread(token: Self::Token, constant: &Self::Constant) -> Self;
    /// Lane `k` from `entered[first + k·stride]`, elements that [`Lanes::enter`] has prepared.
    fn gather(token: Self::Token, entered: &[F], first: usize, stride: usize) -> Self;
    /// Lane `k` from the integer `integers[first + k·stride]`; below `3p`.
    fn integers(token: Self::Token, integers: &[i32], first: usize, stride: usize) -> Self;

    /// The sum; bounds add.
    fn add(self, other: Self) -> Self;
    /// The difference; `other` is below `4p`, and the bound grows by 4.
    fn sub(self, other: Self) -> Self;
    /// The product.
    fn mul(self, other: Self) -> Self;
    /// `Σ aᵢ·bᵢ`, below `(Σ αᵢβᵢ/64 + 1)p`.
    fn mul_add<const N: usize>(a: [Self; N], b: [Self; N]) -> Self;
    /// The same value below `2p`, of one below `4p`.
    fn reduce(self) -> Self;

    /// No terms.
    fn empty_sum(token: Self::Token) -> Self::Sum;
    /// Adds `a·b`; at most [`TERMS`] calls between two of [`Lanes::carry`].
    fn sum_add(sum: &mut Self::Sum, a: Self, b: Self);
    /// Makes room for more terms, up to 4,096 in all whatever their bounds.
    fn carry(sum: &mut Self::Sum);
    /// `Σ_lane weights[lane]·sum[lane]`.
    fn total(sum: Self::Sum, weights: &[F]) -> F;
}

/// A loop over blocks. [`Kernel::run`] is to be inlined always, so that it is compiled with the instruction set.
pub trait Kernel<L: Lanes> {
    /// What it returns.
    type Output;
    /// Runs.
    fn run(self, token: L::Token) -> Self::Output;
}

/// The two factors `(1 − c, c)` that bind a variable to `c`.
pub fn binding<L: Lanes>(challenge: &F) -> [L::Constant; 2] {
    [L::constant(&(F::ONE - challenge)), L::constant(challenge)]
}

/// `even + c·(odd − even)` for the factors of [`binding`]: below `1.2p` for values below `4p`.
#[inline(always)]
pub fn bind<L: Lanes>(factors: [L; 2], even: L, odd: L) -> L {
    L::mul_add([even, odd], factors)
}

/// The elements of an array, in order.
pub fn flatten<L: Lanes>(blocks: &[L::Block]) -> Vec<F> {
    let mut out = vec![F::ZERO; blocks.len() * L::LANES];
    for (b, block) in blocks.iter().enumerate() {
        for (k, element) in L::elements(block).enumerate() {
            out[k * blocks.len() + b] = element;
        }
    }
    out
}

/// One element a block: any processor.
#[derive(Clone, Copy)]
pub struct One(F);

impl Lanes for One {
    const LANES: usize = 1;
    type Token = ();
    type Block = F;
    type Storage = Vec<F>;
    type Constant = F;
    type Sum = ProductSum;

    fn vectorize<K: Kernel<Self>>(_token: (), kernel: K) -> K::Output {
        kernel.run(())
    }

    fn enter(value: F) -> F {
        value
    }
    fn constant(value: &F) -> F {
        *value
    }
    fn zeros(blocks: usize) -> Vec<F> {
        (0..blocks).into_par_iter().with_min_len(1 << 14).map(|_| F::ZERO).collect()
    }
    fn elements(block: &F) -> impl Iterator<Item = F> {
        core::iter::once(*block)
    }

    #[inline(always)]
    fn load(_token: (), block: &F) -> Self {
        Self(*block)
    }
    #[inline(always)]
    fn store(self) -> F {
        self.0
    }
    #[inline(always)]
    fn spread(_token: (), constant: &F) -> Self {
        Self(*constant)
    }
    #[inline(always)]
    fn gather(_token: (), entered: &[F], first: usize, _stride: usize) -> Self {
        Self(entered[first])
    }
    #[inline(always)]
    fn integers(_token: (), integers: &[i32], first: usize, _stride: usize) -> Self {
        Self(F::from(integers[first]))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
    #[inline(always)]
    fn mul_add<const N: usize>(a: [Self; N], b: [Self; N]) -> Self {
        Self(F::sum_of_products(&a.map(|a| a.0), &b.map(|b| b.0)))
    }
    #[inline(always)]
    fn reduce(self) -> Self {
        self
    }
    #[inline(always)]
    fn empty_sum(_token: ()) -> ProductSum {
        ProductSum::default()
    }
    #[inline(always)]
    fn sum_add(sum: &mut ProductSum, a: Self, b: Self) {
        sum.add(&a.0, &b.0);
    }
    #[inline(always)]
    fn carry(_sum: &mut ProductSum) {}
    #[inline(always)]
    fn total(sum: ProductSum, weights: &[F]) -> F {
        sum.value() * weights[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{BigInt, MontConfig};
    use weightproof_circuits::accumulate::Config;

    fn elements(count: usize) -> Vec<F> {
        let mut largest = Config::MODULUS;
        largest.0[0] -= 1;
        let mut all =
            vec![F::ZERO, F::ONE, -F::ONE, F::new_unchecked(BigInt([1, 0, 0, 0])), F::new_unchecked(largest)];
        let mut x = F::from(3u64);
        while all.len() < count {
            x = x.square() + F::from(7u64);
            all.push(x);
        }
        all
    }

    /// Every operation on all lanes, with factors as loose as they come.
    struct Operations<'a> {
        a: &'a [F],
        b: &'a [F],
        integers: &'a [i32],
        c: F,
    }

    impl<L: Lanes> Kernel<L> for Operations<'_> {
        type Output = Vec<L::Block>;
        #[inline(always)]
        fn run(self, token: L::Token) -> Vec<L::Block> {
            let enter = |values: &[F]| values.iter().map(|v| L::enter(*v)).collect::<Vec<_>>();
            let (a, b) = (enter(self.a), enter(self.b));
            let factors = binding::<L>(&self.c);
            let (x, y) = (L::gather(token, &a, 0, 1), L::gather(token, &b, 0, 1));
            let c = L::spread(token, &L::constant(&self.c));
            let factors = [L::spread(token, &factors[0]), L::spread(token, &factors[1])];
            let (up, down) = (x.sub(y), y.sub(x));
            let one = L::spread(token, &L::constant(&F::ONE));
            let again = L::load(token, &x.store());
            vec![
                again.store(),
                x.add(y).store(),
                x.mul(y).store(),
                // 9p·9p reduced twice.
                up.add(down).add(x).mul(up.add(up)).mul(one).mul(one).store(),
                L::mul_add([up, down], [down, c]).mul(one).mul(one).store(),
                bind(factors, x, y).reduce().store(),
                L::integers(token, self.integers, 0, 1).store(),
            ]
        }
    }

    fn operations_agree<L: Lanes>(token: L::Token) {
        let all = elements(40);
        for shift in 0..all.len() {
            let pick = |i: usize| all[i % all.len()];
            let a: Vec<F> = (0..L::LANES).map(pick).collect();
            let b: Vec<F> = (0..L::LANES).map(|i| pick(i + shift)).collect();
            let c = pick(7 * shift);
            let integers: Vec<i32> = (0..L::LANES as i32)
                .map(|i| [0, 1, -1, i32::MAX, i32::MIN, 4096, -32768, shift as i32][(i as usize + shift) % 8])
                .collect();
            let blocks = L::vectorize(token, Operations { a: &a, b: &b, integers: &integers, c });
            let found: Vec<Vec<F>> = blocks.iter().map(|block| L::elements(block).collect()).collect();
            for (i, (x, y)) in a.iter().zip(&b).enumerate() {
                let expected = [
                    *x,
                    *x + y,
                    *x * y,
                    *x * (*x - y).double(),
                    (*x - y) * (*y - x) + (*y - x) * c,
                    *x + c * (*y - x),
                    F::from(integers[i]),
                ];
                for (operation, expected) in expected.iter().enumerate() {
                    assert_eq!(found[operation][i], *expected, "operation {operation} on {x} and {y}");
                }
            }
        }
    }

    struct LargestSum<'a>(&'a [F]);

    impl<L: Lanes> Kernel<L> for LargestSum<'_> {
        type Output = F;
        #[inline(always)]
        fn run(self, token: L::Token) -> F {
            let x = L::gather(token, self.0, 0, 1);
            // 32p, as many terms as are allowed between carries.
            let loose = (0..5).fold(x, |x, _| x.add(x));
            let mut sum = L::empty_sum(token);
            for _ in 0..3 {
                for _ in 0..TERMS {
                    L::sum_add(&mut sum, loose, loose);
                }
                L::carry(&mut sum);
            }
            let weights: Vec<F> = (1..=L::LANES as u64).map(F::from).collect();
            L::total(sum, &weights)
        }
    }

    fn largest_sum_agrees<L: Lanes>(token: L::Token) {
        let largest = elements(5)[4];
        let found = L::vectorize(token, LargestSum(&vec![largest; L::LANES]));
        let value = (F::from(largest) * F::from(32u64)) * L::enter(F::ONE).inverse().expect("not zero");
        let weights = (L::LANES * (L::LANES + 1) / 2) as u64;
        assert_eq!(found, value.square() * F::from(weights * 3 * TERMS as u64));
    }

    #[test]
    fn one_lane() {
        operations_agree::<One>(());
        largest_sum_agrees::<One>(());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn eight_lanes_where_the_processor_has_them() {
        if let Some(ifma) = super::super::ifma::Ifma::new() {
            operations_agree::<super::super::eight::Eight>(ifma);
            largest_sum_agrees::<super::super::eight::Eight>(ifma);
        }
    }
}
