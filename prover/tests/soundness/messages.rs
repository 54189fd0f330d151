//! Attacks on the messages in flight: what follows is proved under the challenges that follow.
//!
//! A false statement is pushed from check to check: a message is altered so that the first check passes, and a later one
//! must refuse, down to the opening. So each check has an attack that it alone stops, and no claim can change on its way
//! from one piece to the next.

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::algebra::{Check, OPENING_VALUE};
use weightproof_circuits::argument::lookup::prefix_weight;
use weightproof_circuits::argument::sumcheck::as_point;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Layout, Table, Tensor};

use crate::harness::{Case, Cheat, Opening, Outgoing, Sent, compensation, judge, linear, long, probe, relu};
use crate::witness;

/// Every message that a program sends, by label.
pub const LABELS: &[&str] = &[
    "relations",
    "products",
    "product factors",
    "parameters",
    "weights",
    "weight factors",
    "gates",
    "gate factors",
    "fractions",
    "fraction rounds",
    "leaves",
    "reduction",
    OPENING_VALUE,
];

/// Tests here that leave a single check to stop an attack, for checks that no witness alone can fail.
pub const PUSHED: &[(&str, fn())] = &[
    ("a_false_lookup_is_stopped_by_each_layer_alone", a_false_lookup_is_stopped_by_each_layer_alone),
    ("a_false_lookup_is_stopped_by_the_leaves", a_false_lookup_is_stopped_by_the_leaves),
    ("a_false_lookup_is_pushed_to_the_opening", a_false_lookup_is_pushed_to_the_opening),
];

/// The material of a registered witness attack.
fn material(name: &str) -> Cheat {
    (witness::ATTACKS.iter().find(|a| a.name == name).expect("a registered attack").material)()
}

/// A cheat with alterations of single elements, applied in the order in which messages are sent.
struct Push {
    cheat: Cheat,
    alterations: Vec<(usize, usize, F)>,
    sent: Sent,
}

impl Push {
    fn new(cheat: Cheat) -> Self {
        let sent = cheat.prove();
        Self { cheat, alterations: Vec::new(), sent }
    }

    /// Alters one element so that a check passes, and proves again what follows.
    fn past(&mut self, check: Check, label: &str, occurrence: usize, element: usize) {
        let message = self.sent.index(label, occurrence);
        let by = compensation(self.cheat.case, &self.sent, message, element, check);
        assert_ne!(by, F::ZERO, "{check:?} fails before it is made to pass");
        self.alterations.push((message, element, by));
        let alterations = &self.alterations;
        self.sent = self.cheat.prove_tampered(&mut |out| {
            for (message, element, by) in alterations {
                if out.index == *message {
                    out.values[*element] += by;
                }
            }
        });
    }

    fn judge(&self, name: &str, expected: &[Check], opening: Opening) {
        judge(name, &self.cheat, &self.sent, expected, opening);
    }
}

/// A relation is made to hold by a lie about one tensor's value, which the reduction refuses, and a lie about the opened
/// value, which the opening refuses.
#[test]
fn a_false_relation_is_pushed_to_the_opening() {
    let relu = relu();
    // Data is the first value; the loss's values follow the layers'. Every element named here is used by its check.
    let limbs = relu.layout.remainder_limbs.len();
    let loss = 3 + (3 + 2 * limbs) + (2 + limbs);
    for (attack, check, element) in [
        ("wrong_label", Check::DatasetLink, 0),
        ("distance_altered", Check::MaximumDistance, loss),
        ("maximum_too_large_and_not_attained", Check::HotSum, loss + 1),
        ("two_labels", Check::LabelSum, loss + 2),
        ("complement_altered", Check::DivisionComplement, loss + 6 + 2),
    ] {
        let mut push = Push::new(material(attack));
        push.judge(attack, &[check], Opening::True);
        push.past(check, "relations", 0, element);
        push.judge(attack, &[Check::OpeningValue], Opening::True);
        push.past(Check::OpeningValue, OPENING_VALUE, 0, 0);
        push.judge(attack, &[], Opening::False);
    }
}

