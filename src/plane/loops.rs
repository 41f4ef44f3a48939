//! The loop guard: stops a stream that comes back to where it was sent from (NG reference 13.3).
//! Pure.
//!
//! In a loop every packet returns again and again, many of them at once. One packet in each
//! second is remembered, and counted when it returns. At the thirtieth time the guard closes, until
//! signalling opens a new window. Only RTP is guarded: floor control and RTCP repeat themselves
//! rightly.

use super::stats::{Heard, millis};

/// Guard of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LoopGuard {
    /// When the remembered packet came first, in milliseconds modulo 2^32.
    since: u32,
    ssrc: u32,
    timestamp: u32,
    sequence: u16,
    /// How often it came; zero: none is remembered.
    times: u8,
}

impl LoopGuard {
    /// Whether the packet may pass.
    pub(super) fn passes(&mut self, packet: &Heard) -> bool {
        if self.times >= LIMIT {
            return false;
        }
        let now = millis(packet.at);
        if self.times == 0 || now.wrapping_sub(self.since) > PERIOD_MILLIS {
            *self = Self {
                since: now,
                ssrc: packet.ssrc,
                timestamp: packet.timestamp,
                sequence: packet.sequence,
                times: 1,
            };
            return true;
        }
        let same = packet.sequence == self.sequence
            && packet.timestamp == self.timestamp
            && packet.ssrc == self.ssrc;
        if same {
            self.times += 1;
        }
        self.times < LIMIT
    }

    /// Signalling has opened a new window.
    pub(super) fn reopen(&mut self) {
        *self = Self::default();
    }
}

const LIMIT: u8 = 30;
const PERIOD_MILLIS: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, at_millis: u64) -> Heard {
        Heard {
            ssrc: 1,
            sequence,
            timestamp: 160,
            marker: false,
            at: 1 + at_millis * 1_000_000,
        }
    }

    #[test]
    fn the_thirtieth_return_closes_it_until_signalling() {
        let mut guard = LoopGuard::default();
        for time in 1..30 {
            assert!(guard.passes(&packet(7, time * 10)), "time {time}");
        }
        assert!(!guard.passes(&packet(7, 300)));
        assert!(!guard.passes(&packet(8, 400)));
        assert!(!guard.passes(&packet(9, 60_000)));
        guard.reopen();
        assert!(guard.passes(&packet(9, 60_001)));
    }

    #[test]
    fn a_loop_of_many_packets_is_seen() {
        let mut guard = LoopGuard::default();
        let closed = (0..3_000).any(|n| !guard.passes(&packet(n % 50, u64::from(n) / 2)));
        assert!(closed);
    }

    #[test]
    fn what_is_slow_or_differs_passes() {
        let mut guard = LoopGuard::default();
        assert!((0..100).all(|n| guard.passes(&packet(7, n * 40))));
        guard.reopen();
        assert!((0..1_000).all(|n| guard.passes(&packet(n, 500))));
    }
}
