//! The loop of a worker. This file alone knows the order of the steps:
//!
//! 1. wait until sockets or control have something;
//! 2. carry out the commands that are there already, at most [`COMMANDS`], because packets may
//!    have come on the strength of them;
//! 3. for each socket that is ready: receive a batch, decide on each datagram, gather copies for
//!    loggers, forward;
//! 4. send the copies that are left, settle the latencies, go on with the pre-roll;
//! 5. carry out the commands that woke the worker, with the same bound;
//! 6. report home lost or back, and slots that were closed, again if there was no room before.
//!
//! A socket gives one batch for each wake-up, so that none starves the others; what is left is
//! reported ready again.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use crossbeam::utils::CachePadded;

use super::command::{Command, Event};
use super::counters::Drop;
use super::decide::{Part, decide};
use super::events::EventQueue;
use super::flow::SlotId;
use super::latency::Recorder;
use super::mailbox::{Given, Mailbox};
use super::metrics::WorkerMetrics;
use super::outbox::{Copies, Forwards, forward_alone};
use super::preroll::{Prerolls, Way};
use super::slot::{Slot, SlotIndex, SlotTable};
use super::start::Preroll as Bounds;
use crate::sys::address::Address;
use crate::sys::clock::Clock;
use crate::sys::epoll::{Epoll, Ready};
use crate::sys::mmsg::PacketRing;
use crate::wire::time::Timestamp;

mod redirect;

/// One worker; lives on its own thread.
#[derive(Debug)]
pub(super) struct Worker {
    index: usize,
    clock: Clock,
    mailbox: Arc<Mailbox>,
    events: Arc<EventQueue>,
    metrics: Arc<CachePadded<WorkerMetrics>>,
    epoll: Epoll,
    ready: Ready,
    slots: SlotTable,
    ring: PacketRing,
    /// The next buffer to receive into; those before it may hold gathered copies.
    cursor: usize,
    forwards: Forwards,
    copies: Copies,
    prerolls: Prerolls,
    latency: Recorder,
    /// Closed slots that control has not been told of.
    closed: Vec<SlotId>,
    /// Slots facing home that have something to tell; each is here once at most.
    news: Vec<u32>,
}

/// What a worker is given at its start.
#[derive(Debug)]
pub(super) struct Equipment {
    pub(super) index: usize,
    pub(super) clock: Clock,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) events: Arc<EventQueue>,
    pub(super) metrics: Arc<CachePadded<WorkerMetrics>>,
    pub(super) preroll: Bounds,
    /// How many workers there are.
    pub(super) workers: usize,
}

