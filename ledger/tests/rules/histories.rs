//! Random histories: whatever accounts and operators do in whatever order, what must hold holds after every event, and the
//! log alone gives the same state. `WEIGHTPROOF_LONG_TESTS=1` makes them longer.
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Id;
use weightproof_ledger::action::Action;
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Effect, Entry, Event, Outcome, Quality};
use weightproof_ledger::policy::Policy;
use weightproof_ledger::replay::Replay;
use weightproof_ledger::state::State;
use weightproof_ledger::step::space_id;

use crate::harness::*;

/// One thing that somebody tries: what, who, with or about whom, how much, and after how long.
type Move = (u8, u8, u8, u64, u16);

fn moves(length: usize) -> impl Strategy<Value = Vec<Move>> {
    let amount = prop_oneof![4 => 0..6_000_u64, 1 => Just(u64::MAX), 1 => any::<u64>(), 1 => Just(1)];
    let wait = prop_oneof![6 => 0..20_u16, 2 => 20..400_u16, 1 => 400..1_500_u16];
    proptest::collection::vec((any::<u8>(), 1..8_u8, 1..8_u8, amount, wait), length)
}

/// A world whose accounts have lost track of nothing: which key signs now.
struct Player {
    world: World,
    keys: BTreeMap<u8, u8>,
    fresh: u8,
    taken: u64,
    refused: u64,
    kinds: BTreeMap<&'static str, u64>,
}

impl Player {
    fn new(policy: Policy) -> Player {
        let mut world = World::genesis();
        let mut spec = spec("space", policy);
        spec.validation = Some([1; 32]);
        world.space = space_id(&id(NODE), &spec);
        world.take(Event::CreateSpace { spec });
        Player { world, keys: BTreeMap::new(), fresh: 20, taken: 0, refused: 0, kinds: BTreeMap::new() }
    }

    fn signer(&self, who: u8) -> u8 {
        self.keys.get(&who).copied().unwrap_or(who)
    }

    fn action(&self, who: u8, action: Action) -> Event {
        signed(self.world.envelope(who, action), self.signer(who))
    }

    /// The event of a move; most are sound, some are not.
    fn event(&mut self, (kind, who, other, amount, _): Move) -> Event {
        let space = self.world.space;
        let count = self.world.space().round_count;
        match kind {
            0..=15 => self.action(who, Action::Join { space, stake: amount.max(1_000) }),
            16..=35 => self.action(
                who,
                Action::RegisterDataset {
                    space,
                    root: root(if kind < 30 { who } else { other }),
                    rows: 400 + amount % 300,
                },
            ),
            36..=47 => self.action(who, Action::Stake { space, amount }),
            48..=59 => self.action(who, Action::Unstake { space, amount }),
            60..=71 => self.action(who, Action::Transfer { to: id(other + (amount % 3) as u8 * 7), amount }),
            72..=73 => {
                self.fresh = self.fresh.wrapping_add(1).clamp(20, 190);
                self.action(
                    who,
                    Action::RotateKey { key: id(self.fresh), proof: possession(who, self.fresh) },
                )
            }
            74 if amount % 4 == 0 => self.action(who, Action::RevokeKey {}),
            75..=110 => self.world.opening(),
            111..=150 => self.world.closing(),
            151..=160 => Event::Release { space },
            161..=164 => Event::Revert { space, version: amount % 4, reason: "a history".into() },
            165 => {
                // Signed by somebody else.
                signed(
                    self.world.envelope(who, Action::RevokeKey {}),
                    self.signer(other).wrapping_add(u8::from(who == other)),
                )
            }
            166..=167 => {
                let mut envelope = self.world.envelope(who, Action::Stake { space, amount });
                envelope.nonce = envelope.nonce.saturating_sub(1);
                signed(envelope, self.signer(who))
            }
            _ => {
                let number = count.saturating_sub(u64::from(kind) % 3 * u64::from(kind > 235));
                if self.world.space().round(number).is_none() {
                    return self.world.opening();
                }
                // Mostly somebody who has a slot.
                let admitted: Vec<u8> =
                    (1..8).filter(|one| self.world.round(number).admitted.contains_key(&id(*one))).collect();
                let who = if amount % 7 == 0 { who } else { admitted[usize::from(who) % admitted.len()] };
                let mut statement = self.world.statement(who, number, (amount % 2) as u8);
                if amount % 5 == 0 {
                    statement.payout = id(other).to_vec();
                }
                let one = submission(&statement, self.signer(who));
                statement.update_digest = [9; 32];
                let two = submission(&statement, self.signer(who));
                match kind {
                    250.. => self.action(other, Action::ReportEquivocation { first: one, second: two }),
                    243..=249 => invalid(one),
                    _ => {
                        let quality = Some(Quality { before: 900, after: 850 + amount % 150, rows: 1_000 });
                        let candidate = statement.digest();
                        let outcome = Outcome::Valid { candidate, largest: amount % 11, quality };
                        Event::Contribution { signed: one, outcome }
                    }
                }
            }
        }
    }

