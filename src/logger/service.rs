//! The logger as a service: threads, sockets, files behind one handle.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::Receiver;
use thiserror::Error;

use super::fault::Faults;
use super::intake::Waker;
use super::registry::{self, Attached, Command, Mirror, Registry};
use super::stats::{Counters, Stats};
use crate::sys::clock::Clock;
use crate::wire::block::{CallInfo, Event, StreamInfo};

/// Settings of the logger.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where archive, index and recordings lie; made with mode 0700 if absent.
    pub dir: PathBuf,
    /// Address that media arrives on.
    pub bind: IpAddr,
    /// First and last UDP port for media, both included. An even port takes RTP (or datagrams of
    /// a media that is not RTP), the odd one after it RTCP.
    pub ports: (u16, u16),
    /// Addresses that media is taken from; packets from others are counted and dropped.
    pub relays: Vec<IpAddr>,
    /// Whether all ports are bound at start. Otherwise a port is bound when a stream is attached.
    pub bind_all: bool,
    /// From the end of a call to the closing of its recording, for packets still on the way.
    pub close_grace: Duration,
    /// A block is sealed when it has so many octets...
    pub block_bytes: usize,
    /// ... or is so old.
    pub block_age: Duration,
    /// A segment file of the archive is closed at so many octets.
    pub segment_bytes: u64,
}

/// What is not for everyday use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Faults to be injected, for the demo.
    pub faults: Faults,
    /// With `bind_all`: a recording that nobody announced is closed after so long without a packet.
    pub silence: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            faults: Faults::default(),
            silence: Duration::from_secs(30),
        }
    }
}

/// Names one mirror of one relay process: calls are told apart by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorKey {
    /// Instance of the relay: random for each start of its process.
    pub relay: String,
    /// Number of the mirror there.
    pub mirror: u64,
}

/// A recording that was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The mirror that it is of.
    pub key: MirrorKey,
    /// What is known of the call.
    pub info: CallInfo,
    /// The pcapng file.
    pub path: PathBuf,
    /// Packets in it.
    pub packets: u64,
    /// RTP packets that are missing by sequence number.
    pub lost: u64,
    /// Whether the logger did not see the end of the call, because it was stopped hard.
    pub incomplete: bool,
}

