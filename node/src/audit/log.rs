//! The log alone: played again from the first entry, and held against the checkpoint that the node signed.
use std::io::Read;
use std::path::Path;

use ed25519_dalek::VerifyingKey;
use serde::Serialize;
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Id;
use weightproof_ledger::event::Entry;
use weightproof_ledger::log::{Checkpoint, LogError, Tree, VerifierKey};
use weightproof_ledger::replay::Replay;
use weightproof_ledger::signed::usable_key;
use weightproof_ledger::state::State;

use super::bundle::{Entries, ReadError};
use super::report::{CheckpointFacts, NodeFacts, SupplyFacts, Verdict};
use super::{AuditError, Finding, Stop, folder, plain};
use crate::output::hex;

/// A log under replay, against a checkpoint whose signature holds.
#[derive(Debug)]
pub(super) struct Player {
    network: Id,
    checkpoint: Checkpoint,
    replay: Replay,
}

/// A log that was played to its end and is the one that was signed: only [`Player::finish`] makes one.
#[derive(Debug)]
pub(super) struct Played {
    pub state: State,
    pub tree: Tree,
}

/// The checkpoint in a note that a node's key signed.
fn open_checkpoint(note: &str, origin: &str, key: VerifyingKey) -> Result<Checkpoint, Finding> {
    let finding = |error: LogError| Finding::new(error.code(), format!("checkpoint: {error}"));
    let key = VerifierKey::new(origin, key).map_err(finding)?;
    Checkpoint::open(note, origin, &key).map_err(finding)
}

impl Player {
    /// Checks the key and the checkpoint's signature.
    pub fn new(origin: &str, network: &Id, note: &str, pinned: Option<&Id>) -> Result<Player, Finding> {
        if let Some(pinned) = pinned.filter(|pinned| *pinned != network) {
            let text = format!(
                "expected the node's key {}, found {}; this is another node's log, or --key is wrong",
                hex(pinned),
                hex(network)
            );
            return Err(Finding::new(ErrorCode::E308, text));
        }
        let key = usable_key(network).map_err(|refusal| {
            let text =
                "node's key: expected an Ed25519 public key, found other bytes or a point of small order";
            Finding::new(refusal.code, text)
        })?;
        let checkpoint = open_checkpoint(note, origin, key)?;
        Ok(Player { network: *network, checkpoint, replay: Replay::new() })
    }

    /// What was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Plays the next entry. The finding names the first entry that does not follow from those before it.
    pub fn play(&mut self, bytes: &[u8]) -> Result<Entry, Finding> {
        let index = self.replay.state().entries;
        let played = self.replay.play(bytes);
        let entry = played.map_err(|refusal| Finding::refused(&refusal).at(index))?;
        let found = self.replay.state().network;
        if found != self.network {
            let text = format!(
                "entry {index}: expected a log begun by the key {}, found one begun by {}",
                hex(&self.network),
                hex(&found)
            );
            return Err(Finding::new(ErrorCode::E201, text).at(index));
        }
        Ok(entry)
    }

    /// Checks that the entries are the signed ones: as many, and with that root.
    pub fn finish(self) -> Result<Played, Finding> {
        let (size, played) = (self.checkpoint.size(), self.replay.state().entries);
        if size != played {
            let text = format!("expected the {size} entries that the checkpoint signs, found {played}");
            return Err(Finding::new(ErrorCode::E504, text).at(size.min(played)));
        }
        let root = self.replay.root();
        if *self.checkpoint.root() != root {
            // A root says that some entry differs, and not which.
            let text = format!(
                "expected the entries whose root the checkpoint signs, {}, found entries with the root {}: at least one of the {size} is not the signed one, though each follows from those before it",
                hex(self.checkpoint.root()),
                hex(&root)
            );
            return Err(Finding::new(ErrorCode::E504, text));
        }
        if played == 0 {
            return Err(Finding::new(
                ErrorCode::E506,
                "expected a log with a first entry, found an empty one",
            )
            .at(0));
        }
        let (state, tree) = self.replay.into_parts();
        Ok(Played { state, tree })
    }
}

/// A space at the log's end.
#[derive(Clone, Debug, Serialize)]
pub struct SpaceFacts {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: String,
    /// Version of its model.
    pub version: u64,
    /// Digest of its model.
    pub model_digest: String,
    /// Rounds that were opened.
    pub rounds: u64,
    /// Members.
    pub members: usize,
}

/// An account at the log's end.
#[derive(Clone, Debug, Serialize)]
pub struct AccountFacts {
    /// The account.
    pub account: String,
    /// Tokens that it can move.
    pub balance: u64,
    /// Staked in all spaces, what is on its way back included.
    pub staked: u64,
}

/// What a log says, played again.
#[derive(Clone, Debug, Serialize)]
pub struct LogReport {
    /// Whether it holds.
    pub verdict: Verdict,
    /// What does not.
    pub failure: Option<Finding>,
    /// Whose log it is.
    pub node: Option<NodeFacts>,
    /// What was signed; the root is the one that the entries have.
    pub checkpoint: Option<CheckpointFacts>,
    /// Size of the earlier checkpoint that the log was shown to continue, if one was given.
    pub continues: Option<u64>,
    /// Where all tokens came from and went to.
    pub supply: Option<SupplyFacts>,
    /// Accounts, the richest first.
    pub accounts: Vec<AccountFacts>,
    /// Spaces.
    pub spaces: Vec<SpaceFacts>,
}

