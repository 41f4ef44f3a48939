use std::net::UdpSocket;
use std::sync::Arc;

use super::*;
use crate::plane::counters::{Counters, Snapshot};
use crate::plane::flow::{Expect, Flow, Learn, Route, Source};

/// Slots with a pre-roll, without a worker; time is what the test says.
struct Bench {
    prerolls: Prerolls,
    slots: SlotTable,
    copies: Copies,
    metrics: WorkerMetrics,
    counters: Vec<Arc<Counters>>,
    now: Timestamp,
}

fn bounds(age: u64, call_chunks: usize, chunks: usize) -> Bounds {
    Bounds {
        age: Duration::from_secs(age),
        call_bytes: call_chunks * CHUNK,
        bytes: chunks * CHUNK,
    }
}

impl Bench {
    /// Slots with these calls.
    fn new(bounds: &Bounds, calls: &[u64]) -> Self {
        let mut bench = Self {
            prerolls: Prerolls::new(bounds, 1),
            slots: SlotTable::default(),
            copies: Copies::new(4).unwrap(),
            metrics: WorkerMetrics::default(),
            counters: Vec::new(),
            now: Timestamp::from_secs(1_000),
        };
        for (index, call) in (0..).zip(calls) {
            let counters = Arc::<Counters>::default();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let slot = Slot::new(socket, &flow(), Arc::clone(&counters));
            bench.slots.insert(index, slot);
            bench.counters.push(counters);
            bench.tell(index, Some(*call));
        }
        bench
    }

    fn tell(&mut self, index: u32, keep: Option<u64>) {
        self.prerolls.configure(&mut self.slots, index, keep);
    }

    fn aim(&mut self, index: u32, targets: &[&UdpSocket]) {
        let targets = targets.iter().map(|to| to.local_addr().unwrap().into());
        let way = Way {
            copies: &self.copies,
            metrics: &self.metrics,
        };
        let targets = targets.collect();
        let live = self.prerolls.aim(&mut self.slots, index, targets, &way);
        let slot = self.slots.slot_mut(index).unwrap();
        slot.mirror(live.into_iter());
    }

    fn settle(&mut self) {
        self.prerolls.settle(&mut self.slots, self.now);
    }

    fn take(&mut self, index: u32, bytes: &[u8]) {
        let datagram = Datagram {
            bytes,
            from: Address::NONE,
            truncated: false,
            received: None,
            dropped: None,
        };
        let way = Way {
            copies: &self.copies,
            metrics: &self.metrics,
        };
        let slots = &mut self.slots;
        self.prerolls.keep(slots, index, &datagram, self.now, &way);
    }

    fn work(&mut self) {
        let way = Way {
            copies: &self.copies,
            metrics: &self.metrics,
        };
        self.prerolls.work(&mut self.slots, self.now, &way);
    }

    fn close(&mut self, index: u32) {
        let way = Way {
            copies: &self.copies,
            metrics: &self.metrics,
        };
        self.prerolls.close(&mut self.slots, index, &way);
        self.slots.remove(index);
    }

    /// Lets time pass, with a look at what is to do as often as is asked for.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(patience) = self.prerolls.patience() {
            let next = self.now + patience.max(Duration::from_micros(1));
            if next > end {
                break;
            }
            self.now = next;
            self.work();
        }
        self.now = end;
        self.work();
    }

    fn seen(&self, index: usize) -> Snapshot {
        self.counters[index].snapshot()
    }

    /// Packets kept, sent, evicted.
    fn counts(&self, index: usize) -> (u32, u64, u64) {
        let seen = self.seen(index);
        (seen.preroll_kept, seen.preroll_sent, seen.preroll_evicted)
    }

    fn has_live(&self, index: u32, logger: &UdpSocket) -> bool {
        let to = logger.local_addr().unwrap().into();
        let slot = self.slots.slot(index).unwrap();
        slot.mirrors.as_ref().is_some_and(|all| all.contains(&to))
    }

    fn is_clean(&self) -> bool {
        let idle = self.prerolls.pool.is_empty() && self.prerolls.patience().is_none();
        idle && self.prerolls.flushing.is_empty() && self.prerolls.told.is_empty()
    }
}

