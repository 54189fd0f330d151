//! The exact training run. Nothing is waited for within a step; a flag on the device tells, after each step, whether every
//! product was shown to be exact and every value stayed in its range.

use weightproof_circuits::exact::{LayerTrace, SoftmaxTrace, Trace, exp_table, labels_are_valid};
use weightproof_circuits::parameters::{LayerParameters, Parameters};
use weightproof_circuits::program::{Activation, Loss, Program};

use super::array::Array;
use super::runtime::{Factor, Launch, Product, Runtime};
use crate::kernels::{KernelError, TrainingInput};

/// Rows of examples that enter one update product; bounds the scratch memory when many steps do.
const STACKED_ROWS: usize = 8192;
/// Magnitudes that one thread adds up or compares.
const MAGNITUDES: usize = 64;

/// How errors are formed, as `cuda/training.cu` numbers it.
const ERROR_IDENTITY: u64 = 0;
const ERROR_RELU: u64 = 1;
const ERROR_SOFTMAX: u64 = 2;
const ERROR_SQUARED: u64 = 3;

/// See [`crate::kernels::Kernels::train`].
pub(super) fn train<R: Runtime>(
    runtime: &R,
    input: TrainingInput<'_>,
    observer: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<(Trace, Parameters)>, KernelError> {
    let TrainingInput { program, base, x, y } = input;
    let rows = program.steps() * program.batch();
    let is_whole = base.check_shape(program).is_ok()
        && x.len() == rows * program.inputs()
        && y.len() == rows * program.outputs()
        && labels_are_valid(program, y);
    if !is_whole {
        return Ok(None);
    }
    let mut run = Run::new(runtime, program, base, x, y)?;
    for step in 0..program.steps() {
        run.step(step)?;
        if run.is_flagged()? {
            return Ok(None);
        }
        if !observer(step) {
            return Err(KernelError::Cancelled);
        }
    }
    let update = run.update()?;
    if run.is_flagged()? {
        return Ok(None);
    }
    Ok(Some((run.trace(x, y)?, update)))
}

/// One layer's weights and what training has written of it.
struct Layer<R: Runtime> {
    inputs: usize,
    outputs: usize,
    weights: Array<R, f64>,
    biases: Array<R, i64>,
    /// Bounds every weight; starts anew with each forward pass.
    bound: Array<R, f64>,
    /// `Σ_b Δ`, `[step][unit]`.
    error_sums: Array<R, i64>,
    q: Array<R, i16>,
    r: Array<R, u64>,
    /// Empty for the last layer.
    p: Array<R, i16>,
    s: Array<R, u64>,
}

struct SoftmaxArrays<R: Runtime> {
    exponential: Array<R, u16>,
    max: Array<R, i16>,
    hot: Array<R, u8>,
    d: Array<R, u16>,
    e: Array<R, u16>,
    p: Array<R, i16>,
    rho: Array<R, u64>,
    rho_complement: Array<R, u64>,
}

struct Run<'a, R: Runtime> {
    runtime: &'a R,
    program: &'a Program,
    layers: Vec<Layer<R>>,
    softmax: Option<SoftmaxArrays<R>>,
    x: Array<R, i16>,
    y: Array<R, i16>,
    flag: Array<R, u32>,
}

