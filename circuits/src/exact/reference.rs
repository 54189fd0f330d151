//! The relation run forwards, slowly and obviously, in big integers (specs/protocol/arithmetic.md).
//!
//! For each step `k`, with `W⁽ᵏ⁾ = W⁰ − Σ_{j<k} C[k][j]·G_j` and `β⁽ᵏ⁾ = β⁰ − Σ_{j<k} C[k][j]·2^fa·Σ_b Δ_jb`:
//!
//! ```text
//! Z_l = A_{l−1}·W_l + 2^fa·β_l     Z + 2^(fw−1) = 2^fw·Q + R     A_l = g·Q,  g = [Q ≥ 0] (identity: g = 1)
//! E_l = Δ_{l+1}·W_{l+1}ᵀ           E + 2^(fw−1) = 2^fw·P + S     Δ_l = g·P
//! G_l = Σ_b A_{l−1}ᵀ·Δ_l           U = −Σ_j out[j]·G_j
//! ```
use num_bigint::BigInt;

use super::{LayerTrace, Quantity, RangeError, SoftmaxTrace, Trace, exp_table, labels_are_valid};
use crate::parameters::{LayerParameters, Parameters};
use crate::program::{Activation, Loss, Program};

/// A layer's weights and biases, or their gradient, without bound.
pub(super) struct BigLayer {
    pub(super) outputs: usize,
    pub(super) weights: Vec<BigInt>,
    pub(super) biases: Vec<BigInt>,
}

/// Runs a contribution: its trace and its update.
///
/// `x` is `K·B·inputs`, `y` is `K·B·outputs`, in the order of [`Trace`].
///
/// # Errors
/// The first value out of its range, in the order: step; forward layers ascending, then backward layers descending;
/// example; unit; and the update last.
///
/// # Panics
/// When a length is not the program's, or labels are not what its loss takes: the caller's mistake.
pub fn run(
    program: &Program,
    base: &Parameters,
    x: &[i16],
    y: &[i16],
) -> Result<(Trace, Parameters), RangeError> {
    let (steps, batch, depth) = (program.steps(), program.batch(), program.depth());
    let widths = program.layers();
    let softmax = program.loss() == Loss::SoftmaxCrossEntropy;
    assert!(base.check_shape(program).is_ok(), "the model has the program's shape");
    assert_eq!(x.len(), steps * batch * program.inputs(), "one input row for each example");
    assert_eq!(y.len(), steps * batch * program.outputs(), "one label row for each example");
    assert!(labels_are_valid(program, y), "labels suit the loss");

    let table = exp_table(program.activation_bits());
    let start = big(base);
    let mut gradients: Vec<Vec<BigLayer>> = Vec::new();
    let mut trace = Trace {
        x: x.to_vec(),
        y: y.to_vec(),
        layers: vec![LayerTrace::default(); depth],
        softmax: softmax.then(SoftmaxTrace::default),
    };
    for step in 0..steps {
        let model = combine(&start, program.coefficients().row(step), &gradients);
        let rows = |tensor: &[i16], width: usize| -> Vec<Vec<BigInt>> {
            let rows = tensor[step * batch * width..(step + 1) * batch * width].chunks(width);
            rows.map(|row| row.iter().map(|value| BigInt::from(*value)).collect()).collect()
        };

        // Forward: activations[l] holds A_l for every example, A_0 = X.
        let mut activations = vec![rows(x, widths[0])];
        let mut logits: Vec<Vec<i16>> = Vec::new();
        for layer in 1..=depth {
            let mut outputs = Vec::new();
            for (example, row) in activations[layer - 1].iter().enumerate() {
                let mut activated = Vec::new();
                let mut rounded = Vec::new();
                for z in affine(row, &model[layer - 1], program.activation_bits()) {
                    let (quotient, remainder) = rounding(&z, program.weight_bits());
                    let q = RangeError::narrow(
                        Quantity::PreActivation,
                        layer,
                        step,
                        example,
                        saturated(&quotient),
                    )?;
                    trace.layers[layer - 1].q.push(q);
                    trace.layers[layer - 1].r.push(remainder);
                    activated.push(BigInt::from(if passes(program, q) { q } else { 0 }));
                    rounded.push(q);
                }
                outputs.push(activated);
                if layer == depth {
                    logits.push(rounded);
                }
            }
            activations.push(outputs);
        }

        // Errors at the last layer.
        let labels = rows(y, program.outputs());
        let mut errors: Vec<Vec<BigInt>> = logits
            .iter()
            .zip(&labels)
            .map(|(logits, labels)| match &mut trace.softmax {
                Some(witness) => softmax_errors(program, &table, logits, labels, witness),
                None => squared_errors(program, logits, labels),
            })
            .collect();

        // Backward, collecting gradients from the last layer to the first.
        let mut step_gradients = Vec::new();
        for layer in (1..=depth).rev() {
            step_gradients.push(gradient(program, &activations[layer - 1], &errors));
            if layer == 1 {
                break;
            }
            let width = widths[layer - 1];
            let mut earlier = Vec::new();
            for (example, row) in errors.iter().enumerate() {
                let mut error_row = Vec::new();
                for (unit, sum) in transposed(row, &model[layer - 1]).into_iter().enumerate() {
                    let (quotient, remainder) = rounding(&sum, program.weight_bits());
                    let hidden = layer - 1;
                    let p = RangeError::narrow(
                        Quantity::BackPropagated,
                        hidden,
                        step,
                        example,
                        saturated(&quotient),
                    )?;
                    let q = trace.layers[hidden - 1].q[(step * batch + example) * width + unit];
                    trace.layers[hidden - 1].p.push(p);
                    trace.layers[hidden - 1].s.push(remainder);
                    error_row.push(BigInt::from(if passes(program, q) { p } else { 0 }));
                }
                earlier.push(error_row);
            }
            errors = earlier;
        }
        step_gradients.reverse();
        gradients.push(step_gradients);
    }
    let update = narrow_update(program, &update(program, &gradients))?;
    Ok((trace, update))
}