impl Worker {
    pub(super) fn new(equipment: Equipment) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(&equipment.mailbox.wake, WAKE)?;
        Ok(Self {
            index: equipment.index,
            clock: equipment.clock,
            mailbox: equipment.mailbox,
            events: equipment.events,
            metrics: equipment.metrics,
            epoll,
            ready: Ready::new(READY),
            slots: SlotTable::default(),
            ring: PacketRing::new(BUFFERS),
            cursor: 0,
            forwards: Forwards::new(BATCH),
            copies: Copies::new(COPIES)?,
            prerolls: Prerolls::new(&equipment.preroll, equipment.workers),
            latency: Recorder::new()?,
            closed: Vec::new(),
            news: Vec::new(),
        })
    }

    /// Works until told to stop; then gives the sockets, with what has arrived on them since.
    pub(super) fn run(mut self) -> Vec<(SlotId, UdpSocket)> {
        while !self.mailbox.is_stopping() {
            let untold = !self.closed.is_empty() || !self.news.is_empty();
            let report = untold.then_some(REPORT_AGAIN);
            let wait = report.into_iter().chain(self.prerolls.patience()).min();
            if self.epoll.wait(&mut self.ready, wait).is_err() {
                break; // only if the descriptor itself is broken
            }
            self.metrics.wakeups.add(1);
            let now = self.clock.now();
            let mut commanded = false;
            // A reply to signalling may have brought packets with it: what it promised comes
            // first, or the first of them would find no way.
            if self.mailbox.has_more() {
                self.take_commands(now);
            }
            for entry in 0..self.ready.len() {
                match self.ready.token(entry).map(u32::try_from) {
                    Some(Ok(slot)) => {
                        self.serve(slot, now);
                    }
                    Some(Err(_)) => commanded = true,
                    None => {}
                }
            }
            self.copies.flush(&self.ring, &self.slots, &self.metrics);
            self.cursor = 0;
            self.latency.settle();
            self.prerolls(|prerolls, slots, way| prerolls.work(slots, now, way));
            if commanded {
                self.take_commands(now);
            }
            self.report_home();
            self.report_closed();
        }
        self.prerolls(Prerolls::stop);
        self.slots.into_sockets()
    }

    /// One batch of one socket; how many datagrams there were.
    fn serve(&mut self, index: u32, now: Timestamp) -> usize {
        self.serve_some(index, BATCH, now)
    }

    /// At most so many datagrams of one socket; how many there were.
    fn serve_some(&mut self, index: u32, most: usize, now: Timestamp) -> usize {
        if self.cursor + BATCH > BUFFERS {
            self.flush_copies();
        }
        let first = self.cursor;
        let Some(slot) = self.slots.slot(index) else {
            return 0;
        };
        self.metrics.receive_calls.add(1);
        let Ok(count) = self.ring.receive(&slot.socket, first, most) else {
            self.metrics.receive_errors.add(1);
            return 0;
        };
        self.metrics.datagrams.add(count as u64);
        for buffer in first..first + count {
            self.handle(index, buffer, count == 1, now);
        }
        if count > 1 {
            self.flush_forwards(index);
        }
        if !self.copies.is_empty() {
            self.cursor = first + count;
        }
        count
    }

    /// One datagram.
    fn handle(&mut self, index: u32, buffer: usize, alone: bool, now: Timestamp) {
        let Some(slot) = self.slots.slot_mut(index) else {
            return;
        };
        let decision = decide(slot, &self.ring.datagram(buffer), now);
        if decision.learned {
            let address = slot.peer.to_std();
            self.tell_learned(index, address);
        }
        if decision.part != Part::None {
            self.redirect(index, buffer, decision, alone, now);
        } else if decision.taken {
            self.forward(index, buffer, decision.to, alone);
            self.copy(index, buffer, now);
        }
    }

    fn forward(&mut self, index: u32, buffer: usize, to: Option<SlotIndex>, alone: bool) {
        let Some(slot) = self.slots.slot(index) else {
            return;
        };
        let target = to.and_then(|to| Some((to.get(), self.slots.slot(to.get())?)));
        let Some((through, target)) = target.filter(|(_, target)| target.peer.is_sendable()) else {
            slot.counters.dropped(Drop::NoDestination, 1);
            return;
        };
        if alone {
            let way = (&target.socket, &target.peer);
            let (latency, metrics) = (&mut self.latency, &self.metrics);
            forward_alone(&self.ring, buffer, way, &slot.counters, latency, metrics);
            return;
        }
        let to = target.peer;
        if self.forwards.must_flush_before(through) {
            self.flush_forwards(index);
        }
        self.forwards.push(buffer, through, &to);
    }

    /// Gathers the copies of a packet, one for each logger.
    fn copy(&mut self, index: u32, buffer: usize, now: Timestamp) {
        if self.slots.slot(index).is_some_and(|s| s.preroll.is_some()) {
            self.keep(index, buffer, now);
        }
        let Some(mirrors) = self
            .slots
            .slot(index)
            .and_then(|slot| slot.mirrors.as_ref())
        else {
            return;
        };
        for to in mirrors.iter().take_while(|to| to.is_some()) {
            if !self.copies.push(buffer, index, to) {
                self.copies.flush(&self.ring, &self.slots, &self.metrics);
                self.copies.push(buffer, index, to);
            }
        }
    }

    /// Copies a packet into the pre-roll.
    fn keep(&mut self, index: u32, buffer: usize, now: Timestamp) {
        let way = Way {
            copies: &self.copies,
            metrics: &self.metrics,
        };
        let datagram = self.ring.datagram(buffer);
        self.prerolls
            .keep(&mut self.slots, index, &datagram, now, &way);
    }

    /// Does something about the pre-roll.
    fn prerolls<T>(
        &mut self,
        action: impl FnOnce(&mut Prerolls, &mut SlotTable, &Way<'_>) -> T,
    ) -> T {
        let way = Way {
            copies: &self.copies,
            metrics: &self.metrics,
        };
        action(&mut self.prerolls, &mut self.slots, &way)
    }

    fn flush_forwards(&mut self, index: u32) {
        let Some(slot) = self.slots.slot(index) else {
            return;
        };
        let (latency, metrics) = (&mut self.latency, &self.metrics);
        self.forwards
            .flush(&self.ring, &self.slots, &slot.counters, latency, metrics);
    }

    /// Sends the copies, so that all buffers are free.
    fn flush_copies(&mut self) {
        self.copies.flush(&self.ring, &self.slots, &self.metrics);
        self.cursor = 0;
    }

    fn tell_learned(&self, index: u32, address: Option<std::net::SocketAddr>) {
        let Some(address) = address else {
            return;
        };
        let slot = SlotId(index);
        if !self
            .events
            .push(self.index, Event::Learned { slot, address })
        {
            self.metrics.events_dropped.add(1);
        }
    }

    /// Commands in order, a bounded number of them; the rest at the next wake-up.
    fn take_commands(&mut self, now: Timestamp) {
        self.mailbox.opened();
        for _ in 0..COMMANDS {
            let Some(Given { at, command }) = self.mailbox.next() else {
                break;
            };
            self.metrics.commands.add(1);
            self.carry_out(command, at, now);
            self.prerolls.settle(&mut self.slots, now);
        }
        self.metrics.slots.set(self.slots.len() as u64);
        if self.mailbox.has_more() {
            self.mailbox.wake();
        } else if let Some(request) = self.mailbox.latency_request.pop() {
            let full = self.latency.swap(request.fresh);
            self.mailbox.latency_reply.force_push(full);
            request.asker.unpark();
        }
    }

    /// Carries out a command that was given at `at`, by the kernel's clock.
    fn carry_out(&mut self, command: Command, at: Timestamp, now: Timestamp) {
        match command {
            Command::Open {
                slot: SlotId(index),
                socket,
                flow,
                counters,
            } => {
                let slot = Slot::new(socket, &flow, counters);
                let watched = self.epoll.add(&slot.socket, index.into()).is_ok();
                self.prerolls(|prerolls, slots, way| prerolls.close(slots, index, way));
                let former = self.slots.insert(index, slot);
                if let Some(former) = &former {
                    let _ = self.epoll.remove(&former.socket);
                }
                if former.is_some() || !watched {
                    self.metrics.commands_failed.add(1);
                }
                self.prerolls.configure(&mut self.slots, index, flow.keep);
            }
            Command::Configure { slot, flow } => {
                self.with_slot(slot, |slot| slot.configure(&flow));
                self.prerolls.configure(&mut self.slots, slot.0, flow.keep);
            }
            Command::Mirror { slot, targets } => {
                let targets: Vec<Address> = targets.into_iter().map(Into::into).collect();
                let known = self.slots.slot(slot.0);
                // Only one that is taken away: what the commands behind this one say about the
                // way of a packet is not known yet.
                if known.is_some_and(|slot| slot.loses_mirror(&targets)) {
                    self.drain_until(slot, at, now);
                }
                let live =
                    self.prerolls(|prerolls, slots, way| prerolls.aim(slots, slot.0, targets, way));
                self.with_slot(slot, |slot| slot.mirror(live.into_iter()));
            }
            Command::Unserved { slot } => {
                self.prerolls.unserved(&mut self.slots, slot.0);
            }
            Command::Batch(commands) => {
                for command in commands {
                    self.carry_out(command, at, now);
                }
            }
            Command::Close { slot } => {
                self.drain(slot, now);
                self.prerolls(|prerolls, slots, way| prerolls.close(slots, slot.0, way));
                if let Some(slot) = self.slots.remove(slot.0) {
                    let _ = self.epoll.remove(&slot.socket);
                } else {
                    self.metrics.commands_failed.add(1);
                }
                self.closed.push(slot);
            }
        }
    }

    /// Carries what has arrived on a socket, before something is changed about it.
    fn drain(&mut self, SlotId(index): SlotId, now: Timestamp) {
        for _ in 0..DRAIN_BATCHES {
            if self.serve(index, now) < BATCH {
                break;
            }
        }
        self.flush_copies();
    }

    /// Carries what had arrived on a socket at `at`, before a logger is taken away from it. Whoever
    /// asked for that may have been answered since: what came after is not the logger's.
    fn drain_until(&mut self, SlotId(index): SlotId, at: Timestamp, now: Timestamp) {
        for _ in 0..DRAIN_BATCHES * BATCH {
            if !self.has_older(index, at) || self.serve_some(index, 1, now) == 0 {
                break;
            }
        }
        self.flush_copies();
    }

    /// Whether the next datagram of a socket arrived before that.
    fn has_older(&mut self, index: u32, at: Timestamp) -> bool {
        if self.cursor == BUFFERS {
            self.flush_copies();
        }
        let Some(slot) = self.slots.slot(index) else {
            return false;
        };
        let place = self.cursor;
        let seen = self.ring.peek(&slot.socket, place).unwrap_or(false);
        let received = self.ring.datagram(place).received;
        seen && received.is_none_or(|received| received <= at)
    }

    fn with_slot(&mut self, slot: SlotId, change: impl FnOnce(&mut Slot)) {
        match self.slots.slot_mut(slot.0) {
            Some(slot) => change(slot),
            None => self.metrics.commands_failed.add(1),
        }
    }

    /// Control reuses a slot only after this, so that it must not get lost.
    fn report_closed(&mut self) {
        let mut waiting = mem::take(&mut self.closed);
        let told = waiting
            .iter()
            .take_while(|&&slot| self.events.push(self.index, Event::Closed { slot }))
            .count();
        waiting.drain(..told);
        self.closed = waiting;
    }
}

/// Datagrams of one socket in one system call.
const BATCH: usize = 16;
/// Copies of one family that are gathered at most.
const COPIES: usize = 64;
/// Packet buffers: room for the gathered copies and a batch.
const BUFFERS: usize = COPIES + BATCH;
/// Sockets that one wait reports at most.
const READY: usize = 256;
/// Commands carried out at most between two looks at the sockets.
const COMMANDS: usize = 64;
/// Batches that are read at most from a socket that is about to change.
const DRAIN_BATCHES: usize = 16;
/// How long to wait until there may be room for events again.
const REPORT_AGAIN: Duration = Duration::from_millis(5);
/// Token of the mailbox; slots have tokens below 2^32.
const WAKE: u64 = u64::MAX;
