//! Multi-exponentiation of small signed integers: one Pedersen row `Σ values[i]·bases[i]`.
//!
//! Values are cut into signed digits. Points with equal digits share a bucket and are added in affine coordinates, many
//! additions to an inversion (the module `affine`). The windows are as wide as the row makes worthwhile: 2^15 values of 13
//! bits go into buckets of their own value, which is one addition a value, and one a bucket to weigh the buckets.

use core::cell::Cell;

use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, PrimeField};
use rayon::prelude::*;
use weightproof_circuits::curve::{self, Point, Projective};
use weightproof_circuits::field::F;

use super::affine::{FromBases, InPlace, Lanes, Links, Pair, Portable, Slot};
#[cfg(target_arch = "x86_64")]
use super::ifma::Ifma;

/// Scratch space of one worker.
pub struct Workspace(Processor);

enum Processor {
    Portable(Worker<Portable>),
    #[cfg(target_arch = "x86_64")]
    Ifma(Worker<Ifma>),
}

impl Default for Workspace {
    fn default() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(ifma) = Ifma::new() {
            return Self(Processor::Ifma(Worker::new(ifma)));
        }
        Self::portable()
    }
}

impl Workspace {
    /// One that uses no special instructions.
    pub fn portable() -> Self {
        Self(Processor::Portable(Worker::new(Portable)))
    }

    /// The sum; `None` when a base is the identity or an addition has equal `x`.
    fn sum(&mut self, bases: &[Point], values: &[i32]) -> Option<Projective> {
        match &mut self.0 {
            Processor::Portable(worker) => worker.sum(bases, values),
            #[cfg(target_arch = "x86_64")]
            Processor::Ifma(worker) => worker.sum(bases, values),
        }
    }
}

/// `Σ values[i]·bases[i]` over the shorter of the two.
pub fn commit_row(bases: &[Point], values: &[i32], workspace: &mut Workspace) -> Projective {
    let count = bases.len().min(values.len());
    let (bases, values) = (&bases[..count], &values[..count]);
    if values.iter().all(|value| *value == 0) {
        return Projective::ZERO;
    }
    workspace.sum(bases, values).unwrap_or_else(|| {
        // Bases repeat or vanish, which hashing to the curve does not yield. Any bases are still summed correctly.
        let scalars: Vec<F> = values.iter().map(|v| F::from(*v)).collect();
        curve::multi_exponentiation(bases, &scalars)
    })
}

/// `Σ scalars[i]·bases[i]` for full-size scalars, over the shorter of the two; rows of their digits in parallel.
pub fn multi_exponentiation(bases: &[Point], scalars: &[F]) -> Projective {
    let count = bases.len().min(scalars.len());
    if count < FEWEST {
        return curve::multi_exponentiation(bases, scalars);
    }
    // A row has as many windows as its integers hold, with a bucket for a few points each.
    let window = (count.ilog2() - 2).min(15);
    let width = 30 / window * window;
    let integers: Vec<_> = scalars[..count].iter().map(|scalar| scalar.into_bigint().0).collect();
    let rows: Vec<Projective> = (0..(F::MODULUS_BIT_SIZE + 1).div_ceil(width))
        .into_par_iter()
        .map(|row| {
            let digits: Vec<i32> =
                integers.iter().map(|integer| signed_digit(integer, row * width, width)).collect();
            let mut workspace = KEPT.take().unwrap_or_default();
            let sum = commit_row(&bases[..count], &digits, &mut workspace);
            KEPT.set(Some(workspace));
            sum
        })
        .collect();
    rows.into_iter().rev().fold(Projective::ZERO, |mut sum, row| {
        for _ in 0..width {
            sum.double_in_place();
        }
        sum + row
    })
}

thread_local! {
    /// A workspace for full-size scalars: mapping fresh memory for each would take as long as the additions.
    static KEPT: Cell<Option<Workspace>> = const { Cell::new(None) };
}

