//! The circuit's constraints, each written once: on halo2's expressions for the key, on field elements for tests
//! (specs/protocol/halo2.md, step 4).
//!
//! A row of the sponge is two full rounds or eight partial rounds of Poseidon; a permutation takes [`BLOCK_ROWS`] rows.
//! Its cells are the state `s` and the inputs `u` of S-boxes; every constraint has degree five in them.

use std::sync::OnceLock;

use ark_ff::{AdditiveGroup, Field};
use halo2_proofs::plonk::Expression;
use pasta_curves::Fp;

use crate::field::{F, Scalar, one_half};
use crate::pasta::to_pasta;
use crate::poseidon::{self, HALF_FULL_ROUNDS, PARTIAL_ROUNDS, RATE, State, WIDTH};

/// Partial rounds in one row.
pub const PARTIAL_IN_ROW: usize = 8;
/// Full rounds in one row.
pub const FULL_IN_ROW: usize = 2;
/// Rows of one permutation.
pub const BLOCK_ROWS: usize = 2 * HALF_FULL_ROUNDS / FULL_IN_ROW + PARTIAL_ROUNDS / PARTIAL_IN_ROW;
/// Advice columns of the sponge: the state, and the inputs of seven S-boxes.
pub const SPONGE_COLUMNS: usize = WIDTH + PARTIAL_IN_ROW - 1;
/// Where the message stands in a full row.
pub const MESSAGE: usize = WIDTH;
/// Where the second round's S-box inputs stand in a full row.
pub const SECOND: usize = MESSAGE + RATE;
/// Where the S-box inputs of all partial rounds but the first stand in a partial row.
pub const INPUTS: usize = WIDTH;
/// Fixed columns of the sponge's constants.
pub const SPONGE_CONSTANTS: usize = PARTIAL_IN_ROW;

/// A value that constraints are evaluated on.
pub trait Entry: Scalar {
    /// `by·self`.
    fn scaled(self, by: F) -> Self;
}

impl Entry for F {
    fn scaled(self, by: F) -> Self {
        self * by
    }
}

impl Scalar for Expression<Fp> {
    fn constant(value: F) -> Self {
        Expression::Constant(to_pasta(&value))
    }
}

impl Entry for Expression<Fp> {
    fn scaled(self, by: F) -> Self {
        self * to_pasta(&by)
    }
}

fn quintic<E: Entry>(x: E) -> E {
    let square = x.clone() * x.clone();
    square.clone() * square * x
}

/// `Σ row[i]·values[i]`.
fn inner<E: Entry>(row: &[F], values: &[E]) -> E {
    row.iter().zip(values).fold(E::zero(), |sum, (by, value)| sum + value.clone().scaled(*by))
}

/// What the sponge does in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Idle,
    /// Adds a message and applies two full rounds.
    Full,
    /// Applies eight partial rounds.
    Partial,
}

impl Kind {
    /// The entry of the fixed column that names the kind.
    pub fn code(self) -> F {
        match self {
            Kind::Idle => F::ZERO,
            Kind::Full => F::ONE,
            Kind::Partial => -F::ONE,
        }
    }

    /// A polynomial in the code that is 1 on the kind's rows and 0 on others.
    pub fn selector<E: Entry>(self, code: &E) -> E {
        let shift = if self == Kind::Full { E::one() } else { -E::one() };
        (code.clone() * (code.clone() + shift)).scaled(one_half())
    }
}

/// One row of a permutation.
#[derive(Clone, Debug)]
pub struct RowSchedule {
    /// What it does.
    pub kind: Kind,
    /// Its constants.
    pub constants: [F; SPONGE_CONSTANTS],
    /// What the state's cells lack of the state, so that one constant an S-box suffices.
    pub offset: State,
}

/// Coefficients of the partial row over the outputs of its S-boxes, then `s₁`, `s₂`.
#[derive(Debug)]
struct PartialForms {
    inputs: [[F; PARTIAL_IN_ROW + 2]; PARTIAL_IN_ROW],
    next: [[F; PARTIAL_IN_ROW + 2]; WIDTH],
}

fn partial_forms() -> &'static PartialForms {
    static FORMS: OnceLock<PartialForms> = OnceLock::new();
    FORMS.get_or_init(|| {
        let unit = |index: usize| {
            let mut form = [F::ZERO; PARTIAL_IN_ROW + 2];
            form[index] = F::ONE;
            form
        };
        // The state as forms; its first element never enters a form itself: the S-box's output does.
        let mut state = [[F::ZERO; PARTIAL_IN_ROW + 2], unit(PARTIAL_IN_ROW), unit(PARTIAL_IN_ROW + 1)];
        let mut inputs = [[F::ZERO; PARTIAL_IN_ROW + 2]; PARTIAL_IN_ROW];
        for (round, input) in inputs.iter_mut().enumerate() {
            *input = state[0];
            state[0] = unit(round);
            state = poseidon::constants().mds.map(|row| {
                let mut sum = [F::ZERO; PARTIAL_IN_ROW + 2];
                for (by, form) in row.iter().zip(&state) {
                    sum.iter_mut().zip(form).for_each(|(sum, c)| *sum += *by * c);
                }
                sum
            });
        }
        PartialForms { inputs, next: state }
    })
}

