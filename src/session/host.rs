//! What the core asks of its surroundings at once: bound sockets and the values of counters.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::ids::{HomeId, MirrorId, StreamId};
use crate::wire::block::StreamKind;
use crate::wire::time::Timestamp;

/// The surroundings of the core. The runtime implements it with real sockets, tests with numbers.
pub trait Host {
    /// Binds a UDP socket to `local` for `stream`, with this DSCP byte if any. The host keeps it
    /// until a `Close` command for the stream.
    fn bind(
        &mut self,
        stream: StreamId,
        local: SocketAddr,
        tos: Option<u8>,
    ) -> Result<(), BindError>;

    /// The counters of a stream, as of now; zeros if it is not known.
    fn counters(&self, stream: StreamId) -> StreamCounters;

    /// Load of each worker, any unit that compares; the core gives a new call to the least one.
    fn worker_loads(&self) -> &[u64];

    /// Whether loggers can take all of these mirrors, besides those that are open.
    fn can_mirror(&self, mirrors: &[Room<'_>]) -> bool;

    /// What has become of a mirror that was opened; `None` if no logger took it.
    fn taken(&self, mirror: MirrorId) -> Option<Taken>;

    /// Name of the anchor that has, or is asked to take, a home leg; `None` if none is.
    fn anchor(&self, home: HomeId) -> Option<String> {
        let _ = home;
        None
    }
}

/// What a mirror needs at a logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room<'a> {
    /// Names of the loggers that may take it, in order of preference.
    pub loggers: &'a [String],
    /// Socket pairs whose streams it has, or will have as soon as the call is answered.
    pub pairs: usize,
}

/// A mirror that a logger has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Name of the logger.
    pub logger: String,
    /// Streams that are copied there; fewer than were attached if ports ran out.
    pub streams: usize,
}

/// Why a port could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BindError {
    /// Somebody else has the port: try another.
    #[error("the port is in use by another program")]
    InUse,
    /// No port will do: no descriptors left, or the address is not on this host.
    #[error("no socket can be made on this address")]
    Failed,
}

/// A reading of the counters of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamCounters {
    /// Datagrams taken.
    pub packets: u64,
    /// Their octets (UDP payload).
    pub octets: u64,
    /// Of the packets, those that are RTCP.
    pub rtcp_packets: u64,
    /// Datagrams dropped, by reason, in the order of [`DROP_REASONS`].
    pub drops: [u64; DROP_REASONS.len()],
    /// Packets that were sent on to the other leg.
    pub forwarded: u64,
    /// Octets that were sent on.
    pub forwarded_octets: u64,
    /// Copies sent to loggers.
    pub mirrored: u64,
    /// Copies that could not be sent.
    pub mirror_dropped: u64,
    /// SSRC seen last; `None` before the first RTP packet.
    pub ssrc: Option<u32>,
    /// Number of changes of SSRC.
    pub ssrc_changes: u32,
    /// RTP packets missing by sequence number (RFC 3550 A.3), summed over SSRCs.
    pub lost: i64,
    /// Interarrival jitter in time stamp units (RFC 3550 A.8).
    pub jitter: u32,
    /// Extended highest sequence number of the last SSRC (RFC 3550 A.1).
    pub last_seq: u32,
    /// Time stamp of the last RTP packet.
    pub last_rtp_timestamp: u32,
    /// Talk bursts seen: marker bit, or a packet after silence.
    pub talk_bursts: u32,
    /// Packets in the pre-roll now: a gauge.
    #[serde(skip_serializing_if = "is_zero")]
    pub preroll_kept: u64,
    /// Packets of the pre-roll that went to loggers after a late decision.
    #[serde(skip_serializing_if = "is_zero")]
    pub preroll_sent: u64,
    /// Packets that the pre-roll gave up while the call was undecided: a gap.
    #[serde(skip_serializing_if = "is_zero")]
    pub preroll_evicted: u64,
    /// When the last packet was taken; `None` before the first.
    pub last_packet: Option<Timestamp>,
    /// The address that was learned.
    pub learned: Option<SocketAddr>,
    /// On a stream that faces home: packets of parties that were sent there to come back. Those
    /// that did are its `packets`; copies that only probe home are not among them.
    pub home_sent: u32,
    /// Of those, the ones that have not come back, and are not expected to any more.
    pub home_lost: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StreamCounters {
    /// Datagrams dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// What the pre-roll keeps, and what became of what it kept.
    pub const fn preroll(&self) -> Preroll {
        Preroll {
            kept: self.preroll_kept,
            sent: self.preroll_sent,
            evicted: self.preroll_evicted,
        }
    }
}

