//! Calls that outlive the process: what is written down of each, and how it goes on from that.
//!
//! [`Core::keep_journal`] switches it on. From then on every change of a call makes
//! [`Core::poll_journal`] give what is to be written, the latest state only, however many changes
//! there were. After a restart [`Core::go_on`] comes first, then [`Core::restore`] for each
//! record. A record is one octet of version, eight of XXH3 over the rest, and the call in
//! MessagePack with named members, so that a later version understands an earlier one.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::call::Call;
use super::command::Command;
use super::core::{Core, World};
use super::flows;
use super::host::{BindError, Host};
use super::ids::{CallId, MirrorId, StreamId, WorkerIndex};
use super::media::PortSet;
use super::ports::{Names, PlaceId, Ports};
use super::scope::{self, Former};
use super::sockets::Opened;
use super::timers;
use crate::wire::time::Timestamp;

/// What is to be written down about a call.
#[derive(Debug)]
pub struct Entry {
    /// Number of the call, never used twice.
    pub number: u64,
    /// Its state; `None`: it has ended, and its record goes.
    pub call: Option<Box<Snapshot>>,
}

/// The state of a call at one moment, to be encoded elsewhere.
#[derive(Clone, Debug)]
pub struct Snapshot {
    call: Call,
    mirrors: Vec<Former>,
    names: Arc<Names>,
}

/// Numbers that have been given so far: those of a later process begin beyond them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Of calls in the journal.
    pub call: u64,
    /// Of streams.
    pub stream: u64,
    /// Of mirrors.
    pub mirror: u64,
}

/// A call as it was read back.
#[derive(Debug, Deserialize)]
pub struct Record {
    call: Call,
    mirrors: Vec<Former>,
    places: Vec<(PlaceId, u16, IpAddr)>,
    interfaces: Vec<String>,
}

/// What of a snapshot is written.
#[derive(Serialize)]
struct Written<'a> {
    call: &'a Call,
    mirrors: &'a [Former],
    /// The places that the call uses: index, index of the interface, address.
    places: Vec<(PlaceId, u16, IpAddr)>,
    interfaces: &'a [String],
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// It was written by another version.
    #[error("its record has version {0}, which this version of homeward does not know")]
    Version(u8),
    /// It is not what was written.
    #[error("its record is damaged")]
    Damaged,
}

/// Why a call does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotRestored {
    /// It was to be removed while nobody was there.
    #[error("its time was over")]
    Over,
    /// There is a call of this name already.
    #[error("a call with this name is there already")]
    Known,
    /// The configuration has no such address any more.
    #[error("the configuration has no interface {interface:?} with the address {address}")]
    Address {
        /// Name of the interface.
        interface: String,
        /// The local address.
        address: IpAddr,
    },
    /// The port is not in the configured range any more, or another call has it.
    #[error("its port {0} is outside of the interface's ports, or belongs to another call")]
    Port(SocketAddr),
    /// Another program has the port now.
    #[error("another program has its port {0}")]
    Taken(SocketAddr),
    /// No socket can be made.
    #[error("no socket can be made on {0}")]
    Socket(SocketAddr),
    /// The record contradicts itself.
    #[error("its record contradicts itself")]
    Unsound,
}

/// What has changed since the journal was told last.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    on: bool,
    calls: BTreeSet<usize>,
    /// Numbers of calls that the journal has, and that have ended.
    gone: VecDeque<u64>,
}

impl Dirty {
    /// Something about the call has changed.
    pub(super) fn touch(&mut self, key: usize) {
        if self.on {
            self.calls.insert(key);
        }
    }

    /// Whether the journal is to be told of the call.
    pub(super) fn waits_for(&self, key: usize) -> bool {
        self.calls.contains(&key)
    }

    /// Nothing about the call has changed after all.
    pub(super) fn spare(&mut self, key: usize) {
        self.calls.remove(&key);
    }

    /// The call has ended. One that was never told of need not be taken back.
    pub(super) fn forget(&mut self, key: usize, call: &Call) {
        self.calls.remove(&key);
        if self.on && call.journalled {
            self.gone.push_back(call.number);
        }
    }
}

impl Core {
    /// Keeps account of changes for [`Self::poll_journal`] from now on.
    pub fn keep_journal(&mut self) {
        self.journal.on = true;
        self.journal_all();
    }

    /// Whether [`Self::poll_journal`] has something to give.
    pub fn journal_waits(&self) -> bool {
        !self.journal.calls.is_empty() || !self.journal.gone.is_empty()
    }

    /// All calls are to be written, so that counters are as of now.
    pub fn journal_all(&mut self) {
        for (key, _) in &self.calls {
            self.journal.touch(key);
        }
    }

