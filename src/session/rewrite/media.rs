//! One media of the outgoing description, in the order of NG reference 12.1.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Action, Kept, MediaPlan, Mux, line, line_rest};
use crate::session::options::{Family, Ice, Options, RtcpAttribute};
use crate::session::reply::Error;
use crate::wire::sdp::{Attribute, Direction, Key, Media, Profile, Session, static_codec};

/// Whether the plan can be carried out without encryption.
pub(super) fn check(media: &Media<'_>, plan: &MediaPlan<'_>) -> Result<(), Error> {
    let Some(word) = plan.protocol.filter(|_| media.is_rtp()) else {
        return Ok(());
    };
    if plan.action != Action::Relay || media.profile.passes_as(Profile::of(word)) {
        return Ok(());
    }
    let from = media.protocol;
    Err(Error::Rewrite(format!(
        "{from} cannot become {word} without encryption"
    )))
}

pub(super) fn write(
    out: &mut Vec<u8>,
    session: &Session<'_>,
    media: &Media<'_>,
    plan: &MediaPlan<'_>,
    options: &Options,
) {
    let writer = Writer {
        session,
        media,
        plan,
        options,
    };
    match plan.action {
        Action::AsItCame => writer.as_it_came(out),
        Action::Relay if !plan.kept.is_empty() => writer.relayed(out),
        Action::Relay | Action::Reject => writer.rejected(out),
    }
}

struct Writer<'w, 'a> {
    session: &'w Session<'a>,
    media: &'w Media<'a>,
    plan: &'w MediaPlan<'w>,
    options: &'w Options,
}

impl Writer<'_, '_> {
    fn relayed(&self, out: &mut Vec<u8>) {
        let address = self.address();
        self.m_line(
            out,
            self.plan.rtp_port,
            self.plan.port_count,
            &self.plan.kept,
        );
        self.texts_and_connection(out, address);
        self.identification(out);
        if !self.media.is_rtp() {
            self.foreign_attributes(out);
            return;
        }
        self.codecs(out);
        self.where_key(out, |key| key == Key::Extmap);
        self.where_key(out, |key| {
            matches!(key, Key::Other | Key::Instance | Key::Group)
        });
        self.direction(out);
        self.rtcp(out, address);
        self.where_key(out, |key| key == Key::Crypto);
        self.where_key(out, |key| {
            matches!(key, Key::Setup | Key::Fingerprint | Key::TlsId)
        });
        self.where_key(out, |key| matches!(key, Key::Ptime | Key::Maxptime));
        if self.options.ice == Ice::Pass {
            self.where_key(out, |key| matches!(key, Key::Ice | Key::IceLite));
        }
    }

    fn rejected(&self, out: &mut Vec<u8>) {
        self.m_line(out, 0, 1, &Kept::All);
        self.texts_and_connection(out, zero(self.plan.address));
        self.identification(out);
    }

    /// Everything is the sender's; `c=` moves from the session to here.
    fn as_it_came(&self, out: &mut Vec<u8>) {
        let media = self.media;
        self.m_line(out, media.port, media.port_count, &Kept::All);
        if let Some(text) = media.information {
            line(out, b'i', text);
        }
        if let Some(connection) = media.connection(self.session) {
            line(out, b'c', connection.text.as_bytes());
        }
        for text in &media.bandwidth {
            line_rest(out, text);
        }
        self.where_key(out, |_| true);
    }

