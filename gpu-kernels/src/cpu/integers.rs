//! Sums of integers times field elements.
//!
//! For 32-bit integers an element is cut into limbs of 29 bits, so that a product is one multiplication of a kind that
//! vectors have, and many are added before any carry. Others take 64-bit multiplications with carries.

use ark_ff::AdditiveGroup;
use rayon::prelude::*;
use weightproof_circuits::accumulate::{LIMB_BITS, LIMBS, SmallSum, inner, join_limbs, limbs};
use weightproof_circuits::field::F;

/// What `Σ |integer|` may reach so that sums of products with limbs stay below `2^63`.
const ROOM: u64 = 1 << (63 - LIMB_BITS);
/// Columns summed at a time: their sums stay in registers.
const COLUMNS: usize = 16;
/// Rows between two looks at the magnitudes.
const ROWS: usize = 64;
/// Rows from which limb sums pay: joining them costs as much as some rows.
const LIMB_ROWS: usize = 24;
/// Integers that are worth a task of their own.
const TASK: usize = 1 << 15;

/// Integers that are summed.
#[derive(Clone, Copy)]
pub enum Integers<'a> {
    /// Of 32 bits.
    Small(&'a [i32]),
    /// Of 64 bits.
    Large(&'a [i64]),
}

impl Integers<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Integers::Small(values) => values.len(),
            Integers::Large(values) => values.len(),
        }
    }

    /// Some of them.
    #[must_use]
    pub fn part(self, range: core::ops::Range<usize>) -> Self {
        match self {
            Integers::Small(values) => Integers::Small(&values[range]),
            Integers::Large(values) => Integers::Large(&values[range]),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sixteen limb sums a limb.
type Chunk = [[i64; COLUMNS]; LIMBS];

/// The largest magnitude.
fn magnitude(values: &[i32]) -> u64 {
    u64::from(values.iter().fold(0, |largest, v| largest.max(v.unsigned_abs())))
}

/// Adds rows of up to sixteen columns: `values[row·stride..]`.
#[inline(always)]
fn add_rows(sums: &mut Chunk, values: &[i32], stride: usize, columns: usize, weights: &[[i32; LIMBS]]) {
    let mut local = *sums;
    for (row, weight) in weights.iter().enumerate() {
        let mut padded = [0i32; COLUMNS];
        let values = match values[row * stride..].first_chunk::<COLUMNS>() {
            Some(values) if columns == COLUMNS => values,
            _ => {
                padded[..columns].copy_from_slice(&values[row * stride..][..columns]);
                &padded
            }
        };
        for (sums, limb) in local.iter_mut().zip(weight) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += i64::from(*limb) * i64::from(*value);
            }
        }
    }
    *sums = local;
}

/// Adds the products of sixteen columns.
#[inline(always)]
fn add_columns(sums: &mut Chunk, values: &[i32; COLUMNS], weights: &[[i32; COLUMNS]; LIMBS]) {
    for (sums, weights) in sums.iter_mut().zip(weights) {
        for ((sum, weight), value) in sums.iter_mut().zip(weights).zip(values) {
            *sum += i64::from(*weight) * i64::from(*value);
        }
    }
}

#[inline(always)]
fn combine_block(sums: &mut [Chunk], values: &[i32], width: usize, weights: &[[i32; LIMBS]]) {
    for (index, sums) in sums.iter_mut().enumerate() {
        let first = index * COLUMNS;
        add_rows(sums, &values[first..], width, COLUMNS.min(width - first), weights);
    }
}

#[inline(always)]
fn contract_row(values: &[i32], weights: &[[[i32; COLUMNS]; LIMBS]]) -> Chunk {
    let mut sums = [[0; COLUMNS]; LIMBS];
    let (chunks, rest) = values.as_chunks::<COLUMNS>();
    for (values, weights) in chunks.iter().zip(weights) {
        add_columns(&mut sums, values, weights);
    }
    if let Some(weights) = weights.get(chunks.len()) {
        let mut padded = [0; COLUMNS];
        padded[..rest.len()].copy_from_slice(rest);
        add_columns(&mut sums, &padded, weights);
    }
    sums
}

/// The two loops, compiled for wide vectors where the processor has them.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::*;

    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    pub fn combine_block(sums: &mut [Chunk], values: &[i32], width: usize, weights: &[[i32; LIMBS]]) {
        super::combine_block(sums, values, width, weights);
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    pub fn contract_row(values: &[i32], weights: &[[[i32; COLUMNS]; LIMBS]]) -> Chunk {
        super::contract_row(values, weights)
    }
}

