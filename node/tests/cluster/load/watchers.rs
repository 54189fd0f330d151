//! A crowd that watches.
use std::time::Duration;

use super::super::harness::*;
use super::strangers::{channel, peer};
use super::{MEMORY, scaled};
use weightproof_node::rpc::v1;
use weightproof_node::rpc::v1::contributions_service_client::ContributionsServiceClient;
use weightproof_node::rpc::v1::rounds_service_client::RoundsServiceClient;

#[test]
fn every_watcher_gets_every_verdict_and_every_round() {
    let count = scaled(100, 1000);
    let folder = tempfile::tempdir().unwrap();
    let mut holders: Vec<Holder> = (1..=2).map(Holder::new).collect();
    let allocations: Vec<_> = holders.iter().map(|holder| (holder.account(), 1_000)).collect();
    let mut node = Node::new(folder.path(), &space(policy(2)), &allocations);
    node.start();
    run(async {
        let own = node.connect().await.unwrap();
        let network = network(&own).await.unwrap();
        for holder in &mut holders {
            holder.enter(&own, 100).await.unwrap();
        }
        holders[0].next_task(&own, 0).await.unwrap();
        let space = holders[0].space;
        // A connection each, from ten addresses.
        let mut crowd = tokio::task::JoinSet::new();
        let (ready, mut readiness) = tokio::sync::mpsc::channel(count);
        for number in 0..count {
            let (address, ready) = (node.address.clone(), ready.clone());
            crowd.spawn(async move {
                let channel = channel(&address, peer(1, (number % 10) as u8 + 1)).await.unwrap();
                let all = v1::WatchVerdictsRequest { space: space.to_vec().into() };
                let mut verdicts = ContributionsServiceClient::new(channel.clone())
                    .watch_verdicts(all)
                    .await
                    .unwrap()
                    .into_inner();
                let request = v1::WatchRoundsRequest { space: space.to_vec().into() };
                let mut rounds =
                    RoundsServiceClient::new(channel).watch_rounds(request).await.unwrap().into_inner();
                let first = rounds.message().await.unwrap().unwrap().round.unwrap();
                ready.send(()).await.unwrap();
                let seen = async {
                    let mut seen = Vec::new();
                    while seen.len() < 4 {
                        for verdict in verdicts.message().await.unwrap().unwrap().verdicts {
                            seen.push(verdict.receipt.unwrap().statement_digest.to_vec());
                        }
                    }
                    seen
                };
                let numbers = async {
                    let mut numbers = vec![first.number];
                    while *numbers.last().unwrap() < 3 {
                        let round = rounds.message().await.unwrap().unwrap().round.unwrap();
                        if numbers.last() != Some(&round.number) {
                            numbers.push(round.number);
                        }
                    }
                    numbers
                };
                tokio::join!(seen, numbers)
            });
        }
        for _ in 0..count {
            tokio::time::timeout(Duration::from_secs(120), readiness.recv()).await.unwrap().unwrap();
        }
        let mut expected = Vec::new();
        for round in 1..=2 {
            let task = holders[0].next_task(&own, round - 1).await.unwrap();
            for holder in &holders {
                let file = holder.prove(&task);
                let verdict = holder.submit(&own, &network, &file).await.unwrap();
                assert!(verdict.accepted, "{verdict:?}");
                expected.push(file.statement.digest().to_vec());
            }
        }
        for _ in 0..count {
            let joined = tokio::time::timeout(Duration::from_secs(120), crowd.join_next()).await.unwrap();
            let (verdicts, rounds) = joined.unwrap().unwrap();
            assert_eq!(verdicts, expected);
            // A round that was over before the watcher read on may be missing; the present one never is.
            assert!(rounds == [1, 2, 3] || rounds == [1, 3], "{rounds:?}");
        }
        assert!(node.resident() < MEMORY, "{}", node.resident());
    });
    assert_eq!(node.stop(), Some(0));
}
