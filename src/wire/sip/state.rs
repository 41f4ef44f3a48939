//! One transaction: where it stands, and what it is found by.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::message::{Message, Method};
use super::write::Request;
use super::{Hop, Timing};
use crate::wire::time::Timestamp;

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) key: String,
    pub(super) hop: Hop,
    /// What is sent again: the request of a client, the last response of a server, or the ACK.
    pub(super) last: Option<Bytes>,
    /// The time of the next repetition, and the pause after it.
    pub(super) repeat: Option<(Timestamp, Duration)>,
    pub(super) end: Timestamp,
    /// Under which moment it stands among the timers.
    pub(super) timer: Timestamp,
    pub(super) role: Role,
}

#[derive(Debug)]
pub(super) enum Role {
    Client {
        request: Box<Request>,
        branch: String,
        state: Client,
        /// A CANCEL is to follow as soon as it may.
        cancel: bool,
    },
    Server {
        request: Box<Message>,
        source: SocketAddr,
        state: Server,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Calling,
    Proceeding,
    /// A final response was handed on; what comes again is answered by what was sent last.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Not answered yet.
    Asked,
    /// A 2xx to an INVITE is repeated until its ACK comes.
    Accepted,
    /// A refusal of an INVITE likewise.
    Refused,
    /// The other side knows; what comes again is answered alike, or not at all.
    Done,
}

impl Transaction {
    pub(super) fn due(&self) -> Timestamp {
        self.repeat.map_or(self.end, |(at, _)| at.min(self.end))
    }

    pub(super) fn is_server_in(&self, wanted: Server) -> bool {
        matches!(&self.role, Role::Server { state, .. } if *state == wanted)
    }

    /// Whether a request that comes again is answered by what was answered before. After the ACK
    /// an INVITE is not (RFC 3261 17.2.1, RFC 6026 7.1).
    pub(super) fn repeats_for_request(&self) -> bool {
        match &self.role {
            Role::Server { request, state, .. } => {
                request.cseq_method != Method::Invite || *state != Server::Done
            }
            Role::Client { .. } => false,
        }
    }

    /// Pauses double. Up to T2, but for an INVITE that nobody has answered (timer A).
    pub(super) fn repeat_later(&mut self, timing: Timing, now: Timestamp) {
        let doubles =
            matches!(&self.role, Role::Client { request, .. } if request.method == Method::Invite);
        if let Some((_, pause)) = self.repeat {
            let next = if doubles {
                pause * 2
            } else {
                (pause * 2).min(timing.t2)
            };
            self.repeat = Some((now + pause, next));
        }
    }
}

pub(super) fn client_key(branch: &str, method: &Method) -> String {
    format!("{branch} {method}")
}

/// RFC 3261 17.2.3; of senders that know no branch, by what names the request.
pub(super) fn server_key(message: &Message, method: &Method) -> String {
    let sender = &message.sent_by;
    match message.branch.as_deref() {
        Some(branch) if branch.starts_with("z9hG4bK") => format!("{branch} {sender} {method}"),
        _ => {
            let tag = message.from_tag.as_deref().unwrap_or_default();
            let (call_id, cseq) = (&message.call_id, message.cseq);
            format!("{call_id} {tag} {cseq} {sender} {method}")
        }
    }
}
