//! Broken promises that the checks have to notice: without these nobody knows whether they check anything.
use crate::disk::Broken;
use crate::{Sabotage, play};

/// Seeds that are tried with each.
const SEEDS: u64 = 12;

/// Every run in which the promise was broken is noticed, and there is one.
#[track_caller]
fn noticed(sabotage: Sabotage, saying: &[&str]) {
    let mut broken = 0;
    for seed in 0..SEEDS {
        let (checked, report) = play(seed, Some(sabotage));
        match checked {
            Ok(()) => assert!(!report.mischief, "{sabotage:?}: seed {seed} went unnoticed"),
            Err(violation) => {
                assert!(report.mischief, "{sabotage:?}: seed {seed} fails for another reason: {violation}");
                assert!(
                    saying.iter().any(|text| violation.contains(text)),
                    "{sabotage:?}: seed {seed}: {violation}"
                );
                broken += 1;
            }
        }
    }
    assert!(broken > 0, "{sabotage:?} never happened");
}

#[test]
fn a_change_that_is_not_written_is_noticed() {
    noticed(Sabotage::Store(Broken::ForgetsAChange), &["the disk holds"]);
}

#[test]
fn a_change_that_a_crash_undoes_is_noticed() {
    noticed(Sabotage::Store(Broken::LosesTheLastChangeInACrash), &["are left"]);
}

#[test]
fn a_missing_receipt_is_noticed() {
    noticed(Sabotage::Store(Broken::DropsAReceipt), &["has no receipt"]);
}

#[test]
fn a_missing_file_is_noticed() {
    noticed(Sabotage::Store(Broken::DropsAFile), &["has no file"]);
}

#[test]
fn swapped_entries_are_noticed() {
    noticed(Sabotage::Store(Broken::SwapsEntries), &["expected index", "is another one now", "E506"]);
}

#[test]
fn a_repeated_entry_is_noticed() {
    noticed(Sabotage::Store(Broken::RepeatsAnEntry), &["expected index"]);
}

#[test]
fn an_old_checkpoint_is_noticed() {
    noticed(Sabotage::Store(Broken::KeepsTheOldCheckpoint), &["are signed", "no checkpoint"]);
}

#[test]
fn a_missing_model_is_noticed() {
    noticed(Sabotage::Store(Broken::DropsAModel), &["models, and"]);
}

#[test]
fn models_that_pile_up_are_noticed() {
    noticed(Sabotage::Store(Broken::KeepsEveryModel), &["models, and"]);
}

#[test]
fn a_reward_for_a_failing_proof_is_noticed() {
    // A statement may have a sound proof as well as a failing one; then it is the update that is wrong.
    let saying = ["without a sound proof", "is not the head and the weighted updates"];
    noticed(Sabotage::AcceptsFailingProofs, &saying);
}

#[test]
fn another_update_is_noticed() {
    noticed(Sabotage::AppliesAnotherUpdate, &["is not the head and the weighted updates"]);
}

#[test]
fn a_changed_receipt_is_noticed() {
    noticed(Sabotage::ChangesAReceipt, &["E205"]);
}
