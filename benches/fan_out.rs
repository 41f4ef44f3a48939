//! What the relay does with a packet beside system calls, and what a batch of copies costs with
//! them.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::net::UdpSocket;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homeward::sys::address::Address;
use homeward::sys::mmsg::{OnFull, PacketRing, SendBatch, send_to};
use homeward::wire::mux::classify;
use homeward::wire::rtp::RtpView;

fn views(c: &mut Criterion) {
    let mut packet = [0_u8; 172];
    packet[0] = 0x80;
    c.bench_function("classify and view", |bencher| {
        bencher.iter(|| {
            let packet = black_box(&packet[..]);
            let view = RtpView::parse_protected(packet).unwrap();
            (classify(packet), view.ssrc(), view.sequence())
        });
    });
}

/// To sockets that nobody reads: the kernel's whole send path, and a drop at its end.
fn fan_out(c: &mut Criterion) {
    let [from, to] = std::array::from_fn(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let mut ring = PacketRing::new(1);
    let target = Address::from(to.local_addr().unwrap());
    send_to(&from, &[0x80; 172], &target).unwrap();
    assert_eq!(ring.receive(&to, 0, 1).unwrap(), 1);
    let mut group = c.benchmark_group("send");
    group.bench_function("one by itself", |bencher| {
        bencher.iter(|| send_to(&from, ring.datagram(0).bytes, &target));
    });
    for copies in [1, 4, 16, 64] {
        let mut batch = SendBatch::new(copies);
        group.throughput(Throughput::Elements(copies as u64));
        group.bench_function(format!("batch of {copies}"), |bencher| {
            bencher.iter(|| {
                while batch.push(0, &target) {}
                batch.send(&from, &ring, OnFull::GiveUp, |_, ok| {
                    black_box(ok);
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, views, fan_out);
criterion_main!(benches);