    fn m_line(&self, out: &mut Vec<u8>, port: u16, count: u16, kept: &Kept) {
        let protocol = self.protocol();
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "m={} {port}", self.media.kind);
        if count > 1 {
            let _ = write!(out, "/{count}");
        }
        let _ = write!(out, " {protocol}");
        match kept {
            Kept::All => {
                for format in self.media.formats() {
                    out.push(b' ');
                    out.extend_from_slice(format.as_bytes());
                }
            }
            Kept::Only(payloads) => {
                for payload in payloads {
                    let _ = write!(out, " {payload}");
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The receiver's word where it means the same packets; a rejected media may ask for more.
    fn protocol(&self) -> &str {
        let own = self.media.protocol;
        if self.plan.action == Action::AsItCame || !self.media.is_rtp() {
            return own;
        }
        let passes = |word: &&str| self.media.profile.passes_as(Profile::of(word));
        self.plan.protocol.filter(passes).unwrap_or(own)
    }

    fn texts_and_connection(&self, out: &mut Vec<u8>, address: IpAddr) {
        if let Some(text) = self.media.information {
            line(out, b'i', text);
        }
        let _ = write!(out, "c=IN {} {address}\r\n", Family::of(address).as_str());
        for text in &self.media.bandwidth {
            line_rest(out, text);
        }
    }

    /// Mid and label. `bundle-only` goes: every media has ports of its own here.
    fn identification(&self, out: &mut Vec<u8>) {
        self.where_key(out, |key| key == Key::Mid);
        match self.plan.label {
            Some(label) => {
                let _ = write!(out, "a=label:{label}\r\n");
            }
            None => self.where_key(out, |key| key == Key::Label),
        }
    }

    /// All attributes of a media that is not RTP but ICE's, in their order (NG reference 12.5).
    fn foreign_attributes(&self, out: &mut Vec<u8>) {
        let ice = self.options.ice == Ice::Pass;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the rest is not ours to judge"
        )]
        self.where_key(out, |key| match key {
            Key::Mid | Key::Label | Key::BundleOnly => false,
            Key::Ice | Key::IceLite => ice,
            _ => true,
        });
    }

    /// `rtpmap`, `fmtp`, `rtcp-fb` of each payload type that stays, then what is said of all.
    fn codecs(&self, out: &mut Vec<u8>) {
        match &self.plan.kept {
            Kept::All => {
                let mut seen = 0u128;
                for payload in self.media.payload_types() {
                    if seen & (1 << payload) == 0 {
                        seen |= 1 << payload;
                        self.codec(out, payload);
                    }
                }
            }
            Kept::Only(payloads) => {
                for payload in payloads {
                    self.codec(out, *payload);
                }
            }
        }
        for attribute in &self.media.attributes {
            if is_codec(attribute.key()) && attribute.payload().is_none() {
                line(out, b'a', attribute.raw());
            }
        }
    }

    fn codec(&self, out: &mut Vec<u8>, payload: u8) {
        let own = |a: &&Attribute<'_>| a.payload() == Some(payload);
        let attributes = || self.media.attributes.iter().filter(own);
        match attributes().find(|a| a.key() == Key::Rtpmap) {
            Some(rtpmap) => line(out, b'a', rtpmap.raw()),
            None => {
                if let Some(codec) = static_codec(payload) {
                    let _ = write!(out, "a=rtpmap:{payload} {codec}\r\n");
                }
            }
        }
        for key in [Key::Fmtp, Key::RtcpFb] {
            for attribute in attributes().filter(|a| a.key() == key) {
                line(out, b'a', attribute.raw());
            }
        }
    }

    fn direction(&self, out: &mut Vec<u8>) {
        let direction = if self.options.original_sendrecv {
            self.media.stated_direction()
        } else {
            Some(self.plan.direction.unwrap_or_else(|| self.own_direction()))
        };
        if let Some(direction) = direction {
            line(out, b'a', direction.as_str().as_bytes());
        }
    }

    /// A party held by the zero address cannot receive (RFC 3264 8.4).
    fn own_direction(&self) -> Direction {
        let direction = self.media.direction(self.session);
        if self.media.is_held(self.session) {
            return Direction::new(direction.sends(), false);
        }
        direction
    }

    fn rtcp(&self, out: &mut Vec<u8>, address: IpAddr) {
        let port = match self.plan.mux {
            Mux::Off | Mux::Offered => self.plan.rtcp_port,
            Mux::Agreed => self.plan.rtp_port,
        };
        match self.options.rtcp_attribute {
            RtcpAttribute::None => {}
            RtcpAttribute::Port => {
                let _ = write!(out, "a=rtcp:{port}\r\n");
            }
            RtcpAttribute::Full => {
                let family = Family::of(address).as_str();
                let _ = write!(out, "a=rtcp:{port} IN {family} {address}\r\n");
            }
        }
        if self.plan.mux != Mux::Off {
            line_rest(out, b"a=rtcp-mux");
        }
    }

    fn where_key(&self, out: &mut Vec<u8>, wanted: impl Fn(Key) -> bool) {
        for attribute in &self.media.attributes {
            if wanted(attribute.key()) {
                line(out, b'a', attribute.raw());
            }
        }
    }

    /// Our address, or the zero address if the sender holds in the old form. A direction of the
    /// plan's own is not the sender's business, nor is then its hold.
    fn address(&self) -> IpAddr {
        let address = self.options.media_address.unwrap_or(self.plan.address);
        let hold = self.plan.direction.is_none() && self.media.is_held(self.session);
        if hold && !self.options.replace.zero_address {
            return zero(address);
        }
        address
    }
}

const fn is_codec(key: Key) -> bool {
    matches!(key, Key::Rtpmap | Key::Fmtp | Key::RtcpFb)
}

const fn zero(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
