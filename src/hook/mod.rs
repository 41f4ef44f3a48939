//! Signalling hooks: protocols by which proxies and MC servers drive the relay.
//!
//! A hook translates and validates; it holds no call state. It reaches the core through
//! [`Control`], which the runtime implements.

pub mod http;
pub mod ng;
mod operate;

pub use self::operate::{Drain, Draining, Fault, Reload, ReloadFailure, Reloaded};

use std::future::Future;

use crate::migration::record::{Record, RecordId};
use crate::migration::registry::{NewRecord, RecordFilter, RecordUpdate, RegistryError};
use crate::migration::telling::Told;
use crate::session::reply::{Error, Reply};
use crate::session::request::Request;

/// The way from a hook to the core. Cheap to clone; one queue with a bound stands behind it.
pub trait Control: Clone + Send + Sync + 'static {
    /// Hands a request to the session core and waits for its answer.
    fn request(&self, request: Request) -> impl Future<Output = Result<Reply, Error>> + Send;

    /// Adds a migration; returns when it is stored durably.
    fn add_migration(
        &self,
        new: NewRecord,
    ) -> impl Future<Output = Result<Record, RegistryFailure>> + Send;

    /// Changes a migration; returns when that is stored durably.
    fn update_migration(
        &self,
        id: RecordId,
        update: RecordUpdate,
    ) -> impl Future<Output = Result<Record, RegistryFailure>> + Send;

    /// Ends a migration now; returns when that is stored durably.
    fn end_migration(
        &self,
        id: RecordId,
    ) -> impl Future<Output = Result<Record, RegistryFailure>> + Send;

    /// Migrations that fit the filter, by number, a page at a time.
    fn migrations(
        &self,
        filter: RecordFilter,
    ) -> impl Future<Output = Result<Vec<Record>, RegistryFailure>> + Send;

    /// What has become of telling the primary of a migration; `None` if it is not to be told.
    fn told(&self, _record: &Record) -> Option<Told> {
        None
    }
}

/// Why a change of the registry did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFailure {
    /// The registry refuses it.
    #[error(transparent)]
    Refused(#[from] RegistryError),
    /// It could not be stored; nothing was changed.
    #[error("the registry could not be stored: {0}")]
    Store(String),
    /// The relay is too busy, or is stopping.
    #[error("the relay is too busy or is stopping")]
    Busy,
}
