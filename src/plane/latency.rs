//! How long a packet was with the relay: from the kernel's receive time stamp to the moment when
//! it was handed to the kernel for sending.
//!
//! The clock is read once for at most [`GROUP`] packets, after the last of them was sent, so that
//! the figures err to the long side.

use std::io;
use std::thread::Thread;

use hdrhistogram::Histogram;

use crate::sys::clock::Clock;
use crate::wire::time::Timestamp;

/// Latencies in nanoseconds, up to ten seconds (longer ones count as that), to two digits.
pub type Latencies = Histogram<u64>;

/// An empty histogram.
///
/// # Errors
///
/// None in practice: its bounds are constants.
pub fn empty() -> io::Result<Latencies> {
    Histogram::new_with_bounds(1, MAX_NANOS, 2).map_err(io::Error::other)
}

/// Control asks for the histogram: the worker goes on with `fresh` and wakes `asker`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) fresh: Box<Latencies>,
    pub(super) asker: Thread,
}

/// Collects the latencies of one worker.
#[derive(Debug)]
pub(super) struct Recorder {
    histogram: Box<Latencies>,
    /// Receive times of packets that have been sent since the clock was read last.
    open: Vec<Timestamp>,
}

impl Recorder {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            histogram: Box::new(empty()?),
            open: Vec::with_capacity(GROUP),
        })
    }

    /// A packet that was received then has been handed to the kernel.
    pub(super) fn sent(&mut self, received: Option<Timestamp>) {
        let Some(received) = received else {
            return;
        };
        self.open.push(received);
        if self.open.len() == GROUP {
            self.settle();
        }
    }

    /// Reads the clock for the packets since the last time, if there are any.
    pub(super) fn settle(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let now = Clock::realtime();
        for received in self.open.drain(..) {
            // A stepped wall clock gives zero or the maximum; neither disturbs anything else.
            let nanos = now.nanos().saturating_sub(received.nanos());
            self.histogram.saturating_record(nanos);
        }
    }

    /// Gives the histogram away and goes on with another.
    pub(super) fn swap(&mut self, fresh: Box<Latencies>) -> Box<Latencies> {
        self.settle();
        std::mem::replace(&mut self.histogram, fresh)
    }
}

const GROUP: usize = 16;
const MAX_NANOS: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn packets_are_recorded_in_groups() {
        let mut recorder = Recorder::new().unwrap();
        let received = Clock::realtime() - Duration::from_millis(5);
        for _ in 0..GROUP + 1 {
            recorder.sent(Some(received));
        }
        recorder.sent(None);
        assert_eq!(recorder.histogram.len(), GROUP as u64);
        recorder.settle();
        let full = recorder.swap(Box::new(empty().unwrap()));
        assert_eq!(full.len(), GROUP as u64 + 1);
        assert!(full.min() >= 4_900_000);
        assert!(recorder.histogram.is_empty());
    }

    #[test]
    fn nonsense_stays_within_bounds() {
        let mut recorder = Recorder::new().unwrap();
        recorder.sent(Some(Timestamp::default()));
        recorder.sent(Some(Timestamp::from_nanos(u64::MAX)));
        recorder.settle();
        assert_eq!(recorder.histogram.len(), 2);
        assert!(recorder.histogram.max() >= MAX_NANOS);
    }
}
