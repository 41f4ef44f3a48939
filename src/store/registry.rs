//! The registry of migrated users on disk: `registry.sqlite` in the data directory.
//!
//! [`Store::open`] gives all records that are open, and the last ones that have ended.
//! [`Store::put`] stores the records of one change, all or none, and tells when they are durable.
//! Ended records stay in the database as history until [`Store::prune`] takes the old ones.

mod words;

use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};
use rusqlite::{Connection, Row, Transaction, params};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use tokio::sync::oneshot;

use super::sqlite::{self, Schema, classify};
use crate::migration::identity::{McId, SystemName};
use crate::migration::record::{Record, RecordId, Standing, Trigger};
use crate::migration::telling::Told;
use crate::wire::time::Timestamp;

pub use super::sqlite::StoreError;

/// The registry's database, with its thread. Dropping it commits what waits and ends the thread.
#[derive(Debug)]
pub struct Store {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What was stored before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Records by number: all open ones, and the last ended ones.
    pub records: Vec<Record>,
    /// The first number that was never used.
    pub next_id: u64,
    /// What primaries have said of these records.
    pub words: Vec<Word>,
}

/// A primary's last word on a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The record.
    pub record: RecordId,
    /// The primary of its user.
    pub primary_system: SystemName,
    /// What it said.
    pub told: Told,
    /// The record has not changed since.
    pub current: bool,
}

impl Store {
    /// Opens or makes `registry.sqlite` in this folder and reads it: of ended records at most
    /// `ended`, the latest. `now` tells which have ended.
    ///
    /// # Errors
    /// The file cannot be used; the text says which, and what to do.
    pub fn open(dir: &Path, ended: usize, now: Timestamp) -> Result<(Self, Loaded), StoreError> {
        let path = dir.join(FILE_NAME);
        let db = sqlite::open(&path, SCHEMA)?;
        let loaded = load(&db, &path, ended, now)?;
        let (queue, jobs) = bounded(QUEUE);
        let writer = Writer {
            db,
            path: path.clone(),
        };
        let thread = Builder::new()
            .name("registry".into())
            .spawn(move || writer.run(&jobs))
            .map_err(|error| StoreError::Open {
                path,
                reason: error.to_string(),
            })?;
        let store = Self {
            queue: Some(queue),
            thread: Some(thread),
        };
        Ok((store, loaded))
    }

    /// Stores records, all or none; those with a known number replace what was stored. What the
    /// receiver gives is true when it gives it: stored durably, or not at all.
    ///
    /// # Errors
    /// Too many writes wait already; nothing was stored.
    pub fn put(&self, records: Vec<Record>) -> Result<Stored, StoreError> {
        self.send(|done| Job::Put { records, done })
    }

    /// Keeps what the primary has said of a record as it is now. Only an answer is kept
    /// ([`Told::Accepted`], [`Told::Refused`]).
    ///
    /// # Errors
    /// Too many writes wait already.
    pub fn put_word(&self, record: RecordId, told: Told) -> Result<Stored, StoreError> {
        self.send(|done| Job::Word { record, told, done })
    }

    /// Deletes records that ended before this moment.
    ///
    /// # Errors
    /// Too many writes wait already.
    pub fn prune(&self, ended_before: Timestamp) -> Result<Stored, StoreError> {
        self.send(|done| Job::Prune { ended_before, done })
    }

    fn send(&self, job: impl FnOnce(Done) -> Job) -> Result<Stored, StoreError> {
        let (done, stored) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Busy)?;
        queue.try_send(job(done)).map_err(|_| StoreError::Busy)?;
        Ok(Stored(stored))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether a write has become durable.
#[derive(Debug)]
pub struct Stored(oneshot::Receiver<Result<(), StoreError>>);

impl Stored {
    /// Waits for the commit.
    ///
    /// # Errors
    /// It failed, and nothing was stored.
    pub async fn wait(self) -> Result<(), StoreError> {
        self.0.await.unwrap_or(Err(StoreError::Busy))
    }

