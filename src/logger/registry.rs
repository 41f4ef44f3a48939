//! What handles and the receiver share: which mirrors are open, who owns which port, and the
//! commands that the receiver has not taken yet. Locked for moments only, never for a packet.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::returning::Returned;
use super::service::MirrorKey;
use crate::sys::sockopt;
use crate::wire::block::{Event, StreamInfo};
use crate::wire::time::Timestamp;

/// The shared part.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Open mirrors.
    pub(super) mirrors: HashMap<MirrorKey, Mirror>,
    /// Bound ports, and the stream that each belongs to.
    pub(super) ports: BTreeMap<u16, Option<u64>>,
    /// What the receiver is to do, in order.
    pub(super) commands: Vec<Command>,
    next_call: u64,
    next_stream: u64,
}

/// An open mirror.
#[derive(Debug)]
pub(super) struct Mirror {
    /// Number of the call in our epoch.
    pub(super) call: u64,
    /// By number at the relay.
    pub(super) streams: BTreeMap<u64, Attached>,
}

/// A stream of an open mirror.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    /// Number in our epoch.
    pub(super) id: u64,
    pub(super) port: u16,
}

/// What a handle wants of the receiver.
#[derive(Debug)]
pub(super) enum Command {
    /// Put this into the archive.
    Event(Timestamp, Box<Event>),
    /// Receive on this socket.
    Bind(u16, UdpSocket),
    /// Take packets from these addresses only.
    Hear(Vec<IpAddr>),
    /// What comes on the port belongs to this stream from now on.
    Assign {
        at: Timestamp,
        port: u16,
        call: u64,
        id: u64,
        info: Box<StreamInfo>,
        /// The port's packets are returned, and the port lives no longer than the stream.
        back: Option<Arc<Returned>>,
    },
    /// The port is not needed for this stream after a time.
    Release { due: Timestamp, stream: Attached },
    /// The call is at its end after a time.
    Close {
        due: Timestamp,
        call: u64,
        streams: Vec<Attached>,
    },
}

impl Registry {
    /// The next number of a call.
    pub(super) fn call_number(&mut self) -> u64 {
        self.next_call += 1;
        self.next_call - 1
    }

    /// The next number of a stream.
    pub(super) fn stream_number(&mut self) -> u64 {
        self.next_stream += 1;
        self.next_stream - 1
    }
}

/// Binds a port, with a receive buffer as large as the system permits.
pub(super) fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // Without privilege the system cuts it to its limit (net.core.rmem_max); that is no error.
    let _ = sockopt::force_receive_buffer(&socket, RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Wanted size of a socket's receive buffer, in octets.
const RECEIVE_BUFFER: u32 = 1 << 20;
