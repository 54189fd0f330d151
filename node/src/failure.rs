//! Everything that stops a command, with its own code (`E0xx`, or the node's) and exit code.
use crate::exit::Exit;
use crate::store::StoreError;
use std::path::{Path, PathBuf};
use weightproof_ledger::Refusal;
use weightproof_prover::data::DataError;
use weightproof_prover::model_file::{ModelFile, ModelFileError};

/// Why a command stopped. Texts say what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The program is not valid, or contradicts data or model.
    #[error("{0}")]
    Program(String),
    /// A value left the range of the exact arithmetic.
    #[error("{0}")]
    Range(String),
    /// The work needs more memory than allowed.
    #[error(
        "expected to stay within --memory-limit {} (for a node's program by default this machine's memory), found an estimate of {}; raise the limit, or lower steps, batch or widths in the program",
        crate::output::size(*limit), crate::output::size(*needed)
    )]
    Memory {
        /// Estimated need in bytes.
        needed: u64,
        /// Allowed bytes.
        limit: u64,
    },
    /// A file cannot be read or written.
    #[error("expected to {action} {}, found: {source}; check the path, its permissions and free space", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A model file is no good.
    #[error("{}: {source}", path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ModelFileError,
    },
    /// A model contradicts itself, or its file cannot be read or written.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The output directory holds another run.
    #[error("{0}")]
    Run(String),
    /// The key cannot be made or used.
    #[error("{0}")]
    Key(String),
    /// The proof just made was refused by the verifier, or the machinery failed.
    #[error("{0}")]
    Proof(String),
    /// The node refused, with its own code (`E101` to `E603`).
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The node cannot be reached or does not answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// The node is not the one that was joined, or says what it cannot mean.
    #[error("{0}")]
    Untrusted(String),
    /// The node signed two histories; the refusal's code says how they differ.
    #[error("{}", .0.message)]
    Fork(Refusal),
    /// The node had to stop; the refusal's code says why (`E505`, `E506`).
    #[error("{}", .0.message)]
    Stopped(Refusal),
    /// Interrupted by the user.
    #[error(
        "interrupted; everything finished is kept, and the same command goes on after the last finished contribution"
    )]
    Interrupted,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            // Nothing is wrong with the store: another command has it.
            StoreError::Locked(_) | StoreError::Newer { .. } => Failure::Usage(error.to_string()),
            error => Failure::Stopped(Refusal::from(&error)),
        }
    }
}

impl Failure {
    /// The stable code: the command's own, or the one that the node gave.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Usage(_) => "E001",
            Failure::Data(_) => "E002",
            Failure::Program(_) => "E003",
            Failure::Range(_) => "E004",
            Failure::Memory { .. } => "E005",
            Failure::File { .. } => "E006",
            Failure::Model(_) | Failure::ModelFile { .. } => "E007",
            Failure::Run(_) => "E008",
            Failure::Key(_) => "E009",
            Failure::Proof(_) => "E010",
            Failure::Interrupted => "E011",
            Failure::Unreachable(_) => "E012",
            Failure::Untrusted(_) => "E013",
            Failure::Refused(refusal) | Failure::Fork(refusal) | Failure::Stopped(refusal) => {
                refusal.code.as_str()
            }
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) | Failure::Run(_) | Failure::Model(_) | Failure::ModelFile { .. } => {
                Exit::Usage
            }
            Failure::Data(_) => Exit::Data,
            Failure::Program(_) => Exit::Program,
            Failure::Range(_) => Exit::Range,
            Failure::Memory { .. } => Exit::Memory,
            Failure::File { .. } | Failure::Key(_) | Failure::Proof(_) | Failure::Stopped(_) => Exit::Machine,
            Failure::Interrupted => Exit::Interrupted,
            Failure::Refused(_) => Exit::Refused,
            Failure::Unreachable(_) => Exit::Unreachable,
            Failure::Untrusted(_) | Failure::Fork(_) => Exit::Untrusted,
        }
    }

    /// Reads a model; what is wrong with it is said with its path.
    ///
    /// # Errors
    /// [`Failure::ModelFile`], [`Failure::Model`].
    pub fn read_model(path: &Path) -> Result<ModelFile, Failure> {
        ModelFile::read(path).map_err(|source| match source {
            // This one names the path itself.
            ModelFileError::File { .. } => Failure::Model(source),
            source => Failure::ModelFile { path: path.to_owned(), source },
        })
    }

    /// A file that cannot be read.
    pub fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
        Failure::file("read", path)
    }

    /// A file that cannot be written.
    pub fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
        Failure::file("write", path)
    }

    fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
        let path = path.to_owned();
        move |source| Failure::File { action, path, source }
    }
}
