//! Attacks on the stored transcript: shapes, order, the statement, and what Fiat–Shamir alone defends.

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::algebra::{ArgumentError, Check};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::field::F;
use weightproof_circuits::statement::{MODE_OPEN, PROTOCOL_VERSION, SEAL_SIGMA, Statement};
use weightproof_circuits::transcript::Transcript;

use crate::harness::{
    Case, Opening, Sent, judge, linear, opened_value, probe, probe_under, relu, shapes, verify, verify_under,
};

fn shape(error: ArgumentError) -> (&'static str, usize, usize) {
    assert_eq!(error.code(), ErrorCode::E301);
    match error {
        ArgumentError::Shape { label, expected, found } => (label, expected, found),
        ArgumentError::Check(check) => panic!("refused by {check:?}, not by its shape"),
    }
}

/// Every check of a case, in order.
fn checks(case: &Case, sent: &Sent) -> Vec<Check> {
    probe(case, &sent.messages).sums.iter().map(|(check, _)| *check).collect()
}

#[test]
fn a_message_of_another_length_is_refused_by_its_label() {
    for case in [relu(), linear()] {
        let sent = case.honest().prove();
        // The control: unaltered, and with every check passed over, shapes alone are left.
        verify(case, &sent.messages, &[]).expect("the honest messages are accepted");
        let all = checks(case, &sent);
        for (index, label) in sent.labels.iter().enumerate() {
            let length = sent.messages[index].len();
            for found in [0, length - 1, length + 1, 2 * length] {
                let mut messages = sent.messages.clone();
                messages[index].resize(found, F::ZERO);
                for skipped in [&[][..], &all] {
                    let refused = verify(case, &messages, skipped).expect_err(label);
                    assert_eq!(shape(refused), (*label, length, found), "message {index}");
                }
            }
        }
    }
}

#[test]
fn omitted_extra_and_reordered_messages_are_refused() {
    for case in [relu(), linear()] {
        let sent = case.honest().prove();
        let all = checks(case, &sent);
        for index in 0..sent.messages.len() {
            let mut omitted = sent.messages.clone();
            omitted.remove(index);
            // With every check off an omission still shows, at the latest at the end.
            assert_eq!(verify(case, &omitted, &all).expect_err("omitted").code(), ErrorCode::E301);
            verify(case, &omitted, &[]).expect_err("omitted");

            let truncated = &sent.messages[..index];
            assert_eq!(verify(case, truncated, &[]).expect_err("truncated").code(), ErrorCode::E301);

            let mut repeated = sent.messages.clone();
            repeated.insert(index, sent.messages[index].clone());
            assert_eq!(verify(case, &repeated, &all).expect_err("repeated").code(), ErrorCode::E301);
            verify(case, &repeated, &[]).expect_err("repeated");

            if index > 0 && sent.messages[index] != sent.messages[index - 1] {
                let mut swapped = sent.messages.clone();
                swapped.swap(index - 1, index);
                verify(case, &swapped, &[]).expect_err("swapped");
            }
        }
        for extra in [vec![], vec![F::ZERO], sent.messages[0].clone()] {
            let mut messages = sent.messages.clone();
            messages.push(extra);
            let refused = verify(case, &messages, &[]).expect_err("an extra message");
            assert_eq!(shape(refused), ("end", 0, 1));
        }
        let refused = verify(case, &[], &[]).expect_err("no message");
        assert_eq!(shape(refused).2, 0);
    }
}

/// Each element of the stored messages, altered without proving again: refused, and every later challenge is another.
#[test]
fn every_later_challenge_depends_on_every_element() {
    for case in [relu(), linear()] {
        let sent = case.honest().prove();
        let honest = probe(case, &sent.messages);
        assert!(honest.failing().is_empty());
        for (index, message) in sent.messages.iter().enumerate() {
            for element in 0..message.len() {
                // One bit: the least of a canonical encoding.
                let mut messages = sent.messages.clone();
                let value = &mut messages[index][element];
                let odd = weightproof_circuits::field::to_bytes(value)[0] & 1 == 1;
                *value += if odd { -F::ONE } else { F::ONE };
                let report = probe(case, &messages);
                for (number, (before, after)) in honest.challenges.iter().zip(&report.challenges).enumerate()
                {
                    let place = format!("message {index}, element {element}, challenge {number}");
                    assert_eq!(before.0, after.0, "{place}");
                    assert_eq!(before.1 != after.1, before.0 > index, "{place}");
                }
                verify(case, &messages, &[]).expect_err("an altered element");
            }
        }
    }
}

