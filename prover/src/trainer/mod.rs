//! The exact trainer: the integers of `exact::run`, at the speed of a float trainer.
//!
//! Sums are `f64` matrix products wherever the magnitudes show that every partial sum stays below `2^53`, where
//! `f64` arithmetic on integers is exact in any order; elsewhere they are taken in two parts or in 128 bits (see
//! `weights`). So the result does not depend on threads or on the machine. [`train`] runs a contribution,
//! [`predict`] and [`evaluate`] use a model. Nothing here knows data files, commitments or proofs.
mod loss;
mod operand;
pub(crate) mod products;
mod rounding;
#[cfg(test)]
mod tests;
mod weights;

use std::ops::ControlFlow;

use thiserror::Error;
use weightproof_circuits::decimal::Decimal;
use weightproof_circuits::exact::{LayerTrace, Quantity, RangeError, Trace, exp_table, labels_are_valid};
use weightproof_circuits::parameters::{LayerParameters, Parameters, ShapeError};
use weightproof_circuits::program::{Activation, Loss, Program};

use loss::first_largest;
use operand::Operand;
use rounding::{OutOfRange, round};
use weights::{STACKED_ROWS, Side, WeightOverflow, Weights};

/// Rows of an evaluation that are in memory at once.
const EVALUATION_ROWS: usize = 1024;

/// A finished contribution, before any proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Every integer that the argument speaks about.
    pub trace: Trace,
    /// The update `U`.
    pub update: Parameters,
    /// One report a step.
    pub steps: Vec<StepReport>,
}

/// What a step looked like, in floats, for people only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Step, from zero.
    pub step: usize,
    /// Mean loss over the step's batch, before the step's own change: cross entropy in nats, or half the summed
    /// squared error.
    pub loss: f64,
    /// Examples of the batch whose largest output is their label; absent for regression.
    pub correct: Option<usize>,
}

/// Why a contribution or an evaluation stopped. The base model is untouched in every case.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrainError {
    /// A value left the range that the argument can express.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A weight or bias that a step needs no longer fits 64 bits.
    #[error(
        "layer {layer}: a {what} of {value} does not fit 64 bits; lower the learning rate or weight_bits, or \
         start from a smaller model"
    )]
    WeightOverflow {
        /// Layer, from one.
        layer: usize,
        /// "weight" or "bias".
        what: &'static str,
        /// The value.
        value: i128,
    },
    /// An evaluated row leaves the range of a layer.
    #[error(
        "row {row}: unit {unit} of layer {layer} evaluates to {value}, expected -32768 to 32767; standardise the \
         columns as in training, or use fewer activation_bits"
    )]
    EvaluationRange {
        /// Row of the evaluated data, from zero.
        row: usize,
        /// Layer, from one.
        layer: usize,
        /// Unit, from zero.
        unit: usize,
        /// The rounded value.
        value: i128,
    },
    /// The model has another shape than the program.
    #[error(transparent)]
    Model(#[from] ShapeError),
    /// A tensor has another length than the program gives it.
    #[error("{what}: expected {expected} values, found {found}; pass whole rows of this program's data")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Length that the program gives it.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// A label row is not what softmax cross-entropy takes.
    #[error(
        "labels: expected bits with exactly one set in each row of {classes}, found others; encode classes one-hot"
    )]
    Labels {
        /// Classes `C`.
        classes: usize,
    },
    /// The observer asked to stop.
    #[error(
        "interrupted after {completed} steps; nothing was changed, run again to start the contribution afresh"
    )]
    Interrupted {
        /// Steps completed.
        completed: usize,
    },
}

/// How good a model is on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quality {
    /// Classification: rows whose largest output (the first of equal ones) is their label.
    Accuracy {
        /// Rows that are right.
        correct: usize,
        /// Rows.
        rows: usize,
    },
    /// Regression: mean over rows and outputs of the squared error, in units of the targets squared.
    MeanSquaredError(f64),
}

impl Quality {
    /// Share of right answers; absent for regression and for no rows.
    pub fn accuracy(&self) -> Option<f64> {
        match self {
            Quality::Accuracy { correct, rows } if *rows > 0 => Some(*correct as f64 / *rows as f64),
            _ => None,
        }
    }

