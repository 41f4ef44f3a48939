//! A borrowed view of an RTP packet (RFC 3550 section 5.1). Nothing is copied or changed.

use std::ops::Range;

use thiserror::Error;

/// An RTP packet whose header lengths fit the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpView<'a> {
    bytes: &'a [u8],
    /// Where the payload starts: after the header, the CSRC list and the extension.
    payload: usize,
    /// Where the payload ends: before the padding.
    end: usize,
}

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtpError {
    /// Fewer than twelve octets.
    #[error("shorter than an RTP header")]
    Short,
    /// The version is not 2.
    #[error("not of RTP version 2")]
    Version,
    /// The CSRC list runs past the end.
    #[error("the CSRC list runs past the end")]
    Csrc,
    /// The header extension runs past the end.
    #[error("the header extension runs past the end")]
    Extension,
    /// The padding count is zero or larger than what follows the header.
    #[error("the padding does not fit")]
    Padding,
}

/// A header extension (RFC 3550 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Defined by the profile: 0xBEDE and 0x100x are the element forms of RFC 8285.
    pub profile: u16,
    /// Its octets, a multiple of four.
    pub data: &'a [u8],
}

impl<'a> RtpView<'a> {
    /// A packet in the clear: header, CSRC list, extension and padding are all checked.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let mut view = Self::parse_protected(bytes)?;
        if bytes[0] & PADDING != 0 {
            let count = usize::from(bytes[bytes.len() - 1]);
            if count == 0 || count > bytes.len() - view.payload {
                return Err(RtpError::Padding);
            }
            view.end = bytes.len() - count;
        }
        Ok(view)
    }

    /// A packet that may be protected with SRTP (RFC 3711 section 3.1): its header is in the
    /// clear, but not the padding count, which is then part of the payload as is the
    /// authentication tag.
    pub fn parse_protected(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let [first, ..] = *bytes else {
            return Err(RtpError::Short);
        };
        if bytes.len() < HEADER {
            return Err(RtpError::Short);
        }
        if first >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let csrc_end = HEADER + 4 * usize::from(first & CSRC_COUNT);
        if csrc_end > bytes.len() {
            return Err(RtpError::Csrc);
        }
        let payload = if first & EXTENSION == 0 {
            csrc_end
        } else {
            extension_end(bytes, csrc_end).ok_or(RtpError::Extension)?
        };
        Ok(Self {
            bytes,
            payload,
            end: bytes.len(),
        })
    }

    /// The marker bit.
    pub fn marker(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// Payload type, 0 to 127.
    pub fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7f
    }

    /// Sequence number.
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// Time stamp, in units of the payload's clock rate.
    pub fn timestamp(&self) -> u32 {
        self.word(TIMESTAMP)
    }

    /// Synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.word(SSRC)
    }

    /// Contributing sources, in order.
    pub fn csrcs(&self) -> impl Iterator<Item = u32> + 'a {
        let count = usize::from(self.bytes[0] & CSRC_COUNT);
        self.bytes[HEADER..HEADER + 4 * count]
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
    }

    /// The header extension, if there is one.
    pub fn extension(&self) -> Option<Extension<'a>> {
        if self.bytes[0] & EXTENSION == 0 {
            return None;
        }
        let start = HEADER + 4 * usize::from(self.bytes[0] & CSRC_COUNT);
        Some(Extension {
            profile: u16::from_be_bytes([self.bytes[start], self.bytes[start + 1]]),
            data: &self.bytes[start + 4..self.payload],
        })
    }

    /// The payload without padding; with its SRTP trailer if parsed as protected.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.payload..self.end]
    }

    /// The whole packet.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn word(&self, at: Range<usize>) -> u32 {
        let word = &self.bytes[at];
        u32::from_be_bytes([word[0], word[1], word[2], word[3]])
    }
}

/// Where the extension that starts at `start` ends, if it fits.
fn extension_end(bytes: &[u8], start: usize) -> Option<usize> {
    let head = bytes.get(start..start + 4)?;
    let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let end = start + 4 + 4 * words;
    (end <= bytes.len()).then_some(end)
}

