//! Index of a logger: calls, parties, aliases, streams, recordings, and where in the archive each
//! call's packets lie.
//!
//! Everything in it comes from the archive's segments, so that it can be made again from them. It
//! is written in batches, each one transaction that also moves [`Index::positions`] on: what stands
//! behind a segment's position has not been indexed. Operators may query the file with `sqlite3`.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use thiserror::Error;

use crate::wire::block::{CallInfo, StreamInfo};
use crate::wire::time::Timestamp;

/// What went wrong with the index.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// SQLite says no.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file is damaged, or no index.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// A later version of this program made it.
    #[error("the index has version {0}, this program knows {SCHEMA_VERSION}")]
    Newer(i64),
}

/// Identity of a call in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Epoch of the logger process that received it.
    pub epoch: u128,
    /// Number within the epoch.
    pub call: u64,
}

/// Blocks of a segment with packets of a call: octets from `start` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// Number of the segment.
    pub segment: u64,
    /// Where the first block begins.
    pub start: u64,
    /// Where the last block ends.
    pub end: u64,
}

/// A stream of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRow {
    /// What is known of it.
    pub info: StreamInfo,
    /// Packets that were given an index, once that is known.
    pub packets: Option<u64>,
    /// Packets declared missing.
    pub gaps: u64,
}

/// A call, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// Its identity.
    pub id: CallId,
    /// Instance of the relay that mirrored it.
    pub relay: String,
    /// Number of the mirror there.
    pub mirror: u64,
    /// What is known of it.
    pub info: CallInfo,
    /// When the mirror began.
    pub opened: Timestamp,
    /// When it ended, if it had an orderly end.
    pub closed: Option<Timestamp>,
    /// By number within the epoch.
    pub streams: BTreeMap<u64, StreamRow>,
    /// Where its packets lie, ascending.
    pub extents: Vec<Extent>,
    /// The recording, once made.
    pub recording: Option<RecordingRow>,
}

/// A recording that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRow {
    /// The file, relative to the directory of recordings.
    pub path: String,
    /// Packets in it.
    pub packets: u64,
    /// RTP packets missing by sequence number.
    pub lost: u64,
    /// Whether the call had no orderly end.
    pub incomplete: bool,
}

/// The open index.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
}

