//! Writes requests and responses.

use std::fmt::Write as _;
use std::net::SocketAddr;

use bytes::Bytes;

use super::message::{Message, Method};

/// A request without what its transaction adds: `Via`, `Max-Forwards`, `Content-Length`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Request URI.
    pub uri: String,
    /// Values of `Route`.
    pub routes: Vec<String>,
    /// `From`, with our tag.
    pub from: String,
    /// `To`, with the tag of the other side once there is a dialog.
    pub to: String,
    /// `Call-ID`.
    pub call_id: String,
    /// Number of `CSeq`.
    pub cseq: u32,
    /// Our URI in `Contact`.
    pub contact: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Type and body.
    pub body: Option<(&'static str, String)>,
}

impl Request {
    /// The message.
    pub(super) fn encode(&self, local: SocketAddr, branch: &str) -> Bytes {
        let mut text = String::with_capacity(1_024);
        let method = &self.method;
        let _ = write!(text, "{method} {} SIP/2.0\r\n", clean(&self.uri));
        header(
            &mut text,
            "Via",
            &format!("SIP/2.0/UDP {local};rport;branch={branch}"),
        );
        header(&mut text, "Max-Forwards", "70");
        for route in &self.routes {
            header(&mut text, "Route", route);
        }
        header(&mut text, "From", &self.from);
        header(&mut text, "To", &self.to);
        header(&mut text, "Call-ID", &self.call_id);
        header(&mut text, "CSeq", &format!("{} {method}", self.cseq));
        finish(text, self.contact.as_deref(), &self.headers, &self.body)
    }

    /// Another request of the same transaction: ACK to a refusal (RFC 3261 17.1.1.3), or CANCEL
    /// (9.1).
    pub(super) fn follow_up(&self, method: Method, to: &str) -> Self {
        Self {
            method,
            uri: self.uri.clone(),
            routes: self.routes.clone(),
            from: self.from.clone(),
            to: to.to_owned(),
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            contact: None,
            headers: Vec::new(),
            body: None,
        }
    }
}

/// A response without what it takes over from the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub code: u16,
    /// What it means in this case.
    pub reason: String,
    /// Our tag, if `To` has none yet.
    pub tag: Option<String>,
    /// Our URI in `Contact`.
    pub contact: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Type and body.
    pub body: Option<(&'static str, String)>,
}

impl Response {
    /// With nothing but a status.
    pub fn new(code: u16, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            ..Self::default()
        }
    }

    /// The message (RFC 3261 8.2.6.2).
    pub(super) fn encode(&self, request: &Message, source: SocketAddr) -> Bytes {
        let mut text = String::with_capacity(1_024);
        let _ = write!(text, "SIP/2.0 {} {}\r\n", self.code, clean(&self.reason));
        for (place, via) in request.vias.iter().enumerate() {
            match place {
                0 => header(&mut text, "Via", &received(via, request.rport, source)),
                _ => header(&mut text, "Via", via),
            }
        }
        if self.contact.is_some() {
            for route in &request.record_routes {
                header(&mut text, "Record-Route", route);
            }
        }
        header(&mut text, "From", &request.from);
        match (&request.to_tag, &self.tag) {
            (None, Some(tag)) => header(&mut text, "To", &format!("{};tag={tag}", request.to)),
            _ => header(&mut text, "To", &request.to),
        }
        header(&mut text, "Call-ID", &request.call_id);
        let cseq = format!("{} {}", request.cseq, request.cseq_method);
        header(&mut text, "CSeq", &cseq);
        finish(text, self.contact.as_deref(), &self.headers, &self.body)
    }
}

/// The sender's `Via` with where it really sends from (RFC 3261 18.2.1, RFC 3581 4).
fn received(via: &str, rport: bool, source: SocketAddr) -> String {
    let (first, rest) = match via.split_once(',') {
        Some((first, rest)) if !via.contains('"') => (first, Some(rest)),
        _ => (via, None),
    };
    let mut text: Vec<String> = Vec::new();
    for part in first.split(';') {
        match part.trim() {
            "rport" if rport => text.push(format!("rport={}", source.port())),
            other if other.starts_with("received=") => {}
            other => text.push(other.to_owned()),
        }
    }
    text.push(format!("received={}", source.ip()));
    let mut text = text.join(";");
    if let Some(rest) = rest {
        text.push(',');
        text.push_str(rest);
    }
    text
}

fn finish(
    mut text: String,
    contact: Option<&str>,
    headers: &[(&'static str, String)],
    body: &Option<(&'static str, String)>,
) -> Bytes {
    if let Some(contact) = contact {
        header(&mut text, "Contact", &format!("<{contact}>"));
    }
    for (name, value) in headers {
        header(&mut text, name, value);
    }
    if let Some((kind, _)) = body {
        header(&mut text, "Content-Type", kind);
    }
    let body = body.as_ref().map_or("", |(_, body)| body.as_str());
    header(&mut text, "Content-Length", &body.len().to_string());
    text.push_str("\r\n");
    text.push_str(body);
    text.into()
}

fn header(text: &mut String, name: &str, value: &str) {
    let _ = write!(text, "{name}: {}\r\n", clean(value));
}

/// Without anything that could end a line.
fn clean(value: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    value.chars().map(blank).collect()
}
