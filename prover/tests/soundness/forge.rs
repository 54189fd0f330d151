//! A malicious trainer: every value that the witness holds can be overridden where it is assigned.
//!
//! It runs the relation in 128-bit integers, independently of the reference. What depends on a value depends on the
//! forged one, so that a single override leaves every other relation intact.

use weightproof_circuits::layout::{Layout, Tensor};
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::{Loss, Program};

/// Where a witness value stands: `row` counts declared (step, example) pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    pub tensor: Tensor,
    pub row: usize,
    pub unit: usize,
}

impl Site {
    pub fn new(tensor: Tensor, row: usize, unit: usize) -> Self {
        Self { tensor, row, unit }
    }

    /// Position in the stack.
    pub fn position(self, layout: &Layout) -> usize {
        let block = layout.block(self.tensor).expect("the layout has the tensor");
        block.offset + (padded_row(layout, self.row) << block.unit_variables) + self.unit
    }
}

/// The padded index of a declared row.
pub fn padded_row(layout: &Layout, row: usize) -> usize {
    ((row / layout.batch) << layout.example_variables) | (row % layout.batch)
}

/// Gradients of one step: for each layer its weights and its biases.
pub type StepGradients = Vec<(Vec<i128>, Vec<i128>)>;

/// Everything that a forged run commits to, but for the multiplicities.
#[derive(Clone)]
pub struct Forged {
    pub stack: Vec<i32>,
    pub data: Vec<i32>,
    pub gradients: Vec<StepGradients>,
}

/// The optimizer entry by entry: a forger may change one `C[k][j]` and not the others of its diagonal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Optimizer {
    /// `C[k][j]` for `k < K`.
    pub step: Vec<Vec<i64>>,
    pub out: Vec<i64>,
}

impl Optimizer {
    /// The program's own.
    pub fn of(program: &Program) -> Self {
        let coefficients = program.coefficients();
        let row = |k| (0..program.steps()).map(|j| coefficients.step(k, j)).collect();
        Self { step: (0..program.steps()).map(row).collect(), out: coefficients.out.clone() }
    }
}

/// What a forged run starts from.
pub struct Source<'a> {
    pub program: &'a Program,
    pub layout: &'a Layout,
    /// The optimizer that the forger uses; the program's own when honest.
    pub optimizer: &'a Optimizer,
    /// The model that the forger trains; the public one when honest.
    pub base: &'a Parameters,
    /// Inputs and labels as the dataset holds them.
    pub x: &'a [i16],
    pub y: &'a [i16],
    pub exponential: &'a [u16],
}

/// Overrides values as they are assigned.
pub type Rewrite<'a> = &'a dyn Fn(Site, i64) -> i64;

/// No override.
pub fn faithful(_: Site, value: i64) -> i64 {
    value
}

struct Stack<'a> {
    layout: &'a Layout,
    values: Vec<i32>,
    rewrite: Rewrite<'a>,
}

impl Stack<'_> {
    fn put(&mut self, tensor: Tensor, row: usize, unit: usize, value: i128) -> i128 {
        let site = Site::new(tensor, row, unit);
        let value = (self.rewrite)(site, i64::try_from(value).expect("a value of the run fits 64 bits"));
        self.values[site.position(self.layout)] =
            i32::try_from(value).expect("a position of the stack holds 32 bits");
        i128::from(value)
    }

    /// Low limbs are masked; the highest takes what is left, so a remainder out of range shows there.
    fn put_limbs(
        &mut self,
        tensor: impl Fn(usize) -> Tensor,
        limbs: &[u32],
        row: usize,
        unit: usize,
        value: i128,
    ) {
        let mut left = value;
        for (index, bits) in limbs.iter().enumerate() {
            let last = index + 1 == limbs.len();
            let limb = if last { left } else { left & ((1 << bits) - 1) };
            left >>= bits;
            self.put(tensor(index), row, unit, limb);
        }
    }
}

