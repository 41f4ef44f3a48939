//! NG over UDP: one datagram a message.
//!
//! Each listen address has a socket and a task; replies leave from the socket that the request came
//! to. For a datagram that task does, in this order: check the source, read the envelope, answer
//! `ping`, look for a repeat, translate, hand the request to the core. Only where the core has no
//! answer at once does a task of its own wait for it; the request is queued before that, so
//! requests reach the core in the order in which they came. Requests in flight are bounded: beyond
//! the bound a datagram is dropped and counted, and the client repeats it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::allow::{AllowList, Allowed};
use super::cache::{Cache, Key, Limits, Lookup};
use super::command::{self, Action, Command, Shape};
use super::counters::Counters;
use super::message::{Encoding, Message, ParseError};
use super::reply::{self, Answer, Failure, Surroundings};
use crate::hook::Control;
use crate::session::request::Request;
use crate::wire::time::Timestamp;

/// How the listeners are set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on; no wildcards.
    pub listen: Vec<SocketAddr>,
    /// Who may send.
    pub allow: AllowList,
    /// Bounds of the table of repeats.
    pub cache: Limits,
    /// Requests that may wait for the core at a time.
    pub in_flight: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 2223))],
            allow: AllowList::default(),
            cache: Limits::default(),
            in_flight: 4096,
        }
    }
}

/// Why the listeners could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// A reply must leave from the address that the request was sent to.
    #[error("ng.udp: {0} is a wildcard: name each address to listen on")]
    Wildcard(SocketAddr),
    /// The system refuses the address.
    #[error("ng.udp: cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Tells the time; the runtime has the clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The listeners, bound.
pub struct Server<C> {
    shared: Arc<Shared<C>>,
    addresses: Vec<SocketAddr>,
}

impl<C> fmt::Debug for Server<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl<C: Control> Server<C> {
    /// Binds all addresses, or none. To be called within a tokio runtime with I/O and time.
    pub fn bind(config: Config, control: C, clock: Clock) -> Result<Self, BindError> {
        Self::take_over(config, Vec::new(), control, clock)
    }

    /// As [`Self::bind`], with sockets that another process has bound: they are used for their
    /// addresses, and what waits in them is answered. The others of them are closed.
    pub fn take_over(
        config: Config,
        mut bound: Vec<std::net::UdpSocket>,
        control: C,
        clock: Clock,
    ) -> Result<Self, BindError> {
        let mut sockets = Vec::with_capacity(config.listen.len());
        let mut addresses = Vec::with_capacity(config.listen.len());
        for address in config.listen {
            if address.ip().to_canonical().is_unspecified() {
                return Err(BindError::Wildcard(address));
            }
            let failed = |source| BindError::Bind { address, source };
            let is_it = |socket: &std::net::UdpSocket| socket.local_addr().ok() == Some(address);
            let socket = match bound.iter().position(is_it) {
                Some(place) => adopt(bound.swap_remove(place)),
                None => bind_socket(address),
            };
            let socket = socket.map_err(failed)?;
            addresses.push(socket.local_addr().map_err(failed)?);
            sockets.push(socket);
        }
        let shared = Shared {
            control,
            sockets,
            allow: Allowed::new(config.allow),
            cache: Mutex::new(Cache::new(config.cache)),
            counters: Arc::default(),
            permits: Arc::new(Semaphore::new(usize::from(config.in_flight))),
            in_flight: u32::from(config.in_flight),
            started: clock(),
            clock,
        };
        Ok(Self {
            shared: Arc::new(shared),
            addresses,
        })
    }

    /// The sockets, for another process that is to go on with them.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn sockets(&self) -> io::Result<Vec<std::net::UdpSocket>> {
        let sockets = self.shared.sockets.iter();
        sockets
            .map(|socket| Ok(socket.as_fd().try_clone_to_owned()?.into()))
            .collect()
    }

    /// The addresses bound, in the order of the configuration; port 0 has become a real one.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who may send, to be changed while it serves.
    pub fn allowed(&self) -> Allowed {
        self.shared.allow.clone()
    }

    /// The counters, which live on as long as somebody holds them.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Serves until `shutdown` is done; then takes no more requests, and ends when those in flight
    /// are answered, or after two seconds.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        for (listener, address) in self.addresses.iter().enumerate() {
            info!(%address, "listening for NG");
            let (shared, stopped) = (Arc::clone(&self.shared), stopped.clone());
            listeners.spawn(shared.listen(listener, stopped));
        }
        shutdown.await;
        // Fails only if no listener is left.
        let _ = stop.send(true);
        while listeners.join_next().await.is_some() {}
        let shared = self.shared;
        let drained = shared.permits.acquire_many(shared.in_flight);
        if timeout(DRAIN_TIME, drained).await.is_err() {
            warn!("NG requests were left unanswered");
        }
    }
}

/// What listeners and waiting requests have in common.
struct Shared<C> {
    control: C,
    sockets: Vec<UdpSocket>,
    allow: Allowed,
    cache: Mutex<Cache<Client>>,
    counters: Arc<Counters>,
    permits: Arc<Semaphore>,
    in_flight: u32,
    clock: Clock,
    started: Timestamp,
}

/// Where a reply goes, and from which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client {
    listener: usize,
    address: SocketAddr,
}

/// A request on its way.
struct Job {
    key: Key,
    client: Client,
    encoding: Encoding,
    command: Command,
    shape: Shape,
    received: Timestamp,
}

