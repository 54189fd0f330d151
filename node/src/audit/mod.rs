//! What an auditor does with a node's word: verify it again, offline, trusting nobody.
//!
//! * [`bundle`]: the `.wpbundle` file, everything that one version of a model came from (specs/bundle.md).
//! * [`mod@verify`]: plays the log again, checks every proof and adds every model up, into a [`Report`].
//! * [`log`]: the log alone, from a bundle or a node's data folder.
//! * `page` and `export`: a report as one HTML file, and in the formats that others read.
//!
//! Everything here only reads. Nothing here decides: the rules are `weightproof_ledger`'s, the proofs the verifier's.
pub mod bundle;
pub mod export;
pub mod folder;
pub mod log;
pub mod page;
mod report;
mod trace;
pub mod verify;

pub use report::{Finding, Report, Verdict};
pub use verify::verify;

use std::io;

use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::Refusal;

use crate::store::StoreError;

#[cfg(test)]
mod tests;

/// Why an audit did not come to its end; nothing is known of what it was to judge.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be read.
    #[error("expected to read the file to its end, found: {0}; check the disk and try again")]
    Source(#[source] io::Error),
    /// The data folder cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// Interrupted.
    #[error("interrupted; run the same command again")]
    Interrupted,
}

/// What ends an audit before all is checked: a finding, or something that is nobody's fault.
#[derive(Debug)]
enum Stop {
    Finding(Finding),
    Error(AuditError),
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Stop {
        Stop::Finding(finding)
    }
}

impl Finding {
    /// Something that does not hold.
    fn new(code: ErrorCode, message: impl Into<String>) -> Finding {
        Finding { code: code.as_str().to_owned(), entry: None, contribution: None, message: message.into() }
    }

    /// As a refusal says it.
    fn refused(refusal: &Refusal) -> Finding {
        Finding::new(refusal.code, refusal.message.clone())
    }

    /// At this entry.
    fn at(mut self, entry: u64) -> Finding {
        self.entry = Some(entry);
        self
    }

    /// About the contribution with this statement.
    fn about(mut self, statement_digest: &[u8]) -> Finding {
        self.contribution = Some(crate::output::hex(statement_digest));
        self
    }
}

/// Foreign text for people, on one line: characters that steer a terminal or the direction of writing are shown, not
/// obeyed.
fn plain(text: &str) -> String {
    text.chars().map(|character| if steers(character) { '\u{fffd}' } else { character }).collect()
}

/// As [`plain`], but lines stay lines.
fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(&line.replace('\t', " "))).collect::<Vec<_>>().join("\n")
}

fn steers(character: char) -> bool {
    let directions = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || directions
}
