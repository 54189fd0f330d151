//! The contributor's signing key: made by `init`, encrypted at rest, used by its public half alone in local runs.
//!
//! The account is the public key that was made first, and stays when the key is rotated. [`rotation`] holds the order in
//! which a new key takes over, [`backup`] the archive of everything that cannot be made again.
pub mod backup;
pub mod rotation;

use crate::failure::Failure;
use crate::output::{hex, parse_hex32};
use age::secrecy::{ExposeSecret, SecretString};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use weightproof_prover::atomic_file::{Access, write_atomic};
use zeroize::Zeroizing;

/// The secret half: an age file, to be opened with the passphrase; its content is 64 hexadecimal digits.
const SECRET_NAME: &str = "key.age";
/// The public half in clear, so that training needs no passphrase.
const PUBLIC_NAME: &str = "key.pub";
/// The account, in clear, once it differs from the key.
const ACCOUNT_NAME: &str = "account.pub";
/// Environment variable with the passphrase, for machines without a person.
pub const PASSPHRASE_VARIABLE: &str = "WEIGHTPROOF_PASSPHRASE";

/// A new key on disk.
#[derive(Debug)]
pub struct NewKey {
    /// Where the secret half is.
    pub path: PathBuf,
    /// The public half.
    pub public: [u8; 32],
}

/// Makes a key in `directory`, encrypted under `passphrase`, mode 0600.
///
/// # Errors
/// [`Failure::Key`] if there is one already (it is never overwritten), [`Failure::File`].
pub fn create(directory: &Path, passphrase: SecretString) -> Result<NewKey, Failure> {
    create_with(directory, age::scrypt::Recipient::new(passphrase))
}

fn create_with(directory: &Path, recipient: age::scrypt::Recipient) -> Result<NewKey, Failure> {
    let (path, public_path) = (directory.join(SECRET_NAME), directory.join(PUBLIC_NAME));
    for path in [&path, &public_path] {
        if path.symlink_metadata().is_ok() {
            let text =
                "expected no key yet, found one; it is never overwritten: move it away to make another";
            return Err(Failure::Key(format!("{}: {text}", path.display())));
        }
    }
    std::fs::create_dir_all(directory).map_err(Failure::write(directory))?;
    let seed = random()?;
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let encrypted = encrypt(&seed, &recipient)?;
    // The secret goes first: a public half alone would name a key that nobody has.
    write_atomic(&path, &encrypted, Access::Owner).map_err(Failure::write(&path))?;
    let line = format!("{}\n", hex(&public));
    write_atomic(&public_path, line.as_bytes(), Access::Shared).map_err(Failure::write(&public_path))?;
    Ok(NewKey { path, public })
}

fn encrypt(seed: &[u8; 32], recipient: &age::scrypt::Recipient) -> Result<Vec<u8>, Failure> {
    let text = Zeroizing::new(hex(seed));
    age::encrypt(recipient, text.as_bytes())
        .map_err(|error| Failure::Key(format!("expected to encrypt the key, found: {error}; report this")))
}

/// The public half in `directory`, if `init` made a key there.
///
/// # Errors
/// [`Failure::Key`] when the file is damaged, [`Failure::File`] when it cannot be read.
pub fn public(directory: &Path) -> Result<Option<[u8; 32]>, Failure> {
    read_public(&directory.join(PUBLIC_NAME))
}

/// The account of the key in `directory`: the key that was made first, if there is one.
///
/// # Errors
/// As for [`public`].
pub fn account(directory: &Path) -> Result<Option<[u8; 32]>, Failure> {
    match read_public(&directory.join(ACCOUNT_NAME))? {
        Some(account) => Ok(Some(account)),
        None => public(directory),
    }
}

/// The secret half of `wanted`, which may be the present key, one that is about to take over, or an earlier one: a node
/// that has not heard of a rotation still expects the old key.
///
/// # Errors
/// [`Failure::Key`] when no file in `directory` holds it or the passphrase is another, [`Failure::File`].
pub fn unlock(directory: &Path, wanted: &[u8; 32], passphrase: &SecretString) -> Result<SigningKey, Failure> {
    let mut paths = vec![directory.join(SECRET_NAME), directory.join(rotation::NEW_SECRET_NAME)];
    paths.extend(rotation::old_secrets(directory)?);
    paths.retain(|path| path.exists());
    // Opening takes a second by design: files whose public half says that they are the wanted one go first. It is only a
    // hint, since a rotation may have been cut short between the two halves.
    paths.sort_by_key(|path| {
        let named = read_public(&path.with_extension("pub")).ok().flatten();
        u8::from(named.as_ref() != Some(wanted))
    });
    if paths.is_empty() {
        return Err(no_key(directory));
    }
    let mut refused = None;
    for path in &paths {
        match open(path, passphrase) {
            Ok(key) if key.verifying_key().as_bytes() == wanted => return Ok(key),
            Ok(_) => {}
            Err(failure) => {
                refused.get_or_insert(failure);
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        Failure::Key(format!(
            "{}: expected the key {}, found other keys only; restore it from a backup",
            directory.display(),
            hex(wanted)
        ))
    }))
}

/// The error for a directory without a key.
pub fn no_key(directory: &Path) -> Failure {
    Failure::Key(format!(
        "{}: expected a signing key, found none; make one with `weightproof init`, or `weightproof keys restore` one",
        directory.display()
    ))
}

