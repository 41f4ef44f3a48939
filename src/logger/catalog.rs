//! Knows, from the archive's events, which calls there are and where their packets lie; keeps the
//! index, and tells the recorder which calls are at their end.
//!
//! The same [`Catalog::apply`] takes blocks that were just written and, on start, blocks that are
//! read back. Only durable blocks come here, so a recording never outlives what it was made from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use rustc_hash::FxHashMap;

use super::archive::Place;
use super::service::Shared;
use crate::store::index::{CallId, CallRow, Extent, Index, RecordingRow, StreamRow};
use crate::wire::block::{Block, CallInfo, Event, Frame, StreamInfo};
use crate::wire::time::Timestamp;

/// What the writer reports.
#[derive(Debug)]
pub(super) enum Report {
    /// A block is durable.
    Block(Summary),
    /// No call is open any more and everything is durable.
    Drained,
}

/// What of a block concerns the catalog.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) place: Place,
    pub(super) epoch: u128,
    /// Streams with packets in the block.
    pub(super) streams: Vec<u64>,
    pub(super) events: Vec<(Timestamp, Event)>,
}

impl Summary {
    /// Of a block that was read back. Events of unknown kinds, or damaged, are skipped.
    pub(super) fn of(place: Place, block: &Block<'_>) -> Self {
        let mut streams = BTreeSet::new();
        let mut events = Vec::new();
        for frame in block.frames().map_while(Result::ok) {
            match frame {
                Frame::Packet(packet) => drop(streams.insert(packet.stream)),
                Frame::Event(raw) => {
                    events.extend(raw.decode().ok().flatten().map(|event| (raw.time, event)));
                }
            }
        }
        Self {
            place,
            epoch: block.header().epoch,
            streams: streams.into_iter().collect(),
            events,
        }
    }
}

/// A call whose recording is to be made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) call: CallRow,
    pub(super) attempts: u32,
}

/// Calls without a recording, and what the index has not been told.
#[derive(Debug)]
pub(super) struct Catalog {
    index: Index,
    calls: BTreeMap<CallId, CallRow>,
    streams: FxHashMap<(u128, u64), CallId>,
    dirty: BTreeSet<CallId>,
    positions: BTreeMap<u64, u64>,
    /// At their end, to be recorded.
    ready: VecDeque<CallId>,
    /// Calls were forgotten untold: positions stay, so that the next start reads on from them.
    behind: bool,
}

impl Catalog {
    /// Continues where the index stands.
    pub(super) fn new(index: Index, unrecorded: Vec<CallRow>) -> Self {
        let mut catalog = Self {
            index,
            calls: BTreeMap::new(),
            streams: FxHashMap::default(),
            dirty: BTreeSet::new(),
            positions: BTreeMap::new(),
            ready: VecDeque::new(),
            behind: false,
        };
        for call in unrecorded {
            for stream in call.streams.keys() {
                catalog.streams.insert((call.id.epoch, *stream), call.id);
            }
            catalog.calls.insert(call.id, call);
        }
        catalog
    }

    /// After everything that an earlier process left has been applied: all calls without a
    /// recording get one. Those that were not closed are incomplete.
    pub(super) fn recover(&mut self) {
        let unrecorded = self.calls.values().filter(|call| call.recording.is_none());
        self.ready = unrecorded.map(|call| call.id).collect();
    }

    /// Takes note of a block.
    pub(super) fn apply(&mut self, block: Summary) {
        self.positions.insert(block.place.segment, block.place.end);
        // Streams open before their first packet, but maybe in the same block.
        let (opening, closing): (Vec<_>, Vec<_>) = block
            .events
            .into_iter()
            .partition(|(_, event)| !matches!(event, Event::CallClose { .. }));
        for (time, event) in opening {
            self.event(block.epoch, time, event);
        }
        for stream in block.streams {
            self.packets(block.epoch, stream, block.place);
        }
        for (time, event) in closing {
            self.event(block.epoch, time, event);
        }
    }

    fn event(&mut self, epoch: u128, time: Timestamp, event: Event) {
        match event {
            Event::CallOpen {
                call,
                relay,
                mirror,
                info,
            } => self.open(CallId { epoch, call }, relay, mirror, info, time),
            Event::CallUpdate { call, info } => {
                self.change(CallId { epoch, call }, |row| row.info = info);
            }
            Event::CallClose { call } => {
                let id = CallId { epoch, call };
                self.change(id, |row| row.closed = Some(time));
                if self.calls.contains_key(&id) {
                    self.ready.push_back(id);
                }
            }
            Event::StreamOpen { call, id, info } => self.stream_open(epoch, call, id, info),
            Event::StreamUpdate { id, info } => {
                self.change_stream(epoch, id, |row| row.info = info)
            }
            Event::StreamClose { id, packets } => {
                self.change_stream(epoch, id, |row| row.packets = Some(packets));
            }
            Event::Gap { id, count, .. } => {
                self.change_stream(epoch, id, |row| row.gaps = row.gaps.saturating_add(count));
            }
            Event::Recorded {
                epoch,
                call,
                path,
                packets,
                lost,
                incomplete,
            } => {
                let made = RecordingRow {
                    path,
                    packets,
                    lost,
                    incomplete,
                };
                if let Ok(epoch) = u128::from_str_radix(&epoch, 16) {
                    self.change(CallId { epoch, call }, |row| row.recording = Some(made));
                }
            }
        }
    }

