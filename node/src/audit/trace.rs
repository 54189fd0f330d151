//! One space's versions and what went into each, as a log tells it.
use std::sync::Arc;

use weightproof_circuits::statement::Statement;
use weightproof_ledger::Id;
use weightproof_ledger::event::{Effect, Entry, Event, Outcome, Quality, SpaceSpec};

/// The versions that a version's integers come from, itself last: each from the one before it, or, when the model was
/// taken back, from the one that it was taken back to.
///
/// `reverted_to` says of a version whether there is one (`None`: no) and what it was taken back to.
pub(super) fn ancestry(version: u64, reverted_to: impl Fn(u64) -> Option<Option<u64>>) -> Option<Vec<u64>> {
    let mut lineage = vec![version];
    let mut present = version;
    loop {
        let earlier = match (reverted_to(present)?, present) {
            (Some(earlier), _) => earlier,
            (None, 0) => break,
            (None, number) => number - 1,
        };
        // The rules take a model back to earlier versions alone; a log that says otherwise leads nowhere.
        if earlier >= present {
            return None;
        }
        lineage.push(earlier);
        present = earlier;
    }
    lineage.reverse();
    Some(lineage)
}

/// An accepted contribution.
#[derive(Clone, Debug)]
pub(super) struct ContributionTrace {
    pub entry: u64,
    pub time: u64,
    pub statement: Statement,
    pub statement_digest: Id,
    pub file_digest: Id,
    pub file_length: u64,
    pub weight: u32,
    pub reward: u64,
    /// Digest of the candidate with it, and the largest magnitude of its update, by the node's word.
    pub candidate: Id,
    pub largest: u64,
    pub quality: Option<Quality>,
}

/// A version.
#[derive(Clone, Debug)]
pub(super) struct VersionTrace {
    pub version: u64,
    pub digest: Id,
    pub round: u64,
    pub entry: u64,
    pub time: u64,
    pub reverted_to: Option<u64>,
    pub reason: Option<String>,
    pub contributions: Vec<ContributionTrace>,
}

/// A space under way.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    space: Id,
    pub spec: Option<Arc<SpaceSpec>>,
    pub versions: Vec<VersionTrace>,
    pending: Vec<ContributionTrace>,
    /// Contributions whose proof failed, by the node's word.
    pub refused: u64,
}

impl Trace {
    pub fn new(space: Id) -> Trace {
        Trace { space, spec: None, versions: Vec::new(), pending: Vec::new(), refused: 0 }
    }

    /// Takes an entry that the rules took.
    pub fn record(&mut self, entry: &Entry) {
        for effect in &entry.effects {
            match (effect, &entry.event) {
                (Effect::SpaceCreated { space, model_digest, .. }, Event::CreateSpace { spec })
                    if *space == self.space =>
                {
                    self.spec = Some(Arc::new(spec.clone()));
                    self.publish(entry, 0, *model_digest, 0);
                }
                (
                    Effect::Accepted { space, statement_digest, weight, reward, .. },
                    Event::Contribution { signed, outcome: Outcome::Valid { candidate, largest, quality } },
                ) if *space == self.space => {
                    // The rules read the statement before they took the entry.
                    let Ok(statement) = signed.submission.statement() else { continue };
                    self.pending.push(ContributionTrace {
                        entry: entry.index,
                        time: entry.time,
                        statement,
                        statement_digest: *statement_digest,
                        file_digest: signed.submission.file_digest,
                        file_length: signed.submission.file_length,
                        weight: *weight,
                        reward: *reward,
                        candidate: *candidate,
                        largest: *largest,
                        quality: quality.clone(),
                    });
                }
                (Effect::Forfeited { space, .. }, _) if *space == self.space => self.refused += 1,
                (Effect::RoundClosed { space, round, version, digest, contributions, .. }, _)
                    if *space == self.space && *contributions > 0 =>
                {
                    self.publish(entry, *version, *digest, *round);
                }
                (Effect::Reverted { space, version, to, digest }, Event::Revert { reason, .. })
                    if *space == self.space =>
                {
                    self.publish(entry, *version, *digest, 0);
                    if let Some(made) = self.versions.last_mut() {
                        (made.reverted_to, made.reason) = (Some(*to), Some(reason.clone()));
                    }
                }
                _ => {}
            }
        }
    }

    fn publish(&mut self, entry: &Entry, version: u64, digest: Id, round: u64) {
        self.versions.push(VersionTrace {
            version,
            digest,
            round,
            entry: entry.index,
            time: entry.time,
            reverted_to: None,
            reason: None,
            contributions: std::mem::take(&mut self.pending),
        });
    }

    pub fn version(&self, number: u64) -> Option<&VersionTrace> {
        usize::try_from(number).ok().and_then(|place| self.versions.get(place))
    }

    /// See [`ancestry`].
    pub fn lineage(&self, version: u64) -> Option<Vec<u64>> {
        ancestry(version, |number| self.version(number).map(|known| known.reverted_to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_leaves_out_what_was_taken_back() {
        // 0 1 2, 3 = 1, 4 5, 6 = 3 (that is 1), 7
        let taken_back = |number: u64| match number {
            3 => Some(Some(1)),
            6 => Some(Some(3)),
            0..=7 => Some(None),
            _ => None,
        };
        assert_eq!(ancestry(2, taken_back), Some(vec![0, 1, 2]));
        assert_eq!(ancestry(5, taken_back), Some(vec![0, 1, 3, 4, 5]));
        assert_eq!(ancestry(7, taken_back), Some(vec![0, 1, 3, 6, 7]));
        assert_eq!(ancestry(0, taken_back), Some(vec![0]));
        assert_eq!(ancestry(8, taken_back), None);
        assert_eq!(ancestry(1, |_| Some(Some(1))), None, "no circle");
    }
}
