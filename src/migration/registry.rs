//! Who has migrated to us: records, found by partner ID, by primary ID and by functional alias,
//! each within its service (TS 23.280 10.1.4.1, 10.16.3).
//!
//! Pure: time is an argument, and nothing is stored from here. A change is made in two phases, so
//! that a record is in force only when it is durable and nothing is ever half done: one of the
//! `prepare_*` functions checks it, reserves the identities it touches and gives a [`Change`];
//! when the owner has stored [`Change::records`] it calls [`Registry::commit`], otherwise
//! [`Registry::abort`]. In between the registry goes on answering from the former state.
//!
//! `crate::manual::migration` tells the rules to operators.

mod check;
mod error;
mod index;
mod types;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

pub use self::error::RegistryError;
pub use self::types::{Change, NewRecord, RecordFilter, RecordUpdate};

use self::check::Key;
use self::index::Index;
use super::identity::{McId, Service, SystemName};
use super::record::{Record, RecordId};
use crate::wire::time::Timestamp;

/// The registry of migrated users.
#[derive(Debug)]
pub struct Registry {
    /// All records in memory: open ones and the last ended ones.
    records: BTreeMap<RecordId, Record>,
    by_partner: Index,
    by_primary: Index,
    by_alias: Index,
    /// When open records begin; only those still to come.
    starts: BTreeSet<(Timestamp, RecordId)>,
    /// When open records end; only those that have an end.
    ends: BTreeSet<(Timestamp, RecordId)>,
    /// Ended records, oldest first.
    ended: VecDeque<RecordId>,
    /// What changes on their way to the store touch.
    reserved: HashSet<Key>,
    /// New records on their way to the store.
    adding: usize,
    /// Records in memory of migrations that failed.
    failed: usize,
    next_id: u64,
    /// Our own system and the others that are known by name.
    own: Option<SystemName>,
    others: Vec<SystemName>,
    limits: Limits,
}

