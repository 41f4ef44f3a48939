//! One m-line with what belongs to it, and what it means to a relay.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::attribute::{Attribute, Key, payload_type};
use super::{Connection, Session};
use crate::wire::block::MediaKind;

/// One media of a session (RFC 8866 5.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, `application`, `message`, ... as written.
    pub kind: &'a str,
    /// Port; 0 means rejected (RFC 3264 6).
    pub port: u16,
    /// Number of consecutive port pairs, `2` in `5000/2`; at least 1.
    pub port_count: u16,
    /// Protocol as written: `RTP/AVP`, `udp`, ...
    pub protocol: &'a str,
    /// What the protocol is.
    pub profile: Profile,
    /// The formats as written, separated by blanks; see [`Self::formats`].
    pub format_list: &'a str,
    /// What follows `i=`.
    pub information: Option<&'a [u8]>,
    /// First `c=` of the media.
    pub connection: Option<Connection<'a>>,
    /// The lines `b=`, whole and in their order.
    pub bandwidth: Vec<&'a [u8]>,
    /// `a=` of the media, in their order.
    pub attributes: Vec<Attribute<'a>>,
}

impl<'a> Media<'a> {
    /// The formats of the m-line, in order of preference.
    pub fn formats(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.format_list.split_ascii_whitespace()
    }

    /// The payload types of the m-line (0 to 127), in order of preference; formats that are no
    /// numbers are left out.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.formats().filter_map(|f| payload_type(f.as_bytes()))
    }

    /// The first attribute with this meaning.
    pub fn attribute(&self, key: Key) -> Option<&Attribute<'a>> {
        self.attributes.iter().find(|a| a.key() == key)
    }

    /// Value of the first attribute with this meaning.
    pub fn value(&self, key: Key) -> Option<&'a str> {
        self.attribute(key)?.value()
    }

    /// Port 0: refused or taken out, the place stays (RFC 3264 5.1, 6, 8.2).
    pub const fn is_rejected(&self) -> bool {
        self.port == 0
    }

    /// RTP or SRTP over UDP.
    pub fn is_rtp(&self) -> bool {
        self.profile != Profile::Other
    }

    /// `m=message`: MSRP over TCP (RFC 4975), nothing for a relay of datagrams.
    pub fn is_message(&self) -> bool {
        self.kind.eq_ignore_ascii_case("message")
    }

    /// What an agreement can name it. Floor and transmission control is `m=application ... udp
    /// MCPTT` (TS 24.380 4.3.3.1) or `MCVideo` (TS 24.581 4.3.3.1), in any case.
    pub fn media_kind(&self) -> MediaKind {
        if self.kind.eq_ignore_ascii_case("audio") {
            MediaKind::Audio
        } else if self.kind.eq_ignore_ascii_case("video") {
            MediaKind::Video
        } else if self.is_floor() {
            MediaKind::Floor
        } else {
            MediaKind::Other
        }
    }

    fn is_floor(&self) -> bool {
        self.kind.eq_ignore_ascii_case("application")
            && self.protocol.eq_ignore_ascii_case("udp")
            && self
                .formats()
                .any(|f| f.eq_ignore_ascii_case("MCPTT") || f.eq_ignore_ascii_case("MCVideo"))
    }

    /// The direction as stated here, else for the session, else `sendrecv` (RFC 8866 6.7).
    pub fn direction(&self, session: &Session<'_>) -> Direction {
        self.stated_direction()
            .or_else(|| session.attributes.iter().find_map(|a| a.key().direction()))
            .unwrap_or_default()
    }

    /// The direction stated at the media itself.
    pub fn stated_direction(&self) -> Option<Direction> {
        self.attributes.iter().find_map(|a| a.key().direction())
    }

    /// `c=` that counts: that of the media, else that of the session.
    pub fn connection<'s>(&'s self, session: &'s Session<'a>) -> Option<&'s Connection<'a>> {
        self.connection.as_ref().or(session.connection.as_ref())
    }

    /// The address that counts; `None` for a host name, and if there is none.
    pub fn address(&self, session: &Session<'_>) -> Option<IpAddr> {
        match &self.connection {
            Some(connection) => connection.address,
            None => session.connection.as_ref()?.address,
        }
    }

    /// Where its RTP is to be sent. `None` if rejected or without an address. A held media gives
    /// the zero address with its port.
    pub fn endpoint(&self, session: &Session<'_>) -> Option<SocketAddr> {
        if self.is_rejected() {
            return None;
        }
        Some(SocketAddr::new(self.address(session)?, self.port))
    }

    /// Where its RTCP is to be sent if it is not multiplexed: `a=rtcp`, else the next port
    /// (RFC 3550 11, RFC 3605). `None` as for [`Self::endpoint`], and if there is no next port.
    pub fn rtcp_endpoint(&self, session: &Session<'_>) -> Option<SocketAddr> {
        let rtp = self.endpoint(session)?;
        match self.rtcp() {
            Some(Rtcp { port, address }) => {
                let address = address.unwrap_or_else(|| rtp.ip());
                Some(SocketAddr::new(address, port))
            }
            None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }

    /// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605 2.1). `None` without one, and if it cannot be
    /// read or names port 0.
    pub fn rtcp(&self) -> Option<Rtcp> {
        let mut words = self.value(Key::Rtcp)?.split_ascii_whitespace();
        let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
        let address = words.nth(2).and_then(|word| word.parse().ok());
        Some(Rtcp { port, address })
    }

    /// `a=rtcp-mux` (RFC 5761 5.1.1) or `a=rtcp-mux-only` (RFC 8858).
    pub fn rtcp_mux(&self) -> bool {
        self.attributes
            .iter()
            .any(|a| matches!(a.key(), Key::RtcpMux | Key::RtcpMuxOnly))
    }

    /// Held in the old form: the address that counts is 0.0.0.0 or `::` (RFC 3264 8.4). With port
    /// 9 that is trickle ICE (RFC 8840 4.1.1), not hold.
    pub fn is_held(&self, session: &Session<'_>) -> bool {
        self.port != 0
            && self.port != 9
            && self.address(session).is_some_and(|a| a.is_unspecified())
    }

    /// `a=mid` (RFC 5888).
    pub fn mid(&self) -> Option<&'a str> {
        self.value(Key::Mid)
    }

    /// `a=label` (RFC 4574).
    pub fn label(&self) -> Option<&'a str> {
        self.value(Key::Label)
    }

    /// `a=ptime`, in milliseconds (RFC 8866 6.4); a fraction is cut off.
    pub fn ptime(&self) -> Option<u32> {
        let value = self.value(Key::Ptime)?.trim_ascii();
        let whole = value.split_once('.').map_or(value, |(whole, _)| whole);
        whole.parse().ok()
    }
}

