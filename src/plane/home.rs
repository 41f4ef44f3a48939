//! What a slot that faces home knows: which packets went there and which have come back, whether
//! home answers, and what control has not been told of that (design section 6, redirect). Pure.
//!
//! Home is *unreachable* when packets were sent there for longer than
//! [`HomeLimits::unreachable_after`] and none came back. Packets then go straight, and a copy of
//! each goes home as a probe. When probes have come back for [`HomeLimits::return_after`] packets
//! go through home again. Silence of a push-to-talk user says nothing of home, in either state:
//! only what was sent can be missed, and only what came back can prove something.
//!
//! What comes back is compared by a hash over all its octets, so that a packet that home has
//! changed is one that was never sent: neither reaches a party (design section 2, byte-exact).

mod watch;
mod window;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::command::Event;
use super::counters::{Counters, Drop};
use super::flow::{Expect, HomeLimits, SlotId};
use crate::wire::time::Timestamp;
use watch::Watch;
use window::{State, Window};

/// State of one slot that faces home.
#[derive(Debug)]
pub(super) struct Home {
    limits: HomeLimits,
    /// Makes it hard to find octets that pass for others.
    seed: u64,
    window: Window,
    watch: Watch,
    bypassed: bool,
    untold: Untold,
}

/// The way of one packet of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Home, and from there to the other party.
    Home,
    /// To the other party; a copy goes home to see whether it comes back.
    Straight,
}

/// News that control has not been told of: at most one of each kind, so that they are bounded
/// however often home comes and goes while control does not listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Untold {
    /// Home was lost, with the packets that were not answered.
    lost: Option<u64>,
    /// And came back after that.
    back: bool,
    /// The worker knows that there is something to tell.
    noted: bool,
}

impl Home {
    /// A slot that has sent nothing home yet. `seed` should be one that home cannot know.
    pub(super) fn new(limits: HomeLimits, places: usize, seed: u64) -> Self {
        Self {
            limits,
            seed,
            window: Window::new(places),
            watch: Watch::default(),
            bypassed: false,
            untold: Untold::default(),
        }
    }

    /// Other limits; `moved` if home is at another address now, which has missed nothing yet.
    pub(super) fn configure(&mut self, limits: HomeLimits, moved: bool) {
        self.limits = limits;
        if moved {
            self.watch = Watch::default();
        }
    }

    /// The way of a packet that a party sent, which is taken from now on to have gone it.
    pub(super) fn send(&mut self, bytes: &[u8], now: Timestamp, counters: &Counters) -> Way {
        let unanswered = self.watch.unanswered();
        let silent = self.watch.sends(self.limits.unreachable_after, now);
        if silent && !self.bypassed {
            self.bypassed = true;
            counters.home_lost(self.window.give_up());
            self.watch = Watch::default();
            self.watch.sends(self.limits.unreachable_after, now);
            self.untold.lose(unanswered);
        } else if silent {
            self.watch.start_proof();
        }
        let (state, way) = if self.bypassed {
            (State::Straight, Way::Straight)
        } else {
            counters.home_sent();
            (State::Home, Way::Home)
        };
        if self.window.insert(self.hash(bytes), state) == Some(State::Home) {
            counters.home_lost(1);
        }
        way
    }

    /// Takes what came from home: whether it goes on to the other party, or why not.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        now: Timestamp,
        counters: &Counters,
    ) -> Result<(), Drop> {
        let result = match self.window.take(self.hash(bytes)) {
            Some(State::Home) => Ok(()),
            Some(State::Lost) => {
                counters.home_found();
                Ok(())
            }
            Some(State::Straight) => Err(Drop::LateHome),
            // Neither says that home answers: anybody who has heard it once could send it.
            Some(State::Returned) => return Err(Drop::HomeDuplicate),
            None => return Err(Drop::HomeAltered),
        };
        let proof = self.watch.answers(self.limits.unreachable_after, now);
        if self.bypassed && proof >= self.limits.return_after {
            self.bypassed = false;
            self.untold.back = true;
        }
        result
    }

    /// Whether there is something to tell that the worker has not been shown yet.
    pub(super) fn has_news(&mut self) -> bool {
        let news = (self.untold.lost.is_some() || self.untold.back) && !self.untold.noted;
        self.untold.noted |= news;
        news
    }

    /// Tells all there is; `false` if `push` had no room, and some is left.
    pub(super) fn tell(&mut self, slot: SlotId, push: impl Fn(Event) -> bool) -> bool {
        if let Some(unanswered) = self.untold.lost {
            if !push(Event::HomeLost { slot, unanswered }) {
                return false;
            }
            self.untold.lost = None;
        }
        if self.untold.back && !push(Event::HomeBack { slot }) {
            return false;
        }
        self.untold = Untold::default();
        true
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.seed)
    }
}

impl Untold {
    /// Home was lost. If control has not heard yet that it had come back, it need not.
    fn lose(&mut self, unanswered: u64) {
        let before = self.lost.unwrap_or(0);
        self.lost = Some(before.saturating_add(unanswered));
        self.back = false;
    }
}

/// How many packets to remember: what a stream of this kind sends in some seconds at least
/// (1,000 packets a second of video, 250 of audio). Each takes 14 octets.
pub(super) const fn places(expect: Expect, clock_rate: u32) -> usize {
    match expect {
        Expect::Rtp if clock_rate == VIDEO_CLOCK => 4_096,
        Expect::Rtp => 1_024,
        Expect::Rtcp | Expect::Datagram => 256,
    }
}

/// RTP clock of all video formats (RFC 3551 5).
const VIDEO_CLOCK: u32 = 90_000;

#[cfg(test)]
mod tests;
