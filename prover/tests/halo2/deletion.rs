//! Every item of the circuit left out in turn.
//!
//! [`attacks`] holds a dishonest table for each item; [`omissions`] lists the items. The list is complete by construction:
//! constraints by their names, selectors and copy sites by exhaustive matches and by the table itself, fixed columns by
//! their number. An attack's table is accepted when its item is left out, violates its item and nothing else, is refused by
//! halo2's own checker, and shows something false of its own messages.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::algebra::Check;
use weightproof_circuits::field::F;
use weightproof_circuits::poseidon::RATE;
use weightproof_circuits::seal::halo2::plan::{Plan, Source};
use weightproof_circuits::seal::halo2::rows::{
    BLOCK_ROWS, CONSTRAINTS, Kind, MESSAGE, NAMES, SPONGE_COLUMNS, SPONGE_CONSTANTS, schedule,
};
use weightproof_circuits::seal::halo2::table::{COEFFICIENTS, Cell, CopySite, Equal, KIND, Table};

use crate::common::Instance;
use crate::harness::{
    Change, Forged, Item, Sent, faithful, forge_sponge, gate_value, honest, initial, mock, native, operands,
    recompute, seven, tiny, violations,
};

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Omission {
    /// A constraint, in all rows.
    Constraint(usize),
    /// All constraints of a kind of row.
    Selector(&'static str),
    /// A column of the sponge's constants reads zero; the last is the kind of the row.
    Constants(usize),
    /// A coefficient of a gate reads zero, in a gate that the attack picks.
    Coefficient(usize),
    /// All copies of a site.
    Copy(CopySite),
}

/// Constraints of a kind of row.
fn constraints_of(kind: Kind) -> core::ops::Range<usize> {
    match kind {
        Kind::Idle => 0..0,
        Kind::Full => 0..6,
        Kind::Partial => 6..16,
    }
}

/// Names of the gate's coefficients; a seventh would have no name and no attack.
const COEFFICIENT_NAMES: [&str; 6] = ["product", "left", "right", "third", "constant", "result"];

/// A stored attack.
pub struct Attack {
    pub what: String,
    pub omission: Omission,
    /// The fixed cells that the omission takes as zero, where it is one of fixed cells.
    zeroed: Vec<(usize, usize)>,
    pub forged: Forged,
}

impl Attack {
    fn new(what: impl Into<String>, omission: Omission, forged: Forged) -> Self {
        Self { what: what.into(), omission, zeroed: Vec::new(), forged }
    }

    /// What is still violated with the item left out.
    fn left(&self) -> BTreeSet<Item> {
        let mut table = self.forged.table.clone();
        for (column, row) in &self.zeroed {
            table.fixed[*column][*row] = F::ZERO;
        }
        let mut left = violations(&table);
        left.retain(|item| !self.is_item(item));
        left
    }

    /// Whether a violation is of the item itself.
    fn is_item(&self, item: &Item) -> bool {
        match (self.omission, item) {
            (Omission::Constraint(left_out), Item::Constraint(found)) => left_out == *found,
            (Omission::Selector(kind), Item::Constraint(found)) => {
                let kind = if kind == "full" { Kind::Full } else { Kind::Partial };
                constraints_of(kind).contains(found)
            }
            (Omission::Copy(left_out), Item::Copy(found)) => left_out == *found,
            _ => false,
        }
    }

    /// What the item refuses when it is in place: for fixed cells, the constraints that read them.
    fn refusers(&self) -> Vec<Item> {
        let constraint = Item::Constraint;
        match self.omission {
            Omission::Constraint(name) => vec![constraint(name)],
            Omission::Selector("full") => constraints_of(Kind::Full).map(constraint).collect(),
            Omission::Selector(_) => constraints_of(Kind::Partial).map(constraint).collect(),
            Omission::Constants(_) => (0..CONSTRAINTS - 1).map(constraint).collect(),
            Omission::Coefficient(_) => vec![constraint(CONSTRAINTS - 1)],
            Omission::Copy(site) => vec![Item::Copy(site)],
        }
    }
}

/// All items. A new copy site or kind of row does not compile until it is named here.
fn omissions(table: &Table) -> BTreeSet<Omission> {
    let mut all: BTreeSet<Omission> = (0..CONSTRAINTS).map(Omission::Constraint).collect();
    assert_eq!(NAMES.len(), table.constraints(0).len());
    for row in schedule() {
        all.extend(match row.kind {
            // An idle row has no selector: it has no constraint.
            Kind::Idle => None,
            Kind::Full => Some(Omission::Selector("full")),
            Kind::Partial => Some(Omission::Selector("partial")),
        });
    }
    // All fixed columns: the sponge's constants and its kind, then the gate's coefficients.
    assert_eq!((COEFFICIENTS, table.fixed.len()), (KIND + 1, KIND + 1 + COEFFICIENT_NAMES.len()));
    all.extend((0..=KIND).map(Omission::Constants));
    all.extend((0..COEFFICIENT_NAMES.len()).map(Omission::Coefficient));
    for copy in &table.copies {
        match copy.site {
            CopySite::InitialState(word) => assert!(word < 3),
            CopySite::Operand(place) => assert!(place < 3),
            CopySite::EmptyMessage | CopySite::Instance => {}
        }
        all.insert(Omission::Copy(copy.site));
    }
    all
}

/// A block in the middle: challenges follow it.
const BLOCK: usize = 5;

/// A change of one row of [`BLOCK`].
fn at(row: usize, change: Change) -> impl Fn(usize, usize) -> Change + Sync {
    move |block, place| if (block, place) == (BLOCK, row) { change.clone() } else { Change::default() }
}

/// What makes a table.
type Job<'a> = Box<dyn Fn() -> Forged + Sync + Send + 'a>;

/// What holds a cell of the sponge: constraints, selectors, constants, the first state, empty places of a message.
fn sponge_attacks(case: &Instance) -> Vec<Attack> {
    let by = seven();
    let mut jobs: Vec<(String, Omission, Job<'_>)> = Vec::new();
    // Every row that has the constraint, for the omission of it.
    for (row, kind) in schedule().iter().map(|row| row.kind).enumerate() {
        for name in constraints_of(kind) {
            // The ends of a block, and one row of each kind inside it, for every constraint.
            if ![0, 1, 4, 7, BLOCK_ROWS - 1].contains(&row) {
                continue;
            }
            let change = Change { constraint: Some((name, by)), ..Change::default() };
            let forge = move || forge_sponge(case, 1, initial(), &at(row, change.clone()));
            jobs.push((format!("{} in row {row}", NAMES[name]), Omission::Constraint(name), Box::new(forge)));
        }
    }
    for (kind, name) in [(Kind::Full, "full"), (Kind::Partial, "partial")] {
        let number = constraints_of(kind).end - 1;
        let hook = move |block: usize, place: usize| {
            let constraint = (block == BLOCK && schedule()[place].kind == kind).then_some((number, by));
            Change { constraint, ..Change::default() }
        };
        let forge = move || forge_sponge(case, 2, initial(), &hook);
        jobs.push((format!("all {name} rows of a block"), Omission::Selector(name), Box::new(forge)));
    }
    for column in 0..SPONGE_CONSTANTS {
        let hook = move |_: usize, _: usize| Change { without_constant: Some(column), ..Change::default() };
        let forge = move || forge_sponge(case, 3, initial(), &hook);
        jobs.push((format!("constants {column}"), Omission::Constants(column), Box::new(forge)));
    }
    let change = Change { constraint: Some((2, by)), ..Change::default() };
    let forge = move || forge_sponge(case, 4, initial(), &at(0, change.clone()));
    jobs.push(("the kind of every row".into(), Omission::Constants(KIND), Box::new(forge)));
    for word in 0..3 {
        let mut state = initial();
        state[word] += by;
        let forge = move || forge_sponge(case, 5, state, &faithful);
        let site = CopySite::InitialState(word);
        jobs.push((format!("first state, word {word}"), Omission::Copy(site), Box::new(forge)));
    }
    // A place of the rate without a message: in a later full row, and beside the last message of a block.
    let half = honest(case, 6).plan(case).blocks.iter().position(|block| block.message.len() == 1);
    let half = half.expect("some block carries one element");
    let none = honest(case, 6).plan(case).blocks.iter().position(|block| block.message.is_empty());
    let none = none.expect("some block only squeezes");
    for (block, row, slot) in [
        (half, 0, 1),
        (none, 0, 0),
        (none, 0, 1),
        (BLOCK, 1, 0),
        (BLOCK, 1, 1),
        (BLOCK, BLOCK_ROWS - 1, 0),
        (BLOCK, BLOCK_ROWS - 2, 1),
    ] {
        let hook = move |at: usize, place: usize| {
            let mut message = [F::ZERO; RATE];
            if (at, place) == (block, row) {
                message[slot] = by;
            }
            Change { message, ..Change::default() }
        };
        let forge = move || forge_sponge(case, 6, initial(), &hook);
        let what = format!("something in empty place {slot} of row {row}, block {block}");
        jobs.push((what, Omission::Copy(CopySite::EmptyMessage), Box::new(forge)));
    }
    jobs.par_iter()
        .map(|(what, omission, forge)| {
            let mut attack = Attack::new(what.clone(), *omission, forge());
            if let Omission::Constants(column) = *omission {
                attack.zeroed = (0..attack.forged.table.rows).map(|row| (column, row)).collect();
            }
            attack
        })
        .collect()
}

/// Gates that no check depends on: what follows from them is only shown.
fn only_shown(plan: &Plan) -> Vec<usize> {
    let mut checked = vec![false; plan.gates.len()];
    let mut shown = vec![false; plan.gates.len()];
    for node in &plan.exposed {
        if let Source::Gate(index) = plan.sources[*node as usize] {
            shown[index] = true;
        }
    }
    for index in (0..plan.gates.len()).rev() {
        checked[index] |= plan.gates[index].result.is_none();
        for node in plan.gates[index].operands.iter().flatten() {
            if let Source::Gate(operand) = plan.sources[*node as usize] {
                assert!(operand < index, "operands come first");
                checked[operand] |= checked[index];
                shown[operand] |= shown[index];
            }
        }
    }
    (0..plan.gates.len()).filter(|index| shown[*index] && !checked[*index]).collect()
}

/// The honest run with a gate's result changed, and everything that follows from it.
fn with_result(sent: &Sent, plan: &Plan, gate: usize, value: F) -> Forged {
    let mut plan = plan.clone();
    recompute(&mut plan, Some((gate, value)));
    Forged { sent: sent.clone(), table: Table::new(&plan) }
}

fn operand_cell(place: usize, row: usize) -> Cell {
    Cell { column: SPONGE_COLUMNS + place, row }
}

/// What holds an operand, a result or a public value.
fn gate_attacks(case: &Instance) -> Vec<Attack> {
    let by = seven();
    let sent = honest(case, 7);
    let plan = sent.plan(case);
    let free = only_shown(&plan);
    let mut attacks = Vec::new();
    let arithmetic = CONSTRAINTS - 1;
    // A result that its gate does not compute.
    let gate = free[free.len() / 2];
    let value = gate_value(&plan.gates[gate], operands(&plan, &plan.gates[gate]));
    let forged = with_result(&sent, &plan, gate, value + by);
    attacks.push(Attack::new("another result", Omission::Constraint(arithmetic), forged));

    // One operand of a gate is not its node.
    for place in 0..3 {
        let gates = free.iter().copied().filter(|gate| {
            let gate = &plan.gates[*gate];
            let mut moved = operands(&plan, gate);
            moved[place] += by;
            gate.operands[place].is_some()
                && gate_value(gate, moved) != gate_value(gate, operands(&plan, gate))
        });
        let gates: Vec<usize> = gates.collect();
        for gate in [gates[0], gates[gates.len() - 1]] {
            let mut moved = operands(&plan, &plan.gates[gate]);
            moved[place] += by;
            let mut forged = with_result(&sent, &plan, gate, gate_value(&plan.gates[gate], moved));
            let cell = operand_cell(place, gate);
            forged.table.advice[cell.column][cell.row] = moved[place];
            let omission = Omission::Copy(CopySite::Operand(place));
            attacks.push(Attack::new(format!("operand {place} of a shown value"), omission, forged));
        }
    }

    // A coefficient that reads zero.
    for column in 0..5 {
        let of = |gate: usize| {
            let gate = &plan.gates[gate];
            let [a, b, c] = operands(&plan, gate);
            let [left, right, third] = gate.linear;
            [gate.product * a * b, left * a, right * b, third * c, gate.constant][column]
        };
        let Some(gate) = free.iter().copied().find(|gate| of(*gate) != F::ZERO) else { continue };
        let value = gate_value(&plan.gates[gate], operands(&plan, &plan.gates[gate])) - of(gate);
        let mut attack = Attack::new(
            format!("no {}", COEFFICIENT_NAMES[column]),
            Omission::Coefficient(column),
            with_result(&sent, &plan, gate, value),
        );
        attack.zeroed = vec![(COEFFICIENTS + column, gate)];
        attacks.push(attack);
    }
    // Without its result, or its constant, a row below the gates does not hold the first state.
    for (column, word, value) in [(5, 1, by), (4, 2, F::ZERO)] {
        let mut state = initial();
        state[word] = value;
        let mut forged = forge_sponge(case, 8, state, &faithful);
        let row = plan.gates.len() + word;
        let cell = operand_cell(3, row);
        forged.table.advice[cell.column][cell.row] = value;
        let what = format!("no {} of word {word} of the first state", COEFFICIENT_NAMES[column]);
        let mut attack = Attack::new(what, Omission::Coefficient(column), forged);
        attack.zeroed = vec![(COEFFICIENTS + column, row)];
        attacks.push(attack);
    }

    // Another public value: each limb of the digest, so another statement; `r*`, each coefficient, `y`.
    for row in 0..plan.exposed.len() {
        let mut forged = Forged { sent: sent.clone(), table: Table::new(&plan) };
        forged.table.instance[row] += by;
        let copies = forged.table.copies.iter().filter(|copy| copy.equals == Equal::Instance(row));
        assert_eq!(copies.count(), 1, "each public value is copied once");
        attacks.push(Attack::new(format!("public value {row}"), Omission::Copy(CopySite::Instance), forged));
    }
    attacks
}

/// A check that does not hold, passed by one operand or by its gate alone.
fn check_attacks(case: &Instance) -> Vec<Attack> {
    let by = seven();
    let mut attacks = Vec::new();
    let mut sent = honest(case, 9);
    // The last message comes before no challenge, so all else stays as it is.
    sent.messages.last_mut().expect("there are messages")[0] += by;
    let plan = sent.plan(case);
    assert_eq!(native(case, &sent).0, [Check::OpeningValue]);
    let forged = Forged { sent: sent.clone(), table: Table::new(&plan) };
    attacks.push(Attack::new("a false opened value", Omission::Constraint(CONSTRAINTS - 1), forged.clone()));
    let (row, _) =
        plan.checks.iter().find(|(_, check)| **check == Check::OpeningValue).expect("it is a check");
    let gate = &plan.gates[*row];
    for place in 0..3 {
        let linear = gate.linear[place];
        if gate.operands[place].is_none() || linear == F::ZERO || gate.product != F::ZERO {
            continue;
        }
        // Whatever the sum lacks, put into this operand.
        let lacking = gate_value(gate, operands(&plan, gate));
        let mut forged = forged.clone();
        let cell = operand_cell(place, *row);
        forged.table.advice[cell.column][cell.row] -= lacking * linear.inverse().expect("nonzero");
        let omission = Omission::Copy(CopySite::Operand(place));
        attacks.push(Attack::new(format!("a false opened value through operand {place}"), omission, forged));
    }
    assert!(attacks.len() > 1, "the check's gate has an operand of its own");
    attacks
}

/// The case and all attacks on it, made once.
pub fn attacks() -> &'static (Instance, Vec<Attack>) {
    static ATTACKS: OnceLock<(Instance, Vec<Attack>)> = OnceLock::new();
    ATTACKS.get_or_init(|| {
        let case = tiny();
        let mut all = sponge_attacks(&case);
        all.extend(gate_attacks(&case));
        all.extend(check_attacks(&case));
        (case, all)
    })
}

#[test]
fn every_item_has_an_attack_that_it_alone_stops() {
    let (case, attacks) = attacks();
    let honest = Table::new(&honest(case, 10).plan(case));
    assert!(violations(&honest).is_empty());
    let mut stopped: BTreeSet<Omission> = BTreeSet::new();
    for attack in attacks {
        let what = format!("{} ({:?})", attack.what, attack.omission);
        assert_eq!(attack.left(), BTreeSet::new(), "{what}: still refused with the item left out");
        let found = violations(&attack.forged.table);
        assert!(!found.is_empty(), "{what}: accepted with the item in place");
        let refusers = attack.refusers();
        assert!(found.iter().all(|item| refusers.contains(item)), "{what}: also refused by {found:?}");
        assert!(attack.forged.is_false(case), "{what}: nothing is false");
        stopped.insert(attack.omission);
    }
    assert_eq!(stopped, omissions(&honest), "an item without an attack, or an attack without an item");
}

/// halo2's checker refuses the same tables by the same constraints: the evaluator is no more lenient than the circuit.
#[test]
fn halo2_refuses_the_same_tables() {
    let (case, attacks) = attacks();
    let honest = Table::new(&honest(case, 11).plan(case));
    assert_eq!(mock(&honest), (BTreeSet::new(), false));
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let verdicts: Vec<_> = attacks.par_iter().map(|attack| mock(&attack.forged.table)).collect();
    for (attack, (names, copies)) in attacks.iter().zip(verdicts) {
        let found = violations(&attack.forged.table);
        let expected: BTreeSet<String> = found
            .iter()
            .filter_map(|item| match item {
                Item::Constraint(name) => Some(NAMES[*name].to_owned()),
                Item::Copy(_) => None,
            })
            .collect();
        assert_eq!(names, expected, "{}", attack.what);
        assert_eq!(copies, found.iter().any(|item| matches!(item, Item::Copy(_))), "{}", attack.what);
        seen.extend(names);
    }
    assert_eq!(seen.len(), NAMES.len(), "every constraint refused something");
}

/// No cell of the table is free but those that nothing reads: adding to any used cell, or to any public value, is refused.
#[test]
fn no_used_cell_is_free() {
    let case = tiny();
    let plan = honest(&case, 12).plan(&case);
    let honest = Table::new(&plan);
    let sponge_rows = plan.blocks.len() * BLOCK_ROWS;
    // A sample of rows: the first and last blocks, gates by a stride that meets all kinds.
    let rows: Vec<usize> = (0..honest.rows)
        .filter(|row| *row < 2 * BLOCK_ROWS || row % 37 == 0 || *row + 14 > sponge_rows)
        .collect();
    rows.into_par_iter().for_each(|row| {
        for column in 0..honest.advice.len() {
            let used = if column < SPONGE_COLUMNS {
                let kind = if row < sponge_rows { schedule()[row % BLOCK_ROWS].kind } else { Kind::Idle };
                match kind {
                    Kind::Full => column < 8,
                    Kind::Partial => true,
                    Kind::Idle => row == sponge_rows && column < 3,
                }
            } else {
                let place = column - SPONGE_COLUMNS;
                match plan.gates.get(row) {
                    Some(gate) if place < 3 => gate.operands[place].is_some(),
                    Some(gate) => gate.result.is_some(),
                    None => place == 3 && row < plan.gates.len() + 3,
                }
            };
            let mut changed = honest.clone();
            changed.advice[column][row] += F::ONE;
            let near = [row.saturating_sub(1), row];
            let refused =
                near.iter().any(|row| changed.constraints(*row).iter().any(|value| *value != F::ZERO))
                    || changed.copies.iter().any(|copy| !changed.copy_holds(copy));
            assert_eq!(refused, used, "column {column}, row {row}");
        }
    });
}

/// A copy that is there for one gate may be missing for another: every operand, every empty place of the rate, the first
/// state and every public value has exactly one, which a sample of attacks would not show.
#[test]
fn every_cell_that_follows_another_has_its_copy() {
    let case = tiny();
    let plan = honest(&case, 13).plan(&case);
    let table = Table::new(&plan);
    let mut expected: BTreeSet<(CopySite, Cell)> = BTreeSet::new();
    for (row, gate) in plan.gates.iter().enumerate() {
        for place in (0..3).filter(|place| gate.operands[*place].is_some()) {
            expected.insert((CopySite::Operand(place), operand_cell(place, row)));
        }
        // A place without a node is read by nothing.
        for place in (0..3).filter(|place| gate.operands[*place].is_none()) {
            assert_eq!(gate.linear[place], F::ZERO);
            assert!(gate.product == F::ZERO || place == 2);
        }
    }
    for (block, absorbed) in plan.blocks.iter().enumerate() {
        for (place, _) in schedule().iter().enumerate().filter(|(_, row)| row.kind == Kind::Full) {
            let carried = if place == 0 { absorbed.message.len() } else { 0 };
            for slot in carried..RATE {
                let cell = Cell { column: MESSAGE + slot, row: block * BLOCK_ROWS + place };
                expected.insert((CopySite::EmptyMessage, cell));
            }
        }
    }
    expected.extend((0..3).map(|word| (CopySite::InitialState(word), Cell { column: word, row: 0 })));
    let cells = table.copies.iter().filter(|copy| copy.site != CopySite::Instance);
    let found: Vec<_> = cells.map(|copy| (copy.site, copy.cell)).collect();
    assert_eq!(found.len(), expected.len(), "each once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    let public: BTreeSet<usize> = table
        .copies
        .iter()
        .filter_map(|copy| match copy.equals {
            Equal::Instance(row) => Some(row),
            Equal::Cell(_) => None,
        })
        .collect();
    assert_eq!(public, (0..table.instance.len()).collect());
}
