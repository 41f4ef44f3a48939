//! Numbers of variable length: seven bits an octet, low bits first, the top bit says "more".

/// Longest form of a 64-bit number, in octets.
pub(super) const MAX_LEN: usize = 10;

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7F) as u8);
}

/// Appends a signed number: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Takes a number off the front. `None` when the input ends in it or it has more than 64 bits.
pub(super) fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (place, octet) in input.iter().take(MAX_LEN).enumerate() {
        let bits = u64::from(octet & 0x7F);
        if place == MAX_LEN - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * place);
        if octet & 0x80 == 0 {
            *input = input.get(place + 1..)?;
            return Some(value);
        }
    }
    None
}

/// Takes a signed number off the front.
pub(super) fn take_signed(input: &mut &[u8]) -> Option<i64> {
    let value = take(input)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_length() {
        let lengths = [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (u64::MAX, 10),
        ];
        for (value, length) in lengths {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), length);
            assert_eq!(take(&mut out.as_slice()), Some(value));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX, 20_000_000, -20_000_000] {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            assert_eq!(take_signed(&mut out.as_slice()), Some(value));
        }
    }

    #[test]
    fn overlong_and_cut_off_are_refused() {
        assert_eq!(take(&mut &[0x80u8; 11][..]), None);
        assert_eq!(take(&mut &[0xFFu8; 9][..]), None);
        let mut too_large = [0xFF; 10];
        too_large[9] = 2;
        assert_eq!(take(&mut &too_large[..]), None);
    }
}
