//! The circuit's table: every cell, constant and copy of a plan, at its place (specs/protocol/halo2.md, step 4).
//!
//! The layout is this function and nothing else: sponge block `b` takes rows `11·b …` of the sponge's columns, gate `g`
//! takes row `g` of the arithmetic columns, side by side. halo2 is handed the finished table.

use ark_ff::AdditiveGroup;

use super::plan::{Gate, Node, Plan, Source};
use super::rows::{
    self, ArithmeticCells, BLOCK_ROWS, Kind, MESSAGE, SPONGE_COLUMNS, SPONGE_CONSTANTS, SpongeCells,
};
use crate::field::F;
use crate::poseidon::{self, RATE, WIDTH};

/// Advice columns: the sponge's, then `a, b, c, d`.
pub const ADVICE: usize = SPONGE_COLUMNS + 4;
/// Fixed columns: the sponge's constants, its row kind, then the gate's coefficients.
pub const FIXED: usize = SPONGE_CONSTANTS + 7;
/// The column of the row kind.
pub const KIND: usize = SPONGE_CONSTANTS;
/// The first column of the gate's coefficients.
pub const COEFFICIENTS: usize = KIND + 1;
/// Columns whose cells may be copied: state, message, `a, b, c, d`.
pub const COPIED: [usize; WIDTH + RATE + 4] = [
    0,
    1,
    2,
    MESSAGE,
    MESSAGE + 1,
    SPONGE_COLUMNS,
    SPONGE_COLUMNS + 1,
    SPONGE_COLUMNS + 2,
    SPONGE_COLUMNS + 3,
];

/// A cell of an advice column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The column.
    pub column: usize,
    /// The row.
    pub row: usize,
}

/// Why two cells are held equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopySite {
    /// An element of the sponge's first state is its constant.
    InitialState(usize),
    /// A place of the rate that carries no message is zero.
    EmptyMessage,
    /// An operand of a gate is the node that it names.
    Operand(usize),
    /// A public value is the node that it names.
    Instance,
}

/// Two equal cells, or a cell and a row of the instance column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Why.
    pub site: CopySite,
    /// The cell that must follow.
    pub cell: Cell,
    /// What it equals.
    pub equals: Equal,
}

/// The other side of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    /// A cell.
    Cell(Cell),
    /// A row of the instance column.
    Instance(usize),
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Rows in use.
    pub rows: usize,
    /// Advice columns, each `rows` long.
    pub advice: Vec<Vec<F>>,
    /// Fixed columns, each `rows` long.
    pub fixed: Vec<Vec<F>>,
    /// All copies.
    pub copies: Vec<Copy>,
    /// The instance column.
    pub instance: Vec<F>,
}

/// Rows of the sponge's columns for a plan: its blocks, and the state after the last.
fn sponge_rows(plan: &Plan) -> usize {
    plan.blocks.len() * BLOCK_ROWS + 1
}

/// Rows of the arithmetic columns: the gates, and the sponge's initial constants.
fn arithmetic_rows(plan: &Plan) -> usize {
    plan.gates.len() + WIDTH
}

/// Rows that a plan takes.
pub fn rows(plan: &Plan) -> usize {
    sponge_rows(plan).max(arithmetic_rows(plan))
}

/// The first cell of a node.
fn home(plan: &Plan, node: Node) -> Cell {
    match plan.sources[node as usize] {
        Source::Message { block, slot } => Cell { column: MESSAGE + slot, row: block * BLOCK_ROWS },
        // The state after a block opens the next one.
        Source::Challenge { block, slot } => Cell { column: slot, row: (block + 1) * BLOCK_ROWS },
        Source::Gate(index) => Cell { column: SPONGE_COLUMNS + 3, row: index },
    }
}

impl Table {
    /// Lays a plan out, each of whose messages must have been absorbed.
    pub fn new(plan: &Plan) -> Self {
        let absorbed = |source: &Source| !matches!(source, Source::Message { block: usize::MAX, .. });
        assert!(plan.sources.iter().all(absorbed), "every message of a plan is absorbed");
        let rows = rows(plan);
        let mut table = Self {
            rows,
            advice: vec![vec![F::ZERO; rows]; ADVICE],
            fixed: vec![vec![F::ZERO; rows]; FIXED],
            copies: Vec::new(),
            instance: plan.exposed.iter().map(|node| plan.values[*node as usize]).collect(),
        };
        for (index, gate) in plan.gates.iter().enumerate() {
            table.gate(plan, index, gate);
        }
        table.sponge(plan);
        for (row, node) in plan.exposed.iter().enumerate() {
            let equals = Equal::Instance(row);
            table.copies.push(Copy { site: CopySite::Instance, cell: home(plan, *node), equals });
        }
        table
    }

