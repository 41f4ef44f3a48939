//! Where packets come from: the sockets of all ports, watched by one epoll, read in batches.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::sys::clock::Clock;
use crate::sys::epoll::{Epoll, Ready};
use crate::sys::eventfd::EventFd;
use crate::sys::mmsg::{PacketRing, send_to};
use crate::sys::sockopt;
use crate::wire::time::Timestamp;

/// What was received at one port in one go; the datagrams are in the intake.
#[derive(Debug)]
pub(super) struct Received {
    /// The local port.
    pub(super) port: u16,
    /// How many datagrams.
    pub(super) count: usize,
    /// Datagrams that the kernel dropped here since it was last asked.
    pub(super) dropped: u32,
    moment: Moment,
}

/// A datagram at a port.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    /// The local port.
    pub(super) port: u16,
    /// Where it came from.
    pub(super) source: SocketAddr,
    /// When the kernel received it.
    pub(super) time: Timestamp,
    /// Its payload.
    pub(super) bytes: &'a [u8],
}

/// What an intake needs of the system; can be handed to the thread that it will work in, as the
/// intake itself with its buffers cannot.
#[derive(Debug)]
pub(super) struct Watch {
    epoll: Epoll,
    waker: Waker,
}

impl Watch {
    /// Watches nothing but the waker.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(super) fn new() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let waker = Waker(Arc::new(EventFd::new()?));
        epoll.add(&*waker.0, WAKE)?;
        Ok(Self { epoll, waker })
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

/// The sockets.
#[derive(Debug)]
pub(super) struct Intake {
    watch: Watch,
    ready: Ready,
    ring: PacketRing,
    sockets: BTreeMap<u16, Watched>,
}

/// A socket that is watched.
#[derive(Debug)]
struct Watched {
    socket: UdpSocket,
    /// What the kernel had dropped here when it was last asked.
    dropped: u32,
}

/// Ends the wait of an [`Intake`].
#[derive(Clone, Debug)]
pub(super) struct Waker(Arc<EventFd>);

impl Waker {
    pub(super) fn wake(&self) {
        self.0.signal();
    }
}

impl Intake {
    /// Without sockets.
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            ready: Ready::new(256),
            ring: PacketRing::with_buffers(BATCH, MAX_DATAGRAM),
            sockets: BTreeMap::new(),
        }
    }

    /// Takes a non-blocking socket in.
    pub(super) fn add(&mut self, port: u16, socket: UdpSocket) -> io::Result<()> {
        // Both are comforts: without them the time is that of reading, and drops show only as
        // missing sequence numbers.
        let _ = sockopt::set_receive_timestamps(&socket);
        let _ = sockopt::set_drop_counter(&socket);
        self.watch.epoll.add(&socket, u64::from(port))?;
        self.sockets.insert(port, Watched { socket, dropped: 0 });
        Ok(())
    }

    /// Closes a port's socket.
    pub(super) fn remove(&mut self, port: u16) {
        if let Some(watched) = self.sockets.remove(&port) {
            // Closing it would do as well; an error changes nothing.
            let _ = self.watch.epoll.remove(&watched.socket);
        }
    }

    /// Waits for datagrams, at most so long or until somebody wakes it; gives how many sockets have
    /// something to say.
    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = Some(round_up(timeout));
        self.watch.epoll.wait(&mut self.ready, timeout)?;
        Ok(self.ready.len())
    }

    /// Receives a batch at one of the sockets that the last wait found.
    pub(super) fn receive(&mut self, index: usize, clock: &Clock) -> Option<Received> {
        let token = self.ready.token(index)?;
        let Ok(port) = u16::try_from(token) else {
            self.watch.waker.0.clear();
            return None;
        };
        self.receive_at(port, clock)
    }

    /// Receives a batch at a port, whether or not the last wait has found something there.
    pub(super) fn receive_at(&mut self, port: u16, clock: &Clock) -> Option<Received> {
        let watched = self.sockets.get_mut(&port)?;
        // An error is that of a datagram which was never sent from here: nothing to be done.
        let count = self.ring.receive(&watched.socket, 0, BATCH).unwrap_or(0);
        let mut drops = (0..count)
            .rev()
            .filter_map(|place| self.ring.datagram(place).dropped);
        let counted = drops.next().unwrap_or(watched.dropped);
        let dropped = counted.wrapping_sub(watched.dropped);
        watched.dropped = counted;
        Some(Received {
            port,
            count,
            dropped,
            moment: Moment::now(clock),
        })
    }

    /// One of the datagrams that were received last.
    pub(super) fn arrival(&self, received: &Received, place: usize) -> Option<Arrival<'_>> {
        let datagram = self.ring.datagram(place);
        Some(Arrival {
            port: received.port,
            source: datagram.from.to_std()?,
            time: received.moment.of(datagram.received),
            bytes: datagram.bytes,
        })
    }
}

impl Intake {
    /// Sends a datagram that was received last back to where it came from.
    pub(super) fn send_back(&self, received: &Received, place: usize) -> io::Result<()> {
        let Some(watched) = self.sockets.get(&received.port) else {
            return Ok(());
        };
        let datagram = self.ring.datagram(place);
        send_to(&watched.socket, datagram.bytes, &datagram.from)
    }
}

/// The same moment by our clock and by the kernel's.
#[derive(Debug)]
struct Moment {
    ours: Timestamp,
    kernel: Timestamp,
}

impl Moment {
    /// Both clocks, read within [`CLOSE`] of each other if the scheduler permits.
    fn now(clock: &Clock) -> Self {
        let mut ours = clock.now();
        for _ in 0..3 {
            let kernel = Clock::realtime();
            let after = clock.now();
            if after.since(ours) <= CLOSE {
                return Self { ours, kernel };
            }
            ours = after;
        }
        let kernel = Clock::realtime();
        Self { ours, kernel }
    }

    /// What the kernel calls so, by our clock: however the wall clock was stepped in between,
    /// a packet was not received in the future nor long before it was read.
    fn of(&self, stamp: Option<Timestamp>) -> Timestamp {
        let age = stamp.map_or(Duration::ZERO, |stamp| self.kernel.since(stamp));
        self.ours - age.min(MAX_AGE)
    }
}

/// Epoll counts milliseconds; rounding down would make it ask in vain until the time is over.
fn round_up(timeout: Duration) -> Duration {
    Duration::from_millis(u64::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(1_000))
}

/// Datagrams that are taken from a socket before the next one has its turn.
pub(super) const BATCH: usize = 64;
/// Longest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// Token of the waker; ports are the others.
const WAKE: u64 = u64::MAX;
/// How near to each other two clocks are to be read.
const CLOSE: Duration = Duration::from_micros(20);
/// Longest time that a packet is thought to have waited in a socket.
const MAX_AGE: Duration = Duration::from_secs(10);
