//! Calls that go through a media anchor of the primary system, on real sockets: a small program
//! of this test that sends back what it gets.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bench, Call, Ng, Recorded, Setup, context, eventually, pause, port_range};

/// What the anchor does with a packet.
const ECHO: u8 = 0;
const SWALLOW: u8 = 1;
const ALTER: u8 = 2;
const TWICE: u8 = 3;

/// An anchor at a range of ports.
struct Anchor {
    mode: Arc<AtomicU8>,
    heard: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Anchor {
    /// An anchor with so many ports that nobody else has.
    fn start(count: u16) -> ((u16, u16), Self) {
        eventually("a range of ports is free", || {
            let ports = port_range(count);
            Some((ports, Self::on(bind(ports)?)))
        })
    }

    /// One at the ports of another that has ended.
    fn again(ports: (u16, u16)) -> Self {
        Self::on(eventually("its ports are free", || bind(ports)))
    }

    fn on(sockets: Vec<UdpSocket>) -> Self {
        let (mode, heard) = (Arc::new(AtomicU8::new(ECHO)), Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let (its_mode, its_heard) = (Arc::clone(&mode), Arc::clone(&heard));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for socket in &sockets {
                    serve(socket, its_mode.load(Ordering::Relaxed), &its_heard);
                }
                pause(Duration::from_micros(500));
            }
        });
        Self {
            mode,
            heard,
            stop,
            thread: Some(thread),
        }
    }

    fn does(&self, mode: u8) {
        self.mode.store(mode, Ordering::Relaxed);
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }
}

/// Sockets at a range of ports; `None` if another program has one of them.
fn bind((first, last): (u16, u16)) -> Option<Vec<UdpSocket>> {
    let socket = |port| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(socket)
    };
    (first..=last).map(socket).collect()
}

impl Drop for Anchor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(socket: &UdpSocket, mode: u8, heard: &AtomicU64) {
    let mut buffer = [0; 2_048];
    while let Ok((count, from)) = socket.recv_from(&mut buffer) {
        heard.fetch_add(1, Ordering::Relaxed);
        let times = match mode {
            SWALLOW => 0,
            TWICE => 2,
            _ => 1,
        };
        if mode == ALTER {
            buffer[count - 1] ^= 0xff;
        }
        for _ in 0..times {
            drop(socket.send_to(&buffer[..count], from));
        }
    }
}

/// A relay whose primary is reached through an anchor at these ports.
fn bench(anchor: (u16, u16)) -> Bench {
    let (first, last) = anchor;
    let agreements = format!(
        "[[anchor]]\nname = \"gate\"\ntransport = \"static\"\naddress = \"127.0.0.1\"\n\
         ports = [{first}, {last}]\nunreachable_after = \"400ms\"\nreturn_after = \"300ms\"\n\
         [[agreement]]\nprimary = \"primary.example\"\nmode = \"redirect\"\n\
         anchors = [\"gate\"]\nloggers = [\"hq\"]\n"
    );
    let bench = Bench::with(Setup {
        agreements,
        ..Setup::default()
    });
    bench.migrate("alice");
    bench
}

fn home(bench: &Bench, id: &str) -> Value {
    let (status, seen) = bench.http("GET", &format!("/v1/calls/{id}/explain"), "");
    assert_eq!(status, 200, "{seen}");
    seen["homes"][0].clone()
}

fn states(home: &Value) -> Vec<&str> {
    let lanes = home["lanes"].as_array().unwrap().iter();
    lanes.map(|lane| lane["state"].as_str().unwrap()).collect()
}

fn drops(home: &Value, reason: &str) -> u64 {
    let lanes = home["lanes"].as_array().unwrap().iter();
    lanes
        .filter_map(|lane| lane["drops"][reason].as_u64())
        .sum()
}

fn up(ng: &Ng, id: &str) -> Call {
    Call::up(ng, id, &context("alice", "bob"))
}

/// Sends from the caller until the state is as wanted; how many packets were sent from `seq` on.
fn send_until(call: &Call, seq: &mut u16, wanted: impl Fn() -> bool) {
    for _ in 0..500 {
        if wanted() {
            return;
        }
        call.caller.send(call.at_caller, *seq);
        *seq += 1;
        pause(Duration::from_millis(20));
    }
    panic!("sent for 10 s, and it is not as wanted");
}

