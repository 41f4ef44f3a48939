//! Reads a relay's offer, and writes the answer (RFC 3264).

use std::fmt::Write as _;
use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::wire::block::{CallInfo, Codec, Direction, MediaKind, StreamKind};
use crate::wire::sdp::{self, Key};
use crate::wire::sip::Message;
use crate::wire::time::Timestamp;

/// What a relay offers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offer {
    /// Identities of the relays that the media has come through.
    pub(super) path: Vec<String>,
    /// What is known of the call.
    pub(super) info: CallInfo,
    /// Its m-lines; `None` for one that is not in use, or that we cannot take.
    pub(super) lanes: Vec<(Line, Option<Wanted>)>,
}

/// An m-line, as far as the answer repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    kind: String,
    protocol: String,
    formats: String,
    attributes: Vec<String>,
}

/// A lane that is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) media: MediaKind,
    /// RTP, or datagrams.
    pub(super) kind: StreamKind,
    /// Where its packets come from and go back to.
    pub(super) rtp: SocketAddr,
    /// The same for RTCP, if it has a port of its own.
    pub(super) rtcp: Option<SocketAddr>,
    pub(super) codecs: Vec<Codec>,
    pub(super) direction: Direction,
    pub(super) media_index: u32,
    pub(super) from_tag: String,
}

/// Reads the offer of an INVITE.
pub(super) fn read(invite: &Message, system: &str, now: Timestamp) -> Result<Offer, String> {
    let session = sdp::parse(&invite.body).map_err(|error| format!("SDP: {error}"))?;
    if session.medias.len() > MAX_LANES {
        return Err(format!("more than {MAX_LANES} m-lines"));
    }
    let path = value(&session, PATH).unwrap_or_default();
    let path = path.split_ascii_whitespace().map(str::to_owned).collect();
    let info = match value(&session, CALL) {
        Some(text) => call(text).ok_or("homeward-call cannot be read")?,
        None => CallInfo {
            call_id: invite.call_id.clone(),
            started: now,
            relay_system: invite.from_host.clone(),
            primary_system: system.to_owned(),
            reason: "redirected".to_owned(),
            ..CallInfo::default()
        },
    };
    let tag = invite.from_tag.as_deref().unwrap_or_default();
    let lanes = (1..).zip(&session.medias);
    let lanes = lanes.map(|(place, media)| (line(media), wanted(media, &session, place, tag)));
    Ok(Offer {
        path,
        info,
        lanes: lanes.collect(),
    })
}

/// The first identity that stands twice, or is one of ours.
pub(super) fn repeated<'o>(path: &'o [String], ours: &[String]) -> Option<&'o str> {
    let twice = |(place, id): (usize, &&'o String)| path[..place].contains(id) || ours.contains(id);
    let mut ids = path.iter().enumerate();
    ids.find(|(place, id)| twice((*place, id)))
        .map(|(_, id)| id.as_str())
}

/// An m-line of the answer with our port and that of RTCP, or `None` if it is refused.
pub(super) type Answered = (Line, Option<(SocketAddr, Option<SocketAddr>)>);

/// The answer.
pub(super) fn answer(lines: &[Answered], session: u64, version: u64) -> String {
    let first = lines.iter().find_map(|(_, at)| *at);
    let at = connection(first.map_or_else(nowhere, |(rtp, _)| rtp));
    let mut text =
        format!("v=0\r\no=homeward {session} {version} {at}\r\ns=homeward\r\nc={at}\r\nt=0 0\r\n");
    for (line, at_port) in lines {
        let port = at_port.map_or(0, |(rtp, _)| rtp.port());
        let (kind, protocol, formats) = (&line.kind, &line.protocol, &line.formats);
        let _ = write!(text, "m={kind} {port} {protocol} {formats}\r\n");
        let Some((rtp, rtcp)) = at_port else {
            continue;
        };
        let own = connection(*rtp);
        if own != at {
            let _ = write!(text, "c={own}\r\n");
        }
        for attribute in &line.attributes {
            let _ = write!(text, "a={attribute}\r\n");
        }
        if let Some(rtcp) = rtcp {
            let _ = write!(text, "a=rtcp:{}\r\n", rtcp.port());
        }
        text.push_str("a=sendrecv\r\n");
    }
    text
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn connection(address: SocketAddr) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!("IN {family} {}", address.ip())
}