    fn copy(&mut self, site: CopySite, cell: Cell, equals: Cell) {
        self.copies.push(Copy { site, cell, equals: Equal::Cell(equals) });
    }

    fn gate(&mut self, plan: &Plan, row: usize, gate: &Gate) {
        for (place, operand) in gate.operands.iter().enumerate() {
            let Some(node) = operand else { continue };
            let cell = Cell { column: SPONGE_COLUMNS + place, row };
            self.advice[cell.column][row] = plan.values[*node as usize];
            self.copy(CopySite::Operand(place), cell, home(plan, *node));
        }
        let [left, right, third] = gate.linear;
        let mut coefficients = [gate.product, left, right, third, gate.constant, F::ZERO];
        if let Some(node) = gate.result {
            self.advice[SPONGE_COLUMNS + 3][row] = plan.values[node as usize];
            coefficients[5] = -F::from(1u64);
        }
        for (column, coefficient) in self.fixed[COEFFICIENTS..].iter_mut().zip(coefficients) {
            column[row] = coefficient;
        }
    }

    /// Sponge rows, and the constants that they start from below the gates: `0, 0` and the protocol's name.
    fn sponge(&mut self, plan: &Plan) {
        let initial = poseidon::initial_state();
        let first_constant = plan.gates.len();
        for (word, value) in initial.iter().enumerate() {
            let constant = Cell { column: SPONGE_COLUMNS + 3, row: first_constant + word };
            self.advice[constant.column][constant.row] = *value;
            self.fixed[COEFFICIENTS + 4][constant.row] = *value;
            self.fixed[COEFFICIENTS + 5][constant.row] = -F::from(1u64);
            self.copy(CopySite::InitialState(word), Cell { column: word, row: 0 }, constant);
        }
        let zero = Cell { column: SPONGE_COLUMNS + 3, row: first_constant };
        for (index, (block, state)) in plan.blocks.iter().zip(&plan.states).enumerate() {
            let message: Vec<F> = block.message.iter().map(|node| plan.values[*node as usize]).collect();
            let cells = rows::fill(state, &message);
            for (place, (cells, schedule)) in cells.iter().zip(rows::schedule()).enumerate() {
                let row = index * BLOCK_ROWS + place;
                for (column, value) in self.advice.iter_mut().zip(cells) {
                    column[row] = *value;
                }
                for (column, constant) in self.fixed.iter_mut().zip(&schedule.constants) {
                    column[row] = *constant;
                }
                self.fixed[KIND][row] = schedule.kind.code();
                if schedule.kind == Kind::Full {
                    let carried = if place == 0 { block.message.len() } else { 0 };
                    for slot in carried..RATE {
                        self.copy(CopySite::EmptyMessage, Cell { column: MESSAGE + slot, row }, zero);
                    }
                }
            }
        }
        let last = plan.blocks.len() * BLOCK_ROWS;
        if let Some(state) = plan.states.last() {
            for (column, value) in self.advice.iter_mut().zip(state) {
                column[last] = *value;
            }
        }
    }

    fn advice_at(&self, column: usize, row: usize) -> F {
        self.advice.get(column).and_then(|column| column.get(row)).copied().unwrap_or_default()
    }

    /// The values of a row's constraints, in the order of [`rows::NAMES`].
    pub fn constraints(&self, row: usize) -> Vec<F> {
        let fixed = |column: usize| self.fixed[column][row];
        let sponge = SpongeCells {
            row: (0..SPONGE_COLUMNS).map(|column| self.advice_at(column, row)).collect(),
            next: (0..WIDTH).map(|column| self.advice_at(column, row + 1)).collect(),
            constants: (0..SPONGE_CONSTANTS).map(fixed).collect(),
            kind: fixed(KIND),
        };
        let arithmetic = ArithmeticCells {
            operands: core::array::from_fn(|place| self.advice_at(SPONGE_COLUMNS + place, row)),
            coefficients: core::array::from_fn(|place| fixed(COEFFICIENTS + place)),
        };
        rows::constraints(&sponge, &arithmetic)
    }

    /// Whether a copy holds.
    pub fn copy_holds(&self, copy: &Copy) -> bool {
        let value = self.advice_at(copy.cell.column, copy.cell.row);
        match copy.equals {
            Equal::Cell(cell) => value == self.advice_at(cell.column, cell.row),
            Equal::Instance(row) => Some(&value) == self.instance.get(row),
        }
    }
}
