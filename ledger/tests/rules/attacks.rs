//! Ways to earn twice, to escape, to freeze a round or to fill the state, each tried.
use weightproof_circuits::error::ErrorCode::*;
use weightproof_ledger::action::{Action, Receipt, SignedReceipt};
use weightproof_ledger::canonical::{Bytes, Canonical};
use weightproof_ledger::event::{Effect, Entry, Event, Outcome};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::replay::Replay;
use weightproof_ledger::signed::Message;
use weightproof_ledger::step::{MAXIMUM_FORMER_KEYS, space_id};

use crate::harness::*;

fn burned(effects: &[Effect]) -> u64 {
    effects.iter().map(|effect| if let Effect::Burned { amount } = effect { *amount } else { 0 }).sum()
}

fn reward(effects: &[Effect]) -> u64 {
    effects
        .iter()
        .find_map(|effect| if let Effect::Accepted { reward, .. } = effect { Some(*reward) } else { None })
        .unwrap()
}

fn conflicting(world: &World, signer: u8) -> Action {
    let of = |update| submission(&world.statement(1, 1, update), signer);
    report(of(50), of(51))
}

// Escaping.

/// The signer of a failing proof unstakes, rotates or revokes its key, or lets the round end while the verifier works.
#[test]
fn nobody_escapes_a_forfeit_while_the_verifier_works() {
    type Escape = fn(&mut World);
    let escapes: [(&str, Escape); 6] = [
        ("control", |_| ()),
        ("unstake", |w| drop(w.act(1, Action::Unstake { space: w.space, amount: 5_000 }))),
        ("unstake in parts", |w| {
            for _ in 0..32 {
                w.act(1, Action::Unstake { space: w.space, amount: 156 });
            }
        }),
        ("rotate", |w| drop(w.act(1, Action::RotateKey { key: id(11), proof: possession(1, 11) }))),
        ("revoke", |w| drop(w.act(1, Action::RevokeKey {}))),
        ("outlast", |w| drop(w.close())),
    ];
    for (name, escape) in escapes {
        let mut world = World::new();
        let bad = world.submission(1);
        escape(&mut world);
        let effects = world.take(invalid(bad.clone()));
        assert_eq!(burned(&effects), policy().bond, "{name}");
        assert!(world.round(1).forfeited.contains(&id(1)));
        assert_eq!(world.code(&invalid(bad)), E502, "{name}: once");
        // The same claim with a proof that holds comes too late.
        assert!(matches!(world.code(&valid(world.submission_to(1, 1))), E502 | E205), "{name}");
    }
}

#[test]
fn only_the_signer_forfeits_and_only_an_open_slot() {
    let mut world = World::new();
    assert_eq!(world.code(&invalid(submission(&world.statement(1, 1, 1), 2))), E205);
    world.contribute(1);
    assert_eq!(world.code(&invalid(world.submission(1))), E202);
    assert_eq!(world.code(&invalid(submission(&world.statement(1, 1, 99), 1))), E502);
    let member = world.member(1);
    assert_eq!((member.stake, member.accepted), (5_000, 1));
    // A key that ended before the round opened could sign nothing for it.
    world.act(2, Action::RotateKey { key: id(12), proof: possession(2, 12) });
    world.close();
    world.now += 1;
    world.open();
    let statement = world.statement(2, 2, 1);
    assert_eq!(world.code(&invalid(submission(&statement, 2))), E205);
    world.take(invalid(submission(&statement, 12)));
}

#[test]
fn a_slash_reaches_what_is_on_its_way_back_and_keys_of_before() {
    for (unstaked, keys) in [(0, 0), (5_000, 0), (4_321, 1), (5_000, 2)] {
        let mut world = World::new();
        let evidence = conflicting(&world, 1);
        if unstaked > 0 {
            world.act(1, Action::Unstake { space: world.space, amount: unstaked });
        }
        if keys > 0 {
            world.act(1, Action::RotateKey { key: id(11), proof: possession(1, 11) });
        }
        if keys > 1 {
            let envelope = world.envelope(1, Action::RevokeKey {});
            world.take(signed(envelope, 11));
        }
        // The last second of the window: nothing has been released.
        world.now += policy().evidence_seconds;
        assert_eq!(world.code(&Event::Release { space: world.space }), E501);
        let effects = world.act(3, evidence);
        assert_eq!(burned(&effects), 2_500, "{unstaked} {keys}");
        let member = world.member(1);
        let left = member.stake + member.unbonding.iter().map(|part| part.amount).sum::<u64>();
        assert_eq!(left, 2_500);
    }
}

