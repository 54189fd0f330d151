//! Affine additions with one inversion for all of them.
//!
//! `P + Q` for `P = (x₁, y₁)`, `Q = (x₂, y₂)`, `x₁ ≠ x₂`, has slope `λ = (y₂ − y₁)/(x₂ − x₁)` and is
//! `(λ² − x₁ − x₂, λ(x₁ − x) − y₁)`. The denominators of all pairs are inverted together by Montgomery's trick, which
//! makes six multiplications an addition. The trick is a chain of products; a processor that multiplies in lanes runs
//! one chain a lane.

use ark_ff::{BigInt, Field, PrimeField};
use weightproof_circuits::curve::{Base, Point};

/// A finite point, in one cache line.
///
/// Words are Montgomery form `coordinate·2^256`, reduced only as far as the [`Lanes`] that wrote them reduce.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Slot {
    pub x: [u64; 4],
    pub y: [u64; 4],
}

impl Slot {
    /// The point, or its negative.
    #[inline(always)]
    pub fn signed(point: &Point, negative: bool) -> Self {
        let y = if negative { -point.y } else { point.y };
        Self { x: point.x.0.0, y: y.0.0 }
    }

    /// The point with reduced coordinates.
    pub fn point(&self) -> Point {
        Point::new_unchecked(reduced(self.x), reduced(self.y))
    }
}

/// The element that words below `2^256 < 4p` stand for.
pub fn reduced(words: [u64; 4]) -> Base {
    let mut integer = BigInt(words);
    while integer >= Base::MODULUS {
        ark_ff::BigInteger::sub_with_borrow(&mut integer, &Base::MODULUS);
    }
    Base::new_unchecked(integer)
}

/// Pairs of slots: the point at `left[i]` becomes its sum with that at `right[i]`.
#[derive(Default)]
pub struct Pairs {
    pub left: Vec<u32>,
    pub right: Vec<u32>,
}

impl Pairs {
    pub fn push(&mut self, left: u32, right: u32) {
        self.left.push(left);
        self.right.push(right);
    }
    pub fn clear(&mut self) {
        self.left.clear();
        self.right.clear();
    }
}

/// The arithmetic of additions, several at once. A value of such a type shows that the processor has the instructions.
pub trait Lanes: Copy {
    /// Additions at once.
    const COUNT: usize;
    /// A coordinate of each.
    type Value: Copy;

    /// What the chain of products starts with.
    fn start(self) -> Self::Value;
    /// `x` of the slots at `COUNT` indices.
    fn x(self, slots: &[Slot], at: &[u32]) -> Self::Value;
    /// `y` of the slots at `COUNT` indices.
    fn y(self, slots: &[Slot], at: &[u32]) -> Self::Value;
    /// Writes points to slots at `COUNT` indices.
    fn write(self, slots: &mut [Slot], at: &[u32], x: Self::Value, y: Self::Value);
    /// `a − b` for coordinates that [`Lanes::x`], [`Lanes::y`] or [`Lanes::third_x`] gave.
    fn difference(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The product of a link of a chain and a difference, or of two links: a link.
    fn product(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// What unwinding a chain starts with: the inverses of its ends. `None` when one has none.
    fn inverse(self, ends: Self::Value) -> Option<Self::Value>;
    /// `λ² − x₁ − x₂`, for `λ` the product of an unwound link and a difference.
    fn third_x(self, slope: Self::Value, x1: Self::Value, x2: Self::Value) -> Self::Value;
    /// `λ(x₁ − x) − y₁`.
    fn third_y(self, slope: Self::Value, x1: Self::Value, x: Self::Value, y1: Self::Value) -> Self::Value;
    /// [`add_all`], compiled for the processor.
    fn add_all(self, slots: &mut [Slot], pairs: &Pairs, chain: &mut Vec<Self::Value>) -> bool;
}

/// Adds every pair. The number of pairs is a multiple of `COUNT`; no left slot is in another pair.
///
/// Changes nothing and returns `false` when a pair has equal `x`: it would need a doubling, or cancel.
#[inline(always)]
pub fn add_all<L: Lanes>(lanes: L, slots: &mut [Slot], pairs: &Pairs, chain: &mut Vec<L::Value>) -> bool {
    let steps = || pairs.left.chunks_exact(L::COUNT).zip(pairs.right.chunks_exact(L::COUNT));
    chain.clear();
    let mut product = lanes.start();
    for (left, right) in steps() {
        chain.push(product);
        product = lanes.product(product, lanes.difference(lanes.x(slots, right), lanes.x(slots, left)));
    }
    let Some(mut inverse) = lanes.inverse(product) else {
        return false;
    };
    // Backwards: a difference's inverse is the product before it times the inverse of the product with it.
    for ((left, right), before) in steps().zip(chain.iter()).rev() {
        let (x1, y1) = (lanes.x(slots, left), lanes.y(slots, left));
        let (x2, y2) = (lanes.x(slots, right), lanes.y(slots, right));
        let slope = lanes.product(lanes.difference(y2, y1), lanes.product(inverse, *before));
        inverse = lanes.product(inverse, lanes.difference(x2, x1));
        let x = lanes.third_x(slope, x1, x2);
        let y = lanes.third_y(slope, x1, x, y1);
        lanes.write(slots, left, x, y);
    }
    true
}

/// One addition at a time, on any processor.
#[derive(Clone, Copy)]
pub struct Portable;

impl Lanes for Portable {
    const COUNT: usize = 1;
    type Value = Base;

    #[inline(always)]
    fn start(self) -> Base {
        Base::ONE
    }
    #[inline(always)]
    fn x(self, slots: &[Slot], at: &[u32]) -> Base {
        Base::new_unchecked(BigInt(slots[at[0] as usize].x))
    }
    #[inline(always)]
    fn y(self, slots: &[Slot], at: &[u32]) -> Base {
        Base::new_unchecked(BigInt(slots[at[0] as usize].y))
    }
    #[inline(always)]
    fn write(self, slots: &mut [Slot], at: &[u32], x: Base, y: Base) {
        slots[at[0] as usize] = Slot { x: x.0.0, y: y.0.0 };
    }
    #[inline(always)]
    fn difference(self, a: Base, b: Base) -> Base {
        a - b
    }
    #[inline(always)]
    fn product(self, a: Base, b: Base) -> Base {
        a * b
    }
    #[inline(always)]
    fn inverse(self, ends: Base) -> Option<Base> {
        ends.inverse()
    }
    #[inline(always)]
    fn third_x(self, slope: Base, x1: Base, x2: Base) -> Base {
        slope.square() - x1 - x2
    }
    #[inline(always)]
    fn third_y(self, slope: Base, x1: Base, x: Base, y1: Base) -> Base {
        slope * (x1 - x) - y1
    }
    fn add_all(self, slots: &mut [Slot], pairs: &Pairs, chain: &mut Vec<Base>) -> bool {
        add_all(self, slots, pairs, chain)
    }
}
