//! First phase of a change: check it, and reserve what it touches.

use super::super::identity::{McId, Service, SystemName};
use super::super::record::{Record, RecordId, Standing};
use super::{Change, NewRecord, RecordUpdate, Registry, RegistryError};
use crate::wire::time::Timestamp;

/// Something that a change on its way to the store touches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Record(RecordId),
    Identity(Service, McId),
}

impl Registry {
    /// Checks a new migration. A user (service and primary ID) who has migrated already has moved
    /// on: the former record ends when the new one begins. The very same migration once more (a
    /// repeated request) changes nothing, and gives the record that is there.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn prepare_add(&mut self, new: NewRecord, now: Timestamp) -> Result<Change, RegistryError> {
        let repeated = self
            .open_of_user(new.service, &new.primary_id, now)
            .find(|record| is_repeated(record, &new))
            .cloned();
        if let Some(record) = repeated {
            return self.reserve(Vec::new(), record, false);
        }
        if self.open_count() + self.adding >= self.limits.open {
            return Err(RegistryError::Full(self.limits.open));
        }
        let record = Record {
            id: RecordId(self.next_id),
            service: new.service,
            primary_id: new.primary_id,
            partner_id: new.partner_id,
            primary_system: new.primary_system,
            functional_aliases: new.functional_aliases,
            trigger: new.trigger,
            profile_index: new.profile_index,
            standing: new.standing.trimmed(),
            since: new.since.unwrap_or(now),
            until: new.until,
        };
        check_standing(&record.standing)?;
        self.check_interval(&record, now)?;
        self.check_systems(&record)?;
        self.check_identities(&record, now)?;
        let mut records = self.replaced_by(&record, now);
        records.push(record.clone());
        let change = self.reserve(records, record, true)?;
        self.next_id += 1;
        Ok(change)
    }

    /// Checks changes to a migration that has not ended.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn prepare_update(
        &mut self,
        id: RecordId,
        update: RecordUpdate,
        now: Timestamp,
    ) -> Result<Change, RegistryError> {
        let former = self.open_record(id, now)?;
        let mut record = former.clone();
        record.partner_id = update.partner_id.unwrap_or(record.partner_id);
        record.functional_aliases = update
            .functional_aliases
            .unwrap_or(record.functional_aliases);
        record.profile_index = update.profile_index.or(record.profile_index);
        record.until = update.until.or(record.until);
        let standing = update.standing.map(Standing::trimmed);
        record.standing = standing.unwrap_or(record.standing);
        if record == *former {
            return self.reserve(Vec::new(), record, false);
        }
        check_standing(&record.standing)?;
        self.check_interval(&record, now)?;
        self.check_systems(&record)?;
        self.check_identities(&record, now)?;
        if let Some(other) = self.replaced_by(&record, now).first() {
            return Err(RegistryError::InUse {
                field: "until",
                id: record.primary_id,
                holder: other.id,
            });
        }
        self.reserve(vec![record.clone()], record, false)
    }

    /// Checks the end of a migration, now. One that has not begun yet will never be in force.
    ///
    /// # Errors
    /// There is no such migration, or it has ended.
    pub fn prepare_end(&mut self, id: RecordId, now: Timestamp) -> Result<Change, RegistryError> {
        let mut record = self.open_record(id, now)?.clone();
        record.until = Some(now.max(record.since));
        self.reserve(vec![record.clone()], record, false)
    }

    /// Frees what a change has reserved.
    pub(super) fn release(&mut self, change: &Change) {
        for key in &change.keys {
            self.reserved.remove(key);
        }
        self.adding -= usize::from(change.adds);
    }

    fn reserve(
        &mut self,
        records: Vec<Record>,
        result: Record,
        adds: bool,
    ) -> Result<Change, RegistryError> {
        let mut keys = Vec::new();
        let former = self.records.get(&result.id);
        for record in records.iter().chain(former.filter(|_| !records.is_empty())) {
            keys.push(Key::Record(record.id));
            for (_, id) in identities(record) {
                keys.push(Key::Identity(record.service, id.clone()));
            }
        }
        if keys.iter().any(|key| self.reserved.contains(key)) {
            return Err(RegistryError::InProgress);
        }
        self.reserved.extend(keys.iter().cloned());
        self.adding += usize::from(adds);
        Ok(Change {
            records,
            result,
            keys,
            adds,
        })
    }

    fn open_record(&self, id: RecordId, now: Timestamp) -> Result<&Record, RegistryError> {
        let record = self.records.get(&id).ok_or(RegistryError::Unknown)?;
        match record.is_open(now) {
            true => Ok(record),
            false => Err(RegistryError::Ended),
        }
    }

    fn open_of_user(
        &self,
        service: Service,
        primary_id: &McId,
        now: Timestamp,
    ) -> impl Iterator<Item = &Record> {
        let found = self.of(&self.by_primary, primary_id);
        let found = found.filter(move |(of, record)| *of == service && record.is_open(now));
        found.map(|(_, record)| record)
    }

    /// Other open records of the same user that overlap, each ended when this one begins.
    fn replaced_by(&self, record: &Record, now: Timestamp) -> Vec<Record> {
        let found = self.open_of_user(record.service, &record.primary_id, now);
        let others = found.filter(|other| other.id != record.id && overlap(other, record));
        let ended = others.map(|other| Record {
            until: Some(record.since.max(now).max(other.since)),
            ..other.clone()
        });
        ended.collect()
    }

    fn check_interval(&self, record: &Record, now: Timestamp) -> Result<(), RegistryError> {
        match record.until {
            Some(until) if until <= record.since => Err(RegistryError::Interval),
            Some(until) if until <= now => Err(RegistryError::Past),
            Some(_) | None => Ok(()),
        }
    }

    /// The partner ID must not be of a known system other than ours, the primary ID not of one
    /// other than the primary (TS 23.280 10.16.5.1: each system issues its own).
    fn check_systems(&self, record: &Record) -> Result<(), RegistryError> {
        let Some(own) = &self.own else {
            return Ok(());
        };
        if record.primary_system == *own {
            return Err(RegistryError::OwnSystem(own.clone()));
        }
        let sides = [
            ("primary_id", &record.primary_id, &record.primary_system),
            ("partner_id", &record.partner_id, own),
        ];
        // An alias is defined here (TS 23.280 10.16.3), or brought from home.
        let aliases = record.functional_aliases.iter();
        let aliases = aliases.map(|alias| ("functional_aliases", alias, own));
        for (field, id, expected) in sides.into_iter().chain(aliases) {
            let system = self.system_of(id, &record.primary_system);
            let brought = field == "functional_aliases" && system == Some(&record.primary_system);
            if let Some(system) = system.filter(|system| *system != expected && !brought) {
                return Err(RegistryError::WrongSystem {
                    field,
                    id: id.clone(),
                    system: system.clone(),
                    expected: expected.clone(),
                });
            }
        }
        Ok(())
    }

    /// The known system in whose domain an identity lies: the most specific one.
    fn system_of<'a>(&'a self, id: &McId, primary: &'a SystemName) -> Option<&'a SystemName> {
        let host = id.host()?;
        let within = |system: &&SystemName| match host.strip_suffix(system.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        };
        let known = self.own.iter().chain(&self.others).chain([primary]);
        known
            .filter(within)
            .max_by_key(|system| system.as_str().len())
    }

    fn check_identities(&self, record: &Record, now: Timestamp) -> Result<(), RegistryError> {
        if record.partner_id == record.primary_id {
            return Err(RegistryError::SameId);
        }
        if record.functional_aliases.len() > self.limits.aliases {
            return Err(RegistryError::TooManyAliases(self.limits.aliases));
        }
        let all: Vec<(&'static str, &McId)> = identities(record).collect();
        for (place, (field, id)) in all.iter().enumerate() {
            if all.iter().take(place).any(|(_, former)| former == id) {
                return Err(RegistryError::Repeated {
                    field,
                    id: (*id).clone(),
                });
            }
            let other_user = |(service, other): &(Service, &Record)| {
                *service == record.service
                    && other.primary_id != record.primary_id
                    && other.is_open(now)
                    && overlap(other, record)
            };
            if let Some((_, holder)) = self.by_id(id).find(other_user) {
                return Err(RegistryError::InUse {
                    field,
                    id: (*id).clone(),
                    holder: holder.id,
                });
            }
        }
        Ok(())
    }
}

