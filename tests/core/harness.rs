//! The made-up world around a core.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use homeward::migration::agreement::Agreement;
use homeward::migration::identity::Service;
use homeward::migration::registry::{NewRecord, Registry};
use homeward::session::command::{
    Command, EndReason, Flow, HomeLimits, HomeOffer, HomeRemote, Notice, Route,
};
use homeward::session::core::{Anchor, Core, Event, Interface, LocalAddress, Settings, World};
use homeward::session::ids::{CallId, HomeId, MirrorId, StreamId, WorkerIndex};
use homeward::session::journal::{NotRestored, Numbers, Record};
use homeward::session::options::{Family, Learning};
use homeward::session::reply::{CallView, Error, Explanation, Reply, Statistics};
use homeward::session::request::{Delete, Exchange, Query, Request};
use homeward::wire::block::{CallInfo, StreamInfo, StreamKind};
use homeward::wire::time::Timestamp;

pub(crate) use crate::ground::Ground;
pub(crate) use crate::messages::{Sdp, agreement, audio, context, delete, exchange, head, mcptt};

/// A mirror as the logger knows it.
#[derive(Clone, Debug)]
pub(crate) struct Taped {
    pub(crate) call: CallId,
    pub(crate) loggers: Vec<String>,
    pub(crate) info: CallInfo,
    pub(crate) streams: BTreeMap<StreamId, StreamInfo>,
}

/// A home leg as the anchors know it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) anchors: Vec<String>,
    pub(crate) offer: HomeOffer,
}

/// A core with its world.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) core: Core,
    pub(crate) ground: Ground,
    pub(crate) flows: BTreeMap<StreamId, Flow>,
    pub(crate) mirrors: BTreeMap<MirrorId, Taped>,
    /// Home legs that anchors were asked to take, until one says that they failed.
    pub(crate) homes: BTreeMap<HomeId, Asked>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) registry: Registry,
    pub(crate) agreements: Vec<Agreement>,
    pub(crate) now: Timestamp,
    /// Commands of the last step.
    pub(crate) log: Vec<Command>,
    settings: Settings,
    /// What is on disk: records by number, and the numbers given.
    pub(crate) disk: BTreeMap<u64, Vec<u8>>,
    pub(crate) numbers: Numbers,
}

pub(crate) const LIMITS: HomeLimits = HomeLimits {
    unreachable_after: Duration::from_secs(2),
    return_after: Duration::from_secs(5),
};

fn anchor(name: &str, interface: &str) -> Anchor {
    Anchor {
        name: name.into(),
        interface: Some(interface.into()),
        family: Family::Ip4,
        limits: LIMITS,
    }
}

pub(crate) fn settings() -> Settings {
    let address = |text: &str| LocalAddress {
        bind: text.parse().unwrap(),
        advertised: text.parse().unwrap(),
    };
    let interface = |name: &str, all: &[&str]| Interface {
        name: name.into(),
        addresses: all.iter().map(|text| address(text)).collect(),
        ports: (30_000, 30_999),
    };
    Settings {
        system: "partner.example".into(),
        interfaces: vec![
            interface("core", &["127.0.0.1", "::1"]),
            interface("partner", &["127.0.1.1", "127.0.1.2"]),
        ],
        anchors: vec![anchor("gate", "core"), anchor("spare", "partner")],
        max_calls: 10_000,
        media_timeout: Duration::from_secs(60),
        silent_timeout: Duration::from_secs(3600),
        offer_timeout: Duration::from_secs(3600),
        final_timeout: None,
        delete_delay: Duration::from_secs(30),
        port_linger: Duration::from_secs(30),
        learning: Learning::Heuristic,
        strict_source: true,
        instance: "test".into(),
        preroll: true,
        ended_kept: 10,
    }
}

