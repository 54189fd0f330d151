//! What an audit found: for people, pages and machines alike.
use serde::Serialize;
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Id;
use weightproof_ledger::state::State;

use super::plain;
use crate::output::hex;

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All of it holds.
    Valid,
    /// Something does not.
    Invalid,
    /// This version cannot tell.
    NeedsNewerVersion,
}

impl Verdict {
    /// What a finding means for the whole.
    pub(super) fn of(finding: &Finding) -> Verdict {
        if finding.code == ErrorCode::E105.as_str() { Verdict::NeedsNewerVersion } else { Verdict::Invalid }
    }
}

/// The first thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable code.
    pub code: String,
    /// The log entry, where it is one.
    pub entry: Option<u64>,
    /// Statement digest of the contribution, where it is one.
    pub contribution: Option<String>,
    /// What was expected and found.
    pub message: String,
}

/// Whose log it is.
#[derive(Clone, Debug, Serialize)]
pub struct NodeFacts {
    /// The log's name.
    pub origin: String,
    /// The node's public key.
    pub key: String,
    /// Whether that key was given from elsewhere.
    pub key_pinned: bool,
}

impl NodeFacts {
    pub(super) fn new(origin: &str, key: &Id, key_pinned: bool) -> NodeFacts {
        NodeFacts { origin: plain(origin), key: hex(key), key_pinned }
    }
}

/// What was signed of the log.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointFacts {
    /// Entries.
    pub size: u64,
    /// Root of their tree.
    pub root: String,
    /// The signed note, for other tools.
    pub note: String,
}

impl CheckpointFacts {
    pub(super) fn new(size: u64, root: &Id, note: &str) -> CheckpointFacts {
        CheckpointFacts { size, root: hex(root), note: note.to_owned() }
    }
}

/// Where all tokens came from and went to.
#[derive(Clone, Debug, Serialize)]
pub struct SupplyFacts {
    /// Allocated at the beginning.
    pub genesis: u64,
    /// Minted as rewards.
    pub emitted: u64,
    /// Ended.
    pub burned: u64,
    /// Balances and stakes, added up.
    pub tokens: u128,
    /// Whether they are what came less what went.
    pub conserved: bool,
}

impl SupplyFacts {
    pub(super) fn new(state: &State) -> SupplyFacts {
        let supply = &state.supply;
        let came = u128::from(supply.genesis) + u128::from(supply.emitted);
        let tokens = state.tokens();
        SupplyFacts {
            genesis: supply.genesis,
            emitted: supply.emitted,
            burned: supply.burned,
            tokens,
            conserved: came.checked_sub(u128::from(supply.burned)) == Some(tokens),
        }
    }
}

/// The learning task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskFacts {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: String,
    /// Digest of the training program.
    pub program_digest: String,
    /// The program as its own text.
    pub program: String,
    /// Widths of the model.
    pub layers: Vec<usize>,
    /// Steps of a contribution.
    pub steps: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Seed of the first model.
    pub seed: String,
    /// Digest of the operator's validation set.
    pub validation: Option<String>,
    /// Columns, classes and standardisation, as the operator wrote them.
    pub schema: String,
    /// Whether it has tokens.
    pub tokens: bool,
}

/// Accuracy by the node's word.
#[derive(Clone, Debug, Serialize)]
pub struct QualityFacts {
    /// Right answers before.
    pub before: u64,
    /// Right answers after.
    pub after: u64,
    /// Rows.
    pub rows: u64,
}

/// A contribution of the lineage.
#[derive(Clone, Debug, Serialize)]
pub struct ContributionFacts {
    /// Index of its log entry.
    pub entry: u64,
    /// When it was logged, in UTC.
    pub time: String,
    /// Digest of its statement.
    pub statement_digest: String,
    /// SHA-256 of its file.
    pub file_sha256: String,
    /// Length of its file.
    pub file_bytes: u64,
    /// Who made it.
    pub contributor: String,
    /// The round whose beacon chose its batches.
    pub round: u64,
    /// Version that it starts from.
    pub base_version: u64,
    /// Root of the rows' commitments.
    pub dataset_root: String,
    /// How many rows.
    pub dataset_rows: u64,
    /// `sigma` or `halo2`.
    pub seal: String,
    /// Its integer weight.
    pub weight: u32,
    /// Tokens that it earned.
    pub reward: u64,
    /// Who got them.
    pub payout: String,
    /// Accuracy by the node's word.
    pub validation: Option<QualityFacts>,
    /// Whether the bundle has the node's receipt, and it agrees.
    pub receipt: bool,
    /// Whether the proof was verified, and the model with it is the logged one.
    pub proven: bool,
}