#[test]
fn a_stake_in_many_parts_loses_no_less() {
    let whole = {
        let mut world = World::new();
        let evidence = conflicting(&world, 1);
        burned(&world.act(3, evidence))
    };
    let mut world = World::new();
    let evidence = conflicting(&world, 1);
    for _ in 0..32 {
        world.act(1, Action::Unstake { space: world.space, amount: 1 });
    }
    assert_eq!(burned(&world.act(3, evidence)), whole);
    // With everything slashed nothing is left, and room for parts again.
    let mut world = World::under(Policy { slash_permille: 1000, ..policy() });
    let evidence = conflicting(&world, 1);
    for _ in 0..32 {
        world.act(1, Action::Unstake { space: world.space, amount: 1 });
    }
    assert_eq!(burned(&world.act(3, evidence)), 5_000);
    assert!(world.member(1).unbonding.is_empty());
}

/// Whoever stole a key that was replaced can make evidence about rounds of its time, and of no later one.
#[test]
fn a_stolen_key_is_worth_nothing_from_the_next_round_on() {
    let mut world = World::new();
    world.act(1, Action::RotateKey { key: id(11), proof: possession(1, 11) });
    world.contribute(2);
    world.close();
    world.now += 1;
    world.open();
    let by = |signer| {
        let of = |update| submission(&world.statement(1, 2, update), signer);
        world.action(3, report(of(1), of(2)))
    };
    assert_eq!(world.code(&by(1)), E205);
    world.clone().take(by(11));
    let old = world.action(3, conflicting(&world, 1));
    world.take(old);
}

#[test]
fn one_offence_is_punished_once_and_its_slot_is_lost() {
    let mut world = World::new();
    let evidence = conflicting(&world, 1);
    world.act(3, evidence.clone());
    assert_eq!(world.code(&world.action(3, evidence.clone())), E502);
    // By another reporter, with a third update, after leaving the round: the tombstone stays.
    let third = report(submission(&world.statement(1, 1, 60), 1), submission(&world.statement(1, 1, 61), 1));
    assert_eq!(world.code(&world.action(2, third)), E502);
    assert_eq!(world.code(&valid(world.submission(1))), E502);
    // A lost slot does not hold up the round, and is no miss on top.
    world.contribute(2);
    let closed = world.now;
    world.take(world.closing());
    assert_eq!(world.now, closed);
    assert_eq!((world.member(1).misses, world.member(1).stake), (0, 2_500));
    // In another round it is another offence.
    world.open();
    let next = report(submission(&world.statement(1, 2, 1), 1), submission(&world.statement(1, 2, 2), 1));
    assert_eq!(burned(&world.act(3, next)), 1_250);
}

#[test]
fn a_miss_costs_more_each_time_up_to_eight_and_unstaking_does_not_help() {
    let mut world = World::new();
    let mut costs = Vec::new();
    for _ in 0..10 {
        world.contribute(2);
        costs.push(burned(&world.close()));
        world.open();
    }
    assert_eq!(costs, [10, 20, 30, 40, 50, 60, 70, 80, 80, 80]);
    world.contribute(2);
    world.act(1, Action::Unstake { space: world.space, amount: world.member(1).stake });
    assert_eq!(burned(&world.close()), 80);
    // A contribution ends the row.
    world.open();
    assert!(!world.round(12).admitted.contains_key(&id(1)));
    world.act(1, Action::Stake { space: world.space, amount: 2_000 });
    world.contribute(2);
    world.close();
    world.open();
    world.contribute(1);
    world.close();
    assert_eq!(world.member(1).misses, 0);
    // With nothing left there is nothing to take.
    let mut world = World::under(Policy { miss_cost: 4_000, ..policy() });
    world.contribute(2);
    assert_eq!(burned(&world.close()), 4_000);
    world.act(1, Action::Stake { space: world.space, amount: 10 });
    assert_eq!(world.member(1).stake, 1_010);
    world.open();
    world.contribute(2);
    assert_eq!(burned(&world.close()), 1_010);
    assert_eq!((world.member(1).stake, world.member(1).misses), (0, 2));
}