    fn play(&mut self, one: Move) -> Result<(), TestCaseError> {
        self.world.now += u64::from(one.4);
        if one.4 % 17 == 3 {
            self.world.now -= u64::from(one.4).min(self.world.now);
            self.world.now = self.world.now.max(BEGINNING);
        }
        let event = self.event(one);
        let before = self.world.state.clone();
        match self.world.attempt(event.clone()) {
            Err(_) => {
                self.refused += 1;
                prop_assert_eq!(&before, &self.world.state);
            }
            Ok(effects) => {
                self.taken += 1;
                *self.kinds.entry(event.name()).or_default() += 1;
                for effect in &effects {
                    *self.kinds.entry(effect.name()).or_default() += 1;
                    if let Effect::KeyChanged { account, key: Some(new) } = effect {
                        let named = |wanted: &Id| (1..=190).find(|number| id(*number) == *wanted);
                        self.keys.insert(named(account).unwrap(), named(new).unwrap());
                    }
                }
                accounted(&before, &self.world.state, &effects)?;
            }
        }
        prop_assert!(self.world.state.time >= before.time);
        Ok(())
    }
}

/// The effects tell of every token: balances account by account, stakes member by member, what was minted and burned.
fn accounted(before: &State, after: &State, effects: &[Effect]) -> Result<(), TestCaseError> {
    let mut balances: BTreeMap<Id, i128> =
        before.accounts.iter().map(|(id, a)| (*id, i128::from(a.balance))).collect();
    let mut stakes: BTreeMap<(Id, Id), u64> = BTreeMap::new();
    for (space, members) in before.spaces.iter().map(|(id, space)| (id, &space.members)) {
        stakes.extend(members.iter().map(|(id, member)| ((*space, *id), member.stake)));
    }
    let (mut minted, mut burned) = (0_i128, 0_i128);
    for effect in effects {
        match effect {
            Effect::Credited { account, amount, .. } => {
                *balances.entry(*account).or_default() += i128::from(*amount)
            }
            Effect::Debited { account, amount, .. } => {
                *balances.entry(*account).or_default() -= i128::from(*amount)
            }
            Effect::Minted { amount } => minted += i128::from(*amount),
            Effect::Burned { amount } => burned += i128::from(*amount),
            Effect::StakeChanged { space, account, before, after, .. } => {
                prop_assert_eq!(stakes.insert((*space, *account), *after).unwrap_or(0), *before);
            }
            _ => {}
        }
    }
    for (account, balance) in balances {
        prop_assert_eq!(
            after.accounts.get(&account).map_or(0, |account| i128::from(account.balance)),
            balance
        );
    }
    for ((space, account), stake) in stakes {
        prop_assert_eq!(after.spaces[&space].members[&account].stake, stake);
    }
    let supply = |state: &State| (i128::from(state.supply.emitted), i128::from(state.supply.burned));
    prop_assert_eq!(supply(after).0 - supply(before).0, minted);
    prop_assert_eq!(supply(after).1 - supply(before).1, burned);
    let tokens = |state: &State| i128::try_from(state.tokens()).unwrap();
    prop_assert_eq!(tokens(after) - tokens(before), minted - burned);
    Ok(())
}

