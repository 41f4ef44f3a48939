//! How many RTP packets are missing by sequence number (RFC 3550 6.4.1 and A.3).

use rustc_hash::FxHashMap;

/// Sequences of a stream, each SSRC on its own.
#[derive(Debug, Default)]
pub(super) struct Loss {
    sources: FxHashMap<u32, Source>,
    /// Lost by sources that were forgotten or began anew.
    settled: u64,
}

/// One SSRC since it last began.
#[derive(Debug)]
struct Source {
    /// Highest sequence number, extended by its cycles.
    highest: u64,
    /// First one.
    base: u64,
    /// Different packets received.
    received: u64,
    /// Which of the last [`WINDOW`] were received; bit 0 is `highest`.
    window: u128,
}

impl Loss {
    /// Counts a packet, if it is RTP.
    pub(super) fn packet(&mut self, bytes: &[u8]) {
        let Some((ssrc, sequence)) = rtp(bytes) else {
            return;
        };
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&ssrc) {
            self.settled = self.lost();
            self.sources.clear();
        }
        let source = self
            .sources
            .entry(ssrc)
            .or_insert_with(|| Source::begin(sequence));
        if !source.take(sequence) {
            self.settled += source.lost();
            *source = Source::begin(sequence);
            source.take(sequence);
        }
    }

    /// Packets missing so far.
    pub(super) fn lost(&self) -> u64 {
        self.settled + self.sources.values().map(Source::lost).sum::<u64>()
    }
}

impl Source {
    /// Extended numbers begin one cycle up, so that a late packet does not go below zero.
    fn begin(sequence: u16) -> Self {
        let base = CYCLE + u64::from(sequence);
        Self {
            highest: base,
            base,
            received: 0,
            window: 0,
        }
    }

    /// False when the sequence has jumped: the sender began anew (RFC 3550 A.1).
    fn take(&mut self, sequence: u16) -> bool {
        let highest = u16::try_from(self.highest % CYCLE).unwrap_or_default();
        let ahead = sequence.wrapping_sub(highest);
        if ahead < MAX_DROPOUT {
            let ahead = u32::from(ahead);
            self.window = self.window.checked_shl(ahead).unwrap_or(0);
            self.highest += u64::from(ahead);
            return self.mark(0);
        }
        let behind = ahead.wrapping_neg();
        if u32::from(behind) >= WINDOW {
            return false;
        }
        let number = self.highest - u64::from(behind);
        self.base = self.base.min(number);
        self.mark(u32::from(behind))
    }

    fn mark(&mut self, place: u32) -> bool {
        let bit = 1u128 << place;
        self.received += u64::from(self.window & bit == 0);
        self.window |= bit;
        true
    }

    fn lost(&self) -> u64 {
        (self.highest - self.base + 1).saturating_sub(self.received)
    }
}

/// SSRC and sequence number of an RTP packet; RTCP on the same port is told apart by its packet
/// type, 192 to 223 (RFC 5761 4).
pub(super) fn rtp(bytes: &[u8]) -> Option<(u32, u16)> {
    let header: &[u8; 12] = bytes.first_chunk()?;
    let rtcp = (192..=223).contains(&header[1]);
    if header[0] >> 6 != 2 || rtcp {
        return None;
    }
    let sequence = u16::from_be_bytes([header[2], header[3]]);
    let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    Some((ssrc, sequence))
}

/// Sequence numbers before they begin again.
const CYCLE: u64 = 1 << 16;
/// RFC 3550 A.1: a larger step forward is a sender that began anew.
const MAX_DROPOUT: u16 = 3_000;
/// Packets that come later than this many others are a sender that began anew.
const WINDOW: u32 = 128;
/// SSRCs of a stream that are kept at once.
const MAX_SOURCES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(sequences: impl IntoIterator<Item = u16>) -> u64 {
        let mut loss = Loss::default();
        for sequence in sequences {
            let mut packet = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            loss.packet(&packet);
        }
        loss.lost()
    }

    #[test]
    fn counts_holes_only() {
        assert_eq!(lost([]), 0);
        assert_eq!(lost(1..100), 0);
        assert_eq!(lost([1, 2, 5, 6]), 2);
        assert_eq!(lost([1, 2, 5, 4, 3, 3, 5]), 0);
        assert_eq!(lost([5, 3]), 1);
        assert_eq!(lost([65_534, 65_535, 0, 2]), 1);
        assert_eq!(lost([0, 65_535]), 0);
        // A new begin, then a hole.
        assert_eq!(lost([1, 2, 30_000, 30_002]), 1);
        assert_eq!(
            lost(
                (0..=u16::MAX)
                    .chain(0..=u16::MAX)
                    .filter(|n| n % 1_000 != 7)
            ),
            132
        );
    }

    #[test]
    fn only_rtp_counts() {
        assert_eq!(rtp(&[0x80; 11]), None);
        assert_eq!(rtp(&[0x80, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(rtp(&[0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(rtp(&[0x80, 0xC8, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]), None);
        assert_eq!(
            rtp(&[0x80, 0x80, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]),
            Some((3, 0x0102))
        );
    }
}
