//! The thread that faces the network: takes packets off the sockets, numbers them, and hands them
//! to the writer in batches. It waits for nobody: without a free batch packets are numbered,
//! dropped and declared as a gap.
//!
//! Each turn: take commands; do what is due; poll the sockets; hand over the batch.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver as Channel, Sender};
use rustc_hash::FxHashMap;

use super::fault::Injector;
use super::intake::{Arrival, BATCH, Intake, Received, Watch};
use super::registry::{Attached, Command};
use super::returning::Returned;
use super::service::Shared;
use super::writer::Batch;

use crate::wire::block::{Event, StreamInfo};
use crate::wire::time::Timestamp;

mod early;
mod outbox;
mod stray;

use early::Early;
use outbox::{Live, Outbox};
use stray::Stray;

/// The receiver.
pub(super) struct Receiver {
    intake: Intake,
    state: State,
}

/// Everything but the sockets.
struct State {
    shared: Arc<Shared>,
    relays: Vec<IpAddr>,
    faults: Option<Injector>,
    /// Whether ports stay bound, and packets that no mirror wants are recorded all the same.
    standalone: bool,
    silence: Duration,
    bind: IpAddr,
    ports: FxHashMap<u16, Slot>,
    due: BTreeMap<(Timestamp, u64), Due>,
    next_due: u64,
    strays: BTreeMap<u16, Stray>,
    /// Packets at ports that nobody has announced yet, by port.
    early: BTreeMap<u16, Early>,
    /// Octets of all of them.
    early_octets: usize,
    next_stray: u64,
    next_round: Timestamp,
    outbox: Outbox,
    now: Timestamp,
}

/// A bound port.
#[derive(Debug, Default)]
struct Slot {
    /// The stream that it belongs to.
    live: Option<Live>,
    /// Set if its packets are returned.
    back: Option<Arc<Returned>>,
    /// The one before, for packets that were received before the given time and not read yet.
    before: Option<(Timestamp, Live)>,
}

enum Due {
    Release(Attached),
    Close(u64, Vec<Attached>),
}

/// What a receiver is made of.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) watch: Watch,
    pub(super) relays: Vec<IpAddr>,
    pub(super) bind: IpAddr,
    pub(super) standalone: bool,
    pub(super) silence: Duration,
    pub(super) faults: Option<Injector>,
    pub(super) full: Sender<Batch>,
    pub(super) free: Channel<Batch>,
}

impl Receiver {
    pub(super) fn new(parts: Parts) -> Self {
        let now = parts.shared.clock.now();
        let relays = canonical(&parts.relays);
        Self {
            intake: Intake::new(parts.watch),
            state: State {
                shared: parts.shared,
                relays,
                faults: parts.faults,
                standalone: parts.standalone,
                silence: parts.silence,
                bind: parts.bind,
                ports: FxHashMap::default(),
                due: BTreeMap::new(),
                next_due: 0,
                strays: BTreeMap::new(),
                early: BTreeMap::new(),
                early_octets: 0,
                next_stray: 0,
                next_round: now,
                outbox: Outbox {
                    full: parts.full,
                    free: parts.free,
                    batch: None,
                    waiting: VecDeque::new(),
                },
                now,
            },
        }
    }

    /// The receiver's thread: ends when the service is stopped.
    pub(super) fn run(mut self) {
        while !self.state.shared.ending() {
            self.turn(self.state.patience());
        }
        if self.state.shared.abandoned() {
            return;
        }
        self.commands();
        for _ in 0..LAST_TURNS {
            if self.poll(Duration::ZERO) == 0 {
                break;
            }
        }
        self.state.close_all();
        self.state.outbox.drain();
    }

    fn turn(&mut self, timeout: Duration) {
        self.state.now = self.state.shared.clock.now();
        self.commands();
        self.due();
        self.state.round();
        self.poll(timeout);
        self.state.outbox.offer();
    }

    /// Takes what is there; gives how many datagrams that were.
    fn poll(&mut self, timeout: Duration) -> usize {
        let sockets = self.intake.wait(timeout).unwrap_or_else(|error| {
            tracing::error!(%error, "the logger cannot wait for packets");
            0
        });
        let clock = self.state.shared.clock;
        let mut total = 0;
        for index in 0..sockets {
            let Some(received) = self.intake.receive(index, &clock) else {
                continue;
            };
            // What was attached before these packets were sent must be known before they are
            // looked at.
            if self.state.shared.pending() {
                self.commands();
            }
            total += received.count;
            self.look_at(&received);
        }
        total
    }

    fn look_at(&mut self, received: &Received) {
        self.state.now = self.state.shared.clock.now();
        self.state.dropped(received);
        for place in 0..received.count {
            let Some(arrival) = self.intake.arrival(received, place) else {
                continue;
            };
            if self.state.arrival(&arrival) {
                // A full socket loses it, as any network may.
                let _ = self.intake.send_back(received, place);
            }
        }
    }

