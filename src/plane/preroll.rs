//! The pre-roll of a worker: the last seconds of streams of which it is not decided yet where they
//! belong (design section 4). In memory only.
//!
//! - *Keeping*: each accepted packet is copied behind the last one of its stream. What is too old,
//!   more than the call may have, or more than the worker has room for, is given up, oldest first,
//!   and counted with its stream: a gap.
//! - *Decided*, when `keep` is taken away. If loggers are named in the same command, the stream is
//!   *flushed*: what was kept goes to them in order, some packets at a time so that their socket
//!   buffers hold it, what arrives meanwhile queues behind, and when all is gone live copies
//!   follow. If no logger takes what one should have, it is given up, and counted: a gap.
//!   Otherwise what was kept is nobody's, and forgotten at once.
//!
//! Loggers that are named while it is undecided get what comes from then on, and nothing of the
//! past: that is not theirs before a decision says so.

mod pool;

use std::collections::VecDeque;
use std::time::Duration;

use self::pool::{CHUNK, Kept, Owner, Pool, Queue};
use super::metrics::WorkerMetrics;
use super::outbox::Copies;
use super::slot::{Mirrors, Slot, SlotTable};
use super::start::Preroll as Bounds;
use crate::sys::address::Address;
use crate::sys::mmsg::Datagram;
use crate::wire::time::Timestamp;

/// What is kept by a worker.
#[derive(Debug)]
pub(super) struct Prerolls {
    age: Duration,
    call_chunks: usize,
    pool: Pool,
    /// Slots that the present command has told something.
    told: Vec<u32>,
    /// Slots that are being flushed.
    flushing: VecDeque<u32>,
    /// There was more to flush than one look may send.
    pressed: bool,
    swept: Timestamp,
}

/// The pre-roll of one stream.
#[derive(Debug)]
pub(super) struct Preroll {
    /// The call whose bound it counts against.
    call: u64,
    /// Whether it is undecided where the packets belong.
    undecided: bool,
    /// Whether it is among those that were told something.
    told: bool,
    /// Whether the present command has said that no logger takes what one should have.
    unserved: bool,
    queue: Queue,
    /// Loggers that were named just now, or that it is being flushed to.
    to: Option<Box<Mirrors>>,
    flush: Option<Flush>,
}

/// Where a flush stands.
#[derive(Clone, Copy, Debug)]
struct Flush {
    /// Packets left that were kept before the decision.
    kept: u32,
    /// Packets for each time.
    quota: u32,
    /// Packets that have queued behind since the last time: they go besides.
    credit: u32,
    /// Loggers that have the first packet already.
    done: usize,
    due: Timestamp,
}

/// What packets are sent with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) copies: &'a Copies,
    pub(super) metrics: &'a WorkerMetrics,
}

impl Prerolls {
    /// One with the equal part of what `workers` share.
    pub(super) fn new(bounds: &Bounds, workers: usize) -> Self {
        let off = bounds.age.is_zero() || bounds.call_bytes == 0;
        let octets = if off {
            0
        } else {
            bounds.bytes / workers.max(1)
        };
        Self {
            age: bounds.age,
            call_chunks: (bounds.call_bytes / CHUNK).max(1),
            pool: Pool::new(octets),
            told: Vec::new(),
            flushing: VecDeque::new(),
            pressed: false,
            swept: Timestamp::default(),
        }
    }

    /// How long the worker may wait for its sockets; `None`: for ever.
    pub(super) fn patience(&self) -> Option<Duration> {
        match (self.pressed, self.flushing.is_empty()) {
            (true, _) => Some(Duration::ZERO),
            (false, false) => Some(PACE),
            (false, true) if self.pool.is_empty() => None,
            (false, true) => Some(self.sweep_every()),
        }
    }

    /// Takes note of whether a slot's packets are to be kept, and as whose.
    pub(super) fn configure(&mut self, slots: &mut SlotTable, index: u32, keep: Option<u64>) {
        let Some(slot) = slots.slot_mut(index).filter(|_| !self.pool.is_nothing()) else {
            return;
        };
        match (keep, &mut slot.preroll) {
            (None, None) => {}
            (Some(call), None) => slot.preroll = Some(Box::new(Preroll::new(call))),
            (Some(call), Some(preroll)) => (preroll.call, preroll.undecided) = (call, true),
            (None, Some(preroll)) => {
                preroll.undecided = false;
                tell(&mut self.told, preroll, index);
            }
        }
    }

