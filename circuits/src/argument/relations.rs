//! The relations that hold entry by entry, checked at one random point (specs/protocol/relations.md).
//!
//! 1. Draw `r = (r_k, r_b, r_u)`; a tensor with fewer units uses the last coordinates of `r_u`.
//! 2. The prover sends the value at `r` of every tensor a relation mentions, the biases `β⁰_l(r_u)`, and
//!    `N_l = Σ_{j,b} C(r_k, j)·Δ_l(j, b, r_u)` for each layer (proved by the virtual weights).
//! 3. Rounding: `Z_l(r) = 2^fw·Q + R − 2^(fw−1)·I` and `E_l(r) = 2^fw·P + S − 2^(fw−1)·I` are the claims of the matrix
//!    products, after the bias is taken off: `Z_l(r) − 2^fa·I_B·(a(r_k)·β⁰ − 2^fa·N_l)`.
//! 4. Loss: `d = m − Q`, `Σ h = 1`, `Σ y = 1`, `ρ + ρ' = 2T − 1`, each constant times its indicator; a sum over classes
//!    is `2^ℓ` times the value at `(1/2, …, 1/2)`.
//! 5. Dataset link: `D(r) = X(r) + eq(r_hi, o/2^ℓ)·Y(r_lo)` over the whole padded row.

use ark_ff::Field;

use crate::algebra::{Algebra, ArgumentError, Check};
use crate::argument::claims::{Claim, Cursor, Query, Target, join, receive_claims};
use crate::field::{F, Scalar, one_half, power_of_two};
use crate::layout::{Layout, Tensor};
use crate::multilinear::{eq_index, less_than, suffix};
use crate::program::Program;

/// The point at which relations are checked.
#[derive(Clone, Debug)]
pub struct RelationPoint<S> {
    /// `r_k`.
    pub step: Vec<S>,
    /// `r_b`.
    pub example: Vec<S>,
    /// `r_u`, as long as the widest axis.
    pub unit: Vec<S>,
}

impl<S: Scalar> RelationPoint<S> {
    /// `(r_k, r_b)`.
    pub fn rows(&self) -> Vec<S> {
        join(&self.step, &self.example)
    }
    /// `(r_k, r_b, last coordinates of r_u)`.
    pub fn with_units(&self, variables: usize) -> Vec<S> {
        join(&self.rows(), suffix(&self.unit, variables))
    }
}

/// What the matrix products have to prove.
pub struct RelationClaims<A: Algebra> {
    /// `r`.
    pub point: RelationPoint<A::Public>,
    /// For layer `l` at `l − 1`: `(A_{l−1}·W_l⁽ᵏ⁾)(r)`.
    pub forward: Vec<A::Hidden>,
    /// For hidden layer `l` at `l − 1`: `(Δ_{l+1}·W_{l+1}⁽ᵏ⁾ᵀ)(r)`.
    pub backward: Vec<A::Hidden>,
    /// `N_l` at `l − 1`.
    pub bias_sums: Vec<A::Hidden>,
}

/// Step 1.
pub fn draw_point<A: Algebra>(algebra: &mut A, layout: &Layout) -> RelationPoint<A::Public> {
    RelationPoint {
        step: algebra.challenges("r_k", layout.step_variables),
        example: algebra.challenges("r_b", layout.example_variables),
        unit: algebra.challenges("r_u", layout.unit_point_variables()),
    }
}

