//! The medias of an offer or answer, one by one: what is declared, which sockets face which
//! side, and how the m-line is written for the receiver (NG reference 9.1, 12.3, 12.4).

use super::call::Call;
use super::exchange::Kind;
use super::media::{Declared, State};
use super::reply::Error;
use super::request::Exchange;
use super::rewrite::{self, Action, Kept, MediaPlan, Offered};
use super::sockets::Sockets;
use crate::wire::sdp::{self, Profile, Session};

/// One message being worked in.
pub(super) struct Turn<'a, 'm> {
    pub(super) draft: &'a mut Call,
    pub(super) message: &'m Exchange,
    pub(super) session: &'m Session<'m>,
    pub(super) kind: Kind,
    /// The leg whose SDP it is, by index.
    pub(super) sender: usize,
    /// The leg that the SDP goes on to, by index.
    pub(super) receiver: usize,
}

impl<'m> Turn<'_, 'm> {
    /// Works all medias in, and tells how each is to be written.
    ///
    /// Medias are paired by position. What an offer leaves out that was there before, and what
    /// an answer leaves out, is dead; what an answer adds was never offered and is refused.
    pub(super) fn negotiate(
        &mut self,
        sockets: &mut Sockets<'_>,
    ) -> Result<Vec<MediaPlan<'m>>, Error> {
        let came = self.session.medias.len();
        let count = match self.kind {
            Kind::Offer => came.max(self.draft.parties[self.sender].medias.len()),
            Kind::Answer => self.draft.parties[self.receiver].medias.len(),
        };
        self.draft.parties[self.sender].grow_medias(count);
        self.draft.parties[self.receiver].grow_medias(count);
        let offered_sdp = match self.kind {
            Kind::Offer => None,
            Kind::Answer => self.draft.parties[self.receiver].sdp.clone(),
        };
        let offered = match &offered_sdp {
            Some(body) => Some(rewrite::parse(body)?),
            None => None,
        };
        let mut plans = Vec::with_capacity(came);
        for index in 0..count.max(came) {
            let offer = offered
                .as_ref()
                .and_then(|session| session.medias.get(index));
            let plan = if index < count {
                self.media(index, offer, sockets)?
            } else {
                MediaPlan::reject(self.zero())
            };
            if index < came {
                plans.push(plan);
            }
        }
        Ok(plans)
    }

    fn media(
        &mut self,
        index: usize,
        offer: Option<&sdp::Media<'_>>,
        sockets: &mut Sockets<'_>,
    ) -> Result<MediaPlan<'m>, Error> {
        let came = self.session.medias.get(index);
        let kept = came.map_or(Kept::All, |came| self.kept(came, offer));
        let state = self.state_of(index, came, &kept)?;
        let peer = self.draft.parties[self.receiver].id;
        let own = &mut self.draft.parties[self.sender].medias[index];
        if let Some(came) = came {
            (own.kind, own.profile) = (came.media_kind(), came.profile);
        }
        own.window = own.window.wrapping_add(1);
        own.tell(peer, state);
        let (kind, profile, declared) = (own.kind, own.profile, own.declared().cloned());
        let (Some(came), Some(declared)) = (came, declared) else {
            let bypassed = own.state == State::Bypassed;
            own.release(peer);
            return Ok(self.drop_media(index, bypassed));
        };
        if self.kind == Kind::Offer {
            let other = &mut self.draft.parties[self.receiver].medias[index];
            let same = other.kind == kind && other.is_rtp() == came.is_rtp();
            if !same || other.declared().is_none() {
                // A place that is used for something else (RFC 3264 8.2): what the receiver said
                // of it is void.
                other.state = State::Unknown;
                (other.kind, other.profile) = (kind, profile);
            }
        }
        let protocol = self.protocol(came, index)?;
        let mux = self.agree_on_mux(index, came);
        self.ensure_sockets(index, &declared, sockets)?;
        Ok(self.relay_plan(index, mux, kept, protocol, sockets.ports))
    }

    /// The media is not carried: its sockets go, the place stays.
    fn drop_media(&mut self, index: usize, bypassed: bool) -> MediaPlan<'m> {
        let sender = self.draft.parties[self.sender].id;
        let zero = self.zero();
        let receiver = &mut self.draft.parties[self.receiver];
        let alone = receiver.peers.len() <= 1;
        let media = &mut receiver.medias[index];
        media.release(sender);
        if alone && self.kind == Kind::Offer {
            // What the receiver said of it is void; it will answer this offer.
            media.state = State::Unknown;
        }
        let mut plan = MediaPlan::reject(zero);
        if bypassed {
            plan.action = Action::AsItCame;
        }
        plan
    }

    /// The formats that go on: an answer hands back only what was offered (NG reference 9.1).
    fn kept(&self, came: &sdp::Media<'_>, offer: Option<&sdp::Media<'_>>) -> Kept {
        let offered = offer.filter(|offer| offer.is_rtp()).map(Offered::of);
        Kept::of(came, offered.as_ref(), &self.message.options.codec_strip)
    }

    /// What the sender's SDP says of a media.
    fn state_of(
        &self,
        index: usize,
        came: Option<&sdp::Media<'_>>,
        kept: &Kept,
    ) -> Result<State, Error> {
        let Some(came) = came else {
            return Ok(State::Rejected);
        };
        let stream_protocol = came
            .protocol
            .get(..3)
            .is_some_and(|word| word.eq_ignore_ascii_case("tcp"));
        let mut action = Action::of(came, &self.message.options);
        if action == Action::Relay && stream_protocol {
            action = Action::AsItCame;
        }
        if self.kind == Kind::Answer {
            let offered = &self.draft.parties[self.receiver].medias[index];
            if action == Action::Relay && offered.is_rtp() != came.is_rtp() {
                action = Action::Reject;
            }
            match offered.state {
                State::Rejected => action = Action::Reject,
                State::Bypassed if action == Action::Relay => action = Action::AsItCame,
                State::Bypassed | State::Live(_) | State::Unknown => {}
            }
        }
        match action {
            Action::Reject => Ok(State::Rejected),
            Action::AsItCame => Ok(State::Bypassed),
            Action::Relay if kept.is_empty() => Ok(State::Rejected),
            Action::Relay => self.declared(came).map(State::Live),
        }
    }

    fn declared(&self, came: &sdp::Media<'_>) -> Result<Declared, Error> {
        let options = &self.message.options;
        let mut rtp = came.endpoint(self.session).ok_or(Error::IncompleteSdp)?;
        let mut rtcp = came.rtcp_endpoint(self.session).filter(|_| came.is_rtp());
        let held = came.is_held(self.session);
        let source = options
            .received_from
            .filter(|_| options.sip_source_address && !held);
        if let Some(source) = source {
            let declared = rtp.ip();
            rtp.set_ip(source);
            if let Some(rtcp) = rtcp.as_mut().filter(|rtcp| rtcp.ip() == declared) {
                rtcp.set_ip(source);
            }
        }
        let clock = came.codecs().first().map_or(0, |codec| codec.clock);
        Ok(Declared {
            rtp,
            rtcp,
            direction: came.direction(self.session),
            held,
            clock_rate: if clock == 0 { DEFAULT_CLOCK } else { clock },
        })
    }

    /// The protocol word for the receiver: in an offer what was asked for, in an answer what the
    /// receiver has offered. A change that needs encryption is refused (NG reference 12.6).
    fn protocol(&self, came: &sdp::Media<'_>, index: usize) -> Result<Option<&'m str>, Error> {
        if !came.is_rtp() {
            return Ok(None);
        }
        let word = match self.kind {
            Kind::Offer => self.message.options.transport_protocol.as_deref(),
            Kind::Answer => word(self.draft.parties[self.receiver].medias[index].profile),
        };
        if word.is_some_and(|word| !came.profile.passes_as(Profile::of(word))) {
            return Err(Error::Unsupported("SRTP"));
        }
        Ok(word)
    }
}

const fn word(profile: Profile) -> Option<&'static str> {
    match profile {
        Profile::Avp => Some("RTP/AVP"),
        Profile::Avpf => Some("RTP/AVPF"),
        Profile::Savp => Some("RTP/SAVP"),
        Profile::Savpf => Some("RTP/SAVPF"),
        Profile::TlsSavp => Some("UDP/TLS/RTP/SAVP"),
        Profile::TlsSavpf => Some("UDP/TLS/RTP/SAVPF"),
        Profile::Other => None,
    }
}

const DEFAULT_CLOCK: u32 = 8000;
