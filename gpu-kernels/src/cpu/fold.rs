//! Folding of bases: `low[i] + u·high[i]` for one scalar `u`.
//!
//! All points take the same doublings and additions, so each step is done for all of them at once (the module `affine`).
//! The curve's endomorphism `φ(x, y) = (βx, y)` multiplies by `λ`: with `u = a + bλ`, `a` and `b` of half the length,
//! half the doublings remain.

use ark_ec::AffineRepr;
use ark_ec::scalar_mul::glv::GLVConfig;
use ark_ff::{BigInteger, PrimeField};
use ark_vesta::VestaConfig;
use weightproof_circuits::curve::{Point, Projective, normalize};
use weightproof_circuits::field::F;

use super::affine::{Lanes, Links, Pair, Signed, Slot, reduced};
#[cfg(target_arch = "x86_64")]
use super::ifma::Ifma;

/// Digits of `a` and `b` are odd and below `2^(WIDTH − 1)`, or zero.
const WIDTH: u32 = 4;
/// Odd multiples `1, 3, …` of a point.
const MULTIPLES: usize = 1 << (WIDTH - 2);
/// Below so many points, one by one is faster than an inversion a step.
const FEWEST: usize = 16;

/// A scalar by which bases are folded.
#[derive(Clone, Debug)]
pub struct Folding {
    scalar: F,
    /// Signed digits of `a` and of `b`, low bit first.
    digits: [Vec<i8>; 2],
}

/// Digits of weight `2^i` of a signed integer, at least `WIDTH − 1` zeros between any two others.
fn digits(positive: bool, magnitude: F) -> Vec<i8> {
    let mut rest = magnitude.into_bigint();
    let mut digits = Vec::new();
    while !rest.is_zero() {
        let mut digit = 0i8;
        if rest.is_odd() {
            digit = (rest.0[0] & ((1 << WIDTH) - 1)) as i8;
            if digit >= 1 << (WIDTH - 1) {
                digit -= 1 << WIDTH;
            }
            let magnitude = <F as PrimeField>::BigInt::from(u64::from(digit.unsigned_abs()));
            if digit > 0 {
                rest.sub_with_borrow(&magnitude);
            } else {
                rest.add_with_carry(&magnitude);
            }
        }
        digits.push(if positive { digit } else { -digit });
        rest.div2();
    }
    digits
}

impl Folding {
    /// Prepares a scalar.
    pub fn new(scalar: &F) -> Self {
        let ((a_positive, a), (b_positive, b)) = VestaConfig::scalar_decomposition(*scalar);
        Self { scalar: *scalar, digits: [digits(a_positive, a), digits(b_positive, b)] }
    }

    /// `low[i] + u·high[i]`, over the shorter of the two.
    pub fn fold(&self, low: &[Point], high: &[Point]) -> Vec<Point> {
        let count = low.len().min(high.len());
        let (low, high) = (&low[..count], &high[..count]);
        #[cfg(target_arch = "x86_64")]
        if let Some(ifma) = Ifma::new().filter(|_| count >= FEWEST)
            && let Some(folded) = Folder::new(ifma, count).fold(self, low, high)
        {
            return folded;
        }
        self.one_by_one(low, high)
    }

    fn one_by_one(&self, low: &[Point], high: &[Point]) -> Vec<Point> {
        let sum = |(low, high): (&Point, &Point)| {
            VestaConfig::glv_mul_projective(high.into_group(), self.scalar) + low
        };
        let folded: Vec<Projective> = low.iter().zip(high).map(sum).collect();
        normalize(&folded)
    }
}

/// Points side by side: a region of slots for each multiple.
struct Folder<L: Lanes> {
    lanes: L,
    count: usize,
    slots: Vec<Slot>,
    pairs: Vec<Pair>,
    links: Links<L>,
}

/// The region of the sum.
const SUM: usize = 0;
/// The regions of odd multiples, then of their images under the endomorphism.
const TABLE: usize = 1;
/// The region of twice the points, then of `low`.
const OTHER: usize = TABLE + 2 * MULTIPLES;
const REGIONS: usize = OTHER + 1;

