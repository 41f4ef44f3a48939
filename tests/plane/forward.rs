use homeward::plane::command::{Command, Event};
use homeward::plane::counters::Drop;
use homeward::plane::flow::{Expect, Flow, Learn, SlotId, Source};

use super::harness::*;

#[test]
fn both_ways_byte_by_byte() {
    let call = pair(Expect::Rtp, V4, V4);
    for sequence in 0..50 {
        let there = rtp(1, sequence, &[0xd5; 160]);
        call.a.send_to(&there, call.left.address).unwrap();
        assert_eq!(receive(&call.b), there);
        let back = rtp(2, sequence, &[0x55; 60]);
        call.b.send_to(&back, call.right.address).unwrap();
        assert_eq!(receive(&call.a), back);
    }
    let left = call.left.wait(|s| s.forwarded == 50);
    assert_eq!((left.packets, left.octets), (50, 50 * 172));
    assert_eq!(left.forwarded_octets, 50 * 172);
    assert_eq!((left.ssrc, left.last_seq, left.lost), (Some(1), 49, 0));
    assert_eq!(left.learned, Some(call.a.local_addr().unwrap()));
    assert_eq!((left.dropped(), left.mirrored), (0, 0));
    assert_eq!(call.right.wait(|s| s.forwarded == 50).octets, 50 * 72);
    let latencies = call.plane.take_latencies(PATIENCE).unwrap();
    assert!(latencies.len() <= 100 && latencies.max() < 10_000_000_000);
}

#[test]
fn packets_come_out_of_the_port_that_the_party_sends_to() {
    let call = pair(Expect::Rtp, V4, V4);
    let packet = rtp(1, 1, &[1; 20]);
    call.a.send_to(&packet, call.left.address).unwrap();
    let (_, from) = call.b.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(from, call.right.address);
}

#[test]
fn a_burst_stays_in_order() {
    let call = pair(Expect::Rtp, V4, V4);
    for round in 0..20_u16 {
        for place in 0..50 {
            let packet = rtp(1, round * 50 + place, &[0; 100]);
            call.a.send_to(&packet, call.left.address).unwrap();
        }
        for place in 0..50 {
            assert_eq!(receive(&call.b), rtp(1, round * 50 + place, &[0; 100]));
        }
    }
    assert_eq!(call.left.wait(|s| s.forwarded == 1_000).lost, 0);
}

#[test]
fn between_ipv4_and_ipv6() {
    let call = pair(Expect::Rtp, V4, V6);
    let packet = rtp(1, 1, &[7; 160]);
    call.a.send_to(&packet, call.left.address).unwrap();
    assert_eq!(receive(&call.b), packet);
    call.b.send_to(&packet, call.right.address).unwrap();
    assert_eq!(receive(&call.a), packet);
    let learned = call.right.wait(|s| s.forwarded == 1).learned;
    assert_eq!(learned, Some(call.b.local_addr().unwrap()));
}

#[test]
fn rtcp_on_the_rtp_port_has_its_own_way() {
    let call = pair(Expect::Rtp, V4, V4);
    let control = endpoint(V4);
    let third = open(
        &call.plane,
        2,
        V4,
        Flow {
            remote: Some(control.local_addr().unwrap()),
            ..flow(Expect::Rtcp)
        },
    );
    let with_rtcp = Flow {
        remote: Some(call.a.local_addr().unwrap()),
        forward: Some(SlotId(1)),
        forward_rtcp: Some(third.slot),
        ..flow(Expect::Rtp)
    };
    send(
        &call.plane,
        Command::Configure {
            slot: call.left.slot,
            flow: with_rtcp,
        },
    );
    settle(&call.plane);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    let media = rtp(1, 1, &[1; 20]);
    for _ in 0..3 {
        call.a.send_to(&report, call.left.address).unwrap();
        call.a.send_to(&media, call.left.address).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(receive(&control), report);
        assert_eq!(receive(&call.b), media);
    }
    let seen = call.left.wait(|s| s.forwarded == 6);
    assert_eq!((seen.packets, seen.rtcp_packets), (6, 3));
    assert_eq!(seen.ssrc, Some(1));
    assert!(is_silent(&call.b) && is_silent(&control));
}

#[test]
fn floor_control_passes_whatever_it_is() {
    let call = pair(Expect::Datagram, V4, V4);
    for datagram in [
        &[0x80, 204, 0, 2, 0, 0, 0, 9, 77, 67, 80, 84][..],
        &[],
        b"any",
    ] {
        for _ in 0..40 {
            call.a.send_to(datagram, call.left.address).unwrap();
            assert_eq!(receive(&call.b), datagram);
        }
    }
    let seen = call.left.wait(|s| s.forwarded == 120);
    assert_eq!(
        (seen.dropped(), seen.ssrc, seen.rtcp_packets),
        (0, None, 40)
    );
}

#[test]
fn a_stranger_is_dropped_and_counted() {
    let call = pair(Expect::Rtp, V4, V4);
    let stranger = endpoint(V4);
    let packet = rtp(1, 1, &[1; 20]);
    call.a.send_to(&packet, call.left.address).unwrap();
    assert_eq!(receive(&call.b), packet);
    for _ in 0..5 {
        stranger.send_to(&packet, call.left.address).unwrap();
    }
    let seen = call.left.wait(|s| s.dropped_as(Drop::Stranger) == 5);
    assert_eq!((seen.packets, seen.forwarded), (1, 1));
    assert_eq!(seen.learned, Some(call.a.local_addr().unwrap()));
    assert!(is_silent(&call.b));
    call.b.send_to(&packet, call.right.address).unwrap();
    assert_eq!(receive(&call.a), packet);
    assert!(is_silent(&stranger));
}