    /// Loggers were named for a slot. Gives those that get live copies from now on; the others
    /// get the pre-roll first. Loggers that are not named any more get what they have coming.
    pub(super) fn aim(
        &mut self,
        slots: &mut SlotTable,
        index: u32,
        targets: Vec<Address>,
        way: &Way<'_>,
    ) -> Vec<Address> {
        let Some(slot) = slots.slot_mut(index) else {
            return targets;
        };
        let Some(preroll) = &mut slot.preroll else {
            return targets;
        };
        if preroll.flush.is_some() {
            if preroll.targets().all(|to| targets.contains(to)) {
                let fresh = |to: &Address| !preroll.targets().any(|flushed| flushed == to);
                return targets.into_iter().filter(fresh).collect();
            }
            self.send(slot, u32::MAX, way);
            self.conclude(slot, index);
            return targets;
        }
        let live = slot.mirrors.as_deref().copied().unwrap_or_default();
        let (old, new): (Vec<Address>, Vec<Address>) =
            targets.into_iter().partition(|to| live.contains(to));
        preroll.to = mirrors(new.into_iter());
        tell(&mut self.told, preroll, index);
        old
    }

    /// A logger should have the packets of a slot, and none takes them.
    pub(super) fn unserved(&mut self, slots: &mut SlotTable, index: u32) {
        let preroll = slots.slot_mut(index).and_then(|s| s.preroll.as_deref_mut());
        if let Some(preroll) = preroll {
            preroll.unserved = true;
            tell(&mut self.told, preroll, index);
        }
    }

    /// A command is carried out whole: what it decided begins.
    pub(super) fn settle(&mut self, slots: &mut SlotTable, now: Timestamp) {
        while let Some(index) = self.told.pop() {
            let Some(slot) = slots.slot_mut(index) else {
                continue;
            };
            let Some(preroll) = slot.preroll.as_deref_mut().filter(|p| p.told) else {
                continue;
            };
            preroll.told = false;
            if preroll.flush.is_some() {
                continue;
            }
            let packets = preroll.queue.packets();
            if preroll.to.is_none() || preroll.undecided || packets == 0 {
                self.conclude(slot, index);
                continue;
            }
            self.pool.hold(&preroll.queue);
            preroll.flush = Some(Flush {
                kept: packets,
                quota: (packets / FLUSH_TIMES).max(FLUSH_LEAST),
                credit: 0,
                done: 0,
                due: now,
            });
            self.flushing.push_back(index);
        }
    }

    /// Keeps an accepted packet, if the slot has a pre-roll.
    pub(super) fn keep(
        &mut self,
        slots: &mut SlotTable,
        index: u32,
        datagram: &Datagram<'_>,
        now: Timestamp,
        way: &Way<'_>,
    ) {
        let kept = Kept {
            bytes: datagram.bytes,
            at: now,
            received: datagram.received.unwrap_or(now),
        };
        let Some(preroll) = slots.slot_mut(index).and_then(|s| s.preroll.as_deref_mut()) else {
            return;
        };
        let added = self.pool.append(&mut preroll.queue, &kept);
        if !added {
            self.make_room(slots, index, now, way);
        }
        let Some(slot) = slots.slot_mut(index) else {
            return;
        };
        let Some(preroll) = slot.preroll.as_deref_mut() else {
            return;
        };
        if !added && !self.pool.append(&mut preroll.queue, &kept) {
            slot.counters.preroll_evicted(1);
        }
        match &mut preroll.flush {
            Some(flush) => flush.credit = flush.credit.saturating_add(1),
            None => self.expire(slot, None, now),
        }
        show(slot);
    }

    /// Sends what is due of flushes, a bounded number of packets; from time to time gives up what
    /// is too old.
    pub(super) fn work(&mut self, slots: &mut SlotTable, now: Timestamp, way: &Way<'_>) {
        self.sweep(slots, now);
        let mut budget = BUDGET;
        for _ in 0..self.flushing.len() {
            if budget == 0 {
                break;
            }
            let Some(index) = self.flushing.pop_front() else {
                break;
            };
            let Some(slot) = slots.slot_mut(index) else {
                continue;
            };
            let Some(flush) = slot.preroll.as_deref_mut().and_then(|p| p.flush.as_mut()) else {
                continue;
            };
            if flush.due > now {
                self.flushing.push_back(index);
                continue;
            }
            let wanted = flush.quota.saturating_add(flush.credit);
            let most = wanted.min(budget);
            (flush.credit, flush.due) = (wanted.saturating_sub(most).min(flush.credit), now + PACE);
            budget -= self.send(slot, most, way);
            if slot.preroll.as_ref().is_some_and(|p| p.queue.packets() > 0) {
                self.flushing.push_back(index);
            } else {
                self.conclude(slot, index);
            }
        }
        self.pressed = budget == 0;
    }

