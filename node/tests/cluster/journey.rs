//! The whole way over the wire, and every stranger's attempt to go another.
use super::harness::*;
use tonic::Code;
use weightproof_ledger::action::{Action, Receipt};
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::replay::Replay;
use weightproof_ledger::signed::Message;
use weightproof_node::rpc::v1;

#[test]
fn contributions_are_verified_applied_and_rewarded_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut holders: Vec<Holder> = (1..=2).map(Holder::new).collect();
    let allocations: Vec<_> = (1..=3).map(|number| (account(&signing_key(number)), 1_000)).collect();
    let mut node = Node::new(folder.path(), &space(policy(2)), &allocations);
    node.start();
    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        for holder in &mut holders {
            holder.enter(&channel, 100).await.unwrap();
        }
        let mut last = 0;
        for round in 1..=2u64 {
            let mut accepted = Vec::new();
            for holder in &holders {
                let task = if accepted.is_empty() {
                    holder.next_task(&channel, last).await.unwrap()
                } else {
                    let (round, ..) = holder.round(&channel).await.unwrap();
                    let base = model(&channel, holder.space, Some(round.model_version)).await.unwrap();
                    Task { round, base: base.parameters }
                };
                assert_eq!(task.round.number, round);
                let file = holder.prove(&task);
                let verdict = holder.submit(&channel, &network, &file).await.unwrap();
                assert!(verdict.accepted && verdict.code.is_empty(), "{verdict:?}");
                let receipt = verdict.receipt.unwrap();
                check_receipt(&network, &receipt);
                // 8 examples at 500 tokens, less 10 thousandths burned and 20 for the operator.
                assert_eq!(receipt.reward, 3_880);
                // The same again: the same receipt, and nothing twice.
                let again = holder.submit(&channel, &network, &file).await.unwrap();
                assert_eq!((again.code.as_str(), again.receipt.as_ref()), ("E202", Some(&receipt)));
                accepted.push(file);
            }
            last = round;
        }
        for holder in &holders {
            assert_eq!(balance(&channel, holder.account()).await.balance, 1_000 - 100 + 2 * 3_880);
        }
        holders[0].next_task(&channel, last).await.unwrap();
        // Whoever has the log arrives at the same state.
        let mut replay = Replay::new();
        for entry in entries(&channel).await {
            replay.play(&entry).unwrap();
        }
        replay.state().check_invariants().unwrap();
        let space = &replay.state().spaces[&holders[0].space];
        assert_eq!(space.version(), 2);
        let newest = model(&channel, holders[0].space, None).await.unwrap();
        assert_eq!(newest.digest().unwrap(), space.digest());
        assert_eq!(replay.state().accounts[&holders[0].account()].balance, 8_660);
    });
    assert_eq!(node.stop(), Some(0));
}

fn check_receipt(network: &[u8], signed: &v1::SignedReceipt) {
    let id = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap();
    let receipt = Receipt {
        network: id(&signed.network),
        statement_digest: id(&signed.statement_digest),
        file_digest: id(&signed.file_digest),
        verdict: signed.verdict as u16,
        entry: signed.entry,
        reward: signed.reward,
        time: signed.time,
    };
    receipt.verify(&id(network), &signed.signature.to_vec().try_into().unwrap()).unwrap();
}