/// Stale weights: first the virtual weights lie, then a factor, then the opened value.
#[test]
fn a_false_product_is_pushed_to_the_opening() {
    for attack in ["stale_weights", "rounded_up_remainder_kept_linear", "errors_of_a_step_zeroed"] {
        let mut push = Push::new(material(attack));
        push.judge(attack, &[Check::MatrixProducts], Opening::True);
        // The last value is a virtual weight that no committed polynomial holds.
        let last = push.sent.messages[push.sent.index("product factors", 0)].len() - 1;
        push.past(Check::MatrixProducts, "product factors", 0, last);
        push.judge(attack, &[Check::VirtualWeights], Opening::True);
        push.past(Check::VirtualWeights, "weight factors", 0, 0);
        push.judge(attack, &[Check::OpeningValue], Opening::True);
        push.past(Check::OpeningValue, OPENING_VALUE, 0, 0);
        push.judge(attack, &[], Opening::False);
    }
}

/// A false update, pushed on through the claim of the base model's weights.
#[test]
fn a_false_update_is_pushed_to_the_opening() {
    for attack in ["zero_update", "other_learning_rate", "altered_update_bias"] {
        let mut push = Push::new(material(attack));
        push.past(Check::VirtualWeights, "weight factors", 0, 1);
        // With gates the error is a gated claim and the gates refuse; without, the reduction does.
        let failing = probe(push.cheat.case, &push.sent.messages).failing();
        push.judge(attack, &failing, Opening::True);
        assert!([Check::Gates, Check::OpeningValue].contains(&failing[0]), "{failing:?}");
        if failing[0] == Check::Gates {
            push.past(Check::Gates, "gate factors", 0, 0);
            push.judge(attack, &[Check::OpeningValue], Opening::True);
        }
        push.past(Check::OpeningValue, OPENING_VALUE, 0, 0);
        push.judge(attack, &[], Opening::False);
    }
}

/// A false maximum or quotient is pushed past the gates.
#[test]
fn a_false_gate_is_pushed_to_the_opening() {
    for attack in ["maximum_too_large", "probability_altered_remainder_kept", "hot_elsewhere"] {
        let mut push = Push::new(material(attack));
        push.judge(attack, &[Check::Gates], Opening::True);
        push.past(Check::Gates, "gate factors", 0, 1);
        push.judge(attack, &[Check::OpeningValue], Opening::True);
        push.past(Check::OpeningValue, OPENING_VALUE, 0, 0);
        push.judge(attack, &[], Opening::False);
    }
}

/// Where a lie about the sum of fractions is left.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    /// In the layer of this level.
    Layer(usize),
    /// In the leaves' numerators.
    Numerator,
    /// In the leaves' denominators.
    Denominator,
    /// In the claims of step 4.
    Reduction,
}

/// Makes the root zero and pushes the difference down the tree.
///
/// The prover's own claims stay true, so the verifier's differ from them by a known amount in each layer.
struct TreePush<'a> {
    layout: &'a Layout,
    stop: Stop,
    /// Added to the even numerator and denominator of the last `fractions`.
    numerator: F,
    denominator: F,
    rounds: usize,
}

