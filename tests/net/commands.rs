//! NG commands as a proxy gives them: answers, errors, retransmissions, statistics.

use serde_json::json;

use crate::harness::{Bench, Call, Party, eventually, media_of};

#[test]
fn ping_in_both_encodings() {
    let bench = Bench::start();
    let ng = bench.ng();
    assert_eq!(
        ng.ask_raw(b"4711_9 d7:command4:pinge"),
        b"4711_9 d6:result4:ponge"
    );
    assert_eq!(ng.ask(&json!({ "command": "ping" }))["result"], "pong");
}

#[test]
fn a_repeated_request_gets_the_same_bytes_and_one_execution() {
    let bench = Bench::start();
    let ng = bench.ng();
    let offer = json!({
        "command": "offer", "call-id": "again", "from-tag": "caller", "sdp": Party::new(1).sdp(),
    });
    let request = format!("same_1 {offer}");
    for _ in 0..5 {
        ng.send_raw(request.as_bytes());
    }
    let first = ng.ask_raw(request.as_bytes());
    for _ in 0..5 {
        let next = ng.ask_raw(b"p d7:command4:pinge");
        assert!(next == first || next == b"p d6:result4:ponge");
    }
    let listed = ng.must(&json!({ "command": "list" }));
    assert_eq!(listed["calls"], json!(["again"]));
    let statistics = ng.must(&json!({ "command": "statistics" }));
    let current = &statistics["statistics"]["currentstatistics"];
    assert_eq!(current["sessionstotal"], 1, "{statistics}");
}

#[test]
fn the_same_offer_with_a_new_cookie_keeps_the_ports() {
    let bench = Bench::start();
    let ng = bench.ng();
    let offer = json!({
        "command": "offer", "call-id": "known", "from-tag": "caller", "sdp": Party::new(1).sdp(),
    });
    let first = ng.must(&offer);
    assert_eq!(ng.must(&offer)["sdp"], first["sdp"]);
}

#[test]
fn unknown_calls_have_the_texts_that_proxies_match() {
    let bench = Bench::start();
    let ng = bench.ng();
    let answer = ng.ask(&json!({
        "command": "answer", "call-id": "never", "from-tag": "a", "to-tag": "b",
        "sdp": Party::new(1).sdp(),
    }));
    assert_eq!(answer["error-reason"], "Unknown call-id");
    let quiet = ng.must(&json!({ "command": "delete", "call-id": "never" }));
    assert_eq!(quiet["warning"], "Call-ID not found or tags didn't match");
    let fatal = ng.ask(&json!({ "command": "delete", "call-id": "never", "flags": ["fatal"] }));
    assert_eq!(
        fatal["error-reason"],
        "Call-ID not found or tags didn't match"
    );
    let query = ng.ask(&json!({ "command": "query", "call-id": "never" }));
    assert_eq!(query["error-reason"], "Unknown call-id");
}

#[test]
fn what_needs_a_codec_is_refused() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "codec", &json!({}));
    for command in ["play media", "play DTMF", "transform", "inject start"] {
        let answer = ng.ask(&json!({
            "command": command, "call-id": "codec", "from-tag": "caller",
        }));
        assert_eq!(answer["result"], "error", "{command}: {answer}");
        assert_eq!(answer["error-reason"], "unsupported", "{command}");
    }
    call.talk(1, 3);
}

#[test]
fn codecs_that_were_not_offered_are_removed_from_the_answer() {
    let bench = Bench::start();
    let ng = bench.ng();
    let (caller, callee) = (Party::new(1), Party::new(2));
    ng.must(&json!({
        "command": "offer", "call-id": "codecs", "from-tag": "a", "sdp": caller.sdp(),
    }));
    let sdp = callee.sdp().replace("RTP/AVP 0\r\n", "RTP/AVP 0 96\r\n")
        + "a=rtpmap:96 AMR-WB/16000\r\na=fmtp:96 octet-align=1\r\n";
    let answer = ng.must(&json!({
        "command": "answer", "call-id": "codecs", "from-tag": "a", "to-tag": "b", "sdp": sdp,
    }));
    let sdp = answer["sdp"].as_str().unwrap();
    assert!(!sdp.contains(":96") && !sdp.contains(" 96\r\n"), "{sdp}");
    assert!(sdp.contains("m=audio"), "{sdp}");
}

#[test]
fn query_shows_endpoints_and_counters() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(
        &ng,
        "query",
        &json!({ "metadata": "unit:7|shift:b", "label": "one" }),
    );
    call.talk(1, 11);
    let seen = ng.must(&json!({ "command": "query", "call-id": "query" }));
    assert_eq!(seen["metadata"], "unit:7|shift:b");
    let caller = &seen["tags"]["caller"];
    assert_eq!(caller["label"], "one");
    let stream = &caller["medias"][0]["streams"][0];
    assert_eq!(stream["endpoint"]["port"], call.caller.address().port());
    assert_eq!(stream["stats"]["packets"], 10, "{seen}");
    assert_eq!(stream["SSRC"], call.caller.ssrc);
    assert_eq!(seen["totals"]["RTP"]["packets"], 20);
}

#[test]
fn hold_with_a_zero_address() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "zero", &json!({}));
    let held = call
        .caller
        .sdp()
        .replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0");
    let offer = |flags: serde_json::Value| {
        let offered = ng.must(&json!({
            "command": "offer", "call-id": "zero", "from-tag": "caller", "to-tag": "callee",
            "sdp": held, "replace": flags,
        }));
        (
            media_of(&offered),
            offered["sdp"].as_str().unwrap().to_owned(),
        )
    };
    let (at, sdp) = offer(json!([]));
    assert!(
        at.ip().is_unspecified() && sdp.contains("a=sendonly"),
        "{sdp}"
    );
    let (at, _) = offer(json!(["zero address"]));
    assert!(!at.ip().is_unspecified());
}

#[test]
fn a_rejected_media_keeps_its_place() {
    let bench = Bench::start();
    let ng = bench.ng();
    let (caller, callee) = (Party::new(1), Party::new(2));
    let two = caller.sdp() + "m=video 4000 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n";
    ng.must(&json!({ "command": "offer", "call-id": "port0", "from-tag": "a", "sdp": two }));
    let answer = ng.must(&json!({
        "command": "answer", "call-id": "port0", "from-tag": "a", "to-tag": "b",
        "sdp": callee.sdp() + "m=video 0 RTP/AVP 97\r\n",
    }));
    assert!(
        answer["sdp"].as_str().unwrap().contains("m=video 0 "),
        "{answer}"
    );
}

#[test]
fn named_interfaces_and_unknown_ones() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "named", &json!({ "direction": ["core", "partner"] }));
    call.talk(1, 3);
    let call = Call::up(
        &ng,
        "unknown-name",
        &json!({ "direction": "internal,external" }),
    );
    call.talk(1, 3);
}

#[test]
fn metrics_tell_what_was_carried() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "measured", &json!({}));
    call.talk(1, 21);
    // The last packet may be at its destination before it is counted.
    let wanted = [
        "homeward_calls 1",
        "homeward_packets_received_total 40",
        "homeward_packets_forwarded_total 40",
        "homeward_packets_dropped_total{reason=\"stranger\"} 0",
        "homeward_requests_total{protocol=\"ng\",command=\"offer\",result=\"ok\"} 1",
        "homeward_latency_seconds_bucket{le=\"+Inf\"} 40",
        "homeward_latency_seconds_count 40",
    ];
    eventually("all of it is told", || {
        let text = bench.metrics();
        let told = |line: &&str| text.lines().any(|found| found == *line);
        wanted.iter().all(told).then_some(())
    });
}