/// The next packet at the callee is this one of the caller.
fn next_is(call: &Call, seq: u16) -> bool {
    call.callee.receive().0 == call.caller.packet(seq)
}

#[test]
fn media_goes_through_home_and_comes_back_as_it_was() {
    let (ports, anchor) = Anchor::start(20);
    let bench = bench(ports);
    let ng = bench.ng();
    let call = up(&ng, "c1");
    call.talk(0, 50);
    let seen = eventually("all is counted", || {
        let seen = home(&bench, "c1");
        (seen["packets"]["returned"] == 100).then_some(seen)
    });
    assert_eq!(states(&seen), ["through", "through"], "{seen:#}");
    assert_eq!(seen["packets"]["sent"], 100);
    assert_eq!(
        (&seen["anchor"], &seen["note"]),
        (&json!("gate"), &json!(""))
    );
    assert_eq!(anchor.heard(), 100);
    assert!(bench.metrics().contains("homeward_homes{state=\"up\"} 1"));
    call.down(&ng);
    let recorded = Recorded::read(&bench.recordings(1)[0]);
    assert!(recorded.rtp(call.caller.ssrc).is_empty(), "home had it all");
}

#[test]
fn a_killed_anchor_is_bypassed_and_comes_back() {
    let (ports, anchor) = Anchor::start(20);
    let bench = bench(ports);
    let ng = bench.ng();
    let call = up(&ng, "c1");
    call.talk(0, 20);
    drop(anchor);
    let mut seq = 20;
    send_until(&call, &mut seq, || {
        states(&home(&bench, "c1"))[0] == "bypassed"
    });
    // Past what the anchor has taken with it, the call goes on, and the logger has the rest.
    let from = seq;
    while !next_is(&call, from - 1) {}
    for seq in from..from + 50 {
        call.caller.send(call.at_caller, seq);
        assert!(next_is(&call, seq), "straight");
    }
    let seen = home(&bench, "c1");
    assert_eq!(
        (&seen["bypasses"], states(&seen)[1]),
        (&json!(1), "through")
    );
    assert!(seen["unanswered"].as_u64().unwrap() > 0);
    let anchor = Anchor::again(ports);
    seq = from + 50;
    send_until(&call, &mut seq, || {
        states(&home(&bench, "c1"))[0] == "through"
    });
    let last = seq;
    while !next_is(&call, last - 1) {}
    let before = anchor.heard();
    for seq in last..last + 20 {
        call.caller.send(call.at_caller, seq);
        assert!(next_is(&call, seq), "through home again");
    }
    assert!(anchor.heard() - before >= 20);
    call.down(&ng);
    let recorded = Recorded::read(&bench.recordings(1)[0]).rtp(call.caller.ssrc);
    for seq in from..from + 50 {
        assert!(
            recorded.contains(&call.caller.packet(seq)),
            "{seq} is missing"
        );
    }
    assert!(!recorded.contains(&call.caller.packet(last + 10)));
    let metrics = bench.metrics();
    assert!(metrics.contains("homeward_home_bypasses_total 1"));
    assert!(metrics.contains("homeward_home_returns_total 1"));
}

#[test]
fn what_comes_back_altered_or_twice_reaches_nobody() {
    let (ports, anchor) = Anchor::start(20);
    let bench = bench(ports);
    let ng = bench.ng();
    let call = up(&ng, "c1");
    anchor.does(TWICE);
    call.talk(0, 20);
    eventually("copies are counted", || {
        (drops(&home(&bench, "c1"), "home-duplicate") == 40).then_some(())
    });
    anchor.does(ALTER);
    for seq in 20..30 {
        call.caller.send(call.at_caller, seq);
    }
    eventually("forgeries are counted", || {
        (drops(&home(&bench, "c1"), "home-altered") == 10).then_some(())
    });
    assert!(call.callee.hears_nothing());
    anchor.does(ECHO);
    call.caller.send(call.at_caller, 30);
    assert!(next_is(&call, 30));
}

