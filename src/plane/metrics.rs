//! What a worker counts about itself. The worker alone writes; anybody reads at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that one thread writes.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The value of now.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A single writer needs no read-modify-write.
    pub(super) fn add(&self, by: u64) {
        self.0
            .store(self.read().wrapping_add(by), Ordering::Relaxed);
    }

    pub(super) fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }
}

/// Counts of one worker since its start.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    /// Returns from waiting.
    pub wakeups: Count,
    /// System calls that receive.
    pub receive_calls: Count,
    /// Of them, those that failed.
    pub receive_errors: Count,
    /// Datagrams received, dropped ones included.
    pub datagrams: Count,
    /// System calls that forward.
    pub send_calls: Count,
    /// Datagrams forwarded.
    pub forwarded: Count,
    /// System calls that send copies.
    pub mirror_calls: Count,
    /// Copies sent.
    pub mirrored: Count,
    /// Copies that could not be sent.
    pub mirror_dropped: Count,
    /// Commands carried out.
    pub commands: Count,
    /// Commands that could not be carried out: for slots that are not in service, or already are.
    pub commands_failed: Count,
    /// Events that found no room in the queue. `Closed` is never among them.
    pub events_dropped: Count,
    /// Slots in service: a gauge.
    pub slots: Count,
}
