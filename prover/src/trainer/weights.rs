//! One layer's weights during a run, and the exact products with them.
//!
//! A sum of integers in `f64` is exact, in any order, while every partial sum stays below `2^53`. Each product
//! here first shows that from magnitudes that it knows, and otherwise takes a slower exact way: the weights in a
//! high and a low part, or 128-bit integers.
use ndarray::Array2;
use rayon::prelude::*;

use super::operand::{Bounds, Operand};
use super::products::{matrix, multiply};

/// `f64` holds every integer below this magnitude.
const EXACT: u64 = 1 << 53;

/// Rows stacked into one update product; bounds the scratch memory when many steps enter one update.
pub(super) const STACKED_ROWS: usize = 1024;

/// The sums of a product: exact integers.
pub(super) enum Sums {
    /// Below `2^53`, also after the constants are added that the caller announced.
    Float(Array2<f64>),
    /// Row-major, any magnitude.
    Wide(Vec<i128>),
}

/// Weights handed to a thread at once by the passes over all of them.
const BLOCK: usize = 1 << 16;

/// A weight that no longer fits 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WeightOverflow {
    /// The value that does not fit.
    pub value: i128,
}

/// Which side of the weight matrix a product contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// `A·W`, over the inputs.
    Inputs,
    /// `Δ·Wᵀ`, over the outputs.
    Outputs,
}

enum Store {
    /// Integers below `2^53` in magnitude.
    Float(Array2<f64>),
    /// Weights, or sums on the way to them, that `f64` might not hold.
    Integer(Array2<i64>),
}

/// One layer's weights, `inputs × outputs`.
pub(super) struct Weights {
    store: Store,
    bounds: Bounds,
}

impl Weights {
    /// From row-major integers; `values.len()` is `inputs·outputs`.
    pub fn new(inputs: usize, outputs: usize, values: &[i64]) -> Weights {
        let bounds = bounds_of(values, outputs, |weight| weight.unsigned_abs());
        let store = if bounds.entry < EXACT {
            Store::Float(matrix(inputs, outputs, values.par_iter().map(|w| *w as f64).collect()))
        } else {
            Store::Integer(matrix(inputs, outputs, values.to_vec()))
        };
        Weights { store, bounds }
    }

    /// All zero.
    pub fn zeros(inputs: usize, outputs: usize) -> Weights {
        Weights { store: Store::Float(Array2::zeros((inputs, outputs))), bounds: Bounds::default() }
    }

    /// Rows and columns: inputs and outputs.
    pub fn dim(&self) -> (usize, usize) {
        match &self.store {
            Store::Float(weights) => weights.dim(),
            Store::Integer(weights) => weights.dim(),
        }
    }

    /// `map(index, weight)` of every weight, row-major; the error of the first index that has one.
    pub fn try_map(
        &self,
        map: impl Fn(usize, i64) -> Result<i64, i128> + Sync,
    ) -> Result<Vec<i64>, WeightOverflow> {
        match &self.store {
            Store::Float(weights) => try_map(row_major(weights), |index, weight| map(index, *weight as i64)),
            Store::Integer(weights) => try_map(row_major(weights), |index, weight| map(index, *weight)),
        }
    }

    /// `operand·W` or `operand·Wᵀ`, exactly. `constants` bounds the magnitude of what the caller adds to a sum; sums
    /// that come back as floats stay exact with it.
    pub fn product(&mut self, operand: &Operand, side: Side, constants: u64) -> Sums {
        let fits = |sum: u64| {
            operand
                .largest()
                .checked_mul(sum)
                .and_then(|sum| sum.checked_add(constants))
                .is_some_and(|s| s < EXACT)
        };
        // Bounds grow with every update; only when they no longer suffice is a pass over the weights worth it.
        if !fits(self.sum_bound(side)) {
            self.refresh_bounds();
        }
        if fits(self.sum_bound(side))
            && let Store::Float(weights) = &self.store
        {
            return Sums::Float(float_product(&operand.values, weights, side));
        }
        match self.split_shift(operand, side) {
            Some(shift) => self.split_product(operand, side, shift),
            None => self.wide_product(operand, side),
        }
    }

    /// `W ← W − Σ coefficient·activationsᵀ·errors`, exactly.
    pub fn subtract(&mut self, terms: &[(i64, &Operand, &Operand)]) -> Result<(), WeightOverflow> {
        let gradients: Vec<Bounds> = terms.iter().map(|(_, a, d)| Bounds::of_gradient(a, d)).collect();
        let grown = |start: Bounds| {
            terms
                .iter()
                .zip(&gradients)
                .fold(start, |sum, ((c, _, _), bounds)| sum.plus_multiple(*c, *bounds))
        };
        if grown(self.bounds).entry >= EXACT {
            self.refresh_bounds();
        }
        let bounds = grown(self.bounds);
        if bounds.entry >= EXACT {
            self.make_integer();
        }
        match &mut self.store {
            Store::Float(weights) => subtract_float(weights, terms),
            Store::Integer(weights) => subtract_integer(weights, terms, &gradients)?,
        }
        self.bounds = bounds;
        Ok(())
    }