#[test]
fn the_real_address_is_learned_and_told() {
    let call = pair(Expect::Rtp, V4, V4);
    let moved = endpoint(V4);
    let (from_moved, from_b) = (rtp(3, 1, &[3; 20]), rtp(2, 1, &[2; 20]));
    moved.send_to(&from_moved, call.left.address).unwrap();
    assert_eq!(receive(&call.b), from_moved);
    let told = events(&call.plane, 1);
    let address = moved.local_addr().unwrap();
    let slot = call.left.slot;
    assert_eq!(told, [Event::Learned { slot, address }]);
    call.b.send_to(&from_b, call.right.address).unwrap();
    assert_eq!(receive(&moved), from_b);
    // The declared address itself is the better match, and ends the window.
    let from_a = rtp(1, 1, &[1; 20]);
    call.a.send_to(&from_a, call.left.address).unwrap();
    assert_eq!(receive(&call.b), from_a);
    moved.send_to(&from_moved, call.left.address).unwrap();
    call.left.wait(|s| s.dropped_as(Drop::Stranger) == 1);
    call.b.send_to(&from_b, call.right.address).unwrap();
    assert_eq!(receive(&call.a), from_b);
}

#[test]
fn handover_follows_and_loose_does_not() {
    let call = pair(Expect::Rtp, V4, V4);
    let other = endpoint(V4);
    let facing = |learn, source, window| Flow {
        remote: Some(call.a.local_addr().unwrap()),
        forward: Some(SlotId(1)),
        learn,
        source,
        window,
        ..flow(Expect::Rtp)
    };
    let cases = [
        (Learn::Immediate, Source::Handover, true),
        (Learn::Immediate, Source::Loose, false),
        (Learn::Off, Source::Loose, false),
    ];
    let packet = rtp(1, 1, &[1; 20]);
    for (window, (learn, source, follows)) in (2..).zip(cases) {
        send(
            &call.plane,
            Command::Configure {
                slot: call.left.slot,
                flow: facing(learn, source, window),
            },
        );
        settle(&call.plane);
        for party in [&call.a, &other] {
            party.send_to(&packet, call.left.address).unwrap();
            assert_eq!(receive(&call.b), packet);
        }
        call.b.send_to(&packet, call.right.address).unwrap();
        let (hears, silent) = if follows {
            (&other, &call.a)
        } else {
            (&call.a, &other)
        };
        assert_eq!(receive(hears), packet, "{learn:?} {source:?}");
        assert!(is_silent(silent));
    }
}

#[test]
fn without_a_destination_packets_are_dropped_and_counted() {
    let plane = plane();
    let a = endpoint(V4);
    let left = open(
        &plane,
        0,
        V4,
        Flow {
            forward: Some(SlotId(1)),
            ..flow(Expect::Rtp)
        },
    );
    let right = open(&plane, 1, V4, flow(Expect::Rtp));
    let alone = open(&plane, 7, V4, flow(Expect::Rtp));
    settle(&plane);
    let packet = rtp(1, 1, &[1; 20]);
    a.send_to(&packet, left.address).unwrap();
    a.send_to(&packet, alone.address).unwrap();
    for stream in [&left, &alone] {
        let seen = stream.wait(|s| s.dropped_as(Drop::NoDestination) == 1);
        assert_eq!((seen.packets, seen.forwarded), (1, 0));
    }
    // The other party speaks first: now it is known where it is.
    let b = endpoint(V4);
    b.send_to(&packet, right.address).unwrap();
    right.wait(|s| s.packets == 1);
    a.send_to(&packet, left.address).unwrap();
    assert_eq!(receive(&b), packet);
}

#[test]
fn a_blocked_flow_passes_nothing() {
    let call = pair(Expect::Rtp, V4, V4);
    let logger = endpoint(V4);
    mirror(&call.plane, &call.left, &[&logger]);
    let blocked = |blocked| Command::Configure {
        slot: call.left.slot,
        flow: Flow {
            remote: Some(call.a.local_addr().unwrap()),
            forward: Some(SlotId(1)),
            blocked,
            ..flow(Expect::Rtp)
        },
    };
    send(&call.plane, blocked(true));
    settle(&call.plane);
    let packet = rtp(1, 1, &[1; 20]);
    call.a.send_to(&packet, call.left.address).unwrap();
    let seen = call.left.wait(|s| s.dropped_as(Drop::Blocked) == 1);
    assert_eq!((seen.packets, seen.mirrored), (0, 0));
    assert!(seen.last_packet.is_some());
    send(&call.plane, blocked(false));
    settle(&call.plane);
    call.a.send_to(&packet, call.left.address).unwrap();
    assert_eq!(receive(&call.b), packet);
    assert_eq!(receive(&logger), packet);
}

#[test]
fn a_loop_is_cut_until_signalling() {
    let call = pair(Expect::Rtp, V4, V4);
    let packet = rtp(1, 1, &[1; 20]);
    for _ in 0..40 {
        call.a.send_to(&packet, call.left.address).unwrap();
    }
    let seen = call.left.wait(|s| s.packets + s.dropped() == 40);
    assert_eq!(seen.dropped_as(Drop::Loop), 11);
    send(
        &call.plane,
        Command::Configure {
            slot: call.left.slot,
            flow: Flow {
                remote: Some(call.a.local_addr().unwrap()),
                forward: Some(SlotId(1)),
                window: 2,
                ..flow(Expect::Rtp)
            },
        },
    );
    settle(&call.plane);
    call.a.send_to(&packet, call.left.address).unwrap();
    call.left.wait(|s| s.forwarded == 30);
}
