//! Affine additions with one inversion for all of them.
//!
//! `P + Q` for `P = (x₁, y₁)`, `Q = (x₂, y₂)`, `x₁ ≠ x₂`, has slope `λ = (y₂ − y₁)/(x₂ − x₁)` and is
//! `(λ² − x₁ − x₂, λ(x₁ − x) − y₁)`; for `P = Q` the slope is `3x₁²/2y₁`. The denominators of all sums are inverted
//! together by Montgomery's trick, which makes six multiplications an addition. The trick is a chain of products; a
//! processor that multiplies in lanes runs one chain a lane.

#[cfg(target_arch = "x86_64")]
pub mod ifma;

use ark_ff::{AdditiveGroup, BigInt, Field, PrimeField};
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

/// Additions to be done: the sum of the points at `left[i]` and `right[i]` goes to slot `out[i]`.
#[derive(Default)]
pub struct Pairs {
    left: Vec<u32>,
    right: Vec<u32>,
    out: Vec<u32>,
}

impl Pairs {
    pub fn push(&mut self, left: u32, right: u32, out: u32) {
        self.left.push(left);
        self.right.push(right);
        self.out.push(out);
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub fn clear(&mut self) {
        self.left.clear();
        self.right.clear();
        self.out.clear();
    }

    /// Repeats the last pair until lanes are full: the same sum is written to the same slot.
    fn fill(&mut self, lanes: usize) {
        let count = self.out.len().next_multiple_of(lanes);
        for list in [&mut self.left, &mut self.right, &mut self.out] {
            if let Some(last) = list.last().copied() {
                list.resize(count, last);
            }
        }
    }
}

/// Where operands lie and sums go.
pub trait Operands {
    /// Whether operands may be negative.
    const SIGNED: bool;
    fn x(&self, index: u32) -> &[u64; 4];
    /// `y`, before the sign.
    fn y(&self, index: u32) -> &[u64; 4];
    fn is_negative(index: u32) -> bool;
    fn out(&mut self, index: u32) -> &mut Slot;
}

/// Slots are added up in place: a slot that is written is the left one of its own pair, and in no other.
pub struct InPlace<'a>(pub &'a mut [Slot]);

impl Operands for InPlace<'_> {
    const SIGNED: bool = false;
    #[inline(always)]
    fn x(&self, index: u32) -> &[u64; 4] {
        &self.0[index as usize].x
    }
    #[inline(always)]
    fn y(&self, index: u32) -> &[u64; 4] {
        &self.0[index as usize].y
    }
    #[inline(always)]
    fn is_negative(_index: u32) -> bool {
        false
    }
    #[inline(always)]
    fn out(&mut self, index: u32) -> &mut Slot {
        &mut self.0[index as usize]
    }
}

/// Slots whose operands may be negative: twice the slot's index, and one more for its negative. Slots that are written
/// are no operands of other pairs.
pub struct Signed<'a>(pub &'a mut [Slot]);

impl Operands for Signed<'_> {
    const SIGNED: bool = true;
    #[inline(always)]
    fn x(&self, index: u32) -> &[u64; 4] {
        &self.0[(index >> 1) as usize].x
    }
    #[inline(always)]
    fn y(&self, index: u32) -> &[u64; 4] {
        &self.0[(index >> 1) as usize].y
    }
    #[inline(always)]
    fn is_negative(index: u32) -> bool {
        index & 1 != 0
    }
    #[inline(always)]
    fn out(&mut self, index: u32) -> &mut Slot {
        &mut self.0[index as usize]
    }
}

/// Bases are added into slots. Operands are twice the base's index, and one more for its negative.
pub struct FromBases<'a> {
    pub bases: &'a [Point],
    pub slots: &'a mut [Slot],
}

impl Operands for FromBases<'_> {
    const SIGNED: bool = true;
    #[inline(always)]
    fn x(&self, index: u32) -> &[u64; 4] {
        &self.bases[(index >> 1) as usize].x.0.0
    }
    #[inline(always)]
    fn y(&self, index: u32) -> &[u64; 4] {
        &self.bases[(index >> 1) as usize].y.0.0
    }
    #[inline(always)]
    fn is_negative(index: u32) -> bool {
        index & 1 != 0
    }
    #[inline(always)]
    fn out(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }
}

/// The arithmetic of additions, several at once. A value of such a type shows that the processor has the instructions.
pub trait Lanes: Copy {
    /// Additions at once.
    const COUNT: usize;
    /// A number for each.
    type Value: Copy;