impl<'a, R: Runtime> Run<'a, R> {
    fn new(
        runtime: &'a R,
        program: &'a Program,
        base: &Parameters,
        x: &[i16],
        y: &[i16],
    ) -> Result<Self, KernelError> {
        let rows = program.steps() * program.batch();
        let flag = Array::<R, u32>::zeros(runtime, 1)?;
        let depth = program.depth();
        let layers = base.layers.iter().enumerate().map(|(index, layer)| {
            let cells = rows * layer.outputs;
            let hidden = if index + 1 < depth { cells } else { 0 };
            let integers = Array::upload(runtime, &layer.weights)?;
            let weights = Array::<R, f64>::zeros(runtime, integers.len())?;
            let launch =
                Launch::new("to_float").array(&integers).array(&weights).array(&flag).size(integers.len());
            runtime.launch(&launch.threads(integers.len()))?;
            Ok(Layer {
                inputs: layer.inputs,
                outputs: layer.outputs,
                weights,
                biases: Array::upload(runtime, &layer.biases)?,
                bound: Array::zeros(runtime, 1)?,
                error_sums: Array::zeros(runtime, program.steps() * layer.outputs)?,
                q: Array::zeros(runtime, cells)?,
                r: Array::zeros(runtime, cells)?,
                p: Array::zeros(runtime, hidden)?,
                s: Array::zeros(runtime, hidden)?,
            })
        });
        let layers = layers.collect::<Result<Vec<_>, KernelError>>()?;
        let cells = rows * program.outputs();
        let softmax = match program.loss() {
            Loss::SquaredError => None,
            Loss::SoftmaxCrossEntropy => Some(SoftmaxArrays {
                exponential: Array::upload(runtime, &exp_table(program.activation_bits()))?,
                max: Array::zeros(runtime, rows)?,
                hot: Array::zeros(runtime, cells)?,
                d: Array::zeros(runtime, cells)?,
                e: Array::zeros(runtime, cells)?,
                p: Array::zeros(runtime, cells)?,
                rho: Array::zeros(runtime, cells)?,
                rho_complement: Array::zeros(runtime, cells)?,
            }),
        };
        let (x, y) = (Array::upload(runtime, x)?, Array::upload(runtime, y)?);
        Ok(Self { runtime, program, layers, softmax, x, y, flag })
    }

    fn is_flagged(&self) -> Result<bool, KernelError> {
        Ok(self.flag.download(self.runtime)?.iter().any(|flag| *flag != 0))
    }

    fn step(&mut self, step: usize) -> Result<(), KernelError> {
        let depth = self.program.depth();
        for layer in 1..=depth {
            self.forward(layer, step)?;
        }
        self.loss(step)?;
        for layer in (1..=depth).rev() {
            let errors = self.errors(layer, step, 1, None)?;
            self.sum_errors(layer, step, &errors)?;
            if layer > 1 {
                self.backward(layer, step, &errors)?;
            }
        }
        // Weights after the last step are no step's.
        if step + 1 < self.program.steps() { self.advance(step) } else { Ok(()) }
    }

    /// `A_layer` of `count` steps, `f64`; layer zero is the input.
    fn activations(&self, layer: usize, step: usize, count: usize) -> Result<Array<R, f64>, KernelError> {
        let size = self.program.batch() * self.program.layers()[layer];
        let source = if layer == 0 { &self.x } else { &self.layers[layer - 1].q };
        let relu = layer > 0 && self.program.activation() == Activation::Relu;
        let out = Array::zeros(self.runtime, count * size)?;
        let launch = Launch::new("activations")
            .slice(source, step * size)
            .array(&out)
            .size(count * size)
            .word(u64::from(relu));
        self.runtime.launch(&launch.threads(count * size))?;
        Ok(out)
    }

    /// `Δ_layer` of `count` steps, `f64`, times a coefficient each if there are any.
    fn errors(
        &self,
        layer: usize,
        step: usize,
        count: usize,
        coefficients: Option<&[i64]>,
    ) -> Result<Array<R, f64>, KernelError> {
        let (runtime, program) = (self.runtime, self.program);
        let size = program.batch() * program.layers()[layer];
        let own = &self.layers[layer - 1];
        let (values, kind, shift) = match &self.softmax {
            _ if layer < program.depth() => match program.activation() {
                Activation::Relu => (&own.p, ERROR_RELU, 0),
                Activation::Identity => (&own.p, ERROR_IDENTITY, 0),
            },
            Some(softmax) => (&softmax.p, ERROR_SOFTMAX, program.error_bits()),
            // The program has fe ≥ fa for this loss.
            None => (&own.q, ERROR_SQUARED, program.error_bits() - program.activation_bits()),
        };
        let coefficients =
            coefficients.map(|coefficients| Array::upload(runtime, coefficients)).transpose()?;
        let out = Array::zeros(runtime, count * size)?;
        let mut launch = Launch::new("errors").slice(&own.q, step * size).slice(values, step * size);
        // Only the last layer reads labels.
        launch = if kind >= ERROR_SOFTMAX { launch.slice(&self.y, step * size) } else { launch.null() };
        launch = match &coefficients {
            Some(coefficients) => launch.array(coefficients),
            None => launch.null(),
        };
        let launch = launch.array(&out).size(count * size).size(size).word(kind).word(u64::from(shift));
        runtime.launch(&launch.threads(count * size))?;
        Ok(out)
    }