fn flow() -> Flow {
    Flow {
        expect: Expect::Rtp,
        remote: None,
        learn: Learn::Heuristic,
        window: 1,
        source: Source::Strict,
        forward: None,
        forward_rtcp: None,
        blocked: false,
        clock_rate: 8_000,
        known: None,
        route: Route::Direct,
        keep: None,
    }
}

fn logger() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// All that has arrived, by the first octets.
fn heard(logger: &UdpSocket) -> Vec<u32> {
    let mut buffer = [0; 2_048];
    std::iter::from_fn(|| logger.recv(&mut buffer).ok().map(|_| number(&buffer))).collect()
}

fn number(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[..4].try_into().unwrap())
}

/// A voice packet with this number.
fn voice(number: u32) -> Vec<u8> {
    let mut packet = vec![7; 172];
    packet[..4].copy_from_slice(&number.to_be_bytes());
    packet
}

#[test]
fn a_late_decision_sends_what_was_kept_in_order_and_then_live_copies() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1]);
    let hq = logger();
    for n in 0..100 {
        bench.take(0, &voice(n));
    }
    assert_eq!(bench.counts(0), (100, 0, 0));
    bench.tell(0, None);
    bench.aim(0, &[&hq]);
    bench.settle();
    assert!(!bench.has_live(0, &hq));
    bench.work();
    assert_eq!(heard(&hq), (0..4).collect::<Vec<u32>>(), "a few at a time");
    bench.work();
    assert!(heard(&hq).is_empty(), "and not before the next time");
    // What comes meanwhile queues behind, and takes its place besides.
    let mut next = 100;
    let mut all: Vec<u32> = (0..4).collect();
    while bench.prerolls.patience().is_some() {
        bench.take(0, &voice(next));
        next += 1;
        bench.pass(PACE);
        all.extend(heard(&hq));
    }
    assert_eq!(all, (0..next).collect::<Vec<u32>>());
    assert!((120..130).contains(&next), "{next}");
    assert!(bench.has_live(0, &hq) && bench.is_clean());
    assert_eq!(bench.counts(0), (0, 100, 0));
    assert_eq!(bench.seen(0).mirrored, u64::from(next));
    assert_eq!(bench.metrics.mirrored.read(), u64::from(next));
}

#[test]
fn without_a_match_nothing_is_kept_and_nothing_counted() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1, 1]);
    for n in 0..50 {
        bench.take(0, &voice(n));
        bench.take(1, &voice(n));
    }
    bench.tell(0, None);
    bench.settle();
    assert_eq!(bench.counts(0), (0, 0, 0));
    bench.take(0, &voice(50));
    assert_eq!(bench.counts(0), (0, 0, 0));
    bench.tell(1, None);
    bench.aim(1, &[]);
    bench.settle();
    assert_eq!(bench.counts(1), (0, 0, 0));
    assert!(bench.is_clean());
}

#[test]
fn a_logger_named_before_the_decision_gets_nothing_of_the_past() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1]);
    let (early, hq) = (logger(), logger());
    bench.take(0, &voice(0));
    bench.aim(0, &[&early]);
    bench.settle();
    assert!(bench.has_live(0, &early));
    bench.take(0, &voice(1));
    assert_eq!(bench.counts(0), (2, 0, 0), "it is still undecided");
    bench.tell(0, None);
    bench.aim(0, &[&early, &hq]);
    bench.settle();
    assert!(bench.has_live(0, &early) && !bench.has_live(0, &hq));
    bench.pass(Duration::from_secs(1));
    assert_eq!((heard(&hq), heard(&early)), (vec![0, 1], vec![]));
    assert!(bench.has_live(0, &early) && bench.has_live(0, &hq));
    assert!(bench.is_clean());
}

#[test]
fn two_primaries_named_one_after_the_other_get_the_same() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1]);
    let (one, two) = (logger(), logger());
    for n in 0..20 {
        bench.take(0, &voice(n));
    }
    bench.tell(0, None);
    bench.aim(0, &[&one]);
    bench.aim(0, &[&one, &two]);
    bench.settle();
    bench.pass(Duration::from_secs(1));
    assert_eq!(heard(&one), (0..20).collect::<Vec<u32>>());
    assert_eq!(heard(&two), (0..20).collect::<Vec<u32>>());
    assert_eq!(bench.counts(0), (0, 20, 0));
    assert_eq!(bench.seen(0).mirrored, 40);
}

