//! Attacks on the way of a contribution through a node, and accidents that look like them: relays, races, changed keys,
//! strangers who hold places, and folders that two processes begin at once.
use super::harness::*;
use ed25519_dalek::SigningKey;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use weightproof_ledger::action::{Action, Possession};
use weightproof_ledger::signed::Message;
use weightproof_node::rpc::v1;
use weightproof_node::rpc::v1::contributions_service_client::ContributionsServiceClient;

/// Reward of a contribution in the harness's policy.
const REWARD: u64 = 3_880;

async fn announce(
    channel: &Channel,
    key: &SigningKey,
    network: &[u8],
    file: &File,
) -> Result<v1::BeginContributionResponse, tonic::Status> {
    let mut client = ContributionsServiceClient::new(channel.clone());
    Ok(client.begin_contribution(begin(key, network, file)).await?.into_inner())
}

async fn upload(
    channel: &Channel,
    name: &[u8],
    offset: usize,
    bytes: &[u8],
) -> Result<v1::Verdict, tonic::Status> {
    let parts = [v1::UploadContributionRequest {
        upload: name.to_vec().into(),
        offset: offset as u64,
        part: bytes[offset..].to_vec().into(),
    }];
    let mut client = ContributionsServiceClient::new(channel.clone());
    Ok(client.upload_contribution(tokio_stream::iter(parts)).await?.into_inner().verdict.unwrap())
}

/// One member, its node, and a first round to contribute to.
async fn begun(node: &Node, holder: &mut Holder) -> (Channel, Vec<u8>, Task) {
    let channel = node.connect().await.unwrap();
    let network = network(&channel).await.unwrap();
    holder.enter(&channel, 100).await.unwrap();
    let task = holder.next_task(&channel, 0).await.unwrap();
    (channel, network, task)
}

#[test]
fn what_can_be_mended_is_not_refused_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let (channel, network, task) = begun(&node, &mut holder).await;
        let mut ledger = v1::ledger_service_client::LedgerServiceClient::new(channel.clone());
        let file = holder.prove(&task);
        let begun = announce(&channel, &holder.key, &network, &file).await.unwrap();
        let space = holder.space.to_vec();
        // The stake falls below the minimum while the bytes are on their way.
        let action = Action::Unstake { space: holder.space, amount: 1 };
        let authorization = Some(holder.authorize(&network, action));
        ledger
            .unstake(v1::UnstakeRequest { authorization, space: space.clone().into(), amount: 1 })
            .await
            .unwrap();
        let verdict = upload(&channel, &begun.upload, 0, &file.bytes).await.unwrap();
        assert_eq!((verdict.accepted, verdict.code.as_str(), verdict.receipt), (false, "E503", None));
        assert_eq!(refused(announce(&channel, &holder.key, &network, &file).await).0, "E503");
        // And is mended, as the refusal says: the same file is taken.
        let action = Action::Stake { space: holder.space, amount: 1 };
        let authorization = Some(holder.authorize(&network, action));
        ledger.stake(v1::StakeRequest { authorization, space: space.into(), amount: 1 }).await.unwrap();
        let verdict = holder.submit(&channel, &network, &file).await.unwrap();
        assert!(verdict.accepted, "{verdict:?}");
    });
}

#[test]
fn a_key_that_is_rotated_during_an_upload_loses_no_contribution() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let (channel, network, task) = begun(&node, &mut holder).await;
        let file = holder.prove(&task);
        announce(&channel, &holder.key, &network, &file).await.unwrap();
        let new = signing_key(77);
        let key = account(&new);
        let network_id = network.clone().try_into().unwrap();
        let proof = Possession { network: network_id, account: holder.account(), key }.sign(&new);
        let authorization = Some(holder.authorize(&network, Action::RotateKey { key, proof }));
        let mut members = v1::members_service_client::MembersServiceClient::new(channel.clone());
        let request =
            v1::RotateKeyRequest { authorization, key: key.to_vec().into(), proof: proof.to_vec().into() };
        members.rotate_key(request).await.unwrap();
        assert_eq!(refused(announce(&channel, &holder.key, &network, &file).await).0, "E205");
        let verdict = submit(&channel, &new, &network, &file, &file.bytes).await.unwrap();
        assert!(verdict.accepted, "{verdict:?}");
    });
}

