//! The primary's doors: operators keep users and their profiles, relays of partner systems tell
//! which of them have migrated. `crate::manual::primary` shows them from outside.
//!
//! Users are behind the server's token like everything else. Migrations have tokens of their own:
//! one for each partner system, which speaks for that system only. A refusal is a problem document
//! (RFC 9457); it never repeats what might be a secret.

mod access;
mod body;
mod counts;
mod marks;
mod problem;
mod profiles;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

pub use self::access::Access;
pub use self::counts::Counts;

use self::problem::Problem;
use crate::migration::identity::SystemName;
use crate::migration::profile::Partner;
use crate::store::users::{Totals, Users, UsersError};
use crate::sys::clock::Clock;
use crate::wire::time::Timestamp;

/// The primary's half of migration; cheap to clone.
#[derive(Clone, Debug)]
pub struct Primary {
    users: Arc<Mutex<Users>>,
    own: SystemName,
    partners: Arc<[Partner]>,
    access: Arc<Access>,
    counts: Arc<Counts>,
    clock: Clock,
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
            partners: partners.into(),
            access: Arc::new(access),
            counts: Arc::default(),
            clock,
        }
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

    fn partner(&self, system: &SystemName) -> Option<Partner> {
        let mut partners = self.partners.iter();
        partners.find(|partner| partner.system == *system).cloned()
    }
}

/// Longest body with a user, in octets.
const MAX_USER: usize = 1_048_576;
/// Longest body of a telling, in octets.
const MAX_TELLING: usize = 16_384;

#[cfg(test)]
mod tests;
