//! The data plane allocates nothing per packet: proved by counting what the whole process
//! allocates while packets flow. Alone in its process, because the allocator is global.
#![expect(unsafe_code, reason = "a global allocator that counts")]
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use homeward::plane::command::Command;
use homeward::plane::counters::Counters;
use homeward::plane::flow::{Expect, Flow, HomeLimits, Learn, Route, SlotId, Source};
use homeward::plane::start::Preroll;
use homeward::plane::{Plane, Settings, socket};
use homeward::sys::clock::Clock;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_is_allocated_per_packet() {
    let plane = Plane::start(&Settings {
        workers: 1,
        // Full before the counting begins: a worst case, in which each packet gives one up.
        preroll: Preroll {
            call_bytes: 64 << 10,
            ..Preroll::default()
        },
        ..Settings::new(Clock::start())
    })
    .unwrap();
    let parties: [UdpSocket; 6] = std::array::from_fn(|_| party());
    let [a, b, logger, c, anchor, undecided] = &parties;
    let (to_left, left) = open(&plane, 0, 1, a, Route::Direct);
    let (to_right, right) = open(&plane, 1, 0, b, Route::Direct);
    // What this one sends goes through home and comes back to it.
    let (home, home_rtcp) = (SlotId(3), None);
    let (to_redirected, redirected) = open(&plane, 2, 2, c, Route::Via { home, home_rtcp });
    let limits = HomeLimits {
        unreachable_after: Duration::from_secs(3_600),
        return_after: Duration::from_secs(3_600),
    };
    let (to_home, home) = open(&plane, 3, 2, anchor, Route::Home(limits));
    // What this one sends is kept, and given up again.
    let (to_kept, kept) = open(&plane, 4, 4, undecided, Route::Direct);
    let slot = SlotId(0);
    let targets = vec![logger.local_addr().unwrap(); 3];
    let sent = plane.workers()[0].send(Command::Mirror { slot, targets });
    sent.unwrap();
    plane.take_latencies(Duration::from_secs(5)).unwrap();

    let mut sequence = 0;
    let mut exchange = |bursts: u16| {
        for _ in 0..bursts {
            // Bursts, so that batches are sent too; from both sides; media, RTCP and strangers.
            for _ in 0..20 {
                let packet = packet(sequence);
                a.send_to(&packet, to_left).unwrap();
                b.send_to(&packet, to_right).unwrap();
                sequence += 1;
            }
            a.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 1], to_left).unwrap();
            logger.send_to(&packet(sequence), to_left).unwrap();
            a.send_to(b"nonsense", to_left).unwrap();
            let mut buffer = [0; 2_048];
            for _ in 0..21 {
                b.recv(&mut buffer).unwrap();
            }
            for _ in 0..20 {
                a.recv(&mut buffer).unwrap();
            }
            for _ in 0..63 {
                logger.recv(&mut buffer).unwrap();
            }
            for place in 0..20 {
                c.send_to(&packet(sequence - 20 + place), to_redirected)
                    .unwrap();
            }
            for _ in 0..20 {
                let len = anchor.recv(&mut buffer).unwrap();
                anchor.send_to(&buffer[..len], to_home).unwrap();
            }
            anchor.send_to(&packet(sequence), to_home).unwrap();
            for _ in 0..20 {
                c.recv(&mut buffer).unwrap();
            }
            for place in 0..20 {
                let packet = packet(sequence - 20 + place);
                undecided.send_to(&packet, to_kept).unwrap();
            }
            for _ in 0..20 {
                undecided.recv(&mut buffer).unwrap();
            }
        }
    };
    exchange(50); // learning, first pages, lazy things of the system
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    exchange(500);
    let during = ALLOCATIONS.load(Ordering::SeqCst) - before;

    plane.take_latencies(Duration::from_secs(5)).unwrap(); // the worker has counted all
    let seen = left.snapshot();
    assert_eq!((seen.forwarded, seen.mirrored), (550 * 21, 550 * 63));
    assert_eq!(seen.learned, a.local_addr().ok());
    assert_eq!(seen.dropped(), 550 * 2);
    assert_eq!(right.snapshot().forwarded, 550 * 20);
    assert_eq!(redirected.snapshot().forwarded, 550 * 20);
    let seen = home.snapshot();
    assert_eq!((seen.home_sent, seen.forwarded), (550 * 20, 550 * 20));
    assert_eq!(seen.dropped(), 550);
    let seen = kept.snapshot();
    assert_eq!(seen.forwarded, 550 * 20);
    let given_up = 550 * 20 - u64::from(seen.preroll_kept);
    assert_eq!(
        (seen.preroll_evicted, given_up > 500 * 20),
        (given_up, true)
    );
    assert_eq!(during, 0, "allocations in {} packets", 500 * 104);
}

fn party() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Some(Duration::from_secs(10));
    socket.set_read_timeout(patience).unwrap();
    socket
}

fn open(
    plane: &Plane,
    slot: u32,
    other: u32,
    party: &UdpSocket,
    route: Route,
) -> (SocketAddr, Arc<Counters>) {
    let socket = socket::bind("127.0.0.1:0".parse().unwrap(), None, None).unwrap();
    let (address, counters) = (socket.local_addr().unwrap(), Arc::default());
    let flow = Flow {
        expect: Expect::Rtp,
        remote: Some(party.local_addr().unwrap()),
        learn: Learn::Heuristic,
        window: 1,
        source: Source::Strict,
        forward: Some(SlotId(other)),
        forward_rtcp: None,
        blocked: false,
        clock_rate: 8_000,
        known: None,
        route,
        keep: (slot == 4).then_some(1),
    };
    let open = Command::Open {
        slot: SlotId(slot),
        socket,
        flow,
        counters: Arc::clone(&counters),
    };
    plane.workers()[0].send(open).unwrap();
    (address, counters)
}

fn packet(sequence: u16) -> [u8; 172] {
    let mut packet = [0; 172];
    packet[0] = 0x80;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[11] = 1;
    packet
}
