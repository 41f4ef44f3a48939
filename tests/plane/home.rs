//! Redirect: packets go out of a slot that faces home, an anchor there sends them back, and they
//! go on to the other party; straight while the anchor is not there.

use std::net::{SocketAddr, UdpSocket};

use homeward::plane::command::{Command, Event};
use homeward::plane::counters::Drop;
use homeward::plane::flow::{Expect, Flow, Route, SlotId};
use homeward::plane::{Plane, Settings};
use homeward::sys::clock::Clock;

use super::harness::*;
use super::redirected::*;

#[test]
fn through_home_and_back_both_ways_byte_by_byte() {
    let r = redirected(Expect::Rtp, NEVER);
    let (_first, _second) = (Reflector::start(&r.anchor), Reflector::start(&r.second));
    for sequence in 0..50 {
        let there = rtp(1, sequence, &[0xd5; 160]);
        r.call.a.send_to(&there, r.call.left.address).unwrap();
        let mut buffer = [0; 2_048];
        let (len, from) = r.call.b.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], there);
        assert_eq!(from, r.call.right.address, "out of the port it sends to");
        let back = rtp(2, sequence, &[0x55; 60]);
        r.call.b.send_to(&back, r.call.right.address).unwrap();
        assert_eq!(receive(&r.call.a), back);
    }
    for (party, home) in [(&r.call.left, &r.out), (&r.call.right, &r.back)] {
        let sent = party.wait(|s| s.forwarded == 50);
        assert_eq!((sent.packets, sent.dropped()), (50, 0));
        let seen = home.wait(|s| s.forwarded == 50);
        assert_eq!((seen.packets, seen.dropped()), (50, 0));
        assert_eq!((seen.home_sent, seen.home_lost), (50, 0));
        assert_eq!((seen.ssrc, seen.learned), (sent.ssrc, None));
    }
    assert_eq!(drained(&r.call.plane), []);
    assert!(is_silent(&r.call.a) && is_silent(&r.call.b));
}

#[test]
fn a_burst_through_home_stays_in_order_and_is_copied_once() {
    let r = redirected(Expect::Rtp, NEVER);
    let _anchor = Reflector::start(&r.anchor);
    let logger = endpoint(V4);
    for stream in [&r.call.left, &r.out] {
        mirror(&r.call.plane, stream, &[&logger]);
    }
    settle(&r.call.plane);
    for round in 0..10_u16 {
        let packets = (0..50).map(|place| rtp(1, round * 50 + place, &[0; 100]));
        let packets: Vec<_> = packets.collect();
        for packet in &packets {
            r.call.a.send_to(packet, r.call.left.address).unwrap();
        }
        for packet in &packets {
            assert_eq!(receive(&r.call.b), *packet);
            assert_eq!(receive(&logger), *packet);
        }
    }
    r.call.left.wait(|s| s.mirrored == 500);
    assert_eq!(r.out.wait(|s| s.forwarded == 500).mirrored, 0);
    assert!(is_silent(&logger));
}

#[test]
fn what_was_never_sent_and_what_comes_twice_reaches_nobody() {
    let r = redirected(Expect::Rtp, NEVER);
    let packet = rtp(1, 7, &[7; 160]);
    r.anchor_gets(&packet);
    // Altered in one bit of the header, in the last of the payload, cut, longer, of another.
    let mut altered = [packet.clone(), packet.clone(), packet.clone()];
    altered[0][1] ^= 0x80;
    altered[1][171] ^= 1;
    altered[2].push(0);
    let foreign = [rtp(1, 8, &[7; 160]), rtp(2, 7, &[7; 160])];
    let report = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
    for wrong in altered.iter().chain(&foreign).chain([&report]) {
        r.anchor_returns(wrong);
    }
    r.anchor_returns(&packet[..171]);
    r.out.wait(|s| s.dropped_as(Drop::HomeAltered) == 7);
    r.anchor_returns(b"nonsense");
    r.out.wait(|s| s.dropped_as(Drop::Malformed) == 1);
    // From elsewhere not even the right one passes.
    endpoint(V4).send_to(&packet, r.out.address).unwrap();
    r.out.wait(|s| s.dropped_as(Drop::Stranger) == 1);
    assert!(is_silent(&r.call.b));
    for _ in 0..100 {
        r.anchor_returns(&packet);
    }
    assert_eq!(receive(&r.call.b), packet);
    let seen = r.out.wait(|s| s.dropped_as(Drop::HomeDuplicate) == 99);
    assert_eq!((seen.packets, seen.forwarded), (1, 1));
    assert_eq!(seen.dropped_as(Drop::Loop), 0);
    // All that has closed nothing.
    let next = rtp(1, 8, &[8; 160]);
    r.anchor_gets(&next);
    r.anchor_returns(&next);
    assert_eq!(receive(&r.call.b), next);
    assert!(is_silent(&r.call.b) && is_silent(&r.call.a));
}

