//! Sockets of a call that is being changed: which are kept, renewed, revived, retired
//! (NG reference 9.1).
//!
//! Work goes on in a draft of the call. Nothing is closed before the draft is taken over, and all
//! that was opened is closed again if it is not.

use std::net::SocketAddr;

use super::call::Call;
use super::core::Settings;
use super::host::{BindError, Host};
use super::ids::StreamId;
use super::media::PortSet;
use super::options::Family;
use super::party::PartyId;
use super::ports::{PlaceId, Ports};
use super::reply::Error;
use crate::wire::time::Timestamp;

/// What a change of a call has at hand.
pub(super) struct Sockets<'a> {
    pub(super) settings: &'a Settings,
    pub(super) ports: &'a mut Ports,
    pub(super) host: &'a mut dyn Host,
    pub(super) next_stream: &'a mut u64,
    pub(super) now: Timestamp,
    /// Opened so far.
    pub(super) opened: Vec<Opened>,
    /// Bound and not wanted after all: to be closed in any case.
    pub(super) spoilt: Vec<StreamId>,
}

/// A pair of sockets that was opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) place: PlaceId,
    pub(super) port: u16,
    pub(super) rtp: StreamId,
    pub(super) rtcp: StreamId,
}

impl Opened {
    /// The pair of a set.
    pub(super) const fn of(set: &PortSet) -> Self {
        Self {
            place: set.place,
            port: set.port,
            rtp: set.rtp,
            rtcp: set.rtcp,
        }
    }
}

/// Sockets that are wanted towards a leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// The leg that they face, by index.
    pub(super) owner: usize,
    /// The place of the media.
    pub(super) media: usize,
    /// The peer whose packets go out of them.
    pub(super) peer: PartyId,
    /// The peer's endpoint; `None` if it is not known.
    pub(super) key: Option<SocketAddr>,
    /// Interface that faces the leg.
    pub(super) interface: u16,
    /// Family that is asked for; `None`: as it is, else `fallback`.
    pub(super) family: Option<Family>,
    /// Family of new sockets if none is asked for.
    pub(super) fallback: Family,
    /// What happens if the peer's endpoint has changed.
    pub(super) renewal: Renewal,
}

/// What happens to ports when the endpoint that they stand for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Other ports take over: late packets of the old stream cannot mix in.
    Renew,
    /// The ports stay, and stand for the new endpoint from now on.
    Latch,
    /// The ports stay, and go on standing for the old endpoint: it is on hold.
    Keep,
    /// Other ports in any case.
    Always,
}

