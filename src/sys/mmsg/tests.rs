use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::*;
use crate::sys::address::Address;
use crate::sys::sockopt;

fn pair() -> (UdpSocket, UdpSocket) {
    let make = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket
    };
    (make(), make())
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

#[test]
fn receives_in_batches_with_notes() {
    let (a, b) = pair();
    sockopt::set_receive_timestamps(&b).unwrap();
    let mut ring = PacketRing::new(8);
    for round in 0..3_u8 {
        for index in 0..3 {
            a.send_to(&[round, index], address(&b)).unwrap();
        }
        a.send_to(&[], address(&b)).unwrap();
        assert_eq!(ring.receive(&b, 2, 6).unwrap(), 4);
        for index in 0..3 {
            let datagram = ring.datagram(2 + usize::from(index));
            assert_eq!(datagram.bytes, [round, index]);
            assert_eq!(datagram.from, address(&a).into());
            assert!(datagram.received.is_some());
            assert!(!datagram.truncated);
            assert_eq!(datagram.dropped, None);
        }
        assert!(ring.datagram(5).bytes.is_empty());
        assert_eq!(ring.receive(&b, 0, 8).unwrap(), 0);
    }
}

#[test]
fn tells_what_was_cut_and_what_was_dropped() {
    let (a, b) = pair();
    let mut ring = PacketRing::new(2);
    a.send_to(&[7; BUFFER_OCTETS], address(&b)).unwrap();
    a.send_to(&[8; 9_000], address(&b)).unwrap();
    assert_eq!(ring.receive(&b, 0, 2).unwrap(), 2);
    assert!(!ring.datagram(0).truncated);
    assert_eq!(ring.datagram(0).bytes.len(), BUFFER_OCTETS);
    assert!(ring.datagram(1).truncated);
    assert_eq!(ring.datagram(1).bytes, [8; BUFFER_OCTETS]);

    sockopt::set_drop_counter(&b).unwrap();
    socket2::SockRef::from(&b)
        .set_recv_buffer_size(4_096)
        .unwrap();
    for _ in 0..100 {
        a.send_to(&[1; 500], address(&b)).unwrap();
    }
    while ring.receive(&b, 0, 1).unwrap() > 0 {}
    a.send_to(&[1], address(&b)).unwrap();
    assert_eq!(ring.receive(&b, 0, 1).unwrap(), 1);
    assert!(ring.datagram(0).dropped.unwrap() > 50);
}

#[test]
fn what_is_only_looked_at_stays() {
    let (a, b) = pair();
    sockopt::set_receive_timestamps(&b).unwrap();
    let mut ring = PacketRing::new(2);
    assert!(!ring.peek(&b, 1).unwrap());
    a.send_to(&[1], address(&b)).unwrap();
    a.send_to(&[2], address(&b)).unwrap();
    for _ in 0..2 {
        assert!(ring.peek(&b, 1).unwrap());
        assert_eq!(ring.datagram(1).bytes, [1]);
        assert!(ring.datagram(1).received.is_some());
    }
    assert_eq!(ring.receive(&b, 0, 2).unwrap(), 2);
    assert_eq!(ring.datagram(0).bytes, [1]);
    assert!(!ring.peek(&b, 0).unwrap());
}

#[test]
fn refuses_what_is_outside_the_ring() {
    let (a, _) = pair();
    let mut ring = PacketRing::new(2);
    assert!(ring.peek(&a, 2).is_err());
    assert!(ring.receive(&a, 1, 2).is_err());
    assert!(ring.receive(&a, usize::MAX, 2).is_err());
    assert!(ring.datagram(2).bytes.is_empty());
    assert_eq!((ring.len(), ring.is_empty()), (2, false));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(ring.receive(&file, 0, 1).is_err());
}

/// Three buffers with one octet each: 0, 1, 2.
fn filled() -> PacketRing {
    let (a, b) = pair();
    let mut ring = PacketRing::new(3);
    for index in 0..3 {
        a.send_to(&[index], address(&b)).unwrap();
    }
    assert_eq!(ring.receive(&b, 0, 3).unwrap(), 3);
    ring
}

fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = socket.recv(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

#[test]
fn sends_in_order_and_empties_itself() {
    let ((a, b), ring) = (pair(), filled());
    let mut batch = SendBatch::new(3);
    for round in 0..2 {
        for slot in [2, 0, 1] {
            assert!(batch.push(slot, &address(&b).into()), "{round}");
        }
        assert!(batch.is_full() && !batch.push(0, &address(&b).into()));
        let mut seen = Vec::new();
        let calls = batch.send(&a, &ring, OnFull::TryNext, |at, ok| seen.push((at, ok)));
        assert_eq!((calls, batch.len()), (1, 0));
        assert_eq!(seen, [(0, true), (1, true), (2, true)]);
        assert_eq!([received(&b), received(&b), received(&b)], [[2], [0], [1]]);
    }
    assert!(batch.is_empty());
    assert_eq!(batch.send(&a, &ring, OnFull::TryNext, |_, _| ()), 0);
}

#[test]
fn one_failure_is_one_failure() {
    let ((a, b), ring) = (pair(), filled());
    let good = Address::from(address(&b));
    let bad = Address::from("[::1]:9".parse::<SocketAddr>().unwrap());
    let mut batch = SendBatch::new(3);
    batch.push(0, &good);
    batch.push(1, &bad);
    batch.push(2, &good);
    let mut seen = Vec::new();
    batch.send(&a, &ring, OnFull::GiveUp, |at, ok| seen.push((at, ok)));
    assert_eq!(seen, [(0, true), (1, false), (2, true)]);
    assert_eq!([received(&b), received(&b)], [[0], [2]]);
    assert!(send_to(&a, &[1], &bad).is_err());
    send_to(&a, &[9], &good).unwrap();
    assert_eq!(received(&b), [9]);
}

#[test]
fn an_error_of_the_past_fails_nothing() {
    let ((a, b), ring) = (pair(), filled());
    // A connected socket is told of refusals; the others are not even told.
    let (gone, _) = pair();
    let dead = address(&gone);
    drop(gone);
    a.connect(dead).unwrap();
    let good = Address::from(address(&b));
    for _ in 0..3 {
        a.send(&[0]).ok();
        send_to(&a, &[5], &good).unwrap();
        assert_eq!(received(&b), [5]);
        a.send(&[0]).ok();
        let mut batch = SendBatch::new(1);
        batch.push(0, &good);
        batch.send(&a, &ring, OnFull::GiveUp, |_, ok| assert!(ok));
        assert_eq!(received(&b), [0]);
    }
}
