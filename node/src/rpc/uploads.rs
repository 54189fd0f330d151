//! Contributions on their way in: partial files that survive a restart of either side.
//!
//! An upload is named by what was signed, so announcing it again finds its bytes. What a file holds is believed only when
//! all of it has the signed digest. Files that nobody goes on with are removed.
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::action::{SignedSubmission, Submission};
use weightproof_ledger::{Id, Refusal};

use crate::output::{hex, parse_hex32};

/// Uploads of one account at a time.
const PER_ACCOUNT: usize = 2;
/// Uploads at a time.
const TOTAL: usize = 1024;
/// Bytes of all unfinished uploads together, as announced.
const TOTAL_BYTES: u64 = 2 << 30;
/// An upload that nobody goes on with for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// One upload.
#[derive(Debug)]
pub struct Upload {
    /// Its name.
    pub id: Id,
    /// What was signed.
    pub submission: Submission,
    /// By the key that announced it last: the account's key may be another than when it began.
    signature: Mutex<[u8; 64]>,
    /// Whose.
    pub account: Id,
    path: PathBuf,
    progress: Mutex<Progress>,
    /// The newest connection, for older ones to end.
    newest: tokio::sync::watch::Sender<u64>,
    /// Held by whoever asks for the verdict: one at a time.
    pub deciding: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Progress {
    received: u64,
    // The newest connection writes; an older one that still hangs writes no more.
    generation: u64,
    used: Instant,
}

/// All uploads.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    known: Mutex<BTreeMap<Id, Arc<Upload>>>,
}

fn full(text: &str) -> Refusal {
    Refusal::new(ErrorCode::E401, format!("expected room for an upload, found {text}; try again later"))
}

fn disk(error: &std::io::Error) -> Refusal {
    // Nothing was acknowledged and nothing of the node's state is concerned: the node goes on.
    Refusal::new(ErrorCode::E401, format!("expected to write the upload, found: {error}; try again later"))
}

impl Uploads {
    /// The uploads in a folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> std::io::Result<Uploads> {
        fs::create_dir_all(folder)?;
        Ok(Uploads { folder: folder.to_owned(), known: Mutex::default() })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<Id, Arc<Upload>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins or finds an upload. Everything about it that needs no proof has been checked.
    ///
    /// # Errors
    /// `E401` without room.
    pub fn begin(&self, id: Id, account: Id, signed: SignedSubmission) -> Result<Arc<Upload>, Refusal> {
        let mut known = self.known();
        let SignedSubmission { submission, signature } = signed;
        if let Some(upload) = known.get(&id) {
            upload.progress().used = Instant::now();
            *upload.signature.lock().unwrap_or_else(PoisonError::into_inner) = signature;
            return Ok(Arc::clone(upload));
        }
        let length = submission.file_length;
        let own = known.values().filter(|upload| upload.account == account);
        if own.clone().count() >= PER_ACCOUNT {
            // Whoever begins another has mostly given up an older one: its round is over. Not one that is being judged.
            let idle = own
                .filter(|upload| upload.deciding.try_lock().is_ok())
                .min_by_key(|upload| upload.progress().used);
            let Some(idle) = idle.map(|upload| upload.id) else {
                return Err(full(&format!("{PER_ACCOUNT} of this account that are being judged")));
            };
            if let Some(idle) = known.remove(&idle) {
                let _ = fs::remove_file(&idle.path);
            }
        }
        let announced: u64 = known.values().map(|upload| upload.submission.file_length).sum();
        if known.len() >= TOTAL || announced.saturating_add(length) > TOTAL_BYTES {
            return Err(full("too many unfinished ones"));
        }
        let path = self.folder.join(hex(&id));
        // What an earlier process received counts, up to the announced length.
        let received = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if received > length {
            fs::remove_file(&path).map_err(|error| disk(&error))?;
        }
        let received = if received > length { 0 } else { received };
        let progress = Mutex::new(Progress { received, generation: 0, used: Instant::now() });
        let signature = Mutex::new(signature);
        let deciding = tokio::sync::Mutex::new(());
        let newest = tokio::sync::watch::Sender::new(0);
        let upload =
            Arc::new(Upload { id, submission, signature, account, path, progress, newest, deciding });
        known.insert(id, Arc::clone(&upload));
        Ok(upload)
    }

    /// A begun upload.
    pub fn find(&self, id: &Id) -> Option<Arc<Upload>> {
        self.known().get(id).cloned()
    }

