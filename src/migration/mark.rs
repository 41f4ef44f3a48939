//! The primary's marks: {user, migrated, partner system, partner ID} of each migration
//! (TS 23.280 5.2.9.1, 10.6.3), and what a telling of a partner's relay makes of them.
//!
//! Tellings may come twice, late or in the wrong order. Each carries the whole migration and a
//! sequence, so the last one counts; of two migrations of one user the one that begins later does
//! (a user is served by one system at a time, and nothing else says that somebody has moved on).

use serde::{Deserialize, Serialize};

use super::identity::SystemName;
use super::profile::{Partner, Reason, User, UserId, verdict};
use super::telling::Telling;
use crate::wire::time::Timestamp;

/// What the primary keeps of one migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its number at the primary; 0 for one that is not stored yet.
    pub id: u64,
    /// The user.
    pub user: UserId,
    /// The migration: the last telling of it that was accepted.
    pub told: Telling,
    /// Over from then on.
    pub until: Option<Timestamp>,
    /// Who ended it, if not the partner.
    pub ended_by: Option<EndedBy>,
    /// When the primary accepted it first.
    pub accepted: Timestamp,
}

/// Who but the partner has ended a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// A later migration of the same user.
    LaterMigration,
    /// A change of it was refused.
    Refusal,
    /// The primary's operator.
    Primary,
}

/// Where a migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkState {
    /// It begins later.
    Pending,
    /// The user is migrated.
    Migrated,
    /// It is over.
    Ended,
}

impl Mark {
    /// Where it stands at `now`.
    pub fn state(&self, now: Timestamp) -> MarkState {
        match self.until {
            Some(until) if until <= now.max(self.told.since) => MarkState::Ended,
            _ if self.told.since > now => MarkState::Pending,
            Some(_) | None => MarkState::Migrated,
        }
    }

    /// Whether the telling is about the same migration: the partner's number of it, and the user.
    pub fn is_of(&self, telling: &Telling) -> bool {
        self.told.record == telling.record
            && self.told.partner_system == telling.partner_system
            && self.told.service == telling.service
            && self.told.primary_id == telling.primary_id
    }

    /// Marks of one user in the order in which the migrations begin; never equal for two.
    fn order(&self) -> (Timestamp, &SystemName, u64) {
        (self.told.since, &self.told.partner_system, self.told.record)
    }

    fn end(&mut self, at: Timestamp, by: Option<EndedBy>) {
        self.until = Some(at.max(self.told.since));
        self.ended_by = by;
    }
}

/// What is known when a telling comes.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    /// The agreement with the system that tells.
    pub partner: Option<&'a Partner>,
    /// Who has the primary ID.
    pub user: Option<&'a User>,
    /// Marks with this service and primary ID: all that are not over, the latest of the others,
    /// and that of this very migration.
    pub marks: Vec<Mark>,
    /// Whether the partner ID belongs to an open mark of another user at this partner.
    pub partner_id_taken: bool,
    /// Sequence and reason of the last refusal of this very migration.
    pub refusal: Option<(u64, Reason)>,
}

/// What becomes of a telling. `changed` are marks to be stored together, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted.
    Accepted {
        /// The mark of this migration as it is now; without a number if it is new.
        mark: Mark,
        /// Whether it is new.
        new: bool,
        /// Other marks that this has ended.
        changed: Vec<Mark>,
    },
    /// Refused; if the migration was accepted before, it is over.
    Refused {
        /// Why.
        reason: Reason,
        /// Marks that changed.
        changed: Vec<Mark>,
    },
    /// A later telling of the same migration has come before.
    Stale {
        /// The sequence of that one.
        last: u64,
    },
}

/// Takes a telling. Whoever told it must have been found to speak for its own system and of users
/// of ours ([`Reason::WrongSystem`]).
pub fn tell(known: Known<'_>, telling: &Telling, now: Timestamp) -> Outcome {
    let before = known.marks;
    let mut marks = before.clone();
    settle(&mut marks, now);
    let own = marks.iter().position(|mark| mark.is_of(telling));
    let own = own.map(|place| marks.remove(place));
    let heard = own.as_ref().map(|mark| mark.told.sequence);
    let refused = known.refusal;
    let last = heard.max(refused.map(|(sequence, _)| sequence));
    if let Some(last) = last.filter(|last| telling.sequence < *last) {
        return Outcome::Stale { last };
    }
    let verdict = match refused {
        // The same words once more get the same answer, whatever has changed since.
        Some((sequence, reason)) if sequence == telling.sequence => Err(reason),
        _ => judge(
            &known.partner,
            known.user,
            own.as_ref(),
            known.partner_id_taken,
            &marks,
            telling,
            now,
        ),
    };
    let taken = match verdict {
        Ok(()) => accept(own.clone(), known.user, telling, &mut marks, now),
        Err(reason) => Err(reason),
    };
    match taken {
        Ok(mark) => Outcome::Accepted {
            new: own.is_none(),
            mark,
            changed: differing(marks, &before),
        },
        Err(reason) => {
            if let Some(mut mark) = own {
                if mark.state(now) != MarkState::Ended {
                    mark.end(now, Some(EndedBy::Refusal));
                }
                marks.push(mark);
            }
            Outcome::Refused {
                reason,
                changed: differing(marks, &before),
            }
        }
    }
}

