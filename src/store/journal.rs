//! The call journal on disk: `journal.sqlite` in the data directory, one row a call.
//!
//! A thread of its own encodes and writes what it is handed; what comes while it writes is written
//! together, the latest state of each call only. A disk that takes nothing (full, read-only) never
//! holds up a call: what could not be written waits, one state a call, and is tried again. A commit
//! is in the hands of the system at once, so that the end of the process loses nothing of it; a
//! loss of power may take the commits since the last checkpoint, never the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashSet;

use super::sqlite::{self, Durability, Schema, StoreError, classify};

/// Something that the journal's thread turns into octets.
pub trait Encode: Send + 'static {
    /// The record of a call, and what belongs to it.
    fn encode(&self) -> [Vec<u8>; 2];
}

/// What is to be written at once.
pub struct Batch {
    /// By number of the call; `None`: its row goes.
    pub calls: Vec<(u64, Option<Box<dyn Encode>>)>,
    /// Counters that a later process goes on with, by name.
    pub numbers: Vec<(&'static str, u64)>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} calls)", self.calls.len())
    }
}

/// What was written before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Identity of the relay: the one that was given, if there was none before.
    pub instance: String,
    /// Counters, by name.
    pub numbers: BTreeMap<String, u64>,
    /// By number: the record of the call, and what belongs to it.
    pub calls: Vec<(u64, [Vec<u8>; 2])>,
    /// Where a damaged file was moved.
    pub moved_aside: Option<PathBuf>,
}

/// The journal's file, with its thread. Dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct Journal {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

/// How the journal does.
#[derive(Debug, Default)]
struct State {
    behind: AtomicU64,
    errors: AtomicU64,
    written: AtomicU64,
}

/// A reading of how the journal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Calls whose latest state could not be written yet.
    pub behind: u64,
    /// Attempts to write that failed.
    pub errors: u64,
    /// Rows written and taken away.
    pub written: u64,
}

#[derive(Debug)]
enum Job {
    Write(Batch),
    /// Answered once all before it was tried; whether all is written.
    Flush(Sender<bool>),
}

