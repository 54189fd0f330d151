//! How a new key takes over, in an order that a crash at any moment leaves whole.
//!
//! 1. The new key is on the disk, as `key-new.age` and then `key-new.pub`, before any node hears of it.
//! 2. The nodes are told; each says afterwards which key it knows.
//! 3. The account is written down, the old key is kept as `key-old-N`, and the new one takes its place.
//!
//! After 1 both keys are there, so whichever a node knows can be used; running `keys rotate` again goes on.
use super::{
    ACCOUNT_NAME, PUBLIC_NAME, SECRET_NAME, account, encrypt, no_key, open, public, random, read_public,
};
use crate::failure::Failure;
use crate::output::hex;
use age::secrecy::SecretString;
use ed25519_dalek::SigningKey;
use std::path::{Path, PathBuf};
use weightproof_prover::atomic_file::{Access, write_atomic};

/// The secret half of a key that is about to take over.
pub(super) const NEW_SECRET_NAME: &str = "key-new.age";
/// Its public half.
pub(super) const NEW_PUBLIC_NAME: &str = "key-new.pub";

/// What there is to do.
pub enum Begun {
    /// A new key is on the disk: tell the nodes, then [`take_over`].
    Pending(Box<SigningKey>),
    /// The new key had taken over all but its public file, which is mended now.
    Finished,
}

/// The key that is about to take over, made now if there is none yet.
///
/// # Errors
/// [`Failure::Key`] without a key or with another passphrase, [`Failure::File`].
pub fn begin(directory: &Path, passphrase: &SecretString) -> Result<Begun, Failure> {
    begin_with(directory, passphrase, &age::scrypt::Recipient::new(passphrase.clone()))
}

fn begin_with(
    directory: &Path,
    passphrase: &SecretString,
    recipient: &age::scrypt::Recipient,
) -> Result<Begun, Failure> {
    if public(directory)?.is_none() {
        return Err(no_key(directory));
    }
    if finish(directory)? {
        return Ok(Begun::Finished);
    }
    let (secret, public_path) = (directory.join(NEW_SECRET_NAME), directory.join(NEW_PUBLIC_NAME));
    if !secret.exists() {
        // A passphrase that does not open the present key would lock its owner out of the next one.
        open(&directory.join(SECRET_NAME), passphrase)?;
        let encrypted = encrypt(&*random()?, recipient)?;
        write_atomic(&secret, &encrypted, Access::Owner).map_err(Failure::write(&secret))?;
    }
    let key = open(&secret, passphrase)?;
    write_public(&public_path, key.verifying_key().as_bytes())?;
    Ok(Begun::Pending(Box::new(key)))
}

/// The new key takes the old one's place, once every node knows it.
///
/// # Errors
/// [`Failure::Key`] when there is none, [`Failure::File`].
pub fn take_over(directory: &Path) -> Result<(), Failure> {
    take_over_until(directory, usize::MAX)
}

/// As [`take_over`], stopping before step `stop` as a crash would.
fn take_over_until(directory: &Path, stop: usize) -> Result<(), Failure> {
    let path = |name: &str| directory.join(name);
    let (Some(old), Some(account), Some(new)) =
        (public(directory)?, account(directory)?, read_public(&path(NEW_PUBLIC_NAME))?)
    else {
        return Err(no_key(directory));
    };
    let copy = |from: &Path, to: &Path| {
        let bytes = std::fs::read(from).map_err(Failure::read(from))?;
        write_atomic(to, &bytes, Access::Owner).map_err(Failure::write(to))
    };
    let remove = |path: &Path| std::fs::remove_file(path).map_err(Failure::write(path));
    let kept = kept_place(directory, &old)?;
    let (kept_secret, kept_public) = (kept.with_extension("age"), kept.with_extension("pub"));
    type Step<'a> = Box<dyn Fn() -> Result<(), Failure> + 'a>;
    let steps: [Step<'_>; 6] = [
        // From here on the account no longer depends on `key.pub`.
        Box::new(|| write_public(&path(ACCOUNT_NAME), &account)),
        Box::new(|| if kept_public.exists() { Ok(()) } else { copy(&path(SECRET_NAME), &kept_secret) }),
        // Its public half says that the copy is whole: later runs do not copy again, when `key.age` may be the new one.
        Box::new(|| write_public(&kept_public, &old)),
        Box::new(|| copy(&path(NEW_SECRET_NAME), &path(SECRET_NAME))),
        // A public half without a secret one means: this far.
        Box::new(|| remove(&path(NEW_SECRET_NAME))),
        Box::new(|| finish(directory).map(|_| ())),
    ];
    debug_assert_ne!(old, new);
    steps.iter().take(stop).try_for_each(|step| step())
}

