//! Power cuts, full disks and failing flushes: what was acknowledged is there, what was not is whole or absent, and nothing
//! is rewarded twice.
use super::harness::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tonic::transport::Channel;
use weightproof_ledger::Id;
use weightproof_ledger::event::{Effect, Entry};
use weightproof_ledger::log::{Checkpoint, VerifierKey, verify_consistency};
use weightproof_ledger::replay::Replay;

const ORIGIN: &str = "weightproof.node/log";
/// Reward of a contribution in the harness's policy.
const REWARD: u64 = 3_880;

/// Every place in the code that ends the process on demand; a test reads the sources for others.
const PLACES: [&str; 10] = [
    "before-change",
    "entry-written",
    "model-written",
    "contribution-written",
    "movements-written",
    "before-commit",
    "after-commit",
    "before-answer",
    "part-written",
    "upload-complete",
];

#[test]
fn every_place_is_tested() {
    let mut found = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for call in ["point(\"", "crash_point(\""] {
                for (start, _) in text.match_indices(call) {
                    let rest = &text[start + call.len()..];
                    found.push(rest.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
    found.retain(|place| place != "migration");
    found.sort();
    found.dedup();
    let mut expected = PLACES.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

/// What a client was told, and what must therefore hold for ever.
struct Witness {
    network: Id,
    size: u64,
    root: Id,
    /// Accepted contributions by statement digest: entry and reward.
    accepted: BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Witness {
    fn new(network: &[u8]) -> Witness {
        Witness { network: network.try_into().unwrap(), size: 0, root: [0; 32], accepted: BTreeMap::new() }
    }

    fn heard(&mut self, verdict: &weightproof_node::rpc::v1::Verdict) {
        assert!(verdict.accepted, "{verdict:?}");
        let receipt = verdict.receipt.clone().unwrap();
        let told = (receipt.entry, receipt.reward);
        let before = self.accepted.insert(receipt.statement_digest.to_vec(), told);
        assert!(before.is_none_or(|before| before == told), "another outcome than before: {verdict:?}");
    }

    /// The log goes on from what was seen, holds everything that was acknowledged, and pays each slot once.
    async fn check(&mut self, channel: &Channel) -> Replay {
        let note = checkpoint(channel).await;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.network).unwrap();
        let seen = Checkpoint::open(&note, ORIGIN, &VerifierKey::new(ORIGIN, key).unwrap()).unwrap();
        let all = entries(channel).await;
        let mut replay = Replay::new();
        let mut slots = BTreeMap::new();
        let mut rewards = 0;
        for bytes in all.iter().take(seen.size() as usize) {
            let entry: Entry = replay.play(bytes).unwrap();
            for effect in entry.effects {
                if let Effect::Accepted { round, account, statement_digest, reward, .. } = effect {
                    rewards += reward;
                    assert!(slots.insert((round, account), ()).is_none(), "round {round} paid twice");
                    if let Some(told) = self.accepted.get(statement_digest.as_slice()) {
                        assert_eq!(*told, (entry.index, reward));
                    }
                }
            }
        }
        assert_eq!(replay.root(), *seen.root());
        if self.size > 0 {
            let proof = replay.tree().consistency_proof(self.size, seen.size()).unwrap();
            verify_consistency(self.size, &self.root, seen.size(), seen.root(), &proof).unwrap();
        }
        (self.size, self.root) = (seen.size(), *seen.root());
        replay.state().check_invariants().unwrap();
        let logged: Vec<_> = all.iter().flat_map(|bytes| accepted(bytes)).collect();
        for digest in self.accepted.keys() {
            assert!(
                logged.iter().any(|known| known[..] == digest[..]),
                "an acknowledged contribution is gone"
            );
        }
        assert_eq!(rewards, slots.len() as u64 * REWARD);
        replay
    }
}

fn accepted(entry: &[u8]) -> Vec<Id> {
    use weightproof_ledger::canonical::Canonical;
    let effects = Entry::decode(entry, "entry").unwrap().effects;
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Accepted { statement_digest, .. } => Some(statement_digest),
            _ => None,
        })
        .collect()
}

/// Submits until there is a verdict, over any number of ends of the node.
async fn settle(
    node: &Mutex<Node>,
    holder: &Holder,
    network: &[u8],
    file: &File,
) -> weightproof_node::rpc::v1::Verdict {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < Duration::from_secs(60), "no verdict");
        if let Ok(channel) = connect(node).await
            && let Ok(verdict) = holder.submit(&channel, network, file).await
        {
            return verdict;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn connect(node: &Mutex<Node>) -> Result<Channel, String> {
    let connection = node.lock().unwrap().connection();
    connection.await
}

#[test]
fn a_power_cut_at_any_write_loses_nothing_and_pays_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let trigger = folder.path().join("now");
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    let node = Mutex::new(node);
    run(async {
        let channel = connect(&node).await.unwrap();
        let network = network(&channel).await.unwrap();
        holder.enter(&channel, 100).await.unwrap();
        let mut witness = Witness::new(&network);
        drop(channel);
        let mut last = 0;
        // The contribution's own entry, then the round's end, then the next round's beginning.
        let times =
            |place: &str| if place.ends_with("-change") || place.ends_with("commit") { 1..=3 } else { 1..=1 };
        for (place, time) in PLACES.iter().flat_map(|place| times(place).map(move |time| (place, time))) {
            let at = format!("{place}:{time}@{}", trigger.display());
            {
                let mut node = node.lock().unwrap();
                node.kill();
                node.environment("WEIGHTPROOF_CRASH_AT", Some(&at)).start();
            }
            let channel = connect(&node).await.unwrap();
            let task = holder.next_task(&channel, last).await.unwrap();
            last = task.round.number;
            let file = holder.prove(&task);
            std::fs::write(&trigger, b"").unwrap();
            let first = holder.submit(&channel, &network, &file).await;
            if let Ok(verdict) = &first {
                witness.heard(verdict);
            }
            let waited = Instant::now();
            while !node.lock().unwrap().has_ended() {
                assert!(
                    waited.elapsed() < Duration::from_secs(20),
                    "{place} was not reached the {time}. time"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            std::fs::remove_file(&trigger).unwrap();
            node.lock().unwrap().environment("WEIGHTPROOF_CRASH_AT", None).start();
            let verdict = settle(&node, &holder, &network, &file).await;
            witness.heard(&verdict);
            let channel = connect(&node).await.unwrap();
            let replay = witness.check(&channel).await;
            let paid = replay.state().accounts[&holder.account()].balance;
            assert_eq!(paid, 900 + REWARD * witness.accepted.len() as u64, "{place}");
        }
        assert_eq!(witness.accepted.len(), PLACES.len() + 6);
    });
}

#[test]
fn power_cuts_at_random_under_load() {
    let cuts = if std::env::var_os("WEIGHTPROOF_LONG_TESTS").is_some() { 200 } else { 12 };
    let folder = tempfile::tempdir().unwrap();
    let mut holders: Vec<Holder> = (1..=2).map(Holder::new).collect();
    let allocations: Vec<_> = holders.iter().map(|holder| (holder.account(), 1_000)).collect();
    let mut node = Node::new(folder.path(), &space(policy(2)), &allocations);
    node.start();
    let node = Arc::new(Mutex::new(node));
    let ended = AtomicBool::new(false);
    run(async {
        let channel = connect(&node).await.unwrap();
        let network = network(&channel).await.unwrap();
        for holder in &mut holders {
            holder.enter(&channel, 100).await.unwrap();
        }
        let witness = Mutex::new(Witness::new(&network));
        let work = async |holder: &Holder| {
            let mut last = 0;
            while !ended.load(Ordering::Relaxed) {
                let Ok(channel) = connect(&node).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let Ok((round, true, false)) = holder.round(&channel).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                if !round.open || round.number <= last {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                let Ok(base) = model(&channel, holder.space, Some(round.model_version)).await else {
                    continue;
                };
                last = round.number;
                let file = holder.prove(&Task { round, base: base.parameters });
                let verdict = settle(&node, holder, &network, &file).await;
                witness.lock().unwrap().heard(&verdict);
            }
        };
        let cut = async {
            // Fixed: a failure can be looked at again, as far as threads allow.
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            for _ in 0..cuts {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                tokio::time::sleep(Duration::from_millis(100 + (random >> 33) % 700)).await;
                let node = Arc::clone(&node);
                tokio::task::spawn_blocking(move || {
                    let mut node = node.lock().unwrap();
                    node.kill();
                    node.start();
                })
                .await
                .unwrap();
            }
            // What is under way must still come to its end.
            tokio::time::sleep(Duration::from_secs(2)).await;
            ended.store(true, Ordering::Relaxed);
        };
        tokio::join!(cut, work(&holders[0]), work(&holders[1]));
        let channel = connect(&node).await.unwrap();
        let mut witness = witness.into_inner().unwrap();
        let replay = witness.check(&channel).await;
        assert!(witness.accepted.len() > 4, "only {} contributions", witness.accepted.len());
        let balances: u64 =
            holders.iter().map(|holder| replay.state().accounts[&holder.account()].balance).sum();
        assert_eq!(balances, 2 * 900 + REWARD * witness.accepted.len() as u64);
    });
}

/// A node whose disk fails in a way stops by itself with `E505`, and started again on a good disk it has lost nothing.
fn fails(name: &str, prepare: impl FnOnce(&mut Node, &std::path::Path) + Send) {
    let folder = tempfile::tempdir().unwrap();
    let trigger = folder.path().join("now");
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        holder.enter(&channel, 100).await.unwrap();
        let mut witness = Witness::new(&network);
        let task = holder.next_task(&channel, 0).await.unwrap();
        witness.heard(&holder.submit(&channel, &network, &holder.prove(&task)).await.unwrap());
        let task = holder.next_task(&channel, 1).await.unwrap();
        let file = holder.prove(&task);
        witness.check(&channel).await;
        node.stop();
        prepare(&mut node, &trigger);
        node.start();
        let channel = node.connect().await.unwrap();
        std::fs::write(&trigger, b"").unwrap();
        let answer = holder.submit(&channel, &network, &file).await;
        // It may end before its answer is out; what it must not do is to acknowledge.
        if let Err(status) = &answer {
            let code =
                status.metadata().get("weightproof-code").map(|code| code.to_str().unwrap().to_owned());
            assert!(code.is_none() || code.as_deref() == Some("E505"), "{name}: {status:?}");
        } else {
            panic!("{name}: acknowledged {answer:?}");
        }
        assert_eq!(node.wait(), Some(1), "{name}");
        let said = std::fs::read_to_string(folder.path().join("stderr.txt")).unwrap();
        assert!(said.contains("error[E505]"), "{name}: {said}");
        for variable in ["WEIGHTPROOF_FAIL_AT", "WEIGHTPROOF_DATABASE_PAGES"] {
            node.environment(variable, None);
        }
        node.start();
        let channel = node.connect().await.unwrap();
        witness.heard(&holder.submit(&channel, &network, &file).await.unwrap());
        let replay = witness.check(&channel).await;
        assert_eq!(replay.state().accounts[&holder.account()].balance, 900 + 2 * REWARD, "{name}");
    });
}

#[test]
fn a_failing_write_stops_the_node_and_loses_nothing() {
    fails("write", |node, trigger| {
        node.environment("WEIGHTPROOF_FAIL_AT", Some(&format!("commit@{}", trigger.display())));
    });
}

#[test]
fn a_failing_flush_stops_the_node_and_loses_nothing() {
    fails("flush", |node, trigger| {
        node.environment("WEIGHTPROOF_FAIL_AT", Some(&format!("flush@{}", trigger.display())));
    });
}

#[test]
fn a_full_disk_stops_the_node_and_loses_nothing() {
    fails("full", |node, _| {
        let length = std::fs::metadata(node.data().join("node.sqlite")).unwrap().len();
        // The file cannot grow: the next contribution does not fit.
        let pages = (length / 4096).to_string();
        node.environment("WEIGHTPROOF_DATABASE_PAGES", Some(&pages));
    });
}

#[test]
fn a_damaged_log_is_refused_and_two_nodes_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    let mut second = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    assert!(!second.try_start());
    assert_eq!(node.stop(), Some(0));
    // One bit in one entry, by the auditor's own tool.
    let database = rusqlite::Connection::open(node.data().join("node.sqlite")).unwrap();
    let bytes: Vec<u8> =
        database.query_row("SELECT bytes FROM entries WHERE position = 0", [], |row| row.get(0)).unwrap();
    let mut damaged = bytes.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    database.execute("UPDATE entries SET bytes = ?1 WHERE position = 0", [&damaged]).unwrap();
    assert!(!node.try_start());
    let said = std::fs::read_to_string(folder.path().join("stderr.txt")).unwrap();
    assert!(said.contains("error[E506]"), "{said}");
    database.execute("UPDATE entries SET bytes = ?1 WHERE position = 0", [&bytes]).unwrap();
    node.start();
    node.kill();
    // An end that was cut off.
    database.execute("DELETE FROM entries WHERE position = 1", []).unwrap();
    assert!(!node.try_start());
}
