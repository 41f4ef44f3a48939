//! The core itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::command::Command;
use super::host::Host;
use super::ids::StreamId;
use super::options::Learning;
use super::reply::{Error, Reply};
use super::request::Request;
use crate::migration::agreement::Agreement;
use crate::migration::registry::Registry;
use crate::wire::time::Timestamp;

/// Settings of the core.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of our MC system.
    pub system: String,
    /// Interfaces; the first is the default.
    pub interfaces: Vec<Interface>,
    /// At most so many calls at once.
    pub max_calls: usize,
    /// No packet on any stream of an answered call for so long: end it. 60 s.
    pub media_timeout: Duration,
    /// The same for calls on hold. 3600 s.
    pub silent_timeout: Duration,
    /// An offer that is never answered. 3600 s.
    pub offer_timeout: Duration,
    /// Absolute length of a call; `None`: no limit.
    pub final_timeout: Option<Duration>,
    /// From `delete` to removal. 30 s.
    pub delete_delay: Duration,
    /// How long a retired port stays open for late packets. 30 s.
    pub port_linger: Duration,
    /// Default of `endpoint-learning`.
    pub learning: Learning,
    /// Default of `strict source`.
    pub strict_source: bool,
    /// Identity in `a=rtpengine:`; random for each start of the process.
    pub instance: String,
    /// How many ended calls are kept for `explain`.
    pub ended_kept: usize,
}

/// A named set of local addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name in `direction`.
    pub name: String,
    /// Its addresses; several of one family share the calls.
    pub addresses: Vec<LocalAddress>,
    /// First and last port, both included.
    pub ports: (u16, u16),
}

/// One local address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// What sockets are bound to.
    pub bind: IpAddr,
    /// What is written into SDP (differs behind 1:1 NAT).
    pub advertised: IpAddr,
}

/// News from outside signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker has learned where a stream's peer really is.
    Learned {
        /// The stream.
        stream: StreamId,
        /// Its peer.
        address: SocketAddr,
    },
    /// Records or agreements have changed: decide anew for calls that name these parties.
    RegistryChanged,
    /// The time asked for by `poll_timeout` has come (or any other moment: it is harmless).
    Tick,
    /// The relay stops: end all calls.
    Shutdown,
}

/// Calls, legs and streams, and the decisions about them.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
}

impl Core {
    /// A core without calls.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Handles a request of signalling; afterwards drain [`Self::poll_command`].
    ///
    /// # Errors
    /// The refusal for the client; the state is as it was before.
    pub fn handle(
        &mut self,
        request: Request,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let _ = (request, world, host, now, &self.settings);
        Err(Error::UnknownCall)
    }

    /// Handles news; afterwards drain [`Self::poll_command`].
    pub fn handle_event(
        &mut self,
        event: Event,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        let _ = (event, world, host, now);
    }

    /// The next command, in order.
    pub fn poll_command(&mut self) -> Option<Command> {
        None
    }

    /// When [`Event::Tick`] is due next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }
}

/// What decisions are made from; owned by the caller.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Who has migrated.
    pub registry: &'a Registry,
    /// What was agreed with whom.
    pub agreements: &'a [Agreement],
}
