use std::sync::Arc;

use homeward::plane::command::{Command, Event};
use homeward::plane::counters::Counters;
use homeward::plane::flow::{Expect, Flow, SlotId};
use homeward::plane::{Plane, Settings, socket};
use homeward::sys::clock::Clock;

use super::harness::*;

fn closed(event: &Event) -> Option<SlotId> {
    match event {
        Event::Closed { slot } => Some(*slot),
        Event::Learned { .. } | Event::HomeLost { .. } | Event::HomeBack { .. } => None,
    }
}

/// Whether this process still has a socket on that port.
fn is_bound(stream: &Stream) -> bool {
    std::net::UdpSocket::bind(stream.address).is_err()
}

#[test]
fn closing_gives_the_port_back_and_tells() {
    let call = pair(Expect::Rtp, V4, V4);
    let packet = rtp(1, 1, &[1; 20]);
    call.a.send_to(&packet, call.left.address).unwrap();
    assert_eq!(receive(&call.b), packet);
    assert!(is_bound(&call.left));
    for stream in [&call.left, &call.right] {
        let slot = stream.slot;
        send(&call.plane, Command::Close { slot });
    }
    let told: Vec<_> = events(&call.plane, 3).iter().filter_map(closed).collect();
    assert_eq!(told, [call.left.slot, call.right.slot]);
    assert!(!is_bound(&call.left) && !is_bound(&call.right));
    assert_eq!(Arc::strong_count(&call.left.counters), 1);
    assert_eq!(call.left.snapshot().forwarded, 1);
}

#[test]
fn a_slot_can_be_used_again() {
    let call = pair(Expect::Rtp, V4, V4);
    for round in 0..50 {
        let slot = call.left.slot;
        send(&call.plane, Command::Close { slot });
        let wanted = if round == 0 { 1 } else { 2 };
        let told = events(&call.plane, wanted);
        assert_eq!(told.iter().filter_map(closed).collect::<Vec<_>>(), [slot]);
        let again = open(
            &call.plane,
            slot.0,
            V4,
            Flow {
                remote: Some(call.a.local_addr().unwrap()),
                forward: Some(SlotId(1)),
                ..flow(Expect::Rtp)
            },
        );
        let packet = rtp(1, round, &[1; 20]);
        settle(&call.plane);
        call.a.send_to(&packet, again.address).unwrap();
        assert_eq!(receive(&call.b), packet);
        assert_eq!(again.wait(|s| s.forwarded == 1).dropped(), 0);
    }
}

#[test]
fn closed_is_told_even_if_nobody_reads_for_a_while() {
    let plane = Plane::start(&Settings {
        workers: 1,
        pin: false,
        event_queue: 4,
        ..Settings::new(Clock::start())
    })
    .unwrap();
    for slot in 0..100 {
        open(&plane, slot, V4, flow(Expect::Rtp));
    }
    for slot in (0..100).map(SlotId) {
        send(&plane, Command::Close { slot });
    }
    settle(&plane);
    let told: Vec<_> = events(&plane, 100).iter().filter_map(closed).collect();
    assert_eq!(told, (0..100).map(SlotId).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_gives_the_command_back() {
    let plane = Plane::start(&Settings {
        workers: 1,
        pin: false,
        command_queue: 1,
        ..Settings::new(Clock::start())
    })
    .unwrap();
    let (mut sent, mut refused) = (0, 0);
    while refused == 0 && sent < 10_000_000 {
        let (slot, targets) = (SlotId(sent), Vec::new());
        match plane.workers()[0].send(Command::Mirror { slot, targets }) {
            Ok(()) => sent += 1,
            Err(Command::Mirror { slot: back, .. }) => {
                assert_eq!(back, slot);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 1);
}

#[test]
fn a_thousand_streams() {
    let plane = plane();
    let (a, b) = (endpoint(V4), endpoint(V4));
    let to_b = Flow {
        remote: Some(b.local_addr().unwrap()),
        ..flow(Expect::Rtp)
    };
    let exit = open(&plane, 5_000, V4, to_b);
    let streams: Vec<_> = (0..1_000)
        .map(|slot| {
            let across = Flow {
                remote: Some(a.local_addr().unwrap()),
                forward: Some(exit.slot),
                ..flow(Expect::Rtp)
            };
            open(&plane, slot, V4, across)
        })
        .collect();
    settle(&plane);
    assert_eq!(plane.workers()[0].metrics().slots.read(), 1_001);
    for round in 0..3 {
        for (ssrc, stream) in (0..).zip(&streams) {
            let packet = rtp(ssrc, round, &[1; 50]);
            a.send_to(&packet, stream.address).unwrap();
            assert_eq!(receive(&b), packet);
        }
    }
    for (ssrc, stream) in (0..).zip(&streams) {
        let seen = stream.wait(|s| s.forwarded == 3);
        assert_eq!((seen.ssrc, seen.lost), (Some(ssrc), 0));
    }
}

#[test]
fn commands_while_packets_flow() {
    let call = pair(Expect::Rtp, V4, V4);
    let logger = endpoint(V4);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            for round in 0..2_000_u32 {
                let slot = 10 + round % 20;
                let socket = socket::bind(V4.parse().unwrap(), None, None).unwrap();
                let open = Command::Open {
                    slot: SlotId(slot),
                    socket,
                    flow: flow(Expect::Datagram),
                    counters: Arc::new(Counters::default()),
                };
                send(&call.plane, open);
                let loggers = if round % 2 == 0 {
                    vec![&logger]
                } else {
                    vec![]
                };
                mirror(&call.plane, &call.left, &loggers);
                let slot = SlotId(slot);
                send(&call.plane, Command::Close { slot });
            }
        });
        let mut sequence = 0_u16;
        while !busy.is_finished() {
            let packet = rtp(1, sequence, &[1; 160]);
            call.a.send_to(&packet, call.left.address).unwrap();
            assert_eq!(receive(&call.b), packet);
            sequence = sequence.wrapping_add(1);
        }
    });
    settle(&call.plane);
    assert_eq!(call.left.snapshot().dropped(), 0);
    let metrics = call.plane.workers()[0].metrics();
    assert_eq!(
        (metrics.slots.read(), metrics.commands_failed.read()),
        (2, 0)
    );
    let told = events(&call.plane, 2_000);
    assert!(told.iter().filter_map(closed).count() >= 1_999);
}

