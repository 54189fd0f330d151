//! Cases, a dishonest sponge, an evaluator of the table, and the argument on field elements.

use std::collections::BTreeSet;

use ark_ff::{AdditiveGroup, Field};
use halo2_proofs::dev::{MockProver, VerifyFailure};
use pasta_curves::Fp;
use rayon::prelude::*;
use weightproof_circuits::algebra::{Algebra, ArgumentError, Check};
use weightproof_circuits::argument;
use weightproof_circuits::field::F;
use weightproof_circuits::pasta::to_pasta;
use weightproof_circuits::poseidon::{
    Duplex, Permutation, RATE, State, Transcript, WIDTH, constants, initial_state, multiply, quintic,
};
use weightproof_circuits::seal::halo2::Exposed;
use weightproof_circuits::seal::halo2::algebra::{Input, plan};
use weightproof_circuits::seal::halo2::circuit::SealCircuit;
use weightproof_circuits::seal::halo2::plan::{Gate, Plan, Source};
use weightproof_circuits::seal::halo2::rows::{
    self, INPUTS, Kind, MESSAGE, PARTIAL_IN_ROW, SECOND, SPONGE_COLUMNS, SPONGE_CONSTANTS,
};
use weightproof_circuits::seal::halo2::table::{CopySite, Table};
use weightproof_prover::argument::{Channel, Witness, prove};
use weightproof_prover::entropy::Entropy;
use weightproof_prover::halo2::PoseidonChannel;
use weightproof_prover::progress::Silent;

use crate::common::{self, Instance, on_cpu};

/// A program's honest run under the masked layout.
pub fn case(
    layers: &str,
    activation: &str,
    loss: &str,
    steps: usize,
    batch: usize,
    momentum: &str,
) -> Instance {
    let program = common::program(layers, activation, loss, steps, batch, momentum);
    let mut case = common::instance(program, 23);
    case.layout = case.layout.masked();
    case
}

/// The smallest case.
pub fn tiny() -> Instance {
    case("[2, 2]", "relu", "softmax-cross-entropy", 1, 1, "0.0")
}

/// The honest witness with a mask of its own.
pub fn witness(case: &Instance, seed: u64) -> Witness<'_> {
    let mut witness =
        Witness::new(&case.program, &case.layout, &case.trace, &case.base, &case.update, &case.exponential);
    witness.count_multiplicities().expect("an honest witness is in its tables");
    witness.mask = Entropy::from_seed(seed).scalars(1 << case.layout.column_variables);
    witness
}

/// What a transcript starts from, and everything that was sent under it.
#[derive(Clone)]
pub struct Sent {
    pub digest: [F; 2],
    pub salt: F,
    pub messages: Vec<Vec<F>>,
}

impl Sent {
    pub fn run(&self) -> Input<'_> {
        Input::Run { digest: self.digest, salt: self.salt, messages: &self.messages }
    }

    /// Fresh limbs and salt, nothing sent.
    pub fn start(seed: u64) -> Self {
        let mut entropy = Entropy::from_seed(seed ^ 0x5a17);
        Self { digest: [entropy.scalar(), entropy.scalar()], salt: entropy.scalar(), messages: Vec::new() }
    }

    pub fn plan(&self, case: &Instance) -> Plan {
        plan(&case.layout, &case.program, self.run()).expect("messages have the program's shape")
    }
}

/// The honest prover's messages.
pub fn honest(case: &Instance, seed: u64) -> Sent {
    send(&witness(case, seed), Sent::start(seed))
}

/// The messages of any witness.
pub fn send(witness: &Witness<'_>, start: Sent) -> Sent {
    let mut channel = PoseidonChannel::new(&start.digest, &start.salt);
    prove(&on_cpu(witness), &mut channel, &Silent, &mut Vec::new()).expect("the argument is provable");
    Sent { messages: std::mem::take(&mut channel.messages), ..start }
}

// --- The argument on field elements ---

