//! Files that are either the old ones or the new ones, never half of each.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As the process's umask says.
    Shared,
    /// The owner alone (mode 0600 on Unix), from the moment the file exists.
    Owner,
}

/// Writes `bytes` to `path` so that a crash at any moment leaves either the previous content or all of `bytes`:
/// a temporary file beside it, flushed to the disk, is renamed over it and the directory entry is flushed too.
///
/// # Errors
/// Any input or output error; the temporary file is removed and `path` is as it was.
pub fn write_atomic(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let written = write_and_sync(&temporary, bytes, access).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a temporary file that cannot be removed is only litter.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    sync_directory(path)
}

/// A name in the same directory (a rename does not cross file systems), different for each process.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "expected a file name, found a directory")
    })?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.partial", std::process::id()));
    Ok(path.with_file_name(temporary))
}

fn write_and_sync(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // A left-over of a killed process with the same id may have wider permissions: never reuse it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    options.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Owner {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = access;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_content_and_leaves_no_litter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_atomic(&path, b"old", Access::Shared).unwrap();
        write_atomic(&path, b"new and longer", Access::Shared).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new and longer");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn owner_files_are_not_readable_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, b"wide open before").unwrap();
        write_atomic(&path, b"x", Access::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_failed_write_leaves_no_litter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("occupied");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"").unwrap();
        assert!(write_atomic(&path, b"x", Access::Shared).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(write_atomic(Path::new("/"), b"x", Access::Shared).is_err());
    }
}
