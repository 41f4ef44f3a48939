//! Writing the description (SDP) for the other side (NG reference 12).
//!
//! The outgoing SDP is built anew, never patched: what the sender's description says goes in a
//! fixed order into a new one, with the addresses and ports of a [`Plan`]. What must be
//! remembered from message to message (a stable `o=` line) lies in the receiving leg's
//! [`Memory`].
//!
//! An exchange goes like this: [`parse`], [`returned`] for loops, [`Kept::of`] for each media,
//! then [`write()`]; after an offer, [`Offered::of`] each media is kept with the leg for the answer.
//!
//! A copy for a recorder (NG reference 9.5) is written from a session put together of the medias
//! of several parties, each with its own `connection`, and plans with a direction and a label.

mod formats;
mod media;
mod memory;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use self::formats::{Kept, Offered, intersect};
pub use self::memory::Memory;
use super::options::{Ice, Options};
use super::reply::Error;
use crate::wire::sdp::{self, Attribute, Direction, Key, Media, Session};

/// How one description is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The options of the message. Used of them: `replace`, `rtcp_attribute`, `ice`,
    /// `original_sendrecv`, `passthrough`, `loop_protect`, `media_address`.
    pub options: &'a Options,
    /// This relay's identity, for `loop protect`.
    pub instance: &'a str,
    /// Advertised address for `o=`, of the interface and family towards the receiver. Only the
    /// first one given is used: afterwards the memory keeps it stable.
    pub origin_address: IpAddr,
    /// Session id where the sender has none (no `o=` line); any number.
    pub session_id: u64,
    /// One entry for each m-line of the sender, in their order.
    pub medias: &'a [MediaPlan<'a>],
}

/// How one media is to be written.
#[derive(Clone, Debug)]
pub struct MediaPlan<'a> {
    /// Relayed, rejected, or as it came.
    pub action: Action,
    /// Advertised address of our socket. [`Options::media_address`] goes before it.
    pub address: IpAddr,
    /// Our RTP port towards the receiver; also the only port of a media that is not RTP.
    pub rtp_port: u16,
    /// Our RTCP port towards the receiver.
    pub rtcp_port: u16,
    /// Number of consecutive port pairs; written only if more than 1.
    pub port_count: u16,
    /// What is said about multiplexing RTP and RTCP.
    pub mux: Mux,
    /// Protocol word for the receiver, `RTP/AVPF` for example; `None`: as it came. Of no meaning
    /// for a media that is not RTP. A change that needs encryption is refused.
    pub protocol: Option<&'a str>,
    /// Direction to write, whatever the sender says and even if it holds; `None`: the sender's,
    /// with the rules of hold (NG reference 12.3). Neither counts with `original sendrecv`.
    pub direction: Option<Direction>,
    /// The formats that are handed on. If none is, the media is written as rejected.
    pub kept: Kept,
    /// `a=label` to write in place of the sender's; for copies (NG reference 9.5).
    pub label: Option<u32>,
}

impl MediaPlan<'_> {
    /// A media relayed through the port pair `rtp_port`, `rtp_port + 1` of `address`: not
    /// multiplexed, with the sender's protocol, direction and formats.
    pub const fn relay(address: IpAddr, rtp_port: u16) -> Self {
        Self {
            action: Action::Relay,
            address,
            rtp_port,
            rtcp_port: rtp_port.saturating_add(1),
            port_count: 1,
            mux: Mux::Off,
            protocol: None,
            direction: None,
            kept: Kept::All,
            label: None,
        }
    }

    /// A rejected media: port 0 and the zero address of this address's family.
    pub const fn reject(address: IpAddr) -> Self {
        let mut plan = Self::relay(address, 0);
        plan.action = Action::Reject;
        plan
    }
}

/// What becomes of a media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Our address and port are written.
    Relay,
    /// Written with port 0.
    Reject,
    /// Left with the sender's address, port and attributes: it does not pass through us.
    /// [`Action::of`] tells for which medias.
    AsItCame,
}

impl Action {
    /// The action that a media calls for by itself: rejected ones stay rejected, and `m=message`,
    /// `passthrough` and passed ICE leave it as it came (NG reference 12.5).
    pub fn of(media: &Media<'_>, options: &Options) -> Self {
        if media.is_rejected() {
            Self::Reject
        } else if media.is_message() || options.passthrough || options.ice == Ice::Pass {
            Self::AsItCame
        } else {
            Self::Relay
        }
    }
}

