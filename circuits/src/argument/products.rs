//! Matrix products, forward and backward, all layers in one sumcheck (specs/protocol/products.md).
//!
//! Forward, layer `l`: `Z_l(r) = Σ_k eq(r_k, k)·Σ_i A_{l−1}(k, r_b, i)·W_l⁽ᵏ⁾(i, r_u)`.
//! Backward, hidden layer `l`: `E_l(r) = Σ_k eq(r_k, k)·Σ_o Δ_{l+1}(k, r_b, o)·W_{l+1}⁽ᵏ⁾(r_u, o)`.
//!
//! 1. Draw `λ`; the claim is `Σ λⁱ·2^(−ν)·claimᵢ`, forward layers first.
//! 2. Sumcheck of degree 2 over the summed axis (weights 1/2), then over `k` (weights `r_k`).
//! 3. The prover sends `A`, `Δ` and `W⁽·⁾` at the end point `(ρ_k, ρ_x)`; the products must give the final claim.

use crate::algebra::{Algebra, ArgumentError, Check, Powers};
use crate::argument::claims::{Claim, Cursor, Query, Virtual, join, receive_claims};
use crate::argument::relations::{RelationClaims, RelationPoint};
use crate::argument::sumcheck::{self, as_point};
use crate::field::{Scalar, inverse_power_of_two, one_half};
use crate::layout::Layout;
use crate::multilinear::suffix;
use crate::program::Program;

/// The end point of the sumcheck.
#[derive(Clone, Debug)]
pub struct ProductPoint<S> {
    /// `ρ_k`.
    pub step: Vec<S>,
    /// `ρ_x`, as long as the widest layer.
    pub unit: Vec<S>,
}

/// What the virtual weights have to prove.
pub struct ProductClaims<A: Algebra> {
    /// `(ρ_k, ρ_x)`.
    pub point: ProductPoint<A::Public>,
    /// `W_l⁽ᵖ⁾(ρ_x, r_u)` at `l − 1`.
    pub forward_weights: Vec<A::Hidden>,
    /// `W_l⁽ᵖ⁾(r_u, ρ_x)` at `l − 2`.
    pub backward_weights: Vec<A::Hidden>,
}

/// Weights of the rounds.
pub fn round_weights<S: Scalar>(layout: &Layout, relation: &RelationPoint<S>) -> Vec<S> {
    let mut weights = vec![S::constant(one_half()); layout.widest];
    weights.extend(relation.step.iter().rev().cloned());
    weights
}

/// Splits the challenges into the end point.
pub fn end_point<S: Scalar>(layout: &Layout, challenges: &[S]) -> ProductPoint<S> {
    let (unit, step) = challenges.split_at(layout.widest);
    ProductPoint { step: as_point(step), unit: as_point(unit) }
}

/// Step 3: the queries, in order; the message ends with the forward and then the backward weights.
pub fn queries<S: Scalar>(
    layout: &Layout,
    program: &Program,
    relation: &RelationPoint<S>,
    point: &ProductPoint<S>,
) -> Vec<Query<S>> {
    let rows = join(&point.step, &relation.example);
    let mut queries = Vec::new();
    for layer in 1..=layout.depth() {
        let at = join(&rows, suffix(&point.unit, layout.unit_variables[layer - 1]));
        Virtual::Activation(layer - 1).push_queries(layout, program, &at, &mut queries);
    }
    for layer in 2..=layout.depth() {
        let at = join(&rows, suffix(&point.unit, layout.unit_variables[layer]));
        Virtual::Error(layer).push_queries(layout, program, &at, &mut queries);
    }
    queries
}

/// Steps 1–3.
pub fn check<A: Algebra>(
    algebra: &mut A,
    layout: &Layout,
    program: &Program,
    relation: &RelationClaims<A>,
    claims: &mut Vec<Claim<A>>,
) -> Result<ProductClaims<A>, ArgumentError> {
    let depth = layout.depth();
    let batching = algebra.challenge("lambda");
    let mut powers = Powers::new(batching);
    // The summed axis of a forward product is its input, of a backward product the layer above.
    let summed = layout.unit_variables[..depth].iter().chain(&layout.unit_variables[2..]);
    let mut coefficients = Vec::new();
    let mut claim = algebra.publish(A::Public::zero());
    for (product, variables) in relation.forward.iter().chain(&relation.backward).zip(summed) {
        let power = powers.draw();
        let scale = power.clone() * A::Public::constant(inverse_power_of_two(*variables));
        claim = algebra.add(claim, &algebra.scale(product, &scale));
        coefficients.push(power);
    }
    let weights = round_weights(layout, &relation.point);
    let (challenges, last) = sumcheck::check(algebra, "products", &weights, 2, claim)?;
    let point = end_point(layout, &challenges);

    let queries = queries(layout, program, &relation.point, &point);
    let values = receive_claims(algebra, "product factors", queries, 2 * depth - 1, claims)?;
    let mut cursor = Cursor::<A>::new("product factors", &values);
    let mut factors = Vec::new();
    for layer in 1..=depth {
        factors.push(cursor.next_virtual(algebra, layout, program, Virtual::Activation(layer - 1))?);
    }
    for layer in 2..=depth {
        factors.push(cursor.next_virtual(algebra, layout, program, Virtual::Error(layer))?);
    }
    let mut products = Vec::new();
    let mut virtual_weights = Vec::new();
    for (factor, coefficient) in factors.iter().zip(&coefficients) {
        let weight = cursor.next_value()?;
        products.push((algebra.scale(factor, coefficient), weight.clone()));
        virtual_weights.push(weight.clone());
    }
    let negated = algebra.scale(&last, &-A::Public::one());
    algebra.check_zero(Check::MatrixProducts, &products, &negated)?;
    let backward_weights = virtual_weights.split_off(depth);
    Ok(ProductClaims { point, forward_weights: virtual_weights, backward_weights })
}