    /// The same for threads outside of an async runtime.
    ///
    /// # Errors
    /// It failed, and nothing was stored.
    pub fn wait_blocking(self) -> Result<(), StoreError> {
        self.0.blocking_recv().unwrap_or(Err(StoreError::Busy))
    }
}

type Done = oneshot::Sender<Result<(), StoreError>>;

#[derive(Debug)]
enum Job {
    Put {
        records: Vec<Record>,
        done: Done,
    },
    Word {
        record: RecordId,
        told: Told,
        done: Done,
    },
    Prune {
        ended_before: Timestamp,
        done: Done,
    },
}

/// The thread's side.
#[derive(Debug)]
struct Writer {
    db: Connection,
    path: PathBuf,
}

impl Writer {
    /// Takes what waits, commits it together, tells everybody.
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let more = jobs.try_iter().take(BATCH - 1);
            let batch: Vec<Job> = std::iter::once(first).chain(more).collect();
            let result = self
                .commit(&batch)
                .map_err(|error| classify(&self.path, &error));
            for job in batch {
                let (Job::Put { done, .. } | Job::Word { done, .. } | Job::Prune { done, .. }) =
                    job;
                // Nobody may be waiting any more.
                let _ = done.send(result.clone());
            }
        }
    }

    fn commit(&mut self, batch: &[Job]) -> rusqlite::Result<()> {
        let transaction = self.db.transaction()?;
        for job in batch {
            match job {
                Job::Put { records, .. } => put(&transaction, records)?,
                Job::Word { record, told, .. } => words::put(&transaction, *record, told)?,
                Job::Prune { ended_before, .. } => prune(&transaction, *ended_before)?,
            }
        }
        transaction.commit()
    }
}

fn put(transaction: &Transaction<'_>, records: &[Record]) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(INSERT)?;
    let mut number = transaction.prepare_cached(NEXT_ID)?;
    for record in records {
        let aliases: Vec<&str> = record.functional_aliases.iter().map(McId::as_str).collect();
        insert.execute(params![
            signed(record.id.0),
            record.service.as_str(),
            record.primary_id.as_str(),
            record.partner_id.as_str(),
            record.primary_system.as_str(),
            // An ID has no white space, so this needs no quoting.
            aliases.join(" "),
            trigger_name(record.trigger),
            record.profile_index,
            signed(record.since.nanos()),
            record.until.map(|until| signed(until.nanos())),
            record.standing.failure(),
        ])?;
        number.execute([signed(record.id.0.saturating_add(1))])?;
        words::outdate(transaction, record.id)?;
    }
    Ok(())
}

fn prune(transaction: &Transaction<'_>, ended_before: Timestamp) -> rusqlite::Result<()> {
    words::prune(transaction, ended_before)?;
    let mut delete = transaction.prepare_cached("DELETE FROM migration WHERE until < ?1")?;
    delete.execute([signed(ended_before.nanos())]).map(|_| ())
}

fn load(db: &Connection, path: &Path, ended: usize, now: Timestamp) -> Result<Loaded, StoreError> {
    let failed = |error| classify(path, &error);
    let ended = i64::try_from(ended).unwrap_or(i64::MAX);
    let mut select = db.prepare(SELECT).map_err(failed)?;
    let rows = select
        .query_map(params![signed(now.nanos()), ended], |row| Ok(record(row)))
        .map_err(failed)?;
    let mut records = Vec::new();
    for row in rows {
        let record = row.map_err(failed)?.map_err(|reason| StoreError::Damaged {
            path: path.to_owned(),
            reason,
        })?;
        records.push(record);
    }
    let next: i64 = db
        .query_row("SELECT next_id FROM counter", [], |row| row.get(0))
        .map_err(failed)?;
    Ok(Loaded {
        words: words::load(db, path, &records)?,
        records,
        next_id: unsigned(next),
    })
}