/// Step 2: the queries, in order. The message ends with `N_1 … N_L`.
pub fn queries<S: Scalar>(layout: &Layout, point: &RelationPoint<S>) -> Vec<Query<S>> {
    let mut queries = Vec::new();
    let mut push = |target, point: Vec<S>| queries.push(Query { target, point });
    let tensor = Target::Tensor;
    push(Target::Data, point.with_units(layout.data_variables));
    push(tensor(Tensor::Input), point.with_units(layout.unit_variables[0]));
    push(tensor(Tensor::Label), point.with_units(layout.label_variables()));
    for layer in 1..=layout.depth() {
        let at = point.with_units(layout.unit_variables[layer]);
        push(tensor(Tensor::PreActivation(layer)), at.clone());
        for limb in 0..layout.remainder_limbs.len() {
            push(tensor(Tensor::ForwardRemainder(layer, limb)), at.clone());
        }
        if layer < layout.depth() {
            push(tensor(Tensor::BackSum(layer)), at.clone());
            for limb in 0..layout.remainder_limbs.len() {
                push(tensor(Tensor::BackwardRemainder(layer, limb)), at.clone());
            }
        }
        push(
            Target::Weights { layer, is_bias: true },
            suffix(&point.unit, layout.unit_variables[layer]).to_vec(),
        );
    }
    if layout.is_softmax() {
        let at = point.with_units(layout.label_variables());
        let sum = join(&point.rows(), &vec![S::constant(one_half()); layout.label_variables()]);
        push(tensor(Tensor::Maximum), point.rows());
        push(tensor(Tensor::Hot), sum.clone());
        push(tensor(Tensor::Label), sum.clone());
        push(tensor(Tensor::Distance), at.clone());
        push(tensor(Tensor::Exponential), at.clone());
        push(tensor(Tensor::Exponential), sum);
        for limb in 0..layout.division_limbs.len() {
            push(tensor(Tensor::DivisionRemainder(limb)), at.clone());
        }
        for limb in 0..layout.division_limbs.len() {
            push(tensor(Tensor::DivisionComplement(limb)), at.clone());
        }
    }
    queries
}

/// What the gates have to prove of the loss.
pub struct LossClaims<A: Algebra> {
    /// `Σ eq(r)·T·p`, which is half of `2^(fe+1)·e + T·I − ρ` at `r`.
    pub division: A::Hidden,
}

