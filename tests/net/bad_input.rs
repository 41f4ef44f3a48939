//! Hostile and broken input through every public door: nothing panics, nothing leaks, and a call
//! beside it is not disturbed.

use std::net::UdpSocket;

use serde_json::json;

use crate::harness::{Bench, Call, Ng, Party, eventually};

/// Whether the relay is well: it answers, and the call beside still talks.
fn unharmed(ng: &Ng, beside: &Call, seq: u16) {
    assert_eq!(ng.ask(&json!({ "command": "ping" }))["result"], "pong");
    beside.talk(seq, seq + 3);
}

#[test]
fn broken_datagrams_at_the_control_door() {
    let bench = Bench::start();
    let ng = bench.ng();
    let beside = Call::up(&ng, "beside", &json!({}));
    let offer = format!(
        "c1 d7:command5:offer7:call-id1:x8:from-tag1:a3:sdp{}:{}e",
        beside.caller.sdp().len(),
        beside.caller.sdp()
    );
    // Every truncation of a good message but the whole one.
    for len in 0..offer.len() {
        ng.send_raw(&offer.as_bytes()[..len]);
    }
    let mut seed: u64 = 0x9E37_79B9;
    for round in 0..2_000usize {
        let noise: Vec<u8> = (0..round % 300)
            .map(|_| {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695);
                seed.to_be_bytes()[2]
            })
            .collect();
        let mut datagram = if round % 2 == 0 {
            b"n d".to_vec()
        } else {
            Vec::new()
        };
        datagram.extend(noise);
        ng.send_raw(&datagram);
    }
    for bomb in [
        [b"b ".to_vec(), vec![b'l'; 60_000]].concat(),
        [b"b ".to_vec(), b"d1:a".repeat(15_000)].concat(),
        [b"b ".to_vec(), vec![b'{'; 60_000]].concat(),
        [b"b {\"a\":".to_vec(), vec![b'['; 60_000]].concat(),
        b"b d99999999999999999999:".to_vec(),
        b"b di99999999999999999999999e1:ae".to_vec(),
    ] {
        ng.send_raw(&bomb);
    }
    let fresh = eventually("the relay answers a new client", || {
        let ng = bench.ng();
        ng.send_raw(b"w d7:command4:pinge");
        (!ng.is_silent()).then_some(ng)
    });
    unharmed(&fresh, &beside, 1);
}

#[test]
fn broken_sdp_gets_an_error_and_leaves_nothing_behind() {
    let bench = Bench::start();
    let ng = bench.ng();
    let beside = Call::up(&ng, "beside", &json!({}));
    let streams = bench.relay.open_streams();
    let large = format!("{}a=x:{}\r\n", beside.caller.sdp(), "y".repeat(62_000));
    let many = beside.caller.sdp() + &"m=audio 4000 RTP/AVP 0\r\n".repeat(2_000);
    let cases = [
        String::new(),
        "v=0".into(),
        "\r\n\r\n".into(),
        "m=audio".into(),
        "m=audio 99999 RTP/AVP 0".into(),
        "v=0\r\no=\r\ns=\r\nc=IN IP4 nowhere\r\nm=audio 1 RTP/AVP 0\r\n".into(),
        "v=0\r\nm=audio 4000 RTP/AVP 0\r\n".into(),
        many,
    ];
    for (number, sdp) in cases.iter().enumerate() {
        let answer = ng.ask(&json!({
            "command": "offer", "call-id": format!("bad-{number}"), "from-tag": "a", "sdp": sdp,
        }));
        assert_eq!(
            answer["result"], "error",
            "{number}: {sdp:.80} got {answer}"
        );
        assert!(!answer["error-reason"].as_str().unwrap().is_empty());
    }
    let answer = ng.ask(&json!({
        "command": "offer", "call-id": "large", "from-tag": "a", "sdp": large,
    }));
    assert!(answer["result"] == "ok" || answer["error-reason"] == "Failed to parse SDP");
    ng.must(&json!({ "command": "delete", "call-id": "large", "delete delay": 0 }));
    eventually("nothing is left", || {
        (bench.relay.open_streams() == streams).then_some(())
    });
    let listed = ng.must(&json!({ "command": "list" }));
    assert_eq!(listed["calls"], json!(["beside"]));
    unharmed(&ng, &beside, 1);
}

