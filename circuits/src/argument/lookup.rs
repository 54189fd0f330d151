//! One lookup argument over the whole stacked witness (specs/protocol/lookup.md).
//!
//! LogUp as a tree of fractions: each position is a leaf `n/d`, and the leaves must sum to zero. A leaf of a tensor is
//! `1/(α − (v₀ + γ·v₁ + β·id))`, of a table `−m/(α − (t₀ + γ·t₁ + β·id))`, of a neutral block `0/1`. Positions outside
//! a declared shape, and the tail of the stack, carry `id = 0`, the table `{0}`.
//!
//! 1. Draw `γ`, `β`, `α`.
//! 2. The prover sends the root's two children `(p₀, p₁, q₀, q₁)`; `p₀·q₁ + p₁·q₀ = 0`. Denominators are monic in `α` or
//!    1, so their product is not the zero polynomial and a zero numerator suffices.
//! 3. For each layer: draw `ν` and take the children to one claim `(p, q)` at a longer point, low coordinate last; draw
//!    `λ`; sumcheck `Σ eq·(p₀·q₁ + p₁·q₀ + λ·q₀·q₁) = p + λ·q` of degree 2 (the `eq` is in the weights); the prover sends
//!    the four values at the end point.
//! 4. The prover sends the stack at the leaf point `ℓ`, each table's multiplicities, the second members of pairs, and
//!    the second column of `EXP`.
//!    Under a masked layout the message ends with the mask at the last coordinates of `ℓ`: no check of this piece uses it,
//!    it is one more claim for the reduction.
//! 5. Numerator and denominator of the leaf layer at `ℓ` are linear in these.

use ark_ff::Field;

use crate::algebra::{Algebra, ArgumentError, Check};
use crate::argument::claims::{Claim, Cursor, Query, Target, receive_claims};
use crate::argument::sumcheck::{self, as_point};
use crate::field::{F, Scalar};
use crate::layout::{Block, Layout, Leaf, Table, Tensor};
use crate::multilinear::{eq_index, suffix};

/// The lookup's challenges.
#[derive(Clone, Debug)]
pub struct LookupChallenges<S> {
    /// Weight of the second member of a pair.
    pub gamma: S,
    /// Weight of the table's identifier.
    pub beta: S,
    /// Where the fractions are evaluated.
    pub alpha: S,
}

/// Step 1.
pub fn draw<A: Algebra>(algebra: &mut A) -> LookupChallenges<A::Public> {
    let gamma = algebra.challenge("gamma");
    let beta = algebra.challenge("beta");
    let alpha = algebra.challenge("alpha");
    LookupChallenges { gamma, beta, alpha }
}

/// The second members of pairs, each once, in block order.
pub fn partners(layout: &Layout) -> Vec<Tensor> {
    layout
        .blocks
        .iter()
        .filter_map(|block| match block.leaf {
            Leaf::Pair(_, partner) => Some(partner),
            _ => None,
        })
        .collect()
}

/// Step 4: the queries, in order.
pub fn queries<S: Scalar>(layout: &Layout, leaf: &[S]) -> Vec<Query<S>> {
    let mut queries = vec![Query { target: Target::Stack, point: leaf.to_vec() }];
    for table in &layout.tables {
        queries.push(Query {
            target: Target::Tensor(Tensor::Multiplicity(*table)),
            point: suffix(leaf, table.variables()).to_vec(),
        });
    }
    for partner in partners(layout) {
        let variables = layout.block(partner).map_or(0, |b| b.variables);
        queries.push(Query { target: Target::Tensor(partner), point: suffix(leaf, variables).to_vec() });
    }
    if layout.tables.contains(&Table::Exponential) {
        queries.push(Query {
            target: Target::ExponentialTable,
            point: suffix(leaf, Table::Exponential.variables()).to_vec(),
        });
    }
    if layout.is_masked {
        queries.push(Query { target: Target::Mask, point: suffix(leaf, layout.column_variables).to_vec() });
    }
    queries
}

/// The weight of a block at a point of the stack: `eq` of the block's prefix.
pub fn prefix_weight<S: Scalar>(layout: &Layout, block: &Block, leaf: &[S]) -> S {
    eq_index(&leaf[..layout.variables - block.variables], block.offset >> block.variables)
}