impl TreePush<'_> {
    fn tamper(&mut self, out: &mut Outgoing<'_>) {
        match (out.label, out.occurrence) {
            ("fractions", 0) => {
                let v = &out.values;
                let sum = v[0] * v[3] + v[1] * v[2];
                self.numerator = -sum * v[3].inverse().expect("a denominator");
                out.values[0] += self.numerator;
            }
            ("fractions", level) => {
                let (lambda, difference) = (out.last("lambda"), self.difference(out));
                let (numerator, denominator) = difference;
                let claim = numerator + lambda * denominator;
                (self.numerator, self.denominator) = (F::ZERO, F::ZERO);
                if self.stop == Stop::Layer(level) {
                    return;
                }
                let v = &out.values;
                if self.stop == Stop::Denominator && level + 1 == self.layout.variables {
                    self.denominator = claim * (lambda * v[3] + v[1]).inverse().expect("a slope");
                } else {
                    self.numerator = claim * v[3].inverse().expect("a denominator");
                }
                out.values[0] += self.numerator;
                out.values[2] += self.denominator;
            }
            ("fraction rounds", occurrence) => self.rounds = occurrence + 1,
            ("leaves", _) if self.stop == Stop::Reduction => {
                let (numerator, _) = self.difference(out);
                // The leaf point: the last layer's challenges, most significant first, and the last ν.
                let last = self.layout.variables - 1;
                let drawn: Vec<F> =
                    out.challenges.iter().filter(|(l, _)| *l == "fraction rounds").map(|(_, c)| *c).collect();
                assert_eq!(drawn.len(), self.rounds);
                let mut point = as_point(&drawn[drawn.len() - last..]);
                point.push(out.last("nu"));
                let table = Table::Signed16;
                let slot = self.layout.tables.iter().position(|t| *t == table).expect("the table is used");
                let block = self.layout.block(Tensor::Multiplicity(table)).expect("the table has a block");
                let weight = prefix_weight(self.layout, block, &point);
                // numerator: −n − weight·m;  denominator: −w + weight·m.
                let multiplicity = -numerator * weight.inverse().expect("a weight");
                out.values[1 + slot] += multiplicity;
                out.values[0] += weight * multiplicity;
            }
            _ => {}
        }
    }

    /// What the verifier's claims at the present point are above the prover's.
    fn difference(&self, out: &Outgoing<'_>) -> (F, F) {
        let even = F::ONE - out.last("nu");
        (even * self.numerator, even * self.denominator)
    }
}

fn push_down(attack: &str, stop: Stop) -> Push {
    let cheat = material(attack);
    let mut push =
        TreePush { layout: &cheat.case.layout, stop, numerator: F::ZERO, denominator: F::ZERO, rounds: 0 };
    let sent = cheat.prove_tampered(&mut |out| push.tamper(out));
    Push { cheat, alterations: Vec::new(), sent }
}

/// A value outside its table, with the root made zero: each layer of the tree is the only one to refuse in its turn.
#[test]
fn a_false_lookup_is_stopped_by_each_layer_alone() {
    for attack in ["rounded_up", "rounded_up_linear"] {
        let last = material(attack).case.layout.variables - 1;
        for level in 1..=last {
            // The middle layers run the same code.
            if !long() && level > 2 && level + 2 < last && level % 4 != 0 {
                continue;
            }
            let push = push_down(attack, Stop::Layer(level));
            push.judge(&format!("{attack}, layer {level}"), &[Check::LookupLayer(level)], Opening::True);
        }
    }
}

#[test]
fn a_false_lookup_is_stopped_by_the_leaves() {
    for attack in ["rounded_up", "multiplicity_moved", "rounded_up_linear"] {
        let push = push_down(attack, Stop::Numerator);
        push.judge(attack, &[Check::LeafNumerator], Opening::True);
        let push = push_down(attack, Stop::Denominator);
        push.judge(attack, &[Check::LeafDenominator], Opening::True);
    }
}

#[test]
fn a_false_lookup_is_pushed_to_the_opening() {
    for attack in ["rounded_up", "sign_opened", "rounded_up_linear"] {
        let push = push_down(attack, Stop::Reduction);
        push.judge(attack, &[Check::OpeningValue], Opening::True);
        // No challenge follows the opened value, so it is altered in place.
        let message = push.sent.index(OPENING_VALUE, 0);
        let by = compensation(push.cheat.case, &push.sent, message, 0, Check::OpeningValue);
        let mut sent = push.sent.clone();
        sent.messages[message][0] += by;
        judge(attack, &push.cheat, &sent, &[], Opening::False);
    }
}

