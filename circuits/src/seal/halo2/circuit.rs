//! The table as a halo2 circuit (specs/protocol/halo2.md, step 4).

use std::borrow::Cow;

use ark_ff::AdditiveGroup;
use halo2_proofs::circuit::{Layouter, SimpleFloorPlanner, Value};
use halo2_proofs::plonk::{Advice, Circuit, Column, ConstraintSystem, Error, Fixed, Instance};
use halo2_proofs::poly::Rotation;
use pasta_curves::Fp;

use super::rows::{self, ArithmeticCells, SPONGE_COLUMNS, SPONGE_CONSTANTS, SpongeCells};
use super::table::{ADVICE, COEFFICIENTS, COPIED, Equal, FIXED, KIND, Table};
use crate::field::F;
use crate::pasta::to_pasta;
use crate::poseidon::WIDTH;

/// Degree of the constraints: a selector of degree two times an S-box.
pub const DEGREE: usize = 7;

/// A table for halo2 to commit to.
#[derive(Clone, Debug)]
pub struct SealCircuit<'a> {
    table: Cow<'a, Table>,
    /// Whether advice cells have values.
    known: bool,
}

impl<'a> SealCircuit<'a> {
    /// For a key: the table's values are ignored.
    pub fn shape(table: &'a Table) -> Self {
        Self { table: Cow::Borrowed(table), known: false }
    }

    /// For a proof.
    pub fn witness(table: &'a Table) -> Self {
        Self { table: Cow::Borrowed(table), known: true }
    }
}

/// The circuit's columns.
#[derive(Clone, Debug)]
pub struct Columns {
    advice: [Column<Advice>; ADVICE],
    fixed: [Column<Fixed>; FIXED],
    instance: Column<Instance>,
}

impl Circuit<Fp> for SealCircuit<'_> {
    type Config = Columns;
    type FloorPlanner = SimpleFloorPlanner;

    fn without_witnesses(&self) -> Self {
        Self { table: self.table.clone(), known: false }
    }

    fn configure(meta: &mut ConstraintSystem<Fp>) -> Columns {
        let columns = Columns {
            advice: core::array::from_fn(|_| meta.advice_column()),
            fixed: core::array::from_fn(|_| meta.fixed_column()),
            instance: meta.instance_column(),
        };
        // Five columns share one permutation product at this degree, and ten columns are copied.
        meta.set_minimum_degree(DEGREE);
        COPIED.iter().for_each(|column| meta.enable_equality(columns.advice[*column]));
        meta.enable_equality(columns.instance);
        meta.create_gate("row", |meta| {
            let row: Vec<_> =
                columns.advice.iter().map(|column| meta.query_advice(*column, Rotation::cur())).collect();
            let next = columns.advice[..WIDTH].iter();
            let next = next.map(|column| meta.query_advice(*column, Rotation::next())).collect();
            let fixed: Vec<_> = columns.fixed.iter().map(|column| meta.query_fixed(*column)).collect();
            let sponge = SpongeCells {
                row: row[..SPONGE_COLUMNS].to_vec(),
                next,
                constants: fixed[..SPONGE_CONSTANTS].to_vec(),
                kind: fixed[KIND].clone(),
            };
            let arithmetic = ArithmeticCells {
                operands: core::array::from_fn(|place| row[SPONGE_COLUMNS + place].clone()),
                coefficients: core::array::from_fn(|place| fixed[COEFFICIENTS + place].clone()),
            };
            rows::NAMES.into_iter().zip(rows::constraints(&sponge, &arithmetic))
        });
        columns
    }

    fn synthesize(&self, columns: Columns, mut layouter: impl Layouter<Fp>) -> Result<(), Error> {
        let table = &*self.table;
        let public = layouter.assign_region(
            || "table",
            |mut region| {
                let mut cells = Vec::with_capacity(ADVICE);
                for (column, values) in columns.advice.iter().zip(&table.advice) {
                    let mut assigned = Vec::with_capacity(values.len());
                    for (row, value) in values.iter().enumerate() {
                        let value = if self.known { Value::known(to_pasta(value)) } else { Value::unknown() };
                        assigned.push(region.assign_advice(|| "", *column, row, || value)?.cell());
                    }
                    cells.push(assigned);
                }
                for (column, values) in columns.fixed.iter().zip(&table.fixed) {
                    for (row, value) in values.iter().enumerate().filter(|(_, value)| **value != F::ZERO) {
                        region.assign_fixed(|| "", *column, row, || Value::known(to_pasta(value)))?;
                    }
                }
                let mut public = Vec::new();
                for copy in &table.copies {
                    let cell = cells[copy.cell.column][copy.cell.row];
                    match copy.equals {
                        Equal::Cell(other) => region.constrain_equal(cell, cells[other.column][other.row])?,
                        Equal::Instance(row) => public.push((cell, row)),
                    }
                }
                Ok(public)
            },
        )?;
        public
            .into_iter()
            .try_for_each(|(cell, row)| layouter.constrain_instance(cell, columns.instance, row))
    }
}
