//! The migration record: one user of one service, served here while at home elsewhere.

use serde::{Deserialize, Serialize};

use super::identity::{McId, Service, SystemName};
use crate::wire::time::Timestamp;

/// Number of a migration record, given by the registry; never used twice in one data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub u64);

/// Who set the migration off (TS 23.280 5.2.9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The client, because it moved.
    #[default]
    Client,
    /// The primary MC system.
    PrimarySystem,
}

/// Whether a migration came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// The user's service was authorised (TS 23.280 10.6.3).
    #[default]
    Authorised,
    /// It was not; whether the user is served all the same is the agreement's matter
    /// (TS 23.280 5.2.9.1).
    Failed {
        /// Why, as a word such as `partner-not-in-profile`.
        reason: String,
    },
}

impl Standing {
    /// Why the migration failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Authorised => None,
            Self::Failed { reason } => Some(reason),
        }
    }

    /// The same without white space around the reason.
    #[must_use]
    pub fn trimmed(self) -> Self {
        match self {
            Self::Authorised => Self::Authorised,
            Self::Failed { reason } => Self::Failed {
                reason: reason.trim().to_owned(),
            },
        }
    }
}

/// What the partner knows of a migrated user (TS 23.280 10.6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub id: RecordId,
    /// The service that the user migrated with.
    pub service: Service,
    /// The user's MC service ID in the primary system.
    pub primary_id: McId,
    /// The MC service ID that the partner issued; what calls carry.
    pub partner_id: McId,
    /// The user's primary system.
    pub primary_system: SystemName,
    /// Functional aliases that the user holds at the partner (TS 23.280 10.16.3).
    #[serde(default)]
    pub functional_aliases: Vec<McId>,
    /// Who set it off.
    #[serde(default)]
    pub trigger: Trigger,
    /// Index of the user profile in use (TS 23.280 Table 10.6.3.2.1-1).
    #[serde(default)]
    pub profile_index: Option<u32>,
    /// Whether it came about.
    #[serde(default)]
    pub standing: Standing,
    /// In force from then on.
    pub since: Timestamp,
    /// In force until then; `None` until it is ended.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl Record {
    /// Whether the record is in force at `now`: from `since` on, and before `until`.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.since <= now && self.until.is_none_or(|until| now < until)
    }

    /// All names of the user: the IDs, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &McId> {
        let ids = [&self.primary_id, &self.partner_id];
        ids.into_iter().chain(&self.functional_aliases)
    }

    /// Whether the record is in force at `now` or will be later.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now.max(self.since) < until)
    }
}
