//! One encrypted file with everything that cannot be made again: keys, account, joined nodes, and the rows and salts of
//! registered datasets. The keys inside stay encrypted under their own passphrase too.
//!
//! Content: `weightproof backup v1`, newline, the number of files, and each file's name and bytes, by age's passphrase
//! encryption, which also finds damage.
use crate::failure::Failure;
use age::secrecy::SecretString;
use std::path::{Component, Path, PathBuf};
use weightproof_circuits::encoding::{DecodeError, Reader, Writer};
use weightproof_prover::atomic_file::{Access, write_atomic};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"weightproof backup v1\n";
/// Longest name of a file.
const MAXIMUM_NAME: usize = 1 << 10;
/// Most files.
const MAXIMUM_FILES: u64 = 1 << 20;
/// First component of names: which of the two directories.
const CONFIGURATION: &str = "config";
const DATA: &str = "data";

/// The two directories that a backup is of.
#[derive(Clone, Debug)]
pub struct Places {
    /// Keys and joined nodes.
    pub configuration: PathBuf,
    /// Datasets and contributions.
    pub data: PathBuf,
}

/// Writes a backup; gives the names of the files in it.
///
/// # Errors
/// [`Failure::Key`] when there is no key, [`Failure::Usage`] when `file` exists, [`Failure::File`].
pub fn write(places: &Places, file: &Path, passphrase: SecretString) -> Result<Vec<String>, Failure> {
    write_with(places, file, &age::scrypt::Recipient::new(passphrase))
}

fn write_with(
    places: &Places,
    file: &Path,
    recipient: &age::scrypt::Recipient,
) -> Result<Vec<String>, Failure> {
    if super::public(&places.configuration)?.is_none() {
        return Err(super::no_key(&places.configuration));
    }
    if file.symlink_metadata().is_ok() {
        let text = "expected a new file for the backup, found one that exists; choose another name";
        return Err(Failure::Usage(format!("{}: {text}", file.display())));
    }
    let mut names = Vec::new();
    collect(&places.configuration, CONFIGURATION, 2, &mut names)?;
    collect(&places.data, DATA, 4, &mut names)?;
    names.retain(|name| is_kept(name));
    names.sort();
    let mut writer = Writer::new();
    writer.raw(MAGIC);
    writer.varint(names.len() as u64);
    for name in &names {
        let path = places.path(name).unwrap_or_default();
        let bytes = Zeroizing::new(std::fs::read(&path).map_err(Failure::read(&path))?);
        writer.bytes(name.as_bytes());
        writer.bytes(&bytes);
    }
    let content = Zeroizing::new(writer.into_bytes());
    let encrypted = age::encrypt(recipient, &content).map_err(|error| {
        Failure::Key(format!("expected to encrypt the backup, found: {error}; report this"))
    })?;
    write_atomic(file, &encrypted, Access::Owner).map_err(Failure::write(file))?;
    Ok(names)
}

/// Writes back what a backup holds; gives the names of its files. Nothing is overwritten: a file that is there with other
/// content stops everything before anything is written.
///
/// # Errors
/// [`Failure::Key`] for another passphrase, another file, or a file in the way; [`Failure::File`].
pub fn restore(places: &Places, file: &Path, passphrase: &SecretString) -> Result<Vec<String>, Failure> {
    let encrypted = std::fs::read(file).map_err(Failure::read(file))?;
    let refused = |found: String| {
        let text = "expected a backup that this passphrase opens";
        Failure::Key(format!("{}: {text}, found {found}; check file and passphrase", file.display()))
    };
    let content = age::decrypt(&age::scrypt::Identity::new(passphrase.clone()), &encrypted);
    let content = Zeroizing::new(content.map_err(|error| refused(error.to_string()))?);
    let files = decode(&content).map_err(|error| refused(error.to_string()))?;
    let mut writes = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let path = std::str::from_utf8(name).ok().filter(|name| is_kept(name));
        let Some((name, path)) = path.and_then(|name| Some((name, places.path(name)?))) else {
            return Err(refused("a name that no backup of ours has".to_owned()));
        };
        match std::fs::read(&path) {
            Ok(there) if there == bytes => {}
            Ok(_) => {
                let text = "expected no such file yet, found one with other content; nothing was restored: move it away";
                return Err(Failure::Key(format!("{}: {text}", path.display())));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::read(&path)(error)),
        }
        writes.push((name, path, bytes));
    }
    // The key goes last: with it in place, everything that it may be used for is there.
    writes.sort_by_key(|(name, ..)| (name.starts_with(CONFIGURATION), name.ends_with(".pub"), *name));
    for (_, path, bytes) in &writes {
        let parent = path.parent().unwrap_or(path);
        std::fs::create_dir_all(parent).map_err(Failure::write(parent))?;
        let access =
            if path.extension().is_some_and(|end| end == "pub") { Access::Shared } else { Access::Owner };
        write_atomic(path, bytes, access).map_err(Failure::write(path))?;
    }
    Ok(writes.into_iter().map(|(name, ..)| name.to_owned()).collect())
}

/// Name and bytes of a file in a backup.
type Held<'a> = (&'a [u8], &'a [u8]);

fn decode(content: &[u8]) -> Result<Vec<Held<'_>>, DecodeError> {
    use weightproof_circuits::error::ErrorCode;
    let mut reader = Reader::new(content);
    let start = reader.clone();
    if reader.raw("backup header", MAGIC.len())? != MAGIC {
        return Err(start.error(ErrorCode::E101, "backup header", "weightproof backup v1", "another file"));
    }
    let start = reader.clone();
    let count = reader.varint("number of files")?;
    if count > MAXIMUM_FILES {
        let limit = format!("at most {MAXIMUM_FILES}");
        return Err(start.error(ErrorCode::E103, "number of files", limit, count.to_string()));
    }
    let mut files = Vec::new();
    for _ in 0..count {
        files.push((reader.bytes("name", MAXIMUM_NAME)?, reader.bytes("file", content.len())?));
    }
    reader.finish()?;
    Ok(files)
}

