//! The relay's media sockets on the control side: binds them, hands them to workers, keeps the
//! commands that a worker's queue had no room for, and reads the counters.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use slab::Slab;
use tracing::warn;

use super::limited::Limited;
use crate::plane::command::Command;
use crate::plane::counters::{Counters, Snapshot};
use crate::plane::flow::{Expect, Flow, HomeLimits, Learn, Route, SlotId, Source};
use crate::plane::{Plane, socket};
use crate::session::command::{Flow as SessionFlow, Route as SessionRoute, SourcePolicy};
use crate::session::host::{BindError, DROP_REASONS, Preroll, StreamCounters};
use crate::session::ids::{StreamId, WorkerIndex};
use crate::session::options::Learning;
use crate::wire::block::StreamKind;

/// All media sockets, and the workers that serve them.
#[derive(Debug)]
pub(super) struct Sockets {
    plane: Plane,
    streams: FxHashMap<StreamId, Entry>,
    workers: Vec<Worker>,
    loads: Vec<u64>,
    receive_buffer: Option<u32>,
    /// Streams whose sockets are being closed: their counters still move.
    closing: FxHashMap<(WorkerIndex, SlotId), (Faces, Arc<Counters>)>,
    /// Limits what is logged of sockets that cannot be made.
    bind_failed: Limited,
    /// Sums over the streams that are closed.
    past: Totals,
    /// Sockets of the process before, by local address, with what has arrived on them since.
    taken_over: FxHashMap<SocketAddr, UdpSocket>,
}

/// One stream's socket.
#[derive(Debug)]
struct Entry {
    place: Place,
    faces: Faces,
    counters: Arc<Counters>,
}

/// Whom a stream is for.
#[derive(Clone, Copy, Debug)]
enum Faces {
    /// A party, which sends this.
    Party(StreamKind),
    /// Home, which sends back what parties have sent.
    Home,
}

/// Sums over streams, for one kind of them each. Every packet of a party counts once in them,
/// whichever way it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Streams of RTP.
    pub rtp: Sum,
    /// Streams of RTCP on ports of their own.
    pub rtcp: Sum,
    /// Streams of other datagrams.
    pub datagram: Sum,
    /// Streams that face home.
    pub home: HomeSum,
    /// What is, and was, kept of all of them.
    pub preroll: Preroll,
}

/// Sums over streams that face home: of packets that are counted with the parties that sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HomeSum {
    /// Packets sent home to come back.
    pub sent: u64,
    /// Packets that came back as they were sent, and in time.
    pub returned: u64,
    /// Packets that have not come back, and are not expected to any more.
    pub lost: u64,
    /// Datagrams from there that were dropped, by reason, in the order of [`DROP_REASONS`].
    pub drops: [u64; DROP_REASONS.len()],
}

/// Sums over streams of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Datagrams taken.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Datagrams dropped, by reason, in the order of [`DROP_REASONS`].
    pub drops: [u64; DROP_REASONS.len()],
    /// Datagrams sent on.
    pub forwarded: u64,
    /// Their octets.
    pub forwarded_octets: u64,
    /// Copies sent to loggers.
    pub mirrored: u64,
    /// Copies that could not be sent.
    pub mirror_dropped: u64,
    /// RTP packets missing by sequence number.
    pub lost: u64,
}

impl Totals {
    fn add(&mut self, faces: Faces, counters: &Counters) {
        let read = counters.snapshot();
        self.preroll.kept += u64::from(read.preroll_kept);
        self.preroll.sent += read.preroll_sent;
        self.preroll.evicted += read.preroll_evicted;
        let sum = match faces {
            Faces::Party(StreamKind::Rtp) => &mut self.rtp,
            Faces::Party(StreamKind::Rtcp) => &mut self.rtcp,
            Faces::Party(StreamKind::Datagram) => &mut self.datagram,
            Faces::Home => return self.home.add(&read),
        };
        sum.packets += read.packets;
        sum.octets += read.octets;
        add_all(&mut sum.drops, &read.drops);
        sum.forwarded += read.forwarded;
        sum.forwarded_octets += read.forwarded_octets;
        sum.mirrored += read.mirrored;
        sum.mirror_dropped += read.mirror_dropped;
        sum.lost += u64::try_from(read.lost).unwrap_or(0);
    }

