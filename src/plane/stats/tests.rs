use proptest::prelude::*;

use super::*;

/// A stream at 20 ms pace, 8 kHz.
struct Stream {
    stats: RtpStats,
    reading: RtpReading,
    clock_rate: u32,
}

impl Stream {
    fn new() -> Self {
        Self {
            stats: RtpStats::default(),
            reading: RtpReading::default(),
            clock_rate: 8_000,
        }
    }

    fn hear(&mut self, ssrc: u32, sequence: u16, late_millis: u64) -> RtpReading {
        let place = u64::from(sequence);
        self.hear_at(ssrc, sequence, START + place * 20 + late_millis, false)
    }

    fn hear_at(&mut self, ssrc: u32, sequence: u16, millis: u64, marker: bool) -> RtpReading {
        let packet = Heard {
            ssrc,
            sequence,
            timestamp: u32::from(sequence) * 160,
            marker,
            at: millis * 1_000_000,
        };
        self.stats.take(&mut self.reading, &packet, self.clock_rate);
        self.reading
    }
}

const START: u64 = 1_700_000_000_000;

#[test]
fn a_steady_stream_has_neither_loss_nor_jitter() {
    let mut stream = Stream::new();
    for sequence in 100..200 {
        stream.hear(7, sequence, 0);
    }
    let reading = stream.reading;
    assert_eq!((reading.ssrc, reading.last_seq), (7, 199));
    assert_eq!((reading.lost, reading.jitter), (0, 0));
    assert_eq!((reading.talk_bursts, reading.ssrc_changes), (1, 0));
    assert_eq!(reading.timestamp, 199 * 160);
}

#[test]
fn gaps_are_losses_and_late_packets_fill_them() {
    let mut stream = Stream::new();
    for sequence in [1, 2, 5, 6] {
        stream.hear(7, sequence, 0);
    }
    assert_eq!(stream.reading.lost, 2);
    stream.hear(7, 4, 60);
    assert_eq!(stream.reading.lost, 1);
    stream.hear(7, 6, 1); // a duplicate counts as received (RFC 3550 A.3)
    assert_eq!(stream.reading.lost, 0);
    assert_eq!(stream.reading.last_seq, 6);
}

#[test]
fn sequence_numbers_wrap() {
    let mut stream = Stream::new();
    let mut sequence = 65_530_u16;
    for place in 0..100 {
        stream.hear_at(7, sequence, START + place * 20, false);
        sequence = sequence.wrapping_add(1);
    }
    assert_eq!(stream.reading.last_seq, 65_530 + 99);
    assert_eq!(stream.reading.lost, 0);
}

#[test]
fn a_lone_jump_is_ignored_and_two_in_a_row_start_anew() {
    let mut stream = Stream::new();
    stream.hear_at(7, 10, START, false);
    stream.hear_at(7, 11, START + 20, false);
    stream.hear_at(7, 40_000, START + 40, false);
    assert_eq!((stream.reading.last_seq, stream.reading.lost), (11, 0));
    stream.hear_at(7, 12, START + 60, false);
    assert_eq!((stream.reading.last_seq, stream.reading.lost), (12, 0));
    stream.hear_at(7, 20_000, START + 80, false);
    stream.hear_at(7, 20_001, START + 100, false);
    assert_eq!(stream.reading.last_seq, 20_001);
    stream.hear_at(7, 20_004, START + 120, false);
    assert_eq!(stream.reading.lost, 2);
}

#[test]
fn another_source_keeps_the_losses_of_the_former() {
    let mut stream = Stream::new();
    for sequence in [1, 2, 4] {
        stream.hear(7, sequence, 0);
    }
    stream.hear(8, 60_000, 0);
    stream.hear(8, 60_003, 0);
    let reading = stream.reading;
    assert_eq!((reading.ssrc, reading.ssrc_changes), (8, 1));
    assert_eq!((reading.lost, reading.last_seq), (3, 60_003));
}

#[test]
fn jitter_is_that_of_rfc_3550() {
    let mut stream = Stream::new();
    // Every other packet is 10 ms (80 units) late: each transit differs by 80 from the last.
    for sequence in 1..500 {
        stream.hear(7, sequence, u64::from(sequence % 2) * 10);
    }
    assert!(
        (79..=80).contains(&stream.reading.jitter),
        "{:?}",
        stream.reading
    );
}

#[test]
fn silence_does_not_count_as_jitter() {
    let mut stream = Stream::new();
    let mut millis = START;
    for burst in 0..20_u16 {
        for place in 0..50 {
            // The clock of the talker stands still between bursts.
            stream.hear_at(7, burst * 50 + place, millis, place == 0);
            millis += 20;
        }
        millis += 7_000;
    }
    let reading = stream.reading;
    assert_eq!(
        (reading.jitter, reading.talk_bursts, reading.lost),
        (0, 20, 0)
    );
}

#[test]
fn bursts_begin_with_a_marker_or_after_silence() {
    let mut stream = Stream::new();
    assert_eq!(stream.hear_at(7, 1, START, true).talk_bursts, 1);
    assert_eq!(stream.hear_at(7, 2, START + 20, false).talk_bursts, 1);
    assert_eq!(stream.hear_at(7, 3, START + 40, true).talk_bursts, 2);
    assert_eq!(stream.hear_at(7, 4, START + 539, false).talk_bursts, 2);
    assert_eq!(stream.hear_at(7, 5, START + 1_039, false).talk_bursts, 3);
    let mut video = Stream::new();
    video.clock_rate = 90_000;
    for sequence in 0..100 {
        video.hear(7, sequence, 0);
        video.hear_at(7, sequence, START + u64::from(sequence) * 20, true);
    }
    assert_eq!(video.reading.talk_bursts, 1);
}

#[test]
fn state_stays_small() {
    assert!(size_of::<RtpStats>() <= 32);
}

proptest! {
    #[test]
    fn any_headers_are_counted(
        packets in proptest::collection::vec(any::<(u8, u16, u32, bool, u64)>(), 0..200),
        clock_rate in any::<u32>(),
    ) {
        let mut stats = RtpStats::default();
        let mut reading = RtpReading::default();
        for (ssrc, sequence, timestamp, marker, at) in packets {
            let packet = Heard { ssrc: ssrc.into(), sequence, timestamp, marker, at };
            stats.take(&mut reading, &packet, clock_rate);
            prop_assert_eq!(reading.ssrc, u32::from(ssrc));
            prop_assert_eq!(reading.timestamp, timestamp);
        }
    }

    /// Whatever is lost of a stream that stays in order is counted exactly, over many wraps.
    #[test]
    fn losses_are_exact(gaps in proptest::collection::vec(0..2_000_u16, 1..200), start: u16) {
        let mut stream = Stream::new();
        let (mut sequence, mut lost) = (start, 0);
        stream.hear(7, sequence, 0);
        for gap in gaps {
            sequence = sequence.wrapping_add(gap + 1);
            lost += i32::from(gap);
            stream.hear(7, sequence, 0);
        }
        prop_assert_eq!(stream.reading.lost, lost);
    }
}
