//! Keeps the call journal: collects what has changed, hands it to the store's thread some times a
//! second, and lets calls go on from it after a restart.
//!
//! A change waits for [`PERIOD`] at most, so that offer and answer of a call are written together;
//! that, and what the thread has not committed yet, is what a killed process loses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{debug, error, info, warn};

use super::mirrors::Mirrors;
use crate::session::core::Core;
use crate::session::host::Host;
use crate::session::ids::MirrorId;
use crate::session::journal::{Numbers, Record, Snapshot};
use crate::store::journal::{Batch, Encode, Health, Journal, Loaded};
use crate::wire::time::Timestamp;

/// The journal of a running relay.
#[derive(Debug)]
pub(super) struct Keeper {
    journal: Journal,
    /// When changes that wait are written; `None`: nothing waits.
    due: Option<Timestamp>,
    /// Events that workers had no room for: addresses may have been learned untold.
    events_dropped: u64,
    pub(super) restored: Restored,
}

/// What became of the calls of the journal at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Calls that go on.
    pub calls: u64,
    /// Calls that do not.
    pub lost: u64,
}

/// Where a mirror goes: which logger, and which of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) mirror: MirrorId,
    /// Name of the logger.
    pub(super) logger: String,
    /// Even ports that no stream uses yet.
    pub(super) aside: Vec<u16>,
    /// Even local ports of the streams, with the even ports at the logger.
    pub(super) pairs: Vec<(SocketAddr, u16)>,
}

/// A call as it is handed to the store.
struct Entry {
    call: Box<Snapshot>,
    places: Vec<Place>,
}

impl Encode for Entry {
    fn encode(&self) -> [Vec<u8>; 2] {
        // Nothing in it that MessagePack lacks; without it the mirrors just go elsewhere.
        let places = rmp_serde::to_vec_named(&self.places).unwrap_or_default();
        [self.call.encode(), places]
    }
}

impl Keeper {
    /// A journal that nothing was handed to yet.
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            due: None,
            events_dropped: 0,
            restored: Restored::default(),
        }
    }

    /// When [`Self::write`] is due.
    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Looks whether the core has changes to be written.
    pub(super) fn notice(&mut self, core: &Core, now: Timestamp) {
        if self.due.is_none() && core.journal_waits() {
            self.due = Some(now + PERIOD);
        }
    }

    /// Hands changes to the store if it is time. `events_dropped` is what the workers have counted.
    pub(super) fn write(
        &mut self,
        core: &mut Core,
        host: &dyn Host,
        mirrors: &Mirrors,
        events_dropped: u64,
        now: Timestamp,
    ) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        if std::mem::replace(&mut self.events_dropped, events_dropped) != events_dropped {
            core.journal_all();
        }
        // Behind a disk that is slow or stalled, changes gather in the core: one for each call.
        if self.journal.has_room() {
            let batch = collect(core, host, mirrors);
            let refused = self.journal.write(batch);
            debug_assert!(refused.is_ok(), "this thread alone writes");
        }
        self.due = core.journal_waits().then(|| now + PERIOD);
    }

    /// Hands all changes over, and waits for the disk within reason.
    pub(super) fn finish(mut self, core: &mut Core, host: &dyn Host, mirrors: &Mirrors) {
        while core.journal_waits() {
            let mut batch = collect(core, host, mirrors);
            while let Err(back) = self.journal.write(batch) {
                batch = back;
                if !self.journal.flush(PATIENCE) {
                    self.complain();
                    return;
                }
            }
        }
        self.due = None;
        if !self.journal.flush(PATIENCE) {
            self.complain();
        }
    }

    fn complain(&self) {
        let behind = self.journal.health().behind;
        error!(
            behind,
            "the call journal could not be written: the next start knows the calls as they were \
             when it could be written last"
        );
    }

    /// How the journal does.
    pub(super) fn health(&self) -> Health {
        self.journal.health()
    }

    /// Takes rows away.
    pub(super) fn forget(&self, numbers: Vec<u64>) {
        let calls = numbers.into_iter().map(|number| (number, None)).collect();
        let batch = Batch {
            calls,
            numbers: Vec::new(),
        };
        // Should there be no room: they are met, and refused, once more at the next start.
        drop(self.journal.write(batch));
    }
}

