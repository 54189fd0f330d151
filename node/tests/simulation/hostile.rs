//! What hostile clients try. Most of it must change nothing; what they may do to themselves, they may.
use weightproof_ledger::Id;
use weightproof_ledger::action::{Action, Possession, SignedSubmission};
use weightproof_ledger::canonical::Bytes;
use weightproof_ledger::signed::Message as _;
use weightproof_ledger::state::State;

use crate::clients::{statement, submission, takes};
use crate::scenario::{account, key, node_key, program, update};
use crate::world::{Expect, Request, World, file};

/// Attacks, by number.
pub const ATTACKS: u64 = 22;

impl World {
    pub fn attack(&mut self, number: usize) {
        let Some(state) = self.clients[number].view.clone() else { return };
        let attack = self.random.below(ATTACKS);
        self.trace(format!("client {number} tries attack {attack}"));
        let sent = self.attempt(number, attack, &state);
        if sent.is_some() {
            self.count(format!("attack {attack:02}"));
        }
    }

    fn strike(&mut self, number: usize, request: Request, expect: Expect) {
        let letter = self.clients[number].letter(request, expect);
        self.send(letter);
    }

    fn act(&mut self, number: usize, action: Action, expect: Expect) {
        let seconds = self.seconds();
        let request = self.clients[number].envelope(seconds, 60, action);
        self.strike(number, request, expect);
    }

    /// Somebody else's contribution as it went over the wire.
    fn anothers(&mut self, number: usize) -> Option<(SignedSubmission, Vec<u8>)> {
        let own = self.clients[number].account;
        let others: Vec<_> = self
            .overheard
            .iter()
            .rev()
            .take(60)
            .filter_map(|request| match request {
                Request::Contribute(signed, file) => Some(((**signed).clone(), file.clone())),
                _ => None,
            })
            .filter(|(signed, _)| {
                signed.submission.statement().is_ok_and(|statement| statement.contributor != own)
            })
            .collect();
        self.random.pick(&others).cloned()
    }

    fn victim(&mut self) -> usize {
        self.random.below(self.scenario.honest as u64) as usize
    }

