//! A disk that outlives the node, and the ways in which writing to it goes wrong.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weightproof_ledger::{Id, Refusal};
use weightproof_node::store::{Change, Store, StoreError};

use crate::random::Random;

/// What is on the disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub entries: Vec<Vec<u8>>,
    pub checkpoint: Option<String>,
    pub models: BTreeMap<Id, Vec<u8>>,
    pub contributions: BTreeMap<Id, Vec<u8>>,
    pub receipts: BTreeMap<Id, Vec<u8>>,
}

/// A store that breaks its promises on purpose: the simulation has to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Says that a change is written, and writes nothing.
    ForgetsAChange,
    /// What it wrote last is gone after a crash; what is left agrees with itself.
    LosesTheLastChangeInACrash,
    /// Writes an accepted contribution without its receipt.
    DropsAReceipt,
    /// Writes an accepted contribution without its file.
    DropsAFile,
    /// Swaps the last two entries.
    SwapsEntries,
    /// Writes an entry twice.
    RepeatsAnEntry,
    /// Writes an entry without the checkpoint that signs it.
    KeepsTheOldCheckpoint,
    /// Writes an entry without the model that it names.
    DropsAModel,
    /// Never deletes a model.
    KeepsEveryModel,
}

/// The disk, the power, and what is about to go wrong.
#[derive(Debug)]
pub struct Machine {
    pub disk: Disk,
    random: Random,
    /// Changes of a thousand with which something goes wrong.
    pub faults: u64,
    /// The power is off: nothing is written any more, and nobody hears what the node says.
    pub down: bool,
    /// A write failed: the node must not try another before it starts again.
    pub failed: bool,
    pub broken: Option<Broken>,
    /// Whether the broken store did its mischief.
    pub mischief: bool,
    /// What the node asked for that no node may ask for.
    pub violation: Option<String>,
    before_last: Option<Disk>,
    /// Entries that the node showed as written.
    pub shown: u64,
}

#[derive(Clone, Debug)]
pub struct SimStore(Arc<Mutex<Machine>>);

impl SimStore {
    pub fn new(disk: Disk, random: Random, faults: u64) -> SimStore {
        SimStore(Arc::new(Mutex::new(Machine {
            disk,
            random,
            faults,
            down: false,
            failed: false,
            broken: None,
            mischief: false,
            violation: None,
            before_last: None,
            shown: 0,
        })))
    }

    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(reason: &str) -> StoreError {
    StoreError::Fatal { action: "write a change", reason: reason.to_owned() }
}

impl Machine {
    /// The power comes back.
    pub fn start(&mut self) {
        (self.down, self.failed) = (false, false);
    }

    /// The power goes off.
    pub fn crash(&mut self) {
        self.down = true;
        // A change that nobody saw may be lost.
        if self.broken == Some(Broken::LosesTheLastChangeInACrash)
            && self.disk.entries.len() as u64 <= self.shown
            && let Some(before) = self.before_last.take()
        {
            self.disk = before;
            self.mischief = true;
        }
    }

    fn commit(&mut self, change: &Change) -> Result<(), StoreError> {
        if self.down {
            return Err(failure("the power is off"));
        }
        if self.failed {
            self.violation = Some(format!("entry {} is written after a write that failed", change.index));
        }
        if !self.random.chance(self.faults) {
            return self.write(change);
        }
        match self.random.below(5) {
            // The write is lost, and so is the node.
            0 => self.crash(),
            // It is on the disk; the node goes before it hears of it.
            1 => {
                self.write(change)?;
                self.crash();
            }
            // It is on the disk and the node knows; it goes before it answers anybody.
            2 => {
                self.write(change)?;
                self.crash();
                return Ok(());
            }
            3 => self.failed = true,
            _ => {
                self.write(change)?;
                self.failed = true;
            }
        }
        Err(failure("input/output error"))
    }

    fn write(&mut self, change: &Change) -> Result<(), StoreError> {
        let mischief = self.random.chance(100);
        let held = |digest: &Id| self.disk.models.contains_key(digest);
        let brings_a_model = change.models.iter().any(|(digest, _)| !held(digest));
        let drops_a_model = change.dropped_models.iter().any(held);
        let mut act = |broken| {
            let act = self.broken == Some(broken) && mischief;
            self.mischief |= act;
            act
        };
        if act(Broken::ForgetsAChange) {
            return Ok(());
        }
        let [swaps, repeats, no_checkpoint] =
            [Broken::SwapsEntries, Broken::RepeatsAnEntry, Broken::KeepsTheOldCheckpoint].map(&mut act);
        let no_receipt = change.receipt.is_some() && act(Broken::DropsAReceipt);
        let no_file = change.contribution.is_some() && act(Broken::DropsAFile);
        let no_model = brings_a_model && act(Broken::DropsAModel);
        let keeps_models = drops_a_model && act(Broken::KeepsEveryModel);
        if self.broken == Some(Broken::LosesTheLastChangeInACrash) {
            self.before_last = Some(self.disk.clone());
        }
        let disk = &mut self.disk;
        // SQLite has these as keys: a second one would stop the node.
        let taken =
            |what: &str| Some(format!("entry {} brings a second {what} of one statement", change.index));
        if disk.entries.len() as u64 != change.index && !self.mischief {
            self.violation = Some(format!("entry {} follows {} entries", change.index, disk.entries.len()));
        }
        disk.entries.push(change.entry.clone());
        if repeats {
            disk.entries.push(change.entry.clone());
        }
        let count = disk.entries.len();
        if swaps && count > 2 {
            disk.entries.swap(count - 1, count - 2);
        }
        if !no_checkpoint {
            disk.checkpoint = Some(change.checkpoint.clone());
        }
        if !no_model {
            disk.models.extend(change.models.iter().cloned());
        }
        if !keeps_models {
            change.dropped_models.iter().for_each(|digest| drop(disk.models.remove(digest)));
        }
        if let Some((statement, file)) = change.contribution.clone().filter(|_| !no_file)
            && disk.contributions.insert(statement, file).is_some()
        {
            self.violation = taken("file");
        }
        if let Some((statement, receipt)) = change.receipt.clone().filter(|_| !no_receipt)
            && disk.receipts.insert(statement, receipt).is_some()
        {
            self.violation = taken("receipt");
        }
        Ok(())
    }
}

impl Store for SimStore {
    fn load(
        &mut self,
        each: &mut dyn FnMut(u64, Vec<u8>) -> Result<(), Refusal>,
    ) -> Result<Option<String>, StoreError> {
        let disk = self.machine().disk.clone();
        for (position, entry) in disk.entries.into_iter().enumerate() {
            each(position as u64, entry).map_err(|refusal| StoreError::Corrupt(refusal.message))?;
        }
        Ok(disk.checkpoint)
    }

    fn commit(&mut self, change: &Change) -> Result<(), StoreError> {
        self.machine().commit(change)
    }

    fn model(&mut self, digest: &Id) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.machine().disk.models.get(digest).cloned())
    }
}