fn collect(core: &mut Core, host: &dyn Host, mirrors: &Mirrors) -> Batch {
    let entries = std::iter::from_fn(|| core.poll_journal(host)).take(AT_ONCE);
    let calls = entries.map(|entry| {
        let call = entry.call.map(|call| {
            let places = call.mirrors().filter_map(|id| mirrors.place(id)).collect();
            Box::new(Entry { call, places }) as Box<dyn Encode>
        });
        (entry.number, call)
    });
    let calls = calls.collect();
    let numbers = core.numbers();
    Batch {
        calls,
        numbers: vec![
            (CALL, numbers.call),
            (STREAM, numbers.stream),
            (MIRROR, numbers.mirror),
        ],
    }
}

/// What was read from the journal, in the core's terms.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Where numbers begin; `None`: there was no process before.
    pub(super) numbers: Option<Numbers>,
    /// By number.
    pub(super) calls: Vec<(u64, Record)>,
    /// Where their mirrors went.
    pub(super) places: Vec<Place>,
    /// Numbers of the calls that cannot be read.
    pub(super) unreadable: Vec<u64>,
}

impl Past {
    /// Decodes all records. Those that cannot be are told of.
    pub(super) fn decode(loaded: Loaded) -> Self {
        let mut past = Self {
            numbers: numbers(&loaded.numbers),
            ..Self::default()
        };
        for (number, [record, places]) in loaded.calls {
            match Record::decode(&record) {
                Ok(record) => {
                    let places = rmp_serde::from_slice::<Vec<Place>>(&places);
                    past.places.extend(places.into_iter().flatten());
                    past.calls.push((number, record));
                }
                Err(error) => {
                    if past.unreadable.len() < TOLD {
                        warn!(number, %error, "a call of the journal does not go on");
                    }
                    past.unreadable.push(number);
                }
            }
        }
        past
    }
}

/// What comes after a restart is numbered far beyond what was written down last: some numbers may
/// have been given, and told to loggers, that never were.
fn numbers(kept: &BTreeMap<String, u64>) -> Option<Numbers> {
    let of = |name| {
        let kept: Option<&u64> = kept.get(name);
        kept.map_or(0, |kept| kept.saturating_add(MARGIN))
    };
    (!kept.is_empty()).then(|| Numbers {
        call: of(CALL),
        stream: of(STREAM),
        mirror: of(MIRROR),
    })
}

/// Says what became of the calls.
pub(super) fn report(restored: Restored, took: Duration) {
    let Restored { calls, lost } = restored;
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if lost > 0 {
        warn!(
            restored = calls,
            lost, millis, "calls go on from the journal"
        );
    } else if calls > 0 {
        info!(restored = calls, millis, "calls go on from the journal");
    }
}

/// Tells of a call that does not go on; the first ones of them in the log of every day.
pub(super) fn lost(call: &str, why: &dyn std::fmt::Display, before: u64) {
    if before < TOLD as u64 {
        warn!(%why, "a call of the journal does not go on; debug level names it");
    }
    debug!(call, %why, "a call of the journal does not go on");
}

/// How long changes are collected.
const PERIOD: Duration = Duration::from_millis(50);
/// Calls that are handed over at once; the control loop does nothing else meanwhile.
const AT_ONCE: usize = 512;
/// For the disk, when the relay stops.
const PATIENCE: Duration = Duration::from_secs(5);
/// Beyond all that a process can give between two writes.
const MARGIN: u64 = 1 << 32;
/// Lost calls with a line of their own.
const TOLD: usize = 10;
const CALL: &str = "call";
const STREAM: &str = "stream";
const MIRROR: &str = "mirror";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_beyond_those_that_may_have_been_given() {
        assert_eq!(numbers(&BTreeMap::new()), None);
        let kept = [("stream".to_owned(), 7), ("later".to_owned(), 1)];
        let found = numbers(&kept.into()).unwrap();
        assert_eq!(found.stream, 7 + MARGIN);
        assert_eq!((found.call, found.mirror), (0, 0));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let loaded = Loaded {
            calls: vec![
                (4, [vec![1, 2, 3], Vec::new()]),
                (9, [Vec::new(), vec![0xc1]]),
            ],
            ..Loaded::default()
        };
        let past = Past::decode(loaded);
        assert_eq!(past.unreadable, [4, 9]);
        assert!(past.calls.is_empty() && past.places.is_empty());
    }

    #[test]
    fn places_are_read_as_they_were_written() {
        let places = vec![Place {
            mirror: MirrorId(1 << 40),
            logger: "hq".into(),
            aside: vec![40_000],
            pairs: vec![("[::1]:30000".parse().unwrap(), 40_002)],
        }];
        let written = rmp_serde::to_vec_named(&places).unwrap();
        let read: Vec<Place> = rmp_serde::from_slice(&written).unwrap();
        assert_eq!(read, places);
    }
}
