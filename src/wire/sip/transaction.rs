//! Transactions over UDP (RFC 3261 17, with the *accepted* state of RFC 6026): requests are
//! repeated until they are answered, answers are repeated when they are asked for again, and each
//! is handed on once.
//!
//! Bounded: beyond the limit new requests are dropped (the other side repeats them) or refused.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::message::{Message, Method};
use super::state::{Client, Role, Server, Transaction, client_key, server_key};
use super::write::{Request, Response};
use super::{Error, Hop, Ids, Timing, Transmit, parse};
use crate::wire::time::Timestamp;

/// Names a transaction of one [`Transactions`]; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxId(u64);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The other side asks for something; to be answered with [`Transactions::respond`].
    Request {
        /// Its transaction.
        tx: TxId,
        /// Where it came from.
        hop: Hop,
        /// The request.
        message: Box<Message>,
    },
    /// The other side has our 2xx to an INVITE.
    Ack {
        /// The ACK.
        message: Box<Message>,
    },
    /// An answer to a request of ours.
    Response {
        /// Its transaction.
        tx: TxId,
        /// Where it came from.
        hop: Hop,
        /// The response; 100 is not handed on.
        message: Box<Message>,
    },
    /// A request of ours was never answered (timers B and F).
    TimedOut {
        /// Its transaction.
        tx: TxId,
    },
    /// A 2xx of ours to an INVITE was never acknowledged (RFC 3261 13.3.1.4).
    Unacknowledged {
        /// Its transaction.
        tx: TxId,
    },
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that were no message.
    pub unreadable: u64,
    /// Messages repeated by us.
    pub repeated: u64,
    /// Messages that the other side has repeated.
    pub again: u64,
    /// Responses, ACKs and CANCELs that nobody waits for.
    pub unmatched: u64,
    /// Requests dropped since there were too many transactions.
    pub overflow: u64,
}

/// All transactions of one agent.
#[derive(Debug)]
pub struct Transactions {
    timing: Timing,
    limit: usize,
    ids: Ids,
    next: u64,
    all: BTreeMap<TxId, Transaction>,
    /// By branch and method (RFC 3261 17.1.3).
    clients: HashMap<String, TxId>,
    /// By branch, sender and method (RFC 3261 17.2.3).
    servers: HashMap<String, TxId>,
    timers: BTreeSet<(Timestamp, TxId)>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
    /// What was counted.
    pub counts: Counts,
}

impl Transactions {
    /// None yet; at most `limit` at once.
    pub fn new(secret: [u8; 32], timing: Timing, limit: usize) -> Self {
        Self {
            timing,
            limit,
            ids: Ids::new(secret),
            next: 0,
            all: BTreeMap::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            timers: BTreeSet::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// An unguessable word for tags and Call-IDs.
    pub fn word(&mut self) -> String {
        self.ids.word()
    }

    /// Sends a request, and repeats it until it is answered. `None`: there are too many
    /// transactions, or the message is longer than a datagram can be.
    pub fn send(&mut self, request: Request, hop: Hop, now: Timestamp) -> Option<TxId> {
        let branch = format!("z9hG4bK{}", self.ids.word());
        self.send_as(request, branch, hop, now)
    }

    /// Gives an INVITE up: a CANCEL follows as soon as the other side has shown that it has the
    /// INVITE (RFC 3261 9.1). Its answer comes all the same, and may be a 2xx.
    pub fn cancel(&mut self, tx: TxId, now: Timestamp) {
        let Some(Transaction {
            role:
                Role::Client {
                    request,
                    branch,
                    state,
                    cancel,
                },
            hop,
            ..
        }) = self.all.get_mut(&tx)
        else {
            return;
        };
        match *state {
            Client::Calling => *cancel = true,
            Client::Proceeding if !*cancel => {
                *cancel = true;
                let cancel = request.follow_up(Method::Cancel, &request.to);
                let (branch, hop) = (branch.clone(), *hop);
                self.send_as(cancel, branch, hop, now);
                self.reschedule(tx, |of, timing| of.end = now + timing.patience());
            }
            Client::Proceeding | Client::Done => {}
        }
    }

    /// Sends the ACK for the 2xx that a transaction has brought, now and whenever the 2xx is
    /// repeated.
    pub fn acknowledge(&mut self, tx: TxId, ack: &Request, hop: Hop) {
        let branch = format!("z9hG4bK{}", self.ids.word());
        let bytes = ack.encode(hop.local, &branch);
        if let Some(of) = self.all.get_mut(&tx) {
            of.last = Some(bytes.clone());
            of.hop = hop;
        }
        self.out.push_back(Transmit { hop, bytes });
    }

    /// Answers a request; a 1xx may be followed by another answer.
    pub fn respond(&mut self, tx: TxId, response: &Response, now: Timestamp) {
        let timing = self.timing;
        let Some(of) = self.all.get_mut(&tx) else {
            return;
        };
        let Role::Server {
            request,
            source,
            state,
        } = &mut of.role
        else {
            return;
        };
        if *state != Server::Asked {
            return;
        }
        let bytes = response.encode(request, *source);
        let invite = request.cseq_method == Method::Invite;
        *state = match (response.code, invite) {
            (..200, _) => Server::Asked,
            (200..300, true) => Server::Accepted,
            (_, true) => Server::Refused,
            (_, false) => Server::Done,
        };
        of.last = Some(bytes.clone());
        if matches!(state, Server::Accepted | Server::Refused) {
            of.repeat = Some((now + timing.t1, timing.t1 * 2));
        }
        let hop = of.hop;
        self.out.push_back(Transmit { hop, bytes });
        self.reschedule(tx, |of, timing| of.end = now + timing.patience());
    }

    /// The ACK for the 2xx of this transaction has come.
    pub fn acknowledged(&mut self, tx: TxId, now: Timestamp) {
        self.reschedule(tx, |of, timing| {
            if let Role::Server { state, .. } = &mut of.role
                && *state == Server::Accepted
            {
                *state = Server::Done;
                of.repeat = None;
                // A repeated INVITE may still be on its way.
                of.end = now + timing.t4;
            }
        });
    }

    /// A datagram has arrived.
    ///
    /// # Errors
    /// It is no message; counted.
    pub fn receive(&mut self, hop: Hop, datagram: &[u8], now: Timestamp) -> Result<(), Error> {
        let message = parse(datagram).inspect_err(|_| self.counts.unreadable += 1)?;
        match message.method() {
            None => self.response(hop, message, now),
            Some(Method::Ack) => self.ack(message, now),
            Some(Method::Cancel) => self.cancelled(hop, message, now),
            Some(_) => self.request(hop, message, now),
        }
        Ok(())
    }

    /// The next datagram to be sent, in order.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    /// What has happened next, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Repeats and ends what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((at, tx)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.due(tx, now);
        }
    }