#[test]
fn two_files_of_one_statement_have_one_outcome_and_one_reward() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let (channel, network, task) = begun(&node, &mut holder).await;
        let files = [holder.prove(&task), holder.prove(&task)];
        assert_eq!(files[0].statement, files[1].statement);
        assert_ne!(files[0].bytes, files[1].bytes);
        let mut names = Vec::new();
        for file in &files {
            names.push(announce(&channel, &holder.key, &network, file).await.unwrap().upload);
        }
        let first = upload(&channel, &names[0], 0, &files[0].bytes).await.unwrap();
        assert!(first.accepted && first.code.is_empty(), "{first:?}");
        // What the other file gets is what was decided, not a refusal without a receipt.
        let second = upload(&channel, &names[1], 0, &files[1].bytes).await.unwrap();
        assert_eq!((second.accepted, second.code.as_str()), (true, "E202"));
        assert_eq!(second.receipt, first.receipt);
        assert_eq!(balance(&channel, holder.account()).await.balance, 900 + REWARD);
    });
}

/// D04: a relay has seen the announcement and the file, and sends them first.
#[test]
fn a_relay_that_comes_first_earns_nothing_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut honest = Holder::new(1);
    let mut thief = Holder::new(2);
    let allocations = [(honest.account(), 1_000), (thief.account(), 1_000)];
    let mut node = Node::new(folder.path(), &space(policy(2)), &allocations);
    node.start();
    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        honest.enter(&channel, 100).await.unwrap();
        thief.enter(&channel, 100).await.unwrap();
        let task = honest.next_task(&channel, 0).await.unwrap();
        let file = honest.prove(&task);
        // Under another payout the file is another's.
        let mut own = file.clone();
        own.statement.payout = thief.account().to_vec();
        assert_eq!(refused(announce(&channel, &thief.key, &network, &own).await).0, "E205");
        // Without the signature nothing is begun, and an upload that was not announced does not exist.
        let seen = begin(&honest.key, &network, &file);
        let mut client = ContributionsServiceClient::new(channel.clone());
        let unsigned = v1::BeginContributionRequest { signature: vec![7; 64].into(), ..seen.clone() };
        assert_eq!(refused(client.begin_contribution(unsigned).await).0, "E205");
        assert_eq!(refused(upload(&channel, &[9; 32], 0, &file.bytes).await).0, "E106");
        // With it, the upload is the honest one's, whoever sends it: other bytes are dropped.
        let name = client.begin_contribution(seen.clone()).await.unwrap().into_inner().upload;
        let mut wrong = file.bytes.clone();
        wrong[9] ^= 1;
        assert_eq!(refused(upload(&channel, &name, 0, &wrong).await).0, "E101");
        let half = file.bytes.len() / 2;
        assert_eq!(refused(upload(&channel, &name, 0, &wrong[..half]).await).0, "E501");
        // The honest one goes on behind wrong bytes, is told so, and has its reward at the next try.
        assert_eq!(refused(honest.submit(&channel, &network, &file).await).0, "E101");
        let verdict = honest.submit(&channel, &network, &file).await.unwrap();
        assert!(verdict.accepted && verdict.code.is_empty(), "{verdict:?}");
        // The relay's copy afterwards: the same answer, nothing for the thief.
        let copy = client.begin_contribution(seen).await.unwrap().into_inner().verdict.unwrap();
        assert_eq!((copy.code.as_str(), copy.receipt), ("E202", verdict.receipt));
        assert_eq!(balance(&channel, honest.account()).await.balance, 900 + REWARD);
        assert_eq!(balance(&channel, thief.account()).await.balance, 900);
    });
}

#[test]
fn strangers_who_hold_upload_places_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let (channel, network, task) = begun(&node, &mut holder).await;
        let file = holder.prove(&task);
        // All places of the one peer that everybody here is, and never a byte.
        let mut silent = Vec::new();
        for _ in 0..3 {
            let stranger = node.connect().await.unwrap();
            for _ in 0..60 {
                let mut client = ContributionsServiceClient::new(stranger.clone());
                silent.push(tokio::spawn(async move {
                    client.upload_contribution(tokio_stream::pending()).await
                }));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        let verdict = holder.submit(&channel, &network, &file).await.unwrap();
        assert!(verdict.accepted, "{verdict:?}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        silent.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn bundles_that_nobody_takes_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let (channel, network, task) = begun(&node, &mut holder).await;
        assert!(holder.submit(&channel, &network, &holder.prove(&task)).await.unwrap().accepted);
        holder.next_task(&channel, 1).await.unwrap();
        let request = v1::DownloadBundleRequest { space: holder.space.to_vec().into(), version: Some(1) };
        let mut models = v1::models_service_client::ModelsServiceClient::new(channel.clone());
        for _ in 0..40 {
            // Gone after the first part, or before it.
            let mut stream = models.download_bundle(request.clone()).await.unwrap().into_inner();
            let _ = tokio::time::timeout(Duration::from_millis(5), stream.message()).await;
        }
        let mut stream = models.download_bundle(request).await.unwrap().into_inner();
        let mut bytes = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            assert!(message.part.len() <= 256 << 10);
            bytes.extend_from_slice(&message.part);
        }
        // The very bytes that an auditor makes of the folder, of which a part is the log: both at the same size.
        let out = folder.path().join("v1.wpbundle");
        std::fs::write(&out, &bytes).unwrap();
        let network: String = network.iter().map(|byte| format!("{byte:02x}")).collect();
        let checked = std::process::Command::new(env!("CARGO_BIN_EXE_weightproof"))
            .args(["audit", "verify", &out.display().to_string(), "--key", &network])
            .env("XDG_CACHE_HOME", cache())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        assert!(!node.data().join("scratch").exists());
    });
}

