//! Values of the public polynomials at `r*`: base model, update and exponential table.

use ark_ff::AdditiveGroup;
use weightproof_circuits::accumulate::inner;
use weightproof_circuits::argument::Opened;
use weightproof_circuits::exact::exp_table;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::multilinear::{eq_index, eq_table};
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;

use crate::threads;

/// The stacked parameters at a point of `layout.parameter_variables` coordinates: one multiplication an entry, reduced
/// once a row.
pub fn parameters_at(layout: &Layout, parameters: &Parameters, point: &[F]) -> F {
    let mut total = F::ZERO;
    for block in &layout.parameters {
        let Some(layer) = block.layer.checked_sub(1).and_then(|l| parameters.layers.get(l)) else { continue };
        let variables = block.input_variables + block.output_variables;
        let Some(prefix_length) = point.len().checked_sub(variables) else { continue };
        let (prefix, own) = point.split_at(prefix_length);
        let (input, output) = own.split_at(block.input_variables);
        let outputs = eq_table(output);
        let value = if block.is_bias {
            inner(&layer.biases, &outputs)
        } else {
            let inputs = eq_table(input);
            let rows: Vec<&[i64]> = layer.weights.chunks(layer.outputs.max(1)).collect();
            let sums = threads::map(&rows, |row| inner(row, &outputs));
            sums.iter().zip(&inputs).map(|(sum, weight)| *sum * weight).sum()
        };
        total += eq_index(prefix, block.offset >> variables) * value;
    }
    total
}

/// `Σ_f coefficient_f·f(r*)` over the public polynomials.
pub fn share(
    layout: &Layout,
    program: &Program,
    base: &Parameters,
    update: &Parameters,
    point: &[F],
    coefficients: &[F; 6],
) -> F {
    let mut total = F::ZERO;
    for (opened, coefficient) in Opened::ALL.into_iter().zip(coefficients) {
        let own = opened.point(layout, point);
        total += *coefficient
            * match opened {
                Opened::Witness | Opened::Data | Opened::Mask => continue,
                Opened::Weights => parameters_at(layout, base, &own),
                Opened::Update => parameters_at(layout, update, &own),
                Opened::Exponential if *coefficient == F::ZERO => continue,
                Opened::Exponential => {
                    // As a matrix, so that two short tables of weights do for one long one.
                    let (rows, columns) = own.split_at(own.len() / 2);
                    let (rows, columns) = (eq_table(rows), eq_table(columns));
                    let table = exp_table(program.activation_bits());
                    let sums = table.chunks(columns.len()).map(|row| inner(row, &columns));
                    sums.zip(&rows).map(|(sum, weight)| sum * weight).sum()
                }
            };
    }
    total
}
