//! Virtual weights, the update and the bias sums in one sumcheck over (step, example) (specs/protocol/weights.md).
//!
//! Weights inside a contribution are never committed: with `a` the indicator of real steps,
//! `W_l⁽ᵖ⁾(x, y) = a(ρ)·W⁰_l(x, y) − Σ_{j,b} C(ρ, j)·A_{l−1}(j, b, x)·Δ_l(j, b, y)`.
//!
//! 1. The prover sends `W⁰_l(ρ_x, r_u)`, `W⁰_l(r_u, ρ_x)` for `l ≥ 2`, `U_l(ρ_x, r_u)` and `U^β_l(r_u)`.
//! 2. Draw `μ`; for each layer, in order, the sums over `(j, b)` of
//!    `C(ρ_k, j)·A(ρ_x)·Δ(r_u) = a·W⁰ − W⁽ᵖ⁾`, `c_out[j]·A(ρ_x)·Δ(r_u) = −U`,
//!    `C(ρ_k, j)·A(r_u)·Δ(ρ_x) = a·W⁰ − W⁽ᵖ⁾` (`l ≥ 2`), `C(r_k, j)·Δ(r_u) = N`, `2^fa·c_out[j]·Δ(r_u) = −U^β`
//!    are batched by powers of `μ`; sumcheck of degree 3, weights 1/2, examples before steps.
//! 3. The prover sends `A` and `Δ` at the end point `σ`; the products must give the final claim.

use ark_ff::Field;

use crate::algebra::{Algebra, ArgumentError, Check, Powers};
use crate::argument::claims::{Claim, Cursor, Query, Target, Virtual, join, receive_claims};
use crate::argument::products::{ProductClaims, ProductPoint};
use crate::argument::relations::{RelationClaims, RelationPoint};
use crate::argument::sumcheck::{self, as_point};
use crate::field::{F, Scalar, inverse_power_of_two, one_half, power_of_two};
use crate::layout::Layout;
use crate::multilinear::{extend_rows, suffix};
use crate::program::{Coefficients, Program};

/// `C(point, j)` for every real step `j`: the extension of the coefficient matrix in its first index, over real steps.
pub fn step_coefficients<S: Scalar>(program: &Program, point: &[S]) -> Vec<S> {
    extend_rows(&program.coefficients().rates, point)
}

/// Step 1: the queries, in order.
pub fn parameter_queries<S: Scalar>(
    layout: &Layout,
    relation: &RelationPoint<S>,
    product: &ProductPoint<S>,
) -> Vec<Query<S>> {
    let mut queries = Vec::new();
    for layer in 1..=layout.depth() {
        let (inputs, outputs) = (layout.unit_variables[layer - 1], layout.unit_variables[layer]);
        let forward = join(suffix(&product.unit, inputs), suffix(&relation.unit, outputs));
        queries.push(Query { target: Target::Weights { layer, is_bias: false }, point: forward.clone() });
        if layer > 1 {
            let point = join(suffix(&relation.unit, inputs), suffix(&product.unit, outputs));
            queries.push(Query { target: Target::Weights { layer, is_bias: false }, point });
        }
        queries.push(Query { target: Target::Update { layer, is_bias: false }, point: forward });
        queries.push(Query {
            target: Target::Update { layer, is_bias: true },
            point: suffix(&relation.unit, outputs).to_vec(),
        });
    }
    queries
}

/// Step 3: `A_{l−1}` and `Δ_l` at the end point, in order.
pub fn factor_queries<S: Scalar>(
    layout: &Layout,
    program: &Program,
    relation: &RelationPoint<S>,
    product: &ProductPoint<S>,
    end: &[S],
) -> Vec<Query<S>> {
    let mut queries = Vec::new();
    for layer in 1..=layout.depth() {
        let (inputs, outputs) = (layout.unit_variables[layer - 1], layout.unit_variables[layer]);
        let mut push = |factor: Virtual, units: &[S], variables| {
            factor.push_queries(layout, program, &join(end, suffix(units, variables)), &mut queries);
        };
        push(Virtual::Activation(layer - 1), &product.unit, inputs);
        push(Virtual::Error(layer), &relation.unit, outputs);
        if layer > 1 {
            push(Virtual::Activation(layer - 1), &relation.unit, inputs);
            push(Virtual::Error(layer), &product.unit, outputs);
        }
    }
    queries
}

/// Orders the challenges as `(σ_j, σ_b)`.
pub fn end_point<S: Scalar>(challenges: &[S]) -> Vec<S> {
    as_point(challenges)
}

