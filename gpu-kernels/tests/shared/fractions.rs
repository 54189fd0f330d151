//! The lookup's fractions, from the definition of the leaves (specs/protocol/lookup.md).

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Leaf, Table, Tensor};

use crate::instance::Instance;

/// Numerators and denominators of all leaves.
pub fn leaves(instance: &Instance, challenges: &LookupChallenges<F>) -> [Vec<F>; 2] {
    let LookupChallenges { alpha, beta, gamma } = challenges;
    let layout = &instance.layout;
    let triple = |first: i64, second: i64, identifier: u64| {
        *alpha - (F::from(first) + *gamma * F::from(second) + *beta * F::from(identifier))
    };
    let mut numerators = vec![F::ONE; instance.stack.len()];
    let mut denominators: Vec<F> = instance.stack.iter().map(|value| triple((*value).into(), 0, 0)).collect();
    let at = |tensor: Tensor, place: usize| {
        i64::from(instance.stack[layout.block(tensor).unwrap().offset + place])
    };
    for block in &layout.blocks {
        for position in block.range() {
            let place = position - block.offset;
            let value = i64::from(instance.stack[position]);
            let (row, unit) = (place >> block.unit_variables, place & ((1 << block.unit_variables) - 1));
            let (step, example) =
                (row >> layout.example_variables, row & ((1 << layout.example_variables) - 1));
            let is_real = unit < block.units && step < layout.steps && example < layout.batch;
            let identifier = |table: Table| if is_real { table.identifier() } else { 0 };
            let (numerator, denominator) = match block.leaf {
                Leaf::Single(table) => (F::ONE, triple(value, 0, identifier(table))),
                Leaf::Pair(table, partner) => (F::ONE, triple(value, at(partner, place), identifier(table))),
                Leaf::Neutral => (F::ZERO, F::ONE),
                Leaf::Table(table) => {
                    let first = table.entry(place);
                    let second = match table {
                        Table::Relu => i64::from(first >= 0),
                        Table::Exponential => i64::from(instance.exponential[place]),
                        _ => 0,
                    };
                    (-F::from(value), triple(first, second, table.identifier()))
                }
            };
            (numerators[position], denominators[position]) = (numerator, denominator);
        }
    }
    [numerators, denominators]
}

/// Sums of the fractions in each pair.
pub fn parents([numerators, denominators]: &[Vec<F>; 2]) -> [Vec<F>; 2] {
    let pairs = || numerators.chunks(2).zip(denominators.chunks(2));
    [pairs().map(|(p, q)| p[0] * q[1] + p[1] * q[0]).collect(), pairs().map(|(_, q)| q[0] * q[1]).collect()]
}
