//! Home legs by SIP: a call's media is offered to the primary's media anchor, one m-line a lane,
//! and comes back from where the anchor took it (`crate::manual::redirect`).
//!
//! Pure: no socket, no clock. [`Client`] is told what to set up, change and end, is driven as a
//! [`wire::sip::Agent`](crate::wire::sip::Agent), and says what came of it as [`Outcome`]s.

mod answer;
mod client;
mod leg;
mod offer;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use self::answer::{Taken, read};
pub use self::client::Client;
pub use self::offer::{CALL, LANE, PATH, write};

use crate::wire::block::{CallInfo, StreamInfo};
use crate::wire::sip::Timing;

/// What goes through a home leg.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// What the anchor is told about the call.
    pub info: CallInfo,
    /// Identities of the relays that the media has come through, this one last.
    pub path: Vec<String>,
    /// One m-line each.
    pub lanes: Vec<Lane>,
}

/// One direction of one media on its way through home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Names it for the life of the home leg (RFC 4574).
    pub label: String,
    /// The stream that goes through it, as its logger would be told.
    pub info: StreamInfo,
    /// Protocol of the m-line, `RTP/AVP`.
    pub protocol: String,
    /// Our socket towards home for RTP or datagrams.
    pub rtp: SocketAddr,
    /// The same for RTCP; `None` for media that is not RTP, or where it shares the RTP port.
    pub rtcp: Option<SocketAddr>,
}

/// Where the anchor takes a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// RTP or datagrams.
    pub rtp: SocketAddr,
    /// RTCP, if it does not share the RTP port.
    pub rtcp: Option<SocketAddr>,
}

/// What came of a home leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The anchor takes these lanes, by label; others it has refused.
    Answered {
        /// The home leg.
        home: u64,
        /// Where each lane goes.
        lanes: Vec<(String, Remote)>,
    },
    /// The anchor does not take it, or has ended it.
    Failed {
        /// The home leg.
        home: u64,
        /// What sort of failure it is.
        failure: Failure,
        /// Why, for people.
        reason: String,
    },
}

/// Sorts of failures, as metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// The anchor said no: 3xx to 6xx.
    Refused,
    /// Nothing came from the anchor.
    TimedOut,
    /// The anchor is working on it, for too long.
    NoAnswer,
    /// The anchor's answer cannot be used.
    BadAnswer,
    /// The anchor has ended a leg that was up.
    Ended,
    /// The anchor knows nothing of a leg that was up.
    Lost,
    /// Too many legs at once, or more lanes than an offer holds.
    Full,
}

impl Failure {
    /// All of them, in the order of [`Counts::failures`].
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::TimedOut,
        Self::NoAnswer,
        Self::BadAnswer,
        Self::Ended,
        Self::Lost,
        Self::Full,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TimedOut => "timeout",
            Self::NoAnswer => "no-answer",
            Self::BadAnswer => "bad-answer",
            Self::Ended => "ended",
            Self::Lost => "lost",
            Self::Full => "full",
        }
    }
}

/// Settings of the client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of our MC system, for `From`.
    pub system: String,
    /// Addresses of the anchors: nobody else is listened to.
    pub anchors: Vec<IpAddr>,
    /// Home legs at once.
    pub max_legs: usize,
    /// From INVITE to its final answer.
    pub answer_timeout: Duration,
    /// Timers of SIP.
    pub timing: Timing,
    /// Random; makes tags and branches unguessable.
    pub secret: [u8; 32],
}

/// What the client has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Legs that were answered.
    pub answered: u64,
    /// Failures, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// Datagrams from others than anchors.
    pub strangers: u64,
    /// Datagrams of anchors that are no SIP messages.
    pub unreadable: u64,
    /// Messages sent again since nobody answered.
    pub repeated: u64,
}
