//! The one writer of a node: every change goes through the rules, then to the store in one transaction, and only then is it
//! visible and acknowledged.
//!
//! [`Core`] is synchronous and takes time and randomness as arguments, so that tests play it under virtual time; `actor`
//! runs it on a thread of its own.
mod actor;
mod index;

pub(crate) use actor::now;
pub use actor::{Commands, Handle, Stopped, VerdictEvent, start};
pub use index::{Index, Version};

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use ed25519_dalek::SigningKey;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_ledger::action::{Envelope, Receipt, SignedReceipt, SignedSubmission, is_proof_fault};
use weightproof_ledger::canonical::Canonical;
use weightproof_ledger::event::{Effect, Entry, Event, Outcome, Quality, SpaceSpec};
use weightproof_ledger::log::{Checkpoint, Tree, VerifierKey, leaf_hash};
use weightproof_ledger::replay::Replay;
use weightproof_ledger::signed::Message;
use weightproof_ledger::state::State;
use weightproof_ledger::step::{admit, step};
use weightproof_ledger::{Id, Refusal};

use crate::judge;
use crate::store::{Change, Store, StoreError, crash_point};

/// Measures a model on a space's validation set: rows answered rightly, and rows.
pub type Validation = Box<dyn Fn(&Parameters) -> Result<(u64, u64), Refusal> + Send>;

/// Where a change is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Index of its entry.
    pub entry: u64,
    /// Unix seconds of the entry.
    pub time: u64,
}

/// What the verifier found, as the core takes it.
#[derive(Debug)]
pub enum Judgement {
    /// The proof holds and yields this update.
    Valid {
        /// The update.
        update: Parameters,
        /// Largest magnitude of its integers.
        largest: u64,
    },
    /// The proof fails.
    Invalid(Refusal),
}

/// A contribution that was logged: accepted, or refused at its contributor's cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The node's signed word.
    pub receipt: SignedReceipt,
    /// Why it was refused; `None`: it was accepted.
    pub refusal: Option<Refusal>,
}

/// What everybody may see: replaced at every commit.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state.
    pub state: Arc<State>,
    /// Entries in the log.
    pub size: u64,
    /// The signed checkpoint of that size.
    pub checkpoint: Arc<str>,
}

/// What readers share with the writer; it only grows.
#[derive(Debug, Default)]
pub struct Shared {
    /// The log's tree; it may be ahead of a snapshot, so proofs name their size.
    pub tree: RwLock<Tree>,
    /// Versions, contributions and recent actions.
    pub index: RwLock<Index>,
}

/// The integers of a space's model.
#[derive(Clone, Debug)]
struct Model {
    program: Arc<Program>,
    /// The present version, with what the open round added.
    candidate: Arc<Parameters>,
    /// Rows that it answers rightly on the validation set, once measured.
    right: Option<u64>,
}

/// The writer.
pub struct Core<S> {
    store: S,
    key: SigningKey,
    origin: String,
    state: Arc<State>,
    checkpoint: Arc<str>,
    shared: Arc<Shared>,
    models: BTreeMap<Id, Model>,
    validation: BTreeMap<Id, Validation>,
    failed: Option<Refusal>,
}

impl<S: Store> Core<S> {
    /// Plays the stored log again and checks that it is the one that was signed; begins it when there is none.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] when the log is not what was signed.
    pub fn open(
        mut store: S,
        key: SigningKey,
        origin: &str,
        operator: Option<Id>,
        allocations: &[(Id, u64)],
        now: u64,
    ) -> Result<Core<S>, StoreError> {
        let shared = Arc::new(Shared::default());
        let mut replay = Replay::new();
        let mut index = Index::default();
        let note = store.load(&mut |position, bytes| {
            if position != replay.state().entries {
                return Err(Refusal::new(
                    ErrorCode::E506,
                    format!("expected entry {}, found entry {position}", replay.state().entries),
                ));
            }
            index.record(&replay.play(&bytes)?);
            Ok(())
        })?;
        check_checkpoint(note.as_deref(), origin, &key, &replay)?;
        let network = key.verifying_key().to_bytes();
        let (state, tree) = replay.into_parts();
        if state.entries > 0 && state.network != network {
            return Err(StoreError::Corrupt(
                "expected a log begun by this node's key, found another node's".to_owned(),
            ));
        }
        *write(&shared.tree) = tree;
        *write(&shared.index) = index;
        let begun = state.entries > 0;
        let mut core = Core {
            store,
            key,
            origin: origin.to_owned(),
            state: Arc::new(state),
            checkpoint: note.unwrap_or_default().into(),
            shared,
            models: BTreeMap::new(),
            validation: BTreeMap::new(),
            failed: None,
        };
        if begun {
            core.load_models()?;
        } else {
            let operator = operator.unwrap_or(network);
            let event = Event::Genesis { network, operator, allocations: allocations.to_vec() };
            core.record(event, now, Change::default()).map_err(|refusal| match core.failed.take() {
                Some(_) => {
                    StoreError::Fatal { action: "write the log's first entry", reason: refusal.message }
                }
                None => {
                    StoreError::Corrupt(format!("expected a genesis that the rules take, found {refusal}"))
                }
            })?;
        }
        Ok(core)
    }