    /// The largest magnitude of an array, as an array of one.
    fn largest(&self, array: &Array<R, f64>) -> Result<Array<R, f64>, KernelError> {
        let largest = Array::zeros(self.runtime, 1)?;
        self.largest_into(array, &largest)?;
        Ok(largest)
    }

    fn largest_into(&self, array: &Array<R, f64>, out: &Array<R, f64>) -> Result<(), KernelError> {
        let runtime = self.runtime;
        let pass = |from: &Array<R, f64>, to: &Array<R, f64>| {
            let launch = Launch::new("largest").array(from).array(to);
            runtime.launch(&launch.size(from.len()).size(to.len()).threads(to.len()))
        };
        let mut last: Option<Array<R, f64>> = None;
        loop {
            let from = last.as_ref().unwrap_or(array);
            if from.len() <= MAGNITUDES {
                return pass(from, out);
            }
            let shorter = Array::zeros(runtime, from.len().div_ceil(MAGNITUDES))?;
            pass(from, &shorter)?;
            last = Some(shorter);
        }
    }

    /// Checks that a product with a layer's weights, over its inputs or its outputs, is exact; returns the sums of
    /// magnitudes that it found.
    fn check_product(
        &self,
        layer: &Layer<R>,
        operand: &Array<R, f64>,
        by_rows: bool,
    ) -> Result<Array<R, f64>, KernelError> {
        let runtime = self.runtime;
        let (lines, length) =
            if by_rows { (layer.inputs, layer.outputs) } else { (layer.outputs, layer.inputs) };
        let parts = length.div_ceil(MAGNITUDES);
        let sums = Array::<R, f64>::zeros(runtime, lines * parts)?;
        let launch = Launch::new("magnitude_sums")
            .array(&layer.weights)
            .array(&sums)
            .size(layer.inputs)
            .size(layer.outputs)
            .size(parts)
            .word(u64::from(by_rows));
        runtime.launch(&launch.threads(lines * parts))?;
        let largest = self.largest(operand)?;
        let totals = Array::zeros(runtime, lines)?;
        let mut launch = Launch::new("check_product").array(&sums).array(&largest);
        launch = if by_rows { launch.null() } else { launch.array(&layer.biases) };
        let launch = launch
            .array(&totals)
            .array(&self.flag)
            .size(lines)
            .size(parts)
            .word(u64::from(self.program.activation_bits()))
            .word(u64::from(self.program.weight_bits()))
            .threads(lines);
        runtime.launch(&launch)?;
        Ok(totals)
    }

    /// Rounds the sums of a step into a layer's quotients and remainders.
    fn round(
        &self,
        sums: &Array<R, f64>,
        biases: Option<&Array<R, i64>>,
        (quotients, remainders): (&Array<R, i16>, &Array<R, u64>),
        width: usize,
        step: usize,
    ) -> Result<(), KernelError> {
        let runtime = self.runtime;
        let mut launch = Launch::new("round_sums").array(sums);
        launch = match biases {
            Some(biases) => launch.array(biases),
            None => launch.null(),
        };
        let launch = launch
            .slice(quotients, step * sums.len())
            .slice(remainders, step * sums.len())
            .array(&self.flag)
            .size(sums.len())
            .size(width)
            .word(u64::from(self.program.activation_bits()))
            .word(u64::from(self.program.weight_bits()));
        runtime.launch(&launch.threads(sums.len()))
    }

