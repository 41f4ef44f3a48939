//! Mirrors that outlive the process: what the journal keeps of them, and how they begin again.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Attached, Mirror, Wanted};
use crate::migration::identity::SystemName;
use crate::session::call::Call;
use crate::session::command::Command;
use crate::session::host::Host;
use crate::session::ids::{MirrorId, StreamId};
use crate::session::reply::Copies;

/// What the journal keeps of a mirror.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::session) struct Former {
    pub(in crate::session) id: MirrorId,
    primary: SystemName,
    /// Copied until then, of all streams.
    copied: Copies,
}

/// After a restart: opens the mirrors that are wanted, under the numbers that they had before, so
/// that their loggers know them again. What is not wanted any more ends without a word: nothing
/// goes there.
pub(in crate::session) fn resume(
    call: &mut Call,
    former: Vec<Former>,
    wanted: Vec<Wanted>,
    next_mirror: &mut u64,
    queue: &mut VecDeque<Command>,
) {
    let mut known: Vec<(StreamId, SocketAddr)> = Vec::new();
    for (_, _, _, set) in call.sets() {
        let halves = set.halves().into_iter();
        known.extend(halves.filter_map(|(half, stream)| Some((stream, set.known(half)?))));
    }
    for wanted in wanted {
        // With other loggers it goes to the one that had it, if that is still among them.
        let same = |former: &&Former| former.primary == wanted.primary;
        let (id, detached) = former.iter().find(same).map_or_else(
            || {
                *next_mirror += 1;
                (MirrorId(*next_mirror), Copies::default())
            },
            |former| (former.id, former.copied),
        );
        queue.push_back(Command::MirrorOpen {
            mirror: id,
            call: call.id.clone(),
            loggers: wanted.loggers.clone(),
            pairs: wanted.pairs,
            info: wanted.info.clone(),
        });
        let mut attached = Vec::with_capacity(wanted.streams.len());
        for (stream, mut info) in wanted.streams {
            let found = known.iter().find(|(of, _)| *of == stream);
            let learned = found.map(|(_, address)| *address);
            info.remote = learned.or(info.remote);
            queue.push_back(Command::MirrorAttach {
                mirror: id,
                stream,
                info: info.clone(),
            });
            attached.push(Attached {
                stream,
                learned,
                info,
                earlier: Copies::default(),
            });
        }
        call.mirrors.push(Mirror {
            id,
            primary: wanted.primary,
            loggers: wanted.loggers,
            info: wanted.info,
            attached,
            detached,
            lost: false,
        });
    }
}

impl Mirror {
    /// What the journal keeps of it.
    pub(in crate::session) fn former(&self, host: &dyn Host) -> Former {
        let mut copied = self.detached;
        for copies in self.attached.iter().map(|attached| attached.copies(host)) {
            copied.packets = copied.packets.saturating_add(copies.packets);
            copied.dropped = copied.dropped.saturating_add(copies.dropped);
        }
        Former {
            id: self.id,
            primary: self.primary.clone(),
            copied,
        }
    }
}
