//! Ports, calls and sockets are bounded, and what is given back is whole again.

use serde_json::{Value, json};

use crate::harness::{Bench, Call, Ng, Party, Setup, eventually};

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
        let made = (0..4).filter(|n| offer(&ng, &format!("{round}-{n}"))["result"] == "ok");
        assert_eq!(made.count(), 4, "round {round}");
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
