//! More than anybody asks for: oversized, forged, garbage, connections, rates; and all of it together.
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::harness::*;
use super::strangers::{Raw, channel, framed, peer, tcp, tls};
use super::{MEMORY, scaled};
use ed25519_dalek::SigningKey;
use prost_reflect::prost::Message as _;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use weightproof_ledger::action::Action;
use weightproof_node::rpc::v1;
use weightproof_node::rpc::v1::contributions_service_client::ContributionsServiceClient;
use weightproof_node::rpc::v1::ledger_service_client::LedgerServiceClient;

const UPLOAD: &str = "/weightproof.v1.ContributionsService/UploadContribution";
const BEGIN: &str = "/weightproof.v1.ContributionsService/BeginContribution";
const DESCRIBE: &str = "/weightproof.v1.SpacesService/DescribeSpace";

/// A key of a stranger.
fn stranger(number: u32) -> SigningKey {
    let mut seed = [0xaa; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    SigningKey::from_bytes(&seed)
}

#[test]
fn what_is_too_large_is_refused_before_it_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.set("limits.peer_requests_per_minute", "600000");
    node.start();
    run(async {
        let own = node.connect().await.unwrap();
        let network = network(&own).await.unwrap();
        holder.enter(&own, 100).await.unwrap();
        let task = holder.next_task(&own, 0).await.unwrap();
        let before = (checkpoint(&own).await, node.resident());
        let mut crowd = JoinSet::new();
        for number in 0..scaled(8, 64) as u8 {
            let address = node.address.clone();
            crowd.spawn(async move {
                let raw = Raw::connect(&address, peer(66, number % 4 + 1), 1 << 20).await.unwrap();
                for _ in 0..20 {
                    // Sizes that are only announced, and bytes that really come; to an upload and to what is none.
                    for (path, announced) in
                        [(UPLOAD, 2 << 20), (UPLOAD, u32::MAX), (BEGIN, 1 << 30), (DESCRIBE, 1 << 20)]
                    {
                        let body = [&[0][..], &announced.to_be_bytes(), &[0x0a, 1, 1]].concat();
                        let answer = raw.call(path, &[], body).await.unwrap();
                        assert_eq!(
                            (answer.code.as_str(), answer.grpc),
                            ("E403", Some(Code::ResourceExhausted)),
                            "{answer:?}"
                        );
                    }
                    let long = v1::DescribeSpaceRequest { space: "x".repeat(60_000) };
                    let answer = raw.call(DESCRIBE, &[], framed(&long.encode_to_vec())).await.unwrap();
                    assert_eq!(answer.code, "E403", "{answer:?}");
                    let bytes = v1::BeginContributionRequest {
                        statement: vec![1; 8 << 10].into(),
                        ..Default::default()
                    };
                    let answer = raw.call(BEGIN, &[], framed(&bytes.encode_to_vec())).await.unwrap();
                    assert_eq!(answer.code, "E403", "{answer:?}");
                    // A kilobyte that would inflate to a megabyte, if anything were inflated.
                    let gzip = [&[1][..], &1024u32.to_be_bytes(), &[0x1f; 1024]].concat();
                    let answer = raw.call(UPLOAD, &[("grpc-encoding", "gzip")], gzip).await.unwrap();
                    assert_eq!(
                        (answer.code.as_str(), answer.grpc),
                        ("E105", Some(Code::Unimplemented)),
                        "{answer:?}"
                    );
                }
                // Headers beyond the limit end their stream, and the connection serves on.
                let long = "v".repeat(6_000);
                let heads =
                    [("a", long.as_str()), ("b", long.as_str()), ("c", long.as_str()), ("d", long.as_str())];
                for _ in 0..20 {
                    let answer = raw.call(DESCRIBE, &heads, framed(&[])).await;
                    assert!(
                        answer.as_ref().map_or(true, |answer| answer.grpc != Some(Code::Ok)),
                        "{answer:?}"
                    );
                }
                // However many headers there were, a request of its own is answered, here or on a new connection.
                let raw = match raw.is_closed() {
                    true => Raw::connect(&address, peer(66, 1), 1 << 20).await.unwrap(),
                    false => raw,
                };
                let describe = framed(&v1::DescribeSpaceRequest { space: "tiny".to_owned() }.encode_to_vec());
                assert_eq!(raw.call(DESCRIBE, &[], describe).await.unwrap().grpc, Some(Code::Ok));
            });
        }
        while let Some(done) = crowd.join_next().await {
            done.unwrap();
        }
        assert_eq!(checkpoint(&own).await, before.0);
        let grown = node.resident().saturating_sub(before.1);
        assert!(grown < 64 << 20 && node.resident() < MEMORY, "{grown}");
        assert!(holder.submit(&own, &network, &holder.prove(&task)).await.unwrap().accepted);
    });
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn strangers_use_up_their_own_rate_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 10_000)]);
    node.set("limits.account_requests_per_minute", "300");
    node.start();
    let count = scaled(3_000, 10_000);
    run(async {
        let own = channel(&node.address, peer(0, 1)).await.unwrap();
        let network = network(&own).await.unwrap();
        holder.enter(&own, 100).await.unwrap();
        let task = holder.next_task(&own, 0).await.unwrap();
        let file = holder.prove(&task);
        let before = (checkpoint(&own).await, balance(&own, holder.account()).await);
        // Ten addresses send what looks signed: announcements by nobody, in the holder's name, of the holder's file; changes in
        // the holder's name; parts of uploads that there are not.
        let mut crowd = JoinSet::new();
        let codes: Arc<std::sync::Mutex<std::collections::BTreeMap<String, u64>>> = Arc::default();
        for number in 0..10u8 {
            let (address, network, file, codes) =
                (node.address.clone(), network.clone(), file.clone(), Arc::clone(&codes));
            let (victim, each) = (holder.account(), count / 10);
            crowd.spawn(async move {
                let channel = channel(&address, peer(66, number + 1)).await.unwrap();
                let mut contributions = ContributionsServiceClient::new(channel.clone());
                let mut ledger = LedgerServiceClient::new(channel);
                for index in 0..each as u32 {
                    let key = stranger(u32::from(number) << 16 | index);
                    let refused = match index % 4 {
                        0 => {
                            let mut own = file.clone();
                            own.statement.contributor = account(&key);
                            contributions.begin_contribution(begin(&key, &network, &own)).await.unwrap_err()
                        }
                        1 => {
                            contributions.begin_contribution(begin(&key, &network, &file)).await.unwrap_err()
                        }
                        2 => {
                            let to = account(&key);
                            let action = Action::Transfer { to, amount: 1 };
                            let authorization = Some(authorize(&key, victim, u64::MAX - 1, &network, action));
                            let request =
                                v1::TransferRequest { authorization, to: to.to_vec().into(), amount: 1 };
                            ledger.transfer(request).await.unwrap_err()
                        }
                        _ => {
                            let part = v1::UploadContributionRequest {
                                upload: account(&key).to_vec().into(),
                                ..Default::default()
                            };
                            contributions.upload_contribution(tokio_stream::iter([part])).await.unwrap_err()
                        }
                    };
                    *codes.lock().unwrap().entry(code(&refused)).or_default() += 1;
                }
            });
        }
        // The account in whose name they come does as many things as its rate allows, from its own address.
        let mut done = 0u64;
        while !crowd.is_empty() {
            let to = account(&stranger(7));
            let authorization = Some(holder.authorize(&network, Action::Transfer { to, amount: 1 }));
            let request = v1::TransferRequest { authorization, to: to.to_vec().into(), amount: 1 };
            LedgerServiceClient::new(own.clone()).transfer(request).await.unwrap();
            done += 1;
            tokio::time::sleep(Duration::from_millis(250)).await;
            while let Some(joined) = crowd.try_join_next() {
                joined.unwrap();
            }
        }
        let codes = codes.lock().unwrap().clone();
        assert!(codes.keys().all(|code| ["E205", "E106", "E404"].contains(&code.as_str())), "{codes:?}");
        assert!(codes.contains_key("E404") || count < 6_000, "{codes:?}");
        assert!(done > 0);
        let after = balance(&own, holder.account()).await;
        let fee = policy(1).transfer_fee;
        assert_eq!(before.1.balance - after.balance, done * (1 + fee));
        assert_eq!(entries(&own).await.len() as u64, 1 + entries_of(&before.0) - 1 + done);
        assert!(holder.submit(&own, &network, &file).await.unwrap().accepted);
    });
    assert_eq!(node.stop(), Some(0));
}

