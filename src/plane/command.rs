//! What goes to a worker, and what comes back.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use super::counters::Counters;
use super::flow::{Flow, SlotId};

/// A command to a worker.
#[derive(Debug)]
pub enum Command {
    /// Take the socket into service in an empty slot.
    Open {
        /// The slot.
        slot: SlotId,
        /// A bound, non-blocking socket.
        socket: UdpSocket,
        /// Wanted state.
        flow: Flow,
        /// Where to count; the worker is the only writer.
        counters: Arc<Counters>,
    },
    /// Change the wanted state.
    Configure {
        /// The slot.
        slot: SlotId,
        /// Wanted state.
        flow: Flow,
    },
    /// Copy accepted packets to these loggers; replaces the former list, which gets what has
    /// arrived when the command is given, and nothing that comes after it. At most [`MAX_MIRRORS`].
    Mirror {
        /// The slot.
        slot: SlotId,
        /// Loggers, for packets of the slot's own kind.
        targets: Vec<SocketAddr>,
    },
    /// A logger should have the packets of this slot, and none takes them. What the pre-roll keeps
    /// of it counts as given up when the decision takes `keep` away.
    Unserved {
        /// The slot.
        slot: SlotId,
    },
    /// All of these at once: no packet is looked at in between. What belongs together (the two
    /// directions of a call) goes into one batch, or its first packets would find half of it.
    Batch(Vec<Self>),
    /// Close the socket and empty the slot; answered by [`Event::Closed`]. What has arrived on it
    /// is carried first.
    Close {
        /// The slot.
        slot: SlotId,
    },
}

/// News from a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer of a slot is at this address.
    Learned {
        /// The slot.
        slot: SlotId,
        /// The address.
        address: SocketAddr,
    },
    /// Home does not answer on this slot, which faces it: packets go straight from now on.
    HomeLost {
        /// The slot.
        slot: SlotId,
        /// Packets that were sent home last and have not come back.
        unanswered: u64,
    },
    /// Home answers again on this slot: packets go through it from now on.
    HomeBack {
        /// The slot.
        slot: SlotId,
    },
    /// The slot is empty; its counters will not change any more.
    Closed {
        /// The slot.
        slot: SlotId,
    },
}

/// How many loggers one stream can be copied to.
pub const MAX_MIRRORS: usize = 4;
