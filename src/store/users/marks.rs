//! Migrations of the primary's users: marks, and refusals as history.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::rows::{self, TELLING, signed};
use super::{Users, UsersError};
use crate::migration::identity::SystemName;
use crate::migration::mark::{EndedBy, Known, Mark, MarkState, Outcome, settle, tell};
use crate::migration::profile::{Partner, Reason, UserId};
use crate::migration::telling::Telling;
use crate::wire::time::Timestamp;

/// A migration that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The last telling of it that was refused.
    pub told: Telling,
    /// The system whose token came with it.
    pub told_by: SystemName,
    /// Why.
    pub reason: Reason,
    /// How often.
    pub times: u64,
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// Which marks and refusals to list.
#[derive(Clone, Debug, Default)]
pub struct MarkFilter {
    /// Of this user.
    pub user: Option<UserId>,
    /// Told by this system.
    pub partner_system: Option<SystemName>,
    /// Ended ones too.
    pub all: bool,
    /// Numbers above this one.
    pub after: u64,
    /// At most so many.
    pub limit: u32,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Users.
    pub users: u64,
    /// Marks that have not ended.
    pub open: u64,
}

impl Users {
    /// Takes a telling of a partner that speaks for itself and of a user of ours.
    ///
    /// # Errors
    /// It could not be stored; nothing was changed.
    pub fn tell(
        &mut self,
        partner: Option<&Partner>,
        telling: &Telling,
        now: Timestamp,
    ) -> Result<Outcome, UsersError> {
        self.settle(now)?;
        let user = self.user_of(telling.service, &telling.primary_id)?;
        let known = Known {
            partner,
            user: user.as_ref(),
            marks: self.marks_of(telling, now)?,
            partner_id_taken: self.partner_id_taken(telling, now)?,
            refusal: self.refusal(&telling.partner_system, telling)?,
        };
        let mut outcome = tell(known, telling, now);
        match &mut outcome {
            Outcome::Stale { .. } => {}
            Outcome::Accepted { mark, changed, .. } => {
                let id = self.transaction(|transaction| {
                    changed
                        .iter()
                        .try_for_each(|mark| put(transaction, mark).map(|_| ()))?;
                    put(transaction, mark)
                })?;
                mark.id = id;
            }
            Outcome::Refused { reason, changed } => {
                let by = &telling.partner_system;
                self.transaction(|transaction| {
                    changed
                        .iter()
                        .try_for_each(|mark| put(transaction, mark).map(|_| ()))?;
                    refuse(transaction, by, telling, *reason, now)
                })?;
            }
        }
        self.written()?;
        Ok(outcome)
    }

    /// Notes a telling that was refused before anything of it was looked at.
    ///
    /// # Errors
    /// It could not be stored.
    pub fn refuse(
        &mut self,
        told_by: &SystemName,
        telling: &Telling,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), UsersError> {
        self.transaction(|transaction| refuse(transaction, told_by, telling, reason, now))?;
        self.written()
    }

