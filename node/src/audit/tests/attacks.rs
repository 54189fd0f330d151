//! Every class of tampering, by whoever passes a bundle on and by the operator who can sign again.
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;
use weightproof_ledger::action::SignedReceipt;
use weightproof_ledger::event::{Effect, Event, Outcome};
use weightproof_ledger::log::Checkpoint;
use weightproof_ledger::signed::Message;

use super::world::{NODE, ORIGIN, Offer, Parts, World, id, key, submission};
use super::{Verdict, finding, report};
use crate::core::Judgement;

fn parts() -> Parts {
    Parts::of(&World::get().second)
}

/// Code and first bad entry.
#[track_caller]
fn found(parts: &Parts) -> (String, Option<u64>) {
    let found = finding(&parts.encode());
    (found.code, found.entry)
}

fn at(code: &str, entry: usize) -> (String, Option<u64>) {
    (code.to_owned(), Some(entry as u64))
}

fn nowhere(code: &str) -> (String, Option<u64>) {
    (code.to_owned(), None)
}

#[test]
fn an_edited_entry_is_found() {
    let honest = parts();
    let mut named = 0;
    for index in 0..honest.entries.len() {
        let length = honest.entries[index].len();
        for place in [0, 8, 17, length / 2, length - 1] {
            let mut parts = honest.clone();
            parts.entries[index][place] ^= 1;
            let (code, entry) = found(&parts);
            // Most edits do not follow from what is before. One that does is found at the latest by the root.
            match entry {
                Some(entry) => {
                    assert_eq!(code, "E506", "entry {index}, byte {place}");
                    assert!(entry >= index as u64, "entry {index}, byte {place}: {entry} is blamed");
                    named += usize::from(entry == index as u64);
                }
                None => assert_eq!(code, "E504", "entry {index}, byte {place}"),
            }
        }
    }
    assert!(named > 4 * honest.entries.len(), "{named} of {} are named", 5 * honest.entries.len());
}

#[test]
fn an_edit_that_follows_is_found_by_the_root() {
    let mut parts = parts();
    let last = parts.entries.len() - 1;
    parts.edit(last, |entry| entry.time += 1);
    // The last entry opens a round: its end moves with the time.
    parts.edit(last, |entry| match entry.effects.last_mut() {
        Some(Effect::RoundOpened { closes, .. }) => *closes += 1,
        other => panic!("{other:?}"),
    });
    assert_eq!(found(&parts), nowhere("E504"));
}

#[test]
fn removed_reordered_inserted_and_cut_entries_are_found() {
    let honest = parts();
    let count = honest.entries.len();
    for index in 0..count {
        let mut removed = honest.clone();
        removed.entries.remove(index);
        let expected = if index + 1 == count { at("E504", index) } else { at("E506", index) };
        assert_eq!(found(&removed), expected, "removed {index}");

        let mut twice = honest.clone();
        twice.entries.insert(index + 1, honest.entries[index].clone());
        assert_eq!(found(&twice), at("E506", index + 1), "{index} twice");

        if index + 1 < count {
            let mut swapped = honest.clone();
            swapped.entries.swap(index, index + 1);
            assert_eq!(found(&swapped), at("E506", index), "{index} and the next");
            let mut cut = honest.clone();
            cut.entries.truncate(index);
            assert_eq!(found(&cut), at("E504", index), "cut before {index}");
        }
    }
}

#[test]
fn entries_and_checkpoint_belong_together() {
    let world = World::get();
    // More entries than were signed, each of which follows; and the other way round.
    let mut more = parts();
    more.header.checkpoint.clone_from(&world.earlier);
    let size: usize = world.earlier.lines().nth(1).unwrap().parse().unwrap();
    assert_eq!(found(&more), at("E504", size));
    let mut fewer = parts();
    fewer.entries.truncate(size);
    assert_eq!(found(&fewer), at("E504", size));
    // The control: the earlier entries with the earlier checkpoint are an honest, older bundle.
    fewer.header.checkpoint.clone_from(&world.earlier);
    assert_eq!(report(&fewer.encode(), None).verdict, Verdict::Valid);
}

#[test]
fn a_checkpoint_is_of_the_pinned_key() {
    let honest = parts();
    let pinned = report(&honest.encode(), Some(&id(9)));
    assert_eq!(pinned.failure.unwrap().code, "E308");

    // Another key signs these entries and calls itself the node's.
    let tree: weightproof_ledger::log::Tree =
        honest.entries.iter().map(|entry| weightproof_ledger::log::leaf_hash(entry)).collect();
    let checkpoint = Checkpoint::new(ORIGIN, tree.len(), tree.root()).unwrap();
    let mut other = honest.clone();
    other.header.checkpoint = checkpoint.sign(&key(9)).unwrap();
    assert_eq!(found(&other), nowhere("E205"));
    other.header.network = id(9);
    let unpinned = report(&other.encode(), None).failure.unwrap();
    assert_eq!((unpinned.code.as_str(), unpinned.entry), ("E201", Some(0)), "the log names its own key");

    let mut weak = honest.clone();
    weak.header.network = [0; 32];
    assert_eq!(report(&weak.encode(), None).failure.unwrap().code, "E104");
    let mut renamed = honest.clone();
    renamed.header.origin = "another.example/log".to_owned();
    assert_eq!(found(&renamed), nowhere("E205"));
    let mut flipped = honest.clone();
    flipped.header.checkpoint = flipped.header.checkpoint.replacen('\n', "x\n", 1);
    assert_eq!(found(&flipped), nowhere("E205"));
    let mut unsigned = honest;
    unsigned.header.checkpoint = "no note".to_owned();
    assert_eq!(found(&unsigned), nowhere("E106"));
}