    /// Takes what has arrived at a port and was not looked at yet, a bounded number of packets.
    fn empty(&mut self, port: u16) {
        let clock = self.state.shared.clock;
        for _ in 0..LAST_TURNS {
            let Some(received) = self.intake.receive_at(port, &clock) else {
                break;
            };
            self.look_at(&received);
            if received.count < BATCH {
                break;
            }
        }
    }

    fn commands(&mut self) {
        if self.state.outbox.waiting.len() > MAX_WAITING {
            return;
        }
        let commands = self.state.shared.take_commands();
        for command in commands {
            match command {
                Command::Bind(port, socket) => match self.intake.add(port, socket) {
                    Ok(()) => drop(self.state.ports.insert(port, Slot::default())),
                    Err(error) => tracing::error!(%error, port, "a port cannot be watched"),
                },
                Command::Hear(relays) => self.state.relays = canonical(&relays),
                Command::Event(at, event) => self.state.outbox.event(at, *event),
                Command::Assign {
                    at,
                    port,
                    call,
                    id,
                    info,
                    back,
                } => {
                    self.state.assign(at, port, call, id, *info);
                    if let Some(slot) = self.state.ports.get_mut(&port) {
                        slot.back = back;
                    }
                }
                Command::Release { due, stream } => self.state.later(due, Due::Release(stream)),
                Command::Close { due, call, streams } => {
                    self.state.later(due, Due::Close(call, streams));
                }
            }
        }
    }

    fn due(&mut self) {
        while let Some(entry) = self.state.due.first_entry() {
            if entry.key().0 > self.state.now {
                return;
            }
            match entry.remove() {
                Due::Release(stream) => self.release(stream),
                Due::Close(call, streams) => {
                    for stream in streams {
                        self.release(stream);
                    }
                    let now = self.state.now;
                    self.state.outbox.event(now, Event::CallClose { call });
                }
            }
        }
    }

    /// Ends a stream, and frees its port unless another stream has it by now.
    fn release(&mut self, stream: Attached) {
        // The grace time is over, but not necessarily because nothing has come: this thread may
        // have had no processor all the while.
        if self.state.owns(stream.port, stream.id) {
            self.empty(stream.port);
        }
        self.state.finish(stream.port, stream.id);
        let shared = Arc::clone(&self.state.shared);
        let mut registry = shared.registry();
        let Some(owner) = registry.ports.get_mut(&stream.port) else {
            return;
        };
        if *owner != Some(stream.id) {
            return;
        }
        let slot = self.state.ports.get(&stream.port);
        let returned = slot.is_some_and(|slot| slot.back.is_some());
        if self.state.standalone && !returned {
            *owner = None;
        } else {
            registry.ports.remove(&stream.port);
            self.state.ports.remove(&stream.port);
            self.intake.remove(stream.port);
        }
    }
}

fn canonical(relays: &[IpAddr]) -> Vec<IpAddr> {
    relays.iter().map(IpAddr::to_canonical).collect()
}

impl State {
    /// Takes a packet; gives whether it is to be returned.
    fn arrival(&mut self, arrival: &Arrival<'_>) -> bool {
        if let Some(back) = self
            .ports
            .get(&arrival.port)
            .and_then(|slot| slot.back.clone())
        {
            return self.anchored(arrival, &back);
        }
        if !self.relays.contains(&arrival.source.ip().to_canonical()) {
            self.shared.counters.strangers.add(1);
            return false;
        }
        if let Some(mut faults) = self.faults.take() {
            if let Some(bytes) = faults.pass(arrival.bytes) {
                self.take(arrival, bytes);
            }
            self.faults = Some(faults);
        } else {
            self.take(arrival, arrival.bytes);
        }
        false
    }

    /// A packet at a port of the media anchor.
    fn anchored(&mut self, arrival: &Arrival<'_>, back: &Returned) -> bool {
        if !back.takes(arrival.source) {
            self.shared.counters.elsewhere.add(1);
            return false;
        }
        let returned = back.note(arrival.time);
        if returned {
            self.shared.counters.returned.add(1);
        }
        self.store(arrival.port, arrival.time, arrival.bytes);
        returned
    }

    fn take(&mut self, arrival: &Arrival<'_>, bytes: &[u8]) {
        let (port, time) = (arrival.port, arrival.time);
        if self.standalone && self.is_free(port) {
            if self.wait(arrival, bytes) {
                return;
            }
            self.disown(port);
            if self.is_free(port) {
                self.stray(arrival);
            }
        }
        self.store(port, time, bytes);
    }

    /// Whether a port is bound and belongs to no stream.
    fn is_free(&self, port: u16) -> bool {
        let free = |slot: &Slot| slot.live.is_none() && slot.before.is_none();
        self.ports.get(&port).is_some_and(free)
    }

    /// Whether a port belongs to this stream.
    fn owns(&self, port: u16, id: u64) -> bool {
        let slot = self.ports.get(&port);
        slot.is_some_and(|slot| {
            [
                slot.live.as_ref(),
                slot.before.as_ref().map(|(_, live)| live),
            ]
            .into_iter()
            .flatten()
            .any(|live| live.id == id)
        })
    }

