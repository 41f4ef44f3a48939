//! The core itself.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustc_hash::FxHashMap;
use slab::Slab;

use super::call::Call;
use super::command::{Command, EndReason, HomeLimits, HomeRemote};
use super::exchange::Kind;
use super::home::Home;
use super::host::Host;
use super::ids::{CallId, HomeId, MirrorId, StreamId};
use super::journal::Dirty;
use super::named::Named;
use super::options::{Family, Learning};
use super::ports::Ports;
use super::reply::{Error, Explanation, Reply, Statistics};
use super::request::Request;
use super::{explain, names, view};
use crate::migration::agreement::Agreement;
use crate::migration::identity::McId;
use crate::migration::registry::Registry;
use crate::wire::time::Timestamp;

/// Settings of the core.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of our MC system.
    pub system: String,
    /// Interfaces; the first is the default.
    pub interfaces: Vec<Interface>,
    /// Media anchors of primary systems.
    pub anchors: Vec<Anchor>,
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
    /// Whether packets of calls that are undecided are kept in the pre-roll.
    pub preroll: bool,
    /// How many ended calls are kept for `explain`.
    pub ended_kept: usize,
}

impl Settings {
    /// The name by which this relay knows media that has come through it (`a=homeward-path`).
    pub fn identity(&self) -> String {
        format!("homeward-{}", self.instance)
    }
}

/// What the core needs to know of a media anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Its name in agreements.
    pub name: String,
    /// Name of the interface that faces it; `None`: the default one.
    pub interface: Option<String>,
    /// Family of the sockets that face it.
    pub family: Family,
    /// When it counts as unreachable, and as back.
    pub limits: HomeLimits,
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
    /// The anchor takes a home leg: where, by the labels of its lanes. A lane that is missing was
    /// refused.
    HomeAnswered {
        /// The home leg.
        home: HomeId,
        /// Where each lane goes.
        lanes: Vec<(String, HomeRemote)>,
    },
    /// No anchor takes a home leg, or the one that had it has ended it.
    HomeFailed {
        /// The home leg.
        home: HomeId,
        /// Why, for `explain`.
        reason: String,
    },
    /// A worker bypasses home, since it does not answer.
    HomeLost {
        /// The stream that faces home.
        stream: StreamId,
        /// Packets sent home last that have not come back.
        unanswered: u64,
    },
    /// A worker goes through home again.
    HomeBack {
        /// The stream that faces home.
        stream: StreamId,
    },
    /// Records or agreements have changed: decide anew for all calls.
    RegistryChanged,
    /// Records of these names have changed: decide anew for the calls that name them.
    RecordsChanged(Vec<McId>),
    /// Agreements or loggers have changed: decide anew for all calls.
    Reconfigured {
        /// Mirrors whose logger is gone, or is to be reached elsewhere: they begin anew at the
        /// first logger that takes them.
        lost: Vec<MirrorId>,
    },
    /// The time asked for by `poll_timeout` has come (or any other moment: it is harmless).
    Tick,
    /// The relay stops: end all calls.
    Shutdown,
}

/// Calls, legs and streams, and the decisions about them.
#[derive(Debug)]
pub struct Core {
    pub(super) settings: Settings,
    pub(super) ports: Ports,
    pub(super) calls: Slab<Box<Call>>,
    /// Hashed with SipHash: peers choose the keys.
    pub(super) ids: HashMap<CallId, usize>,
    /// When to look at which call; one entry each.
    pub(super) timers: BTreeSet<(Timestamp, usize)>,
    /// Calls of all streams.
    pub(super) streams: FxHashMap<StreamId, usize>,
    /// What the journal has to be told.
    pub(super) journal: Dirty,
    /// Calls of the home legs.
    pub(super) homes: FxHashMap<HomeId, usize>,
    /// Calls of the streams that face home.
    pub(super) facing_home: FxHashMap<StreamId, usize>,
    /// Calls by the names of their parties.
    pub(super) named: Named,
    pub(super) queue: VecDeque<Command>,
    /// Calls that have ended, the latest last.
    pub(super) ended: VecDeque<Box<Explanation>>,
    pub(super) totals: Statistics,
    pub(super) next_stream: u64,
    pub(super) next_mirror: u64,
    pub(super) next_call: u64,
    pub(super) next_home: u64,
    pub(super) stopping: bool,
    /// New calls are refused, and those that are up go on.
    pub(super) draining: bool,
}

