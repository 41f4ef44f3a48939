//! Ports, calls and sockets are bounded, and what is given back is whole again.

use serde_json::{Value, json};

use crate::harness::{Bench, Call, Ng, Party, Setup, context, eventually};

fn offer(ng: &Ng, id: &str) -> Value {
    ng.ask(&json!({
        "command": "offer", "call-id": id, "from-tag": "caller", "sdp": Party::new(1).sdp(),
    }))
}

#[test]
fn ports_run_out_with_the_right_text_and_none_leaks() {
    // Eight pairs: four calls.
    let bench = Bench::with(Setup {
        ports: 16,
        ..Setup::default()
    });
    let ng = bench.ng();
    for round in 0..3 {
        for n in 0..4 {
            // The worker may still be closing the sockets of the round before.
            let made = || (offer(&ng, &format!("{round}-{n}"))["result"] == "ok").then_some(());
            eventually("the ports of ended calls are free", made);
        }
        for n in 0..300 {
            let refused = offer(&ng, &format!("{round}-over-{n}"));
            assert_eq!(refused["error-reason"], "Ran out of ports");
        }
        let listed = ng.must(&json!({ "command": "list", "limit": 100 }));
        assert_eq!(listed["calls"].as_array().unwrap().len(), 4);
        for n in 0..4 {
            let id = format!("{round}-{n}");
            ng.must(&json!({ "command": "delete", "call-id": id, "delete delay": 0 }));
        }
    }
    let call = Call::up(&ng, "after", &json!({}));
    call.talk(1, 3);
}

#[test]
fn the_limit_of_calls_is_told_as_the_client_understands_it() {
    let bench = Bench::with(Setup {
        max_calls: 1,
        ..Setup::default()
    });
    let ng = bench.ng();
    assert_eq!(offer(&ng, "one")["result"], "ok");
    let plain = offer(&ng, "two");
    assert_eq!(plain["result"], "error");
    assert_eq!(plain["error-reason"], "Parallel session limit reached");
    let told = ng.ask(&json!({
        "command": "offer", "call-id": "three", "from-tag": "caller",
        "sdp": Party::new(1).sdp(), "supports": ["load limit"],
    }));
    assert_eq!(told["result"], "load limit");
    assert_eq!(told["message"], "Parallel session limit reached");
    assert_eq!(
        offer(&ng, "one")["result"],
        "ok",
        "a known call goes through"
    );
}

#[test]
fn sockets_are_closed_with_their_call() {
    let bench = Bench::start();
    let ng = bench.ng();
    for round in 0..30 {
        let call = Call::up(&ng, &format!("round-{round}"), &json!({}));
        call.talk(1, 2);
        call.down(&ng);
    }
    eventually("all media sockets are closed", || {
        (bench.relay.open_streams() == 0).then_some(())
    });
}

#[test]
fn one_call_offered_again_and_again_stays_bounded() {
    let bench = Bench::with(Setup {
        ports: 40,
        ..Setup::default()
    });
    let ng = bench.ng();
    for port in 0..1_000 {
        let sdp = Party::new(1)
            .sdp()
            .replace("m=audio ", &format!("m=audio {}", 1 + port % 6));
        let answer = ng.ask(&json!({
            "command": "offer", "call-id": "same", "from-tag": "caller", "sdp": sdp,
        }));
        assert!(
            answer["result"] == "ok" || answer["error-reason"] == "Failed to parse SDP",
            "{answer}"
        );
    }
    assert!(bench.relay.open_streams() <= 40);
}

/// A relay whose archive has room for the media of one call, but not of two.
fn narrow(on_logger_loss: &'static str) -> Bench {
    let bench = Bench::with(Setup {
        archive_ports: 4,
        on_logger_loss,
        ..Setup::default()
    });
    bench.migrate("alice");
    bench
}

fn offer_of(ng: &Ng, id: &str, caller: &str) -> Value {
    let mut offer = context(caller, "bob");
    let keys = json!({
        "command": "offer", "call-id": id, "from-tag": "caller", "sdp": Party::new(1).sdp(),
    });
    for (key, value) in keys.as_object().unwrap() {
        offer[key] = value.clone();
    }
    ng.ask(&offer)
}

#[test]
fn a_call_that_no_logger_takes_is_refused_if_the_agreement_says_so() {
    let bench = narrow("refuse");
    let ng = bench.ng();
    let call = Call::up(&ng, "first", &context("alice", "bob"));
    for n in 0..20 {
        let refused = offer_of(&ng, &format!("over-{n}"), "alice");
        assert_eq!(refused["error-reason"], "Parallel session limit reached");
    }
    assert_eq!(offer_of(&ng, "other", "carol")["result"], "ok");
    call.talk(1, 6);
    call.down(&ng);
    let next = Call::up(&ng, "next", &context("alice", "bob"));
    next.talk(1, 6);
    next.down(&ng);
    assert_eq!(bench.recordings(2).len(), 2);
}

#[test]
fn a_single_port_pair_is_no_room_for_a_call() {
    let bench = Bench::with(Setup {
        archive_ports: 2,
        on_logger_loss: "refuse",
        ..Setup::default()
    });
    bench.migrate("alice");
    let ng = bench.ng();
    let refused = offer_of(&ng, "whole", "alice");
    assert_eq!(refused["error-reason"], "Parallel session limit reached");
    assert_eq!(bench.relay.open_streams(), 0);
}

#[test]
fn a_call_that_no_logger_takes_goes_on_and_explain_says_so() {
    let bench = narrow("continue");
    let ng = bench.ng();
    let first = Call::up(&ng, "first", &context("alice", "bob"));
    let second = Call::up(&ng, "second", &context("alice", "bob"));
    first.talk(1, 4);
    second.talk(1, 4);
    let check = || {
        let (_, explained) = bench.http("GET", "/v1/calls/second/explain", "");
        let mirror = &explained["mirrors"][0];
        assert_eq!(mirror["logger"], Value::Null, "{explained}");
        let note = mirror["note"].as_str().unwrap();
        assert!(note.ends_with("no logger took it: no room at hq"), "{note}");
        assert_eq!(explained["legs"][0]["packets"], 3, "{explained}");
        let summary = "not mirrored for primary.example: no logger took it";
        assert_eq!(explained["summary"], summary);
    };
    check();
    first.down(&ng);
    second.down(&ng);
    check();
    let (_, explained) = bench.http("GET", "/v1/calls/first/explain", "");
    assert_eq!(explained["mirrors"][0]["logger"], "hq", "{explained}");
    assert_eq!(explained["legs"][1]["packets"], 3, "{explained}");
}