fn line(media: &sdp::Media<'_>) -> Line {
    // What the answer says of the formats is what was offered: nothing is converted here.
    let repeated = |a: &&sdp::Attribute<'_>| {
        matches!(a.key(), Key::Label | Key::Rtpmap | Key::Fmtp | Key::RtcpMux)
    };
    let attributes = media.attributes.iter().filter(repeated);
    let attributes = attributes.filter_map(|a| Some(std::str::from_utf8(a.raw()).ok()?.to_owned()));
    Line {
        kind: media.kind.to_owned(),
        protocol: media.protocol.to_owned(),
        formats: media.format_list.to_owned(),
        attributes: attributes.collect(),
    }
}

fn wanted(
    media: &sdp::Media<'_>,
    session: &sdp::Session<'_>,
    place: u32,
    tag: &str,
) -> Option<Wanted> {
    let rtp = media.endpoint(session)?;
    let plain = media.is_rtp() || media.protocol.eq_ignore_ascii_case("udp");
    let direction = media.direction(session);
    if !plain || rtp.ip().is_unspecified() || rtp.ip().is_multicast() {
        return None;
    }
    if direction != sdp::Direction::SendRecv {
        return None;
    }
    let told = media
        .attributes
        .iter()
        .find(|a| a.name() == LANE.as_bytes());
    let told = told.and_then(|a| told_of(a.value()?));
    let (direction, media_index, from_tag) =
        told.unwrap_or_else(|| (Direction::FromUser, place, tag.to_owned()));
    let separate = media.is_rtp() && !media.rtcp_mux();
    let codecs = media.codecs();
    Some(Wanted {
        media: media.media_kind(),
        kind: match media.is_rtp() {
            true => StreamKind::Rtp,
            false => StreamKind::Datagram,
        },
        rtp,
        rtcp: separate.then(|| media.rtcp_endpoint(session)).flatten(),
        codecs: codecs
            .iter()
            .map(|codec| Codec {
                payload_type: codec.payload,
                encoding: match codec.name {
                    "" => String::new(),
                    _ => codec.to_string(),
                },
                fmtp: codec.fmtp.unwrap_or_default().to_owned(),
            })
            .collect(),
        direction,
        media_index,
        from_tag,
    })
}

/// `<stream> <direction> <place of the m-line> <tag in base64>`.
fn told_of(text: &str) -> Option<(Direction, u32, String)> {
    let mut words = text.split_ascii_whitespace();
    let _: u64 = words.next()?.parse().ok()?;
    let direction = match words.next()? {
        "from-user" => Direction::FromUser,
        "to-user" => Direction::ToUser,
        "both" => Direction::Both,
        _ => return None,
    };
    let place = words.next()?.parse().ok()?;
    let tag = BASE64_STANDARD
        .decode(words.next().unwrap_or_default())
        .ok()?;
    let tag = String::from_utf8(tag)
        .ok()
        .filter(|tag| tag.len() <= MAX_TAG)?;
    Some((direction, place, tag))
}

fn call(text: &str) -> Option<CallInfo> {
    let json = BASE64_STANDARD.decode(text.trim_ascii()).ok()?;
    let mut info: CallInfo = serde_json::from_slice(&json).ok()?;
    info.parties.truncate(MAX_PARTIES);
    Some(info)
}

fn value<'a>(session: &sdp::Session<'a>, name: &str) -> Option<&'a str> {
    let mut attributes = session.attributes.iter();
    attributes.find(|a| a.name() == name.as_bytes())?.value()
}

/// See `crate::manual::redirect`.
const PATH: &str = "homeward-path";
const CALL: &str = "homeward-call";
const LANE: &str = "homeward-lane";
/// Most m-lines of a call.
const MAX_LANES: usize = 64;
const MAX_TAG: usize = 512;
const MAX_PARTIES: usize = 1_024;
