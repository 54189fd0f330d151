//! The error budget in integers: every way in which a false statement could pass, with its bound (specs/soundness.md).
//!
//! The terms are read off a run of the verifier's own code over an algebra that only counts, so that a new round, check or
//! message changes the budget with it. A term's error against `q` oracle queries is at most
//! `numerator·q^power / 2^denominator_bits`; the field and the group both have more than `2^254` elements.

use std::collections::BTreeMap;

use crate::algebra::{Algebra, ArgumentError, Check};
use crate::argument;
use crate::field::F;
use crate::layout::Layout;
use crate::program::Program;

use ark_ff::AdditiveGroup;

/// The order of the field, and of Vesta, is above `2^FIELD_BITS`.
pub const FIELD_BITS: u32 = 254;

/// One source of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Name, as in `specs/soundness.md`.
    pub name: &'static str,
    /// Numerator of the bound.
    pub numerator: u128,
    /// `log2` of its denominator.
    pub denominator_bits: u32,
    /// Power of the number of oracle queries (or group operations) that multiplies it.
    pub power: u32,
}

impl Term {
    /// `−log2` of the error against `2^queries_log2` queries, rounded down.
    pub fn bits(&self, queries_log2: u32) -> i64 {
        i64::from(self.denominator_bits)
            - i64::from(self.power) * i64::from(queries_log2)
            - i64::from(ceiling_log2(self.numerator))
    }
}

/// `⌈log2 n⌉`, 0 for 0 and 1.
fn ceiling_log2(n: u128) -> u32 {
    match n.checked_sub(1) {
        None | Some(0) => 0,
        Some(below) => 128 - below.leading_zeros(),
    }
}

/// `−log2` of the sum of all terms against `2^queries_log2` queries, rounded down.
pub fn total_bits(terms: &[Term], queries_log2: u32) -> i64 {
    // The sum in units of 2^-(least + 64), each term rounded up; budgets have far fewer than 2^32 terms.
    let bits = || terms.iter().map(|term| term.bits(queries_log2));
    let Some(least) = bits().min() else { return i64::MAX };
    let sum: u128 = bits().map(|bits| 1u128 << (64 - (bits - least).clamp(0, 64))).sum();
    least + 64 - i64::from(ceiling_log2(sum))
}

/// Counts what a run of the argument draws and checks.
#[derive(Default)]
struct Ledger {
    /// The last message, until a challenge answers it: its label and its length.
    last: Option<(&'static str, u128)>,
    /// Sum of degrees of all sumcheck rounds under a label. A round's message is one coefficient a degree.
    rounds: BTreeMap<&'static str, u128>,
    /// Challenges that answer no message of their own label.
    drawn: BTreeMap<&'static str, u128>,
    /// Lengths of all messages of a label.
    received: BTreeMap<&'static str, u128>,
    messages: u128,
    linear: u128,
    quadratic: u128,
}

impl Ledger {
    fn round(&self, label: &str) -> u128 {
        self.rounds.get(label).copied().unwrap_or(0)
    }
    fn draw(&self, label: &str) -> u128 {
        self.drawn.get(label).copied().unwrap_or(0)
    }
    fn length(&self, label: &str) -> u128 {
        self.received.get(label).copied().unwrap_or(0)
    }
}

impl Algebra for Ledger {
    type Public = F;
    type Hidden = ();

