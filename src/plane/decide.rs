//! What becomes of one datagram: classify, check the source, count. No system calls.

use super::counters::Drop;
use super::flow::Expect;
use super::learn::Verdict;
use super::slot::{Detour, Slot, SlotIndex};
use super::stats::Heard;
use crate::sys::mmsg::Datagram;
use crate::wire::mux::{Protocol, classify};
use crate::wire::rtcp;
use crate::wire::rtp::RtpView;
use crate::wire::time::Timestamp;

/// The decision on a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// It was taken: copy it to the loggers, and forward it if there is where to.
    pub(super) taken: bool,
    /// The slot that it is forwarded out of.
    pub(super) to: Option<SlotIndex>,
    /// The peer's address is another now.
    pub(super) learned: bool,
    /// Its part in redirect.
    pub(super) part: Part,
}

/// The part of a datagram in redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// None: it goes straight.
    None,
    /// A party sent it, and it goes home out of this slot's socket.
    Away(SlotIndex),
    /// It came on a slot that faces home.
    Back,
}

/// What a datagram turned out to be.
enum Kind {
    Rtp(Heard),
    Rtcp,
    Other,
}

/// Decides on a datagram of this slot, counts it, and learns from it.
pub(super) fn decide(slot: &mut Slot, datagram: &Datagram<'_>, now: Timestamp) -> Decision {
    note_socket_drops(slot, datagram.dropped);
    let mut decision = Decision {
        taken: false,
        to: None,
        learned: false,
        part: Part::None,
    };
    let result = examine(slot, datagram, now, &mut decision.learned);
    if let Some(detour) = &slot.detour {
        decision.part = part(detour, result == Ok(true));
    }
    match result {
        Ok(rtcp) => {
            slot.counters.took(datagram.bytes.len(), rtcp);
            decision.taken = true;
            decision.to = if rtcp {
                slot.forward_rtcp.or(slot.forward)
            } else {
                slot.forward
            };
        }
        Err(drop) => slot.counters.dropped(drop, 1),
    }
    decision
}

fn part(detour: &Detour, rtcp: bool) -> Part {
    match detour {
        Detour::Via(_, home) if rtcp => Part::Away(*home),
        Detour::Via(home, _) => Part::Away(*home),
        Detour::Home(_) => Part::Back,
    }
}

/// Whether the datagram is RTCP, or why it is dropped.
fn examine(
    slot: &mut Slot,
    datagram: &Datagram<'_>,
    now: Timestamp,
    learned: &mut bool,
) -> Result<bool, Drop> {
    if datagram.truncated {
        return Err(Drop::TooLarge);
    }
    let arrival = datagram.received.unwrap_or(now);
    let kind = identify(slot.expect, datagram.bytes, arrival).ok_or(Drop::Malformed)?;
    let (declared, peer) = (&slot.declared, &slot.peer);
    match slot
        .learner
        .judge(slot.rules, declared, peer, &datagram.from, now)
    {
        Verdict::Take => {}
        Verdict::Follow => {
            slot.peer = datagram.from;
            slot.counters.set_learned(&datagram.from);
            *learned = true;
        }
        Verdict::Stranger => return Err(Drop::Stranger),
    }
    slot.counters.heard(now);
    if slot.blocked {
        return Err(Drop::Blocked);
    }
    let back = slot.detour.is_some() && comes_back(slot, datagram.bytes, now)?;
    match kind {
        Kind::Rtp(packet) => {
            // What comes back has passed the guard of the slot that it came in on.
            if !back && !slot.guard.passes(&packet) {
                return Err(Drop::Loop);
            }
            let mut reading = slot.counters.rtp();
            slot.stats.take(&mut reading, &packet, slot.clock_rate);
            slot.counters.set_rtp(&reading);
            Ok(false)
        }
        Kind::Rtcp => Ok(true),
        Kind::Other => Ok(false),
    }
}

/// Whether the slot faces home, and the datagram is one that may come back; or why not.
fn comes_back(slot: &mut Slot, bytes: &[u8], now: Timestamp) -> Result<bool, Drop> {
    match slot.home() {
        Some((home, counters)) => home.take(bytes, now, counters).map(|()| true),
        None => Ok(false),
    }
}

/// What the datagram is, if it may be that on such a slot. RTP and RTCP may be protected
/// (RFC 3711), so that only what is in the clear then is checked.
fn identify(expect: Expect, bytes: &[u8], arrival: Timestamp) -> Option<Kind> {
    match (expect, classify(bytes)) {
        (Expect::Rtp, Protocol::Rtp) => {
            let view = RtpView::parse_protected(bytes).ok()?;
            Some(Kind::Rtp(Heard {
                ssrc: view.ssrc(),
                sequence: view.sequence(),
                timestamp: view.timestamp(),
                marker: view.marker(),
                at: arrival.nanos(),
            }))
        }
        (Expect::Rtp | Expect::Rtcp, Protocol::Rtcp) => rtcp::first(bytes).ok().map(|_| Kind::Rtcp),
        (Expect::Datagram, Protocol::Rtcp) => Some(Kind::Rtcp),
        (Expect::Datagram, _) => Some(Kind::Other),
        (Expect::Rtp | Expect::Rtcp, _) => None,
    }
}

/// The kernel counts from the making of the socket, modulo 2^32.
fn note_socket_drops(slot: &mut Slot, total: Option<u32>) {
    let Some(total) = total else {
        return;
    };
    let new = total.wrapping_sub(slot.socket_drops);
    if new != 0 {
        slot.socket_drops = total;
        slot.counters.dropped(Drop::SocketFull, new);
    }
}

#[cfg(test)]
mod tests;
