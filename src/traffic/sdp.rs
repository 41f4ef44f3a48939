//! The few lines of SDP (RFC 8866) that a party writes, and the addresses that it reads.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::media::Format;

/// Local ports of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalPorts {
    pub(super) rtp: u16,
    /// `None`: no RTCP is sent, and its port is not stated.
    pub(super) rtcp: Option<u16>,
    pub(super) floor: Option<u16>,
}

/// Where a party sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
    pub(super) floor: Option<SocketAddr>,
}

/// The description that a party offers or answers with.
pub(super) fn write(session: u64, ip: IpAddr, ports: LocalPorts, format: &Format) -> String {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let Format {
        payload_type,
        encoding,
        fmtp,
        ..
    } = format;
    let mut sdp = format!(
        "v=0\r\no=load {session} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {encoding}\r\n",
        ports.rtp
    );
    // Writing to a string has no way to fail.
    if let Some(fmtp) = fmtp {
        let _ = write!(sdp, "a=fmtp:{payload_type} {fmtp}\r\n");
    }
    sdp.push_str("a=ptime:20\r\na=sendrecv\r\n");
    if let Some(port) = ports.rtcp {
        let _ = write!(sdp, "a=rtcp:{port}\r\n");
    }
    if let Some(port) = ports.floor {
        let _ = write!(
            sdp,
            "m=application {port} udp MCPTT\r\na=fmtp:MCPTT mc_queueing;mc_priority=5\r\n"
        );
    }
    sdp
}

/// What a description from the relay lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// No `m=audio` line with a port.
    #[error("no audio with a port in the description")]
    Audio,
    /// Floor control was offered, and is not in the description.
    #[error("no floor control with a port in the description")]
    Floor,
    /// No address for a media.
    #[error("no address in the description")]
    Address,
}

/// Where to send, from the description that the relay gave.
pub(super) fn read(sdp: &str, floor: bool) -> Result<Remote, SdpError> {
    let mut session = None;
    let mut medias: Vec<Section<'_>> = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            medias.push(Section::new(media));
        } else if let Some(connection) = line.strip_prefix("c=") {
            let ip = connection
                .split_ascii_whitespace()
                .nth(2)
                .and_then(|ip| ip.parse().ok());
            match medias.last_mut() {
                Some(media) => media.ip = ip,
                None => session = ip,
            }
        } else if let Some(rtcp) = line.strip_prefix("a=rtcp:")
            && let Some(media) = medias.last_mut()
        {
            let port = rtcp.split_ascii_whitespace().next();
            media.rtcp = port.and_then(|port| port.parse().ok());
        }
    }
    let find = |kind: &str, proto: &str| {
        medias.iter().find(|media| {
            media.kind == kind && media.port != 0 && media.proto.eq_ignore_ascii_case(proto)
        })
    };
    let audio = find("audio", "RTP/AVP").ok_or(SdpError::Audio)?;
    let ip = audio.ip.or(session).ok_or(SdpError::Address)?;
    let floor = match (floor, find("application", "udp")) {
        (false, _) => None,
        (true, None) => return Err(SdpError::Floor),
        (true, Some(media)) => {
            let ip = media.ip.or(session).ok_or(SdpError::Address)?;
            Some(SocketAddr::new(ip, media.port))
        }
    };
    let rtcp = audio.rtcp.unwrap_or_else(|| audio.port.wrapping_add(1));
    Ok(Remote {
        rtp: SocketAddr::new(ip, audio.port),
        rtcp: SocketAddr::new(ip, rtcp),
        floor,
    })
}

struct Section<'a> {
    kind: &'a str,
    port: u16,
    proto: &'a str,
    ip: Option<IpAddr>,
    rtcp: Option<u16>,
}

impl<'a> Section<'a> {
    fn new(media: &'a str) -> Self {
        let mut words = media.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        let port = words.next().and_then(|port| port.parse().ok());
        Self {
            kind,
            port: port.unwrap_or(0),
            proto: words.next().unwrap_or_default(),
            ip: None,
            rtcp: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        payload_type: 96,
        encoding: "AMR-WB/16000",
        fmtp: Some("octet-align=1"),
        step: 320,
    };

    #[test]
    fn reads_what_it_writes() {
        let ports = LocalPorts {
            rtp: 4000,
            rtcp: Some(4001),
            floor: Some(4002),
        };
        for ip in ["192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let remote = read(&write(1, ip, ports, &FORMAT), true).unwrap();
            assert_eq!(remote.rtp, SocketAddr::new(ip, 4000));
            assert_eq!(remote.rtcp, SocketAddr::new(ip, 4001));
            assert_eq!(remote.floor, Some(SocketAddr::new(ip, 4002)));
        }
    }

    #[test]
    fn an_address_of_the_media_goes_first() {
        let sdp = "v=0\nc=IN IP4 192.0.2.1\nm=audio 5000 RTP/AVP 0\nc=IN IP4 192.0.2.2\n";
        let remote = read(sdp, false).unwrap();
        assert_eq!(remote.rtp, "192.0.2.2:5000".parse().unwrap());
        assert_eq!(remote.rtcp, "192.0.2.2:5001".parse().unwrap());
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(read("", false), Err(SdpError::Audio));
        let refused = "c=IN IP4 192.0.2.1\nm=audio 0 RTP/AVP 0\n";
        assert_eq!(read(refused, false), Err(SdpError::Audio));
        assert_eq!(
            read("m=audio 5000 RTP/AVP 0\n", false),
            Err(SdpError::Address)
        );
        let plain = "c=IN IP4 192.0.2.1\nm=audio 5000 RTP/AVP 0\n";
        assert_eq!(read(plain, true), Err(SdpError::Floor));
    }
}
