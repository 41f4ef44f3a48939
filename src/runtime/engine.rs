//! The heart of the control loop: the session core, and all that carries out its commands.
//!
//! Synchronous: nothing here waits. After each input the core's commands are drained, in order.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tracing::debug;

use super::homes::{HomeNews, Homes};
use super::journal::{self, Keeper, Past, Restored};
use super::loggers::{Maker, Wanted};
use super::mirrors::{Mirrors, Replaced};
use super::notices::Notices;
use super::sockets::{Sockets, Totals};
use super::surroundings::Surroundings;
use crate::hook::Draining;
use crate::logger::service::Handle;
use crate::logger::stats::Stats;
use crate::migration::agreement::Agreement;
use crate::migration::identity::SystemName;
use crate::migration::record::Record;
use crate::migration::registry::{Change, Registry};
use crate::plane;
use crate::plane::latency::Latencies;
use crate::session::command::Command;
use crate::session::core::{Core, Event, Settings, World};
use crate::session::host::Room;
use crate::session::ids::WorkerIndex;
use crate::session::journal::{NotRestored, Record as CallRecord};
use crate::session::reply::{Error, Reply, Statistics};
use crate::session::request::Request;
use crate::store::journal::{Health, Journal, Loaded};
use crate::sys::clock::Clock;
use crate::telemetry::metrics::Logger;
use crate::wire::time::Timestamp;

/// Core, sockets, mirrors and registry of a running relay.
#[derive(Debug)]
pub struct Engine {
    core: Core,
    sockets: Sockets,
    mirrors: Mirrors,
    homes: Homes,
    registry: Registry,
    agreements: Vec<Agreement>,
    clock: Clock,
    /// Latencies told by the workers so far.
    latencies: Option<Latencies>,
    notices: Notices,
    draining: Draining,
    /// What workers reported; kept to be used again.
    news: Vec<(usize, plane::command::Event)>,
    /// The call journal, if there is one.
    keeper: Option<Keeper>,
    /// At the end calls are kept for the next start.
    suspending: bool,
}

impl Engine {
    /// An engine without calls.
    pub(super) fn new(
        core: Core,
        sockets: Sockets,
        mirrors: Mirrors,
        homes: Homes,
        registry: Registry,
        agreements: Vec<Agreement>,
        clock: Clock,
    ) -> Self {
        Self {
            core,
            sockets,
            mirrors,
            homes,
            registry,
            agreements,
            clock,
            latencies: None,
            notices: Notices::default(),
            draining: Draining::default(),
            news: Vec::new(),
            keeper: None,
            suspending: false,
        }
    }

    /// Keeps a journal from now on, and lets the calls that are in it go on.
    pub(super) fn restore(&mut self, journal: Journal, loaded: Loaded) {
        let begun = Clock::monotonic();
        let mut keeper = Keeper::new(journal);
        let past = Past::decode(loaded);
        if let Some(numbers) = past.numbers {
            self.core.go_on(numbers);
        }
        self.core.keep_journal();
        self.mirrors.expect(past.places);
        let mut gone = past.unreadable;
        let mut restored = Restored::default();
        for (number, record) in past.calls {
            let id = record.call_id().clone();
            match self.restore_call(record) {
                Ok(()) => restored.calls += 1,
                Err(why) => {
                    journal::lost(&id.0, &why, gone.len() as u64);
                    gone.push(number);
                }
            }
        }
        self.mirrors.settle();
        self.sockets.settle();
        restored.lost = gone.len() as u64;
        keeper.forget(gone);
        keeper.restored = restored;
        self.keeper = Some(keeper);
        self.carry_out();
        journal::report(restored, Clock::monotonic().saturating_sub(begun));
    }