/// The rows of a permutation, in order.
pub fn schedule() -> &'static [RowSchedule; BLOCK_ROWS] {
    static SCHEDULE: OnceLock<[RowSchedule; BLOCK_ROWS]> = OnceLock::new();
    SCHEDULE.get_or_init(|| {
        let constants = poseidon::constants();
        let mut offset = [F::ZERO; WIDTH];
        let mut round = 0;
        core::array::from_fn(|_| {
            let mut row = RowSchedule { kind: Kind::Full, constants: [F::ZERO; SPONGE_CONSTANTS], offset };
            if poseidon::is_partial(round) {
                row.kind = Kind::Partial;
                for constant in &mut row.constants {
                    for (sum, c) in offset.iter_mut().zip(&constants.rounds[round]) {
                        *sum += c;
                    }
                    *constant = offset[0];
                    // The S-box's output is a variable of its own.
                    offset[0] = F::ZERO;
                    offset = poseidon::multiply(&constants.mds, &offset);
                    round += 1;
                }
            } else {
                let (first, second) = (&constants.rounds[round], &constants.rounds[round + 1]);
                for (constant, (c, shift)) in row.constants.iter_mut().zip(first.iter().zip(&offset)) {
                    *constant = *c + shift;
                }
                row.constants[WIDTH..2 * WIDTH]
                    .copy_from_slice(&poseidon::multiply(&constants.inverse, second));
                offset = [F::ZERO; WIDTH];
                round += FULL_IN_ROW;
            }
            row
        })
    })
}

/// The cells of a permutation, given the state before it and the message: [`BLOCK_ROWS`] rows. The state after it stands
/// in the row that follows.
pub fn fill(state: &State, message: &[F]) -> Vec<[F; SPONGE_COLUMNS]> {
    let mut state = *state;
    let mut round = 0;
    let mut rows = Vec::with_capacity(BLOCK_ROWS);
    for (index, row) in schedule().iter().enumerate() {
        let mut cells = [F::ZERO; SPONGE_COLUMNS];
        for (cell, (word, offset)) in cells.iter_mut().zip(state.iter().zip(&row.offset)) {
            *cell = *word - offset;
        }
        // The inputs of a round's S-boxes.
        let inputs = |state: &State, round: usize| {
            let constants = &poseidon::constants().rounds[round];
            [state[0] + constants[0], state[1] + constants[1], state[2] + constants[2]]
        };
        if row.kind == Kind::Full {
            if index == 0 {
                for (slot, value) in message.iter().enumerate().take(RATE) {
                    cells[MESSAGE + slot] = *value;
                    state[slot] += value;
                }
            }
            poseidon::apply_round(&mut state, round);
            cells[SECOND..SECOND + WIDTH].copy_from_slice(&inputs(&state, round + 1));
            poseidon::apply_round(&mut state, round + 1);
            round += FULL_IN_ROW;
        } else {
            for place in 0..PARTIAL_IN_ROW {
                if place > 0 {
                    cells[INPUTS + place - 1] = inputs(&state, round)[0];
                }
                poseidon::apply_round(&mut state, round);
                round += 1;
            }
        }
        rows.push(cells);
    }
    rows
}

/// What the sponge's constraints see of two adjacent rows.
#[derive(Clone, Debug)]
pub struct SpongeCells<E> {
    /// The row's cells.
    pub row: Vec<E>,
    /// The state's cells in the next row.
    pub next: Vec<E>,
    /// The row's constants.
    pub constants: Vec<E>,
    /// The row's kind.
    pub kind: E,
}

/// `y = s + message + k`, where `y⁵ = M⁻¹·(u − c)` and `u⁵ = M⁻¹·next`: both rounds, solved for the S-boxes' outputs.
fn full<E: Entry>(cells: &SpongeCells<E>) -> Vec<E> {
    let inverse = &poseidon::constants().inverse;
    let second = &cells.row[SECOND..SECOND + WIDTH];
    let mut constraints = Vec::new();
    for (word, row) in inverse.iter().enumerate() {
        let mut input = cells.row[word].clone() + cells.constants[word].clone();
        if word < RATE {
            input = input + cells.row[MESSAGE + word].clone();
        }
        constraints.push(quintic(input) - inner(row, second) + cells.constants[WIDTH + word].clone());
    }
    for (word, row) in inverse.iter().enumerate() {
        constraints.push(quintic(second[word].clone()) - inner(row, &cells.next));
    }
    constraints
}

