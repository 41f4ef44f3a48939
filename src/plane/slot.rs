//! A flow slot: one socket with all that changes per packet. Owned by one worker.

use std::net::UdpSocket;
use std::sync::Arc;

use super::command::MAX_MIRRORS;
use super::counters::Counters;
use super::flow::{Expect, Flow, Learn, Route, SlotId};
use super::home::{self, Home};
use super::learn::{Learner, Rules};
use super::loops::LoopGuard;
use super::preroll::Preroll;
use super::stats::RtpStats;
use crate::sys::address::Address;

/// One socket in service.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) socket: UdpSocket,
    pub(super) expect: Expect,
    pub(super) rules: Rules,
    pub(super) blocked: bool,
    /// Where the leg is reached, as declared.
    pub(super) declared: Address,
    /// Where it is reached really; packets for this leg go there.
    pub(super) peer: Address,
    pub(super) forward: Option<SlotIndex>,
    pub(super) forward_rtcp: Option<SlotIndex>,
    pub(super) window: u32,
    pub(super) clock_rate: u32,
    /// What the kernel's drop counter said last.
    pub(super) socket_drops: u32,
    pub(super) learner: Learner,
    pub(super) stats: RtpStats,
    pub(super) guard: LoopGuard,
    /// Boxed, because most streams have none.
    pub(super) mirrors: Option<Box<Mirrors>>,
    /// What is kept while it is undecided where the packets belong.
    pub(super) preroll: Option<Box<Preroll>>,
    /// Boxed for the same reason.
    pub(super) detour: Option<Box<Detour>>,
    pub(super) counters: Arc<Counters>,
}

/// The part of a slot in redirect.
#[derive(Debug)]
pub(super) enum Detour {
    /// What a party sends goes home out of these slots' sockets: RTP and datagrams, and RTCP.
    Via(SlotIndex, SlotIndex),
    /// The slot faces home.
    Home(Home),
}

/// Addresses of loggers; those not in use are none.
pub(super) type Mirrors = [Address; MAX_MIRRORS];

impl Slot {
    pub(super) fn new(socket: UdpSocket, flow: &Flow, counters: Arc<Counters>) -> Self {
        let declared = flow.remote.into();
        // Nothing is ever learned where learning is off: there the declared address counts.
        let known = flow.known.filter(|_| flow.learn != Learn::Off);
        let known = known.map(Address::from).filter(Address::is_sendable);
        if let Some(known) = &known {
            counters.set_learned(known);
        }
        Self {
            socket,
            expect: flow.expect,
            rules: rules(flow),
            blocked: flow.blocked,
            declared,
            peer: known.unwrap_or(declared),
            forward: SlotIndex::some(flow.forward),
            forward_rtcp: SlotIndex::some(flow.forward_rtcp),
            window: flow.window,
            clock_rate: flow.clock_rate,
            socket_drops: 0,
            learner: known.map_or_else(Learner::default, |known| Learner::known(&declared, &known)),
            stats: RtpStats::default(),
            guard: LoopGuard::default(),
            mirrors: None,
            preroll: None,
            detour: detour(None, flow, false),
            counters,
        }
    }

    /// Another wanted state. What was learned survives unless the window grew, or learning is
    /// off; what was learned in an older window has some precedence in the new one if the
    /// declared address is the same.
    pub(super) fn configure(&mut self, flow: &Flow) {
        let declared = Address::from(flow.remote);
        let rules = rules(flow);
        let same = declared == self.declared && rules.learn == self.rules.learn;
        (self.expect, self.rules, self.blocked) = (flow.expect, rules, flow.blocked);
        self.forward = SlotIndex::some(flow.forward);
        self.forward_rtcp = SlotIndex::some(flow.forward_rtcp);
        self.clock_rate = flow.clock_rate;
        self.detour = detour(self.detour.take(), flow, declared != self.declared);
        self.declared = declared;
        if flow.window > self.window {
            self.window = flow.window;
            self.guard.reopen();
            let kept = same && self.learner.has_heard();
            self.learner.reopen(&declared, kept.then_some(&self.peer));
        }
        if !self.learner.has_heard() && self.peer != declared {
            self.peer = declared;
            self.counters.set_learned(&Address::NONE);
        }
    }

