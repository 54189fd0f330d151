//! The relation as a plain predicate on public and private values, equation by equation.
//!
//! It takes a trace from anywhere, trusts nothing in it, and names the first equation that fails. The one-hot choice of
//! the maximum is not unique where logits tie: any of the equal ones satisfies the relation, and nothing else depends on
//! which.
use std::fmt;

use num_bigint::BigInt;

use super::reference::{affine, big, combine, gradient, passes, squared_errors, transposed, update};
use super::{LayerTrace, SoftmaxTrace, Trace, exp_table};
use crate::parameters::Parameters;
use crate::program::{Loss, Program};

macro_rules! equations {
    ($($name:ident = $text:literal,)*) => {
        /// One equation of the relation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Equation {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Equation {
            /// Every equation, in the order in which they are checked within a step.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The equation as it is written.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

equations! {
    Shape = "every tensor has the program's shape",
    Input = "X is the batch's features",
    Label = "Y is the batch's labels",
    LabelBit = "y(1 − y) = 0",
    LabelSum = "Σ_c y = 1",
    ForwardRemainder = "0 ≤ R < 2^fw",
    ForwardRounding = "Z + 2^(fw−1) = 2^fw·Q + R",
    MaximumDifference = "d + Q = m",
    HotBit = "h(1 − h) = 0",
    HotSum = "Σ_c h = 1",
    HotMaximum = "Σ_c h·d = 0",
    Exponential = "e = EXP[d]",
    Quotient = "2^(fe+1)·e + T = 2T·p + ρ",
    QuotientComplement = "ρ + ρ' = 2T − 1",
    BackwardRemainder = "0 ≤ S < 2^fw",
    BackwardRounding = "E + 2^(fw−1) = 2^fw·P + S",
    UpdateWeights = "U = −Σ_j out[j]·G_j",
    UpdateBiases = "U_β = −Σ_j out[j]·2^fa·Σ_b Δ_jb",
}

/// The first equation that does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationViolation {
    /// The equation.
    pub equation: Equation,
    /// Layer, from 1; 0 where the equation belongs to none.
    pub layer: usize,
    /// Step, from 0; 0 where the equation belongs to none.
    pub step: usize,
    /// Example within the batch, from 0; 0 where the equation belongs to none.
    pub example: usize,
    /// Unit, class or position in the tensor, from 0.
    pub unit: usize,
}

impl fmt::Display for RelationViolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { equation, layer, step, example, unit } = self;
        write!(
            formatter,
            "expected {} at step {step}, example {example}, layer {layer}, unit {unit}; it does not hold",
            equation.text()
        )
    }
}

impl std::error::Error for RelationViolation {}

/// Where an equation is being checked.
#[derive(Clone, Copy, Default)]
struct Place {
    layer: usize,
    step: usize,
    example: usize,
}

impl Place {
    fn require(self, holds: bool, equation: Equation, unit: usize) -> Result<(), RelationViolation> {
        if holds {
            return Ok(());
        }
        let Self { layer, step, example } = self;
        Err(RelationViolation { equation, layer, step, example, unit })
    }

    /// That two tensors are equal.
    fn same<T: PartialEq>(
        self,
        equation: Equation,
        found: &[T],
        expected: &[T],
    ) -> Result<(), RelationViolation> {
        self.require(found.len() == expected.len(), Equation::Shape, 0)?;
        match found.iter().zip(expected).position(|(found, expected)| found != expected) {
            None => Ok(()),
            Some(unit) => self.require(false, equation, unit),
        }
    }
}

