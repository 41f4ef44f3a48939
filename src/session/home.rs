//! Home legs: what of a call goes through the media anchor of a primary system, and comes back
//! from there (design section 6, redirect).
//!
//! A leg of a migrated user whose agreement says `redirect` asks for a [`Home`], one for each
//! primary of a call; each direction of a media in scope has a [`Lane`] in it, with a port pair
//! of its own. A stream that two primaries ask for goes through that of its sender; the other
//! gets a copy. Until the anchor has answered, and while it does not answer any more, media goes
//! straight and is copied to the agreement's loggers: the call comes first.
//!
//! [`plan`] brings the legs to what the decisions ask for, [`flow`] says what follows for the
//! streams, [`events`] takes what anchors and workers report, [`explain`] tells about it.

mod events;
pub(super) mod explain;
pub(super) mod flow;
pub(super) mod path;
pub(super) mod plan;

use std::time::Duration;

use super::command::{HomeLimits, HomeOffer, HomeRemote};
use super::host::Host;
use super::ids::{HomeId, StreamId};
use super::media::Half;
use super::options::Family;
use super::party::PartyId;
use super::sockets::Opened;
use crate::migration::identity::SystemName;
use crate::wire::block::Direction;
use crate::wire::time::Timestamp;

/// The way of a call through one primary.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) id: HomeId,
    pub(super) primary: SystemName,
    /// Anchors that may take it, the preferred one first.
    anchors: Vec<String>,
    limits: HomeLimits,
    standing: Standing,
    /// Since when it is like that.
    since: Timestamp,
    /// Failures one after the other.
    failures: u32,
    lanes: Vec<Lane>,
    /// The label that was given last.
    labels: u32,
    /// When the anchor is asked next whether it still has it; only while something is bypassed.
    probe: Option<Timestamp>,
    /// What the anchor was asked to take; `None` unless it is being asked or has taken it.
    told: Option<Box<HomeOffer>>,
    /// Times that a stream was bypassed.
    bypasses: u64,
    /// Times that a stream came back from that.
    returns: u64,
    /// Packets that had not come back when a stream was bypassed.
    unanswered: u64,
    /// Sums over lanes that are gone.
    gone: Carried,
}

/// How a home leg stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing can go through it yet.
    Idle,
    /// An anchor is being asked.
    Pending,
    /// An anchor has answered.
    Up,
    /// None takes it.
    Failed {
        reason: Box<str>,
        next_try: Timestamp,
    },
}

/// One direction of one media.
#[derive(Clone, Debug)]
struct Lane {
    label: u32,
    key: LaneKey,
    direction: Direction,
    /// Sockets that face home; `None`: no port was free, or the home leg has failed.
    pair: Option<Pair>,
    answer: Answer,
}

/// Which packets a lane is for. Stays the same when the ports of a leg are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LaneKey {
    /// The leg that sends.
    from: PartyId,
    /// The place of the media.
    media: usize,
    /// The leg that it is for.
    to: PartyId,
}

/// Sockets that face home.
#[derive(Clone, Copy, Debug)]
struct Pair {
    opened: Opened,
    family: Family,
    /// Bypassed, by socket: the even one, the odd one.
    lost: [bool; 2],
}

/// What the anchor says of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing yet.
    Waiting,
    /// It does not take it.
    Refused,
    /// It takes it there.
    At(HomeRemote),
}

/// Packets that went home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Carried {
    sent: u64,
    returned: u64,
    lost: u64,
    dropped: u64,
}

impl Home {
    /// A home leg that nothing goes through yet.
    fn new(id: HomeId, primary: SystemName, anchors: Vec<String>, now: Timestamp) -> Self {
        Self {
            id,
            primary,
            anchors,
            limits: LIMITS,
            standing: Standing::Idle,
            since: now,
            failures: 0,
            lanes: Vec::new(),
            labels: 0,
            probe: None,
            told: None,
            bypasses: 0,
            returns: 0,
            unanswered: 0,
            gone: Carried::default(),
        }
    }