/// Steps 1–5.
pub fn check<A: Algebra>(
    algebra: &mut A,
    layout: &Layout,
    program: &Program,
    claims: &mut Vec<Claim<A>>,
) -> Result<(RelationClaims<A>, Option<LossClaims<A>>), ArgumentError> {
    let constant = A::Public::constant;
    let one = constant(F::ONE);
    let point = draw_point(algebra, layout);
    let values = receive_claims(algebra, "relations", queries(layout, &point), layout.depth(), claims)?;
    let mut cursor = Cursor::<A>::new("relations", &values);
    let data = cursor.next_value()?;
    let input = cursor.next_value()?;
    let label = cursor.next_value()?;

    // Step 3.
    let rows = point.rows();
    let rows_indicator = layout.rows_indicator(&rows);
    let weight_bits = program.weight_bits() as usize;
    let activation_scale = power_of_two(program.activation_bits() as usize);
    let limb_weights = Layout::limb_weights(&layout.remainder_limbs);
    let rounded = |algebra: &A, cursor: &mut Cursor<A>, layer: usize| -> Result<A::Hidden, ArgumentError> {
        let units = less_than(suffix(&point.unit, layout.unit_variables[layer]), layout.widths[layer]);
        let half = constant(-power_of_two(weight_bits - 1)) * rows_indicator.clone() * units;
        let mut terms = vec![(constant(power_of_two(weight_bits)), cursor.next_value()?)];
        for weight in &limb_weights {
            terms.push((constant(*weight), cursor.next_value()?));
        }
        Ok(algebra.combine(&terms, half))
    };
    let mut forward = Vec::new();
    let mut backward = Vec::new();
    let mut biases = Vec::new();
    let mut last_pre_activation = None;
    for layer in 1..=layout.depth() {
        last_pre_activation = cursor.peek();
        forward.push(rounded(algebra, &mut cursor, layer)?);
        if layer < layout.depth() {
            backward.push(rounded(algebra, &mut cursor, layer)?);
        }
        biases.push(cursor.next_value()?);
    }
    let Some(pre_activation) = last_pre_activation else {
        return Err(ArgumentError::Shape { label: "relations", expected: 1, found: 0 });
    };

    // Step 4.
    let loss = if layout.is_softmax() {
        let classes = suffix(&point.unit, layout.label_variables());
        let class_indicator = less_than(classes, layout.widths[layout.depth()]);
        let all_classes = constant(power_of_two(layout.label_variables()));
        let indicator = rows_indicator.clone() * class_indicator.clone();
        let maximum = cursor.next_value()?;
        let hot_sum = cursor.next_value()?;
        let label_sum = cursor.next_value()?;
        let distance = cursor.next_value()?;
        let exponential = cursor.next_value()?;
        let exponential_sum = cursor.next_value()?;
        let division_weights = Layout::limb_weights(&layout.division_limbs);
        let mut remainder = Vec::new();
        for weight in &division_weights {
            remainder.push((constant(*weight), cursor.next_value()?));
        }
        let mut complement = Vec::new();
        for weight in &division_weights {
            complement.push((constant(*weight), cursor.next_value()?));
        }
        let remainder = algebra.combine(&remainder, A::Public::zero());
        let complement = algebra.combine(&complement, A::Public::zero());
        let minus_one = constant(-F::ONE);
        let difference = algebra.combine(
            &[
                (class_indicator.clone(), maximum),
                (minus_one.clone(), pre_activation),
                (minus_one.clone(), distance),
            ],
            A::Public::zero(),
        );
        algebra.check_zero(Check::MaximumDistance, &[], &difference)?;
        let hot = algebra.combine(&[(all_classes.clone(), hot_sum)], -rows_indicator.clone());
        algebra.check_zero(Check::HotSum, &[], &hot)?;
        let labels = algebra.combine(&[(all_classes.clone(), label_sum)], -rows_indicator.clone());
        algebra.check_zero(Check::LabelSum, &[], &labels)?;
        // T broadcast over the real classes, at r.
        let total = algebra.scale(exponential_sum, &(all_classes * class_indicator));
        let complements = algebra.combine(
            &[
                (constant(F::from(2u64)), &total),
                (minus_one.clone(), &remainder),
                (minus_one.clone(), &complement),
            ],
            -indicator,
        );
        algebra.check_zero(Check::DivisionComplement, &[], &complements)?;
        let half = constant(one_half());
        let division = algebra.combine(
            &[
                (constant(power_of_two(program.error_bits() as usize)), exponential),
                (half.clone(), &total),
                (-half, &remainder),
            ],
            A::Public::zero(),
        );
        Some(LossClaims { division })
    } else {
        None
    };
    let mut bias_sums = Vec::new();
    for _ in 0..layout.depth() {
        bias_sums.push(cursor.next_value()?.clone());
    }

    // The bias comes off the forward products; it is zero on padded examples.
    let step_indicator = layout.steps_indicator(&point.step);
    let example_indicator = less_than(&point.example, layout.batch);
    for ((product, bias), bias_sum) in forward.iter_mut().zip(&biases).zip(&bias_sums) {
        let scale = constant(-activation_scale) * example_indicator.clone();
        *product = algebra.combine(
            &[
                (one.clone(), product),
                (scale.clone() * step_indicator.clone(), bias),
                (-scale * constant(activation_scale), bias_sum),
            ],
            A::Public::zero(),
        );
    }

    // Step 5. Beyond its own width a tensor is zero: extra coordinates of the row contribute (1 − r).
    let position = suffix(&point.unit, layout.data_variables);
    let zero_extension = |variables: usize| eq_index(&position[..layout.data_variables - variables], 0);
    let label_block = layout.label_offset >> layout.label_variables();
    let label_prefix = eq_index(&position[..layout.data_variables - layout.label_variables()], label_block);
    let link = algebra.combine(
        &[(one, data), (-zero_extension(layout.unit_variables[0]), input), (-label_prefix, label)],
        A::Public::zero(),
    );
    algebra.check_zero(Check::DatasetLink, &[], &link)?;
    Ok((RelationClaims { point, forward, backward, bias_sums }, loss))
}
