//! Packs what the receiver took into blocks and appends them to the archive, with one fdatasync
//! for all that came within an interval.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, after, never, select};

use super::archive::SegmentWriter;
use super::catalog::{Report, Summary};
use super::service::Shared;
use crate::wire::block::{Builder, Event};
use crate::wire::time::Timestamp;

/// Packets and events in the order in which they came; made by the receiver, emptied and given
/// back by the writer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// Payloads of the packets, one after the other.
    pub(super) bytes: Vec<u8>,
}

/// One thing in a [`Batch`].
#[derive(Debug)]
pub(super) enum Item {
    /// A packet with the octets from `start` to `end`.
    Packet {
        stream: u64,
        index: u64,
        time: Timestamp,
        start: usize,
        end: usize,
    },
    /// An event.
    Event(Timestamp, Box<Event>),
}

/// Where the writer's input comes from.
#[derive(Debug)]
pub(super) struct Inputs {
    /// From the receiver.
    pub(super) batches: Receiver<Batch>,
    /// Empty batches go back here.
    pub(super) free: Sender<Batch>,
    /// Events from the recorder.
    pub(super) side: Receiver<(Timestamp, Event)>,
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    builder: Builder,
    segments: SegmentWriter,
    reports: Sender<Report>,
    block_age: Duration,
    /// Of the open block.
    events: Vec<(Timestamp, Event)>,
    packets: u64,
    opened: Option<Timestamp>,
    /// Written, but not yet durable.
    unsynced: Vec<(Summary, u64)>,
    synced: Timestamp,
    spare: Vec<u8>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        builder: Builder,
        segments: SegmentWriter,
        reports: Sender<Report>,
        block_age: Duration,
    ) -> Self {
        let synced = shared.clock.now();
        Self {
            shared,
            builder,
            segments,
            reports,
            block_age,
            events: Vec::new(),
            packets: 0,
            opened: None,
            unsynced: Vec::new(),
            synced,
            spare: Vec::new(),
        }
    }

    /// The writer's thread: ends when receiver and recorder are both gone.
    pub(super) fn run(mut self, inputs: Inputs) {
        let Inputs {
            mut batches,
            free,
            mut side,
        } = inputs;
        let (mut receiving, mut recording) = (true, true);
        while receiving || recording {
            select! {
                recv(batches) -> batch => match batch {
                    Ok(mut batch) => {
                        self.batch(&mut batch);
                        let _ = free.try_send(batch);
                    }
                    Err(_) => {
                        (receiving, batches) = (false, never());
                        self.finish();
                        let _ = self.reports.send(Report::Drained);
                    }
                },
                recv(side) -> event => match event {
                    Ok((time, event)) => self.event(time, event),
                    Err(_) => (recording, side) = (false, never()),
                },
                default(self.patience()) => {}
            }
            self.tick();
        }
        self.finish();
    }

    fn batch(&mut self, batch: &mut Batch) {
        for item in batch.items.drain(..) {
            match item {
                Item::Event(time, event) => self.event(time, *event),
                Item::Packet {
                    stream,
                    index,
                    time,
                    start,
                    end,
                } => {
                    let bytes = batch.bytes.get(start..end).unwrap_or_default();
                    if self
                        .builder
                        .push_packet(stream, index, time, bytes)
                        .is_err()
                    {
                        self.seal();
                        // A frame always goes into an empty block.
                        let _ = self.builder.push_packet(stream, index, time, bytes);
                    }
                    self.packets += 1;
                }
            }
        }
        batch.bytes.clear();
    }

    fn event(&mut self, time: Timestamp, event: Event) {
        let mut pushed = self.builder.push_event(time, &event);
        if pushed.is_err() {
            self.seal();
            pushed = self.builder.push_event(time, &event);
        }
        match pushed {
            Ok(true) => self.events.push((time, event)),
            _ => tracing::warn!(kind = event.kind(), "an event is too long for the archive"),
        }
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        let now = self.shared.clock.now();
        let age = self
            .opened
            .map(|opened| self.block_age.saturating_sub(now.since(opened)));
        let sync = (!self.unsynced.is_empty())
            .then(|| SYNC_INTERVAL.saturating_sub(now.since(self.synced)));
        age.into_iter().chain(sync).min().unwrap_or(IDLE)
    }

    fn tick(&mut self) {
        let now = self.shared.clock.now();
        if self.builder.is_empty() {
            self.opened = None;
        } else if now.since(*self.opened.get_or_insert(now)) >= self.block_age {
            self.seal();
        }
        if !self.unsynced.is_empty() && now.since(self.synced) >= SYNC_INTERVAL {
            self.sync(now);
        }
    }

    /// Writes the open block, again and again until the file system takes it or the service ends.
    fn seal(&mut self) {
        let streams = self.builder.streams().collect();
        let Some(sealed) = self.builder.seal(std::mem::take(&mut self.spare)) else {
            return;
        };
        let events = std::mem::take(&mut self.events);
        let packets = std::mem::take(&mut self.packets);
        self.opened = None;
        let mut failures = 0u32;
        let place = loop {
            match self.segments.append(&sealed.bytes) {
                Ok(place) => break place,
                Err(error) => {
                    self.shared.counters.write_errors.add(1);
                    if failures == 0 {
                        tracing::error!(%error, "the archive cannot be written; trying again");
                    }
                    failures += 1;
                    if self.shared.ending() {
                        tracing::error!(packets, "the last block could not be written");
                        self.shared.counters.overflow.add(packets);
                        return;
                    }
                    let _ = after(RETRY).recv();
                }
            }
        };
        if failures > 0 {
            tracing::warn!(failures, "the archive can be written again");
        }
        let summary = Summary {
            place,
            epoch: sealed.header.epoch,
            streams,
            events,
        };
        self.unsynced.push((summary, packets));
        self.spare = sealed.bytes;
    }

    fn sync(&mut self, now: Timestamp) {
        self.synced = now;
        if let Err(error) = self.segments.sync() {
            self.shared.counters.write_errors.add(1);
            tracing::error!(%error, "what was written to the archive may not be durable");
        }
        for (summary, packets) in self.unsynced.drain(..) {
            self.shared.counters.stored.add(packets);
            let _ = self.reports.send(Report::Block(summary));
        }
    }

    /// Makes everything durable; an abandoned service leaves it as a killed one would.
    fn finish(&mut self) {
        if !self.shared.abandoned() {
            self.seal();
            self.sync(self.shared.clock.now());
        }
    }
}

/// Longest time from writing to fdatasync.
const SYNC_INTERVAL: Duration = Duration::from_millis(50);
/// Between attempts to write to a full disk.
const RETRY: Duration = Duration::from_millis(200);
/// Nothing to do.
const IDLE: Duration = Duration::from_millis(500);
