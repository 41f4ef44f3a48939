//! Thousands of random steps, and what must hold after each of them.
//!
//! `HOMEWARD_SEED=n` runs one seed, `HOMEWARD_STEPS=n` more or fewer steps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use homeward::migration::agreement::Mode;
use homeward::migration::context::CallContext;
use homeward::migration::decision::{MirrorRule, Outcome};
use homeward::session::command::{Flow, Route};
use homeward::session::core::Event;
use homeward::session::ids::{CallId, StreamId};
use homeward::session::journal::NotRestored;
use homeward::session::options::Family;
use homeward::session::reply::{CallView, Explanation, HomeState, LaneExplanation, Reply};
use homeward::session::request::{Delete, Exchange, Request};
use homeward::wire::block::{Direction, MediaKind, StreamKind};
use homeward::wire::time::Timestamp;

use crate::harness::{Rig, agreement, context, exchange, head, settings};

#[test]
fn whatever_happens_nothing_leaks() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let steps = number("HOMEWARD_STEPS").unwrap_or(1000);
    let seeds = number("HOMEWARD_SEED").map_or_else(|| (1..=6).collect(), |seed| vec![seed]);
    for seed in seeds {
        let run = catch_unwind(AssertUnwindSafe(|| Simulation::new(seed).run(steps)));
        if let Err(panic) = run {
            eprintln!("the simulation failed: HOMEWARD_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

/// The same, with a journal that is written now and then, and processes that are killed at any
/// moment: a call goes on as it was written down, or is gone.
#[test]
fn calls_outlive_any_number_of_restarts() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let steps = number("HOMEWARD_STEPS").unwrap_or(600);
    let seeds = number("HOMEWARD_SEED").map_or_else(|| (11..=14).collect(), |seed| vec![seed]);
    for seed in seeds {
        let mut simulation = Simulation::new(seed);
        simulation.rig.core.keep_journal();
        let run = catch_unwind(AssertUnwindSafe(move || {
            simulation.run_with_restarts(steps)
        }));
        if let Err(panic) = run {
            eprintln!("the simulation failed: HOMEWARD_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

struct Simulation {
    rig: Rig,
    dice: Dice,
    users: usize,
    /// Streams facing home that workers bypass.
    lost: BTreeSet<StreamId>,
}

/// What of a call must be the same after a restart: when it was made, and its sockets.
type Kept = BTreeMap<CallId, (Timestamp, BTreeSet<(StreamId, SocketAddr)>)>;

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut config = settings();
        config.max_calls = 12;
        config.offer_timeout = Duration::from_secs(300);
        config.silent_timeout = Duration::from_secs(600);
        config.final_timeout = Some(Duration::from_secs(2000));
        for interface in &mut config.interfaces {
            interface.ports = (30_000, 30_159);
        }
        let mut rig = Rig::new(config);
        rig.ground.loads = vec![3, 1, 2];
        rig.agreements = vec![agreement("one.example"), agreement("two.example")];
        Self {
            rig,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            users: 0,
            lost: BTreeSet::new(),
        }
    }

    fn run(mut self, steps: u64) {
        for _ in 0..steps {
            self.step();
            self.check();
        }
        self.rig.event(Event::Shutdown);
        assert!(self.rig.ground.bound.is_empty() && self.rig.mirrors.is_empty());
        assert!(self.rig.homes.is_empty());
        assert_eq!(self.rig.core.poll_timeout(), None);
        let ports = self.rig.core_statistics().ports;
        assert!(ports.iter().all(|port| port.used == 0));
    }

    fn run_with_restarts(mut self, steps: u64) {
        let mut kept = Kept::new();
        let (mut restarts, mut restored) = (0, 0);
        for _ in 0..steps {
            match self.dice.below(20) {
                0..3 => {
                    self.rig.write();
                    kept = self.calls();
                }
                3 => {
                    self.restart(&kept);
                    kept = self.calls();
                    restarts += 1;
                    restored += kept.len();
                }
                _ => self.step(),
            }
            self.check();
        }
        assert!(
            restarts > 10 && restored > restarts,
            "{restored} in {restarts}"
        );
    }

    /// Kills the process and starts another one, while somebody may have taken ports.
    fn restart(&mut self, kept: &Kept) {
        (self.rig.ground.left, self.rig.ground.broken) = (None, false);
        if self.dice.below(3) == 0 {
            self.rig.now = self.rig.now + Duration::from_secs(self.dice.below(100));
        }
        let lost = self.rig.restart();
        let now = self.calls();
        for (id, (created, sockets)) in &now {
            let (before, former) = &kept[id];
            assert_eq!(created, before);
            // Retired ones whose time is over are gone.
            assert!(sockets.is_subset(former), "{sockets:?} {former:?}");
        }
        let gone: BTreeSet<&CallId> = lost.iter().map(|(id, _)| id).collect();
        for id in kept.keys() {
            assert!(now.contains_key(id) != gone.contains(id), "{id}");
        }
        assert_eq!(now.len() + gone.len(), kept.len());
        for (id, why) in &lost {
            let known = matches!(why, NotRestored::Over | NotRestored::Taken(_));
            assert!(known, "{id}: {why}");
        }
    }

    fn calls(&mut self) -> Kept {
        let Ok(Reply::Calls(ids)) = self.rig.request(Request::List { limit: 1000 }) else {
            panic!("no list");
        };
        let mut kept = Kept::new();
        for id in ids {
            let view = self.rig.view(&id.0).unwrap();
            let medias = view.parties.iter().flat_map(|party| &party.medias);
            let streams = medias.flat_map(|media| &media.streams);
            let sockets = streams.map(|stream| (stream.stream, stream.local));
            kept.insert(id, (view.created, sockets.collect()));
        }
        kept
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..35 => {
                let offer = self.exchange();
                let _ = self.rig.offer(offer);
            }
            35..60 => {
                let mut answer = self.exchange();
                answer.to_tag = Some(self.tag());
                let _ = self.rig.answer(answer);
            }
            60..70 => self.delete(),
            70..80 => {
                let secs = [1, 5, 20, 40, 400][self.dice.index(5)];
                self.rig.wait(Duration::from_secs(secs));
            }
            80..84 => self.hear(),
            84..88 => self.home(),
            88..92 => self.registry(),
            92..95 => {
                let call_id = self.id();
                let context = self.context();
                let _ = self.rig.request(Request::Context { call_id, context });
            }
            95..97 => self.rig.ground.left = Some(self.dice.index(6)),
            97..99 => {
                let port = 30_000 + u16::try_from(self.dice.below(160)).unwrap();
                if !self.rig.ground.taken.insert(port) {
                    self.rig.ground.taken.clear();
                }
            }
            _ => self.rig.ground.broken = self.dice.below(3) == 0,
        }
        // A host in trouble recovers.
        if self.dice.below(4) == 0 {
            (self.rig.ground.left, self.rig.ground.broken) = (None, false);
        }
    }

    fn exchange(&mut self) -> Exchange {
        let id = self.id().to_string();
        let (from, to) = (self.tag(), self.tag());
        let sdp = self.sdp();
        let to = (self.dice.below(3) > 0).then_some(&*to.0);
        let mut exchange = exchange(&id, &from.0, to, &sdp);
        if self.dice.below(3) == 0 {
            exchange.via_branch = Some(format!("br{}", self.dice.below(4)).into());
        }
        if self.dice.below(3) == 0 {
            exchange.context = self.context();
        }
        let names = ["core", "partner", "moon"];
        let options = &mut exchange.options;
        if self.dice.below(3) == 0 {
            let mut name = || Some(names[self.dice.index(3)].into());
            options.direction = [name(), name()];
        }
        match self.dice.below(12) {
            0 => options.address_family = Some(Family::Ip6),
            1 => options.address_family = Some(Family::Ip4),
            2 => options.reset = true,
            3 => options.port_latching = Some(true),
            4 => options.port_latching = Some(false),
            5 => options.asymmetric = true,
            6 => options.rtcp_mux.offer = true,
            7 => options.rtcp_mux.require = true,
            8 => options.new_branch = true,
            9 => options.transport_protocol = Some("RTP/SAVP".into()),
            _ => {}
        }
        exchange
    }

    fn sdp(&mut self) -> String {
        let address = ["192.0.2.1", "192.0.2.2", "0.0.0.0", "2001:db8::1", "::"];
        let mut sdp = head(address[self.dice.index(5)]);
        for _ in 0..self.dice.below(4) {
            let port = [0, 4000, 4002, 4004, 9][self.dice.index(5)];
            let codec = ["0", "8", "0 8"][self.dice.index(3)];
            sdp += &match self.dice.below(6) {
                0..3 => format!("m=audio {port} RTP/AVP {codec}\r\n"),
                3 => format!("m=video {port} RTP/AVP 99\r\na=rtcp-mux\r\n"),
                4 => format!("m=application {port} udp MCPTT\r\n"),
                _ => format!("m=message {port} TCP/MSRP *\r\n"),
            };
            sdp += ["", "a=sendonly\r\n", "a=inactive\r\n", "a=rtcp-mux\r\n"][self.dice.index(4)];
        }
        sdp
    }

    fn delete(&mut self) {
        let delete = Delete {
            call_id: self.id(),
            from_tag: (self.dice.below(2) == 0).then(|| self.tag()),
            to_tag: (self.dice.below(4) == 0).then(|| self.tag()),
            via_branch: (self.dice.below(3) == 0)
                .then(|| format!("br{}", self.dice.below(4)).into()),
            delay: [None, Some(0), Some(3)][self.dice.index(3)],
            fatal: self.dice.below(2) == 0,
        };
        let _ = self.rig.delete(delete);
    }

    fn hear(&mut self) {
        let all: Vec<StreamId> = self.rig.flows.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let stream = all[self.dice.index(all.len())];
        self.rig.hear(stream);
        let port = u16::try_from(40_000 + self.dice.below(5)).unwrap();
        let address = SocketAddr::new("198.51.100.1".parse().unwrap(), port);
        if let Some(counters) = self.rig.ground.counters.get_mut(&stream) {
            counters.learned = Some(address);
        }
        self.rig.event(Event::Learned { stream, address });
    }

    fn registry(&mut self) {
        let open: Vec<_> = self.rig.registry.list(&Default::default(), self.rig.now);
        match self.dice.below(4) {
            0 if !open.is_empty() => {
                let id = open[self.dice.index(open.len())].id;
                if let Ok(change) = self.rig.registry.prepare_end(id, self.rig.now) {
                    self.rig.registry.commit(change);
                }
            }
            1 => {
                let kinds = [MediaKind::Audio, MediaKind::Video, MediaKind::Floor];
                let kept = |kind: &MediaKind| *kind != kinds[self.dice.index(3)];
                let media = kinds.iter().copied().filter(kept).collect();
                self.rig.agreements[0].media = media;
                self.rig.agreements[1].loggers = vec![format!("l{}", self.dice.below(3))];
            }
            2 => {
                let agreement = &mut self.rig.agreements[self.dice.index(2)];
                let modes = [Mode::Duplicate, Mode::Redirect, Mode::Redirect];
                agreement.mode = modes[self.dice.index(3)];
                let anchors = [["gate", "spare"], ["spare", "moon"]][self.dice.index(2)];
                agreement.anchors = anchors.map(str::to_owned).to_vec();
            }
            _ => {
                let system = ["one.example", "two.example"][self.dice.index(2)];
                self.users += 1;
                // A name that has ended at one system may come back from the other.
                let user = format!("u{}", self.users % 4);
                let taken = |r: &homeward::migration::record::Record| {
                    r.partner_id.as_str().starts_with(&format!("sip:{user}@"))
                };
                if !open.iter().any(taken) {
                    self.rig.migrate(&user, system);
                }
            }
        }
        self.rig.event(Event::RegistryChanged);
    }

    /// Anchors and workers report what they like.
    fn home(&mut self) {
        let open: Vec<_> = self.rig.homes.keys().copied().collect();
        let facing = |flow: &Flow| matches!(flow.route, Route::Home(_)) && !flow.blocked;
        let flows = self.rig.flows.iter().filter(|(_, flow)| facing(flow));
        let facing: Vec<StreamId> = flows.map(|(stream, _)| *stream).collect();
        match self.dice.below(8) {
            0 if !open.is_empty() => self.rig.home_fails(open[self.dice.index(open.len())]),
            1..5 if !open.is_empty() => {
                let home = open[self.dice.index(open.len())];
                let refused = self.dice.below(8).to_string();
                self.rig
                    .home_answers(home, |label| !label.ends_with(&refused));
            }
            _ if !facing.is_empty() => {
                let stream = facing[self.dice.index(facing.len())];
                if self.lost.remove(&stream) {
                    self.rig.event(Event::HomeBack { stream });
                } else {
                    self.lost.insert(stream);
                    self.rig.event(Event::HomeLost {
                        stream,
                        unanswered: 5,
                    });
                }
            }
            _ => {}
        }
    }

    fn context(&mut self) -> CallContext {
        let user = |n| format!("u{n}");
        context(&user(self.dice.below(4)), &user(self.dice.below(4)))
    }

    fn id(&mut self) -> CallId {
        CallId::from(format!("c{}", self.dice.below(15)).as_str())
    }

    fn tag(&mut self) -> homeward::session::ids::Tag {
        ["a", "b", "c", "d"][self.dice.index(4)].into()
    }

    /// What holds after every step, besides what the rig checks with every command.
    fn check(&mut self) {
        let Ok(Reply::Calls(ids)) = self.rig.request(Request::List { limit: 1000 }) else {
            panic!("no list");
        };
        assert!(ids.len() <= 12);
        let due = self.rig.core.poll_timeout();
        assert_eq!(due.is_none(), ids.is_empty(), "each call has a timer");
        assert!(due.is_none_or(|due| due <= self.rig.now + Duration::from_secs(3600)));
        let mut streams = BTreeSet::new();
        for id in &ids {
            let view = self.rig.view(&id.0).unwrap();
            let explanation = self.rig.explain(&id.0).unwrap();
            self.check_call(&view, &explanation, &mut streams);
        }
        assert!(
            streams.iter().eq(self.rig.flows.keys()),
            "streams that no call has"
        );
        let calls: BTreeSet<&CallId> = ids.iter().collect();
        assert!(
            self.rig
                .mirrors
                .values()
                .all(|tape| calls.contains(&tape.call))
        );
    }

    fn check_call(
        &self,
        view: &CallView,
        explanation: &Explanation,
        streams: &mut BTreeSet<StreamId>,
    ) {
        assert!(
            view.parties.len() <= 32 && view.parties.len() >= 2,
            "{}",
            view.parties.len()
        );
        let tags: Vec<_> = view.parties.iter().filter_map(|p| p.tag.as_ref()).collect();
        assert_eq!(
            tags.len(),
            tags.iter().collect::<BTreeSet<_>>().len(),
            "a tag twice"
        );
        let facing = facing(view);
        for (stream, (_, _, _, _)) in &facing {
            assert!(streams.insert(*stream), "a stream in two calls");
        }
        // Kept exactly while nothing is known, under a number that no other call has.
        let undecided = explanation.context.is_empty();
        let number = facing.keys().next().map(|first| first.0);
        for stream in facing.keys() {
            let keep = self.rig.flows[stream].keep;
            assert_eq!(keep, number.filter(|_| undecided), "{stream:?}");
        }
        let workers: BTreeSet<_> = facing.keys().map(|s| self.rig.flows[s].worker).collect();
        assert!(workers.len() <= 1);
        for party in &view.parties {
            assert!(!party.subscribers.is_empty(), "a leg without a peer");
            for media in &party.medias {
                let bound = 8 * party.subscribers.len();
                assert!(
                    media.streams.len() <= bound,
                    "{} sockets",
                    media.streams.len()
                );
            }
        }
        for home in &explanation.homes {
            for stream in home.lanes.iter().flat_map(|lane| &lane.streams) {
                assert!(streams.insert(*stream), "a stream in two calls");
            }
            let told = self.rig.homes.get(&home.home);
            let asked = matches!(home.state, HomeState::Pending | HomeState::Up);
            assert_eq!(told.is_some(), asked, "{home:?}");
            let ready = |lane: &&LaneExplanation| lane.local.is_some();
            let lanes = home.lanes.iter().filter(ready).count();
            assert_eq!(told.map_or(0, |told| told.offer.lanes.len()), lanes);
        }
        let mut told = BTreeMap::new();
        for tape in self
            .rig
            .mirrors
            .values()
            .filter(|tape| tape.call == view.call_id)
        {
            let primary = tape.info.primary_system.clone();
            let copied = tape.streams.iter().map(|(s, info)| (*s, info.direction));
            let before = told.insert(primary, copied.collect::<BTreeMap<_, _>>());
            assert!(before.is_none(), "two mirrors for one primary");
        }
        assert_eq!(told, self.scope(view, explanation, &facing));
    }

    /// The scope rule, worked out again from what the core shows.
    fn scope(
        &self,
        view: &CallView,
        explanation: &Explanation,
        facing: &BTreeMap<StreamId, (usize, usize, bool, StreamKind)>,
    ) -> BTreeMap<String, BTreeMap<StreamId, Direction>> {
        let rules: Vec<Option<&MirrorRule>> = explanation
            .legs
            .iter()
            .map(|leg| match &leg.decision.outcome {
                Outcome::Mirror(rule) => Some(rule),
                Outcome::None { .. } | Outcome::Undecided => None,
            })
            .collect();
        let mut wanted = BTreeMap::new();
        for rule in rules.iter().flatten() {
            let primary = rule.primary_system.to_string();
            let asks = |leg: usize, kind| {
                let rule = rules[leg].filter(|rule| rule.primary_system.as_str() == primary);
                rule.is_some_and(|rule| rule.media.contains(&kind))
            };
            let mut streams = BTreeMap::new();
            for (stream, (leg, media, spare, _)) in facing {
                let kind = kind(view, *leg, *media);
                let to = self.rig.flows[stream].forward.map(|to| facing[&to].0);
                let direction = match (asks(*leg, kind), to.is_some_and(|to| asks(to, kind))) {
                    _ if *spare || self.carries(explanation, &primary, *stream) => continue,
                    (true, true) => Direction::Both,
                    (true, false) => Direction::FromUser,
                    (false, true) => Direction::ToUser,
                    (false, false) => continue,
                };
                streams.insert(*stream, direction);
            }
            wanted.insert(primary.clone(), streams);
        }
        wanted
    }
}

impl Simulation {
    /// Whether all packets of a stream go through this primary, and come back.
    fn carries(&self, explanation: &Explanation, primary: &str, stream: StreamId) -> bool {
        let homes = explanation.homes.iter();
        let mine = homes.filter(|home| home.primary_system == primary);
        let facing: BTreeSet<StreamId> = mine
            .flat_map(|home| home.lanes.iter().flat_map(|lane| lane.streams.clone()))
            .collect();
        match self.rig.flows[&stream].route {
            Route::Via { home, home_rtcp } => [Some(home), home_rtcp]
                .into_iter()
                .flatten()
                .all(|home| facing.contains(&home) && !self.lost.contains(&home)),
            Route::Direct | Route::Home(_) => false,
        }
    }
}

/// Each stream of a call: the leg it faces, its media, and whether it is the odd port of a media
/// that is not RTP.
fn facing(view: &CallView) -> BTreeMap<StreamId, (usize, usize, bool, StreamKind)> {
    let mut all = BTreeMap::new();
    for (leg, party) in view.parties.iter().enumerate() {
        for (index, media) in party.medias.iter().enumerate() {
            let plain = media.streams.iter().any(|s| s.kind == StreamKind::Datagram);
            for stream in &media.streams {
                let spare = plain && stream.kind == StreamKind::Rtcp;
                all.insert(stream.stream, (leg, index, spare, stream.kind));
            }
        }
    }
    all
}

/// The kind of a media as the view shows it.
fn kind(view: &CallView, leg: usize, index: usize) -> MediaKind {
    match view.parties[leg].medias[index].kind.as_str() {
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        "application" => MediaKind::Floor,
        _ => MediaKind::Other,
    }
}

/// xorshift64*: the same steps for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}
