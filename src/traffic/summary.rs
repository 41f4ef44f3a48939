//! From what sender, receiver and controller counted to the report.

use std::sync::atomic::{AtomicU32, Ordering};

use super::call::{Call, Party};
use super::check::ControlCounts;
use super::control::Controller;
use super::media::Side;
use super::plan::Plan;
use super::receiver::{Inbound, Received};
use super::report::{CallExpectation, Calls, Control, Micros, Packets, PartyExpectation, Report};

/// The report of a run that is over.
pub(super) fn report(
    plan: &Plan,
    calls: &[Call],
    received: &Received,
    mut controller: Controller<'_>,
) -> Report {
    let mut sums = Sums::default();
    let mut jitter = Micros::new();
    let mut problems = std::mem::take(&mut controller.problems);
    let placed = || {
        calls
            .iter()
            .zip(&received.parties)
            .filter(|(call, _)| is_up(call))
    };
    for (call, inbound) in placed() {
        let mut good = true;
        for side in Side::BOTH {
            let one = OneWay::new(call, inbound, side);
            good &= one.good();
            one.describe(&call.id, &mut problems);
            sums.add(side, &one);
            jitter.record(one.inbound.rtp.jitter());
        }
        sums.calls[usize::from(!good)] += 1;
    }
    let expect = |call: &Call, side: Side| {
        let party = &call.parties[side.index()];
        PartyExpectation::new(party.stream.clone(), load(&party.sent))
    };
    let expected = placed().map(|(call, _)| CallExpectation {
        call_id: call.id.clone(),
        parties: Side::BOTH.map(|side| expect(call, side)),
    });
    let [ok, failed] = sums.calls;
    let [caller_to_callee, callee_to_caller] = sums.rtp;
    Report {
        calls: Calls {
            planned: plan.calls,
            ok,
            failed,
        },
        packets: caller_to_callee.plus(callee_to_caller),
        caller_to_callee,
        callee_to_caller,
        rtcp: sums.rtcp,
        floor: sums.floor,
        latency_us: received.times.latency.percentiles(),
        latency_from_due_us: received.times.from_due.percentiles(),
        first_packet_us: received.times.first_packet.percentiles(),
        jitter_us: jitter.percentiles(),
        setup_us: controller.setup.percentiles(),
        ng_repeats: controller.repeats(),
        relay: controller.relay,
        send_errors: sums.send_errors,
        interrupted: controller.interrupted,
        elapsed_secs: controller.elapsed().as_secs_f64(),
        problems,
        expected: expected.collect(),
    }
}

fn is_up(call: &Call) -> bool {
    call.remote.get().is_some()
}

/// One direction of one call: from the party at `sender` to its peer.
struct OneWay<'a> {
    from: Side,
    sender: &'a Party,
    inbound: &'a Inbound,
}

impl<'a> OneWay<'a> {
    fn new(call: &'a Call, inbound: &'a [Inbound; 2], from: Side) -> Self {
        Self {
            from,
            sender: &call.parties[from.index()],
            inbound: &inbound[from.peer().index()],
        }
    }

    fn rtp(&self) -> Packets {
        let counts = self.inbound.rtp.counts();
        let sent = load(&self.sender.sent);
        Packets {
            sent: sent.into(),
            received: counts.arrived.into(),
            lost: sent.saturating_sub(counts.arrived).into(),
            duplicate: counts.duplicate.into(),
            reordered: counts.reordered.into(),
            altered: counts.altered.into(),
            foreign: counts.foreign.into(),
        }
    }

    fn rtcp(&self) -> Control {
        control(&self.sender.sent_rtcp, self.inbound.rtcp.counts())
    }

    fn floor(&self) -> Control {
        control(&self.sender.sent_floor, self.inbound.floor.counts())
    }

    fn good(&self) -> bool {
        let Packets {
            lost,
            duplicate,
            altered,
            foreign,
            ..
        } = self.rtp();
        let control = |counts: Control| counts.lost + counts.duplicate == 0;
        lost + duplicate + altered + foreign == 0 && control(self.rtcp()) && control(self.floor())
    }

    /// Adds to the problems what is wrong here, up to a limit.
    fn describe(&self, call_id: &str, problems: &mut Vec<String>) {
        if self.good() || problems.len() >= PROBLEMS {
            return;
        }
        let Packets {
            sent,
            lost,
            duplicate,
            altered,
            foreign,
            ..
        } = self.rtp();
        let (rtcp, floor) = (self.rtcp(), self.floor());
        let direction = match self.from {
            Side::Caller => "caller to callee",
            Side::Callee => "callee to caller",
        };
        let mut text = format!(
            "{call_id}: {direction}: of {sent} packets {lost} lost, {altered} altered, \
             {duplicate} duplicate, {foreign} foreign; {} RTCP and {} floor messages lost",
            rtcp.lost, floor.lost
        );
        let missing = self.inbound.rtp.missing(load(&self.sender.sent), NAMED);
        if !missing.is_empty() {
            let stream = &self.sender.stream;
            let sequences: Vec<_> = missing
                .iter()
                .map(|index| stream.sequence(*index).to_string())
                .collect();
            text += &format!(
                "; SSRC {:#010x} misses sequence {}",
                stream.ssrc(),
                sequences.join(", ")
            );
        }
        problems.push(text);
    }
}

#[derive(Default)]
struct Sums {
    /// Good ones, others.
    calls: [u32; 2],
    rtp: [Packets; 2],
    rtcp: Control,
    floor: Control,
    send_errors: u64,
}

impl Sums {
    fn add(&mut self, from: Side, one: &OneWay<'_>) {
        let rtp = &mut self.rtp[from.index()];
        *rtp = rtp.plus(one.rtp());
        self.rtcp = plus(self.rtcp, one.rtcp());
        self.floor = plus(self.floor, one.floor());
        self.send_errors += u64::from(load(&one.sender.send_errors));
    }
}

fn control(sent: &AtomicU32, counts: ControlCounts) -> Control {
    let sent = load(sent);
    Control {
        sent: sent.into(),
        received: counts.received.into(),
        lost: sent.saturating_sub(counts.received).into(),
        duplicate: counts.duplicate.into(),
        foreign: counts.foreign.into(),
    }
}

const fn plus(one: Control, other: Control) -> Control {
    Control {
        sent: one.sent + other.sent,
        received: one.received + other.received,
        lost: one.lost + other.lost,
        duplicate: one.duplicate + other.duplicate,
        foreign: one.foreign + other.foreign,
    }
}

fn load(counter: &AtomicU32) -> u32 {
    counter.load(Ordering::Acquire)
}

/// Problems told in words.
const PROBLEMS: usize = 10;
/// Missing packets named for each.
const NAMED: usize = 5;
