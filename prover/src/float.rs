//! The float32 twin: the same program in plain single precision, as anyone would train it without a proof.
//!
//! It is the yardstick for accuracy (`float_test_accuracy`) and for cost (overhead is proving time over its time), so
//! it shares the exact trainer's threaded matrix products and nothing else: no rounding, no range, no integers.
use ndarray::{Array2, ArrayView2, Axis};
use thiserror::Error;
use weightproof_circuits::parameters::{Parameters, ShapeError};
use weightproof_circuits::program::{Activation, Loss, Program};

use crate::trainer::Quality;
use crate::trainer::products::{matrix, multiply};

/// Rows evaluated at once; bounds the memory of an evaluation.
const EVALUATION_ROWS: usize = 1024;

/// Why the float twin cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FloatError {
    /// The integers have another shape than the program.
    #[error(transparent)]
    Model(#[from] ShapeError),
    /// A tensor has another length than the program gives it.
    #[error("{what}: expected {expected} values, found {found}; pass data and model of this program")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Length that the program gives it.
        expected: usize,
        /// Length found.
        found: usize,
    },
}

/// One layer in single precision.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatLayer {
    /// `inputs × outputs`.
    pub weights: Array2<f32>,
    /// `outputs` values.
    pub biases: Vec<f32>,
}

/// A model in single precision.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatModel {
    /// Layers, first to last.
    pub layers: Vec<FloatLayer>,
}

impl FloatModel {
    /// The model whose values are the integers of `parameters` over `2^weight_bits`, rounded once to `f32`.
    pub fn from_parameters(program: &Program, parameters: &Parameters) -> Result<FloatModel, FloatError> {
        parameters.check_shape(program)?;
        let scale = (-f64::from(program.weight_bits())).exp2();
        let real = |integers: &[i64]| integers.iter().map(|value| (*value as f64 * scale) as f32).collect();
        let layers = parameters
            .layers
            .iter()
            .map(|layer| FloatLayer {
                weights: matrix(layer.inputs, layer.outputs, real(&layer.weights)),
                biases: real(&layer.biases),
            })
            .collect();
        Ok(FloatModel { layers })
    }
}

/// Inputs or squared-error targets at scale `2^fa` as real numbers.
pub fn dequantize(program: &Program, values: &[i16]) -> Vec<f32> {
    let scale = (-(program.activation_bits() as f32)).exp2();
    values.iter().map(|value| f32::from(*value) * scale).collect()
}

/// Labels as the twin's loss takes them: bits stay bits for softmax cross-entropy, squared-error targets are
/// brought to real scale.
pub fn targets(program: &Program, labels: &[i16]) -> Vec<f32> {
    match program.loss() {
        Loss::SoftmaxCrossEntropy => labels.iter().map(|bit| f32::from(*bit)).collect(),
        Loss::SquaredError => dequantize(program, labels),
    }
}

