//! A message that was read, with what transactions and dialogs look at.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A request or response. All texts are on one line: folds are undone, and there is no control
/// character in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its first line.
    pub start: Start,
    /// Values of `Via`, as they came; the first is the sender's.
    pub vias: Vec<String>,
    /// `branch` of the sender's `Via`.
    pub branch: Option<String>,
    /// Host and port that the sender's `Via` names, as written.
    pub sent_by: String,
    /// The port in it, 5060 if there is none.
    pub sent_by_port: u16,
    /// Whether the sender asks for answers to the port that it sends from (RFC 3581 3).
    pub rport: bool,
    /// `From`, as it came.
    pub from: String,
    /// Its tag.
    pub from_tag: Option<String>,
    /// Host of its URI.
    pub from_host: String,
    /// `To`, as it came.
    pub to: String,
    /// Its tag.
    pub to_tag: Option<String>,
    /// `Call-ID`.
    pub call_id: String,
    /// Number in `CSeq`.
    pub cseq: u32,
    /// Method in `CSeq`.
    pub cseq_method: Method,
    /// URI of `Contact`, if there is exactly one that can be read.
    pub contact: Option<String>,
    /// The address in it, if it is one and not a name.
    pub contact_address: Option<(IpAddr, u16)>,
    /// Values of `Record-Route`, as they came.
    pub record_routes: Vec<String>,
    /// Values of `Require`, in lower case.
    pub require: Vec<String>,
    /// `Max-Forwards`.
    pub max_forwards: Option<u32>,
    /// Type of the body, in lower case and without parameters.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request(Method),
    /// A response.
    Response {
        /// Status, 100 to 699.
        code: u16,
        /// What the other side says about it.
        reason: String,
    },
}

/// A method of RFC 3261.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Sets a session up, or changes it.
    Invite,
    /// Confirms the final response to an INVITE.
    Ack,
    /// Ends a session.
    Bye,
    /// Gives an INVITE up.
    Cancel,
    /// Asks what the other side can do.
    Options,
    /// Another one.
    Other(String),
}

impl Method {
    /// As in a request line; methods are case-sensitive (RFC 3261 7.1).
    pub fn of(word: &str) -> Self {
        match word {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            other => Self::Other(other.to_owned()),
        }
    }

    /// As in a request line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Message {
    /// The method of a request.
    pub const fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request(method) => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub const fn code(&self) -> Option<u16> {
        match &self.start {
            Start::Request(_) => None,
            Start::Response { code, .. } => Some(*code),
        }
    }

    /// Status and reason of a response, for people: `486 Busy Here`.
    pub fn status(&self) -> String {
        match &self.start {
            Start::Request(method) => method.to_string(),
            Start::Response { code, reason } => format!("{code} {reason}").trim_end().to_owned(),
        }
    }

    /// Where a response to this request goes (RFC 3261 18.2.2, RFC 3581 4): to the address that it
    /// came from, and there to the port that `Via` names unless the sender wants its own.
    pub const fn reply_to(&self, source: SocketAddr) -> SocketAddr {
        let port = if self.rport {
            source.port()
        } else {
            self.sent_by_port
        };
        SocketAddr::new(source.ip(), port)
    }

    /// Where further requests go: to the address in `Contact` if it is that of the sender, so that
    /// nobody can have us send elsewhere; otherwise back to where this came from.
    pub fn next_hop(&self, source: SocketAddr) -> SocketAddr {
        match self.contact_address {
            Some((ip, port)) if ip == source.ip().to_canonical() && port != 0 => {
                SocketAddr::new(source.ip(), port)
            }
            _ => source,
        }
    }
}
