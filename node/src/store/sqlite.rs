//! The store on SQLite: one file that an auditor can open with tools of their own.
//!
//! Write-ahead log with a flush at every commit (`synchronous=FULL`): what was acknowledged survives a power cut. One
//! writer; readers have connections of their own and see whole commits only.
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use weightproof_ledger::{Id, Refusal};

use super::crash::{failure, point};
use super::{Change, Store, StoreError};

/// The schema that this version writes. Each step upwards is a migration below.
const SCHEMA: u32 = 1;

/// Migration `n` leads from schema `n` to `n + 1`.
const MIGRATIONS: [&str; SCHEMA as usize] = ["
    CREATE TABLE entries (
        position INTEGER PRIMARY KEY, -- index in the log, from 0
        bytes BLOB NOT NULL           -- canonical entry (specs/ledger.md)
    ) STRICT;
    CREATE TABLE checkpoint (
        only INTEGER PRIMARY KEY CHECK (only = 0),
        note TEXT NOT NULL            -- C2SP signed note of the log's end
    ) STRICT;
    CREATE TABLE models (
        digest BLOB PRIMARY KEY,
        integers BLOB NOT NULL        -- canonical parameters (specs/encoding.md)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE contributions (
        statement BLOB PRIMARY KEY,   -- digest of the statement
        file BLOB NOT NULL            -- the .wpf file
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE receipts (
        statement BLOB PRIMARY KEY,
        receipt BLOB NOT NULL         -- canonical signed receipt
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE movements (
        account BLOB NOT NULL,
        entry INTEGER NOT NULL,
        place INTEGER NOT NULL,       -- among the movements of its entry
        time INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        cause TEXT NOT NULL,
        PRIMARY KEY (account, entry, place)
    ) STRICT, WITHOUT ROWID;
"];

/// Name of the database in the data folder.
pub const DATABASE: &str = "node.sqlite";

fn fatal(action: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            StoreError::Corrupt(format!(
                "expected an undamaged database, found while trying to {action}: {error}"
            ))
        }
        _ => StoreError::Fatal { action, reason: error.to_string() },
    }
}

/// The writer's store.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    // Held as long as the store is open: a second node on the same folder is refused.
    _lock: File,
}

impl Sqlite {
    /// Opens the store in `folder`, makes it if there is none, and brings it to the present schema.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Newer`], [`StoreError::Fatal`].
    pub fn open(folder: &Path) -> Result<Sqlite, StoreError> {
        let lock = lock(folder)?;
        let path = folder.join(DATABASE);
        let mut connection = Connection::open(&path).map_err(fatal("open the database"))?;
        configure(&connection).map_err(fatal("configure the database"))?;
        migrate(&mut connection)?;
        limit_size(&connection)?;
        Ok(Sqlite { connection, path, _lock: lock })
    }

    /// Whether the log has an entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_begun(&self) -> Result<bool, StoreError> {
        self.connection
            .query_row("SELECT EXISTS (SELECT 1 FROM entries)", [], |row| row.get(0))
            .map_err(fatal("read the log"))
    }

    /// A reader beside this writer.
    ///
    /// # Errors
    /// [`StoreError::Fatal`].
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let failed = |error: std::io::Error| StoreError::Fatal {
        action: "lock the data folder",
        reason: error.to_string(),
    };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    // The system drops the lock with the process, however it ends: there are no stale ones.
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(folder.display().to_string())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // On systems where a flush does not reach the platter unless asked for.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Tests limit the database's size: SQLite then answers as on a full disk.
fn limit_size(connection: &Connection) -> Result<(), StoreError> {
    #[cfg(feature = "failpoints")]
    if let Some(pages) =
        std::env::var("WEIGHTPROOF_DATABASE_PAGES").ok().and_then(|text| text.parse::<u32>().ok())
    {
        connection.pragma_update(None, "max_page_count", pages).map_err(fatal("limit the database"))?;
    }
    let _ = connection;
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = fatal("bring the database to the present schema");
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&failed)?;
    if found > SCHEMA {
        return Err(StoreError::Newer { expected: SCHEMA, found });
    }
    for (version, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let transaction = connection.transaction().map_err(&failed)?;
        transaction.execute_batch(migration).map_err(&failed)?;
        transaction.pragma_update(None, "user_version", version as u32 + 1).map_err(&failed)?;
        point("migration");
        transaction.commit().map_err(&failed)?;
    }
    Ok(())
}