/// No two challenges of a transcript are equal, so none is a constant or drawn twice from one state.
#[test]
fn challenges_are_distinct() {
    for case in [relu(), linear()] {
        let sent = case.honest().prove();
        let mut challenges: Vec<F> = probe(case, &sent.messages).challenges.iter().map(|(_, c)| *c).collect();
        challenges.sort();
        assert!(challenges.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

/// A round is altered so that its own challenge hides it: with the challenges replayed the verifier accepts, so binding
/// the message before the challenge is the defence.
#[test]
fn cancellations_work_only_under_replayed_challenges() {
    for case in [relu(), linear()] {
        let cheat = case.honest();
        let sent = cheat.prove();
        let honest = probe(case, &sent.messages);
        let replayed: Vec<F> = honest.challenges.iter().map(|(_, c)| *c).collect();
        let mut count = 0;
        for (index, label) in sent.labels.iter().enumerate() {
            let rounds = ["products", "weights", "gates", "fraction rounds", "reduction"];
            if !rounds.contains(label) {
                continue;
            }
            count += 1;
            // The next claim is claim + t₁(ρ − ω) + t₂(ρ² − ω): the slopes are measured at the check that ends the piece.
            let mut slopes = Vec::new();
            for element in 0..2 {
                let mut messages = sent.messages.clone();
                messages[index][element] += F::ONE;
                let report = probe_under(case, case.transcript(), &messages, Some(&replayed)).expect("shape");
                let failing = report.failing();
                assert_eq!(failing.len(), 1, "{label}: {failing:?}");
                slopes.push(report.sum(failing[0]));
            }
            let mut messages = sent.messages.clone();
            messages[index][0] += slopes[1];
            messages[index][1] -= slopes[0];
            let frozen = probe_under(case, case.transcript(), &messages, Some(&replayed)).expect("shape");
            assert!(frozen.failing().is_empty(), "{label}: VACUOUS: {:?}", frozen.failing());
            assert_eq!(frozen.opening, honest.opening, "{label}: the opening claim is unchanged");
            verify(case, &messages, &[]).expect_err("under live challenges the cancellation fails");
        }
        assert!(count > 100, "every round of every sumcheck, found {count}");
    }
}

/// False claims that cancel in everything that follows: they are bound before `η`.
///
/// Four values of the `leaves` meet three linear checks: the two of the leaves and the reduction. Who knows `η` before
/// it sends them finds a lie that all three accept; who does not is refused.
#[test]
fn claims_are_bound_before_they_are_batched() {
    for case in [relu(), linear()] {
        let sent = case.honest().prove();
        let honest = probe(case, &sent.messages);
        let replayed: Vec<F> = honest.challenges.iter().map(|(_, c)| *c).collect();
        let index = sent.index("leaves", 0);
        let watched = [Check::LeafNumerator, Check::LeafDenominator, Check::OpeningValue];
        let rows: Vec<[F; 3]> = (0..4)
            .map(|element| {
                let mut messages = sent.messages.clone();
                messages[index][element] += F::ONE;
                let report = probe_under(case, case.transcript(), &messages, Some(&replayed)).expect("shape");
                watched.map(|check| report.sum(check))
            })
            .collect();
        // The kernel of a 3×4 matrix: its signed minors.
        let minor = |skipped: usize| {
            let [a, b, c] = [0, 1, 2].map(|i| rows[if i < skipped { i } else { i + 1 }]);
            a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
                + a[2] * (b[0] * c[1] - b[1] * c[0])
        };
        let mut messages = sent.messages.clone();
        for (element, value) in messages[index].iter_mut().enumerate().take(4) {
            let by = if element % 2 == 0 { minor(element) } else { -minor(element) };
            *value += by;
        }
        assert_ne!(messages, sent.messages);
        let frozen = probe_under(case, case.transcript(), &messages, Some(&replayed)).expect("shape");
        assert!(frozen.failing().is_empty(), "VACUOUS: {:?}", frozen.failing());
        assert_eq!(frozen.opening, honest.opening, "with η known the lie reaches the opening unseen");
        verify(case, &messages, &[]).expect_err("under live challenges nothing cancels");
    }
}

/// A claim in the open: a statement with every field set.
fn statement(case: &Case) -> Statement {
    Statement {
        protocol_version: PROTOCOL_VERSION,
        seal: SEAL_SIGMA,
        seal_key_digest: [0; 32],
        mode: MODE_OPEN,
        space: [1; 32],
        round: 2,
        beacon: [3; 32],
        program_digest: case.program.digest(),
        dataset_root: [5; 32],
        dataset_rows: 569,
        model_version: 7,
        model_digest: case.base.digest(&case.program).expect("the model's shape"),
        update_digest: case.update.digest(&case.program).expect("the update's shape"),
        contributor: [10; 32],
        payout: b"account".to_vec(),
    }
}

/// Whether a field of the statement has a change.
pub fn changes(field: &str) -> bool {
    change(&mut statement(relu()), field)
}

/// One change for each field; a field without one fails the manifest.
fn change(statement: &mut Statement, field: &str) -> bool {
    match field {
        "protocol_version" => statement.protocol_version += 1,
        "seal" => statement.seal += 1,
        "seal_key_digest" => statement.seal_key_digest[7] ^= 1,
        "mode" => statement.mode += 1,
        "space" => statement.space[0] ^= 1,
        "round" => statement.round += 1,
        "beacon" => statement.beacon[31] ^= 128,
        "program_digest" => statement.program_digest[1] ^= 1,
        "dataset_root" => statement.dataset_root[2] ^= 1,
        "dataset_rows" => statement.dataset_rows -= 1,
        "model_version" => statement.model_version += 1,
        "model_digest" => statement.model_digest[3] ^= 1,
        "update_digest" => statement.update_digest[4] ^= 1,
        "contributor" => statement.contributor[5] ^= 1,
        "payout" => statement.payout.push(0),
        _ => return false,
    }
    true
}

#[test]
fn every_field_of_the_statement_is_bound() {
    let case = relu();
    let cheat = case.honest();
    let original = statement(case);
    let under = |statement: &Statement| Transcript::new("soundness", &statement.digest());
    let sent = cheat.prove_under(under(&original));
    // The control: under the statement that was proved, the messages are accepted.
    let claim =
        verify_under(case, under(&original), &sent.messages, &[]).expect("the statement that was proved");
    assert_eq!(opened_value(&cheat, &case.base, &case.exponential, &claim), claim.value);
    for field in Statement::FIELDS {
        let mut changed = original.clone();
        assert!(change(&mut changed, field), "{field}");
        assert_ne!(changed, original, "{field}");
        let refused = verify_under(case, under(&changed), &sent.messages, &[]).expect_err(field);
        assert!(matches!(refused, ArgumentError::Check(_)), "{field}: {refused}");
        // Every challenge is another, the first included.
        let before = probe_under(case, under(&original), &sent.messages, None).expect("shape");
        let after = probe_under(case, under(&changed), &sent.messages, None).expect("shape");
        assert!(before.challenges.iter().zip(&after.challenges).all(|(a, b)| a.1 != b.1), "{field}");
    }
    // Another protocol name is another transcript, too.
    let other = Transcript::new("soundness, another", &original.digest());
    verify_under(case, other, &sent.messages, &[]).expect_err("another protocol");
}

/// A transcript of zeros is refused, by several checks and by the opening.
#[test]
fn zeros_prove_nothing() {
    for case in [relu(), linear()].into_iter().chain(shapes()) {
        let cheat = case.honest();
        let mut sent = cheat.prove();
        sent.messages.iter_mut().for_each(|message| message.fill(F::ZERO));
        let failing = probe(case, &sent.messages).failing();
        assert!(failing.contains(&Check::MatrixProducts), "{failing:?}");
        judge("zeros", &cheat, &sent, &failing, Opening::False);
    }
}

/// Messages of one program, or of one dataset, do not serve for another.
#[test]
fn transcripts_do_not_splice() {
    let (a, b) = (relu(), linear());
    let (first, second) = (a.honest().prove(), b.honest().prove());
    assert_eq!(verify(a, &second.messages, &[]).expect_err("another program").code(), ErrorCode::E301);
    assert_eq!(verify(b, &first.messages, &[]).expect_err("another program").code(), ErrorCode::E301);
    // The halves of two proofs of one program, cut at every message.
    let mut other = a.honest();
    other.update.layers[0].weights[0] += 1;
    let lie = other.prove();
    judge("splice", &other, &lie, &[Check::VirtualWeights], Opening::True);
    for cut in 1..first.messages.len() {
        let messages: Vec<Vec<F>> =
            first.messages[..cut].iter().chain(&lie.messages[cut..]).cloned().collect();
        if messages != first.messages {
            verify(a, &messages, &[]).expect_err("spliced");
        }
    }
}