    /// Forgets an upload and its bytes.
    pub fn finish(&self, id: &Id) {
        if let Some(upload) = self.known().remove(id) {
            // A file that stays is found again by its name, or removed as forgotten.
            let _ = fs::remove_file(&upload.path);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Forgets uploads that nobody goes on with, and files of earlier processes that are as old.
    pub fn sweep(&self) {
        let idle: Vec<Id> = {
            let known = self.known();
            let idle = |upload: &&Arc<Upload>| upload.progress().used.elapsed() > FORGOTTEN;
            known.values().filter(idle).map(|upload| upload.id).collect()
        };
        idle.iter().for_each(|id| self.finish(id));
        let Ok(files) = fs::read_dir(&self.folder) else { return };
        for file in files.flatten() {
            let name = file.file_name();
            let ours = name.to_str().and_then(|name| parse_hex32(name).ok());
            let known = ours.is_some_and(|id| self.known().contains_key(&id));
            let modified = file.metadata().and_then(|metadata| metadata.modified());
            let old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > FORGOTTEN));
            if ours.is_some() && !known && old {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// A connection's right to write to an upload, until another connection takes over.
#[derive(Debug)]
pub struct Writing {
    upload: Arc<Upload>,
    generation: u64,
    newest: tokio::sync::watch::Receiver<u64>,
    file: File,
}

impl Upload {
    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was signed, and the signature.
    pub fn signed(&self) -> SignedSubmission {
        let signature = *self.signature.lock().unwrap_or_else(PoisonError::into_inner);
        SignedSubmission { submission: self.submission.clone(), signature }
    }

    /// Bytes that are there.
    pub fn received(&self) -> u64 {
        self.progress().received
    }

    /// Whether all bytes are there.
    pub fn is_complete(&self) -> bool {
        self.received() == self.submission.file_length
    }

    /// Takes over writing.
    ///
    /// # Errors
    /// `E401` when the file cannot be opened.
    pub fn write(self: &Arc<Self>) -> Result<Writing, Refusal> {
        let mut progress = self.progress();
        progress.generation += 1;
        progress.used = Instant::now();
        let file =
            OpenOptions::new().create(true).append(true).open(&self.path).map_err(|error| disk(&error))?;
        let generation = progress.generation;
        self.newest.send_replace(generation);
        Ok(Writing { upload: Arc::clone(self), generation, newest: self.newest.subscribe(), file })
    }

    /// The whole file, if it is the one that was signed.
    ///
    /// # Errors
    /// `E101` when it is another: its bytes are dropped and the upload begins anew.
    pub fn file(&self) -> Result<Vec<u8>, Refusal> {
        let bytes = fs::read(&self.path).map_err(|error| disk(&error))?;
        let submission = &self.submission;
        if bytes.len() as u64 != submission.file_length
            || Sha256::digest(&bytes)[..] != submission.file_digest[..]
        {
            let mut progress = self.progress();
            progress.received = 0;
            progress.generation += 1;
            let _ = fs::remove_file(&self.path);
            let text =
                "expected the bytes that were signed, found others; upload the file again from the start";
            return Err(Refusal::new(ErrorCode::E101, text));
        }
        Ok(bytes)
    }
}

fn newer() -> Refusal {
    Refusal::new(
        ErrorCode::E501,
        "expected to be the only connection of this upload, found a newer one; go on there",
    )
}

impl Writing {
    /// Done when another connection has taken over, with the refusal of this one: it must hold its place no longer.
    pub async fn taken_over(&mut self) -> Refusal {
        let own = self.generation;
        // The sender lives as long as the upload, which is held here.
        let _ = self.newest.wait_for(|newest| *newest > own).await;
        newer()
    }

    /// Appends a part that begins at `offset`. Parts that are there already are passed over, so that a client may repeat.
    ///
    /// # Errors
    /// `E501` when another connection took over or bytes are missing before the part, `E403` past the announced length,
    /// `E401` when the disk refuses.
    pub fn part(&mut self, offset: u64, part: &[u8]) -> Result<(), Refusal> {
        let mut progress = self.upload.progress();
        if progress.generation != self.generation {
            return Err(newer());
        }
        let received = progress.received;
        if offset > received {
            let text = format!(
                "expected a part from byte {received} on, found one from byte {offset}; begin again to learn the offset"
            );
            return Err(Refusal::new(ErrorCode::E501, text));
        }
        let length = self.upload.submission.file_length;
        let end = offset.saturating_add(part.len() as u64);
        if end > length {
            return Err(Refusal::new(
                ErrorCode::E403,
                format!("expected the announced {length} bytes, found more"),
            ));
        }
        // At most the part's length.
        let fresh = part.get((received - offset) as usize..).unwrap_or(&[]);
        self.file.write_all(fresh).map_err(|error| {
            // How much was written is not known: only the file's own length is.
            if let Ok(metadata) = self.file.metadata() {
                progress.received = metadata.len().min(length);
            }
            disk(&error)
        })?;
        progress.received = received + fresh.len() as u64;
        progress.used = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightproof_ledger::canonical::Bytes;

    fn signed(file: &[u8]) -> SignedSubmission {
        let submission = Submission {
            network: [1; 32],
            statement: Bytes(vec![2]),
            file_digest: Sha256::digest(file).into(),
            file_length: file.len() as u64,
        };
        SignedSubmission { submission, signature: [0; 64] }
    }

    #[test]
    fn an_upload_goes_on_after_a_restart_and_takes_repeated_parts() {
        let folder = tempfile::tempdir().unwrap();
        let file: Vec<u8> = (0..=255).collect();
        {
            let uploads = Uploads::open(folder.path()).unwrap();
            let upload = uploads.begin([1; 32], [9; 32], signed(&file)).unwrap();
            upload.write().unwrap().part(0, &file[..100]).unwrap();
            assert_eq!(upload.received(), 100);
        }
        let uploads = Uploads::open(folder.path()).unwrap();
        assert!(uploads.find(&[1; 32]).is_none());
        let upload = uploads.begin([1; 32], [9; 32], signed(&file)).unwrap();
        assert_eq!(upload.received(), 100);
        let mut writing = upload.write().unwrap();
        writing.part(50, &file[50..150]).unwrap();
        assert_eq!(writing.part(151, &file[151..]).unwrap_err().code, ErrorCode::E501);
        let mut longer = file[150..].to_vec();
        longer.push(0);
        assert_eq!(writing.part(150, &longer).unwrap_err().code, ErrorCode::E403);
        let mut newer = upload.write().unwrap();
        assert_eq!(writing.part(150, &file[150..]).unwrap_err().code, ErrorCode::E501);
        newer.part(150, &file[150..]).unwrap();
        assert!(upload.is_complete());
        assert_eq!(upload.file().unwrap(), file);
        uploads.finish(&[1; 32]);
        assert!(uploads.is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn other_bytes_than_the_signed_ones_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path()).unwrap();
        let upload = uploads.begin([1; 32], [9; 32], signed(b"right")).unwrap();
        upload.write().unwrap().part(0, b"wrong").unwrap();
        assert_eq!(upload.file().unwrap_err().code, ErrorCode::E101);
        assert_eq!(upload.received(), 0);
        upload.write().unwrap().part(0, b"right").unwrap();
        assert_eq!(upload.file().unwrap(), b"right");
    }

    #[test]
    fn an_account_has_few_uploads_and_a_new_one_takes_the_place_of_the_idlest() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path()).unwrap();
        let own: Vec<_> = (0..PER_ACCOUNT as u8)
            .map(|number| uploads.begin([number; 32], [9; 32], signed(b"x")).unwrap())
            .collect();
        own[0].write().unwrap().part(0, b"x").unwrap();
        uploads.begin([98; 32], [8; 32], signed(b"x")).unwrap();
        // The first was used last. The second has been given up: it makes room, and its bytes are gone.
        own[1].write().unwrap().part(0, b"x").unwrap();
        own[0].write().unwrap();
        uploads.begin([99; 32], [9; 32], signed(b"x")).unwrap();
        assert!(
            uploads.find(&[1; 32]).is_none()
                && uploads.find(&[0; 32]).is_some()
                && uploads.find(&[98; 32]).is_some()
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // Those that are being judged stay.
        let judged: Vec<_> = [[0; 32], [99; 32]].iter().map(|id| uploads.find(id).unwrap()).collect();
        let _locks: Vec<_> = judged.iter().map(|upload| upload.deciding.try_lock().unwrap()).collect();
        assert_eq!(uploads.begin([97; 32], [9; 32], signed(b"x")).unwrap_err().code, ErrorCode::E401);
    }

    #[test]
    fn the_last_announcement_signs() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path()).unwrap();
        let upload = uploads.begin([1; 32], [9; 32], signed(b"x")).unwrap();
        uploads.begin([1; 32], [9; 32], SignedSubmission { signature: [7; 64], ..signed(b"x") }).unwrap();
        assert_eq!(upload.signed().signature, [7; 64]);
    }
}