impl Index {
    /// Opens the index, or makes an empty one.
    ///
    /// # Errors
    /// [`IndexError`]; after `Damaged` the file is of no use and can be moved aside.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let connection = Connection::open(path)?;
        let check = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        let check: String = check.map_err(|error| IndexError::Damaged(error.to_string()))?;
        if check != "ok" {
            return Err(IndexError::Damaged(check));
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => connection.execute_batch(SCHEMA)?,
            SCHEMA_VERSION => {}
            newer if newer > SCHEMA_VERSION => return Err(IndexError::Newer(newer)),
            other => return Err(IndexError::Damaged(format!("schema version {other}"))),
        }
        Ok(Self { connection })
    }

    /// Opens the index that a running logger writes, to read only.
    ///
    /// # Errors
    /// It is absent, or of another version.
    pub fn read_only(path: &Path) -> Result<Self, IndexError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            SCHEMA_VERSION => Ok(Self { connection }),
            newer if newer > SCHEMA_VERSION => Err(IndexError::Newer(newer)),
            other => Err(IndexError::Damaged(format!("schema version {other}"))),
        }
    }

    /// How far each segment is indexed, in octets.
    ///
    /// # Errors
    /// SQLite says no.
    pub fn positions(&self) -> Result<BTreeMap<u64, u64>, IndexError> {
        let mut query = self
            .connection
            .prepare("SELECT number, position FROM segments")?;
        let rows = query.query_map([], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes a batch, all or nothing: calls as they are now, and how far segments are indexed.
    ///
    /// # Errors
    /// SQLite says no (the disk is full, say); nothing was written.
    pub fn write<'a>(
        &mut self,
        calls: impl IntoIterator<Item = &'a CallRow>,
        positions: impl IntoIterator<Item = (u64, u64)>,
    ) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        for call in calls {
            write_call(&transaction, call)?;
        }
        for (segment, position) in positions {
            let sql = "INSERT INTO segments VALUES (?1, ?2)
                       ON CONFLICT (number) DO UPDATE SET position = ?2";
            let mut statement = transaction.prepare_cached(sql)?;
            statement.execute(params![signed(segment), signed(position)])?;
        }
        Ok(transaction.commit()?)
    }

    /// Calls whose recording has not been made.
    ///
    /// # Errors
    /// SQLite says no, or a row holds what this program did not write.
    pub fn unrecorded(&self) -> Result<Vec<CallRow>, IndexError> {
        let sql = "SELECT id FROM calls WHERE id NOT IN (SELECT call FROM recordings) ORDER BY id";
        let mut query = self.connection.prepare(sql)?;
        let rows = query.query_map([], |row| row.get(0))?;
        let ids: Vec<i64> = rows.collect::<Result<_, _>>()?;
        ids.into_iter().map(|id| self.load(id)).collect()
    }

    /// The latest calls, newest first.
    ///
    /// # Errors
    /// As [`Index::unrecorded`].
    pub fn latest(&self, limit: u32) -> Result<Vec<CallRow>, IndexError> {
        let mut query = self
            .connection
            .prepare("SELECT id FROM calls ORDER BY opened DESC, id DESC LIMIT ?1")?;
        let rows = query.query_map([limit], |row| row.get(0))?;
        let ids: Vec<i64> = rows.collect::<Result<_, _>>()?;
        ids.into_iter().map(|id| self.load(id)).collect()
    }

    /// The latest calls that have a recording, newest first.
    ///
    /// # Errors
    /// As [`Index::unrecorded`].
    pub fn recorded(&self, limit: u32) -> Result<Vec<CallRow>, IndexError> {
        let mut query = self.connection.prepare(
            "SELECT id FROM calls WHERE id IN (SELECT call FROM recordings)
             ORDER BY opened DESC, id DESC LIMIT ?1",
        )?;
        let rows = query.query_map([limit], |row| row.get(0))?;
        let ids: Vec<i64> = rows.collect::<Result<_, _>>()?;
        ids.into_iter().map(|id| self.load(id)).collect()
    }

    /// A call by its identity.
    ///
    /// # Errors
    /// As [`Index::unrecorded`].
    pub fn call(&self, id: CallId) -> Result<Option<CallRow>, IndexError> {
        let sql = "SELECT id FROM calls WHERE epoch = ?1 AND call = ?2";
        let mut query = self.connection.prepare(sql)?;
        let found = query.query_row(params![epoch(id), signed(id.call)], |row| row.get(0));
        found.optional()?.map(|row| self.load(row)).transpose()
    }

    fn load(&self, id: i64) -> Result<CallRow, IndexError> {
        let sql =
            "SELECT epoch, call, relay, mirror, info, opened, closed FROM calls WHERE id = ?1";
        let mut query = self.connection.prepare_cached(sql)?;
        let mut call = query.query_row([id], |row| {
            let epoch: [u8; 16] = row.get(0)?;
            let closed: Option<i64> = row.get(6)?;
            Ok(CallRow {
                id: CallId {
                    epoch: u128::from_be_bytes(epoch),
                    call: unsigned(row, 1)?,
                },
                relay: row.get(2)?,
                mirror: unsigned(row, 3)?,
                info: json(row, 4)?,
                opened: Timestamp::from_nanos(unsigned(row, 5)?),
                closed: closed.map(|at| Timestamp::from_nanos(at.cast_unsigned())),
                streams: BTreeMap::new(),
                extents: Vec::new(),
                recording: None,
            })
        })?;
        call.streams = self.streams(id)?;
        call.extents = self.extents(id)?;
        call.recording = self.recording(id)?;
        Ok(call)
    }

    fn streams(&self, call: i64) -> Result<BTreeMap<u64, StreamRow>, IndexError> {
        let sql = "SELECT number, info, packets, gaps FROM streams WHERE call = ?1";
        let mut query = self.connection.prepare_cached(sql)?;
        let rows = query.query_map([call], |row| {
            let packets: Option<i64> = row.get(2)?;
            let stream = StreamRow {
                info: json(row, 1)?,
                packets: packets.map(i64::cast_unsigned),
                gaps: unsigned(row, 3)?,
            };
            Ok((unsigned(row, 0)?, stream))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn extents(&self, call: i64) -> Result<Vec<Extent>, IndexError> {
        let sql = "SELECT segment, start, end FROM extents WHERE call = ?1 ORDER BY segment, start";
        let mut query = self.connection.prepare_cached(sql)?;
        let rows = query.query_map([call], |row| {
            Ok(Extent {
                segment: unsigned(row, 0)?,
                start: unsigned(row, 1)?,
                end: unsigned(row, 2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn recording(&self, call: i64) -> Result<Option<RecordingRow>, IndexError> {
        let sql = "SELECT path, packets, lost, incomplete FROM recordings WHERE call = ?1";
        let mut query = self.connection.prepare_cached(sql)?;
        let row = query.query_row([call], |row| {
            Ok(RecordingRow {
                path: row.get(0)?,
                packets: unsigned(row, 1)?,
                lost: unsigned(row, 2)?,
                incomplete: row.get(3)?,
            })
        });
        Ok(row.optional()?)
    }
}

/// Writes a call and all that belongs to it.
fn write_call(to: &Transaction<'_>, call: &CallRow) -> Result<(), IndexError> {
    let sql = "INSERT INTO calls (epoch, call, relay, mirror, call_id, service, session_type,
                   group_id, emergency, info, opened, closed)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
               ON CONFLICT (epoch, call) DO UPDATE SET call_id = ?5, service = ?6,
                   session_type = ?7, group_id = ?8, emergency = ?9, info = ?10, closed = ?12
               RETURNING id";
    let info = &call.info;
    let values = params![
        epoch(call.id),
        signed(call.id.call),
        call.relay,
        signed(call.mirror),
        info.call_id,
        info.service,
        info.session_type,
        info.group,
        info.emergency,
        to_json(info)?,
        signed(call.opened.nanos()),
        call.closed.map(|at| signed(at.nanos())),
    ];
    let id: i64 = to
        .prepare_cached(sql)?
        .query_row(values, |row| row.get(0))?;
    write_parties(to, id, info)?;
    for (number, stream) in &call.streams {
        let sql = "INSERT INTO streams VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (call, number) DO UPDATE SET info = ?3, packets = ?4, gaps = ?5";
        to.prepare_cached(sql)?.execute(params![
            id,
            signed(*number),
            to_json(&stream.info)?,
            stream.packets.map(signed),
            signed(stream.gaps),
        ])?;
    }
    for extent in &call.extents {
        let sql = "INSERT INTO extents VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (call, segment, start) DO UPDATE SET end = ?4";
        let (segment, start, end) = (extent.segment, extent.start, extent.end);
        to.prepare_cached(sql)?.execute(params![
            id,
            signed(segment),
            signed(start),
            signed(end)
        ])?;
    }
    if let Some(made) = &call.recording {
        let sql = "INSERT OR REPLACE INTO recordings VALUES (?1, ?2, ?3, ?4, ?5)";
        let (packets, lost) = (signed(made.packets), signed(made.lost));
        to.prepare_cached(sql)?
            .execute(params![id, made.path, packets, lost, made.incomplete])?;
    }
    Ok(())
}

/// Replaces parties and aliases of a call.
fn write_parties(to: &Transaction<'_>, id: i64, info: &CallInfo) -> Result<(), IndexError> {
    to.prepare_cached("DELETE FROM parties WHERE call = ?1")?
        .execute([id])?;
    to.prepare_cached("DELETE FROM aliases WHERE call = ?1")?
        .execute([id])?;
    for party in &info.parties {
        let sql = "INSERT INTO parties VALUES (?1, ?2, ?3, ?4, ?5)";
        let (partner, primary) = (&party.partner_id, &party.primary_id);
        to.prepare_cached(sql)?.execute(params![
            id,
            party.tag,
            partner,
            primary,
            party.migrated
        ])?;
        if let Some(alias) = &party.functional_alias {
            let sql = "INSERT OR IGNORE INTO aliases VALUES (?1, ?2)";
            to.prepare_cached(sql)?.execute(params![id, alias])?;
        }
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> Result<String, IndexError> {
    serde_json::to_string(value).map_err(|error| IndexError::Damaged(error.to_string()))
}

fn json<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<T> {
    let text: String = row.get(at)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// SQLite has signed integers only; bits are kept.
fn signed(value: u64) -> i64 {
    value.cast_signed()
}

fn unsigned(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(at)?.cast_unsigned())
}

fn epoch(id: CallId) -> [u8; 16] {
    id.epoch.to_be_bytes()
}

/// Version of the tables below.
const SCHEMA_VERSION: i64 = 1;

/// The tables. Times are nanoseconds since the Unix epoch.
const SCHEMA: &str = "
BEGIN;
CREATE TABLE segments (number INTEGER PRIMARY KEY, position INTEGER NOT NULL);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, epoch BLOB NOT NULL, call INTEGER NOT NULL, relay TEXT NOT NULL,
    mirror INTEGER NOT NULL, call_id TEXT NOT NULL, service TEXT, session_type TEXT, group_id TEXT,
    emergency INTEGER NOT NULL, info TEXT NOT NULL, opened INTEGER NOT NULL, closed INTEGER,
    UNIQUE (epoch, call));
CREATE INDEX calls_call_id ON calls (call_id);
CREATE INDEX calls_opened ON calls (opened);
CREATE TABLE parties (
    call INTEGER NOT NULL REFERENCES calls, tag TEXT NOT NULL, partner_id TEXT, primary_id TEXT,
    migrated INTEGER NOT NULL);
CREATE INDEX parties_call ON parties (call);
CREATE INDEX parties_primary_id ON parties (primary_id);
CREATE INDEX parties_partner_id ON parties (partner_id);
CREATE TABLE aliases (
    call INTEGER NOT NULL REFERENCES calls, alias TEXT NOT NULL, PRIMARY KEY (alias, call));
CREATE INDEX aliases_call ON aliases (call);
CREATE TABLE streams (
    call INTEGER NOT NULL REFERENCES calls, number INTEGER NOT NULL, info TEXT NOT NULL,
    packets INTEGER, gaps INTEGER NOT NULL, PRIMARY KEY (call, number));
CREATE TABLE extents (
    call INTEGER NOT NULL REFERENCES calls, segment INTEGER NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, PRIMARY KEY (call, segment, start));
CREATE TABLE recordings (
    call INTEGER PRIMARY KEY REFERENCES calls, path TEXT NOT NULL, packets INTEGER NOT NULL,
    lost INTEGER NOT NULL, incomplete INTEGER NOT NULL);
PRAGMA user_version = 1;
COMMIT;
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::block::PartyInfo;

    fn call(number: u64) -> CallRow {
        CallRow {
            id: CallId {
                epoch: u128::MAX - 1,
                call: number,
            },
            relay: "r".into(),
            mirror: u64::MAX,
            info: CallInfo {
                call_id: format!("call-{number}"),
                parties: vec![PartyInfo {
                    tag: "a".into(),
                    primary_id: Some("sip:alice@primary.example".into()),
                    functional_alias: Some("sip:chief@partner.example".into()),
                    ..PartyInfo::default()
                }],
                ..CallInfo::default()
            },
            opened: Timestamp::from_secs(number),
            closed: None,
            streams: BTreeMap::new(),
            extents: vec![Extent {
                segment: 1,
                start: 0,
                end: 100,
            }],
            recording: None,
        }
    }

    #[test]
    fn keeps_calls_and_finds_the_unrecorded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        let mut index = Index::open(&path).unwrap();
        let (mut first, second) = (call(1), call(2));
        index.write([&first, &second], [(1, 100)]).unwrap();
        first.closed = Some(Timestamp::from_secs(9));
        first.extents[0].end = 300;
        first.recording = Some(RecordingRow {
            path: "a.pcapng".into(),
            packets: 5,
            lost: 0,
            incomplete: false,
        });
        index.write([&first], [(1, 300), (2, 50)]).unwrap();
        drop(index);
        let index = Index::open(&path).unwrap();
        assert_eq!(
            index.positions().unwrap(),
            BTreeMap::from([(1, 300), (2, 50)])
        );
        assert_eq!(index.unrecorded().unwrap(), std::slice::from_ref(&second));
        assert_eq!(index.latest(9).unwrap(), [second, first.clone()]);
        assert_eq!(index.call(first.id).unwrap(), Some(first));
        let missing = CallId { epoch: 0, call: 0 };
        assert_eq!(index.call(missing).unwrap(), None);
    }

    #[test]
    fn damaged_and_newer_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        std::fs::write(&path, vec![0x5A; 9_000]).unwrap();
        assert!(matches!(Index::open(&path), Err(IndexError::Damaged(_))));
        std::fs::remove_file(&path).unwrap();
        drop(Index::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 7).unwrap();
        drop(connection);
        assert!(matches!(Index::open(&path), Err(IndexError::Newer(7))));
    }
}
