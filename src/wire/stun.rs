//! STUN, as far as needed to tell it from other traffic (RFC 8489 section 5). It is not answered.

/// Whether the datagram has a well-formed STUN header: two zero bits, the magic cookie, and a
/// length that is a multiple of four and reaches exactly to the end.
pub fn is_stun(datagram: &[u8]) -> bool {
    let [first, _, len0, len1, 0x21, 0x12, 0xa4, 0x42, ..] = *datagram else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes([len0, len1]));
    first < 0x40 && length.is_multiple_of(4) && datagram.len() == HEADER + length
}

const HEADER: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_request_is_stun() {
        let mut request = [0; 28];
        request[..8].copy_from_slice(&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42]);
        assert!(is_stun(&request));
        assert!(!is_stun(&request[..27]));
        assert!(!is_stun(&request[..20]));
        for (at, value) in [(0, 0x80), (3, 7), (3, 12), (4, 0x20), (7, 0)] {
            let mut bad = request;
            bad[at] = value;
            assert!(!is_stun(&bad), "octet {at}");
        }
        request[3] = 0;
        assert!(is_stun(&request[..20]));
        assert!(!is_stun(&[]));
    }
}
