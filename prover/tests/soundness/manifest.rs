//! The manifest: every block, message, check and statement field has an attack.
//!
//! The matches name every variant and have no catch-all, so that a new one does not compile before it has an attack; the
//! tests hold that the named attacks exist and do what is said of them.

use std::collections::BTreeSet;

use weightproof_circuits::algebra::{Check, OPENING_VALUE};
use weightproof_circuits::argument::outline;
use weightproof_circuits::layout::{Table, Tensor};
use weightproof_circuits::statement::Statement;

use crate::harness::{Case, linear, probe, relu};
use crate::messages::{LABELS, PUSHED};
use crate::witness::{ATTACKS, Registered};

/// Attacks that alter a tensor's block, by name.
fn attacks_on(tensor: Tensor) -> &'static [&'static str] {
    match tensor {
        Tensor::Input => &["altered_input", "swapped_rows", "repeated_row", "input_out_of_range"],
        Tensor::Label => &["wrong_label", "wrong_target", "two_labels", "no_label", "label_not_a_bit"],
        Tensor::PreActivation(_) => &["rounded_up", "rounded_down", "rounded_up_linear"],
        Tensor::ForwardRemainder(..) => &[
            "forward_limb_too_large",
            "forward_limb_negative",
            "forward_limb_too_large_linear",
            "high_forward_limb_altered",
            "rounded_up_linear",
        ],
        Tensor::Sign(_) => &["sign_opened", "sign_closed", "sign_not_a_bit", "sign_negative"],
        Tensor::BackSum(_) => {
            &["backward_rounded_up", "backward_rounded_down", "backward_rounded_up_remainder_kept"]
        }
        Tensor::BackwardRemainder(..) => &["backward_limb_too_large", "backward_limb_negative"],
        Tensor::Maximum => &["maximum_too_large", "maximum_too_large_and_not_attained", "maximum_too_small"],
        Tensor::Hot => &["hot_elsewhere", "hot_twice", "hot_not_a_bit"],
        Tensor::Distance => &["distance_altered", "maximum_too_small"],
        Tensor::Exponential => &["exponential_altered", "exponential_zero"],
        Tensor::Probability => &["probability_too_large", "probability_altered_remainder_kept"],
        Tensor::DivisionRemainder(_) => &["division_limb_too_large", "division_limb_negative"],
        Tensor::DivisionComplement(_) => &["complement_limb_too_large", "probability_too_small"],
        Tensor::Multiplicity(table) => match table {
            Table::Zero => &["multiplicity_of_padding"],
            Table::Signed16 => &["multiplicity_too_large", "multiplicity_moved"],
            Table::Relu => &["multiplicity_of_signs"],
            Table::Exponential => &["multiplicity_of_exponentials"],
            Table::Bits(1) => &["multiplicity_of_bits"],
            // Other tables of bits: moved with the values that are looked up in them.
            Table::Bits(_) => &["rounded_up", "rounded_up_linear", "division_limb_too_large"],
        },
    }
}

/// A registered attack that a check alone stops, or the test in `messages` that pushes one there.
fn stopped_only_by(check: Check) -> &'static str {
    match check {
        Check::MaximumDistance => "distance_altered",
        Check::HotSum => "maximum_too_large_and_not_attained",
        Check::LabelSum => "two_labels",
        Check::DivisionComplement => "probability_too_small_complement_kept",
        Check::DatasetLink => "wrong_label",
        Check::MatrixProducts => "stale_weights",
        Check::VirtualWeights => "zero_update",
        Check::Gates => "maximum_too_large",
        Check::LookupRoot => "rounded_up",
        Check::LookupLayer(_) => "a_false_lookup_is_stopped_by_each_layer_alone",
        Check::LeafNumerator | Check::LeafDenominator => "a_false_lookup_is_stopped_by_the_leaves",
        Check::OpeningValue => "a_false_lookup_is_pushed_to_the_opening",
    }
}

fn registered(name: &str) -> Option<&'static Registered> {
    ATTACKS.iter().find(|attack| attack.name == name)
}

/// Blocks of a case whose attacks do not reach them.
fn without_attack(case: &'static Case) -> Vec<Tensor> {
    let tensors = case.layout.blocks.iter().map(|block| block.tensor);
    tensors
        .filter(|tensor| {
            let names = attacks_on(*tensor);
            assert!(!names.is_empty(), "{tensor:?} has no attack");
            !names.iter().any(|name| {
                let cheat = (registered(name).unwrap_or_else(|| panic!("{name} is no attack")).material)();
                std::ptr::eq(cheat.case, case) && cheat.touched().contains(tensor)
            })
        })
        .collect()
}

#[test]
fn every_block_has_an_attack_that_changes_it() {
    assert_eq!(without_attack(relu()), []);
    // Blocks of the linear program whose kind is attacked in the other are held to their tables and padding by the
    // sweeps of `witness`, which walk the layout itself; their multiplicities follow the values.
    for tensor in without_attack(linear()) {
        let swept = !matches!(tensor, Tensor::Multiplicity(_));
        let same = relu().layout.blocks.iter().any(|block| block.tensor == tensor);
        assert!(swept || same, "{tensor:?} of the linear program has no attack");
    }
}

#[test]
fn names_are_unique_and_witnesses_differ_from_the_honest_one() {
    let names: BTreeSet<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
    assert_eq!(names.len(), ATTACKS.len());
    for attack in ATTACKS {
        let cheat = (attack.material)();
        let same = cheat.touched().is_empty()
            && cheat.data == cheat.case.honest.data
            && cheat.update == cheat.case.update;
        assert!(!same, "{} changes nothing", attack.name);
    }
}

#[test]
fn every_check_has_an_attack_that_it_alone_stops() {
    for case in [relu(), linear()] {
        let sent = case.honest().prove();
        for (check, _) in probe(case, &sent.messages).sums {
            let name = stopped_only_by(check);
            match registered(name) {
                Some(attack) => assert_eq!(attack.checks, [check], "{name} is stopped by {check:?} alone"),
                None => assert!(
                    PUSHED.iter().any(|(pushed, _)| *pushed == name),
                    "{check:?} has no attack that it alone stops: {name} is none"
                ),
            }
        }
    }
}

#[test]
fn every_message_has_an_attack() {
    let mut seen = BTreeSet::new();
    for case in [relu(), linear()] {
        let sent = case.honest().prove();
        let lengths: Vec<usize> = sent.messages.iter().map(Vec::len).collect();
        assert_eq!(Ok(lengths), outline(&case.layout, &case.program), "the outline is what is sent");
        seen.extend(sent.labels);
    }
    // `messages::suspects` refuses a label that it does not know; every element of each is altered there.
    assert_eq!(seen, LABELS.iter().copied().collect());
    assert!(LABELS.contains(&OPENING_VALUE));
}

#[test]
fn every_field_of_the_statement_has_an_attack() {
    for field in Statement::FIELDS {
        assert!(crate::transcript::changes(field), "the statement's field {field} has no attack");
    }
    assert!(!crate::transcript::changes("a field that there is not"));
}
