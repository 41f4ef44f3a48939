//! What is known of an RTP stream from its headers: sequence, loss, jitter, talk bursts
//! (RFC 3550 A.1, A.3, A.8). Pure.
//!
//! One source is followed at a time; another SSRC starts anew, and the losses of the former one
//! are kept in the sum. Packets on probation are forwarded like all others (RFC 3550 A.1 allows
//! it), so that no first syllable is lost: probation matters to nothing here, and is left out.

use super::counters::RtpReading;

/// What an RTP packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// When it came, in nanoseconds of any steady clock.
    pub(super) at: u64,
}

/// What the statistics of one stream need beside the [`RtpReading`] that its counters hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RtpStats {
    /// When the last packet came, in milliseconds modulo 2^32.
    last: u32,
    /// Of the source at hand: packets received. Zero before the first packet.
    received: u32,
    /// Of the source at hand: extended sequence number it began with.
    base: u32,
    /// Losses of former sources.
    former_lost: i32,
    /// Transit time of the last packet in time stamp units.
    transit: u32,
    /// Sixteen times the jitter.
    jitter: u32,
    /// The sequence number that would confirm a big jump.
    after_jump: Option<u16>,
    /// The transit time of the last packet is of no use to the next.
    unsettled: bool,
}

impl RtpStats {
    /// Takes a packet into account: `reading` is brought up to date.
    pub(super) fn take(&mut self, reading: &mut RtpReading, packet: &Heard, clock_rate: u32) {
        let first = self.received == 0;
        let now = millis(packet.at);
        let silence = first || now.wrapping_sub(self.last) >= SILENCE_MILLIS;
        if first || packet.ssrc != reading.ssrc {
            self.start(reading, packet);
        } else {
            self.advance(reading, packet.sequence);
        }
        // The marker of video ends a frame (RFC 6184 5.1); only that of audio begins a burst
        // (RFC 3551 4.1).
        let burst = silence || (packet.marker && clock_rate != VIDEO_CLOCK);
        if burst {
            reading.talk_bursts = reading.talk_bursts.saturating_add(1);
        }
        self.time(packet, clock_rate, burst);
        self.last = now;
        reading.timestamp = packet.timestamp;
        reading.jitter = self.jitter >> 4;
        reading.lost = self.former_lost.saturating_add(self.lost(reading));
    }

    /// Another source (RFC 3550 A.1, `init_seq`).
    fn start(&mut self, reading: &mut RtpReading, packet: &Heard) {
        if self.received != 0 {
            self.former_lost = self.former_lost.saturating_add(self.lost(reading));
            reading.ssrc_changes = reading.ssrc_changes.saturating_add(1);
        }
        reading.ssrc = packet.ssrc;
        reading.last_seq = packet.sequence.into();
        self.base = reading.last_seq;
        self.received = 1;
        self.after_jump = None;
        self.jitter = 0;
        self.unsettled = true;
    }

    /// The next sequence number of the same source (RFC 3550 A.1, `update_seq`).
    fn advance(&mut self, reading: &mut RtpReading, sequence: u16) {
        let highest = reading.last_seq;
        let ahead = sequence.wrapping_sub((highest & 0xffff) as u16);
        if ahead < MAX_DROPOUT {
            reading.last_seq = highest.wrapping_add(ahead.into());
            self.after_jump = None;
        } else if ahead <= u16::MAX - MAX_MISORDER {
            if self.after_jump != Some(sequence) {
                self.after_jump = Some(sequence.wrapping_add(1));
                return;
            }
            // Two in a row: the source has started anew without saying so.
            self.former_lost = self.former_lost.saturating_add(self.lost(reading));
            self.base = sequence.wrapping_sub(1).into();
            reading.last_seq = self.base.wrapping_add(1);
            self.received = 1;
            self.after_jump = None;
        }
        self.received = self.received.wrapping_add(1);
    }

    /// Packets of the source at hand that did not come; negative if there were duplicates
    /// (RFC 3550 A.3).
    fn lost(&self, reading: &RtpReading) -> i32 {
        let expected = reading.last_seq.wrapping_sub(self.base).wrapping_add(1);
        expected.wrapping_sub(self.received).cast_signed()
    }

    /// Interarrival jitter (RFC 3550 A.8). Silence says nothing about the network, so that the
    /// first packet of a burst only sets the reference.
    fn time(&mut self, packet: &Heard, clock_rate: u32, burst: bool) {
        let arrival = in_units(packet.at, clock_rate);
        let transit = arrival.wrapping_sub(packet.timestamp);
        let apart = transit.wrapping_sub(self.transit).cast_signed();
        self.transit = transit;
        if burst || self.unsettled {
            self.unsettled = false;
            return;
        }
        let decay = self.jitter.saturating_add(8) >> 4;
        let raised = self.jitter.saturating_add(apart.unsigned_abs());
        self.jitter = raised.saturating_sub(decay);
    }
}

/// Milliseconds modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "counted modulo 2^32")]
pub(super) fn millis(nanos: u64) -> u32 {
    (nanos / 1_000_000) as u32
}

/// A time in units of the clock rate, modulo 2^32.
#[expect(
    clippy::cast_possible_truncation,
    reason = "time stamps count modulo 2^32"
)]
fn in_units(nanos: u64, clock_rate: u32) -> u32 {
    let (secs, rest) = (nanos / NANOS, nanos % NANOS);
    let rate = u64::from(clock_rate);
    secs.wrapping_mul(rate).wrapping_add(rest * rate / NANOS) as u32
}

const NANOS: u64 = 1_000_000_000;
/// A pause that ends a talk burst, marker or not.
const SILENCE_MILLIS: u32 = 500;
const VIDEO_CLOCK: u32 = 90_000;
const MAX_DROPOUT: u16 = 3_000;
const MAX_MISORDER: u16 = 100;

#[cfg(test)]
mod tests;
