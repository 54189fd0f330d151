//! One verdict from two verifiers: the argument on field elements, which knows no plan, and the circuit's table.
//!
//! Both run all checks, so that not only the verdict but the list of failing checks is compared, and what is shown even of
//! a refused run. Mutations change elements of an honest transcript after the fact, or in flight, with the prover going on
//! honestly under the challenges that follow.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use ark_ff::AdditiveGroup;
use rayon::prelude::*;
use weightproof_circuits::algebra::Check;
use weightproof_circuits::field::F;
use weightproof_circuits::seal::halo2::algebra::{Input, plan};
use weightproof_circuits::seal::halo2::plan::Plan;
use weightproof_circuits::seal::halo2::rows::CONSTRAINTS;
use weightproof_circuits::seal::halo2::table::{COEFFICIENTS, Table};
use weightproof_prover::argument::{Channel, prove};
use weightproof_prover::halo2::PoseidonChannel;
use weightproof_prover::progress::Silent;

use crate::common::{Draw, Instance};
use crate::harness::{Item, Sent, case, honest, long, native, seven, tiny, violations, witness};

/// Small programs of different shapes.
fn cases() -> Vec<Instance> {
    vec![
        tiny(),
        case("[3, 1]", "identity", "squared-error", 1, 2, "0.0"),
        case("[2, 3, 2]", "relu", "softmax-cross-entropy", 2, 2, "0.5"),
        case("[3, 2, 1]", "relu", "squared-error", 2, 1, "0.5"),
    ]
}

/// Checks that the table's arithmetic rows refuse, in order.
fn refused(plan: &Plan, table: &Table, what: &str) -> Vec<Check> {
    let first = table.advice.len() - 4;
    let mut checks = Vec::new();
    for row in 0..table.rows {
        let [a, b, c, d] = core::array::from_fn(|place| table.advice[first + place][row]);
        let [product, left, right, third, constant, result] =
            core::array::from_fn(|place| table.fixed[COEFFICIENTS + place][row]);
        if product * a * b + left * a + right * b + third * c + constant + result * d != F::ZERO {
            checks
                .push(*plan.checks.get(&row).unwrap_or_else(|| panic!("{what}: row {row} decides no check")));
        }
    }
    checks
}

/// Compares both verifiers and returns the first failing check. The whole table is evaluated where `whole` says so.
fn compare(case: &Instance, sent: &Sent, whole: bool, what: &str) -> Option<Check> {
    let (failed, exposed) = native(case, sent);
    let plan = sent.plan(case);
    let table = Table::new(&plan);
    assert_eq!(plan.violated(), failed.first().copied(), "{what}: the prover's self-check");
    assert_eq!(refused(&plan, &table, what), failed, "{what}: failing checks");
    assert_eq!(table.instance, exposed.instance(&sent.digest), "{what}: what is shown");
    if whole {
        let expected: BTreeSet<Item> = failed.iter().map(|_| Item::Constraint(CONSTRAINTS - 1)).collect();
        assert_eq!(violations(&table), expected, "{what}: the table");
    }
    failed.first().copied()
}

fn random(draw: &mut Draw) -> F {
    (0..5).fold(F::ZERO, |sum, _| sum * F::from(1u64 << 52) + F::from(draw.next(1 << 40) as u64))
}

/// Changes an element or two.
fn mutate(messages: &mut [Vec<F>], draw: &mut Draw) -> String {
    let mut pick = |messages: &[Vec<F>]| {
        let message = draw.next(messages.len() as i64) as usize;
        (message, draw.next(messages[message].len() as i64) as usize)
    };
    let (a, b) = (pick(messages), pick(messages));
    let neighbour = (a.0, (a.1 + 1) % messages[a.0].len());
    let value = messages[a.0][a.1];
    let kind = draw.next(8);
    let new = match kind {
        0 => value + F::from(1u64),
        1 => -value,
        2 => F::ZERO,
        3 => random(draw),
        4 => value + random(draw),
        5 => messages[b.0][b.1],
        6 => {
            messages[a.0][a.1] = messages[b.0][b.1];
            messages[b.0][b.1] = value;
            messages[a.0][a.1]
        }
        _ => {
            let other = messages[neighbour.0][neighbour.1];
            messages[neighbour.0][neighbour.1] = value;
            other
        }
    };
    messages[a.0][a.1] = new;
    format!("mutation {kind} at {a:?}, {b:?}")
}

/// Changes that change nothing: zeros negated, equal elements swapped. Both verifiers must accept.
fn idle(messages: &mut [Vec<F>], draw: &mut Draw) -> String {
    let places = messages.iter().enumerate().flat_map(|(m, values)| (0..values.len()).map(move |e| (m, e)));
    let zeros: Vec<(usize, usize)> = places.filter(|(m, e)| messages[*m][*e] == F::ZERO).collect();
    let Some((message, element)) = zeros.get(draw.next(zeros.len().max(1) as i64) as usize).copied() else {
        return "nothing".into();
    };
    messages[message][element] = -messages[message][element];
    format!("zero at {message}, {element}")
}

