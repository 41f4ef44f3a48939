//! The session initiation protocol (SIP, RFC 3261), as far as two parties need it that set up
//! media by INVITE: messages, transactions over UDP, and what a dialog is.
//!
//! Pure: no socket, no clock. [`parse()`] is total and bounded; what it gives is owned.
//! [`Transactions`] sends, repeats and matches; [`Dialog`] makes the requests within a dialog.
//! Lines, URIs and header values are read by `ezk-sip-types`, behind bounds of our own: it is
//! lenient, and takes quadratic time over the number of different header names.

mod dialog;
mod message;
mod parse;
mod state;
mod transaction;
mod write;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

pub use self::dialog::Dialog;
pub use self::message::{Message, Method, Start};
pub use self::parse::parse;
pub use self::transaction::{Counts, Event, Transactions, TxId};
pub use self::write::{Request, Response};

use crate::wire::time::Timestamp;

/// Longest message that is read or sent, in octets: what a UDP datagram over IPv6 holds without
/// jumbograms, rounded down.
pub const MAX_MESSAGE: usize = 65_000;
/// Longest head of a message, in octets.
pub const MAX_HEAD: usize = 16_384;
/// Most header lines of a message.
pub const MAX_HEADERS: usize = 96;

/// Why a datagram is no message that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// Beyond a bound of this module.
    #[error("too long")]
    TooLong,
    /// It is not SIP, or ends within its head or body.
    #[error("{0}")]
    Unreadable(&'static str),
    /// A header that every message has is missing, stands twice, or cannot be read.
    #[error("header {0} is missing, repeated or wrong")]
    Header(&'static str),
}

/// Between which two sockets messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// Our socket.
    pub local: SocketAddr,
    /// The other side.
    pub peer: SocketAddr,
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From where and to where.
    pub hop: Hop,
    /// The message.
    pub bytes: Bytes,
}

/// Round trip time and what follows from it (RFC 3261 17.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Estimate of the round trip time.
    pub t1: Duration,
    /// Longest pause between two transmissions.
    pub t2: Duration,
    /// Longest life of a message in the network.
    pub t4: Duration,
}

impl Default for Timing {
    /// 500 ms, 4 s, 5 s (RFC 3261, table 4).
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timing {
    /// How long an answer, or an ACK, is waited for: timers B, F and H.
    pub fn patience(self) -> Duration {
        self.t1 * 64
    }
}

/// One side of SIP dialogs that somebody drives: datagrams and time in, datagrams out.
pub trait Agent {
    /// A datagram has arrived.
    fn receive(&mut self, hop: Hop, datagram: &[u8], now: Timestamp);
    /// The next datagram to be sent, in order.
    fn poll_transmit(&mut self) -> Option<Transmit>;
    /// When [`Self::handle_timeout`] is to be called next.
    fn poll_timeout(&self) -> Option<Timestamp>;
    /// The time has come (or any other moment: it is harmless).
    fn handle_timeout(&mut self, now: Timestamp);
    /// Ends all dialogs.
    fn shutdown(&mut self, now: Timestamp);
    /// Whether there is no dialog, and no request that waits for its answer.
    fn is_idle(&self) -> bool;
}

/// Makes tags, branches and Call-IDs that nobody outside can guess.
#[derive(Clone, Debug)]
pub struct Ids {
    secret: [u8; 32],
    next: u64,
}

impl Ids {
    /// From a random secret.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self { secret, next: 0 }
    }

    /// A new one: 24 hexadecimal digits.
    pub fn word(&mut self) -> String {
        self.next += 1;
        let hash = blake3::keyed_hash(&self.secret, &self.next.to_be_bytes());
        hash.to_hex().chars().take(24).collect()
    }
}