#[test]
fn a_first_run_is_one_process_and_looking_is_no_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let holder = Holder::new(1);
    let spec = space(policy(1));
    let mut node = Node::new(folder.path(), &spec, &[(holder.account(), 1_000)]);
    // A first run that was cut short: a database without an entry, and no key yet.
    std::fs::create_dir_all(node.data()).unwrap();
    drop(weightproof_node::store::Sqlite::open(&node.data()).unwrap());
    let config = folder.path().join("node.toml").display().to_string();
    let doctor = || {
        let data = node.data().display().to_string();
        let found = std::process::Command::new(env!("CARGO_BIN_EXE_weightproof"))
            .args([
                "doctor",
                "--config",
                &config,
                "--data",
                &data,
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                "127.0.0.1:0",
            ])
            .env("XDG_CACHE_HOME", cache())
            .env("HOME", folder.path())
            .output()
            .unwrap();
        String::from_utf8(found.stdout).unwrap()
    };
    let text = doctor();
    assert!(
        text.lines().any(|line| line.starts_with("log") && line.contains("begun on the first run")),
        "{text}"
    );
    assert!(!node.data().join("node.key").exists());
    std::fs::write(node.data().join("node.key"), "07".repeat(32)).unwrap();
    doctor();
    let reader = weightproof_node::store::Reader::open(&node.data().join("node.sqlite")).unwrap();
    assert_eq!(reader.entries(0, 9).unwrap(), []);
    std::fs::remove_file(node.data().join("node.key")).unwrap();
    // While another process has the folder, no key and no certificate is made in it.
    let held = weightproof_node::store::Sqlite::open(&node.data()).unwrap();
    assert!(!node.try_start());
    assert!(!node.data().join("node.key").exists() && !node.data().join("tls-key.pem").exists());
    drop(held);
    node.start();
    assert_eq!(node.stop(), Some(0));
    // A log that is begun and has no key is never begun again.
    std::fs::remove_file(node.data().join("node.key")).unwrap();
    assert!(!node.try_start());
    assert!(!node.data().join("node.key").exists());
}

#[test]
fn a_backup_has_all_that_a_node_needs_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    let data = node.data();
    std::fs::create_dir(data.join("validation")).unwrap();
    std::fs::write(data.join("validation/tiny.csv"), "rows").unwrap();
    let copy = folder.path().join("copy");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_weightproof"))
        .args(["backup", "--data", &data.display().to_string(), "--out", &copy.display().to_string()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    // While nobody sends anything, all that is not on its way or a lock is there.
    for name in ["node.key", "node.sqlite", "tls-cert.pem", "tls-key.pem", "validation/tiny.csv"] {
        assert!(copy.join(name).exists(), "{name}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&copy), mode(&copy.join("node.key")), mode(&copy.join("validation/tiny.csv"))),
            (0o700, 0o600, 0o600)
        );
    }
    assert_eq!(node.stop(), Some(0));
    std::fs::rename(&data, folder.path().join("lost")).unwrap();
    std::fs::rename(&copy, &data).unwrap();
    node.start();
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn one_upload_is_one_place_however_often_it_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let (channel, network, task) = begun(&node, &mut holder).await;
        let file = holder.prove(&task);
        let name = announce(&channel, &holder.key, &network, &file).await.unwrap().upload;
        // A connection that names the upload and then says nothing more.
        let silent = || {
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            let part =
                v1::UploadContributionRequest { upload: name.clone(), offset: 0, part: Default::default() };
            sender.try_send(part).unwrap();
            let mut client = ContributionsServiceClient::new(channel.clone());
            let parts = tokio_stream::wrappers::ReceiverStream::new(receiver);
            (sender, tokio::spawn(async move { client.upload_contribution(parts).await }))
        };
        let (_first, older) = silent();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (_second, newest) = silent();
        let ended = tokio::time::timeout(Duration::from_secs(5), older).await.unwrap().unwrap();
        assert_eq!(refused(ended).0, "E501");
        assert!(!newest.is_finished());
        let verdict = holder.submit(&channel, &network, &file).await.unwrap();
        assert!(verdict.accepted, "{verdict:?}");
        assert_eq!(refused(newest.await.unwrap()).0, "E501");
    });
}
