//! What a logger is told about a call and its streams, beside the packets themselves.
//!
//! These records travel as JSON inside blocks, so that a reader of a later or earlier version
//! keeps what it understands: unknown members are ignored, absent ones take their default.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::wire::time::Timestamp;

/// A call as its logger knows it; sent when a mirror opens, and again whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallInfo {
    /// The call-id of the signalling that set the call up.
    pub call_id: String,
    /// When the relay learned of the call.
    pub started: Timestamp,
    /// The MC system that the relay serves (the partner).
    pub relay_system: String,
    /// The MC system that the mirror is for (the primary).
    pub primary_system: String,
    /// `mcptt`, `mcvideo` or `mcdata`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `private`, `prearranged`, ... as in mcptt-info (TS 24.379 F.1), if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_type: Option<String>,
    /// MC group ID of a group call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Emergency or imminent peril call.
    #[serde(default)]
    pub emergency: bool,
    /// Free text that came with the signalling (NG key `metadata`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Who takes part, migrated users and others.
    #[serde(default)]
    pub parties: Vec<PartyInfo>,
    /// Why the call is mirrored, in words.
    #[serde(default)]
    pub reason: String,
}

/// One leg of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyInfo {
    /// The SIP tag that names the leg.
    pub tag: String,
    /// The partner's MC service ID of the user, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_id: Option<String>,
    /// The primary's MC service ID, for a migrated user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_id: Option<String>,
    /// The functional alias in use, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functional_alias: Option<String>,
    /// Whether this leg is one that the mirror is for.
    #[serde(default)]
    pub migrated: bool,
}

/// One mirrored stream: what arrives on one local socket of the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// Number of the stream, unique within the relay process.
    pub stream: u64,
    /// Tag of the leg whose user sends what the stream carries.
    pub from_tag: String,
    /// Whether it carries what a migrated user says or what that user hears.
    pub direction: Direction,
    /// Place of its m-line in the SDP, from 1.
    pub media_index: u32,
    /// What the media is.
    pub media: MediaKind,
    /// RTP, RTCP, or datagrams that are neither.
    pub kind: StreamKind,
    /// The relay's socket that receives it.
    pub local: SocketAddr,
    /// Where it comes from: the learned address, or until then the declared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SocketAddr>,
    /// Payload types and what they mean, from the sender's SDP.
    #[serde(default)]
    pub codecs: Vec<Codec>,
}

/// One payload type of a media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding as in `a=rtpmap`, for example `AMR-WB/16000`.
    pub encoding: String,
    /// Parameters as in `a=fmtp`, without the payload type; may be empty.
    #[serde(default)]
    pub fmtp: String,
}

/// Direction of a stream as seen by the migrated user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The migrated user sends it.
    FromUser,
    /// It is forwarded to the migrated user.
    ToUser,
    /// Both ends are migrated users of the same primary: stored once.
    Both,
}

/// Kind of a media, by what an agreement can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaKind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// Floor or transmission control: `m=application ... udp MCPTT` or `MCVideo` (TS 24.380, 24.581).
    Floor,
    /// Anything else.
    Other,
}

/// What the datagrams of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// RTP (RTCP too, when multiplexed on one port).
    Rtp,
    /// RTCP on a port of its own.
    Rtcp,
    /// The first port of a media that is not RTP: floor control and the like.
    Datagram,
}
