//! Rows as values. What is not as we wrote it gives a text that names the row.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::cipher::Place;
use super::marks::Refused;
use crate::migration::identity::{McId, Service, SystemName};
use crate::migration::mark::{EndedBy, Mark};
use crate::migration::profile::{PartnerAccess, Profile, User, UserId};
use crate::migration::record::Trigger;
use crate::migration::secret::{REDACTED, Secret};
use crate::migration::telling::Telling;
use crate::wire::time::Timestamp;

/// Access data of one user, profile and partner.
pub(super) struct AccessRow {
    pub(super) user: UserId,
    pub(super) profile: u32,
    pub(super) partner: SystemName,
    pub(super) sealed: Vec<u8>,
}

type Read<T> = rusqlite::Result<Result<T, String>>;

/// A user; the text says what is wrong with a row of it.
pub(super) fn user(db: &Connection, id: &UserId) -> rusqlite::Result<Option<Result<User, String>>> {
    let name = id.as_str();
    let found = "SELECT EXISTS (SELECT 1 FROM user WHERE id = ?1)";
    if !db.query_row(found, [name], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    let ids = match ids(db, name)? {
        Ok(ids) => ids,
        Err(reason) => return Ok(Some(Err(format!("user {id}: {reason}")))),
    };
    let mut user = User {
        id: id.clone(),
        ids,
        profiles: Vec::new(),
    };
    let mut select = db.prepare_cached("SELECT number FROM profile WHERE user = ?1 ORDER BY 1")?;
    let indexes = select.query_map([name], |row| row.get::<_, u32>(0))?;
    for index in indexes {
        let index = index?;
        match partners(db, name, index)? {
            Ok(partners) => user.profiles.push(Profile { index, partners }),
            Err(reason) => return Ok(Some(Err(format!("user {id}: {reason}")))),
        }
    }
    Ok(Some(Ok(user)))
}

fn ids(db: &Connection, name: &str) -> Read<BTreeMap<Service, McId>> {
    let mut select = db.prepare_cached("SELECT service, mc_id FROM user_id WHERE user = ?1")?;
    let rows = select.query_map([name], |row| Ok(both(text(row, 0), text(row, 1))))?;
    rows.collect()
}

fn partners(db: &Connection, name: &str, profile: u32) -> Read<Vec<PartnerAccess>> {
    let mut select = db.prepare_cached(
        "SELECT system, access IS NOT NULL FROM profile_partner WHERE user = ?1 AND number = ?2 \
         ORDER BY system",
    )?;
    let rows = select.query_map(params![name, profile], |row| {
        let has: bool = row.get(1)?;
        Ok(text(row, 0).map(|system| PartnerAccess {
            system,
            access: Secret::new(REDACTED.to_owned()).filter(|_| has),
        }))
    })?;
    rows.collect()
}

/// All access data.
pub(super) fn access(db: &Connection) -> rusqlite::Result<Vec<Result<AccessRow, String>>> {
    let mut select = db.prepare(
        "SELECT user, system, number, access FROM profile_partner WHERE access IS NOT NULL",
    )?;
    let rows = select.query_map([], |row| {
        let (profile, sealed) = (row.get(2)?, row.get(3)?);
        Ok(
            both(text(row, 0), text(row, 1)).map(|(user, partner)| AccessRow {
                user,
                profile,
                partner,
                sealed,
            }),
        )
    })?;
    rows.collect()
}

/// Puts other access data in place of what a row was.
pub(super) fn set_access(db: &Connection, row: &AccessRow, sealed: &[u8]) -> rusqlite::Result<()> {
    let update = "UPDATE profile_partner SET access = ?4 WHERE user = ?1 AND number = ?2 AND \
                  system = ?3";
    let (user, partner) = (row.user.as_str(), row.partner.as_str());
    db.execute(update, params![user, row.profile, partner, sealed])
        .map(|_| ())
}

/// The access data of one place as it is stored.
pub(super) fn sealed(db: &Connection, place: &Place<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    let select = "SELECT access FROM profile_partner WHERE user = ?1 AND number = ?2 AND \
                  system = ?3";
    let (user, partner) = (place.user.as_str(), place.partner.as_str());
    let found: Option<Option<Vec<u8>>> = db
        .query_row(select, params![user, place.profile, partner], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(found.flatten())
}

/// The columns of a telling, in the order of [`telling`].
pub(super) const TELLING: &str = "service, primary_id, primary_system, partner_system, \
                                  partner_id, record, sequence, profile_index, trigger_by, \
                                  since, told_until";
/// How many they are.
pub(super) const TELLING_COLUMNS: usize = 11;

/// A telling from the first columns of a row.
fn telling(row: &Row<'_>) -> Result<Telling, String> {
    let moment = |column| whole::<Option<i64>>(row, column).map(|at| at.map(time));
    Ok(Telling {
        service: text(row, 0)?,
        primary_id: text(row, 1)?,
        primary_system: text(row, 2)?,
        partner_system: text(row, 3)?,
        partner_id: text(row, 4)?,
        record: whole::<i64>(row, 5)?.cast_unsigned(),
        sequence: whole::<i64>(row, 6)?.cast_unsigned(),
        profile_index: whole(row, 7)?,
        trigger: word::<Trigger>(&whole::<String>(row, 8)?)?,
        since: moment(9)?.unwrap_or_default(),
        until: moment(10)?,
    })
}

/// A mark from a row of [`TELLING`], user, until, ended_by, accepted, id.
pub(super) fn mark(row: &Row<'_>) -> Result<Mark, String> {
    let ended_by: Option<String> = whole(row, TELLING_COLUMNS + 2)?;
    let until: Option<i64> = whole(row, TELLING_COLUMNS + 1)?;
    Ok(Mark {
        told: telling(row)?,
        user: text(row, TELLING_COLUMNS)?,
        until: until.map(time),
        ended_by: ended_by.as_deref().map(word::<EndedBy>).transpose()?,
        accepted: time(whole(row, TELLING_COLUMNS + 3)?),
        id: whole::<i64>(row, TELLING_COLUMNS + 4)?.cast_unsigned(),
    })
}

/// A refusal from a row of [`TELLING`], told_by, reason, times, first, last.
pub(super) fn refused(row: &Row<'_>) -> Result<Refused, String> {
    Ok(Refused {
        told: telling(row)?,
        told_by: text(row, TELLING_COLUMNS)?,
        reason: text(row, TELLING_COLUMNS + 1)?,
        times: whole::<i64>(row, TELLING_COLUMNS + 2)?.cast_unsigned(),
        first: time(whole(row, TELLING_COLUMNS + 3)?),
        last: time(whole(row, TELLING_COLUMNS + 4)?),
    })
}

/// SQLite has signed integers only; later than the year 2262 is as late as it gets.
pub(super) fn signed(at: Timestamp) -> i64 {
    i64::try_from(at.nanos()).unwrap_or(i64::MAX)
}

/// The word of an enum that serde knows.
pub(super) const fn ended_by(by: EndedBy) -> &'static str {
    match by {
        EndedBy::LaterMigration => "later-migration",
        EndedBy::Refusal => "refusal",
        EndedBy::Primary => "primary",
    }
}

/// The same for a trigger.
pub(super) const fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Client => "client",
        Trigger::PrimarySystem => "primary-system",
    }
}

fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

fn whole<T: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> Result<T, String> {
    row.get(column).map_err(|error| error.to_string())
}

fn text<T: FromStr<Err: Display>>(row: &Row<'_>, column: usize) -> Result<T, String> {
    let text: String = whole(row, column)?;
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn word<T: for<'de> Deserialize<'de>>(word: &str) -> Result<T, String> {
    let word: StrDeserializer<'_, ValueError> = word.into_deserializer();
    T::deserialize(word).map_err(|error| error.to_string())
}

fn both<A, B>(a: Result<A, String>, b: Result<B, String>) -> Result<(A, B), String> {
    Ok((a?, b?))
}