    /// Judges `outputs` against `labels`, both `rows × classes`; `one` is a hot label's value and the scale.
    pub(crate) fn of<T: PartialOrd + Copy>(
        loss: Loss,
        outputs: &[T],
        labels: &[T],
        classes: usize,
        one: f64,
        real: impl Fn(T) -> f64,
    ) -> Quality {
        let rows = labels.len() / classes;
        let one_hot = |labels: &[T]| {
            labels.iter().filter(|label| real(**label) == one).count() == 1
                && labels.iter().filter(|label| real(**label) == 0.0).count() == classes - 1
        };
        let classification = loss == Loss::SoftmaxCrossEntropy
            || (classes > 1 && rows > 0 && labels.chunks_exact(classes).all(one_hot));
        let pairs = outputs.chunks_exact(classes).zip(labels.chunks_exact(classes));
        if classification {
            let right = |(outputs, labels): &(&[T], &[T])| first_largest(outputs) == first_largest(labels);
            return Quality::Accuracy { correct: pairs.filter(right).count(), rows };
        }
        let square = |(output, label): (&T, &T)| ((real(*output) - real(*label)) / one).powi(2);
        let total: f64 = outputs.iter().zip(labels).map(square).sum();
        Quality::MeanSquaredError(total / labels.len().max(1) as f64)
    }
}

