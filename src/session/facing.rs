//! For one media of a message: the sockets on both sides, rtcp-mux, and what is written
//! (NG reference 9.1, 12.3, 12.4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::exchange::Kind;
use super::media::{Declared, Media, PortSet};
use super::negotiate::Turn;
use super::options::{Family, Options, RtcpMux};
use super::ports::Ports;
use super::reply::Error;
use super::rewrite::{Kept, MediaPlan, Mux};
use super::sockets::{Renewal, Sockets, Want};
use crate::wire::sdp;

impl<'m> Turn<'_, 'm> {
    /// Opens, keeps or renews the sockets that face the receiver (they stand for the sender's
    /// endpoint and are written now), and those that face the sender (written in the other half).
    pub(super) fn ensure_sockets(
        &mut self,
        index: usize,
        declared: &Declared,
        sockets: &mut Sockets<'_>,
    ) -> Result<(), Error> {
        let options = &self.message.options;
        let reset = options.reset && self.kind == Kind::Offer;
        let [sender, receiver] = [self.sender, self.receiver].map(|leg| &self.draft.parties[leg]);
        let sender_family = Family::of(declared.rtp.ip());
        let theirs = receiver.medias[index].declared();
        let receiver_family = theirs.map_or(sender_family, |theirs| Family::of(theirs.rtp.ip()));
        let current = receiver.medias[index].current(sender.id);
        let towards_receiver = Want {
            owner: self.receiver,
            media: index,
            peer: sender.id,
            key: key(declared.rtp, current),
            interface: receiver.interface,
            family: options.address_family,
            fallback: receiver_family,
            renewal: match reset {
                true => Renewal::Always,
                false => renewal(options, declared, &receiver.medias[index]),
            },
        };
        let towards_sender = Want {
            owner: self.sender,
            media: index,
            peer: receiver.id,
            key: theirs
                .map(|theirs| theirs.rtp)
                .filter(|rtp| !rtp.ip().is_unspecified()),
            interface: sender.interface,
            // In an answer they have been written already; an offerer may have moved.
            family: (self.kind == Kind::Offer && !declared.rtp.ip().is_unspecified())
                .then_some(sender_family),
            fallback: sender_family,
            renewal: match reset {
                true => Renewal::Always,
                false => Renewal::Keep,
            },
        };
        sockets.ensure(self.draft, &towards_receiver)?;
        sockets.ensure(self.draft, &towards_sender)
    }

    /// Negotiates rtcp-mux on both sides, and tells what is written (RFC 5761 5.1.1).
    pub(super) fn agree_on_mux(&mut self, index: usize, came: &sdp::Media<'_>) -> Mux {
        if !came.is_rtp() {
            return Mux::Off;
        }
        let rules = self.message.options.rtcp_mux;
        let has = came.rtcp_mux();
        let own = &mut self.draft.parties[self.sender].medias[index].mux;
        match self.kind {
            Kind::Offer => {
                own.wanted = has;
                own.verdict = verdict(rules);
                own.agreed &= has;
                let on = rules.offer || (has && !rules.demux && !rules.reject);
                let other = &mut self.draft.parties[self.receiver].medias[index].mux;
                other.offered = on || rules.require;
                if rules.require {
                    other.agreed = true;
                    return Mux::Agreed;
                }
                if on { Mux::Offered } else { Mux::Off }
            }
            Kind::Answer => {
                own.agreed = has && own.offered;
                let taken = own.agreed;
                let other = &mut self.draft.parties[self.receiver].medias[index].mux;
                let rule = verdict(rules).or(other.verdict);
                other.agreed = other.wanted && rule.unwrap_or(taken);
                if other.agreed { Mux::Agreed } else { Mux::Off }
            }
        }
    }

    /// How a relayed media is written.
    pub(super) fn relay_plan(
        &self,
        index: usize,
        mux: Mux,
        kept: Kept,
        protocol: Option<&'m str>,
        ports: &Ports,
    ) -> MediaPlan<'m> {
        let sender = self.draft.parties[self.sender].id;
        let media = &self.draft.parties[self.receiver].medias[index];
        let Some(set) = media.current(sender) else {
            return MediaPlan::reject(self.zero());
        };
        let mut plan = MediaPlan::relay(ports.address(set.place).advertised, set.port);
        plan.mux = mux;
        plan.kept = kept;
        plan.protocol = protocol;
        plan
    }

    /// Our address in `o=`: that of the sockets that face the receiver.
    pub(super) fn origin_address(&self, ports: &Ports) -> IpAddr {
        let (sender, receiver) = (self.sender, &self.draft.parties[self.receiver]);
        let sender = self.draft.parties[sender].id;
        let mut current = receiver
            .medias
            .iter()
            .filter_map(|media| media.current(sender));
        if let Some(set) = current.next() {
            return ports.address(set.place).advertised;
        }
        let family = self.message.options.address_family.unwrap_or(Family::Ip4);
        let place = ports.places(receiver.interface, family).first().copied();
        place.map_or_else(|| self.zero(), |place| ports.address(place).advertised)
    }

    /// The zero address for what is not relayed.
    pub(super) const fn zero(&self) -> IpAddr {
        match self.message.options.address_family {
            Some(Family::Ip6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            Some(Family::Ip4) | None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

/// The endpoint that sockets stand for. A zero address on the same port is a hold: the sockets
/// go on standing for what they stood for.
fn key(declared: SocketAddr, current: Option<&PortSet>) -> Option<SocketAddr> {
    let other_port = || {
        let key = current.and_then(|set| set.key);
        key.is_some_and(|key| key.port() != declared.port())
    };
    (!declared.ip().is_unspecified() || other_port()).then_some(declared)
}

/// What happens to the receiver's ports if the sender's endpoint has changed (NG reference 9.1).
fn renewal(options: &Options, declared: &Declared, receiver: &Media) -> Renewal {
    let on_hold = |theirs: &Declared| theirs.held || !theirs.direction.receives();
    match options.port_latching {
        Some(true) if declared.held => Renewal::Keep,
        Some(true) => Renewal::Latch,
        Some(false) => Renewal::Renew,
        None if receiver.declared().is_some_and(on_hold) => Renewal::Latch,
        None => Renewal::Renew,
    }
}

/// What the rules say of the offerer's wish, before its peer is asked.
const fn verdict(rules: RtcpMux) -> Option<bool> {
    if rules.reject {
        Some(false)
    } else if rules.demux || rules.accept {
        Some(true)
    } else {
        None
    }
}