impl Core {
    /// A core without calls.
    pub fn new(settings: Settings) -> Self {
        Self {
            ports: Ports::new(&settings.interfaces, &settings.instance),
            settings,
            calls: Slab::new(),
            ids: HashMap::new(),
            timers: BTreeSet::new(),
            streams: FxHashMap::default(),
            journal: Dirty::default(),
            homes: FxHashMap::default(),
            facing_home: FxHashMap::default(),
            named: Named::default(),
            queue: VecDeque::new(),
            ended: VecDeque::new(),
            totals: Statistics::default(),
            next_stream: 0,
            next_mirror: 0,
            next_call: 0,
            next_home: 0,
            stopping: false,
            draining: false,
        }
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
        match request {
            Request::Offer(offer) => self.exchange(&offer, Kind::Offer, world, host, now),
            Request::Answer(answer) => self.exchange(&answer, Kind::Answer, world, host, now),
            Request::Delete(delete) => self.delete(&delete, world, host, now),
            Request::Query(query) => {
                let call = self.call(&query.call_id).ok_or(Error::UnknownCall)?;
                let tags = [query.to_tag.as_ref(), query.from_tag.as_ref()];
                Ok(Reply::Call(Box::new(view::of_party(
                    call,
                    tags,
                    &self.ports,
                    host,
                ))))
            }
            Request::List { limit } => {
                let ids = self
                    .calls
                    .iter()
                    .take(limit)
                    .map(|(_, call)| call.id.clone());
                Ok(Reply::Calls(ids.collect()))
            }
            Request::Page { after, limit } => {
                Ok(Reply::Page(Box::new(self.page(after, limit, host, now))))
            }
            Request::Statistics => Ok(Reply::Statistics(Box::new(self.statistics()))),
            Request::Context { call_id, context } => {
                let key = self.ids.get(&call_id).copied().ok_or(Error::UnknownCall)?;
                let mut draft = self.calls[key].clone();
                names::take_context(&mut draft, context);
                self.commit(Some(key), draft, &[], world, host, now);
                Ok(Reply::Ok)
            }
            Request::Recording {
                call_id,
                switch,
                primary,
            } => self.recording(&call_id, switch, primary.as_ref(), world, host, now),
            Request::Explain { call_id } => match self.call(&call_id) {
                Some(call) => {
                    let explained = explain::of(call, &self.ports, host, now);
                    Ok(Reply::Explained(Box::new(explained)))
                }
                None => {
                    let ended = self
                        .ended
                        .iter()
                        .rev()
                        .find(|ended| ended.call_id == call_id);
                    let ended = ended.ok_or(Error::UnknownCall)?;
                    Ok(Reply::Explained(ended.clone()))
                }
            },
        }
    }

    /// Handles news; afterwards drain [`Self::poll_command`].
    pub fn handle_event(
        &mut self,
        event: Event,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        match event {
            Event::Learned { stream, address } => {
                let Some(&key) = self.streams.get(&stream) else {
                    return;
                };
                self.journal.touch(key);
                for mirror in &mut self.calls[key].mirrors {
                    mirror.learned(stream, address, &mut self.queue);
                }
            }
            Event::HomeAnswered { home, lanes } => {
                self.home_answered(home, &lanes, world, host, now);
            }
            Event::HomeFailed { home, reason } => {
                self.home_failed(home, &reason, world, host, now);
            }
            Event::HomeLost { stream, unanswered } => {
                self.home_turned(stream, Some(unanswered), world, host, now);
            }
            Event::HomeBack { stream } => self.home_turned(stream, None, world, host, now),
            Event::RegistryChanged => self.decide_anew(world, host, now),
            Event::RecordsChanged(names) => self.decide_named(&names, world, host, now),
            Event::Reconfigured { lost } => {
                self.lose(&lost, host);
                self.decide_anew(world, host, now);
            }
            Event::Tick => self.tick(world, host, now),
            Event::Shutdown => {
                self.stopping = true;
                let keys: Vec<usize> = self.calls.iter().map(|(key, _)| key).collect();
                for key in keys {
                    self.end(key, EndReason::Shutdown, world, host, now);
                }
            }
        }
    }

    /// The next command, in order.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.queue.pop_front()
    }

    /// When [`Event::Tick`] is due next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    fn call(&self, id: &CallId) -> Option<&Call> {
        self.ids.get(id).map(|&key| &*self.calls[key])
    }

    /// Daemon-wide counters; the same as [`Request::Statistics`] gives.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.totals.clone();
        let mirrored = self
            .calls
            .iter()
            .filter(|(_, call)| !call.mirrors.is_empty());
        statistics.mirrored_calls = mirrored.count() as u64;
        let homes = self.calls.iter().flat_map(|(_, call)| &call.homes);
        for place in homes.filter_map(Home::state) {
            statistics.homes[place] += 1;
        }
        statistics.calls = self.calls.len() as u64;
        statistics.ports = self.ports.usage();
        statistics
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