// Earning.

#[test]
fn a_contribution_is_rewarded_once_in_its_round_and_in_later_ones() {
    let mut world = World::new();
    let first = valid(world.submission(1));
    world.take(first.clone());
    let balance = world.balance(1);
    for _ in 0..3 {
        assert_eq!(world.code(&first), E202);
        // The same claim in another file, to another payout, under another seal: the slot is taken.
        let mut other = world.statement(1, 1, 1);
        other.payout = id(1).to_vec();
        assert_eq!(world.code(&valid(submission(&other, 1))), E502);
        world.close();
        assert_eq!(world.code(&first), E202);
        world.open();
    }
    assert_eq!(world.balance(1), balance);
}

#[test]
fn nobody_earns_without_a_stake() {
    let mut world = World::new();
    let submitted = valid(world.submission(1));
    world.act(1, Action::Unstake { space: world.space, amount: 4_001 });
    assert_eq!(world.code(&submitted), E503);
    assert_eq!(world.balance(1), BALANCE - 5_000);
    // And the stake that was there when it was paid is within reach of evidence afterwards.
    let mut world = World::new();
    world.contribute(1);
    world.act(1, Action::Unstake { space: world.space, amount: 5_000 });
    let evidence = conflicting(&world, 1);
    assert_eq!(burned(&world.act(3, evidence)), 2_500);
}

#[test]
fn late_contributions_weigh_and_earn_less_and_share_the_open_rounds_emission() {
    let policy =
        Policy { emission: 700, burn_permille: 0, fee_permille: 0, reputation_contributions: 0, ..policy() };
    let mut world = World::under(policy);
    let late = |world: &World, who, round| valid(submission(&world.statement(who, round, who), who));
    for _ in 0..2 {
        world.close();
        world.open();
    }
    // 512 examples at rate 1: a quarter for two rounds late, half for one, then what is left of 700.
    let rewards: Vec<u64> = [(1, 1), (2, 2), (1, 3), (2, 3)]
        .map(|(who, round)| {
            let event = late(&world, who, round);
            reward(&world.take(event))
        })
        .into();
    assert_eq!(rewards, [128, 256, 316, 0]);
    assert_eq!((world.round(3).minted, world.round(1).minted), (700, 0));
    // Late ones that come in do not stand for the round's own: 1 and 2 have settled round 3, so it closes early.
    world.take(world.closing());
    assert_eq!(world.code(&late(&world, 2, 1)), E203);
    world.open();
    assert_eq!(reward(&world.take(late(&world, 1, 2))), 128);
    assert_eq!(world.code(&late(&world, 2, 1)), E203);
    assert_eq!(world.code(&world.closing()), E501, "its own contributions are still out");
}

#[test]
fn a_payout_to_a_new_key_makes_its_account_and_no_reward_makes_none() {
    let mut world = World::new();
    let mut statement = world.statement(1, 1, 1);
    statement.payout = id(77).to_vec();
    let paid = reward(&world.take(valid(submission(&statement, 1))));
    assert_eq!(world.balance(77), paid);
    let mut world = World::under(Policy { emission: 0, ..policy() });
    let mut statement = world.statement(1, 1, 1);
    statement.payout = id(77).to_vec();
    world.take(valid(submission(&statement, 1)));
    assert!(!world.state.accounts.contains_key(&id(77)));
}

