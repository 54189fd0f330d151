//! Affine additions with one inversion for all of them.
//!
//! `P + Q` for `P = (x₁, y₁)`, `Q = (x₂, y₂)`, `x₁ ≠ x₂`, has slope `λ = (y₂ − y₁)/(x₂ − x₁)` and is
//! `(λ² − x₁ − x₂, λ(x₁ − x) − y₁)`; for `P = Q` the slope is `3x₁²/2y₁`. The denominators of all sums are inverted
//! together by Montgomery's trick, which makes six multiplications an addition. The trick is a chain of products; a
//! processor that multiplies in lanes runs one chain a lane.

#[cfg(target_arch = "x86_64")]
mod ifma;

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

/// An addition to be done: the sum of the points at `left` and `right` goes to slot `out`.
#[derive(Clone, Copy)]
pub struct Pair {
    pub left: u32,
    pub right: u32,
    pub out: u32,
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
    fn x<O: Operands>(self, operands: &O, at: impl Fn(usize) -> u32) -> Self::Value;
    /// `y` of the operands at `COUNT` indices.
    fn y<O: Operands>(self, operands: &O, at: impl Fn(usize) -> u32) -> Self::Value;
    /// Writes points to `COUNT` slots.
    fn write<O: Operands>(self, operands: &mut O, at: impl Fn(usize) -> u32, x: Self::Value, y: Self::Value);
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
        pairs: &mut Vec<Pair>,
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
    pairs: &mut Vec<Pair>,
    links: &mut Links<L>,
) -> bool {
    // Repeats the last pair until lanes are full: the same sum is written to the same slot.
    if let Some(last) = pairs.last().copied() {
        pairs.resize(pairs.len().next_multiple_of(L::COUNT), last);
    }
    let steps = pairs.chunks_exact(L::COUNT);

    links.clear();
    let mut product = lanes.start();
    for step in steps.clone() {
        let difference = if DOUBLE {
            lanes.twice(lanes.y(operands, |i| step[i].left))
        } else {
            lanes.difference(lanes.x(operands, |i| step[i].right), lanes.x(operands, |i| step[i].left))
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
    for (step, [inverse, difference]) in steps.zip(links.iter()) {
        let x1 = lanes.x(operands, |i| step[i].left);
        let y1 = lanes.y(operands, |i| step[i].left);
        let rise = if DOUBLE {
            lanes.tangent(x1)
        } else {
            lanes.difference(lanes.y(operands, |i| step[i].right), y1)
        };
        let slope = lanes.product(rise, *inverse);
        let x = if DOUBLE { lanes.tangent_x(slope, x1) } else { lanes.third_x(slope, x1, *difference) };
        let y = lanes.third_y(slope, x1, x, y1);
        lanes.write(operands, |i| step[i].out, x, y);
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
    fn x<O: Operands>(self, operands: &O, at: impl Fn(usize) -> u32) -> Base {
        Base::new_unchecked(BigInt(*operands.x(at(0))))
    }
    #[inline(always)]
    fn y<O: Operands>(self, operands: &O, at: impl Fn(usize) -> u32) -> Base {
        let y = Base::new_unchecked(BigInt(*operands.y(at(0))));
        if O::is_negative(at(0)) { -y } else { y }
    }
    #[inline(always)]
    fn write<O: Operands>(self, operands: &mut O, at: impl Fn(usize) -> u32, x: Base, y: Base) {
        *operands.out(at(0)) = Slot { x: x.0.0, y: y.0.0 };
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
        pairs: &mut Vec<Pair>,
        links: &mut Links<Self>,
    ) -> bool {
        add_all::<_, _, DOUBLE>(self, operands, pairs, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coordinates with edge cases among them; the formulas do not ask for points of the curve.
    fn coordinates() -> Vec<Base> {
        let mut largest = Base::MODULUS;
        largest.0[0] -= 1;
        let mut all = vec![
            Base::ONE,
            -Base::ONE,
            Base::new_unchecked(BigInt([1, 0, 0, 0])),
            Base::new_unchecked(largest),
            Base::new_unchecked(BigInt([u64::MAX, u64::MAX, u64::MAX, Base::MODULUS.0[3] - 1])),
            Base::new_unchecked(BigInt([0, 0, 0, 1 << 62])),
        ];
        let mut x = Base::from(3u64);
        while all.len() < 44 {
            x = x.square() + Base::from(7u64);
            all.push(x);
        }
        all
    }

    /// Words of `value + p`: as loosely reduced as a slot may be.
    fn loose(value: Base) -> [u64; 4] {
        let mut words = value.0;
        ark_ff::BigInteger::add_with_carry(&mut words, &Base::MODULUS);
        words.0
    }

    fn slot(x: Base, y: Base, is_loose: bool) -> Slot {
        if is_loose { Slot { x: loose(x), y: loose(y) } } else { Slot { x: x.0.0, y: y.0.0 } }
    }

    fn sum(a: [Base; 2], b: [Base; 2]) -> [Base; 2] {
        let slope = (b[1] - a[1]) * (b[0] - a[0]).inverse().unwrap();
        let x = slope.square() - a[0] - b[0];
        [x, slope * (a[0] - x) - a[1]]
    }

    fn double(a: [Base; 2]) -> [Base; 2] {
        let slope = a[0].square() * Base::from(3u64) * a[1].double().inverse().unwrap();
        let x = slope.square() - a[0].double();
        [x, slope * (a[0] - x) - a[1]]
    }

    /// All pairs of edge cases, by `lanes`, against the formulas.
    fn agrees<L: Lanes>(lanes: L, is_loose: bool) {
        let all = coordinates();
        let count = all.len();
        let mut links = Links::<L>::new();
        let read = |slot: &Slot| [reduced(slot.x), reduced(slot.y)];
        for shift in 1..count {
            for length in [count, 1, 15, 16, 17] {
                let point = |i: usize| [all[i % count], all[(i + 3 * shift) % count]];
                let points: Vec<Slot> =
                    (0..count).map(|i| slot(point(i)[0], point(i)[1], is_loose)).collect();
                let pair = |i: usize| (i, (i + shift) % count);

                let mut slots: Vec<Slot> =
                    (0..2 * count).map(|i| points[if i < count { i } else { (i + shift) % count }]).collect();
                let mut pairs: Vec<Pair> =
                    (0..length as u32).map(|i| Pair { left: i, right: count as u32 + i, out: i }).collect();
                assert!(lanes.add_all::<_, false>(&mut InPlace(&mut slots), &mut pairs, &mut links));
                for (i, slot) in slots[..length].iter().enumerate() {
                    let (a, b) = pair(i);
                    assert_eq!(read(slot), sum(point(a), point(b)), "{shift} {i}");
                }
                assert!((length..count).all(|i| read(&slots[i]) == point(i)), "no other slot is touched");

                let mut slots = points.clone();
                let mut pairs: Vec<Pair> =
                    (0..length as u32).map(|i| Pair { left: i, right: i, out: i }).collect();
                assert!(lanes.add_all::<_, true>(&mut InPlace(&mut slots), &mut pairs, &mut links));
                assert!((0..length).all(|i| read(&slots[i]) == double(point(i))), "{shift}");

                // Signs, into other slots.
                let mut slots = points.clone();
                slots.resize(2 * count, points[0]);
                let signs = |i: usize| (i & 1, i >> 1 & 1);
                let mut pairs: Vec<Pair> = (0..length)
                    .map(|i| {
                        let ((a, b), (c, d)) = (pair(i), signs(i));
                        Pair { left: (2 * a + c) as u32, right: (2 * b + d) as u32, out: (count + i) as u32 }
                    })
                    .collect();
                assert!(lanes.add_all::<_, false>(&mut Signed(&mut slots), &mut pairs, &mut links));
                let signed = |[x, y]: [Base; 2], negative: usize| [x, if negative == 1 { -y } else { y }];
                for i in 0..length {
                    let ((a, b), (c, d)) = (pair(i), signs(i));
                    let expected = sum(signed(point(a), c), signed(point(b), d));
                    assert_eq!(read(&slots[count + i]), expected, "{shift} {i}");
                }
            }
        }
        // A pair without a chord, in any lane, however its words are reduced; nothing is written.
        let mut points: Vec<Slot> = all.iter().map(|x| slot(*x, Base::ONE, false)).collect();
        points.extend(all.iter().map(|x| slot(*x, Base::ONE, is_loose)));
        for at in 0..20u32 {
            let mut slots = points.clone();
            let mut pairs: Vec<Pair> = (0..20)
                .map(|i| Pair { left: i, right: if i == at { count as u32 + i } else { i + 20 }, out: i })
                .collect();
            assert!(!lanes.add_all::<_, false>(&mut InPlace(&mut slots), &mut pairs, &mut links));
            assert!(slots.iter().zip(&points).all(|(a, b)| a.x == b.x && a.y == b.y));
        }
    }

    #[test]
    fn one_at_a_time_follow_the_formulas() {
        agrees(Portable, false);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn lanes_follow_the_formulas() {
        if let Some(ifma) = crate::cpu::ifma::Ifma::new() {
            agrees(ifma, false);
            agrees(ifma, true);
        }
    }
}