    fn sum_bound(&self, side: Side) -> u64 {
        match side {
            Side::Inputs => self.bounds.column,
            Side::Outputs => self.bounds.row,
        }
    }

    fn refresh_bounds(&mut self) {
        let (_, outputs) = self.dim();
        self.bounds = match &self.store {
            Store::Float(weights) => bounds_of(row_major(weights), outputs, |weight| weight.abs() as u64),
            Store::Integer(weights) => bounds_of(row_major(weights), outputs, |weight| weight.unsigned_abs()),
        };
    }

    fn make_integer(&mut self) {
        if let Store::Float(weights) = &self.store {
            self.store = Store::Integer(weights.mapv(|w| w as i64));
        }
    }

    /// The low part's width `s` for which both products of `W = W_hi·2^s + W_lo`, `0 ≤ W_lo < 2^s`, are exact.
    fn split_shift(&self, operand: &Operand, side: Side) -> Option<u32> {
        let (inputs, outputs) = self.dim();
        let length = match side {
            Side::Inputs => inputs,
            Side::Outputs => outputs,
        } as u64;
        let sum = self.sum_bound(side);
        if sum == u64::MAX {
            return None;
        }
        let low_sum = operand.largest().max(1).checked_mul(length)?;
        let shift = (EXACT / low_sum).checked_ilog2()?.min(52);
        // |W_hi| ≤ |W|/2^s + 1, so a sum of high parts exceeds the shifted sum by at most the length.
        let high_sum = (sum >> shift).checked_add(length + 1)?.checked_mul(operand.largest())?;
        (shift > 0 && high_sum < EXACT).then_some(shift)
    }

    fn split_product(&self, operand: &Operand, side: Side, shift: u32) -> Sums {
        let part = |map: fn(i64, u32) -> i64| -> Array2<f64> {
            match &self.store {
                Store::Float(weights) => weights.mapv(|w| map(w as i64, shift) as f64),
                Store::Integer(weights) => weights.mapv(|w| map(w, shift) as f64),
            }
        };
        let high = float_product(&operand.values, &part(|w, shift| w >> shift), side);
        let low = float_product(&operand.values, &part(|w, shift| w & ((1 << shift) - 1)), side);
        let join = |(high, low): (&f64, &f64)| ((*high as i128) << shift) + *low as i128;
        Sums::Wide(high.iter().zip(&low).map(join).collect())
    }

    fn wide_product(&self, operand: &Operand, side: Side) -> Sums {
        let integers;
        let weights = match &self.store {
            Store::Float(weights) => {
                integers = weights.mapv(|w| w as i64);
                &integers
            }
            Store::Integer(weights) => weights,
        };
        let weights = match side {
            Side::Inputs => weights.view(),
            Side::Outputs => weights.t(),
        };
        let rows: Vec<Vec<i128>> = (0..operand.values.nrows())
            .into_par_iter()
            .map(|row| {
                let mut sums = vec![0_i128; weights.ncols()];
                for (value, weight_row) in operand.values.row(row).iter().zip(weights.outer_iter()) {
                    let value = *value as i128;
                    for (sum, weight) in sums.iter_mut().zip(weight_row) {
                        *sum += value * i128::from(*weight);
                    }
                }
                sums
            })
            .collect();
        Sums::Wide(rows.concat())
    }
}

fn row_major<T>(weights: &Array2<T>) -> &[T] {
    weights.as_slice().expect("weights are kept in row-major order")
}

fn try_map<T: Sync>(
    weights: &[T],
    map: impl Fn(usize, &T) -> Result<i64, i128> + Sync,
) -> Result<Vec<i64>, WeightOverflow> {
    let mut values = vec![0_i64; weights.len()];
    let block = |(number, (values, weights)): (usize, (&mut [i64], &[T]))| {
        for (place, (value, weight)) in values.iter_mut().zip(weights).enumerate() {
            let index = number * BLOCK + place;
            match map(index, weight) {
                Ok(mapped) => *value = mapped,
                Err(wide) => return Some((index, wide)),
            }
        }
        None
    };
    let failed = values
        .par_chunks_mut(BLOCK)
        .zip(weights.par_chunks(BLOCK))
        .enumerate()
        .filter_map(block)
        .min_by_key(|(index, _)| *index);
    match failed {
        Some((_, value)) => Err(WeightOverflow { value }),
        None => Ok(values),
    }
}

