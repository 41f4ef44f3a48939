//! Options of an offer or answer, in checked form (NG reference 6 and 7).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Everything besides tags and SDP that an offer or answer can say. The default is what an
/// exchange without any flag means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Interface names [towards the sender of the SDP, towards its receiver]; `direction`.
    pub direction: [Option<Box<str>>; 2],
    /// Source address of the SIP message, if known; `received-from`.
    pub received_from: Option<IpAddr>,
    /// Use `received_from` as the media address of the SDP's sender; flag `SIP source address`.
    pub sip_source_address: bool,
    /// The sender of the SDP sends from another address than it receives on: do not learn.
    pub asymmetric: bool,
    /// Drop what comes from elsewhere after learning. `None`: the configured default (on).
    pub strict_source: Option<bool>,
    /// Follow a changed source after learning.
    pub media_handover: bool,
    /// How the peer's real address is learned. `None`: the configured default (heuristic).
    pub learning: Option<Learning>,
    /// `Some(true)`: keep local ports though the endpoint changed; `Some(false)`: renew them.
    pub port_latching: Option<bool>,
    /// Forget media state and open new ports.
    pub reset: bool,
    /// Write and honour `a=rtpengine:<instance>`.
    pub loop_protect: bool,
    /// Leave direction attributes as they came.
    pub original_sendrecv: bool,
    /// How `a=rtcp` is written.
    pub rtcp_attribute: RtcpAttribute,
    /// What of `o=`, `s=` and zero addresses is replaced.
    pub replace: Replace,
    /// Family to advertise towards the receiver of the SDP.
    pub address_family: Option<Family>,
    /// Address to write into `c=`, whatever socket is used.
    pub media_address: Option<IpAddr>,
    /// Protocol to offer on the other side, `RTP/AVPF` for example; upper case.
    pub transport_protocol: Option<Box<str>>,
    /// What becomes of ICE attributes.
    pub ice: Ice,
    /// rtcp-mux rules (RFC 5761).
    pub rtcp_mux: RtcpMux,
    /// DSCP byte for this call's sockets.
    pub tos: Option<u8>,
    /// Names the party that sent the SDP.
    pub label: Option<Box<str>>,
    /// Free text, stored with the call.
    pub metadata: Option<Box<str>>,
    /// Do not touch media attributes; flag `passthrough`.
    pub passthrough: bool,
    /// Codec names to remove from the SDP that is handed on; `codec strip`.
    pub codec_strip: Vec<Box<str>>,
    /// Makes a new branch even if the tags are known; flag `new branch`.
    pub new_branch: bool,
}

/// How the real address of a peer is found (NG reference 13.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learning {
    /// The declared address only.
    Off,
    /// The source of the first packet.
    Immediate,
    /// What is seen at the end of the window.
    Delayed,
    /// Within the window the best match with the declared address.
    #[default]
    Heuristic,
}

/// How `a=rtcp` is written (NG reference 7, 12.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtcpAttribute {
    /// `a=rtcp:<port>`.
    #[default]
    Port,
    /// Not at all.
    None,
    /// With the address.
    Full,
}

/// The `replace` list (NG reference 12.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replace {
    /// Address in `o=`.
    pub origin: bool,
    /// User in `o=` is fixed to the first one used.
    pub username: bool,
    /// `s=` is fixed to the first one used.
    pub session_name: bool,
    /// Version is fixed, and grows when the SDP written differs from the last one.
    pub sdp_version: bool,
    /// User, id, version and address are all ours.
    pub origin_full: bool,
    /// Version grows on every message.
    pub force_increment_sdp_ver: bool,
    /// In an on-hold SDP with a zero address, the real address is written.
    pub zero_address: bool,
}

/// An address family, named as in SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IP4")]
    Ip4,
    /// IPv6.
    #[serde(rename = "IP6")]
    Ip6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ip4,
            IpAddr::V6(_) => Self::Ip6,
        }
    }

    /// `IP4` or `IP6`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip4 => "IP4",
            Self::Ip6 => "IP6",
        }
    }
}

/// What becomes of ICE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ice {
    /// ICE attributes are removed.
    #[default]
    Remove,
    /// We were told to take part in ICE, which this relay cannot: refused.
    Force,
    /// ICE attributes and candidates are passed as they are; `force-relay` and passthrough.
    Pass,
}

/// `rtcp-mux` rules; several may be set (NG reference 6, 12.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpMux {
    /// Offer mux to the other side, with a separate port as fallback.
    pub offer: bool,
    /// Offer mux without a fallback.
    pub require: bool,
    /// Accept mux from the offerer, do not offer it on.
    pub demux: bool,
    /// Accept mux from the offerer whatever the other side does.
    pub accept: bool,
    /// Refuse mux.
    pub reject: bool,
}
