//! Where packets come from: the sockets of all ports, behind a small trait.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::wire::time::Timestamp;

/// A datagram at a port.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    /// The local port.
    pub(super) port: u16,
    /// Where it came from.
    pub(super) source: SocketAddr,
    /// When the kernel received it, if it says so.
    pub(super) time: Option<Timestamp>,
    /// Its payload.
    pub(super) bytes: &'a [u8],
    /// Datagrams that the kernel dropped at this socket since the last arrival.
    pub(super) dropped: u32,
}

/// A set of sockets.
pub(super) trait Intake: Send {
    /// Takes a non-blocking socket in.
    fn add(&mut self, port: u16, socket: UdpSocket) -> io::Result<()>;

    /// Closes a port's socket.
    fn remove(&mut self, port: u16);

    /// Waits for datagrams, at most so long or until somebody wakes it, and hands over some.
    fn poll(&mut self, timeout: Duration, take: &mut dyn FnMut(Arrival<'_>)) -> io::Result<()>;
}

/// Ends the wait of an [`Intake`].
#[derive(Clone, Debug)]
pub(super) struct Waker(Sender<()>);

impl Waker {
    pub(super) fn wake(&self) {
        // Full: it is awake already.
        let _ = self.0.try_send(());
    }
}

/// Asks each socket in turn; for systems without anything better.
#[derive(Debug)]
pub(super) struct Turns {
    sockets: Vec<(u16, UdpSocket)>,
    buffer: Vec<u8>,
    woken: Receiver<()>,
}

impl Turns {
    pub(super) fn new() -> (Self, Waker) {
        let (sender, woken) = bounded(1);
        let turns = Self {
            sockets: Vec::new(),
            buffer: vec![0; 65_536],
            woken,
        };
        (turns, Waker(sender))
    }
}

impl Intake for Turns {
    fn add(&mut self, port: u16, socket: UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.sockets.push((port, socket));
        Ok(())
    }

    fn remove(&mut self, port: u16) {
        self.sockets.retain(|(at, _)| *at != port);
    }

    fn poll(&mut self, timeout: Duration, take: &mut dyn FnMut(Arrival<'_>)) -> io::Result<()> {
        let mut any = false;
        for (port, socket) in &self.sockets {
            for _ in 0..BURST {
                let Ok((length, source)) = socket.recv_from(&mut self.buffer) else {
                    break;
                };
                any = true;
                take(Arrival {
                    port: *port,
                    source,
                    time: None,
                    bytes: self.buffer.get(..length).unwrap_or_default(),
                    dropped: 0,
                });
            }
        }
        if !any {
            let _ = self.woken.recv_timeout(timeout.min(PAUSE));
        }
        Ok(())
    }
}

/// Datagrams that are taken from a socket before the next one has its turn.
const BURST: usize = 32;
/// Between rounds in which nothing came.
const PAUSE: Duration = Duration::from_millis(1);