#[test]
fn what_is_not_ones_own_or_not_true_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut honest = Holder::new(1);
    let mut thief = Holder::new(2);
    let allocations: Vec<_> = (1..=2).map(|number| (account(&signing_key(number)), 1_000)).collect();
    let mut node = Node::new(folder.path(), &space(policy(2)), &allocations);
    node.start();
    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        honest.enter(&channel, 100).await.unwrap();
        thief.enter(&channel, 200).await.unwrap();
        let task = honest.next_task(&channel, 0).await.unwrap();
        let file = honest.prove(&task);
        let before = (checkpoint(&channel).await, balance(&channel, thief.account()).await);

        // Stolen: another's file under the thief's signature, and under the thief's name.
        let stolen = submit(&channel, &thief.key, &network, &file, &file.bytes).await;
        assert_eq!(refused(stolen), ("E205".to_owned(), Code::PermissionDenied));
        let mut renamed = file.clone();
        renamed.statement.contributor = thief.account();
        let stolen = submit(&channel, &thief.key, &network, &renamed, &renamed.bytes).await;
        assert_eq!(refused(stolen), ("E206".to_owned(), Code::FailedPrecondition));
        renamed.statement.dataset_root = thief.dataset.root();
        let verdict = submit(&channel, &thief.key, &network, &renamed, &renamed.bytes).await.unwrap();
        // The file holds another statement than the one that was signed: nobody's proof fails, nothing is forfeited.
        assert_eq!((verdict.accepted, verdict.code.as_str(), verdict.receipt), (false, "E201", None));

        // Of another beacon, base, round, space; each by name.
        let mut other = file.clone();
        other.statement.beacon[0] ^= 1;
        assert_eq!(refused(submit(&channel, &honest.key, &network, &other, &[]).await).0, "E204");
        let mut other = file.clone();
        other.statement.model_digest[0] ^= 1;
        assert_eq!(refused(submit(&channel, &honest.key, &network, &other, &[]).await).0, "E201");
        let mut other = file.clone();
        other.statement.model_version += 1;
        assert_eq!(refused(submit(&channel, &honest.key, &network, &other, &[]).await).0, "E203");
        let mut other = file.clone();
        other.statement.program_digest[0] ^= 1;
        assert_eq!(refused(submit(&channel, &honest.key, &network, &other, &[]).await).0, "E207");
        let mut other = file.clone();
        other.statement.round += 1;
        assert_eq!(refused(submit(&channel, &honest.key, &network, &other, &[]).await).0, "E201");
        let mut other = file.clone();
        other.statement.protocol_version += 1;
        assert_eq!(refused(submit(&channel, &honest.key, &network, &other, &[]).await).0, "E105");
        let mut other = file.clone();
        other.bytes.extend([0; 1 << 20]);
        assert_eq!(refused(submit(&channel, &honest.key, &network, &other, &[]).await).0, "E403");
        // Nothing of all this changed anything.
        assert_eq!((checkpoint(&channel).await, balance(&channel, thief.account()).await), before);

        // Bytes that are not the signed ones; the right ones may follow.
        let mut damaged = file.bytes.clone();
        damaged[1000] ^= 1;
        let answer = submit(&channel, &honest.key, &network, &file, &damaged).await;
        assert_eq!(refused(answer), ("E101".to_owned(), Code::InvalidArgument));
        let verdict = honest.submit(&channel, &network, &file).await.unwrap();
        assert!(verdict.accepted, "{verdict:?}");

        // Forged: the thief signs a file whose proof is damaged. The bond is gone, the slot too, and nothing is paid.
        let mut forged = thief.prove(&task);
        let end = forged.bytes.len() - 1;
        forged.bytes[end - 40] ^= 1;
        let verdict = thief.submit(&channel, &network, &forged).await.unwrap();
        assert!(!verdict.accepted && verdict.code.starts_with("E30"), "{verdict:?}");
        let receipt = verdict.receipt.unwrap();
        check_receipt(&network, &receipt);
        assert_eq!((receipt.reward, u64::from(receipt.verdict)), (0, verdict.code[1..].parse().unwrap()));
        let after = balance(&channel, thief.account()).await;
        assert_eq!((after.balance, after.staked), (800, 160));
        let good = thief.prove(&task);
        let late = submit(&channel, &thief.key, &network, &good, &good.bytes).await;
        // The round closed with the last slot; before it had, the slot was lost.
        assert!(late.is_err() || !late.unwrap().accepted);

        // Stale: the round has gone on.
        honest.next_task(&channel, 1).await.unwrap();
        let mut old = honest.prove(&task);
        old.statement.update_digest[0] ^= 1;
        let code = refused(submit(&channel, &honest.key, &network, &old, &[]).await).0;
        assert!(code == "E502" || code == "E203", "{code}");
    });
}