#[test]
fn wrong_order_and_duplicate_tags() {
    let bench = Bench::start();
    let ng = bench.ng();
    let beside = Call::up(&ng, "beside", &json!({}));
    let sdp = beside.caller.sdp();
    let offer = |extra: serde_json::Value| {
        let mut offer = json!({
            "command": "offer", "call-id": "order", "from-tag": "a", "sdp": sdp,
        });
        offer
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        ng.ask(&offer)
    };
    assert_eq!(offer(json!({}))["result"], "ok");
    // The same tag at both ends, an answer without its tag, an answer from the offerer.
    assert_eq!(offer(json!({ "to-tag": "a" }))["result"], "error");
    let no_tag = offer(json!({ "command": "answer" }));
    assert_eq!(no_tag["error-reason"], "No to-tag in message");
    assert_eq!(
        offer(json!({ "command": "answer", "to-tag": "a" }))["result"],
        "error"
    );
    for missing in ["call-id", "from-tag", "sdp"] {
        let mut offer = json!({
            "command": "offer", "call-id": "order", "from-tag": "a", "sdp": sdp,
        });
        offer.as_object_mut().unwrap().remove(missing);
        let answer = ng.ask(&offer);
        assert_eq!(answer["result"], "error", "{missing}");
    }
    unharmed(&ng, &beside, 1);
}

#[test]
fn media_with_every_first_byte_and_every_size() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "bytes", &crate::harness::context("alice", "bob"));
    call.talk(1, 3);
    for first in 0..=255u8 {
        for second in [0, 72, 127, 200, 204, 255] {
            call.caller
                .rtp
                .send_to(&[first, second, 0, 1], call.at_caller)
                .unwrap();
            let mut packet = call.caller.packet(100);
            packet[0] = first;
            packet[1] = second;
            call.caller.rtp.send_to(&packet, call.at_caller).unwrap();
        }
    }
    call.caller.rtp.send_to(&[], call.at_caller).unwrap();
    for size in [1, 11, 12, 13, 1_500, 2_047, 2_048, 2_049, 9_000, 65_507] {
        let mut packet = vec![0; size];
        packet[0] = 0x80;
        call.caller.rtp.send_to(&packet, call.at_caller).unwrap();
    }
    // Whatever of that was carried on is read away, then the call goes on as before.
    while !call.callee.hears_nothing() {}
    call.talk(200, 220);
    call.down(&ng);
    let recording = crate::harness::Recorded::read(&bench.recordings(1)[0]);
    let last = call.caller.packet(219);
    assert!(recording.rtp(call.caller.ssrc).contains(&last));
}

#[test]
fn strangers_find_no_way_in_before_or_after_learning() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "bleed", &json!({}));
    // Noise from anywhere does not open the window: only well-formed RTP or RTCP does.
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    for first in [0u8, 20, 64, 200] {
        noise.send_to(&[first; 40], call.at_caller).unwrap();
    }
    call.talk(1, 5);
    let stranger = Party::new(0xBAD);
    for seq in 0..50 {
        stranger.send(call.at_caller, seq);
        stranger.send(call.at_callee, seq);
    }
    call.talk(5, 10);
    assert!(stranger.hears_nothing());
}

#[test]
fn http_bodies_too_large_or_not_understood() {
    let bench = Bench::start();
    let (status, _) = bench.http("POST", "/v1/migrations", &"x".repeat(1_000_000));
    assert_eq!(status, 413);
    let (status, problem) = bench.http(
        "POST",
        "/v1/migrations",
        r#"{"service":"mcptt","colour":1}"#,
    );
    assert!((400..=422).contains(&status), "{status}");
    assert!(problem.to_string().contains("colour"), "{problem}");
    let (status, _) = bench.http("POST", "/v1/migrations", &"[".repeat(10_000));
    assert_eq!(status, 400);
    let (status, _) = bench.http("GET", "/v1/calls/never/explain", "");
    assert_eq!(status, 404);
    let (status, _) = bench.http("GET", "/v2", "");
    assert_eq!(status, 404);
    let (status, _) = bench.http("BREW", "/v1/migrations", "");
    assert!(status == 405 || status == 400, "{status}");
    assert_eq!(bench.http("GET", "/healthz", "").0, 200);
    assert_eq!(bench.http("GET", "/v1/migrations", "").0, 200);
}
