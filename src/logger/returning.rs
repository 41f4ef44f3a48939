//! Streams whose packets go back to where they came from, after they were recorded: what a media
//! anchor needs of the logger. The receiver does it, in the same turn, from the same socket.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::atomic::AtomicCell;

use super::registry::{self, Attached, Command, Registry};
use super::service::{Handle, LoggerError, MirrorKey};
use crate::wire::block::StreamInfo;
use crate::wire::time::Timestamp;

/// A port whose packets are returned; shared with the receiver.
#[derive(Debug)]
pub(super) struct Returned {
    /// The only address that packets are taken from, and returned to.
    from: AtomicCell<SocketAddr>,
    closed: AtomicBool,
    /// Moment of the last packet, nanoseconds since the Unix epoch.
    last: AtomicU64,
}

impl Returned {
    /// Whether a packet from this address is to be taken.
    pub(super) fn takes(&self, source: SocketAddr) -> bool {
        let from = self.from.load();
        from.port() == source.port() && from.ip() == source.ip().to_canonical()
    }

    /// A packet was taken. Gives whether it is to be returned.
    pub(super) fn note(&self, at: Timestamp) -> bool {
        self.last.store(at.nanos(), Ordering::Relaxed);
        !self.closed.load(Ordering::Relaxed)
    }

    /// When the last packet came.
    pub(super) fn last(&self) -> Timestamp {
        Timestamp::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// From now on packets are expected from this address.
    pub(super) fn expect(&self, from: SocketAddr) {
        self.from.store(canonical(from));
    }

    /// From now on nothing is returned.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Two sockets on an even port and the odd one after it.
#[derive(Debug)]
pub(super) struct Pair {
    /// For RTP or datagrams.
    pub(super) even: UdpSocket,
    /// For RTCP.
    pub(super) odd: UdpSocket,
}

impl Handle {
    /// Binds the next free pair of a range, from port `cursor` on; gives it with where to go on.
    pub(super) fn bind_pair(
        &self,
        ip: IpAddr,
        (first, last): (u16, u16),
        cursor: &mut u16,
    ) -> io::Result<Pair> {
        let registry = self.shared.registry();
        let first = first.saturating_add(first % 2);
        for _ in 0..=(last.saturating_sub(first) / 2) {
            if *cursor < first || *cursor >= last {
                *cursor = first;
            }
            let port = *cursor;
            *cursor = port.saturating_add(2);
            // Ports are told apart by their number alone.
            if bound(&registry, port) {
                continue;
            }
            let pair = registry::bind(ip, port)
                .and_then(|even| Ok((even, registry::bind(ip, port.saturating_add(1))?)));
            match pair {
                Ok((even, odd)) => return Ok(Pair { even, odd }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Takes a stream on this socket, and returns its packets to where they came from, as long as
    /// that is `from`.
    pub(super) fn attach_returning(
        &self,
        key: &MirrorKey,
        info: StreamInfo,
        socket: UdpSocket,
        from: SocketAddr,
    ) -> Result<Arc<Returned>, LoggerError> {
        let at = self.shared.clock.now();
        let mut registry = self.shared.registry();
        let port = info.local.port();
        let unknown = || LoggerError::UnknownMirror(key.clone());
        let call = registry.mirrors.get(key).ok_or_else(unknown)?.call;
        let id = registry.stream_number();
        let back = Arc::new(Returned {
            from: AtomicCell::new(canonical(from)),
            closed: AtomicBool::new(false),
            last: AtomicU64::new(at.nanos()),
        });
        registry.ports.insert(port, Some(id));
        if let Some(mirror) = registry.mirrors.get_mut(key) {
            mirror.streams.insert(info.stream, Attached { id, port });
        }
        registry.commands.push(Command::Bind(port, socket));
        let (info, back_too) = (Box::new(info), Some(Arc::clone(&back)));
        let assign = Command::Assign {
            at,
            port,
            call,
            id,
            info,
            back: back_too,
        };
        self.shared.command(registry, assign);
        Ok(back)
    }
}

fn bound(registry: &Registry, port: u16) -> bool {
    let of = |port| registry.ports.contains_key(&port);
    of(port) || of(port.saturating_add(1))
}