#[test]
fn actions_are_signed_once_for_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &space(policy(1)), &[(holder.account(), 1_000)]);
    node.start();
    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        let mut ledger = v1::ledger_service_client::LedgerServiceClient::new(channel.clone());
        let to = account(&signing_key(9));
        let request = |key: &ed25519_dalek::SigningKey, nonce, network: &[u8], amount| v1::TransferRequest {
            authorization: Some(authorize(
                key,
                account(&signing_key(1)),
                nonce,
                network,
                Action::Transfer { to, amount: 10 },
            )),
            to: to.to_vec().into(),
            amount,
        };
        let (own, other, stranger) = (signing_key(1), signing_key(2), signing_key(4));
        assert_eq!(refused(ledger.transfer(request(&other, 5, &network, 10)).await).0, "E205");
        assert_eq!(refused(ledger.transfer(request(&own, 5, &[3; 32], 10)).await).0, "E205");
        assert_eq!(refused(ledger.transfer(request(&own, 5, &network, 11)).await).0, "E205");
        let first = ledger.transfer(request(&own, 5, &network, 10)).await.unwrap().into_inner().logged;
        // The answer may have been lost: the same again is the same, not a second one.
        let repeated = request(&own, 5, &network, 10);
        assert_eq!(balance(&channel, to).await.balance, 10);
        let second = ledger.transfer(repeated).await;
        assert!(second.is_err() || second.unwrap().into_inner().logged == first);
        assert_eq!(balance(&channel, to).await.balance, 10);
        assert_eq!(refused(ledger.transfer(request(&own, 4, &network, 10)).await).0, "E202");
        assert_eq!(refused(ledger.transfer(request(&stranger, 1, &network, 10)).await).0, "E205");
        let mut none = request(&own, 6, &network, 10);
        none.authorization = None;
        assert_eq!(refused(ledger.transfer(none).await), ("E106".to_owned(), Code::InvalidArgument));
    });
}

#[test]
fn a_validation_set_that_the_space_committed_to_changes_the_reward() {
    use sha2::Digest;
    use weightproof_circuits::encoding::tagged_hash;
    use weightproof_ledger::event::{Entry, Event, Outcome};

    let folder = tempfile::tempdir().unwrap();
    let mut file = "# salt 00\na,b,c,d,y\n".to_owned();
    for row in 0..40 {
        let value = |column: i32| f64::from((row * 37 + column * 101) % 16 - 8) / 8.0;
        let label = if value(0) > 0.0 { "yes" } else { "no" };
        file.push_str(&format!("{},{},{},{},{label}\n", value(0), value(1), value(2), value(3)));
    }
    let mut policy = policy(1);
    policy.improvement_gain = 1;
    let mut spec = space(policy.clone());
    spec.validation = Some(tagged_hash("weightproof validation v1").chain_update(&file).finalize().into());
    let mut holder = Holder::new(1);
    let mut node = Node::new(folder.path(), &spec, &[(holder.account(), 1_000)]);
    // Without the file, or with another, there is no node.
    assert!(!node.try_start());
    std::fs::create_dir_all(node.data().join("validation")).unwrap();
    let path = node.data().join("validation/tiny.csv");
    std::fs::write(&path, file.replace("salt 00", "salt 01")).unwrap();
    assert!(!node.try_start());
    std::fs::write(&path, &file).unwrap();
    node.start();
    run(async {
        let channel = node.connect().await.unwrap();
        let network = network(&channel).await.unwrap();
        holder.enter(&channel, 100).await.unwrap();
        let mut changed = false;
        for last in 0..6 {
            let task = holder.next_task(&channel, last).await.unwrap();
            let verdict = holder.submit(&channel, &network, &holder.prove(&task)).await.unwrap();
            let receipt = verdict.receipt.unwrap();
            let bytes = entries(&channel).await.swap_remove(receipt.entry as usize);
            let Event::Contribution { outcome, .. } = Entry::decode(&bytes, "entry").unwrap().event else {
                panic!()
            };
            let Outcome::Valid { quality: Some(quality), .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(quality.rows, 40);
            let gross = weightproof_ledger::step::reward(&policy, 8, 1, Some(&quality), 0);
            assert!(receipt.reward.abs_diff(gross * 97 / 100) <= 1, "{receipt:?} {quality:?}");
            changed |= quality.before != quality.after;
        }
        assert!(changed, "training never changed what the validation set measures");
    });
}
