//! Playing a log again: whoever has its entries arrives at the same state.
use weightproof_circuits::error::ErrorCode;

use crate::canonical::Canonical;
use crate::event::Entry;
use crate::log::tree::{Tree, leaf_hash};
use crate::state::State;
use crate::step::apply;
use crate::{Id, Refusal};

/// A log under replay.
#[derive(Clone, Debug)]
pub struct Replay {
    state: State,
    tree: Tree,
}

impl Default for Replay {
    fn default() -> Replay {
        Replay::new()
    }
}

impl Replay {
    /// Before the first entry.
    pub fn new() -> Replay {
        Replay { state: State::empty(), tree: Tree::new() }
    }

    /// Plays one entry: its index and time must follow, its event must be one that the rules take, and its effects the ones
    /// that follow.
    ///
    /// # Errors
    /// `E506`, naming the entry; the replay is of no use any more.
    pub fn play(&mut self, bytes: &[u8]) -> Result<Entry, Refusal> {
        let index = self.state.entries;
        let corrupt = |text: String| Refusal::new(ErrorCode::E506, format!("entry {index}: {text}"));
        let entry = Entry::decode(bytes, "entry").map_err(|error| corrupt(error.to_string()))?;
        if entry.index != index {
            return Err(corrupt(format!("expected index {index}, found {}", entry.index)));
        }
        if entry.time < self.state.time {
            return Err(corrupt(format!(
                "expected a time from {} on, found {}",
                self.state.time, entry.time
            )));
        }
        let effects = apply(&mut self.state, &entry.event, entry.time)
            .map_err(|refusal| corrupt(format!("expected an event that the rules take, found {refusal}")))?;
        if effects != entry.effects {
            return Err(corrupt("expected the effects that follow from the event, found others".to_owned()));
        }
        self.tree.append(leaf_hash(bytes));
        Ok(entry)
    }

    /// The state so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The Merkle tree of the entries so far.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The root of the entries so far.
    pub fn root(&self) -> Id {
        self.tree.root()
    }

    /// State and tree, to go on from.
    pub fn into_parts(self) -> (State, Tree) {
        (self.state, self.tree)
    }
}