    /// All socket pairs that face home.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Opened> {
        let pairs = self.lanes.iter().filter_map(|lane| lane.pair);
        pairs.map(|pair| pair.opened)
    }

    /// When to try again, if it has failed.
    pub(super) const fn next_try(&self) -> Option<Timestamp> {
        match &self.standing {
            Standing::Failed { next_try, .. } => Some(*next_try),
            Standing::Idle | Standing::Pending | Standing::Up => None,
        }
    }

    /// When something is to be done about it by itself.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.next_try().or(self.probe)
    }

    /// Place of the state in [`Statistics`](super::reply::Statistics): 0 pending, 1 up, 2 bypassed
    /// in part or in whole, 3 failed; `None` if nothing goes through it.
    pub(super) fn state(&self) -> Option<usize> {
        match &self.standing {
            Standing::Idle => None,
            Standing::Pending => Some(0),
            Standing::Up if self.is_bypassed() => Some(2),
            Standing::Up => Some(1),
            Standing::Failed { .. } => Some(3),
        }
    }

    /// Whether something of it goes straight, since home does not answer.
    fn is_bypassed(&self) -> bool {
        let mut pairs = self.lanes.iter().filter_map(|lane| lane.pair);
        pairs.any(|pair| pair.lost != [false; 2])
    }

    /// Whether the anchor is to be asked now whether it still has it. An anchor that was started
    /// anew knows nothing of it, and would never send anything back.
    fn probes(&mut self, now: Timestamp) -> bool {
        if !self.is_bypassed() {
            self.probe = None;
            return false;
        }
        let due = self.probe.is_none_or(|at| at <= now);
        if due {
            self.probe = Some(now + PROBE_EVERY);
        }
        due
    }

    fn stand(&mut self, standing: Standing, now: Timestamp) {
        if self.standing != standing {
            (self.standing, self.since) = (standing, now);
        }
    }

    /// Nobody takes it: its sockets go, and it is tried again after a pause that doubles.
    fn fail(&mut self, reason: &str, host: &dyn Host, now: Timestamp) {
        let held = self.standing == Standing::Up && now.since(self.since) >= LONGEST_PAUSE;
        self.failures = if held {
            1
        } else {
            self.failures.saturating_add(1)
        };
        let doubled = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(16));
        let standing = Standing::Failed {
            reason: reason.into(),
            next_try: now + doubled.min(LONGEST_PAUSE),
        };
        self.stand(standing, now);
        self.told = None;
        for lane in &mut self.lanes {
            self.gone.add(lane.carried(host));
            (lane.pair, lane.answer) = (None, Answer::Waiting);
        }
    }
}

impl Lane {
    /// Where its packets go now: its sockets, and the anchor's.
    fn open(&self) -> Option<(Pair, HomeRemote)> {
        match (self.pair, self.answer) {
            (Some(pair), Answer::At(remote)) => Some((pair, remote)),
            (None, _) | (Some(_), Answer::Waiting | Answer::Refused) => None,
        }
    }

    fn carried(&self, host: &dyn Host) -> Carried {
        let mut sum = Carried::default();
        for stream in self.pair.iter().flat_map(Pair::streams) {
            let counters = host.counters(stream);
            sum.add(Carried {
                sent: counters.home_sent.into(),
                returned: counters.packets,
                lost: counters.home_lost.into(),
                dropped: counters.dropped(),
            });
        }
        sum
    }
}

impl Carried {
    fn add(&mut self, more: Self) {
        self.sent += more.sent;
        self.returned += more.returned;
        self.lost += more.lost;
        self.dropped += more.dropped;
    }
}

impl Pair {
    /// Which of its sockets a stream is.
    fn half(&self, stream: StreamId) -> Option<Half> {
        match stream {
            s if s == self.opened.rtp => Some(Half::Rtp),
            s if s == self.opened.rtcp => Some(Half::Rtcp),
            _ => None,
        }
    }

    const fn streams(&self) -> [StreamId; 2] {
        [self.opened.rtp, self.opened.rtcp]
    }

    const fn is_lost(&self, half: Half) -> bool {
        match half {
            Half::Rtp => self.lost[0],
            Half::Rtcp => self.lost[1],
        }
    }
}

/// Limits for anchors that the settings do not know.
const LIMITS: HomeLimits = HomeLimits {
    unreachable_after: Duration::from_secs(2),
    return_after: Duration::from_secs(5),
};
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Between tries; and a home leg that has stood for so long fails as if for the first time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// From one question whether the anchor still has a home leg to the next.
const PROBE_EVERY: Duration = Duration::from_secs(10);
