//! What a core stands on: sockets and counters that are only numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use homeward::session::host::{BindError, Host, Room, StreamCounters, Taken};
use homeward::session::ids::{MirrorId, StreamId};

/// Sockets and counters that are only numbers.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    pub(crate) bound: BTreeMap<StreamId, SocketAddr>,
    /// Ports that another program has.
    pub(crate) taken: BTreeSet<u16>,
    /// Every bind fails from now on.
    pub(crate) broken: bool,
    /// So many binds work, then all fail.
    pub(crate) left: Option<usize>,
    pub(crate) counters: BTreeMap<StreamId, StreamCounters>,
    pub(crate) loads: Vec<u64>,
    pub(crate) tos: BTreeSet<Option<u8>>,
    pub(crate) binds: usize,
    /// Socket pairs that the loggers have room for; `None`: endless.
    pub(crate) room: Option<usize>,
    /// Mirrors that a logger has, with the pairs they have there.
    pub(crate) taped: BTreeMap<MirrorId, (Taken, usize)>,
}

impl Host for Ground {
    fn bind(
        &mut self,
        stream: StreamId,
        local: SocketAddr,
        tos: Option<u8>,
    ) -> Result<(), BindError> {
        self.binds += 1;
        if self.broken || self.left == Some(0) {
            return Err(BindError::Failed);
        }
        self.left = self.left.map(|left| left - 1);
        if self.taken.contains(&local.port()) || self.bound.values().any(|b| *b == local) {
            return Err(BindError::InUse);
        }
        self.tos.insert(tos);
        assert!(
            self.bound.insert(stream, local).is_none(),
            "{stream:?} twice"
        );
        Ok(())
    }

    fn counters(&self, stream: StreamId) -> StreamCounters {
        self.counters.get(&stream).cloned().unwrap_or_default()
    }

    fn worker_loads(&self) -> &[u64] {
        &self.loads
    }

    fn can_mirror(&self, mirrors: &[Room<'_>]) -> bool {
        let pairs: usize = mirrors.iter().map(|room| room.pairs).sum();
        self.room.is_none_or(|room| room >= pairs)
    }

    fn taken(&self, mirror: MirrorId) -> Option<Taken> {
        self.taped.get(&mirror).map(|(taken, _)| taken.clone())
    }
}

impl Ground {
    /// The preferred logger takes a mirror if there is room for it.
    pub(crate) fn take(&mut self, mirror: MirrorId, loggers: &[String], pairs: usize) {
        if self.room.is_some_and(|room| room < pairs) {
            return;
        }
        self.room = self.room.map(|room| room - pairs);
        let taken = Taken {
            logger: loggers[0].clone(),
            streams: 0,
        };
        self.taped.insert(mirror, (taken, pairs));
    }
}