/// Below so many points, the buckets of a full-size multi-exponentiation are not worth their inversions.
const FEWEST: usize = 64;

/// The digit of weight `2^start` of an integer in signed digits of `width` bits.
///
/// A run of bits whose highest is set stands for itself less `2^width`, and the run above it for one more.
fn signed_digit(integer: &[u64; 4], start: u32, width: u32) -> i32 {
    let bits = |from: u32| {
        let (word, shift) = ((from / 64) as usize, from % 64);
        let low = integer.get(word).map_or(0, |word| word >> shift);
        let high = integer.get(word + 1).map_or(0, |word| word.checked_shl(64 - shift).unwrap_or(0));
        low | high
    };
    let own = bits(start) & ((1 << width) - 1);
    let carry = start.checked_sub(1).map_or(0, |below| bits(below) & 1);
    let top = own >> (width - 1);
    own as i32 - ((top as i32) << width) + carry as i32
}

/// Widest window: `2^15` buckets, a few megabytes of slots.
const WIDEST: u32 = 16;

/// Signed digits of every value: window `j` holds the multiples of `2^(width·j)`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Windows {
    width: u32,
    /// Largest digit magnitude in each window.
    largest: Vec<u32>,
}

impl Windows {
    /// Windows of a width that hold magnitudes up to `magnitude`.
    fn of_width(width: u32, magnitude: u32) -> Self {
        let half = 1u64 << (width - 1);
        let mut rest = u64::from(magnitude);
        let mut largest = Vec::new();
        while rest > half {
            largest.push(half as u32);
            rest = (rest + half) >> width;
        }
        largest.push(rest as u32);
        Self { width, largest }
    }

    /// The bucket of digit zero in each window.
    fn zeros(&self) -> impl Iterator<Item = u32> {
        self.largest.iter().scan(0, |first, largest| {
            let zero = *first;
            *first += largest + 1;
            Some(zero)
        })
    }

    /// The windows that take the fewest additions, near enough: one a digit that is not zero, and one a bucket.
    fn for_values(values: &[i32]) -> Self {
        // How many values have each bit length.
        let mut lengths = [0usize; 33];
        let mut magnitude = 0;
        for value in values {
            let absolute = value.unsigned_abs();
            magnitude = magnitude.max(absolute);
            lengths[(32 - absolute.leading_zeros()) as usize] += 1;
        }
        let cost = |windows: &Self| -> usize {
            (0..)
                .zip(&windows.largest)
                .map(|(j, largest)| {
                    let shortest = (windows.width * j).max(1) as usize;
                    lengths[shortest.min(33)..].iter().sum::<usize>() + *largest as usize
                })
                .sum()
        };
        let candidates = (1..=WIDEST).rev().map(|width| Self::of_width(width, magnitude));
        candidates.min_by_key(cost).unwrap_or_else(|| Self::of_width(WIDEST, magnitude))
    }
}

/// Where the points of a bucket lie.
#[derive(Clone, Copy, Default)]
struct Bucket {
    start: u32,
    length: u32,
}

/// The engine of [`commit_row`] for one kind of processor.
struct Worker<L: Lanes> {
    lanes: L,
    links: Links<L>,
    pairs: Vec<Pair>,
    /// Twice the bucket, and one more for a negative, of each digit, window by window.
    keys: Vec<u32>,
    /// Twice the index, and one more for its negative, of each base by bucket.
    order: Vec<u32>,
    buckets: Vec<Bucket>,
    busy: Vec<u32>,
    slots: Vec<Slot>,
    /// Slots whose sum has weight `2^bit`.
    bits: Vec<Vec<u32>>,
}

impl<L: Lanes> Worker<L> {
    fn new(lanes: L) -> Self {
        Self {
            lanes,
            links: Vec::new(),
            pairs: Vec::new(),
            keys: Vec::new(),
            order: Vec::new(),
            buckets: Vec::new(),
            busy: Vec::new(),
            slots: Vec::new(),
            bits: Vec::new(),
        }
    }

