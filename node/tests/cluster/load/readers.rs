//! Those who send slowly, and those who do not read.
use std::time::{Duration, Instant};

use super::super::harness::*;
use super::strangers::{Raw, channel, framed, peer};
use super::{MEMORY, scaled};
use tonic::Code;
use weightproof_node::rpc::v1;
use weightproof_node::rpc::v1::contributions_service_client::ContributionsServiceClient;

const UPLOAD: &str = "/weightproof.v1.ContributionsService/UploadContribution";

/// Their answers are so short that they may lie where they are: the memory of a connection is many times larger.
const SHORT: [&str; 3] =
    ["LogService/GetCheckpoint", "RoundsService/WatchRounds", "ModelsService/ListModels"];

fn encoded(message: &impl prost_reflect::prost::Message) -> Vec<u8> {
    framed(&message.encode_to_vec())
}

#[test]
fn slow_uploads_are_cut_and_their_places_are_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.set("limits.request_deadline", "2 s").set("limits.upload_deadline", "60 s");
    node.set("limits.peer_requests_per_minute", "60000");
    node.start();
    run(async {
        let own = node.connect().await.unwrap();
        let network = network(&own).await.unwrap();
        holder.enter(&own, 100).await.unwrap();
        let task = holder.next_task(&own, 0).await.unwrap();
        let file = holder.prove(&task);
        // The holder announces its file; a thief of the name goes on with it, byte by byte.
        let mut client = ContributionsServiceClient::new(own.clone());
        let begun =
            client.begin_contribution(begin(&holder.key, &network, &file)).await.unwrap().into_inner();
        // Empty parts without end are not taken, whoever knows the name.
        let endless = v1::UploadContributionRequest { upload: begun.upload.clone(), ..Default::default() };
        let refusal =
            client.upload_contribution(tokio_stream::iter(std::iter::repeat_n(endless, 1_000_000))).await;
        assert_eq!(refused(refusal), ("E403".to_owned(), Code::ResourceExhausted));
        let mut connections = Vec::new();
        let mut open = Vec::new();
        for number in 0..scaled(2, 20) {
            let from = peer(66, (number / 4) as u8 + 1);
            let raw = Raw::connect(&node.address, from, 1 << 20).await.unwrap();
            for stream in 0..60 {
                let mut request = raw.open(UPLOAD, &[]).await.unwrap();
                // Nothing, less than a frame's head, a part of a message, and a part of a file.
                let part = v1::UploadContributionRequest {
                    upload: begun.upload.clone(),
                    offset: 0,
                    part: vec![file.bytes[0]].into(),
                };
                match stream % 4 {
                    0 => {}
                    1 => request.body.send_data(vec![0, 0].into(), false).unwrap(),
                    2 => request.body.send_data(vec![0, 0, 3, 0, 0, 1, 1, 1].into(), false).unwrap(),
                    _ => request.body.send_data(encoded(&part).into(), false).unwrap(),
                }
                open.push(request);
            }
            connections.push(raw);
        }
        // All of them hang, and the honest upload goes through; it takes over from those under its own name.
        let mut tries = 0;
        let verdict = loop {
            match holder.submit(&own, &network, &file).await {
                Ok(verdict) => break verdict,
                // One of those that waited for a place took over: the newest wins, and these are the holder's own.
                Err(status) => assert!(code(&status) == "E501" && tries < 500, "{status:?}"),
            }
            tries += 1;
        };
        assert!(verdict.accepted, "{verdict:?}");
        for request in &mut open {
            let answer =
                tokio::time::timeout(Duration::from_secs(60), request.answer()).await.unwrap().unwrap();
            // A newer one takes over from an older, and who waited for a place until the file was decided on finds no upload.
            assert!(["E402", "E401", "E106", "E501"].contains(&answer.code.as_str()), "{answer:?}");
        }
        // The same address, which held all of its share, may upload again.
        let again = Raw::connect(&node.address, peer(66, 1), 1 << 20).await.unwrap();
        let started = Instant::now();
        let unknown = v1::UploadContributionRequest { upload: vec![7; 32].into(), ..Default::default() };
        let answer = again.call(UPLOAD, &[], encoded(&unknown)).await.unwrap();
        assert_eq!((answer.code.as_str(), answer.grpc), ("E106", Some(Code::InvalidArgument)));
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(connections.iter().all(|raw| !raw.is_closed()));
        let next = holder.next_task(&own, 1).await.unwrap();
        assert!(holder.submit(&own, &network, &holder.prove(&next)).await.unwrap().accepted);
        assert!(node.resident() < MEMORY, "{}", node.resident());
    });
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn who_does_not_read_is_closed_and_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.set("limits.request_deadline", "2 s").set("limits.idle_timeout", "4 s");
    node.set("limits.keepalive_interval", "1 s").set("limits.keepalive_timeout", "2 s");
    node.start();
    run(async {
        let own = channel(&node.address, peer(0, 1)).await.unwrap();
        let network = network(&own).await.unwrap();
        holder.enter(&own, 100).await.unwrap();
        let task = holder.next_task(&own, 0).await.unwrap();
        let file = holder.prove(&task);
        assert!(holder.submit(&own, &network, &file).await.unwrap().accepted);
        let space: prost_reflect::prost::bytes::Bytes = holder.space.to_vec().into();
        // An honest watcher reads, and nothing comes for a long time: it stays.
        let request = v1::WatchVerdictsRequest { space: space.clone() };
        let mut watching =
            ContributionsServiceClient::new(own.clone()).watch_verdicts(request).await.unwrap().into_inner();
        let asked = [
            (
                "ModelsService/DownloadModel",
                encoded(&v1::DownloadModelRequest { space: space.clone(), version: None }),
            ),
            (
                "ModelsService/DownloadBundle",
                encoded(&v1::DownloadBundleRequest { space: space.clone(), version: None }),
            ),
            (
                "ContributionsService/DownloadContribution",
                encoded(&v1::DownloadContributionRequest {
                    statement_digest: file.statement.digest().to_vec().into(),
                }),
            ),
            ("LogService/StreamEntries", encoded(&v1::StreamEntriesRequest::default())),
            ("LogService/GetCheckpoint", encoded(&v1::GetCheckpointRequest {})),
            ("RoundsService/WatchRounds", encoded(&v1::WatchRoundsRequest { space: space.clone() })),
            (
                "ModelsService/ListModels",
                encoded(&v1::ListModelsRequest { space: space.clone(), ..Default::default() }),
            ),
        ];
        let mut closed = tokio::task::JoinSet::new();
        let mut number = 0;
        for (method, body) in asked {
            // Nothing of the answer may come, and then so little that it ends in the middle.
            for window in [0, 16] {
                if window > 0 && SHORT.contains(&method) {
                    continue;
                }
                number += 1;
                let (address, body) = (node.address.clone(), body.clone());
                closed.spawn(async move {
                    let raw = Raw::connect(&address, peer(66, number), window).await.unwrap();
                    let mut requests = Vec::new();
                    for _ in 0..scaled(6, 60) {
                        let mut request = raw.open(&format!("/weightproof.v1.{method}"), &[]).await.unwrap();
                        request.body.send_data(body.clone().into(), true).unwrap();
                        requests.push(request);
                    }
                    // Those without a place are refused; the others' answers are kept and not read.
                    let mut heads = Vec::new();
                    for request in &mut requests {
                        if let Ok(Ok(Some(head))) =
                            tokio::time::timeout(Duration::from_secs(30), request.head()).await
                        {
                            heads.push(head);
                        }
                    }
                    let lying = !heads.is_empty() || raw.is_closed();
                    let gone =
                        tokio::time::timeout(Duration::from_secs(if lying { 30 } else { 0 }), raw.closed())
                            .await;
                    (method, window, lying, gone.is_ok())
                });
            }
        }
        // Others download meanwhile, if need be after a wait.
        for _ in 0..10 {
            while let Err(status) = model(&own, holder.space, None).await {
                assert!(["E401", "E402"].contains(&code(&status).as_str()), "{status:?}");
            }
        }
        let mut outcomes = Vec::new();
        while let Some(result) = closed.join_next().await {
            let (method, window, lying, gone) = result.unwrap();
            outcomes.push((method, window, lying, gone));
        }
        assert!(outcomes.iter().all(|(_, _, lying, gone)| lying == gone), "{outcomes:?}");
        assert!(outcomes.iter().filter(|(_, _, lying, _)| *lying).count() >= 8, "{outcomes:?}");
        // And afterwards so may the address that had let everything lie.
        let again = channel(&node.address, peer(66, 1)).await.unwrap();
        model(&again, holder.space, None).await.unwrap();
        let next = holder.next_task(&own, 1).await.unwrap();
        assert!(holder.submit(&own, &network, &holder.prove(&next)).await.unwrap().accepted);
        let seen = tokio::time::timeout(Duration::from_secs(10), watching.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(seen.verdicts[0].accepted);
        assert!(node.resident() < MEMORY, "{}", node.resident());
    });
    assert_eq!(node.stop(), Some(0));
}