/// Each S-box input, and each element of the next state, as a linear form in the outputs of the S-boxes before it.
fn partial<E: Entry>(cells: &SpongeCells<E>) -> Vec<E> {
    let forms = partial_forms();
    let inputs = &cells.row[INPUTS..];
    let mut outputs = vec![quintic(cells.row[0].clone() + cells.constants[0].clone())];
    outputs.extend(inputs.iter().cloned().map(quintic));
    let value = |form: &[F; PARTIAL_IN_ROW + 2], count: usize| {
        let (boxes, state) = form.split_at(PARTIAL_IN_ROW);
        inner(&boxes[..count], &outputs) + inner(state, &cells.row[1..WIDTH])
    };
    let mut constraints = Vec::new();
    for place in 1..PARTIAL_IN_ROW {
        let expected = value(&forms.inputs[place], place) + cells.constants[place].clone();
        constraints.push(expected - inputs[place - 1].clone());
    }
    for (form, next) in forms.next.iter().zip(&cells.next) {
        constraints.push(value(form, PARTIAL_IN_ROW) - next.clone());
    }
    constraints
}

/// What the arithmetic constraint sees.
#[derive(Clone, Debug)]
pub struct ArithmeticCells<E> {
    /// `a, b, c, d`.
    pub operands: [E; 4],
    /// Coefficients: product, left, right, third, constant, result.
    pub coefficients: [E; 6],
}

/// Number of constraints.
pub const CONSTRAINTS: usize = 2 * WIDTH + (PARTIAL_IN_ROW - 1) + WIDTH + 1;

/// Names of all constraints, in the order of [`constraints`].
pub const NAMES: [&str; CONSTRAINTS] = [
    "full row, first round, word 0",
    "full row, first round, word 1",
    "full row, first round, word 2",
    "full row, second round, word 0",
    "full row, second round, word 1",
    "full row, second round, word 2",
    "partial row, input 1",
    "partial row, input 2",
    "partial row, input 3",
    "partial row, input 4",
    "partial row, input 5",
    "partial row, input 6",
    "partial row, input 7",
    "partial row, next state, word 0",
    "partial row, next state, word 1",
    "partial row, next state, word 2",
    "arithmetic",
];

/// Every constraint of a row, each of which must be zero.
pub fn constraints<E: Entry>(sponge: &SpongeCells<E>, arithmetic: &ArithmeticCells<E>) -> Vec<E> {
    let mut all = Vec::new();
    for (kind, constraints) in [(Kind::Full, full(sponge)), (Kind::Partial, partial(sponge))] {
        let selector = kind.selector(&sponge.kind);
        all.extend(constraints.into_iter().map(|constraint| selector.clone() * constraint));
    }
    let [a, b, c, d] = arithmetic.operands.clone();
    let [product, left, right, third, constant, result] = arithmetic.coefficients.clone();
    all.push(product * a.clone() * b.clone() + left * a + right * b + third * c + result * d + constant);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sponge(rows: &[[F; SPONGE_COLUMNS]], next: &[F], index: usize) -> SpongeCells<F> {
        let row = &schedule()[index];
        SpongeCells {
            row: rows[index].to_vec(),
            next: next.to_vec(),
            constants: row.constants.to_vec(),
            kind: row.kind.code(),
        }
    }

    fn idle() -> ArithmeticCells<F> {
        ArithmeticCells { operands: [F::ZERO; 4], coefficients: [F::ZERO; 6] }
    }

    #[test]
    fn a_permutation_fills_its_rows_and_every_cell_of_them_is_held() {
        let state = [F::from(3u64), -F::from(5u64), F::from(7u64).pow([99])];
        let message = [F::from(11u64), F::from(13u64).pow([50])];
        let mut rows = fill(&state, &message);
        let mut after = state;
        after[0] += message[0];
        after[1] += message[1];
        poseidon::permute(&mut after);
        let mut last = [F::ZERO; SPONGE_COLUMNS];
        last[..WIDTH].copy_from_slice(&after);
        rows.push(last);
        for index in 0..BLOCK_ROWS {
            let at = |rows: &[[F; SPONGE_COLUMNS]]| {
                constraints(&sponge(rows, &rows[index + 1][..WIDTH], index), &idle())
            };
            assert!(at(&rows).iter().all(|value| *value == F::ZERO), "row {index}");
            // Changing any used cell of the row, or of the next state, breaks a constraint of this row.
            let used = if schedule()[index].kind == Kind::Full { SECOND + WIDTH } else { SPONGE_COLUMNS };
            for column in 0..used {
                let mut changed = rows.clone();
                changed[index][column] += F::ONE;
                assert!(at(&changed).iter().any(|value| *value != F::ZERO), "row {index}, column {column}");
            }
            for column in 0..WIDTH {
                let mut changed = rows.clone();
                changed[index + 1][column] += F::ONE;
                assert!(at(&changed).iter().any(|value| *value != F::ZERO), "next of {index}, {column}");
            }
        }
    }

    #[test]
    fn kinds_select_themselves_alone() {
        for kind in [Kind::Full, Kind::Partial] {
            for row in [Kind::Idle, Kind::Full, Kind::Partial] {
                let expected = if row == kind { F::ONE } else { F::ZERO };
                assert_eq!(kind.selector(&row.code()), expected);
            }
        }
        let zero = SpongeCells {
            row: vec![F::ONE; SPONGE_COLUMNS],
            next: vec![F::ONE; WIDTH],
            constants: vec![F::ONE; SPONGE_CONSTANTS],
            kind: F::ZERO,
        };
        assert_eq!(constraints(&zero, &idle()).len(), NAMES.len());
    }
}
