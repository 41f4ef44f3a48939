//! Opening a database: safe modes, private files, known schema, errors that tell what to do.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};
use thiserror::Error;

/// What went wrong with a database. Every text names the file and what can be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file or its folder cannot be used.
    #[error("{path} cannot be opened: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is damaged, or no database.
    #[error(
        "{path} is damaged or no database ({reason}): move it away together with its -wal and \
         -shm files, and restore a backup or start without what was in it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The file belongs to something else.
    #[error("{path} is a database, but not one of ours: choose another data_dir")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version.
    #[error(
        "{path} was written by a later version of homeward (schema {found}, this one knows \
         {known}): run that version, or restore the backup from before it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest that we know.
        known: i64,
    },
    /// A write failed; nothing of it was stored.
    #[error("{path} cannot be written ({reason}): {advice}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
        /// What can be done.
        advice: &'static str,
    },
    /// Too many writes wait, or the store has stopped.
    #[error("the store is busy or has stopped")]
    Busy,
}

/// Which kind of database a file must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    /// Marks our files (`PRAGMA application_id`).
    pub(super) application: i64,
    /// Statements that lead from each version to the next; version 0 is an empty file.
    pub(super) steps: &'static [&'static str],
}

/// What committed data survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// A loss of power.
    Power,
    /// The end of the process. The file is of one process alone, which holds it locked.
    Process,
}

/// Opens or makes a database with mode 0600, in WAL mode with full synchronisation, so that what
/// is committed survives a loss of power.
pub(super) fn open(path: &Path, schema: Schema) -> Result<Connection, StoreError> {
    open_with(path, schema, Durability::Power)
}

/// The same, where what is committed survives this.
pub(super) fn open_with(
    path: &Path,
    schema: Schema,
    durability: Durability,
) -> Result<Connection, StoreError> {
    private_file(path).map_err(|error| StoreError::Open {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let failed = |error| classify(path, &error);
    let mut db = Connection::open(path).map_err(failed)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let (locking, synchronous) = match durability {
        Durability::Power => ("NORMAL", "FULL"),
        Durability::Process => ("EXCLUSIVE", "NORMAL"),
    };
    db.pragma_update(None, "locking_mode", locking)
        .map_err(failed)?;
    check_kind(&db, path, schema)?;
    db.pragma_update(None, "journal_mode", "WAL")
        .map_err(failed)?;
    db.pragma_update(None, "synchronous", synchronous)
        .map_err(failed)?;
    let sound: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if sound != "ok" {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: sound,
        });
    }
    migrate(&mut db, path, schema)?;
    Ok(db)
}

/// Says what an error of SQLite means for the operator.
pub(super) fn classify(path: &Path, error: &rusqlite::Error) -> StoreError {
    let (path, reason) = (path.to_owned(), error.to_string());
    let write = |path, reason, advice| StoreError::Write {
        path,
        reason,
        advice,
    };
    let code = error.sqlite_error_code();
    if matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    ) {
        return StoreError::Damaged { path, reason };
    }
    if code == Some(ErrorCode::DiskFull) {
        return write(path, reason, "make room on its disk");
    }
    if matches!(
        code,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    ) {
        return write(path, reason, "make the file and its folder writable");
    }
    if matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    ) {
        return write(path, reason, "end the other program that holds it locked");
    }
    if code == Some(ErrorCode::CannotOpen) {
        return StoreError::Open { path, reason };
    }
    write(path, reason, "check the disk and the system's log")
}

/// Makes the folder (0700) and the file (0600) if they are absent; takes away what others may do.
fn private_file(path: &Path) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).mode(0o600);
    let file = options.open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn check_kind(db: &Connection, path: &Path, schema: Schema) -> Result<(), StoreError> {
    let failed = |error| classify(path, &error);
    let application = pragma(db, "application_id").map_err(failed)?;
    let found = pragma(db, "user_version").map_err(failed)?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let empty = application == 0 && found == 0 && tables == 0;
    if application != schema.application && !empty {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
        });
    }
    let known = version(schema.steps.len());
    if found > known {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok(())
}

/// Each step is one transaction, its version included.
fn migrate(db: &mut Connection, path: &Path, schema: Schema) -> Result<(), StoreError> {
    let failed = |error| classify(path, &error);
    let found = pragma(db, "user_version").map_err(failed)?;
    let done = usize::try_from(found).unwrap_or(0);
    for (place, step) in schema.steps.iter().enumerate().skip(done) {
        let transaction = db.transaction().map_err(failed)?;
        transaction.execute_batch(step).map_err(failed)?;
        transaction
            .pragma_update(None, "application_id", schema.application)
            .map_err(failed)?;
        transaction
            .pragma_update(None, "user_version", version(place + 1))
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

fn pragma(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, name, |row| row.get(0))
}

fn version(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}

const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
