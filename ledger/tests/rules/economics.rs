//! What can be earned: the formula against exact arithmetic, splitting, choosing, and amounts at their ends.
use num_bigint::BigUint;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use weightproof_circuits::batches::indices;
use weightproof_circuits::error::ErrorCode::*;
use weightproof_ledger::action::Action;
use weightproof_ledger::event::{Effect, Event, Quality};
use weightproof_ledger::policy::{MAXIMUM_AMOUNT, MAXIMUM_WEIGHT, Policy};
use weightproof_ledger::step::{beacon, reward};

use crate::harness::*;

/// rate · examples · weight/full · improvement/1000 · (whole + min(accepted, whole))/(2·whole), floored once.
fn oracle(policy: &Policy, examples: u64, weight: u32, quality: Option<&Quality>, accepted: u64) -> BigUint {
    let improvement = match quality {
        None => 1000,
        Some(Quality { before, after, rows }) => {
            let rows = i128::from(*rows).max(1);
            // Thousandths, toward zero.
            let gained = (i128::from(*after) - i128::from(*before)) * 1000 / rows;
            (1000 + gained * i128::from(policy.improvement_gain)).clamp(0, 2000)
        }
    };
    let whole = u64::from(policy.reputation_contributions);
    let (top, bottom) = if whole == 0 { (1, 1) } else { (whole + accepted.min(whole), 2 * whole) };
    BigUint::from(policy.reward_per_example) * examples * weight * u128::try_from(improvement).unwrap() * top
        / (BigUint::from(policy.weights[0]) * 1000_u32 * bottom)
}

