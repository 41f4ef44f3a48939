//! What primaries have said of records: one row for each that was answered.

use std::path::Path;

use rusqlite::{Connection, Row, Transaction, params};

use super::{StoreError, Word, classify, signed, unsigned};
use crate::migration::record::{Record, RecordId};
use crate::migration::telling::Told;
use crate::wire::time::Timestamp;

/// Keeps an answer; what is none is nothing to keep.
pub(super) fn put(
    transaction: &Transaction<'_>,
    record: RecordId,
    told: &Told,
) -> rusqlite::Result<()> {
    match told {
        Told::Accepted | Told::Refused(_) => {}
        Told::Pending | Told::Unreachable(_) => return Ok(()),
    }
    let mut insert =
        transaction.prepare_cached("INSERT OR REPLACE INTO word VALUES (?1, ?2, ?3, 1)")?;
    let id = signed(record.0);
    let values = params![id, told.as_str(), told.reason()];
    insert.execute(values).map(|_| ())
}

/// The record is not any more what was answered.
pub(super) fn outdate(transaction: &Transaction<'_>, record: RecordId) -> rusqlite::Result<()> {
    let mut update = transaction.prepare_cached("UPDATE word SET current = 0 WHERE record = ?1")?;
    update.execute([signed(record.0)]).map(|_| ())
}

/// Forgets what was said of records that ended before this moment.
pub(super) fn prune(
    transaction: &Transaction<'_>,
    ended_before: Timestamp,
) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached(
        "DELETE FROM word WHERE record IN (SELECT id FROM migration WHERE until < ?1)",
    )?;
    delete.execute([signed(ended_before.nanos())]).map(|_| ())
}

/// What was said of these records, which are in order of their numbers.
pub(super) fn load(
    db: &Connection,
    path: &Path,
    records: &[Record],
) -> Result<Vec<Word>, StoreError> {
    let failed = |error| classify(path, &error);
    let mut select = db
        .prepare("SELECT record, told, reason, current FROM word")
        .map_err(failed)?;
    let rows = select.query_map([], |row| Ok(word(row))).map_err(failed)?;
    let mut words = Vec::new();
    for row in rows {
        let damaged = |reason| StoreError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let (id, told, current) = row.map_err(failed)?.map_err(damaged)?;
        let place = records.binary_search_by_key(&id, |record| record.id).ok();
        // Of older history nobody asks.
        let Some(record) = place.and_then(|place| records.get(place)) else {
            continue;
        };
        words.push(Word {
            record: id,
            primary_system: record.primary_system.clone(),
            told,
            current,
        });
    }
    Ok(words)
}

fn word(row: &Row<'_>) -> Result<(RecordId, Told, bool), String> {
    let whole = || {
        let (told, reason): (String, Option<String>) = (row.get(1)?, row.get(2)?);
        Ok((row.get::<_, i64>(0)?, told, reason, row.get(3)?))
    };
    let (id, told, reason, current) =
        whole().map_err(|error: rusqlite::Error| error.to_string())?;
    let told = match (told.as_str(), reason) {
        ("accepted", None) => Told::Accepted,
        ("refused", Some(reason)) => Told::Refused(reason),
        _ => {
            return Err(format!(
                "word on migration {id}: neither accepted nor refused"
            ));
        }
    };
    Ok((RecordId(unsigned(id)), told, current))
}