    /// A mark by its number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn mark(&mut self, id: u64, now: Timestamp) -> Result<Option<Mark>, UsersError> {
        self.settle(now)?;
        let found = self.select("id = ?1", vec![number(id)], "LIMIT 1")?;
        Ok(found.into_iter().next())
    }

    /// Ends a migration on behalf of the primary: the partner's tellings of it are refused from now
    /// on.
    ///
    /// # Errors
    /// There is none with this number, or it could not be stored.
    pub fn end_mark(&mut self, id: u64, now: Timestamp) -> Result<Mark, UsersError> {
        let mark = self.mark(id, now)?.ok_or(UsersError::UnknownMark)?;
        if mark.state(now) == MarkState::Ended {
            return Ok(mark);
        }
        let mark = Mark {
            until: Some(now.max(mark.told.since)),
            ended_by: Some(EndedBy::Primary),
            ..mark
        };
        self.transaction(|transaction| put(transaction, &mark))?;
        Ok(mark)
    }

    /// Marks that fit the filter, by number.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn marks(&mut self, filter: &MarkFilter, now: Timestamp) -> Result<Vec<Mark>, UsersError> {
        self.settle(now)?;
        let mut wanted = vec!["id > ?".to_owned()];
        let mut values = vec![number(filter.after)];
        if !filter.all {
            wanted.push("(until IS NULL OR until > ?)".to_owned());
            values.push(signed(now).into());
        }
        if let Some(user) = &filter.user {
            wanted.push("user = ?".to_owned());
            values.push(user.as_str().to_owned().into());
        }
        if let Some(system) = &filter.partner_system {
            wanted.push("partner_system = ?".to_owned());
            values.push(system.as_str().to_owned().into());
        }
        values.push(i64::from(filter.limit).into());
        self.select(&wanted.join(" AND "), values, "ORDER BY id LIMIT ?")
    }

    /// Refusals, the latest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn refusals(&self, filter: &MarkFilter) -> Result<Vec<Refused>, UsersError> {
        let by = filter.partner_system.as_ref().map(SystemName::as_str);
        let select = format!(
            "SELECT {TELLING}, told_by, reason, times, first, last FROM refusal \
             WHERE ?1 IS NULL OR told_by = ?1 ORDER BY last DESC, id DESC LIMIT ?2"
        );
        let read = || {
            let mut select = self.db.prepare_cached(&select)?;
            let rows = select.query_map(params![by, filter.limit], |row| Ok(rows::refused(row)))?;
            rows.collect::<rusqlite::Result<Result<Vec<_>, String>>>()
        };
        let found = read().map_err(|error| self.failed(&error))?;
        found.map_err(|reason| self.damaged(reason))
    }

    /// How many there are, for metrics.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn totals(&self, now: Timestamp) -> Result<Totals, UsersError> {
        let count = |select: &str, now: &[i64]| {
            let found = self
                .db
                .query_row(select, params_from_iter(now), |row| row.get(0));
            found
                .map(i64::cast_unsigned)
                .map_err(|error| self.failed(&error))
        };
        let open = "SELECT count(*) FROM mark WHERE until IS NULL OR until > ?1";
        Ok(Totals {
            users: count("SELECT count(*) FROM user", &[])?,
            open: count(open, &[signed(now)])?,
        })
    }

    /// Lets migrations that have begun meanwhile end earlier ones of their users.
    pub(super) fn settle(&mut self, now: Timestamp) -> Result<(), UsersError> {
        if now <= self.settled {
            return Ok(());
        }
        let read = || {
            let mut select = self.db.prepare_cached(
                "SELECT DISTINCT service, primary_id FROM mark AS new WHERE since > ?1 AND \
                 since <= ?2 AND EXISTS (SELECT 1 FROM mark AS old WHERE old.id <> new.id AND \
                 old.service = new.service AND old.primary_id = new.primary_id AND \
                 (old.until IS NULL OR old.until > new.since) AND old.since <= new.since)",
            )?;
            let bounds = params![signed(self.settled), signed(now)];
            let rows = select.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
        };
        for (service, id) in read().map_err(|error| self.failed(&error))? {
            let values = vec![service.into(), id.into(), signed(now).into()];
            let mut marks = self.select(OF_USER, values, LATEST)?;
            let before = marks.clone();
            settle(&mut marks, now);
            marks.retain(|mark| !before.contains(mark));
            if !marks.is_empty() {
                self.transaction(|transaction| {
                    marks
                        .iter()
                        .try_for_each(|mark| put(transaction, mark).map(|_| ()))
                })?;
            }
        }
        self.settled = now;
        Ok(())
    }

    /// Takes the oldest history away.
    pub(super) fn prune(&mut self) -> Result<(), UsersError> {
        let settled = self.settled;
        self.transaction(|transaction| {
            transaction.execute(
                "DELETE FROM mark WHERE until IS NOT NULL AND id <= (SELECT id FROM mark WHERE \
                 until IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?1) AND until <= ?2",
                params![HISTORY, signed(settled)],
            )?;
            transaction.execute(
                "DELETE FROM refusal WHERE id IN (SELECT id FROM refusal ORDER BY last DESC \
                 LIMIT -1 OFFSET ?1)",
                [HISTORY],
            )?;
            Ok(())
        })
    }

    fn written(&mut self) -> Result<(), UsersError> {
        self.writes += 1;
        match self.writes.is_multiple_of(BETWEEN_PRUNINGS) {
            true => self.prune(),
            false => Ok(()),
        }
    }

    fn marks_of(&self, telling: &Telling, now: Timestamp) -> Result<Vec<Mark>, UsersError> {
        let (service, id) = (telling.service, &telling.primary_id);
        let values = vec![
            service.as_str().to_owned().into(),
            id.as_str().to_owned().into(),
            signed(now).into(),
        ];
        let mut marks = self.select(OF_USER, values, LATEST)?;
        if !marks.iter().any(|mark| mark.is_of(telling)) {
            let values = vec![
                service.as_str().to_owned().into(),
                id.as_str().to_owned().into(),
                telling.partner_system.as_str().to_owned().into(),
                number(telling.record),
            ];
            let own = "service = ?1 AND primary_id = ?2 AND partner_system = ?3 AND record = ?4";
            marks.extend(self.select(own, values, "")?);
        }
        Ok(marks)
    }

    fn partner_id_taken(&self, telling: &Telling, now: Timestamp) -> Result<bool, UsersError> {
        let select = "SELECT EXISTS (SELECT 1 FROM mark WHERE partner_system = ?1 AND \
                      service = ?2 AND partner_id = ?3 AND primary_id <> ?4 AND \
                      (until IS NULL OR until > ?5))";
        let key = params![
            telling.partner_system.as_str(),
            telling.service.as_str(),
            telling.partner_id.as_str(),
            telling.primary_id.as_str(),
            signed(now)
        ];
        let found = self.db.query_row(select, key, |row| row.get(0));
        found.map_err(|error| self.failed(&error))
    }

    pub(super) fn refusal(
        &self,
        told_by: &SystemName,
        telling: &Telling,
    ) -> Result<Option<(u64, Reason)>, UsersError> {
        let select = "SELECT sequence, reason FROM refusal WHERE told_by = ?1 AND \
                      partner_system = ?1 AND service = ?2 AND primary_id = ?3 AND record = ?4 \
                      AND reason <> 'wrong-system'";
        let key = params![
            told_by.as_str(),
            telling.service.as_str(),
            telling.primary_id.as_str(),
            telling.record.cast_signed()
        ];
        let found: rusqlite::Result<Option<(i64, String)>> = self
            .db
            .query_row(select, key, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional();
        let found = found.map_err(|error| self.failed(&error))?;
        let read = |(sequence, reason): (i64, String)| {
            let reason = reason.parse::<Reason>()?;
            Ok((sequence.cast_unsigned(), reason))
        };
        let read = found.map(read).transpose();
        read.map_err(|reason| self.damaged(reason))
    }

    fn select(
        &self,
        condition: &str,
        values: Vec<Value>,
        tail: &str,
    ) -> Result<Vec<Mark>, UsersError> {
        let select = format!(
            "SELECT {TELLING}, user, until, ended_by, accepted, id FROM mark WHERE {condition} \
             {tail}"
        );
        let read = || {
            let mut select = self.db.prepare_cached(&select)?;
            let rows = select.query_map(params_from_iter(values), |row| Ok(rows::mark(row)))?;
            rows.collect::<rusqlite::Result<Result<Vec<_>, String>>>()
        };
        let found = read().map_err(|error| self.failed(&error))?;
        found.map_err(|reason| self.damaged(reason))
    }
}