#[test]
fn silence_of_push_to_talk_is_no_reason_to_bypass() {
    let (ports, _anchor) = Anchor::start(20);
    let bench = bench(ports);
    let ng = bench.ng();
    let call = up(&ng, "c1");
    for burst in 0..3 {
        call.talk(burst * 10, burst * 10 + 10);
        pause(Duration::from_millis(900));
    }
    let seen = home(&bench, "c1");
    assert_eq!(
        (&seen["bypasses"], &seen["packets"]["lost"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn a_call_without_anchor_ports_goes_straight_and_is_recorded() {
    // Room for one call with its two lanes.
    let (ports, _anchor) = Anchor::start(4);
    let bench = bench(ports);
    let ng = bench.ng();
    let first = up(&ng, "c1");
    let second = up(&ng, "c2");
    first.talk(0, 10);
    second.talk(0, 10);
    assert_eq!(home(&bench, "c1")["state"], "up");
    let seen = home(&bench, "c2");
    assert_eq!(seen["state"], "failed");
    assert!(
        seen["reason"]
            .as_str()
            .unwrap()
            .contains("gate: no port is left")
    );
    // The first call leaves, and the second is led through home after a while.
    first.down(&ng);
    eventually("it is tried again", || {
        (home(&bench, "c2")["state"] == "up").then_some(())
    });
    second.talk(10, 20);
    second.down(&ng);
    let of_second = bench.recordings(2).into_iter().find_map(|path| {
        let recorded = Recorded::read(&path);
        let named = recorded
            .comments
            .iter()
            .any(|comment| comment.contains("c2"));
        named.then_some(recorded)
    });
    let recorded = of_second
        .expect("a recording of it")
        .rtp(second.caller.ssrc);
    assert!(recorded.contains(&second.caller.packet(5)));
}

#[test]
fn two_relays_that_point_at_each_other_make_no_storm() {
    let ranges = [(); 2].map(|()| Anchor::start(4));
    let ports = [ranges[0].0, ranges[1].0];
    drop(ranges);
    let benches = [bench(ports[0]), bench(ports[1])];
    // What a relay sends home comes to the other relay's socket that faces home, and back.
    let ngs = [benches[0].ng(), benches[1].ng()];
    let calls = [up(&ngs[0], "c1"), up(&ngs[1], "c1")];
    let at: Vec<Vec<SocketAddr>> = benches
        .iter()
        .map(|bench| {
            let lanes = home(bench, "c1")["lanes"].as_array().unwrap().clone();
            let local = |lane: &Value| lane["local"].as_str().unwrap().parse().unwrap();
            lanes.iter().map(local).collect()
        })
        .collect();
    let cross = Cross::between(ports, at);
    let mut seq = 0;
    for _ in 0..100 {
        for call in &calls {
            call.caller.send(call.at_caller, seq);
        }
        seq += 1;
        pause(Duration::from_millis(10));
    }
    let mut sent = 0;
    for (bench, call) in benches.iter().zip(&calls) {
        let mut seq = seq;
        send_until(call, &mut seq, || {
            states(&home(bench, "c1"))[0] == "bypassed"
        });
        let last = seq - 1;
        while !next_is(call, last) {}
        sent += u64::from(seq);
    }
    let carried = cross.carried();
    assert!(carried <= sent, "{carried} packets between them");
}

/// Two pipes from the anchors that each relay was given to the other's sockets.
struct Cross {
    carried: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cross {
    fn between(ports: [(u16, u16); 2], at: Vec<Vec<SocketAddr>>) -> Self {
        // The first lane of each goes to the first port of its range.
        let sides = ports.map(|(first, _)| {
            let mut sockets = eventually("the port is free", || bind((first, first)));
            sockets.remove(0)
        });
        let carried = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, stopped) = (Arc::clone(&carried), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while !stopped.load(Ordering::Relaxed) {
                for (side, socket) in sides.iter().enumerate() {
                    let (other, to) = (&sides[1 - side], at[1 - side][0]);
                    while let Ok(count_of) = socket.recv(&mut buffer) {
                        count.fetch_add(1, Ordering::Relaxed);
                        drop(other.send_to(&buffer[..count_of], to));
                    }
                }
                pause(Duration::from_micros(500));
            }
        });
        Self {
            carried,
            stop,
            thread: Some(thread),
        }
    }

    fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Cross {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
