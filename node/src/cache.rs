//! Files that can always be computed again, kept to save time and never trusted when they are damaged.
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use weightproof_prover::atomic_file::{Access, write_atomic};

/// A directory of cached files; each is the SHA-256 of its name and content, then the content.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: Option<PathBuf>,
}

impl Cache {
    /// A cache in `directory`; `None` keeps nothing.
    pub fn new(directory: Option<PathBuf>) -> Cache {
        Cache { directory }
    }

    /// The content stored under `name`, if it is there and undamaged. The digest finds damage and mix-ups; it is no
    /// signature, so whoever may write the directory is trusted as its owner is.
    pub fn load(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = std::fs::read(self.path(name)?).ok()?;
        let (stored, content) = bytes.split_first_chunk::<32>()?;
        if *stored != digest(name, content) {
            return None;
        }
        bytes.drain(..32);
        Some(bytes)
    }

    /// Keeps `content` under `name`. A cache that cannot be written costs time later and nothing else, so failures are
    /// not reported.
    pub fn store(&self, name: &str, content: &[u8]) {
        let Some(path) = self.path(name) else { return };
        if let Some(directory) = path.parent()
            && std::fs::create_dir_all(directory).is_ok()
        {
            let bytes = [&digest(name, content)[..], content].concat();
            let _ = write_atomic(&path, &bytes, Access::Owner);
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.directory.as_deref().map(|directory: &Path| directory.join(name))
    }
}

fn digest(name: &str, content: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"weightproof cache v1");
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(content);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_and_renamed_files_are_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(directory.path().join("new")));
        assert_eq!(cache.load("a"), None);
        cache.store("a", b"content");
        assert_eq!(cache.load("a").unwrap(), b"content");
        let path = directory.path().join("new/a");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(directory.path().join("new/b"), &bytes).unwrap();
        assert_eq!(cache.load("b"), None);
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(cache.load("a"), None, "byte {position}");
            std::fs::write(&path, &bytes[..position]).unwrap();
            assert_eq!(cache.load("a"), None, "{position} bytes");
        }
        cache.store("a", b"");
        assert_eq!(cache.load("a").unwrap(), b"");
        assert_eq!(Cache::new(None).load("a"), None);
    }
}
