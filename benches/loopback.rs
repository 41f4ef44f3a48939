//! One packet through the relay over loopback: a party sends, a worker forwards and mirrors, the
//! other party receives. Wall time with two changes of threads; to compare runs of one machine.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::net::UdpSocket;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homeward::plane::command::Command;
use homeward::plane::counters::Counters;
use homeward::plane::flow::{Expect, Flow, Learn, Route, SlotId, Source};
use homeward::plane::{Plane, Settings, socket};
use homeward::sys::clock::Clock;

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("loopback");
    for (name, burst, mirrored) in [
        ("forward", 1, false),
        ("forward and mirror", 1, true),
        ("burst of 16", 16, false),
        ("burst of 16 and mirror", 16, true),
    ] {
        let (plane, a, b, relay) = set_up(mirrored);
        let mut sequence = 0_u16;
        let mut buffer = [0; 2_048];
        group.throughput(Throughput::Elements(burst));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..burst {
                    sequence = sequence.wrapping_add(1);
                    let mut packet = [0; 172];
                    packet[0] = 0x80;
                    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                    a.send_to(&packet, relay).unwrap();
                }
                for _ in 0..burst {
                    black_box(b.recv(&mut buffer).unwrap());
                }
            });
        });
        plane.stop();
    }
    group.finish();
}

fn set_up(mirrored: bool) -> (Plane, UdpSocket, UdpSocket, std::net::SocketAddr) {
    let plane = Plane::start(&Settings {
        workers: 1,
        ..Settings::new(Clock::start())
    })
    .unwrap();
    let [a, b, logger] = std::array::from_fn(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let mut relay = Vec::new();
    for (slot, party) in [&a, &b].into_iter().enumerate() {
        let slot = u32::try_from(slot).unwrap();
        let local = socket::bind("127.0.0.1:0".parse().unwrap(), None, None).unwrap();
        relay.push(local.local_addr().unwrap());
        let flow = Flow {
            expect: Expect::Rtp,
            remote: Some(party.local_addr().unwrap()),
            learn: Learn::Heuristic,
            window: 1,
            source: Source::Strict,
            forward: Some(SlotId(1 - slot)),
            forward_rtcp: None,
            blocked: false,
            clock_rate: 8_000,
            known: None,
            route: Route::Direct,
            keep: None,
        };
        let open = Command::Open {
            slot: SlotId(slot),
            socket: local,
            flow,
            counters: Arc::new(Counters::default()),
        };
        plane.workers()[0].send(open).unwrap();
    }
    if mirrored {
        // Nobody reads there: the logger's socket fills up, which must not matter.
        let targets = vec![logger.local_addr().unwrap()];
        let slot = SlotId(0);
        plane.workers()[0]
            .send(Command::Mirror { slot, targets })
            .unwrap();
    }
    (plane, a, b, relay[0])
}

criterion_group!(benches, forward);
criterion_main!(benches);
