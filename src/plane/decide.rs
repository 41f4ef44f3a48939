//! What becomes of one datagram: classify, check the source, count. No system calls.

use super::counters::Drop;
use super::flow::Expect;
use super::learn::Verdict;
use super::slot::{Slot, SlotIndex};
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
    };
    let drop = match examine(slot, datagram, now, &mut decision.learned) {
        Ok(rtcp) => {
            slot.counters.took(datagram.bytes.len(), rtcp);
            decision.taken = true;
            decision.to = if rtcp {
                slot.forward_rtcp.or(slot.forward)
            } else {
                slot.forward
            };
            return decision;
        }
        Err(drop) => drop,
    };
    slot.counters.dropped(drop, 1);
    decision
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
    match kind {
        Kind::Rtp(packet) => {
            if !slot.guard.passes(&packet) {
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
