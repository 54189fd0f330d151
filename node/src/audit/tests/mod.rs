//! Bundles of a real little world: the honest ones verify, and every class of tampering is found and named.
mod attacks;
mod outputs;
mod world;

use weightproof_ledger::Id;
use weightproof_prover::progress::{Progress, Silent};

use super::{AuditError, Finding, Report, Verdict, plain_lines, verify};
use crate::cli::SealName;
use world::{NODE, ORIGIN, Parts, World, id};

fn report(bundle: &[u8], key: Option<&Id>) -> Report {
    verify(bundle, key, &Silent).unwrap()
}

/// What is found in a bundle that does not hold.
#[track_caller]
fn finding(bundle: &[u8]) -> Finding {
    let found = report(bundle, Some(&id(NODE)));
    assert_eq!(found.verdict, Verdict::Invalid, "{}", found.summary);
    found.failure.unwrap()
}

#[test]
fn an_honest_bundle_verifies() {
    let world = World::get();
    let second = report(&world.second, Some(&id(NODE)));
    assert_eq!(second.failure, None);
    assert_eq!(second.verdict, Verdict::Valid);
    assert_eq!(second.summary, "4/4 contributions proven, lineage depth 2, 0 gaps");
    assert_eq!(second.bundle_bytes, Some(world.second.len() as u64));
    let node = second.node.as_ref().unwrap();
    assert_eq!((node.origin.as_str(), node.key_pinned), (ORIGIN, true));
    let supply = second.supply.as_ref().unwrap();
    assert!(supply.conserved && supply.genesis == 20_000 && supply.emitted > 0 && supply.burned > 0);
    let weights: Vec<u32> = second.contributions().map(|made| made.weight).collect();
    assert_eq!(weights, [3, 2, 3, 3], "the second is late");
    assert!(second.contributions().all(|made| made.proven && made.receipt && made.reward > 0));
    assert_eq!(second.rewards, second.contributions().map(|made| made.reward).sum::<u64>());
    assert_eq!(second.refused, 1);
    assert!(second.not_shown.iter().any(|line| line.starts_with("Beacon")));
    assert!(!second.not_shown.iter().any(|line| line.starts_with("Whose key")));

    // Without a key the verdict is the same, and says what it rests on.
    let unpinned = report(&world.second, None);
    assert_eq!(unpinned.verdict, Verdict::Valid);
    assert!(unpinned.not_shown.iter().any(|line| line.starts_with("Whose key")));
}

#[test]
fn what_was_taken_back_is_no_part_of_a_lineage() {
    let fourth = report(&World::get().fourth, Some(&id(NODE)));
    assert_eq!(fourth.failure, None);
    assert_eq!(fourth.summary, "2/2 contributions proven, lineage depth 3, 0 gaps");
    let versions: Vec<u64> = fourth.lineage.iter().map(|version| version.version).collect();
    assert_eq!(versions, [0, 1, 3, 4]);
    assert_eq!(fourth.lineage[2].reverted_to, Some(1));
    assert_eq!(fourth.lineage[2].digest, fourth.lineage[1].digest);
}

#[test]
fn a_bundle_has_one_spelling() {
    for bundle in [&World::get().second, &World::get().fourth] {
        assert!(Parts::of(bundle).encode() == **bundle, "taken apart and put together it is the same");
    }
}

#[test]
fn a_compact_contribution_verifies() {
    let found = report(&world::with_one(SealName::Halo2), Some(&id(NODE)));
    assert_eq!(found.failure, None);
    assert_eq!(found.summary, "1/1 contributions proven, lineage depth 1, 0 gaps");
    assert_eq!(found.contributions().next().unwrap().seal, "halo2");
}

/// Wants to stop after so many pieces of work.
struct Impatient(std::sync::atomic::AtomicI64);

impl Progress for Impatient {
    fn begin(&self, _stage: &'static str, _total: u64) {}
    fn advance(&self, amount: u64) {
        self.0.fetch_sub(amount as i64, std::sync::atomic::Ordering::SeqCst);
    }
    fn cancelled(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::SeqCst) < 0
    }
}

#[test]
fn an_interrupt_is_no_verdict() {
    let world = World::get();
    let entries = Parts::of(&world.second).entries.len() as i64;
    // In the log, and between proofs.
    for patience in [3, entries + 1] {
        let outcome = verify(&*world.second, None, &Impatient(patience.into()));
        assert!(matches!(outcome, Err(AuditError::Interrupted)), "after {patience}");
    }
    assert!(verify(&*world.second, None, &Impatient((entries + 4).into())).is_ok());
}

/// Fails after some bytes, as a disk may.
struct Failing<'a>(&'a [u8]);

impl std::io::Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::Error::other("the disk is gone")),
            count => Ok(count),
        }
    }
}

#[test]
fn a_failing_disk_is_no_verdict() {
    let bundle = &World::get().second;
    for end in [2, 300, bundle.len() / 2, bundle.len()] {
        let outcome = verify(Failing(&bundle[..end]), None, &Silent);
        assert!(matches!(outcome, Err(AuditError::Source(_))), "after {end} bytes");
    }
}

#[test]
fn foreign_text_does_not_steer_a_terminal() {
    let mut parts = Parts::of(&World::get().second);
    parts.header.origin = "node\nvalid     4/4\u{1b}[2J\u{202e}".to_owned();
    let found = report(&parts.encode(), None);
    assert_eq!(found.node.unwrap().origin, "node\u{fffd}valid     4/4\u{fffd}[2J\u{fffd}");
    assert_eq!(found.verdict, Verdict::Invalid);
    let message = found.failure.unwrap().message;
    assert!(!message.chars().any(char::is_control), "{message}");
    assert_eq!(plain_lines("{\r\n\t\"a\": \u{7}1\n}"), "{\n \"a\": \u{fffd}1\n}");
}
