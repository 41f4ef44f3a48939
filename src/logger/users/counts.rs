//! What became of tellings, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::migration::profile::Reason;

/// Counters; they only rise.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    stale: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
    /// Second at which a partner that claims what is not its own was last logged.
    complained: AtomicU64,
}

impl Counts {
    /// Tellings that were accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Tellings that came after a later one.
    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Tellings that were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .refused
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Reason::ALL.iter().map(|reason| reason.as_str()).zip(counts)
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn late(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, reason: Reason) {
        let of = Reason::ALL.iter().position(|of| *of == reason);
        if let Some(count) = of.and_then(|place| self.refused.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether to log now: at most once a minute.
    pub(super) fn may_complain(&self, second: u64) -> bool {
        let last = self.complained.load(Ordering::Relaxed);
        let due = last == 0 || second >= last.saturating_add(60);
        due && self
            .complained
            .compare_exchange(last, second, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}