    fn forward(&self, layer: usize, step: usize) -> Result<(), KernelError> {
        let own = &self.layers[layer - 1];
        let input = self.activations(layer - 1, step, 1)?;
        let totals = self.check_product(own, &input, false)?;
        // No weight exceeds the sum of its column.
        self.largest_into(&totals, &own.bound)?;
        let batch = self.program.batch();
        let sums = Array::<R, f64>::zeros(self.runtime, batch * own.outputs)?;
        self.runtime.multiply(&Product {
            left: Factor { buffer: &input.buffer, transposed: false },
            right: Factor { buffer: &own.weights.buffer, transposed: false },
            out: &sums.buffer,
            rows: batch,
            inner: own.inputs,
            columns: own.outputs,
            alpha: 1.0,
            beta: 0.0,
        })?;
        self.round(&sums, Some(&own.biases), (&own.q, &own.r), own.outputs, step)
    }

    /// `P_(layer − 1)` from the errors of `layer`.
    fn backward(&self, layer: usize, step: usize, errors: &Array<R, f64>) -> Result<(), KernelError> {
        let (own, earlier) = (&self.layers[layer - 1], &self.layers[layer - 2]);
        self.check_product(own, errors, true)?;
        let batch = self.program.batch();
        let sums = Array::<R, f64>::zeros(self.runtime, batch * own.inputs)?;
        self.runtime.multiply(&Product {
            left: Factor { buffer: &errors.buffer, transposed: false },
            right: Factor { buffer: &own.weights.buffer, transposed: true },
            out: &sums.buffer,
            rows: batch,
            inner: own.outputs,
            columns: own.inputs,
            alpha: 1.0,
            beta: 0.0,
        })?;
        self.round(&sums, None, (&earlier.p, &earlier.s), own.inputs, step)
    }

    fn loss(&self, step: usize) -> Result<(), KernelError> {
        let Some(softmax) = &self.softmax else { return Ok(()) };
        let (runtime, batch, classes) = (self.runtime, self.program.batch(), self.program.outputs());
        let (row, cell) = (step * batch, step * batch * classes);
        let logits = &self.layers[self.program.depth() - 1].q;
        let launch = Launch::new("softmax")
            .slice(logits, cell)
            .array(&softmax.exponential)
            .slice(&softmax.max, row)
            .slice(&softmax.hot, cell)
            .slice(&softmax.d, cell)
            .slice(&softmax.e, cell)
            .slice(&softmax.p, cell)
            .slice(&softmax.rho, cell)
            .slice(&softmax.rho_complement, cell)
            .size(batch)
            .size(classes)
            .word(u64::from(self.program.error_bits()));
        runtime.launch(&launch.threads(batch))
    }

    fn sum_errors(&self, layer: usize, step: usize, errors: &Array<R, f64>) -> Result<(), KernelError> {
        let own = &self.layers[layer - 1];
        let launch = Launch::new("error_sums")
            .array(errors)
            .slice(&own.error_sums, step * own.outputs)
            .size(self.program.batch())
            .size(own.outputs);
        self.runtime.launch(&launch.threads(own.outputs))
    }

    /// From `W⁽ᵏ⁾` to `W⁽ᵏ⁺¹⁾`: the rows of `C` differ only in the last step for plain descent, in all for momentum.
    fn advance(&self, step: usize) -> Result<(), KernelError> {
        let coefficients = self.program.coefficients();
        // Coefficients are below 2^40.
        let changes: Vec<i64> =
            (0..=step).map(|j| coefficients.step(step + 1, j) - coefficients.step(step, j)).collect();
        for layer in 1..=self.program.depth() {
            let own = &self.layers[layer - 1];
            self.subtract(layer, &own.weights, &own.bound, &changes)?;
            self.shift_biases(layer, &own.biases, &changes)?;
        }
        Ok(())
    }

