//! What is looked up often and follows from the log: versions and what is in them, and each account's last action.
use std::collections::{BTreeMap, VecDeque};

use weightproof_ledger::Id;
use weightproof_ledger::event::{Effect, Entry, Event};
use weightproof_ledger::signed::Message;

use super::Logged;

/// Entries over which the velocity of tokens is taken.
const VELOCITY_ENTRIES: usize = 1000;

/// Rounds of a space whose first entry is known: the index is at most a moment ahead of what others look at.
const KEPT_ROUNDS: usize = 8;

/// A version of a space's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// Its digest.
    pub digest: Id,
    /// The round that made it; 0 for the first and for one that was taken back.
    pub round: u64,
    /// The entry that published it.
    pub entry: u64,
    /// Statement digests of the contributions in it, and the entries that accepted them.
    pub contributions: Vec<(Id, u64)>,
    /// The version whose integers it has, when it was taken back.
    pub reverted_to: Option<u64>,
}

/// The index.
#[derive(Clone, Debug, Default)]
pub struct Index {
    versions: BTreeMap<Id, Vec<Version>>,
    pending: BTreeMap<Id, Vec<(Id, u64)>>,
    actions: BTreeMap<Id, (Id, Logged)>,
    opened: BTreeMap<Id, VecDeque<(u64, u64)>>,
    verified: u64,
    punished: u64,
    accepted: BTreeMap<Id, BTreeMap<Id, u64>>,
    moved: VecDeque<u128>,
}

impl Index {
    /// Takes an entry in, in order.
    pub fn record(&mut self, entry: &Entry) {
        if let Event::Signed { envelope, .. } = &entry.event {
            let logged = Logged { entry: entry.index, time: entry.time };
            self.actions.insert(envelope.account, (envelope.digest(), logged));
        }
        if self.moved.len() == VELOCITY_ENTRIES {
            self.moved.pop_front();
        }
        let credited = entry.effects.iter().map(|effect| match effect {
            Effect::Credited { amount, .. } => u128::from(*amount),
            _ => 0,
        });
        self.moved.push_back(credited.sum());
        for effect in &entry.effects {
            match effect {
                Effect::SpaceCreated { space, model_digest, .. } => {
                    self.versions.insert(*space, vec![version(0, *model_digest, entry.index)]);
                }
                Effect::RoundOpened { space, round, .. } => {
                    let opened = self.opened.entry(*space).or_default();
                    if opened.len() == KEPT_ROUNDS {
                        opened.pop_front();
                    }
                    opened.push_back((*round, entry.index));
                }
                Effect::Accepted { space, account, statement_digest, .. } => {
                    self.verified += 1;
                    self.pending.entry(*space).or_default().push((*statement_digest, entry.index));
                    *self.accepted.entry(*space).or_default().entry(*account).or_insert(0) += 1;
                }
                Effect::Forfeited { .. } => {
                    self.verified += 1;
                    self.punished += 1;
                }
                Effect::Slashed { .. } => self.punished += 1,
                Effect::RoundClosed { space, round, version: number, digest, contributions, .. }
                    if *contributions > 0 =>
                {
                    let contributions = self.pending.remove(space).unwrap_or_default();
                    let made =
                        Version { round: *round, contributions, ..version(*number, *digest, entry.index) };
                    self.versions.entry(*space).or_default().push(made);
                }
                Effect::Reverted { space, version: number, to, digest } => {
                    let made = Version { reverted_to: Some(*to), ..version(*number, *digest, entry.index) };
                    self.versions.entry(*space).or_default().push(made);
                }
                _ => {}
            }
        }
    }

    /// Where an account's last action was logged, if it is this one.
    pub fn action(&self, account: &Id, digest: &Id) -> Option<Logged> {
        self.actions.get(account).filter(|(last, _)| last == digest).map(|(_, logged)| *logged)
    }

    /// The entry that opened one of a space's last rounds.
    pub fn opened(&self, space: &Id, round: u64) -> Option<u64> {
        self.opened.get(space)?.iter().find(|(number, _)| *number == round).map(|(_, entry)| *entry)
    }

    /// A space's versions, from 0.
    pub fn versions(&self, space: &Id) -> &[Version] {
        self.versions.get(space).map_or(&[], Vec::as_slice)
    }

    /// Contributions that the open round accepted.
    pub fn pending(&self, space: &Id) -> &[(Id, u64)] {
        self.pending.get(space).map_or(&[], Vec::as_slice)
    }

    /// Accepted contributions by owner.
    pub fn accepted(&self, space: &Id) -> impl Iterator<Item = (&Id, u64)> {
        self.accepted.get(space).into_iter().flatten().map(|(account, count)| (account, *count))
    }

    /// Tokens credited in the last entries over tokens that exist.
    pub fn velocity(&self, tokens: u128) -> f64 {
        if tokens == 0 { 0.0 } else { self.moved.iter().sum::<u128>() as f64 / tokens as f64 }
    }

    /// Punishments over verified contributions.
    pub fn slashing_rate(&self) -> f64 {
        if self.verified == 0 { 0.0 } else { self.punished as f64 / self.verified as f64 }
    }
}

fn version(version: u64, digest: Id, entry: u64) -> Version {
    Version { version, digest, round: 0, entry, contributions: Vec::new(), reverted_to: None }
}
