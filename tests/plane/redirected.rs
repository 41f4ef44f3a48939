//! A call whose packets go through home, and the anchor there.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use homeward::plane::Plane;
use homeward::plane::command::{Command, Event};
use homeward::plane::flow::{Expect, Flow, HomeLimits, Learn, Route, SlotId};

use super::harness::*;

/// A call whose two directions go through home: left faces `a`, right faces `b`; what `a` sends
/// goes through `out`, what `b` sends through `back`.
pub(crate) struct Redirected {
    pub(crate) call: Pair,
    pub(crate) out: Stream,
    pub(crate) back: Stream,
    /// Where the relay sends what `a` sends.
    pub(crate) anchor: UdpSocket,
    /// Where the relay sends what `b` sends.
    pub(crate) second: UdpSocket,
}

/// Short enough to wait for.
pub(crate) const SOON: HomeLimits = HomeLimits {
    unreachable_after: Duration::from_millis(50),
    return_after: Duration::from_millis(50),
};
/// Between packets where limits have to pass: otherwise as many would be sent in that time as the
/// machine can, and home remembers the last 1,024 only.
pub(crate) const PACE: Duration = Duration::from_millis(1);
/// Longer than any test runs.
pub(crate) const NEVER: HomeLimits = HomeLimits {
    unreachable_after: Duration::from_secs(3_600),
    return_after: Duration::from_secs(3_600),
};

pub(crate) fn facing_home(
    expect: Expect,
    anchor: SocketAddr,
    forward: SlotId,
    limits: HomeLimits,
) -> Flow {
    Flow {
        remote: Some(anchor),
        learn: Learn::Off,
        forward: Some(forward),
        route: Route::Home(limits),
        ..flow(expect)
    }
}

pub(crate) fn via(home: SlotId, party: &UdpSocket, forward: SlotId, expect: Expect) -> Flow {
    Flow {
        remote: Some(party.local_addr().unwrap()),
        forward: Some(forward),
        route: Route::Via {
            home,
            home_rtcp: None,
        },
        ..flow(expect)
    }
}

pub(crate) fn configure(plane: &Plane, stream: &Stream, flow: Flow) {
    let slot = stream.slot;
    send(plane, Command::Configure { slot, flow });
}

pub(crate) fn redirected(expect: Expect, limits: HomeLimits) -> Redirected {
    let call = pair(expect, V4, V4);
    let (anchor, second) = (endpoint(V4), endpoint(V4));
    let (left, right) = (call.left.slot, call.right.slot);
    let at = |anchor: &UdpSocket| anchor.local_addr().unwrap();
    let out = facing_home(expect, at(&anchor), right, limits);
    let out = open(&call.plane, 2, V4, out);
    let back = facing_home(expect, at(&second), left, limits);
    let back = open(&call.plane, 3, V4, back);
    let through = via(out.slot, &call.a, right, expect);
    configure(&call.plane, &call.left, through);
    let through = via(back.slot, &call.b, left, expect);
    configure(&call.plane, &call.right, through);
    settle(&call.plane);
    Redirected {
        call,
        out,
        back,
        anchor,
        second,
    }
}

impl Redirected {
    /// `a` sends a packet, and the anchor gets it.
    pub(crate) fn anchor_gets(&self, packet: &[u8]) {
        self.call.a.send_to(packet, self.call.left.address).unwrap();
        assert_eq!(receive(&self.anchor), packet);
    }

    /// The anchor sends this back.
    pub(crate) fn anchor_returns(&self, packet: &[u8]) {
        self.anchor.send_to(packet, self.out.address).unwrap();
    }

    /// `a` sends unanswered packets from this number on until home is lost; they reach `b` from
    /// the switch on. Gives the number of the next packet and the event.
    pub(crate) fn lose(&self, first: u16) -> (u16, Event) {
        for sequence in first.. {
            pause(PACE);
            let packet = rtp(1, sequence, &[1; 50]);
            let forwarded = u64::from(sequence) + 1;
            self.call
                .a
                .send_to(&packet, self.call.left.address)
                .unwrap();
            self.call.left.wait(|s| s.forwarded >= forwarded);
            let told = drained(&self.call.plane);
            while !is_silent(&self.anchor) {} // its buffer is small
            let lost = |event: &&Event| matches!(event, Event::HomeLost { .. });
            if let Some(&lost) = told.iter().find(lost) {
                assert_eq!(receive(&self.call.b), packet);
                return (sequence + 1, lost);
            }
        }
        panic!("home was never lost");
    }
}

/// The events of now, without those of learning. The worker is waited for, because it reports
/// what happened last at the end of its round.
pub(crate) fn drained(plane: &Plane) -> Vec<Event> {
    settle(plane);
    let mut seen = Vec::new();
    plane.events().drain(|_, event| seen.push(event));
    seen.retain(|event| !matches!(event, Event::Learned { .. }));
    seen
}

/// An anchor on a thread of its own, which sends everything back to where it came from.
pub(crate) struct Reflector {
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) thread: Option<JoinHandle<UdpSocket>>,
}

impl Reflector {
    pub(crate) fn start(socket: &UdpSocket) -> Self {
        let socket = socket.try_clone().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !stopped.load(Ordering::SeqCst) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(&buffer[..len], from).unwrap();
                }
            }
            socket
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}
