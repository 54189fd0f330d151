//! Sums over rows and columns of integers, from their definitions.

use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;

/// A model's integers, stacked and padded.
pub fn stacked(layout: &Layout, model: &Parameters) -> Vec<i64> {
    let mut stacked = vec![0; 1 << layout.parameter_variables];
    for block in &layout.parameters {
        let layer = &model.layers[block.layer - 1];
        let values = if block.is_bias { &layer.biases } else { &layer.weights };
        for (index, value) in values.iter().enumerate() {
            let (input, output) = (index / layer.outputs, index % layer.outputs);
            stacked[block.offset + (input << block.output_variables) + output] = *value;
        }
    }
    stacked
}

/// `[group][column]`: `Σ_row weights[row]·integers[row][column]` over the rows of each group.
pub fn combined(integers: &[i64], width: usize, groups: usize, weights: &[F]) -> Vec<F> {
    let group_rows = weights.len() / groups;
    let mut sums = vec![F::from(0); groups * width];
    for (index, integer) in integers.iter().enumerate() {
        let (row, column) = (index / width, index % width);
        sums[row / group_rows * width + column] += weights[row] * F::from(*integer);
    }
    sums
}

/// `[row]`: `Σ_column weights[column]·integers[row][column]`.
pub fn contracted(integers: &[i64], weights: &[F]) -> Vec<F> {
    let row = |row: &[i64]| row.iter().zip(weights).map(|(i, w)| F::from(*i) * w).sum();
    integers.chunks(weights.len()).map(row).collect()
}