    /// The sum; `None` when a base is the identity or an addition has equal `x`.
    fn sum(&mut self, bases: &[Point], values: &[i32]) -> Option<Projective> {
        if bases.iter().any(AffineRepr::is_zero) {
            return None;
        }
        let windows = Windows::for_values(values);
        self.sort(&windows, values);
        self.fill_buckets(bases)?;
        self.weigh_buckets(&windows)?;
        // The lists have one point each now.
        let mut sum = Projective::ZERO;
        for list in self.bits.iter().rev() {
            sum.double_in_place();
            if let Some(slot) = list.first() {
                sum += self.slots[*slot as usize].point();
            }
        }
        Some(sum)
    }

    /// Orders the bases by bucket.
    fn sort(&mut self, windows: &Windows, values: &[i32]) {
        let half = 1i64 << (windows.width - 1);
        let total: usize = windows.largest.iter().map(|largest| *largest as usize + 1).sum();
        self.buckets.clear();
        self.buckets.resize(total, Bucket::default());
        self.keys.clear();
        let (mut first, mut shift, mut offset) = (0, 0, 0i64);
        for (j, largest) in (1..).zip(&windows.largest) {
            // Digits lie in [−half, half), so what is left of a value is its quotient by the window's weight, rounded
            // with the halves of all windows below. The last window takes the rest as it is.
            let last = j == windows.largest.len();
            let buckets = &mut self.buckets;
            self.keys.extend(values.iter().map(|value| {
                let rest = (i64::from(*value) + offset) >> shift;
                let digit = if last { rest } else { ((rest + half) & (2 * half - 1)) - half };
                let bucket = first + digit.unsigned_abs() as u32;
                buckets[bucket as usize].length += 1;
                bucket << 1 | u32::from(digit < 0)
            }));
            // Zero digits are in no bucket.
            self.buckets[first as usize].length = 0;
            offset += half << shift;
            shift += windows.width;
            first += largest + 1;
        }

        let mut end = 0;
        for bucket in &mut self.buckets {
            bucket.start = end;
            end += bucket.length;
        }
        self.order.clear();
        self.order.resize(end as usize, 0);
        for (keys, zero) in self.keys.chunks_exact(values.len()).zip(windows.zeros()) {
            for (key, base) in keys.iter().zip(0u32..) {
                if key >> 1 != zero {
                    let bucket = &mut self.buckets[(key >> 1) as usize];
                    self.order[bucket.start as usize] = base << 1 | (key & 1);
                    bucket.start += 1;
                }
            }
        }
    }

    /// Adds the pairs of slots that were collected.
    fn add(&mut self) -> Option<()> {
        let mut operands = InPlace(&mut self.slots);
        let added = self.pairs.is_empty()
            || self.lanes.add_all::<_, false>(&mut operands, &mut self.pairs, &mut self.links);
        self.pairs.clear();
        added.then_some(())
    }