/// Steps 1–5.
pub fn check<A: Algebra>(
    algebra: &mut A,
    layout: &Layout,
    claims: &mut Vec<Claim<A>>,
) -> Result<(), ArgumentError> {
    let constant = A::Public::constant;
    let minus_one = constant(-F::ONE);
    let challenges = draw(algebra);

    // Step 2.
    let root = algebra.receive("fractions", 4)?;
    let mut children = four(&root)?;
    let zero = algebra.publish(A::Public::zero());
    algebra.check_zero(
        Check::LookupRoot,
        &[(children[0].clone(), children[3].clone()), (children[1].clone(), children[2].clone())],
        &zero,
    )?;

    // Step 3.
    let mut point: Vec<A::Public> = Vec::new();
    let (mut numerator, mut denominator);
    loop {
        let low = algebra.challenge("nu");
        let between = |algebra: &A, a: &A::Hidden, b: &A::Hidden| {
            let high = algebra.scale(b, &low);
            algebra.add(algebra.scale(a, &(A::Public::one() - low.clone())), &high)
        };
        numerator = between(algebra, &children[0], &children[1]);
        denominator = between(algebra, &children[2], &children[3]);
        point.push(low);
        if point.len() == layout.variables {
            break;
        }
        let batching = algebra.challenge("lambda");
        let claim = algebra.add(numerator.clone(), &algebra.scale(&denominator, &batching));
        let weights = as_point(&point);
        let (rounds, last) = sumcheck::check(algebra, "fraction rounds", &weights, 2, claim)?;
        let level = point.len();
        point = as_point(&rounds);
        let values = algebra.receive("fractions", 4)?;
        children = four(&values)?;
        let scaled = algebra.scale(&children[2], &batching);
        let first = algebra.add(children[0].clone(), &scaled);
        algebra.check_zero(
            Check::LookupLayer(level),
            &[(first, children[3].clone()), (children[1].clone(), children[2].clone())],
            &algebra.scale(&last, &minus_one),
        )?;
    }

    // Step 4.
    let values = receive_claims(algebra, "leaves", queries(layout, &point), 0, claims)?;
    let mut cursor = Cursor::<A>::new("leaves", &values);
    let stack = cursor.next_value()?;
    let mut multiplicities = Vec::new();
    for table in &layout.tables {
        multiplicities.push((*table, cursor.next_value()?));
    }
    let mut partners_at_leaf = Vec::new();
    for partner in partners(layout) {
        partners_at_leaf.push((partner, cursor.next_value()?));
    }
    let exponential = match layout.tables.contains(&Table::Exponential) {
        true => Some(cursor.next_value()?),
        false => None,
    };

    // Step 5. numerator = 1 − Σ_neutral − Σ_tables (1 + m);
    // denominator = α·(1 − Σ_neutral) + Σ_neutral − w' − γ·v₁ − β·ID − Σ_tables (t₀ + γ·t₁), where w' leaves out the
    // positions of tables and neutral blocks.
    let mut numerator_terms = vec![(minus_one.clone(), &numerator)];
    let mut numerator_constant = A::Public::one();
    let mut denominator_terms = vec![(minus_one.clone(), &denominator), (minus_one.clone(), stack)];
    let mut denominator_constant = challenges.alpha.clone();
    for block in &layout.blocks {
        let weight = prefix_weight(layout, block, &point);
        let own = suffix(&point, block.variables);
        let find =
            |tensor: Tensor| partners_at_leaf.iter().find(|(t, _)| *t == tensor).map(|(_, value)| *value);
        let missing = ArgumentError::Shape { label: "leaves", expected: 1, found: 0 };
        match block.leaf {
            Leaf::Single(table) | Leaf::Pair(table, _) => {
                if let Leaf::Pair(_, partner) = block.leaf {
                    let value = find(partner).ok_or(missing)?;
                    denominator_terms.push((-(challenges.gamma.clone() * weight.clone()), value));
                }
                let identifier = constant(F::from(table.identifier())) * challenges.beta.clone();
                denominator_constant =
                    denominator_constant - identifier * weight * layout.block_indicator(block, own);
            }
            Leaf::Neutral => {
                let value = find(block.tensor).ok_or(missing)?;
                numerator_constant = numerator_constant - weight.clone();
                denominator_constant =
                    denominator_constant + weight.clone() * (A::Public::one() - challenges.alpha.clone());
                denominator_terms.push((weight, value));
            }
            Leaf::Table(table) => {
                let value = multiplicities
                    .iter()
                    .find(|(t, _)| *t == table)
                    .map(|(_, value)| *value)
                    .ok_or(missing)?;
                numerator_constant = numerator_constant - weight.clone();
                numerator_terms.push((-weight.clone(), value));
                denominator_terms.push((weight.clone(), value));
                let identifier = constant(F::from(table.identifier())) * challenges.beta.clone();
                let mut entry = table.first_extension(own) + identifier;
                match table {
                    Table::Relu => {
                        // The sign is the top bit of the entry's index.
                        if let Some(top) = own.first() {
                            entry = entry + challenges.gamma.clone() * top.clone();
                        }
                    }
                    Table::Exponential => {
                        let value = exponential.ok_or(missing)?;
                        denominator_terms.push((-(challenges.gamma.clone() * weight.clone()), value));
                    }
                    Table::Zero | Table::Signed16 | Table::Bits(_) => {}
                }
                denominator_constant = denominator_constant - weight * entry;
            }
        }
    }
    let leaf_numerator = algebra.combine(&numerator_terms, numerator_constant);
    algebra.check_zero(Check::LeafNumerator, &[], &leaf_numerator)?;
    let leaf_denominator = algebra.combine(&denominator_terms, denominator_constant);
    algebra.check_zero(Check::LeafDenominator, &[], &leaf_denominator)
}

fn four<H: Clone>(values: &[H]) -> Result<[H; 4], ArgumentError> {
    match values {
        [a, b, c, d] => Ok([a.clone(), b.clone(), c.clone(), d.clone()]),
        _ => Err(ArgumentError::Shape { label: "fractions", expected: 4, found: values.len() }),
    }
}