#[test]
fn a_bundle_is_of_its_space_and_version() {
    let change = |change: fn(&mut Parts)| {
        let mut parts = parts();
        change(&mut parts);
        found(&parts)
    };
    assert_eq!(change(|parts| parts.header.version = 99), nowhere("E201"));
    assert_eq!(change(|parts| parts.header.version = u64::MAX), nowhere("E201"));
    assert_eq!(change(|parts| parts.header.space[0] ^= 1), nowhere("E201"));
    // Versions with fewer and with more contributions than there are.
    assert_eq!(change(|parts| parts.header.version = 1), nowhere("E201"));
    assert_eq!(change(|parts| parts.contributions.truncate(3)), nowhere("E106"));
    assert_eq!(change(|parts| parts.contributions.push(parts.contributions[0].clone())), nowhere("E201"));
}

#[test]
fn a_contribution_is_the_signed_one_in_its_place() {
    let honest = parts();
    let entry = |place: usize| {
        let report = report(&honest.encode(), None);
        report.contributions().nth(place).unwrap().entry as usize
    };
    let entries = [0, 1, 2, 3].map(entry);

    let mut swapped = honest.clone();
    swapped.contributions.swap(1, 2);
    assert_eq!(found(&swapped), at("E201", entries[1]));
    // Right names, wrong files.
    let mut files = honest.clone();
    let file = files.contributions[0].1.clone();
    files.contributions[0].1 = std::mem::replace(&mut files.contributions[3].1, file);
    assert_eq!(found(&files), at("E201", entries[0]));
    for place in [0, 5, 200, 5_000] {
        let mut flipped = honest.clone();
        flipped.contributions[2].1[place] ^= 0x10;
        let found = finding(&flipped.encode());
        assert_eq!((found.code.as_str(), found.entry), ("E201", Some(entries[2] as u64)));
        let digest = crate::output::hex(&honest.contributions[2].0.statement_digest);
        assert_eq!(found.contribution.as_deref(), Some(digest.as_str()));
        assert!(found.message.contains("SHA-256"), "{}", found.message);
    }
    let mut longer = honest.clone();
    longer.contributions[3].1.push(0);
    assert_eq!(found(&longer), at("E201", entries[3]));
    // What was proven before is still said.
    let partly = report(&longer.encode(), None);
    assert_eq!(partly.summary, "3/4 contributions proven, lineage depth 2, 1 gap");

    let mut trailing = honest.encode();
    trailing.push(0);
    assert_eq!(finding(&trailing).code, "E102");
    let whole = honest.encode();
    for end in [3, 40, whole.len() / 3, whole.len() - 1] {
        assert_eq!(finding(&whole[..end]).code, "E106", "cut at {end}");
    }
    let mut newer = whole;
    newer[3] = b'2';
    assert_eq!(report(&newer, None).verdict, Verdict::NeedsNewerVersion);
}

#[test]
fn receipts_agree_with_the_log() {
    let with = |change: fn(&mut Parts)| {
        let mut parts = parts();
        change(&mut parts);
        parts.encode()
    };
    // The control: a receipt may be missing.
    let without = report(&with(|parts| parts.contributions[1].0.receipt = None), None);
    assert_eq!(without.verdict, Verdict::Valid);
    assert_eq!(without.contributions().filter(|made| made.receipt).count(), 3);

    fn receipt(parts: &mut Parts) -> &mut SignedReceipt {
        parts.contributions[1].0.receipt.as_mut().unwrap()
    }
    assert_eq!(finding(&with(|parts| receipt(parts).signature[3] ^= 1)).code, "E205");
    assert_eq!(finding(&with(|parts| receipt(parts).receipt.reward += 1)).code, "E205");
    let other = with(|parts| parts.contributions[1].0.receipt = parts.contributions[0].0.receipt.clone());
    assert_eq!(finding(&other).code, "E201");
    // The node itself signs another story.
    let contradicting: [fn(&mut SignedReceipt); 5] = [
        |signed| signed.receipt.reward += 1,
        |signed| signed.receipt.entry += 1,
        |signed| signed.receipt.verdict = 307,
        |signed| signed.receipt.time += 1,
        |signed| signed.receipt.file_digest[0] ^= 1,
    ];
    for change in contradicting {
        let mut parts = parts();
        let signed = receipt(&mut parts);
        change(signed);
        signed.signature = signed.receipt.sign(&key(NODE));
        assert_eq!(finding(&parts.encode()).code, "E504");
    }
}