    fn open(&mut self, id: CallId, relay: String, mirror: u64, info: CallInfo, time: Timestamp) {
        let row = CallRow {
            id,
            relay,
            mirror,
            info,
            opened: time,
            closed: None,
            streams: BTreeMap::new(),
            extents: Vec::new(),
            recording: None,
        };
        // On start a block may be applied again whose call the index knows already.
        self.calls.entry(id).or_insert(row);
        self.dirty.insert(id);
    }

    fn stream_open(&mut self, epoch: u128, call: u64, number: u64, info: StreamInfo) {
        let id = CallId { epoch, call };
        self.streams.insert((epoch, number), id);
        self.change(id, |row| {
            let stream = StreamRow {
                info,
                packets: None,
                gaps: 0,
            };
            row.streams.insert(number, stream);
        });
    }

    fn packets(&mut self, epoch: u128, stream: u64, place: Place) {
        let Some(id) = self.streams.get(&(epoch, stream)).copied() else {
            return;
        };
        self.change(id, |row| match row.extents.last_mut() {
            Some(last) if last.segment == place.segment && place.start <= last.end + NEAR => {
                last.end = last.end.max(place.end);
            }
            _ => row.extents.push(Extent {
                segment: place.segment,
                start: place.start,
                end: place.end,
            }),
        });
    }

    fn change(&mut self, id: CallId, change: impl FnOnce(&mut CallRow)) {
        if let Some(row) = self.calls.get_mut(&id) {
            change(row);
            self.dirty.insert(id);
        }
    }

    fn change_stream(&mut self, epoch: u128, number: u64, change: impl FnOnce(&mut StreamRow)) {
        let Some(id) = self.streams.get(&(epoch, number)).copied() else {
            return;
        };
        self.change(id, |row| {
            if let Some(stream) = row.streams.get_mut(&number) {
                change(stream);
            }
        });
    }

    /// The next call to be recorded.
    fn job(&self) -> Option<Job> {
        let call = self.ready.front().and_then(|id| self.calls.get(id))?;
        Some(Job {
            call: call.clone(),
            attempts: 0,
        })
    }

    /// Brings the index up to date, and forgets what is complete there.
    pub(super) fn flush(&mut self) -> Result<(), crate::store::index::IndexError> {
        if self.dirty.is_empty() && self.positions.is_empty() {
            return Ok(());
        }
        let calls = self.dirty.iter().filter_map(|id| self.calls.get(id));
        let positions = self.positions.iter().map(|(segment, end)| (*segment, *end));
        if let Err(error) = self.index.write(calls, positions) {
            self.forget_beyond(MAX_UNTOLD);
            return Err(error);
        }
        self.positions.clear();
        self.forget_beyond(0);
        Ok(())
    }

    /// Forgets recorded calls beyond a number, so that a broken index does not cost memory.
    fn forget_beyond(&mut self, keep: usize) {
        let recorded = |id: &&CallId| {
            self.calls
                .get(id)
                .is_some_and(|row| row.recording.is_some())
        };
        let done: Vec<_> = self.dirty.iter().filter(recorded).copied().collect();
        for id in done.into_iter().rev().skip(keep) {
            if let Some(row) = self.calls.remove(&id) {
                for stream in row.streams.keys() {
                    self.streams.remove(&(id.epoch, *stream));
                }
            }
        }
        if keep == 0 {
            self.dirty.clear();
        } else {
            self.dirty.retain(|id| self.calls.contains_key(id));
            self.behind |= self.dirty.len() >= keep;
        }
        if self.behind {
            self.positions.clear();
        }
    }
}

/// The catalog's thread: takes reports until the writer is gone, and never waits for the recorder.
pub(super) fn run(
    mut catalog: Catalog,
    shared: &Arc<Shared>,
    reports: &Receiver<Report>,
    jobs: Sender<Job>,
) {
    let mut jobs = Some(jobs);
    let mut drained = false;
    let mut flushed = shared.clock.now();
    loop {
        dispatch(&mut catalog, &mut jobs, drained);
        match reports.recv_timeout(TICK) {
            Ok(Report::Block(summary)) => catalog.apply(summary),
            Ok(Report::Drained) => drained = true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = shared.clock.now();
        if now.since(flushed) >= FLUSH_INTERVAL {
            flush(&mut catalog, shared);
            flushed = now;
        }
    }
    if !shared.abandoned() {
        flush(&mut catalog, shared);
    }
}

/// Gives the recorder what it takes now; once nothing more can come, lets it end.
fn dispatch(catalog: &mut Catalog, jobs: &mut Option<Sender<Job>>, drained: bool) {
    while let (Some(sender), Some(job)) = (jobs.as_ref(), catalog.job()) {
        match sender.try_send(job) {
            Err(TrySendError::Full(_)) => return,
            Ok(()) | Err(TrySendError::Disconnected(_)) => drop(catalog.ready.pop_front()),
        }
    }
    if drained {
        *jobs = None;
    }
}

fn flush(catalog: &mut Catalog, shared: &Shared) {
    if let Err(error) = catalog.flush() {
        shared.counters.index_errors.add(1);
        if shared.counters.index_errors.value().is_power_of_two() {
            tracing::error!(%error, "the logger's index cannot be written");
        }
    }
}

/// Blocks of a call so near to each other are read as one piece.
const NEAR: u64 = 1 << 20;
/// Recorded calls that wait for an index that cannot be written.
const MAX_UNTOLD: usize = 10_000;
/// How often the index is written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// How long the catalog waits for news before it looks at the recorder again.
const TICK: Duration = Duration::from_millis(50);
