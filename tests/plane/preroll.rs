//! What is kept of undecided streams by a worker with real sockets: flushed to loggers that are
//! named late, forgotten without a match, never in the way of the call.

use std::net::UdpSocket;
use std::time::Duration;

use homeward::plane::command::Command;
use homeward::plane::flow::{Expect, Flow, SlotId};
use homeward::plane::start::Preroll;
use homeward::plane::{Plane, Settings};
use homeward::sys::clock::Clock;

use super::harness::*;

/// A call of two parties about which nothing is decided.
struct Undecided {
    call: Pair,
    logger: UdpSocket,
}

impl Undecided {
    fn new(preroll: Preroll) -> Self {
        let plane = Plane::start(&Settings {
            workers: 1,
            pin: false,
            preroll,
            ..Settings::new(Clock::start())
        });
        let (plane, a, b) = (plane.unwrap(), endpoint(V4), endpoint(V4));
        let left = open(&plane, 0, V4, facing(&a, 1, Some(7)));
        let right = open(&plane, 1, V4, facing(&b, 0, Some(7)));
        settle(&plane);
        let logger = endpoint(V4);
        socket2::SockRef::from(&logger)
            .set_recv_buffer_size(1 << 20)
            .unwrap();
        Self {
            call: Pair {
                plane,
                a,
                b,
                left,
                right,
            },
            logger,
        }
    }

    /// Packets from `a`, each of which arrives at `b` before the next is sent.
    fn talk(&self, numbers: std::ops::Range<u16>) {
        for sequence in numbers {
            let packet = voice(sequence);
            let to = self.call.left.address;
            self.call.a.send_to(&packet, to).unwrap();
            assert_eq!(receive(&self.call.b), packet);
        }
    }

    /// The decision: these loggers get the left stream.
    fn decide(&self, loggers: &[&UdpSocket]) {
        let targets = loggers.iter().map(|l| l.local_addr().unwrap()).collect();
        let slot = self.call.left.slot;
        let mut batch = vec![self.configure(None)];
        if !loggers.is_empty() {
            batch.push(Command::Mirror { slot, targets });
        }
        send(&self.call.plane, Command::Batch(batch));
    }

    fn configure(&self, keep: Option<u64>) -> Command {
        Command::Configure {
            slot: self.call.left.slot,
            flow: facing(&self.call.a, 1, keep),
        }
    }

    /// The logger has got these, in order, and nothing else.
    fn stored(&self, numbers: std::ops::Range<u16>) {
        for sequence in numbers {
            assert_eq!(receive(&self.logger), voice(sequence), "{sequence}");
        }
        assert!(is_silent(&self.logger));
    }
}

fn facing(party: &UdpSocket, other: u32, keep: Option<u64>) -> Flow {
    Flow {
        remote: Some(party.local_addr().unwrap()),
        forward: Some(SlotId(other)),
        keep,
        ..flow(Expect::Rtp)
    }
}

fn voice(sequence: u16) -> Vec<u8> {
    rtp(1, sequence, &[sequence.to_be_bytes()[1]; 160])
}

#[test]
fn a_late_logger_gets_the_call_from_its_beginning() {
    let late = Undecided::new(Preroll::default());
    late.talk(0..500);
    let seen = late.call.left.wait(|s| s.preroll_kept == 500);
    assert_eq!((seen.mirrored, seen.preroll_evicted), (0, 0));
    late.decide(&[&late.logger]);
    // The call goes on while what was kept is sent, and nobody waits.
    late.talk(500..700);
    late.call.left.wait(|s| s.preroll_sent == 500);
    late.talk(700..750);
    let seen = late.call.left.wait(|s| s.mirrored == 750);
    assert_eq!((seen.preroll_kept, seen.preroll_evicted), (0, 0));
    assert_eq!((seen.mirror_dropped, seen.dropped()), (0, 0));
    late.stored(0..750);
}

#[test]
fn without_a_match_nothing_ever_leaves() {
    let late = Undecided::new(Preroll::default());
    late.talk(0..50);
    late.call.left.wait(|s| s.preroll_kept == 50);
    late.decide(&[]);
    let seen = late.call.left.wait(|s| s.preroll_kept == 0);
    assert_eq!((seen.preroll_sent, seen.preroll_evicted), (0, 0));
    // A record that comes later still: from then on.
    mirror(&late.call.plane, &late.call.left, &[&late.logger]);
    settle(&late.call.plane);
    late.talk(50..60);
    late.call.left.wait(|s| s.mirrored == 10);
    late.stored(50..60);
}

#[test]
fn what_is_not_accepted_is_not_kept() {
    let late = Undecided::new(Preroll::default());
    late.talk(0..5);
    let stranger = endpoint(V4);
    let to = late.call.left.address;
    stranger.send_to(&voice(5), to).unwrap();
    late.call.a.send_to(b"nonsense", to).unwrap();
    late.call.left.wait(|s| s.dropped() == 2);
    late.decide(&[&late.logger]);
    late.call.left.wait(|s| s.preroll_sent == 5);
    late.stored(0..5);
}

#[test]
fn age_and_octets_are_bounded_and_the_rest_is_a_counted_gap() {
    let late = Undecided::new(Preroll {
        age: Duration::from_millis(300),
        ..Preroll::default()
    });
    late.talk(0..30);
    // Nothing comes any more, and still it goes.
    late.call.left.wait(|s| s.preroll_evicted == 30);
    assert_eq!(late.call.left.snapshot().preroll_kept, 0);

    let late = Undecided::new(Preroll {
        call_bytes: 8_192,
        ..Preroll::default()
    });
    late.talk(0..100);
    let seen = late
        .call
        .left
        .wait(|s| u64::from(s.preroll_kept) + s.preroll_evicted == 100);
    assert!((21..=43).contains(&seen.preroll_kept), "{seen:?}");
    late.decide(&[&late.logger]);
    let sent = u64::from(seen.preroll_kept);
    late.call.left.wait(|s| s.preroll_sent == sent);
    late.stored(100 - u16::try_from(sent).unwrap()..100);
}

#[test]
fn a_stream_that_closes_undecided_counts_what_it_kept_as_given_up() {
    let late = Undecided::new(Preroll::default());
    late.talk(0..20);
    let slot = late.call.left.slot;
    send(&late.call.plane, Command::Close { slot });
    late.call.left.wait(|s| s.preroll_evicted == 20);
}

#[test]
fn a_stream_that_closes_decided_sends_the_rest_first() {
    let late = Undecided::new(Preroll::default());
    late.talk(0..200);
    late.decide(&[&late.logger]);
    let slot = late.call.left.slot;
    send(&late.call.plane, Command::Close { slot });
    let seen = late.call.left.wait(|s| s.preroll_sent == 200);
    assert_eq!(seen.preroll_evicted, 0);
    late.stored(0..200);
}

#[test]
fn commands_between_batches_of_a_flush_do_no_harm() {
    let late = Undecided::new(Preroll::default());
    let second = endpoint(V4);
    late.talk(0..100);
    late.decide(&[&late.logger]);
    let both = [&late.logger, &second];
    mirror(&late.call.plane, &late.call.left, &both);
    send(&late.call.plane, late.configure(None));
    settle(&late.call.plane);
    late.talk(100..120);
    mirror(&late.call.plane, &late.call.left, &[&second]);
    settle(&late.call.plane);
    late.talk(120..130);
    late.call.left.wait(|s| s.mirrored == 120 + 30);
    late.stored(0..120);
    for sequence in 100..130 {
        assert_eq!(receive(&second), voice(sequence));
    }
    assert!(is_silent(&second));
}
