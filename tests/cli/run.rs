//! `homeward run` as a service: what answers, what ends it, and what it holds on to.

use std::io::BufReader;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use homeward::wire::pcapng::{self, Block, Reader};
use serde_json::json;

use crate::daemon::{Daemon, Relay, ng};
use crate::media::{Call, media_port, rtp};
use crate::tools::{eventually, recordings};

#[test]
fn answers_on_all_doors() {
    let mut relay = Relay::start();
    assert_eq!(relay.ng(&json!({ "command": "ping" }))["result"], "pong");
    assert_eq!(relay.http("GET", "/healthz", ""), (200, "ok\n".into()));
    assert_eq!(relay.http("GET", "/readyz", ""), (200, "ready\n".into()));
    let (status, metrics) = relay.http("GET", "/metrics", "");
    assert_eq!(status, 200);
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(metrics.contains("\nhomeward_"), "{metrics}");
    let log = relay.daemon.log();
    assert!(log.contains("listening for NG"), "{log}");
    assert!(log.contains("listening for HTTP"), "{log}");
}

#[test]
fn sigterm_ends_it_and_closes_recordings_of_live_calls() {
    let mut relay = Relay::start();
    relay.migrate("alice");
    let call = Call::set_up(&mut relay, "live", "alice");
    for sequence in 0..20 {
        call.exchange(sequence);
    }
    assert_eq!(recordings(relay.dir.path()).len(), 0);
    let status = relay.daemon.terminate();
    assert_eq!(status.code(), Some(0), "{}", relay.daemon.log());
    let files = recordings(relay.dir.path());
    let [file] = &files[..] else {
        panic!("{files:?}: {}", relay.daemon.log());
    };
    let wanted: Vec<Vec<u8>> = (0..20).flat_map(|n| [rtp(0, n), rtp(1, n)]).collect();
    let mut found = payloads(file);
    assert_eq!(found.len(), wanted.len());
    found.retain(|packet| !wanted.contains(packet));
    assert!(found.is_empty(), "{found:?}");
}

/// What was received; the announcements that the logger adds have no packet id.
fn payloads(file: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(BufReader::new(std::fs::File::open(file).unwrap()));
    let mut found = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        if let Block::Packet(packet) = block
            && packet.id().is_some()
        {
            found.push(pcapng::udp::parse(packet.data).unwrap().payload.to_vec());
        }
    }
    found
}

#[test]
fn sighup_does_not_end_it() {
    let mut relay = Relay::start();
    let call = Call::set_up(&mut relay, "goes-on", "nobody");
    call.exchange(1);
    relay.daemon.signal("HUP");
    relay.daemon.says("SIGHUP");
    call.exchange(2);
    assert_eq!(relay.ng(&json!({ "command": "ping" }))["result"], "pong");
    relay.daemon.signal("INT");
    eventually("the end", || (!relay.daemon.runs()).then_some(()));
}

#[test]
fn without_a_file_it_is_on_loopback_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path(), &["run"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let wait = Some(Duration::from_millis(200));
    socket.set_read_timeout(wait).unwrap();
    let to = "127.0.0.1:2223".parse().unwrap();
    let offer = json!({
        "command": "offer", "call-id": "one", "from-tag": "a",
        "sdp": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                m=audio 4000 RTP/AVP 0\r\n",
    });
    // Another program may have these well-known ports: then it must say so and end.
    let up = eventually("start or refusal", || {
        match daemon.log().contains("listening for NG") {
            true => Some(true),
            false => (!daemon.runs()).then_some(false),
        }
    });
    if !up {
        let log = daemon.log();
        let named = [
            "ng.udp: cannot listen on 127.0.0.1:2223",
            "http.listen: cannot listen on 127.0.0.1:8080",
        ];
        assert!(named.iter().any(|text| log.contains(text)), "{log}");
        return;
    }
    let mut number = 0;
    let reply = eventually("a reply", || {
        number += 1;
        ng(&socket, to, number, &offer)
    });
    let port = media_port(&reply);
    assert!((30_000..=40_000).contains(&port), "{port}");
    assert!(dir.path().join("homeward-data/archive").is_dir());
    assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.log());
}

#[test]
fn calls_leave_no_descriptors_behind() {
    let mut relay = Relay::start();
    relay.migrate("alice");
    // The first call opens what stays open: databases, segments.
    let call = Call::set_up(&mut relay, "first", "alice");
    call.exchange(0);
    call.delete(&mut relay);
    eventually("the first recording", || {
        (recordings(relay.dir.path()).len() == 1).then_some(())
    });
    let before = relay.daemon.descriptors();
    for number in 0..200 {
        // Half of them are mirrored, some carry packets, some are given up before the answer.
        let caller = if number % 2 == 0 { "alice" } else { "bob" };
        let call = Call::set_up(&mut relay, &format!("call-{number}"), caller);
        if number % 8 == 0 {
            call.exchange(number);
        }
        call.delete(&mut relay);
    }
    eventually("descriptors are given back", || {
        // A connection, a recording that is being written: these come and go.
        let now = relay.daemon.descriptors();
        (now <= before).then_some(())
    });
    assert_eq!(relay.daemon.terminate().code(), Some(0));
}