    /// The next change for the journal. Learned addresses and counters are read from the host at
    /// this moment; what open sockets have counted is added to the sums of the closed ones, since
    /// sockets of another process begin at zero.
    pub fn poll_journal(&mut self, host: &dyn Host) -> Option<Entry> {
        if let Some(number) = self.journal.gone.pop_front() {
            return Some(Entry { number, call: None });
        }
        let call = loop {
            let key = self.journal.calls.pop_first()?;
            if let Some(call) = self.calls.get_mut(key) {
                break call;
            }
        };
        call.journalled = true;
        Some(Entry {
            number: call.number,
            call: Some(Box::new(Snapshot::of(call, self.ports.names(), host))),
        })
    }

    /// Numbers given so far.
    pub const fn numbers(&self) -> Numbers {
        Numbers {
            call: self.next_call,
            stream: self.next_stream,
            mirror: self.next_mirror,
        }
    }

    /// Goes on where another process has ended: begins beyond its numbers, and with other ports
    /// than it did.
    pub fn go_on(&mut self, numbers: Numbers) {
        self.next_call = self.next_call.max(numbers.call);
        self.next_stream = self.next_stream.max(numbers.stream);
        self.next_mirror = self.next_mirror.max(numbers.mirror);
        let seed = format!("{}{}", self.settings.instance, numbers.stream);
        self.ports.mix(&seed);
    }

    /// Takes a call over from another process: the same ports, streams and mirrors, decided anew;
    /// afterwards drain [`Self::poll_command`]. Media may stay away for one time-out more.
    ///
    /// # Errors
    /// The call does not go on; what was bound for it is closed again.
    pub fn restore(
        &mut self,
        record: Record,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<(), NotRestored> {
        if self.ids.contains_key(record.call_id()) {
            return Err(NotRestored::Known);
        }
        if record.call.delete_at.is_some_and(|at| at <= now) {
            return Err(NotRestored::Over);
        }
        let mut call = Box::new(record.place(&self.ports)?);
        self.check(&call)?;
        let workers = host.worker_loads();
        if usize::from(call.worker.0) >= workers.len() {
            let least = (0_u16..).zip(workers).min_by_key(|(_, load)| **load);
            call.worker = WorkerIndex(least.map_or(0, |(worker, _)| worker));
        }
        self.bind_again(&mut call, host, now)?;
        self.numbers_of(&call, &record.mirrors);
        call.quiet_due = match call.answered {
            None => call.quiet_due.max(now + self.settings.media_timeout),
            Some(_) => now + timers::patience(&call, &self.settings).0,
        };
        call.journalled = true;
        scope::decide_all(&mut call, world, now);
        let flows = flows::of(&call, self.settings.preroll);
        flows::queue_changes(&[], &flows, &mut self.queue);
        let wanted = scope::wanted(&call, &flows, &self.settings, &self.ports);
        let next = &mut self.next_mirror;
        scope::resume(&mut call, record.mirrors, wanted, next, &mut self.queue);
        self.put(None, call.clone());
        // Ways through primary systems are asked for anew.
        if let Some(key) = self.ids.get(&call.id).copied() {
            self.commit(Some(key), call, &[], world, host, now);
        }
        Ok(())
    }

    /// Refuses what no core has written: streams or legs that are there twice.
    fn check(&self, call: &Call) -> Result<(), NotRestored> {
        let mut streams: Vec<StreamId> = call.streams().collect();
        let count = streams.len();
        streams.sort_unstable();
        streams.dedup();
        let known = |stream: &StreamId| self.streams.contains_key(stream);
        let mut legs: Vec<_> = call.parties.iter().map(|party| party.id).collect();
        legs.sort_unstable();
        legs.dedup();
        let sound = streams.len() == count
            && !streams.iter().any(known)
            && legs.len() == call.parties.len()
            && !legs.is_empty();
        sound.then_some(()).ok_or(NotRestored::Unsound)
    }

    /// Binds all ports of the call. One that is retired may be lost.
    fn bind_again(
        &mut self,
        call: &mut Call,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<(), NotRestored> {
        let tos = call.tos;
        let mut bound: Vec<Opened> = Vec::new();
        let mut failed = None;
        let medias = call.parties.iter_mut().flat_map(|party| &mut party.medias);
        for media in medias {
            media.sets.retain(|set| {
                if failed.is_some() || set.retired.is_some_and(|at| at <= now) {
                    return false;
                }
                let outcome = self.bind_set(set, tos, host);
                match outcome {
                    Ok(()) => bound.push(Opened::of(set)),
                    Err(_) if set.retired.is_some() => return false,
                    Err(error) => failed = Some(error),
                }
                true
            });
        }
        match failed {
            None => Ok(()),
            Some(error) => {
                bound.iter().for_each(|pair| self.close(pair));
                Err(error)
            }
        }
    }

    fn bind_set(
        &mut self,
        set: &PortSet,
        tos: Option<u8>,
        host: &mut dyn Host,
    ) -> Result<(), NotRestored> {
        let halves = set.halves();
        let local = halves.map(|(half, stream)| (stream, self.ports.local(set, half)));
        if !self.ports.claim(set.place, set.port) {
            return Err(NotRestored::Port(local[0].1));
        }
        for (place, (stream, address)) in local.into_iter().enumerate() {
            let Err(error) = host.bind(stream, address, tos) else {
                continue;
            };
            for (stream, _) in local.into_iter().take(place) {
                self.queue.push_back(Command::Close { stream });
            }
            self.ports.give_back(set.place, set.port);
            return Err(match error {
                BindError::InUse => NotRestored::Taken(address),
                BindError::Failed => NotRestored::Socket(address),
            });
        }
        Ok(())
    }

    /// What the call uses is not given again.
    fn numbers_of(&mut self, call: &Call, mirrors: &[Former]) {
        let stream = call.streams().map(|stream| stream.0).max().unwrap_or(0);
        let mirror = mirrors.iter().map(|mirror| mirror.id.0).max().unwrap_or(0);
        self.next_call = self.next_call.max(call.number);
        self.next_stream = self.next_stream.max(stream);
        self.next_mirror = self.next_mirror.max(mirror);
    }
}

impl Snapshot {
    fn of(call: &mut Call, names: &Arc<Names>, host: &dyn Host) -> Self {
        let mirrors = std::mem::take(&mut call.mirrors);
        let mut copy = call.clone();
        call.mirrors = mirrors;
        for party in &mut copy.parties {
            let mut sums = party.closed.take().unwrap_or_default();
            for media in &mut party.medias {
                for place in 0..media.sets.len() {
                    let halves = media.sets[place].halves();
                    let counted = halves.map(|(half, stream)| {
                        let counters = host.counters(stream);
                        sums.add(flows::kind(media, half), &counters);
                        counters.learned
                    });
                    media.sets[place].known = counted;
                }
            }
            party.closed = Some(sums);
        }
        Self {
            mirrors: call.mirrors.iter().map(|m| m.former(host)).collect(),
            call: copy,
            names: Arc::clone(names),
        }
    }

    /// Its mirrors.
    pub fn mirrors(&self) -> impl Iterator<Item = MirrorId> {
        self.mirrors.iter().map(|mirror| mirror.id)
    }

    /// The record to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut used: Vec<PlaceId> = self.call.places.clone();
        used.extend(self.call.sets().map(|(_, _, _, set)| set.place));
        used.sort_unstable();
        used.dedup();
        let place = |id: PlaceId| {
            let (interface, address) = self.names.places.get(id.index())?;
            Some((id, *interface, *address))
        };
        let written = Written {
            call: &self.call,
            mirrors: &self.mirrors,
            places: used.into_iter().filter_map(place).collect(),
            interfaces: &self.names.interfaces,
        };
        let mut record = vec![0; HEAD];
        // Writing to memory cannot fail, and there is nothing in a call that MessagePack lacks.
        let written =
            written.serialize(&mut rmp_serde::Serializer::new(&mut record).with_struct_map());
        debug_assert!(written.is_ok(), "{written:?}");
        let sum = xxh3_64(&record[HEAD..]);
        record[0] = VERSION;
        record[1..HEAD].copy_from_slice(&sum.to_le_bytes());
        record
    }
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// It cannot be read, and why.
    pub fn decode(record: &[u8]) -> Result<Self, BadRecord> {
        let (version, rest) = record.split_first().ok_or(BadRecord::Damaged)?;
        if *version != VERSION {
            return Err(BadRecord::Version(*version));
        }
        let (sum, body) = rest.split_first_chunk().ok_or(BadRecord::Damaged)?;
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return Err(BadRecord::Damaged);
        }
        rmp_serde::from_slice(body).map_err(|_| BadRecord::Damaged)
    }