impl Places {
    /// Where a name lies; `None` for one that would lead out of the two directories.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let (place, rest) = name.split_once('/')?;
        let base = match place {
            CONFIGURATION => &self.configuration,
            DATA => &self.data,
            _ => return None,
        };
        let plain = !rest.contains('\\')
            && Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)));
        plain.then(|| base.join(rest))
    }
}

/// Keys, joined nodes, datasets, and which slots were worked on; contributions can be fetched from the node.
fn is_kept(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [CONFIGURATION, file] => {
            (file.starts_with("key") && (file.ends_with(".age") || file.ends_with(".pub")))
                || *file == super::ACCOUNT_NAME
        }
        [CONFIGURATION, "nodes", file] => file.ends_with(".json"),
        [DATA, _, _, "datasets", file] => file.ends_with(".secret"),
        [DATA, _, _, "slots", file] => file.ends_with(".json"),
        _ => false,
    }
}

/// Names of the files in a directory and below it.
fn collect(directory: &Path, name: &str, depth: u32, names: &mut Vec<String>) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::read(directory)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Failure::read(directory))?;
        let kind = entry.file_type().map_err(Failure::read(&entry.path()))?;
        // Names of ours are plain text; others are not ours. Links are not followed.
        let Some(file) = entry.file_name().to_str().map(|file| format!("{name}/{file}")) else { continue };
        if kind.is_dir() && depth > 0 {
            collect(&entry.path(), &file, depth - 1, names)?;
        } else if kind.is_file() {
            names.push(file);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::cheap;
    use super::super::{create_with, public};
    use super::*;

    fn passphrase(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn places(base: &Path) -> Places {
        Places { configuration: base.join("c/weightproof"), data: base.join("d/weightproof") }
    }

    fn filled(base: &Path) -> Places {
        let places = places(base);
        create_with(&places.configuration, cheap("key")).unwrap();
        let files = [
            "config/account.pub",
            "config/nodes/verifier.example.json",
            "data/verifier.example/sepsis/datasets/ab.secret",
            "data/verifier.example/sepsis/slots/round-1.json",
            // Not kept.
            "config/other.txt",
            "data/verifier.example/sepsis/slots/round-1.wpf",
        ];
        for name in files {
            let path = places.path(name).unwrap();
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        places
    }

    #[test]
    fn everything_comes_back_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let from = filled(&directory.path().join("from"));
        let file = directory.path().join("backup.age");
        let names = write_with(&from, &file, &cheap("archive")).unwrap();
        assert_eq!(names.len(), 6, "{names:?}");
        assert!(matches!(write_with(&from, &file, &cheap("archive")), Err(Failure::Usage(_))));
        let to = places(&directory.path().join("to"));
        assert!(matches!(restore(&to, &file, &passphrase("wrong")), Err(Failure::Key(_))));
        assert_eq!(public(&to.configuration).unwrap(), None);
        let restored = restore(&to, &file, &passphrase("archive")).unwrap();
        assert_eq!(restored.last().unwrap(), "config/key.pub");
        for name in &names {
            let read = |places: &Places| std::fs::read(places.path(name).unwrap()).unwrap();
            assert_eq!(read(&from), read(&to), "{name}");
        }
        assert!(!to.path("config/other.txt").unwrap().exists());
        // Again: all is there. With another key in the way: nothing happens.
        assert_eq!(restore(&to, &file, &passphrase("archive")).unwrap().len(), names.len());
        std::fs::write(to.configuration.join("key.age"), "another").unwrap();
        std::fs::remove_file(to.configuration.join("account.pub")).unwrap();
        assert!(matches!(restore(&to, &file, &passphrase("archive")), Err(Failure::Key(_))));
        assert!(!to.configuration.join("account.pub").exists());
        assert_eq!(std::fs::read(to.configuration.join("key.age")).unwrap(), b"another");
    }

    #[cfg(unix)]
    #[test]
    fn secrets_stay_with_their_owner() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let from = filled(&directory.path().join("from"));
        let file = directory.path().join("backup.age");
        write_with(&from, &file, &cheap("archive")).unwrap();
        let to = places(&directory.path().join("to"));
        restore(&to, &file, &passphrase("archive")).unwrap();
        let secret = to.data.join("verifier.example/sepsis/datasets/ab.secret");
        for path in [file, secret, to.configuration.join("key.age")] {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        }
    }

    #[test]
    fn names_do_not_lead_elsewhere() {
        let places = places(Path::new("/x"));
        for name in [
            "config/../key.age",
            "config//etc/key.age",
            "data/a/../../b",
            "other/key.age",
            "config",
            "data/a\\b",
        ] {
            let written = is_kept(name) && places.path(name).is_some();
            assert!(!written, "{name}");
        }
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::new();
        writer.raw(MAGIC);
        writer.varint(1);
        writer.bytes(b"config/nodes/../../key.age");
        writer.bytes(b"x");
        let file = directory.path().join("evil.age");
        std::fs::write(&file, age::encrypt(&cheap("p"), &writer.into_bytes()).unwrap()).unwrap();
        let to = super::tests::places(directory.path());
        assert!(matches!(restore(&to, &file, &passphrase("p")), Err(Failure::Key(_))));
    }
}
