use std::net::SocketAddr;

use super::super::flow::{Learn, Route, Source};
use super::super::learn::Verdict;
use super::*;
use crate::wire::time::Timestamp;

fn flow(remote: &str, window: u32) -> Flow {
    Flow {
        expect: Expect::Rtp,
        remote: Some(remote.parse().unwrap()),
        learn: Learn::Heuristic,
        window,
        source: Source::Strict,
        forward: Some(SlotId(0)),
        forward_rtcp: None,
        blocked: false,
        clock_rate: 8_000,
        known: None,
        route: Route::Direct,
        keep: None,
    }
}

fn slot(flow: &Flow) -> Slot {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    Slot::new(socket, flow, Arc::default())
}

fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

/// The slot hears a packet from there.
fn hear(slot: &mut Slot, from: &str) {
    let from = address(from);
    let (rules, now) = (slot.rules, Timestamp::from_secs(9));
    let (declared, peer) = (slot.declared, slot.peer);
    slot.learner.judge(rules, &declared, &peer, &from, now);
    slot.peer = from;
    slot.counters.set_learned(&from);
}

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";
const NAT: &str = "203.0.113.1:999";

#[test]
fn what_was_learned_survives_a_change_without_a_window() {
    let mut slot = slot(&flow(A, 1));
    assert_eq!(slot.peer, address(A));
    slot.configure(&flow(B, 1));
    assert_eq!(slot.peer, address(B), "nothing was learned yet");
    hear(&mut slot, NAT);
    slot.configure(&flow(A, 1));
    assert_eq!(slot.peer, address(NAT));
    assert_eq!(slot.counters.snapshot().learned, NAT.parse().ok());
}

#[test]
fn a_known_peer_is_settled_from_the_first_packet_on() {
    let known = Flow {
        known: NAT.parse().ok(),
        ..flow(A, 3)
    };
    let mut open = slot(&known);
    assert_eq!(open.peer, address(NAT));
    assert_eq!(open.counters.snapshot().learned, NAT.parse().ok());
    let (declared, peer) = (open.declared, open.peer);
    let now = Timestamp::from_secs(9);
    // The declared address would have won while something was to be learned.
    for (from, taken) in [
        (A, Verdict::Stranger),
        (NAT, Verdict::Take),
        (B, Verdict::Stranger),
    ] {
        let verdict = open
            .learner
            .judge(open.rules, &declared, &peer, &address(from), now);
        assert_eq!(verdict, taken, "{from}");
    }
    // It survives what is told about the flow afterwards, and a new window opens learning anew.
    open.configure(&known);
    assert_eq!(open.peer, address(NAT));
    assert!(open.learner.is_confirmed());
    open.configure(&Flow { window: 4, ..known });
    assert!(!open.learner.is_confirmed());
}

#[test]
fn a_peer_is_not_known_where_nothing_is_learned() {
    let open = slot(&Flow {
        learn: Learn::Off,
        known: NAT.parse().ok(),
        ..flow(A, 1)
    });
    assert_eq!(open.peer, address(A));
    assert_eq!(open.counters.snapshot().learned, None);
}

#[test]
fn a_window_keeps_the_peer_only_if_the_declared_address_is_the_same() {
    let mut slot = slot(&flow(A, 1));
    hear(&mut slot, NAT);
    slot.configure(&flow(A, 2));
    assert_eq!(slot.peer, address(NAT));
    slot.configure(&flow(B, 3));
    assert_eq!(slot.peer, address(B));
    assert_eq!(slot.counters.snapshot().learned, None);
    hear(&mut slot, NAT);
    slot.configure(&flow(A, 2));
    assert_eq!(slot.peer, address(NAT), "an older window is none");
}

#[test]
fn without_learning_the_declared_address_counts() {
    let off = |remote| Flow {
        learn: Learn::Off,
        ..flow(remote, 1)
    };
    let mut slot = slot(&off(A));
    slot.configure(&off(B));
    assert_eq!(slot.peer, address(B));
    let mut learned = self::slot(&flow(A, 1));
    hear(&mut learned, NAT);
    learned.configure(&Flow {
        window: 2,
        ..off(A)
    });
    assert_eq!(learned.peer, address(A));
}

#[test]
fn loggers_are_replaced_and_nonsense_is_left_out() {
    let mut slot = slot(&flow(A, 1));
    let all = ["0.0.0.0:9", A, "192.0.2.1:0", B, NAT, A, B];
    slot.mirror(all.into_iter().map(address));
    let mirrors = slot.mirrors.as_deref().unwrap();
    assert_eq!(*mirrors, [A, B, NAT, A].map(address));
    slot.mirror([address(B)].into_iter());
    assert_eq!(slot.mirrors.as_deref().unwrap()[1], Address::NONE);
    slot.mirror(std::iter::empty());
    assert!(slot.mirrors.is_none());
}

#[test]
fn the_table_grows_and_shrinks() {
    let mut table = SlotTable::default();
    assert!(table.slot(0).is_none() && table.remove(5).is_none());
    assert!(table.insert(1_000, slot(&flow(A, 1))).is_none());
    assert!(table.insert(0, slot(&flow(A, 1))).is_none());
    assert!(table.insert(0, slot(&flow(B, 1))).is_some());
    assert_eq!(table.len(), 2);
    assert_eq!(table.slot(0).unwrap().declared, address(B));
    assert!(table.slot_mut(1_000).is_some() && table.slot(999).is_none());
    assert!(table.remove(1_000).is_some() && table.slot(1_000).is_none());
    assert_eq!(table.len(), 1);
    assert!(table.insert(u32::MAX, slot(&flow(A, 1))).is_some());
    assert!(table.slot(u32::MAX).is_none());
}

#[test]
fn every_slot_id_has_an_index() {
    assert_eq!(SlotIndex::some(Some(SlotId(0))).unwrap().get(), 0);
    assert_eq!(SlotIndex::some(Some(SlotId(u32::MAX))), None);
    assert_eq!(SlotIndex::some(None), None);
}

/// A call has four streams; what they take here counts twice as much as it seems.
#[test]
fn a_stream_stays_small() {
    let (slot, counters) = (size_of::<Option<Slot>>(), size_of::<Counters>());
    assert!(slot <= 192, "{slot}");
    assert!(slot + counters <= 368, "{slot} + {counters}");
}