impl Store for Sqlite {
    fn load(
        &mut self,
        each: &mut dyn FnMut(u64, Vec<u8>) -> Result<(), Refusal>,
    ) -> Result<Option<String>, StoreError> {
        let failed = fatal("read the log");
        {
            let mut statement = self
                .connection
                .prepare("SELECT position, bytes FROM entries ORDER BY position")
                .map_err(&failed)?;
            let mut rows = statement.query([]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let (position, bytes) = (row.get(0).map_err(&failed)?, row.get(1).map_err(&failed)?);
                each(position, bytes).map_err(|refusal| StoreError::Corrupt(refusal.message))?;
            }
        }
        let note = self.connection.query_row("SELECT note FROM checkpoint", [], |row| row.get(0));
        note.optional().map_err(failed)
    }

    fn commit(&mut self, change: &Change) -> Result<(), StoreError> {
        let failed = fatal("write a change");
        point("before-change");
        let transaction = self.connection.transaction().map_err(&failed)?;
        transaction
            .prepare_cached("INSERT INTO entries (position, bytes) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute(params![change.index, change.entry]))
            .map_err(&failed)?;
        point("entry-written");
        for (digest, integers) in &change.models {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO models (digest, integers) VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute(params![digest, integers]))
                .map_err(&failed)?;
        }
        point("model-written");
        for digest in &change.dropped_models {
            transaction
                .prepare_cached("DELETE FROM models WHERE digest = ?1")
                .and_then(|mut delete| delete.execute(params![digest]))
                .map_err(&failed)?;
        }
        if let Some((statement, file)) = &change.contribution {
            transaction
                .prepare_cached("INSERT INTO contributions (statement, file) VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute(params![statement, file]))
                .map_err(&failed)?;
        }
        point("contribution-written");
        if let Some((statement, receipt)) = &change.receipt {
            transaction
                .prepare_cached("INSERT INTO receipts (statement, receipt) VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute(params![statement, receipt]))
                .map_err(&failed)?;
        }
        for (place, (account, amount, cause)) in change.movements.iter().enumerate() {
            transaction
                .prepare_cached(
                    "INSERT INTO movements (account, entry, place, time, amount, cause) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![account, change.index, place as i64, change.time as i64, amount, cause])
                })
                .map_err(&failed)?;
        }
        point("movements-written");
        transaction
            .prepare_cached("INSERT OR REPLACE INTO checkpoint (only, note) VALUES (0, ?1)")
            .and_then(|mut insert| insert.execute(params![change.checkpoint]))
            .map_err(&failed)?;
        point("before-commit");
        if let Some(reason) = failure("commit") {
            return Err(StoreError::Fatal { action: "write a change", reason });
        }
        transaction.commit().map_err(&failed)?;
        // A flush that fails after the bytes went out: the change is there, and nobody was told.
        if let Some(reason) = failure("flush") {
            return Err(StoreError::Fatal { action: "write a change", reason });
        }
        point("after-commit");
        Ok(())
    }

    fn model(&mut self, digest: &Id) -> Result<Option<Vec<u8>>, StoreError> {
        model(&self.connection, digest)
    }
}

fn model(connection: &Connection, digest: &Id) -> Result<Option<Vec<u8>>, StoreError> {
    connection
        .prepare_cached("SELECT integers FROM models WHERE digest = ?1")
        .and_then(|mut select| select.query_row([digest], |row| row.get(0)).optional())
        .map_err(fatal("read a model"))
}

/// One movement of an account's balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Index of the log entry.
    pub entry: u64,
    /// Unix seconds.
    pub time: u64,
    /// Positive for a credit.
    pub amount: i64,
    /// Why.
    pub cause: String,
}

/// A read-only connection, shared by the services.
#[derive(Debug)]
pub struct Reader {
    connection: Mutex<Connection>,
}