#[test]
fn altered_and_doubled_packets_do_not_keep_a_home_alive() {
    let r = redirected(Expect::Rtp, SOON);
    let first = rtp(1, 0, &[1; 50]);
    r.anchor_gets(&first);
    r.anchor_returns(&first);
    assert_eq!(receive(&r.call.b), first);
    for sequence in 1.. {
        pause(PACE);
        let mut packet = rtp(1, sequence, &[1; 50]);
        r.anchor_gets(&packet);
        r.anchor_returns(&first);
        packet[20] ^= 1;
        r.anchor_returns(&packet);
        if let [event] = drained(&r.call.plane)[..] {
            let unanswered = u64::from(sequence) - 1;
            let slot = r.out.slot;
            assert_eq!(event, Event::HomeLost { slot, unanswered });
            break;
        }
    }
}

#[test]
fn a_dead_anchor_is_bypassed_and_the_call_goes_on() {
    let r = redirected(Expect::Rtp, SOON);
    let Redirected {
        call,
        out,
        anchor,
        second,
        back,
    } = r;
    for sequence in 0..5 {
        let packet = rtp(1, sequence, &[1; 50]);
        call.a.send_to(&packet, call.left.address).unwrap();
        assert_eq!(receive(&anchor), packet);
        anchor.send_to(&packet, out.address).unwrap();
        assert_eq!(receive(&call.b), packet);
    }
    // Closed: the kernel refuses packets with ICMP from now on.
    let place = anchor.local_addr().unwrap();
    drop(anchor);
    let r = Redirected {
        call,
        out,
        anchor: endpoint(V4),
        second,
        back,
    };
    let (next, event) = r.lose(5);
    let slot = r.out.slot;
    let unanswered = u64::from(next) - 6;
    assert_eq!(event, Event::HomeLost { slot, unanswered });
    let seen = r.out.snapshot();
    assert_eq!(u64::from(seen.home_lost), unanswered);
    assert_eq!(seen.home_sent, u32::from(next) - 1);
    for sequence in next..next + 100 {
        let packet = rtp(1, sequence, &[1; 50]);
        r.call.a.send_to(&packet, r.call.left.address).unwrap();
        assert_eq!(receive(&r.call.b), packet);
    }
    let left = r.call.left.wait(|s| s.forwarded == u64::from(next) + 100);
    assert_eq!(left.dropped(), 0);
    assert_eq!(drained(&r.call.plane), []);
    // The other direction has a home of its own, which was not asked for anything.
    assert_eq!(r.back.snapshot().home_sent, 0);
    let Some(anchor) = bound_again(place) else {
        return; // somebody else has the port meanwhile
    };
    comes_back(&Redirected { anchor, ..r }, next + 100);
}

fn bound_again(place: SocketAddr) -> Option<UdpSocket> {
    let socket = UdpSocket::bind(place).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Some(socket)
}

/// The anchor answers again: after a while packets go through it, and none gets lost or comes
/// twice in the switch.
fn comes_back(r: &Redirected, first: u16) {
    let late = |s: &homeward::plane::counters::Snapshot| s.dropped_as(Drop::LateHome);
    let before = late(&r.out.snapshot());
    let mut back = None;
    for sequence in first..first + 10_000 {
        pause(PACE);
        let packet = rtp(1, sequence, &[1; 50]);
        r.anchor_gets(&packet);
        // Straight, and before the probe has come back.
        assert_eq!(receive(&r.call.b), packet);
        r.anchor_returns(&packet);
        let answers = before + u64::from(sequence - first) + 1;
        r.out.wait(|s| late(s) == answers);
        if let [event] = drained(&r.call.plane)[..] {
            assert_eq!(event, Event::HomeBack { slot: r.out.slot });
            back = Some(sequence + 1);
            break;
        }
    }
    let next = back.unwrap();
    // What went straight last comes once more, and late: dropped for good.
    r.anchor_returns(&rtp(1, next - 1, &[1; 50]));
    r.out.wait(|s| s.dropped_as(Drop::HomeDuplicate) == 1);
    for sequence in next..next + 20 {
        let packet = rtp(1, sequence, &[1; 50]);
        r.anchor_gets(&packet);
        assert!(is_silent(&r.call.b));
        r.anchor_returns(&packet);
        assert_eq!(receive(&r.call.b), packet);
    }
    assert!(is_silent(&r.call.b));
    assert_eq!(late(&r.out.snapshot()), before + u64::from(next - first));
}

