//! Text signed by keys with names: C2SP `signed-note` (<https://c2sp.org/signed-note>), with ed25519.
//!
//! ```text
//! the text, ending in a newline
//!
//! — name base64(key id ‖ signature)
//! ```
//!
//! The key id is the first four bytes of `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)`. A verifier's key is written
//! `name+id+base64(0x01 ‖ public key)`, the id in hexadecimal.
//!
//! Text is handed out only by [`open`], which has checked a signature first. Signatures by keys that nobody asked for are
//! passed over, whatever they say: that is how others may add theirs.
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use weightproof_circuits::error::ErrorCode;

use super::{Hexadecimal, LogError, quoted};

/// Bytes of a note that are read at most: room for the sixteen signatures that the specification asks for, even of the
/// five kilobytes that it warns of.
pub const MAX_NOTE_BYTES: usize = 128 << 10;

/// Signatures of a note that are read at most, and the number that the specification asks a verifier to read.
pub const MAX_SIGNATURES: usize = 16;

/// The signature type of ed25519.
const ED25519: u8 = 1;

/// What begins a signature line.
const DASH: &str = "— ";

/// The id of an ed25519 key under a name.
pub fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize();
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash);
    [a, b, c, d]
}

/// A public key and the name under which it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    /// Not empty, without spaces, plus signs and control characters, so that lines and keys split in one way only.
    name: String,
    /// Not weak: a weak key accepts signatures of texts that nobody signed.
    key: VerifyingKey,
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// `E101` for a name with a space, a plus sign or a control character, `E106` for none, `E104` for a weak key.
    pub fn new(name: impl Into<String>, key: VerifyingKey) -> Result<Self, LogError> {
        let name = name.into();
        check_name(&name)?;
        if key.is_weak() {
            let found = format!("the weak point {}", Hexadecimal(key.as_bytes()));
            return Err(LogError::text(ErrorCode::E104, "key", "an ed25519 public key", found));
        }
        Ok(Self { name, key })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that signature lines carry.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, &self.key)
    }

    /// The public key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// As it is named in errors, `name+id`.
    fn label(&self) -> String {
        format!("{}+{}", self.name, Hexadecimal(&self.id()))
    }
}

impl fmt::Display for VerifierKey {
    /// Writes `name+id+base64(0x01 ‖ public key)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = std::iter::once(ED25519).chain(self.key.to_bytes()).collect();
        write!(formatter, "{}+{}", self.label(), STANDARD.encode(bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = LogError;

    /// Reads `name+id+base64(0x01 ‖ public key)`. A key has one spelling only.
    ///
    /// # Errors
    /// `E101` and `E106` for another text, `E105` for another kind of key, `E104` for a key that is no point or weak.
    fn from_str(text: &str) -> Result<Self, LogError> {
        const WHAT: &str = "verifier key";
        let malformed = |expected: &str| LogError::text(ErrorCode::E101, WHAT, expected, quoted(text));
        // The last part may itself hold plus signs.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(LogError::text(ErrorCode::E106, WHAT, "name+id+key", quoted(text)));
        };
        let bytes = STANDARD.decode(key).map_err(|_| malformed("a key in base64"))?;
        let key = match bytes.split_first() {
            Some((&ED25519, key)) => <[u8; 32]>::try_from(key).map_err(|_| malformed("a key of 32 bytes"))?,
            Some((kind, _)) => {
                let (expected, found) = (format!("signature type {ED25519}"), format!("type {kind}"));
                return Err(LogError::text(ErrorCode::E105, WHAT, expected, found));
            }
            None => return Err(LogError::text(ErrorCode::E106, WHAT, "a key", "none")),
        };
        let key = VerifyingKey::from_bytes(&key).map_err(|_| {
            let found = Hexadecimal(&key).to_string();
            LogError::text(ErrorCode::E104, WHAT, "an ed25519 public key", found)
        })?;
        let key = Self::new(name, key)?;
        let expected = Hexadecimal(&key.id()).to_string();
        if id != expected {
            return Err(LogError::text(ErrorCode::E101, WHAT, format!("the id {expected}"), quoted(id)));
        }
        Ok(key)
    }
}

/// A note of this text, signed by one key under a name.
///
/// # Errors
/// `E101`, `E103` and `E106` for a text or a name that a note cannot carry.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, LogError> {
    check_name(name)?;
    check_characters(text)?;
    if !text.ends_with('\n') {
        return Err(LogError::text(ErrorCode::E106, "note", "a text that ends in a newline", quoted(text)));
    }
    let id = key_id(name, &key.verifying_key());
    let signature: Vec<u8> = id.into_iter().chain(key.sign(text.as_bytes()).to_bytes()).collect();
    let note = format!("{text}\n{DASH}{name} {}\n", STANDARD.encode(signature));
    check_size(note.len())?;
    Ok(note)
}