    /// Gives a packet to the stream that has its port.
    fn store(&mut self, port: u16, time: Timestamp, bytes: &[u8]) {
        self.pass_over(port, time);
        let slot = self.ports.get_mut(&port);
        let Some(live) = slot.and_then(|slot| match &mut slot.before {
            Some((_, before)) => Some(before),
            None => slot.live.as_mut(),
        }) else {
            self.shared.counters.unattached.add(1);
            return;
        };
        self.shared.counters.received.add(1);
        self.shared.counters.octets.add(bytes.len() as u64);
        let index = live.next;
        live.next += 1;
        live.last = self.now;
        if self.outbox.packet(self.now, live, index, time, bytes) {
            return;
        }
        self.shared.counters.overflow.add(1);
        let (_, count) = live.overflow.get_or_insert((index, 0));
        *count += 1;
    }

    /// Ends the stream that had the port before, once packets are later than its end.
    fn pass_over(&mut self, port: u16, time: Timestamp) {
        let before = self.ports.get(&port).and_then(|slot| slot.before.as_ref());
        if let Some((until, live)) = before
            && time >= *until
        {
            let id = live.id;
            self.finish(port, id);
        }
    }

    /// Notes what the kernel has dropped at a socket.
    fn dropped(&mut self, received: &Received) {
        let slot = self.ports.get_mut(&received.port);
        if let Some(live) = slot.and_then(|slot| slot.live.as_mut()) {
            live.kernel += u64::from(received.dropped);
            self.shared.counters.kernel.add(u64::from(received.dropped));
        }
    }

    /// A stream takes a port over, with the packets that are received from this moment on.
    fn assign(&mut self, at: Timestamp, port: u16, call: u64, id: u64, info: StreamInfo) {
        self.pass_over(port, Timestamp::from_nanos(u64::MAX));
        if let Some(stray) = self.strays.get_mut(&(port & !1)) {
            stray.ports.retain(|at| *at != port);
        }
        self.outbox.event(at, Event::StreamOpen { call, id, info });
        if let Some(slot) = self.ports.get_mut(&port) {
            slot.before = slot.live.replace(Live::new(id, at)).map(|live| (at, live));
        }
        self.settle(port);
    }

    /// Ends a stream, if it still has its port.
    fn finish(&mut self, port: u16, id: u64) {
        let Some(slot) = self.ports.get_mut(&port) else {
            return;
        };
        let before = slot.before.take_if(|(_, live)| live.id == id);
        let ended = before.map(|(_, live)| live);
        let Some(mut live) = ended.or_else(|| slot.live.take_if(|live| live.id == id)) else {
            return;
        };
        let packets = live.next;
        self.outbox.gaps(self.now, &mut live);
        self.outbox
            .event(self.now, Event::StreamClose { id, packets });
    }

    fn later(&mut self, at: Timestamp, due: Due) {
        self.due.insert((at, self.next_due), due);
        self.next_due += 1;
    }

    /// The service stops: every call is at its end.
    fn close_all(&mut self) {
        self.now = self.shared.clock.now();
        self.stop_waiting();
        for (port, id) in self.live_ports() {
            self.finish(port, id);
        }
        let mut calls: Vec<u64> = self.strays.values().map(|stray| stray.call).collect();
        for due in std::mem::take(&mut self.due).into_values() {
            match due {
                Due::Close(call, _) => calls.push(call),
                Due::Release(_) => {}
            }
        }
        let shared = Arc::clone(&self.shared);
        let mut registry = shared.registry();
        if !shared.suspended() {
            calls.extend(registry.mirrors.drain().map(|(_, mirror)| mirror.call));
        }
        calls.sort_unstable();
        for call in calls {
            self.outbox.event(self.now, Event::CallClose { call });
        }
    }

    fn live_ports(&self) -> Vec<(u16, u64)> {
        let streams = |(port, slot): (&u16, &Slot)| {
            let before = slot.before.as_ref().map(|(_, live)| (*port, live.id));
            let live = slot.live.as_ref().map(|live| (*port, live.id));
            [before, live]
        };
        let mut ports: Vec<_> = self.ports.iter().flat_map(streams).flatten().collect();
        ports.sort_unstable();
        ports
    }

    /// How long nothing is due.
    fn patience(&self) -> Duration {
        let next = self.due.first_key_value().map(|((at, _), _)| *at);
        let next = next.unwrap_or(self.next_round).min(self.next_round);
        let limit = if self.outbox.is_pending() { BUSY } else { IDLE };
        next.since(self.shared.clock.now()).min(limit)
    }
}

/// How often gaps are declared and silence is looked for.
const ROUND: Duration = Duration::from_secs(1);
/// Longest wait for packets in one go.
const IDLE: Duration = Duration::from_millis(500);
/// The same while a batch waits for the writer.
const BUSY: Duration = Duration::from_millis(2);
/// Events that wait for the writer before commands have to wait as well.
const MAX_WAITING: usize = 65_536;
/// Rounds over the sockets when the service stops, and over a port when it is released.
const LAST_TURNS: usize = 50;

#[cfg(test)]
mod tests;