#[test]
fn probes_that_come_back_after_the_switch_are_late() {
    let r = redirected(Expect::Rtp, SOON);
    let (next, _) = r.lose(0);
    // Ten probes stay with the anchor while it begins to answer others.
    let kept: Vec<_> = (next..next + 10).map(|s| rtp(1, s, &[1; 50])).collect();
    for packet in &kept {
        r.anchor_gets(packet);
        assert_eq!(receive(&r.call.b), *packet);
    }
    comes_back(&r, next + 10);
    let before = r.out.snapshot().dropped_as(Drop::LateHome);
    for packet in &kept {
        r.anchor_returns(packet);
    }
    r.out.wait(|s| s.dropped_as(Drop::LateHome) == before + 10);
    assert!(is_silent(&r.call.b));
    // What was lost at home and turns up after all goes on: nobody has got it before.
    let lost = r.out.snapshot().home_lost;
    let first = rtp(1, 0, &[1; 50]);
    r.anchor_returns(&first);
    assert_eq!(receive(&r.call.b), first);
    assert_eq!(r.out.wait(|s| s.home_lost < lost).home_lost, lost - 1);
}

#[test]
fn a_burst_while_home_is_lost_goes_straight_with_a_probe_each() {
    let r = redirected(Expect::Rtp, SOON);
    let (next, _) = r.lose(0);
    let logger = endpoint(V4);
    mirror(&r.call.plane, &r.call.left, &[&logger]);
    settle(&r.call.plane);
    let packets: Vec<_> = (next..next + 50).map(|s| rtp(1, s, &[1; 50])).collect();
    for packet in &packets {
        r.call.a.send_to(packet, r.call.left.address).unwrap();
    }
    for packet in &packets {
        for receiver in [&r.call.b, &r.anchor, &logger] {
            assert_eq!(receive(receiver), *packet);
        }
    }
    let left = r.call.left.wait(|s| s.forwarded == u64::from(next) + 50);
    assert_eq!(left.dropped(), 0);
    // Probes are not what parties sent home.
    assert_eq!(r.out.snapshot().home_sent, u32::from(next) - 1);
    for packet in &packets {
        r.anchor_returns(packet);
    }
    r.out.wait(|s| s.dropped_as(Drop::LateHome) == 50);
    assert!(is_silent(&r.call.b));
}

#[test]
fn push_to_talk_silence_is_no_silence_of_home() {
    let r = redirected(Expect::Rtp, SOON);
    let mut sequence = 0;
    for _ in 0..4 {
        // A burst, the last packet of which gets lost at home.
        for place in 0..4 {
            let packet = rtp(1, sequence, &[1; 50]);
            r.anchor_gets(&packet);
            if place < 3 {
                r.anchor_returns(&packet);
                assert_eq!(receive(&r.call.b), packet);
            }
            sequence += 1;
        }
        pause(3 * SOON.unreachable_after);
    }
    assert_eq!(drained(&r.call.plane), []);
    let seen = r.out.wait(|s| s.forwarded == 12);
    assert_eq!((seen.home_sent, seen.home_lost), (16, 0));
}

#[test]
fn without_a_home_packets_go_straight() {
    let r = redirected(Expect::Rtp, NEVER);
    let straight = |sequence| {
        let packet = rtp(1, sequence, &[1; 50]);
        r.call.a.send_to(&packet, r.call.left.address).unwrap();
        assert_eq!(receive(&r.call.b), packet);
    };
    // Its address is not known (yet).
    let unknown = Flow {
        remote: None,
        ..facing_home(
            Expect::Rtp,
            r.anchor.local_addr().unwrap(),
            SlotId(1),
            NEVER,
        )
    };
    configure(&r.call.plane, &r.out, unknown);
    settle(&r.call.plane);
    straight(0);
    // It is no home leg at all; it is not there.
    configure(&r.call.plane, &r.out, flow(Expect::Rtp));
    settle(&r.call.plane);
    straight(1);
    let slot = r.out.slot;
    send(&r.call.plane, Command::Close { slot });
    settle(&r.call.plane);
    straight(2);
    let to_nowhere = via(SlotId(u32::MAX), &r.call.a, r.call.right.slot, Expect::Rtp);
    configure(&r.call.plane, &r.call.left, to_nowhere);
    settle(&r.call.plane);
    straight(3);
    assert!(is_silent(&r.anchor));
    r.call.left.wait(|s| s.forwarded == 4 && s.dropped() == 0);
}