    /// Reads the integers of every space's model; versions and candidates are recognised by their digests.
    fn load_models(&mut self) -> Result<(), StoreError> {
        let state = Arc::clone(&self.state);
        for (id, space) in &state.spaces {
            let damaged = |text: &str| StoreError::Corrupt(format!("space {}: {text}", space.spec.name));
            let program = Program::decode(&space.spec.program.0)
                .map_err(|_| damaged("expected its program, found other bytes"))?;
            let digest = space.open_round().map_or_else(|| space.digest(), |round| round.candidate);
            let bytes = self
                .store
                .model(&digest)?
                .ok_or_else(|| damaged("expected the integers of its model, found none"))?;
            let model = Parameters::decode(&bytes, &program)
                .map_err(|_| damaged("expected the integers of its model, found other bytes"))?;
            if model.digest(&program).ok() != Some(digest) {
                return Err(damaged("expected the integers of its model, found others"));
            }
            self.models
                .insert(*id, Model { program: Arc::new(program), candidate: Arc::new(model), right: None });
        }
        Ok(())
    }

    /// What everybody may see.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: Arc::clone(&self.state),
            size: self.state.entries,
            checkpoint: Arc::clone(&self.checkpoint),
        }
    }

    /// What readers share.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Why the node has to stop, if it has.
    pub fn failed(&self) -> Option<&Refusal> {
        self.failed.as_ref()
    }

    /// Sets the operator's validation set of a space.
    pub fn validate_with(&mut self, space: Id, validation: Validation) {
        self.validation.insert(space, validation);
    }

    /// One event through the rules and to the disk; `change` brings what is written beside the entry.
    fn record(&mut self, event: Event, now: u64, change: Change) -> Result<Entry, Refusal> {
        if let Some(refusal) = &self.failed {
            return Err(refusal.clone());
        }
        let (next, effects) = step(&self.state, &event, now)?;
        self.write_down(event, next, effects, change)
    }

    /// What the rules made of an event, to the disk and then into sight.
    fn write_down(
        &mut self,
        event: Event,
        next: State,
        effects: Vec<Effect>,
        mut change: Change,
    ) -> Result<Entry, Refusal> {
        if let Some(refusal) = &self.failed {
            return Err(refusal.clone());
        }
        let _in = tracing::info_span!("change", entry = self.state.entries, event = event.name()).entered();
        let entry = Entry { index: self.state.entries, time: next.time, event, effects };
        change.index = entry.index;
        change.time = entry.time;
        change.entry = entry.encode();
        change.movements = movements(&entry.effects);
        let (size, root) = {
            let mut tree = write(&self.shared.tree);
            tree.append(leaf_hash(&change.entry));
            (tree.len(), tree.root())
        };
        let signed = Checkpoint::new(self.origin.as_str(), size, root)
            .and_then(|checkpoint| checkpoint.sign(&self.key));
        let written = match signed {
            Ok(note) => {
                change.checkpoint = note;
                self.store.commit(&change).map_err(|error| Refusal::from(&error))
            }
            Err(error) => Err(Refusal::new(ErrorCode::E505, error.to_string())),
        };
        if let Err(refusal) = written {
            // The tree and perhaps the disk are ahead of what was acknowledged. Only a fresh start knows what holds.
            self.failed = Some(refusal.clone());
            return Err(refusal);
        }
        self.state = Arc::new(next);
        self.checkpoint = change.checkpoint.into();
        write(&self.shared.index).record(&entry);
        Ok(entry)
    }

    /// A signed action of an account. The same action again gives where it was logged.
    ///
    /// # Errors
    /// The rules' refusal, or `E505`.
    pub fn act(&mut self, envelope: Envelope, signature: [u8; 64], now: u64) -> Result<Logged, Refusal> {
        let digest = envelope.digest();
        if let Some(logged) = read(&self.shared.index).action(&envelope.account, &digest) {
            return Ok(logged);
        }
        let entry = self.record(Event::Signed { envelope, signature }, now, Change::default())?;
        Ok(Logged { entry: entry.index, time: entry.time })
    }

    /// Opens a learning task and its first model.
    ///
    /// # Errors
    /// The rules' refusal, or `E505`.
    pub fn create_space(&mut self, spec: SpaceSpec, now: u64) -> Result<Id, Refusal> {
        let program = Program::decode(&spec.program.0)
            .map_err(|error| Refusal::new(error.code(), error.to_string()))?;
        let model = Parameters::initial(&program, spec.seed);
        let digest = judge::digest(&model, &program)?;
        let change = Change { models: vec![(digest, model.encode())], ..Change::default() };
        let id = weightproof_ledger::step::space_id(&self.state.network, &spec);
        self.record(Event::CreateSpace { spec }, now, change)?;
        self.models.insert(id, Model { program: Arc::new(program), candidate: Arc::new(model), right: None });
        Ok(id)
    }

    /// A verified contribution: applies, logs, rewards and keeps the file, in one transaction.
    ///
    /// # Errors
    /// The rules' refusal (nothing changed), or `E505`.
    pub fn contribution(
        &mut self,
        signed: SignedSubmission,
        judgement: Judgement,
        file: Vec<u8>,
        now: u64,
    ) -> Result<Decided, Refusal> {
        let mut change = Change::default();
        let (statement_digest, space, outcome, refusal, candidate) = match judgement {
            Judgement::Invalid(refusal) => {
                if !is_proof_fault(refusal.code) {
                    return Err(refusal);
                }
                // The rules ask less of a failing proof than `admit`: who unstaked, rotated its key or outlasted the round
                // while the verifier worked does not get away.
                let statement = signed.submission.statement()?;
                let outcome =
                    Outcome::Invalid { code: weightproof_ledger::action::code_number(refusal.code) };
                (statement.digest(), statement.space, outcome, Some(refusal), None)
            }
            Judgement::Valid { update, largest } => {
                // Again, under the state of now: much may have happened while the verifier worked.
                let admitted = admit(&self.state, &signed)?;
                let space = admitted.statement.space;
                let (digest, candidate) = self.next_candidate(&space, &update, admitted.weight)?;
                let quality = self.quality(&space, &candidate)?;
                change.models.push((digest, candidate.encode()));
                change.dropped_models.extend(self.superseded(&space, &digest));
                change.contribution = Some((admitted.statement_digest, file));
                let right = quality.as_ref().map(|quality| quality.after);
                let outcome = Outcome::Valid { candidate: digest, largest, quality };
                (admitted.statement_digest, space, outcome, None, Some((candidate, right)))
            }
        };
        let event = Event::Contribution { signed: signed.clone(), outcome };
        // The receipt names the reward and lies in the same transaction, so it is signed between the rules and the disk.
        let (next, effects) = step(&self.state, &event, now)?;
        let receipt = self.receipt(&statement_digest, &signed, refusal.as_ref(), &effects, next.time);
        change.receipt = Some((statement_digest, receipt.encode()));
        self.write_down(event, next, effects, change)?;
        if let (Some((candidate, right)), Some(model)) = (candidate, self.models.get_mut(&space)) {
            model.candidate = Arc::new(candidate);
            model.right = right;
        }
        crash_point("before-answer");
        Ok(Decided { receipt, refusal })
    }

    fn next_candidate(
        &self,
        space: &Id,
        update: &Parameters,
        weight: u32,
    ) -> Result<(Id, Parameters), Refusal> {
        let model = self
            .models
            .get(space)
            .ok_or_else(|| Refusal::new(ErrorCode::E201, "expected a space of this node, found another"))?;
        let candidate = judge::add_weighted(&model.candidate, update, weight)?;
        Ok((judge::digest(&candidate, &model.program)?, candidate))
    }

    fn quality(&self, space: &Id, candidate: &Parameters) -> Result<Option<Quality>, Refusal> {
        let (Some(measure), Some(model)) = (self.validation.get(space), self.models.get(space)) else {
            return Ok(None);
        };
        let (after, rows) = measure(candidate)?;
        // Each model is measured once: as a candidate it was.
        let before = match model.right {
            Some(before) => before,
            None => measure(&model.candidate)?.0,
        };
        Ok(Some(Quality { before, after, rows }))
    }

    /// The open round's present candidate, unless it is needed beyond the next one: as a version, or in another space. Equal
    /// models have equal digests, whichever space they are of.
    fn superseded(&self, id: &Id, next: &Id) -> Option<Id> {
        let candidate = self.state.spaces.get(id)?.open_round()?.candidate;
        let needed = self.state.spaces.iter().any(|(other, space)| {
            space.versions.contains(&candidate)
                || (other != id && space.open_round().is_some_and(|round| round.candidate == candidate))
        });
        (candidate != *next && !needed).then_some(candidate)
    }

    fn receipt(
        &self,
        statement_digest: &Id,
        signed: &SignedSubmission,
        refusal: Option<&Refusal>,
        effects: &[Effect],
        time: u64,
    ) -> SignedReceipt {
        let reward = effects.iter().find_map(|effect| match effect {
            Effect::Accepted { reward, .. } => Some(*reward),
            _ => None,
        });
        let receipt = Receipt {
            network: self.state.network,
            statement_digest: *statement_digest,
            file_digest: signed.submission.file_digest,
            verdict: refusal.map_or(0, |refusal| weightproof_ledger::action::code_number(refusal.code)),
            entry: self.state.entries,
            reward: reward.unwrap_or(0),
            time,
        };
        SignedReceipt { signature: receipt.sign(&self.key), receipt }
    }

    /// Does what time asks for: ends and begins rounds, releases tokens. `randomness` gives 32 fresh bytes for a beacon.
    ///
    /// # Errors
    /// `E505`, or a refusal of the randomness.
    pub fn tick(
        &mut self,
        now: u64,
        randomness: &mut dyn FnMut() -> Result<Id, Refusal>,
    ) -> Result<Vec<Entry>, Refusal> {
        let mut entries = Vec::new();
        let ids: Vec<Id> = self.state.spaces.keys().copied().collect();
        for space in ids {
            for event in [Event::CloseRound { space }, Event::Release { space }] {
                if self.due(&event, now) {
                    entries.push(self.record(event, now, Change::default())?);
                }
            }
            let probe = Event::OpenRound { space, randomness: [0; 32] };
            if self.due(&probe, now) {
                // Drawn only now, after everything that the round admits is in the log.
                let event = Event::OpenRound { space, randomness: randomness()? };
                entries.push(self.record(event, now, Change::default())?);
            }
        }
        Ok(entries)
    }

    /// Whether the rules would take an event that nobody signs.
    fn due(&self, event: &Event, now: u64) -> bool {
        let space = match event {
            Event::CloseRound { space } | Event::Release { space } | Event::OpenRound { space, .. } => space,
            _ => return false,
        };
        let Some(space) = self.state.spaces.get(space) else { return false };
        match event {
            // Cheap looks first: a step copies the state.
            Event::CloseRound { .. } if space.open_round().is_none() => false,
            Event::OpenRound { .. } if space.open_round().is_some() => false,
            Event::OpenRound { .. } => {
                space.admissible().count() >= space.spec.policy.minimum_datasets as usize
            }
            Event::Release { .. } => {
                space.members.values().any(|member| member.unbonding.iter().any(|part| part.release <= now))
            }
            _ => step(&self.state, event, now).is_ok(),
        }
    }

    /// Takes a space's model back to an earlier version.
    ///
    /// # Errors
    /// The rules' refusal, or `E505`.
    pub fn revert(&mut self, space: Id, version: u64, reason: String, now: u64) -> Result<Logged, Refusal> {
        // A round whose time is over ends first: a node that was stopped in it could not end it.
        let close = Event::CloseRound { space };
        if self.due(&close, now) {
            self.record(close, now, Change::default())?;
        }
        let entry = self.record(Event::Revert { space, version, reason }, now, Change::default())?;
        self.load_models().map_err(|error| Refusal::from(&error))?;
        Ok(Logged { entry: entry.index, time: entry.time })
    }
}