    /// What the chain of products starts with.
    fn start(self) -> Self::Value;
    /// `x` of the operands at `COUNT` indices.
    fn x<O: Operands>(self, operands: &O, at: &[u32]) -> Self::Value;
    /// `y` of the operands at `COUNT` indices.
    fn y<O: Operands>(self, operands: &O, at: &[u32]) -> Self::Value;
    /// Writes points.
    fn write<O: Operands>(self, operands: &mut O, at: &[u32], x: Self::Value, y: Self::Value);
    /// `b − a`, both as read.
    fn difference(self, b: Self::Value, a: Self::Value) -> Self::Value;
    /// `2y`, at the scale of a difference.
    fn twice(self, y: Self::Value) -> Self::Value;
    /// `3x²`, at the scale of a difference.
    fn tangent(self, x: Self::Value) -> Self::Value;
    /// The product of a link of a chain and a difference, or of two links: a link.
    fn product(self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// What unwinding a chain starts with: the inverses of its ends. `None` when one has none.
    fn inverse(self, ends: Self::Value) -> Option<Self::Value>;
    /// `λ² − 2x₁`, for `λ` the product of a difference and an unwound link.
    fn tangent_x(self, slope: Self::Value, x1: Self::Value) -> Self::Value;
    /// `λ² − 2x₁ − d`, for `d = x₂ − x₁`.
    fn third_x(self, slope: Self::Value, x1: Self::Value, difference: Self::Value) -> Self::Value;
    /// `λ(x₁ − x) − y₁`.
    fn third_y(self, slope: Self::Value, x1: Self::Value, x: Self::Value, y1: Self::Value) -> Self::Value;
    /// [`add_all`], compiled for the processor.
    fn add_all<O: Operands, const DOUBLE: bool>(
        self,
        operands: &mut O,
        pairs: &mut Pairs,
        links: &mut Links<Self>,
    ) -> bool;
}

/// Scratch space: for each step of the chains, the product before it, and its factor.
pub type Links<L> = Vec<[<L as Lanes>::Value; 2]>;

/// Adds every pair, or with `DOUBLE` doubles its left point.
///
/// Writes nothing and returns `false` when a pair has equal `x`: it would need a doubling, or cancel.
#[inline(always)]
pub fn add_all<L: Lanes, O: Operands, const DOUBLE: bool>(
    lanes: L,
    operands: &mut O,
    pairs: &mut Pairs,
    links: &mut Links<L>,
) -> bool {
    pairs.fill(L::COUNT);
    let lefts = pairs.left.chunks_exact(L::COUNT);
    let rights = pairs.right.chunks_exact(L::COUNT);
    let outs = pairs.out.chunks_exact(L::COUNT);

    links.clear();
    let mut product = lanes.start();
    for (left, right) in lefts.clone().zip(rights.clone()) {
        let difference = if DOUBLE {
            lanes.twice(lanes.y(operands, left))
        } else {
            lanes.difference(lanes.x(operands, right), lanes.x(operands, left))
        };
        links.push([product, difference]);
        product = lanes.product(product, difference);
    }

    // Backwards: a difference's inverse is the product before it times the inverse of the product with it.
    let Some(mut inverse) = lanes.inverse(product) else {
        return false;
    };
    for [link, difference] in links.iter_mut().rev() {
        *link = lanes.product(inverse, *link);
        inverse = lanes.product(inverse, *difference);
    }

    // A loop of its own: its steps do not wait for one another.
    for (((left, right), out), [inverse, difference]) in lefts.zip(rights).zip(outs).zip(links.iter()) {
        let (x1, y1) = (lanes.x(operands, left), lanes.y(operands, left));
        let rise =
            if DOUBLE { lanes.tangent(x1) } else { lanes.difference(lanes.y(operands, right), y1) };
        let slope = lanes.product(rise, *inverse);
        let x = if DOUBLE { lanes.tangent_x(slope, x1) } else { lanes.third_x(slope, x1, *difference) };
        let y = lanes.third_y(slope, x1, x, y1);
        lanes.write(operands, out, x, y);
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
    fn x<O: Operands>(self, operands: &O, at: &[u32]) -> Base {
        Base::new_unchecked(BigInt(*operands.x(at[0])))
    }
    #[inline(always)]
    fn y<O: Operands>(self, operands: &O, at: &[u32]) -> Base {
        let y = Base::new_unchecked(BigInt(*operands.y(at[0])));
        if O::is_negative(at[0]) { -y } else { y }
    }
    #[inline(always)]
    fn write<O: Operands>(self, operands: &mut O, at: &[u32], x: Base, y: Base) {
        *operands.out(at[0]) = Slot { x: x.0.0, y: y.0.0 };
    }
    #[inline(always)]
    fn difference(self, b: Base, a: Base) -> Base {
        b - a
    }
    #[inline(always)]
    fn twice(self, y: Base) -> Base {
        y.double()
    }
    #[inline(always)]
    fn tangent(self, x: Base) -> Base {
        let square = x.square();
        square.double() + square
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
    fn tangent_x(self, slope: Base, x1: Base) -> Base {
        slope.square() - x1.double()
    }
    #[inline(always)]
    fn third_x(self, slope: Base, x1: Base, difference: Base) -> Base {
        slope.square() - x1.double() - difference
    }
    #[inline(always)]
    fn third_y(self, slope: Base, x1: Base, x: Base, y1: Base) -> Base {
        slope * (x1 - x) - y1
    }
    fn add_all<O: Operands, const DOUBLE: bool>(
        self,
        operands: &mut O,
        pairs: &mut Pairs,
        links: &mut Links<Self>,
    ) -> bool {
        add_all::<_, _, DOUBLE>(self, operands, pairs, links)
    }
}