impl Reader {
    /// Opens the database for reading.
    ///
    /// # Errors
    /// [`StoreError::Fatal`].
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(fatal("open the database for reading"))?;
        connection
            .busy_timeout(std::time::Duration::from_secs(5))
            .map_err(fatal("open the database for reading"))?;
        Ok(Reader { connection: Mutex::new(connection) })
    }

    fn with<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        // A reader that panicked holds no half-made state: the connection only reads.
        let connection = self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        read(&connection).map_err(fatal(action))
    }

    /// Entries from `start` on, at most `count`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entries(&self, start: u64, count: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.with("read the log", |connection| {
            let mut select = connection.prepare_cached(
                "SELECT position, bytes FROM entries WHERE position >= ?1 ORDER BY position LIMIT ?2",
            )?;
            let rows = select
                .query_map(params![start as i64, count as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// The signed checkpoint of the log's end: a C2SP note. `None` before the first entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.with("read the checkpoint", |connection| {
            connection.query_row("SELECT note FROM checkpoint", [], |row| row.get(0)).optional()
        })
    }

    /// A model's canonical integers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn model(&self, digest: &Id) -> Result<Option<Vec<u8>>, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        model(&connection, digest)
    }

    /// The file of an accepted contribution.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn contribution(&self, statement: &Id) -> Result<Option<Vec<u8>>, StoreError> {
        self.with("read a contribution", |connection| {
            connection
                .prepare_cached("SELECT file FROM contributions WHERE statement = ?1")?
                .query_row([statement], |row| row.get(0))
                .optional()
        })
    }

    /// The signed receipt of a logged contribution.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipt(&self, statement: &Id) -> Result<Option<Vec<u8>>, StoreError> {
        self.with("read a receipt", |connection| {
            connection
                .prepare_cached("SELECT receipt FROM receipts WHERE statement = ?1")?
                .query_row([statement], |row| row.get(0))
                .optional()
        })
    }

    /// What moved an account's balance before entry `before`, newest first, at most `count`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn movements(&self, account: &Id, before: u64, count: u32) -> Result<Vec<Movement>, StoreError> {
        self.with("read movements", |connection| {
            let mut select = connection.prepare_cached(
                "SELECT entry, time, amount, cause FROM movements WHERE account = ?1 AND entry < ?2
                 ORDER BY entry DESC, place DESC LIMIT ?3",
            )?;
            let before = i64::try_from(before).unwrap_or(i64::MAX);
            let rows = select.query_map(params![account, before, count], |row| {
                Ok(Movement {
                    entry: row.get(0)?,
                    time: row.get(1)?,
                    amount: row.get(2)?,
                    cause: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Writes a consistent copy of the database to a new file, while the node runs.
    ///
    /// # Errors
    /// [`StoreError::Fatal`], also when the file exists.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.with("back the database up", |connection| {
            connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(index: u64) -> Change {
        Change {
            index,
            time: 7,
            entry: vec![index as u8; 3],
            checkpoint: format!("checkpoint {index}"),
            models: vec![([index as u8; 32], vec![1, 2])],
            dropped_models: vec![[index.wrapping_sub(1) as u8; 32]],
            contribution: Some(([index as u8; 32], vec![3])),
            receipt: Some(([index as u8; 32], vec![4])),
            movements: vec![([9; 32], index as i64 - 5, "reward".to_owned())],
        }
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(folder.path()).unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Locked(_))));
        for index in 0..3 {
            store.commit(&change(index)).unwrap();
        }
        drop(store);
        let mut store = Sqlite::open(folder.path()).unwrap();
        let mut entries = Vec::new();
        let note = store.load(&mut |position, bytes| {
            entries.push((position, bytes));
            Ok(())
        });
        assert_eq!(note.unwrap().unwrap(), "checkpoint 2");
        assert_eq!(entries, [(0, vec![0; 3]), (1, vec![1; 3]), (2, vec![2; 3])]);
        assert_eq!(store.model(&[2; 32]).unwrap(), Some(vec![1, 2]));
        assert_eq!(store.model(&[1; 32]).unwrap(), None);
        let reader = store.reader().unwrap();
        assert_eq!(reader.contribution(&[1; 32]).unwrap(), Some(vec![3]));
        assert_eq!(reader.receipt(&[3; 32]).unwrap(), None);
        let amounts: Vec<i64> = reader.movements(&[9; 32], 2, 10).unwrap().iter().map(|m| m.amount).collect();
        assert_eq!(amounts, [-4, -5]);
        assert_eq!(reader.entries(1, 1).unwrap(), [(1, vec![1; 3])]);
        let copy = folder.path().join("copy.sqlite");
        reader.backup(&copy).unwrap();
        assert!(reader.backup(&copy).is_err(), "a backup overwrites nothing");
        assert_eq!(Reader::open(&copy).unwrap().entries(0, 9).unwrap().len(), 3);
    }

    #[test]
    fn a_change_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(folder.path()).unwrap();
        store.commit(&change(0)).unwrap();
        // The second entry collides with the first: everything else of its change must be gone too.
        let mut twice = change(0);
        twice.models = vec![([77; 32], vec![1])];
        assert!(matches!(store.commit(&twice), Err(StoreError::Fatal { .. })));
        let mut late = change(1);
        late.contribution = Some(([0; 32], vec![9]));
        assert!(store.commit(&late).is_err());
        assert_eq!(store.model(&[77; 32]).unwrap(), None);
        assert_eq!(store.model(&[1; 32]).unwrap(), None);
        assert_eq!(store.reader().unwrap().entries(0, 9).unwrap().len(), 1);
    }

    #[test]
    fn a_newer_schema_is_refused_and_a_damaged_file_is_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        drop(Sqlite::open(folder.path()).unwrap());
        let path = folder.path().join(DATABASE);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Newer { found: 99, .. })));
        std::fs::write(&path, vec![0x5a; 8192]).unwrap();
        assert!(matches!(Sqlite::open(folder.path()), Err(StoreError::Corrupt(_))));
    }
}
