//! Bundles of a real little world: the honest ones verify, and every class of tampering is found and named.
mod attacks;
mod outputs;
mod world;

use weightproof_ledger::Id;
use weightproof_prover::progress::Silent;

use super::{Finding, Report, Verdict, verify};
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
