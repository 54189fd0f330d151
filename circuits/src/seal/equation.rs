//! Group equations `Σ scalarᵢ·pointᵢ = 0`, collected so that a whole proof is one multi-exponentiation.

use ark_ff::Zero;

use crate::curve::{Generators, Point};
use crate::field::F;

/// A weighted sum of group equations. The weights must be drawn after everything in the equations is fixed.
#[derive(Clone, Debug)]
pub struct GroupEquation {
    /// Coefficients of the row generators.
    pub rows: Vec<F>,
    /// Coefficients of the message generators.
    pub messages: Vec<F>,
    /// Coefficient of the value generator.
    pub value: F,
    /// Coefficient of the blinding generator.
    pub blinding: F,
    /// Other points.
    pub scalars: Vec<F>,
    /// Their bases.
    pub points: Vec<Point>,
}

impl GroupEquation {
    /// The empty equation over the first `rows` row generators and the first `messages` message generators.
    pub fn new(rows: usize, messages: usize) -> Self {
        Self {
            rows: vec![F::zero(); rows],
            messages: vec![F::zero(); messages],
            value: F::zero(),
            blinding: F::zero(),
            scalars: Vec::new(),
            points: Vec::new(),
        }
    }

    /// Adds `scalar·point`.
    pub fn add(&mut self, scalar: F, point: Point) {
        self.scalars.push(scalar);
        self.points.push(point);
    }

    /// Adds `weight` times another equation.
    pub fn add_scaled(&mut self, weight: &F, other: &Self) {
        let add = |sums: &mut Vec<F>, terms: &[F]| {
            sums.resize(sums.len().max(terms.len()), F::zero());
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += *weight * term);
        };
        add(&mut self.rows, &other.rows);
        add(&mut self.messages, &other.messages);
        self.value += *weight * other.value;
        self.blinding += *weight * other.blinding;
        self.scalars.extend(other.scalars.iter().map(|scalar| *weight * scalar));
        self.points.extend_from_slice(&other.points);
    }

    /// All bases and scalars, the generators' first.
    pub fn terms(&self, generators: &Generators) -> (Vec<Point>, Vec<F>) {
        let mut bases = Vec::with_capacity(self.rows.len() + self.messages.len() + self.points.len() + 2);
        bases.extend(generators.rows().iter().take(self.rows.len()));
        bases.extend(generators.messages().iter().take(self.messages.len()));
        bases.extend([generators.value(), generators.blinding()]);
        bases.extend_from_slice(&self.points);
        let mut scalars = Vec::with_capacity(bases.len());
        scalars.extend_from_slice(&self.rows);
        scalars.extend_from_slice(&self.messages);
        scalars.extend([self.value, self.blinding]);
        scalars.extend_from_slice(&self.scalars);
        (bases, scalars)
    }
}
