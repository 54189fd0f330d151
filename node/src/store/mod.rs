//! What a node keeps: one store behind one writer, and readers beside it.
//!
//! A change is written whole or not at all, and only what is on the disk is acknowledged. When writing fails the node stops
//! (`E505`): after a failed flush nobody knows what the disk holds, and trying again would hide that.
mod crash;
mod sqlite;

pub use crash::point as crash_point;
pub use sqlite::{DATABASE, Movement, Reader, Sqlite};

use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::{Id, Refusal};

/// One change: a log entry and everything that stands and falls with it.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Index of the entry.
    pub index: u64,
    /// Unix seconds of the entry.
    pub time: u64,
    /// Its canonical bytes.
    pub entry: Vec<u8>,
    /// The signed checkpoint of the log that ends with it.
    pub checkpoint: String,
    /// Models that are needed from now on: digest and canonical integers.
    pub models: Vec<(Id, Vec<u8>)>,
    /// Models that are not needed any more.
    pub dropped_models: Vec<Id>,
    /// Statement digest and file of an accepted contribution.
    pub contribution: Option<(Id, Vec<u8>)>,
    /// Statement digest and signed receipt.
    pub receipt: Option<(Id, Vec<u8>)>,
    /// What moved balances: account, signed amount, cause.
    pub movements: Vec<(Id, i64, String)>,
}

/// Storage failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database says no.
    #[error(
        "expected to {action}, found: {reason}; free space and check the disk, then start the node again: nothing acknowledged is lost"
    )]
    Fatal {
        /// What was tried.
        action: &'static str,
        /// The reason.
        reason: String,
    },
    /// What is there contradicts itself.
    #[error("{0}; restore the data folder from its newest backup (an older one forks the log)")]
    Corrupt(String),
    /// Another process has the store.
    #[error("expected a data folder that no other process uses, found {0} locked; stop the other node first")]
    Locked(String),
    /// A newer version wrote the store.
    #[error(
        "expected a store of schema {expected} or older, found {found}; use the version of weightproof that wrote it, or a newer one"
    )]
    Newer {
        /// What this version knows.
        expected: u32,
        /// What is there.
        found: u32,
    },
}

impl StoreError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            StoreError::Corrupt(_) => ErrorCode::E506,
            _ => ErrorCode::E505,
        }
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Refusal {
        Refusal::new(error.code(), error.to_string())
    }
}

/// Where a node's changes go.
pub trait Store: Send {
    /// Gives every entry in order to `each`, and then the last checkpoint, if there is any.
    ///
    /// # Errors
    /// [`StoreError`], and what `each` refuses as [`StoreError::Corrupt`].
    fn load(
        &mut self,
        each: &mut dyn FnMut(u64, Vec<u8>) -> Result<(), Refusal>,
    ) -> Result<Option<String>, StoreError>;

    /// Writes a change, and returns when it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Fatal`]: whether the change is on the disk is not known, and the store must be opened again.
    fn commit(&mut self, change: &Change) -> Result<(), StoreError>;

    /// A model's canonical integers.
    ///
    /// # Errors
    /// [`StoreError`].
    fn model(&mut self, digest: &Id) -> Result<Option<Vec<u8>>, StoreError>;
}