#[test]
fn mutated_transcripts_get_one_verdict() {
    let total = if long() { 100_000 } else { 1_200 };
    let cases = cases();
    let seeds = if long() { 8 } else { 2 };
    let honest: Vec<(&Instance, Sent)> =
        cases.iter().flat_map(|case| (0..seeds).map(move |seed| (case, honest(case, 40 + seed)))).collect();
    let accepted = AtomicUsize::new(0);
    (0..total).into_par_iter().for_each(|index: usize| {
        let (case, sent) = &honest[index % honest.len()];
        let mut draw = Draw(977 + index as u64 * 0x9e37_79b9);
        let mut sent = sent.clone();
        // One in eight may change nothing; one in eight changes what the transcript starts from instead.
        let what = match draw.next(8) {
            0 => idle(&mut sent.messages, &mut draw),
            1 => {
                let place = draw.next(3) as usize;
                let [low, high] = &mut sent.digest;
                *[low, high, &mut sent.salt][place] += seven();
                format!("start {place}")
            }
            several => {
                let count = 1 + usize::from(several > 5);
                (0..count).map(|_| mutate(&mut sent.messages, &mut draw)).collect::<Vec<_>>().join(", ")
            }
        };
        let what = format!("transcript {index}: {what}");
        if compare(case, &sent, index % 8 < 2, &what).is_none() {
            accepted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let accepted = accepted.into_inner();
    assert!(accepted > total / 50, "too few are accepted to compare what is shown: {accepted}");
    assert!(accepted < total / 4, "too many are accepted: {accepted}");
}

/// Sends honestly, but for one element; everything later answers the challenges that follow.
struct InFlight {
    inner: PoseidonChannel,
    message: usize,
    element: usize,
    by: F,
}

impl Channel for InFlight {
    fn send(&mut self, label: &'static str, mut values: Vec<F>) {
        if self.inner.messages.len() == self.message {
            values[self.element] += self.by;
        }
        self.inner.send(label, values);
    }
    fn send_opening_value(&mut self, value: F) {
        self.send("", vec![value]);
    }
    fn challenge(&mut self, label: &'static str) -> F {
        self.inner.challenge(label)
    }
}

/// Every element of a transcript changed by itself, after the fact and, for a sample, in flight. Each check is the first to
/// fail of some transcript, so that a check that the circuit lost would be missed.
#[test]
fn every_element_changed_gets_one_verdict() {
    for case in [tiny(), case("[3, 2, 1]", "relu", "squared-error", 2, 1, "0.5")] {
        let sent = honest(&case, 60);
        let known: BTreeSet<Check> = sent.plan(&case).checks.values().copied().collect();
        let stride = if long() { 1 } else { 12 };
        let places: Vec<(usize, usize)> =
            (0..sent.messages.len()).flat_map(|m| (0..sent.messages[m].len()).map(move |e| (m, e))).collect();
        let first: BTreeSet<Check> = places
            .par_iter()
            .enumerate()
            .flat_map_iter(|(index, &(message, element))| {
                let what = format!("message {message}, element {element}");
                let mut changed = sent.clone();
                changed.messages[message][element] += seven();
                let mut first = vec![compare(&case, &changed, false, &what)];
                if index % stride == 0 {
                    let start = Sent { messages: Vec::new(), ..sent.clone() };
                    let inner = PoseidonChannel::new(&start.digest, &start.salt);
                    let mut channel = InFlight { inner, message, element, by: seven() };
                    prove(
                        &crate::common::on_cpu(&witness(&case, 60)),
                        &mut channel,
                        &Silent,
                        &mut Vec::new(),
                    )
                    .expect("it is provable");
                    let sent = Sent { messages: std::mem::take(&mut channel.inner.messages), ..start };
                    first.push(compare(&case, &sent, false, &format!("{what} in flight")));
                }
                first.into_iter().flatten()
            })
            .collect();
        assert_eq!(first, known, "checks that are the first to fail of no transcript");
    }
}

/// Messages of another shape make no plan.
#[test]
fn shapes_are_refused() {
    let case = tiny();
    let sent = honest(&case, 61);
    let refused = |change: &dyn Fn(&mut Vec<Vec<F>>)| {
        let mut sent = sent.clone();
        change(&mut sent.messages);
        plan(&case.layout, &case.program, sent.run()).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|messages| messages.push(vec![F::ZERO])));
    assert!(refused(&|messages| messages.push(Vec::new())));
    assert!(refused(&|messages| messages.truncate(messages.len() - 1)));
    assert!(refused(&|messages| messages.clear()));
    for message in [0, sent.messages.len() / 2, sent.messages.len() - 1] {
        assert!(refused(&|messages| messages[message].push(F::ZERO)));
        assert!(refused(&|messages| {
            messages[message].pop();
        }));
        assert!(refused(&|messages| drop(messages.remove(message))));
        assert!(refused(&|messages| messages.insert(message, Vec::new())));
    }
}

/// The key is made without values, so nothing of the plan may depend on them; zeros and ones included.
#[test]
fn plans_depend_on_the_program_alone() {
    for case in cases() {
        let shape = plan(&case.layout, &case.program, Input::Shape).expect("a shape cannot fail");
        let mut zeros = honest(&case, 70);
        zeros.messages.iter_mut().flatten().for_each(|value| *value = F::ZERO);
        let mut ones = zeros.clone();
        ones.messages.iter_mut().flatten().for_each(|value| *value = F::from(1u64));
        ones.salt = F::ZERO;
        for sent in [honest(&case, 71), honest(&case, 72), zeros, ones] {
            let plan = sent.plan(&case);
            assert_eq!(plan.gates, shape.gates);
            assert_eq!(plan.blocks, shape.blocks);
            assert_eq!(plan.sources, shape.sources);
            assert_eq!(plan.exposed, shape.exposed);
            assert_eq!(plan.checks, shape.checks);
            assert_eq!(plan.piece_sizes(), shape.piece_sizes());
            let (table, shape) = (Table::new(&plan), Table::new(&shape));
            assert_eq!(table.fixed, shape.fixed);
            assert_eq!(table.copies, shape.copies);
        }
    }
}
