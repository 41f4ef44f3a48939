//! What the core asks of its surroundings at once: bound sockets and the values of counters.

use std::net::SocketAddr;

use serde::Serialize;
use thiserror::Error;

use super::ids::StreamId;
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
    /// When the last packet was taken; `None` before the first.
    pub last_packet: Option<Timestamp>,
    /// The address that was learned.
    pub learned: Option<SocketAddr>,
}

impl StreamCounters {
    /// Datagrams dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }
}

/// Names of the reasons for which a datagram is dropped, in the order of the counters.
pub const DROP_REASONS: [&str; 8] = [
    "stranger",       // from another address than the one expected
    "malformed",      // neither RTP nor RTCP where one of them was expected
    "too-large",      // longer than a packet buffer
    "no-destination", // the other side's address is not known yet
    "loop",           // the same packet came 30 times within a second
    "send-failed",    // the kernel did not take it for sending
    "socket-full",    // the kernel dropped it before we read it (SO_RXQ_OVFL)
    "blocked",        // the flow is blocked by signalling
];
