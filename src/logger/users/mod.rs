//! The primary's doors: operators keep users and their profiles, relays of partner systems tell
//! which of them have migrated. `crate::manual::primary` shows them from outside.
//!
//! Users are behind the server's token like everything else. Migrations have tokens of their own:
//! one for each partner system, which speaks for that system only. A refusal is a problem document
//! (RFC 9457); it never repeats what might be a secret.

mod access;
mod body;
mod counts;
mod group;
mod marks;
mod problem;
mod profiles;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderMap;
use axum::routing::get;

pub use self::access::Access;
pub use self::counts::Counts;

use self::access::Caller;
use self::group::Group;
use self::problem::Problem;
use crate::migration::identity::SystemName;
use crate::migration::mark::Outcome;
use crate::migration::profile::Partner;
use crate::migration::telling::Telling;
use crate::store::users::{Totals, Users, UsersError};
use crate::sys::clock::Clock;
use crate::wire::time::Timestamp;

/// The primary's half of migration; cheap to clone.
#[derive(Clone, Debug)]
pub struct Primary {
    users: Arc<Mutex<Users>>,
    own: SystemName,
    terms: Arc<RwLock<Arc<Terms>>>,
    group: Group,
    counts: Arc<Counts>,
    clock: Clock,
}

/// What a reload changes, all at once.
#[derive(Debug)]
struct Terms {
    partners: Vec<Partner>,
    access: Arc<Access>,
}

impl Primary {
    /// The users of the system `own`, who may migrate to `partners`.
    pub fn new(
        users: Users,
        own: SystemName,
        partners: Vec<Partner>,
        access: Access,
        clock: Clock,
    ) -> Self {
        Self {
            users: Arc::new(Mutex::new(users)),
            own,
            terms: Arc::new(RwLock::new(Arc::new(Terms {
                partners,
                access: Arc::new(access),
            }))),
            group: Group::default(),
            counts: Arc::default(),
            clock,
        }
    }

    /// Other partners, and whom to know by which token, from the next request on.
    pub fn renew(&self, partners: Vec<Partner>, access: Access) {
        let access = Arc::new(access);
        let mut terms = self.terms.write().unwrap_or_else(PoisonError::into_inner);
        *terms = Arc::new(Terms { partners, access });
    }

    /// Whom we know by which token now.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.terms().access)
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.terms().access.caller(headers)
    }

    /// Routes behind the server's token, and those that look at tokens themselves.
    pub fn routes(&self) -> (Router, Router) {
        let protected = Router::new()
            .route("/v1/users", get(profiles::list))
            .route(
                "/v1/users/{id}",
                get(profiles::show)
                    .put(profiles::put)
                    .delete(profiles::delete),
            )
            .layer(DefaultBodyLimit::max(MAX_USER))
            .with_state(self.clone());
        let open = Router::new()
            .route("/v1/migrations", get(marks::list).post(marks::tell))
            .route(
                "/v1/migrations/{id}",
                get(marks::show).patch(marks::update).delete(marks::end),
            )
            .layer(DefaultBodyLimit::max(MAX_TELLING))
            .with_state(self.clone());
        (protected, open)
    }

    /// What became of tellings since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many users and migrations there are; waits for the disk.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn totals(&self) -> Result<Totals, UsersError> {
        let read = self.clone();
        let job = tokio::task::spawn_blocking(move || {
            let users = read.users.lock().unwrap_or_else(PoisonError::into_inner);
            users.totals(read.clock.now())
        });
        let busy = || UsersError::Store(crate::store::users::StoreError::Busy);
        job.await.unwrap_or_else(|_| Err(busy()))
    }

    /// Does something with the database, on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Users, Timestamp) -> Result<T, UsersError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (users, clock) = (Arc::clone(&self.users), self.clock);
        let job = tokio::task::spawn_blocking(move || {
            let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
            job(&mut users, clock.now())
        });
        let done = job.await.map_err(|_| Problem::busy())?;
        Ok(done?)
    }

    /// Takes a telling of a partner that speaks for itself, together with those that come
    /// meanwhile.
    async fn tell(&self, telling: Telling) -> Result<Outcome, Problem> {
        let terms = self.terms();
        let mut partners = terms.partners.iter();
        let partner = partners.find(|partner| partner.system == telling.partner_system);
        let told = self.group.add(partner.cloned(), telling);
        let (group, users, clock) = (self.group.clone(), Arc::clone(&self.users), self.clock);
        let job = tokio::task::spawn_blocking(move || {
            let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
            group.take(&mut users, clock.now());
        });
        // Another job may take the telling along; what matters is what became of it.
        drop(job);
        Ok(told.await.map_err(|_| Problem::busy())??)
    }
}

/// Longest body with a user, in octets.
const MAX_USER: usize = 1_048_576;
/// Longest body of a telling, in octets.
const MAX_TELLING: usize = 16_384;

#[cfg(test)]
mod tests;
