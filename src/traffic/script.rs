//! What a party sends beside RTP: floor control messages and RTCP sender reports, again as pure
//! functions, in the order in which they are sent.

use super::media::{Side, Stream};
use super::plan::{PACKETS_PER_SECOND, RTCP_INTERVAL};
use crate::wire::floor::{Builder, FloorKind, indicator};

/// A datagram and the packet interval in which it is due; in it, before RTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// Packet interval, counted from the start of the call.
    pub tick: u32,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// The `number`th floor control message of a party, counted from 0.
///
/// The caller is a participant; the callee stands for the MC server, which grants to the caller
/// and announces who else talks (TS 24.380 6.2.4, 6.3.4). `None` after the last one, and always
/// in full duplex.
pub fn floor(stream: &Stream, number: u32) -> Option<Cue> {
    let burst = stream.media().burst()?;
    let ticks = stream.media().ticks();
    let (round, phase) = match stream.side() {
        Side::Caller => (number / 2, number % 2),
        Side::Callee => (number / 4, number % 4),
    };
    let begin = round.checked_mul(2 * burst)?;
    // The burst that the message belongs to, and whether it stands at its end.
    let (burst_begin, at_end) = match (stream.side(), phase) {
        (Side::Caller, phase) => (begin, phase == 1),
        (Side::Callee, phase) => (begin + burst * (phase / 2), phase % 2 == 1),
    };
    if burst_begin >= ticks {
        return None;
    }
    let tick = if at_end {
        (burst_begin + burst).min(ticks)
    } else {
        burst_begin
    };
    let bytes = match stream.side() {
        Side::Caller => from_participant(stream, at_end),
        Side::Callee => from_server(stream, number, phase),
    };
    Some(Cue { tick, bytes })
}

fn from_participant(stream: &Stream, at_end: bool) -> Vec<u8> {
    let kind = if at_end {
        FloorKind::Release
    } else {
        FloorKind::Request
    };
    let message = Builder::floor(kind, control_ssrc(stream));
    let message = if at_end { message } else { message.priority(5) };
    message.indicator(indicator::NORMAL).finish()
}

fn from_server(stream: &Stream, number: u32, phase: u32) -> Vec<u8> {
    let sequence = u16::try_from(number % 0x1_0000).unwrap_or(0);
    let ssrc = control_ssrc(stream);
    let message = match phase {
        0 => Builder::floor(FloorKind::Granted, ssrc)
            .duration_secs(30)
            .priority(5)
            .audio_ssrc(stream.of(Side::Caller).ssrc()),
        2 => Builder::floor(FloorKind::Taken, ssrc)
            .granted_party(&format!("sip:talker-{}@load.invalid", stream.call() + 1))
            .permission_to_request(true)
            .sequence(sequence)
            .audio_ssrc(stream.ssrc()),
        _ => Builder::floor(FloorKind::Idle, ssrc).sequence(sequence),
    };
    message.indicator(indicator::NORMAL).finish()
}

/// Senders of floor control messages have SSRCs of their own.
fn control_ssrc(stream: &Stream) -> u32 {
    !stream.ssrc()
}

/// The `number`th sender report of a party: SR and SDES with a CNAME (RFC 3550 6.1). `None`
/// after the end of the call. Its NTP time counts from the start of the call.
pub fn rtcp(stream: &Stream, number: u32) -> Option<Cue> {
    let interval = u32::try_from(RTCP_INTERVAL.as_secs()).ok()? * PACKETS_PER_SECOND;
    let tick = number.checked_mul(interval)?.checked_add(FIRST_REPORT)?;
    if tick >= stream.media().ticks() {
        return None;
    }
    let sent = stream.index_from(tick);
    let octets = sent.wrapping_mul(u32::try_from(stream.packet(0).len()).unwrap_or(12) - 12);
    let fraction = u64::from(tick % PACKETS_PER_SECOND) << 32;
    let mut bytes = vec![0x80, 200, 0, 6];
    for word in [
        stream.ssrc(),
        NTP_SECONDS + tick / PACKETS_PER_SECOND,
        u32::try_from(fraction / u64::from(PACKETS_PER_SECOND)).unwrap_or(0),
        stream.timestamp(tick),
        sent,
        octets,
    ] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    let name = format!("party-{}@load.invalid", stream.ssrc());
    // One chunk: SSRC, the CNAME item, and at least one zero octet up to a word (6.5).
    let chunk = (4 + 2 + name.len() + 1).next_multiple_of(4);
    let words = u16::try_from(chunk / 4).unwrap_or(0);
    let end = bytes.len() + 4 + chunk;
    bytes.extend_from_slice(&[0x81, 202]);
    bytes.extend_from_slice(&words.to_be_bytes());
    bytes.extend_from_slice(&stream.ssrc().to_be_bytes());
    bytes.extend_from_slice(&[1, u8::try_from(name.len()).unwrap_or(0)]);
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(end, 0);
    Some(Cue { tick, bytes })
}

