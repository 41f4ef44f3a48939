//! What a datagram is, by its first octets (RFC 7983 section 7, RFC 5761 section 4).

/// Protocols that share a port with RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RTP.
    Rtp,
    /// RTCP, floor control (RTCP APP) included.
    Rtcp,
    /// STUN.
    Stun,
    /// ZRTP.
    Zrtp,
    /// DTLS.
    Dtls,
    /// A TURN channel.
    TurnChannel,
    /// Anything else, an empty datagram too.
    Unknown,
}

/// Tells protocols apart. Says nothing about whether the rest is well-formed.
pub const fn classify(datagram: &[u8]) -> Protocol {
    match datagram {
        [128..=191, 192..=223, ..] => Protocol::Rtcp,
        [128..=191, ..] => Protocol::Rtp,
        [0..=3, ..] => Protocol::Stun,
        [16..=19, ..] => Protocol::Zrtp,
        [20..=63, ..] => Protocol::Dtls,
        [64..=79, ..] => Protocol::TurnChannel,
        _ => Protocol::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_octet() {
        for first in 0..=255_u8 {
            let expected = match first {
                0..=3 => Protocol::Stun,
                16..=19 => Protocol::Zrtp,
                20..=63 => Protocol::Dtls,
                64..=79 => Protocol::TurnChannel,
                128..=191 => Protocol::Rtp,
                4..=15 | 80..=127 | 192..=255 => Protocol::Unknown,
            };
            assert_eq!(classify(&[first, 0]), expected, "{first}");
            assert_eq!(classify(&[first]), expected, "{first} alone");
        }
        assert_eq!(classify(&[]), Protocol::Unknown);
    }

    #[test]
    fn every_second_octet() {
        for second in 0..=255_u8 {
            let expected = if (192..=223).contains(&second) {
                Protocol::Rtcp
            } else {
                Protocol::Rtp
            };
            assert_eq!(classify(&[0x80, second]), expected, "{second}");
        }
    }
}
