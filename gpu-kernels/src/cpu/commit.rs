//! Multi-exponentiation of small signed integers: one Pedersen row `Σ values[i]·bases[i]`.
//!
//! Values are cut into signed digits; equal digits share a bucket, and the points of all buckets are added in affine
//! coordinates with one inversion a round (about six multiplications an addition). No value takes a 255-bit path.

use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::curve::{Base, Point, Projective, multi_exponentiation};
use weightproof_circuits::field::F;

/// Columns that are added at a time: the sorted points of a block stay in the second-level cache.
const BLOCK: usize = 8192;

/// Window size and count that cover `|value| ≤ 2^bits`.
///
/// Signed digits of `w` bits in `k` windows reach `2^(kw − 1)`.
fn windows(bits: u32) -> (u32, u32) {
    let count = (bits + 1).div_ceil(8).max(1);
    ((bits + 1).div_ceil(count), count)
}

/// Scratch space of one worker.
#[derive(Default)]
pub struct Workspace {
    digits: Vec<i16>,
    sorted: Vec<(Base, Base)>,
    next: Vec<(Base, Base)>,
    lengths: Vec<u32>,
    differences: Vec<Base>,
}

/// `Σ values[i]·bases[i]`.
pub fn commit_row(bases: &[Point], values: &[i32], workspace: &mut Workspace) -> Projective {
    values
        .chunks(BLOCK)
        .zip(bases.chunks(BLOCK))
        .map(|(values, bases)| commit_block(bases, values, workspace))
        .fold(Projective::ZERO, |sum, block| sum + block)
}

fn commit_block(bases: &[Point], values: &[i32], workspace: &mut Workspace) -> Projective {
    let magnitude = values.iter().map(|v| v.unsigned_abs()).max().unwrap_or(0);
    if magnitude == 0 {
        return Projective::ZERO;
    }
    // Smallest b with magnitude ≤ 2^b.
    let bits = 32 - (magnitude - 1).leading_zeros();
    let (width, count) = windows(bits);
    let buckets = 1usize << (width - 1);
    let half = 1i64 << (width - 1);

    // Digits, low window first, and the number of points in each bucket.
    let n = values.len();
    workspace.digits.clear();
    workspace.digits.resize(n * count as usize, 0);
    workspace.lengths.clear();
    workspace.lengths.resize(buckets * count as usize, 0);
    for (i, value) in values.iter().enumerate() {
        let mut rest = i64::from(*value);
        for window in 0..count as usize {
            let digit = if window + 1 == count as usize {
                rest
            } else {
                // The digit in [−half, half) that is congruent to the rest.
                ((rest + half) & (2 * half - 1)) - half
            };
            rest = (rest - digit) >> width;
            workspace.digits[window * n + i] = digit as i16;
            if digit != 0 {
                let bucket = window * buckets + digit.unsigned_abs() as usize - 1;
                workspace.lengths[bucket] += 1;
            }
        }
    }

    // Counting sort of the points by bucket.
    let total: u32 = workspace.lengths.iter().sum();
    let mut starts = Vec::with_capacity(workspace.lengths.len());
    let mut start = 0u32;
    for length in &workspace.lengths {
        starts.push(start);
        start += length;
    }
    workspace.sorted.clear();
    workspace.sorted.resize(total as usize, (Base::ZERO, Base::ZERO));
    for window in 0..count as usize {
        for (i, base) in bases.iter().enumerate().take(n) {
            let digit = workspace.digits[window * n + i];
            if digit != 0 {
                let bucket = window * buckets + digit.unsigned_abs() as usize - 1;
                let slot = starts[bucket] as usize;
                starts[bucket] += 1;
                workspace.sorted[slot] = (base.x, if digit < 0 { -base.y } else { base.y });
            }
        }
    }

    // Halve every bucket until each holds one point.
    while workspace.lengths.iter().any(|l| *l > 1) {
        if !halve(workspace) {
            // Two points of one bucket share an x coordinate: bases repeat, which hashing to the curve does not yield.
            // Any bases are still summed correctly.
            let scalars: Vec<F> = values.iter().map(|v| F::from(*v)).collect();
            return multi_exponentiation(bases, &scalars);
        }
    }

    // Σ digit·bucket by suffix sums, windows from the top.
    let mut sum = Projective::ZERO;
    let mut end = workspace.sorted.len();
    for window in (0..count as usize).rev() {
        for _ in 0..width {
            sum.double_in_place();
        }
        let mut running = Projective::ZERO;
        let mut weighted = Projective::ZERO;
        for bucket in (window * buckets..(window + 1) * buckets).rev() {
            if workspace.lengths[bucket] == 1 {
                end -= 1;
                let (x, y) = workspace.sorted[end];
                running += Point::new_unchecked(x, y);
            }
            weighted += running;
        }
        sum += weighted;
    }
    sum
}