/// Lets later migrations of a user end earlier ones, as of `now`. `marks` are of one user and
/// service.
pub fn settle(marks: &mut [Mark], now: Timestamp) {
    marks.sort_by(|a, b| a.order().cmp(&b.order()));
    let mut next: Option<Timestamp> = None;
    for mark in marks.iter_mut().rev() {
        let begun = mark.told.since <= now;
        let real = mark.until.is_none_or(|until| until > mark.told.since);
        if let Some(next) = next
            && mark.until.is_none_or(|until| until > next)
        {
            mark.end(next, Some(EndedBy::LaterMigration));
        }
        if begun && real {
            next = Some(mark.told.since);
        }
    }
}

fn judge(
    partner: &Option<&Partner>,
    user: Option<&User>,
    own: Option<&Mark>,
    partner_id_taken: bool,
    others: &[Mark],
    telling: &Telling,
    now: Timestamp,
) -> Result<(), Reason> {
    let over = telling.until.is_some_and(|until| until <= now);
    match own {
        // Its end is heard of whatever else may be wrong by now.
        Some(_) if over => return Ok(()),
        Some(Mark {
            ended_by: Some(EndedBy::LaterMigration),
            ..
        }) => return Err(Reason::AlreadyMigratedElsewhere),
        Some(Mark {
            ended_by: Some(EndedBy::Primary),
            ..
        }) => return Err(Reason::EndedByPrimary),
        Some(_) | None => {}
    }
    verdict(telling, *partner, user)?;
    if over {
        return Ok(());
    }
    if partner_id_taken {
        return Err(Reason::PartnerIdInUse);
    }
    let pending = |mark: &&Mark| mark.state(now) == MarkState::Pending;
    let begins_later = own.is_none() && telling.since > now;
    if begins_later && others.iter().filter(pending).count() >= MAX_PENDING {
        return Err(Reason::TooManyPending);
    }
    Ok(())
}

/// Makes or changes the mark among those of the same user.
fn accept(
    own: Option<Mark>,
    user: Option<&User>,
    telling: &Telling,
    others: &mut Vec<Mark>,
    now: Timestamp,
) -> Result<Mark, Reason> {
    let over = telling.until.is_some_and(|until| until <= now);
    let mark = match own {
        Some(own) => updated(own, telling, over, now),
        None => Mark {
            id: 0,
            user: user.ok_or(Reason::UserUnknown)?.id.clone(),
            told: telling.clone(),
            until: telling.until.map(|until| until.max(telling.since)),
            ended_by: None,
            accepted: now,
        },
    };
    let mut all = others.clone();
    all.push(mark);
    settle(&mut all, now);
    let place = all.iter().position(|mark| mark.is_of(telling));
    let mark = all.remove(place.ok_or(Reason::UserUnknown)?);
    if !over && mark.ended_by == Some(EndedBy::LaterMigration) {
        return Err(Reason::AlreadyMigratedElsewhere);
    }
    *others = all;
    Ok(mark)
}

fn updated(own: Mark, telling: &Telling, over: bool, now: Timestamp) -> Mark {
    let ended = own.state(now) == MarkState::Ended;
    let told = Telling {
        // When a migration began does not change any more.
        since: own.told.since,
        ..telling.clone()
    };
    let mut mark = Mark { told, ..own };
    if over && ended {
        return mark;
    }
    mark.until = telling.until.map(|until| until.max(mark.told.since));
    mark.ended_by = None;
    mark
}

fn differing(marks: Vec<Mark>, before: &[Mark]) -> Vec<Mark> {
    let changed = marks.into_iter().filter(|mark| !before.contains(mark));
    changed.collect()
}

/// Migrations of one user that may be still to begin.
const MAX_PENDING: usize = 16;

#[cfg(test)]
#[path = "mark/tests.rs"]
mod tests;
