//! What a block carries: packets of streams, and events of calls.

use serde::{Deserialize, Serialize};

use super::event::{CallInfo, StreamInfo};
use crate::wire::time::Timestamp;

/// One thing in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A packet.
    Packet(PacketFrame<'a>),
    /// An event, not yet decoded.
    Event(RawEvent<'a>),
}

/// A packet of a stream, as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketFrame<'a> {
    /// The stream: unique within the epoch.
    pub stream: u64,
    /// Number of the packet in its stream, from 0.
    pub index: u64,
    /// When it was received.
    pub time: Timestamp,
    /// The datagram's payload.
    pub bytes: &'a [u8],
}

/// An event whose JSON has not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// Number of the kind; those that are not known are skipped.
    pub kind: u64,
    /// When it happened.
    pub time: Timestamp,
    /// JSON text.
    pub json: &'a [u8],
}

impl RawEvent<'_> {
    /// The event; `None` for a kind that this version does not know.
    ///
    /// # Errors
    /// The kind is known and the JSON is not what it should be.
    pub fn decode(&self) -> Result<Option<Event>, serde_json::Error> {
        if !(1..=LAST_KIND).contains(&self.kind) {
            return Ok(None);
        }
        let event: Event = serde_json::from_slice(self.json)?;
        Ok((event.kind() == self.kind).then_some(event))
    }
}

/// What happens to calls and their streams. Calls and streams are numbered within the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A mirror of a call begins.
    CallOpen {
        /// Number of the call.
        call: u64,
        /// Instance of the relay that mirrors it.
        relay: String,
        /// Number of the mirror there.
        mirror: u64,
        /// What is known of the call.
        info: CallInfo,
    },
    /// What is known of a call has changed.
    CallUpdate {
        /// Number of the call.
        call: u64,
        /// Replaces what was known.
        info: CallInfo,
    },
    /// The mirror has ended; no packet of the call follows.
    CallClose {
        /// Number of the call.
        call: u64,
    },
    /// A stream of a call begins; packets of it follow.
    StreamOpen {
        /// Number of the call.
        call: u64,
        /// Number of the stream, which its packets refer to.
        id: u64,
        /// What is known of the stream.
        info: StreamInfo,
    },
    /// What is known of a stream has changed.
    StreamUpdate {
        /// Number of the stream.
        id: u64,
        /// Replaces what was known.
        info: StreamInfo,
    },
    /// No packet of the stream follows.
    StreamClose {
        /// Number of the stream.
        id: u64,
        /// Packets that were given an index.
        packets: u64,
    },
    /// Packets that were received but are not kept, or that the system dropped.
    Gap {
        /// Number of the stream.
        id: u64,
        /// Index of the first of them; for packets without index, of the next that has one.
        first: u64,
        /// How many.
        count: u64,
        /// Why.
        reason: GapReason,
    },
    /// The recording of a call has been made.
    Recorded {
        /// Epoch of the call, which may be an earlier one, in hexadecimal.
        epoch: String,
        /// Number of the call in that epoch.
        call: u64,
        /// The file, relative to the directory of recordings.
        path: String,
        /// Packets in it.
        packets: u64,
        /// RTP packets missing by sequence number.
        lost: u64,
        /// Whether the call had no orderly end.
        incomplete: bool,
    },
}

/// Why packets are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The writer was too slow or the disk full: numbered, but not kept.
    Overflow,
    /// The kernel dropped them at the socket: never numbered.
    Kernel,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// Number of the kind in the block format.
    pub const fn kind(&self) -> u64 {
        match self {
            Self::CallOpen { .. } => 1,
            Self::CallUpdate { .. } => 2,
            Self::CallClose { .. } => 3,
            Self::StreamOpen { .. } => 4,
            Self::StreamUpdate { .. } => 5,
            Self::StreamClose { .. } => 6,
            Self::Gap { .. } => 7,
            Self::Recorded { .. } => LAST_KIND,
        }
    }
}

/// Highest kind of event that is known.
const LAST_KIND: u64 = 8;

/// A packet with the index after the stream's previous one.
pub(super) const NEXT_PACKET: u64 = 0;
/// A packet with an index that is stated.
pub(super) const SKIP_PACKET: u64 = 1;
/// A stream is given the next slot.
pub(super) const DECLARE: u64 = 2;
/// An event.
pub(super) const EVENT: u64 = 3;
/// Bits of a frame's head that tell its form.
pub(super) const FORM_BITS: u32 = 3;