/// The verifier's equations on field elements under the seal's transcript. All checks run; those that fail are listed.
pub struct Native<'a> {
    transcript: Transcript,
    messages: core::slice::Iter<'a, Vec<F>>,
    pub failed: Vec<Check>,
    /// Replaces the challenges of a label.
    pub replaced: Vec<(&'static str, std::collections::VecDeque<F>)>,
    /// Labels of the challenges, in order.
    pub labels: Vec<&'static str>,
}

impl<'a> Native<'a> {
    pub fn new(sent: &'a Sent) -> Self {
        Self {
            transcript: Transcript::new(&sent.digest, &sent.salt),
            messages: sent.messages.iter(),
            failed: Vec::new(),
            replaced: Vec::new(),
            labels: Vec::new(),
        }
    }
}

impl Algebra for Native<'_> {
    type Public = F;
    type Hidden = F;

    fn receive(&mut self, label: &'static str, length: usize) -> Result<Vec<F>, ArgumentError> {
        let message = self.messages.next().cloned().unwrap_or_default();
        if message.len() != length {
            return Err(ArgumentError::Shape { label, expected: length, found: message.len() });
        }
        self.transcript.absorb(&message);
        Ok(message)
    }

    fn receive_opening_value(&mut self) -> Result<F, ArgumentError> {
        Ok(self.receive("opening value", 1)?[0])
    }

    fn challenge(&mut self, label: &'static str) -> F {
        self.labels.push(label);
        let drawn = self.transcript.challenge();
        let replaced = self.replaced.iter_mut().find(|(name, _)| *name == label);
        replaced.and_then(|(_, values)| values.pop_front()).unwrap_or(drawn)
    }

    fn publish(&self, value: F) -> F {
        value
    }

    fn add(&self, a: F, b: &F) -> F {
        a + b
    }

    fn scale(&self, a: &F, c: &F) -> F {
        *a * c
    }

    fn check_zero(&mut self, check: Check, products: &[(F, F)], linear: &F) -> Result<(), ArgumentError> {
        if products.iter().map(|(a, b)| *a * b).sum::<F>() + linear != F::ZERO {
            self.failed.push(check);
        }
        Ok(())
    }
}

/// Which checks fail, and what is shown.
pub fn native(case: &Instance, sent: &Sent) -> (Vec<Check>, Exposed) {
    let mut native = Native::new(sent);
    let claim =
        argument::check(&mut native, &case.layout, &case.program).expect("messages have the program's shape");
    assert_eq!(native.messages.len(), 0);
    let exposed = Exposed { point: claim.point, coefficients: claim.coefficients, value: claim.value };
    (native.failed, exposed)
}

// --- The dishonest sponge ---

/// What a dishonest prover changes in one row of the sponge.
#[derive(Clone, Default)]
pub struct Change {
    /// Added where the constraint of the same number would hold the cell; see [`rows::NAMES`].
    pub constraint: Option<(usize, F)>,
    /// Added to the row's message cells.
    pub message: [F; RATE],
    /// A column of constants that is taken as zero.
    pub without_constant: Option<usize>,
}

/// Which change a row of a block takes.
pub type Hook<'a> = &'a (dyn Fn(usize, usize) -> Change + Sync);

/// The sponge, row by row, solved from the constraints as the specification states them and not by [`rows::fill`].
pub struct Sponge<'a> {
    hook: Hook<'a>,
    pub states: Vec<State>,
    pub rows: Vec<[F; SPONGE_COLUMNS]>,
}

impl<'a> Sponge<'a> {
    pub fn new(initial: State, hook: Hook<'a>) -> Self {
        Self { hook, states: vec![initial], rows: Vec::new() }
    }
}

