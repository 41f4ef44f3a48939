//! Carries out the core's home leg commands: picks the anchor, has it take the lanes, and tells
//! the core what came of it (design section 6, redirect).
//!
//! Anchors are tried in the order of the agreement, also when one that had a home leg gives it
//! up; only when the last of them has failed does the core hear of it. News for the core wait
//! here until its commands are carried out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tracing::debug;

use crate::mirror::rtp::{PortBook, PortPair};
use crate::session::command::{HomeOffer, HomeRemote};
use crate::session::core::Event;
use crate::session::ids::HomeId;
use crate::wire::block::StreamKind;

/// The anchors that are configured, and the home legs that are open.
#[derive(Debug)]
pub(super) struct Homes {
    anchors: Vec<Anchor>,
    open: FxHashMap<HomeId, Home>,
    news: VecDeque<Event>,
    attempts: u64,
}

/// One configured media anchor.
#[derive(Debug)]
pub(super) struct Anchor {
    /// Its name in agreements.
    pub(super) name: String,
    /// How it is asked.
    pub(super) way: Way,
}

/// How an anchor is asked to take lanes.
#[derive(Debug)]
pub(super) enum Way {
    /// It is not: each lane has a port of its own, which comes back.
    Static(Static),
    /// Over SIP; what comes of it is told to [`Engine::home_news`](super::engine::Engine).
    Sip(mpsc::Sender<HomeJob>),
}

/// An anchor at fixed ports, which this relay alone gives out.
#[derive(Debug)]
pub(super) struct Static {
    address: IpAddr,
    ports: PortBook,
}

impl Static {
    /// An anchor that sends back what comes to its ports `first..=last`, to where it came from.
    pub(super) fn new(address: IpAddr, ports: (u16, u16)) -> Self {
        Self {
            address,
            ports: PortBook::new(vec![address], ports),
        }
    }

    fn remote(&self, pair: PortPair, rtcp: bool) -> HomeRemote {
        let at = |kind| SocketAddr::new(self.address, pair.port(kind));
        HomeRemote {
            rtp: at(StreamKind::Rtp),
            rtcp: rtcp.then(|| at(StreamKind::Rtcp)),
        }
    }
}

/// One try to set a home leg up at one anchor. Never the same twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    /// The home leg.
    pub(super) home: HomeId,
    /// Which try.
    pub(super) number: u64,
}

/// What an anchor's client is to do. Jobs of one attempt come in order: `Open`, any number of
/// `Update`s, `Close`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum HomeJob {
    /// Set the home leg up.
    Open {
        /// To be named in the news about it.
        of: Attempt,
        /// What goes through it.
        offer: Box<HomeOffer>,
    },
    /// Something else goes through it now.
    Update {
        /// The attempt that opened it.
        of: Attempt,
        /// All that goes through it.
        offer: Box<HomeOffer>,
    },
    /// Take it down; nothing more needs to be said of it.
    Close {
        /// The attempt that opened it.
        of: Attempt,
    },
}

/// What came of an attempt. News of an attempt that is over are without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HomeNews {
    /// The attempt.
    pub(super) of: Attempt,
    /// What came of it.
    pub(super) outcome: HomeOutcome,
}

/// What came of an attempt, or of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HomeOutcome {
    /// Where each lane goes, by label; those that are missing were refused.
    Answered(Vec<(String, HomeRemote)>),
    /// The anchor does not take it, or has ended it; the attempt is over. With the reason.
    Failed(String),
}

/// One open home leg.
#[derive(Debug)]
struct Home {
    /// The anchors that may have it.
    wanted: Vec<String>,
    /// Place of the present one among them.
    place: usize,
    /// Index of the present one.
    anchor: usize,
    attempt: Attempt,
    offer: HomeOffer,
    /// Ports at a static anchor, by label of the lane.
    pairs: Vec<(String, PortPair)>,
    /// Why those before did not take it.
    failures: Vec<String>,
}

impl Homes {
    /// No home legs yet.
    pub(super) fn new(anchors: Vec<Anchor>) -> Self {
        Self {
            anchors,
            open: FxHashMap::default(),
            news: VecDeque::new(),
            attempts: 0,
        }
    }