impl<C: Control> Shared<C> {
    async fn listen(self: Arc<Self>, listener: usize, mut stopped: watch::Receiver<bool>) {
        let Some(socket) = self.sockets.get(listener) else {
            return;
        };
        let mut buffer = vec![0; RECEIVE_LEN];
        loop {
            let received = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                received = socket.recv_from(&mut buffer) => received,
            };
            match received {
                Ok((len, address)) => {
                    let client = Client { listener, address };
                    let datagram = buffer.get(..len).unwrap_or_default();
                    self.datagram(datagram, client).await;
                }
                Err(error) => {
                    debug!(%error, "NG socket");
                    sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    async fn datagram(self: &Arc<Self>, datagram: &[u8], client: Client) {
        let source = client.address.ip();
        if !self.allow.allows(source) {
            count(&self.counters.not_allowed);
            return;
        }
        let received = (self.clock)();
        match Message::parse(datagram) {
            Ok(message) if command::is_ping(&message.dict) => {
                let bytes = self.at_once(message.cookie, message.encoding, &Answer::Pong, received);
                self.send(&bytes, client).await;
                self.count_done(client, Command::Ping, received, false);
            }
            Ok(message) => self.request(&message, client, received).await,
            Err(ParseError::NoCookie) => {
                debug!(%source, "NG message without a cookie");
                count(&self.counters.no_cookie);
            }
            Err(ParseError::Bad {
                cookie,
                encoding,
                defect,
            }) => {
                // No need to remember these: a repeat has the same defect.
                count(&self.counters.malformed);
                let answer = Answer::Failure(Failure::Defect(defect));
                let bytes = self.at_once(cookie, encoding, &answer, received);
                self.send(&bytes, client).await;
            }
        }
    }

    /// A request that changes or reads state: at most once per cookie.
    async fn request(self: &Arc<Self>, message: &Message<'_>, client: Client, received: Timestamp) {
        let source = client.address.ip();
        let lookup = self.cache().begin(source, message.cookie, client, received);
        let key = match lookup {
            Lookup::New(key) => key,
            Lookup::Stored(reply) => {
                count(&self.counters.repeats);
                self.send(&reply, client).await;
                return;
            }
            Lookup::Waiting => {
                count(&self.counters.repeats_in_flight);
                return;
            }
            Lookup::Crowded => {
                count(&self.counters.overloaded);
                return;
            }
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.cache().abandon(&key);
            count(&self.counters.overloaded);
            return;
        };
        let translated = command::translate(&message.dict);
        let job = Job {
            key,
            client,
            encoding: message.encoding,
            command: translated.command,
            shape: translated.shape,
            received,
        };
        match translated.action {
            Ok(Action::Core(request)) => self.carry_out(request, job, permit).await,
            Ok(Action::Ping) => self.finish(job, Answer::Pong).await,
            Err(refusal) => {
                let answer = Answer::Failure(Failure::Refusal(refusal));
                self.finish(job, answer).await;
            }
        }
    }

    /// Queues the request at once; a task waits only if the core has not answered by then.
    async fn carry_out(self: &Arc<Self>, request: Request, job: Job, permit: OwnedSemaphorePermit) {
        let shared = Arc::clone(self);
        let mut work = Box::pin(async move {
            let answer = match shared.control.request(request).await {
                Ok(reply) => Answer::Reply(reply),
                Err(error) => Answer::Failure(Failure::Core(error)),
            };
            shared.finish(job, answer).await;
            drop(permit);
        });
        let polled = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if polled.is_pending() {
            tokio::spawn(work);
        }
    }

    /// Writes, remembers and sends the reply, also to repeats that came meanwhile.
    async fn finish(&self, job: Job, answer: Answer) {
        let failed = matches!(answer, Answer::Failure(_));
        let (command, shape) = (job.command, job.shape);
        let cookie = job.key.cookie();
        let bytes = self.written(cookie, job.encoding, &answer, command, shape, job.received);
        let bytes = Bytes::from(bytes.into_boxed_slice());
        let now = (self.clock)();
        let waiting = self.cache().complete(job.key, bytes.clone(), now);
        self.send(&bytes, job.client).await;
        for client in waiting {
            self.send(&bytes, client).await;
        }
        self.count_done(job.client, command, job.received, failed);
    }

    /// A reply that has nothing to do with the core.
    fn at_once(
        &self,
        cookie: &[u8],
        encoding: Encoding,
        answer: &Answer,
        now: Timestamp,
    ) -> Vec<u8> {
        let (command, shape) = (Command::Unknown, Shape::default());
        self.written(cookie, encoding, answer, command, shape, now)
    }

    fn written(
        &self,
        cookie: &[u8],
        encoding: Encoding,
        answer: &Answer,
        command: Command,
        shape: Shape,
        now: Timestamp,
    ) -> Vec<u8> {
        let surroundings = Surroundings {
            command,
            shape,
            counters: &self.counters,
            uptime: now.since(self.started).as_secs(),
        };
        let written = reply::write(cookie, encoding, answer, &surroundings);
        if written.shortened {
            count(&self.counters.shortened);
        }
        written.bytes
    }

    async fn send(&self, bytes: &[u8], client: Client) {
        let Some(socket) = self.sockets.get(client.listener) else {
            return;
        };
        if let Err(error) = socket.send_to(bytes, client.address).await {
            debug!(%error, client = %client.address, "NG reply was not sent");
            count(&self.counters.send_failed);
        }
    }

    fn count_done(&self, client: Client, command: Command, received: Timestamp, failed: bool) {
        let took = (self.clock)().since(received);
        let source = client.address.ip().to_canonical();
        self.counters.done(source, command, took, failed);
    }

    fn cache(&self) -> MutexGuard<'_, Cache<Client>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn adopt(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn bind_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Bursts of a busy proxy; the system may grant less, which is no reason to fail.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn count(counter: &std::sync::atomic::AtomicU64) {
    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// Longer than any UDP payload.
const RECEIVE_LEN: usize = 65_536;
const SOCKET_BUFFER: usize = 4 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// A socket that fails without end must not take a core.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
