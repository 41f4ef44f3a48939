//! What the session core asks of its surroundings at once, put together from sockets, mirrors and
//! home legs.

use std::net::SocketAddr;

use super::homes::Homes;
use super::mirrors::Mirrors;
use super::sockets::Sockets;
use crate::session::host::{BindError, Host, Room, StreamCounters, Taken};
use crate::session::ids::{HomeId, MirrorId, StreamId};

/// The real surroundings of the core.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) sockets: &'a mut Sockets,
    pub(super) mirrors: &'a Mirrors,
    pub(super) homes: &'a Homes,
}

impl Host for Surroundings<'_> {
    fn bind(
        &mut self,
        stream: StreamId,
        local: SocketAddr,
        tos: Option<u8>,
    ) -> Result<(), BindError> {
        self.sockets.bind(stream, local, tos)
    }

    fn counters(&self, stream: StreamId) -> StreamCounters {
        self.sockets.counters(stream)
    }

    fn worker_loads(&self) -> &[u64] {
        self.sockets.worker_loads()
    }

    fn can_mirror(&self, mirrors: &[Room<'_>]) -> bool {
        self.mirrors.can_take(mirrors)
    }

    fn taken(&self, mirror: MirrorId) -> Option<Taken> {
        self.mirrors.taken(mirror)
    }

    fn anchor(&self, home: HomeId) -> Option<String> {
        self.homes.anchor_of(home).map(str::to_owned)
    }
}
