//! One `a=` line, sorted by meaning once, so that nobody has to compare names again.

/// An `a=` line of a session or a media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    raw: &'a [u8],
    name_len: usize,
    key: Key,
    payload: Option<u8>,
}

impl<'a> Attribute<'a> {
    /// An attribute from what follows `a=`, without the line end.
    pub fn new(raw: &'a [u8]) -> Self {
        let raw = raw.trim_ascii_end();
        let name_len = memchr::memchr(b':', raw).unwrap_or(raw.len());
        let key = Key::of(&raw[..name_len]);
        let mut attribute = Self {
            raw,
            name_len,
            key,
            payload: None,
        };
        if matches!(key, Key::Rtpmap | Key::Fmtp | Key::RtcpFb) {
            attribute.payload = attribute.leading_payload();
        }
        attribute
    }

    /// All that follows `a=`, without trailing blanks.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The name, up to the colon.
    pub fn name(&self) -> &'a [u8] {
        &self.raw[..self.name_len]
    }

    /// What follows the colon; `None` without a colon, and if it is not UTF-8.
    pub fn value(&self) -> Option<&'a str> {
        let value = self.raw.get(self.name_len + 1..)?;
        std::str::from_utf8(value).ok()
    }

    /// What it means.
    pub const fn key(&self) -> Key {
        self.key
    }

    /// The payload type that an `rtpmap`, `fmtp` or `rtcp-fb` speaks of, 0 to 127; `None` for
    /// others, for `rtcp-fb:*`, and for formats that are not numbers (`fmtp:MCPTT`).
    pub const fn payload(&self) -> Option<u8> {
        self.payload
    }

    /// What follows the payload type of an `rtpmap`, `fmtp` or `rtcp-fb`.
    pub fn parameters(&self) -> Option<&'a str> {
        let value = self.value()?;
        let (_, rest) = value.split_once([' ', '\t'])?;
        Some(rest.trim_ascii_start())
    }

    fn leading_payload(&self) -> Option<u8> {
        let value = self.raw.get(self.name_len + 1..)?;
        let end = value.iter().position(|b| matches!(b, b' ' | b'\t'));
        payload_type(&value[..end.unwrap_or(value.len())])
    }
}

/// Reads a payload type, 0 to 127 (RFC 3551).
pub(super) fn payload_type(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0u16, |sum, d| sum * 10 + u16::from(d - b'0'));
    u8::try_from(number).ok().filter(|n| *n < 128)
}

/// Attributes that a relay knows. Names are case-sensitive (RFC 8866 5.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `mid` (RFC 5888).
    Mid,
    /// `label` (RFC 4574).
    Label,
    /// `bundle-only` (RFC 9143).
    BundleOnly,
    /// `group` (RFC 5888), of which BUNDLE is one.
    Group,
    /// `rtpmap` (RFC 8866 6.6).
    Rtpmap,
    /// `fmtp` (RFC 8866 6.15).
    Fmtp,
    /// `rtcp-fb` (RFC 4585 4.2).
    RtcpFb,
    /// `extmap` (RFC 8285).
    Extmap,
    /// `sendrecv` (RFC 8866 6.7).
    SendRecv,
    /// `sendonly`.
    SendOnly,
    /// `recvonly`.
    RecvOnly,
    /// `inactive`.
    Inactive,
    /// `rtcp` (RFC 3605).
    Rtcp,
    /// `rtcp-mux` (RFC 5761).
    RtcpMux,
    /// `rtcp-mux-only` (RFC 8858).
    RtcpMuxOnly,
    /// `crypto` (RFC 4568).
    Crypto,
    /// `setup` (RFC 4145, 5763).
    Setup,
    /// `fingerprint` (RFC 8122).
    Fingerprint,
    /// `tls-id` (RFC 8842).
    TlsId,
    /// `ptime` (RFC 8866 6.4).
    Ptime,
    /// `maxptime` (RFC 8866 6.5).
    Maxptime,
    /// `ice-lite` (RFC 8839).
    IceLite,
    /// All other ICE attributes: `ice-ufrag`, `ice-pwd`, `ice-options`, `candidate`, ...
    Ice,
    /// `rtpengine`: a relay's identity (NG reference 7, `loop protect`).
    Instance,
    /// Everything else.
    Other,
}

impl Key {
    fn of(name: &[u8]) -> Self {
        match name {
            b"mid" => Self::Mid,
            b"label" => Self::Label,
            b"bundle-only" => Self::BundleOnly,
            b"group" => Self::Group,
            b"rtpmap" => Self::Rtpmap,
            b"fmtp" => Self::Fmtp,
            b"rtcp-fb" => Self::RtcpFb,
            b"extmap" => Self::Extmap,
            b"sendrecv" => Self::SendRecv,
            b"sendonly" => Self::SendOnly,
            b"recvonly" => Self::RecvOnly,
            b"inactive" => Self::Inactive,
            b"rtcp" => Self::Rtcp,
            b"rtcp-mux" => Self::RtcpMux,
            b"rtcp-mux-only" => Self::RtcpMuxOnly,
            b"crypto" => Self::Crypto,
            b"setup" => Self::Setup,
            b"fingerprint" => Self::Fingerprint,
            b"tls-id" => Self::TlsId,
            b"ptime" => Self::Ptime,
            b"maxptime" => Self::Maxptime,
            b"ice-lite" => Self::IceLite,
            b"candidate" | b"remote-candidates" | b"end-of-candidates" => Self::Ice,
            b"rtpengine" => Self::Instance,
            name if name.starts_with(b"ice-") => Self::Ice,
            _ => Self::Other,
        }
    }

    /// The direction that it states, if it is one of the four.
    pub const fn direction(self) -> Option<super::Direction> {
        use super::Direction;
        #[expect(clippy::wildcard_enum_match_arm, reason = "four of many keys")]
        match self {
            Self::SendRecv => Some(Direction::SendRecv),
            Self::SendOnly => Some(Direction::SendOnly),
            Self::RecvOnly => Some(Direction::RecvOnly),
            Self::Inactive => Some(Direction::Inactive),
            _ => None,
        }
    }
}