/// Runs the relation with overrides.
pub fn forge(source: &Source<'_>, rewrite: Rewrite<'_>) -> Forged {
    let Source { program, layout, optimizer, base, x, y, exponential } = source;
    let (steps, batch, depth, widths) = (layout.steps, layout.batch, layout.depth(), &layout.widths);
    let (fa, fe, fw) = (program.activation_bits(), program.error_bits(), program.weight_bits());
    let classes = widths[depth];
    let half = 1i128 << (fw - 1);
    let mut stack = Stack { layout, values: vec![0; 1 << layout.variables], rewrite };
    let mut gradients: Vec<StepGradients> = Vec::new();
    let halving = |z: i128| (z + half) >> fw;

    for step in 0..steps {
        let model: StepGradients = base
            .layers
            .iter()
            .enumerate()
            .map(|(layer, start)| {
                let mut weights: Vec<i128> = start.weights.iter().map(|w| i128::from(*w)).collect();
                let mut biases: Vec<i128> = start.biases.iter().map(|b| i128::from(*b)).collect();
                for (coefficient, gradient) in optimizer.step[step].iter().zip(&gradients) {
                    let c = i128::from(*coefficient);
                    weights.iter_mut().zip(&gradient[layer].0).for_each(|(w, g)| *w -= c * g);
                    biases.iter_mut().zip(&gradient[layer].1).for_each(|(b, g)| *b -= c * g);
                }
                (weights, biases)
            })
            .collect();
        let mut step_gradients: StepGradients =
            model.iter().map(|(w, b)| (vec![0; w.len()], vec![0; b.len()])).collect();
        for example in 0..batch {
            let row = step * batch + example;
            let mut activations: Vec<Vec<i128>> = vec![
                (0..widths[0])
                    .map(|u| stack.put(Tensor::Input, row, u, i128::from(x[row * widths[0] + u])))
                    .collect(),
            ];
            let labels: Vec<i128> = (0..classes)
                .map(|u| stack.put(Tensor::Label, row, u, i128::from(y[row * classes + u])))
                .collect();
            let mut signs: Vec<Vec<i128>> = vec![Vec::new()];
            let mut logits = Vec::new();
            for layer in 1..=depth {
                let (weights, biases) = &model[layer - 1];
                let (mut outputs, mut gates) = (Vec::new(), Vec::new());
                logits.clear();
                for unit in 0..widths[layer] {
                    let product: i128 = activations[layer - 1]
                        .iter()
                        .enumerate()
                        .map(|(i, a)| a * weights[i * widths[layer] + unit])
                        .sum();
                    let z = product + (biases[unit] << fa);
                    let q = stack.put(Tensor::PreActivation(layer), row, unit, halving(z));
                    let tensor = |limb| Tensor::ForwardRemainder(layer, limb);
                    stack.put_limbs(tensor, &layout.remainder_limbs, row, unit, z + half - (q << fw));
                    let gate = if layer < depth && layout.has_signs() {
                        stack.put(Tensor::Sign(layer), row, unit, i128::from(q >= 0))
                    } else {
                        1
                    };
                    gates.push(gate);
                    outputs.push(gate * q);
                    logits.push(q);
                }
                activations.push(outputs);
                signs.push(gates);
            }

            let mut error: Vec<i128> = if program.loss() == Loss::SoftmaxCrossEntropy {
                let largest = logits.iter().copied().max().unwrap_or_default();
                let first = logits.iter().position(|q| *q == largest);
                let maximum = stack.put(Tensor::Maximum, row, 0, largest);
                let mut powers = Vec::new();
                for (class, q) in logits.iter().enumerate() {
                    stack.put(Tensor::Hot, row, class, i128::from(first == Some(class)));
                    let d = stack.put(Tensor::Distance, row, class, maximum - q);
                    let entry = exponential[d.clamp(0, 65_535) as usize];
                    powers.push(stack.put(Tensor::Exponential, row, class, i128::from(entry)));
                }
                let total: i128 = powers.iter().sum();
                powers
                    .iter()
                    .enumerate()
                    .map(|(class, e)| {
                        let dividend = (e << (fe + 1)) + total;
                        let p = stack.put(
                            Tensor::Probability,
                            row,
                            class,
                            dividend.div_euclid((2 * total).max(1)),
                        );
                        let rho = dividend - 2 * total * p;
                        let limbs = &layout.division_limbs;
                        stack.put_limbs(Tensor::DivisionRemainder, limbs, row, class, rho);
                        stack.put_limbs(Tensor::DivisionComplement, limbs, row, class, 2 * total - 1 - rho);
                        p - (labels[class] << fe)
                    })
                    .collect()
            } else {
                logits.iter().zip(&labels).map(|(q, y)| (q - y) << (fe - fa)).collect()
            };

            for layer in (1..=depth).rev() {
                let (weights, biases) = &mut step_gradients[layer - 1];
                for (o, delta) in error.iter().enumerate() {
                    for (i, a) in activations[layer - 1].iter().enumerate() {
                        weights[i * widths[layer] + o] += a * delta;
                    }
                    biases[o] += delta << fa;
                }
                if layer == 1 {
                    break;
                }
                let hidden = layer - 1;
                error = (0..widths[hidden])
                    .map(|unit| {
                        let sum: i128 = error
                            .iter()
                            .enumerate()
                            .map(|(o, delta)| delta * model[layer - 1].0[unit * widths[layer] + o])
                            .sum();
                        let p = stack.put(Tensor::BackSum(hidden), row, unit, halving(sum));
                        let tensor = |limb| Tensor::BackwardRemainder(hidden, limb);
                        stack.put_limbs(tensor, &layout.remainder_limbs, row, unit, sum + half - (p << fw));
                        signs[hidden][unit] * p
                    })
                    .collect();
            }
        }
        gradients.push(step_gradients);
    }
    let data = data_rows(layout, x, y);
    Forged { stack: stack.values, data, gradients }
}

/// The chosen dataset rows, padded: features from 0, labels from the label offset.
pub fn data_rows(layout: &Layout, x: &[i16], y: &[i16]) -> Vec<i32> {
    let width = 1usize << layout.data_variables;
    let (inputs, outputs) = (layout.widths[0], layout.widths[layout.depth()]);
    let mut rows = vec![0i32; width << layout.row_variables()];
    for row in 0..layout.steps * layout.batch {
        let start = padded_row(layout, row) * width;
        for unit in 0..inputs {
            rows[start + unit] = i32::from(x[row * inputs + unit]);
        }
        for unit in 0..outputs {
            rows[start + layout.label_offset + unit] = i32::from(y[row * outputs + unit]);
        }
    }
    rows
}

/// `U = −Σ_j out[j]·G_j`.
pub fn update(program: &Program, gradients: &[StepGradients], out: &[i64]) -> Parameters {
    let mut update = Parameters::zeros(program);
    for (coefficient, step) in out.iter().zip(gradients) {
        let c = i128::from(*coefficient);
        for (layer, (weights, biases)) in update.layers.iter_mut().zip(step) {
            let narrow = |u: &mut i64, g: &i128| {
                *u -= i64::try_from(c * g).expect("an update fits 64 bits");
            };
            layer.weights.iter_mut().zip(weights).for_each(|(u, g)| narrow(u, g));
            layer.biases.iter_mut().zip(biases).for_each(|(u, g)| narrow(u, g));
        }
    }
    update
}
