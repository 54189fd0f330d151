//! The exit codes: stable, and listed here and in `weightproof --help` only.

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `verify`: all proofs are valid.
    Success = 0,
    /// The machine failed: a file cannot be read or written, a key cannot be opened.
    Machine = 1,
    /// The command line, or a file named on it, is not what the command takes. `clap` uses the same code.
    Usage = 2,
    /// The data cannot be used as it is.
    Data = 3,
    /// The program is not valid or does not fit data or model.
    Program = 4,
    /// Training left the range of the exact arithmetic.
    Range = 5,
    /// The work needs more memory than allowed.
    Memory = 6,
    /// A proof is not valid.
    Invalid = 10,
    /// A proof needs a newer version of this command.
    NewerVersion = 11,
    /// The node refused; its code says why.
    Refused = 12,
    /// The node cannot be reached or does not answer; the same command may succeed later.
    Unreachable = 13,
    /// The node is not the one that was joined, or contradicts itself.
    Untrusted = 14,
    /// Interrupted; the same command goes on where this one stopped.
    Interrupted = 130,
}

/// The table at the end of `--help`.
pub const TABLE: &str = "\
Exit codes:
  0    done; all proofs valid
  1    the machine failed (files, keys)
  2    usage
  3    data
  4    program
  5    range of the exact arithmetic
  6    memory limit
  10   a proof is not valid
  11   a proof needs a newer version
  12   the node refused
  13   the node cannot be reached; try again later
  14   the node is not the one that was joined, or contradicts itself
  130  interrupted; run the same command again to go on";

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(exit as u8)
    }
}