    /// The three kinds with their names.
    pub fn by_kind(&self) -> [(&'static str, &Sum); 3] {
        [
            ("rtp", &self.rtp),
            ("rtcp", &self.rtcp),
            ("datagram", &self.datagram),
        ]
    }

    /// Datagrams dropped, by reason, whoever sent them.
    pub fn drops(&self) -> [u64; DROP_REASONS.len()] {
        let mut drops = self.home.drops;
        for (_, sum) in self.by_kind() {
            add_all(&mut drops, &sum.drops);
        }
        drops
    }
}

impl HomeSum {
    fn add(&mut self, read: &Snapshot) {
        self.sent += u64::from(read.home_sent);
        self.returned += read.packets;
        self.lost += u64::from(read.home_lost);
        add_all(&mut self.drops, &read.drops);
    }
}

fn add_all(sums: &mut [u64; DROP_REASONS.len()], more: &[u64; DROP_REASONS.len()]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Where a socket is.
#[derive(Debug)]
enum Place {
    /// Bound, and not in service yet.
    Bound(UdpSocket),
    /// A slot is reserved, since another stream forwards to it, but it is not in service yet.
    Reserved(UdpSocket, WorkerIndex, SlotId),
    /// A worker has it.
    InService(WorkerIndex, SlotId),
}

/// The control side of one worker.
#[derive(Debug, Default)]
struct Worker {
    /// Slots in use, those that are being closed included.
    slots: Slab<StreamId>,
    /// Commands that belong together: sent as one when the core has no more to say.
    gathered: Vec<Command>,
    /// Commands that the queue had no room for, in order.
    backlog: VecDeque<Command>,
}

impl Sockets {
    /// Serves streams with the workers of `plane`.
    pub(super) fn new(plane: Plane, receive_buffer: Option<u32>) -> Self {
        let count = plane.workers().len();
        Self {
            plane,
            streams: FxHashMap::default(),
            workers: (0..count).map(|_| Worker::default()).collect(),
            loads: vec![0; count],
            receive_buffer,
            closing: FxHashMap::default(),
            bind_failed: Limited::default(),
            past: Totals::default(),
            taken_over: FxHashMap::default(),
        }
    }

    /// Sockets that are bound already: they are used for streams on their addresses.
    pub(super) fn take_over(&mut self, sockets: FxHashMap<SocketAddr, UdpSocket>) {
        self.taken_over = sockets;
    }

    /// Closes the sockets that were taken over and that no stream asked for.
    pub(super) fn settle(&mut self) {
        self.taken_over = FxHashMap::default();
    }

    /// Stops the workers, and gives the sockets of all streams; what arrives waits in them.
    pub(super) fn into_sockets(self) -> Vec<UdpSocket> {
        let waiting = self
            .streams
            .into_values()
            .filter_map(|entry| match entry.place {
                Place::Bound(socket) | Place::Reserved(socket, ..) => Some(socket),
                Place::InService(..) => None,
            });
        let mut sockets: Vec<UdpSocket> = waiting.collect();
        let released = self.plane.release().into_iter();
        sockets.extend(released.map(|(_, _, socket)| socket));
        sockets
    }

    /// Sums over all streams since the start, live ones included.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.past;
        #[expect(clippy::iter_over_hash_type, reason = "a sum has no order")]
        for entry in self.streams.values() {
            totals.add(entry.faces, &entry.counters);
        }
        #[expect(clippy::iter_over_hash_type, reason = "a sum has no order")]
        for (faces, counters) in self.closing.values() {
            totals.add(*faces, counters);
        }
        totals
    }

    /// The workers.
    pub(super) fn plane(&self) -> &Plane {
        &self.plane
    }

    /// Stops the workers; all sockets are closed.
    pub(super) fn stop(self) {
        self.plane.stop();
    }

    /// Brings a stream to the wanted state at its worker.
    pub(super) fn configure(&mut self, stream: StreamId, wanted: &SessionFlow) {
        let worker = wanted.worker;
        let forward = wanted.forward.and_then(|to| self.slot(to, worker));
        let forward_rtcp = wanted.forward_rtcp.and_then(|to| self.slot(to, worker));
        let Some(slot) = self.slot(stream, worker) else {
            warn!(
                stream = stream.0,
                "a stream without a socket was configured"
            );
            return;
        };
        let route = match wanted.route {
            SessionRoute::Direct => Route::Direct,
            SessionRoute::Via { home, home_rtcp } => {
                let home_rtcp = home_rtcp.and_then(|to| self.slot(to, worker));
                let home = self.slot(home, worker);
                home.map_or(Route::Direct, |home| Route::Via { home, home_rtcp })
            }
            SessionRoute::Home(limits) => Route::Home(HomeLimits {
                unreachable_after: limits.unreachable_after,
                return_after: limits.return_after,
            }),
        };
        let flow = plane_flow(wanted, forward, forward_rtcp, route);
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        entry.faces = match wanted.route {
            SessionRoute::Home(_) => Faces::Home,
            SessionRoute::Direct | SessionRoute::Via { .. } => Faces::Party(wanted.kind),
        };
        let in_service = Place::InService(worker, slot);
        let command = match std::mem::replace(&mut entry.place, in_service) {
            Place::Bound(socket) | Place::Reserved(socket, ..) => {
                let counters = Arc::clone(&entry.counters);
                Command::Open {
                    slot,
                    socket,
                    flow,
                    counters,
                }
            }
            Place::InService(..) => Command::Configure { slot, flow },
        };
        self.send(worker, command);
    }

    /// Copies what arrives on a stream to these loggers from now on.
    pub(super) fn mirror(&mut self, stream: StreamId, targets: Vec<SocketAddr>) {
        if let Some((worker, slot)) = self.in_service(stream) {
            self.send(worker, Command::Mirror { slot, targets });
        }
    }

    /// A logger should have a stream, and none takes it.
    pub(super) fn unserved(&mut self, stream: StreamId) {
        if let Some((worker, slot)) = self.in_service(stream) {
            self.send(worker, Command::Unserved { slot });
        }
    }

    /// Closes a stream's socket.
    pub(super) fn close(&mut self, stream: StreamId) {
        let Some(entry) = self.streams.remove(&stream) else {
            return;
        };
        match entry.place {
            Place::Bound(_) => {}
            Place::Reserved(_, worker, slot) => self.release(worker, slot),
            Place::InService(worker, slot) => {
                self.closing
                    .insert((worker, slot), (entry.faces, entry.counters));
                self.send(worker, Command::Close { slot });
            }
        }
    }

    /// A worker has emptied a slot: it may be used again.
    pub(super) fn closed(&mut self, worker: WorkerIndex, slot: SlotId) {
        if let Some((faces, counters)) = self.closing.remove(&(worker, slot)) {
            self.past.add(faces, &counters);
        }
        self.release(worker, slot);
    }

    /// The stream in a slot, if it has not been closed meanwhile.
    pub(super) fn stream_at(&self, worker: WorkerIndex, slot: SlotId) -> Option<StreamId> {
        let stream = *self
            .workers
            .get(usize::from(worker.0))?
            .slots
            .get(slot.0 as usize)?;
        self.streams.contains_key(&stream).then_some(stream)
    }

    /// Sends what was gathered for each worker, all of it at once, and then what was left over;
    /// whether nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        let mut all = true;
        for (worker, handle) in self.workers.iter_mut().zip(self.plane.workers()) {
            if !worker.gathered.is_empty() {
                let batch = std::mem::take(&mut worker.gathered);
                worker.backlog.push_back(Command::Batch(batch));
            }
            while let Some(command) = worker.backlog.pop_front() {
                if let Err(command) = handle.send(command) {
                    worker.backlog.push_front(command);
                    all = false;
                    break;
                }
            }
        }
        all
    }

