//! Which relays were heard lately: one that falls silent has died, and its recordings are closed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::logger::service::Handle;
use crate::sys::clock::Clock;
use crate::wire::time::Timestamp;

/// The relays that have announced something, and when each was last heard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relays {
    clock: Clock,
    heard: Arc<Mutex<BTreeMap<String, Timestamp>>>,
}

impl Relays {
    /// Nobody was heard yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            heard: Arc::default(),
        }
    }

    /// Notes that a relay is there; false when there are too many.
    pub(super) fn heard(&self, relay: &str) -> bool {
        let now = self.clock.now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = heard.get_mut(relay) {
            *last = now;
            return true;
        }
        let room = heard.len() < MAX_RELAYS;
        if room {
            heard.insert(relay.to_owned(), now);
        }
        room
    }

    /// Closes the mirrors of relays that were not heard for so long. Gives how many mirrors.
    pub fn close_silent(&self, handle: &Handle, silence: Duration) -> usize {
        let now = self.clock.now();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = heard.extract_if(.., |_, last| now.since(*last) >= silence);
        let gone: Vec<String> = gone.map(|(relay, _)| relay).collect();
        drop(heard);
        gone.iter().map(|relay| handle.close_all(relay)).sum()
    }
}

/// Relays say something every few seconds; one that was not heard for so long is gone.
pub const SILENCE: Duration = Duration::from_secs(60);
/// Each start of a relay is another one.
const MAX_RELAYS: usize = 1_000;