impl LogReport {
    fn new() -> LogReport {
        LogReport {
            verdict: Verdict::Invalid,
            failure: None,
            node: None,
            checkpoint: None,
            continues: None,
            supply: None,
            accounts: Vec::new(),
            spaces: Vec::new(),
        }
    }

    /// The verdict that a way of playing comes to.
    fn conclude(mut self, outcome: Result<(), Stop>) -> Result<LogReport, AuditError> {
        match outcome {
            Ok(()) => self.verdict = Verdict::Valid,
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Finding(finding)) => {
                self.verdict = Verdict::of(&finding);
                self.failure = Some(finding);
            }
        }
        Ok(self)
    }

    fn fill(&mut self, note: &str, played: &Played, options: &Options<'_>) -> Result<(), Stop> {
        let state = &played.state;
        let origin = note.lines().next().unwrap_or_default();
        self.node = Some(NodeFacts::new(origin, &state.network, options.key.is_some()));
        self.checkpoint = Some(CheckpointFacts::new(state.entries, &played.tree.root(), note));
        self.supply = Some(SupplyFacts::new(state));
        let staked = |id: &Id| -> u64 {
            let members = state.spaces.values().filter_map(|space| space.members.get(id));
            let of_member = |member: &weightproof_ledger::state::Member| {
                member.unbonding.iter().fold(member.stake, |sum, part| sum.saturating_add(part.amount))
            };
            members.map(of_member).fold(0, u64::saturating_add)
        };
        self.accounts = state
            .accounts
            .iter()
            .map(|(id, account)| AccountFacts {
                account: hex(id),
                balance: account.balance,
                staked: staked(id),
            })
            .collect();
        self.accounts
            .sort_by_key(|account| std::cmp::Reverse(account.balance.saturating_add(account.staked)));
        self.spaces = state
            .spaces
            .iter()
            .map(|(id, space)| SpaceFacts {
                name: space.spec.name.clone(),
                id: hex(id),
                version: space.version(),
                model_digest: hex(&space.digest()),
                rounds: space.round_count,
                members: space.members.len(),
            })
            .collect();
        if let Some(since) = options.since {
            let key = usable_key(&state.network).map_err(|refusal| Finding::refused(&refusal))?;
            let earlier = open_checkpoint(since, origin, key)?;
            continues(&earlier, &played.tree)?;
            self.continues = Some(earlier.size());
        }
        Ok(())
    }
}

/// The log must begin with all that an earlier checkpoint signed.
fn continues(earlier: &Checkpoint, tree: &Tree) -> Result<(), Finding> {
    let (old, new) = (earlier.size(), tree.len());
    let root = tree.root_at(old).map_err(|_| {
        let text = format!("expected a log of at least the {old} entries that the earlier checkpoint signs, found {new}; if this file is older than the checkpoint, get a newer one; if the node gave it as its newest after the checkpoint, it took entries back, and both together prove it");
        Finding::new(ErrorCode::E504, text).at(new)
    })?;
    if root != *earlier.root() {
        let text = format!(
            "expected the first {old} entries to have the root {} that the earlier checkpoint signs, found {}; keep both, signed by one key they prove two histories",
            hex(earlier.root()),
            hex(&root)
        );
        return Err(Finding::new(ErrorCode::E504, text));
    }
    Ok(())
}

/// What a log is held against, beside its own checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The node's key, from elsewhere.
    pub key: Option<&'a Id>,
    /// A checkpoint that somebody kept: the log must continue it.
    pub since: Option<&'a str>,
}

/// Plays the log of a bundle; its contributions are not looked at.
///
/// # Errors
/// [`AuditError`] when there is no verdict; what does not hold is in the report.
pub fn of_bundle(source: impl Read, options: &Options<'_>) -> Result<LogReport, AuditError> {
    let mut report = LogReport::new();
    let play = || -> Result<(), Stop> {
        let mut entries = Entries::open(source)?;
        let header = entries.header().clone();
        let mut player = Player::new(&header.origin, &header.network, &header.checkpoint, options.key)?;
        let mut index = 0;
        while let Some(bytes) = entries.next_entry().map_err(|error| Stop::from(error).at(index))? {
            player.play(&bytes)?;
            index += 1;
        }
        let played = player.finish()?;
        report.fill(&header.checkpoint, &played, options)
    };
    let outcome = play();
    report.conclude(outcome)
}

/// Plays the log of a node's data folder.
///
/// # Errors
/// As for [`of_bundle`].
pub fn of_folder(path: &Path, options: &Options<'_>) -> Result<LogReport, AuditError> {
    let mut report = LogReport::new();
    let outcome = folder::play(path, options.key, &mut |_| ())
        .and_then(|(_, note, played)| report.fill(&note, &played, options));
    report.conclude(outcome)
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Stop {
        match error {
            ReadError::Source(error) => Stop::Error(AuditError::Source(error)),
            ReadError::Format { code, .. } => {
                let text = error.to_string();
                Stop::Finding(Finding::new(code, plain(&text)))
            }
        }
    }
}

impl Stop {
    /// Names the entry in a finding.
    pub(super) fn at(self, entry: u64) -> Stop {
        match self {
            Stop::Finding(finding) => Stop::Finding(finding.at(entry)),
            error @ Stop::Error(_) => error,
        }
    }
}
