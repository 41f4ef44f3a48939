//! Which formats are handed on (NG reference 9.1, 6.2).

use smallvec::SmallVec;

use crate::wire::sdp::{Codec, Media};

/// The formats of a media that are handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All, as they came.
    All,
    /// Only these payload types, in this order.
    Only(SmallVec<[u8; 16]>),
}

impl Kept {
    /// The formats that stay: for an answer those that were offered with the same payload type
    /// and encoding, in the answerer's order; never the codecs named in `strip` (`codec strip`;
    /// encoding names in any case, with or without clock: `PCMU`, `opus/48000`). Retransmission
    /// of a payload type that goes, goes with it (`apt`, RFC 4588 8.1).
    ///
    /// A `strip` that would leave nothing is not obeyed: there is no other codec to offer. Media
    /// that is not RTP keeps all.
    pub fn of(media: &Media<'_>, offered: Option<&Offered>, strip: &[Box<str>]) -> Self {
        if !media.is_rtp() || (offered.is_none() && strip.is_empty()) {
            return Self::All;
        }
        let codecs = media.codecs();
        let common: SmallVec<[&Codec<'_>; 16]> = codecs
            .iter()
            .filter(|codec| offered.is_none_or(|offered| offered.has(codec)))
            .collect();
        let bare = |codec: &&Codec<'_>| !strip.iter().any(|name| is_named(codec, name));
        let mut payloads = paired(common.iter().copied().filter(bare));
        if payloads.is_empty() {
            payloads = paired(common.iter().copied());
        }
        let all = payloads.len() == media.formats().count();
        if all || (offered.is_none() && payloads.is_empty()) {
            return Self::All;
        }
        Self::Only(payloads)
    }

    /// Nothing is left: offer and answer have no format in common.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(payloads) if payloads.is_empty())
    }
}

/// What an answer may hand back: both offered and answered, in the answerer's order (NG reference
/// 9.1). For when both descriptions are at hand; otherwise [`Kept::of`] with [`Offered`].
pub fn intersect(offer: &Media<'_>, answer: &Media<'_>) -> Kept {
    Kept::of(answer, Some(&Offered::of(offer)), &[])
}

/// The formats of an offered media, kept with the leg until the answer comes: 16 octets each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered(Box<[(u8, u64)]>);

impl Offered {
    /// The formats of an offered media; none for media that is not RTP.
    pub fn of(media: &Media<'_>) -> Self {
        let codecs = media.codecs();
        Self(codecs.iter().map(|c| (c.payload, encoding(c))).collect())
    }

    /// Same payload type and same encoding. A dynamic payload type without `rtpmap` is taken to
    /// mean what the other side says.
    fn has(&self, codec: &Codec<'_>) -> bool {
        let own = encoding(codec);
        self.0.iter().any(|(payload, theirs)| {
            *payload == codec.payload && (*theirs == own || *theirs == UNKNOWN || own == UNKNOWN)
        })
    }
}

const UNKNOWN: u64 = 0;

/// Hash of name, clock and channels, equal where [`Codec::same_encoding`] is true.
fn encoding(codec: &Codec<'_>) -> u64 {
    if codec.name.is_empty() {
        return UNKNOWN;
    }
    let name = codec.name.bytes().map(|b| b.to_ascii_lowercase());
    let clock = codec.clock.to_le_bytes();
    let channels = codec.params.unwrap_or("1").bytes();
    // FNV-1a. A collision lets a codec through that was not offered, which harms nobody.
    let octets = name.chain([0]).chain(clock).chain(channels);
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn is_named(codec: &Codec<'_>, name: &str) -> bool {
    let Some((name, clock)) = name.split_once('/') else {
        return codec.name.eq_ignore_ascii_case(name);
    };
    let clock = clock.split('/').next().and_then(|clock| clock.parse().ok());
    codec.name.eq_ignore_ascii_case(name) && clock.is_none_or(|c: u32| c == codec.clock)
}

/// Payload types of the codecs, without retransmission of what is not among them.
fn paired<'c>(codecs: impl Iterator<Item = &'c Codec<'c>>) -> SmallVec<[u8; 16]> {
    let codecs: SmallVec<[&Codec<'_>; 16]> = codecs.collect();
    let stays = |payload| codecs.iter().any(|codec| codec.payload == payload);
    let pairs = codecs
        .iter()
        .filter(|codec| repairs(codec).is_none_or(stays));
    pairs.map(|codec| codec.payload).collect()
}

/// The payload type that a retransmission format repairs.
fn repairs(codec: &Codec<'_>) -> Option<u8> {
    if !codec.name.eq_ignore_ascii_case("rtx") {
        return None;
    }
    let mut parameters = codec.fmtp?.split(';');
    parameters.find_map(|p| p.trim().strip_prefix("apt=")?.parse().ok())
}
