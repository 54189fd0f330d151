//! A training run's directory: what it belongs to, how far it is, and that only one process works in it.
use crate::failure::Failure;
use crate::output::short;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use weightproof_prover::atomic_file::{Access, write_atomic};

/// The layout of `run.json` that this version writes and reads.
const FORMAT: u32 = 1;
const STATE_NAME: &str = "run.json";
const SECRET_NAME: &str = "dataset.secret";
const LOCK_NAME: &str = ".lock";

/// What a run is of: all of it must be the same for a run to go on. Digests and keys are hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// SHA-256 of the data file.
    pub data_digest: String,
    /// Label column.
    pub label: String,
    /// The program.
    pub program_digest: String,
    /// Chooses split and initial weights.
    pub seed: u64,
    /// The model that the run starts from.
    pub base_digest: String,
}

/// One finished contribution: its part of the final envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Seconds of exact training.
    pub train_seconds: f64,
    /// Seconds of proving.
    pub prove_seconds: f64,
    /// Seconds of verification.
    pub verify_seconds: f64,
    /// Bytes of the proof, without the update beside it.
    pub proof_bytes: u64,
    /// Mean loss over the last step's batch.
    pub loss: f64,
    /// Seconds of each proving stage.
    pub stages: BTreeMap<String, f64>,
    /// The device that made the proof; empty in runs that were begun before it was recorded.
    #[serde(default)]
    pub device: String,
}

/// `run.json`: a run that has its commitment and its beacon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState {
    format: u32,
    /// What the run is of.
    pub identity: Identity,
    /// Root of the committed training rows.
    pub dataset_root: String,
    /// The run's beacon, from which each contribution derives its own.
    pub beacon: String,
    /// Whether this command drew the beacon itself.
    pub beacon_drawn_here: bool,
    /// Public key named in the statements.
    pub contributor: String,
    /// Digest of the model after the last finished contribution.
    pub model_digest: String,
    /// Finished contributions.
    pub finished: Vec<Finished>,
}

impl RunState {
    /// A run that has finished nothing yet.
    pub fn new(
        identity: Identity,
        dataset_root: String,
        beacon: String,
        beacon_drawn_here: bool,
        contributor: String,
    ) -> RunState {
        let model_digest = identity.base_digest.clone();
        let finished = Vec::new();
        let format = FORMAT;
        RunState {
            format,
            identity,
            dataset_root,
            beacon,
            beacon_drawn_here,
            contributor,
            model_digest,
            finished,
        }
    }
}

/// An output directory that no other process works in as long as this value lives.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    _lock: File,
}

