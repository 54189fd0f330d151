//! Commitments to rows of small integers (the method is described in `cuda/commit.cu`).

use ark_ec::AffineRepr;
use ark_ff::{AdditiveGroup, Zero};
use weightproof_circuits::curve::{Base, Point, Projective};

use super::array::Array;
use super::runtime::{Launch, Runtime};
use super::session::DeviceSession;
use crate::kernels::KernelError;

/// Entries that one thread adds up: long enough that the doublings at the end of a segment weigh little, short enough that
/// there are threads for all of a device.
const SEGMENT: usize = 64;
/// Columns of a part of the counting sort.
const PART: usize = 512;
/// Points that one thread adds up when segments are joined.
const FACTOR: usize = 8;
/// Scratch memory of a batch of rows, in bytes.
const SCRATCH: usize = 256 << 20;
/// Most rows of a batch, so that progress is heard of.
const BATCH: usize = 4096;
/// Bytes of a point in XYZZ coordinates.
const POINT_BYTES: usize = 128;

/// Window size and count that cover `|value| ≤ largest`: `w`-bit signed digits in `k` windows reach `2^(kw − 1)`.
fn windows(largest: u32) -> (usize, usize) {
    // The smallest b with largest ≤ 2^b; `largest` is not zero.
    let bits = (32 - (largest - 1).leading_zeros()) as usize;
    let count = (bits + 1).div_ceil(8);
    ((bits + 1).div_ceil(count), count)
}

