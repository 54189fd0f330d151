//! Sums over rows and columns of integers, and sums of field elements.

use weightproof_circuits::field::F;

use super::array::Array;
use super::runtime::{Launch, Runtime};
use super::weights;
use crate::kernels::{EqSum, KernelError};

/// Threads that keep a large device busy.
pub(super) const BUSY: usize = 1 << 17;
/// Terms that one thread of a sum adds up.
const TERMS: usize = 64;

/// Integers on the device: a range of an array of 32 or of 64 bits.
pub(super) enum Integers<'a, R: Runtime> {
    Narrow(&'a Array<R, i32>, usize),
    Wide(&'a Array<R, i64>, usize),
}

impl<'a, R: Runtime> Integers<'a, R> {
    fn append<'b>(&'b self, launch: Launch<'b, R::Buffer>) -> Launch<'b, R::Buffer> {
        match self {
            Self::Narrow(array, start) => launch.slice(array, *start).null(),
            Self::Wide(array, start) => launch.null().slice(array, *start),
        }
    }
}

/// `[group][column]` of `Σ_row weights[row]·source[row][column]`.
pub(super) fn combine_rows<R: Runtime>(
    runtime: &R,
    source: &Integers<'_, R>,
    width: usize,
    groups: usize,
    weights: &[F],
) -> Result<Vec<F>, KernelError> {
    let rows = weights.len() / groups;
    let sums = groups * width;
    // A few sums over many rows are cut into parts, to have work for all threads.
    let parts = (BUSY / sums.max(1)).clamp(1, rows.div_ceil(TERMS).max(1));
    let weights = Array::upload(runtime, weights)?;
    let out = Array::<R, F>::zeros(runtime, parts * sums)?;
    let launch = source.append(Launch::new("combine_rows")).array(&weights).array(&out);
    runtime.launch(&launch.size(width).size(groups).size(rows).size(parts).threads(parts * sums))?;
    sum(runtime, out, parts, sums)?.download(runtime)
}

/// `[row]` of `Σ_column weights[column]·source[row][column]`.
pub(super) fn contract_rows<R: Runtime>(
    runtime: &R,
    source: &Integers<'_, R>,
    rows: usize,
    weights: &[F],
) -> Result<Vec<F>, KernelError> {
    let width = weights.len();
    let parts = (BUSY / rows.max(1)).clamp(1, width.div_ceil(TERMS).max(1));
    let weights = Array::upload(runtime, weights)?;
    let out = Array::<R, F>::zeros(runtime, parts * rows)?;
    let launch = source.append(Launch::new("contract_rows")).array(&weights).array(&out);
    runtime.launch(&launch.size(width).size(rows).size(parts).threads(parts * rows))?;
    sum(runtime, out, parts, rows)?.download(runtime)
}

/// `[term]` of `Σ_i array[i][term]` for `count` rows of `terms` elements, in as many launches as it takes.
pub(super) fn sum<R: Runtime>(
    runtime: &R,
    mut array: Array<R, F>,
    mut count: usize,
    terms: usize,
) -> Result<Array<R, F>, KernelError> {
    while count > 1 {
        let workers = count.div_ceil(TERMS);
        let out = Array::<R, F>::zeros(runtime, workers * terms)?;
        let launch = Launch::new("sum_elements").array(&array).array(&out);
        runtime.launch(&launch.size(terms).size(count).size(workers).threads(workers * terms))?;
        (array, count) = (out, workers);
    }
    Ok(array)
}

/// The array over `2^variables` positions of `Σ coefficient·eq(point, ·)`.
pub(super) fn eq_sum<R: Runtime>(
    runtime: &R,
    variables: usize,
    terms: &EqSum,
) -> Result<Array<R, F>, KernelError> {
    let (mut high, mut low) = (Vec::new(), Vec::new());
    for (coefficient, point) in terms {
        let (h, l) = weights::split(point);
        high.extend(h.iter().map(|value| *value * coefficient));
        low.extend_from_slice(&l);
    }
    let high_size = 1usize << (variables / 2);
    let low_size = 1usize << (variables - variables / 2);
    let (high, low) = (Array::upload(runtime, &high)?, Array::upload(runtime, &low)?);
    let out = Array::<R, F>::zeros(runtime, 1 << variables)?;
    let launch = Launch::new("eq_sum").array(&high).array(&low).array(&out);
    runtime.launch(&launch.size(terms.len()).size(high_size).size(low_size).threads(1 << variables))?;
    Ok(out)
}