/// One row: its cells and the state's cells after it.
fn step(
    kind: Kind,
    constant: [F; SPONGE_CONSTANTS],
    state: State,
    message: [F; RATE],
    change: &Change,
) -> ([F; SPONGE_COLUMNS], State) {
    let added = |constraint: usize| match change.constraint {
        Some((number, by)) if number == constraint => by,
        _ => F::ZERO,
    };
    let matrix = &constants().mds;
    let mut cells = [F::ZERO; SPONGE_COLUMNS];
    cells[..WIDTH].copy_from_slice(&state);
    if kind == Kind::Full {
        cells[MESSAGE..SECOND].copy_from_slice(&message);
        let message = [message[0], message[1], F::ZERO];
        let first: State = core::array::from_fn(|word| {
            quintic(state[word] + constant[word] + message[word]) + constant[WIDTH + word] + added(word)
        });
        let second = multiply(matrix, &first);
        cells[SECOND..SECOND + WIDTH].copy_from_slice(&second);
        let outputs: State = core::array::from_fn(|word| quintic(second[word]) + added(WIDTH + word));
        return (cells, multiply(matrix, &outputs));
    }
    let mut inner = state;
    inner[0] += constant[0];
    for place in 0..PARTIAL_IN_ROW {
        inner[0] = quintic(inner[0]);
        inner = multiply(matrix, &inner);
        if place + 1 < PARTIAL_IN_ROW {
            inner[0] += constant[place + 1] + added(2 * WIDTH + place);
            cells[INPUTS + place] = inner[0];
        }
    }
    let next = core::array::from_fn(|word| inner[word] + added(2 * WIDTH + PARTIAL_IN_ROW - 1 + word));
    (cells, next)
}

impl Permutation for Sponge<'_> {
    type Value = F;
    fn permute(&mut self, message: Vec<F>) -> [F; RATE] {
        let block = self.states.len() - 1;
        let mut state = self.states[block];
        for (place, row) in rows::schedule().iter().enumerate() {
            let change = (self.hook)(block, place);
            let mut own = change.message;
            if place == 0 {
                own.iter_mut().zip(&message).for_each(|(own, value)| *own += value);
            }
            let mut constants = row.constants;
            if let Some(column) = change.without_constant {
                constants[column] = F::ZERO;
            }
            let (cells, next) = step(row.kind, constants, state, own, &change);
            self.rows.push(cells);
            state = next;
        }
        self.states.push(state);
        [state[0], state[1]]
    }
}

/// Runs the argument over a dishonest sponge.
pub struct SpongeChannel<'a> {
    pub sponge: Sponge<'a>,
    duplex: Duplex<F>,
    messages: Vec<Vec<F>>,
}

impl Channel for SpongeChannel<'_> {
    fn send(&mut self, _label: &'static str, values: Vec<F>) {
        values.iter().for_each(|value| self.duplex.absorb(&mut self.sponge, *value));
        self.messages.push(values);
    }
    fn send_opening_value(&mut self, value: F) {
        self.send("", vec![value]);
    }
    fn challenge(&mut self, _label: &'static str) -> F {
        self.duplex.squeeze(&mut self.sponge)
    }
}

/// A table that a prover hands in, and the messages that it is about.
#[derive(Clone)]
pub struct Forged {
    pub sent: Sent,
    pub table: Table,
}

impl Forged {
    /// Whether what the table shows is false of its messages: a check fails, or the challenges are not their hash.
    pub fn is_false(&self, case: &Instance) -> bool {
        let (failed, exposed) = native(case, &self.sent);
        !failed.is_empty() || self.table.instance != exposed.instance(&self.sent.digest)
    }
}