/// Runs one contribution exactly: the same integers as `exact::run`, bit for bit.
///
/// `x` is `[K][B][n_0]` at scale `2^fa`, `y` is `[K][B][C]`: bits for softmax cross-entropy, values at scale `2^fa` for
/// squared error. `observer` hears of every step and may stop the run by breaking.
///
/// # Errors
/// [`TrainError::Range`] when a value leaves its range (layer, step and magnitude are named),
/// [`TrainError::WeightOverflow`], [`TrainError::Shape`], [`TrainError::Interrupted`].
pub fn train(
    program: &Program,
    base: &Parameters,
    x: &[i16],
    y: &[i16],
    observer: &mut dyn FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Training, TrainError> {
    base.check_shape(program)?;
    let mut run = Run::new(program, base, x, y)?;
    let mut reports = Vec::with_capacity(program.steps());
    for step in 0..program.steps() {
        let report = run.step(step)?;
        reports.push(report);
        if observer(&report).is_break() {
            return Err(TrainError::Interrupted { completed: step + 1 });
        }
    }
    let update = run.update()?;
    Ok(Training { trace: run.trace, update, steps: reports })
}

/// The integer outputs `Q_L` of `parameters` on `x` (`rows × n_0` at scale `2^fa`): `rows × C` at scale `2^fa`.
///
/// # Errors
/// [`TrainError::EvaluationRange`], [`TrainError::Shape`].
pub fn predict(program: &Program, parameters: &Parameters, x: &[i16]) -> Result<Vec<i16>, TrainError> {
    parameters.check_shape(program)?;
    let widths = program.layers();
    if !x.len().is_multiple_of(widths[0]) {
        let expected = x.len().div_ceil(widths[0]) * widths[0];
        return Err(TrainError::Shape { what: "inputs", expected, found: x.len() });
    }
    let mut layers: Vec<Weights> = parameters.layers.iter().map(weights_of).collect();
    let mut outputs = Vec::with_capacity(x.len() / widths[0] * widths[program.depth()]);
    for (chunk_number, chunk) in x.chunks(widths[0] * EVALUATION_ROWS).enumerate() {
        let rows = chunk.len() / widths[0];
        let mut quotients = chunk.to_vec();
        for (index, weights) in layers.iter_mut().enumerate() {
            let relu = index > 0 && program.activation() == Activation::Relu;
            let input = Operand::new(rows, widths[index], |cell| activated(quotients[cell], relu));
            let (constants, bound) = forward_constants(program, &parameters.layers[index].biases);
            let sums = weights.product(&input, Side::Inputs, bound);
            let width = widths[index + 1];
            quotients = vec![0; rows * width];
            let mut remainders = vec![0; rows * width];
            round(&sums, &constants, program.weight_bits(), &mut quotients, &mut remainders).map_err(
                |OutOfRange { index: cell, value }| TrainError::EvaluationRange {
                    row: chunk_number * EVALUATION_ROWS + cell / width,
                    layer: index + 1,
                    unit: cell % width,
                    value,
                },
            )?;
        }
        outputs.extend_from_slice(&quotients);
    }
    Ok(outputs)
}

/// Judges `parameters` on rows `x` with labels `y` (`rows × C`, as [`train`] takes them), by the exact forward pass.
///
/// # Errors
/// Those of [`predict`].
pub fn evaluate(
    program: &Program,
    parameters: &Parameters,
    x: &[i16],
    y: &[i16],
) -> Result<Quality, TrainError> {
    let outputs = predict(program, parameters, x)?;
    expect_length("labels", outputs.len(), y.len())?;
    let classes = program.layers()[program.depth()];
    Ok(Quality::of(program.loss(), &outputs, y, classes, label_one(program), f64::from))
}

/// The nearest `f64` to a decimal.
pub(crate) fn real(decimal: &Decimal) -> f64 {
    // A decimal prints as digits that the standard library reads with correct rounding.
    decimal.to_string().parse().expect("a decimal prints as a number")
}

fn expect_length(what: &'static str, expected: usize, found: usize) -> Result<(), TrainError> {
    if expected == found { Ok(()) } else { Err(TrainError::Shape { what, expected, found }) }
}

fn label_one(program: &Program) -> f64 {
    f64::from(program.activation_bits()).exp2()
}

fn weights_of(layer: &LayerParameters) -> Weights {
    Weights::new(layer.inputs, layer.outputs, &layer.weights)
}

fn activated(quotient: i16, relu: bool) -> i64 {
    i64::from(if relu { quotient.max(0) } else { quotient })
}

/// What the forward pass adds to a sum, `2^fa·β`, and a bound that includes the rounding constant.
fn forward_constants(program: &Program, biases: &[i64]) -> (Vec<i128>, u64) {
    let constants: Vec<i128> =
        biases.iter().map(|bias| i128::from(*bias) << program.activation_bits()).collect();
    let largest = constants.iter().map(|constant| constant.unsigned_abs()).max().unwrap_or(0);
    let bound = u64::try_from(largest).unwrap_or(u64::MAX).saturating_add(1 << (program.weight_bits() - 1));
    (constants, bound)
}

/// What a step's outputs `Q_L` say about it.
fn report(program: &Program, step: usize, logits: &[i16], labels: &[i16]) -> StepReport {
    let classes = program.layers()[program.depth()];
    let value: fn(&[i16], &[i16], u32) -> f64 = match program.loss() {
        Loss::SoftmaxCrossEntropy => loss::cross_entropy,
        Loss::SquaredError => loss::squared_error,
    };
    let pairs = logits.chunks_exact(classes).zip(labels.chunks_exact(classes));
    let total: f64 = pairs.map(|(logits, labels)| value(logits, labels, program.activation_bits())).sum();
    let correct = match Quality::of(program.loss(), logits, labels, classes, label_one(program), f64::from) {
        Quality::Accuracy { correct, .. } => Some(correct),
        Quality::MeanSquaredError(_) => None,
    };
    StepReport { step, loss: total / program.batch() as f64, correct }
}

/// One report a step, for a trace that a device has made.
pub(crate) fn reports(program: &Program, trace: &Trace) -> Vec<StepReport> {
    let size = program.batch() * program.layers()[program.depth()];
    let Some(last) = trace.layers.last() else { return Vec::new() };
    let steps = last.q.chunks_exact(size).zip(trace.y.chunks_exact(size)).enumerate();
    steps.map(|(step, (logits, labels))| report(program, step, logits, labels)).collect()
}

/// `(n, d)` such that `U = (W⁽ᴷ⁾ − W⁰)·n/d`, when `out` is a multiple of the last row of `C`.
fn update_factor(program: &Program) -> Option<(i128, i128)> {
    let coefficients = program.coefficients();
    let pairs = || coefficients.row(program.steps()).zip(&coefficients.out);
    let (denominator, numerator) = pairs().find(|(denominator, _)| *denominator != 0)?;
    let (numerator, denominator) = (i128::from(*numerator), i128::from(denominator));
    pairs()
        .all(|(own, out)| i128::from(*out) * denominator == i128::from(own) * numerator)
        .then_some((numerator, denominator))
}

/// A contribution under way.
struct Run<'a> {
    program: &'a Program,
    base: &'a Parameters,
    exp_table: Vec<u16>,
    weights: Vec<Weights>,
    biases: Vec<Vec<i64>>,
    /// `Σ_b Δ_jb` by layer, step and unit.
    error_sums: Vec<Vec<Vec<i64>>>,
    /// `(n, d)` when the update is `(W⁽ᴷ⁾ − W⁰)·n/d`; otherwise it is summed from the trace.
    update_factor: Option<(i128, i128)>,
    trace: Trace,
}

