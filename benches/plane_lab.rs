//! A relay with nothing but the data plane in it, to be measured against the prototypes of the
//! measuring bench: one worker, N streams from 10.0.0.1:30000+i to 10.0.0.2:20000+i, each
//! mirrored to 10.0.0.2:40000+i.
//!
//! Not run by `cargo bench` (it has no end); build it with `cargo bench --bench plane_lab
//! --no-run` and give it `serve STREAMS MIRRORS [SECONDS]`. It runs on the last processor that it
//! may use; without SECONDS until it is killed, else it prints its counts at the end.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]
#![expect(clippy::unwrap_used, reason = "a tool that may fail loudly")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use homeward::plane::command::Command;
use homeward::plane::counters::Counters;
use homeward::plane::flow::{Expect, Flow, Learn, Route, SlotId, Source};
use homeward::plane::{Plane, Settings, WorkerHandle, socket};
use homeward::sys::clock::Clock;
use homeward::sys::rlimit::raise_nofile;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [serve, streams, mirrors, rest @ ..] = words.as_slice() else {
        println!("usage: plane_lab serve STREAMS MIRRORS [SECONDS]");
        return;
    };
    if serve != "serve" {
        return;
    }
    let seconds = rest.first().map(|word| word.parse().unwrap());
    relay(streams.parse().unwrap(), mirrors.parse().unwrap(), seconds);
}

fn relay(streams: u16, mirrors: usize, seconds: Option<u64>) {
    raise_nofile(100_000).unwrap();
    let plane = Plane::start(&Settings {
        workers: 1,
        ..Settings::new(Clock::start())
    })
    .unwrap();
    let worker = &plane.workers()[0];
    let counters: Vec<_> = (0..streams)
        .map(|stream| open(worker, stream, mirrors))
        .collect();
    println!("ready, on processor {:?}", worker.processor());
    let Some(seconds) = seconds else {
        loop {
            std::thread::park();
        }
    };
    plane.take_latencies(Duration::from_secs(1)).unwrap();
    std::thread::park_timeout(Duration::from_secs(seconds));
    report(&plane, &counters);
}

fn open(worker: &WorkerHandle, stream: u16, mirrors: usize) -> Arc<Counters> {
    let counters = Arc::new(Counters::default());
    let slot = SlotId(stream.into());
    let peer = |base: u16| SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), base + stream));
    let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 30_000 + stream));
    // Both parties of the bench sit behind one socket: what comes from 10000+i goes to 20000+i.
    let flow = Flow {
        expect: Expect::Rtp,
        remote: Some(peer(20_000)),
        learn: Learn::Off,
        window: 1,
        source: Source::Loose,
        forward: Some(slot),
        forward_rtcp: None,
        blocked: false,
        clock_rate: 8_000,
        known: None,
        route: Route::Direct,
        keep: None,
    };
    let open = Command::Open {
        slot,
        socket: socket::bind(local, None, None).unwrap(),
        flow,
        counters: Arc::clone(&counters),
    };
    deliver(worker, open);
    if mirrors > 0 {
        let targets = vec![peer(40_000); mirrors];
        deliver(worker, Command::Mirror { slot, targets });
    }
    counters
}

fn deliver(worker: &WorkerHandle, mut command: Command) {
    while let Err(back) = worker.send(command) {
        command = back;
        std::thread::yield_now();
    }
}

fn report(plane: &Plane, counters: &[Arc<Counters>]) {
    let metrics = plane.workers()[0].metrics();
    println!("{metrics:?}");
    let mut drops = [0; 8];
    for stream in counters {
        for (sum, drop) in drops.iter_mut().zip(stream.snapshot().drops) {
            *sum += drop;
        }
    }
    println!("drops by reason {drops:?}");
    let latencies = plane.take_latencies(Duration::from_secs(1)).unwrap();
    let micros = |quantile| latencies.value_at_quantile(quantile) / 1_000;
    println!(
        "latency in us: p50 {} p99 {} p99.9 {} max {}",
        micros(0.5),
        micros(0.99),
        micros(0.999),
        latencies.max() / 1_000
    );
}