/// Runs one contribution from `base`: `x` is `[K][B][n_0]`, `y` is `[K][B][C]` (see [`targets`]). Velocity starts at
/// zero, and the result is `base` plus the averaging weight times the change.
pub fn train(program: &Program, base: &FloatModel, x: &[f32], y: &[f32]) -> Result<FloatModel, FloatError> {
    let widths = program.layers();
    let (steps, batch, depth) = (program.steps(), program.batch(), program.depth());
    let classes = widths[depth];
    check_model(program, base)?;
    check_length("inputs", steps * batch * widths[0], x.len())?;
    check_length("labels", steps * batch * classes, y.len())?;
    let rate = crate::trainer::real(program.learning_rate()) as f32;
    let momentum = crate::trainer::real(program.momentum()) as f32;
    let weight = crate::trainer::real(program.weight()) as f32;
    let share = 1.0 / batch as f32;

    let mut model = base.clone();
    let mut velocity: Vec<FloatLayer> = Vec::new();
    if momentum != 0.0 {
        velocity.extend(model.layers.iter().map(|layer| FloatLayer {
            weights: Array2::zeros(layer.weights.dim()),
            biases: vec![0.0; layer.biases.len()],
        }));
    }
    // Buffers live as long as the run: a step allocates nothing.
    let mut activations: Vec<Array2<f32>> =
        widths[1..].iter().map(|width| Array2::zeros((batch, *width))).collect();
    let mut errors = activations.clone();

    for step in 0..steps {
        let inputs = step_view(x, step, batch, widths[0]);
        let labels = &y[step * batch * classes..(step + 1) * batch * classes];
        forward(program, &model, inputs, &mut activations);
        errors[depth - 1].assign(&activations[depth - 1]);
        loss_gradient(program.loss(), &mut errors[depth - 1], labels);

        for layer in (0..depth).rev() {
            let (earlier, later) = errors.split_at_mut(layer);
            let error = &later[0];
            // The error travels back through the weights that made the forward pass, so before they change.
            if let Some(back) = earlier.last_mut() {
                multiply(1.0, error.view(), model.layers[layer].weights.t(), 0.0, back.view_mut());
                if program.activation() == Activation::Relu {
                    back.zip_mut_with(&activations[layer - 1], |error, activation| {
                        *error = if *activation > 0.0 { *error } else { 0.0 };
                    });
                }
            }
            let left = if layer == 0 { inputs } else { activations[layer - 1].view() };
            let bias_gradient = error.sum_axis(Axis(0));
            let target = &mut model.layers[layer];
            match velocity.get_mut(layer) {
                None => {
                    multiply(-rate * share, left.t(), error.view(), 1.0, target.weights.view_mut());
                    for (bias, gradient) in target.biases.iter_mut().zip(&bias_gradient) {
                        *bias -= rate * share * gradient;
                    }
                }
                Some(velocity) => {
                    multiply(share, left.t(), error.view(), momentum, velocity.weights.view_mut());
                    target.weights.zip_mut_with(&velocity.weights, |weight, speed| *weight -= rate * speed);
                    for ((bias, speed), gradient) in
                        target.biases.iter_mut().zip(&mut velocity.biases).zip(&bias_gradient)
                    {
                        *speed = momentum * *speed + share * gradient;
                        *bias -= rate * *speed;
                    }
                }
            }
        }
    }
    if weight != 1.0 {
        let average = |value: &mut f32, start: &f32| *value = start + weight * (*value - start);
        for (layer, start) in model.layers.iter_mut().zip(&base.layers) {
            layer.weights.zip_mut_with(&start.weights, average);
            layer.biases.iter_mut().zip(&start.biases).for_each(|(value, start)| average(value, start));
        }
    }
    Ok(model)
}

/// Outputs (logits) for `x`, `rows × n_0` row-major: `rows × C`.
pub fn predict(program: &Program, model: &FloatModel, x: &[f32]) -> Result<Vec<f32>, FloatError> {
    check_model(program, model)?;
    let width = program.layers()[0];
    if !x.len().is_multiple_of(width) {
        let expected = x.len().div_ceil(width) * width;
        return Err(FloatError::Shape { what: "inputs", expected, found: x.len() });
    }
    let mut outputs = Vec::with_capacity(x.len() / width * program.layers()[program.depth()]);
    for chunk in x.chunks(width * EVALUATION_ROWS) {
        let rows = chunk.len() / width;
        let mut activations: Vec<Array2<f32>> =
            program.layers()[1..].iter().map(|width| Array2::zeros((rows, *width))).collect();
        forward(program, model, step_view(chunk, 0, rows, width), &mut activations);
        if let Some(last) = activations.last() {
            outputs.extend(last.iter());
        }
    }
    Ok(outputs)
}

/// The share of right answers, or the mean squared error, on rows `x` with labels `y` (see [`targets`]).
pub fn accuracy(program: &Program, model: &FloatModel, x: &[f32], y: &[f32]) -> Result<Quality, FloatError> {
    let outputs = predict(program, model, x)?;
    check_length("labels", outputs.len(), y.len())?;
    let classes = program.layers()[program.depth()];
    Ok(Quality::of(program.loss(), &outputs, y, classes, 1.0, f64::from))
}

