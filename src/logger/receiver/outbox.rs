//! The way from the receiver to the writer: batches out of a fixed pool.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam::channel::{Receiver as Channel, Sender};

use crate::logger::writer::{Batch, Item};
use crate::wire::block::{Event, GapReason};
use crate::wire::time::Timestamp;

/// A stream at its port.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: u64,
    /// Index of the next packet.
    pub(super) next: u64,
    /// Numbered but not kept: first index and count.
    pub(super) overflow: Option<(u64, u64)>,
    /// Dropped by the kernel.
    pub(super) kernel: u64,
    /// When its last packet came.
    pub(super) last: Timestamp,
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) full: Sender<Batch>,
    pub(super) free: Channel<Batch>,
    pub(super) batch: Option<Batch>,
    /// Events that found no batch; as many as calls and streams change in the meantime.
    pub(super) waiting: VecDeque<(Timestamp, Event)>,
}

impl Live {
    pub(super) fn new(id: u64, now: Timestamp) -> Self {
        Self {
            id,
            next: 0,
            overflow: None,
            kernel: 0,
            last: now,
        }
    }
}

impl Outbox {
    /// Puts a packet in; false when there is no room, now or still.
    pub(super) fn packet(
        &mut self,
        now: Timestamp,
        live: &mut Live,
        index: u64,
        time: Timestamp,
        bytes: &[u8],
    ) -> bool {
        if !self.ready() {
            return false;
        }
        if live.overflow.is_some() {
            self.gaps(now, live);
        }
        let Some(batch) = &mut self.batch else {
            return false;
        };
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(bytes);
        batch.items.push(Item::Packet {
            stream: live.id,
            index,
            time,
            start,
            end: start + bytes.len(),
        });
        if batch.items.len() >= BATCH_ITEMS || batch.bytes.len() >= BATCH_OCTETS {
            self.hand_over();
        }
        true
    }

    /// Puts an event in, or keeps it until there is room: events are never lost.
    pub(super) fn event(&mut self, at: Timestamp, event: Event) {
        if self.ready()
            && let Some(batch) = &mut self.batch
        {
            batch.items.push(Item::Event(at, Box::new(event)));
        } else {
            self.waiting.push_back((at, event));
        }
    }

    /// Declares what a stream has lost since it was last asked.
    pub(super) fn gaps(&mut self, now: Timestamp, live: &mut Live) {
        let id = live.id;
        if let Some((first, count)) = live.overflow.take() {
            let reason = GapReason::Overflow;
            self.event(
                now,
                Event::Gap {
                    id,
                    first,
                    count,
                    reason,
                },
            );
        }
        if live.kernel > 0 {
            let (first, count) = (live.next, std::mem::take(&mut live.kernel));
            let reason = GapReason::Kernel;
            self.event(
                now,
                Event::Gap {
                    id,
                    first,
                    count,
                    reason,
                },
            );
        }
    }

    /// Whether there is a batch to write to, with all that waited in it.
    pub(super) fn ready(&mut self) -> bool {
        if self.batch.is_none() {
            self.batch = self.free.try_recv().ok();
        }
        let Some(batch) = &mut self.batch else {
            return false;
        };
        for (at, event) in self.waiting.drain(..) {
            batch.items.push(Item::Event(at, Box::new(event)));
        }
        true
    }

    /// Gives the batch to the writer, if it has nothing else to do: while it is busy, batches fill
    /// up, so that the pool lasts for as many octets as can be.
    pub(super) fn offer(&mut self) {
        if self.full.is_empty() {
            self.hand_over();
        }
    }

    /// Whether something waits to be handed over.
    pub(super) fn is_pending(&self) -> bool {
        let filled = self
            .batch
            .as_ref()
            .is_some_and(|batch| !batch.items.is_empty());
        filled || !self.waiting.is_empty()
    }

    /// Gives the batch to the writer. There is room for all batches in the queue.
    fn hand_over(&mut self) {
        if !self.waiting.is_empty() {
            self.ready();
        }
        if let Some(batch) = self.batch.take_if(|batch| !batch.items.is_empty()) {
            let _ = self.full.try_send(batch);
        }
    }

    /// At the end: waits for the writer, within reason.
    pub(super) fn drain(&mut self) {
        if !self.waiting.is_empty() && self.batch.is_none() {
            self.batch = self.free.recv_timeout(LAST_WAIT).ok();
        }
        self.hand_over();
    }
}

/// Packets and events of a batch...
const BATCH_ITEMS: usize = 512;
/// ... and octets, beyond which it is handed over.
const BATCH_OCTETS: usize = 128 << 10;
/// How long a stopping service waits for a batch.
const LAST_WAIT: Duration = Duration::from_secs(3);