/// Stores a mark and gives its number; 0 stands for one that has none yet.
fn put(transaction: &Connection, mark: &Mark) -> rusqlite::Result<u64> {
    let told = &mark.told;
    let id = (mark.id > 0).then(|| mark.id.cast_signed());
    let insert = format!(
        "INSERT OR REPLACE INTO mark ({TELLING}, user, until, ended_by, accepted, id) VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
    );
    transaction.prepare_cached(&insert)?.execute(params![
        told.service.as_str(),
        told.primary_id.as_str(),
        told.primary_system.as_str(),
        told.partner_system.as_str(),
        told.partner_id.as_str(),
        told.record.cast_signed(),
        told.sequence.cast_signed(),
        told.profile_index,
        rows::trigger(told.trigger),
        signed(told.since),
        told.until.map(signed),
        mark.user.as_str(),
        mark.until.map(signed),
        mark.ended_by.map(rows::ended_by),
        signed(mark.accepted),
        id,
    ])?;
    Ok(transaction.last_insert_rowid().cast_unsigned())
}

fn refuse(
    transaction: &Connection,
    told_by: &SystemName,
    told: &Telling,
    reason: Reason,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let insert = format!(
        "INSERT INTO refusal ({TELLING}, told_by, reason, times, first, last) VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 1, ?14, ?14) \
         ON CONFLICT (told_by, partner_system, service, primary_id, record) DO UPDATE SET \
         primary_system = ?3, partner_id = ?5, sequence = ?7, profile_index = ?8, \
         trigger_by = ?9, since = ?10, told_until = ?11, reason = ?13, times = times + 1, \
         last = ?14"
    );
    transaction.prepare_cached(&insert)?.execute(params![
        told.service.as_str(),
        told.primary_id.as_str(),
        told.primary_system.as_str(),
        told.partner_system.as_str(),
        told.partner_id.as_str(),
        told.record.cast_signed(),
        told.sequence.cast_signed(),
        told.profile_index,
        rows::trigger(told.trigger),
        signed(told.since),
        told.until.map(signed),
        told_by.as_str(),
        reason.as_str(),
        signed(now),
    ])?;
    Ok(())
}

fn number(number: u64) -> Value {
    number.cast_signed().into()
}

/// Marks of one user and service that matter for a decision: open ones, and the last ended ones.
const OF_USER: &str = "id IN (SELECT id FROM mark WHERE service = ?1 AND primary_id = ?2 AND \
                       (until IS NULL OR until > ?3) UNION SELECT * FROM (SELECT id FROM mark \
                       WHERE service = ?1 AND primary_id = ?2 ORDER BY since DESC LIMIT 32))";
const LATEST: &str = "ORDER BY since DESC";
/// Ended migrations, and refusals, that are kept.
const HISTORY: u32 = 100_000;
const BETWEEN_PRUNINGS: u64 = 1_000;