    /// Streams that have a socket now.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Where a stream is served, if it is.
    fn in_service(&self, stream: StreamId) -> Option<(WorkerIndex, SlotId)> {
        match self.streams.get(&stream)?.place {
            Place::InService(worker, slot) => Some((worker, slot)),
            Place::Bound(_) | Place::Reserved(..) => None,
        }
    }

    /// The slot of a stream at its worker, reserved now if it has none.
    fn slot(&mut self, stream: StreamId, worker: WorkerIndex) -> Option<SlotId> {
        let slots = &mut self.workers.get_mut(usize::from(worker.0))?.slots;
        let entry = self.streams.get_mut(&stream)?;
        if let Place::Reserved(_, at, slot) | Place::InService(at, slot) = entry.place {
            return (at == worker).then_some(slot);
        }
        let slot = SlotId(u32::try_from(slots.insert(stream)).ok()?);
        self.loads[usize::from(worker.0)] += 1;
        let reserved = |place| match place {
            Place::Bound(socket) => Place::Reserved(socket, worker, slot),
            other @ (Place::Reserved(..) | Place::InService(..)) => other,
        };
        let entry = self.streams.remove(&stream)?;
        let entry = Entry {
            place: reserved(entry.place),
            ..entry
        };
        self.streams.insert(stream, entry);
        Some(slot)
    }

