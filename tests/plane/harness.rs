//! Two parties, a relay between them, loggers beside it; everything on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use homeward::plane::command::{Command, Event};
use homeward::plane::counters::{Counters, Snapshot};
use homeward::plane::flow::{Expect, Flow, Learn, Route, SlotId, Source};
use homeward::plane::{Plane, Settings, socket};
use homeward::sys::clock::Clock;
use homeward::sys::epoll::{Epoll, Ready};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const V4: &str = "127.0.0.1:0";
pub(crate) const V6: &str = "[::1]:0";

pub(crate) fn plane() -> Plane {
    Plane::start(&Settings {
        workers: 1,
        pin: false,
        ..Settings::new(Clock::start())
    })
    .unwrap()
}

/// A party or a logger: a plain socket that waits, but not for ever.
pub(crate) fn endpoint(local: &str) -> UdpSocket {
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next datagram that arrives.
pub(crate) fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let len = socket.recv(&mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

/// Whether nothing is there.
pub(crate) fn is_silent(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let silent = socket.recv(&mut [0; 1]).is_err();
    socket.set_nonblocking(false).unwrap();
    silent
}

/// Lets time pass: not less than that.
pub(crate) fn pause(time: Duration) {
    let end = Clock::monotonic() + time;
    while Clock::monotonic() < end {
        std::thread::park_timeout(end.saturating_sub(Clock::monotonic()));
    }
}

pub(crate) fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

pub(crate) fn flow(expect: Expect) -> Flow {
    Flow {
        expect,
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

/// A slot as control sees it.
pub(crate) struct Stream {
    pub(crate) slot: SlotId,
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<Counters>,
}

impl Stream {
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Waits until the counters are as wanted.
    pub(crate) fn wait(&self, wanted: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let end = Clock::monotonic() + PATIENCE;
        loop {
            let now = self.snapshot();
            if wanted(&now) {
                // Fields are read one after the other: those that were read before the one that
                // was waited for may have moved since.
                return self.snapshot();
            }
            assert!(Clock::monotonic() < end, "still {now:?}");
            std::thread::yield_now();
        }
    }
}

pub(crate) fn open(plane: &Plane, slot: u32, local: &str, flow: Flow) -> Stream {
    let socket = socket::bind(local.parse().unwrap(), None, None).unwrap();
    let address = socket.local_addr().unwrap();
    let (slot, counters) = (SlotId(slot), Arc::new(Counters::default()));
    send(
        plane,
        Command::Open {
            slot,
            socket,
            flow,
            counters: Arc::clone(&counters),
        },
    );
    Stream {
        slot,
        address,
        counters,
    }
}

/// Sends a command, again if the queue is full.
pub(crate) fn send(plane: &Plane, mut command: Command) {
    while let Err(back) = plane.workers()[0].send(command) {
        command = back;
        std::thread::yield_now();
    }
}

/// Waits until all commands so far are carried out.
pub(crate) fn settle(plane: &Plane) {
    plane.take_latencies(PATIENCE).unwrap();
    plane.take_latencies(PATIENCE).unwrap();
}

pub(crate) fn mirror(plane: &Plane, stream: &Stream, loggers: &[&UdpSocket]) {
    let targets = loggers.iter().map(|l| l.local_addr().unwrap()).collect();
    send(
        plane,
        Command::Mirror {
            slot: stream.slot,
            targets,
        },
    );
}

/// Waits for events until `wanted` are there.
pub(crate) fn events(plane: &Plane, wanted: usize) -> Vec<Event> {
    let (epoll, mut ready) = (Epoll::new().unwrap(), Ready::new(1));
    epoll.add(&**plane.events(), 0).unwrap();
    let mut seen = Vec::new();
    let end = Clock::monotonic() + PATIENCE;
    while seen.len() < wanted {
        assert!(Clock::monotonic() < end, "only {seen:?}");
        epoll.wait(&mut ready, Some(PATIENCE)).unwrap();
        plane.events().drain(|worker, event| {
            assert_eq!(worker, 0);
            seen.push(event);
        });
    }
    seen
}

/// A call of two parties with one stream each, addresses declared as they are.
pub(crate) struct Pair {
    pub(crate) plane: Plane,
    pub(crate) a: UdpSocket,
    pub(crate) b: UdpSocket,
    /// Faces `a`.
    pub(crate) left: Stream,
    /// Faces `b`.
    pub(crate) right: Stream,
}

pub(crate) fn pair(expect: Expect, a: &str, b: &str) -> Pair {
    let (plane, a, b) = (plane(), endpoint(a), endpoint(b));
    let facing = |party: &UdpSocket, other: u32| Flow {
        remote: Some(party.local_addr().unwrap()),
        forward: Some(SlotId(other)),
        ..flow(expect)
    };
    let local = |party: &UdpSocket| {
        if party.local_addr().unwrap().is_ipv4() {
            V4
        } else {
            V6
        }
    };
    let left = open(&plane, 0, local(&a), facing(&a, 1));
    let right = open(&plane, 1, local(&b), facing(&b, 0));
    settle(&plane);
    Pair {
        plane,
        a,
        b,
        left,
        right,
    }
}
