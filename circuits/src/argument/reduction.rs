//! Every claim on a committed or public polynomial becomes one value at one point (specs/protocol/reduction.md).
//!
//! 1. Draw `η`; claim `i` takes `ηⁱ`, in the order in which claims were made. With `E_f = Σ ηⁱ·eq(pointᵢ, ·)` the sum is
//!    `Σ_f Σ_x E_f(x)·f(x)`; an instance over `n` variables is scaled by `2⁻ⁿ`.
//! 2. Sumcheck of degree 2, weights 1/2. A polynomial over `n` variables takes the first `n` rounds, except the dataset
//!    rows: positions, then zero-extension up to the width of a witness row, then (step, example), so that they open
//!    together with the witness rows.
//! 3. The prover sends `y`; the final claim is `y = Σ_f E_f(r*)·f(r*)`, which the opening proves.

use ark_ff::Field;

use crate::algebra::{Algebra, ArgumentError, Check, Powers};
use crate::argument::claims::{Claim, Query, Target};
use crate::argument::sumcheck::{self, as_point};
use crate::field::{F, Scalar, inverse_power_of_two, one_half};
use crate::layout::{Layout, Table};
use crate::multilinear::{eq, eq_index};

/// A polynomial that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The stacked witness.
    Witness,
    /// The chosen dataset rows, zero-extended to the width of a witness row.
    Data,
    /// The stacked base model.
    Weights,
    /// The stacked update.
    Update,
    /// The second column of the exponential table.
    Exponential,
    /// The mask.
    Mask,
}

impl Opened {
    /// All, in the order of the coefficients.
    pub const ALL: [Opened; 6] =
        [Opened::Witness, Opened::Data, Opened::Weights, Opened::Update, Opened::Exponential, Opened::Mask];

    /// Rounds that the polynomial takes part in, from the first.
    pub fn variables(self, layout: &Layout) -> usize {
        match self {
            Opened::Witness => layout.variables,
            Opened::Data => layout.column_variables + layout.row_variables(),
            Opened::Weights | Opened::Update => layout.parameter_variables,
            Opened::Exponential => Table::Exponential.variables(),
            Opened::Mask => layout.column_variables,
        }
    }

    /// The part of `r*` that belongs to the polynomial: its last coordinates.
    pub fn point<S: Scalar>(self, layout: &Layout, opening: &[S]) -> Vec<S> {
        opening[layout.opening_variables - self.variables(layout)..].to_vec()
    }
}

/// Which polynomial proves a target, and at which prefix of its stack; `None` for gated targets.
pub fn place(layout: &Layout, target: Target) -> Option<(Opened, usize, usize)> {
    // (polynomial, index of the block among blocks of its size, variables of the block)
    let parameter = |layer, is_bias| {
        layout.parameter_block(layer, is_bias).map(|b| {
            let variables = b.input_variables + b.output_variables;
            (b.offset >> variables, variables)
        })
    };
    match target {
        Target::Tensor(tensor) => {
            layout.block(tensor).map(|b| (Opened::Witness, b.offset >> b.variables, b.variables))
        }
        Target::Stack => Some((Opened::Witness, 0, layout.variables)),
        Target::Data => Some((Opened::Data, 0, layout.row_variables() + layout.data_variables)),
        Target::Weights { layer, is_bias } => {
            parameter(layer, is_bias).map(|(index, variables)| (Opened::Weights, index, variables))
        }
        Target::Update { layer, is_bias } => {
            parameter(layer, is_bias).map(|(index, variables)| (Opened::Update, index, variables))
        }
        Target::ExponentialTable => Some((Opened::Exponential, 0, Table::Exponential.variables())),
        Target::Mask => Some((Opened::Mask, 0, layout.column_variables)),
        Target::GatedActivation(_) | Target::GatedError(_) => None,
    }
}

/// `eq` of a query's point, in the coordinates of its polynomial, with `point`.
fn query_weight<S: Scalar>(
    layout: &Layout,
    opened: Opened,
    index: usize,
    query: &Query<S>,
    point: &[S],
) -> S {
    if opened == Opened::Data {
        let (rows, columns) = point.split_at(layout.row_variables());
        let (extension, position) = columns.split_at(layout.column_variables - layout.data_variables);
        let (query_rows, query_position) = query.point.split_at(layout.row_variables());
        return eq(query_rows, rows) * eq_index(extension, 0) * eq(query_position, position);
    }
    let (prefix, own) = point.split_at(point.len() - query.point.len());
    eq_index(prefix, index) * eq(&query.point, own)
}

/// What the opening proves: `Σ_f coefficient_f·f(point_f) = value`.
pub struct OpeningClaim<A: Algebra> {
    /// `r*`.
    pub point: Vec<A::Public>,
    /// One coefficient for each of [`Opened::ALL`].
    pub coefficients: [A::Public; 6],
    /// `y`.
    pub value: A::Hidden,
}

/// Steps 1–3.
pub fn check<A: Algebra>(
    algebra: &mut A,
    layout: &Layout,
    claims: Vec<Claim<A>>,
) -> Result<OpeningClaim<A>, ArgumentError> {
    let constant = A::Public::constant;
    let mut powers = Powers::new(algebra.challenge("eta"));
    let mut batched = Vec::new();
    let mut sum = algebra.publish(A::Public::zero());
    for claim in &claims {
        let Some((opened, index, variables)) = place(layout, claim.query.target) else {
            return Err(ArgumentError::Shape { label: "claims", expected: 0, found: 1 });
        };
        if claim.query.point.len() != variables {
            return Err(ArgumentError::Shape {
                label: "claims",
                expected: variables,
                found: claim.query.point.len(),
            });
        }
        let power = powers.draw();
        let scale = power.clone() * constant(inverse_power_of_two(opened.variables(layout)));
        sum = algebra.add(sum, &algebra.scale(&claim.value, &scale));
        batched.push((power, opened, index, &claim.query));
    }
    let weights = vec![constant(one_half()); layout.opening_variables];
    let (challenges, last) = sumcheck::check(algebra, "reduction", &weights, 2, sum)?;
    let point = as_point(&challenges);
    let coefficients = Opened::ALL.map(|opened| {
        let at = opened.point(layout, &point);
        batched.iter().filter(|(_, o, _, _)| *o == opened).fold(
            A::Public::zero(),
            |sum, (power, _, index, query)| {
                sum + power.clone() * query_weight(layout, opened, *index, query, &at)
            },
        )
    });
    let value = algebra.receive_opening_value()?;
    let difference = algebra.add(last, &algebra.scale(&value, &constant(-F::ONE)));
    algebra.check_zero(Check::OpeningValue, &[], &difference)?;
    Ok(OpeningClaim { point, coefficients, value })
}