    /// Adds the points of each bucket in pairs until one is left. Every bucket has a slot, if only an unused one.
    fn fill_buckets(&mut self, bases: &[Point]) -> Option<()> {
        let mut slots = 0;
        let most = self.order.len().div_ceil(2) + self.buckets.len();
        if self.slots.len() < most {
            self.slots.resize(most, Slot { x: [0; 4], y: [0; 4] });
        }
        self.busy.clear();
        for (index, bucket) in (0..).zip(self.buckets.iter_mut()) {
            let points = &self.order[(bucket.start - bucket.length) as usize..bucket.start as usize];
            let (first, second) = points.split_at(points.len() / 2);
            bucket.start = slots;
            for (first, second) in first.iter().zip(second) {
                self.pairs.push(Pair { left: *first, right: *second, out: slots });
                slots += 1;
            }
            if let Some(single) = second.get(first.len()) {
                let base = &bases[(single >> 1) as usize];
                self.slots[slots as usize] = Slot::signed(base, single & 1 != 0);
                slots += 1;
            }
            slots = slots.max(bucket.start + 1);
            bucket.length = second.len() as u32;
            if bucket.length > 1 {
                self.busy.push(index);
            }
        }
        let mut operands = FromBases { bases, slots: &mut self.slots };
        let added = self.pairs.is_empty()
            || self.lanes.add_all::<_, false>(&mut operands, &mut self.pairs, &mut self.links);
        self.pairs.clear();
        if !added {
            return None;
        }
        while !self.busy.is_empty() {
            self.busy.retain(|index| {
                let bucket = &mut self.buckets[*index as usize];
                let kept = bucket.length.div_ceil(2);
                for i in bucket.start..bucket.start + bucket.length / 2 {
                    self.pairs.push(Pair { left: i, right: i + kept, out: i });
                }
                bucket.length = kept;
                kept > 1
            });
            self.add()?;
        }
        Some(())
    }

    /// `Σ d·B_d` of each window, as one sum for each bit.
    ///
    /// `Σ d·B_d = 2·Σ d·(B_2d + B_2d+1) + Σ B_2d+1`: each level halves the buckets, and its odd buckets make one list of
    /// points to be summed. Lists are summed by halves while later levels fill theirs.
    fn weigh_buckets(&mut self, windows: &Windows) -> Option<()> {
        let bits = windows.width as usize * (windows.largest.len() - 1) + u32::BITS as usize;
        self.bits.iter_mut().for_each(Vec::clear);
        self.bits.resize_with(bits, Vec::new);
        for level in 0.. {
            for list in &mut self.bits {
                let kept = list.len().div_ceil(2);
                for i in 0..list.len() / 2 {
                    self.pairs.push(Pair { left: list[i], right: list[i + kept], out: list[i] });
                }
                list.truncate(kept);
            }
            let mut done = self.pairs.is_empty();
            let mut first = 0;
            let mut lowest = level;
            for largest in &windows.largest {
                let count = *largest as usize + 1;
                let window = &mut self.buckets[first..first + count];
                first += count;
                if count > 1 << level {
                    done = false;
                    let list = &mut self.bits[lowest];
                    for even in (0..count - (1 << level)).step_by(2 << level) {
                        let odd = window[even + (1 << level)];
                        if odd.length == 0 {
                            continue;
                        }
                        list.push(odd.start);
                        // Bucket 0 has no weight.
                        if even != 0 {
                            if window[even].length == 0 {
                                window[even].length = 1;
                                self.slots[window[even].start as usize] = self.slots[odd.start as usize];
                            } else {
                                let even = window[even].start;
                                self.pairs.push(Pair { left: even, right: odd.start, out: even });
                            }
                        }
                    }
                }
                lowest += windows.width as usize;
            }
            if done {
                return Some(());
            }
            self.add()?;
        }
        Some(())
    }
}

