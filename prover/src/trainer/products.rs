//! Matrix products over the threads of the current rayon pool.
//!
//! Every thread writes its own block of the result, so the only order that threads could change is the order of
//! sums inside one entry, and they do not: a block's entry is summed by one thread. Exact `f64` products would
//! not mind either way.
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, LinalgScalar};

/// Below this many multiplications a product is not worth handing to other threads.
const SERIAL_WORK: usize = 1 << 18;

/// Narrowest block of rows or columns given to a thread: a packed panel of the kernel stays worth its packing.
const NARROWEST_BLOCK: usize = 32;

/// `result ← alpha·left·right + beta·result`, for `m×k`, `k×n` and `m×n`. With `beta` zero the old content of
/// `result` is not read.
pub(crate) fn multiply<T: LinalgScalar + Send + Sync>(
    alpha: T,
    left: ArrayView2<T>,
    right: ArrayView2<T>,
    beta: T,
    result: ArrayViewMut2<T>,
) {
    let (rows, columns) = result.dim();
    let work = rows.saturating_mul(columns).saturating_mul(left.ncols());
    // The longer side is cut, so that the shorter operand is packed by every thread and the longer only once.
    let axis = if rows > columns { Axis(0) } else { Axis(1) };
    let length = rows.max(columns);
    let threads = rayon::current_num_threads().min(length / NARROWEST_BLOCK).max(1);
    if work < SERIAL_WORK || threads == 1 {
        let mut result = result;
        general_mat_mul(alpha, &left, &right, beta, &mut result);
        return;
    }
    let block = length.div_ceil(threads);
    rayon::scope(|scope| {
        let mut rest = result;
        let (mut left_rest, mut right_rest) = (left, right);
        while rest.len_of(axis) > 0 {
            let taken = block.min(rest.len_of(axis));
            let (mut part, next) = rest.split_at(axis, taken);
            rest = next;
            let (part_left, part_right);
            if axis == Axis(0) {
                (part_left, left_rest) = left_rest.split_at(axis, taken);
                part_right = right;
            } else {
                part_left = left;
                (part_right, right_rest) = right_rest.split_at(axis, taken);
            }
            scope.spawn(move |_| general_mat_mul(alpha, &part_left, &part_right, beta, &mut part));
        }
    });
}

/// A row-major matrix of the given shape.
///
/// Panics when `entries.len()` is not `rows·columns`: the callers have made or checked the vector.
pub(crate) fn matrix<T>(rows: usize, columns: usize, entries: Vec<T>) -> Array2<T> {
    Array2::from_shape_vec((rows, columns), entries).expect("as many entries as the shape has")
}