    /// Opens a home leg at the first of these anchors that takes it.
    pub(super) fn open(&mut self, id: HomeId, wanted: Vec<String>, offer: HomeOffer) {
        self.close(id);
        let home = Home {
            wanted,
            place: 0,
            anchor: 0,
            attempt: Attempt {
                home: id,
                number: 0,
            },
            offer,
            pairs: Vec::new(),
            failures: Vec::new(),
        };
        self.try_from(home, 0);
    }

    /// Tells the anchor what goes through the home leg now.
    pub(super) fn update(&mut self, id: HomeId, offer: HomeOffer) {
        let Some(mut home) = self.open.remove(&id) else {
            return;
        };
        home.offer = offer;
        let sent = match &mut self.anchors[home.anchor].way {
            Way::Static(anchor) => {
                let lanes = fit(anchor, &mut home);
                self.news.push_back(Event::HomeAnswered { home: id, lanes });
                true
            }
            Way::Sip(jobs) => {
                let job = HomeJob::Update {
                    of: home.attempt,
                    offer: Box::new(home.offer.clone()),
                };
                jobs.try_send(job).is_ok()
            }
        };
        match sent {
            true => drop(self.open.insert(id, home)),
            false => self.next(home, BUSY),
        }
    }

    /// Asks the anchor of a home leg whether it still has it. A static one has nothing to forget.
    pub(super) fn probe(&mut self, id: HomeId) {
        let Some(home) = self.open.get(&id) else {
            return;
        };
        if let Way::Sip(jobs) = &self.anchors[home.anchor].way {
            let job = HomeJob::Update {
                of: home.attempt,
                offer: Box::new(home.offer.clone()),
            };
            // A full queue says nothing about the anchor: it is asked again later.
            drop(jobs.try_send(job));
        }
    }

    /// Ends a home leg, if it is open.
    pub(super) fn close(&mut self, id: HomeId) {
        if let Some(home) = self.open.remove(&id) {
            self.leave(home);
        }
    }

    /// What came of an attempt.
    pub(super) fn news(&mut self, news: HomeNews) {
        let id = news.of.home;
        let Some(home) = self.open.remove(&id) else {
            return;
        };
        if home.attempt != news.of {
            self.open.insert(id, home);
            return;
        }
        match news.outcome {
            HomeOutcome::Answered(lanes) => {
                self.open.insert(id, home);
                self.news.push_back(Event::HomeAnswered { home: id, lanes });
            }
            HomeOutcome::Failed(reason) => self.next(home, &reason),
        }
    }

    /// The next thing to tell the core, once its commands are carried out.
    pub(super) fn poll(&mut self) -> Option<Event> {
        self.news.pop_front()
    }

    /// Name of the anchor that has, or is asked to take, a home leg.
    pub(super) fn anchor_of(&self, id: HomeId) -> Option<&str> {
        let home = self.open.get(&id)?;
        Some(&self.anchors[home.anchor].name)
    }

    /// The present anchor has failed: the next one is tried.
    fn next(&mut self, mut home: Home, reason: &str) {
        let name = &self.anchors[home.anchor].name;
        home.failures.push(format!("{name}: {reason}"));
        let next = home.place + 1;
        self.try_from(home, next);
    }

    /// Tries the anchors from this place on.
    fn try_from(&mut self, mut home: Home, from: usize) {
        let id = home.attempt.home;
        for place in from..home.wanted.len() {
            let name = home.wanted[place].clone();
            let Some(at) = self.anchors.iter().position(|anchor| anchor.name == name) else {
                home.failures
                    .push(format!("{name}: there is no such anchor"));
                continue;
            };
            self.attempts += 1;
            home.attempt.number = self.attempts;
            (home.place, home.anchor) = (place, at);
            match ask(&mut self.anchors[at].way, &mut home) {
                Ok(answered) => {
                    debug!(
                        home = id.0,
                        anchor = name,
                        "an anchor is to take a home leg"
                    );
                    let news = answered.map(|lanes| Event::HomeAnswered { home: id, lanes });
                    self.news.extend(news);
                    self.open.insert(id, home);
                    return;
                }
                Err(reason) => home.failures.push(format!("{name}: {reason}")),
            }
        }
        let reason = match home.failures.is_empty() {
            true => "the agreement names no anchor".to_owned(),
            false => home.failures.join("; "),
        };
        debug!(home = id.0, reason, "no anchor takes a home leg");
        self.news.push_back(Event::HomeFailed { home: id, reason });
    }

