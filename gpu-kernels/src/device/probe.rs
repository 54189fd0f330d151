//! Single operations of the kernels' arithmetic, for tests (`cuda/probe.cu`).

use ark_ec::AffineRepr;
use weightproof_circuits::curve::{Base, Point};
use weightproof_circuits::field::F;

use super::array::{Array, Item};
use super::runtime::{Launch, Runtime};
use crate::kernels::KernelError;

/// An operation on two elements of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `a + b`.
    Add = 0,
    /// `a − b`.
    Subtract = 1,
    /// `a·b`.
    Multiply = 2,
    /// `−a`.
    Negate = 3,
    /// `a·b + b·b`.
    DoubleProduct = 4,
}

/// `left ∘ right` in the scalar field.
///
/// # Errors
/// [`KernelError::Device`].
pub fn scalars<R: Runtime>(
    runtime: &R,
    operation: Operation,
    left: &[F],
    right: &[F],
) -> Result<Vec<F>, KernelError> {
    fields(runtime, false, operation, left, right)
}

/// `left ∘ right` in the base field.
///
/// # Errors
/// [`KernelError::Device`].
pub fn bases<R: Runtime>(
    runtime: &R,
    operation: Operation,
    left: &[Base],
    right: &[Base],
) -> Result<Vec<Base>, KernelError> {
    fields(runtime, true, operation, left, right)
}

fn fields<R: Runtime, T: Item>(
    runtime: &R,
    is_base: bool,
    operation: Operation,
    left: &[T],
    right: &[T],
) -> Result<Vec<T>, KernelError> {
    let count = left.len().min(right.len());
    let (left, right) = (Array::upload(runtime, left)?, Array::upload(runtime, right)?);
    let out = Array::<R, T>::zeros(runtime, count)?;
    let launch = Launch::new("field_probe").array(&left).array(&right).array(&out);
    runtime.launch(&launch.size(count).word(u64::from(is_base)).word(operation as u64).threads(count))?;
    out.download(runtime)
}

/// The integers as elements, and `Σ weights·integers`, over the shorter of the two.
///
/// # Errors
/// [`KernelError::Device`].
pub fn integers<R: Runtime>(
    runtime: &R,
    integers: &[i64],
    weights: &[F],
) -> Result<(Vec<F>, Vec<F>), KernelError> {
    let count = integers.len().min(weights.len());
    let (integers, weights) = (Array::upload(runtime, integers)?, Array::upload(runtime, weights)?);
    let (out, sum) = (Array::<R, F>::zeros(runtime, count)?, Array::<R, F>::zeros(runtime, 1)?);
    let launch = Launch::new("integer_probe").array(&integers).array(&weights).array(&out).array(&sum);
    runtime.launch(&launch.size(count).threads(count + 1))?;
    Ok((out.download(runtime)?, sum.download(runtime)?))
}

/// `left + factor·right` of XYZZ points, four coordinates each, and affine points; by a mixed addition when there is no
/// factor.
///
/// # Errors
/// [`KernelError::Device`].
pub fn points<R: Runtime>(
    runtime: &R,
    left: &[[Base; 4]],
    right: &[Point],
    factor: Option<u32>,
) -> Result<Vec<[Base; 4]>, KernelError> {
    let count = left.len().min(right.len());
    let left = Array::upload(runtime, left.as_flattened())?;
    let affine: Vec<Base> =
        right.iter().flat_map(|point| point.xy().map_or([Base::default(); 2], |(x, y)| [x, y])).collect();
    let right = Array::upload(runtime, &affine)?;
    let out = Array::<R, Base>::zeros(runtime, 4 * count)?;
    let launch = Launch::new("point_probe").array(&left).array(&right).array(&out);
    let launch = launch.size(count).word(u64::from(factor.is_none())).word(u64::from(factor.unwrap_or(1)));
    runtime.launch(&launch.threads(count))?;
    Ok(out.download(runtime)?.chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]).collect())
}