    /// The slot closes: a flush is brought to its end, and what is undecided is given up.
    pub(super) fn close(&mut self, slots: &mut SlotTable, index: u32, way: &Way<'_>) {
        let Some(slot) = slots.slot_mut(index) else {
            return;
        };
        let Some(preroll) = slot.preroll.as_deref_mut() else {
            return;
        };
        if preroll.flush.is_some() || (preroll.to.is_some() && !preroll.undecided) {
            preroll.flush.get_or_insert_with(|| Flush {
                kept: preroll.queue.packets(),
                quota: 0,
                credit: 0,
                done: 0,
                due: Timestamp::default(),
            });
            self.send(slot, u32::MAX, way);
        } else if preroll.undecided {
            slot.counters.preroll_evicted(preroll.queue.packets());
            (preroll.undecided, preroll.unserved) = (false, false);
        }
        self.conclude(slot, index);
        slot.preroll = None;
    }

    /// The worker stops: flushes are brought to their end. What is undecided is lost with it.
    pub(super) fn stop(&mut self, slots: &mut SlotTable, way: &Way<'_>) {
        while let Some(index) = self.flushing.pop_front() {
            self.close(slots, index, way);
        }
    }

    /// Opens a chunk for a slot, at the cost of older ones if need be. A flush never loses a
    /// packet: if there is no other way, its oldest chunk goes out at once.
    fn make_room(&mut self, slots: &mut SlotTable, index: u32, now: Timestamp, way: &Way<'_>) {
        let Some(preroll) = slots.slot(index).and_then(|slot| slot.preroll.as_ref()) else {
            return;
        };
        let flushed = preroll.flush.is_some();
        let call = (!flushed).then_some(preroll.call);
        if call.is_some_and(|call| self.pool.chunks_of(call) >= self.call_chunks) {
            self.give_up(slots, call);
        }
        if self.pool.is_full() && !self.give_up(slots, None) && flushed {
            self.send_chunk(slots, index, way);
        }
        let owner = Owner { slot: index, call };
        let preroll = slots.slot_mut(index).and_then(|s| s.preroll.as_deref_mut());
        if let Some(preroll) = preroll {
            self.pool.open(&mut preroll.queue, owner, now);
        }
    }

    /// Gives up the oldest chunk, of a call or of all; whether there was one.
    fn give_up(&mut self, slots: &mut SlotTable, call: Option<u64>) -> bool {
        let owner = self.pool.oldest(call).and_then(|slot| slots.slot_mut(slot));
        let Some(slot) = owner else {
            return false;
        };
        let Some(preroll) = slot.preroll.as_deref_mut() else {
            return false;
        };
        let lost = self.pool.close_first(&mut preroll.queue);
        slot.counters.preroll_evicted(lost);
        show(slot);
        true
    }

    /// Sends the first chunk of a flush.
    fn send_chunk(&mut self, slots: &mut SlotTable, index: u32, way: &Way<'_>) {
        let Some(slot) = slots.slot_mut(index) else {
            return;
        };
        let first = |slot: &Slot| slot.preroll.as_ref().and_then(|p| p.queue.first());
        let chunk = first(slot);
        while chunk.is_some() && first(slot) == chunk {
            self.send_one(slot, true, way);
        }
    }

    /// Sends the oldest packets of a flush, at most so many, and fewer if the kernel takes no more
    /// for now; how many. All of them whatever comes, if `most` is `u32::MAX`.
    fn send(&mut self, slot: &mut Slot, most: u32, way: &Way<'_>) -> u32 {
        let mut sent = 0;
        while sent < most && self.send_one(slot, most == u32::MAX, way) {
            sent += 1;
        }
        show(slot);
        sent
    }

    /// Sends the oldest packet of a flush to all its loggers; `false` if there is none, or if the
    /// kernel takes it later only and there is time.
    fn send_one(&mut self, slot: &mut Slot, now: bool, way: &Way<'_>) -> bool {
        let Some(preroll) = slot.preroll.as_deref_mut() else {
            return false;
        };
        let (Some(flush), Some(to)) = (&mut preroll.flush, &preroll.to) else {
            return false;
        };
        let Some(kept) = self.pool.front(&preroll.queue) else {
            return false;
        };
        while let Some(target) = to.get(flush.done).filter(|to| to.is_some()) {
            way.metrics.mirror_calls.add(1);
            let sent = way.copies.send_now(kept.bytes, target);
            if !now && is_full(&sent) {
                return false;
            }
            slot.counters.mirrored(sent.is_ok());
            let count = match sent {
                Ok(()) => &way.metrics.mirrored,
                Err(_) => &way.metrics.mirror_dropped,
            };
            count.add(1);
            flush.done += 1;
        }
        flush.done = 0;
        if flush.kept > 0 {
            flush.kept -= 1;
            slot.counters.preroll_sent();
        }
        self.pool.pop(&mut preroll.queue);
        true
    }