/// Checks that `trace` and `update` are a run of the program on `x`, `y` from `base`.
///
/// `x` is `K·B·inputs`, `y` is `K·B·outputs`.
///
/// # Errors
/// The first equation that fails: shapes, inputs and labels; then step by step the forward equations layer by layer, the
/// loss, the backward equations from the last hidden layer down; then the update.
pub fn check(
    program: &Program,
    base: &Parameters,
    x: &[i16],
    y: &[i16],
    trace: &Trace,
    claimed: &Parameters,
) -> Result<(), RelationViolation> {
    check_shapes(program, base, trace, claimed)?;
    let nowhere = Place::default();
    nowhere.same(Equation::Input, &trace.x, x)?;
    nowhere.same(Equation::Label, &trace.y, y)?;

    let (batch, depth, widths) = (program.batch(), program.depth(), program.layers());
    let table = exp_table(program.activation_bits());
    let start = big(base);
    let half: BigInt = BigInt::from(1u32) << (program.weight_bits() - 1);
    // 2^fw·quotient + remainder = sum + 2^(fw−1).
    let rounds = |sum: BigInt, quotient: i16, remainder: u64| {
        sum + &half == (BigInt::from(quotient) << program.weight_bits()) + remainder
    };
    let mut gradients = Vec::new();
    for step in 0..program.steps() {
        let model = combine(&start, program.coefficients().row(step), &gradients);
        let row_of = |example: usize, width: usize| {
            let row = step * batch + example;
            row * width..(row + 1) * width
        };
        let wide = |row: &[i16]| -> Vec<BigInt> { row.iter().map(|value| BigInt::from(*value)).collect() };

        // A_0 = X, then A_l from the trace's own Q.
        let mut activations =
            vec![(0..batch).map(|example| wide(&trace.x[row_of(example, widths[0])])).collect::<Vec<_>>()];
        for layer in 1..=depth {
            let LayerTrace { q, r, .. } = &trace.layers[layer - 1];
            let mut outputs = Vec::new();
            for (example, inputs) in activations[layer - 1].iter().enumerate() {
                let place = Place { layer, step, example };
                let range = row_of(example, widths[layer]);
                let sums = affine(inputs, &model[layer - 1], program.activation_bits());
                for (unit, (index, sum)) in range.clone().zip(sums).enumerate() {
                    let small = r[index] < 1 << program.weight_bits();
                    place.require(small, Equation::ForwardRemainder, unit)?;
                    place.require(rounds(sum, q[index], r[index]), Equation::ForwardRounding, unit)?;
                }
                outputs.push(q[range].iter().map(|q| gated(program, *q, *q)).collect());
            }
            activations.push(outputs);
        }

        // Δ_L from the trace's own p, or from Q and y.
        let classes = program.outputs();
        let mut errors: Vec<Vec<BigInt>> = Vec::new();
        for example in 0..batch {
            let place = Place { layer: depth, step, example };
            let range = row_of(example, classes);
            let logits = &trace.layers[depth - 1].q[range.clone()];
            let labels = &trace.y[range.clone()];
            errors.push(match &trace.softmax {
                Some(witness) => {
                    check_softmax(program, &table, place, logits, labels, witness, step * batch + example)?;
                    let p = witness.p[range].iter();
                    p.zip(labels)
                        .map(|(p, y)| BigInt::from(*p) - (BigInt::from(*y) << program.error_bits()))
                        .collect()
                }
                None => squared_errors(program, logits, &wide(labels)),
            });
        }

        let mut step_gradients = vec![gradient(program, &activations[depth - 1], &errors)];
        for layer in (1..depth).rev() {
            let LayerTrace { q, p, s, .. } = &trace.layers[layer - 1];
            let mut earlier = Vec::new();
            for (example, row) in errors.iter().enumerate() {
                let place = Place { layer, step, example };
                let range = row_of(example, widths[layer]);
                for (unit, (index, sum)) in range.clone().zip(transposed(row, &model[layer])).enumerate() {
                    let small = s[index] < 1 << program.weight_bits();
                    place.require(small, Equation::BackwardRemainder, unit)?;
                    place.require(rounds(sum, p[index], s[index]), Equation::BackwardRounding, unit)?;
                }
                earlier.push(range.map(|index| gated(program, q[index], p[index])).collect());
            }
            errors = earlier;
            step_gradients.push(gradient(program, &activations[layer - 1], &errors));
        }
        step_gradients.reverse();
        gradients.push(step_gradients);
    }

    let exact = update(program, &gradients);
    for (index, (found, expected)) in big(claimed).iter().zip(&exact).enumerate() {
        let place = Place { layer: index + 1, ..Place::default() };
        place.same(Equation::UpdateWeights, &found.weights, &expected.weights)?;
        place.same(Equation::UpdateBiases, &found.biases, &expected.biases)?;
    }
    Ok(())
}

