use homeward::plane::command::Command;
use homeward::plane::counters::Drop;
use homeward::plane::flow::{Expect, SlotId};

use super::harness::*;

/// After all that came before, the call goes on as if nothing had been.
fn still_works(call: &Pair, sequence: u16) {
    let packet = rtp(9, sequence, &[9; 160]);
    call.a.send_to(&packet, call.left.address).unwrap();
    assert_eq!(receive(&call.b), packet);
    call.b.send_to(&packet, call.right.address).unwrap();
    assert_eq!(receive(&call.a), packet);
}

#[test]
fn every_first_octet_is_passed_or_counted() {
    let call = pair(Expect::Rtp, V4, V4);
    for first in 0..=255_u8 {
        let mut packet = rtp(1, first.into(), &[0; 160]);
        packet[0] = first;
        call.a.send_to(&packet, call.left.address).unwrap();
        if first >> 6 == 2 {
            assert_eq!(receive(&call.b), packet);
        }
    }
    let seen = call.left.wait(|s| s.packets + s.dropped() == 256);
    assert_eq!((seen.packets, seen.dropped_as(Drop::Malformed)), (64, 192));
    still_works(&call, 256);
}

#[test]
fn empty_and_short_datagrams_are_malformed_on_a_media_port() {
    let call = pair(Expect::Rtp, V4, V4);
    for len in 0..12 {
        call.a
            .send_to(&[0x80; 12][..len], call.left.address)
            .unwrap();
    }
    // Of these, 0x80 0x80 is RTP and too short.
    let seen = call.left.wait(|s| s.dropped() == 12);
    assert_eq!((seen.dropped_as(Drop::Malformed), seen.packets), (12, 0));
    assert!(is_silent(&call.b));
    still_works(&call, 1);
}

#[test]
fn jumbo_datagrams_are_too_large() {
    for expect in [Expect::Rtp, Expect::Datagram] {
        let call = pair(expect, V4, V4);
        let full = rtp(1, 1, &[0; 2_048 - 12]);
        call.a.send_to(&full, call.left.address).unwrap();
        assert_eq!(receive(&call.b), full);
        for len in [2_049, 9_000, 65_507] {
            let packet = rtp(1, 2, &vec![0; len - 12]);
            call.a.send_to(&packet, call.left.address).unwrap();
        }
        call.left.wait(|s| s.dropped_as(Drop::TooLarge) == 3);
        assert!(is_silent(&call.b));
        still_works(&call, 3);
    }
}

#[test]
fn a_refused_destination_disturbs_nobody() {
    let call = pair(Expect::Rtp, V4, V4);
    let Pair {
        plane,
        a,
        b,
        left,
        right,
    } = call;
    drop(b); // now ICMP says: port unreachable
    for sequence in 0..200 {
        a.send_to(&rtp(1, sequence, &[1; 20]), left.address)
            .unwrap();
        left.wait(|s| s.forwarded == u64::from(sequence) + 1);
    }
    let seen = left.snapshot();
    assert_eq!((seen.forwarded, seen.dropped()), (200, 0));
    assert_eq!(right.snapshot().dropped(), 0);
    assert_eq!(plane.workers()[0].metrics().receive_errors.read(), 0);
}

#[test]
fn a_failed_send_is_counted_by_itself() {
    // The far slot has an IPv4 socket and an IPv6 peer: the kernel takes nothing.
    let call = pair(Expect::Rtp, V4, V4);
    let six = endpoint(V6);
    let mut to_six = flow(Expect::Rtp);
    to_six.remote = Some(six.local_addr().unwrap());
    to_six.forward = Some(SlotId(0));
    let broken = open(&call.plane, 5, V4, to_six);
    let mut across = flow(Expect::Rtp);
    across.forward = Some(broken.slot);
    across.forward_rtcp = Some(call.right.slot);
    across.remote = Some(call.a.local_addr().unwrap());
    let slot = call.left.slot;
    send(&call.plane, Command::Configure { slot, flow: across });
    settle(&call.plane);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    for sequence in 0..20 {
        call.a
            .send_to(&rtp(1, sequence, &[]), call.left.address)
            .unwrap();
        call.a.send_to(&report, call.left.address).unwrap();
    }
    for _ in 0..20 {
        assert_eq!(receive(&call.b), report);
    }
    // A datagram is counted as sent a moment after the other side has it.
    let seen = call.left.wait(|s| s.forwarded + s.dropped() == 40);
    assert_eq!(
        (seen.forwarded, seen.dropped_as(Drop::SendFailed)),
        (20, 20)
    );
}

#[test]
fn a_full_socket_is_counted_by_the_kernel() {
    let call = pair(Expect::Rtp, V4, V4);
    let slot = SlotId(9);
    let socket = homeward::plane::socket::bind(V4.parse().unwrap(), None, Some(2_048)).unwrap();
    let address = socket.local_addr().unwrap();
    // Overrun before the worker has the socket.
    for sequence in 0..200 {
        call.a
            .send_to(&rtp(1, sequence, &[0; 500]), address)
            .unwrap();
    }
    let counters = std::sync::Arc::<homeward::plane::counters::Counters>::default();
    send(
        &call.plane,
        Command::Open {
            slot,
            socket,
            flow: flow(Expect::Rtp),
            counters: std::sync::Arc::clone(&counters),
        },
    );
    let stream = Stream {
        slot,
        address,
        counters,
    };
    // Only when the worker has read is there room for one more.
    stream.wait(|s| s.packets > 0);
    call.a.send_to(&rtp(1, 200, &[0; 20]), address).unwrap();
    let seen = stream.wait(|s| s.last_seq == 200);
    let lost = 201 - seen.packets;
    assert_eq!(seen.dropped_as(Drop::SocketFull), lost);
    assert_eq!(seen.lost, i64::try_from(lost).unwrap());
    still_works(&call, 1);
}

#[test]
fn commands_for_slots_that_are_not_there_are_counted() {
    let call = pair(Expect::Rtp, V4, V4);
    let failed = || call.plane.workers()[0].metrics().commands_failed.read();
    let slot = SlotId(77);
    let flow = flow(Expect::Rtp);
    send(&call.plane, Command::Configure { slot, flow });
    let targets = Vec::new();
    send(&call.plane, Command::Mirror { slot, targets });
    send(&call.plane, Command::Close { slot });
    settle(&call.plane);
    assert_eq!(failed(), 3);
    still_works(&call, 1);
}
