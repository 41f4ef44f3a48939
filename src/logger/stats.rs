//! What a logger counts. Counters only rise; each has one writer thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// A rising count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The live counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: Counter,
    pub(crate) octets: Counter,
    pub(crate) strangers: Counter,
    pub(crate) unattached: Counter,
    pub(crate) overflow: Counter,
    pub(crate) kernel: Counter,
    pub(crate) stored: Counter,
    pub(crate) write_errors: Counter,
    pub(crate) index_errors: Counter,
    pub(crate) recordings: Counter,
    pub(crate) recordings_failed: Counter,
    pub(crate) notices_dropped: Counter,
    pub(crate) torn_octets: Counter,
    pub(crate) damaged_octets: Counter,
    pub(crate) returned: Counter,
    pub(crate) elsewhere: Counter,
}

/// The counters at a moment, since the start of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets taken for a stream.
    pub received: u64,
    /// Octets of their payloads.
    pub octets: u64,
    /// Packets from addresses that are not relays; dropped.
    pub strangers: u64,
    /// Packets on a port that no mirror has attached; dropped.
    pub unattached: u64,
    /// Packets that were numbered and not kept, because the writer was behind or the disk full.
    pub overflow: u64,
    /// Packets that the kernel dropped at the logger's sockets.
    pub kernel: u64,
    /// Packets that are durably in the archive.
    pub stored: u64,
    /// Failed writes to the archive; each is tried again.
    pub write_errors: u64,
    /// Failed writes to the index; each is tried again.
    pub index_errors: u64,
    /// Recordings made.
    pub recordings: u64,
    /// Recordings that could not be made; they are tried again at the next start.
    pub recordings_failed: u64,
    /// Recordings whose notice nobody fetched in time; the recordings themselves are there.
    pub notices_dropped: u64,
    /// Octets of unfinished blocks that were cut off at the start.
    pub torn_octets: u64,
    /// Octets in the middle of segments that could not be read at the start; they are left there.
    pub damaged_octets: u64,
    /// Packets that the media anchor sent back to where they came from.
    pub returned: u64,
    /// Packets at ports of the media anchor from other addresses than the offered one; dropped.
    pub elsewhere: u64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            received: self.received.value(),
            octets: self.octets.value(),
            strangers: self.strangers.value(),
            unattached: self.unattached.value(),
            overflow: self.overflow.value(),
            kernel: self.kernel.value(),
            stored: self.stored.value(),
            write_errors: self.write_errors.value(),
            index_errors: self.index_errors.value(),
            recordings: self.recordings.value(),
            recordings_failed: self.recordings_failed.value(),
            notices_dropped: self.notices_dropped.value(),
            torn_octets: self.torn_octets.value(),
            damaged_octets: self.damaged_octets.value(),
            returned: self.returned.value(),
            elsewhere: self.elsewhere.value(),
        }
    }
}
