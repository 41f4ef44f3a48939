//! Session descriptions (SDP, RFC 8866), read leniently and without copying.
//!
//! [`parse()`] is total and bounded: any input gives a [`Session`] that borrows from it, or an
//! [`enum@Error`]. It takes LF and CRLF, a missing last line end, trailing blanks, lines in any order
//! within their section, and ignores lines that it does not know. What SDP means to a relay
//! (endpoints, direction, codecs, hold) is answered by methods of [`Media`]. Writing the
//! description for the other side is `session::rewrite`'s work.

mod attribute;
mod codec;
mod media;
mod parse;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use thiserror::Error;

pub use self::attribute::{Attribute, Key};
pub use self::codec::{Codec, static_codec};
pub use self::media::{Direction, Media, Profile, Rtcp};
pub use self::parse::parse;

/// Longest body that is read, in octets. More than a UDP datagram holds, which is what NG brings.
pub const MAX_BODY: usize = 256 * 1024;
/// Longest line that is read, in octets without its end. MIKEY messages take some kilobytes.
pub const MAX_LINE: usize = 32 * 1024;
/// Longest `o=` line that is read, in octets.
pub const MAX_ORIGIN: usize = 512;
/// Most m-lines of a session.
pub const MAX_MEDIAS: usize = 64;
/// Most attributes of a session with all its medias.
pub const MAX_ATTRIBUTES: usize = 4096;
/// Most formats of one m-line: there are 128 payload types.
pub const MAX_FORMATS: usize = 128;
/// Most lines of each other sort (`b=`, `t=`, `e=`, ...) in one section.
pub const MAX_LINES: usize = 64;

/// A session description; everything in it borrows from the bytes that were parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session<'a> {
    /// `o=` (RFC 8866 5.2); `None` if the line was missing, which is forgiven.
    pub origin: Option<Origin<'a>>,
    /// What follows `s=`, blanks included; `None` if the line was missing.
    pub name: Option<&'a [u8]>,
    /// The lines `i=`, `u=`, `e=`, `p=` of the session, whole and in their order.
    pub texts: Vec<&'a [u8]>,
    /// `c=` of the session (RFC 8866 5.7): default of all medias.
    pub connection: Option<Connection<'a>>,
    /// The lines `b=` of the session, whole and in their order.
    pub bandwidth: Vec<&'a [u8]>,
    /// The lines `t=`, `r=`, `z=`, whole and in their order.
    pub timing: Vec<&'a [u8]>,
    /// `a=` of the session, in their order.
    pub attributes: Vec<Attribute<'a>>,
    /// The medias, in their order; at least one.
    pub medias: Vec<Media<'a>>,
}

impl<'a> Session<'a> {
    /// The first attribute of the session level with this meaning.
    pub fn attribute(&self, key: Key) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|a| a.key() == key)
    }

    /// Whether the session says `a=rtpengine:<instance>`: this relay has written it already
    /// (NG reference 7, `loop protect`).
    pub fn carries_instance(&self, instance: &str) -> bool {
        self.attributes
            .iter()
            .any(|a| a.key() == Key::Instance && a.value() == Some(instance))
    }
}

/// `o=`: who made the session, and its version (RFC 8866 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// User name; `-` if there is none.
    pub user: &'a str,
    /// Session id: a number by the RFC, any word in the field.
    pub id: &'a str,
    /// Session version: a number by the RFC, any word in the field.
    pub version: &'a str,
    /// Address type as written, `IP4` or `IP6`.
    pub family: &'a str,
    /// Address or host name, as written.
    pub address: &'a str,
}

/// `c=`: where media is to be sent (RFC 8866 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// All after `c=`, as written.
    pub text: &'a str,
    /// The address, without TTL and count; `None` for a host name, which a relay does not look up.
    pub address: Option<IpAddr>,
}

/// Why a description was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// It cannot be read.
    #[error("line {line}: {reason}")]
    Unreadable {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It can be read, but lacks what a relay must know.
    #[error("{0}")]
    Incomplete(&'static str),
}