    /// Whether a request of ours waits for its answer, or an answer of ours for its ACK.
    pub fn is_waiting(&self) -> bool {
        self.all.values().any(|of| match &of.role {
            Role::Client { state, .. } => *state != Client::Done,
            Role::Server { state, .. } => *state == Server::Accepted,
        })
    }

    fn send_as(
        &mut self,
        request: Request,
        branch: String,
        hop: Hop,
        now: Timestamp,
    ) -> Option<TxId> {
        let bytes = request.encode(hop.local, &branch);
        if self.all.len() >= self.limit || bytes.len() > super::MAX_MESSAGE {
            self.counts.overflow += 1;
            return None;
        }
        let transaction = Transaction {
            key: client_key(&branch, &request.method),
            hop,
            last: Some(bytes.clone()),
            repeat: Some((now + self.timing.t1, self.timing.t1 * 2)),
            end: now + self.timing.patience(),
            timer: now,
            role: Role::Client {
                request: Box::new(request),
                branch,
                state: Client::Calling,
                cancel: false,
            },
        };
        let tx = self.insert(transaction);
        self.out.push_back(Transmit { hop, bytes });
        Some(tx)
    }

    fn insert(&mut self, mut transaction: Transaction) -> TxId {
        let tx = TxId(self.next);
        self.next += 1;
        match &transaction.role {
            Role::Client { .. } => self.clients.insert(transaction.key.clone(), tx),
            Role::Server { .. } => self.servers.insert(transaction.key.clone(), tx),
        };
        transaction.timer = transaction.due();
        self.timers.insert((transaction.timer, tx));
        self.all.insert(tx, transaction);
        tx
    }

    fn remove(&mut self, tx: TxId) {
        let Some(of) = self.all.remove(&tx) else {
            return;
        };
        self.timers.remove(&(of.timer, tx));
        match &of.role {
            Role::Client { .. } => self.clients.remove(&of.key),
            Role::Server { .. } => self.servers.remove(&of.key),
        };
    }

    /// Changes a transaction and keeps its timer right.
    fn reschedule(&mut self, tx: TxId, change: impl FnOnce(&mut Transaction, Timing)) {
        if let Some(of) = self.all.get_mut(&tx) {
            self.timers.remove(&(of.timer, tx));
            change(of, self.timing);
            of.timer = of.due();
            self.timers.insert((of.timer, tx));
        }
    }

    fn request(&mut self, hop: Hop, message: Message, now: Timestamp) {
        let key = server_key(&message, &message.cseq_method);
        if let Some(tx) = self.servers.get(&key) {
            self.counts.again += 1;
            if let Some(of) = self.all.get(tx)
                && let Some(bytes) = of.last.clone()
                && of.repeats_for_request()
            {
                self.counts.repeated += 1;
                self.out.push_back(Transmit { hop: of.hop, bytes });
            }
            return;
        }
        if self.all.len() >= self.limit {
            self.counts.overflow += 1;
            return;
        }
        let back = Hop {
            local: hop.local,
            peer: message.reply_to(hop.peer),
        };
        let tx = self.insert(Transaction {
            key,
            hop: back,
            last: None,
            repeat: None,
            end: now + self.timing.patience(),
            timer: now,
            role: Role::Server {
                request: Box::new(message.clone()),
                source: hop.peer,
                state: Server::Asked,
            },
        });
        let message = Box::new(message);
        self.events.push_back(Event::Request { tx, hop, message });
    }

