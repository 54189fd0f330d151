//! What a log signs about itself: C2SP `tlog-checkpoint` (<https://c2sp.org/tlog-checkpoint>).
//!
//! ```text
//! origin: a line that names the log
//! size: the number of entries, in decimal
//! root: the root hash at that size, in base64
//! ```
//!
//! A log that signs two checkpoints without a proof of consistency between them has shown two histories, and the two notes
//! prove it to anyone.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use weightproof_circuits::error::ErrorCode;

use super::note::{self, VerifierKey};
use super::{Hash, LogError, quoted};

/// A log's name, size and root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Not empty and one line, so that the text reads back as it was written.
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// The checkpoint of a log.
    ///
    /// # Errors
    /// `E106` for an empty origin, `E101` for one with a control character.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Result<Self, LogError> {
        let origin = origin.into();
        if origin.is_empty() {
            return Err(LogError::text(ErrorCode::E106, "origin", "a name of the log", "none"));
        }
        if origin.contains('\n') {
            return Err(LogError::text(ErrorCode::E101, "origin", "one line", quoted(&origin)));
        }
        note::check_characters(&origin)?;
        Ok(Self { origin, size, root })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Entries of the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root at that size.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The text that is signed.
    pub fn to_note_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads the text of a checkpoint, which must have been signed: see [`Checkpoint::open`].
    ///
    /// Lines after the third are extensions. They may be there, may not be empty, and are passed over.
    ///
    /// # Errors
    /// `E101` for a text with another spelling, `E106` for one that is cut short.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let cut_short = |what, expected| LogError::text(ErrorCode::E106, what, expected, quoted(text));
        let body =
            text.strip_suffix('\n').ok_or_else(|| cut_short("checkpoint", "lines that end in newlines"))?;
        note::check_characters(body)?;
        let mut lines = body.split('\n');
        let origin = lines.next().ok_or_else(|| cut_short("origin", "a first line"))?;
        let size = decimal(lines.next().ok_or_else(|| cut_short("size", "a second line"))?)?;
        let root = root(lines.next().ok_or_else(|| cut_short("root", "a third line"))?)?;
        if lines.any(str::is_empty) {
            return Err(LogError::text(
                ErrorCode::E101,
                "extension",
                "lines that are not empty",
                quoted(text),
            ));
        }
        Self::new(origin, size, root)
    }

    /// The checkpoint as a note, signed under the origin as the key's name.
    ///
    /// # Errors
    /// `E101` for an origin with a space or a plus sign, and `E103` for one too long: such a name no key can have.
    pub fn sign(&self, key: &SigningKey) -> Result<String, LogError> {
        note::sign(&self.to_note_text(), &self.origin, key)
    }

    /// Reads the checkpoint of the log `origin` from a note that this key signed.
    ///
    /// # Errors
    /// As for [`note::open`] and [`Checkpoint::parse`]; `E201` for a checkpoint of another log.
    pub fn open<N: AsRef<[u8]> + ?Sized>(
        note: &N,
        origin: &str,
        key: &VerifierKey,
    ) -> Result<Self, LogError> {
        let checkpoint = Self::parse(note::open(note, key)?)?;
        if checkpoint.origin != origin {
            return Err(LogError::Origin { expected: origin.to_owned(), found: checkpoint.origin });
        }
        Ok(checkpoint)
    }
}

/// A number in its one decimal spelling.
fn decimal(line: &str) -> Result<u64, LogError> {
    let canonical = line == "0" || (!line.starts_with('0') && line.bytes().all(|byte| byte.is_ascii_digit()));
    let number = if canonical { line.parse().ok() } else { None };
    number.ok_or_else(|| {
        let expected = "a decimal number below 2^64 without leading zeros";
        LogError::text(ErrorCode::E101, "size", expected, quoted(line))
    })
}

/// A hash in its one base64 spelling.
fn root(line: &str) -> Result<Hash, LogError> {
    STANDARD
        .decode(line)
        .ok()
        .and_then(|bytes| Hash::try_from(bytes).ok())
        .ok_or_else(|| LogError::text(ErrorCode::E101, "root", "32 bytes in base64", quoted(line)))
}
