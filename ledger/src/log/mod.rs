//! The Merkle log: what was appended can be proved, and nothing can be taken back unseen. No files, no clocks.
//!
//! * [`tree`]: the tree of RFC 6962 over the hashes of the entries, with proofs that an entry is in it and that one size
//!   of it continues another. Verifying follows RFC 9162.
//! * [`note`]: text with signatures, as C2SP `signed-note` writes it.
//! * [`checkpoint`]: origin, size and root in a signed note, as C2SP `tlog-checkpoint` writes them.
//!
//! A proof says nothing about sizes: the same hashes lead from entry 0 to the root in a log of 5 as in a log of 8. What
//! binds a size to its root is the signature of a [`Checkpoint`]; sizes and roots that are verified against must come
//! from one.
use std::fmt;

use weightproof_circuits::error::ErrorCode;

pub mod checkpoint;
pub mod note;
pub mod tree;

pub use checkpoint::Checkpoint;
pub use note::VerifierKey;
pub use tree::{Hash, Tree, empty_root, leaf_hash, verify_consistency, verify_inclusion};

/// Why a proof, a note or a checkpoint is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// An entry lies beyond the log.
    #[error("expected the index of an entry below {size}, found {index}")]
    Index {
        /// Entries of the log.
        size: u64,
        /// The index.
        index: u64,
    },
    /// A size lies beyond the log.
    #[error("expected a size of at most the {held} entries held, found {asked}")]
    Size {
        /// Entries that are there.
        held: u64,
        /// The size.
        asked: u64,
    },
    /// A tree lacks a hash that its size promises.
    #[error("expected a hash at level {level}, position {index} of the tree, found none")]
    Hole {
        /// Levels above the leaves.
        level: u32,
        /// Position in the level.
        index: u64,
    },
    /// A proof of an entry has too few or too many hashes.
    #[error("expected {expected} hashes that prove entry {index} of {size}, found {found}")]
    InclusionLength {
        /// The entry.
        index: u64,
        /// Entries of the log.
        size: u64,
        /// Hashes that prove it.
        expected: u32,
        /// Hashes that are there.
        found: usize,
    },
    /// The entry is not what the log holds there.
    #[error("entry {index} of {size}: expected the root {}, found {}", Hexadecimal(.expected), Hexadecimal(.found))]
    InclusionRoot {
        /// The entry.
        index: u64,
        /// Entries of the log.
        size: u64,
        /// The log's root.
        expected: Hash,
        /// The root to which entry and proof lead.
        found: Hash,
    },
    /// A log became shorter.
    #[error("expected a log of at least the {old} entries seen before, found {new}")]
    Shorter {
        /// Entries before.
        old: u64,
        /// Entries now.
        new: u64,
    },
    /// A proof of consistency has too few or too many hashes.
    #[error("expected {expected} hashes that prove a log of {new} to continue one of {old}, found {found}")]
    ConsistencyLength {
        /// Entries before.
        old: u64,
        /// Entries now.
        new: u64,
        /// Hashes that prove it.
        expected: u32,
        /// Hashes that are there.
        found: usize,
    },
    /// Two logs have different histories.
    #[error("at {size} entries: expected the root {}, found {}", Hexadecimal(.expected), Hexadecimal(.found))]
    ConsistencyRoot {
        /// The size at which they part: the old or the new one.
        size: u64,
        /// The root that is claimed.
        expected: Hash,
        /// The root to which the proof leads.
        found: Hash,
    },
    /// Text is not a note, a checkpoint or a key.
    #[error("{what}: expected {expected}, found {found}")]
    Text {
        /// `E101` to `E106`.
        code: ErrorCode,
        /// The part of the text.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// Nobody signed who should have.
    #[error("expected a signature by {expected}, found {found} by others")]
    Unsigned {
        /// The key, as `name+id`.
        expected: String,
        /// Signatures that are there.
        found: usize,
    },
    /// A signature does not hold.
    #[error("expected the signature of {expected} over this text, found one that does not hold")]
    Signature {
        /// The key, as `name+id`.
        expected: String,
    },
    /// The checkpoint is another log's.
    #[error("expected a checkpoint of {expected:?}, found one of {found:?}")]
    Origin {
        /// The log.
        expected: String,
        /// The other log.
        found: String,
    },
}

impl LogError {
    /// The stable code of this refusal.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Index { .. } | Self::Size { .. } => ErrorCode::E103,
            Self::Hole { .. } | Self::InclusionLength { .. } | Self::InclusionRoot { .. } => ErrorCode::E506,
            Self::Shorter { .. } | Self::ConsistencyLength { .. } | Self::ConsistencyRoot { .. } => {
                ErrorCode::E504
            }
            Self::Text { code, .. } => *code,
            Self::Unsigned { .. } | Self::Signature { .. } => ErrorCode::E205,
            Self::Origin { .. } => ErrorCode::E201,
        }
    }

    /// A refusal of text.
    fn text(
        code: ErrorCode,
        what: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Text { code, what, expected: expected.into(), found: found.into() }
    }
}

/// Bytes as lower-case hexadecimal digits.
struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Foreign text as an error may show it: escaped, and not longer than a line.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let start: String = text.chars().take(SHOWN).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{rest}")
}