fn step_view(x: &[f32], step: usize, rows: usize, width: usize) -> ArrayView2<'_, f32> {
    let values = &x[step * rows * width..(step + 1) * rows * width];
    ArrayView2::from_shape((rows, width), values).expect("the slice has rows times width values")
}

fn forward(program: &Program, model: &FloatModel, inputs: ArrayView2<f32>, activations: &mut [Array2<f32>]) {
    let depth = model.layers.len();
    for (index, layer) in model.layers.iter().enumerate() {
        let (earlier, later) = activations.split_at_mut(index);
        let left = earlier.last().map_or(inputs, |previous| previous.view());
        let outputs = &mut later[0];
        multiply(1.0, left, layer.weights.view(), 0.0, outputs.view_mut());
        let relu = index + 1 < depth && program.activation() == Activation::Relu;
        for mut row in outputs.outer_iter_mut() {
            for (value, bias) in row.iter_mut().zip(&layer.biases) {
                let sum = *value + bias;
                *value = if relu { sum.max(0.0) } else { sum };
            }
        }
    }
}

/// Turns outputs into the gradient of the summed loss: `softmax − y`, or `output − y`.
fn loss_gradient(loss: Loss, outputs: &mut Array2<f32>, labels: &[f32]) {
    let classes = outputs.ncols();
    for (mut row, labels) in outputs.outer_iter_mut().zip(labels.chunks_exact(classes)) {
        if loss == Loss::SoftmaxCrossEntropy {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.mapv_inplace(|logit| (logit - largest).exp());
            let total = row.sum();
            row.mapv_inplace(|exponential| exponential / total);
        }
        row.iter_mut().zip(labels).for_each(|(value, label)| *value -= label);
    }
}

fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), FloatError> {
    if expected == found { Ok(()) } else { Err(FloatError::Shape { what, expected, found }) }
}