    fn ack(&mut self, message: Message, now: Timestamp) {
        let key = server_key(&message, &Method::Invite);
        let found = self.servers.get(&key).copied();
        let refused = found.filter(|tx| {
            let of = self.all.get(tx);
            of.is_some_and(|of| of.is_server_in(Server::Refused))
        });
        match refused {
            Some(tx) => self.reschedule(tx, |of, timing| {
                if let Role::Server { state, .. } = &mut of.role {
                    *state = Server::Done;
                }
                of.repeat = None;
                of.last = None;
                of.end = now + timing.t4;
            }),
            None => {
                let message = Box::new(message);
                self.events.push_back(Event::Ack { message });
            }
        }
    }

    /// A CANCEL: our agents answer each INVITE at once, so that it always comes too late and has no
    /// effect (RFC 3261 9.2); but it is answered.
    fn cancelled(&mut self, hop: Hop, message: Message, now: Timestamp) {
        let known = self
            .servers
            .contains_key(&server_key(&message, &Method::Invite));
        if !known {
            self.counts.unmatched += 1;
        }
        self.request(hop, message, now);
        let Some(Event::Request { tx, message, .. }) = self.events.back() else {
            return;
        };
        if message.cseq_method != Method::Cancel {
            return;
        }
        let tx = *tx;
        self.events.pop_back();
        let response = match known {
            true => Response::new(200, "OK"),
            false => Response::new(481, "Call/Transaction Does Not Exist"),
        };
        self.respond(tx, &response, now);
    }

    fn response(&mut self, hop: Hop, message: Message, now: Timestamp) {
        let code = message.code().unwrap_or_default();
        let branch = message.branch.as_deref().unwrap_or_default();
        let key = client_key(branch, &message.cseq_method);
        let Some(tx) = self.clients.get(&key).copied() else {
            self.counts.unmatched += 1;
            return;
        };
        let Some(of) = self.all.get_mut(&tx) else {
            return;
        };
        let Role::Client {
            request,
            branch,
            state,
            cancel,
        } = &mut of.role
        else {
            return;
        };
        let invite = request.method == Method::Invite;
        match (*state, code) {
            (Client::Done, ..200) => {}
            (Client::Done, _) => {
                self.counts.again += 1;
                if let Some(bytes) = of.last.clone().filter(|_| invite) {
                    self.counts.repeated += 1;
                    self.out.push_back(Transmit { hop: of.hop, bytes });
                }
            }
            (Client::Calling | Client::Proceeding, ..200) => {
                let wanted = *cancel && *state == Client::Calling;
                *state = Client::Proceeding;
                if invite {
                    of.repeat = None;
                    if wanted {
                        *cancel = false;
                    }
                }
                self.reschedule(tx, |of, timing| {
                    if invite {
                        // From now on the one who sent it decides how long it waits.
                        of.end = now + FOREVER;
                    } else if let Some((_, pause)) = &mut of.repeat {
                        *pause = timing.t2;
                    }
                });
                if wanted {
                    self.cancel(tx, now);
                }
                if code > 100 {
                    let message = Box::new(message);
                    self.events.push_back(Event::Response { tx, hop, message });
                }
            }
            (Client::Calling | Client::Proceeding, _) => {
                *state = Client::Done;
                of.last = None;
                if invite && code >= 300 {
                    let ack = request.follow_up(Method::Ack, &message.to);
                    let bytes = ack.encode(of.hop.local, branch);
                    of.last = Some(bytes.clone());
                    self.out.push_back(Transmit { hop: of.hop, bytes });
                }
                self.reschedule(tx, |of, timing| {
                    of.repeat = None;
                    let linger = if invite { timing.patience() } else { timing.t4 };
                    of.end = now + linger;
                });
                let message = Box::new(message);
                self.events.push_back(Event::Response { tx, hop, message });
            }
        }
    }

    fn due(&mut self, tx: TxId, now: Timestamp) {
        let Some(of) = self.all.get(&tx) else {
            self.timers.pop_first();
            return;
        };
        if of.end > now {
            if let Some(bytes) = of.last.clone() {
                self.counts.repeated += 1;
                self.out.push_back(Transmit { hop: of.hop, bytes });
            }
            self.reschedule(tx, |of, timing| of.repeat_later(timing, now));
            return;
        }
        let event = match &of.role {
            Role::Client { state, .. } if *state != Client::Done => Some(Event::TimedOut { tx }),
            Role::Server { state, .. } if *state == Server::Accepted => {
                Some(Event::Unacknowledged { tx })
            }
            Role::Client { .. } | Role::Server { .. } => None,
        };
        self.events.extend(event);
        self.remove(tx);
    }
}

/// Longest life of an INVITE that is being worked on.
const FOREVER: Duration = Duration::from_secs(180);