/// Mends what a crash left in the last step: a new public half whose secret half is in place already.
fn finish(directory: &Path) -> Result<bool, Failure> {
    let path = directory.join(NEW_PUBLIC_NAME);
    if directory.join(NEW_SECRET_NAME).exists() {
        return Ok(false);
    }
    let Some(new) = read_public(&path)? else { return Ok(false) };
    write_public(&directory.join(PUBLIC_NAME), &new)?;
    std::fs::remove_file(&path).map_err(Failure::write(&path))?;
    Ok(true)
}

/// The public half of the key that is about to take over, if there is one.
///
/// # Errors
/// As for [`public`].
pub fn pending(directory: &Path) -> Result<Option<[u8; 32]>, Failure> {
    read_public(&directory.join(NEW_PUBLIC_NAME))
}

/// Secret files of earlier keys, in the order in which they were replaced.
///
/// # Errors
/// [`Failure::File`].
pub fn old_secrets(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for number in 1.. {
        let path = directory.join(format!("key-old-{number}.age"));
        if !path.try_exists().map_err(Failure::read(&path))? {
            break;
        }
        found.push(path);
    }
    Ok(found)
}

/// Where the old key is kept: where it is already, or the first place whose copy is not complete.
fn kept_place(directory: &Path, old: &[u8; 32]) -> Result<PathBuf, Failure> {
    let mut number = 1;
    loop {
        let place = directory.join(format!("key-old-{number}"));
        match read_public(&place.with_extension("pub"))? {
            Some(public) if public != *old => number += 1,
            _ => return Ok(place),
        }
    }
}

fn write_public(path: &Path, key: &[u8; 32]) -> Result<(), Failure> {
    write_atomic(path, format!("{}\n", hex(key)).as_bytes(), Access::Shared).map_err(Failure::write(path))
}

#[cfg(test)]
mod tests {
    use super::super::tests::cheap;
    use super::super::{create_with, unlock};
    use super::*;

    fn passphrase() -> SecretString {
        SecretString::from("correct horse".to_owned())
    }

    fn begin_cheap(directory: &Path) -> Option<[u8; 32]> {
        match begin_with(directory, &passphrase(), &cheap("correct horse")).unwrap() {
            Begun::Pending(key) => Some(key.verifying_key().to_bytes()),
            Begun::Finished => None,
        }
    }

    /// Whatever step a crash comes before, both keys can be used, and going on ends in the same place.
    #[test]
    fn a_crash_at_any_step_loses_no_key() {
        for stop in 0..=6 {
            let directory = tempfile::tempdir().unwrap();
            let home = directory.path();
            let first = create_with(home, cheap("correct horse")).unwrap().public;
            let second = begin_cheap(home).unwrap();
            take_over_until(home, stop).unwrap();
            for key in [&first, &second] {
                let found = unlock(home, key, &passphrase()).unwrap();
                assert_eq!(found.verifying_key().as_bytes(), key, "before step {stop}");
            }
            assert_eq!(account(home).unwrap(), Some(first), "before step {stop}");
            if stop < 6 {
                match begin_cheap(home) {
                    Some(again) => {
                        assert_eq!(again, second, "before step {stop}");
                        take_over(home).unwrap();
                    }
                    None => assert_eq!(stop, 5),
                }
            }
            assert_eq!(public(home).unwrap(), Some(second));
            assert_eq!(account(home).unwrap(), Some(first));
            assert_eq!(pending(home).unwrap(), None);
            assert_eq!(old_secrets(home).unwrap().len(), 1, "before step {stop}");
            assert!(unlock(home, &first, &passphrase()).is_ok());
        }
    }

    #[test]
    fn the_new_key_is_on_the_disk_first_and_the_same_when_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        assert!(matches!(begin(home, &passphrase()), Err(Failure::Key(_))));
        create_with(home, cheap("correct horse")).unwrap();
        let new = begin_cheap(home).unwrap();
        assert_eq!(pending(home).unwrap(), Some(new));
        // The crash between its two halves.
        std::fs::remove_file(home.join(NEW_PUBLIC_NAME)).unwrap();
        assert_eq!(begin_cheap(home), Some(new));
        let other = SecretString::from("wrong horse".to_owned());
        assert!(matches!(begin(home, &other), Err(Failure::Key(_))));
    }

    #[test]
    fn every_earlier_key_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let mut keys = vec![create_with(home, cheap("correct horse")).unwrap().public];
        for _ in 0..3 {
            keys.push(begin_cheap(home).unwrap());
            take_over(home).unwrap();
        }
        assert_eq!(old_secrets(home).unwrap().len(), 3);
        assert_eq!(account(home).unwrap(), Some(keys[0]));
        for key in &keys {
            assert_eq!(unlock(home, key, &passphrase()).unwrap().verifying_key().as_bytes(), key);
        }
    }
}
