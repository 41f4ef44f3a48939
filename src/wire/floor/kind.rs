//! Names and kinds of messages: the four-octet APP name says which protocol, the subtype which
//! message of it.

use std::fmt;

/// The APP name: which protocol a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// `MCPT`: MCPTT floor control (TS 24.380 8.2).
    Mcpt,
    /// `MCPC`: control of calls over a pre-established session (TS 24.380 8.3).
    Mcpc,
    /// `MCMC`, in early drafts `MCCP`: MBMS subchannel control (TS 24.380 8.4).
    Mcmc,
    /// `MCV0`: MCVideo, participant to server (TS 24.581 9.2).
    Mcv0,
    /// `MCV1`: MCVideo, server to participant.
    Mcv1,
    /// `MCV2`: MCVideo, both ways.
    Mcv2,
    /// Anything else.
    Other([u8; 4]),
}

impl Name {
    /// From the four octets on the wire.
    pub const fn from_octets(octets: [u8; 4]) -> Self {
        match &octets {
            b"MCPT" => Self::Mcpt,
            b"MCPC" => Self::Mcpc,
            b"MCMC" | b"MCCP" => Self::Mcmc,
            b"MCV0" => Self::Mcv0,
            b"MCV1" => Self::Mcv1,
            b"MCV2" => Self::Mcv2,
            _ => Self::Other(octets),
        }
    }

    /// As written on the wire.
    pub const fn octets(self) -> [u8; 4] {
        match self {
            Self::Mcpt => *b"MCPT",
            Self::Mcpc => *b"MCPC",
            Self::Mcmc => *b"MCMC",
            Self::Mcv0 => *b"MCV0",
            Self::Mcv1 => *b"MCV1",
            Self::Mcv2 => *b"MCV2",
            Self::Other(octets) => octets,
        }
    }

    /// Whether the name belongs to MCVideo transmission control.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Mcv0 | Self::Mcv1 | Self::Mcv2)
    }
}

/// The octets as text; what is not printable is escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.octets().escape_ascii())
    }
}

/// A floor control message by its subtype (TS 24.380 Table 8.2.2.1-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FloorKind {
    /// Floor Request, from a participant.
    Request = 0,
    /// Floor Granted, from the server.
    Granted = 1,
    /// Floor Taken, from the server.
    Taken = 2,
    /// Floor Deny, from the server.
    Deny = 3,
    /// Floor Release, from a participant.
    Release = 4,
    /// Floor Idle, from the server.
    Idle = 5,
    /// Floor Revoke, from the server.
    Revoke = 6,
    /// Floor Revoke Request (Rel-19), from a participant.
    RevokeRequest = 7,
    /// Floor Queue Position Request, from a participant.
    QueuePositionRequest = 8,
    /// Floor Queue Position Info, from the server.
    QueuePositionInfo = 9,
    /// Floor Ack, both ways.
    Ack = 10,
    /// Unicast Media Flow Control (Rel-17), from a participant.
    MediaFlowControl = 11,
    /// Rel-17: Floor Queued Cancel; from Rel-18 on: Queued Floor Requests. Nothing in the
    /// message tells which.
    Queued = 14,
    /// Floor Release Multi Talker, from the server.
    ReleaseMultiTalker = 15,
}

impl FloorKind {
    /// From a subtype without the acknowledgement bit; `None` for what is not assigned.
    pub const fn from_subtype(subtype: u8) -> Option<Self> {
        Some(match subtype {
            0 => Self::Request,
            1 => Self::Granted,
            2 => Self::Taken,
            3 => Self::Deny,
            4 => Self::Release,
            5 => Self::Idle,
            6 => Self::Revoke,
            7 => Self::RevokeRequest,
            8 => Self::QueuePositionRequest,
            9 => Self::QueuePositionInfo,
            10 => Self::Ack,
            11 => Self::MediaFlowControl,
            14 => Self::Queued,
            15 => Self::ReleaseMultiTalker,
            _ => return None,
        })
    }

    /// The subtype, without the acknowledgement bit.
    pub const fn subtype(self) -> u8 {
        self as u8
    }

    /// The message's name in the specification.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "Floor Request",
            Self::Granted => "Floor Granted",
            Self::Taken => "Floor Taken",
            Self::Deny => "Floor Deny",
            Self::Release => "Floor Release",
            Self::Idle => "Floor Idle",
            Self::Revoke => "Floor Revoke",
            Self::RevokeRequest => "Floor Revoke Request",
            Self::QueuePositionRequest => "Floor Queue Position Request",
            Self::QueuePositionInfo => "Floor Queue Position Info",
            Self::Ack => "Floor Ack",
            Self::MediaFlowControl => "Unicast Media Flow Control",
            Self::Queued => "Queued Floor Requests",
            Self::ReleaseMultiTalker => "Floor Release Multi Talker",
        }
    }
}

/// What the specifications call a message; `None` for what they do not assign (such a message
/// is to be ignored, TS 24.380 8.1.3). `subtype` is without the acknowledgement bit.
pub const fn label(name: Name, subtype: u8) -> Option<&'static str> {
    match name {
        Name::Mcpt => match FloorKind::from_subtype(subtype) {
            Some(kind) => Some(kind.as_str()),
            None => None,
        },
        Name::Mcpc => pick(&["Connect", "Disconnect", "Acknowledgement"], subtype),
        Name::Mcmc => pick(&["Map Group To Bearer", "Unmap Group To Bearer"], subtype),
        Name::Mcv0 => pick(&VIDEO_FROM_PARTICIPANT, subtype),
        Name::Mcv1 => pick(&VIDEO_FROM_SERVER, subtype),
        Name::Mcv2 => pick(&VIDEO_BOTH_WAYS, subtype),
        Name::Other(_) => None,
    }
}

const fn pick(labels: &[&'static str], subtype: u8) -> Option<&'static str> {
    let place = subtype as usize;
    if place < labels.len() && !labels[place].is_empty() {
        return Some(labels[place]);
    }
    None
}

/// `MCV0` by subtype (TS 24.581 9.2.2); empty where nothing is assigned.
const VIDEO_FROM_PARTICIPANT: [&str; 9] = [
    "Transmission Request",
    "",
    "Transmission Release",
    "Queue Position Request",
    "Receive Media Request",
    "",
    "",
    "Remote Transmission Request",
    "Remote Transmission Cancel Request",
];

/// `MCV1` by subtype.
const VIDEO_FROM_SERVER: [&str; 16] = [
    "Transmission Granted",
    "Transmission Rejected",
    "Transmission Arbitration Taken",
    "Transmission Arbitration Release",
    "Transmission Revoked",
    "Queue Position Info",
    "Media Transmission Notification",
    "Receive Media Response",
    "Media Reception Notification",
    "",
    "Transmission Cancel Request Notify",
    "Remote Transmission Response",
    "Remote Transmission Cancel Response",
    "Media Reception Override Notification",
    "Transmission End Notify",
    "Transmission Idle",
];

/// `MCV2` by subtype.
const VIDEO_BOTH_WAYS: [&str; 5] = [
    "Transmission End Request",
    "Transmission End Response",
    "Media Reception End Request",
    "Media Reception End Response",
    "Transmission Control Ack",
];
