//! ReLU gates and the loss in one sumcheck (specs/protocol/gates.md).
//!
//! All claims on `A_l = g·Q` and `Δ_l = g·P` are one sum `Σ g·(E_A·Q + E_Δ·P)`, where `E` batches the `eq` polynomials
//! of the claims. The loss adds `Σ eq(r_kb)·h·d = 0` and `Σ eq(r)·T·p = (2^(fe+1)·e + T·I − ρ)(r) / 2`.
//!
//! 1. Draw `θ`; gated claims in the order in which they were made, then the two sums of the loss, take its powers; an
//!    instance over `n` variables is scaled by `2⁻ⁿ`.
//! 2. Sumcheck of degree 3, weights 1/2: units first, then examples, then steps.
//! 3. The prover sends `g, Q, P` of every hidden layer and `h, d, p, T/2^ℓ` at the end point `τ`; the products must give
//!    the final claim.

use ark_ff::Field;

use crate::algebra::{Algebra, ArgumentError, Check, Powers};
use crate::argument::claims::{Claim, Cursor, Query, Target, join, receive_claims};
use crate::argument::relations::{LossClaims, RelationPoint};
use crate::argument::sumcheck::{self, as_point};
use crate::field::{F, Scalar, inverse_power_of_two, one_half, power_of_two};
use crate::layout::{Layout, Tensor};
use crate::multilinear::{eq, suffix};

/// A gated claim with its batching coefficient.
#[derive(Clone, Debug)]
pub struct BatchedPoint<S> {
    /// Power of `θ`.
    pub coefficient: S,
    /// The claim's polynomial and point.
    pub query: Query<S>,
}

/// Whether the program has anything for this piece to prove.
pub fn is_needed(layout: &Layout) -> bool {
    layout.is_softmax() || (layout.has_signs() && layout.depth() > 1)
}

/// Rounds over units: the widest instance.
pub fn unit_rounds(layout: &Layout) -> usize {
    let hidden = layout.unit_variables[1..layout.depth()].iter().copied();
    let hidden = hidden.filter(|_| layout.has_signs()).max().unwrap_or(0);
    if layout.is_softmax() { hidden.max(layout.label_variables()) } else { hidden }
}

/// The part of the end point that belongs to an instance of `variables` units: the first rounds over units.
pub fn end_point<S: Scalar>(layout: &Layout, challenges: &[S], variables: usize) -> Vec<S> {
    let (units, rows) = challenges.split_at(unit_rounds(layout));
    join(&as_point(rows), &as_point(&units[..variables]))
}

/// Whether a target is proved here.
pub fn is_gated(target: Target) -> bool {
    matches!(target, Target::GatedActivation(_) | Target::GatedError(_))
}

/// Step 3: the queries, in order.
pub fn queries<S: Scalar>(layout: &Layout, challenges: &[S]) -> Vec<Query<S>> {
    let mut queries = Vec::new();
    let mut push = |tensor, point| queries.push(Query { target: Target::Tensor(tensor), point });
    if layout.has_signs() {
        for layer in 1..layout.depth() {
            let at = end_point(layout, challenges, layout.unit_variables[layer]);
            push(Tensor::Sign(layer), at.clone());
            push(Tensor::PreActivation(layer), at.clone());
            push(Tensor::BackSum(layer), at);
        }
    }
    if layout.is_softmax() {
        let at = end_point(layout, challenges, layout.label_variables());
        let rows = at[..layout.row_variables()].to_vec();
        push(Tensor::Hot, at.clone());
        push(Tensor::Distance, at.clone());
        push(Tensor::Probability, at);
        push(Tensor::Exponential, join(&rows, &vec![S::constant(one_half()); layout.label_variables()]));
    }
    queries
}

/// Steps 1–3. Takes the gated claims out of `claims` and leaves claims on the witness in their place.
pub fn check<A: Algebra>(
    algebra: &mut A,
    layout: &Layout,
    relation: &RelationPoint<A::Public>,
    loss: Option<LossClaims<A>>,
    claims: &mut Vec<Claim<A>>,
) -> Result<(), ArgumentError> {
    if !is_needed(layout) {
        return Ok(());
    }
    let constant = A::Public::constant;
    let mut powers = Powers::new(algebra.challenge("theta"));
    let rows = layout.row_variables();
    let mut claim = algebra.publish(A::Public::zero());
    let mut batched: Vec<BatchedPoint<A::Public>> = Vec::new();
    for gated in claims.extract_if(.., |c| is_gated(c.query.target)) {
        let coefficient = powers.draw();
        let scale = coefficient.clone() * constant(inverse_power_of_two(gated.query.point.len()));
        claim = algebra.add(claim, &algebra.scale(&gated.value, &scale));
        batched.push(BatchedPoint { coefficient, query: gated.query });
    }
    let hot_coefficient = powers.draw();
    let division_coefficient = powers.draw();
    if let Some(loss) = &loss {
        let normalisation = inverse_power_of_two(rows + layout.label_variables());
        let scale = division_coefficient.clone() * constant(normalisation);
        claim = algebra.add(claim, &algebra.scale(&loss.division, &scale));
    }

    let weights = vec![constant(one_half()); unit_rounds(layout) + rows];
    let (challenges, last) = sumcheck::check(algebra, "gates", &weights, 3, claim)?;

    let values = receive_claims(algebra, "gate factors", queries(layout, &challenges), 0, claims)?;
    let mut cursor = Cursor::<A>::new("gate factors", &values);
    let mut products = Vec::new();
    if layout.has_signs() {
        for layer in 1..layout.depth() {
            let end = end_point(layout, &challenges, layout.unit_variables[layer]);
            let weight = |target: Target| {
                batched
                    .iter()
                    .filter(|b| b.query.target == target)
                    .fold(A::Public::zero(), |sum, b| sum + b.coefficient.clone() * eq(&b.query.point, &end))
            };
            let sign = cursor.next_value()?;
            let pre_activation = cursor.next_value()?;
            let back_sum = cursor.next_value()?;
            let gated = algebra.combine(
                &[
                    (weight(Target::GatedActivation(layer)), pre_activation),
                    (weight(Target::GatedError(layer)), back_sum),
                ],
                A::Public::zero(),
            );
            products.push((gated, sign.clone()));
        }
    }
    if loss.is_some() {
        let end = end_point(layout, &challenges, layout.label_variables());
        let (end_rows, end_units) = end.split_at(rows);
        let hot = cursor.next_value()?;
        let distance = cursor.next_value()?;
        let probability = cursor.next_value()?;
        let mean = cursor.next_value()?;
        let row_weight = eq(&relation.rows(), end_rows);
        let unit_weight = eq(suffix(&relation.unit, layout.label_variables()), end_units);
        products.push((algebra.scale(hot, &(hot_coefficient * row_weight.clone())), distance.clone()));
        // T is the sum over classes, 2^ℓ times the mean.
        let total = constant(power_of_two(layout.label_variables()));
        let scale = division_coefficient * row_weight * unit_weight * total;
        products.push((algebra.scale(probability, &scale), mean.clone()));
    }
    let negated = algebra.scale(&last, &constant(-F::ONE));
    algebra.check_zero(Check::Gates, &products, &negated)
}