impl<L: Lanes> Folder<L> {
    fn new(lanes: L, count: usize) -> Self {
        Self {
            lanes,
            count,
            slots: vec![Slot { x: [0; 4], y: [0; 4] }; REGIONS * count],
            pairs: Vec::new(),
            links: Vec::new(),
        }
    }

    fn region(&mut self, region: usize) -> &mut [Slot] {
        &mut self.slots[region * self.count..(region + 1) * self.count]
    }

    fn copy(&mut self, from: usize, to: usize, negative: bool) {
        let start = from * self.count;
        self.slots.copy_within(start..start + self.count, to * self.count);
        if negative {
            for slot in self.region(to) {
                *slot = Slot::signed(&slot.point(), true);
            }
        }
    }

    /// `out = left ± right`, region by region; `None` when a sum has no chord.
    fn add(&mut self, left: usize, right: usize, negative: bool, out: usize) -> Option<()> {
        self.step::<false>(left, right, negative, out)
    }

    /// `out = 2·out`.
    fn double(&mut self, out: usize) -> Option<()> {
        self.step::<true>(out, out, false, out)
    }

    fn step<const DOUBLE: bool>(
        &mut self,
        left: usize,
        right: usize,
        negative: bool,
        out: usize,
    ) -> Option<()> {
        let index = |region: usize, i: usize| (region * self.count + i) as u32;
        self.pairs.clear();
        self.pairs.extend((0..self.count).map(|i| Pair {
            left: index(left, i) << 1,
            right: index(right, i) << 1 | u32::from(negative),
            out: index(out, i),
        }));
        let mut operands = Signed(&mut self.slots);
        self.lanes.add_all::<_, DOUBLE>(&mut operands, &mut self.pairs, &mut self.links).then_some(())
    }