/// The argument proved against a dishonest sponge: every message answers the sponge's own challenges.
pub fn forge_sponge(case: &Instance, seed: u64, initial: State, hook: Hook<'_>) -> Forged {
    let start = Sent::start(seed);
    let mut channel =
        SpongeChannel { sponge: Sponge::new(initial, hook), duplex: Duplex::default(), messages: Vec::new() };
    let bound = start.digest.iter().chain([&start.salt]);
    bound.for_each(|value| channel.duplex.absorb(&mut channel.sponge, *value));
    prove(&on_cpu(&witness(case, seed)), &mut channel, &Silent, &mut Vec::new())
        .expect("the argument is provable");
    channel.challenge("");
    let sent = Sent { messages: channel.messages, ..start };
    let mut plan = sent.plan(case);
    plan.states = channel.sponge.states;
    recompute(&mut plan, None);
    let mut table = Table::new(&plan);
    for (row, cells) in channel.sponge.rows.iter().enumerate() {
        table.advice.iter_mut().zip(cells).for_each(|(column, value)| column[row] = *value);
    }
    Forged { sent, table }
}

/// The sponge without a change.
pub fn faithful(_block: usize, _row: usize) -> Change {
    Change::default()
}

pub fn initial() -> State {
    initial_state()
}

/// What a gate computes.
pub fn gate_value(gate: &Gate, [a, b, c]: [F; 3]) -> F {
    gate.product * a * b + gate.linear[0] * a + gate.linear[1] * b + gate.linear[2] * c + gate.constant
}

/// The operands' values of a gate.
pub fn operands(plan: &Plan, gate: &Gate) -> [F; 3] {
    gate.operands.map(|operand| operand.map_or(F::ZERO, |node| plan.values[node as usize]))
}

/// Values of challenges from the states and of gates from their operands; `forced` is a gate and its result.
pub fn recompute(plan: &mut Plan, forced: Option<(usize, F)>) {
    for node in 0..plan.sources.len() {
        plan.values[node] = match plan.sources[node] {
            Source::Message { .. } => plan.values[node],
            Source::Challenge { block, slot } => plan.states[block + 1][slot],
            Source::Gate(index) => match forced {
                Some((gate, value)) if gate == index => value,
                _ => gate_value(&plan.gates[index], operands(plan, &plan.gates[index])),
            },
        };
    }
}

// --- The evaluator ---

/// What can refuse a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Constraint(usize),
    Copy(CopySite),
}

/// Everything that a table violates.
pub fn violations(table: &Table) -> BTreeSet<Item> {
    let constraints = (0..table.rows).into_par_iter().flat_map_iter(|row| {
        let values = table.constraints(row);
        values
            .into_iter()
            .enumerate()
            .filter(|(_, value)| *value != F::ZERO)
            .map(|(name, _)| Item::Constraint(name))
    });
    let mut all: BTreeSet<Item> = constraints.collect();
    all.extend(table.copies.iter().filter(|copy| !table.copy_holds(copy)).map(|copy| Item::Copy(copy.site)));
    all
}

/// What halo2's own checker says of a table: names of constraints, and whether a copy fails.
pub fn mock(table: &Table) -> (BTreeSet<String>, bool) {
    let k = (table.rows + 6).next_power_of_two().trailing_zeros().max(11);
    let instance: Vec<Fp> = table.instance.iter().map(to_pasta).collect();
    let circuit = SealCircuit::witness(table);
    let failures = MockProver::run(k, &circuit, vec![instance]).expect("the circuit fits").verify().err();
    let (mut names, mut copies) = (BTreeSet::new(), false);
    for failure in failures.unwrap_or_default() {
        match failure {
            VerifyFailure::ConstraintNotSatisfied { constraint, .. } => {
                let shown = constraint.to_string();
                let known = rows::NAMES.iter().find(|name| {
                    shown.contains(&format!("'{name}'")) || shown.contains(&format!("({name})"))
                });
                names.insert(known.map_or(shown.clone(), |name| (*name).to_owned()));
            }
            VerifyFailure::Permutation { .. } => copies = true,
            other => panic!("{other}"),
        }
    }
    (names, copies)
}

/// Whether the long sweeps run whole.
pub fn long() -> bool {
    std::env::var_os("WEIGHTPROOF_LONG_TESTS").is_some()
}

/// A nonzero element for changes.
pub fn seven() -> F {
    F::from(7u64).pow([91])
}
