//! What the registry is told, and what it gives to be stored.

use serde::{Deserialize, Serialize};

use super::super::identity::{McId, Service, SystemName};
use super::super::record::{Record, RecordId, Standing, Trigger};
use super::check::Key;
use crate::wire::time::Timestamp;

/// A migration that is to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRecord {
    /// The service.
    pub service: Service,
    /// The user's ID at home.
    pub primary_id: McId,
    /// The ID that the partner issued.
    pub partner_id: McId,
    /// The user's primary system.
    pub primary_system: SystemName,
    /// Functional aliases held at the partner.
    #[serde(default)]
    pub functional_aliases: Vec<McId>,
    /// Who set it off.
    #[serde(default)]
    pub trigger: Trigger,
    /// User profile in use.
    #[serde(default)]
    pub profile_index: Option<u32>,
    /// Whether it came about.
    #[serde(default)]
    pub standing: Standing,
    /// In force from then on; now if absent.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// In force until then; until ended if absent.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// Changes to a migration; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordUpdate {
    /// New partner ID.
    pub partner_id: Option<McId>,
    /// New list of functional aliases.
    pub functional_aliases: Option<Vec<McId>>,
    /// New profile index.
    pub profile_index: Option<u32>,
    /// Whether it came about after all, or failed later.
    pub standing: Option<Standing>,
    /// New end.
    pub until: Option<Timestamp>,
}

/// Which records to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordFilter {
    /// Of this service.
    pub service: Option<Service>,
    /// With this primary ID.
    pub primary_id: Option<McId>,
    /// With this partner ID.
    pub partner_id: Option<McId>,
    /// Of this primary system.
    pub primary_system: Option<SystemName>,
    /// Ended and expired ones too.
    pub all: bool,
    /// Numbers above this one.
    pub after: Option<RecordId>,
    /// At most so many; 100 if absent, 1,000 at most.
    pub limit: Option<usize>,
}

impl RecordFilter {
    /// Whether a record belongs in the list.
    pub(super) fn fits(&self, record: &Record, now: Timestamp) -> bool {
        (self.all || record.is_open(now))
            && self.service.is_none_or(|s| s == record.service)
            && fits(self.primary_id.as_ref(), &record.primary_id)
            && fits(self.partner_id.as_ref(), &record.partner_id)
            && fits(self.primary_system.as_ref(), &record.primary_system)
    }
}

/// A change that was checked, and waits for the store. Hand it back by
/// [`commit`](super::Registry::commit) or [`abort`](super::Registry::abort): until then no other
/// change of the same user or identities is accepted.
#[derive(Debug)]
#[must_use = "commit it after it was stored, or abort it"]
pub struct Change {
    pub(super) records: Vec<Record>,
    pub(super) result: Record,
    pub(super) keys: Vec<Key>,
    pub(super) adds: bool,
}

impl Change {
    /// Records as they are to be stored, all of them or none; those with a known number replace
    /// what was stored before. Empty if nothing changes.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record that was added, updated or ended.
    pub fn result(&self) -> &Record {
        &self.result
    }
}

fn fits<T: PartialEq>(wanted: Option<&T>, value: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}