    fn release(&mut self, worker: WorkerIndex, slot: SlotId) {
        let at = usize::from(worker.0);
        if let Some(worker) = self.workers.get_mut(at)
            && worker.slots.try_remove(slot.0 as usize).is_some()
        {
            self.loads[at] = self.loads[at].saturating_sub(1);
        }
    }

    fn send(&mut self, worker: WorkerIndex, command: Command) {
        if let Some(worker) = self.workers.get_mut(usize::from(worker.0)) {
            worker.gathered.push(command);
        }
    }
}

/// What the core asks of its sockets ([`crate::session::host::Host`]).
impl Sockets {
    /// Binds a socket for a stream.
    pub(super) fn bind(
        &mut self,
        stream: StreamId,
        local: SocketAddr,
        tos: Option<u8>,
    ) -> Result<(), BindError> {
        let taken_over = self.taken_over.remove(&local).map(Ok);
        let bound = taken_over.unwrap_or_else(|| socket::bind(local, tos, self.receive_buffer));
        let socket = bound.map_err(|error| {
            if error.kind() == std::io::ErrorKind::AddrInUse {
                BindError::InUse
            } else {
                if let Some(held_back) = self.bind_failed.permit() {
                    warn!(%local, %error, held_back, "cannot make a media socket");
                }
                BindError::Failed
            }
        })?;
        let counters = Arc::new(Counters::default());
        self.streams.insert(
            stream,
            Entry {
                place: Place::Bound(socket),
                faces: Faces::Party(StreamKind::Rtp),
                counters,
            },
        );
        Ok(())
    }

    /// The counters of a stream.
    pub(super) fn counters(&self, stream: StreamId) -> StreamCounters {
        self.streams
            .get(&stream)
            .map_or_else(StreamCounters::default, |entry| {
                let read = entry.counters.snapshot();
                StreamCounters {
                    packets: read.packets,
                    octets: read.octets,
                    rtcp_packets: read.rtcp_packets,
                    drops: read.drops,
                    forwarded: read.forwarded,
                    forwarded_octets: read.forwarded_octets,
                    mirrored: read.mirrored,
                    mirror_dropped: read.mirror_dropped,
                    ssrc: read.ssrc,
                    ssrc_changes: read.ssrc_changes,
                    lost: read.lost,
                    jitter: read.jitter,
                    last_seq: read.last_seq,
                    last_rtp_timestamp: read.last_rtp_timestamp,
                    talk_bursts: read.talk_bursts,
                    preroll_kept: read.preroll_kept.into(),
                    preroll_sent: read.preroll_sent,
                    preroll_evicted: read.preroll_evicted,
                    last_packet: read.last_packet,
                    learned: read.learned,
                    home_sent: read.home_sent,
                    home_lost: read.home_lost,
                }
            })
    }

    /// Streams of each worker.
    pub(super) fn worker_loads(&self) -> &[u64] {
        &self.loads
    }
}

fn plane_flow(
    wanted: &SessionFlow,
    forward: Option<SlotId>,
    forward_rtcp: Option<SlotId>,
    route: Route,
) -> Flow {
    Flow {
        expect: match wanted.kind {
            StreamKind::Rtp => Expect::Rtp,
            StreamKind::Rtcp => Expect::Rtcp,
            StreamKind::Datagram => Expect::Datagram,
        },
        remote: wanted.remote,
        learn: match wanted.learning {
            Learning::Off => Learn::Off,
            Learning::Immediate => Learn::Immediate,
            Learning::Delayed => Learn::Delayed,
            Learning::Heuristic => Learn::Heuristic,
        },
        window: wanted.window,
        source: match wanted.source {
            SourcePolicy::Strict => Source::Strict,
            SourcePolicy::Handover => Source::Handover,
            SourcePolicy::Loose => Source::Loose,
        },
        forward,
        forward_rtcp,
        blocked: wanted.blocked,
        clock_rate: wanted.clock_rate,
        known: wanted.known,
        route,
        keep: wanted.keep,
    }
}