/// A version of the lineage.
#[derive(Clone, Debug, Serialize)]
pub struct VersionFacts {
    /// Its number.
    pub version: u64,
    /// Digest of its integers.
    pub digest: String,
    /// The round that made it; 0 for the first and for one that was taken back.
    pub round: u64,
    /// Index of the entry that published it.
    pub entry: u64,
    /// When, in UTC.
    pub time: String,
    /// The version whose integers it has.
    pub reverted_to: Option<u64>,
    /// Why it was taken back, by the operator's word.
    pub reason: Option<String>,
    /// Whether its integers were computed again and have this digest.
    pub recomputed: bool,
    /// What went into it.
    pub contributions: Vec<ContributionFacts>,
}

/// What an audit of a bundle found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether all of it holds.
    pub verdict: Verdict,
    /// In one line.
    pub summary: String,
    /// The first thing that does not hold.
    pub failure: Option<Finding>,
    /// SHA-256 of the bundle; once it was read to its end.
    pub bundle_sha256: Option<String>,
    /// Its length.
    pub bundle_bytes: Option<u64>,
    /// Whose log it is.
    pub node: Option<NodeFacts>,
    /// What was signed of the log.
    pub checkpoint: Option<CheckpointFacts>,
    /// When the log's last entry was made, in UTC, by the node's clock.
    pub time: Option<String>,
    /// The learning task.
    pub space: Option<TaskFacts>,
    /// The version that the bundle is about.
    pub version: Option<u64>,
    /// Digest of its integers.
    pub model_digest: Option<String>,
    /// Contributions of the lineage.
    pub contributions: u64,
    /// Those whose proof holds.
    pub proven: u64,
    /// Versions between the first and this one.
    pub depth: u64,
    /// Versions of the lineage that could not be computed again.
    pub gaps: u64,
    /// Tokens that the lineage's contributions earned.
    pub rewards: u64,
    /// Where all tokens came from and went to.
    pub supply: Option<SupplyFacts>,
    /// Contributions to the space whose proof failed, by the node's word.
    pub refused: u64,
    /// From version 0 on.
    pub lineage: Vec<VersionFacts>,
    /// What was computed again here.
    pub proved: Vec<String>,
    /// What somebody signed.
    pub signed: Vec<String>,
    /// What none of this says.
    pub not_shown: Vec<String>,
}

impl Report {
    pub(super) fn new() -> Report {
        Report {
            verdict: Verdict::Invalid,
            summary: String::new(),
            failure: None,
            bundle_sha256: None,
            bundle_bytes: None,
            node: None,
            checkpoint: None,
            time: None,
            space: None,
            version: None,
            model_digest: None,
            contributions: 0,
            proven: 0,
            depth: 0,
            gaps: 0,
            rewards: 0,
            supply: None,
            refused: 0,
            lineage: Vec::new(),
            proved: Vec::new(),
            signed: Vec::new(),
            not_shown: Vec::new(),
        }
    }

    /// Counts and says in one line how it ended.
    pub(super) fn summarise(&mut self) {
        self.proven = self.contributions().filter(|made| made.proven).count() as u64;
        self.gaps = self.lineage.iter().filter(|version| !version.recomputed).count() as u64;
        self.summary = if self.lineage.is_empty() {
            "nothing proven".to_owned()
        } else {
            format!(
                "{}/{} contributions proven, lineage depth {}, {} gap{}",
                self.proven,
                self.contributions,
                self.depth,
                self.gaps,
                if self.gaps == 1 { "" } else { "s" }
            )
        };
    }

    /// The lineage's contributions in the order of the log.
    pub fn contributions(&self) -> impl Iterator<Item = &ContributionFacts> {
        self.lineage.iter().flat_map(|version| &version.contributions)
    }

    /// Who contributed, and how often, in the order of their accounts.
    pub fn contributors(&self) -> std::collections::BTreeMap<&str, u64> {
        let mut counts = std::collections::BTreeMap::new();
        for made in self.contributions() {
            *counts.entry(made.contributor.as_str()).or_insert(0) += 1;
        }
        counts
    }
}
