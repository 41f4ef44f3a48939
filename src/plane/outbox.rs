//! The sending side of a worker: forwards of one socket's batch, and copies for loggers gathered
//! across sockets. Nothing that goes wrong with copies delays or drops a forward.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::counters::{Counters, Drop};
use super::latency::Recorder;
use super::metrics::WorkerMetrics;
use super::slot::SlotTable;
use super::socket;
use crate::sys::address::Address;
use crate::sys::mmsg::{OnFull, PacketRing, SendBatch, send_to};

/// Forwards of one batch of one slot.
#[derive(Debug)]
pub(super) struct Forwards {
    batch: SendBatch,
    /// Buffers that the batch holds, in order.
    buffers: Vec<usize>,
    /// The slot out of whose socket the batch goes.
    through: u32,
}

impl Forwards {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            batch: SendBatch::new(capacity),
            buffers: Vec::with_capacity(capacity),
            through: 0,
        }
    }

    /// Whether a packet for `through` must wait until what is gathered has gone, to stay in order
    /// or for want of room.
    pub(super) fn must_flush_before(&self, through: u32) -> bool {
        self.batch.is_full() || (!self.batch.is_empty() && self.through != through)
    }

    pub(super) fn push(&mut self, buffer: usize, through: u32, to: &Address) {
        self.through = through;
        if self.batch.push(buffer, to) {
            self.buffers.push(buffer);
        }
    }

    /// Sends what is gathered; `counters` are those of the slot that it came in on.
    pub(super) fn flush(
        &mut self,
        ring: &PacketRing,
        slots: &SlotTable,
        counters: &Counters,
        latency: &mut Recorder,
        metrics: &WorkerMetrics,
    ) {
        let Some(slot) = slots.slot(self.through).filter(|_| !self.batch.is_empty()) else {
            return;
        };
        let (buffers, mut sent) = (&self.buffers, 0);
        let report = |place: usize, ok: bool| {
            let datagram = ring.datagram(buffers[place]);
            sent += u64::from(ok);
            count_forward(counters, datagram.bytes.len(), ok);
            latency.sent(datagram.received.filter(|_| ok));
        };
        let calls = self.batch.send(&slot.socket, ring, OnFull::TryNext, report);
        metrics.send_calls.add(calls);
        metrics.forwarded.add(sent);
        self.buffers.clear();
    }
}

/// Forwards one packet by itself, which is cheaper than a batch of one.
pub(super) fn forward_alone(
    ring: &PacketRing,
    buffer: usize,
    (through, to): (&UdpSocket, &Address),
    counters: &Counters,
    latency: &mut Recorder,
    metrics: &WorkerMetrics,
) {
    let datagram = ring.datagram(buffer);
    let ok = send_to(through, datagram.bytes, to).is_ok();
    metrics.send_calls.add(1);
    metrics.forwarded.add(u64::from(ok));
    count_forward(counters, datagram.bytes.len(), ok);
    latency.sent(datagram.received.filter(|_| ok));
}

/// Sends a copy of a packet that counts for nobody.
pub(super) fn send_apart(
    ring: &PacketRing,
    buffer: usize,
    (through, to): (&UdpSocket, &Address),
    metrics: &WorkerMetrics,
) {
    // Whoever needs it notices by itself whether it has gone.
    let _ = send_to(through, ring.datagram(buffer).bytes, to);
    metrics.send_calls.add(1);
}

fn count_forward(counters: &Counters, octets: usize, ok: bool) {
    if ok {
        counters.forwarded(octets);
    } else {
        counters.dropped(Drop::SendFailed, 1);
    }
}

/// Copies for loggers, of both families.
#[derive(Debug)]
pub(super) struct Copies {
    v4: Lane,
    v6: Lane,
}

/// Copies for loggers of one family.
#[derive(Debug)]
struct Lane {
    /// `None` if this host does not have the family.
    socket: Option<UdpSocket>,
    batch: SendBatch,
    /// The slots that the copies are of, in order.
    owners: Vec<u32>,
}

impl Copies {
    /// # Errors
    ///
    /// Those of making a socket for IPv4. Without one for IPv6 copies to such loggers are counted
    /// as dropped.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        let v4 = socket::mirror(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        let v6 = socket::mirror(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).ok();
        Ok(Self {
            v4: Lane::new(Some(v4), capacity),
            v6: Lane::new(v6, capacity),
        })
    }

    /// Adds a copy of what `buffer` holds, on behalf of slot `owner`; the buffer must stay as it is
    /// until the next flush. `false`, and nothing done, if a flush must come first.
    pub(super) fn push(&mut self, buffer: usize, owner: u32, to: &Address) -> bool {
        let lane = if to.is_ipv6() {
            &mut self.v6
        } else {
            &mut self.v4
        };
        let pushed = lane.batch.push(buffer, to);
        if pushed {
            lane.owners.push(owner);
        }
        pushed
    }

    /// Sends a copy of what is not in a buffer, at once.
    ///
    /// # Errors
    ///
    /// Those of `sendto`, or that this host does not have the family.
    pub(super) fn send_now(&self, bytes: &[u8], to: &Address) -> io::Result<()> {
        let lane = if to.is_ipv6() { &self.v6 } else { &self.v4 };
        match &lane.socket {
            Some(socket) => send_to(socket, bytes, to),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Whether nothing is gathered.
    pub(super) fn is_empty(&self) -> bool {
        self.v4.batch.is_empty() && self.v6.batch.is_empty()
    }

    /// Sends all copies. When the kernel takes no more, the rest is dropped and counted.
    pub(super) fn flush(&mut self, ring: &PacketRing, slots: &SlotTable, metrics: &WorkerMetrics) {
        self.v4.flush(ring, slots, metrics);
        self.v6.flush(ring, slots, metrics);
    }
}

impl Lane {
    fn new(socket: Option<UdpSocket>, capacity: usize) -> Self {
        Self {
            socket,
            batch: SendBatch::new(capacity),
            owners: Vec::with_capacity(capacity),
        }
    }

    fn flush(&mut self, ring: &PacketRing, slots: &SlotTable, metrics: &WorkerMetrics) {
        if self.batch.is_empty() {
            return;
        }
        let (owners, mut sent, mut failed) = (&self.owners, 0, 0);
        let mut report = |place: usize, ok: bool| {
            if ok {
                sent += 1;
            } else {
                failed += 1;
            }
            if let Some(slot) = slots.slot(owners[place]) {
                slot.counters.mirrored(ok);
            }
        };
        if let Some(socket) = &self.socket {
            let calls = self.batch.send(socket, ring, OnFull::GiveUp, report);
            metrics.mirror_calls.add(calls);
        } else {
            (0..self.batch.len()).for_each(|place| report(place, false));
            self.batch.clear();
        }
        metrics.mirrored.add(sent);
        metrics.mirror_dropped.add(failed);
        self.owners.clear();
    }
}