#[test]
fn stopping_closes_everything() {
    let call = pair(Expect::Rtp, V4, V4);
    let Pair {
        plane, left, right, ..
    } = call;
    let handle = plane.workers()[0].clone();
    plane.stop();
    assert!(!is_bound(&left) && !is_bound(&right));
    assert_eq!(Arc::strong_count(&left.counters), 1);
    // Nobody is there any more, and that is not an error of the caller.
    let slot = SlotId(0);
    assert!(handle.send(Command::Close { slot }).is_ok());
    let none = handle.take_latencies(std::time::Duration::ZERO).unwrap();
    assert!(none.is_none());
}

#[test]
fn workers_are_counted_and_pinned() {
    let plane = Plane::start(&Settings::new(Clock::start())).unwrap();
    let processors = homeward::sys::affinity::allowed().unwrap();
    let workers = plane.workers();
    assert_eq!(workers.len(), (processors.len() - 1).max(1));
    assert_eq!(workers[0].processor(), processors.last().copied());
    let three = Plane::start(&Settings {
        workers: 3,
        ..Settings::new(Clock::start())
    })
    .unwrap();
    assert_eq!(three.workers().len(), 3);
    let latencies = three.take_latencies(PATIENCE).unwrap();
    assert_eq!(latencies.len(), 0);
}

#[test]
fn what_has_arrived_is_carried_before_a_stream_ends() {
    let call = pair(Expect::Rtp, V4, V4);
    let logger = endpoint(V4);
    mirror(&call.plane, &call.left, &[&logger]);
    settle(&call.plane);
    for sequence in 0..40 {
        let packet = rtp(1, sequence, &[1; 20]);
        call.a.send_to(&packet, call.left.address).unwrap();
    }
    let slot = call.left.slot;
    let targets = Vec::new();
    let end = vec![Command::Mirror { slot, targets }, Command::Close { slot }];
    send(&call.plane, Command::Batch(end));
    for sequence in 0..40 {
        assert_eq!(receive(&call.b), rtp(1, sequence, &[1; 20]));
        assert_eq!(receive(&logger), rtp(1, sequence, &[1; 20]));
    }
    let closed_slots: Vec<_> = events(&call.plane, 2).iter().filter_map(closed).collect();
    assert_eq!(closed_slots, [slot]);
    assert_eq!(call.left.snapshot().mirrored, 40);
}

#[test]
fn released_sockets_keep_what_arrives() {
    let call = pair(Expect::Rtp, V4, V4);
    let packet = rtp(1, 1, &[1; 20]);
    call.a.send_to(&packet, call.left.address).unwrap();
    assert_eq!(receive(&call.b), packet);
    let Pair { plane, a, left, .. } = call;
    let sockets = plane.release();
    let later = rtp(1, 2, &[2; 20]);
    a.send_to(&later, left.address).unwrap();
    assert_eq!(sockets.len(), 2);
    let (worker, slot, socket) = &sockets[0];
    assert_eq!((*worker, *slot), (0, left.slot));
    assert_eq!(socket.local_addr().unwrap(), left.address);
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from),
        (&later[..], a.local_addr().unwrap())
    );
}
