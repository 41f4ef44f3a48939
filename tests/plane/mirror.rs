use std::net::UdpSocket;

use homeward::plane::counters::Drop;
use homeward::plane::flow::Expect;

use super::harness::*;

#[test]
fn copies_are_byte_identical_and_go_to_every_logger() {
    let call = pair(Expect::Rtp, V4, V4);
    let loggers = [endpoint(V4), endpoint(V6), endpoint(V4)];
    let [first, second, third] = &loggers;
    mirror(&call.plane, &call.left, &[first, second, third]);
    settle(&call.plane);
    for sequence in 0..100_u16 {
        let payload = vec![sequence.to_be_bytes()[1]; usize::from(sequence) * 13];
        let packet = rtp(1, sequence, &payload);
        call.a.send_to(&packet, call.left.address).unwrap();
        assert_eq!(receive(&call.b), packet);
        for logger in &loggers {
            assert_eq!(receive(logger), packet);
        }
    }
    let seen = call.left.wait(|s| s.mirrored == 300);
    assert_eq!((seen.forwarded, seen.mirror_dropped), (100, 0));
    assert_eq!(call.right.snapshot().mirrored, 0);
}

#[test]
fn copies_of_one_stream_stay_in_order_and_end_when_told() {
    let call = pair(Expect::Rtp, V4, V4);
    let logger = endpoint(V4);
    mirror(&call.plane, &call.left, &[&logger]);
    settle(&call.plane);
    for sequence in 0..200 {
        call.a
            .send_to(&rtp(1, sequence, &[1; 20]), call.left.address)
            .unwrap();
    }
    for sequence in 0..200 {
        assert_eq!(receive(&logger), rtp(1, sequence, &[1; 20]));
    }
    mirror(&call.plane, &call.left, &[]);
    settle(&call.plane);
    call.a
        .send_to(&rtp(1, 200, &[1; 20]), call.left.address)
        .unwrap();
    let seen = call.left.wait(|s| s.forwarded == 201);
    assert_eq!(seen.mirrored, 200);
    assert!(is_silent(&logger));
}

#[test]
fn only_what_is_accepted_is_copied() {
    let call = pair(Expect::Rtp, V4, V4);
    let (logger, stranger) = (endpoint(V4), endpoint(V4));
    mirror(&call.plane, &call.left, &[&logger]);
    settle(&call.plane);
    let packet = rtp(1, 1, &[1; 20]);
    call.a.send_to(&packet, call.left.address).unwrap();
    assert_eq!(receive(&logger), packet);
    stranger.send_to(&packet, call.left.address).unwrap();
    call.a.send_to(b"nonsense", call.left.address).unwrap();
    call.left.wait(|s| s.dropped() == 2);
    call.a.send_to(&rtp(1, 2, &[2]), call.left.address).unwrap();
    assert_eq!(receive(&logger), rtp(1, 2, &[2]));
    assert!(is_silent(&logger));
}

#[test]
fn what_has_no_destination_yet_is_copied_all_the_same() {
    let plane = plane();
    let (a, logger) = (endpoint(V4), endpoint(V4));
    let left = open(&plane, 0, V4, flow(Expect::Rtp));
    mirror(&plane, &left, &[&logger]);
    settle(&plane);
    let packet = rtp(1, 1, &[1; 20]);
    a.send_to(&packet, left.address).unwrap();
    assert_eq!(receive(&logger), packet);
    left.wait(|s| s.dropped_as(Drop::NoDestination) == 1 && s.mirrored == 1);
}

/// Sends 150 packets (as many as a socket buffer holds) there and back, one at a time, and none may be missing.
fn carries_on(call: &Pair) {
    for sequence in 0..150 {
        let packet = rtp(1, sequence, &[1; 160]);
        call.a.send_to(&packet, call.left.address).unwrap();
        assert_eq!(receive(&call.b), packet);
        call.b.send_to(&packet, call.right.address).unwrap();
        assert_eq!(receive(&call.a), packet);
    }
    let left = call.left.wait(|s| s.mirrored + s.mirror_dropped == 300);
    assert_eq!((left.forwarded, left.dropped()), (150, 0));
    assert_eq!(call.right.wait(|s| s.forwarded == 150).dropped(), 0);
}

#[test]
fn a_dead_logger_disturbs_nobody() {
    let call = pair(Expect::Rtp, V4, V4);
    let (dead, alive) = (endpoint(V4), endpoint(V4));
    mirror(&call.plane, &call.left, &[&dead, &alive]);
    settle(&call.plane);
    drop(dead); // refused by ICMP from now on
    carries_on(&call);
    for sequence in 0..150 {
        assert_eq!(receive(&alive), rtp(1, sequence, &[1; 160]));
    }
}

#[test]
fn a_slow_logger_disturbs_nobody() {
    let call = pair(Expect::Rtp, V4, V4);
    let slow = [UdpSocket::bind(V4).unwrap(), UdpSocket::bind(V6).unwrap()];
    for logger in &slow {
        socket2::SockRef::from(logger)
            .set_recv_buffer_size(2_048)
            .unwrap();
    }
    mirror(&call.plane, &call.left, &[&slow[0], &slow[1]]);
    settle(&call.plane);
    carries_on(&call);
}

#[test]
fn a_logger_that_cannot_be_reached_is_counted() {
    let call = pair(Expect::Rtp, V4, V4);
    let logger = endpoint(V4);
    // A broadcast address is refused with EACCES on a socket that did not ask for it.
    let targets = vec![
        "255.255.255.255:9".parse().unwrap(),
        logger.local_addr().unwrap(),
    ];
    let slot = call.left.slot;
    send(
        &call.plane,
        homeward::plane::command::Command::Mirror { slot, targets },
    );
    settle(&call.plane);
    carries_on(&call);
    let seen = call.left.snapshot();
    assert_eq!((seen.mirrored, seen.mirror_dropped), (150, 150));
    for sequence in 0..150 {
        assert_eq!(receive(&logger), rtp(1, sequence, &[1; 160]));
    }
}

/// Whoever takes a logger away knows from then on that it gets nothing more, also if packets come
/// before the worker has looked; and it gets all that went on before.
#[test]
fn a_logger_that_is_taken_away_gets_what_came_before_and_nothing_after() {
    let call = pair(Expect::Rtp, V4, V4);
    let logger = endpoint(V4);
    let send = |sequence| {
        let packet = rtp(1, sequence, &[1; 20]);
        call.a.send_to(&packet, call.left.address).unwrap();
    };
    for round in 0..300 {
        mirror(&call.plane, &call.left, &[&logger]);
        settle(&call.plane);
        for place in 0..3 {
            send(round * 5 + place);
        }
        for place in 0..3 {
            assert_eq!(receive(&call.b), rtp(1, round * 5 + place, &[1; 20]));
        }
        mirror(&call.plane, &call.left, &[]);
        for place in 3..5 {
            send(round * 5 + place);
        }
        for place in 3..5 {
            assert_eq!(receive(&call.b), rtp(1, round * 5 + place, &[1; 20]));
        }
        settle(&call.plane);
        for place in 0..3 {
            assert_eq!(receive(&logger), rtp(1, round * 5 + place, &[1; 20]));
        }
        assert!(is_silent(&logger), "round {round}");
    }
}
