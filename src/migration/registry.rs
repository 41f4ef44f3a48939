//! Who has migrated to us: records, keyed by (service, partner ID) and (service, primary ID).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::identity::{McId, Service, SystemName};
use super::record::{RecordId, Trigger};
use crate::wire::time::Timestamp;

/// The registry of migrated users.
#[derive(Debug, Default)]
pub struct Registry {}

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

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No record has this number.
    #[error("there is no migration with this number")]
    Unknown,
    /// The record has ended.
    #[error("the migration has ended")]
    Ended,
}