/// Content of `a=rtcp` (RFC 3605).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// Port, never 0.
    pub port: u16,
    /// Address, if another than that of RTP is stated and can be read.
    pub address: Option<IpAddr>,
}

/// What the author of a description does with a media (RFC 8866 6.7, RFC 3264 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Sends and receives.
    #[default]
    SendRecv,
    /// Only sends.
    SendOnly,
    /// Only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// From what it does.
    pub const fn new(send: bool, recv: bool) -> Self {
        match (send, recv) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// It sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// It receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The name of the attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// The protocol of an m-line, as far as RTP goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// `RTP/AVP` (RFC 3551).
    Avp,
    /// `RTP/AVPF` (RFC 4585).
    Avpf,
    /// `RTP/SAVP` (RFC 3711).
    Savp,
    /// `RTP/SAVPF` (RFC 5124).
    Savpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764).
    TlsSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764).
    TlsSavpf,
    /// Not RTP over UDP: `udp`, `UDPTL`, `UDP/BFCP`, `TCP/MSRP`, ...
    Other,
}

impl Profile {
    /// The profile of a protocol word, in any case.
    pub fn of(word: &str) -> Self {
        const WORDS: [(&str, Profile); 6] = [
            ("RTP/AVP", Profile::Avp),
            ("RTP/AVPF", Profile::Avpf),
            ("RTP/SAVP", Profile::Savp),
            ("RTP/SAVPF", Profile::Savpf),
            ("UDP/TLS/RTP/SAVP", Profile::TlsSavp),
            ("UDP/TLS/RTP/SAVPF", Profile::TlsSavpf),
        ];
        WORDS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map_or(Self::Other, |(_, profile)| *profile)
    }

    /// Whether packets of one can be passed on as packets of the other unchanged: equal but for
    /// the feedback letter F, which only allows more RTCP (RFC 4585, RFC 5124).
    pub fn passes_as(self, other: Self) -> bool {
        self.without_feedback() == other.without_feedback()
    }

    const fn without_feedback(self) -> Self {
        match self {
            Self::Avp | Self::Avpf => Self::Avp,
            Self::Savp | Self::Savpf => Self::Savp,
            Self::TlsSavp | Self::TlsSavpf => Self::TlsSavp,
            Self::Other => Self::Other,
        }
    }
}
