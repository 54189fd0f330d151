//! A model's integers as one polynomial.

use rayon::prelude::*;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;

/// What is said of parameters that [`stack`] does not take.
pub(crate) const WRONG_SHAPE: &str = "expected a model and an update of the layout's shape, found another";

/// Weights and biases, stacked and padded as `layout.parameters` says; `None` when they have another shape.
pub(crate) fn stack<T: Copy + Default + Send>(
    layout: &Layout,
    parameters: &Parameters,
    convert: impl Fn(i64) -> T + Sync,
) -> Option<Vec<T>> {
    let mut stack = vec![T::default(); 1 << layout.parameter_variables];
    for block in &layout.parameters {
        let layer = parameters.layers.get(block.layer.checked_sub(1)?)?;
        let values = if block.is_bias { &layer.biases } else { &layer.weights };
        let padded = 1usize << block.output_variables;
        let size = padded << block.input_variables;
        let rows = stack.get_mut(block.offset..block.offset + size)?.par_chunks_mut(padded);
        let fits = (1..=padded).contains(&layer.outputs);
        if !fits || values.len().div_ceil(layer.outputs) > 1 << block.input_variables {
            return None;
        }
        rows.zip(values.par_chunks(layer.outputs)).with_min_len((1 << 14) / padded + 1).for_each(
            |(out, row)| {
                for (out, value) in out.iter_mut().zip(row) {
                    *out = convert(*value);
                }
            },
        );
    }
    Some(stack)
}
