//! A node's data folder, opened to be read: nothing in it is changed, and the node may run meanwhile.
use std::path::Path;
use std::sync::Arc;

use weightproof_ledger::Id;
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Entry, Event};

use super::log::{Played, Player};
use super::{AuditError, Finding, Stop};
use crate::core::{Index, Snapshot};
use crate::store::{DATABASE, Reader, StoreError};
use weightproof_circuits::error::ErrorCode;

/// Entries that are read at once.
const ENTRIES_AT_ONCE: u64 = 64;

/// A data folder whose log was played again and is the one that its node signed.
#[derive(Debug)]
pub struct Folder {
    /// Files, models and receipts.
    pub reader: Reader,
    /// The state at the log's end.
    pub snapshot: Snapshot,
    /// Versions and what is in them.
    pub index: Index,
}

impl Folder {
    /// Opens a folder and plays its log again.
    ///
    /// # Errors
    /// [`AuditError`], or what does not hold.
    pub fn open(folder: &Path) -> Result<Result<Folder, Finding>, AuditError> {
        let mut index = Index::default();
        let (reader, note, played) = match play(folder, None, &mut |entry| index.record(entry)) {
            Ok(found) => found,
            Err(Stop::Finding(finding)) => return Ok(Err(finding)),
            Err(Stop::Error(error)) => return Err(error),
        };
        let (state, checkpoint) = (Arc::new(played.state), note.into());
        let snapshot = Snapshot { size: state.entries, state, checkpoint };
        Ok(Ok(Folder { reader, snapshot, index }))
    }

    /// The space with this name.
    pub fn space(&self, name: &str) -> Option<Id> {
        self.snapshot.state.spaces.iter().find(|(_, space)| space.spec.name == name).map(|(id, _)| *id)
    }
}

/// Plays the log of a folder up to its checkpoint, which the key that began it must have signed.
pub(super) fn play(
    folder: &Path,
    pinned: Option<&Id>,
    each: &mut dyn FnMut(&Entry),
) -> Result<(Reader, String, Played), Stop> {
    let store = |error: StoreError| match error {
        StoreError::Corrupt(text) => Stop::Finding(Finding::new(ErrorCode::E506, text)),
        error => Stop::Error(AuditError::Store(error)),
    };
    let reader = Reader::open(&folder.join(DATABASE)).map_err(store)?;
    // The checkpoint first: entries that a running node adds afterwards are beyond it and are not asked for.
    let Some(note) = reader.checkpoint().map_err(store)? else {
        return Err(
            Finding::new(ErrorCode::E506, "expected a log with a signed checkpoint, found none").into()
        );
    };
    let first = reader.entries(0, 1).map_err(store)?;
    let network = first.first().and_then(|(_, bytes)| match Entry::decode(bytes, "entry").ok()?.event {
        Event::Genesis { network, .. } => Some(network),
        _ => None,
    });
    let Some(network) = network else {
        let text = "expected a log that begins with its node's key, found another first entry";
        return Err(Finding::new(ErrorCode::E506, text).at(0).into());
    };
    let origin = note.lines().next().unwrap_or_default();
    let mut player = Player::new(origin, &network, &note, pinned)?;
    let size = player.checkpoint().size();
    let mut next = 0;
    while next < size {
        let entries = reader.entries(next, ENTRIES_AT_ONCE.min(size - next)).map_err(store)?;
        for (position, bytes) in &entries {
            if *position != next {
                let text = format!("expected entry {next}, found entry {position}");
                return Err(Finding::new(ErrorCode::E506, text).at(next).into());
            }
            each(&player.play(bytes)?);
            next += 1;
        }
        if entries.is_empty() {
            break;
        }
    }
    Ok((reader, note, player.finish()?))
}