impl RunDirectory {
    /// Makes the directory if need be and takes its lock; the lock of a killed process is no obstacle.
    ///
    /// # Errors
    /// [`Failure::Run`] when another process works in it, [`Failure::File`].
    pub fn open(path: &Path) -> Result<RunDirectory, Failure> {
        std::fs::create_dir_all(path).map_err(Failure::write(path))?;
        let lock_path = path.join(LOCK_NAME);
        let lock = File::create(&lock_path).map_err(Failure::write(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(RunDirectory { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::Run(format!(
                "expected {} for this run alone, found another running command in it; wait for it or choose another --out",
                path.display()
            ))),
            Err(TryLockError::Error(source)) => Err(Failure::write(&lock_path)(source)),
        }
    }

    /// The run in the directory, if there is one, checked to be the same run.
    ///
    /// # Errors
    /// [`Failure::Run`] when it is another run or damaged, [`Failure::File`].
    pub fn load(&self, identity: &Identity, beacon: Option<&str>) -> Result<Option<RunState>, Failure> {
        let path = self.path.join(STATE_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return if self.contribution(1).exists() {
                    let text = "expected run.json beside the contributions, found none; restore it or choose another --out";
                    Err(Failure::Run(format!("{}: {text}", self.path.display())))
                } else {
                    Ok(None)
                };
            }
            Err(error) => return Err(Failure::read(&path)(error)),
        };
        let state: RunState = serde_json::from_str(&text).map_err(|error| {
            let advice = "restore the file or choose another --out";
            Failure::Run(format!("{}: expected a run's state, found: {error}; {advice}", path.display()))
        })?;
        if state.format != FORMAT {
            return Err(Failure::Run(format!(
                "{}: expected run format {FORMAT}, found {}; use the version of weightproof that wrote it",
                path.display(),
                state.format
            )));
        }
        self.check_same(&state, identity, beacon)?;
        Ok(Some(state))
    }

    /// Names the first difference between the run here and the run asked for.
    fn check_same(&self, state: &RunState, identity: &Identity, beacon: Option<&str>) -> Result<(), Failure> {
        let (old, new) = (&state.identity, identity);
        let (old_seed, new_seed) = (old.seed.to_string(), new.seed.to_string());
        let differing = [
            ("data file", &old.data_digest, &new.data_digest),
            ("label", &old.label, &new.label),
            ("program", &old.program_digest, &new.program_digest),
            ("seed", &old_seed, &new_seed),
            ("base model", &old.base_digest, &new.base_digest),
        ]
        .into_iter()
        .find(|(_, old, new)| old != new)
        .map(|(what, old, new)| (what, old.clone(), new.clone()))
        .or_else(|| {
            let given = beacon.filter(|given| *given != state.beacon)?;
            Some(("beacon", state.beacon.clone(), given.to_owned()))
        });
        let Some((what, old, new)) = differing else { return Ok(()) };
        let brief = |text: &str| text.chars().take(16).collect::<String>();
        Err(Failure::Run(format!(
            "expected the run in {} to go on with {what} {}, found {what} {}; repeat the command that began it, or choose another --out",
            self.path.display(),
            brief(&old),
            brief(&new)
        )))
    }

    /// Writes the state.
    ///
    /// # Errors
    /// [`Failure::File`].
    pub fn save(&self, state: &RunState) -> Result<(), Failure> {
        let path = self.path.join(STATE_NAME);
        let text = serde_json::to_vec_pretty(state).map_err(|error| Failure::write(&path)(error.into()))?;
        write_atomic(&path, &text, Access::Shared).map_err(Failure::write(&path))
    }

    /// Where the rows and blindings are.
    pub fn secret(&self) -> PathBuf {
        self.path.join(SECRET_NAME)
    }

    /// Contribution `number`, from 1.
    pub fn contribution(&self, number: usize) -> PathBuf {
        self.path.join(format!("contribution-{number:04}.wpf"))
    }

    /// The model after contribution `number`; 0 is the base.
    pub fn model(&self, number: usize) -> PathBuf {
        self.path.join(format!("model-{number:04}.safetensors"))
    }

    /// The error for a file of the run that is not the one its state names.
    pub fn damaged(&self, file: &Path, expected: &[u8], found: &[u8]) -> Failure {
        Failure::Run(format!(
            "{}: expected digest {}, found {}; restore the file or choose another --out",
            file.display(),
            short(expected),
            short(found)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            data_digest: "aa".to_owned(),
            label: "y".to_owned(),
            program_digest: "bb".to_owned(),
            seed: 7,
            base_digest: "cc".to_owned(),
        }
    }

    fn state() -> RunState {
        RunState::new(identity(), "dd".to_owned(), "ee".to_owned(), true, "ff".to_owned())
    }

    #[test]
    fn a_run_is_found_again_and_only_the_same_run() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(&directory.path().join("a/b")).unwrap();
        assert_eq!(run.load(&identity(), None).unwrap(), None);
        run.save(&state()).unwrap();
        assert_eq!(run.load(&identity(), None).unwrap(), Some(state()));
        assert_eq!(run.load(&identity(), Some("ee")).unwrap(), Some(state()));
        type Change = fn(&mut Identity);
        let changes: [(&str, Change); 5] = [
            ("data file", |identity| identity.data_digest.push('0')),
            ("label", |identity| identity.label.push('0')),
            ("program", |identity| identity.program_digest.push('0')),
            ("seed", |identity| identity.seed += 1),
            ("base model", |identity| identity.base_digest.push('0')),
        ];
        for (what, change) in changes {
            let mut other = identity();
            change(&mut other);
            let error = run.load(&other, None).unwrap_err();
            assert!(
                matches!(&error, Failure::Run(text) if text.contains(&format!("found {what} "))),
                "{error}"
            );
        }
        assert!(
            matches!(run.load(&identity(), Some("e0")), Err(Failure::Run(text)) if text.contains("beacon"))
        );
    }

    #[test]
    fn damaged_and_orphaned_runs_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(directory.path()).unwrap();
        std::fs::write(run.contribution(1), b"x").unwrap();
        assert!(matches!(run.load(&identity(), None), Err(Failure::Run(_))));
        std::fs::write(directory.path().join(STATE_NAME), b"{}").unwrap();
        assert!(matches!(run.load(&identity(), None), Err(Failure::Run(_))));
        let newer = RunState { format: FORMAT + 1, ..state() };
        run.save(&newer).unwrap();
        assert!(matches!(run.load(&identity(), None), Err(Failure::Run(text)) if text.contains("format")));
    }

    #[test]
    fn two_processes_do_not_share_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = RunDirectory::open(directory.path()).unwrap();
        assert!(matches!(RunDirectory::open(directory.path()), Err(Failure::Run(_))));
        drop(first);
        RunDirectory::open(directory.path()).unwrap();
    }
}