    fn restore_call(&mut self, record: CallRecord) -> Result<(), NotRestored> {
        let world = World {
            registry: &self.registry,
            agreements: &self.agreements,
        };
        let mut host = Surroundings {
            sockets: &mut self.sockets,
            mirrors: &self.mirrors,
            homes: &self.homes,
        };
        let now = self.clock.now();
        let outcome = self.core.restore(record, &world, &mut host, now);
        self.carry_out();
        outcome
    }

    /// Takes sockets of the process before over; [`Self::restore`] follows.
    pub(super) fn take_over(&mut self, sockets: FxHashMap<SocketAddr, UdpSocket>) {
        self.sockets.take_over(sockets);
    }

    /// When the engine stops, calls are kept for the next start, if there is a journal.
    pub(super) const fn suspend(&mut self) {
        self.suspending = self.keeper.is_some();
    }

    /// Hands changes of calls to the journal, if it is time.
    fn write_journal(&mut self) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        let host = Surroundings {
            sockets: &mut self.sockets,
            mirrors: &self.mirrors,
            homes: &self.homes,
        };
        let workers = host.sockets.plane().workers().iter();
        let dropped = workers.map(|w| w.metrics().events_dropped.read()).sum();
        let now = self.clock.now();
        keeper.write(&mut self.core, &host, &self.mirrors, dropped, now);
    }

    /// What became of the journal's calls at the start, and how it does; `None` without one.
    pub fn journal(&self) -> Option<(Restored, Health)> {
        let keeper = self.keeper.as_ref()?;
        Some((keeper.restored, keeper.health()))
    }

    /// Hands a request of signalling to the core.
    ///
    /// # Errors
    /// The core's refusal.
    pub fn request(&mut self, request: Request) -> Result<Reply, Error> {
        let world = World {
            registry: &self.registry,
            agreements: &self.agreements,
        };
        let mut host = Surroundings {
            sockets: &mut self.sockets,
            mirrors: &self.mirrors,
            homes: &self.homes,
        };
        let now = self.clock.now();
        let reply = self.core.handle(request, &world, &mut host, now);
        self.carry_out();
        reply
    }

    /// Hands news to the core.
    pub fn event(&mut self, event: Event) {
        self.tell(event);
        self.carry_out();
    }

    /// What came of an attempt to set a home leg up, from the client of an anchor.
    pub(super) fn home_news(&mut self, news: HomeNews) {
        self.homes.news(news);
        self.carry_out();
    }

    fn tell(&mut self, event: Event) {
        let world = World {
            registry: &self.registry,
            agreements: &self.agreements,
        };
        let mut host = Surroundings {
            sockets: &mut self.sockets,
            mirrors: &self.mirrors,
            homes: &self.homes,
        };
        let now = self.clock.now();
        self.core.handle_event(event, &world, &mut host, now);
    }

    /// Handles all that the workers have reported.
    pub fn worker_events(&mut self) {
        let mut news = std::mem::take(&mut self.news);
        self.sockets
            .plane()
            .events()
            .drain(|worker, event| news.push((worker, event)));
        for (worker, event) in news.drain(..) {
            let worker = WorkerIndex(u16::try_from(worker).unwrap_or(u16::MAX));
            match event {
                plane::command::Event::Learned { slot, address } => {
                    if let Some(stream) = self.sockets.stream_at(worker, slot) {
                        debug!(stream = stream.0, %address, "address learned");
                        self.event(Event::Learned { stream, address });
                    }
                }
                plane::command::Event::HomeLost { slot, unanswered } => {
                    if let Some(stream) = self.sockets.stream_at(worker, slot) {
                        self.event(Event::HomeLost { stream, unanswered });
                    }
                }
                plane::command::Event::HomeBack { slot } => {
                    if let Some(stream) = self.sockets.stream_at(worker, slot) {
                        self.event(Event::HomeBack { stream });
                    }
                }
                plane::command::Event::Closed { slot } => self.sockets.closed(worker, slot),
            }
        }
        self.news = news;
    }

    /// Sends commands that a worker's queue had no room for; whether none is left.
    pub fn flush(&mut self) -> bool {
        self.sockets.flush()
    }

    /// When core or registry want a tick.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let journal = self.keeper.as_ref().and_then(Keeper::due);
        let due = [
            self.core.poll_timeout(),
            self.registry.next_event(),
            journal,
        ];
        due.into_iter().flatten().min()
    }

    /// Lets core and registry take account of time.
    pub fn tick(&mut self) {
        let changed = self.registry.expire(self.clock.now());
        if !changed.is_empty() {
            self.event(match self.registry.names_of(&changed) {
                Some(names) => Event::RecordsChanged(names),
                None => Event::RegistryChanged,
            });
        }
        self.event(Event::Tick);
        self.write_journal();
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The registry, to look things up.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry, for changes that concern no call yet.
    pub(super) fn registry_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Makes a stored change of the registry effective; the calls that name its users are decided
    /// anew.
    pub(super) fn commit(&mut self, change: Change) -> Record {
        let names = self.registry.names_touched(&change);
        let record = self.registry.commit(change);
        if !names.is_empty() {
            self.event(Event::RecordsChanged(names));
        }
        record
    }

    /// Takes over another configuration; calls that it concerns are decided anew. Gives the names
    /// of loggers that are shown another token. Must be called within a tokio runtime.
    pub(super) fn reconfigure(&mut self, new: Reconfiguration) -> Vec<String> {
        self.core.reconfigure(new.core);
        let others = new.agreements.iter().map(|a| a.primary.clone());
        self.registry.know_systems(new.system, others.collect());
        let agreed = self.agreements != new.agreements;
        self.agreements = new.agreements;
        let Replaced { any, lost, renewed } = self.mirrors.reconfigure(&new.loggers, &new.maker);
        if agreed || any {
            self.tell(Event::Reconfigured { lost });
        }
        self.carry_out();
        self.mirrors.sweep();
        renewed
    }

    /// Refuses new calls from now on; `exit_when_empty` ends the relay with the last call.
    pub(super) fn drain(&mut self, exit_when_empty: bool) -> Draining {
        let since = self.draining.since.unwrap_or_else(|| self.clock.now());
        self.draining.since = Some(since);
        self.draining.exit_when_empty = exit_when_empty;
        self.core.drain(true);
        self.drained()
    }

    /// Takes calls again.
    pub(super) fn undrain(&mut self) -> Draining {
        self.draining = Draining::default();
        self.core.drain(false);
        self.drained()
    }

    /// Whether it drains, and how far it is.
    pub(super) fn drained(&self) -> Draining {
        Draining {
            calls: self.core.open_calls() as u64,
            ..self.draining
        }
    }

    /// Whether it is drained, and is to end then.
    pub(super) fn is_over(&self) -> bool {
        self.draining.exit_when_empty && self.core.open_calls() == 0
    }

    /// The workers, to read their counters.
    pub fn plane(&self) -> &plane::Plane {
        self.sockets.plane()
    }

    /// Latencies of all packets forwarded since the start, in nanoseconds; waits at most so long
    /// for each worker, and what a worker does not tell now it tells the next time.
    pub fn latencies(&mut self, patience: Duration) -> Option<&Latencies> {
        let news = self.sockets.plane().take_latencies(patience).ok()?;
        match &mut self.latencies {
            Some(all) => all.add(&news).ok()?,
            none @ None => *none = Some(news),
        }
        self.latencies.as_ref()
    }

    /// Counters of the core.
    pub fn statistics(&mut self) -> Statistics {
        match self.request(Request::Statistics) {
            Ok(Reply::Statistics(statistics)) => *statistics,
            Ok(_) | Err(_) => Statistics::default(),
        }
    }

    /// Figures that the engine keeps itself.
    pub fn figures(&self) -> Figures {
        Figures {
            streams: self.sockets.len() as u64,
            totals: self.sockets.totals(),
            mirrors: self.mirrors.len() as u64,
            mirrors_refused: self.mirrors.refused,
            oneway: self.notices.oneway(),
        }
    }

    /// The loggers, for metrics.
    pub(super) fn loggers(&self) -> Vec<Logger> {
        self.mirrors.loggers()
    }

    /// Counters of the embedded logger.
    pub(super) fn archive(&self) -> Option<Stats> {
        self.mirrors.embedded().map(Handle::stats)
    }

    /// As [`Self::stop`] with all calls kept, for a process that goes on with their sockets.
    pub(super) fn release(mut self) -> Vec<UdpSocket> {
        self.suspend();
        self.end();
        self.sockets.into_sockets()
    }

    /// Ends all calls, or keeps them for the next start, and stops the workers.
    pub(super) fn stop(mut self) {
        self.end();
        self.sockets.stop();
    }

    fn end(&mut self) {
        if self.suspending {
            // What workers have learned by now, and counted.
            self.worker_events();
            self.core.journal_all();
        } else {
            self.event(Event::Shutdown);
            self.flush();
        }
        if let Some(keeper) = self.keeper.take() {
            let host = Surroundings {
                sockets: &mut self.sockets,
                mirrors: &self.mirrors,
                homes: &self.homes,
            };
            keeper.finish(&mut self.core, &host, &self.mirrors);
        }
    }

    /// Drains the core; then it is told what came of that at once, and is drained again.
    fn carry_out(&mut self) {
        self.obey();
        while let Some(event) = self.homes.poll() {
            self.tell(event);
            self.obey();
        }
        self.sockets.flush();
        if let Some(keeper) = &mut self.keeper {
            keeper.notice(&self.core, self.clock.now());
        }
    }

    fn obey(&mut self) {
        while let Some(command) = self.core.poll_command() {
            match command {
                Command::Configure { stream, flow } => self.sockets.configure(stream, &flow),
                Command::Close { stream } => self.sockets.close(stream),
                Command::MirrorOpen {
                    mirror,
                    call: _,
                    loggers,
                    pairs,
                    info,
                } => {
                    let room = Room {
                        loggers: &loggers,
                        pairs,
                    };
                    self.mirrors.open(mirror, room, info);
                }
                Command::MirrorUpdate { mirror, info } => self.mirrors.update(mirror, info),
                Command::MirrorAttach {
                    mirror,
                    stream,
                    info,
                } => {
                    self.mirrors.attach(mirror, stream, info, &mut self.sockets);
                }
                Command::MirrorDetach { mirror, stream } => {
                    self.mirrors.detach(mirror, stream, &mut self.sockets);
                }
                Command::MirrorClose { mirror } => self.mirrors.close(mirror, &mut self.sockets),
                Command::HomeOpen {
                    home,
                    anchors,
                    offer,
                } => self.homes.open(home, anchors, offer),
                Command::HomeUpdate { home, offer } => self.homes.update(home, offer),
                Command::HomeProbe { home } => self.homes.probe(home),
                Command::HomeClose { home } => self.homes.close(home),
                Command::Notice(notice) => self.notices.tell(&notice),
            }
        }
    }
}

/// Another configuration, as far as it concerns the engine.
#[derive(Debug)]
pub(super) struct Reconfiguration {
    /// Limits, time-outs and defaults; the rest is not looked at.
    pub(super) core: Settings,
    /// Our own system.
    pub(super) system: SystemName,
    /// All agreements.
    pub(super) agreements: Vec<Agreement>,
    /// All loggers, with their tokens.
    pub(super) loggers: Vec<Wanted>,
    /// Makes those that are new.
    pub(super) maker: Maker,
}

/// Figures of the engine, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Media sockets that are open.
    pub streams: u64,
    /// Sums over all streams since the start.
    pub totals: Totals,
    /// Mirrors that are open.
    pub mirrors: u64,
    /// Mirrors that no logger took.
    pub mirrors_refused: u64,
    /// Calls that were seen to go one way only.
    pub oneway: u64,
}