impl<'a> Run<'a> {
    fn new(program: &'a Program, base: &'a Parameters, x: &[i16], y: &[i16]) -> Result<Run<'a>, TrainError> {
        let widths = program.layers();
        let depth = program.depth();
        let rows = program.steps() * program.batch();
        expect_length("inputs", rows * widths[0], x.len())?;
        expect_length("labels", rows * widths[depth], y.len())?;
        if !labels_are_valid(program, y) {
            return Err(TrainError::Labels { classes: widths[depth] });
        }
        let layers = (1..=depth)
            .map(|layer| {
                let values = rows * widths[layer];
                let hidden = if layer < depth { values } else { 0 };
                LayerTrace { q: vec![0; values], r: vec![0; values], p: vec![0; hidden], s: vec![0; hidden] }
            })
            .collect();
        let softmax = match program.loss() {
            Loss::SoftmaxCrossEntropy => Some(loss::empty_softmax(rows, widths[depth])),
            Loss::SquaredError => None,
        };
        Ok(Run {
            program,
            base,
            exp_table: exp_table(program.activation_bits()),
            weights: base.layers.iter().map(weights_of).collect(),
            biases: base.layers.iter().map(|layer| layer.biases.clone()).collect(),
            error_sums: vec![Vec::with_capacity(program.steps()); depth],
            update_factor: update_factor(program),
            trace: Trace { x: x.to_vec(), y: y.to_vec(), layers, softmax },
        })
    }

    fn step(&mut self, step: usize) -> Result<StepReport, TrainError> {
        let depth = self.program.depth();
        let mut inputs = Vec::with_capacity(depth);
        for layer in 1..=depth {
            let input = self.activations(layer - 1, step);
            self.forward(layer, step, &input)?;
            inputs.push(input);
        }
        let report = self.loss(step);
        let mut errors = vec![self.errors(depth, step)];
        for layer in (1..depth).rev() {
            // `errors` is filled from the last layer down: its last entry belongs to `layer + 1`.
            if let Some(next) = errors.last() {
                self.backward(layer, step, next)?;
            }
            errors.push(self.errors(layer, step));
        }
        errors.reverse();
        for (sums, errors) in self.error_sums.iter_mut().zip(&errors) {
            sums.push(errors.column_sums());
        }
        if step + 1 < self.program.steps() {
            self.advance(step, &inputs, &errors)?;
        } else if self.update_factor.is_some() && self.advance(step, &inputs, &errors).is_err() {
            // The update may fit although weights that no step uses do not.
            self.update_factor = None;
        }
        Ok(report)
    }

    /// `A_layer` of a step; layer zero is the input.
    fn activations(&self, layer: usize, step: usize) -> Operand {
        let width = self.program.layers()[layer];
        let rows = self.program.batch();
        let quotients = if layer == 0 { &self.trace.x } else { &self.trace.layers[layer - 1].q };
        let quotients = &quotients[step * rows * width..(step + 1) * rows * width];
        let relu = layer > 0 && self.program.activation() == Activation::Relu;
        Operand::new(rows, width, |cell| activated(quotients[cell], relu))
    }

    /// `Δ_layer` of a step, from what the trace already holds.
    fn errors(&self, layer: usize, step: usize) -> Operand {
        let width = self.program.layers()[layer];
        let rows = self.program.batch();
        let cells = step * rows * width..(step + 1) * rows * width;
        let trace = &self.trace.layers[layer - 1];
        let quotients = &trace.q[cells.clone()];
        if layer < self.program.depth() {
            let sums = &trace.p[cells];
            let relu = self.program.activation() == Activation::Relu;
            return Operand::new(rows, width, |cell| {
                if relu && quotients[cell] < 0 { 0 } else { i64::from(sums[cell]) }
            });
        }
        let labels = &self.trace.y[cells.clone()];
        let error_bits = self.program.error_bits();
        match &self.trace.softmax {
            Some(softmax) => {
                let probabilities = &softmax.p[cells];
                Operand::new(rows, width, |cell| {
                    i64::from(probabilities[cell]) - (i64::from(labels[cell]) << error_bits)
                })
            }
            None => {
                let shift = error_bits - self.program.activation_bits();
                Operand::new(rows, width, |cell| {
                    (i64::from(quotients[cell]) - i64::from(labels[cell])) << shift
                })
            }
        }
    }

    fn forward(&mut self, layer: usize, step: usize, input: &Operand) -> Result<(), TrainError> {
        let (constants, bound) = forward_constants(self.program, &self.biases[layer - 1]);
        let sums = self.weights[layer - 1].product(input, Side::Inputs, bound);
        let cells = self.cells(layer, step);
        let trace = &mut self.trace.layers[layer - 1];
        let (q, r) = (&mut trace.q[cells.clone()], &mut trace.r[cells]);
        round(&sums, &constants, self.program.weight_bits(), q, r)
            .map_err(|found| range_error(Quantity::PreActivation, layer, step, constants.len(), found))
    }

    /// `P_layer` from the errors of the layer after it.
    fn backward(&mut self, layer: usize, step: usize, next: &Operand) -> Result<(), TrainError> {
        let bits = self.program.weight_bits();
        let sums = self.weights[layer].product(next, Side::Outputs, 1 << (bits - 1));
        let cells = self.cells(layer, step);
        let constants = vec![0; self.program.layers()[layer]];
        let trace = &mut self.trace.layers[layer - 1];
        let (p, s) = (&mut trace.p[cells.clone()], &mut trace.s[cells]);
        round(&sums, &constants, bits, p, s)
            .map_err(|found| range_error(Quantity::BackPropagated, layer, step, constants.len(), found))
    }

    fn cells(&self, layer: usize, step: usize) -> std::ops::Range<usize> {
        let size = self.program.batch() * self.program.layers()[layer];
        step * size..(step + 1) * size
    }

    fn loss(&mut self, step: usize) -> StepReport {
        let depth = self.program.depth();
        let classes = self.program.layers()[depth];
        let rows = self.program.batch();
        let cells = self.cells(depth, step);
        let logits = &self.trace.layers[depth - 1].q[cells.clone()];
        let labels = &self.trace.y[cells];
        if let Some(softmax) = &mut self.trace.softmax {
            for (example, logits) in logits.chunks_exact(classes).enumerate() {
                let row = step * rows + example;
                loss::softmax_row(softmax, row, logits, &self.exp_table, self.program.error_bits());
            }
        }
        report(self.program, step, logits, labels)
    }

    /// From `W⁽ᵏ⁾` to `W⁽ᵏ⁺¹⁾`: the rows of `C` differ only in the last step for plain descent, in all for momentum.
    fn advance(&mut self, step: usize, inputs: &[Operand], errors: &[Operand]) -> Result<(), TrainError> {
        let coefficients = self.program.coefficients();
        let change = |earlier: usize| {
            i128::from(coefficients.step(step + 1, earlier)) - i128::from(coefficients.step(step, earlier))
        };
        for layer in 1..=self.program.depth() {
            let mut changes = Vec::with_capacity(step + 1);
            for earlier in 0..=step {
                let value = change(earlier);
                let change = i64::try_from(value).map_err(|_| overflow(layer, "weight", value))?;
                if change != 0 {
                    changes.push((earlier, change));
                }
            }
            self.biases[layer - 1] = self
                .shifted_biases(layer, &self.biases[layer - 1], &changes)
                .map_err(|WeightOverflow { value }| overflow(layer, "bias", value))?;
            let mut weights = std::mem::replace(&mut self.weights[layer - 1], Weights::zeros(0, 0));
            let result = match changes[..] {
                [(last, change)] if last == step => {
                    weights.subtract(&[(change, &inputs[layer - 1], &errors[layer - 1])])
                }
                _ => self.subtract_steps(layer, &mut weights, &changes),
            };
            self.weights[layer - 1] = weights;
            result.map_err(|WeightOverflow { value }| overflow(layer, "weight", value))?;
        }
        Ok(())
    }

    /// Subtracts multiples of the gradients of past steps, taken again from the trace: no gradient is kept, so
    /// momentum costs time, not memory.
    fn subtract_steps(
        &self,
        layer: usize,
        weights: &mut Weights,
        changes: &[(usize, i64)],
    ) -> Result<(), WeightOverflow> {
        for stack in changes.chunks((STACKED_ROWS / self.program.batch()).max(1)) {
            let operands: Vec<(i64, Operand, Operand)> = stack
                .iter()
                .map(|(step, change)| {
                    (*change, self.activations(layer - 1, *step), self.errors(layer, *step))
                })
                .collect();
            let terms: Vec<_> =
                operands.iter().map(|(change, inputs, errors)| (*change, inputs, errors)).collect();
            weights.subtract(&terms)?;
        }
        Ok(())
    }

    /// `biases − Σ change·2^fa·Σ_b Δ`, for the steps in `changes`.
    fn shifted_biases(
        &self,
        layer: usize,
        biases: &[i64],
        changes: &[(usize, i64)],
    ) -> Result<Vec<i64>, WeightOverflow> {
        let shifted = |(unit, bias): (usize, &i64)| {
            let mut value = i128::from(*bias);
            for (step, change) in changes {
                let sum = i128::from(self.error_sums[layer - 1][*step][unit]);
                value -= (i128::from(*change) * sum) << self.program.activation_bits();
            }
            i64::try_from(value).map_err(|_| WeightOverflow { value })
        };
        biases.iter().enumerate().map(shifted).collect()
    }

    fn update(&mut self) -> Result<Parameters, TrainError> {
        let out: Vec<(usize, i64)> = self.program.coefficients().out.iter().copied().enumerate().collect();
        let mut layers = Vec::with_capacity(self.program.depth());
        for (index, base) in self.base.layers.iter().enumerate() {
            let layer = index + 1;
            let weights = match self.update_factor {
                Some((numerator, denominator)) => self.weights[index].try_map(|cell, weight| {
                    if let (Some(change), true) =
                        (weight.checked_sub(base.weights[cell]), numerator == denominator)
                    {
                        return Ok(change);
                    }
                    // The difference of two 64-bit integers times a 63-bit one fits 128 bits.
                    let change = i128::from(weight) - i128::from(base.weights[cell]);
                    let value = change * numerator / denominator;
                    i64::try_from(value).map_err(|_| value)
                }),
                None => {
                    // The weights are not needed any more: their memory serves the update.
                    self.weights[index] = Weights::zeros(0, 0);
                    let mut update = Weights::zeros(base.inputs, base.outputs);
                    self.subtract_steps(layer, &mut update, &out)
                        .and_then(|()| update.try_map(|_, value| Ok(value)))
                }
            };
            let weights = weights.map_err(|overflow| update_error(layer, overflow))?;
            let biases = self
                .shifted_biases(layer, &vec![0; base.outputs], &out)
                .map_err(|overflow| update_error(layer, overflow))?;
            layers.push(LayerParameters { inputs: base.inputs, outputs: base.outputs, weights, biases });
        }
        Ok(Parameters { layers })
    }
}

fn range_error(what: Quantity, layer: usize, step: usize, width: usize, found: OutOfRange) -> TrainError {
    let limit = if found.value < 0 { 1 << 15 } else { (1 << 15) - 1 };
    let example = found.index / width;
    RangeError { what, layer, step, example, magnitude: found.value.unsigned_abs(), limit }.into()
}

/// An entry of the update beyond 64 bits.
fn update_error(layer: usize, WeightOverflow { value }: WeightOverflow) -> TrainError {
    let limit = if value < 0 { 1 << 63 } else { (1 << 63) - 1 };
    let magnitude = value.unsigned_abs();
    RangeError { what: Quantity::Update, layer, step: 0, example: 0, magnitude, limit }.into()
}

fn overflow(layer: usize, what: &'static str, value: i128) -> TrainError {
    TrainError::WeightOverflow { layer, what, value }
}