    /// Gives back what a home leg has at its anchor.
    fn leave(&mut self, home: Home) {
        match &mut self.anchors[home.anchor].way {
            Way::Static(anchor) => {
                let pairs = home.pairs.into_iter();
                pairs.for_each(|(_, pair)| anchor.ports.give_back(pair));
            }
            Way::Sip(jobs) => {
                // A client that takes no more jobs has no session to end either, or ends it when
                // its media stays away.
                drop(jobs.try_send(HomeJob::Close { of: home.attempt }));
            }
        }
    }
}

/// Asks an anchor to take a home leg. A static one answers at once.
fn ask(way: &mut Way, home: &mut Home) -> Result<Option<Vec<(String, HomeRemote)>>, &'static str> {
    match way {
        Way::Static(anchor) => match fit(anchor, home) {
            lanes if lanes.is_empty() => Err("no port is left"),
            lanes => Ok(Some(lanes)),
        },
        Way::Sip(jobs) => {
            let job = HomeJob::Open {
                of: home.attempt,
                offer: Box::new(home.offer.clone()),
            };
            jobs.try_send(job).map(|()| None).map_err(|_| BUSY)
        }
    }
}

/// Gives each lane its ports at a static anchor, as long as there are any: lanes keep theirs, and
/// those of lanes that are gone come back.
fn fit(anchor: &mut Static, home: &mut Home) -> Vec<(String, HomeRemote)> {
    let (offer, pairs) = (&home.offer, &mut home.pairs);
    pairs.retain(|(label, pair)| {
        let keep = offer.lanes.iter().any(|lane| lane.label == *label);
        if !keep {
            anchor.ports.give_back(*pair);
        }
        keep
    });
    let mut lanes = Vec::with_capacity(offer.lanes.len());
    for lane in &offer.lanes {
        let known = pairs.iter().find(|(label, _)| *label == lane.label);
        let pair = match known {
            Some((_, pair)) => *pair,
            None => {
                let Some(pair) = anchor.ports.take() else {
                    continue;
                };
                pairs.push((lane.label.clone(), pair));
                pair
            }
        };
        let remote = anchor.remote(pair, lane.rtcp.is_some());
        lanes.push((lane.label.clone(), remote));
    }
    lanes
}