impl Sockets<'_> {
    /// Sees to it that the sockets that are wanted are there and current.
    pub(super) fn ensure(&mut self, draft: &mut Call, want: &Want) -> Result<(), Error> {
        let media = &mut draft.parties[want.owner].medias[want.media];
        if let Some(set) = media.current_mut(want.peer) {
            let family = want.family.unwrap_or(set.family);
            let fits = self.ports.interface_of(set.place) == want.interface
                && (set.family == family || !self.has(want.interface, family));
            let same = set.key.is_none() || want.key.is_none() || set.key == want.key;
            let stays = same || matches!(want.renewal, Renewal::Latch | Renewal::Keep);
            if fits && stays && want.renewal != Renewal::Always {
                if set.key.is_none() || want.renewal != Renewal::Keep {
                    set.key = want.key.or(set.key);
                }
                return Ok(());
            }
            set.retired = Some(self.now + self.settings.port_linger);
            let want = Want {
                family: Some(family),
                ..*want
            };
            if want.renewal != Renewal::Always && self.revive(draft, &want) {
                return Ok(());
            }
            return self.open(draft, &want);
        }
        self.open(draft, want)
    }

    /// Takes retired sockets that stood for the same endpoint into use again.
    fn revive(&self, draft: &mut Call, want: &Want) -> bool {
        let media = &mut draft.parties[want.owner].medias[want.media];
        let fits = |set: &&mut PortSet| {
            set.peer == want.peer
                && set.key == want.key
                && set.key.is_some()
                && set.retired.is_some()
                && self.ports.interface_of(set.place) == want.interface
                && want.family.is_none_or(|family| family == set.family)
        };
        match media.sets.iter_mut().find(fits) {
            Some(set) => {
                set.retired = None;
                true
            }
            None => false,
        }
    }

    fn has(&self, interface: u16, family: Family) -> bool {
        let places = self.ports.places(interface, family);
        places.iter().any(|&p| self.ports.family(p) == family)
    }

    /// Opens a pair and puts it first. Of the retired ones the oldest goes if there are too many,
    /// and those that need not linger go at once.
    fn open(&mut self, draft: &mut Call, want: &Want) -> Result<(), Error> {
        let family = want.family.unwrap_or(want.fallback);
        let opened = self.bind(draft, want.interface, family)?;
        let sets = &mut draft.parties[want.owner].medias[want.media].sets;
        let of_peer = |set: &&PortSet| set.peer == want.peer;
        sets.retain(|set| set.retired.is_none_or(|at| at > self.now));
        if sets.iter().filter(of_peer).count() >= MAX_SETS {
            let oldest = sets.iter().filter(of_peer).filter_map(|s| s.retired).min();
            let victim = sets
                .iter()
                .position(|s| s.peer == want.peer && s.retired.is_some() && s.retired == oldest);
            if let Some(victim) = victim {
                sets.remove(victim);
            }
        }
        sets.reserve_exact(1);
        sets.push(PortSet {
            peer: want.peer,
            key: want.key,
            place: opened.place,
            family: self.ports.family(opened.place),
            port: opened.port,
            rtp: opened.rtp,
            rtcp: opened.rtcp,
            retired: None,
            known: [None; 2],
            told: None,
        });
        Ok(())
    }

    /// Binds a pair on the call's address of this interface and family. A call that has none yet
    /// takes the address with most free ports, or the next one if that fails.
    pub(super) fn bind(
        &mut self,
        draft: &mut Call,
        interface: u16,
        family: Family,
    ) -> Result<Opened, Error> {
        let candidates = self.ports.places(interface, family);
        let chosen = candidates.iter().find(|p| draft.places.contains(p));
        if let Some(&place) = chosen {
            return self.bind_at(place, draft.tos);
        }
        for place in candidates {
            if let Ok(opened) = self.bind_at(place, draft.tos) {
                draft.places.push(place);
                return Ok(opened);
            }
        }
        Err(Error::OutOfPorts)
    }

    /// Binds a pair on an address: the even port, then the odd one. Ports that another program
    /// has are passed over, a bounded number of times.
    fn bind_at(&mut self, place: PlaceId, tos: Option<u8>) -> Result<Opened, Error> {
        let address = self.ports.address(place).bind;
        for _ in 0..self.ports.free(place).min(MAX_TRIES) {
            let port = self.ports.take(place).ok_or(Error::OutOfPorts)?;
            let (rtp, rtcp) = (self.stream(), self.stream());
            let mut bound = self.host.bind(rtp, SocketAddr::new(address, port), tos);
            if bound.is_ok() {
                let odd = SocketAddr::new(address, port.saturating_add(1));
                bound = self.host.bind(rtcp, odd, tos);
                if bound.is_err() {
                    self.spoilt.push(rtp);
                }
            }
            match bound {
                Ok(()) => {
                    let opened = Opened {
                        place,
                        port,
                        rtp,
                        rtcp,
                    };
                    self.opened.push(opened);
                    return Ok(opened);
                }
                Err(BindError::InUse) => self.ports.give_back(place, port),
                Err(BindError::Failed) => {
                    self.ports.give_back(place, port);
                    return Err(Error::OutOfPorts);
                }
            }
        }
        Err(Error::OutOfPorts)
    }

    fn stream(&mut self) -> StreamId {
        *self.next_stream += 1;
        StreamId(*self.next_stream)
    }
}

/// Pairs towards one peer that a media has at most, retired ones included.
const MAX_SETS: usize = 4;
/// Ports that are tried for one pair.
const MAX_TRIES: usize = 32;
