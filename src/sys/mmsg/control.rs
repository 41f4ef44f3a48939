//! Control messages that the kernel puts beside a received datagram (RFC 3542 20.2 describes the
//! layout), read without pointers.

use crate::wire::time::Timestamp;

/// Room for the control messages of one datagram, aligned as `cmsghdr` wants it: a time stamp
/// (32 octets) and a drop counter (24 octets).
pub(super) type Control = [u64; 8];

/// What the control messages said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// When the kernel received the datagram, by its wall clock.
    pub(super) received: Option<Timestamp>,
    /// How many datagrams it dropped at the socket so far, modulo 2^32.
    pub(super) dropped: Option<u32>,
}

/// Reads the first `len` octets of `control`. What is not understood is skipped.
pub(super) fn parse(control: &Control, len: usize) -> Notes {
    let mut notes = Notes::default();
    let words = control.get(..len.div_ceil(8)).unwrap_or(control);
    let mut rest = words;
    // Two words of header (length with the header, level and type), then the data.
    while let [length, kind, data @ ..] = rest {
        let Ok(length) = usize::try_from(*length) else {
            break;
        };
        if length < HEADER {
            break;
        }
        note(&mut notes, *kind, data, length - HEADER);
        let Some(next) = rest.get(length.div_ceil(8)..) else {
            break;
        };
        rest = next;
    }
    notes
}

fn note(notes: &mut Notes, kind: u64, data: &[u64], len: usize) {
    let [l0, l1, l2, l3, t0, t1, t2, t3] = kind.to_ne_bytes();
    if i32::from_ne_bytes([l0, l1, l2, l3]) != libc::SOL_SOCKET {
        return;
    }
    match (i32::from_ne_bytes([t0, t1, t2, t3]), data) {
        (libc::SCM_TIMESTAMPNS, [secs, nanos, ..]) if len >= 16 => {
            notes.received = Some(Timestamp::from_nanos(
                secs.wrapping_mul(1_000_000_000).wrapping_add(*nanos),
            ));
        }
        (libc::SO_RXQ_OVFL, [dropped, ..]) if len >= 4 => {
            let [a, b, c, d, ..] = dropped.to_ne_bytes();
            notes.dropped = Some(u32::from_ne_bytes([a, b, c, d]));
        }
        _ => {}
    }
}

const HEADER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(level: i32, kind: i32) -> u64 {
        let mut octets = [0; 8];
        octets[..4].copy_from_slice(&level.to_ne_bytes());
        octets[4..].copy_from_slice(&kind.to_ne_bytes());
        u64::from_ne_bytes(octets)
    }

    #[test]
    fn reads_both_notes() {
        let stamp = kind(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS);
        let drops = kind(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
        let notes = parse(&[32, stamp, 5, 6, 20, drops, 9, 0], 56);
        assert_eq!(notes.received, Some(Timestamp::from_nanos(5_000_000_006)));
        assert_eq!(notes.dropped, Some(9));
        assert_eq!(parse(&[20, drops, 9, 0, 0, 0, 0, 0], 24).dropped, Some(9));
    }

    #[test]
    fn skips_others_and_survives_nonsense() {
        let other = kind(libc::IPPROTO_IP, libc::IP_TOS);
        let drops = kind(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
        assert_eq!(
            parse(&[17, other, 1, 20, drops, 3, 0, 0], 48).dropped,
            Some(3)
        );
        assert_eq!(parse(&[0; 8], 64), Notes::default());
        assert_eq!(parse(&[u64::MAX; 8], 64), Notes::default());
        assert_eq!(parse(&[16; 8], 1_000), Notes::default());
        assert_eq!(parse(&[20, drops, 9, 0, 0, 0, 0, 0], 0), Notes::default());
        assert_eq!(parse(&[15, drops, 9, 0, 0, 0, 0, 0], 24), Notes::default());
    }
}