/// The queue of an anchor's client is full, or the client has ended.
const BUSY: &str = "its client takes no more jobs";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::block::CallInfo;

    const HOME: HomeId = HomeId(1);

    /// An anchor that is asked, with the inbox of its client, and a static one with two pairs.
    fn homes() -> (Homes, mpsc::Receiver<HomeJob>) {
        let (jobs, inbox) = mpsc::channel(2);
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let anchor = |name: &str, way| Anchor {
            name: name.to_owned(),
            way,
        };
        let anchors = vec![
            anchor("asked", Way::Sip(jobs)),
            anchor("fixed", Way::Static(Static::new(address, (40_000, 40_003)))),
        ];
        (Homes::new(anchors), inbox)
    }

    fn offer(lanes: usize) -> HomeOffer {
        let lane = |n: usize| crate::session::command::HomeLane {
            label: n.to_string(),
            info: crate::wire::block::StreamInfo {
                stream: 1,
                from_tag: "a".into(),
                direction: crate::wire::block::Direction::FromUser,
                media_index: 1,
                media: crate::wire::block::MediaKind::Audio,
                kind: StreamKind::Rtp,
                local: "127.0.0.1:30000".parse().unwrap(),
                remote: None,
                codecs: Vec::new(),
            },
            protocol: "RTP/AVP".into(),
            rtp: "127.0.0.1:30002".parse().unwrap(),
            rtcp: None,
        };
        HomeOffer {
            info: CallInfo {
                call_id: "c1".into(),
                started: crate::wire::time::Timestamp::default(),
                relay_system: "partner.example".into(),
                primary_system: "primary.example".into(),
                service: None,
                session_type: None,
                group: None,
                emergency: false,
                metadata: None,
                parties: Vec::new(),
                reason: String::new(),
            },
            path: vec!["homeward-test".into()],
            lanes: (1..=lanes).map(lane).collect(),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn lanes(homes: &mut Homes) -> usize {
        match homes.poll() {
            Some(Event::HomeAnswered { lanes, .. }) => lanes.len(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_static_anchor_answers_at_once_as_far_as_its_ports_go() {
        let (mut homes, _inbox) = homes();
        homes.open(HOME, names(&["fixed"]), offer(3));
        assert_eq!(lanes(&mut homes), 2);
        homes.update(HOME, offer(1));
        assert_eq!(lanes(&mut homes), 1);
        homes.open(HomeId(2), names(&["fixed"]), offer(2));
        assert_eq!(lanes(&mut homes), 1, "one pair came back");
        homes.open(HomeId(3), names(&["moon", "fixed"]), offer(1));
        let Some(Event::HomeFailed { reason, .. }) = homes.poll() else {
            panic!("no port is left");
        };
        assert!(
            reason.contains("moon: there is no such anchor; fixed: no port"),
            "{reason}"
        );
        homes.close(HOME);
        homes.close(HomeId(2));
        homes.open(HOME, names(&["fixed"]), offer(2));
        assert_eq!(lanes(&mut homes), 2);
    }

    #[test]
    fn only_an_anchor_that_can_be_asked_is_asked_whether_it_still_has_a_home_leg() {
        let (mut homes, mut inbox) = homes();
        homes.open(HOME, names(&["asked"]), offer(1));
        homes.open(HomeId(2), names(&["fixed"]), offer(1));
        assert_eq!(lanes(&mut homes), 1);
        assert!(matches!(inbox.try_recv(), Ok(HomeJob::Open { .. })));
        for home in [HOME, HomeId(2), HomeId(3)] {
            homes.probe(home);
        }
        let Ok(HomeJob::Update { of, offer: told }) = inbox.try_recv() else {
            panic!("not asked");
        };
        assert_eq!((of.home, *told), (HOME, offer(1)));
        assert!(inbox.try_recv().is_err());
        // A queue that is full is no failure of the anchor.
        (0..3).for_each(|_| homes.probe(HOME));
        assert_eq!((homes.poll(), homes.anchor_of(HOME)), (None, Some("asked")));
    }

    #[test]
    fn the_next_anchor_is_tried_when_one_fails_and_late_news_mean_nothing() {
        let (mut homes, mut inbox) = homes();
        homes.open(HOME, names(&["asked", "fixed"]), offer(1));
        assert_eq!((homes.poll(), homes.anchor_of(HOME)), (None, Some("asked")));
        let Ok(HomeJob::Open { of, .. }) = inbox.try_recv() else {
            panic!("not asked");
        };
        let news = |outcome| HomeNews { of, outcome };
        homes.news(news(HomeOutcome::Answered(Vec::new())));
        assert_eq!(lanes(&mut homes), 0);
        homes.news(news(HomeOutcome::Failed("busy".into())));
        assert_eq!(lanes(&mut homes), 1);
        assert_eq!(homes.anchor_of(HOME), Some("fixed"));
        homes.news(news(HomeOutcome::Failed("again".into())));
        assert_eq!((homes.poll(), homes.anchor_of(HOME)), (None, Some("fixed")));
    }

    #[test]
    fn a_client_that_takes_no_more_jobs_is_an_anchor_that_fails() {
        let (mut homes, inbox) = homes();
        drop(inbox);
        homes.open(HOME, names(&["asked", "fixed"]), offer(1));
        assert_eq!(lanes(&mut homes), 1);
        homes.open(HomeId(2), names(&["asked"]), offer(1));
        assert!(matches!(homes.poll(), Some(Event::HomeFailed { .. })));
    }
}