    /// The call.
    pub const fn call_id(&self) -> &CallId {
        &self.call.id
    }

    /// The call with the indexes that its interfaces and addresses have now.
    fn place(&self, ports: &Ports) -> Result<Call, NotRestored> {
        let name = |interface: u16| self.interfaces.get(usize::from(interface));
        let now = |old: PlaceId| {
            let found = self.places.iter().find(|(id, _, _)| *id == old);
            let (_, interface, address) = *found.ok_or(NotRestored::Unsound)?;
            let interface = name(interface).ok_or(NotRestored::Unsound)?;
            let gone = || NotRestored::Address {
                interface: interface.clone(),
                address,
            };
            ports.find(interface, address).ok_or_else(gone)
        };
        let mut call = self.call.clone();
        // An address that it has no socket on any more is not missed.
        call.places = call
            .places
            .iter()
            .filter_map(|old| now(*old).ok())
            .collect();
        for party in &mut call.parties {
            let interface = name(party.interface).and_then(|name| ports.interface(name));
            party.interface = interface.unwrap_or(0);
            for set in party.medias.iter_mut().flat_map(|media| &mut media.sets) {
                set.place = now(set.place)?;
                set.family = ports.family(set.place);
            }
        }
        Ok(call)
    }
}

const VERSION: u8 = 1;
/// Version and sum.
const HEAD: usize = 9;