/// Whether limb sums are the faster way: without vectors of 64-bit products they are not.
pub fn has_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return super::ifma::Ifma::new().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn combine_vectors(sums: &mut [Chunk], values: &[i32], width: usize, weights: &[[i32; LIMBS]]) {
    #[cfg(target_arch = "x86_64")]
    if super::ifma::Ifma::new().is_some() {
        // SAFETY: the processor has the instructions.
        return unsafe { wide::combine_block(sums, values, width, weights) };
    }
    combine_block(sums, values, width, weights);
}

fn contract_vectors(values: &[i32], weights: &[[[i32; COLUMNS]; LIMBS]]) -> Chunk {
    #[cfg(target_arch = "x86_64")]
    if super::ifma::Ifma::new().is_some() {
        // SAFETY: the processor has the instructions.
        return unsafe { wide::contract_row(values, weights) };
    }
    contract_row(values, weights)
}

/// Sums of `width` columns.
struct Columns {
    sums: Vec<Chunk>,
    /// What the magnitudes so far leave of [`ROOM`].
    room: u64,
    totals: Vec<F>,
}

impl Columns {
    fn new(width: usize) -> Self {
        let sums = vec![[[0; COLUMNS]; LIMBS]; width.div_ceil(COLUMNS)];
        Self { sums, room: ROOM, totals: vec![F::ZERO; width] }
    }

    fn flush(&mut self) {
        for (chunk, totals) in self.sums.iter_mut().zip(self.totals.chunks_mut(COLUMNS)) {
            for (column, total) in totals.iter_mut().enumerate() {
                *total += join_limbs(&core::array::from_fn(|limb| chunk[limb][column]));
            }
            *chunk = [[0; COLUMNS]; LIMBS];
        }
        self.room = ROOM;
    }

    /// Adds rows with their weights.
    fn add(&mut self, values: &[i32], weights: &[F]) {
        let width = self.totals.len();
        for (values, weights) in values.chunks(ROWS * width).zip(weights.chunks(ROWS)) {
            let need = magnitude(values) * weights.len() as u64;
            if need > ROOM {
                add_carrying(&mut self.totals, values, weights);
                continue;
            }
            if need > self.room {
                self.flush();
            }
            self.room -= need;
            let limbs: Vec<[i32; LIMBS]> = weights.iter().map(limbs).collect();
            combine_vectors(&mut self.sums, values, width, &limbs);
        }
    }
}

/// Adds rows with their weights, whatever the magnitudes.
fn add_carrying<T: Copy + Into<i64>>(totals: &mut [F], values: &[T], weights: &[F]) {
    // Columns in blocks whose sums stay in the first-level cache.
    const BLOCK: usize = 64;
    let width = totals.len();
    for (block, totals) in totals.chunks_mut(BLOCK).enumerate() {
        let mut sums = [SmallSum::default(); BLOCK];
        for (row, weight) in values.chunks_exact(width).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(&row[block * BLOCK..]) {
                sum.add(weight, (*value).into());
            }
        }
        for (total, sum) in totals.iter_mut().zip(&sums) {
            *total += sum.value();
        }
    }
}

/// `Σ_row weights[row]·values[row][column]` by column; rows have `width` entries. `vectors` chooses limb sums.
pub fn combine(vectors: bool, values: Integers<'_>, width: usize, weights: &[F]) -> Vec<F> {
    debug_assert_eq!(values.len(), width * weights.len());
    // Twice as many tasks as threads, so that there are few partial sums.
    let rows = (TASK / width).max(ROWS).max(weights.len().div_ceil(2 * rayon::current_num_threads()));
    let vectors = vectors && weights.len() >= LIMB_ROWS;
    let part = |(task, weights): (usize, &[F])| {
        let first = task * rows;
        match values.part(first * width..(first + weights.len()) * width) {
            Integers::Small(values) if vectors => {
                let mut columns = Columns::new(width);
                columns.add(values, weights);
                columns.flush();
                columns.totals
            }
            Integers::Small(values) => combine_carrying(values, width, weights),
            Integers::Large(values) => combine_carrying(values, width, weights),
        }
    };
    let add = |mut a: Vec<F>, b: Vec<F>| {
        a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
        a
    };
    weights.par_chunks(rows).enumerate().map(part).reduce(|| vec![F::ZERO; width], add)
}

