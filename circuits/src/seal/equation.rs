//! Group equations `Σ scalarᵢ·pointᵢ = 0`, collected so that a whole proof is one multi-exponentiation.

use ark_ff::Zero;

use crate::curve::{Generators, Point, multi_exponentiation};
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
    /// The empty equation over `generators`.
    pub fn new(generators: &Generators) -> Self {
        Self {
            rows: vec![F::zero(); generators.rows().len()],
            messages: vec![F::zero(); generators.messages().len()],
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

    /// All bases and scalars, the generators' first.
    pub fn terms(&self, generators: &Generators) -> (Vec<Point>, Vec<F>) {
        let mut bases = Vec::with_capacity(self.rows.len() + self.messages.len() + self.points.len() + 2);
        bases.extend_from_slice(generators.rows());
        bases.extend_from_slice(generators.messages());
        bases.extend([generators.value(), generators.blinding()]);
        bases.extend_from_slice(&self.points);
        let mut scalars = Vec::with_capacity(bases.len());
        scalars.extend_from_slice(&self.rows);
        scalars.extend_from_slice(&self.messages);
        scalars.extend([self.value, self.blinding]);
        scalars.extend_from_slice(&self.scalars);
        (bases, scalars)
    }

    /// Whether the sum is the identity.
    pub fn holds(&self, generators: &Generators) -> bool {
        let (bases, scalars) = self.terms(generators);
        multi_exponentiation(&bases, &scalars).is_zero()
    }
}