/// The log gives the state; a log that is not the log is refused or has another root.
fn replayed(player: &Player) -> Result<(), TestCaseError> {
    let log = &player.world.log;
    let mut replay = Replay::new();
    let mut prefixes = Vec::new();
    for bytes in log {
        prefixes.push(replay.clone());
        replay.play(bytes).unwrap();
    }
    prop_assert_eq!(replay.state().digest(), player.world.state.digest());
    prop_assert_eq!(&State::decode(&player.world.state.encode(), "state").unwrap(), &player.world.state);
    let root = replay.root();
    let differs = |at: usize, tail: &[&[u8]]| {
        let mut other = prefixes[at].clone();
        for bytes in tail {
            match other.play(bytes) {
                Err(refusal) => {
                    assert_eq!(refusal.code, ErrorCode::E506);
                    return true;
                }
                Ok(_) if other.state().entries as usize > log.len() => return true,
                Ok(_) => {}
            }
        }
        other.root() != root
    };
    let all: Vec<&[u8]> = log.iter().map(Vec::as_slice).collect();
    let last = all.len() - 1;
    for at in (0..all.len()).step_by(7) {
        prop_assert!(differs(at, &all[at + 1..]), "{at} removed");
        prop_assert!(differs(at, &[&[all[at]], &all[at..]].concat()), "{at} doubled");
        if at < last {
            prop_assert!(differs(at, &[&[all[at + 1], all[at]], &all[at + 2..]].concat()), "{at} swapped");
        }
        let next = Entry::decode(all[at], "entry").unwrap();
        for (change, judged) in [(0, false), (1, true), (2, true), (3, false)] {
            let mut forged = next.clone();
            match change {
                // A later time may be as good a history, but it is another one.
                0 => forged.time += 1,
                1 => forged.index += 1,
                2 => {
                    forged.effects.push(Effect::Credited { account: id(1), amount: 1, cause: "gift".into() })
                }
                _ => drop(forged.effects.pop()),
            }
            let bytes = forged.encode();
            prop_assert!(bytes == all[at] || differs(at, &[&[bytes.as_slice()], &all[at + 1..]].concat()));
            prop_assert!(!judged || prefixes[at].clone().play(&bytes).is_err(), "{at} {change}");
        }
        for position in (at % 5..all[at].len()).step_by(23) {
            let mut bytes = all[at].to_vec();
            bytes[position] ^= 1 << (position % 8);
            prop_assert!(differs(at, &[&bytes]), "{at} flipped at {position}");
        }
    }
    prop_assert!(differs(0, &all[..last]), "cut");
    Ok(())
}

fn run(seed: u8, cases: u32, length: usize, policy: fn() -> Policy) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let seen = std::cell::RefCell::new((0, 0, BTreeMap::<&str, u64>::new()));
    runner
        .run(&moves(length), |moves| {
            let mut player = Player::new(policy());
            for one in moves {
                player.play(one)?;
            }
            replayed(&player)?;
            let mut seen = seen.borrow_mut();
            (seen.0, seen.1) = (seen.0 + player.taken, seen.1 + player.refused);
            for (kind, count) in player.kinds {
                *seen.2.entry(kind).or_default() += count;
            }
            Ok(())
        })
        .unwrap();
    let (taken, refused, kinds) = seen.into_inner();
    println!("{taken} taken, {refused} refused: {kinds:?}");
    // The histories get somewhere: every kind of event and effect that follows them occurs, and so do refusals.
    assert!(taken * 4 > refused && refused * 20 > taken, "{taken} {refused}");
    let rare = ["Genesis", "CreateSpace", "SpaceCreated"];
    for kind in Event::VARIANTS.iter().chain(Effect::VARIANTS).filter(|kind| !rare.contains(*kind)) {
        assert!(kinds.contains_key(kind), "no {kind} in {kinds:?}");
    }
}

fn size() -> (u32, usize) {
    if std::env::var_os("WEIGHTPROOF_LONG_TESTS").is_some() { (40, 1_500) } else { (6, 500) }
}

#[test]
fn random_histories_keep_every_token_and_replay() {
    let (cases, length) = size();
    run(1, cases, length, || Policy { maximum_members: 5, reputation_contributions: 3, ..policy() });
}

#[test]
fn random_histories_under_harsh_figures() {
    let (cases, length) = size();
    run(2, cases, length, || Policy {
        slash_permille: 1_000,
        bond: 1_000,
        miss_cost: 333,
        burn_permille: 500,
        fee_permille: 500,
        emission: 777,
        halving_rounds: 3,
        reward_per_example: 7,
        improvement_gain: 5,
        maximum_drop_permille: 20,
        unbonding_seconds: 400,
        evidence_seconds: 399,
        round_seconds: 60,
        ..policy()
    });
}
