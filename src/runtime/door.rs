//! What hooks hold of the runtime: requests go to the control loop, changes of the registry to
//! the store first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use super::control::{Mailbox, Stopped};
use super::engine::Engine;
use super::primary::Primaries;
use crate::hook::{Control, Drain, Draining, RegistryFailure};
use crate::migration::record::{Record, RecordId};
use crate::migration::registry::{
    Change, NewRecord, RecordFilter, RecordUpdate, Registry, RegistryError,
};
use crate::migration::telling::Told;
use crate::session::reply::{Error, Reply};
use crate::session::request::Request;
use crate::store::registry::{Store, StoreError};
use crate::wire::time::Timestamp;

/// The way from hooks to the relay; cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    mailbox: Mailbox,
    store: Arc<Store>,
    primaries: Primaries,
}

impl Door {
    /// A door to this control loop and store; these primaries are told of what changes.
    pub(super) fn new(mailbox: Mailbox, store: Arc<Store>, primaries: Primaries) -> Self {
        Self {
            mailbox,
            store,
            primaries,
        }
    }

    /// A change in two phases: checked and reserved, stored, and only then in force. It runs to
    /// its end even if the client that asked for it goes away in between.
    async fn change(
        &self,
        prepare: impl FnOnce(&mut Registry, Timestamp) -> Result<Change, RegistryError> + Send + 'static,
    ) -> Result<Record, RegistryFailure> {
        let door = self.clone();
        let whole = tokio::spawn(async move {
            let change = door.prepare(prepare).await?;
            let records = change.records().to_vec();
            let stored = match door.store.put(records.clone()) {
                Ok(stored) => stored.wait().await,
                Err(busy) => Err(busy),
            };
            let record = door.finish(change, stored).await?;
            door.primaries.changed(&records);
            Ok(record)
        });
        whole.await.unwrap_or(Err(RegistryFailure::Busy))
    }

    /// Keeps a primary's word on a record for the next start. If that cannot be, the record is
    /// told once more then; so nobody waits for the disk.
    pub(super) async fn keep_word(&self, id: RecordId, told: Told) {
        for _ in 0..ATTEMPTS {
            match self.store.put_word(id, told.clone()) {
                Ok(_) => return,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn prepare(
        &self,
        prepare: impl FnOnce(&mut Registry, Timestamp) -> Result<Change, RegistryError> + Send + 'static,
    ) -> Result<Change, RegistryFailure> {
        let prepared = self.mailbox.with(move |engine| {
            let now = engine.now();
            prepare(engine.registry_mut(), now)
        });
        Ok(prepared.await??)
    }

    async fn finish(
        &self,
        change: Change,
        stored: Result<(), StoreError>,
    ) -> Result<Record, RegistryFailure> {
        let finish = move |engine: &mut Engine| match stored {
            Ok(()) => Ok(engine.commit(change)),
            Err(error) => {
                engine.registry_mut().abort(change);
                Err(RegistryFailure::Store(error.to_string()))
            }
        };
        self.mailbox.with(finish).await?
    }
}

impl Control for Door {
    async fn request(&self, request: Request) -> Result<Reply, Error> {
        self.mailbox.session(request).await
    }

    async fn add_migration(&self, new: NewRecord) -> Result<Record, RegistryFailure> {
        self.change(move |registry, now| registry.prepare_add(new, now))
            .await
    }

    async fn update_migration(
        &self,
        id: RecordId,
        update: RecordUpdate,
    ) -> Result<Record, RegistryFailure> {
        self.change(move |registry, now| registry.prepare_update(id, update, now))
            .await
    }

    async fn end_migration(&self, id: RecordId) -> Result<Record, RegistryFailure> {
        self.change(move |registry, now| registry.prepare_end(id, now))
            .await
    }

    async fn migrations(&self, filter: RecordFilter) -> Result<Vec<Record>, RegistryFailure> {
        let listed = self.mailbox.with(move |engine| {
            let now = engine.now();
            engine.registry().list(&filter, now)
        });
        Ok(listed.await?)
    }

    fn told(&self, record: &Record) -> Option<Told> {
        self.primaries.told(record)
    }
}

impl Drain for Door {
    async fn drain(&self, exit_when_empty: bool) -> Option<Draining> {
        info!(exit_when_empty, "draining: no new calls are taken");
        let job = move |engine: &mut Engine| engine.drain(exit_when_empty);
        self.mailbox.with(job).await.ok()
    }

    async fn undrain(&self) -> Option<Draining> {
        info!("calls are taken again");
        self.mailbox.with(Engine::undrain).await.ok()
    }

    async fn draining(&self) -> Option<Draining> {
        self.mailbox.with(|engine| engine.drained()).await.ok()
    }
}

impl From<Stopped> for RegistryFailure {
    fn from(Stopped: Stopped) -> Self {
        Self::Busy
    }
}

/// How often it is tried to keep a word while too many writes wait.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);