/// The batching coefficients of one layer, in the order of step 2.
#[derive(Clone, Debug)]
pub struct LayerBatch<S> {
    /// Of `C(ρ_k, j)·A(ρ_x)·Δ(r_u)`.
    pub forward: S,
    /// Of `c_out[j]·A(ρ_x)·Δ(r_u)`.
    pub update: S,
    /// Of `C(ρ_k, j)·A(r_u)·Δ(ρ_x)`; `None` in the first layer.
    pub backward: Option<S>,
    /// Of `C(r_k, j)·Δ(r_u)`.
    pub bias: S,
    /// Of `2^fa·c_out[j]·Δ(r_u)`.
    pub bias_update: S,
}

/// Step 2: the batching coefficients of all layers.
pub fn batch<S: Scalar>(layout: &Layout, batching: S) -> Vec<LayerBatch<S>> {
    let mut powers = Powers::new(batching);
    (1..=layout.depth())
        .map(|layer| LayerBatch {
            forward: powers.draw(),
            update: powers.draw(),
            backward: (layer > 1).then(|| powers.draw()),
            bias: powers.draw(),
            bias_update: powers.draw(),
        })
        .collect()
}

/// Steps 1–3.
pub fn check<A: Algebra>(
    algebra: &mut A,
    layout: &Layout,
    program: &Program,
    relation: &RelationClaims<A>,
    product: &ProductClaims<A>,
    claims: &mut Vec<Claim<A>>,
) -> Result<(), ArgumentError> {
    let constant = A::Public::constant;
    let queries = parameter_queries(layout, &relation.point, &product.point);
    let values = receive_claims(algebra, "parameters", queries, 0, claims)?;
    let batches = batch(layout, algebra.challenge("mu"));
    let step_indicator = layout.steps_indicator(&product.point.step);
    let activation_scale = constant(power_of_two(program.activation_bits() as usize));

    let mut cursor = Cursor::<A>::new("parameters", &values);
    let mut backward_weights = Cursor::<A>::new("product factors", &product.backward_weights);
    let mut claim = algebra.publish(A::Public::zero());
    for ((batch, forward_weight), bias_sum) in
        batches.iter().zip(&product.forward_weights).zip(&relation.bias_sums)
    {
        let mut terms = vec![(batch.forward.clone() * step_indicator.clone(), cursor.next_value()?)];
        terms.push((-batch.forward.clone(), forward_weight));
        if let Some(backward) = &batch.backward {
            terms.push((backward.clone() * step_indicator.clone(), cursor.next_value()?));
            terms.push((-backward.clone(), backward_weights.next_value()?));
        }
        terms.push((-batch.update.clone(), cursor.next_value()?));
        terms.push((-batch.bias_update.clone(), cursor.next_value()?));
        terms.push((batch.bias.clone(), bias_sum));
        let sum = algebra.combine(&terms, A::Public::zero());
        claim = algebra.add(claim, &sum);
    }
    let normalisation = constant(inverse_power_of_two(layout.row_variables()));
    let claim = algebra.scale(&claim, &normalisation);

    let weights = vec![constant(one_half()); layout.row_variables()];
    let (challenges, last) = sumcheck::check(algebra, "weights", &weights, 3, claim)?;
    let end = end_point(&challenges);

    let queries = factor_queries(layout, program, &relation.point, &product.point, &end);
    let values = receive_claims(algebra, "weight factors", queries, 0, claims)?;
    let mut cursor = Cursor::<A>::new("weight factors", &values);
    let step = &end[..layout.step_variables];
    let Coefficients { rates, out } = program.coefficients();
    let coefficient = A::Public::extend_diagonals(rates, &product.point.step, step);
    let bias_coefficient = A::Public::extend_diagonals(rates, &relation.point.step, step);
    let out = A::Public::extend_integers(out, step);
    let mut products = Vec::new();
    let mut linear = algebra.scale(&last, &constant(-F::ONE));
    for (layer, batch) in (1..).zip(&batches) {
        let activation = cursor.next_virtual(algebra, layout, program, Virtual::Activation(layer - 1))?;
        let error = cursor.next_virtual(algebra, layout, program, Virtual::Error(layer))?;
        let scale = batch.forward.clone() * coefficient.clone() + batch.update.clone() * out.clone();
        products.push((algebra.scale(&activation, &scale), error.clone()));
        if let Some(backward) = &batch.backward {
            let activation = cursor.next_virtual(algebra, layout, program, Virtual::Activation(layer - 1))?;
            let error = cursor.next_virtual(algebra, layout, program, Virtual::Error(layer))?;
            let scale = backward.clone() * coefficient.clone();
            products.push((algebra.scale(&activation, &scale), error));
        }
        let scale = batch.bias.clone() * bias_coefficient.clone()
            + batch.bias_update.clone() * activation_scale.clone() * out.clone();
        linear = algebra.add(linear, &algebra.scale(&error, &scale));
    }
    algebra.check_zero(Check::VirtualWeights, &products, &linear)
}