/// Sums over streams: what was taken and what was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// RTP, and datagrams of media that are not RTP.
    pub rtp: Sum,
    /// RTCP. Of that on an RTP port only the packets are here, since only they are told apart.
    pub rtcp: Sum,
    /// Packets in the pre-roll, and what became of those that were.
    #[serde(skip)]
    pub preroll: Preroll,
}

/// What is, and was, kept of streams while it was undecided where they belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preroll {
    /// Packets kept now.
    pub kept: u64,
    /// Packets that went to loggers after a late decision.
    pub sent: u64,
    /// Packets given up while the call was undecided, or for want of a logger: a gap.
    pub evicted: u64,
}

impl Preroll {
    /// Whether nothing was ever kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its streams have closed: nothing is kept any more. What was kept is lost if it was still
    /// undecided where it belongs; otherwise the decision has settled it.
    pub(super) fn close(&mut self, undecided: bool) {
        let kept = std::mem::take(&mut self.kept);
        self.evicted += if undecided { kept } else { 0 };
    }

    fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.sent += other.sent;
        self.evicted += other.evicted;
    }
}

/// Sums over streams of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Datagrams taken.
    pub packets: u64,
    /// Their octets (UDP payload).
    pub octets: u64,
    /// Datagrams dropped, by reason, in the order of [`DROP_REASONS`].
    #[serde(deserialize_with = "drops")]
    pub drops: [u64; DROP_REASONS.len()],
}

impl Traffic {
    /// Adds the counters of a stream of this kind.
    pub fn add(&mut self, kind: StreamKind, counters: &StreamCounters) {
        let (sum, rtcp_packets) = match kind {
            StreamKind::Rtcp => (&mut self.rtcp, 0),
            StreamKind::Rtp => (&mut self.rtp, counters.rtcp_packets.min(counters.packets)),
            StreamKind::Datagram => (&mut self.rtp, 0),
        };
        sum.add(
            counters.packets - rtcp_packets,
            counters.octets,
            &counters.drops,
        );
        self.rtcp.packets = self.rtcp.packets.saturating_add(rtcp_packets);
        self.preroll.add(counters.preroll());
    }

    /// Adds the sums over other streams.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in [(&mut self.rtp, &other.rtp), (&mut self.rtcp, &other.rtcp)] {
            sum.add(more.packets, more.octets, &more.drops);
        }
        self.preroll.add(other.preroll);
    }

    /// Datagrams taken.
    pub const fn packets(&self) -> u64 {
        self.rtp.packets.saturating_add(self.rtcp.packets)
    }

    /// Datagrams dropped, with the reason, in the order of [`DROP_REASONS`].
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let pairs = self.rtp.drops.iter().zip(self.rtcp.drops);
        DROP_REASONS
            .into_iter()
            .zip(pairs.map(|(rtp, rtcp)| rtp + rtcp))
    }
}

impl Sum {
    /// Datagrams dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    fn add(&mut self, packets: u64, octets: u64, drops: &[u64; DROP_REASONS.len()]) {
        self.packets = self.packets.saturating_add(packets);
        self.octets = self.octets.saturating_add(octets);
        for (sum, more) in self.drops.iter_mut().zip(drops) {
            *sum = sum.saturating_add(*more);
        }
    }
}

/// Drops as an earlier version counted them: reasons that came later are at the end.
fn drops<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u64; DROP_REASONS.len()], D::Error> {
    let counted = Vec::<u64>::deserialize(deserializer)?;
    let mut drops = [0; DROP_REASONS.len()];
    for (place, count) in drops.iter_mut().zip(counted) {
        *place = count;
    }
    Ok(drops)
}

/// Names of the reasons for which a datagram is dropped, in the order of the counters.
pub const DROP_REASONS: [&str; 11] = [
    "stranger",       // from another address than the one expected
    "malformed",      // neither RTP nor RTCP where one of them was expected
    "too-large",      // longer than a packet buffer
    "no-destination", // the other side's address is not known yet
    "loop",           // the same packet came 30 times within a second
    "send-failed",    // the kernel did not take it for sending
    "socket-full",    // the kernel dropped it before we read it (SO_RXQ_OVFL)
    "blocked",        // the flow is blocked by signalling
    "late-home",      // came back from home after it had been sent straight
    "home-duplicate", // came back from home a second time
    "home-altered",   // came back from home other than it was sent there
];
