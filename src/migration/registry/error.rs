//! Why the registry refuses a change.

use thiserror::Error;

use super::super::identity::{McId, SystemName};
use super::super::record::RecordId;

/// Why a record is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No record has this number.
    #[error("there is no migration with this number")]
    Unknown,
    /// The record has ended.
    #[error("the migration has ended")]
    Ended,
    /// An identity belongs to another migrated user at the same time.
    #[error("{id} is in use by migration {}: end it first", .holder.0)]
    InUse {
        /// The member of the request that names the identity.
        field: &'static str,
        /// The identity.
        id: McId,
        /// Who has it.
        holder: RecordId,
    },
    /// The same identity stands twice in one record.
    #[error("{id} stands twice: an alias must differ from the user's IDs and the other aliases")]
    Repeated {
        /// The member of the request that repeats it.
        field: &'static str,
        /// The identity.
        id: McId,
    },
    /// The partner ID is the primary ID.
    #[error("partner_id and primary_id are the same: the partner system issues an ID of its own")]
    SameId,
    /// A user of our own system cannot migrate to us.
    #[error("{0} is this system itself: its users are at home here")]
    OwnSystem(SystemName),
    /// An identity lies in the domain of a system that the record does not mean.
    #[error("{id} is in the domain of {system}, not of {expected}")]
    WrongSystem {
        /// The member of the request that names the identity.
        field: &'static str,
        /// The identity.
        id: McId,
        /// Whose domain it is in.
        system: SystemName,
        /// Where it should be.
        expected: SystemName,
    },
    /// The end does not lie after the beginning.
    #[error("until must be later than since")]
    Interval,
    /// The end lies in the past.
    #[error("until is in the past: the migration would never be in force")]
    Past,
    /// Too many functional aliases.
    #[error("more than {0} functional aliases")]
    TooManyAliases(usize),
    /// Why a migration failed is not told as it should be.
    #[error("reason must be 1 to {0} octets on one line")]
    FailureReason(usize),
    /// The registry is full.
    #[error("the registry holds its limit of {0} migrations: end some first")]
    Full(usize),
    /// Another change of the same identities is being stored.
    #[error("another change of the same user is being stored: try again")]
    InProgress,
}

impl RegistryError {
    /// The member of the request that is at fault, if there is one.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::InUse { field, .. }
            | Self::Repeated { field, .. }
            | Self::WrongSystem { field, .. } => Some(field),
            Self::SameId => Some("partner_id"),
            Self::OwnSystem(_) => Some("primary_system"),
            Self::Interval | Self::Past => Some("until"),
            Self::TooManyAliases(_) => Some("functional_aliases"),
            Self::FailureReason(_) => Some("reason"),
            Self::Unknown | Self::Ended | Self::Full(_) | Self::InProgress => None,
        }
    }
}