#[test]
fn the_way_can_change_in_the_middle_of_a_stream() {
    let r = redirected(Expect::Rtp, NEVER);
    let (left, right) = (&r.call.left, r.call.right.slot);
    let through = via(r.out.slot, &r.call.a, right, Expect::Rtp);
    let direct = Flow {
        route: Route::Direct,
        ..through
    };
    let first = rtp(1, 1, &[1; 50]);
    r.anchor_gets(&first);
    configure(&r.call.plane, left, direct);
    settle(&r.call.plane);
    let second = rtp(1, 2, &[2; 50]);
    r.call.a.send_to(&second, left.address).unwrap();
    assert_eq!(receive(&r.call.b), second);
    assert!(is_silent(&r.anchor));
    // What was at home still comes back, also if its slot is configured anew meanwhile.
    let again = facing_home(Expect::Rtp, r.anchor.local_addr().unwrap(), right, SOON);
    configure(&r.call.plane, &r.out, again);
    r.anchor_returns(&first);
    assert_eq!(receive(&r.call.b), first);
    configure(&r.call.plane, left, through);
    settle(&r.call.plane);
    let third = rtp(1, 3, &[3; 50]);
    r.anchor_gets(&third);
    r.anchor_returns(&third);
    assert_eq!(receive(&r.call.b), third);
}

#[test]
fn rtcp_on_the_rtp_port_goes_home_by_its_own_way_if_there_is_one() {
    let r = redirected(Expect::Rtp, NEVER);
    let reports = endpoint(V4);
    let third = reports.local_addr().unwrap();
    let third = facing_home(Expect::Rtcp, third, r.call.right.slot, NEVER);
    let third = open(&r.call.plane, 4, V4, third);
    let media = rtp(1, 1, &[1; 20]);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    // Without one it goes the way of the media, and the same report more than once.
    for _ in 0..2 {
        r.anchor_gets(&report);
        r.anchor_returns(&report);
        assert_eq!(receive(&r.call.b), report);
    }
    let (home, home_rtcp) = (r.out.slot, Some(third.slot));
    let own_way = Flow {
        route: Route::Via { home, home_rtcp },
        ..via(home, &r.call.a, r.call.right.slot, Expect::Rtp)
    };
    configure(&r.call.plane, &r.call.left, own_way);
    settle(&r.call.plane);
    r.anchor_gets(&media);
    r.call.a.send_to(&report, r.call.left.address).unwrap();
    assert_eq!(receive(&reports), report);
    assert!(is_silent(&r.anchor));
    reports.send_to(&report, third.address).unwrap();
    assert_eq!(receive(&r.call.b), report);
    let seen = third.wait(|s| s.forwarded == 1);
    assert_eq!((seen.packets, seen.rtcp_packets, seen.home_sent), (1, 1, 1));
}

#[test]
fn floor_control_goes_home_whatever_it_is() {
    let r = redirected(Expect::Datagram, NEVER);
    for datagram in [
        &[0x80, 204, 0, 2, 0, 0, 0, 9, 77, 67, 80, 84][..],
        &[],
        b"any",
    ] {
        for _ in 0..40 {
            r.anchor_gets(datagram);
            r.anchor_returns(datagram);
            assert_eq!(receive(&r.call.b), datagram);
        }
        // Repeats are right; more of them than were sent are not.
        let before = r.out.snapshot().dropped_as(Drop::HomeDuplicate);
        r.anchor_returns(datagram);
        r.out
            .wait(|s| s.dropped_as(Drop::HomeDuplicate) == before + 1);
    }
    assert!(is_silent(&r.call.b));
}

#[test]
fn events_find_their_way_through_a_full_queue() {
    let plane = Plane::start(&Settings {
        workers: 1,
        pin: false,
        event_queue: 1,
        ..Settings::new(Clock::start())
    })
    .unwrap();
    let (a, b, anchor) = (endpoint(V4), endpoint(V4), endpoint(V4));
    let to_b = Flow {
        remote: Some(b.local_addr().unwrap()),
        ..flow(Expect::Rtp)
    };
    let right = open(&plane, 1, V4, to_b);
    let at = anchor.local_addr().unwrap();
    let outs = [2, 3, 4].map(|slot| {
        let home = facing_home(Expect::Rtp, at, right.slot, SOON);
        open(&plane, slot, V4, home)
    });
    let lefts = [12, 13, 14].map(|slot| {
        let through = via(SlotId(slot - 10), &a, right.slot, Expect::Rtp);
        open(&plane, slot, V4, through)
    });
    settle(&plane);
    // Nobody reads events: the first, of an address learned, fills the queue.
    for sequence in 0.. {
        pause(PACE);
        for left in &lefts {
            let packet = rtp(1, sequence, &[1; 20]);
            a.send_to(&packet, left.address).unwrap();
            left.wait(|s| s.packets > sequence.into());
        }
        if outs.iter().all(|out| out.snapshot().home_lost > 0) {
            break;
        }
    }
    let mut lost = Vec::new();
    while lost.len() < 3 {
        lost.extend(events(&plane, 1).iter().filter_map(|event| match event {
            Event::HomeLost { slot, .. } => Some(*slot),
            Event::Learned { .. } | Event::HomeBack { .. } | Event::Closed { .. } => None,
        }));
    }
    lost.sort_unstable();
    assert_eq!(lost, [2, 3, 4].map(SlotId));
}