/// `Σ values·bases` of each row of the stack.
pub(super) fn commit_rows<R: Runtime>(
    session: &DeviceSession<'_, R>,
    bases: &[Point],
    width: usize,
    watch: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Projective>, KernelError> {
    let runtime = session.runtime;
    let stack = session.stack.len();
    // A column and a sign share 32 bits.
    if width == 0 || !stack.is_multiple_of(width) || width > 1 << 30 {
        return session.refuse(format!("expected a width that divides {stack}, found {width}"));
    }
    let Some(bases) = bases.get(..width) else {
        return session.refuse(format!("expected {width} bases, found {}", bases.len()));
    };
    let coordinates: Vec<Base> = bases
        .iter()
        // (0, 0) stands for the identity.
        .flat_map(|base| base.xy().map_or([Base::ZERO; 2], |(x, y)| [x, y]))
        .collect();
    let bases = Array::upload(runtime, &coordinates)?;

    let rows = stack / width;
    let largest = Array::<R, u32>::zeros(runtime, rows)?;
    let launch = Launch::new("row_magnitudes").array(&session.stack).array(&largest);
    runtime.launch(&launch.size(rows).size(width).threads(rows))?;
    let largest = largest.download(runtime)?;

    let finished = |count: usize| (0..count).all(|_| watch());
    let mut sums = vec![Projective::zero(); rows];
    // Rows of one way of cutting are computed together; rows of zeros are done.
    let mut cut: Vec<((usize, usize), u64)> = Vec::with_capacity(rows);
    cut.extend((0..).zip(&largest).filter(|(_, largest)| **largest != 0).map(|(row, l)| (windows(*l), row)));
    cut.sort_unstable();
    if !finished(rows - cut.len()) {
        return Err(KernelError::Cancelled);
    }
    for rows in cut.chunk_by(|a, b| a.0 == b.0) {
        let Some(&((bits, count), _)) = rows.first() else { continue };
        let plan = Plan::new(width, bits, count);
        for batch in rows.chunks(plan.batch()) {
            let indices: Vec<u64> = batch.iter().map(|(_, row)| *row).collect();
            let points = plan.run(session, &bases, &indices)?;
            for (row, point) in indices.iter().zip(points.chunks_exact(4)) {
                sums[*row as usize] = from_xyzz(point);
            }
            if !finished(batch.len()) {
                return Err(KernelError::Cancelled);
            }
        }
    }
    Ok(sums)
}

/// `[X, Y, ZZ, ZZZ]` in Jacobian coordinates: with `z = ZZ`, `x·z² = X·ZZ` and `y·z³ = Y·ZZ³/ZZZ = Y·ZZZ`.
fn from_xyzz(point: &[Base]) -> Projective {
    match point {
        [x, y, zz, zzz] if !zz.is_zero() => Projective::new_unchecked(*x * zz, *y * zzz, *zz),
        _ => Projective::zero(),
    }
}

/// Sizes of a batch whose values are cut in one way.
struct Plan {
    width: usize,
    bits: usize,
    windows: usize,
    levels: usize,
    parts: usize,
    segments: usize,
}

impl Plan {
    fn new(width: usize, bits: usize, windows: usize) -> Self {
        Self {
            width,
            bits,
            windows,
            levels: 1 << (bits - 1),
            parts: width.div_ceil(PART),
            segments: width.div_ceil(SEGMENT),
        }
    }

    /// Rows whose scratch memory is within bounds.
    fn batch(&self) -> usize {
        let sorted = 4 * self.width;
        let counts = 4 * self.levels * self.parts;
        let points = 2 * POINT_BYTES * self.segments;
        (SCRATCH / (self.windows * (sorted + counts + points))).clamp(1, BATCH)
    }

    /// The sums of the rows, four coordinates each.
    fn run<R: Runtime>(
        &self,
        session: &DeviceSession<'_, R>,
        bases: &Array<R, Base>,
        rows: &[u64],
    ) -> Result<Vec<Base>, KernelError> {
        let runtime = session.runtime;
        let indices = Array::upload(runtime, rows)?;
        let lines = rows.len() * self.windows;
        let digits = |kernel| {
            Launch::new(kernel)
                .array(&session.stack)
                .array(&indices)
                .size(rows.len())
                .size(self.width)
                .size(self.bits)
                .size(self.windows)
                .size(self.parts)
        };

        let counts = Array::<R, u32>::zeros(runtime, lines * self.levels * self.parts)?;
        runtime.launch(&digits("digit_counts").array(&counts).threads(lines * self.parts))?;
        let totals = Array::<R, u32>::zeros(runtime, lines)?;
        let launch = Launch::new("digit_offsets").array(&counts).array(&totals);
        runtime.launch(&launch.size(lines).size(self.levels * self.parts).threads(lines))?;
        let sorted = Array::<R, u32>::zeros(runtime, lines * self.width)?;
        let launch = digits("digit_sort").array(&counts).array(&sorted);
        runtime.launch(&launch.threads(lines * self.parts))?;

        let mut points = Array::<R, Base>::zeros(runtime, 4 * lines * self.segments)?;
        let launch = digits("segment_sums")
            .array(&sorted)
            .array(&totals)
            .array(bases)
            .array(&points)
            .size(self.segments)
            .size(SEGMENT);
        runtime.launch(&launch.threads(lines * self.segments))?;

        let mut length = self.segments;
        while length > 1 {
            let shorter = length.div_ceil(FACTOR);
            let out = Array::<R, Base>::zeros(runtime, 4 * lines * shorter)?;
            let launch = Launch::new("sum_points").array(&points).array(&out);
            runtime.launch(&launch.size(lines).size(length).size(FACTOR).threads(lines * shorter))?;
            (points, length) = (out, shorter);
        }
        let out = Array::<R, Base>::zeros(runtime, 4 * rows.len())?;
        let launch = Launch::new("join_windows").array(&points).array(&out);
        runtime.launch(&launch.size(rows.len()).size(self.windows).size(self.bits).threads(rows.len()))?;
        out.download(runtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_reach_every_magnitude() {
        for largest in
            (0..=31).flat_map(|bits| [1u32 << bits, (1 << bits) - 1, (1 << bits) + 1]).filter(|l| *l != 0)
        {
            let largest = largest.min(1 << 31);
            let (bits, count) = windows(largest);
            assert!(
                bits <= 8 && u64::from(largest) <= 1 << (bits * count - 1),
                "{largest}: {count} windows of {bits}"
            );
        }
    }
}