fn open(path: &Path, passphrase: &SecretString) -> Result<SigningKey, Failure> {
    let bytes = std::fs::read(path).map_err(Failure::read(path))?;
    let refused = |found: &str| {
        let text = "expected a key that this passphrase opens";
        Failure::Key(format!("{}: {text}, found {found}; check the passphrase", path.display()))
    };
    let text = age::decrypt(&age::scrypt::Identity::new(passphrase.clone()), &bytes);
    let text = Zeroizing::new(text.map_err(|error| refused(&error.to_string()))?);
    let seed = std::str::from_utf8(&text).ok().and_then(|text| parse_hex32(text).ok());
    let seed = Zeroizing::new(seed.ok_or_else(|| refused("another file"))?);
    Ok(SigningKey::from_bytes(&seed))
}

fn read_public(path: &Path) -> Result<Option<[u8; 32]>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::read(path)(error)),
    };
    let damaged = |message: String| {
        Failure::Key(format!("{}: {message}; restore the file from a copy", path.display()))
    };
    let bytes = parse_hex32(text.trim_end()).map_err(damaged)?;
    match ed25519_dalek::VerifyingKey::from_bytes(&bytes) {
        Ok(key) if !key.is_weak() => Ok(Some(bytes)),
        _ => Err(damaged("expected an Ed25519 public key, found other bytes".to_owned())),
    }
}

/// The public half of a key that nobody keeps.
///
/// # Errors
/// [`Failure::Key`] when the system gives no randomness.
pub fn ephemeral() -> Result<[u8; 32], Failure> {
    Ok(SigningKey::from_bytes(&*random()?).verifying_key().to_bytes())
}

/// 32 bytes from the operating system.
///
/// # Errors
/// [`Failure::Key`].
pub fn random() -> Result<Zeroizing<[u8; 32]>, Failure> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| {
        Failure::Key(format!(
            "expected randomness from the operating system, found: {error}; check the system"
        ))
    })?;
    Ok(bytes)
}

/// `SHA256:` and the digest of the public key, for people to compare.
pub fn fingerprint(public: &[u8; 32]) -> String {
    format!("SHA256:{}", hex(&Sha256::digest(public)))
}

/// A new passphrase: from `file`'s first line, else the environment, else twice from the terminal.
///
/// # Errors
/// [`Failure::Usage`] when there is none or it is empty, [`Failure::File`] when the file cannot be read.
pub fn new_passphrase(file: Option<&Path>) -> Result<SecretString, Failure> {
    passphrase(file, ask_twice)
}

/// The passphrase of a key or an archive that is there: as for [`new_passphrase`], but asked for once.
///
/// # Errors
/// As for [`new_passphrase`].
pub fn known_passphrase(file: Option<&Path>) -> Result<SecretString, Failure> {
    passphrase(file, || ask("Passphrase: "))
}

fn passphrase(
    file: Option<&Path>,
    from_terminal: impl FnOnce() -> Result<SecretString, Failure>,
) -> Result<SecretString, Failure> {
    let passphrase = match (file, std::env::var(PASSPHRASE_VARIABLE)) {
        (Some(path), _) => {
            let text = Zeroizing::new(std::fs::read_to_string(path).map_err(Failure::read(path))?);
            SecretString::from(text.lines().next().unwrap_or_default().to_owned())
        }
        (None, Ok(text)) => SecretString::from(text),
        (None, Err(_)) if std::io::stdin().is_terminal() => from_terminal()?,
        (None, Err(_)) => {
            let text = "expected a passphrase, found no terminal to ask on";
            return Err(Failure::Usage(format!(
                "{text}; give --passphrase-file or set {PASSPHRASE_VARIABLE}"
            )));
        }
    };
    if passphrase.expose_secret().is_empty() {
        return Err(Failure::Usage("expected a passphrase, found an empty one; choose one".to_owned()));
    }
    Ok(passphrase)
}

fn ask(prompt: &str) -> Result<SecretString, Failure> {
    rpassword::prompt_password(prompt)
        .map(SecretString::from)
        .map_err(Failure::read(Path::new("the terminal")))
}

fn ask_twice() -> Result<SecretString, Failure> {
    let first = ask("New passphrase: ")?;
    if first.expose_secret() == ask("The same again: ")?.expose_secret() {
        return Ok(first);
    }
    Err(Failure::Usage("expected the same passphrase twice, found two different ones; try again".to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(super) fn cheap(passphrase: &str) -> age::scrypt::Recipient {
        let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
        recipient.set_work_factor(2);
        recipient
    }

    #[test]
    fn a_key_opens_with_its_passphrase_alone_and_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("deep/er");
        assert_eq!(public(&home).unwrap(), None);
        let key = create_with(&home, cheap("correct horse")).unwrap();
        assert_eq!(public(&home).unwrap(), Some(key.public));
        let bytes = std::fs::read(&key.path).unwrap();
        let open = |passphrase: &str| {
            age::decrypt(&age::scrypt::Identity::new(SecretString::from(passphrase.to_owned())), &bytes)
        };
        let seed = parse_hex32(std::str::from_utf8(&open("correct horse").unwrap()).unwrap()).unwrap();
        assert_eq!(SigningKey::from_bytes(&seed).verifying_key().to_bytes(), key.public);
        assert!(open("wrong horse").is_err());
        let hex_seed = hex(&seed);
        assert!(!bytes.windows(64).any(|window| window == hex_seed.as_bytes()));
        assert!(matches!(create_with(&home, cheap("x")), Err(Failure::Key(_))));
        assert_eq!(std::fs::read(&key.path).unwrap(), bytes);
    }

    #[test]
    fn a_damaged_public_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["", "zz", &"00".repeat(32), &"ff".repeat(31)] {
            std::fs::write(directory.path().join(PUBLIC_NAME), text).unwrap();
            assert!(matches!(public(directory.path()), Err(Failure::Key(_))), "{text}");
        }
    }

    #[test]
    fn ephemeral_keys_differ() {
        assert_ne!(ephemeral().unwrap(), ephemeral().unwrap());
    }
}