    fn attempt(&mut self, number: usize, attack: u64, state: &State) -> Option<()> {
        use Expect::{Anything, NoChange};
        let id = *self.random.pick(&self.spaces)?;
        let space = state.spaces.get(&id)?;
        let who = self.clients[number].account;
        let signer = self.clients[number].key().clone();
        let own = space.rounds.0.iter().rev().find(|round| takes(space, round, &who));
        let member = space.members.get(&who);
        match attack {
            // Replays, of its own messages and of others'.
            0 => {
                let replayed = self.random.pick(&self.overheard)?.clone();
                self.strike(number, replayed, Anything);
            }
            // Another's statement under its own signature.
            1 => {
                let (signed, bytes) = self.anothers(number)?;
                let signature = signed.submission.sign(&signer);
                let stolen = SignedSubmission { submission: signed.submission, signature };
                self.strike(number, Request::Contribute(Box::new(stolen), bytes), NoChange);
            }
            // Another's proof under its own name.
            2 => {
                let (signed, bytes) = self.anothers(number)?;
                let mut claim = signed.submission.statement().ok()?;
                claim.contributor = who;
                if let Some(dataset) = space.round(claim.round).and_then(|round| round.admitted.get(&who)) {
                    (claim.dataset_root, claim.dataset_rows) = (dataset.root, dataset.rows);
                }
                if bytes.get(..32)? == claim.digest() {
                    // Stolen back from a thief.
                    return None;
                }
                let stolen = submission(&claim, &bytes, &signer);
                self.strike(number, Request::Contribute(Box::new(stolen), bytes), NoChange);
            }
            // Too late.
            3 => {
                let open = space.open_round()?.number;
                let old = space
                    .rounds
                    .0
                    .iter()
                    .find(|round| open - round.number >= space.spec.policy.weights.len() as u64)?;
                let update = self.scenario.training.update(number, old.number);
                let claim = statement(&id, space, old, &who, &update)?;
                let bytes = file(&claim, true, 0, &update);
                self.strike(
                    number,
                    Request::Contribute(Box::new(submission(&claim, &bytes, &signer)), bytes),
                    NoChange,
                );
            }
            // Something about the round that is not so.
            4 | 5 => {
                let round = own?;
                let update = self.scenario.training.update(number, round.number);
                let mut claim = statement(&id, space, round, &who, &update)?;
                match self.random.below(13) {
                    0 => claim.beacon[0] ^= 1,
                    1 => claim.model_version += 1,
                    2 => claim.model_digest[3] ^= 1,
                    3 => claim.dataset_root[5] ^= 1,
                    4 => claim.dataset_rows += 1,
                    5 => claim.program_digest[1] ^= 1,
                    6 => claim.space[2] ^= 1,
                    7 => claim.round += 3,
                    8 => claim.protocol_version += 1,
                    9 => claim.mode += 1,
                    10 => claim.seal = 3,
                    11 => claim.payout = vec![7; 31],
                    _ => claim.payout = vec![0; 32],
                }
                let bytes = file(&claim, true, 0, &update);
                self.strike(
                    number,
                    Request::Contribute(Box::new(submission(&claim, &bytes, &signer)), bytes),
                    NoChange,
                );
            }
            // Two answers for one slot.
            6 | 7 => {
                let round = own?;
                let honest = self.scenario.training.update(number, round.number);
                let other = update(vec![1, 2, 3, self.random.between(4, 99) as i64]);
                let pair: Vec<_> = [(honest, self.random.chance(600)), (other, false)]
                    .into_iter()
                    .filter_map(|(update, sound)| {
                        let claim = statement(&id, space, round, &who, &update)?;
                        let bytes = file(&claim, sound, 0, &update);
                        self.truth.sign(&claim, sound);
                        Some((submission(&claim, &bytes, &signer), bytes))
                    })
                    .collect();
                let [(first, one), (second, two)] = <[_; 2]>::try_from(pair).ok()?;
                if !self.clients[number].is_revoked() {
                    self.evidence.push((first.clone(), second.clone()));
                }
                self.strike(number, Request::Contribute(Box::new(first), one), Anything);
                self.strike(number, Request::Contribute(Box::new(second), two), Anything);
                self.escape(number, &id, member.map_or(0, |member| member.stake));
            }
            // A proof that fails, and away with the stake before anybody sees it.
            8 | 9 => {
                let round = own?;
                let update = self.scenario.training.update(number, round.number);
                let claim = statement(&id, space, round, &who, &update)?;
                let bytes = file(&claim, false, 0, &update);
                self.truth.sign(&claim, false);
                self.strike(
                    number,
                    Request::Contribute(Box::new(submission(&claim, &bytes, &signer)), bytes),
                    Anything,
                );
                self.escape(number, &id, member.map_or(0, |member| member.stake));
            }
            // Updates that are too large, or that do nothing.
            10 => {
                let round = own?;
                let bound = space.spec.policy.maximum_update as i64;
                let integers = if self.random.chance(500) { vec![0; 4] } else { vec![1, bound + 1, 0, 0] };
                let update = update(integers);
                let claim = statement(&id, space, round, &who, &update)?;
                let bytes = file(&claim, true, 0, &update);
                self.truth.sign(&claim, true);
                self.strike(
                    number,
                    Request::Contribute(Box::new(submission(&claim, &bytes, &signer)), bytes),
                    NoChange,
                );
            }
            // Somebody else's name.
            11 => {
                let victim = account(self.victim());
                let action = Action::Transfer { to: who, amount: 10 };
                let Request::Act(mut envelope, _) = self.clients[number].envelope(0, 0, action) else {
                    return None;
                };
                (envelope.account, envelope.expires, envelope.nonce) =
                    (victim, self.seconds() + 60, u64::MAX);
                let signature = envelope.sign(&signer);
                self.strike(number, Request::Act(envelope, signature), NoChange);
            }
            // The largest nonce: afterwards the account can do nothing any more.
            12 => {
                if !self.random.chance(100) {
                    return None;
                }
                let action = Action::Transfer { to: account(self.victim()), amount: 1 };
                let seconds = self.seconds();
                let Request::Act(mut envelope, _) = self.clients[number].envelope(seconds, 60, action) else {
                    return None;
                };
                envelope.nonce = u64::MAX;
                let signature = envelope.sign(&signer);
                self.strike(number, Request::Act(envelope, signature), Anything);
            }
            // Evidence that is none: a forged second answer, and twice the same.
            13 => {
                let (first, _) = self.anothers(number)?;
                let mut claim = first.submission.statement().ok()?;
                let genuine = self.truth.honest.contains(&claim.contributor);
                let second = if self.random.chance(500) {
                    claim.update_digest[0] ^= 1;
                    submission(&claim, b"file", &signer)
                } else {
                    first.clone()
                };
                self.act(
                    number,
                    Action::ReportEquivocation { first, second },
                    if genuine { NoChange } else { Anything },
                );
            }
            // More than there is, to nobody, to itself.
            14 => {
                let victim = account(self.victim());
                let action = match self.random.below(6) {
                    0 => Action::Transfer { to: victim, amount: u64::MAX },
                    1 => Action::Transfer { to: [0; 32], amount: 1 },
                    2 => Action::Transfer { to: who, amount: 1 },
                    3 => Action::Unstake { space: id, amount: u64::MAX },
                    4 => Action::Stake { space: id, amount: u64::MAX },
                    _ => Action::Transfer { to: victim, amount: 0 },
                };
                self.act(number, action, NoChange);
            }
            // Expired, or for ever.
            15 => {
                let victim = account(self.victim());
                let seconds =
                    if self.random.chance(500) { self.seconds() - 100 } else { self.seconds() + 10_000_000 };
                let request =
                    self.clients[number].envelope(seconds, 60, Action::Transfer { to: victim, amount: 1 });
                self.strike(number, request, NoChange);
            }
            // For another node.
            16 => {
                let seconds = self.seconds();
                let action = Action::Transfer { to: account(self.victim()), amount: 1 };
                let Request::Act(mut envelope, _) = self.clients[number].envelope(seconds, 60, action) else {
                    return None;
                };
                envelope.network = account(0);
                let signature = envelope.sign(&signer);
                self.strike(number, Request::Act(envelope, signature), NoChange);
            }
            // Somebody else's dataset, before they register it.
            17 => {
                let victim = self.victim();
                let root = self.clients[victim].root(&id);
                self.act(number, Action::RegisterDataset { space: id, root, rows: 50 }, Anything);
            }
            // A key that it does not have.
            18 => {
                let network = node_key().verifying_key().to_bytes();
                let possession =
                    Possession { network, account: who, key: key(99, 0).verifying_key().to_bytes() };
                let proof = possession.sign(&signer);
                self.act(number, Action::RotateKey { key: possession.key, proof }, NoChange);
            }
            // Another's submission with other bytes, to make it fail.
            19 => {
                let (signed, mut bytes) = self.anothers(number)?;
                bytes.push(1);
                self.strike(number, Request::Contribute(Box::new(signed), bytes), NoChange);
            }
            // Bytes that are no statement.
            20 => {
                let (mut signed, bytes) = self.anothers(number)?;
                let mut broken = signed.submission.statement.0.clone();
                if self.random.chance(500) {
                    broken.push(0);
                } else {
                    broken.pop();
                }
                signed.submission.statement = Bytes(broken);
                signed.signature = signed.submission.sign(&signer);
                self.strike(number, Request::Contribute(Box::new(signed), bytes), NoChange);
            }
            // An update that says it is another.
            _ => {
                let round = own?;
                let (claimed, proved) =
                    (self.scenario.training.update(number, round.number), update(vec![5, 5, 5, 5]));
                debug_assert!(proved.check_shape(&program()).is_ok());
                let claim = statement(&id, space, round, &who, &claimed)?;
                let bytes = file(&claim, true, 0, &proved);
                self.truth.sign(&claim, false);
                self.strike(
                    number,
                    Request::Contribute(Box::new(submission(&claim, &bytes, &signer)), bytes),
                    Anything,
                );
            }
        }
        Some(())
    }

    /// After an offence: takes its stake away, changes or ends its key.
    fn escape(&mut self, number: usize, id: &Id, stake: u64) {
        match self.random.below(6) {
            0..=2 if stake > 0 => {
                self.act(number, Action::Unstake { space: *id, amount: stake }, Expect::Anything)
            }
            3 if self.random.chance(300) => self.act(number, Action::RevokeKey {}, Expect::Anything),
            _ => {}
        }
    }
}