#[test]
fn who_is_named_during_a_flush_begins_with_the_present_and_who_leaves_gets_the_rest() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1]);
    let (one, two) = (logger(), logger());
    for n in 0..20 {
        bench.take(0, &voice(n));
    }
    bench.tell(0, None);
    bench.aim(0, &[&one]);
    bench.settle();
    bench.work();
    bench.aim(0, &[&one, &two]);
    bench.settle();
    assert!(bench.has_live(0, &two) && !bench.has_live(0, &one));
    bench.aim(0, &[&two]);
    bench.settle();
    assert_eq!(heard(&one), (0..20).collect::<Vec<u32>>());
    assert!(heard(&two).is_empty());
    assert!(bench.has_live(0, &two) && !bench.has_live(0, &one));
    assert!(bench.is_clean());
}

#[test]
fn what_is_too_old_is_given_up_whether_packets_come_or_not() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1, 1]);
    for n in 0..300 {
        bench.take(0, &voice(n));
        bench.pass(Duration::from_millis(100));
    }
    let (kept, _, evicted) = bench.counts(0);
    assert!((100..=101).contains(&kept), "{kept}");
    assert_eq!(u64::from(kept) + evicted, 300);
    bench.take(1, &voice(0));
    bench.pass(Duration::from_secs(5));
    let (kept, ..) = bench.counts(0);
    assert!((50..=60).contains(&kept), "{kept}");
    bench.pass(Duration::from_secs(7));
    assert_eq!((bench.counts(0), bench.counts(1)), ((0, 0, 300), (0, 0, 1)));
    assert!(bench.is_clean());
}

#[test]
fn a_call_has_its_bound_and_the_oldest_of_all_its_streams_go() {
    let mut bench = Bench::new(&bounds(10, 4, 1_024), &[1, 1, 2]);
    // 21 voice packets fill a chunk.
    for n in 0..21 {
        bench.take(1, &voice(n));
        bench.take(2, &voice(n));
    }
    for n in 0..63 {
        bench.take(0, &voice(n));
    }
    assert_eq!((bench.counts(0), bench.counts(1)), ((63, 0, 0), (21, 0, 0)));
    bench.take(0, &voice(63));
    assert_eq!((bench.counts(0), bench.counts(1)), ((64, 0, 0), (0, 0, 21)));
    for n in 64..85 {
        bench.take(0, &voice(n));
    }
    assert_eq!(bench.counts(0), (64, 0, 21));
    assert_eq!(bench.counts(2), (21, 0, 0), "another call keeps its own");
}

#[test]
fn in_all_the_oldest_goes_first_whoever_it_belongs_to() {
    let mut bench = Bench::new(&bounds(10, 256, 3), &[1, 2]);
    for n in 0..21 {
        bench.take(0, &voice(n));
    }
    for n in 0..63 {
        bench.take(1, &voice(n));
    }
    assert_eq!((bench.counts(0), bench.counts(1)), ((0, 0, 21), (63, 0, 0)));
    bench.take(0, &voice(0));
    assert_eq!(
        (bench.counts(0), bench.counts(1)),
        ((1, 0, 21), (42, 0, 21))
    );
    assert_eq!(bench.prerolls.pool.used(), 3);
}

#[test]
fn a_flush_loses_nothing_even_if_all_memory_is_in_flushes() {
    let mut bench = Bench::new(&bounds(10, 256, 3), &[1, 2]);
    let hq = logger();
    for n in 0..60 {
        bench.take(0, &voice(n));
    }
    bench.tell(0, None);
    bench.aim(0, &[&hq]);
    bench.settle();
    let mut all = Vec::new();
    for n in 60..200 {
        bench.take(0, &voice(n));
        all.extend(heard(&hq));
    }
    // There is no room for others as long as that lasts: a gap of theirs.
    bench.take(1, &voice(0));
    assert_eq!(bench.counts(1), (0, 0, 1));
    bench.pass(Duration::from_secs(1));
    all.extend(heard(&hq));
    assert_eq!(all, (0..200).collect::<Vec<u32>>());
    assert_eq!(bench.counts(0), (0, 60, 0));
    assert!(bench.is_clean());
}