fn check_model(program: &Program, model: &FloatModel) -> Result<(), FloatError> {
    check_length("layers", program.depth(), model.layers.len())?;
    for (widths, layer) in program.layers().windows(2).zip(&model.layers) {
        check_length("inputs of a layer", widths[0], layer.weights.nrows())?;
        check_length("outputs of a layer", widths[1], layer.weights.ncols())?;
        check_length("biases", widths[1], layer.biases.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use weightproof_circuits::program::ProgramSpec;

    fn program(
        layers: &[usize],
        loss: Loss,
        momentum: &str,
        weight: &str,
        steps: usize,
        batch: usize,
    ) -> Program {
        Program::validate(ProgramSpec {
            layers: layers.to_vec(),
            activation: Activation::Relu,
            loss,
            activation_bits: 11,
            error_bits: 12,
            weight_bits: None,
            learning_rate: "0.1".parse().unwrap(),
            momentum: momentum.parse().unwrap(),
            steps,
            batch,
            weight: weight.parse().unwrap(),
        })
        .unwrap()
    }

    fn neuron(weight: f32, bias: f32) -> FloatModel {
        FloatModel {
            layers: vec![FloatLayer { weights: Array2::from_elem((1, 1), weight), biases: vec![bias] }],
        }
    }

    fn assert_near(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }

    #[test]
    fn momentum_and_averaging_followed_by_hand() {
        // w = 1, b = 0, x = 2, y = 1: errors 1 and 1/2, velocities (2, 1) twice, so w = 1 - 0.4, halved by the weight.
        let program = program(&[1, 1], Loss::SquaredError, "0.5", "0.5", 2, 1);
        let model = train(&program, &neuron(1.0, 0.0), &[2.0, 2.0], &[1.0, 1.0]).unwrap();
        assert_near(model.layers[0].weights[[0, 0]], 0.8);
        assert_near(model.layers[0].biases[0], -0.1);
    }

    #[test]
    fn a_batch_takes_the_mean_gradient() {
        // Errors 1 and 3 at inputs 2 and -1 move w by -0.1·(2 - 3)/2 and b by -0.1·4/2.
        let program = program(&[1, 1], Loss::SquaredError, "0", "1", 1, 2);
        let model = train(&program, &neuron(1.0, 0.0), &[2.0, -1.0], &[1.0, -4.0]).unwrap();
        assert_near(model.layers[0].weights[[0, 0]], 1.05);
        assert_near(model.layers[0].biases[0], -0.2);
    }

    #[test]
    fn the_twin_follows_the_exact_trainer() {
        for momentum in ["0", "0.9"] {
            for loss in [Loss::SoftmaxCrossEntropy, Loss::SquaredError] {
                let program = program(&[6, 9, 7, 3], loss, momentum, "1", 8, 16);
                let base = Parameters::initial(&program, [4; 32]);
                let mut state = 7_u32;
                let mut draw = |bound: u32| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) % bound
                };
                let x: Vec<i16> = (0..8 * 16 * 6).map(|_| draw(4096) as i16 - 2048).collect();
                let mut y = vec![0_i16; 8 * 16 * 3];
                let one = if loss == Loss::SoftmaxCrossEntropy { 1 } else { 1 << 11 };
                y.chunks_exact_mut(3).for_each(|row| row[draw(3) as usize] = one);
                let exact =
                    crate::trainer::train(&program, &base, &x, &y, &mut |_| ControlFlow::Continue(()))
                        .unwrap();
                let start = FloatModel::from_parameters(&program, &base).unwrap();
                let twin =
                    train(&program, &start, &dequantize(&program, &x), &targets(&program, &y)).unwrap();
                let change = FloatModel::from_parameters(&program, &exact.update).unwrap();
                for ((twin, start), change) in twin.layers.iter().zip(&start.layers).zip(&change.layers) {
                    let moved = &twin.weights - &start.weights;
                    let distance = (&moved - &change.weights).mapv(|value| value * value).sum().sqrt();
                    let length = moved.mapv(|value| value * value).sum().sqrt();
                    // Activations carry 11 bits and errors 12; the change is a small difference of both.
                    assert!(length > 0.0 && distance < 0.02 * length, "{distance} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_separable_task_is_learned() {
        let program = program(&[2, 8, 2], Loss::SoftmaxCrossEntropy, "0.9", "1", 60, 16);
        let start = FloatModel::from_parameters(&program, &Parameters::initial(&program, [2; 32])).unwrap();
        let rows = 60 * 16;
        let mut x = Vec::new();
        let mut y = Vec::new();
        for row in 0..rows {
            let angle = row as f32 * 2.399_963;
            x.extend([angle.cos(), angle.sin()]);
            let above = angle.cos() + angle.sin() > 0.0;
            y.extend([if above { 1.0 } else { 0.0 }, if above { 0.0 } else { 1.0 }]);
        }
        let model = train(&program, &start, &x, &y).unwrap();
        let right = accuracy(&program, &model, &x, &y).unwrap().accuracy().unwrap();
        assert!(right > 0.95, "{right}");
    }

    #[test]
    fn another_shape_is_refused() {
        let program = program(&[2, 1], Loss::SquaredError, "0", "1", 1, 1);
        let wrong = FloatError::Shape { what: "inputs of a layer", expected: 2, found: 1 };
        assert_eq!(train(&program, &neuron(0.0, 0.0), &[0.0; 2], &[0.0]).unwrap_err(), wrong);
        let model =
            FloatModel { layers: vec![FloatLayer { weights: Array2::zeros((2, 1)), biases: vec![0.0] }] };
        let wrong = FloatError::Shape { what: "inputs", expected: 2, found: 3 };
        assert_eq!(train(&program, &model, &[0.0; 3], &[0.0]).unwrap_err(), wrong);
        let wrong = FloatError::Shape { what: "inputs", expected: 4, found: 3 };
        assert_eq!(predict(&program, &model, &[0.0; 3]).unwrap_err(), wrong);
    }
}