/// After a revert nothing comes back that was trained on what was taken away; evidence is heard all the same.
#[test]
fn a_revert_ends_older_rounds() {
    let mut world = World::new();
    let poisoned = valid(world.submission(1));
    let evidence = conflicting(&world, 1);
    world.contribute(2);
    world.close();
    let head = world.space().digest();
    world.take(Event::Revert { space: world.space, version: 0, reason: "poisoned".into() });
    assert_eq!((world.space().version(), world.space().digest()), (2, world.space().versions[0]));
    assert_ne!(world.space().digest(), head);
    world.open();
    assert_eq!(world.code(&poisoned), E203);
    // A failing proof and conflicting signatures are still what they are.
    world.clone().take(invalid(world.submission_to(1, 1)));
    world.clone().act(3, evidence);
    world.contribute(1);
    world.contribute(2);
    world.close();
    world.open();
    world.close();
    world.open();
    // Of the rounds since then late ones are taken as ever.
    let late = valid(submission(&world.statement(1, 3, 1), 1));
    world.take(late);
}

// Choosing one's batches (D08).

#[test]
fn what_is_registered_after_the_beacon_does_not_count() {
    let mut world = World::new();
    world.register(3, 3);
    let with = |who: u8, data: u8| {
        let mut statement = world.statement(who, 1, who);
        (statement.dataset_root, statement.dataset_rows) = (root(data), 569);
        valid(submission(&statement, who))
    };
    assert_eq!(world.code(&with(3, 3)), E206);
    let old = with(1, 1);
    let new = with(1, 9);
    world.register(1, 9);
    assert_eq!(world.code(&new), E206);
    world.take(old);
    // The key may change, the contributor whom the batch key names does not.
    world.act(2, Action::RotateKey { key: id(12), proof: possession(2, 12) });
    let statement = world.statement(2, 1, 2);
    assert_eq!(world.code(&valid(submission(&statement, 2))), E205);
    world.take(valid(submission(&statement, 12)));
}

/// A fresh account after the beacon is a fresh draw for nobody: it has no slot in the round, staked or not.
#[test]
fn whoever_joins_or_stakes_after_the_beacon_waits() {
    let mut world = World::new();
    world.act(4, Action::Join { space: world.space, stake: 1_000 });
    world.register(4, 4);
    let mut statement = world.statement(4, 1, 4);
    (statement.dataset_root, statement.dataset_rows) = (root(4), 569);
    assert_eq!(world.code(&valid(submission(&statement, 4))), E206);
    world.contribute(1);
    world.contribute(2);
    world.close();
    world.open();
    world.contribute(4);
}

#[test]
fn the_beacon_depends_on_all_that_it_admits_and_on_the_randomness() {
    let beacon = |change: fn(&mut World), randomness: u8| {
        let mut world = World::with(policy());
        for number in 1..=2 {
            world.act(number, Action::Join { space: world.space, stake: 2_000 });
            world.register(number, number);
        }
        change(&mut world);
        world.take(Event::OpenRound { space: world.space, randomness: [randomness; 32] });
        world.round(1).beacon
    };
    let changes: [fn(&mut World); 4] = [
        |_| (),
        |w| w.register(2, 9),
        |w| drop(w.act(2, Action::RegisterDataset { space: w.space, root: root(2), rows: 570 })),
        |w| drop(w.act(2, Action::Unstake { space: w.space, amount: 1_001 })),
    ];
    let beacons: std::collections::BTreeSet<_> =
        changes.iter().flat_map(|change| [1, 2].map(|randomness| beacon(*change, randomness))).collect();
    assert_eq!(beacons.len(), 8);
    assert_eq!(beacon(changes[0], 1), beacon(changes[0], 1));
}

// Freezing.

#[test]
fn nobody_holds_up_a_round() {
    // Silent, without stake, forfeited: the round ends on time, and at once when all have done what they could.
    let mut world = World::new();
    world.contribute(2);
    assert_eq!(world.code(&world.closing()), E501);
    world.act(1, Action::Unstake { space: world.space, amount: 5_000 });
    assert_eq!(world.code(&world.closing()), E501);
    world.now = world.round(1).closes;
    world.take(world.closing());
    let mut world = World::new();
    world.contribute(2);
    world.take(invalid(world.submission(1)));
    world.take(world.closing());
    assert_eq!(world.member(1).misses, 0);
    // A round that nobody contributed to publishes nothing and the next has another beacon.
    let mut world = World::new();
    world.close();
    assert_eq!(world.space().version(), 0);
    world.open();
    assert_ne!(world.round(1).beacon, world.round(2).beacon);
    assert_eq!(world.round(1).digest, world.round(2).digest);
}