impl Journal {
    /// Opens or makes `journal.sqlite` in this folder and reads it. A file that is damaged is moved
    /// aside, and another is made; `stamp` goes into its name. `instance` is the identity to begin
    /// with. No other process can open the file for as long as this one has it.
    ///
    /// # Errors
    /// The file cannot be used: a later version wrote it, another process has it, the disk takes
    /// nothing at all. The text says what to do.
    pub fn open(dir: &Path, instance: &str, stamp: u64) -> Result<(Self, Loaded), StoreError> {
        let path = dir.join(FILE_NAME);
        let mut aside = None;
        let (db, mut loaded) = match open(&path, instance) {
            Err(StoreError::Damaged { reason, .. }) => {
                let to = dir.join(format!("{FILE_NAME}.broken-{stamp}"));
                move_aside(&path, &to).map_err(|error| StoreError::Damaged {
                    path: path.clone(),
                    reason: format!("{reason}; it cannot be moved aside: {error}"),
                })?;
                aside = Some(to);
                open(&path, instance)
            }
            other => other,
        }?;
        loaded.moved_aside = aside;
        let state = Arc::new(State::default());
        let writer = Writer {
            db,
            path: path.clone(),
            stored: loaded.calls.iter().map(|(number, _)| *number).collect(),
            pending: BTreeMap::new(),
            numbers: BTreeMap::new(),
            state: Arc::clone(&state),
            warned: false,
        };
        let (queue, jobs) = bounded(QUEUE);
        let thread = Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&jobs))
            .map_err(|error| StoreError::Open {
                path,
                reason: error.to_string(),
            })?;
        let journal = Self {
            queue: Some(queue),
            thread: Some(thread),
            state,
        };
        Ok((journal, loaded))
    }

    /// Whether [`Self::write`] would take something now.
    pub fn has_room(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_full())
    }

    /// Hands changes over and returns at once.
    ///
    /// # Errors
    /// The batch, because too much waits already.
    pub fn write(&self, batch: Batch) -> Result<(), Batch> {
        let Some(queue) = &self.queue else {
            return Err(batch);
        };
        match queue.try_send(Job::Write(batch)) {
            Ok(()) => Ok(()),
            Err(error) => match error.into_inner() {
                Job::Write(batch) => Err(batch),
                Job::Flush(_) => Ok(()),
            },
        }
    }

    /// Waits until all that was handed over is written, for so long at most; whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, told) = bounded(1);
        let sent = self.queue.as_ref().map(|queue| {
            let job = Job::Flush(done);
            queue.send_timeout(job, patience)
        });
        sent.is_some_and(|sent| sent.is_ok()) && told.recv_timeout(patience).unwrap_or(false)
    }

    /// How it does.
    pub fn health(&self) -> Health {
        Health {
            behind: self.state.behind.load(Ordering::Relaxed),
            errors: self.state.errors.load(Ordering::Relaxed),
            written: self.state.written.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side.
#[derive(Debug)]
struct Writer {
    db: Connection,
    path: PathBuf,
    /// Numbers of the rows.
    stored: FxHashSet<u64>,
    /// What is not written yet: the latest state of each call; `None`: its row goes.
    pending: BTreeMap<u64, Option<[Vec<u8>; 2]>>,
    numbers: BTreeMap<&'static str, u64>,
    state: Arc<State>,
    /// The log knows that the disk takes nothing.
    warned: bool,
}

impl Writer {
    /// Takes what waits and commits it together; what fails is tried again now and then.
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match self.pending.is_empty() {
                true => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => jobs.recv_timeout(RETRY),
            };
            let first = match first {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut waiting = Vec::new();
            for job in first.into_iter().chain(jobs.try_iter().take(QUEUE)) {
                match job {
                    Job::Write(batch) => self.take(batch),
                    Job::Flush(done) => waiting.push(done),
                }
            }
            let good = self.write();
            for done in waiting {
                // Whoever asked may have given up.
                let _ = done.send(good);
            }
        }
        if !self.pending.is_empty() {
            self.write();
        }
    }

    fn take(&mut self, batch: Batch) {
        for (number, call) in batch.calls {
            match call {
                Some(call) => drop(self.pending.insert(number, Some(call.encode()))),
                None if self.stored.contains(&number) => drop(self.pending.insert(number, None)),
                None => drop(self.pending.remove(&number)),
            }
        }
        self.numbers.extend(batch.numbers);
    }

    /// Writes what is pending; whether nothing is left.
    fn write(&mut self) -> bool {
        match self.commit() {
            Ok(()) => {
                let count = self.pending.len() as u64;
                for (number, call) in std::mem::take(&mut self.pending) {
                    match call {
                        Some(_) => self.stored.insert(number),
                        None => self.stored.remove(&number),
                    };
                }
                self.state.written.fetch_add(count, Ordering::Relaxed);
                self.state.behind.store(0, Ordering::Relaxed);
                if std::mem::take(&mut self.warned) {
                    tracing::info!("the call journal is written again");
                }
                true
            }
            Err(error) => {
                let behind = self.pending.len() as u64;
                self.state.errors.fetch_add(1, Ordering::Relaxed);
                self.state.behind.store(behind, Ordering::Relaxed);
                if !std::mem::replace(&mut self.warned, true) {
                    let error = classify(&self.path, &error);
                    tracing::warn!(
                        %error, behind,
                        "the call journal cannot be written; calls go on, and it is tried again"
                    );
                }
                false
            }
        }
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        let transaction = self.db.transaction()?;
        {
            let mut put = transaction.prepare_cached(PUT)?;
            let mut delete = transaction.prepare_cached("DELETE FROM call WHERE number = ?1")?;
            for (number, call) in &self.pending {
                match call {
                    Some([record, extra]) => {
                        put.execute(params![signed(*number), record, extra])?;
                    }
                    None => drop(delete.execute([signed(*number)])?),
                }
            }
            let mut number = transaction.prepare_cached(NUMBER)?;
            for (name, value) in &self.numbers {
                number.execute(params![name, signed(*value)])?;
            }
        }
        transaction.commit()
    }
}

fn open(path: &Path, instance: &str) -> Result<(Connection, Loaded), StoreError> {
    let db = sqlite::open_with(path, SCHEMA, Durability::Process)?;
    let failed = |error| classify(path, &error);
    let kept = db
        .query_row("SELECT instance FROM relay", [], |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let instance = match kept {
        Some(instance) => instance,
        None => {
            db.execute("INSERT INTO relay VALUES (1, ?1)", [instance])
                .map_err(failed)?;
            instance.to_owned()
        }
    };
    let loaded = load(&db, instance).map_err(failed)?;
    Ok((db, loaded))
}

fn load(db: &Connection, instance: String) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded {
        instance,
        ..Loaded::default()
    };
    let mut select = db.prepare("SELECT name, value FROM number")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        loaded.numbers.insert(row.get(0)?, unsigned(row.get(1)?));
    }
    let mut select = db.prepare("SELECT number, record, extra FROM call ORDER BY number")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let call = [row.get(1)?, row.get(2)?];
        loaded.calls.push((unsigned(row.get(0)?), call));
    }
    Ok(loaded)
}

/// The file, with what SQLite has beside it.
fn move_aside(path: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(path, to)?;
    for rest in ["-wal", "-shm"] {
        let [mut path, mut to] = [path, to].map(|path| path.as_os_str().to_owned());
        path.push(rest);
        to.push(rest);
        // Not every file has them.
        let _ = std::fs::rename(path, to);
    }
    Ok(())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

const FILE_NAME: &str = "journal.sqlite";
/// Batches that may wait.
const QUEUE: usize = 16;
/// After a write that failed.
const RETRY: Duration = Duration::from_millis(500);

const SCHEMA: Schema = Schema {
    application: 0x4857_4a4c, // "HWJL"
    steps: &["CREATE TABLE call (
            number INTEGER PRIMARY KEY,
            record BLOB NOT NULL, -- of the session core
            extra BLOB NOT NULL   -- where its mirrors go
        ) STRICT;
        CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE relay (only INTEGER PRIMARY KEY CHECK (only = 1), instance TEXT NOT NULL)
            STRICT;"],
};

const PUT: &str = "INSERT INTO call VALUES (?1, ?2, ?3) ON CONFLICT (number) \
                   DO UPDATE SET record = excluded.record, extra = excluded.extra";
const NUMBER: &str = "INSERT INTO number VALUES (?1, ?2) ON CONFLICT (name) \
                      DO UPDATE SET value = max(value, excluded.value)";

#[cfg(test)]
mod tests;