fn bounds_of<T: Sync>(weights: &[T], outputs: usize, magnitude: impl Fn(&T) -> u64 + Sync) -> Bounds {
    let of_block = |weights: &[T]| {
        let mut columns = vec![0_u64; outputs];
        let mut bounds = Bounds::default();
        for row in weights.chunks_exact(outputs) {
            let mut row_sum = 0_u64;
            for (weight, column) in row.iter().zip(&mut columns) {
                let magnitude = magnitude(weight);
                bounds.entry = bounds.entry.max(magnitude);
                *column = column.saturating_add(magnitude);
                row_sum = row_sum.saturating_add(magnitude);
            }
            bounds.row = bounds.row.max(row_sum);
        }
        (bounds, columns)
    };
    let empty = || (Bounds::default(), vec![0_u64; outputs]);
    let (mut bounds, columns) = weights.par_chunks(outputs * (BLOCK / outputs).max(1)).map(of_block).reduce(
        empty,
        |(left, mut columns), (right, others)| {
            columns.iter_mut().zip(others).for_each(|(column, other)| *column = column.saturating_add(other));
            let bounds =
                Bounds { entry: left.entry.max(right.entry), row: left.row.max(right.row), column: 0 };
            (bounds, columns)
        },
    );
    bounds.column = columns.into_iter().max().unwrap_or(0);
    bounds
}

fn float_product(operand: &Array2<f64>, weights: &Array2<f64>, side: Side) -> Array2<f64> {
    let weights = match side {
        Side::Inputs => weights.view(),
        Side::Outputs => weights.t(),
    };
    let mut sums = Array2::zeros((operand.nrows(), weights.ncols()));
    multiply(1.0, operand.view(), weights, 0.0, sums.view_mut());
    sums
}

/// The caller has shown that no entry and no partial sum reaches `2^53`.
fn subtract_float(weights: &mut Array2<f64>, terms: &[(i64, &Operand, &Operand)]) {
    let (inputs, outputs) = weights.dim();
    for terms in stacks(terms) {
        if let [(coefficient, activations, errors)] = terms {
            let scaled = errors.values.mapv(|error| error * *coefficient as f64);
            multiply(-1.0, activations.values.t(), scaled.view(), 1.0, weights.view_mut());
            continue;
        }
        let rows = terms.iter().map(|(_, activations, _)| activations.values.nrows()).sum();
        let mut left = Array2::zeros((rows, inputs));
        let mut right = Array2::zeros((rows, outputs));
        let mut start = 0;
        for (coefficient, activations, errors) in terms {
            let range = start..start + activations.values.nrows();
            start = range.end;
            left.slice_mut(ndarray::s![range.clone(), ..]).assign(&activations.values);
            let scaled = errors.values.mapv(|error| error * *coefficient as f64);
            right.slice_mut(ndarray::s![range, ..]).assign(&scaled);
        }
        multiply(-1.0, left.t(), right.view(), 1.0, weights.view_mut());
    }
}

/// Consecutive terms that together have at most [`STACKED_ROWS`] rows, at least one at a time.
fn stacks<'a, 'b>(
    terms: &'a [(i64, &'b Operand, &'b Operand)],
) -> impl Iterator<Item = &'a [(i64, &'b Operand, &'b Operand)]> {
    let rows = terms.first().map_or(1, |(_, activations, _)| activations.values.nrows()).max(1);
    terms.chunks((STACKED_ROWS / rows).max(1))
}

/// Sums all terms before it looks at the result, so that the order of terms cannot decide whether a weight fits.
fn subtract_integer(
    weights: &mut Array2<i64>,
    terms: &[(i64, &Operand, &Operand)],
    gradients: &[Bounds],
) -> Result<(), WeightOverflow> {
    let (inputs, outputs) = weights.dim();
    let mut totals: Vec<i128> = weights.iter().map(|weight| i128::from(*weight)).collect();
    for ((coefficient, activations, errors), gradient) in terms.iter().zip(gradients) {
        let coefficient = i128::from(*coefficient);
        if gradient.entry < EXACT {
            let mut product = Array2::zeros((inputs, outputs));
            multiply(1.0, activations.values.t(), errors.values.view(), 0.0, product.view_mut());
            totals.iter_mut().zip(&product).for_each(|(total, sum)| *total -= coefficient * *sum as i128);
            continue;
        }
        for (activation_row, error_row) in activations.values.outer_iter().zip(errors.values.outer_iter()) {
            for (activation, totals) in activation_row.iter().zip(totals.chunks_exact_mut(outputs)) {
                let factor = coefficient * *activation as i128;
                totals.iter_mut().zip(error_row).for_each(|(total, error)| *total -= factor * *error as i128);
            }
        }
    }
    for (weight, total) in weights.iter_mut().zip(totals) {
        *weight = i64::try_from(total).map_err(|_| WeightOverflow { value: total })?;
    }
    Ok(())
}