#[test]
fn places_are_held_by_stakes_alone() {
    // Four places; 1, 2 and 3 have joined. Whoever keeps one token and the rest elsewhere keeps no place.
    let mut world = World::new();
    world.act(4, Action::Join { space: world.space, stake: 1_000 });
    world.act(1, Action::Transfer { to: id(5), amount: 50_000 });
    let join = world.action(5, Action::Join { space: world.space, stake: 1_000 });
    assert_eq!(world.code(&join), E503);
    world.act(4, Action::Unstake { space: world.space, amount: 999 });
    world.take(join);
    assert_eq!(world.code(&world.action(4, Action::Stake { space: world.space, amount: 999 })), E503);
    world.act(4, Action::Stake { space: world.space, amount: 998 });
    // Members who hold their place may add to it.
    world.act(2, Action::Stake { space: world.space, amount: 1 });
    // Where a place costs nothing all of them count.
    let mut free = World::with(Policy { maximum_members: 2, ..Policy::without_tokens() });
    for number in 20..22 {
        free.act(number, Action::Join { space: free.space, stake: 0 });
    }
    assert_eq!(free.code(&free.action(22, Action::Join { space: free.space, stake: 0 })), E503);
    assert_eq!(free.state.accounts.len(), 4 + 1 + 2);
}

// Time and order.

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut world = World::new();
    let time = world.now;
    world.now = time - 1_000;
    let envelope = world.envelope(1, Action::RevokeKey {});
    assert_eq!(world.code(&signed(envelope, 1)), E402, "what expired stays expired");
    world.take(valid(world.submission(1)));
    assert_eq!(world.state.time, time);
    let last = Entry::decode(world.log.last().unwrap(), "entry").unwrap();
    assert_eq!(last.time, time);
    assert_eq!(world.code(&world.closing()), E501);
}

#[test]
fn hostile_times_in_a_log_are_refused_and_overflow_nothing() {
    let world = World::new();
    let bytes = &world.log[0];
    for time in [1 << 40, (1 << 40) + 1, u64::MAX - 1, u64::MAX] {
        let mut entry = Entry::decode(bytes, "entry").unwrap();
        entry.time = time;
        let played = Replay::new().play(&entry.encode());
        assert_eq!(played.err().map(|refusal| refusal.code), (time > 1 << 40).then_some(E506), "{time}");
    }
    // Everything still goes at the latest time, with the longest of policies.
    let seconds = weightproof_ledger::policy::MAXIMUM_SECONDS;
    let longest = Policy {
        unbonding_seconds: seconds,
        evidence_seconds: seconds - 1,
        round_seconds: seconds,
        ..policy()
    };
    let mut world = World::with(longest);
    world.now = 1 << 40;
    for number in 1..=2 {
        world.act(number, Action::Join { space: world.space, stake: 2_000 });
        world.register(number, number);
    }
    world.open();
    world.act(1, Action::Unstake { space: world.space, amount: 1_000 });
    let evidence = conflicting(&world, 1);
    world.act(2, evidence);
    assert_eq!(world.code(&world.closing()), E501);
}

#[test]
fn a_nonce_is_used_once_and_a_refused_action_uses_none() {
    let mut world = World::new();
    let transfer = world.action(1, Action::Transfer { to: id(4), amount: 1 });
    let too_much = world.action(1, Action::Transfer { to: id(4), amount: u64::MAX });
    assert_eq!(world.code(&too_much), E503);
    world.take(transfer.clone());
    assert_eq!(world.code(&transfer), E202);
    // The last nonce ends the account's actions: its own doing.
    let mut last = world.envelope(1, Action::Transfer { to: id(4), amount: 1 });
    last.nonce = u64::MAX;
    world.take(signed(last.clone(), 1));
    assert_eq!(world.code(&signed(last, 1)), E202);
    // A new account's first action may carry nonce 0, and it is used up like any other.
    let mut free = World::with(Policy::without_tokens());
    let mut first = free.envelope(50, Action::Join { space: free.space, stake: 0 });
    first.nonce = 0;
    free.take(signed(first.clone(), 50));
    assert_eq!(free.code(&signed(first, 50)), E202);
}