    /// A decision is carried out, or there was none: the loggers that were named get live copies.
    /// What is left of a slot that is decided is forgotten.
    fn conclude(&mut self, slot: &mut Slot, index: u32) {
        let Some(preroll) = slot.preroll.as_deref_mut() else {
            return;
        };
        let unserved = std::mem::take(&mut preroll.unserved);
        let named = preroll.to.take();
        if preroll.flush.take().is_some() {
            self.flushing.retain(|flushed| *flushed != index);
        }
        if !preroll.undecided {
            if unserved && named.is_none() {
                slot.counters.preroll_evicted(preroll.queue.packets());
            }
            self.pool.clear(&mut preroll.queue);
            show(slot);
            slot.preroll = None;
        }
        if let Some(named) = named {
            let live = slot.mirrors.as_deref().copied().unwrap_or_default();
            let all = live.into_iter().chain(*named);
            slot.mirror(all.filter(Address::is_some));
        }
    }

    /// Gives up what is too old everywhere.
    fn sweep(&mut self, slots: &mut SlotTable, now: Timestamp) {
        if self.pool.is_empty() || now.since(self.swept) < self.sweep_every() {
            return;
        }
        self.swept = now;
        let mut next = self.pool.start();
        while let Some((chunk, slot, after)) = self.pool.opened_before(next, self.horizon(now)) {
            if let Some(slot) = slots.slot_mut(slot) {
                self.expire(slot, Some(chunk), now);
                show(slot);
            }
            next = after;
        }
    }

    /// Gives up what is too old of one stream; only what is in this chunk, if one is named.
    fn expire(&mut self, slot: &mut Slot, chunk: Option<pool::ChunkId>, now: Timestamp) {
        let horizon = self.horizon(now);
        let Some(preroll) = slot.preroll.as_deref_mut() else {
            return;
        };
        let queue = &mut preroll.queue;
        while self.pool.front(queue).is_some_and(|kept| kept.at < horizon)
            && (chunk.is_none() || queue.first() == chunk)
        {
            self.pool.pop(queue);
            slot.counters.preroll_evicted(1);
        }
    }

    /// What came before this is too old.
    fn horizon(&self, now: Timestamp) -> Timestamp {
        let age = u64::try_from(self.age.as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_nanos(now.nanos().saturating_sub(age))
    }

    fn sweep_every(&self) -> Duration {
        (self.age / 10).clamp(SWEEP_SOONEST, SWEEP_LATEST)
    }
}

impl Preroll {
    fn new(call: u64) -> Self {
        Self {
            call,
            undecided: true,
            told: false,
            unserved: false,
            queue: Queue::default(),
            to: None,
            flush: None,
        }
    }

    /// Loggers that it is being flushed to.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Address> {
        let all = self.to.iter().flat_map(|to| to.iter());
        all.filter(|to| to.is_some())
    }
}

fn tell(told: &mut Vec<u32>, preroll: &mut Preroll, index: u32) {
    if !preroll.told {
        preroll.told = true;
        told.push(index);
    }
}

/// Those that something can be sent to; `None` if there is none.
fn mirrors(targets: impl Iterator<Item = Address>) -> Option<Box<Mirrors>> {
    let mut mirrors = Mirrors::default();
    let mut places = mirrors.iter_mut();
    for (target, place) in targets.filter(Address::is_sendable).zip(&mut places) {
        *place = target;
    }
    mirrors[0].is_some().then(|| Box::new(mirrors))
}

/// Lets the counters tell how many packets are kept.
fn show(slot: &Slot) {
    let packets = slot.preroll.as_ref().map_or(0, |p| p.queue.packets());
    slot.counters.preroll_holds(packets);
}

/// Whether the kernel has no room for now.
fn is_full(sent: &std::io::Result<()>) -> bool {
    let kind = sent.as_ref().err().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::WouldBlock)
}

/// From one part of a flush to the next.
const PACE: Duration = Duration::from_millis(2);
/// Parts that a flush has at most: half a second.
const FLUSH_TIMES: u32 = 256;
/// Packets of a part at least.
const FLUSH_LEAST: u32 = 4;
/// Packets of flushes between two looks at the sockets.
const BUDGET: u32 = 32;
const SWEEP_SOONEST: Duration = Duration::from_millis(10);
const SWEEP_LATEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
