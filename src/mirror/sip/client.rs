//! The client: sets home legs up, changes and ends them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::leg::{ALLOW, Invite, Leg};
use super::{Counts, Failure, Offer, Outcome, Settings};
use crate::wire::sip::{
    Agent, Dialog, Event, Hop, Message, Method, Response, Transactions, Transmit, TxId,
};
use crate::wire::time::Timestamp;

/// All home legs of a relay.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    transactions: Transactions,
    legs: BTreeMap<u64, Leg>,
    next: u64,
    /// The leg that stands for a home leg now.
    homes: HashMap<u64, u64>,
    calls: HashMap<String, u64>,
    invites: HashMap<TxId, u64>,
    outcomes: VecDeque<Outcome>,
    counts: Counts,
}

impl Client {
    /// Without legs.
    pub fn new(mut settings: Settings) -> Self {
        for address in &mut settings.anchors {
            *address = address.to_canonical();
        }
        // An INVITE, a BYE, and what lingers after them.
        let limit = settings.max_legs.saturating_mul(4);
        Self {
            transactions: Transactions::new(settings.secret, settings.timing, limit),
            settings,
            legs: BTreeMap::new(),
            next: 0,
            homes: HashMap::new(),
            calls: HashMap::new(),
            invites: HashMap::new(),
            outcomes: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Sets a home leg up at an anchor; a former one of this name is ended.
    pub fn open(&mut self, home: u64, hop: Hop, offer: Offer, now: Timestamp) {
        self.close(home, now);
        if self.homes.len() >= self.settings.max_legs || self.legs.len() >= self.limit() {
            self.fail(home, Failure::Full, "too many home legs by SIP".to_owned());
            return;
        }
        let (call_id, tag) = (self.transactions.word(), self.transactions.word());
        let call_id = format!("{call_id}@{}", self.settings.system);
        let key = self.next;
        self.next += 1;
        let leg = Leg::new(home, hop, call_id.clone(), tag, now);
        self.legs.insert(key, leg);
        self.homes.insert(home, key);
        self.calls.insert(call_id, key);
        self.invite(key, offer, now);
        self.events(now);
    }

    /// Offers what goes through a home leg now. Without such a leg nothing happens.
    pub fn update(&mut self, home: u64, offer: Offer, now: Timestamp) {
        let Some(key) = self.homes.get(&home).copied() else {
            return;
        };
        let Some(leg) = self.legs.get_mut(&key) else {
            return;
        };
        if leg.invite.is_some() || leg.retry.is_some() {
            leg.next = Some(offer);
            return;
        }
        self.invite(key, offer, now);
        self.events(now);
    }

    /// Ends a home leg. Nothing more is said about it.
    pub fn close(&mut self, home: u64, now: Timestamp) {
        if let Some(key) = self.homes.remove(&home) {
            self.end(key, now);
        }
    }

    /// What has come of home legs next, in order.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Home legs that are up or being set up.
    pub fn len(&self) -> usize {
        self.homes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.homes.is_empty()
    }

    /// What was counted.
    pub const fn counts(&self) -> Counts {
        let of = self.transactions.counts;
        Counts {
            unreadable: of.unreadable,
            repeated: of.repeated,
            ..self.counts
        }
    }

    const fn limit(&self) -> usize {
        self.settings.max_legs.saturating_mul(2)
    }

    fn invite(&mut self, key: u64, offer: Offer, now: Timestamp) {
        let Some(leg) = self.legs.get_mut(&key) else {
            return;
        };
        let hop = leg.dialog.as_ref().map_or(leg.hop, |dialog| dialog.hop);
        let sent = leg.invite(&offer, &self.settings.system).and_then(|sent| {
            let tx = self.transactions.send(sent.request.clone(), hop, now)?;
            Some((tx, sent))
        });
        match sent {
            Some((tx, sent)) => {
                leg.sent(tx, offer, sent, now + self.settings.answer_timeout);
                self.invites.insert(tx, key);
            }
            None => {
                let reason = "more lanes, or larger, than one offer holds".to_owned();
                self.lose(key, Failure::Full, reason, now);
            }
        }
    }

    fn events(&mut self, now: Timestamp) {
        while let Some(event) = self.transactions.poll_event() {
            match event {
                Event::Request { tx, hop, message } => self.request(tx, hop, &message, now),
                Event::Response { tx, hop, message } => self.response(tx, hop, &message, now),
                Event::TimedOut { tx } => self.timed_out(tx, now),
                Event::Ack { .. } | Event::Unacknowledged { .. } => {}
            }
        }
    }

    fn response(&mut self, tx: TxId, hop: Hop, message: &Message, now: Timestamp) {
        let Some(key) = self.invites.get(&tx).copied() else {
            return; // to BYE or CANCEL: nobody waits for it
        };
        let code = message.code().unwrap_or_default();
        if code < 200 {
            return;
        }
        self.invites.remove(&tx);
        let Some(leg) = self.legs.get_mut(&key) else {
            return;
        };
        let Some(invite) = leg.invite.take() else {
            return;
        };
        if code >= 300 {
            self.refused(key, invite, message, now);
            return;
        }
        match &mut leg.dialog {
            Some(dialog) => dialog.refresh(message, hop.peer),
            None => leg.dialog = Dialog::of_answer(&invite.request, &leg.tag, message, leg.hop),
        }
        let Some(dialog) = &leg.dialog else {
            let reason = "the anchor's answer has no tag".to_owned();
            self.lose(key, Failure::BadAnswer, reason, now);
            return;
        };
        let ack = dialog.ack(leg.cseq);
        self.transactions.acknowledge(tx, &ack, dialog.hop);
        if leg.closing {
            self.end(key, now);
            return;
        }
        match leg.answered(invite, &message.body) {
            Ok(()) => {
                let (home, lanes) = (leg.home, leg.lanes());
                self.counts.answered += 1;
                self.outcomes.push_back(Outcome::Answered { home, lanes });
                self.proceed(key, now);
            }
            Err(reason) => self.lose(key, Failure::BadAnswer, reason, now),
        }
    }

    /// An INVITE was refused. Within a dialog all stays as it was (RFC 3261 14.1), unless the
    /// anchor does not know the dialog.
    fn refused(&mut self, key: u64, invite: Invite, message: &Message, now: Timestamp) {
        let Some(leg) = self.legs.get_mut(&key) else {
            return;
        };
        let code = message.code().unwrap_or_default();
        let reason = format!("the anchor says {}", message.status());
        if leg.dialog.is_none() {
            self.lose(key, Failure::Refused, reason, now);
        } else if matches!(code, 408 | 481) {
            self.lose(key, Failure::Lost, reason, now);
        } else if leg.closing {
            self.end(key, now);
        } else if code == 491 {
            // Both sides have asked at once; the relay made the Call-ID, so it waits longer.
            leg.next.get_or_insert(invite.offer);
            leg.retry = Some(now + GLARE);
        } else {
            let (home, lanes) = (leg.home, leg.lanes());
            self.counts.failures[Failure::Refused as usize] += 1;
            self.outcomes.push_back(Outcome::Answered { home, lanes });
            self.proceed(key, now);
        }
    }

    /// Offers what has come up in the meantime.
    fn proceed(&mut self, key: u64, now: Timestamp) {
        let Some(leg) = self.legs.get_mut(&key) else {
            return;
        };
        if let Some(offer) = leg.next.take() {
            self.invite(key, offer, now);
        }
    }

    fn timed_out(&mut self, tx: TxId, now: Timestamp) {
        if let Some(key) = self.invites.remove(&tx) {
            if let Some(leg) = self.legs.get_mut(&key) {
                leg.invite = None;
            }
            let reason = "the anchor does not answer".to_owned();
            self.lose(key, Failure::TimedOut, reason, now);
        }
    }

    fn request(&mut self, tx: TxId, hop: Hop, message: &Message, now: Timestamp) {
        let response = self.judge(hop, message, now);
        self.transactions.respond(tx, &response, now);
    }

    fn judge(&mut self, _hop: Hop, message: &Message, now: Timestamp) -> Response {
        let key = self.calls.get(&message.call_id).copied();
        let leg = key.and_then(|key| self.legs.get_mut(&key));
        let dialog = leg.and_then(|leg| leg.dialog.as_mut());
        let dialog = dialog.filter(|dialog| dialog.owns(message));
        let method = message.method().cloned().unwrap_or(Method::Options);
        match (dialog, key, method) {
            (None, _, Method::Options) if message.to_tag.is_none() => allowing(200, "OK"),
            (None, _, Method::Invite) if message.to_tag.is_none() => {
                Response::new(403, "Only a relay calls its anchor")
            }
            (None, ..) | (_, None, _) => Response::new(481, "Call/Transaction Does Not Exist"),
            (Some(dialog), Some(key), method) => {
                if !dialog.takes(message) {
                    return Response::new(500, "CSeq out of order");
                }
                match method {
                    Method::Bye => {
                        let reason = "the anchor has ended the home leg".to_owned();
                        self.lose(key, Failure::Ended, reason, now);
                        Response::new(200, "OK")
                    }
                    Method::Options => allowing(200, "OK"),
                    Method::Invite => Response::new(488, "Only the relay changes a home leg"),
                    Method::Ack | Method::Cancel | Method::Other(_) => {
                        allowing(405, "Method Not Allowed")
                    }
                }
            }
        }
    }

    /// A leg has failed: whoever wants it is told, and what is left of it is ended.
    fn lose(&mut self, key: u64, failure: Failure, reason: String, now: Timestamp) {
        if let Some(leg) = self.legs.get_mut(&key) {
            let home = leg.home;
            if matches!(failure, Failure::Ended | Failure::Lost | Failure::Refused) {
                leg.dialog = None; // the anchor knows
            }
            if self.homes.get(&home) == Some(&key) {
                self.homes.remove(&home);
                self.fail(home, failure, reason);
            }
        }
        self.end(key, now);
    }

    fn fail(&mut self, home: u64, failure: Failure, reason: String) {
        self.counts.failures[failure as usize] += 1;
        self.outcomes.push_back(Outcome::Failed {
            home,
            failure,
            reason,
        });
    }

    /// Ends what the anchor may have of a leg: by CANCEL before its answer, by BYE after it.
    fn end(&mut self, key: u64, now: Timestamp) {
        let Some(leg) = self.legs.get_mut(&key) else {
            return;
        };
        leg.closing = true;
        leg.next = None;
        leg.retry = None;
        if let Some(dialog) = &mut leg.dialog {
            let (bye, hop) = (dialog.request(Method::Bye), dialog.hop);
            // An INVITE that is on its way within the dialog ends with it (RFC 3261 15).
            let _ = self.transactions.send(bye, hop, now);
            leg.dialog = None;
        } else if let Some(invite) = &leg.invite {
            self.transactions.cancel(invite.tx, now);
            return; // its answer is still to come
        }
        if let Some(leg) = self.legs.remove(&key) {
            self.calls.remove(leg.call_id());
            if let Some(invite) = leg.invite {
                self.invites.remove(&invite.tx);
            }
        }
    }
}

impl Agent for Client {
    fn receive(&mut self, hop: Hop, datagram: &[u8], now: Timestamp) {
        let source: IpAddr = hop.peer.ip().to_canonical();
        if !self.settings.anchors.contains(&source) {
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
        let legs = self.legs.values();
        let answers = legs.filter_map(|leg| {
            let invite = leg.invite.as_ref().filter(|_| !leg.closing);
            leg.retry.or_else(|| invite.map(|invite| invite.until))
        });
        answers.chain(self.transactions.poll_timeout()).min()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.transactions.handle_timeout(now);
        self.events(now);
        let due = |leg: &Leg| {
            let late = leg
                .invite
                .as_ref()
                .is_some_and(|invite| invite.until <= now);
            !leg.closing && (late || leg.retry.is_some_and(|at| at <= now))
        };
        let legs = self.legs.iter();
        let due: Vec<u64> = legs
            .filter(|(_, leg)| due(leg))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let Some(leg) = self.legs.get_mut(&key) else {
                continue;
            };
            if leg.retry.take().is_some() {
                self.proceed(key, now);
            } else {
                let reason = "the anchor has not answered in time".to_owned();
                self.lose(key, Failure::NoAnswer, reason, now);
            }
        }
        self.events(now);
    }

    fn shutdown(&mut self, now: Timestamp) {
        self.homes.clear();
        let keys: Vec<u64> = self.legs.keys().copied().collect();
        for key in keys {
            self.end(key, now);
        }
    }

    fn is_idle(&self) -> bool {
        self.legs.is_empty() && !self.transactions.is_waiting()
    }
}

fn allowing(code: u16, reason: &str) -> Response {
    let mut response = Response::new(code, reason);
    response.headers.push(("Allow", ALLOW.to_owned()));
    response
}

/// Pause after glare (RFC 3261 14.1: 2.1 to 4 seconds for the owner of the Call-ID).
const GLARE: Duration = Duration::from_secs(3);