/// The size in a checkpoint.
fn entries_of(checkpoint: &str) -> u64 {
    checkpoint.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn rates_are_of_one_address_and_of_one_account() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [signing_key(1), signing_key(2)];
    let allocations: Vec<_> = keys.iter().map(|key| (account(key), 10_000)).collect();
    let mut node = Node::new(folder.path(), &space(policy(1)), &allocations);
    node.set("limits.account_requests_per_minute", "60").set("limits.peer_requests_per_minute", "600");
    node.start();
    run(async {
        let first = channel(&node.address, peer(0, 1)).await.unwrap();
        let network = network(&first).await.unwrap();
        let transfer = async |channel: &Channel, key: &SigningKey, nonce: u64| {
            let to = account(&stranger(1));
            let authorization =
                Some(authorize(key, account(key), nonce, &network, Action::Transfer { to, amount: 1 }));
            let request = v1::TransferRequest { authorization, to: to.to_vec().into(), amount: 1 };
            LedgerServiceClient::new(channel.clone()).transfer(request).await
        };
        // An account's rate, over however many addresses.
        let mut outcomes = Vec::new();
        for nonce in 1..=20u64 {
            let from = channel(&node.address, peer(2, nonce as u8)).await.unwrap();
            outcomes.push(transfer(&from, &keys[0], nonce).await);
        }
        let refusals: Vec<Status> = outcomes.into_iter().filter_map(Result::err).collect();
        assert!(refusals.len() >= 8, "{}", refusals.len());
        assert!(
            refusals.iter().all(|status| code(status) == "E404" && status.code() == Code::ResourceExhausted)
        );
        transfer(&first, &keys[1], 1).await.unwrap();
        // An address's rate, whatever it asks for.
        let loud = channel(&node.address, peer(66, 1)).await.unwrap();
        let mut refused = 0;
        for _ in 0..300 {
            let mut client = v1::log_service_client::LogServiceClient::new(loud.clone());
            if let Err(status) = client.get_checkpoint(v1::GetCheckpointRequest {}).await {
                assert_eq!(code(&status), "E404");
                refused += 1;
            }
        }
        assert!(refused > 100, "{refused}");
        let health = tonic_health::pb::health_client::HealthClient::new(loud.clone());
        let mut statuses = Vec::new();
        for _ in 0..100 {
            statuses.push(health.clone().check(tonic_health::pb::HealthCheckRequest::default()).await);
        }
        assert!(statuses.iter().any(Result::is_err), "the rate is of all methods");
        checkpoint(&first).await;
        transfer(&first, &keys[1], 2).await.unwrap();
        // Both come back by themselves.
        tokio::time::sleep(Duration::from_secs(2)).await;
        checkpoint(&loud).await;
        transfer(&first, &keys[0], 1_000).await.unwrap();
    });
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_flood_of_connections_leaves_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.set("limits.max_connections", "64").set("limits.max_connections_per_peer", "32");
    node.set("limits.handshake_timeout", "2 s");
    node.start();
    run(async {
        let own = channel(&node.address, peer(0, 1)).await.unwrap();
        let network = network(&own).await.unwrap();
        holder.enter(&own, 100).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let opened = Arc::new(AtomicU64::new(0));
        let mut crowd = JoinSet::new();
        for number in 0..8 {
            let (address, stop, opened) = (node.address.clone(), Arc::clone(&stop), Arc::clone(&opened));
            crowd.spawn(async move {
                let mut held = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    // Bare ones that say nothing, and some that do TLS and then nothing.
                    let Ok(mut stream) = tcp(&address, peer(66, 1)).await else { continue };
                    if number == 0 {
                        drop(stream);
                        let _ = tokio::time::timeout(Duration::from_millis(200), tls(&address, peer(66, 1)))
                            .await;
                    } else {
                        let _ = tokio::time::timeout(Duration::from_millis(1), stream.read_u8()).await;
                        held.push(stream);
                        held.truncate(64);
                    }
                    opened.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut last = 0;
        for _ in 0..scaled(4, 20) {
            let task = holder.next_task(&own, last).await.unwrap();
            last = task.round.number;
            assert!(holder.submit(&own, &network, &holder.prove(&task)).await.unwrap().accepted);
            // A newcomer from elsewhere gets in.
            let other = channel(&node.address, peer(3, last as u8)).await.unwrap();
            checkpoint(&other).await;
        }
        stop.store(true, Ordering::Relaxed);
        while crowd.join_next().await.is_some() {}
        assert!(opened.load(Ordering::Relaxed) > 100, "{opened:?}");
        // The same address is welcome again, within ten seconds of its flood.
        let started = Instant::now();
        let again = loop {
            if let Ok(channel) = channel(&node.address, peer(66, 1)).await {
                break channel;
            }
            assert!(started.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        checkpoint(&again).await;
        assert!(node.resident() < MEMORY, "{}", node.resident());
    });
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn invalid_proofs_cost_a_bond_each_or_cannot_be_sent() {
    const ATTACKERS: u8 = 3;
    let folder = tempfile::tempdir().unwrap();
    let mut honest = Holder::new(1);
    let mut attackers: Vec<Holder> = (2..2 + ATTACKERS).map(Holder::new).collect();
    let allocations: Vec<_> = (1..10).map(|number| (account(&signing_key(number)), 1_000)).collect();
    let members = u32::from(ATTACKERS) + 1;
    let mut node = Node::new(folder.path(), &space(policy(members)), &allocations);
    node.start();
    run(async {
        let own = channel(&node.address, peer(0, 1)).await.unwrap();
        let network = network(&own).await.unwrap();
        honest.enter(&own, 100).await.unwrap();
        for attacker in &mut attackers {
            attacker.enter(&own, 150).await.unwrap();
        }
        let task = honest.next_task(&own, 0).await.unwrap();
        let file = honest.prove(&task);
        let before = checkpoint(&own).await;
        // Without stake nothing can be sent, however much of it: an account with tokens and without a place in the space.
        let hostile = channel(&node.address, peer(66, 1)).await.unwrap();
        let mut penniless = file.clone();
        penniless.statement.contributor = account(&signing_key(8));
        for _ in 0..200 {
            let outcome = submit(&hostile, &signing_key(8), &network, &penniless, &[]).await;
            assert!(["E201", "E205", "E206", "E503"].contains(&refused(outcome).0.as_str()));
        }
        // Another's good proof under one's own statement: refused for little, as often as it is sent, and nothing is forfeited.
        let attacker = &attackers[0];
        for number in 0..40u8 {
            let mut copied = file.clone();
            copied.statement.contributor = attacker.account();
            copied.statement.dataset_root = attacker.dataset.root();
            copied.statement.update_digest[0] = number;
            let verdict = submit(&hostile, &attacker.key, &network, &copied, &copied.bytes).await.unwrap();
            assert_eq!((verdict.code.as_str(), verdict.receipt.is_none()), ("E201", true), "{verdict:?}");
            assert_eq!(verdict.verify_ms, 0.0);
        }
        assert_eq!(checkpoint(&own).await, before);
        // Forged for real: a bond each, and one's slot. The honest one is served between them.
        let mut forged = Vec::new();
        for attacker in &attackers {
            let mut file = attacker.prove(&task);
            let end = file.bytes.len() - 1;
            file.bytes[end - 40] ^= 1;
            forged.push(file);
        }
        let all = async {
            for (attacker, file) in attackers.iter().zip(&forged) {
                let verdict = attacker.submit(&hostile, &network, file).await.unwrap();
                assert!(!verdict.accepted && verdict.code.starts_with("E30"), "{verdict:?}");
                // The same again is answered from memory, and takes nothing more.
                let again = attacker.submit(&hostile, &network, file).await;
                assert!(again.map_or(true, |again| !again.accepted));
            }
        };
        let (verdict, ()) = tokio::join!(honest.submit(&own, &network, &file), all);
        assert!(verdict.unwrap().accepted);
        for attacker in &attackers {
            let after = balance(&own, attacker.account()).await;
            assert_eq!((after.balance, after.staked), (850, 110));
        }
        // A second one leaves less than the stake that the space asks for: no third is taken.
        let task = honest.next_task(&own, task.round.number).await.unwrap();
        for attacker in &attackers {
            let mut file = attacker.prove(&task);
            let end = file.bytes.len() - 1;
            file.bytes[end - 40] ^= 1;
            assert!(!attacker.submit(&hostile, &network, &file).await.unwrap().accepted);
        }
        assert!(honest.submit(&own, &network, &honest.prove(&task)).await.unwrap().accepted);
        for attacker in &attackers {
            assert_eq!(balance(&own, attacker.account()).await.staked, 70);
            let mut next = forged[0].clone();
            next.statement.contributor = attacker.account();
            next.statement.round = task.round.number + 1;
            assert!(submit(&hostile, &attacker.key, &network, &next, &[]).await.is_err());
        }
    });
    assert_eq!(node.stop(), Some(0));
}

/// What a flood did.
#[derive(Debug, Default)]
pub struct Tally {
    pub slow: AtomicU64,
    pub oversized: AtomicU64,
    pub garbage: AtomicU64,
    pub copied: AtomicU64,
    pub connections: AtomicU64,
}

/// Somebody with a stake who sends other people's proofs.
#[derive(Clone)]
pub struct Copier {
    pub key: SigningKey,
    pub file: File,
}

/// A flood of everything, until it is told to stop.
#[derive(Clone)]
pub struct Flood {
    pub address: String,
    pub network: Vec<u8>,
    /// Between two requests of one source: the flood itself must not take the whole machine.
    pub pause: Duration,
    stop: Arc<AtomicBool>,
    pub tally: Arc<Tally>,
}

impl Flood {
    pub fn new(address: &str, network: &[u8], pause: Duration) -> Flood {
        Flood {
            address: address.to_owned(),
            network: network.to_vec(),
            pause,
            stop: Arc::default(),
            tally: Arc::default(),
        }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Every kind from two addresses, and each copier from one of its own.
    pub async fn run(self, copiers: Vec<Copier>) {
        let mut crowd = JoinSet::new();
        for number in 1..=2u8 {
            crowd.spawn(self.clone().slow(peer(66, number)));
            crowd.spawn(self.clone().oversized(peer(67, number)));
            crowd.spawn(self.clone().garbage(peer(68, number), copiers[0].file.clone()));
            crowd.spawn(self.clone().connections(peer(69, number)));
        }
        for (number, copier) in copiers.into_iter().enumerate() {
            crowd.spawn(self.clone().copies(peer(70, number as u8 + 1), copier));
        }
        while crowd.join_next().await.is_some() {}
    }

    /// Uploads that begin and do not go on.
    async fn slow(self, from: Ipv4Addr) {
        while self.goes_on() {
            let Ok(raw) = Raw::connect(&self.address, from, 1 << 20).await else { continue };
            let mut open = Vec::new();
            while open.len() < 60 && self.goes_on() {
                let Ok(mut request) = raw.open(UPLOAD, &[]).await else { break };
                let _ = request.body.send_data(vec![0, 0, 3, 0, 0, 1].into(), false);
                self.tally.slow.fetch_add(1, Ordering::Relaxed);
                open.push(request);
                tokio::time::sleep(self.pause).await;
            }
            if let Some(last) = open.last_mut() {
                let _ = tokio::time::timeout(Duration::from_secs(2), last.answer()).await;
            }
        }
    }

    /// Requests of four times the size that any may have.
    async fn oversized(self, from: Ipv4Addr) {
        while self.goes_on() {
            let Ok(raw) = Raw::connect(&self.address, from, 1 << 20).await else { continue };
            while self.goes_on() && raw.call(DESCRIBE, &[], framed(&[7; 16 << 10])).await.is_ok() {
                self.tally.oversized.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(self.pause).await;
            }
        }
    }

    /// Announcements in another's name.
    async fn garbage(self, from: Ipv4Addr, file: File) {
        let request = begin(&stranger(1), &self.network, &file);
        while self.goes_on() {
            let Ok(channel) = channel(&self.address, from).await else { continue };
            let mut client = ContributionsServiceClient::new(channel);
            while self.goes_on() && !is_gone(&client.begin_contribution(request.clone()).await) {
                self.tally.garbage.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(self.pause).await;
            }
        }
    }

    /// Connections that say nothing; more than one address may have.
    async fn connections(self, from: Ipv4Addr) {
        let mut held = VecDeque::new();
        while self.goes_on() {
            if let Ok(stream) = tcp(&self.address, from).await {
                self.tally.connections.fetch_add(1, Ordering::Relaxed);
                held.push_back(stream);
                if held.len() > 1500 {
                    held.pop_front();
                }
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Whole uploads of another's proof under an own statement.
    async fn copies(self, from: Ipv4Addr, copier: Copier) {
        let mut number = 0u64;
        while self.goes_on() {
            let Ok(channel) = channel(&self.address, from).await else { continue };
            loop {
                number += 1;
                let mut file = copier.file.clone();
                file.statement.update_digest[..8].copy_from_slice(&number.to_le_bytes());
                let outcome = submit(&channel, &copier.key, &self.network, &file, &file.bytes).await;
                if is_gone(&outcome) || !self.goes_on() {
                    break;
                }
                self.tally.copied.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(self.pause).await;
            }
        }
    }
}

/// Whether the connection ended.
fn is_gone<T>(outcome: &Result<T, Status>) -> bool {
    outcome.as_ref().is_err_and(|status| status.code() == Code::Unavailable)
}

#[test]
fn everything_at_once_and_the_honest_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut honest = Holder::new(1);
    let mut copiers: Vec<Holder> = (2..=3).map(Holder::new).collect();
    let allocations: Vec<_> = (1..=3).map(|number| (account(&signing_key(number)), 1_000)).collect();
    // The copiers never contribute: each round is closed by its time alone. On a slow machine a contribution may be late.
    let policy =
        weightproof_ledger::policy::Policy { round_seconds: 2, weights: vec![8, 4, 2, 1], ..policy(3) };
    let mut node = Node::new(folder.path(), &space(policy), &allocations);
    node.set("limits.request_deadline", "5 s");
    node.start();
    let seconds = scaled(10, 300) as u64;
    run(async {
        let own = channel(&node.address, peer(0, 1)).await.unwrap();
        let network = network(&own).await.unwrap();
        honest.enter(&own, 100).await.unwrap();
        for copier in &mut copiers {
            copier.enter(&own, 100).await.unwrap();
        }
        let task = honest.next_task(&own, 0).await.unwrap();
        let file = honest.prove(&task);
        let copied = copiers.iter().map(|copier| {
            let mut file = file.clone();
            file.statement.contributor = copier.account();
            file.statement.dataset_root = copier.dataset.root();
            Copier { key: copier.key.clone(), file }
        });
        let flood = Flood::new(&node.address, &network, Duration::from_millis(2));
        let flooding = tokio::spawn(flood.clone().run(copied.collect()));
        let tally = &flood.tally;
        let (started, mut last, mut accepted, mut peak) = (Instant::now(), 0, 0, 0);
        while started.elapsed() < Duration::from_secs(seconds) {
            let task = honest.next_task(&own, last).await.unwrap();
            last = task.round.number;
            let verdict = honest.submit(&own, &network, &honest.prove(&task)).await;
            accepted += u64::from(verdict.is_ok_and(|verdict| verdict.accepted));
            peak = peak.max(node.resident());
        }
        println!(
            "{seconds} s: {accepted} of the honest one's contributions accepted, {peak} bytes resident at most, {tally:?}"
        );
        assert!(accepted > 0);
        assert!(peak < MEMORY, "{peak}");
        flood.stop();
        let ended = Instant::now();
        flooding.await.unwrap();
        // Back to normal within ten seconds, without a restart.
        loop {
            let task = honest.next_task(&own, last).await.unwrap();
            last = task.round.number;
            if honest.submit(&own, &network, &honest.prove(&task)).await.is_ok_and(|verdict| verdict.accepted)
            {
                break;
            }
        }
        assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
        let again = channel(&node.address, peer(69, 1)).await.unwrap();
        checkpoint(&again).await;
        let counts = [&tally.slow, &tally.oversized, &tally.garbage, &tally.copied, &tally.connections];
        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) > 0), "{tally:?}");
    });
    assert_eq!(node.stop(), Some(0));
}