/// Adds the points of each bucket in pairs; `false` when a pair has equal `x`.
fn halve(workspace: &mut Workspace) -> bool {
    let Workspace { sorted, next, lengths, differences, .. } = workspace;
    // Running products of the differences, to invert them all at once.
    differences.clear();
    let mut product = Base::ONE;
    let mut start = 0usize;
    for length in lengths.iter() {
        let length = *length as usize;
        for pair in sorted[start..start + length].chunks_exact(2) {
            differences.push(product);
            product *= pair[1].0 - pair[0].0;
        }
        start += length;
    }
    let Some(mut inverse) = product.inverse() else {
        return false;
    };
    // Backwards: each difference's inverse is the running product before it times the inverse of all up to it.
    next.clear();
    let halved: usize = lengths.iter().map(|l| l.div_ceil(2) as usize).sum();
    next.resize(halved, (Base::ZERO, Base::ZERO));
    let mut write = halved;
    let mut end = sorted.len();
    for length in lengths.iter_mut().rev() {
        let count = *length as usize;
        let points = &sorted[end - count..end];
        end -= count;
        if count % 2 == 1 {
            write -= 1;
            next[write] = points[count - 1];
        }
        for pair in points.chunks_exact(2).rev() {
            let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
            let before = differences.pop().unwrap_or(Base::ONE);
            let difference = x2 - x1;
            let slope = (y2 - y1) * (inverse * before);
            inverse *= difference;
            let x = slope.square() - x1 - x2;
            let y = slope * (x1 - x) - y1;
            write -= 1;
            next[write] = (x, y);
        }
        *length = length.div_ceil(2);
    }
    core::mem::swap(sorted, next);
    true
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
    use weightproof_circuits::curve::{Domain, generator};

    fn naive(bases: &[Point], values: &[i32]) -> Projective {
        bases.iter().zip(values).map(|(b, v)| *b * F::from(*v)).sum()
    }

    #[test]
    fn equals_the_naive_sum_on_every_width() {
        let bases: Vec<Point> = (0..70).map(|i| generator(Domain::Row, i)).collect();
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as i32
        };
        let mut workspace = Workspace::default();
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
            assert_eq!(commit_row(&bases, &values, &mut workspace), naive(&bases, &values), "{bits} bits");
        }
        for values in [vec![0; 70], vec![1; 70], vec![-1; 70], vec![i32::MIN; 3], vec![i32::MAX; 70]] {
            assert_eq!(commit_row(&bases, &values, &mut workspace), naive(&bases, &values));
        }
    }

    #[test]
    fn repeated_bases_are_still_summed() {
        let base = generator(Domain::Row, 0);
        let bases = vec![base, base, -base, base];
        let mut workspace = Workspace::default();
        for values in [vec![1, 1, 1, 1], vec![5, 5, 5, 5], vec![1, 0, 1, 0]] {
            assert_eq!(commit_row(&bases, &values, &mut workspace), naive(&bases, &values));
        }
    }
}