/// What went wrong at the logger.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoggerError {
    /// A port cannot be bound.
    #[error("the logger cannot take media on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The mirror is not known.
    #[error("mirror {0:?} is not open")]
    UnknownMirror(MirrorKey),
    /// The archive or index cannot be used.
    #[error("the archive in {dir} cannot be used: {reason}")]
    Archive {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The way to a logger in the same process; cheap to clone. Calls return at once: what takes time
/// is done by the logger's own threads.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    /// A mirror begins (again, after a change: then what is known of the call is replaced).
    pub fn open(&self, key: MirrorKey, info: CallInfo) {
        let now = self.shared.clock.now();
        let mut registry = self.shared.registry();
        let event = match registry.mirrors.get(&key) {
            Some(mirror) => Event::CallUpdate {
                call: mirror.call,
                info,
            },
            None => {
                let call = registry.call_number();
                let streams = BTreeMap::new();
                let (relay, mirror) = (key.relay.clone(), key.mirror);
                registry.mirrors.insert(key, Mirror { call, streams });
                Event::CallOpen {
                    call,
                    relay,
                    mirror,
                    info,
                }
            }
        };
        self.shared
            .command(registry, Command::Event(now, Box::new(event)));
    }

    /// Takes a stream on this port; the port is bound when this returns. Port 0 lets the system
    /// choose one. A port that still belongs to an earlier stream passes to this one.
    ///
    /// # Errors
    /// The port cannot be bound, or the mirror is not open.
    pub fn attach(
        &self,
        key: &MirrorKey,
        info: StreamInfo,
        port: u16,
    ) -> Result<SocketAddr, LoggerError> {
        let at = self.shared.clock.now();
        let mut registry = self.shared.registry();
        let unknown = || LoggerError::UnknownMirror(key.clone());
        let mirror = registry.mirrors.get(key).ok_or_else(unknown)?;
        let (call, before) = (mirror.call, mirror.streams.get(&info.stream).copied());
        let address = |port| SocketAddr::new(self.shared.bind, port);
        if let Some(attached) = before.filter(|attached| attached.port == port) {
            let id = attached.id;
            let event = Event::StreamUpdate { id, info };
            self.shared
                .command(registry, Command::Event(at, Box::new(event)));
            return Ok(address(port));
        }
        let port = self.shared.bind_port(&mut registry, port)?;
        if let Some(stream) = before {
            let due = at + self.shared.close_grace;
            registry.commands.push(Command::Release { due, stream });
        }
        let id = registry.stream_number();
        registry.ports.insert(port, Some(id));
        if let Some(mirror) = registry.mirrors.get_mut(key) {
            mirror.streams.insert(info.stream, Attached { id, port });
        }
        let assign = Command::Assign {
            at,
            port,
            call,
            id,
            info: Box::new(info),
            back: None,
        };
        self.shared.command(registry, assign);
        Ok(address(port))
    }

    /// What is known about an attached stream has changed (its remote address was learned).
    pub fn update_stream(&self, key: &MirrorKey, info: StreamInfo) {
        let now = self.shared.clock.now();
        let registry = self.shared.registry();
        let streams = registry.mirrors.get(key).map(|mirror| &mirror.streams);
        let Some(attached) = streams.and_then(|streams| streams.get(&info.stream)) else {
            return;
        };
        let id = attached.id;
        let event = Event::StreamUpdate { id, info };
        self.shared
            .command(registry, Command::Event(now, Box::new(event)));
    }

    /// No more packets will be sent for the stream; those on the way are taken for the grace time.
    pub fn detach(&self, key: &MirrorKey, stream: u64) {
        let due = self.shared.clock.now() + self.shared.close_grace;
        let mut registry = self.shared.registry();
        let mirror = registry.mirrors.get_mut(key);
        if let Some(stream) = mirror.and_then(|mirror| mirror.streams.remove(&stream)) {
            self.shared
                .command(registry, Command::Release { due, stream });
        }
    }

    /// The mirror has ended: close its recording after the grace time. The same key can be opened
    /// anew at once; that is another call.
    pub fn close(&self, key: &MirrorKey) {
        let due = self.shared.clock.now() + self.shared.close_grace;
        let mut registry = self.shared.registry();
        if let Some(mirror) = registry.mirrors.remove(key) {
            let streams = mirror.streams.into_values().collect();
            let call = mirror.call;
            self.shared
                .command(registry, Command::Close { due, call, streams });
        }
    }

    /// Takes media from these addresses only, from now on.
    pub fn hear_only(&self, relays: Vec<IpAddr>) {
        let registry = self.shared.registry();
        self.shared.command(registry, Command::Hear(relays));
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// Names this run of the logger: another one knows none of the mirrors that were opened here.
    pub fn run_name(&self) -> String {
        format!("{:032x}", self.shared.epoch)
    }

    /// How many mirrors are open.
    pub fn open_mirrors(&self) -> usize {
        self.shared.registry().mirrors.len()
    }

    /// How many streams a mirror has; `None` if it is not open.
    pub fn streams(&self, key: &MirrorKey) -> Option<usize> {
        let registry = self.shared.registry();
        registry.mirrors.get(key).map(|mirror| mirror.streams.len())
    }

    /// Closes all mirrors of a relay, which is gone. Gives how many.
    pub fn close_all(&self, relay: &str) -> usize {
        self.close_others(relay, 0..=u64::MAX, &BTreeSet::new())
    }

    /// Closes the mirrors of a relay with these numbers, but for those that are open there. Gives
    /// how many.
    pub fn close_others(
        &self,
        relay: &str,
        numbers: RangeInclusive<u64>,
        open: &BTreeSet<u64>,
    ) -> usize {
        let ended = |key: &&MirrorKey| {
            let number = &key.mirror;
            key.relay == relay && numbers.contains(number) && !open.contains(number)
        };
        let registry = self.shared.registry();
        let keys = registry.mirrors.keys().filter(ended);
        let mut keys: Vec<MirrorKey> = keys.cloned().collect();
        drop(registry);
        keys.sort_unstable();
        for key in &keys {
            self.close(key);
        }
        keys.len()
    }
}

/// What the threads and the handles share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) epoch: u128,
    pub(super) counters: Counters,
    pub(super) bind: IpAddr,
    pub(super) close_grace: Duration,
    pub(super) bind_all: bool,
    pub(super) registry: Mutex<Registry>,
    pub(super) waker: Waker,
    pub(super) pending: AtomicBool,
    pub(super) stopping: AtomicBool,
    pub(super) suspended: AtomicBool,
    pub(super) abandoned: AtomicBool,
}

