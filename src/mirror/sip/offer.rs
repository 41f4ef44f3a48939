//! Writes the offer (RFC 3264, RFC 8866).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{Lane, Offer};
use crate::wire::block::{Direction, MediaKind, StreamKind};

/// Attribute of the session: identities of the relays that the media has come through, separated
/// by blanks.
pub const PATH: &str = "homeward-path";
/// Attribute of the session: what is known of the call, JSON in base64.
pub const CALL: &str = "homeward-call";
/// Attribute of a media: number of the stream, direction, place of the m-line in the call, and the
/// tag of who sends it, in base64.
pub const LANE: &str = "homeward-lane";

/// The description of an offer. `slots` holds its lanes in the order of the m-lines; a slot whose
/// lane has gone keeps its place, with port 0 (RFC 3264 8.2).
pub fn write(offer: &Offer, slots: &[(Lane, bool)], session: u64, version: u64) -> String {
    let address = slots
        .iter()
        .find(|(_, live)| *live)
        .or_else(|| slots.first());
    let address = address.map_or_else(nowhere, |(lane, _)| lane.rtp);
    let mut text = String::with_capacity(2_048);
    let at = connection(address.ip());
    let _ = write!(
        text,
        "v=0\r\no=homeward {session} {version} {at}\r\ns=homeward\r\nc={at}\r\nt=0 0\r\n"
    );
    let path: Vec<String> = offer.path.iter().map(|id| word(id)).collect();
    let _ = write!(text, "a={PATH}:{}\r\n", path.join(" "));
    let call = serde_json::to_vec(&offer.info).unwrap_or_default();
    let _ = write!(text, "a={CALL}:{}\r\n", BASE64_STANDARD.encode(call));
    for (lane, live) in slots {
        media(&mut text, lane, *live, address.ip(), offer);
    }
    text
}

fn media(text: &mut String, lane: &Lane, live: bool, session: IpAddr, offer: &Offer) {
    let info = &lane.info;
    let kind = match info.media {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Floor | MediaKind::Other => "application",
    };
    let port = if live { lane.rtp.port() } else { 0 };
    let protocol = word(&lane.protocol);
    let formats = formats(lane, offer.info.service.as_deref());
    let _ = write!(text, "m={kind} {port} {protocol} {formats}\r\n");
    if !live {
        return;
    }
    if lane.rtp.ip() != session {
        let _ = write!(text, "c={}\r\n", connection(lane.rtp.ip()));
    }
    let _ = write!(text, "a=label:{}\r\n", word(&lane.label));
    let direction = match info.direction {
        Direction::FromUser => "from-user",
        Direction::ToUser => "to-user",
        Direction::Both => "both",
    };
    let tag = BASE64_STANDARD.encode(&info.from_tag);
    let (stream, place) = (info.stream, info.media_index);
    let _ = write!(text, "a={LANE}:{stream} {direction} {place} {tag}\r\n");
    for codec in &info.codecs {
        let payload = codec.payload_type;
        if !codec.encoding.is_empty() {
            let _ = write!(text, "a=rtpmap:{payload} {}\r\n", line(&codec.encoding));
        }
        if !codec.fmtp.is_empty() {
            let _ = write!(text, "a=fmtp:{payload} {}\r\n", line(&codec.fmtp));
        }
    }
    match lane.rtcp {
        Some(rtcp) if rtcp.ip() == lane.rtp.ip() => {
            let _ = write!(text, "a=rtcp:{}\r\n", rtcp.port());
        }
        Some(rtcp) => {
            let _ = write!(text, "a=rtcp:{} {}\r\n", rtcp.port(), connection(rtcp.ip()));
        }
        None if info.kind == StreamKind::Rtp => text.push_str("a=rtcp-mux\r\n"),
        None => {}
    }
    text.push_str("a=sendrecv\r\n");
}

fn formats(lane: &Lane, service: Option<&str>) -> String {
    if lane.info.kind == StreamKind::Datagram {
        let name = match service {
            Some("mcvideo") => "MCVideo",
            _ => "MCPTT",
        };
        return name.to_owned();
    }
    let codecs = lane.info.codecs.iter();
    let types: Vec<String> = codecs.map(|codec| codec.payload_type.to_string()).collect();
    match types.is_empty() {
        // Some format must stand there; nobody knows what it is.
        true => "96".to_owned(),
        false => types.join(" "),
    }
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

/// `IN IP4 192.0.2.1`.
fn connection(address: IpAddr) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!("IN {family} {address}")
}

/// Without anything that could end a line.
fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The same without blanks.
fn word(text: &str) -> String {
    let keep = |c: &char| !c.is_control() && !c.is_whitespace();
    text.chars().filter(keep).collect()
}