/// `g·value`.
fn gated(program: &Program, q: i16, value: i16) -> BigInt {
    BigInt::from(if passes(program, q) { value } else { 0 })
}

fn check_shapes(
    program: &Program,
    base: &Parameters,
    trace: &Trace,
    claimed: &Parameters,
) -> Result<(), RelationViolation> {
    let rows = program.steps() * program.batch();
    let depth = program.depth();
    let models = base.check_shape(program).is_ok() && claimed.check_shape(program).is_ok();
    Place::default().require(models && trace.layers.len() == depth, Equation::Shape, 0)?;
    for (layer, (LayerTrace { q, r, p, s }, width)) in
        (1..).zip(trace.layers.iter().zip(&program.layers()[1..]))
    {
        let entries = rows * width;
        let backward = if layer < depth { entries } else { 0 };
        let fits = [q.len(), r.len(), p.len(), s.len()] == [entries, entries, backward, backward];
        Place { layer, ..Place::default() }.require(fits, Equation::Shape, 0)?;
    }
    let entries = rows * program.outputs();
    let loss = match &trace.softmax {
        None => program.loss() == Loss::SquaredError,
        Some(SoftmaxTrace { max, hot, d, e, p, rho, rho_complement }) => {
            program.loss() == Loss::SoftmaxCrossEntropy
                && max.len() == rows
                && [hot.len(), d.len(), e.len(), p.len(), rho.len(), rho_complement.len()] == [entries; 6]
        }
    };
    let ends = trace.x.len() == rows * program.inputs() && trace.y.len() == entries;
    Place::default().require(loss && ends, Equation::Shape, 0)
}

/// The loss's equations for one row.
fn check_softmax(
    program: &Program,
    table: &[u16],
    place: Place,
    logits: &[i16],
    labels: &[i16],
    witness: &SoftmaxTrace,
    row: usize,
) -> Result<(), RelationViolation> {
    let classes = logits.len();
    let range = row * classes..(row + 1) * classes;
    let max = i64::from(witness.max[row]);
    let (hot, d, e) = (&witness.hot[range.clone()], &witness.d[range.clone()], &witness.e[range.clone()]);
    let (p, rho) = (&witness.p[range.clone()], &witness.rho[range.clone()]);
    let complement = &witness.rho_complement[range];

    for (class, label) in labels.iter().enumerate() {
        place.require((0..=1).contains(label), Equation::LabelBit, class)?;
    }
    let sum: i64 = labels.iter().map(|label| i64::from(*label)).sum();
    place.require(sum == 1, Equation::LabelSum, 0)?;
    for class in 0..classes {
        let difference = i64::from(d[class]) + i64::from(logits[class]) == max;
        place.require(difference, Equation::MaximumDifference, class)?;
        place.require(hot[class] <= 1, Equation::HotBit, class)?;
    }
    place.require(hot.iter().map(|h| u64::from(*h)).sum::<u64>() == 1, Equation::HotSum, 0)?;
    let chosen: u64 = hot.iter().zip(d).map(|(h, d)| u64::from(*h) * u64::from(*d)).sum();
    place.require(chosen == 0, Equation::HotMaximum, 0)?;
    for class in 0..classes {
        place.require(e[class] == table[usize::from(d[class])], Equation::Exponential, class)?;
    }
    let total: i128 = e.iter().map(|e| i128::from(*e)).sum();
    for class in 0..classes {
        let dividend = (i128::from(e[class]) << (program.error_bits() + 1)) + total;
        let divided = dividend == 2 * total * i128::from(p[class]) + i128::from(rho[class]);
        place.require(divided, Equation::Quotient, class)?;
        let below = i128::from(rho[class]) + i128::from(complement[class]) == 2 * total - 1;
        place.require(below, Equation::QuotientComplement, class)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