/// The stored log must be the one whose end was signed: neither shorter nor longer nor another.
fn check_checkpoint(
    note: Option<&str>,
    origin: &str,
    key: &SigningKey,
    replay: &Replay,
) -> Result<(), StoreError> {
    let size = replay.state().entries;
    let Some(note) = note else {
        return if size == 0 {
            Ok(())
        } else {
            Err(StoreError::Corrupt(format!("expected a checkpoint of {size} entries, found none")))
        };
    };
    let verifier = VerifierKey::new(origin, key.verifying_key())
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let checkpoint =
        Checkpoint::open(note, origin, &verifier).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    if checkpoint.size() != size || *checkpoint.root() != replay.root() {
        return Err(StoreError::Corrupt(format!(
            "expected the {} entries that the checkpoint signs, found {size} entries, or others",
            checkpoint.size()
        )));
    }
    Ok(())
}

fn movements(effects: &[Effect]) -> Vec<(Id, i64, String)> {
    let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Credited { account, amount, cause } => Some((*account, signed(*amount), cause.clone())),
            Effect::Debited { account, amount, cause } => Some((*account, -signed(*amount), cause.clone())),
            _ => None,
        })
        .collect()
}

/// A writer that panicked did so before it changed anything here: each change is one call.
pub(crate) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// As [`write`].
pub(crate) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Core<crate::store::Sqlite> {
    /// A reader of the database beside the writer.
    ///
    /// # Errors
    /// [`StoreError::Fatal`].
    pub fn reader(&self) -> Result<crate::store::Reader, StoreError> {
        self.store.reader()
    }
}
