//! The reference media anchor: takes the media of redirected calls by SIP, records it, and sends
//! each packet back, as it is, to where it came from (design section 6, `crate::manual::redirect`).
//!
//! No socket for SIP and no clock here: [`Anchor`] is driven as a
//! [`wire::sip::Agent`](crate::wire::sip::Agent). The media sockets belong to the logger, whose
//! receiver records and returns what arrives.

mod agent;
mod call;
mod offer;

use std::net::IpAddr;
use std::time::Duration;

pub use self::agent::Anchor;

use crate::wire::network::Network;
use crate::wire::sip::Timing;

/// Settings of the anchor.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of our MC system: the primary of calls whose relay says nothing about it.
    pub system: String,
    /// Identities of our own; a path that names one is a cycle.
    pub identities: Vec<String>,
    /// Relays that may call, by the address that their SIP comes from; others are not answered.
    pub relays: Vec<Network>,
    /// Addresses that media is taken on, at most one of each family.
    pub bind: Vec<IpAddr>,
    /// First and last UDP port for media, both included.
    pub ports: (u16, u16),
    /// Calls at once.
    pub max_calls: usize,
    /// A call without any packet for so long is ended.
    pub media_timeout: Duration,
    /// Timers of SIP.
    pub timing: Timing,
    /// Random; makes tags and branches unguessable.
    pub secret: [u8; 32],
}

/// What the anchor has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls now.
    pub open: u64,
    /// Calls that were taken.
    pub taken: u64,
    /// Calls that were refused, and such that ended otherwise than by the relay's BYE, in the order
    /// of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// SIP datagrams from others than relays.
    pub strangers: u64,
    /// SIP datagrams of relays that are no messages.
    pub unreadable: u64,
}

/// Why a call was not taken, or ended, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// A relay's identity stands twice in the path, or ours stands there: 482.
    Loop,
    /// What is offered cannot be read or taken: 4xx.
    BadOffer,
    /// Too many calls, or no port is left: 503.
    Full,
    /// The relay has not acknowledged the answer.
    Unacknowledged,
    /// No packet for the media time-out.
    Silent,
}

impl Failure {
    /// All of them, in the order of [`Counts::failures`].
    pub const ALL: [Self; 5] = [
        Self::Loop,
        Self::BadOffer,
        Self::Full,
        Self::Unacknowledged,
        Self::Silent,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::BadOffer => "bad-offer",
            Self::Full => "full",
            Self::Unacknowledged => "unacknowledged",
            Self::Silent => "silent",
        }
    }
}