/// The reason goes into logs, answers and recordings as one line.
fn check_standing(standing: &Standing) -> Result<(), RegistryError> {
    let Standing::Failed { reason } = standing else {
        return Ok(());
    };
    let fits = !reason.is_empty() && reason.len() <= MAX_REASON;
    match fits && !reason.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(RegistryError::FailureReason(MAX_REASON)),
    }
}

/// All names of the user in the record, with the members that hold them.
fn identities(record: &Record) -> impl Iterator<Item = (&'static str, &McId)> {
    let ids = [
        ("primary_id", &record.primary_id),
        ("partner_id", &record.partner_id),
    ];
    let aliases = record.functional_aliases.iter();
    ids.into_iter()
        .chain(aliases.map(|alias| ("functional_aliases", alias)))
}

/// Whether there is a moment at which both are in force.
fn overlap(a: &Record, b: &Record) -> bool {
    let start = a.since.max(b.since);
    let after = |until: Option<Timestamp>| until.is_none_or(|until| start < until);
    after(a.until) && after(b.until)
}

/// Octets of the reason of a failed migration.
const MAX_REASON: usize = 200;

fn is_repeated(record: &Record, new: &NewRecord) -> bool {
    record.partner_id == new.partner_id
        && record.primary_system == new.primary_system
        && record.functional_aliases == new.functional_aliases
        && record.trigger == new.trigger
        && record.profile_index == new.profile_index
        && record.standing == new.standing.clone().trimmed()
        && record.until == new.until
        && new.since.is_none_or(|since| since == record.since)
}
