//! Where a member's own files of one space are: salts of registered rows, and what was done in which round.
//!
//! The order in which a slot's files appear is what keeps one slot from getting two statements: the plan before anything
//! is trained, the contribution before anything is sent, the outcome when the node has given it.
use super::profile::{check_name, hex32};
use super::receipt::Settled;
use crate::failure::Failure;
use crate::output::hex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use weightproof_ledger::Id;
use weightproof_prover::atomic_file::{Access, write_atomic};

/// What a slot's contribution is about, fixed before it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The space.
    #[serde(with = "hex32")]
    pub space: Id,
    /// Its round.
    pub round: u64,
    /// What chose the batches.
    #[serde(with = "hex32")]
    pub beacon: Id,
    /// Version of the base model.
    pub model_version: u64,
    /// Its digest.
    #[serde(with = "hex32")]
    pub model_digest: Id,
    /// Root of the committed rows.
    #[serde(with = "hex32")]
    pub dataset_root: Id,
    /// Who contributes.
    #[serde(with = "hex32")]
    pub contributor: Id,
}

/// A dataset that was registered from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// Root of its rows.
    #[serde(with = "hex32")]
    pub root: Id,
    /// The round that was the newest before: later ones admit it.
    pub after_round: u64,
}

/// A space's folder that no other process works in as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// The folder of a space of a node, below `data`.
    ///
    /// # Errors
    /// [`Failure::Run`] when another process works in it, [`Failure::Usage`] for names that are no file names,
    /// [`Failure::File`].
    pub fn open(data: &Path, node: &str, space: &str) -> Result<Folder, Failure> {
        check_name(node)?;
        check_name(space)?;
        let path = data.join(node).join(space);
        for part in ["datasets", "slots"] {
            let part = path.join(part);
            std::fs::create_dir_all(&part).map_err(Failure::write(&part))?;
        }
        let lock_path = path.join(".lock");
        let lock = File::create(&lock_path).map_err(Failure::write(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::Run(format!(
                "expected {} for this command alone, found another one that works for space {space}; wait for it or stop it",
                path.display()
            ))),
            Err(TryLockError::Error(source)) => Err(Failure::write(&lock_path)(source)),
        }
    }

    /// Where rows and salts of a dataset lie: the same data, label and space have the same place, so that they are
    /// committed to once.
    pub fn secret(&self, space: &Id, data_digest: &Id, label: &str) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(b"weightproof commitment v1");
        hash.update(space);
        hash.update(data_digest);
        hash.update(label);
        let name = hex(&hash.finalize()[..16]);
        self.path.join("datasets").join(format!("{name}.secret"))
    }

    /// The contribution of a round.
    pub fn contribution(&self, round: u64) -> PathBuf {
        self.slot(round, "wpf")
    }

    /// Its outcome.
    pub fn receipt(&self, round: u64) -> PathBuf {
        self.slot(round, "receipt.json")
    }

    fn slot(&self, round: u64, ending: &str) -> PathBuf {
        self.path.join("slots").join(format!("round-{round}.{ending}"))
    }

    /// What was planned for a round.
    ///
    /// # Errors
    /// [`Failure::Run`] when the file is damaged, [`Failure::File`].
    pub fn plan(&self, round: u64) -> Result<Option<Plan>, Failure> {
        read(&self.slot(round, "plan.json"))
    }

    /// Fixes what a round's contribution is about.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn save_plan(&self, plan: &Plan) -> Result<(), Failure> {
        write(&self.slot(plan.round, "plan.json"), plan)
    }

    /// The outcome of a round.
    ///
    /// # Errors
    /// As for [`Folder::plan`].
    pub fn settled(&self, round: u64) -> Result<Option<Settled>, Failure> {
        read(&self.receipt(round))
    }

    /// Keeps an outcome.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn save_settled(&self, settled: &Settled) -> Result<(), Failure> {
        write(&self.receipt(settled.round), settled)
    }

    /// What was registered last.
    ///
    /// # Errors
    /// As for [`Folder::plan`].
    pub fn registered(&self) -> Result<Option<Registered>, Failure> {
        read(&self.path.join("registered.json"))
    }

    /// Remembers what is registered.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn save_registered(&self, registered: &Registered) -> Result<(), Failure> {
        write(&self.path.join("registered.json"), registered)
    }

    /// Rounds whose contribution is made and whose outcome is not known, oldest first.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn unsettled(&self) -> Result<Vec<u64>, Failure> {
        let slots = self.path.join("slots");
        let mut rounds = Vec::new();
        for entry in std::fs::read_dir(&slots).map_err(Failure::read(&slots))? {
            let name = entry.map_err(Failure::read(&slots))?.file_name();
            let round = name
                .to_str()
                .and_then(|name| name.strip_prefix("round-")?.strip_suffix(".wpf")?.parse().ok());
            rounds.extend(round.filter(|round| !self.receipt(*round).exists()));
        }
        rounds.sort_unstable();
        Ok(rounds)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let text = "expected what an earlier command wrote";
            Failure::Run(format!(
                "{}: {text}, found: {error}; restore the file or move it away",
                path.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::read(path)(error)),
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| Failure::write(path)(error.into()))?;
    write_atomic(path, &text, Access::Owner).map_err(Failure::write(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightproof_circuits::error::ErrorCode;
    use weightproof_ledger::Refusal;

    #[test]
    fn slots_are_found_again_until_they_are_settled() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(directory.path(), "a.example", "sepsis").unwrap();
        assert!(matches!(Folder::open(directory.path(), "a.example", "sepsis"), Err(Failure::Run(_))));
        assert!(matches!(Folder::open(directory.path(), "a.example", "../x"), Err(Failure::Usage(_))));
        let plan = Plan {
            space: [1; 32],
            round: 12,
            beacon: [2; 32],
            model_version: 3,
            model_digest: [4; 32],
            dataset_root: [5; 32],
            contributor: [6; 32],
        };
        assert_eq!(folder.plan(12).unwrap(), None);
        folder.save_plan(&plan).unwrap();
        assert_eq!(folder.plan(12).unwrap(), Some(plan));
        assert_eq!(folder.unsettled().unwrap(), [] as [u64; 0]);
        for round in [12, 9] {
            std::fs::write(folder.contribution(round), b"x").unwrap();
        }
        assert_eq!(folder.unsettled().unwrap(), [9, 12]);
        let settled = Settled::by_refusal(9, &Refusal::new(ErrorCode::E203, "stale"));
        folder.save_settled(&settled).unwrap();
        assert_eq!(folder.unsettled().unwrap(), [12]);
        assert_eq!(folder.settled(9).unwrap(), Some(settled));
        std::fs::write(folder.receipt(12), b"{").unwrap();
        assert!(matches!(folder.settled(12), Err(Failure::Run(_))));
    }

    #[test]
    fn a_dataset_has_one_place() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(directory.path(), "a", "b").unwrap();
        let place = folder.secret(&[1; 32], &[2; 32], "y");
        assert_eq!(place, folder.secret(&[1; 32], &[2; 32], "y"));
        let others = [([0; 32], [2; 32], "y"), ([1; 32], [0; 32], "y"), ([1; 32], [2; 32], "z")];
        assert!(others.iter().all(|(space, data, label)| place != folder.secret(space, data, label)));
    }
}