/// The first report comes after half a second, so that a call of one second has one.
const FIRST_REPORT: u32 = PACKETS_PER_SECOND / 2;
/// 2026-01-01 in seconds since 1900.
const NTP_SECONDS: u32 = 3_976_214_400;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::traffic::media::Media;
    use crate::traffic::plan::{Mode, Plan};
    use crate::wire::floor::Message;

    fn streams(seconds: u32, mode: Mode) -> [Stream; 2] {
        let mut plan = Plan::new("127.0.0.1:1".parse().unwrap());
        (plan.mode, plan.seconds) = (mode, seconds);
        let media = Arc::new(Media::new(&plan).unwrap());
        Side::BOTH.map(|side| Stream::new(Arc::clone(&media), 4, side))
    }

    fn all(stream: &Stream, script: fn(&Stream, u32) -> Option<Cue>) -> Vec<Cue> {
        (0..).map_while(|number| script(stream, number)).collect()
    }

    #[test]
    fn messages_stand_around_each_burst() {
        let [caller, callee] = streams(5, Mode::PushToTalk);
        let names = |stream| -> Vec<_> {
            let cues = all(stream, floor);
            cues.iter()
                .map(|cue| {
                    let message = Message::new_checked(&cue.bytes).unwrap();
                    message.check_fields().unwrap();
                    (cue.tick, message.label().unwrap())
                })
                .collect()
        };
        let expected = [
            (0, "Floor Request"),
            (100, "Floor Release"),
            (200, "Floor Request"),
            (250, "Floor Release"),
        ];
        assert_eq!(names(&caller), expected);
        let expected = [
            (0, "Floor Granted"),
            (100, "Floor Idle"),
            (100, "Floor Taken"),
            (200, "Floor Idle"),
            (200, "Floor Granted"),
            (250, "Floor Idle"),
        ];
        assert_eq!(names(&callee), expected);
    }

    #[test]
    fn the_grant_names_the_talkers_stream() {
        let [caller, callee] = streams(2, Mode::PushToTalk);
        let grant = floor(&callee, 0).unwrap().bytes;
        let message = Message::new_checked(&grant).unwrap();
        assert_eq!(message.audio_ssrc(), Some(caller.ssrc()));
        assert_ne!(message.ssrc(), callee.ssrc());
    }

    #[test]
    fn full_duplex_has_no_floor() {
        let [caller, callee] = streams(5, Mode::FullDuplex);
        assert_eq!(floor(&caller, 0), None);
        assert_eq!(floor(&callee, 0), None);
    }

    #[test]
    fn reports_are_whole_compounds() {
        let [caller, _] = streams(12, Mode::FullDuplex);
        let cues = all(&caller, rtcp);
        let ticks: Vec<_> = cues.iter().map(|cue| cue.tick).collect();
        assert_eq!(ticks, [25, 275, 525]);
        for cue in cues {
            assert!(cue.bytes.len().is_multiple_of(4));
            assert_eq!(cue.bytes[..4], [0x80, 200, 0, 6]);
            let sdes = &cue.bytes[28..];
            assert_eq!(sdes[..2], [0x81, 202]);
            assert_eq!(usize::from(sdes[3]) * 4 + 4, sdes.len());
            assert_eq!(*sdes.last().unwrap(), 0);
        }
    }
}