#[test]
fn the_formula_is_the_exact_one() {
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]));
    let edge = |most: u64| prop_oneof![Just(0), Just(1), Just(most), 0..=most];
    let quality = (edge(1 << 32), edge(1 << 32), 1..=1_u64 << 32).prop_map(|(before, after, rows)| Quality {
        before: before.min(rows),
        after: after.min(rows),
        rows,
    });
    let figures = (
        edge(MAXIMUM_AMOUNT),
        edge(1 << 28),
        1..=MAXIMUM_WEIGHT,
        edge(u64::from(u32::MAX)),
        edge(u64::from(u32::MAX)),
    );
    let strategy = (figures, proptest::option::of(quality), any::<u64>(), 1..=MAXIMUM_WEIGHT);
    runner
        .run(&strategy, |((rate, examples, full, whole, gain), quality, accepted, weight)| {
            let policy = Policy {
                reward_per_example: rate,
                weights: vec![full],
                reputation_contributions: whole as u32,
                improvement_gain: gain as u32,
                ..policy()
            };
            let weight = weight.min(full);
            let expected = oracle(&policy, examples, weight, quality.as_ref(), accepted);
            let found = reward(&policy, examples, weight, quality.as_ref(), accepted);
            // Past 64 bits the emission caps it anyway.
            prop_assert_eq!(BigUint::from(found), expected.min(BigUint::from(u64::MAX)));
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_example_of_the_specification() {
    let policy = Policy { weights: vec![4, 2], improvement_gain: 10, ..Policy::with_tokens() };
    let quality = Quality { before: 900, after: 912, rows: 1000 };
    // 1 token · 512 examples · 2/4 · 1.12 · (10 + 4)/20
    assert_eq!(reward(&policy, 512, 2, Some(&quality), 4), 200);
    assert_eq!(reward(&policy, 512, 4, None, 0), 256);
    assert_eq!(reward(&policy, 512, 4, None, 1 << 40), 512);
    let worse = Quality { before: 900, after: 800, rows: 1000 };
    assert_eq!(reward(&policy, 512, 4, Some(&worse), 10), 0);
}

fn paid(effects: &[Effect]) -> u64 {
    effects.iter().map(|effect| if let Effect::Accepted { reward, .. } = effect { *reward } else { 0 }).sum()
}

/// What `identities` accounts earn with `work` contributions and a stake of 64 000 between them.
fn earned(identities: u8, work: u64, change: fn(&mut Policy)) -> u64 {
    let mut policy = Policy {
        maximum_members: 64,
        reward_per_example: 3,
        reputation_contributions: 7,
        burn_permille: 13,
        fee_permille: 21,
        ..policy()
    };
    change(&mut policy);
    let mut world = World::with(policy);
    let numbers: Vec<u8> = (1..=identities).collect();
    let stake = 64_000 / u64::from(identities);
    for number in &numbers {
        // Funds come from account 4, which is none of them unless it must be.
        if *number > 4 {
            world.act(1 + number % 4, Action::Transfer { to: id(*number), amount: stake });
        }
    }
    for number in &numbers {
        world.act(*number, Action::Join { space: world.space, stake: stake.min(world.balance(*number)) });
        world.register(*number, *number);
    }
    let mut total = 0;
    for _ in 0..work / u64::from(identities) {
        world.open();
        for number in &numbers {
            total += paid(&world.contribute(*number));
        }
        world.take(world.closing());
    }
    total
}

/// F03: with the same work and stake, more identities never earn more. The table is in specs/ledger.md §6.
#[test]
fn splitting_into_identities_does_not_pay() {
    type Change = fn(&mut Policy);
    let figures: [(&str, Change); 4] = [
        ("as given", |_| ()),
        ("one token an example, no reputation", |p| {
            (p.reward_per_example, p.reputation_contributions) = (1, 0)
        }),
        ("tiny rewards, half burned, half fee", |p| {
            (p.reward_per_example, p.reputation_contributions) = (1, 50);
            (p.burn_permille, p.fee_permille) = (500, 499);
        }),
        ("capped at 700 a round", |p| p.emission = 700),
    ];
    for (name, change) in figures {
        let totals: Vec<(u8, u64)> = [1, 2, 3, 4, 6, 10, 20, 30, 60]
            .map(|identities| (identities, earned(identities, 60, change)))
            .into();
        println!("{name}: {totals:?}");
        assert!(totals[0].1 > 0 || name.starts_with("tiny"));
        assert!(totals.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{name}: {totals:?}");
    }
}

/// What is kept of a reward is rounded once, so that earning more never leaves less.
#[test]
fn more_before_fees_is_never_less_after_them() {
    for (burn, fee) in [(0, 0), (10, 20), (500, 500), (333, 333), (1, 999), (0, 1000), (499, 500)] {
        let mut last = 0;
        for rate in 1..200 {
            let policy = Policy {
                burn_permille: burn,
                fee_permille: fee,
                reward_per_example: rate,
                reputation_contributions: 0,
                minimum_rows: 1,
                ..policy()
            };
            let mut world = World::with(policy);
            world.act(1, Action::Join { space: world.space, stake: 1_000 });
            // One row is one example, however often it is drawn.
            world.act(1, Action::RegisterDataset { space: world.space, root: root(1), rows: 1 });
            world.open();
            let net = paid(&world.contribute(1));
            assert!(net >= last, "{burn} {fee}: {rate} left {net}, one less left {last}");
            last = net;
        }
    }
}

/// D08: ten thousand datasets tried against a guess of the beacon gain nothing under the beacon that is drawn.
#[test]
fn choosing_among_datasets_before_the_beacon_gains_nothing() {
    let world = World::new();
    let space = world.space;
    let rows = 64;
    // The attacker would like its batches to fall on the first half of its rows.
    let score = |root: [u8; 32], beacon: [u8; 32]| {
        let mut statement = world.statement(1, 1, 1);
        (statement.dataset_root, statement.beacon) = (root, beacon);
        let drawn = indices(&statement.batch_seed(), rows, 1, 32).unwrap();
        drawn.iter().filter(|row| u64::from(**row) < rows / 2).count()
    };
    let drawn = |root: [u8; 32], randomness: u8| {
        let mut admitted = world.round(1).admitted.clone();
        admitted.get_mut(&id(1)).unwrap().root = root;
        beacon(&id(NODE), &space, 1, &admitted, &[randomness; 32])
    };
    let candidates = |attempt: u16| {
        (0..500_u16).map(move |number| {
            let mut root = [0; 32];
            root[..2].copy_from_slice(&number.to_le_bytes());
            root[2..4].copy_from_slice(&attempt.to_le_bytes());
            root
        })
    };
    let (mut guessed, mut real) = (0, 0);
    for attempt in 0..20 {
        // Randomness 1 is the guess, 2 is what comes.
        let best = candidates(attempt).max_by_key(|root| score(*root, drawn(*root, 1))).unwrap();
        guessed += score(best, drawn(best, 1));
        real += score(best, drawn(best, 2));
    }
    // Of 20 · 32 draws, half are expected; three deviations are 38. Live: with the beacon known, choosing does pay.
    assert!(guessed > 320 + 80, "VACUOUS: {guessed}");
    assert!((282..=358).contains(&real), "{real}");
}

// F11: amounts at their ends.

#[test]
fn amounts_near_the_end_overflow_nothing() {
    let mut world = World {
        state: weightproof_ledger::state::State::empty(),
        log: vec![],
        now: BEGINNING,
        space: [0; 32],
    };
    let half = u64::MAX / 2;
    let allocations = vec![(id(1), half), (id(2), half - 10_000), (id(3), 5_000)];
    world.take(Event::Genesis { network: id(NODE), operator: id(OPERATOR), allocations });
    let spec =
        spec("space", Policy { emission: MAXIMUM_AMOUNT, reward_per_example: MAXIMUM_AMOUNT, ..policy() });
    world.space = weightproof_ledger::step::space_id(&id(NODE), &spec);
    world.take(Event::CreateSpace { spec });
    let space = world.space;
    for amount in [half + 1, u64::MAX] {
        assert_eq!(world.code(&world.action(1, Action::Join { space, stake: amount })), E503);
        assert_eq!(world.code(&world.action(1, Action::Transfer { to: id(2), amount })), E503);
    }
    world.act(1, Action::Join { space, stake: half });
    assert_eq!(world.balance(1), 0);
    for amount in [half + 1, u64::MAX, 0] {
        assert_eq!(world.code(&world.action(1, Action::Unstake { space, amount })), E503);
        assert_eq!(world.code(&world.action(1, Action::Stake { space, amount })), E503);
    }
    world.register(1, 1);
    world.open();
    // The fee would not fit into the operator's balance, were that full; here the cap and the sums hold.
    let minted = |effects: &[Effect]| {
        effects.iter().find_map(|e| if let Effect::Minted { amount } = e { Some(*amount) } else { None })
    };
    assert_eq!(minted(&world.contribute(1)), Some(MAXIMUM_AMOUNT));
    let evidence = crate::harness::report(
        submission(&world.statement(1, 1, 1), 1),
        submission(&world.statement(1, 1, 2), 1),
    );
    world.act(1, Action::Unstake { space, amount: half / 3 });
    world.act(3, evidence);
    assert_eq!(
        world.member(1).stake + world.member(1).unbonding.iter().map(|part| part.amount).sum::<u64>(),
        half - half / 2
    );
}

#[test]
fn a_full_balance_refuses_more_and_nothing_is_lost() {
    let mut world = World {
        state: weightproof_ledger::state::State::empty(),
        log: vec![],
        now: BEGINNING,
        space: [0; 32],
    };
    let allocations = vec![(id(1), u64::MAX - 6_000), (id(2), 5_000)];
    world.take(Event::Genesis { network: id(NODE), operator: id(OPERATOR), allocations });
    let spec = spec("space", Policy { reward_per_example: 1_000, ..policy() });
    world.space = weightproof_ledger::step::space_id(&id(NODE), &spec);
    world.take(Event::CreateSpace { spec });
    world.act(2, Action::Join { space: world.space, stake: 1_000 });
    world.register(2, 2);
    world.open();
    let to = |account: u8| {
        let mut statement = world.statement(2, 1, 2);
        statement.payout = id(account).to_vec();
        valid(submission(&statement, 2))
    };
    assert_eq!(world.code(&to(1)), E503);
    let fine = to(2);
    world.take(fine);
}