    /// Takes multiples of the gradients of the first steps off weights that `bound` bounds. Gradients are formed again from
    /// what is kept of each step: none is stored, so momentum costs time, not memory.
    fn subtract(
        &self,
        layer: usize,
        weights: &Array<R, f64>,
        bound: &Array<R, f64>,
        coefficients: &[i64],
    ) -> Result<(), KernelError> {
        let (runtime, batch) = (self.runtime, self.program.batch());
        let own = &self.layers[layer - 1];
        let first = coefficients.iter().take_while(|c| **c == 0).count();
        let mut step = first;
        for coefficients in coefficients[first..].chunks((STACKED_ROWS / batch).max(1)) {
            let rows = coefficients.len() * batch;
            let activations = self.activations(layer - 1, step, coefficients.len())?;
            let errors = self.errors(layer, step, coefficients.len(), Some(coefficients))?;
            step += coefficients.len();
            let (left, right) = (self.largest(&activations)?, self.largest(&errors)?);
            let launch = Launch::new("check_update")
                .array(&left)
                .array(&right)
                .array(bound)
                .array(&self.flag)
                .size(rows);
            runtime.launch(&launch)?;
            runtime.multiply(&Product {
                left: Factor { buffer: &activations.buffer, transposed: true },
                right: Factor { buffer: &errors.buffer, transposed: false },
                out: &weights.buffer,
                rows: own.inputs,
                inner: rows,
                columns: own.outputs,
                alpha: -1.0,
                beta: 1.0,
            })?;
        }
        Ok(())
    }

    /// Takes multiples of the bias gradients of the first steps off biases.
    fn shift_biases(
        &self,
        layer: usize,
        biases: &Array<R, i64>,
        coefficients: &[i64],
    ) -> Result<(), KernelError> {
        let (runtime, own) = (self.runtime, &self.layers[layer - 1]);
        let coefficients = Array::upload(runtime, coefficients)?;
        let launch = Launch::new("shift_biases")
            .array(&own.error_sums)
            .array(&coefficients)
            .array(biases)
            .array(&self.flag)
            .size(coefficients.len())
            .size(own.outputs)
            .word(u64::from(self.program.activation_bits()));
        runtime.launch(&launch.threads(own.outputs))
    }

    /// `U = −Σ_j out[j]·G_j`.
    fn update(&self) -> Result<Parameters, KernelError> {
        let runtime = self.runtime;
        let out = &self.program.coefficients().out;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, own) in self.layers.iter().enumerate() {
            let update = Array::<R, f64>::zeros(runtime, own.weights.len())?;
            let bound = Array::<R, f64>::zeros(runtime, 1)?;
            self.subtract(index + 1, &update, &bound, out)?;
            let integers = Array::<R, i64>::zeros(runtime, update.len())?;
            let launch = Launch::new("to_integer").array(&update).array(&integers);
            runtime.launch(&launch.size(update.len()).threads(update.len()))?;
            let biases = Array::<R, i64>::zeros(runtime, own.outputs)?;
            self.shift_biases(index + 1, &biases, out)?;
            layers.push(LayerParameters {
                inputs: own.inputs,
                outputs: own.outputs,
                weights: integers.download(runtime)?,
                biases: biases.download(runtime)?,
            });
        }
        Ok(Parameters { layers })
    }

    fn trace(&self, x: &[i16], y: &[i16]) -> Result<Trace, KernelError> {
        let runtime = self.runtime;
        let layers = self.layers.iter().map(|layer| {
            Ok(LayerTrace {
                q: layer.q.download(runtime)?,
                r: layer.r.download(runtime)?,
                p: layer.p.download(runtime)?,
                s: layer.s.download(runtime)?,
            })
        });
        let layers = layers.collect::<Result<_, KernelError>>()?;
        let softmax = match &self.softmax {
            None => None,
            Some(arrays) => Some(SoftmaxTrace {
                max: arrays.max.download(runtime)?,
                hot: arrays.hot.download(runtime)?,
                d: arrays.d.download(runtime)?,
                e: arrays.e.download(runtime)?,
                p: arrays.p.download(runtime)?,
                rho: arrays.rho.download(runtime)?,
                rho_complement: arrays.rho_complement.download(runtime)?,
            }),
        };
        Ok(Trace { x: x.to_vec(), y: y.to_vec(), layers, softmax })
    }
}