/// The tree's zero denominators: a root of zeros satisfies `p₀q₁ + p₁q₀ = 0` and must fall in the first layer.
#[test]
fn a_root_of_zeros_is_refused() {
    for attack in ["rounded_up", "rounded_up_linear"] {
        let cheat = material(attack);
        let sent = cheat.prove_tampered(&mut |out| {
            if (out.label, out.occurrence) == ("fractions", 0) {
                out.values.fill(F::ZERO);
            }
        });
        judge(attack, &cheat, &sent, &[Check::LookupLayer(1)], Opening::True);
    }
}

/// The checks that may refuse when one element of a message is altered and everything after is proved honestly, and how
/// many must: a claim stands between two pieces, of which either refuses; a round belongs to one.
fn suspects(case: &Case, label: &str, occurrence: usize, element: usize) -> (Vec<Check>, usize) {
    use Check::*;
    let last = case.layout.variables - 1;
    match label {
        "relations" => {
            let relations = [MaximumDistance, HotSum, LabelSum, DivisionComplement, DatasetLink];
            let later = [MatrixProducts, VirtualWeights, Gates, OpeningValue];
            (relations.into_iter().chain(later).collect(), 2)
        }
        "product factors" => (vec![MatrixProducts, VirtualWeights, Gates, OpeningValue], 2),
        "parameters" => (vec![VirtualWeights, OpeningValue], 2),
        "weight factors" => (vec![VirtualWeights, Gates, OpeningValue], 2),
        "gate factors" => (vec![Gates, OpeningValue], 2),
        "fractions" => {
            let own = if occurrence == 0 { LookupRoot } else { LookupLayer(occurrence) };
            let leaf = if element < 2 { LeafNumerator } else { LeafDenominator };
            (vec![own, if occurrence < last { LookupLayer(occurrence + 1) } else { leaf }], 2)
        }
        "leaves" => (vec![LeafNumerator, LeafDenominator, OpeningValue], 2),
        "products" => (vec![MatrixProducts], 1),
        "weights" => (vec![VirtualWeights], 1),
        "gates" => (vec![Gates], 1),
        "fraction rounds" => {
            // Level l has l rounds.
            let level = (1..=last).find(|l| occurrence < l * (l + 1) / 2).expect("a level");
            (vec![LookupLayer(level)], 1)
        }
        "reduction" | OPENING_VALUE => (vec![OpeningValue], 1),
        other => panic!("the message {other} has no attack: say which checks hold it"),
    }
}

/// Every element of every message, one more than it is.
///
/// The default run takes every claim and a share of the rounds.
#[test]
fn every_element_of_every_message_is_held() {
    for case in [relu(), linear()] {
        let cheat = case.honest();
        let honest = cheat.prove();
        let mut taken = 0usize;
        for (index, (label, message)) in honest.labels.iter().zip(&honest.messages).enumerate() {
            let occurrence = honest.labels[..index].iter().filter(|l| *l == label).count();
            for element in 0..message.len() {
                taken += 1;
                let share = match *label {
                    "fraction rounds" => 41,
                    "fractions" => 7,
                    "reduction" => 5,
                    "products" | "weights" | "gates" => 3,
                    _ if case.layout.is_softmax() => 2,
                    _ => 3,
                };
                if !long() && !taken.is_multiple_of(share) {
                    continue;
                }
                let sent = cheat.prove_tampered(&mut |out| {
                    if out.index == index {
                        out.values[element] += F::ONE;
                    }
                });
                let failing = probe(case, &sent.messages).failing();
                let name = format!("{label} {occurrence}, element {element}");
                let (suspects, least) = suspects(case, label, occurrence, element);
                assert!(failing.len() >= least, "SOUNDNESS: {name}: only {failing:?} refuse");
                assert!(failing.iter().all(|check| suspects.contains(check)), "{name}: {failing:?}");
                // The opened value itself is also what the opening refuses.
                let opening = if *label == OPENING_VALUE { Opening::False } else { Opening::True };
                judge(&name, &cheat, &sent, &failing, opening);
            }
        }
    }
}
