//! Every refusal of the rules, each with a control: the same event without the defect is taken. Two manifests keep the
//! lists complete: one walks the sentences in the source, one the kinds of actions, events, effects and statement fields.
use std::collections::BTreeSet;

use weightproof_circuits::error::ErrorCode::{self, *};
use weightproof_circuits::statement::{SEAL_HALO2, Statement};
use weightproof_ledger::action::Action;
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::event::{Effect, Event, Outcome, Quality, SpaceSpec};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::step::{MAXIMUM_FORMER_KEYS, MAXIMUM_TIME, MAXIMUM_UNBONDING, MAXIMUM_VALIDITY};

use crate::harness::*;

/// A world, an event that is refused in it, and what differs in the control.
pub struct Case {
    name: &'static str,
    code: ErrorCode,
    /// How the message begins.
    message: &'static str,
    world: World,
    event: Event,
    /// World and event without the defect.
    control: (World, Event),
}

fn case(
    name: &'static str,
    (code, message): (ErrorCode, &'static str),
    (world, event): (World, Event),
    control: (World, Event),
) -> Case {
    Case { name, code, message, world, event, control }
}

/// The defect is in the event alone.
fn of_event(
    name: &'static str,
    expected: (ErrorCode, &'static str),
    world: &World,
    event: Event,
    control: Event,
) -> Case {
    case(name, expected, (world.clone(), event), (world.clone(), control))
}

/// The defect is in the world alone.
fn of_world(
    name: &'static str,
    expected: (ErrorCode, &'static str),
    world: World,
    control: World,
    event: Event,
) -> Case {
    case(name, expected, (world, event.clone()), (control, event))
}

fn beginnings() -> Vec<Case> {
    let empty = || World {
        state: weightproof_ledger::state::State::empty(),
        log: vec![],
        now: BEGINNING,
        space: [0; 32],
    };
    let world = World::genesis();
    let genesis = |network, operator, allocations: &[(u8, u64)]| Event::Genesis {
        network,
        operator,
        allocations: allocations.iter().map(|(number, amount)| (id(*number), *amount)).collect(),
    };
    let good = genesis(id(NODE), id(OPERATOR), &[(1, 5)]);
    let create = |change: fn(&mut SpaceSpec)| {
        let mut spec = spec("another", policy());
        change(&mut spec);
        Event::CreateSpace { spec }
    };
    let mut taken = world.clone();
    taken.take(create(|_| ()));
    let mut late = world.clone();
    late.now = MAXIMUM_TIME + 1;
    let mut last = world.clone();
    last.now = MAXIMUM_TIME;
    vec![
        of_world(
            "genesis is first",
            (E501, "expected genesis first"),
            empty(),
            world.clone(),
            create(|_| ()),
        ),
        of_world("genesis is once", (E501, "expected genesis first"), world.clone(), empty(), good.clone()),
        of_world("times are sane", (E103, "expected a time of at most"), late, last, create(|_| ())),
        of_event(
            "network is a key",
            (E104, "expected an Ed25519"),
            &empty(),
            genesis([0; 32], id(1), &[]),
            good.clone(),
        ),
        of_event(
            "operator is a key",
            (E104, "expected an Ed25519"),
            &empty(),
            genesis(id(1), [0; 32], &[]),
            good.clone(),
        ),
        of_event(
            "allocated to a key",
            (E104, "expected an Ed25519"),
            &empty(),
            Event::Genesis { network: id(1), operator: id(2), allocations: vec![([0; 32], 1)] },
            good.clone(),
        ),
        of_event(
            "the whole supply is below 2^64",
            (E503, "expected a sum below"),
            &empty(),
            genesis(id(1), id(2), &[(3, u64::MAX), (4, 1)]),
            genesis(id(1), id(2), &[(3, u64::MAX - 1), (4, 1)]),
        ),
        of_event("no name", (E103, "name: expected"), &world, create(|s| s.name.clear()), create(|_| ())),
        of_event(
            "long name",
            (E103, "name: expected"),
            &world,
            create(|s| s.name = "a".repeat(65)),
            create(|s| s.name = "a".repeat(64)),
        ),
        of_event(
            "odd name",
            (E103, "name: expected"),
            &world,
            create(|s| s.name = "a\u{1b}[2J".into()),
            create(|_| ()),
        ),
        of_event(
            "long schema",
            (E103, "schema: expected"),
            &world,
            create(|s| s.schema = Bytes(vec![0; (1 << 20) + 1])),
            create(|s| s.schema = Bytes(vec![0; 1 << 20])),
        ),
        of_event(
            "policy",
            (E103, "policy.round_seconds"),
            &world,
            create(|s| s.policy.round_seconds = 0),
            create(|_| ()),
        ),
        of_event(
            "program",
            (E102, "the space's program cannot be read"),
            &world,
            create(|s| s.program.0.push(0)),
            create(|_| ()),
        ),
        of_world(
            "taken name",
            (E501, "expected a name that no space has"),
            taken,
            world.clone(),
            create(|s| s.seed = [9; 32]),
        ),
    ]
}

fn accounts() -> Vec<Case> {
    let world = World::new();
    let transfer = Action::Transfer { to: id(4), amount: 5 };
    let envelope = || world.envelope(1, transfer.clone());
    let good = signed(envelope(), 1);
    let mut network = envelope();
    network.network = id(OPERATOR);
    let mut expired = envelope();
    expired.expires = world.now - 1;
    let mut last = envelope();
    last.expires = world.now;
    let mut far = envelope();
    far.expires = world.now + MAXIMUM_VALIDITY + 1;
    let mut farthest = envelope();
    farthest.expires = world.now + MAXIMUM_VALIDITY;
    let mut replay = envelope();
    replay.nonce -= 1;
    let mut gap = envelope();
    gap.nonce = u64::MAX;
    let mut revoked = world.clone();
    revoked.act(1, Action::RevokeKey {});
    let mut rotated = world.clone();
    rotated.act(1, Action::RotateKey { key: id(11), proof: possession(1, 11) });
    let mut full = world.clone();
    let mut nearly = world.clone();
    for count in 0..MAXIMUM_FORMER_KEYS {
        nearly = full.clone();
        let (current, next) = (if count == 0 { 1 } else { 10 + count as u8 }, 11 + count as u8);
        let envelope = full.envelope(1, Action::RotateKey { key: id(next), proof: possession(1, next) });
        full.take(signed(envelope, current));
    }
    let rotation = Action::RotateKey { key: id(99), proof: possession(1, 99) };
    let at_limit = signed(full.envelope(1, rotation.clone()), 10 + MAXIMUM_FORMER_KEYS as u8);
    let below = signed(nearly.envelope(1, rotation.clone()), 9 + MAXIMUM_FORMER_KEYS as u8);
    let rotate = |key, proof| world.action(1, Action::RotateKey { key, proof });
    let again = signed(rotated.envelope(1, Action::RotateKey { key: id(1), proof: possession(1, 1) }), 11);
    let other = signed(rotated.envelope(1, Action::RotateKey { key: id(12), proof: possession(1, 12) }), 11);
    vec![
        of_event(
            "for another node",
            (E201, "expected an action signed for this node"),
            &world,
            signed(network, 1),
            good.clone(),
        ),
        of_event(
            "expired",
            (E402, "expected an action that is still valid"),
            &world,
            signed(expired, 1),
            signed(last, 1),
        ),
        of_event(
            "valid for long",
            (E103, "expected an action valid for at most"),
            &world,
            signed(far, 1),
            signed(farthest, 1),
        ),
        of_event("nonce", (E202, "expected a nonce above"), &world, signed(replay, 1), signed(gap, 1)),
        of_event(
            "another's signature",
            (E205, "expected a signature by the account's key"),
            &world,
            signed(envelope(), 2),
            good.clone(),
        ),
        of_event(
            "an unknown account",
            (E205, "expected an account of this node"),
            &world,
            world.action(9, transfer.clone()),
            good.clone(),
        ),
        of_world(
            "a revoked key",
            (E205, "expected an account with a key"),
            revoked,
            world.clone(),
            signed(World::new().envelope(1, transfer.clone()), 1),
        ),
        of_world(
            "a former key",
            (E205, "expected a signature by the account's key"),
            rotated.clone(),
            world.clone(),
            {
                let mut late = envelope();
                late.nonce += 9;
                signed(late, 1)
            },
        ),
        of_event(
            "a weak key",
            (E104, "expected an Ed25519"),
            &world,
            rotate([0; 32], [0; 64]),
            rotate(id(11), possession(1, 11)),
        ),
        of_event(
            "another's key",
            (E205, "expected a signature"),
            &world,
            rotate(id(2), possession(1, 11)),
            rotate(id(11), possession(1, 11)),
        ),
        of_event(
            "another's possession",
            (E205, "expected a signature"),
            &world,
            rotate(id(11), possession(2, 11)),
            rotate(id(11), possession(1, 11)),
        ),
        of_event(
            "the same key",
            (E501, "expected a key that the account never had"),
            &world,
            rotate(id(1), possession(1, 1)),
            rotate(id(11), possession(1, 11)),
        ),
        of_event(
            "a key of before",
            (E501, "expected a key that the account never had"),
            &rotated,
            again,
            other,
        ),
        case("many keys", (E501, "expected at most 64 former keys"), (full, at_limit), (nearly, below)),
    ]
}

fn members() -> Vec<Case> {
    let world = World::new();
    let space = world.space;
    let join = |who, stake| world.action(who, Action::Join { space, stake });
    let stake = |who, amount| world.action(who, Action::Stake { space, amount });
    let unstake = |who, amount| world.action(who, Action::Unstake { space, amount });
    let transfer = |to, amount| world.action(1, Action::Transfer { to, amount });
    let crowded = World::under(Policy { maximum_members: 3, ..policy() });
    let entering = crowded.action(4, Action::Join { space: crowded.space, stake: 1_000 });
    let mut left = crowded.clone();
    left.act(3, Action::Unstake { space: left.space, amount: 4_001 });
    let mut filled = left.clone();
    filled.take(entering.clone());
    let back = filled.action(3, Action::Stake { space: filled.space, amount: 1 });
    let mut parts = world.clone();
    for _ in 1..MAXIMUM_UNBONDING {
        parts.act(1, Action::Unstake { space, amount: 1 });
    }
    let mut most = parts.clone();
    most.act(1, Action::Unstake { space, amount: 1 });
    let one_more = most.action(1, Action::Unstake { space, amount: 1 });
    let mut unbonding = world.clone();
    unbonding.act(1, Action::Unstake { space, amount: 7 });
    let mut due = unbonding.clone();
    due.now += policy().unbonding_seconds;
    unbonding.now = due.now - 1;
    let free = World::with(Policy { maximum_members: 4, ..Policy::without_tokens() });
    let free_join = |stake| free.action(4, Action::Join { space: free.space, stake });
    let release = Event::Release { space };
    let nowhere = Action::Join { space: [9; 32], stake: 5_000 };
    vec![
        of_event(
            "join nothing",
            (E201, "expected a space of this node"),
            &world,
            world.action(4, nowhere),
            join(4, 5_000),
        ),
        of_event(
            "join twice",
            (E501, "expected an account that has not joined"),
            &world,
            join(1, 5_000),
            join(4, 5_000),
        ),
        of_world("join a full space", (E503, "expected room for a member"), crowded, left.clone(), entering),
        of_world("return to a full space", (E503, "expected room for a member"), filled, left, back),
        of_event(
            "join with too little",
            (E503, "expected a stake of at least"),
            &world,
            join(4, 999),
            join(4, 1_000),
        ),
        of_event(
            "join with what is not there",
            (E503, "expected a balance of at least"),
            &world,
            join(4, BALANCE + 1),
            join(4, BALANCE),
        ),
        of_event(
            "join from nowhere",
            (E503, "expected a balance of at least"),
            &world,
            join(9, 1_000),
            join(4, 1_000),
        ),
        of_event(
            "stake without tokens",
            (E503, "expected an amount above 0 in a space"),
            &free,
            free_join(1),
            free_join(0),
        ),
        of_event(
            "stake nothing",
            (E503, "expected an amount above 0 in a space"),
            &world,
            stake(1, 0),
            stake(1, 1),
        ),
        of_event(
            "stake of a stranger",
            (E503, "expected a member of the space"),
            &world,
            stake(4, 1),
            stake(1, 1),
        ),
        of_event(
            "stake of what is not there",
            (E503, "expected a balance of at least"),
            &world,
            stake(1, 95_001),
            stake(1, 95_000),
        ),
        of_event(
            "unstake nothing",
            (E503, "expected an amount from 1"),
            &world,
            unstake(1, 0),
            unstake(1, 1),
        ),
        of_event(
            "unstake too much",
            (E503, "expected an amount from 1"),
            &world,
            unstake(1, 5_001),
            unstake(1, 5_000),
        ),
        of_event(
            "unstake of a stranger",
            (E503, "expected a member of the space"),
            &world,
            unstake(4, 1),
            unstake(1, 1),
        ),
        of_world("unstake in many parts", (E503, "expected at most 32 parts"), most, parts, one_more),
        of_world(
            "release too early",
            (E501, "expected tokens whose time has come"),
            unbonding.clone(),
            due.clone(),
            release.clone(),
        ),
        of_event(
            "release nowhere",
            (E201, "expected a space of this node"),
            &due,
            Event::Release { space: [9; 32] },
            release,
        ),
        of_event(
            "transfer nothing",
            (E503, "expected an amount above 0 for another"),
            &world,
            transfer(id(4), 0),
            transfer(id(4), 1),
        ),
        of_event(
            "transfer to oneself",
            (E503, "expected an amount above 0 for another"),
            &world,
            transfer(id(1), 1),
            transfer(id(4), 1),
        ),
        of_event(
            "transfer to no key",
            (E104, "expected an Ed25519"),
            &world,
            transfer([0; 32], 1),
            transfer(id(77), 1),
        ),
        of_event(
            "transfer without the fee",
            (E503, "expected a balance of at least"),
            &world,
            transfer(id(4), 95_000),
            transfer(id(4), 94_999),
        ),
        of_event(
            "transfer too much",
            (E503, "expected a balance of at least"),
            &world,
            transfer(id(4), u64::MAX),
            transfer(id(4), 1),
        ),
    ]
}

fn rounds() -> Vec<Case> {
    let world = World::new();
    let space = world.space;
    let register =
        |who, data, rows| world.action(who, Action::RegisterDataset { space, root: root(data), rows });
    let mut closed = world.clone();
    closed.contribute(1);
    closed.close();
    let mut few = World::with(Policy { minimum_datasets: 2, ..policy() });
    for number in 1..=2 {
        few.act(number, Action::Join { space: few.space, stake: 1_000 });
    }
    few.register(1, 1);
    let mut enough = few.clone();
    enough.register(2, 2);
    // Whoever fell below the minimum stake is not admitted.
    let mut fallen = enough.clone();
    fallen.act(2, Action::Unstake { space: fallen.space, amount: 1 });
    let opening = few.opening();
    let mut early = world.clone();
    early.now = early.round(1).closes - 1;
    let mut due = world.clone();
    due.now = due.round(1).closes;
    let revert = |version, reason: &str| Event::Revert { space, version, reason: reason.to_owned() };
    let opened = {
        let mut world = closed.clone();
        world.open();
        world
    };
    vec![
        of_event("few rows", (E206, "expected 10 to"), &world, register(3, 3, 9), register(3, 3, 10)),
        of_event(
            "many rows",
            (E206, "expected 10 to"),
            &world,
            register(3, 3, (1 << 32) + 1),
            register(3, 3, 1 << 32),
        ),
        of_event(
            "another's dataset",
            (E502, "expected a dataset of the account's own"),
            &world,
            register(3, 1, 569),
            register(3, 3, 569),
        ),
        of_event(
            "dataset of a stranger",
            (E503, "expected a member of the space"),
            &world,
            register(4, 3, 569),
            register(3, 3, 569),
        ),
        of_world(
            "a round in a round",
            (E501, "expected no open round"),
            world.clone(),
            closed.clone(),
            world.opening(),
        ),
        of_world(
            "few datasets",
            (E501, "expected at least 2 registered"),
            few,
            enough.clone(),
            opening.clone(),
        ),
        of_world("few stakes", (E501, "expected at least 2 registered"), fallen, enough, opening),
        of_event(
            "open nowhere",
            (E201, "expected a space of this node"),
            &closed,
            Event::OpenRound { space: [9; 32], randomness: [0; 32] },
            closed.opening(),
        ),
        of_world(
            "close what is closed",
            (E501, "expected an open round"),
            closed.clone(),
            due.clone(),
            world.closing(),
        ),
        of_world("close too early", (E501, "expected the round's end"), early, due, world.closing()),
        of_event(
            "revert without a reason",
            (E501, "expected a reason"),
            &closed,
            revert(0, ""),
            revert(0, "poisoned"),
        ),
        of_event(
            "revert at length",
            (E103, "reason: expected"),
            &closed,
            revert(0, &"a".repeat(1025)),
            revert(0, &"a".repeat(1024)),
        ),
        of_world(
            "revert in a round",
            (E501, "expected no open round"),
            opened,
            closed.clone(),
            revert(0, "poisoned"),
        ),
        of_event(
            "revert to the present",
            (E501, "expected a version before 1"),
            &closed,
            revert(1, "poisoned"),
            revert(0, "poisoned"),
        ),
        of_event(
            "revert to the future",
            (E501, "expected a version before 1"),
            &closed,
            revert(u64::MAX, "poisoned"),
            revert(0, "poisoned"),
        ),
    ]
}

fn contributions() -> Vec<Case> {
    let world = World::new();
    let good = valid(world.submission(1));
    let space = world.space;
    let outcome = |outcome| Event::Contribution { signed: world.submission(1), outcome };
    let found = |largest, quality| outcome(Outcome::Valid { candidate: [1; 32], largest, quality });
    let quality = |before, after, rows| Some(Quality { before, after, rows });
    let mut judged = spec("space", Policy { maximum_drop_permille: 100, ..policy() });
    judged.validation = Some([1; 32]);
    let mut watched = World::genesis();
    watched.space = weightproof_ledger::step::space_id(&id(NODE), &judged);
    watched.take(Event::CreateSpace { spec: judged });
    watched.act(1, Action::Join { space: watched.space, stake: 1_000 });
    watched.register(1, 1);
    watched.open();
    let seen = |quality| Event::Contribution {
        signed: watched.submission(1),
        outcome: Outcome::Valid { candidate: [1; 32], largest: 1, quality },
    };
    let mut accepted = world.clone();
    accepted.take(good.clone());
    let mut closed = accepted.clone();
    closed.close();
    let mut forfeited = world.clone();
    forfeited.take(invalid(world.submission(1)));
    let mut slashed = world.clone();
    let other = |update| submission(&world.statement(1, 1, update), 1);
    slashed.act(3, report(other(50), other(51)));
    let mut poor = world.clone();
    poor.act(1, Action::Unstake { space, amount: 4_001 });
    let mut least = world.clone();
    least.act(1, Action::Unstake { space, amount: 4_000 });
    let mut revoked = world.clone();
    revoked.act(1, Action::RevokeKey {});
    // Rounds 2 and 3 open, then 4: for a contribution to round 1 that is one too many.
    let mut late = World::new();
    late.contribute(2);
    for _ in 0..2 {
        late.close();
        late.open();
    }
    let mut later = late.clone();
    later.close();
    later.open();
    let mut between = late.clone();
    between.close();
    let mut old = later.clone();
    old.close();
    old.now += policy().evidence_seconds + 1;
    old.open();
    // The same round after its model was taken back.
    let mut reverted = World::new();
    reverted.contribute(2);
    reverted.close();
    let mut kept = reverted.clone();
    reverted.take(Event::Revert { space, version: 0, reason: "poisoned".into() });
    reverted.open();
    kept.open();
    let stranger = {
        let mut statement = world.statement(1, 1, 1);
        statement.contributor = id(4);
        valid(submission(&statement, 4))
    };
    let mut foreign = world.submission(1);
    foreign.submission.network = id(OPERATOR);
    foreign.signature = weightproof_ledger::signed::Message::sign(&foreign.submission, &key(1));
    let mut trailing = world.submission(1);
    trailing.submission.statement.0.push(0);
    trailing.signature = weightproof_ledger::signed::Message::sign(&trailing.submission, &key(1));
    let second = valid(submission(&world.statement(1, 1, 77), 1));
    vec![
        of_event("trailing bytes", (E102, ""), &world, valid(trailing), good.clone()),
        of_event(
            "another node's",
            (E201, "expected a submission signed for this node"),
            &world,
            valid(foreign),
            good.clone(),
        ),
        of_event(
            "another's signature",
            (E205, "expected a signature by"),
            &world,
            valid(submission(&world.statement(1, 1, 1), 2)),
            good.clone(),
        ),
        of_world(
            "a revoked key",
            (E205, "expected an account with a key"),
            revoked,
            world.clone(),
            good.clone(),
        ),
        of_event("not a member", (E503, "expected a member of the space"), &world, stranger, good.clone()),
        of_world(
            "accepted already",
            (E202, "expected a new contribution"),
            accepted.clone(),
            world.clone(),
            good.clone(),
        ),
        of_world(
            "accepted already, and closed",
            (E202, "expected a new contribution"),
            closed,
            world.clone(),
            good.clone(),
        ),
        of_world(
            "a second for the slot",
            (E502, "expected one contribution for each round"),
            accepted,
            world.clone(),
            second,
        ),
        of_world(
            "a forfeited slot",
            (E502, "expected a slot that is still open, found that a failing"),
            forfeited,
            world.clone(),
            good.clone(),
        ),
        of_world(
            "a slashed slot",
            (E502, "expected a slot that is still open, found that conflicting"),
            slashed,
            world.clone(),
            good.clone(),
        ),
        of_world(
            "between rounds",
            (E203, "expected an open round"),
            between,
            late.clone(),
            valid(submission(&late.statement(1, 1, 1), 1)),
        ),
        of_world(
            "too late",
            (E203, "expected a contribution to round 4, at most 2"),
            later,
            late.clone(),
            valid(submission(&late.statement(1, 1, 1), 1)),
        ),
        of_world(
            "forgotten",
            (E203, "expected a contribution to round 5, at most 2"),
            old,
            late.clone(),
            valid(submission(&late.statement(1, 1, 1), 1)),
        ),
        of_world(
            "taken back",
            (E203, "expected a round opened after the model was taken back"),
            reverted,
            kept.clone(),
            valid(submission(&kept.statement(1, 1, 1), 1)),
        ),
        of_world(
            "little stake",
            (E503, "expected a stake of at least 1000, found 999"),
            poor,
            least,
            good.clone(),
        ),
        of_event(
            "no proof fault",
            (E501, "expected a code that says"),
            &world,
            outcome(Outcome::Invalid { code: 401 }),
            outcome(Outcome::Invalid { code: 301 }),
        ),
        of_event(
            "no code",
            (E501, "expected a code that says"),
            &world,
            outcome(Outcome::Invalid { code: 0 }),
            outcome(Outcome::Invalid { code: 206 }),
        ),
        of_event(
            "large update",
            (E601, "expected integers of at most"),
            &world,
            found((1 << 40) + 1, None),
            found(1 << 40, None),
        ),
        of_event(
            "no update",
            (E603, "expected an update that changes"),
            &world,
            found(0, None),
            found(1, None),
        ),
        of_event(
            "accuracy of nothing",
            (E501, "expected accuracy if and only if"),
            &world,
            found(1, quality(1, 1, 1)),
            found(1, None),
        ),
        of_event(
            "no accuracy",
            (E501, "expected accuracy if and only if"),
            &watched,
            seen(None),
            seen(quality(9, 9, 10)),
        ),
        of_event(
            "more right than rows",
            (E501, "expected at most as many"),
            &watched,
            seen(quality(9, 11, 10)),
            seen(quality(9, 10, 10)),
        ),
        of_event(
            "no rows",
            (E501, "expected at most as many"),
            &watched,
            seen(quality(0, 0, 0)),
            seen(quality(0, 0, 1)),
        ),
        of_event(
            "loss of accuracy",
            (E603, "expected at most 100 thousandths"),
            &watched,
            seen(quality(90, 79, 100)),
            seen(quality(90, 80, 100)),
        ),
    ]
}

fn evidence() -> Vec<Case> {
    let world = World::new();
    let of = |statement: Statement| submission(&statement, 1);
    let one = || of(world.statement(1, 1, 50));
    let other = || of(world.statement(1, 1, 51));
    let with = |change: fn(&mut Statement)| {
        let mut statement = world.statement(1, 1, 51);
        change(&mut statement);
        of(statement)
    };
    let reporting = |world: &World, second| world.action(3, report(one(), second));
    let good = reporting(&world, other());
    let mut foreign = other();
    foreign.submission.network = id(OPERATOR);
    foreign.signature = weightproof_ledger::signed::Message::sign(&foreign.submission, &key(1));
    let mut punished = world.clone();
    punished.take(good.clone());
    let again = punished.action(3, report(other(), one()));
    let mut last = world.clone();
    last.now += policy().evidence_seconds;
    let mut late = last.clone();
    late.now += 1;
    let mut gone = World::new();
    gone.now += policy().evidence_seconds + 1;
    for _ in 0..3 {
        gone.close();
        gone.open();
    }
    let at = |world: &World| reporting(world, other());
    let expected = |code, message| (code, message);
    vec![
        of_event(
            "different slots",
            expected(E501, "expected two submissions for one slot"),
            &world,
            reporting(&world, submission(&world.statement(2, 1, 5), 2)),
            good.clone(),
        ),
        of_event(
            "the same work",
            expected(E501, "expected two submissions with different updates"),
            &world,
            reporting(&world, with(|s| (s.update_digest, s.payout) = ([50; 32], id(3).to_vec()))),
            good.clone(),
        ),
        of_event(
            "another node",
            expected(E201, "expected a submission signed for this node"),
            &world,
            reporting(&world, foreign),
            good.clone(),
        ),
        of_event(
            "no signature",
            expected(E205, "expected a submission signed by a key that"),
            &world,
            reporting(&world, submission(&world.statement(1, 1, 51), 2)),
            good.clone(),
        ),
        of_event(
            "an unknown space",
            expected(E201, "expected a space of this node"),
            &world,
            {
                let elsewhere = |update| {
                    let mut statement = world.statement(1, 1, update);
                    statement.space = [9; 32];
                    of(statement)
                };
                world.action(3, report(elsewhere(1), elsewhere(2)))
            },
            good.clone(),
        ),
        of_event(
            "a mistaken beacon",
            expected(E204, "expected the beacon"),
            &world,
            reporting(&world, with(|s| s.beacon = [0; 32])),
            good.clone(),
        ),
        of_event(
            "a mistaken base",
            expected(E201, "expected the digest of model"),
            &world,
            reporting(&world, with(|s| s.model_digest = [0; 32])),
            good.clone(),
        ),
        of_event(
            "a mistaken version",
            expected(E203, "expected a contribution to model version"),
            &world,
            reporting(&world, with(|s| s.model_version = 9)),
            good.clone(),
        ),
        of_event(
            "a mistaken dataset",
            expected(E206, "expected the dataset that was registered"),
            &world,
            reporting(&world, with(|s| s.dataset_root = [0; 32])),
            good.clone(),
        ),
        of_event(
            "a mistaken program",
            expected(E207, "expected two submissions about the space's program"),
            &world,
            reporting(&world, with(|s| s.program_digest = [0; 32])),
            good.clone(),
        ),
        of_event(
            "another version",
            expected(E105, ""),
            &world,
            reporting(&world, with(|s| s.protocol_version = 2)),
            good.clone(),
        ),
        of_world(
            "punished already",
            expected(E502, "expected an offence that was not punished"),
            punished,
            world.clone(),
            again,
        ),
        case(
            "old evidence",
            expected(E501, "expected evidence within its window"),
            (late.clone(), at(&late)),
            (last.clone(), at(&last)),
        ),
        case(
            "forgotten",
            expected(E501, "expected a round that evidence is still heard"),
            (gone.clone(), at(&gone)),
            (world.clone(), good),
        ),
    ]
}

/// A statement with one field changed, signed again by its contributor.
fn changed(world: &World, field: &str) -> Option<(Event, ErrorCode, &'static str)> {
    let mut statement = world.statement(1, 1, 1);
    let mut signer = 1;
    let expected = match field {
        "protocol_version" => {
            statement.protocol_version = 2;
            (E105, "expected protocol version")
        }
        "seal" => {
            statement.seal = SEAL_HALO2;
            (E201, "expected a seal that the space takes")
        }
        "seal_key_digest" => {
            statement.seal_key_digest = [1; 32];
            (E308, "expected a zero key")
        }
        "mode" => {
            statement.mode = 2;
            (E105, "expected mode")
        }
        "space" => {
            statement.space = [1; 32];
            (E201, "expected a space of this node")
        }
        "round" => {
            statement.round = 2;
            (E201, "expected round 1 or an earlier one")
        }
        "beacon" => {
            statement.beacon[0] ^= 1;
            (E204, "expected the beacon of round 1")
        }
        "program_digest" => {
            statement.program_digest[0] ^= 1;
            (E207, "expected the space's program")
        }
        "dataset_root" => {
            statement.dataset_root[0] ^= 1;
            (E206, "expected the dataset that was registered")
        }
        "dataset_rows" => {
            statement.dataset_rows += 1;
            (E206, "expected the dataset that was registered")
        }
        "model_version" => {
            statement.model_version += 1;
            (E203, "expected a contribution to model version 0")
        }
        "model_digest" => {
            statement.model_digest[0] ^= 1;
            (E201, "expected the digest of model version 0")
        }
        // Another update is another claim, and the proof's to judge; it must not pass for the one that was signed.
        "update_digest" => {
            let mut signed = submission(&statement, 1);
            statement.update_digest[0] ^= 1;
            signed.submission.statement = Bytes(statement.encode());
            return Some((valid(signed), E205, "expected a signature"));
        }
        "contributor" => {
            (statement.contributor, signer) = (id(3), 3);
            (E206, "expected a dataset registered before the round's beacon")
        }
        "payout" => {
            statement.payout = vec![1; 31];
            (E201, "expected a payout account of 32 bytes or none")
        }
        _ => return None,
    };
    Some((valid(submission(&statement, signer)), expected.0, expected.1))
}

fn fields() -> Vec<Case> {
    let world = World::under(Policy { halo2: false, ..policy() });
    let good = valid(world.submission(1));
    let mut cases: Vec<Case> = Statement::FIELDS
        .iter()
        .map(|field| {
            let (event, code, message) =
                changed(&world, field).unwrap_or_else(|| panic!("{field} has no attack"));
            of_event(field, (code, message), &world, event, good.clone())
        })
        .collect();
    let with = |change: fn(&mut Statement)| {
        let mut statement = world.statement(1, 1, 1);
        change(&mut statement);
        valid(submission(&statement, 1))
    };
    cases.push(of_event(
        "payout to no key",
        (E201, "expected a payout account, found bytes"),
        &world,
        with(|s| s.payout = vec![0; 32]),
        with(|s| s.payout = id(66).to_vec()),
    ));
    cases.push(of_event(
        "round 0",
        (E203, "expected a contribution to round 1"),
        &world,
        with(|s| s.round = 0),
        good.clone(),
    ));
    cases.push(of_event(
        "an unknown contributor",
        (E205, "expected an account of this node"),
        &world,
        with(|s| s.contributor = [1; 32]),
        good.clone(),
    ));
    cases.push(of_event(
        "another's work",
        (E205, "expected a signature by"),
        &world,
        with(|s| s.contributor = id(2)),
        good,
    ));
    cases
}

fn cases() -> Vec<Case> {
    [beginnings(), accounts(), members(), rounds(), contributions(), evidence(), fields()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn every_refusal_has_its_code_and_changes_nothing_and_its_control_is_taken() {
    for case in cases() {
        println!("{}", case.name);
        let (code, message) = case.world.refused(&case.event);
        assert_eq!(code, case.code, "{}: {message}", case.name);
        assert!(message.starts_with(case.message), "{}: {message}", case.name);
        let (mut world, event) = case.control;
        world
            .attempt(event)
            .unwrap_or_else(|refusal| panic!("{}: the control is refused: {refusal}", case.name));
    }
}

/// The constant beginnings of all messages in the source of the rules.
fn sentences() -> BTreeSet<String> {
    let source = include_str!("../../src/step.rs");
    let source = source.split("#[cfg(test)]").next().unwrap();
    let constant = |literal: &str| literal.split(['{', '"']).next().unwrap().trim_end().to_owned();
    let mut found = BTreeSet::new();
    for (position, _) in source.match_indices("conflict(") {
        if !source[..position].ends_with("fn ") {
            let literal = source[position..].split('"').nth(1).unwrap();
            found.insert(format!("expected {}", constant(literal)));
        }
    }
    for begin in [
        "\"expected ",
        "\"name: expected ",
        "\"schema: expected ",
        "\"reason: expected ",
        "\"the space's program cannot",
    ] {
        for (position, _) in source.match_indices(begin) {
            let literal = constant(&source[position + 1..]);
            // The frame of `conflict` itself.
            if literal != "expected" {
                found.insert(literal);
            }
        }
    }
    found
}

#[test]
fn every_sentence_of_the_rules_is_reached() {
    // Lookups that were made before in the same event and cannot fail any more.
    let unreachable = ["expected a round that still matters"];
    let reached: Vec<String> = cases().iter().map(|case| case.world.refused(&case.event).1).collect();
    let all = sentences();
    assert!(all.len() > 50, "{}", all.len());
    for sentence in &all {
        let seen = reached.iter().any(|message| message.starts_with(sentence.as_str()));
        assert!(seen || unreachable.contains(&sentence.as_str()), "no case reaches `{sentence}`");
    }
}

#[test]
fn every_kind_of_action_event_effect_and_field_is_covered() {
    let mut events = BTreeSet::new();
    let mut actions = BTreeSet::new();
    let mut effects = BTreeSet::new();
    let (mut refused_events, mut refused_actions) = (BTreeSet::new(), BTreeSet::new());
    for case in cases() {
        refused_events.insert(case.event.name());
        if let Event::Signed { envelope, .. } = &case.event {
            refused_actions.insert(envelope.action.name());
        }
        let (mut world, event) = case.control;
        events.insert(event.name());
        if let Event::Signed { envelope, .. } = &event {
            actions.insert(envelope.action.name());
        }
        effects.extend(world.take(event).iter().map(Effect::name));
    }
    let all = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(events, all(Event::VARIANTS));
    assert_eq!(refused_events, all(Event::VARIANTS));
    // Reverting a key is refused to whoever has none, as every action is.
    let mut taken = World::new();
    effects.extend(taken.act(1, Action::RevokeKey {}).iter().map(Effect::name));
    actions.insert(Action::RevokeKey {}.name());
    assert_eq!(taken.code(&taken.action(1, Action::RevokeKey {})), E205);
    refused_actions.insert(Action::RevokeKey {}.name());
    assert_eq!(actions, all(Action::VARIANTS));
    assert_eq!(refused_actions, all(Action::VARIANTS));
    assert_eq!(effects, all(Effect::VARIANTS));
    let world = World::under(Policy { halo2: false, ..policy() });
    assert!(Statement::FIELDS.iter().all(|field| changed(&world, field).is_some()));
}