/// `U = −Σ_j out[j]·G_j`, without bound.
pub(super) fn update(program: &Program, gradients: &[Vec<BigLayer>]) -> Vec<BigLayer> {
    combine(&big(&Parameters::zeros(program)), program.coefficients().out.iter().copied(), gradients)
}

fn narrow_update(program: &Program, update: &[BigLayer]) -> Result<Parameters, RangeError> {
    let mut narrowed = Parameters::zeros(program);
    for (index, (layer, exact)) in narrowed.layers.iter_mut().zip(update).enumerate() {
        let narrow = |value: &BigInt| {
            i64::try_from(value).map_err(|_| RangeError {
                what: Quantity::Update,
                layer: index + 1,
                step: 0,
                example: 0,
                magnitude: saturated(value).unsigned_abs(),
                limit: if saturated(value) < 0 { 1 << 63 } else { (1 << 63) - 1 },
            })
        };
        layer.weights = exact.weights.iter().map(narrow).collect::<Result<_, _>>()?;
        layer.biases = exact.biases.iter().map(narrow).collect::<Result<_, _>>()?;
    }
    Ok(narrowed)
}

/// The model's integers without bound.
pub(super) fn big(model: &Parameters) -> Vec<BigLayer> {
    let wide = |values: &[i64]| values.iter().map(|value| BigInt::from(*value)).collect();
    model
        .layers
        .iter()
        .map(|layer: &LayerParameters| BigLayer {
            outputs: layer.outputs,
            weights: wide(&layer.weights),
            biases: wide(&layer.biases),
        })
        .collect()
}

/// `base − Σ_j coefficients[j]·gradients[j]`, over the gradients that there are.
pub(super) fn combine(
    base: &[BigLayer],
    coefficients: impl Iterator<Item = i64> + Clone,
    gradients: &[Vec<BigLayer>],
) -> Vec<BigLayer> {
    base.iter()
        .enumerate()
        .map(|(layer, start)| {
            let mut moved = BigLayer {
                outputs: start.outputs,
                weights: start.weights.clone(),
                biases: start.biases.clone(),
            };
            for (coefficient, gradient) in coefficients.clone().zip(gradients) {
                let weights = moved.weights.iter_mut().zip(&gradient[layer].weights);
                let biases = moved.biases.iter_mut().zip(&gradient[layer].biases);
                weights.chain(biases).for_each(|(value, slope)| *value -= slope * coefficient);
            }
            moved
        })
        .collect()
}