/// What is said about multiplexing (NG reference 12.4, RFC 5761 5.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mux {
    /// `a=rtcp:<RTCP port>`.
    #[default]
    Off,
    /// `a=rtcp:<RTCP port>` and `a=rtcp-mux`: offered, with a port to fall back to.
    Offered,
    /// `a=rtcp:<RTP port>` and `a=rtcp-mux`: agreed in an answer, or offered without fallback.
    Agreed,
}

/// Reads a description for the core: [`sdp::parse`] with the core's errors.
///
/// # Errors
/// [`Error::BadSdp`] if it cannot be read, [`Error::IncompleteSdp`] if it lacks medias or
/// addresses.
pub fn parse(body: &[u8]) -> Result<Session<'_>, Error> {
    sdp::parse(body).map_err(|error| match error {
        sdp::Error::Unreadable { .. } => Error::BadSdp,
        sdp::Error::Incomplete(_) => Error::IncompleteSdp,
    })
}

/// Whether the message is to be returned unchanged, without any other effect: `loop protect` is
/// on, and the description has passed this relay already.
pub fn returned(session: &Session<'_>, options: &Options, instance: &str) -> bool {
    options.loop_protect && session.carries_instance(instance)
}

/// Writes the description for the other side; lines end with CRLF.
///
/// # Errors
/// [`Error::Rewrite`] if the plan does not fit the session, or asks for a change of protocol that
/// needs encryption. The memory is then unchanged.
pub fn write(
    session: &Session<'_>,
    plan: &Plan<'_>,
    memory: &mut Memory,
) -> Result<Vec<u8>, Error> {
    if session.medias.len() != plan.medias.len() {
        return Err(Error::Rewrite("number of medias differs".to_owned()));
    }
    for (media, media_plan) in session.medias.iter().zip(plan.medias) {
        media::check(media, media_plan)?;
    }
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"v=0\r\n");
    let hole = memory.write_origin(&mut out, session, plan);
    write_head(&mut out, session, plan, memory);
    for (media, media_plan) in session.medias.iter().zip(plan.medias) {
        media::write(&mut out, session, media, media_plan, plan.options);
    }
    memory.write_version(&mut out, hole, session, plan.options.replace);
    Ok(out)
}

/// The lines from `s=` to the last attribute of the session.
fn write_head(out: &mut Vec<u8>, session: &Session<'_>, plan: &Plan<'_>, memory: &mut Memory) {
    let name = memory.session_name(session, plan.options.replace);
    line(out, b's', name);
    for sort in *b"iuep" {
        for text in session.texts.iter().filter(|t| t.first() == Some(&sort)) {
            line_rest(out, text);
        }
    }
    for text in &session.bandwidth {
        line_rest(out, text);
    }
    if session.timing.iter().all(|t| !t.starts_with(b"t=")) {
        line_rest(out, b"t=0 0");
    }
    for timing in &session.timing {
        line_rest(out, timing);
    }
    if plan.options.loop_protect {
        out.extend_from_slice(b"a=rtpengine:");
        line_rest(out, plan.instance.as_bytes());
    }
    write_session_attributes(out, session, plan.options);
}

fn write_session_attributes(out: &mut Vec<u8>, session: &Session<'_>, options: &Options) {
    let passed = options.passthrough || options.ice == Ice::Pass;
    let first = |a: &&Attribute<'_>| passed && (a.key() == Key::IceLite || is_bundle(a));
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest is not ours to judge"
    )]
    let rest = |a: &&Attribute<'_>| match a.key() {
        Key::IceLite => false,
        Key::Ice => passed,
        Key::Group => !is_bundle(a),
        // Every RTP media states its direction and its RTCP port itself.
        Key::SendRecv | Key::SendOnly | Key::RecvOnly | Key::Inactive => {
            options.original_sendrecv || options.passthrough
        }
        Key::Rtcp | Key::RtcpMux | Key::RtcpMuxOnly | Key::BundleOnly => options.passthrough,
        _ => true,
    };
    for attribute in session.attributes.iter().filter(first) {
        line(out, b'a', attribute.raw());
    }
    for attribute in session.attributes.iter().filter(rest) {
        line(out, b'a', attribute.raw());
    }
}

fn is_bundle(attribute: &Attribute<'_>) -> bool {
    attribute.key() == Key::Group
        && attribute
            .value()
            .is_some_and(|v| v.split_ascii_whitespace().next() == Some("BUNDLE"))
}

/// `<sort>=<value>` and the line end.
fn line(out: &mut Vec<u8>, sort: u8, value: &[u8]) {
    out.extend_from_slice(&[sort, b'=']);
    line_rest(out, value);
}

/// A line that was kept with its letter, or the rest of one.
fn line_rest(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