fn combine_carrying<T: Copy + Into<i64>>(values: &[T], width: usize, weights: &[F]) -> Vec<F> {
    let mut totals = vec![F::ZERO; width];
    add_carrying(&mut totals, values, weights);
    totals
}

/// `Σ_column weights[column]·values[row][column]` by row; rows have `weights.len()` entries. `vectors` chooses limb sums.
pub fn contract(vectors: bool, values: Integers<'_>, weights: &[F]) -> Vec<F> {
    let width = weights.len();
    debug_assert_eq!(values.len() % width, 0);
    let rows = (TASK / width).max(1);
    match values {
        Integers::Small(values) if vectors => {
            let limbs: Vec<[i32; LIMBS]> = weights.iter().map(limbs).collect();
            let transposed: Vec<[[i32; COLUMNS]; LIMBS]> = limbs
                .chunks(COLUMNS)
                .map(|chunk| {
                    core::array::from_fn(|limb| {
                        core::array::from_fn(|column| chunk.get(column).map_or(0, |limbs| limbs[limb]))
                    })
                })
                .collect();
            values
                .par_chunks(width)
                .with_min_len(rows)
                .map(|row| {
                    // Each of the sixteen sums takes every sixteenth product, and then all are added.
                    if magnitude(row) * width as u64 > ROOM {
                        return inner(row, weights);
                    }
                    let sums = contract_vectors(row, &transposed);
                    join_limbs(&sums.map(|lanes| lanes.iter().sum()))
                })
                .collect()
        }
        Integers::Small(values) => contract_carrying(values, weights, rows),
        Integers::Large(values) => contract_carrying(values, weights, rows),
    }
}

fn contract_carrying<T: Copy + Into<i64> + Sync>(values: &[T], weights: &[F], rows: usize) -> Vec<F> {
    values.par_chunks(weights.len()).with_min_len(rows).map(|row| inner(row, weights)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::Field;

    fn weights(count: usize) -> Vec<F> {
        let mut x = F::from(11u64);
        (0..count)
            .map(|i| {
                x = x.square() - F::ONE;
                if i == 1 { -F::ONE } else { x }
            })
            .collect()
    }

    /// Integers of up to `bits` bits, the extremes among them.
    fn integers(count: usize, bits: u32) -> Vec<i64> {
        let mut state = u64::from(bits);
        (0..count)
            .map(|i| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let value = state as i64 >> (64 - bits);
                match i % 7 {
                    0 => (1i64 << (bits - 1)) - 1,
                    1 => -(1i64 << (bits - 1)),
                    2 => value,
                    _ => -value / 2,
                }
            })
            .collect()
    }

    fn check(values: &[i64], width: usize, rows: usize, small: bool) {
        let narrow: Vec<i32> = if small { values.iter().map(|v| *v as i32).collect() } else { Vec::new() };
        let source = if small { Integers::Small(&narrow) } else { Integers::Large(values) };
        let (columns, by_row) = (weights(width), weights(rows));
        let expected: Vec<F> =
            (0..width).map(|c| (0..rows).map(|r| by_row[r] * F::from(values[r * width + c])).sum()).collect();
        for vectors in [false, true] {
            assert_eq!(combine(vectors, source, width, &by_row), expected, "{rows} rows of {width}");
        }
        let expected: Vec<F> = values
            .chunks(width)
            .map(|row| row.iter().zip(&columns).map(|(v, w)| *w * F::from(*v)).sum())
            .collect();
        for vectors in [false, true] {
            assert_eq!(contract(vectors, source, &columns), expected, "{rows} rows of {width}");
        }
    }

    #[test]
    fn sums_are_the_naive_ones() {
        for (width, rows) in [(1, 1), (1, 200), (3, 70), (16, 64), (37, 130), (256, 65), (1024, 3)] {
            for bits in [1, 8, 17, 27, 31, 32] {
                check(&integers(width * rows, bits), width, rows, true);
            }
            for bits in [33, 48, 63] {
                check(&integers(width * rows, bits), width, rows, false);
            }
        }
    }

    #[test]
    fn sums_flush_before_they_overflow() {
        // 2^27·64 rows fill the room in one look; a few more looks need flushes in between.
        let (width, rows) = (2, 1000);
        let values = vec![(1i64 << 27) - 1; width * rows];
        check(&values, width, rows, true);
        check(&vec![i64::from(i32::MIN); width * rows], width, rows, true);
    }
}
