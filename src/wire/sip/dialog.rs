//! A dialog: what two parties keep in mind between requests (RFC 3261 12).

use super::Hop;
use super::message::{Message, Method};
use super::write::Request;

/// One side of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Its `Call-ID`.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The other side's tag.
    pub remote_tag: String,
    /// Where our requests go.
    pub hop: Hop,
    /// What `From` of our requests says.
    local: String,
    /// What `To` of our requests says.
    remote: String,
    /// The other side's `Contact`.
    target: String,
    routes: Vec<String>,
    cseq: u32,
    remote_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog that a 2xx response to our INVITE makes (RFC 3261 12.1.2). `None` if the response
    /// has no tag.
    pub fn of_answer(request: &Request, tag: &str, answer: &Message, hop: Hop) -> Option<Self> {
        Some(Self {
            call_id: request.call_id.clone(),
            local_tag: tag.to_owned(),
            remote_tag: answer.to_tag.clone()?,
            hop: Hop {
                local: hop.local,
                peer: answer.next_hop(hop.peer),
            },
            local: request.from.clone(),
            remote: answer.to.clone(),
            target: answer
                .contact
                .clone()
                .unwrap_or_else(|| request.uri.clone()),
            // The far end's proxy stands last: the order is reversed for us.
            routes: answer.record_routes.iter().rev().cloned().collect(),
            cseq: request.cseq,
            remote_cseq: None,
        })
    }

    /// The dialog that we make of an INVITE by answering it (RFC 3261 12.1.1). `None` if the
    /// request has no tag, no usable `Contact`, or is within a dialog already.
    pub fn of_invite(invite: &Message, tag: &str, hop: Hop) -> Option<Self> {
        if invite.to_tag.is_some() {
            return None;
        }
        Some(Self {
            call_id: invite.call_id.clone(),
            local_tag: tag.to_owned(),
            remote_tag: invite.from_tag.clone()?,
            hop: Hop {
                local: hop.local,
                peer: invite.next_hop(hop.peer),
            },
            local: format!("{};tag={tag}", invite.to),
            remote: invite.from.clone(),
            target: invite.contact.clone()?,
            routes: invite.record_routes.clone(),
            cseq: 0,
            remote_cseq: Some(invite.cseq),
        })
    }

    /// The next request within the dialog (RFC 3261 12.2.1.1).
    pub fn request(&mut self, method: Method) -> Request {
        self.cseq += 1;
        self.make(method, self.cseq)
    }

    /// The ACK for a 2xx response to the INVITE with this number (RFC 3261 13.2.2.4).
    pub fn ack(&self, cseq: u32) -> Request {
        self.make(Method::Ack, cseq)
    }

    /// Whether a message belongs to it, as a request of the other side.
    pub fn owns(&self, request: &Message) -> bool {
        request.call_id == self.call_id
            && request.to_tag.as_deref() == Some(&self.local_tag)
            && request.from_tag.as_deref() == Some(&self.remote_tag)
    }

    /// Whether a new request of the other side is in order (RFC 3261 12.2.2); it is remembered.
    pub fn takes(&mut self, request: &Message) -> bool {
        let newer = self.remote_cseq.is_none_or(|last| request.cseq > last);
        if newer {
            self.remote_cseq = Some(request.cseq);
        }
        newer
    }

    /// A re-INVITE or its answer may name another contact (RFC 3261 12.2): requests go there.
    pub fn refresh(&mut self, message: &Message, source: std::net::SocketAddr) {
        if let Some(contact) = &message.contact {
            self.target.clone_from(contact);
            self.hop.peer = message.next_hop(source);
        }
    }

    fn make(&self, method: Method, cseq: u32) -> Request {
        Request {
            method,
            uri: self.target.clone(),
            routes: self.routes.clone(),
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq,
            contact: None,
            headers: Vec::new(),
            body: None,
        }
    }
}
