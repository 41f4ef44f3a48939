//! The SIP side: which calls are taken, changed and ended.

use std::collections::HashMap;
use std::time::Duration;

use super::call::Call;
use super::offer::{self, Offer};
use super::{Counts, Failure, Settings};
use crate::logger::service::{Handle, MirrorKey};
use crate::wire::sip::{
    Agent, Dialog, Event, Hop, Message, Method, Response, Transactions, Transmit, TxId,
};
use crate::wire::time::Timestamp;

/// The anchor.
#[derive(Debug)]
pub struct Anchor {
    settings: Settings,
    handle: Handle,
    transactions: Transactions,
    /// By our tag.
    calls: HashMap<String, Call>,
    /// Names this run among those that open recordings.
    run: String,
    next: u64,
    /// Where to look for the next free ports.
    cursor: u16,
    /// When silence is looked for.
    round: Timestamp,
    counts: Counts,
}

impl Anchor {
    /// An anchor that records at this logger.
    pub fn new(settings: Settings, handle: Handle) -> Self {
        let limit = settings.max_calls.saturating_mul(4).max(64);
        let mut transactions = Transactions::new(settings.secret, settings.timing, limit);
        Self {
            run: format!("anchor-{}", transactions.word()),
            transactions,
            cursor: settings.ports.0,
            settings,
            handle,
            calls: HashMap::new(),
            next: 0,
            round: Timestamp::default(),
            counts: Counts::default(),
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        Counts {
            open: self.calls.len() as u64,
            unreadable: self.transactions.counts.unreadable,
            ..self.counts
        }
    }

    fn events(&mut self, now: Timestamp) {
        while let Some(event) = self.transactions.poll_event() {
            match event {
                Event::Request { tx, hop, message } => {
                    let response = self.judge(tx, hop, &message, now);
                    self.transactions.respond(tx, &response, now);
                }
                Event::Ack { message } => self.acknowledged(&message, now),
                Event::Unacknowledged { tx } => self.unacknowledged(tx, now),
                // To our BYE: nobody waits for it.
                Event::Response { .. } | Event::TimedOut { .. } => {}
            }
        }
    }

    fn judge(&mut self, tx: TxId, hop: Hop, message: &Message, now: Timestamp) -> Response {
        let method = message.method().cloned().unwrap_or(Method::Options);
        if message.max_forwards == Some(0) && method == Method::Invite {
            return Response::new(483, "Too Many Hops");
        }
        let Some(tag) = &message.to_tag else {
            return match method {
                Method::Options => allowing(200, "OK"),
                Method::Invite => self.invited(tx, hop, message, now),
                Method::Bye => gone(),
                Method::Ack | Method::Cancel | Method::Other(_) => {
                    allowing(405, "Method Not Allowed")
                }
            };
        };
        let call = self.calls.get_mut(tag);
        let Some(call) = call.filter(|call| call.dialog.owns(message)) else {
            return gone();
        };
        if !call.dialog.takes(message) {
            return Response::new(500, "CSeq out of order");
        }
        call.heard = now;
        match method {
            Method::Bye => {
                let tag = tag.clone();
                self.end(&tag, now);
                Response::new(200, "OK")
            }
            Method::Invite => self.changed(tx, hop, message, now),
            Method::Options => allowing(200, "OK"),
            Method::Ack | Method::Cancel | Method::Other(_) => allowing(405, "Method Not Allowed"),
        }
    }

    /// A new call.
    fn invited(&mut self, tx: TxId, hop: Hop, invite: &Message, now: Timestamp) -> Response {
        if self.calls.len() >= self.settings.max_calls {
            return self.refuse(Failure::Full, 503, "Too many calls");
        }
        // The same call by another way (RFC 3261 8.2.2.2).
        let merged = self.calls.values().any(|call| {
            call.dialog.call_id == invite.call_id
                && Some(&call.dialog.remote_tag) == invite.from_tag.as_ref()
        });
        if merged {
            return self.refuse(
                Failure::Loop,
                482,
                "Loop Detected: this call is here already",
            );
        }
        let offer = match self.offer(invite, now) {
            Ok(offer) => offer,
            Err(refusal) => return *refusal,
        };
        let tag = self.transactions.word();
        let Some(dialog) = Dialog::of_invite(invite, &tag, hop) else {
            return self.refuse(
                Failure::BadOffer,
                400,
                "From has no tag, or Contact is missing",
            );
        };
        let key = MirrorKey {
            relay: self.run.clone(),
            mirror: self.next,
        };
        self.next += 1;
        let mut call = Call::new(dialog, key, now);
        let (handle, settings) = (&self.handle, &self.settings);
        let answer = call.take(offer, handle, settings, &mut self.cursor);
        if call.lanes() == 0 {
            call.close(&self.handle);
            return self.refuse(Failure::Full, 488, "No lane of the offer can be taken");
        }
        call.unacknowledged = Some((tx, invite.cseq));
        self.counts.taken += 1;
        self.calls.insert(tag.clone(), call);
        accept(hop, &tag, answer.unwrap_or_default())
    }

    /// Lanes come, go, or change; if the offer is no good, all stays as it was.
    fn changed(&mut self, tx: TxId, hop: Hop, invite: &Message, now: Timestamp) -> Response {
        let offer = match self.offer(invite, now) {
            Ok(offer) => offer,
            Err(refusal) => return *refusal,
        };
        let tag = invite.to_tag.clone().unwrap_or_default();
        let Some(call) = self.calls.get_mut(&tag) else {
            return gone();
        };
        if call.unacknowledged.is_some() {
            return Response::new(491, "Request Pending");
        }
        let (handle, settings) = (&self.handle, &self.settings);
        let Some(answer) = call.take(offer, handle, settings, &mut self.cursor) else {
            return self.refuse(Failure::BadOffer, 488, "Fewer m-lines than before");
        };
        call.dialog.refresh(invite, hop.peer);
        call.unacknowledged = Some((tx, invite.cseq));
        accept(hop, &tag, answer)
    }

    /// The offer of an INVITE, or why it is refused.
    fn offer(&mut self, invite: &Message, now: Timestamp) -> Result<Offer, Box<Response>> {
        if !invite.require.is_empty() {
            let mut refusal = self.refuse(Failure::BadOffer, 420, "Bad Extension");
            refusal
                .headers
                .push(("Unsupported", invite.require.join(", ")));
            return Err(Box::new(refusal));
        }
        if invite.content_type.as_deref() != Some("application/sdp") {
            let mut refusal = self.refuse(Failure::BadOffer, 415, "An offer in SDP is needed");
            refusal
                .headers
                .push(("Accept", "application/sdp".to_owned()));
            return Err(Box::new(refusal));
        }
        let offer = offer::read(invite, &self.settings.system, now)
            .map_err(|reason| Box::new(self.refuse(Failure::BadOffer, 488, &reason)))?;
        if let Some(id) = offer::repeated(&offer.path, &self.settings.identities) {
            let reason = format!("Loop Detected: {id}");
            return Err(Box::new(self.refuse(Failure::Loop, 482, &reason)));
        }
        Ok(offer)
    }

    fn refuse(&mut self, failure: Failure, code: u16, reason: &str) -> Response {
        self.counts.failures[failure as usize] += 1;
        let mut refusal = Response::new(code, reason);
        refusal.tag = Some(self.transactions.word());
        if code == 503 {
            refusal.headers.push(("Retry-After", "10".to_owned()));
        }
        refusal
    }

    fn acknowledged(&mut self, ack: &Message, now: Timestamp) {
        let call = ack.to_tag.as_ref().and_then(|tag| self.calls.get_mut(tag));
        let Some(call) = call.filter(|call| call.dialog.owns(ack)) else {
            return;
        };
        if let Some((tx, _)) = call.unacknowledged.take_if(|(_, cseq)| *cseq == ack.cseq) {
            self.transactions.acknowledged(tx, now);
        }
    }

    fn unacknowledged(&mut self, tx: TxId, now: Timestamp) {
        let waits = |call: &Call| {
            call.unacknowledged
                .is_some_and(|(waiting, _)| waiting == tx)
        };
        let found = self.calls.iter().find(|(_, call)| waits(call));
        if let Some(tag) = found.map(|(tag, _)| tag.clone()) {
            self.counts.failures[Failure::Unacknowledged as usize] += 1;
            self.hang_up(&tag, now);
        }
    }

    /// Ends a call on our own account.
    fn hang_up(&mut self, tag: &str, now: Timestamp) {
        if let Some(call) = self.calls.get_mut(tag) {
            let (bye, hop) = (call.dialog.request(Method::Bye), call.dialog.hop);
            let _ = self.transactions.send(bye, hop, now);
        }
        self.end(tag, now);
    }

    fn end(&mut self, tag: &str, now: Timestamp) {
        if let Some(mut call) = self.calls.remove(tag) {
            if let Some((tx, _)) = call.unacknowledged {
                self.transactions.acknowledged(tx, now);
            }
            call.close(&self.handle);
        }
    }

    /// Ends calls that nobody sends anything for.
    fn silence(&mut self, now: Timestamp) {
        if now < self.round {
            return;
        }
        self.round = now + ROUND;
        let silent = |call: &Call| now.since(call.last()) >= self.settings.media_timeout;
        let tags = self.calls.iter().filter(|(_, call)| silent(call));
        let mut tags: Vec<String> = tags.map(|(tag, _)| tag.clone()).collect();
        tags.sort_unstable();
        for tag in tags {
            tracing::warn!("a redirected call has no media: it is ended");
            self.counts.failures[Failure::Silent as usize] += 1;
            self.hang_up(&tag, now);
        }
    }
}

impl Agent for Anchor {
    fn receive(&mut self, hop: Hop, datagram: &[u8], now: Timestamp) {
        let source = hop.peer.ip().to_canonical();
        if !self.settings.relays.iter().any(|net| net.contains(source)) {
            self.counts.strangers += 1;
            return;
        }
        // What cannot be read is counted there.
        let _ = self.transactions.receive(hop, datagram, now);
        self.events(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transactions.poll_transmit()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let round = (!self.calls.is_empty()).then_some(self.round);
        self.transactions
            .poll_timeout()
            .into_iter()
            .chain(round)
            .min()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.transactions.handle_timeout(now);
        self.events(now);
        self.silence(now);
    }

    fn shutdown(&mut self, now: Timestamp) {
        let mut tags: Vec<String> = self.calls.keys().cloned().collect();
        tags.sort_unstable();
        for tag in tags {
            self.hang_up(&tag, now);
        }
        self.events(now);
    }

    fn is_idle(&self) -> bool {
        self.calls.is_empty() && !self.transactions.is_waiting()
    }
}

fn accept(hop: Hop, tag: &str, answer: String) -> Response {
    let mut response = allowing(200, "OK");
    response.tag = Some(tag.to_owned());
    response.contact = Some(format!("sip:anchor@{}", hop.local));
    response.body = Some(("application/sdp", answer));
    response
}

fn allowing(code: u16, reason: &str) -> Response {
    let mut response = Response::new(code, reason);
    response.headers.push(("Allow", ALLOW.to_owned()));
    response
}

fn gone() -> Response {
    Response::new(481, "Call/Transaction Does Not Exist")
}

const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS";
/// How often silence is looked for.
const ROUND: Duration = Duration::from_secs(1);