    fn receive(&mut self, label: &'static str, length: usize) -> Result<Vec<()>, ArgumentError> {
        self.last = Some((label, length as u128));
        *self.received.entry(label).or_default() += length as u128;
        self.messages += 1;
        Ok(vec![(); length])
    }
    fn receive_opening_value(&mut self) -> Result<(), ArgumentError> {
        self.messages += 1;
        Ok(())
    }
    fn challenge(&mut self, label: &'static str) -> F {
        match self.last.take() {
            Some((received, degree)) if received == label => *self.rounds.entry(label).or_default() += degree,
            _ => *self.drawn.entry(label).or_default() += 1,
        }
        F::ZERO
    }
    fn publish(&self, _value: F) {}
    fn add(&self, _a: (), _b: &()) {}
    fn scale(&self, _a: &(), _c: &F) {}
    fn check_zero(&mut self, _: Check, products: &[((), ())], _: &()) -> Result<(), ArgumentError> {
        match products {
            [] => self.linear += 1,
            _ => self.quadratic += 1,
        }
        Ok(())
    }
}

/// Claims on gated activations and errors, which the gates take over: in the products each hidden `A_l` once and each
/// hidden `Δ_l`, `l ≥ 2`, once; in the weights each twice, but `Δ_1` once.
fn gated_claims(layout: &Layout) -> u128 {
    let hidden = layout.depth() as u128 - 1;
    if layout.has_signs() && hidden > 0 { 6 * hidden - 2 } else { 0 }
}

/// Every source of error of a program's proofs.
///
/// # Errors
/// Never for a valid program: as for [`argument::outline`].
pub fn budget(layout: &Layout, program: &Program) -> Result<Vec<Term>, ArgumentError> {
    let mut ledger = Ledger::default();
    argument::check(&mut ledger, layout, program)?;
    let depth = layout.depth() as u128;
    let gated = gated_claims(layout);
    let gates = argument::gates::is_needed(layout);
    // Messages of query values, less the values in them that are no claims.
    let claims = ["relations", "product factors", "parameters", "weight factors", "gate factors", "leaves"]
        .into_iter()
        .map(|label| ledger.length(label))
        .sum::<u128>()
        - depth
        - (2 * depth - 1)
        - gated;

    let field = |name, numerator| Term { name, numerator, denominator_bits: FIELD_BITS, power: 1 };
    let other = |name, numerator, denominator_bits, power| Term { name, numerator, denominator_bits, power };
    Ok(vec![
        field("relation point", ledger.draw("r_k") + ledger.draw("r_b") + ledger.draw("r_u")),
        field("products batching", 2 * depth - 2),
        field("products rounds", ledger.round("products")),
        field("weights batching", 5 * depth - 2),
        field("weights rounds", ledger.round("weights")),
        field("gates batching", if gates { gated + 1 } else { 0 }),
        field("gates rounds", ledger.round("gates")),
        field("lookup fractions", (1u128 << layout.variables) - 1),
        // The first `lambda` batches the products.
        field("lookup batching", ledger.draw("nu") + ledger.draw("lambda") - 1),
        field("lookup rounds", ledger.round("fraction rounds")),
        field("reduction batching", claims - 1),
        field("reduction rounds", ledger.round("reduction")),
        field("seal batching", ledger.linear.max(ledger.quadratic) - 1),
        field("seal challenge", 2),
        field("opening value", 2),
        field("opening rounds", 3 * layout.column_variables as u128),
        field("opening mask", 1),
        // One equation a message, the cross terms' and the opening's.
        field("equation batching", ledger.messages + 1),
        other("challenge bias", 1, 256, 1),
        other("SHA-256 collisions", 1, 257, 2),
        other("Blake2b-512 collisions", 1, 513, 2),
        other("discrete logarithm", 4, FIELD_BITS, 2),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::power_of_two;

    fn programs() -> [Program; 2] {
        let large = "[model]\nlayers = [3072, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 10]\n\
                     activation = \"relu\"\nloss = \"softmax-cross-entropy\"\n\
                     [optimizer]\nlearning_rate = 0.25\n[contribution]\nsteps = 16\nbatch = 64\n";
        [Program::default_for(30, 2).unwrap(), Program::parse(large).unwrap()]
    }

    fn budgets() -> [Vec<Term>; 2] {
        programs().map(|program| budget(&Layout::new(&program), &program).unwrap())
    }

    #[test]
    fn the_field_is_larger_than_the_budget_assumes() {
        use ark_ff::PrimeField;
        assert!(F::MODULUS > power_of_two(FIELD_BITS as usize).into_bigint());
    }

    #[test]
    fn proofs_keep_110_bits_after_many_queries() {
        for terms in budgets() {
            assert!(total_bits(&terms, 64) >= 110, "{terms:?}");
            let statistical: Vec<Term> = terms.iter().copied().filter(|term| term.power == 1).collect();
            assert!(total_bits(&statistical, 64) >= 150, "{statistical:?}");
            assert!(total_bits(&terms, 80) < 110, "the bound is not vacuous: more queries cost bits");
        }
    }

    #[test]
    fn counts_are_those_of_a_small_program_by_hand() {
        // 30-32-2, 16 steps of 32: 4 + 5 row variables, units 5 (30 → 32), 5, 1; 2 layers; 18-variable stack.
        let [terms, _] = budgets();
        let numerator = |name| terms.iter().find(|term| term.name == name).unwrap().numerator;
        let program = &programs()[0];
        let layout = Layout::new(program);
        assert_eq!(numerator("relation point"), 4 + 5 + 5);
        assert_eq!(numerator("products batching"), 2);
        assert_eq!(numerator("products rounds"), 2 * (5 + 4));
        assert_eq!(numerator("weights batching"), 8);
        assert_eq!(numerator("weights rounds"), 3 * 9);
        // A_1 in one product and two weight sums, Δ_1 in one; then the two sums of the loss.
        assert_eq!(numerator("gates batching"), 4 + 2 - 1);
        assert_eq!(numerator("gates rounds"), 3 * (5 + 9));
        let variables = layout.variables as u128;
        assert_eq!(numerator("lookup fractions"), (1 << variables) - 1);
        assert_eq!(numerator("lookup batching"), variables + (variables - 1));
        assert_eq!(numerator("lookup rounds"), variables * (variables - 1));
        assert_eq!(numerator("reduction rounds"), 2 * layout.opening_variables as u128);
        assert_eq!(numerator("opening rounds"), 3 * layout.column_variables as u128);
        // Linear: distance, two sums, complement, link, numerator, denominator, opening value. Quadratic: products,
        // weights, gates, the root and every layer of the tree below it.
        assert_eq!(numerator("seal batching"), (3 + variables).max(8) - 1);
        // Equations: one a message, one for the cross terms, one for the opening; the first has weight one.
        let messages = argument::outline(&layout, program).unwrap().len() as u128;
        assert_eq!(numerator("equation batching"), messages + 2 - 1);
    }

    #[test]
    fn gated_claims_are_the_ones_that_the_queries_make() {
        use crate::argument::claims::{Query, Target};
        use crate::argument::products::{self, ProductPoint};
        use crate::argument::relations::RelationPoint;
        use crate::argument::weights;
        for program in programs() {
            let layout = Layout::new(&program);
            let zeros = |count| vec![F::ZERO; count];
            let relation = RelationPoint {
                step: zeros(layout.step_variables),
                example: zeros(layout.example_variables),
                unit: zeros(layout.unit_point_variables()),
            };
            let product = ProductPoint { step: zeros(layout.step_variables), unit: zeros(layout.widest) };
            let mut queries: Vec<Query<F>> = products::queries(&layout, &program, &relation, &product);
            let end = zeros(layout.row_variables());
            queries.extend(weights::factor_queries(&layout, &program, &relation, &product, &end));
            let gated = queries
                .iter()
                .filter(|q| matches!(q.target, Target::GatedActivation(_) | Target::GatedError(_)))
                .count();
            assert_eq!(gated_claims(&layout), gated as u128);
        }
    }

    #[test]
    fn sums_round_against_us() {
        let term =
            |numerator, denominator_bits, power| Term { name: "t", numerator, denominator_bits, power };
        assert_eq!(term(1, 254, 1).bits(64), 190);
        assert_eq!(term(3, 254, 1).bits(64), 188);
        assert_eq!(term(4, 254, 2).bits(64), 124);
        assert_eq!(total_bits(&[term(1, 100, 1)], 0), 100);
        assert_eq!(total_bits(&[term(1, 100, 1), term(1, 100, 1)], 0), 99);
        assert_eq!(
            total_bits(&[term(1, 100, 1), term(1, 200, 1)], 0),
            99,
            "a sum above 2^-100 has no 100 bits"
        );
        assert_eq!(total_bits(&[], 64), i64::MAX);
    }

    /// The numbers, after `skip` cells, of the first Markdown table row under `name` that has `count` of them.
    fn row_figures<T: std::str::FromStr>(page: &str, name: &str, skip: usize, count: usize) -> Vec<T> {
        page.lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
            .filter(|cells| cells.first() == Some(&name))
            .map(|cells| cells.iter().skip(skip).filter_map(|cell| cell.parse().ok()).collect::<Vec<T>>())
            .find(|figures| figures.len() == count)
            .unwrap_or_default()
    }

    #[test]
    fn the_page_and_the_code_have_the_same_figures() {
        let page = include_str!("../../specs/soundness.md");
        let [small, large] = budgets();
        let mut expected = Vec::new();
        for (small, large) in small.iter().zip(&large) {
            let figures = [small, large].map(|term| [term.bits(0), term.bits(64)]);
            expected.push((small.name.to_owned(), figures.concat()));
        }
        let totals = [&small, &large].map(|terms| [total_bits(terms, 0), total_bits(terms, 64)]);
        expected.push(("total".to_owned(), totals.concat()));
        for (name, figures) in &expected {
            assert_eq!(
                &row_figures::<i64>(page, name, 2, 4),
                figures,
                "`{name}` in specs/soundness.md; all figures: {expected:?}"
            );
        }
    }

    #[test]
    fn the_worked_layout_is_the_layout() {
        let page = include_str!("../../specs/protocol/layout.md");
        let layout = Layout::new(&programs()[0]);
        let mut expected: Vec<(String, [usize; 3])> = layout
            .blocks
            .iter()
            .map(|block| (format!("`{:?}`", block.tensor), [block.variables, block.units, block.offset]))
            .collect();
        expected.extend(layout.parameters.iter().map(|block| {
            let name = format!("`{}{}`", if block.is_bias { "β" } else { "W" }, block.layer);
            (name, [block.input_variables, block.output_variables, block.offset])
        }));
        let sizes = [
            ("`variables`", layout.variables),
            ("`column_variables`", layout.column_variables),
            ("`matrix_row_variables`", layout.matrix_row_variables()),
            ("`data_variables`", layout.data_variables),
            ("`label_offset`", layout.label_offset),
            ("`parameter_variables`", layout.parameter_variables),
            ("`opening_variables`", layout.opening_variables),
        ];
        for (name, figures) in &expected {
            let found = row_figures::<usize>(page, name, 1, 3);
            assert_eq!(found, figures, "{name} in specs/protocol/layout.md; all: {expected:#?}");
        }
        for (name, value) in sizes {
            let found = row_figures::<usize>(page, name, 1, 1);
            assert_eq!(found, [value], "{name} in specs/protocol/layout.md; all: {sizes:?}");
        }
    }
}