/// `Z = A·W + 2^fa·β` for one example.
pub(super) fn affine(row: &[BigInt], layer: &BigLayer, activation_bits: u32) -> Vec<BigInt> {
    (0..layer.outputs)
        .map(|o| {
            let product: BigInt =
                row.iter().enumerate().map(|(i, a)| a * &layer.weights[i * layer.outputs + o]).sum();
            product + (&layer.biases[o] << activation_bits)
        })
        .collect()
}

/// `E = Δ·Wᵀ` for one example.
pub(super) fn transposed(row: &[BigInt], layer: &BigLayer) -> Vec<BigInt> {
    layer
        .weights
        .chunks(layer.outputs)
        .map(|weights| weights.iter().zip(row).map(|(w, d)| w * d).sum())
        .collect()
}

/// `G = Σ_b A_bᵀ·Δ_b` and the bias gradient `2^fa·Σ_b Δ_b`.
pub(super) fn gradient(program: &Program, activations: &[Vec<BigInt>], errors: &[Vec<BigInt>]) -> BigLayer {
    let inputs = activations.first().map_or(0, Vec::len);
    let outputs = errors.first().map_or(0, Vec::len);
    let examples = || activations.iter().zip(errors);
    let weights = (0..inputs)
        .flat_map(|i| (0..outputs).map(move |o| (i, o)))
        .map(|(i, o)| examples().map(|(a, d)| &a[i] * &d[o]).sum())
        .collect();
    let biases = (0..outputs)
        .map(|o| errors.iter().map(|d| &d[o]).sum::<BigInt>() << program.activation_bits())
        .collect();
    BigLayer { outputs, weights, biases }
}

/// `⌊(x + 2^(s−1)) / 2^s⌋` and the remainder; the shift of a big integer rounds down.
fn rounding(x: &BigInt, s: u32) -> (BigInt, u64) {
    let raised: BigInt = x + (BigInt::from(1u32) << (s - 1));
    let quotient: BigInt = &raised >> s;
    let remainder = raised - (&quotient << s);
    // Below 2^s with s at most 40.
    (quotient, u64::try_from(remainder).unwrap_or(u64::MAX))
}

/// The nearest `i128`; only used to judge and report what is out of a far smaller range.
fn saturated(value: &BigInt) -> i128 {
    i128::try_from(value).unwrap_or(if value.sign() == num_bigint::Sign::Minus {
        i128::MIN
    } else {
        i128::MAX
    })
}

/// `g`: whether the activation lets a unit through. A ReLU at zero does, which changes no value and fixes the slope.
pub(super) fn passes(program: &Program, q: i16) -> bool {
    program.activation() == Activation::Identity || q >= 0
}

/// `Δ = 2^(fe−fa)·(Q − y)`.
pub(super) fn squared_errors(program: &Program, logits: &[i16], labels: &[BigInt]) -> Vec<BigInt> {
    // The program has fe ≥ fa for this loss.
    let shift = program.error_bits() - program.activation_bits();
    logits.iter().zip(labels).map(|(&q, y)| (BigInt::from(q) - y) << shift).collect()
}

/// `Δ = p − 2^fe·y`, with the witness of `p` for one row.
fn softmax_errors(
    program: &Program,
    table: &[u16],
    logits: &[i16],
    labels: &[BigInt],
    witness: &mut SoftmaxTrace,
) -> Vec<BigInt> {
    let fe = program.error_bits();
    let max = logits.iter().copied().max().unwrap_or_default();
    let first = logits.iter().position(|q| *q == max);
    let d: Vec<u16> = logits.iter().map(|q| max.abs_diff(*q)).collect();
    let e: Vec<u16> = d.iter().map(|d| table[usize::from(*d)]).collect();
    // At most 4,096 classes of 2^15, and p at most 2^fe ≤ 2^14.
    let total: u64 = e.iter().map(|e| u64::from(*e)).sum();
    witness.max.push(max);
    let mut errors = Vec::new();
    for (class, label) in labels.iter().enumerate() {
        let dividend = (u64::from(e[class]) << (fe + 1)) + total;
        let p = dividend / (2 * total);
        let rho = dividend % (2 * total);
        witness.hot.push(u8::from(first == Some(class)));
        witness.d.push(d[class]);
        witness.e.push(e[class]);
        witness.p.push(p as i16);
        witness.rho.push(rho);
        witness.rho_complement.push(2 * total - 1 - rho);
        errors.push(BigInt::from(p) - (label << fe));
    }
    errors
}