#[test]
fn nothing_replays_on_another_node_or_in_another_space() {
    let mut world = World::new();
    let mut twin = spec("twin", policy());
    twin.seed = [7; 32];
    let other = space_id(&id(NODE), &twin);
    world.take(Event::CreateSpace { spec: twin });
    world.act(1, Action::Join { space: other, stake: 1_000 });
    let submitted = world.submission(1);
    let mut moved = submitted.clone();
    let mut statement = world.statement(1, 1, 1);
    statement.space = other;
    moved.submission.statement = Bytes(statement.encode());
    assert_eq!(world.code(&valid(moved)), E205);
    assert_eq!(world.code(&valid(submission(&statement, 1))), E201, "signed again: no such round there");
    // The same accounts and space on a node with another key.
    let mut elsewhere = World::new();
    elsewhere.state.network = id(NODE + 1);
    assert_eq!(elsewhere.code(&valid(submitted)), E201);
    assert_eq!(elsewhere.code(&world.action(1, Action::RevokeKey {})), E201);
    let rotation = Action::RotateKey { key: id(11), proof: possession(1, 11) };
    let mut envelope = elsewhere.envelope(1, rotation);
    envelope.network = id(NODE + 1);
    assert_eq!(elsewhere.code(&signed(envelope, 1)), E205, "possession was shown to another node");
}

#[test]
fn identities_of_spaces_differ_between_nodes_and_specifications() {
    let one = spec("space", policy());
    let mut other = one.clone();
    other.policy.emission += 1;
    let ids = [space_id(&id(1), &one), space_id(&id(2), &one), space_id(&id(1), &other)];
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
}

// What is logged can be read.

#[test]
fn more_than_a_million_elements_are_read_back() {
    let many = vec![7_u8; (1 << 20) + 1];
    assert_eq!(Vec::<u8>::decode(&many.encode(), "many"), Ok(many));
}

#[test]
fn the_largest_entry_an_account_can_cause_is_small() {
    // 64 former keys and 32 parts are the most that an account carries; its largest action holds two submissions.
    let world = World::new();
    let evidence = world.action(3, conflicting(&world, 1));
    let entry = Entry { index: u64::MAX, time: u64::MAX, event: evidence, effects: vec![] };
    assert!(entry.encode().len() < 2_048, "{}", entry.encode().len());
    assert_eq!(MAXIMUM_FORMER_KEYS, 64);
}

#[test]
fn a_receipt_is_bound_to_its_claim_and_its_node() {
    let receipt = Receipt {
        network: id(NODE),
        statement_digest: [1; 32],
        file_digest: [2; 32],
        verdict: 0,
        entry: 3,
        reward: 4,
        time: 5,
    };
    let signed = SignedReceipt { signature: receipt.sign(&key(NODE)), receipt };
    assert_eq!(signed.receipt.verify(&id(NODE), &signed.signature), Ok(()));
    let changes: [fn(&mut Receipt); 7] = [
        |r| r.network[0] ^= 1,
        |r| r.statement_digest[0] ^= 1,
        |r| r.file_digest[0] ^= 1,
        |r| r.verdict = 307,
        |r| r.entry += 1,
        |r| r.reward += 1,
        |r| r.time += 1,
    ];
    for change in changes {
        let mut forged = signed.receipt.clone();
        change(&mut forged);
        assert_eq!(forged.verify(&id(NODE), &signed.signature).unwrap_err().code, E205);
    }
}

#[test]
fn every_code_that_is_no_proof_fault_forfeits_nothing() {
    use weightproof_circuits::error::ErrorCode;
    use weightproof_ledger::action::{code_number, is_proof_fault};
    let world = World::new();
    for code in ErrorCode::ALL {
        let event = Event::Contribution {
            signed: world.submission(1),
            outcome: Outcome::Invalid { code: code_number(*code) },
        };
        let taken = weightproof_ledger::step::step(&world.state, &event, world.now);
        assert_eq!(taken.is_ok(), is_proof_fault(*code), "{code}");
    }
}

