//! Floor control of MCPTT (TS 24.380 clause 8) and transmission control of MCVideo (TS 24.581
//! clause 9): RTCP APP packets whose body is a list of type-length-value fields.
//!
//! [`messages`] walks a datagram, which may hold several messages (TS 24.380 8.1.2), and lends
//! a [`Message`] view for each; [`Builder`] writes one. What is not known is passed over: fields
//! by their length, messages by theirs (8.1.3). Names of messages are in [`kind`].

pub mod kind;

mod build;
#[cfg(test)]
mod tests;
mod view;

pub use build::Builder;
pub use kind::{FloorKind, Name};
pub use view::{Error, Field, Fields, Message, Messages, messages};

/// RTCP packet type of an application-defined packet (RFC 3550 6.7).
pub const PACKET_TYPE_APP: u8 = 204;

/// Field identifiers (TS 24.380 8.2.3.1; TS 24.581 9.2.3.1 uses the same numbers up to 14).
pub mod field {
    /// Floor Priority: priority, spare.
    pub const PRIORITY: u8 = 0;
    /// Duration: seconds.
    pub const DURATION: u8 = 1;
    /// Reject Cause: cause and an optional phrase.
    pub const REJECT_CAUSE: u8 = 2;
    /// Queue Info: position, priority.
    pub const QUEUE_INFO: u8 = 3;
    /// Granted Party's Identity; in MCVideo the user who transmits.
    pub const GRANTED_PARTY: u8 = 4;
    /// Permission to Request the Floor.
    pub const PERMISSION: u8 = 5;
    /// User ID.
    pub const USER_ID: u8 = 6;
    /// Queue Size.
    pub const QUEUE_SIZE: u8 = 7;
    /// Message Sequence Number.
    pub const SEQUENCE: u8 = 8;
    /// Queued User ID.
    pub const QUEUED_USER_ID: u8 = 9;
    /// Source: which function sent the message.
    pub const SOURCE: u8 = 10;
    /// Track Info.
    pub const TRACK_INFO: u8 = 11;
    /// Message Type: the acknowledged subtype.
    pub const MESSAGE_TYPE: u8 = 12;
    /// Floor Indicator: a bit map.
    pub const INDICATOR: u8 = 13;
    /// Audio SSRC of the granted participant.
    pub const AUDIO_SSRC: u8 = 14;
    /// MCPTT: Functional Alias. (MCVideo uses 21.)
    pub const FUNCTIONAL_ALIAS: u8 = 17;
    /// MCVideo: Functional Alias.
    pub const VIDEO_FUNCTIONAL_ALIAS: u8 = 21;
    /// MCVideo: Video SSRC of the transmitter.
    pub const VIDEO_SSRC: u8 = 23;
}

/// Bits of the Floor Indicator (TS 24.380 8.2.3.15).
pub mod indicator {
    /// Normal call.
    pub const NORMAL: u16 = 0x8000;
    /// Broadcast group call.
    pub const BROADCAST: u16 = 0x4000;
    /// System call.
    pub const SYSTEM: u16 = 0x2000;
    /// Emergency call.
    pub const EMERGENCY: u16 = 0x1000;
    /// Imminent peril call.
    pub const IMMINENT_PERIL: u16 = 0x0800;
    /// Queueing is supported.
    pub const QUEUEING: u16 = 0x0400;
    /// Dual floor.
    pub const DUAL_FLOOR: u16 = 0x0200;
    /// Temporary group.
    pub const TEMPORARY_GROUP: u16 = 0x0100;
    /// Multi-talker.
    pub const MULTI_TALKER: u16 = 0x0080;
}