    /// What this slot knows of home, if it faces it, and where to count.
    pub(super) fn home(&mut self) -> Option<(&mut Home, &Counters)> {
        match self.detour.as_deref_mut() {
            Some(Detour::Home(home)) => Some((home, &self.counters)),
            Some(Detour::Via(..)) | None => None,
        }
    }

    /// Whether one of the loggers is not among these.
    pub(super) fn loses_mirror(&self, targets: &[Address]) -> bool {
        let mirrors = self.mirrors.iter().flat_map(|mirrors| mirrors.iter());
        let flushed = self.preroll.iter().flat_map(|preroll| preroll.targets());
        mirrors
            .chain(flushed)
            .any(|former| former.is_some() && !targets.contains(former))
    }

    /// Copies go to these loggers; addresses to which nothing can be sent are left out.
    pub(super) fn mirror(&mut self, targets: impl Iterator<Item = Address>) {
        let mut mirrors = Mirrors::default();
        let mut places = mirrors.iter_mut();
        for (target, place) in targets.filter(Address::is_sendable).zip(&mut places) {
            *place = target;
        }
        self.mirrors = mirrors[0].is_some().then(|| Box::new(mirrors));
    }
}

fn rules(flow: &Flow) -> Rules {
    Rules {
        learn: flow.learn,
        source: flow.source,
    }
}

/// The wanted detour; what is known of home stays. `moved` if the declared address is another.
fn detour(former: Option<Box<Detour>>, flow: &Flow, moved: bool) -> Option<Box<Detour>> {
    match flow.route {
        Route::Direct => None,
        Route::Via { home, home_rtcp } => {
            let rtp = SlotIndex::some(Some(home))?;
            let rtcp = SlotIndex::some(home_rtcp).unwrap_or(rtp);
            Some(Box::new(Detour::Via(rtp, rtcp)))
        }
        Route::Home(limits) => {
            if let Some(mut former) = former
                && let Detour::Home(home) = &mut *former
            {
                home.configure(limits, moved);
                return Some(former);
            }
            let places = home::places(flow.expect, flow.clock_rate);
            let home = Home::new(limits, places, rand::random());
            Some(Box::new(Detour::Home(home)))
        }
    }
}

/// Index of a slot, one more than it is, so that an `Option` of it takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotIndex(std::num::NonZeroU32);

impl SlotIndex {
    fn some(id: Option<SlotId>) -> Option<Self> {
        std::num::NonZeroU32::new(id?.0.checked_add(1)?).map(Self)
    }

    pub(super) const fn get(self) -> u32 {
        self.0.get() - 1
    }
}

/// All slots of a worker, in pages, so that growth moves nothing.
#[derive(Debug, Default)]
pub(super) struct SlotTable {
    pages: Vec<Box<[Option<Slot>]>>,
    live: usize,
}

impl SlotTable {
    pub(super) fn slot(&self, index: u32) -> Option<&Slot> {
        let (page, place) = split(index);
        self.pages.get(page)?[place].as_ref()
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        let (page, place) = split(index);
        self.pages.get_mut(page)?[place].as_mut()
    }

    /// Puts a slot into service; gives back the one that had the place, or `slot` itself if the
    /// index is out of all bounds.
    pub(super) fn insert(&mut self, index: u32, slot: Slot) -> Option<Slot> {
        let (page, place) = split(index);
        if index >= MAX_SLOTS {
            return Some(slot);
        }
        while self.pages.len() <= page {
            self.pages.push((0..PAGE).map(|_| None).collect());
        }
        let former = self.pages[page][place].replace(slot);
        self.live += usize::from(former.is_none());
        former
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Slot> {
        let (page, place) = split(index);
        let slot = self.pages.get_mut(page)?[place].take()?;
        self.live -= 1;
        Some(slot)
    }

    /// The sockets of all slots.
    pub(super) fn into_sockets(self) -> Vec<(SlotId, UdpSocket)> {
        let slots = self.pages.into_iter().flat_map(<[_]>::into_vec);
        (0..)
            .zip(slots)
            .filter_map(|(index, slot)| Some((SlotId(index), slot?.socket)))
            .collect()
    }

    /// How many slots are in service.
    pub(super) fn len(&self) -> usize {
        self.live
    }
}

fn split(index: u32) -> (usize, usize) {
    let index = index as usize;
    (index / PAGE, index % PAGE)
}

const PAGE: usize = 64;
/// More than a worker can have descriptors for.
const MAX_SLOTS: u32 = 1 << 22;

#[cfg(test)]
mod tests;
