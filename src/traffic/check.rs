//! The checks of a receiving party: what must come is recomputed, and what comes is held
//! against it, datagram by datagram.

use std::time::Duration;

use super::media::Stream;
use super::script::Cue;

/// Counts of one RTP stream as its receiver saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtpCounts {
    /// Packets that arrived, each counted once, whether altered or not.
    pub arrived: u32,
    /// Packets that arrived again.
    pub duplicate: u32,
    /// Packets that arrived after one with a higher number.
    pub reordered: u32,
    /// Packets that arrived with other octets than were sent.
    pub altered: u32,
    /// Datagrams that are not of the stream, or do not come from the relay.
    pub foreign: u32,
}

/// What a datagram on the RTP socket turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A packet of the stream, for the first time.
    Arrived {
        /// Its number.
        index: u32,
        /// Whether its octets are those that were sent.
        intact: bool,
    },
    /// A packet of the stream, again.
    Duplicate,
    /// Not a packet of the stream.
    Foreign,
}

/// Holds what one party receives against what its peer sends.
#[derive(Clone, Debug)]
pub struct StreamCheck {
    expected: Stream,
    seen: BitSet,
    highest: Option<u32>,
    counts: RtpCounts,
    jitter: Jitter,
}

impl StreamCheck {
    /// For the receiver of this stream.
    pub fn new(expected: Stream) -> Self {
        let seen = BitSet::new(expected.packets());
        Self {
            expected,
            seen,
            highest: None,
            counts: RtpCounts::default(),
            jitter: Jitter::default(),
        }
    }

    /// Takes a datagram that came from the relay at a time of the run.
    pub fn receive(&mut self, datagram: &[u8], now: Duration) -> Verdict {
        let Some(index) = identify(&self.expected, datagram) else {
            return self.foreign();
        };
        if !self.seen.insert(index) {
            self.counts.duplicate += 1;
            return Verdict::Duplicate;
        }
        self.counts.arrived += 1;
        match self.highest {
            Some(highest) if highest > index => self.counts.reordered += 1,
            Some(_) | None => self.highest = Some(index),
        }
        let intact = self.expected.packet(index) == datagram;
        self.counts.altered += u32::from(!intact);
        self.jitter.update(now, self.expected.tick_of(index));
        Verdict::Arrived { index, intact }
    }

    /// Counts a datagram that did not come from the relay.
    pub const fn foreign(&mut self) -> Verdict {
        self.counts.foreign += 1;
        Verdict::Foreign
    }

    /// The stream that must come.
    pub const fn expected(&self) -> &Stream {
        &self.expected
    }

    /// What was counted so far.
    pub const fn counts(&self) -> RtpCounts {
        self.counts
    }

    /// Interarrival jitter (RFC 3550 6.4.1), to the nanosecond.
    pub const fn jitter(&self) -> Duration {
        Duration::from_nanos(self.jitter.value / 16)
    }

    /// The first few packets of those sent that did not arrive.
    pub fn missing(&self, sent: u32, at_most: usize) -> Vec<u32> {
        (0..sent)
            .filter(|index| !self.seen.contains(*index))
            .take(at_most)
            .collect()
    }
}

/// Which packet of a stream a datagram is or was, if any.
pub fn identify(stream: &Stream, datagram: &[u8]) -> Option<u32> {
    let header = datagram.first_chunk::<12>()?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if header[0] >> 6 != 2 || word(8) != stream.ssrc() {
        return None;
    }
    stream.locate(word(4), u16::from_be_bytes([header[2], header[3]]))
}

/// Interarrival jitter, scaled by 16 as in RFC 3550 A.8.
#[derive(Clone, Debug, Default)]
struct Jitter {
    transit: Option<i64>,
    /// Nanoseconds times 16.
    value: u64,
}

impl Jitter {
    fn update(&mut self, now: Duration, tick: u32) {
        let due = super::plan::PACKET_INTERVAL * tick;
        let signed = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let transit = signed(now).saturating_sub(signed(due));
        if let Some(before) = self.transit {
            self.value = self.value - self.value.saturating_add(8) / 16 + transit.abs_diff(before);
        }
        self.transit = Some(transit);
    }
}

/// Counts of control messages as their receiver saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlCounts {
    /// Messages that arrived unchanged, each counted once.
    pub received: u32,
    /// Messages that arrived again.
    pub duplicate: u32,
    /// Datagrams that are no message of the script, or do not come from the relay.
    pub foreign: u32,
}

/// Holds the control messages that a party receives against the script of its peer.
#[derive(Clone, Debug)]
pub struct ScriptCheck {
    expected: Stream,
    script: fn(&Stream, u32) -> Option<Cue>,
    next: u32,
    skipped: u32,
    counts: ControlCounts,
}

impl ScriptCheck {
    /// For the receiver of a script.
    pub fn new(expected: Stream, script: fn(&Stream, u32) -> Option<Cue>) -> Self {
        Self {
            expected,
            script,
            next: 0,
            skipped: 0,
            counts: ControlCounts::default(),
        }
    }

    /// Takes a datagram that came from the relay.
    pub fn receive(&mut self, datagram: &[u8]) {
        let is = |number: &u32| {
            (self.script)(&self.expected, *number).is_some_and(|cue| cue.bytes == datagram)
        };
        let ahead = self.next..self.next.saturating_add(WINDOW);
        let behind = self.next.saturating_sub(WINDOW)..self.next;
        if let Some(found) = ahead.into_iter().find(is) {
            self.skipped += found - self.next;
            self.next = found + 1;
            self.counts.received += 1;
        } else if behind.rev().any(|number| is(&number)) {
            // Late if something was passed over, else the same again.
            match self.skipped.checked_sub(1) {
                Some(skipped) => {
                    self.skipped = skipped;
                    self.counts.received += 1;
                }
                None => self.counts.duplicate += 1,
            }
        } else {
            self.foreign();
        }
    }