/// Bounds of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records that have not ended.
    pub open: usize,
    /// Ended records kept in memory for `explain` and for lists; the store keeps more.
    pub ended: usize,
    /// Functional aliases of one record.
    pub aliases: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open: 500_000,
            ended: 50_000,
            aliases: 32,
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Registry {
    /// An empty registry with these bounds.
    pub fn new(limits: Limits) -> Self {
        Self {
            records: BTreeMap::new(),
            by_partner: Index::default(),
            by_primary: Index::default(),
            by_alias: Index::default(),
            starts: BTreeSet::new(),
            ends: BTreeSet::new(),
            ended: VecDeque::new(),
            reserved: HashSet::new(),
            adding: 0,
            failed: 0,
            next_id: 1,
            own: None,
            others: Vec::new(),
            limits,
        }
    }

    /// Names our own system and those that we have agreements with. A new record whose identities
    /// lie in the domain of the wrong one of them is refused; a domain that is none of them says
    /// nothing, since a system may serve users of many domains.
    pub fn know_systems(&mut self, own: SystemName, others: Vec<SystemName>) {
        self.own = Some(own);
        self.others = others;
    }

    /// Takes over records that a store has kept. They were checked when they were added; if two
    /// contradict each other nevertheless, the later number is found first.
    pub fn load(&mut self, records: Vec<Record>, next_id: u64, now: Timestamp) {
        for record in records {
            self.next_id = self.next_id.max(record.id.0.saturating_add(1));
            self.insert(record);
        }
        self.next_id = self.next_id.max(next_id);
        let _ = self.expire(now);
    }

    /// All names that a prepared change touches, former ones too: decisions about calls that name
    /// them are to be made anew after the commit.
    pub fn names_touched(&self, change: &Change) -> Vec<McId> {
        let former = change
            .records
            .iter()
            .filter_map(|new| self.records.get(&new.id));
        let touched = change.records.iter().chain(former);
        let mut names: Vec<McId> = touched.flat_map(Record::names).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Makes a prepared change effective, after it was stored. Returns the record it was about.
    pub fn commit(&mut self, change: Change) -> Record {
        self.release(&change);
        for record in change.records {
            self.insert(record);
        }
        change.result
    }

    /// Gives up a prepared change that could not be stored: all is as it was before.
    pub fn abort(&mut self, change: Change) {
        self.release(&change);
    }

    /// Takes account of time: records that began or ended by now. Returns their numbers; if there
    /// are any, decisions about running calls are to be made anew. Nothing has to be stored.
    pub fn expire(&mut self, now: Timestamp) -> Vec<RecordId> {
        let mut changed = Vec::new();
        while let Some((at, id)) = self.starts.first().copied().filter(|(at, _)| *at <= now) {
            self.starts.remove(&(at, id));
            changed.push(id);
        }
        while let Some((at, id)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
            self.ends.remove(&(at, id));
            self.ended.push_back(id);
            changed.push(id);
        }
        while self.ended.len() > self.limits.ended {
            if let Some(id) = self.ended.pop_front() {
                self.remove(id);
            }
        }
        changed
    }

    /// When [`Self::expire`] is due next.
    pub fn next_event(&self) -> Option<Timestamp> {
        let first = |set: &BTreeSet<(Timestamp, RecordId)>| set.first().map(|(at, _)| *at);
        match (first(&self.starts), first(&self.ends)) {
            (Some(start), Some(end)) => Some(start.min(end)),
            (start, end) => start.or(end),
        }
    }

    /// A record by its number.
    pub fn record(&self, id: RecordId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// Whether there is any record of a migration that failed.
    pub fn knows_failed(&self) -> bool {
        self.failed > 0
    }

    /// All names of the users of these records; `None` if one of them is not in memory any more.
    pub fn names_of(&self, ids: &[RecordId]) -> Option<Vec<McId>> {
        let mut names = Vec::new();
        for id in ids {
            names.extend(self.records.get(id)?.names().cloned());
        }
        Some(names)
    }

    /// Records that have not ended, as of the last [`Self::expire`].
    pub fn open_count(&self) -> usize {
        self.records.len() - self.ended.len()
    }

    /// Records that fit the filter, by number, one page of them.
    pub fn list(&self, filter: &RecordFilter, now: Timestamp) -> Vec<Record> {
        let after = filter.after.map_or(0, |id| id.0);
        let limit = filter.limit.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE);
        let fits = |record: &&Record| filter.fits(record, now);
        // Open records of one user are few, and the index knows them all.
        let by_index = match (&filter.partner_id, &filter.primary_id) {
            _ if filter.all => None,
            (Some(id), _) => Some(self.by_partner.get(id)),
            (None, Some(id)) => Some(self.by_primary.get(id)),
            (None, None) => None,
        };
        let Some(found) = by_index else {
            let Some(first) = after.checked_add(1) else {
                return Vec::new();
            };
            let records = self.records.range(RecordId(first)..).map(|(_, r)| r);
            return records.filter(fits).take(limit).cloned().collect();
        };
        let mut ids: Vec<RecordId> = found.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        let records = ids.iter().filter_map(|id| self.records.get(id));
        let later = records.filter(|record| record.id.0 > after);
        later.filter(fits).take(limit).cloned().collect()
    }

    /// Records that an ID of a party may mean, best first: issued by us, from home, an alias.
    pub(super) fn by_id(&self, id: &McId) -> impl Iterator<Item = (Service, &Record)> {
        let found = [&self.by_partner, &self.by_primary, &self.by_alias];
        found.into_iter().flat_map(move |index| self.of(index, id))
    }

    /// Records that a functional alias means.
    pub(super) fn by_alias(&self, alias: &McId) -> impl Iterator<Item = (Service, &Record)> {
        self.of(&self.by_alias, alias)
    }

    /// Latest record first.
    fn of<'a>(
        &'a self,
        index: &'a Index,
        id: &McId,
    ) -> impl Iterator<Item = (Service, &'a Record)> {
        let found = index.get(id).iter().rev();
        found.filter_map(|(service, id)| Some((*service, self.records.get(id)?)))
    }

    /// Puts a record in, in place of a former state of it.
    fn insert(&mut self, record: Record) {
        let id = record.id;
        let was_ended = self.remove(id);
        self.forget_ended(&record);
        self.by_partner.add(&record.partner_id, record.service, id);
        self.by_primary.add(&record.primary_id, record.service, id);
        for alias in &record.functional_aliases {
            self.by_alias.add(alias, record.service, id);
        }
        if was_ended {
            self.ended.retain(|ended| *ended != id);
        }
        self.failed += usize::from(record.standing.failure().is_some());
        self.starts.insert((record.since, id));
        if let Some(until) = record.until {
            self.ends.insert((until, id));
        }
        self.records.insert(id, record);
    }

    /// Takes a record out of memory. Tells whether it had ended.
    fn remove(&mut self, id: RecordId) -> bool {
        let Some(record) = self.records.remove(&id) else {
            return false;
        };
        self.unindex(&record);
        self.failed -= usize::from(record.standing.failure().is_some());
        self.starts.remove(&(record.since, id));
        record
            .until
            .is_some_and(|until| !self.ends.remove(&(until, id)))
    }

    fn unindex(&mut self, record: &Record) {
        self.by_partner.remove(&record.partner_id, record.id);
        self.by_primary.remove(&record.primary_id, record.id);
        for alias in &record.functional_aliases {
            self.by_alias.remove(alias, record.id);
        }
    }

    /// An ended record is found by its identities until another one uses them, so that a decision
    /// can say "no more" rather than "never"; then it would only lengthen every look-up.
    fn forget_ended(&mut self, new: &Record) {
        let ids = [&self.by_partner, &self.by_primary, &self.by_alias];
        let names = [&new.partner_id, &new.primary_id].into_iter();
        let names: Vec<&McId> = names.chain(&new.functional_aliases).collect();
        let mut stale = Vec::new();
        for index in ids {
            for (service, id) in names.iter().flat_map(|name| index.get(name)) {
                let record = self.records.get(id).filter(|_| *service == new.service);
                let until = record.and_then(|record| record.until);
                if until.is_some_and(|until| !self.ends.contains(&(until, *id))) {
                    stale.push(*id);
                }
            }
        }
        for id in stale {
            if let Some(record) = self.records.get(&id).cloned() {
                self.unindex(&record);
            }
        }
    }
}

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

#[cfg(test)]
mod tests;
