//! Keys that change how an offer or answer is handled, gathered into [`Options`]
//! (NG reference 6; the flags of section 7 are in `flags`).
//!
//! Unknown keys and values are passed over. Two kinds of value are refused, since passing over them
//! would send media elsewhere than asked: an unreadable `media address`, and what needs a codec, an
//! ICE agent or SRTP.

use tracing::debug;

use super::command::Refusal;
use super::fields::{Folded, address, int, list, single, text};
use crate::session::options::{Family, Ice, Learning, Options};
use crate::wire::bencode::{Dict, Value};

/// The options gathered so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// What holds if nothing more comes.
    pub options: Options,
    /// Told to the client in the reply to what was done all the same.
    pub warning: Option<&'static str>,
    /// The first value that cannot be done or read.
    pub refusal: Option<Refusal>,
    strip_except: bool,
}

impl Settings {
    /// Takes a key in its folded spelling; `false` if it is none of ours.
    pub(super) fn key(&mut self, key: &str, value: &Value<'_>) -> bool {
        let options = &mut self.options;
        match key {
            "received-from" => options.received_from = address(value),
            "direction" => self.direction(value),
            "from-interface" => options.direction[0] = boxed(value),
            "to-interface" => options.direction[1] = boxed(value),
            "address-family" => self.address_family(value),
            "media-address" => self.media_address(value),
            "transport-protocol" => self.transport(value),
            "ice" => self.ice(value),
            "rtcp-mux" => list(value).for_each(|item| self.rtcp_mux(&item)),
            "replace" => list(value).for_each(|item| self.replace(item.as_bytes())),
            "tos" => options.tos = int(value).and_then(|tos| u8::try_from(tos).ok()),
            "label" | "set-label" => options.label = boxed(value),
            "metadata" => options.metadata = text(value).map(|text| text.as_ref().into()),
            "endpoint-learning" => {
                if let Some(how) = single(value) {
                    self.learning(&how);
                }
            }
            "codec" | "codecs" => self.codecs(value),
            "codec-strip" => list(value).for_each(|name| self.strip_codec(&name)),
            "codec-except" => self.strip_except |= list(value).next().is_some(),
            "codec-transcode" | "codec-mask" => self.no_transcoding(),
            _ => return false,
        }
        true
    }

    /// The options, or why they cannot be had.
    pub(super) fn finish(mut self) -> Result<(Options, Option<&'static str>), Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let options = &mut self.options;
        // Following a changed source is the opposite of dropping it (NG reference 7).
        if options.media_handover && options.strict_source.is_none() {
            options.strict_source = Some(false);
        }
        if self.strip_except {
            // Exceptions cannot be expressed: rather leave every codec than strip a wanted one.
            options
                .codec_strip
                .retain(|name| !matches!(name.as_ref(), "all" | "full"));
            self.warning.get_or_insert("codec-except is not supported");
        }
        Ok((self.options, self.warning))
    }

    /// Both names at once, or one after the other.
    pub(super) fn direction(&mut self, value: &Value<'_>) {
        let names: Vec<Box<str>> = list(value).map(|name| name.as_ref().into()).collect();
        let direction = &mut self.options.direction;
        match <[Box<str>; 2]>::try_from(names) {
            Ok(both) => *direction = both.map(Some),
            Err(names) => {
                let Some(name) = names.into_iter().next() else {
                    return;
                };
                let place = usize::from(direction[0].is_some() && direction[1].is_none());
                direction[place] = Some(name);
            }
        }
    }

    fn address_family(&mut self, value: &Value<'_>) {
        let name = single(value).unwrap_or_default();
        self.options.address_family = match name.to_ascii_lowercase().as_str() {
            "ip4" | "ipv4" | "inet" => Some(Family::Ip4),
            "ip6" | "ipv6" | "inet6" => Some(Family::Ip6),
            _ => {
                debug!(value = %name, "address family is not known");
                None
            }
        };
    }

    fn media_address(&mut self, value: &Value<'_>) {
        self.options.media_address = address(value);
        if self.options.media_address.is_none() {
            let given = single(value).unwrap_or_default();
            self.refuse(Refusal::bad(
                "media-address",
                format!("{:?} is not an IP address", shortened(&given)),
            ));
        }
    }