    /// Counts a datagram that did not come from the relay.
    pub const fn foreign(&mut self) {
        self.counts.foreign += 1;
    }

    /// What was counted so far.
    pub const fn counts(&self) -> ControlCounts {
        self.counts
    }
}

/// How far a message may be from its place.
const WINDOW: u32 = 8;

/// A set of packet numbers.
#[derive(Clone, Debug)]
pub(super) struct BitSet {
    words: Box<[u64]>,
    len: u32,
}

impl BitSet {
    /// An empty set for numbers below `len`.
    pub(super) fn new(len: u32) -> Self {
        let words = usize::try_from(len.div_ceil(64)).unwrap_or(0);
        Self {
            words: vec![0; words].into(),
            len,
        }
    }

    /// Adds a number; whether it is new. A number out of bounds never is.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        if number >= self.len {
            return false;
        }
        let (word, bit) = split(number);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Whether the number is in the set.
    pub(super) fn contains(&self, number: u32) -> bool {
        let (word, bit) = split(number);
        number < self.len && self.words[word] & bit != 0
    }
}

fn split(number: u32) -> (usize, u64) {
    let word = usize::try_from(number / 64).unwrap_or(0);
    (word, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::traffic::media::{Media, Side};
    use crate::traffic::plan::{Mode, Plan};
    use crate::traffic::script;

    const NOW: Duration = Duration::from_secs(1);

    fn stream(mode: Mode) -> Stream {
        let mut plan = Plan::new("127.0.0.1:1".parse().unwrap());
        plan.mode = mode;
        Stream::new(Arc::new(Media::new(&plan).unwrap()), 0, Side::Callee)
    }

    #[test]
    fn loss_duplicates_and_order_are_told_apart() {
        let stream = stream(Mode::FullDuplex);
        let mut check = StreamCheck::new(stream.clone());
        for index in [0, 1, 3, 2, 2, 5, 6] {
            check.receive(&stream.packet(index), NOW);
        }
        let expected = RtpCounts {
            arrived: 6,
            duplicate: 1,
            reordered: 1,
            ..RtpCounts::default()
        };
        assert_eq!(check.counts(), expected);
        assert_eq!(check.missing(7, 10), [4]);
        assert_eq!(check.missing(250, 2), [4, 7]);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let stream = stream(Mode::PushToTalk);
        let whole = stream.packet(7).to_vec();
        for bit in 0..whole.len() * 8 {
            let mut packet = whole.clone();
            packet[bit / 8] ^= 1 << (bit % 8);
            let mut check = StreamCheck::new(stream.clone());
            let verdict = check.receive(&packet, NOW);
            assert!(
                !matches!(
                    verdict,
                    Verdict::Duplicate | Verdict::Arrived { intact: true, .. }
                ),
                "bit {bit}: {verdict:?}"
            );
        }
    }

    #[test]
    fn cut_and_lengthened_packets_are_altered() {
        let stream = stream(Mode::FullDuplex);
        let mut check = StreamCheck::new(stream.clone());
        check.receive(&stream.packet(0)[..171], NOW);
        check.receive(&[&stream.packet(1)[..], &[0]].concat(), NOW);
        check.receive(&stream.packet(2)[..12], NOW);
        assert_eq!(check.counts().altered, 3);
        assert_eq!(
            check.receive(&stream.packet(3)[..11], NOW),
            Verdict::Foreign
        );
        assert_eq!(check.receive(&[], NOW), Verdict::Foreign);
        let other = stream.of(Side::Caller).packet(4);
        assert_eq!(check.receive(&other, NOW), Verdict::Foreign);
        assert_eq!(check.counts().foreign, 3);
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let stream = stream(Mode::FullDuplex);
        let mut check = StreamCheck::new(stream.clone());
        for index in 0..100 {
            let late = Duration::from_millis(u64::from(index % 2) * 16);
            let now = NOW + Duration::from_millis(20) * index + late;
            check.receive(&stream.packet(index), now);
        }
        let jitter = check.jitter();
        assert!(jitter > Duration::from_millis(15), "{jitter:?}");
        assert!(jitter <= Duration::from_millis(16), "{jitter:?}");
        let mut even = StreamCheck::new(stream.clone());
        for index in 0..100 {
            even.receive(
                &stream.packet(index),
                NOW + Duration::from_millis(20) * index,
            );
        }
        assert_eq!(even.jitter(), Duration::ZERO);
    }

    #[test]
    fn scripts_are_checked_message_by_message() {
        let stream = stream(Mode::PushToTalk);
        let cues: Vec<_> = (0..)
            .map_while(|number| script::floor(&stream, number))
            .map(|cue| cue.bytes)
            .collect();
        assert_eq!(cues.len(), 6);
        let mut check = ScriptCheck::new(stream, script::floor);
        for place in [0, 2, 1, 1, 5] {
            check.receive(&cues[place]);
        }
        check.receive(b"other");
        let counts = check.counts();
        // Messages are told by their octets: number 3 and 4 are lost, 1 came late and again.
        assert_eq!((counts.received, counts.foreign), (4, 1));
        assert_eq!(counts.duplicate, 1);
    }

    #[test]
    fn a_set_is_bounded() {
        let mut set = BitSet::new(65);
        assert!(set.insert(64) && !set.insert(64) && set.contains(64));
        assert!(!set.insert(65) && !set.contains(65) && !set.contains(1_000));
        assert!(!BitSet::new(0).insert(0));
    }
}
