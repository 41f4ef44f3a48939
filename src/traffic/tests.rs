//! Sender, receiver and report together, over real sockets, through a forwarder that does to
//! packets what a bad relay would.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::call::{self, Call};
use super::control::Controller;
use super::media::Media;
use super::plan::{Mode, Plan};
use super::receiver::Receiver;
use super::report::{Control, Packets, Report};
use super::sdp::Remote;
use super::{sender, summary};
use crate::sys::clock::Clock;

/// What the forwarder does with the `number`th datagram from the caller.
type Fault = fn(number: usize, datagram: Vec<u8>) -> Vec<Vec<u8>>;

#[test]
fn a_faithful_relay_passes() {
    for mode in [Mode::FullDuplex, Mode::PushToTalk] {
        let report = play(mode, |_, datagram| vec![datagram], false);
        assert!(report.passed(), "{:?}", report.problems);
        let sent = if mode == Mode::FullDuplex { 100 } else { 50 };
        assert_eq!((report.packets.sent, report.packets.received), (sent, sent));
        assert_eq!(report.latency_us.count, sent);
        assert_eq!((report.calls.ok, report.calls.failed), (1, 0));
        assert_eq!((report.rtcp.sent, report.rtcp.received), (2, 2));
        let floor = if mode == Mode::FullDuplex { 0 } else { 6 };
        assert_eq!((report.floor.sent, report.floor.received), (floor, floor));
        assert_eq!(
            report.expected[0].parties[0].packets(),
            u32::try_from(sent / 2).unwrap()
        );
    }
}

#[test]
fn every_fault_of_a_relay_is_counted() {
    let fault = |number, mut datagram: Vec<u8>| match number {
        10 => vec![],
        20 => vec![datagram.clone(), datagram],
        30 => {
            datagram[40] ^= 4;
            vec![datagram]
        }
        _ => vec![datagram],
    };
    let report = play(Mode::FullDuplex, fault, true);
    let expected = Packets {
        sent: 50,
        received: 49,
        lost: 1,
        duplicate: 1,
        altered: 1,
        foreign: 1,
        ..Packets::default()
    };
    assert_eq!(report.caller_to_callee, expected);
    let clean = Packets {
        sent: 50,
        received: 50,
        ..Packets::default()
    };
    assert_eq!(report.callee_to_caller, clean);
    assert_eq!((report.calls.ok, report.calls.failed), (0, 1));
    assert!(!report.passed());
    let [problem] = report.problems.as_slice() else {
        panic!("{:?}", report.problems);
    };
    let stream = report.expected[0].parties[0].stream();
    let named = format!(
        "SSRC {:#010x} misses sequence {}",
        stream.ssrc(),
        stream.sequence(10)
    );
    assert!(problem.contains(&named), "{problem}");
    assert!(problem.contains("of 50 packets 1 lost, 1 altered, 1 duplicate, 1 foreign"));
}

#[test]
fn lost_control_messages_fail_a_run() {
    // The first datagram from the caller in push-to-talk is its floor request.
    let fault: Fault = |number, datagram| if number == 0 { vec![] } else { vec![datagram] };
    let report = play(Mode::PushToTalk, fault, false);
    let expected = Control {
        sent: 6,
        received: 5,
        lost: 1,
        ..Control::default()
    };
    assert_eq!(report.floor, expected);
    assert!(!report.passed());
}

/// Plays one call of a second; with `stranger`, somebody else sends to the callee as well.
fn play(mode: Mode, fault: Fault, stranger: bool) -> Report {
    let mut plan = Plan::new("127.0.0.1:1".parse().unwrap());
    (plan.mode, plan.seconds, plan.rtcp) = (mode, 1, true);
    let media = Arc::new(Media::new(&plan).unwrap());
    let calls = call::open(&plan, &media).unwrap();
    let epoch = Clock::monotonic();
    let receiver = Receiver::new(&calls, epoch).unwrap();
    let (halt, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let relays = Relays::start(scope, &calls[0], fault, &done);
        if stranger {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let to = calls[0].parties[1].rtp.local_addr().unwrap();
            socket.send_to(b"from somewhere else", to).unwrap();
        }
        calls[0].remote.set(relays.remotes).unwrap();
        let receiving = scope.spawn(|| receiver.run(&done));
        sender::run(&calls, epoch, &halt);
        let drained = || calls[0].drained(Clock::monotonic() - epoch, Duration::from_secs(1));
        while !drained() {
            thread::park_timeout(Duration::from_millis(5));
        }
        done.store(true, Ordering::Release);
        let received = receiving.join().unwrap().unwrap();
        let controller = Controller::new(&plan, &calls, epoch).unwrap();
        summary::report(&plan, &calls, &received, controller)
    })
}

/// A forwarder for each kind of datagram, until the run is done.
struct Relays {
    remotes: [Remote; 2],
}

impl Relays {
    fn start<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        call: &'scope Call,
        fault: Fault,
        done: &'scope AtomicBool,
    ) -> Self {
        let [caller, callee] = &call.parties;
        let address = |socket: &UdpSocket| socket.local_addr().unwrap();
        let relay = |caller: SocketAddr, callee: SocketAddr, fault: Fault| {
            let sides = [(); 2].map(|()| {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            });
            let addresses = [address(&sides[0]), address(&sides[1])];
            scope.spawn(move || forward(&sides, [caller, callee], fault, done));
            addresses
        };
        let none: Fault = |_, datagram| vec![datagram];
        let [rtp_fault, floor_fault] = match caller.floor {
            None => [fault, none],
            Some(_) => [none, fault],
        };
        let rtp = relay(address(&caller.rtp), address(&callee.rtp), rtp_fault);
        let rtcp = [caller, callee].map(|party| address(party.rtcp.as_ref().unwrap()));
        let rtcp = relay(rtcp[0], rtcp[1], none);
        let floor = caller.floor.as_ref().zip(callee.floor.as_ref());
        let floor = floor.map(|(a, b)| relay(address(a), address(b), floor_fault));
        let remotes = [0, 1].map(|side| Remote {
            rtp: rtp[side],
            rtcp: rtcp[side],
            floor: floor.map(|addresses| addresses[side]),
        });
        Self { remotes }
    }
}

fn forward(sides: &[UdpSocket; 2], parties: [SocketAddr; 2], fault: Fault, done: &AtomicBool) {
    let mut buffer = vec![0; 2_048];
    let mut number = 0;
    while !done.load(Ordering::Acquire) {
        let mut idle = true;
        for from in [0, 1] {
            while let Ok(len) = sides[from].recv(&mut buffer) {
                idle = false;
                let datagram = buffer[..len].to_vec();
                let datagrams = if from == 0 {
                    number += 1;
                    fault(number - 1, datagram)
                } else {
                    vec![datagram]
                };
                for datagram in datagrams {
                    sides[1 - from]
                        .send_to(&datagram, parties[1 - from])
                        .unwrap();
                }
            }
        }
        if idle {
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}
