//! Codecs: payload types with their encodings (RFC 3551, RFC 8866 6.6).

use std::fmt;

use super::attribute::Key;
use super::media::Media;

/// One payload type of an RTP media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec<'a> {
    /// Payload type, 0 to 127.
    pub payload: u8,
    /// Encoding name, `AMR-WB`; empty for a dynamic payload type without `rtpmap`.
    pub name: &'a str,
    /// Clock rate in Hz; 0 if not stated.
    pub clock: u32,
    /// Encoding parameters: the number of channels for audio, as written.
    pub params: Option<&'a str>,
    /// First `fmtp` of the payload type.
    pub fmtp: Option<&'a str>,
}

impl<'a> Codec<'a> {
    const fn unknown(payload: u8) -> Self {
        Self {
            payload,
            name: "",
            clock: 0,
            params: None,
            fmtp: None,
        }
    }

    /// Same encoding: name in any case, clock, and channels, where absent means one (RFC 8866
    /// 6.6). The payload type may differ.
    pub fn same_encoding(&self, other: &Codec<'_>) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.clock == other.clock
            && self.params.unwrap_or("1") == other.params.unwrap_or("1")
    }

    fn read_rtpmap(&mut self, text: &'a str) {
        let mut parts = text.trim_ascii().splitn(3, '/');
        self.name = parts.next().unwrap_or_default().trim_ascii_end();
        self.clock = parts
            .next()
            .and_then(|clock| clock.trim_ascii().parse().ok())
            .unwrap_or(0);
        self.params = parts.next().map(str::trim_ascii);
    }
}

/// As in `rtpmap`: `AMR-WB/16000`, `opus/48000/2`.
impl fmt::Display for Codec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.clock)?;
        match self.params {
            Some(params) => write!(f, "/{params}"),
            None => Ok(()),
        }
    }
}

impl<'a> Media<'a> {
    /// The codecs of an RTP media in order of preference, each payload type once. Static types
    /// need no `rtpmap`. Empty for other media.
    pub fn codecs(&self) -> Vec<Codec<'a>> {
        const NONE: u8 = u8::MAX;
        if !self.is_rtp() {
            return Vec::new();
        }
        // Place of each payload type in `codecs`, so that reading stays linear.
        let mut places = [NONE; 128];
        let mut codecs: Vec<Codec<'a>> = Vec::with_capacity(8);
        for payload in self.payload_types() {
            let place = &mut places[usize::from(payload)];
            if *place == NONE {
                *place = u8::try_from(codecs.len()).unwrap_or(NONE);
                codecs.push(static_codec(payload).unwrap_or_else(|| Codec::unknown(payload)));
            }
        }
        let mut mapped = 0u128;
        for attribute in &self.attributes {
            let Some(payload) = attribute.payload() else {
                continue;
            };
            let place = usize::from(places[usize::from(payload)]);
            let (Some(codec), Some(text)) = (codecs.get_mut(place), attribute.parameters()) else {
                continue;
            };
            if attribute.key() == Key::Rtpmap && mapped & (1 << payload) == 0 {
                mapped |= 1 << payload;
                codec.read_rtpmap(text);
            } else if attribute.key() == Key::Fmtp && codec.fmtp.is_none() {
                codec.fmtp = Some(text);
            }
        }
        codecs
    }
}

/// The codec of a static payload type (RFC 3551, tables 4 and 5).
pub fn static_codec(payload: u8) -> Option<Codec<'static>> {
    let (name, clock, params) = match payload {
        0 => ("PCMU", 8000, None),
        3 => ("GSM", 8000, None),
        4 => ("G723", 8000, None),
        5 => ("DVI4", 8000, None),
        6 => ("DVI4", 16000, None),
        7 => ("LPC", 8000, None),
        8 => ("PCMA", 8000, None),
        9 => ("G722", 8000, None),
        10 => ("L16", 44100, Some("2")),
        11 => ("L16", 44100, None),
        12 => ("QCELP", 8000, None),
        13 => ("CN", 8000, None),
        14 => ("MPA", 90000, None),
        15 => ("G728", 8000, None),
        16 => ("DVI4", 11025, None),
        17 => ("DVI4", 22050, None),
        18 => ("G729", 8000, None),
        25 => ("CelB", 90000, None),
        26 => ("JPEG", 90000, None),
        28 => ("nv", 90000, None),
        31 => ("H261", 90000, None),
        32 => ("MPV", 90000, None),
        33 => ("MP2T", 90000, None),
        34 => ("H263", 90000, None),
        _ => return None,
    };
    Some(Codec {
        payload,
        name,
        clock,
        params,
        fmtp: None,
    })
}