#[test]
fn many_flushes_share_what_one_look_may_send() {
    let calls: Vec<u64> = (0..20).collect();
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &calls);
    let hq = logger();
    for index in 0..20 {
        for n in 0..10 {
            bench.take(index, &voice(n));
        }
        bench.tell(index, None);
        bench.aim(index, &[&hq]);
    }
    bench.settle();
    bench.work();
    assert_eq!(heard(&hq).len(), usize::try_from(BUDGET).unwrap());
    assert_eq!(
        bench.prerolls.patience(),
        Some(Duration::ZERO),
        "there is more"
    );
    bench.pass(Duration::from_secs(1));
    assert_eq!(heard(&hq).len(), 200 - usize::try_from(BUDGET).unwrap());
    assert!(bench.is_clean());
}

#[test]
fn a_slot_that_closes_sends_what_is_decided_and_gives_up_what_is_not() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1, 1, 1]);
    let hq = logger();
    for index in 0..3 {
        for n in 0..50 {
            bench.take(index, &voice(n));
        }
    }
    bench.tell(0, None);
    bench.aim(0, &[&hq]);
    bench.settle();
    bench.close(0);
    assert_eq!(heard(&hq).len(), 50);
    assert_eq!(bench.counts(0), (0, 50, 0));
    bench.close(1);
    assert_eq!(bench.counts(1), (0, 0, 50));
    // Decided and closed by one command.
    bench.tell(2, None);
    bench.aim(2, &[&hq]);
    bench.close(2);
    bench.settle();
    assert_eq!((heard(&hq).len(), bench.counts(2)), (50, (0, 50, 0)));
    assert!(bench.is_clean());
    bench.close(99);
}

#[test]
fn a_logger_that_cannot_be_reached_costs_the_others_nothing() {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), &[1]);
    let (dead, hq) = (logger(), logger());
    for n in 0..20 {
        bench.take(0, &voice(n));
    }
    bench.tell(0, None);
    bench.aim(0, &[&dead, &hq]);
    drop(dead);
    bench.settle();
    bench.pass(Duration::from_secs(1));
    assert_eq!(heard(&hq), (0..20).collect::<Vec<u32>>());
    let seen = bench.seen(0);
    assert_eq!(seen.mirrored + seen.mirror_dropped, 40);
    assert!(bench.is_clean());
}

#[test]
fn zero_turns_it_off() {
    for off in [
        bounds(0, 256, 1_024),
        bounds(10, 0, 1_024),
        bounds(10, 1, 0),
    ] {
        let mut bench = Bench::new(&off, &[1]);
        bench.take(0, &voice(0));
        assert!(bench.slots.slot(0).unwrap().preroll.is_none());
        assert_eq!(bench.counts(0), (0, 0, 0));
        assert!(bench.is_clean());
    }
}

/// Keeps twenty packets for each of these, and says that nobody takes what should be had.
fn unserved(calls: &[u64]) -> Bench {
    let mut bench = Bench::new(&bounds(10, 256, 1_024), calls);
    for index in (0..).zip(calls).map(|(index, _)| index) {
        for n in 0..20 {
            bench.take(index, &voice(n));
        }
        bench.prerolls.unserved(&mut bench.slots, index);
    }
    bench
}

#[test]
fn what_should_be_had_and_nobody_takes_is_a_gap() {
    let mut bench = unserved(&[1, 2, 3, 4]);
    let hq = logger();
    // Decided; decided for another logger too, which takes it; still undecided; closed.
    bench.tell(0, None);
    bench.tell(1, None);
    bench.aim(1, &[&hq]);
    bench.close(3);
    bench.settle();
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.counts(0), bench.counts(1)), ((0, 0, 20), (0, 20, 0)));
    assert_eq!(heard(&hq).len(), 20);
    assert_eq!((bench.counts(2), bench.counts(3)), ((20, 0, 0), (0, 0, 20)));
    // That it was so for a command says nothing about a later one.
    bench.tell(2, None);
    bench.settle();
    assert_eq!(bench.counts(2), (0, 0, 0));
    assert!(bench.is_clean());
}
