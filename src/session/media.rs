//! One media of a leg: what its SDP declares, and the sockets that face it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::ids::StreamId;
use super::options::Family;
use super::party::PartyId;
use super::ports::PlaceId;
use crate::wire::block::MediaKind;
use crate::wire::sdp;
use crate::wire::time::Timestamp;

/// One media of a leg, in the place of its m-line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Media {
    /// What an agreement can name it.
    pub(super) kind: MediaKind,
    /// Protocol of the m-line; what is not RTP goes as datagrams on the even port.
    pub(super) profile: sdp::Profile,
    /// What the leg's SDP says.
    pub(super) state: State,
    /// Generation of the learning window.
    pub(super) window: u32,
    /// rtcp-mux as negotiated with the leg.
    pub(super) mux: Mux,
    /// Sockets that face the leg: current ones and, for a while, retired ones.
    pub(super) sets: Vec<PortSet>,
}

impl Media {
    /// A media that the leg has said nothing about.
    pub(super) fn unknown() -> Self {
        Self {
            kind: MediaKind::Other,
            profile: sdp::Profile::Avp,
            state: State::Unknown,
            window: 0,
            mux: Mux::default(),
            sets: Vec::new(),
        }
    }

    /// RTP with RTCP.
    pub(super) fn is_rtp(&self) -> bool {
        self.profile != sdp::Profile::Other
    }

    /// What the leg declared, if the media lives.
    pub(super) const fn declared(&self) -> Option<&Declared> {
        match &self.state {
            State::Live(declared) => Some(declared),
            State::Unknown | State::Rejected | State::Bypassed => None,
        }
    }

    /// The sockets in use towards the leg for packets of this peer.
    pub(super) fn current(&self, peer: PartyId) -> Option<&PortSet> {
        self.sets
            .iter()
            .find(|set| set.peer == peer && set.retired.is_none())
    }

    /// The same, to change it.
    pub(super) fn current_mut(&mut self, peer: PartyId) -> Option<&mut PortSet> {
        self.sets
            .iter_mut()
            .find(|set| set.peer == peer && set.retired.is_none())
    }

    /// What the leg has declared to the peer of these sockets.
    pub(super) fn declared_to<'a>(&'a self, set: &'a PortSet) -> Option<&'a Declared> {
        let declared = self.declared()?;
        Some(set.told.as_deref().unwrap_or(declared))
    }

    /// The leg declares something to this peer: the others keep what they were told before.
    pub(super) fn tell(&mut self, peer: PartyId, state: State) {
        if let (State::Live(former), State::Live(now)) = (&self.state, &state)
            && former != now
        {
            for set in self.sets.iter_mut().filter(|set| set.peer != peer) {
                set.told.get_or_insert_with(|| Box::new(former.clone()));
            }
        }
        for set in self.sets.iter_mut().filter(|set| set.peer == peer) {
            set.told = None;
        }
        self.state = state;
    }

    /// Forgets the sockets that belong to this peer; the commit closes them.
    pub(super) fn release(&mut self, peer: PartyId) {
        self.sets.retain(|set| set.peer != peer);
        self.sets.shrink_to_fit();
    }
}

/// What a leg's SDP says about a media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Nothing yet.
    Unknown,
    /// It is in use, or on hold.
    Live(Declared),
    /// Port 0, or left out of the answer.
    Rejected,
    /// Not carried by the relay: MSRP, passed-through ICE (NG reference 12.5).
    Bypassed,
}

/// The facts of a media in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Declared {
    /// Where it takes RTP (or datagrams).
    pub(super) rtp: SocketAddr,
    /// Where it takes RTCP if that is not multiplexed; `None` for media that is not RTP.
    pub(super) rtcp: Option<SocketAddr>,
    /// It sends and receives, as far as SDP says.
    pub(super) direction: sdp::Direction,
    /// On hold by a zero address.
    pub(super) held: bool,
    /// Clock rate of the first codec in Hz; 8000 if not stated.
    pub(super) clock_rate: u32,
}

impl Declared {
    /// The address to send RTP or RTCP to out of a socket of this family.
    pub(super) fn remote(&self, half: Half, family: Family, mux: bool) -> Option<SocketAddr> {
        let address = match half {
            Half::Rtp => self.rtp,
            Half::Rtcp if mux => return None,
            Half::Rtcp => self.rtcp?,
        };
        let usable = !address.ip().is_unspecified() && Family::of(address.ip()) == family;
        usable.then_some(address)
    }
}

/// Which socket of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// The even one.
    Rtp,
    /// The odd one.
    Rtcp,
}

/// rtcp-mux between us and a leg (RFC 5761 5.1.1, NG reference 12.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mux {
    /// In force: RTCP shares the RTP port.
    pub(super) agreed: bool,
    /// The leg's offer has it.
    pub(super) wanted: bool,
    /// We have offered it to the leg.
    pub(super) offered: bool,
    /// What we tell the leg whatever its peer says; `None`: the peer decides.
    pub(super) verdict: Option<bool>,
}

/// An even and an odd socket that face a leg, and carry to it what one peer sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PortSet {
    /// The peer whose packets go out of here.
    pub(super) peer: PartyId,
    /// The peer's endpoint that these ports stand for; `None` until it is known.
    pub(super) key: Option<SocketAddr>,
    /// Local address.
    pub(super) place: PlaceId,
    /// Its family.
    pub(super) family: Family,
    /// The even port.
    pub(super) port: u16,
    /// What arrives on the even port.
    pub(super) rtp: StreamId,
    /// What arrives on the odd port.
    pub(super) rtcp: StreamId,
    /// To be closed then; replaced by other ports.
    pub(super) retired: Option<Timestamp>,
    /// Where the peers of the two streams were before the process was restarted.
    #[serde(default)]
    pub(super) known: [Option<SocketAddr>; 2],
    /// What the leg has declared to this peer, if it has told another one something else since: a
    /// conference focus has an address for each member.
    pub(super) told: Option<Box<Declared>>,
}

impl PortSet {
    /// The streams with their halves.
    pub(super) const fn halves(&self) -> [(Half, StreamId); 2] {
        [(Half::Rtp, self.rtp), (Half::Rtcp, self.rtcp)]
    }

    /// Where the peer of a stream was before a restart.
    pub(super) const fn known(&self, half: Half) -> Option<SocketAddr> {
        match half {
            Half::Rtp => self.known[0],
            Half::Rtcp => self.known[1],
        }
    }
}