    fn transport(&mut self, value: &Value<'_>) {
        let name = single(value).unwrap_or_default();
        if !self.transport_name(&name) && !name.eq_ignore_ascii_case("accept") {
            debug!(value = %name, "transport protocol is not known");
        }
    }

    /// Takes the name of a transport protocol; `false` if it is none.
    pub(super) fn transport_name(&mut self, name: &str) -> bool {
        let known = TRANSPORTS
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        if let Some(&known) = known {
            self.options.transport_protocol = Some(known.into());
        }
        known.is_some()
    }

    fn ice(&mut self, value: &Value<'_>) {
        for item in list(value) {
            match folded(&item).as_str() {
                "remove" | "default" | "optional" => self.options.ice = Ice::Remove,
                "force-relay" => self.options.ice = Ice::Pass,
                "force" => self.refuse(Refusal::Unsupported(
                    "ICE=force: this relay is no ICE agent",
                )),
                other => debug!(value = other, "ICE option without effect"),
            }
        }
    }

    /// One value of `rtcp-mux`.
    pub(super) fn rtcp_mux(&mut self, item: &str) {
        let mux = &mut self.options.rtcp_mux;
        match folded(item).as_str() {
            "offer" => mux.offer = true,
            "require" => mux.require = true,
            "demux" => mux.demux = true,
            "accept" => mux.accept = true,
            "reject" => mux.reject = true,
            other => debug!(value = other, "rtcp-mux rule is not known"),
        }
    }

    /// One value of `replace` (NG reference 12.2).
    pub(super) fn replace(&mut self, item: &[u8]) {
        let replace = &mut self.options.replace;
        let name = Folded::new(item);
        match name.as_ref().map(Folded::as_str).unwrap_or_default() {
            "origin" => replace.origin = true,
            "username" => replace.username = true,
            "session-name" => replace.session_name = true,
            "sdp-version" => replace.sdp_version = true,
            "origin-full" => replace.origin_full = true,
            "force-increment-sdp-ver" | "force-increment-sdp-version" => {
                replace.force_increment_sdp_ver = true;
            }
            "zero-address" => replace.zero_address = true,
            "session-connection" => {}
            other => debug!(value = other, "nothing to replace by that name"),
        }
    }

    /// `endpoint-learning`.
    pub(super) fn learning(&mut self, how: &str) {
        self.options.learning = match folded(how).as_str() {
            "off" | "no" => Some(Learning::Off),
            "immediate" => Some(Learning::Immediate),
            "delayed" => Some(Learning::Delayed),
            "heuristic" => Some(Learning::Heuristic),
            other => {
                debug!(value = other, "way of learning is not known");
                return;
            }
        };
    }

    fn codecs(&mut self, value: &Value<'_>) {
        let Some(dict) = value.as_dict() else {
            return;
        };
        for (key, value) in Dict::iter(dict) {
            match Folded::new(key).as_ref().map_or("", Folded::as_str) {
                "strip" => list(value).for_each(|name| self.strip_codec(&name)),
                "except" => self.strip_except |= list(value).next().is_some(),
                "transcode" | "mask" => self.no_transcoding(),
                other => debug!(key = other, "codec rule without effect"),
            }
        }
    }

    /// One name of `codec strip`.
    pub(super) fn strip_codec(&mut self, name: &str) {
        if self.options.codec_strip.len() < MAX_CODECS {
            self.options.codec_strip.push(name.into());
        }
    }

    /// A codec rule that needs an encoder: passed over, and the client is told (6.2).
    pub(super) fn no_transcoding(&mut self) {
        self.warning
            .get_or_insert("codec transcode and mask are not supported");
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }
}

fn boxed(value: &Value<'_>) -> Option<Box<str>> {
    single(value)
        .filter(|text| !text.is_empty())
        .map(|text| text.as_ref().into())
}

fn folded(text: &str) -> String {
    Folded::new(text.trim().as_bytes()).map_or_else(String::new, |key| key.as_str().to_owned())
}

/// What of a client's text goes into a reply.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

const TRANSPORTS: [&str; 6] = [
    "RTP/AVP",
    "RTP/AVPF",
    "RTP/SAVP",
    "RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVPF",
];
const MAX_CODECS: usize = 64;
