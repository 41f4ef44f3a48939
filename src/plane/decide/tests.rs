use std::net::UdpSocket;
use std::sync::Arc;

use super::super::counters::Counters;
use super::super::flow::{Flow, Learn, Route, SlotId, Source};
use super::*;
use crate::sys::address::Address;

fn slot(expect: Expect) -> Slot {
    let flow = Flow {
        expect,
        remote: Some("192.0.2.1:4000".parse().unwrap()),
        learn: Learn::Off,
        window: 1,
        source: Source::Strict,
        forward: Some(SlotId(3)),
        forward_rtcp: Some(SlotId(4)),
        blocked: false,
        clock_rate: 8_000,
        known: None,
        route: Route::Direct,
        keep: None,
    };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    Slot::new(socket, &flow, Arc::new(Counters::default()))
}

fn datagram<'a>(slot: &Slot, bytes: &'a [u8]) -> Datagram<'a> {
    Datagram {
        bytes,
        from: slot.declared,
        truncated: false,
        received: None,
        dropped: None,
    }
}

fn now() -> Timestamp {
    Timestamp::from_secs(1_000)
}

/// The decision on these octets by a fresh slot, and why it dropped them.
fn decided(expect: Expect, bytes: &[u8]) -> (Decision, Option<usize>) {
    let mut slot = slot(expect);
    let datagram = datagram(&slot, bytes);
    let decision = decide(&mut slot, &datagram, now());
    let seen = slot.counters.snapshot();
    assert_eq!(seen.packets + seen.dropped(), 1);
    assert_eq!(decision.taken, seen.packets == 1);
    (decision, seen.drops.iter().position(|&count| count > 0))
}

#[test]
fn every_first_octet_on_every_kind_of_slot() {
    for first in 0..=255_u8 {
        for (second, rtcp) in [(0, false), (0x80 | 72, true)] {
            let mut bytes = [0; 100];
            (bytes[0], bytes[1]) = (first, second);
            let is_rtp = first >> 6 == 2;
            let (decision, drop) = decided(Expect::Rtp, &bytes);
            assert_eq!(decision.taken, is_rtp, "{first}");
            assert_eq!(drop, (!is_rtp).then_some(Drop::Malformed as usize));
            if is_rtp {
                let to = decision.to.map(SlotIndex::get);
                assert_eq!(to, Some(if rtcp { 4 } else { 3 }));
            }
            assert_eq!(decided(Expect::Rtcp, &bytes).0.taken, is_rtp && rtcp);
            assert!(decided(Expect::Datagram, &bytes).0.taken);
        }
    }
}

#[test]
fn short_and_empty_datagrams() {
    for len in 0..12 {
        let bytes = [0x80; 12];
        assert!(!decided(Expect::Rtp, &bytes[..len]).0.taken, "{len}");
        assert!(decided(Expect::Datagram, &bytes[..len]).0.taken, "{len}");
    }
    assert!(decided(Expect::Rtp, &[0x80; 12]).0.taken);
    assert!(decided(Expect::Rtcp, &[0x80, 203, 0, 0]).0.taken);
    assert!(!decided(Expect::Rtcp, &[0x80, 203, 0, 1]).0.taken);
}

#[test]
fn protected_media_passes() {
    let mut packet = [0xee; 60];
    packet[..2].copy_from_slice(&[0xa0, 96]); // padding, of which the count is encrypted
    assert!(decided(Expect::Rtp, &packet).0.taken);
}

#[test]
fn what_was_cut_is_dropped_and_teaches_nothing() {
    let mut slot = slot(Expect::Datagram);
    slot.rules.learn = Learn::Immediate;
    let cut = Datagram {
        truncated: true,
        from: Address::from(("203.0.113.9".parse().unwrap(), 1)),
        ..datagram(&slot, &[1; 2_048])
    };
    assert!(!decide(&mut slot, &cut, now()).taken);
    let seen = slot.counters.snapshot();
    assert_eq!((seen.dropped_as(Drop::TooLarge), seen.learned), (1, None));
    assert_eq!(seen.last_packet, None);
}

#[test]
fn malformed_datagrams_teach_nothing() {
    let mut slot = slot(Expect::Rtp);
    slot.rules.learn = Learn::Immediate;
    let stranger = Address::from(("203.0.113.9".parse().unwrap(), 1));
    for (bytes, taken) in [(&[0; 20][..], false), (&[], false), (&[0x80; 20], true)] {
        let datagram = Datagram {
            from: stranger,
            ..datagram(&slot, bytes)
        };
        let decision = decide(&mut slot, &datagram, now());
        assert_eq!((decision.taken, decision.learned), (taken, taken));
    }
    assert_eq!(slot.peer, stranger);
}

#[test]
fn rtcp_and_floor_control_are_no_loop() {
    for (expect, bytes) in [
        (Expect::Rtp, &[0x80, 204, 0, 1, 0, 0, 0, 1][..]),
        (Expect::Rtcp, &[0x80, 201, 0, 1, 0, 0, 0, 1]),
        (Expect::Datagram, &[]),
        (Expect::Datagram, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]),
    ] {
        let mut slot = slot(expect);
        let datagram = datagram(&slot, bytes);
        assert!((0..100).all(|_| decide(&mut slot, &datagram, now()).taken));
    }
    let mut slot = slot(Expect::Rtp);
    let media = datagram(&slot, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]);
    let taken = (0..100).filter(|_| decide(&mut slot, &media, now()).taken);
    assert_eq!(taken.count(), 29);
}

#[test]
fn kernel_drops_are_differences() {
    let mut slot = slot(Expect::Datagram);
    for (total, sum) in [(None, 0), (Some(3), 3), (Some(3), 3), (Some(10), 10)] {
        let datagram = Datagram {
            dropped: total,
            ..datagram(&slot, &[])
        };
        decide(&mut slot, &datagram, now());
        let seen = slot.counters.snapshot();
        assert_eq!(seen.dropped_as(Drop::SocketFull), sum);
    }
}

#[test]
fn the_arrival_is_that_of_the_kernel_and_the_time_is_that_of_the_loop() {
    let mut slot = slot(Expect::Rtp);
    for sequence in 0..100_u8 {
        let millis = u64::from(sequence) * 20;
        let mut bytes = [0x80, 0, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 1];
        bytes[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        let received = Timestamp::from_nanos(5_000_000_000 + millis * 1_000_000);
        let datagram = Datagram {
            received: Some(received),
            ..datagram(&slot, &bytes)
        };
        // The loop comes round at odd times: no jitter.
        let late = std::time::Duration::from_millis(millis + millis % 7);
        decide(&mut slot, &datagram, now() + late);
    }
    let seen = slot.counters.snapshot();
    assert_eq!((seen.jitter, seen.lost, seen.last_seq), (0, 0, 99));
    assert_eq!(seen.last_packet.unwrap().secs(), 1_001);
}