// The net under the rules.

#[test]
fn the_invariants_see_what_breaks_them() {
    use weightproof_ledger::state::{Account, Round, Space, State};
    fn space(state: &mut State) -> &mut Space {
        state.spaces.values_mut().next().unwrap()
    }
    fn round(state: &mut State) -> &mut Round {
        space(state).last_round_mut().unwrap()
    }
    fn account(state: &mut State) -> &mut Account {
        state.accounts.get_mut(&id(1)).unwrap()
    }
    type Fault = fn(&mut State);
    let faults: [(&str, Fault); 12] = [
        ("tokens", |s| account(s).balance += 1),
        ("tokens", |s| s.supply.burned += 1),
        ("tokens", |s| s.supply.burned = u64::MAX),
        ("tokens", |s| space(s).members.get_mut(&id(1)).unwrap().stake -= 1),
        ("hold the minimum stake", |s| {
            let mut spec = space(s).spec.as_ref().clone();
            spec.policy.maximum_members = 2;
            space(s).spec = spec.into();
        }),
        ("two are open", |s| {
            let mut next = round(s).clone();
            next.number += 1;
            space(s).rounds.0.push_back(next.into());
        }),
        ("not consecutive", |s| {
            let mut next = round(s).clone();
            (round(s).closed, next.number) = (true, 9);
            space(s).rounds.0.push_back(next.into());
        }),
        ("minted", |s| round(s).minted = policy().emission + 1),
        ("without a dataset", |s| {
            round(s).admitted.remove(&id(1));
        }),
        ("both accepted and forfeited", |s| {
            round(s).forfeited.insert(id(1));
        }),
        ("has no account", |s| {
            s.supply.burned += account(s).balance;
            s.accounts.remove(&id(1));
        }),
        ("tokens", |s| s.supply.emitted += 1),
    ];
    let mut world = World::new();
    world.contribute(1);
    assert_eq!(world.state.check_invariants(), Ok(()));
    for (name, fault) in faults {
        let mut state = world.state.clone();
        fault(&mut state);
        let found = state.check_invariants().unwrap_err();
        assert!(found.contains(name), "{name}: {found}");
    }
}

#[test]
fn an_offence_ends_the_reputation() {
    for equivocate in [false, true] {
        let mut world = World::new();
        world.contribute(1);
        world.contribute(2);
        world.take(world.closing());
        world.open();
        assert_eq!(world.member(1).accepted, 1);
        if equivocate {
            let of = |update| submission(&world.statement(1, 2, update), 1);
            let evidence = report(of(1), of(2));
            world.act(3, evidence);
        } else {
            world.take(invalid(world.submission(1)));
        }
        assert_eq!((world.member(1).accepted, world.member(2).accepted), (0, 1));
    }
}

#[test]
fn a_row_counts_once() {
    let mut world =
        World::under(Policy { reputation_contributions: 0, burn_permille: 0, fee_permille: 0, ..policy() });
    world.close();
    world.act(1, Action::RegisterDataset { space: world.space, root: root(1), rows: 100 });
    world.open();
    assert_eq!([1, 2].map(|who| reward(&world.contribute(who))), [100, 512]);
}

#[test]
fn a_round_is_forgotten_when_neither_lateness_nor_evidence_reaches_it() {
    let mut world = World::new();
    let (opened, late) = (world.now, valid(world.submission(1)));
    let evidence = conflicting(&world, 1);
    world.close();
    world.open();
    world.close();
    let mut slow = world.clone();
    slow.now = opened + policy().evidence_seconds + 1;
    slow.open();
    slow.take(late);
    world.open();
    world.close();
    assert!(world.now <= opened + policy().evidence_seconds);
    world.now = opened + policy().evidence_seconds;
    let mut after = world.clone();
    world.open();
    world.act(3, evidence);
    after.now += 1;
    after.open();
    assert!(after.space().round(1).is_none());
}
