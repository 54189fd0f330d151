//! Claims: what one piece of the argument leaves for another to prove.

use ark_ff::Field;

use crate::algebra::{Algebra, ArgumentError};
use crate::field::{F, Scalar, power_of_two};
use crate::layout::{Layout, Tensor};
use crate::program::Program;

/// A polynomial that a claim speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A block of the stacked witness.
    Tensor(Tensor),
    /// The whole stacked witness.
    Stack,
    /// The chosen dataset rows, over (step, example, position in the padded row).
    Data,
    /// A tensor of the base model: weights over (input, output) or biases over (output).
    Weights {
        /// Layer, from 1.
        layer: usize,
        /// Bias or weight matrix.
        is_bias: bool,
    },
    /// A tensor of the update.
    Update {
        /// Layer, from 1.
        layer: usize,
        /// Bias or weight matrix.
        is_bias: bool,
    },
    /// The second column of the exponential table.
    ExponentialTable,
    /// The mask: one committed row of random entries.
    Mask,
    /// `A_l = g·Q` of a hidden ReLU layer; not committed, proved by the gates.
    GatedActivation(usize),
    /// `Δ_l = g·P` of a hidden ReLU layer; not committed, proved by the gates.
    GatedError(usize),
}

/// A polynomial and the point at which its value is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<S> {
    /// The polynomial.
    pub target: Target,
    /// The point, in the polynomial's own coordinates.
    pub point: Vec<S>,
}

/// A query with the value that the prover sent.
pub struct Claim<A: Algebra> {
    /// What is claimed.
    pub query: Query<A::Public>,
    /// The value.
    pub value: A::Hidden,
}

/// `A_l` or `Δ_l`, whichever way a program represents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virtual {
    /// `A_l`, `0 ≤ l < L`.
    Activation(usize),
    /// `Δ_l`, `1 ≤ l ≤ L`.
    Error(usize),
}

impl Virtual {
    /// The linear combination of claimable polynomials that it is.
    pub fn terms(self, layout: &Layout, program: &Program) -> Vec<(F, Target)> {
        match self {
            Virtual::Activation(0) => vec![(F::ONE, Target::Tensor(Tensor::Input))],
            Virtual::Activation(layer) if layout.has_signs() => {
                vec![(F::ONE, Target::GatedActivation(layer))]
            }
            Virtual::Activation(layer) => vec![(F::ONE, Target::Tensor(Tensor::PreActivation(layer)))],
            Virtual::Error(layer) if layer == layout.depth() => {
                if layout.is_softmax() {
                    vec![
                        (F::ONE, Target::Tensor(Tensor::Probability)),
                        (-power_of_two(program.error_bits() as usize), Target::Tensor(Tensor::Label)),
                    ]
                } else {
                    let scale =
                        power_of_two(program.error_bits().saturating_sub(program.activation_bits()) as usize);
                    vec![
                        (scale, Target::Tensor(Tensor::PreActivation(layer))),
                        (-scale, Target::Tensor(Tensor::Label)),
                    ]
                }
            }
            Virtual::Error(layer) if layout.has_signs() => vec![(F::ONE, Target::GatedError(layer))],
            Virtual::Error(layer) => vec![(F::ONE, Target::Tensor(Tensor::BackSum(layer)))],
        }
    }

    /// Appends the queries of this virtual polynomial at a point.
    pub fn push_queries<S: Scalar>(
        self,
        layout: &Layout,
        program: &Program,
        point: &[S],
        queries: &mut Vec<Query<S>>,
    ) {
        for (_, target) in self.terms(layout, program) {
            queries.push(Query { target, point: point.to_vec() });
        }
    }
}

/// Reads the values of one message in order.
pub struct Cursor<'a, A: Algebra> {
    values: core::slice::Iter<'a, A::Hidden>,
    label: &'static str,
}

impl<'a, A: Algebra> Cursor<'a, A> {
    /// Reads `values` from the first.
    pub fn new(label: &'static str, values: &'a [A::Hidden]) -> Self {
        Self { values: values.iter(), label }
    }

    /// The next value.
    pub fn next_value(&mut self) -> Result<&'a A::Hidden, ArgumentError> {
        self.values.next().ok_or(ArgumentError::Shape { label: self.label, expected: 1, found: 0 })
    }

    /// The next value, left in place.
    pub fn peek(&self) -> Option<&'a A::Hidden> {
        self.values.as_slice().first()
    }

    /// The next virtual value, put together from its terms.
    pub fn next_virtual(
        &mut self,
        algebra: &A,
        layout: &Layout,
        program: &Program,
        virtual_polynomial: Virtual,
    ) -> Result<A::Hidden, ArgumentError> {
        let mut sum = algebra.publish(A::Public::zero());
        for (coefficient, _) in virtual_polynomial.terms(layout, program) {
            let value = self.next_value()?;
            sum = algebra.add(sum, &algebra.scale(value, &A::Public::constant(coefficient)));
        }
        Ok(sum)
    }
}

/// Receives one message of query values and `extra` further values; records the claims and returns all values in order.
pub fn receive_claims<A: Algebra>(
    algebra: &mut A,
    label: &'static str,
    queries: Vec<Query<A::Public>>,
    extra: usize,
    claims: &mut Vec<Claim<A>>,
) -> Result<Vec<A::Hidden>, ArgumentError> {
    let values = algebra.receive(label, queries.len() + extra)?;
    for (query, value) in queries.into_iter().zip(&values) {
        claims.push(Claim { query, value: value.clone() });
    }
    Ok(values)
}

/// Joins coordinates of a (rows, units) point.
pub fn join<S: Clone>(high: &[S], low: &[S]) -> Vec<S> {
    high.iter().chain(low).cloned().collect()
}
