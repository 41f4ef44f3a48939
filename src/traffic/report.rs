//! What a run found.

use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::media::{Side, Stream};

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Calls by their end.
    pub calls: Calls,
    /// RTP packets of both directions.
    pub packets: Packets,
    /// RTP packets from the callers to the called parties.
    pub caller_to_callee: Packets,
    /// RTP packets from the called parties to the callers.
    pub callee_to_caller: Packets,
    /// RTCP sender reports.
    pub rtcp: Control,
    /// Floor control messages.
    pub floor: Control,
    /// From the moment a packet was handed to the kernel until the kernel received it for the
    /// other party.
    pub latency_us: Percentiles,
    /// The same from the moment a packet was *due*: a stall of the sender counts for
    /// every packet that it held up.
    pub latency_from_due_us: Percentiles,
    /// From the sending of the first packet of a stream until the first one arrived.
    pub first_packet_us: Percentiles,
    /// Interarrival jitter (RFC 3550 6.4.1) at the end of each stream.
    pub jitter_us: Percentiles,
    /// From the offer until the reply to the answer.
    pub setup_us: Percentiles,
    /// Requests that were repeated because no reply came in time.
    pub ng_repeats: u64,
    /// What the relay said it carried, summed over the replies to `delete`.
    pub relay: RelayTotals,
    /// Packets that this host's kernel refused to send.
    pub send_errors: u64,
    /// The run was stopped before its end.
    pub interrupted: bool,
    /// Length of the whole run in seconds.
    pub elapsed_secs: f64,
    /// The first few things that went wrong, in words.
    pub problems: Vec<String>,
    /// What was sent, for whoever checks recordings.
    #[serde(skip)]
    pub expected: Vec<CallExpectation>,
}

impl Report {
    /// Whether every packet and message that was sent arrived unchanged and once.
    pub fn passed(&self) -> bool {
        let Packets {
            lost,
            duplicate,
            altered,
            foreign,
            ..
        } = self.packets;
        let control = |c: &Control| c.lost + c.duplicate == 0;
        self.calls.failed == 0
            && lost + duplicate + altered + foreign == 0
            && self.send_errors == 0
            && !self.interrupted
            && control(&self.rtcp)
            && control(&self.floor)
    }
}

/// Calls by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// As many as the plan asked for.
    pub planned: u32,
    /// Calls whose packets and messages all arrived unchanged and once.
    pub ok: u32,
    /// Calls that were set up, and of which that is not true.
    pub failed: u32,
}

/// RTP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packets {
    /// Handed to the kernel.
    pub sent: u64,
    /// Arrived, each counted once, altered ones too.
    pub received: u64,
    /// Never arrived.
    pub lost: u64,
    /// Arrived again.
    pub duplicate: u64,
    /// Arrived after a later one.
    pub reordered: u64,
    /// Arrived with other octets.
    pub altered: u64,
    /// Datagrams of no known stream, or not from the relay.
    pub foreign: u64,
}

impl Packets {
    /// The sum of two directions.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            duplicate: self.duplicate + other.duplicate,
            reordered: self.reordered + other.reordered,
            altered: self.altered + other.altered,
            foreign: self.foreign + other.foreign,
        }
    }
}

/// Control messages of one kind, both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Handed to the kernel.
    pub sent: u64,
    /// Arrived unchanged, each counted once.
    pub received: u64,
    /// Did not arrive unchanged.
    pub lost: u64,
    /// Arrived again.
    pub duplicate: u64,
    /// Arrived, but are none that was sent; a relay may send RTCP of its own.
    pub foreign: u64,
}

/// A distribution in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Number of samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// What a relay said it carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RelayTotals {
    /// Replies to `delete` with statistics in them.
    pub calls: u64,
    /// RTP packets received.
    pub rtp_packets: u64,
    /// RTP octets received.
    pub rtp_octets: u64,
    /// RTP errors.
    pub rtp_errors: u64,
    /// RTCP packets received.
    pub rtcp_packets: u64,
}

/// What was sent in one call.
#[derive(Clone, Debug)]
pub struct CallExpectation {
    /// Its call-id.
    pub call_id: String,
    /// Caller and callee.
    pub parties: [PartyExpectation; 2],
}

/// What one party sent.
#[derive(Clone, Debug)]
pub struct PartyExpectation {
    stream: Stream,
    packets: u32,
}

impl PartyExpectation {
    /// The first `packets` packets of a stream.
    pub const fn new(stream: Stream, packets: u32) -> Self {
        Self { stream, packets }
    }

    /// Which party.
    pub const fn side(&self) -> Side {
        self.stream.side()
    }

    /// SSRC of its RTP stream.
    pub fn ssrc(&self) -> u32 {
        self.stream.ssrc()
    }

    /// Number of RTP packets it sent.
    pub const fn packets(&self) -> u32 {
        self.packets
    }

    /// A packet by its number, from 0, as it was sent.
    pub fn packet(&self, index: u32) -> Bytes {
        self.stream.packet(index)
    }

    /// The stream.
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }
}

/// A histogram of microseconds up to a minute, in fixed memory.
#[derive(Clone, Debug)]
pub(super) struct Micros(Option<Histogram<u64>>);

impl Micros {
    pub(super) fn new() -> Self {
        // Bounds and precision are constants that the crate accepts.
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).ok())
    }

    pub(super) fn record(&mut self, time: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        let Some(histogram) = &self.0 else {
            return Percentiles::default();
        };
        let at = |quantile| histogram.value_at_quantile(quantile);
        Percentiles {
            count: histogram.len(),
            mean: (histogram.mean() * 10.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        }
    }
}

const LONGEST_US: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_shows_in_the_tail() {
        let mut micros = Micros::new();
        (0..999).for_each(|_| micros.record(Duration::from_micros(40)));
        micros.record(Duration::from_secs(3_600));
        let found = micros.percentiles();
        assert_eq!((found.count, found.p50, found.p99), (1_000, 40, 40));
        assert!(found.max >= LONGEST_US);
        assert_eq!(Micros::new().percentiles(), Percentiles::default());
    }
}