impl Shared {
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service stops, orderly or not.
    pub(super) fn ending(&self) -> bool {
        self.stopping.load(Ordering::Acquire) || self.abandoned()
    }

    /// The service stops, and another process goes on with it.
    pub(super) fn suspended(&self) -> bool {
        self.suspended.load(Ordering::Acquire)
    }

    /// The service was dropped without being stopped: everything stays as it lies.
    pub(super) fn abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Whether there are commands that the receiver has not taken.
    pub(super) fn pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// The commands that have come since.
    pub(super) fn take_commands(&self) -> Vec<Command> {
        let mut registry = self.registry();
        self.pending.store(false, Ordering::Release);
        std::mem::take(&mut registry.commands)
    }

    pub(super) fn command(&self, mut registry: MutexGuard<'_, Registry>, command: Command) {
        registry.commands.push(command);
        self.pending.store(true, Ordering::Release);
        drop(registry);
        self.waker.wake();
    }

    /// Binds a port, if it is not bound yet.
    fn bind_port(&self, registry: &mut Registry, port: u16) -> Result<u16, LoggerError> {
        if registry.ports.contains_key(&port) {
            return Ok(port);
        }
        let address = SocketAddr::new(self.bind, port);
        let error = |source| LoggerError::Bind { address, source };
        if self.bind_all {
            return Err(error(io::ErrorKind::AddrNotAvailable.into()));
        }
        let socket = registry::bind(self.bind, port).map_err(error)?;
        let port = socket.local_addr().map_err(error)?.port();
        registry.commands.push(Command::Bind(port, socket));
        Ok(port)
    }
}

/// A running logger. Dropping it without [`Service::stop`] ends its threads and leaves open calls
/// as a killed process would: the next start makes their recordings, marked incomplete.
#[derive(Debug)]
pub struct Service {
    pub(super) handle: Handle,
    pub(super) recordings: Receiver<Recording>,
    pub(super) threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts a logger: prepares its directory, brings the index up to date, binds what is to be
    /// bound, and makes the recordings of calls that an earlier process left.
    ///
    /// # Errors
    /// The directory cannot be used, or a port cannot be bound.
    pub fn start(settings: Settings, clock: Clock) -> Result<Self, LoggerError> {
        Self::start_with(settings, clock, Options::default())
    }

    /// As [`Service::start`], with what is not for everyday use.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn start_with(
        settings: Settings,
        clock: Clock,
        options: Options,
    ) -> Result<Self, LoggerError> {
        super::start::start(settings, clock, options)
    }

    /// The way to it for those who announce calls.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Recordings that were closed. Every receiver draws from the same queue of 4,096; when nobody
    /// draws, further notices are left out and counted. The recordings are made all the same.
    pub fn recordings(&self) -> Receiver<Recording> {
        self.recordings.clone()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// Takes what has arrived, closes all open recordings, and ends the threads. Notices can still
    /// be drawn from [`Service::recordings`] afterwards.
    pub fn stop(mut self) {
        self.handle.shared.stopping.store(true, Ordering::Release);
        self.join();
    }

    /// Takes what has arrived and makes it durable, and ends the threads; for a process that goes
    /// on at once. Calls stay open: the next start makes their recordings up to here, marked
    /// incomplete, and those of calls that had ended.
    pub fn suspend(mut self) {
        self.handle.shared.suspended.store(true, Ordering::Release);
        self.handle.shared.stopping.store(true, Ordering::Release);
        self.join();
    }

    fn join(&mut self) {
        self.handle.shared.waker.wake();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the logger has panicked");
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.handle.shared.abandoned.store(true, Ordering::Release);
            self.join();
        }
    }
}
