//! Tells analysers what a stream is: a session announcement in front of its packets.
//!
//! RTP has no port of its own, so Wireshark takes it for plain UDP unless something has announced
//! it. Signalling is not in a recording; therefore each recording begins with one SAP packet
//! (RFC 2974) a stream, whose SDP names the stream's address, port and codecs. Its comment says
//! that it was made here and not received.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::wire::block::{MediaKind, StreamInfo, StreamKind};

/// Comment of the announcement.
pub(super) const COMMENT: &str =
    "made by the logger, not received: tells analysers what the stream is";

/// A SAP packet for the stream with the address that it goes to, or `None` if the stream is
/// described together with another one: RTCP goes with its RTP.
pub(super) fn announcement(info: &StreamInfo) -> Option<(SocketAddr, Vec<u8>)> {
    let sdp = match (info.kind, info.media) {
        (StreamKind::Rtcp, _) => return None,
        (StreamKind::Rtp, _) => rtp(info),
        (StreamKind::Datagram, MediaKind::Floor) => floor(info),
        (StreamKind::Datagram, _) => return None,
    };
    let mut packet = Vec::with_capacity(sdp.len() + 40);
    // Version 1, an announcement, neither encrypted nor compressed (RFC 2974 3); no
    // authentication data; the message identifier tells announcements of one source apart.
    let [.., high, low] = info.stream.to_be_bytes();
    let (address, to) = match info.local.ip() {
        IpAddr::V4(ip) => {
            packet.extend([0x20, 0, high, low]);
            packet.extend(ip.octets());
            ("IP4", IpAddr::V4(SAP_V4))
        }
        IpAddr::V6(ip) => {
            packet.extend([0x30, 0, high, low]);
            packet.extend(ip.octets());
            ("IP6", IpAddr::V6(SAP_V6))
        }
    };
    packet.extend(b"application/sdp\0");
    packet.extend(sdp.replace("{family}", address).as_bytes());
    Some((SocketAddr::new(to, SAP_PORT), packet))
}

fn rtp(info: &StreamInfo) -> String {
    let mut sdp = head(info);
    let media = match info.media {
        MediaKind::Video => "video",
        MediaKind::Audio | MediaKind::Floor | MediaKind::Other => "audio",
    };
    let _ = write!(sdp, "m={media} {} RTP/AVP", info.local.port());
    for codec in &info.codecs {
        let _ = write!(sdp, " {}", codec.payload_type);
    }
    if info.codecs.is_empty() {
        sdp.push_str(" 0");
    }
    sdp.push_str("\r\n");
    for codec in &info.codecs {
        let _ = write!(
            sdp,
            "a=rtpmap:{} {}\r\n",
            codec.payload_type, codec.encoding
        );
        if !codec.fmtp.is_empty() {
            let _ = write!(sdp, "a=fmtp:{} {}\r\n", codec.payload_type, codec.fmtp);
        }
    }
    sdp.push_str("a=recvonly\r\n");
    sdp
}

/// Floor control consists of RTCP APP packets (TS 24.380 8.1.2) on a port of its own.
fn floor(info: &StreamInfo) -> String {
    let mut sdp = head(info);
    let port = info.local.port();
    let _ = write!(sdp, "m=application {port} udp MCPTT\r\n");
    sdp
}

fn head(info: &StreamInfo) -> String {
    let ip = info.local.ip();
    format!(
        "v=0\r\no=- {id} 1 IN {{family}} {ip}\r\ns=stream {id}\r\nc=IN {{family}} {ip}\r\nt=0 0\r\n",
        id = info.stream,
    )
}

/// Group and port of SAP for global sessions (RFC 2974 3).
const SAP_V4: Ipv4Addr = Ipv4Addr::new(224, 2, 127, 254);
const SAP_V6: Ipv6Addr = Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 2, 0x7ffe);
const SAP_PORT: u16 = 9_875;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::block::{Codec, Direction};

    fn info(local: &str, kind: StreamKind, media: MediaKind) -> StreamInfo {
        StreamInfo {
            stream: 7,
            from_tag: "a".into(),
            direction: Direction::FromUser,
            media_index: 1,
            media,
            kind,
            local: local.parse().unwrap(),
            remote: None,
            codecs: vec![Codec {
                payload_type: 96,
                encoding: "AMR-WB/16000".into(),
                fmtp: "octet-align=1".into(),
            }],
        }
    }

    #[test]
    fn announces_rtp_with_its_codecs() {
        let info = info("192.0.2.5:30000", StreamKind::Rtp, MediaKind::Audio);
        let (to, packet) = announcement(&info).unwrap();
        assert_eq!(to.to_string(), "224.2.127.254:9875");
        assert_eq!(packet[..8], [0x20, 0, 0, 7, 192, 0, 2, 5]);
        let text = std::str::from_utf8(&packet[8..]).unwrap();
        assert_eq!(
            text,
            "application/sdp\0v=0\r\no=- 7 1 IN IP4 192.0.2.5\r\ns=stream 7\r\n\
             c=IN IP4 192.0.2.5\r\nt=0 0\r\nm=audio 30000 RTP/AVP 96\r\n\
             a=rtpmap:96 AMR-WB/16000\r\na=fmtp:96 octet-align=1\r\na=recvonly\r\n"
        );
    }

    #[test]
    fn rtcp_goes_with_its_rtp() {
        let rtcp = info("[2001:db8::5]:30001", StreamKind::Rtcp, MediaKind::Audio);
        assert!(announcement(&rtcp).is_none());
        let floor = info(
            "[2001:db8::5]:30002",
            StreamKind::Datagram,
            MediaKind::Floor,
        );
        let (to, packet) = announcement(&floor).unwrap();
        assert_eq!(to.to_string(), "[ff0e::2:7ffe]:9875");
        assert_eq!(packet[0], 0x30);
    }
}