/// The text of a note that this key signed.
///
/// A signature under the key's name and id must hold, and every one of them. Others must be well formed and are passed
/// over.
///
/// # Errors
/// `E101`, `E103` and `E106` for bytes that are not a note, `E205` without a signature by this key or with one that does
/// not hold.
pub fn open<'a, N: AsRef<[u8]> + ?Sized>(note: &'a N, key: &VerifierKey) -> Result<&'a str, LogError> {
    const WHAT: &str = "signature line";
    let (text, lines) = split(note.as_ref())?;
    let found = lines.split('\n').count();
    if found > MAX_SIGNATURES {
        let expected = format!("at most {MAX_SIGNATURES} signatures");
        return Err(LogError::text(ErrorCode::E103, "note", expected, found.to_string()));
    }
    let id = key.id();
    let mut signed = false;
    for line in lines.split('\n') {
        let malformed = |code, expected: &str| LogError::text(code, WHAT, expected, quoted(line));
        let (name, encoded) = line
            .strip_prefix(DASH)
            .and_then(|line| line.split_once(' '))
            .ok_or_else(|| malformed(ErrorCode::E101, "a dash, a name and a signature"))?;
        check_name(name)?;
        let bytes =
            STANDARD.decode(encoded).map_err(|_| malformed(ErrorCode::E101, "a signature in base64"))?;
        let (line_id, signature) = match bytes.split_first_chunk::<4>() {
            Some((line_id, signature)) if !signature.is_empty() => (line_id, signature),
            _ => return Err(malformed(ErrorCode::E106, "a key id and a signature")),
        };
        if name != key.name || *line_id != id {
            continue;
        }
        let holds = Signature::from_slice(signature)
            .is_ok_and(|signature| key.key.verify_strict(text.as_bytes(), &signature).is_ok());
        if !holds {
            return Err(LogError::Signature { expected: key.label() });
        }
        signed = true;
    }
    if signed { Ok(text) } else { Err(LogError::Unsigned { expected: key.label(), found }) }
}

/// The text with its last newline, and the signature lines without theirs.
fn split(note: &[u8]) -> Result<(&str, &str), LogError> {
    check_size(note.len())?;
    let note = std::str::from_utf8(note).map_err(|error| {
        let found = format!("other bytes at {}", error.valid_up_to());
        LogError::text(ErrorCode::E101, "note", "UTF-8", found)
    })?;
    check_characters(note)?;
    let missing = |expected| LogError::text(ErrorCode::E106, "note", expected, quoted(note));
    // The text may hold empty lines: the last one ends it.
    let blank = note.rfind("\n\n").ok_or_else(|| missing("an empty line before the signatures"))?;
    let (text, rest) = note.split_at(blank + 1);
    let lines = rest
        .strip_prefix('\n')
        .and_then(|lines| lines.strip_suffix('\n'))
        .ok_or_else(|| missing("signature lines that end in newlines"))?;
    Ok((text, lines))
}

fn check_size(bytes: usize) -> Result<(), LogError> {
    if bytes > MAX_NOTE_BYTES {
        let expected = format!("at most {MAX_NOTE_BYTES} bytes");
        return Err(LogError::text(ErrorCode::E103, "note", expected, bytes.to_string()));
    }
    Ok(())
}

/// Refuses ASCII control characters other than newlines.
pub(super) fn check_characters(text: &str) -> Result<(), LogError> {
    match text.chars().find(|&character| character < ' ' && character != '\n') {
        Some(found) => {
            let expected = "no control character but newlines";
            Err(LogError::text(ErrorCode::E101, "note", expected, format!("{found:?}")))
        }
        None => Ok(()),
    }
}

/// Refuses names that would not come back out of a signature line or a key as they went in.
fn check_name(name: &str) -> Result<(), LogError> {
    const WHAT: &str = "key name";
    if name.is_empty() {
        return Err(LogError::text(ErrorCode::E106, WHAT, "a name", "none"));
    }
    if name.chars().any(|character| character == '+' || character.is_whitespace() || character.is_control()) {
        let expected = "no space, plus sign or control character";
        return Err(LogError::text(ErrorCode::E101, WHAT, expected, quoted(name)));
    }
    Ok(())
}