/// A row as a record; the error says which row and which column is not what we wrote.
fn record(row: &Row<'_>) -> Result<Record, String> {
    let id: i64 = row.get(0).map_err(|error| error.to_string())?;
    let wrong = |error: String| format!("migration {id}: {error}");
    let text = |column: usize| -> Result<String, String> {
        row.get(column).map_err(|error| wrong(error.to_string()))
    };
    let aliases = text(5)?;
    let aliases = aliases.split_whitespace().map(str::parse::<McId>);
    let until: Option<i64> = row.get(9).map_err(|error| wrong(error.to_string()))?;
    let failed: Option<String> = row.get(10).map_err(|error| wrong(error.to_string()))?;
    let bad = |error: crate::migration::identity::IdentityError| wrong(error.to_string());
    Ok(Record {
        id: RecordId(unsigned(id)),
        service: text(1)?.parse().map_err(bad)?,
        primary_id: text(2)?.parse().map_err(bad)?,
        partner_id: text(3)?.parse().map_err(bad)?,
        primary_system: text(4)?.parse().map_err(bad)?,
        functional_aliases: aliases.collect::<Result<_, _>>().map_err(bad)?,
        trigger: trigger(&text(6)?).map_err(wrong)?,
        profile_index: row.get(7).map_err(|error| wrong(error.to_string()))?,
        standing: match failed {
            Some(reason) => Standing::Failed { reason },
            None => Standing::Authorised,
        },
        since: Timestamp::from_nanos(unsigned(
            row.get(8).map_err(|error| wrong(error.to_string()))?,
        )),
        until: until.map(|until| Timestamp::from_nanos(unsigned(until))),
    })
}

const fn trigger_name(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Client => "client",
        Trigger::PrimarySystem => "primary-system",
    }
}

fn trigger(name: &str) -> Result<Trigger, String> {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    Trigger::deserialize(name).map_err(|error| error.to_string())
}

/// SQLite has signed integers only; later than the year 2262 is as late as it gets.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

const FILE_NAME: &str = "registry.sqlite";
/// Writes that may wait.
const QUEUE: usize = 1_024;
/// Writes that are committed together at most.
const BATCH: usize = 256;

const SCHEMA: Schema = Schema {
    application: 0x4857_5247, // "HWRG"
    steps: &[
        "CREATE TABLE migration (
            id INTEGER PRIMARY KEY,
            service TEXT NOT NULL,
            primary_id TEXT NOT NULL,
            partner_id TEXT NOT NULL,
            primary_system TEXT NOT NULL,
            functional_aliases TEXT NOT NULL, -- separated by spaces
            trigger_by TEXT NOT NULL,
            profile_index INTEGER,
            since INTEGER NOT NULL,           -- nanoseconds since 1970
            until INTEGER                     -- the same; null: not ended
        ) STRICT;
        CREATE INDEX migration_until ON migration (until);
        CREATE TABLE counter (only INTEGER PRIMARY KEY CHECK (only = 1), next_id INTEGER NOT NULL)
            STRICT;
        INSERT INTO counter VALUES (1, 1);",
        // Why the migration failed; null: it was authorised.
        "ALTER TABLE migration ADD COLUMN failed TEXT;",
        // What the primary has said of a record, and whether of the record as it is now.
        "CREATE TABLE word (
            record INTEGER PRIMARY KEY,
            told TEXT NOT NULL,
            reason TEXT,
            current INTEGER NOT NULL
        ) STRICT;",
    ],
};

const INSERT: &str = "INSERT OR REPLACE INTO migration VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, \
                      ?9, ?10, ?11)";
const NEXT_ID: &str = "UPDATE counter SET next_id = max(next_id, ?1)";
const SELECT: &str = "SELECT * FROM migration WHERE until IS NULL OR until > ?1 \
                      UNION ALL \
                      SELECT * FROM (SELECT * FROM migration WHERE until <= ?1 \
                                     ORDER BY until DESC LIMIT ?2) \
                      ORDER BY id";

#[cfg(test)]
mod tests;