/// Adds multiples of a blinding base to rows and normalises them together.
pub fn blind(rows: Vec<Projective>, blindings: &[F], base: &super::fixed_base::FixedBase) -> Vec<Point> {
    let blinded: Vec<Projective> =
        rows.into_iter().zip(blindings).map(|(row, blinding)| row + base.multiply(blinding)).collect();
    Projective::normalize_batch(&blinded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::Field;
    use weightproof_circuits::curve::{Domain, generator};

    fn naive(bases: &[Point], values: &[i32]) -> Projective {
        bases.iter().zip(values).map(|(b, v)| *b * F::from(*v)).sum()
    }

    fn bases(count: u64) -> Vec<Point> {
        (0..count).map(|i| generator(Domain::Row, i)).collect()
    }

    fn draws() -> impl FnMut() -> i32 {
        let mut state = 1u64;
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as i32
        }
    }

    /// A workspace for each kind of processor there is here.
    fn workspaces() -> Vec<Workspace> {
        vec![Workspace::portable(), Workspace::default()]
    }

    /// The sum on every processor, which takes no other path.
    fn check(bases: &[Point], values: &[i32], expected: Projective, what: &str) {
        for mut workspace in workspaces() {
            assert_eq!(workspace.sum(bases, values), Some(expected), "{what}");
            assert_eq!(commit_row(bases, values, &mut workspace), expected, "{what}");
        }
    }

    #[test]
    fn equals_the_naive_sum_on_every_width() {
        let bases = bases(70);
        let mut draw = draws();
        for bits in 1..=31u32 {
            let limit = 1i64 << bits;
            let values: Vec<i32> = (0..70)
                .map(|i| {
                    let v = i64::from(draw()) % limit;
                    let v = match i {
                        0 => limit - 1,
                        1 => -(limit - 1),
                        2 => (limit / 2).min(limit - 1),
                        3 => -limit / 2,
                        4 => 0,
                        _ => v - if i % 2 == 0 { 0 } else { limit / 2 },
                    };
                    v as i32
                })
                .collect();
            check(&bases, &values, naive(&bases, &values), &format!("{bits} bits"));
        }
        for values in [vec![1; 70], vec![-1; 70], vec![i32::MIN; 3], vec![i32::MIN; 70], vec![i32::MAX; 70]] {
            check(&bases[..values.len()], &values, naive(&bases, &values), "equal values");
        }
    }

    #[test]
    fn any_length_will_do() {
        let bases = bases(40);
        let mut draw = draws();
        for length in 1..=40 {
            for shift in [0, 14, 22, 30] {
                let values: Vec<i32> = (0..length).map(|_| (draw() >> shift) | 1).collect();
                check(
                    &bases[..length],
                    &values,
                    naive(&bases, &values),
                    &format!("{length} values >> {shift}"),
                );
            }
        }
        for mut workspace in workspaces() {
            assert_eq!(commit_row(&bases, &[], &mut workspace), Projective::ZERO);
            assert_eq!(commit_row(&[], &[1, 2], &mut workspace), Projective::ZERO);
            assert_eq!(commit_row(&bases, &[0; 40], &mut workspace), Projective::ZERO);
            assert_eq!(commit_row(&bases, &[7, 0, -3], &mut workspace), naive(&bases, &[7, 0, -3]));
            assert_eq!(commit_row(&bases[..2], &[7, 1, -3], &mut workspace), naive(&bases[..2], &[7, 1]));
        }
    }

    /// Rows as provers make them, long enough for buckets of whole values; by workspaces that are used again.
    #[test]
    fn equals_the_naive_sum_on_long_rows() {
        const LENGTH: usize = 3000;
        let bases = bases(LENGTH as u64);
        let mut draw = draws();
        let mut row = |f: &dyn Fn(i32) -> i32| -> Vec<i32> { (0..LENGTH).map(|_| f(draw())).collect() };
        let mut rows = vec![
            row(&|v| v & 0x1ff),
            row(&|v| (v & 0x3ff) - 0x200),
            row(&|v| v & 0x1fff),
            row(&|v| v as i16 as i32),
            row(&|v| v & 1),
            row(&|v| v & 0x3ff_ffff),
            row(&|v| if v & 7 == 0 { v >> 10 } else { 0 }),
            // Most values small, a few of every size.
            row(&|v| ((v & 0xff) - 0x80) << if v & 0x3f00 == 0 { v >> 16 & 15 } else { 0 }),
        ];
        rows.push(vec![5; LENGTH]);
        let mut workspaces = workspaces();
        for (index, values) in rows.iter().enumerate() {
            let expected = naive(&bases, values);
            for workspace in &mut workspaces {
                assert_eq!(workspace.sum(&bases, values), Some(expected), "row {index}");
            }
        }
        assert_eq!(Windows::for_values(&rows[0]).largest.len(), 1, "some row has whole values for buckets");
        assert!(Windows::for_values(&rows[5]).largest.len() > 1, "some row has several windows");
    }

    #[test]
    fn windows_hold_every_magnitude() {
        for width in 1..=WIDEST {
            for magnitude in (0..32).flat_map(|bits| [1u32 << bits, (1 << bits) - 1, (1 << bits) + 1]) {
                let windows = Windows::of_width(width, magnitude);
                let weight = |j: usize| 1i64 << (windows.width as usize * j);
                let reach: i64 = windows
                    .largest
                    .iter()
                    .enumerate()
                    .map(|(j, largest)| i64::from(*largest) * weight(j))
                    .sum();
                assert!(reach >= i64::from(magnitude), "{magnitude} in windows of {width}");
                assert!(windows.largest.iter().all(|largest| *largest <= 1 << (width - 1)));
            }
        }
    }

    #[test]
    fn bases_that_repeat_or_vanish_are_still_summed() {
        let base = generator(Domain::Row, 0);
        let other = generator(Domain::Row, 1);
        let identity = Point::identity();
        let rows: [(Vec<Point>, Vec<i32>); 8] = [
            (vec![base, base, -base, base], vec![1, 1, 1, 1]),
            (vec![base, base], vec![5, 5]),
            (vec![base, -base], vec![5, 5]),
            (vec![base, base], vec![5, -5]),
            (vec![identity, other], vec![3, 4]),
            (vec![identity; 40], vec![1; 40]),
            // Buckets that only meet when they are weighed.
            (vec![base, base, other], vec![3, 2, 7]),
            (vec![base; 100], (0..100).collect()),
        ];
        for (bases, values) in &rows {
            for mut workspace in workspaces() {
                assert_eq!(workspace.sum(bases, values), None, "{values:?} has an addition without a chord");
                assert_eq!(commit_row(bases, values, &mut workspace), naive(bases, values));
                // Nothing is left behind.
                assert_eq!(workspace.sum(&[base, other], &[3, 9]), Some(naive(&[base, other], &[3, 9])));
            }
        }
    }

    #[test]
    fn signed_digits_add_up() {
        let mut all = vec![F::ZERO, F::ONE, -F::ONE, F::from(u64::MAX), F::from(2u64).inverse().unwrap()];
        all.extend([(-F::ONE).double(), F::from(2u64).pow([254]), F::from(2u64).pow([253]) - F::ONE]);
        for scalar in all {
            for width in 1..=30 {
                let rows = (F::MODULUS_BIT_SIZE + 1).div_ceil(width);
                let integer = scalar.into_bigint().0;
                let sum = (0..rows).rev().fold(F::ZERO, |sum, row| {
                    let digit = signed_digit(&integer, row * width, width);
                    assert!(digit.unsigned_abs() <= 1 << (width - 1));
                    sum * F::from(1u64 << width) + F::from(digit)
                });
                assert_eq!(sum, scalar, "{width}");
            }
        }
    }

    #[test]
    fn full_size_sums_equal_the_generic_ones() {
        let bases = bases(300);
        let mut scalar = F::from(5u64);
        let scalars: Vec<F> = (0..300)
            .map(|i| match i {
                0 => F::ZERO,
                1 => -F::ONE,
                2 => F::ONE,
                _ => {
                    scalar = scalar.square() - F::ONE;
                    scalar
                }
            })
            .collect();
        for count in [0, 1, FEWEST - 1, FEWEST, 300] {
            assert_eq!(
                multi_exponentiation(&bases[..count], &scalars),
                curve::multi_exponentiation(&bases[..count], &scalars[..count])
            );
        }
        let repeated = vec![bases[0]; FEWEST];
        let sum: F = scalars[..FEWEST].iter().sum();
        assert_eq!(multi_exponentiation(&repeated, &scalars), bases[0] * sum);
    }
}