impl Rig {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            core: Core::new(settings.clone()),
            settings,
            disk: BTreeMap::new(),
            numbers: Numbers::default(),
            ground: Ground::default(),
            flows: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            homes: BTreeMap::new(),
            notices: Vec::new(),
            registry: Registry::default(),
            agreements: Vec::new(),
            now: Timestamp::from_secs(1_000_000),
            log: Vec::new(),
        }
    }

    pub(crate) fn request(&mut self, request: Request) -> Result<Reply, Error> {
        let world = World {
            registry: &self.registry,
            agreements: &self.agreements,
        };
        let reply = self
            .core
            .handle(request, &world, &mut self.ground, self.now);
        self.drain();
        reply
    }

    pub(crate) fn event(&mut self, event: Event) {
        let world = World {
            registry: &self.registry,
            agreements: &self.agreements,
        };
        self.core
            .handle_event(event, &world, &mut self.ground, self.now);
        self.drain();
    }

    /// Lets time pass, with a tick whenever the core has asked for one.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.event(Event::Tick);
            let next = self.core.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "the clock stands still"
            );
        }
        self.now = end;
    }

    fn drain(&mut self) {
        self.log.clear();
        while let Some(command) = self.core.poll_command() {
            self.log.push(command.clone());
            self.apply(command);
        }
        if !self.log.is_empty() {
            self.check();
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Configure { stream, flow } => {
                assert!(
                    self.ground.bound.contains_key(&stream),
                    "{stream:?} is not bound"
                );
                for to in [flow.forward, flow.forward_rtcp].into_iter().flatten() {
                    let to = self.flows.get(&to).expect("the target is configured first");
                    assert_eq!(to.worker, flow.worker);
                }
                self.check_home(stream, &flow);
                self.flows.insert(stream, flow);
            }
            Command::Close { stream } => {
                assert!(
                    self.ground.bound.remove(&stream).is_some(),
                    "{stream:?} twice"
                );
                self.flows.remove(&stream);
                self.ground.counters.remove(&stream);
                let copied = |tape: &Taped| tape.streams.contains_key(&stream);
                assert!(!self.mirrors.values().any(copied), "closed while copied");
                assert!(
                    !self.goes_home(stream),
                    "closed while packets go through it"
                );
            }
            Command::MirrorOpen {
                mirror,
                call,
                loggers,
                pairs,
                info,
            } => {
                self.ground.take(mirror, &loggers, pairs);
                let tape = Taped {
                    call,
                    loggers,
                    info,
                    streams: BTreeMap::new(),
                };
                assert!(self.mirrors.insert(mirror, tape).is_none());
            }
            Command::HomeOpen {
                home,
                anchors,
                offer,
            } => {
                self.check_offer(&offer);
                let former = self.homes.insert(home, Asked { anchors, offer });
                assert!(former.is_none(), "opened twice");
            }
            Command::HomeUpdate { home, offer } => {
                self.check_offer(&offer);
                let asked = self.homes.get_mut(&home).expect("opened before");
                assert_ne!(asked.offer, offer, "nothing has changed");
                asked.offer = offer;
            }
            Command::HomeProbe { home } => {
                assert!(self.homes.contains_key(&home), "opened before");
            }
            Command::HomeClose { home } => {
                assert!(self.homes.remove(&home).is_some(), "closed twice");
            }
            Command::MirrorUpdate { mirror, info } => {
                self.mirrors.get_mut(&mirror).unwrap().info = info;
            }
            Command::MirrorAttach {
                mirror,
                stream,
                info,
            } => {
                assert!(
                    self.flows.contains_key(&stream),
                    "attached before configured"
                );
                let tape = self.mirrors.get_mut(&mirror).expect("opened before");
                tape.streams.insert(stream, info);
                if let Some((taken, _)) = self.ground.taped.get_mut(&mirror) {
                    taken.streams = tape.streams.len();
                }
            }
            Command::MirrorDetach { mirror, stream } => {
                let tape = self.mirrors.get_mut(&mirror).unwrap();
                assert!(tape.streams.remove(&stream).is_some());
                if let Some((taken, _)) = self.ground.taped.get_mut(&mirror) {
                    taken.streams = tape.streams.len();
                }
            }
            Command::MirrorClose { mirror } => {
                let tape = self.mirrors.remove(&mirror).unwrap();
                if let Some((_, pairs)) = self.ground.taped.remove(&mirror) {
                    self.ground.room = self.ground.room.map(|room| room + pairs);
                }
                assert!(
                    tape.streams.is_empty(),
                    "closed before its streams were detached"
                );
            }
            Command::Notice(notice) => self.notices.push(notice),
        }
    }

    /// What faces home is ready before packets go there, and until they do not any more.
    fn check_home(&self, stream: StreamId, flow: &Flow) {
        if let Route::Via { home, home_rtcp } = flow.route {
            for home in [Some(home), home_rtcp].into_iter().flatten() {
                let facing = &self.flows[&home];
                assert!(matches!(facing.route, Route::Home(_)), "{facing:?}");
                assert!(facing.remote.is_some() && !facing.blocked, "not ready");
                assert_eq!(facing.worker, flow.worker);
            }
        }
        if let Route::Home(_) = flow.route {
            assert_eq!(flow.learning, Learning::Off);
            assert_eq!(flow.blocked, flow.remote.is_none());
        }
        if self.goes_home(stream) {
            assert!(matches!(flow.route, Route::Home(_)) && !flow.blocked);
        }
    }

    /// Whether packets of a party go out of this stream's socket to home.
    fn goes_home(&self, stream: StreamId) -> bool {
        self.flows.values().any(|flow| match flow.route {
            Route::Via { home, home_rtcp } => home == stream || home_rtcp == Some(stream),
            Route::Direct | Route::Home(_) => false,
        })
    }

    fn check_offer(&self, offer: &HomeOffer) {
        assert!(!offer.lanes.is_empty(), "nothing is offered");
        assert_eq!(offer.path.last().unwrap(), "homeward-test");
        let labels: BTreeSet<&String> = offer.lanes.iter().map(|lane| &lane.label).collect();
        assert_eq!(labels.len(), offer.lanes.len(), "a label twice");
        for lane in &offer.lanes {
            for local in [Some(lane.rtp), lane.rtcp].into_iter().flatten() {
                let stream = self.stream_at(local).expect("bound before it is offered");
                assert!(self.flows.contains_key(&stream), "configured before");
            }
        }
    }

    /// The anchor takes these lanes of a home leg, each at a port that its label gives.
    pub(crate) fn home_answers(&mut self, home: HomeId, taken: impl Fn(&str) -> bool) {
        let offer = &self.homes[&home].offer;
        let labels = offer.lanes.iter().map(|lane| (lane, lane.label.clone()));
        let lanes = labels
            .filter(|(_, label)| taken(label))
            .map(|(lane, label)| {
                let remote = anchor_at(&label, lane.rtcp.is_some());
                (label, remote)
            });
        let lanes = lanes.collect();
        self.event(Event::HomeAnswered { home, lanes });
    }

    /// No anchor takes a home leg, or the last one has ended it.
    pub(crate) fn home_fails(&mut self, home: HomeId) {
        self.homes.remove(&home).expect("open");
        let reason = "busy".to_owned();
        self.event(Event::HomeFailed { home, reason });
    }

    /// What holds after every step.
    pub(crate) fn check(&self) {
        assert!(
            self.ground.bound.keys().eq(self.flows.keys()),
            "sockets without a flow"
        );
        for (stream, flow) in &self.flows {
            for to in [flow.forward, flow.forward_rtcp].into_iter().flatten() {
                assert!(
                    self.flows.contains_key(&to),
                    "{stream:?} forwards to a closed stream"
                );
            }
            let remote = flow.remote.map(|remote| remote.is_ipv4());
            let local = self.ground.bound[stream].is_ipv4();
            assert!(
                remote.is_none_or(|remote| remote == local),
                "families differ"
            );
        }
        let used: u32 = self.statistics_ports();
        assert_eq!(used as usize, self.ground.bound.len(), "ports leak");
    }

    fn statistics_ports(&self) -> u32 {
        self.core_statistics()
            .ports
            .iter()
            .map(|port| port.used)
            .sum()
    }

    pub(crate) fn core_statistics(&self) -> Statistics {
        self.core.statistics()
    }

    /// Where a packet goes on its way home that arrives on this socket: out of which socket, and
    /// to where; `None` if it goes straight.
    pub(crate) fn home_of(&self, local: SocketAddr) -> Option<(StreamId, SocketAddr)> {
        let flow = &self.flows[&self.stream_at(local)?];
        match flow.route {
            Route::Via { home, .. } => Some((home, self.flows[&home].remote?)),
            Route::Direct | Route::Home(_) => None,
        }
    }

    /// Where a packet goes that arrives on this socket: out of which, and to where.
    pub(crate) fn route(&self, local: SocketAddr, rtcp: bool) -> Option<(SocketAddr, SocketAddr)> {
        let stream = self.stream_at(local)?;
        let flow = &self.flows[&stream];
        let split = rtcp && flow.kind == StreamKind::Rtp;
        let to = match flow.forward_rtcp {
            Some(to) if split => to,
            _ => flow.forward?,
        };
        Some((self.ground.bound[&to], self.flows[&to].remote?))
    }

    pub(crate) fn stream_at(&self, local: SocketAddr) -> Option<StreamId> {
        let mut all = self.ground.bound.iter();
        all.find(|(_, bound)| **bound == local)
            .map(|(stream, _)| *stream)
    }

    /// A packet arrived on this stream now.
    pub(crate) fn hear(&mut self, stream: StreamId) {
        let counters = self.ground.counters.entry(stream).or_default();
        counters.packets += 1;
        counters.octets += 172;
        counters.last_packet = Some(self.now);
    }

    pub(crate) fn offer(&mut self, offer: Exchange) -> Result<Sdp, Error> {
        self.request(Request::Offer(Box::new(offer))).map(Sdp::of)
    }

    pub(crate) fn answer(&mut self, answer: Exchange) -> Result<Sdp, Error> {
        self.request(Request::Answer(Box::new(answer))).map(Sdp::of)
    }

    /// Offer and answer of a plain call; the SDPs written to the callee and to the caller.
    pub(crate) fn call(&mut self, id: &str) -> (Sdp, Sdp) {
        let to_b = self
            .offer(exchange(id, "a", None, &audio("192.0.2.1", 4000)))
            .unwrap();
        let answer = exchange(id, "a", Some("b"), &audio("192.0.2.2", 5000));
        (to_b, self.answer(answer).unwrap())
    }

    pub(crate) fn delete(&mut self, delete: Delete) -> Result<Option<Box<CallView>>, Error> {
        let reply = self.request(Request::Delete(delete))?;
        let Reply::Deleted(view) = reply else {
            panic!("{reply:?}");
        };
        Ok(view)
    }

    pub(crate) fn view(&mut self, id: &str) -> Option<Box<CallView>> {
        let query = Query {
            call_id: id.into(),
            from_tag: None,
            to_tag: None,
        };
        let reply = self.request(Request::Query(query)).ok()?;
        let Reply::Call(view) = reply else {
            panic!("{reply:?}");
        };
        Some(view)
    }

    pub(crate) fn explain(&mut self, id: &str) -> Result<Box<Explanation>, Error> {
        let reply = self.request(Request::Explain { call_id: id.into() })?;
        let Reply::Explained(explanation) = reply else {
            panic!("{reply:?}");
        };
        Ok(explanation)
    }

    /// A user with this name has migrated from this system, and there is an agreement.
    pub(crate) fn migrate(&mut self, user: &str, system: &str) {
        self.migrate_for(Service::Mcptt, user, system);
    }

    /// The same for another service.
    pub(crate) fn migrate_for(&mut self, service: Service, user: &str, system: &str) {
        if self.agreements.iter().all(|a| a.primary.as_str() != system) {
            self.agreements.push(agreement(system));
        }
        let new = NewRecord {
            service,
            primary_id: format!("sip:{user}@{system}").parse().unwrap(),
            partner_id: format!("sip:{user}@partner.example").parse().unwrap(),
            primary_system: system.parse().unwrap(),
            functional_aliases: Vec::new(),
            trigger: homeward::migration::record::Trigger::Client,
            profile_index: None,
            standing: Default::default(),
            since: None,
            until: None,
        };
        let change = self.registry.prepare_add(new, self.now).unwrap();
        self.registry.commit(change);
        self.event(Event::RegistryChanged);
    }

    /// Writes all changes down; numbers of the calls that were written.
    pub(crate) fn write(&mut self) -> Vec<u64> {
        let mut written = Vec::new();
        while let Some(entry) = self.core.poll_journal(&self.ground) {
            match entry.call {
                Some(call) => {
                    self.disk.insert(entry.number, call.encode());
                    written.push(entry.number);
                }
                None => {
                    let known = self.disk.remove(&entry.number);
                    assert!(known.is_some(), "taken back, and never written");
                }
            }
        }
        self.numbers = self.core.numbers();
        assert!(!self.core.journal_waits());
        written
    }

    /// Kills the process and starts another one with these settings; calls that do not go on, with
    /// the reason.
    pub(crate) fn restart_with(&mut self, settings: Settings) -> Vec<(CallId, NotRestored)> {
        self.core = Core::new(settings.clone());
        self.settings = settings;
        self.ground.bound.clear();
        self.ground.counters.clear();
        for (_, pairs) in std::mem::take(&mut self.ground.taped).into_values() {
            self.ground.room = self.ground.room.map(|room| room + pairs);
        }
        self.flows.clear();
        self.mirrors.clear();
        self.homes.clear();
        // Numbers that were given and not written down are not met again.
        self.core.go_on(Numbers {
            call: self.numbers.call + 1_000,
            stream: self.numbers.stream + 1_000,
            mirror: self.numbers.mirror + 1_000,
        });
        self.core.keep_journal();
        let mut lost = Vec::new();
        for (number, bytes) in self.disk.clone() {
            let record = Record::decode(&bytes).unwrap();
            let id = record.call_id().clone();
            if let Err(why) = self.restore(record) {
                self.disk.remove(&number);
                lost.push((id, why));
            }
        }
        self.write();
        lost
    }

    /// The same with the settings that it had.
    pub(crate) fn restart(&mut self) -> Vec<(CallId, NotRestored)> {
        self.restart_with(self.settings.clone())
    }

    pub(crate) fn restore(&mut self, record: Record) -> Result<(), NotRestored> {
        let world = World {
            registry: &self.registry,
            agreements: &self.agreements,
        };
        let outcome = self
            .core
            .restore(record, &world, &mut self.ground, self.now);
        while let Some(command) = self.core.poll_command() {
            // What was bound and is not wanted was never configured.
            if let Command::Close { stream } = command {
                assert!(self.ground.bound.remove(&stream).is_some());
            } else {
                self.apply(command);
            }
        }
        self.check();
        outcome
    }

    pub(crate) fn ended(&self) -> Vec<EndReason> {
        let mut ended = Vec::new();
        for notice in &self.notices {
            if let Notice::CallEnded(_, reason) = notice {
                ended.push(*reason);
            }
        }
        ended
    }

    pub(crate) fn workers(&self) -> BTreeSet<WorkerIndex> {
        self.flows.values().map(|flow| flow.worker).collect()
    }
}

/// Where the anchor of these tests takes a lane.
pub(crate) fn anchor_at(label: &str, rtcp: bool) -> HomeRemote {
    let number: u16 = label.parse().unwrap();
    let at = |port: u16| SocketAddr::new("203.0.113.9".parse().unwrap(), port);
    let port = 20_000 + number % 10_000 * 2;
    HomeRemote {
        rtp: at(port),
        rtcp: rtcp.then(|| at(port + 1)),
    }
}
