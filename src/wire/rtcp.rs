//! A walker over RTCP: type, length and SSRC of each packet of a datagram (RFC 3550 section 6.1).
//!
//! Contents beyond that are not read here. MC floor control packets are RTCP APP packets that
//! travel alone (TS 24.380 section 8.1.2), so that the rule "a compound packet begins with SR or
//! RR" does not hold for them.

use thiserror::Error;

/// Sender report.
pub const SR: u8 = 200;
/// Receiver report.
pub const RR: u8 = 201;
/// Source description.
pub const SDES: u8 = 202;
/// End of participation.
pub const BYE: u8 = 203;
/// Defined by the application; floor control.
pub const APP: u8 = 204;

/// One RTCP packet of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpPacket<'a> {
    bytes: &'a [u8],
}

impl<'a> RtcpPacket<'a> {
    /// Packet type, 192 to 223.
    pub fn packet_type(&self) -> u8 {
        self.bytes[1]
    }

    /// Report count, subtype or format: the low five bits of the first octet.
    pub fn count(&self) -> u8 {
        self.bytes[0] & 0x1f
    }

    /// Whether the last octets are padding.
    pub fn is_padded(&self) -> bool {
        self.bytes[0] & PADDING != 0
    }

    /// SSRC of the sender, or of the first source; `None` if the packet has no room for one (a BYE
    /// or SDES without sources).
    pub fn ssrc(&self) -> Option<u32> {
        let word = self.bytes.get(4..8)?;
        Some(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
    }

    /// What follows the common header, padding included.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// The whole packet.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Why a datagram, or the rest of one, is not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtcpError {
    /// Fewer than four octets are left.
    #[error("shorter than an RTCP header")]
    Short,
    /// The version is not 2.
    #[error("not of RTP version 2")]
    Version,
    /// The packet type is outside of 192 to 223 (RFC 5761 section 4).
    #[error("not a packet type of RTCP")]
    Type,
    /// The length runs past the end.
    #[error("the length runs past the end")]
    Length,
    /// A compound packet begins with neither SR nor RR, nor is it APP (RFC 3550 A.2).
    #[error("a compound packet must begin with SR or RR")]
    First,
    /// Padding on a packet that is not the last (RFC 3550 A.2).
    #[error("padding before the last packet")]
    Padding,
}

/// The packets of a datagram in the clear, in order; ends after the first error.
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets {
        rest: Some(datagram),
    }
}

/// Iterator over the packets of a datagram.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        match first(rest) {
            Ok(packet) => {
                let left = &rest[packet.bytes.len()..];
                self.rest = (!left.is_empty()).then_some(left);
                Some(Ok(packet))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// The first packet of a datagram. With SRTCP (RFC 3711 section 3.4) this much is in the clear,
/// and nothing after its eighth octet is.
pub fn first(datagram: &[u8]) -> Result<RtcpPacket<'_>, RtcpError> {
    let [head, kind, len0, len1, ..] = *datagram else {
        return Err(RtcpError::Short);
    };
    if head >> 6 != 2 {
        return Err(RtcpError::Version);
    }
    if !(192..=223).contains(&kind) {
        return Err(RtcpError::Type);
    }
    let length = HEADER + 4 * usize::from(u16::from_be_bytes([len0, len1]));
    match datagram.get(..length) {
        Some(bytes) => Ok(RtcpPacket { bytes }),
        None => Err(RtcpError::Length),
    }
}

/// The checks of RFC 3550 A.2 for a datagram in the clear: every packet fits, the lengths add up,
/// the first is SR or RR, and padding comes last. A datagram that begins with APP is exempt from
/// the rule about the first, as floor control needs.
pub fn check_compound(datagram: &[u8]) -> Result<(), RtcpError> {
    let kind = first(datagram)?.packet_type();
    if !matches!(kind, SR | RR | APP) {
        return Err(RtcpError::First);
    }
    let mut padded = false;
    for packet in packets(datagram) {
        let packet = packet?;
        if padded {
            return Err(RtcpError::Padding);
        }
        padded = packet.is_padded();
    }
    Ok(())
}

const HEADER: usize = 4;
const PADDING: u8 = 0x20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RR without blocks, then BYE of one source.
    const COMPOUND: [u8; 16] = [
        0x80, 201, 0, 1, 0, 0, 0, 7, //
        0x81, 203, 0, 1, 0, 0, 0, 7,
    ];
    /// Floor request: APP, subtype 0, name MCPT.
    const FLOOR: [u8; 12] = [0x80, 204, 0, 2, 0, 0, 0, 9, b'M', b'C', b'P', b'T'];

    #[test]
    fn walks_a_compound() {
        let seen: Vec<_> = packets(&COMPOUND)
            .map(|p| p.map(|p| (p.packet_type(), p.count(), p.ssrc())))
            .collect();
        assert_eq!(seen, [Ok((RR, 0, Some(7))), Ok((BYE, 1, Some(7)))]);
        assert_eq!(check_compound(&COMPOUND), Ok(()));
        assert_eq!(check_compound(&COMPOUND[8..]), Err(RtcpError::First));
    }

    #[test]
    fn floor_control_is_exempt() {
        assert_eq!(check_compound(&FLOOR), Ok(()));
        let packet = first(&FLOOR).unwrap();
        assert_eq!((packet.packet_type(), packet.ssrc()), (APP, Some(9)));
        assert_eq!(packet.body().len(), 8);
        assert_eq!(packet.as_bytes(), FLOOR);
    }

    #[test]
    fn a_bye_without_sources_has_no_ssrc() {
        assert_eq!(first(&[0x80, 203, 0, 0]).unwrap().ssrc(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(first(&[]), Err(RtcpError::Short));
        assert_eq!(first(&COMPOUND[..3]), Err(RtcpError::Short));
        assert_eq!(first(&COMPOUND[..7]), Err(RtcpError::Length));
        assert_eq!(first(&[0x40, 201, 0, 0]), Err(RtcpError::Version));
        assert_eq!(first(&[0x80, 191, 0, 0]), Err(RtcpError::Type));
        assert_eq!(first(&[0x80, 224, 0, 0]), Err(RtcpError::Type));
        assert_eq!(check_compound(&COMPOUND[..14]), Err(RtcpError::Length));
        assert_eq!(check_compound(&COMPOUND[..10]), Err(RtcpError::Short));
        let mut padded = COMPOUND;
        padded[8] |= PADDING;
        assert_eq!(check_compound(&padded), Ok(()));
        padded[0] |= PADDING;
        assert_eq!(check_compound(&padded), Err(RtcpError::Padding));
    }

    #[test]
    fn protected_packets_pass_the_first_check_only() {
        let mut protected = COMPOUND.to_vec();
        protected[8..].fill(0xa5);
        protected.extend([0; 14]); // index and authentication tag
        assert!(first(&protected).is_ok());
        assert!(check_compound(&protected).is_err());
    }

    proptest! {
        #[test]
        fn any_octets_are_walked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let walked: usize = packets(&bytes).flatten().map(|p| p.as_bytes().len()).sum();
            prop_assert!(walked <= bytes.len());
            prop_assert!(packets(&bytes).count() <= bytes.len() / 4 + 1);
            if check_compound(&bytes).is_ok() {
                prop_assert_eq!(walked, bytes.len());
            }
            for packet in packets(&bytes).flatten() {
                let _ = (packet.ssrc(), packet.body(), packet.count(), packet.is_padded());
            }
        }
    }
}