#[test]
fn the_operator_cannot_pay_otherwise_than_by_the_rules() {
    let honest = parts();
    let accepted = honest.position(|entry| matches!(entry.event, Event::Contribution { .. }));
    let mut parts = honest.clone();
    parts.edit(accepted, |entry| {
        for effect in &mut entry.effects {
            if let Effect::Credited { amount, .. } = effect {
                *amount += 1;
            }
        }
    });
    parts.sign_again();
    assert_eq!(found(&parts), at("E506", accepted));
    // Nor publish another model than the one that contributions led to.
    let closed = honest.position(|entry| matches!(entry.event, Event::CloseRound { .. }));
    let mut parts = honest.clone();
    parts.edit(closed, |entry| {
        for effect in &mut entry.effects {
            if let Effect::RoundClosed { digest, .. } = effect {
                digest[0] ^= 1;
            }
        }
    });
    parts.sign_again();
    assert_eq!(found(&parts), at("E506", closed));
    // Nor choose the beacon.
    let opened = honest.position(|entry| matches!(entry.event, Event::OpenRound { .. }));
    let mut parts = honest.clone();
    parts.edit(opened, |entry| {
        if let Event::OpenRound { randomness, .. } = &mut entry.event {
            randomness[0] ^= 1;
        }
    });
    parts.sign_again();
    assert_eq!(found(&parts), at("E506", opened));
    // The control: signing again what was not changed is an honest bundle.
    let mut parts = honest;
    parts.sign_again();
    assert_eq!(report(&parts.encode(), Some(&id(NODE))).verdict, Verdict::Valid);
}

#[test]
fn the_operator_cannot_lie_about_a_proof() {
    let world = World::get();
    // The control: the same node, honest.
    let mut node = world.node();
    node.take(&world.first);
    let honest = node.end();
    assert_eq!(report(&honest, None).summary, "1/1 contributions proven, lineage depth 1, 0 gaps");
    let accepted = Parts::of(&honest).position(|entry| matches!(entry.event, Event::Contribution { .. }));

    // It adds another update than the proven one: replay cannot tell, the integers can.
    let mut node = world.node();
    let mut update = world.first.update.clone();
    update.layers[0].weights[0] += 1;
    let largest = world.first.update.largest();
    node.take_as(&world.first, Judgement::Valid { update, largest });
    let found = finding(&node.end());
    assert_eq!((found.code.as_str(), found.entry), ("E506", Some(accepted as u64)), "{}", found.message);

    // It misstates how large the update is.
    let mut node = world.node();
    let (update, largest) = (world.first.update.clone(), world.first.update.largest() + 1);
    node.take_as(&world.first, Judgement::Valid { update, largest });
    let found = finding(&node.end());
    assert_eq!((found.code.as_str(), found.entry), ("E506", Some(accepted as u64)), "{}", found.message);

    // It takes a file whose proof fails, signed by a contributor who is in it with the operator.
    let mut file = world.first.file.clone();
    let last = file.len() - 40;
    file[last] ^= 1;
    let statement = world.first.signed.submission.statement().unwrap();
    let forged = Offer { signed: submission(&statement, &file, 1), file, update: world.first.update.clone() };
    let mut node = world.node();
    node.take(&forged);
    let found = finding(&node.end());
    assert!(found.code.starts_with("E3"), "{}: {}", found.code, found.message);
    assert_eq!(found.entry, Some(accepted as u64));

    // It takes a file about something else than what was signed.
    let mut other = statement.clone();
    other.payout = id(2).to_vec();
    let file = world.first.file.clone();
    let forged = Offer { signed: submission(&other, &file, 1), file, update: world.first.update.clone() };
    let mut node = world.node();
    node.take(&forged);
    let found = finding(&node.end());
    assert_eq!((found.code.as_str(), found.entry), ("E201", Some(accepted as u64)), "{}", found.message);

    // It logs a proof that holds as failing: the rules take that, and the report says whose word it is.
    let mut node = world.node();
    let refusal = Refusal::new(ErrorCode::E307, "no");
    node.take_as(&world.first, Judgement::Invalid(refusal));
    let told = report(&node.bundle(0), None);
    assert_eq!((told.verdict, told.refused), (Verdict::Valid, 1));
    assert!(
        told.not_shown
            .iter()
            .any(|line| line.starts_with("Refusals: of the contributions to this space, 1 was"))
    );
    // But not with the effects of the other outcome.
    let mut parts = Parts::of(&honest);
    parts.edit(accepted, |entry| {
        if let Event::Contribution { outcome, .. } = &mut entry.event {
            *outcome = Outcome::Invalid { code: 307 };
        }
    });
    parts.sign_again();
    assert_eq!(self::found(&parts), at("E506", accepted));
}