    /// `None` when a point is the identity or a step meets equal or opposite points.
    fn fold(&mut self, folding: &Folding, low: &[Point], high: &[Point]) -> Option<Vec<Point>> {
        if low.iter().chain(high).any(AffineRepr::is_zero) {
            return None;
        }
        let fill = |region: &mut [Slot], points: &[Point]| {
            for (slot, point) in region.iter_mut().zip(points) {
                *slot = Slot::signed(point, false);
            }
        };
        fill(self.region(TABLE), high);
        fill(self.region(OTHER), high);
        self.double(OTHER)?;
        for multiple in 1..MULTIPLES {
            self.add(TABLE + multiple - 1, OTHER, false, TABLE + multiple)?;
        }
        for multiple in 0..MULTIPLES {
            self.copy(TABLE + multiple, TABLE + MULTIPLES + multiple, false);
            for slot in self.region(TABLE + MULTIPLES + multiple) {
                slot.x = (reduced(slot.x) * VestaConfig::ENDO_COEFFS[0]).0.0;
            }
        }

        let mut empty = true;
        let length = folding.digits.iter().map(Vec::len).max().unwrap_or(0);
        for bit in (0..length).rev() {
            if !empty {
                self.double(SUM)?;
            }
            for (half, digits) in folding.digits.iter().enumerate() {
                let digit = digits.get(bit).copied().unwrap_or(0);
                if digit == 0 {
                    continue;
                }
                let multiple = TABLE + half * MULTIPLES + digit.unsigned_abs() as usize / 2;
                if empty {
                    self.copy(multiple, SUM, digit < 0);
                    empty = false;
                } else {
                    self.add(SUM, multiple, digit < 0, SUM)?;
                }
            }
        }
        if empty {
            return Some(low.to_vec());
        }
        fill(self.region(OTHER), low);
        self.add(SUM, OTHER, false, SUM)?;
        Some(self.region(SUM).iter().map(Slot::point).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::affine::Portable;
    use super::*;
    use ark_ff::{AdditiveGroup, Field};
    use weightproof_circuits::curve::{Domain, generator};

    fn bases(start: u64, count: u64) -> Vec<Point> {
        (start..start + count).map(|i| generator(Domain::Row, i)).collect()
    }

    fn naive(low: &[Point], high: &[Point], scalar: &F) -> Vec<Point> {
        low.iter().zip(high).map(|(l, h)| (*h * *scalar + *l).into()).collect()
    }

    /// Ordinary scalars behind special ones.
    const ORDINARY: usize = 6;
    fn scalars() -> Vec<F> {
        let mut scalars: Vec<F> = (0..20u64).map(F::from).collect();
        scalars.extend([VestaConfig::LAMBDA, -VestaConfig::LAMBDA, VestaConfig::LAMBDA + F::ONE]);
        scalars.extend([-F::ONE, -F::from(2u64), F::from(u64::MAX), F::from(2u64).inverse().unwrap()]);
        let mut x = F::from(3u64);
        for _ in 0..ORDINARY {
            x = x.square() + F::from(11u64);
            scalars.push(x);
        }
        scalars
    }

    #[test]
    fn digits_are_sparse_and_add_up() {
        for scalar in scalars() {
            let folding = Folding::new(&scalar);
            let [a, b] = folding.digits.each_ref().map(|digits| {
                let mut last = None;
                for (i, digit) in digits.iter().enumerate().filter(|(_, digit)| **digit != 0) {
                    assert!(digit % 2 != 0 && digit.unsigned_abs() < 1 << (WIDTH - 1));
                    assert!(last.is_none_or(|last| i - last >= WIDTH as usize));
                    last = Some(i);
                }
                assert!(digits.len() <= 130, "half the length");
                digits.iter().rev().fold(F::ZERO, |sum, digit| sum.double() + F::from(*digit))
            });
            assert_eq!(a + b * VestaConfig::LAMBDA, scalar);
        }
    }

    #[test]
    fn folds_by_any_scalar_on_every_processor() {
        let (low, high) = (bases(0, 67), bases(100, 67));
        for (index, scalar) in scalars().into_iter().rev().enumerate() {
            let expected = naive(&low, &high, &scalar);
            let folding = Folding::new(&scalar);
            assert_eq!(folding.fold(&low, &high), expected);
            assert_eq!(folding.one_by_one(&low, &high), expected);
            for count in [1, 16, 67] {
                let run = |folded: Option<Vec<Point>>| match folded {
                    Some(folded) => assert_eq!(folded, expected[..count], "{scalar} {count}"),
                    // A special scalar's steps may meet equal points.
                    None => assert!(index >= ORDINARY, "{scalar} {count}"),
                };
                run(Folder::new(Portable, count).fold(&folding, &low[..count], &high[..count]));
                #[cfg(target_arch = "x86_64")]
                if let Some(ifma) = Ifma::new() {
                    run(Folder::new(ifma, count).fold(&folding, &low[..count], &high[..count]));
                }
            }
        }
        assert!(Folding::new(&F::ONE).fold(&[], &[]).is_empty());
    }

    #[test]
    fn points_without_a_chord_are_folded_one_by_one() {
        let scalar = F::from(5u64);
        let folding = Folding::new(&scalar);
        let high = bases(0, FEWEST as u64);
        let five: Vec<Point> = high.iter().map(|point| (*point * scalar).into()).collect();
        let opposite: Vec<Point> = five.iter().map(|point| -*point).collect();
        let mut identity = bases(200, FEWEST as u64);
        identity[7] = Point::identity();
        for (low, high) in [(&five, &high), (&opposite, &high), (&identity, &high), (&high, &identity)] {
            assert_eq!(Folder::new(Portable, low.len()).fold(&folding, low, high), None);
            #[cfg(target_arch = "x86_64")]
            if let Some(ifma) = Ifma::new() {
                assert_eq!(Folder::new(ifma, low.len()).fold(&folding, low, high), None);
            }
            assert_eq!(folding.fold(low, high), naive(low, high, &scalar));
        }
    }
}
