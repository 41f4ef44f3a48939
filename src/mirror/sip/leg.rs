//! One home leg: its m-lines, and where its dialog stands.

use super::answer::Taken;
use super::{Lane, Offer, Remote, answer, offer};
use crate::wire::sdp::MAX_MEDIAS;
use crate::wire::sip::{Dialog, Hop, Method, Request, TxId};
use crate::wire::time::Timestamp;

/// One home leg.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) home: u64,
    pub(super) hop: Hop,
    pub(super) dialog: Option<Dialog>,
    /// The INVITE that is not answered yet.
    pub(super) invite: Option<Invite>,
    /// What is to be offered next.
    pub(super) next: Option<Offer>,
    /// When `next` may be offered again, after glare.
    pub(super) retry: Option<Timestamp>,
    /// Nobody wants it any more.
    pub(super) closing: bool,
    /// Number of the last INVITE.
    pub(super) cseq: u32,
    /// Our tag.
    pub(super) tag: String,
    call_id: String,
    session: u64,
    version: u64,
    /// The m-lines as last agreed on, and whether each is in use.
    slots: Vec<(Lane, bool)>,
    /// Where they go.
    taken: Vec<Taken>,
}

/// An INVITE on its way.
#[derive(Debug)]
pub(super) struct Invite {
    pub(super) tx: TxId,
    pub(super) request: Request,
    pub(super) until: Timestamp,
    pub(super) offer: Offer,
    slots: Vec<(Lane, bool)>,
}

impl Leg {
    pub(super) fn new(home: u64, hop: Hop, call_id: String, tag: String, now: Timestamp) -> Self {
        Self {
            home,
            hop,
            dialog: None,
            invite: None,
            next: None,
            retry: None,
            closing: false,
            cseq: 0,
            tag,
            call_id,
            session: now.secs(),
            version: 0,
            slots: Vec::new(),
            taken: Vec::new(),
        }
    }

    pub(super) fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The INVITE for an offer with its m-lines: the first one, or one within the dialog. `None` if
    /// there are too many m-lines.
    pub(super) fn invite(&mut self, offer: &Offer, system: &str) -> Option<Proposal> {
        let slots = self.arrange(&offer.lanes)?;
        self.version += 1;
        let body = offer::write(offer, &slots, self.session, self.version);
        let mut request = match &mut self.dialog {
            Some(dialog) => dialog.request(Method::Invite),
            None => self.first(system),
        };
        self.cseq = request.cseq;
        let info = &offer.info;
        request.contact = Some(format!("sip:homeward@{}", self.hop.local));
        request.headers = vec![
            (
                "Subject",
                format!("{} of {}", info.call_id, info.relay_system),
            ),
            ("Allow", ALLOW.to_owned()),
            ("Accept", "application/sdp".to_owned()),
            ("User-Agent", USER_AGENT.to_owned()),
        ];
        request.body = Some(("application/sdp", body));
        Some(Proposal { request, slots })
    }

    /// Notes an INVITE that was sent.
    pub(super) fn sent(&mut self, tx: TxId, offer: Offer, proposal: Proposal, until: Timestamp) {
        let Proposal { request, slots } = proposal;
        self.invite = Some(Invite {
            tx,
            request,
            until,
            offer,
            slots,
        });
    }

    /// Takes the anchor's answer over: what was offered is what holds.
    pub(super) fn answered(&mut self, invite: Invite, body: &[u8]) -> Result<(), String> {
        self.taken = answer::read(body, &invite.slots)?;
        self.slots = invite.slots;
        Ok(())
    }

    /// Where the lanes go that the anchor has taken.
    pub(super) fn lanes(&self) -> Vec<(String, Remote)> {
        let taken = self.taken.iter();
        let taken = taken.filter_map(|(label, remote)| Some((label.clone(), (*remote)?)));
        taken.collect()
    }

    fn first(&self, system: &str) -> Request {
        Request {
            method: Method::Invite,
            uri: format!("sip:anchor@{}", self.hop.peer),
            routes: Vec::new(),
            from: format!("<sip:homeward@{system}>;tag={}", self.tag),
            to: format!("<sip:anchor@{}>", self.hop.peer),
            call_id: self.call_id.clone(),
            cseq: 1,
            contact: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Lanes keep their m-line for life; one that has gone leaves it to a later one
    /// (RFC 3264 8.1, 8.2).
    fn arrange(&self, lanes: &[Lane]) -> Option<Vec<(Lane, bool)>> {
        let mut slots: Vec<(Lane, bool)> = self.slots.clone();
        for slot in &mut slots {
            match lanes
                .iter()
                .find(|lane| slot.1 && lane.label == slot.0.label)
            {
                Some(lane) => slot.0 = lane.clone(),
                None => slot.1 = false,
            }
        }
        for lane in lanes {
            if slots
                .iter()
                .any(|(old, live)| *live && old.label == lane.label)
            {
                continue;
            }
            match slots.iter_mut().find(|(_, live)| !live) {
                Some(slot) => *slot = (lane.clone(), true),
                None => slots.push((lane.clone(), true)),
            }
        }
        (!slots.is_empty() && slots.len() <= MAX_MEDIAS).then_some(slots)
    }
}

/// An INVITE to be sent.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) request: Request,
    slots: Vec<(Lane, bool)>,
}

/// What we take.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS";
pub(super) const USER_AGENT: &str = concat!("homeward/", env!("CARGO_PKG_VERSION"));