const HEADER: usize = 12;
const TIMESTAMP: Range<usize> = 4..8;
const SSRC: Range<usize> = 8..12;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const CSRC_COUNT: u8 = 0x0f;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: [u8; 14] = [
        0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 7, 8,
    ];

    #[test]
    fn reads_the_fixed_header() {
        let view = RtpView::parse(&PLAIN).unwrap();
        assert!(view.marker());
        assert_eq!(view.payload_type(), 8);
        assert_eq!(view.sequence(), 0x1234);
        assert_eq!(view.timestamp(), 160);
        assert_eq!(view.ssrc(), 0xdead_beef);
        assert_eq!(view.payload(), [7, 8]);
        assert_eq!(view.as_bytes(), PLAIN);
        assert_eq!((view.csrcs().count(), view.extension()), (0, None));
        assert!(RtpView::parse(&PLAIN[..12]).unwrap().payload().is_empty());
    }

    #[test]
    fn reads_csrcs_extension_and_padding() {
        let mut packet = PLAIN[..12].to_vec();
        packet[0] = 0x80 | PADDING | EXTENSION | 2;
        packet.extend([0, 0, 0, 1, 0, 0, 0, 2]);
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        packet.extend([9, 9, 0, 0, 3]);
        let view = RtpView::parse(&packet).unwrap();
        assert_eq!(view.csrcs().collect::<Vec<_>>(), [1, 2]);
        let extension = view.extension().unwrap();
        assert_eq!(extension.profile, 0xbede);
        assert_eq!(extension.data, [0x10, 0xff, 0, 0]);
        assert_eq!(view.payload(), [9, 9]);
        let protected = RtpView::parse_protected(&packet).unwrap();
        assert_eq!(protected.payload(), [9, 9, 0, 0, 3]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert_eq!(RtpView::parse(&[]), Err(RtpError::Short));
        assert_eq!(RtpView::parse(&PLAIN[..11]), Err(RtpError::Short));
        let with_first = |first| {
            let mut packet = PLAIN;
            packet[0] = first;
            RtpView::parse(&packet).err()
        };
        assert_eq!(with_first(0x81), Some(RtpError::Csrc));
        assert_eq!(with_first(0x90), Some(RtpError::Extension));
        let mut packet = PLAIN.to_vec();
        packet[0] = 0x80 | EXTENSION;
        packet.extend([0, 1]); // an extension of one word that is not there
        packet[12..14].copy_from_slice(&[0xbe, 0xde]);
        assert_eq!(RtpView::parse(&packet), Err(RtpError::Extension));
        for (count, fits) in [(0, false), (1, true), (2, true), (3, false)] {
            let mut packet = PLAIN;
            packet[0] = 0x80 | PADDING;
            packet[13] = count;
            assert_eq!(RtpView::parse(&packet).is_ok(), fits, "padding {count}");
            assert!(RtpView::parse_protected(&packet).is_ok());
        }
    }

    #[test]
    fn every_first_octet() {
        for first in 0..=255_u8 {
            let mut packet = [0_u8; 200];
            packet[0] = first;
            packet[199] = 1;
            let expected = if first >> 6 == 2 {
                Ok(())
            } else {
                Err(RtpError::Version)
            };
            assert_eq!(RtpView::parse(&packet).map(|_| ()), expected, "{first}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            for view in [RtpView::parse(&bytes), RtpView::parse_protected(&bytes)].iter().flatten() {
                prop_assert!(view.csrcs().count() <= 15);
                prop_assert!(view.payload().len() <= bytes.len() - 12);
                let extension = view.extension().map_or(0, |e| e.data.len() + 4);
                prop_assert!(extension + view.payload().len() + 12 <= bytes.len());
                let _ = (view.marker(), view.payload_type(), view.sequence(), view.timestamp());
            }
        }
    }
}
