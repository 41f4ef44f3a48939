//! Draining under calls of a real NG client: no new ones, and peace for those that are up.

use serde_json::{Value, json};

use crate::harness::{Bench, Call, Party, Setup, context, eventually, http, media_of};

#[test]
fn new_calls_go_elsewhere_and_those_that_are_up_go_on() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "up", &context("alice", "bob"));
    let early = Party::new(0x77);
    let offered = json!({
        "command": "offer", "call-id": "early", "from-tag": "caller", "sdp": early.sdp(),
    });
    ng.must(&offered);
    call.talk(0, 10);

    let (status, state) = bench.http("POST", "/v1/drain", "");
    assert_eq!((status, &state["draining"]), (200, &json!(true)));
    assert_eq!(state["calls"], 2);
    let since = state["since"].clone();
    assert!(since.is_string(), "{state}");
    assert_eq!(ready(&bench), 503);
    assert!(bench.metrics().contains("homeward_draining 1"));

    // The text that all proxies take as "try the next node".
    let mut refused = offered;
    refused["call-id"] = json!("new");
    let answer = ng.ask(&refused);
    assert_eq!(answer["result"], "error", "{answer}");
    assert_eq!(answer["error-reason"], "Parallel session limit reached");
    // Not answering would take the node out for the calls that are up as well.
    assert_eq!(ng.ask(&json!({ "command": "ping" }))["result"], "pong");

    // An early call is answered, an answered one is held and resumed.
    let callee = Party::new(0x88);
    ng.must(&json!({
        "command": "answer", "call-id": "early", "from-tag": "caller", "to-tag": "callee",
        "sdp": callee.sdp(),
    }));
    let again = ng.must(&json!({
        "command": "offer", "call-id": "up", "from-tag": "caller", "to-tag": "callee",
        "sdp": call.caller.sdp(),
    }));
    assert_eq!(media_of(&again), call.at_callee);
    ng.must(&json!({
        "command": "answer", "call-id": "up", "from-tag": "caller", "to-tag": "callee",
        "sdp": call.callee.sdp(),
    }));
    call.talk(10, 30);

    // Asked for again, it drains since the same moment; undone, calls are taken.
    let (_, again) = bench.http("POST", "/v1/drain", "{}");
    assert_eq!(again["since"], since);
    let (_, undone) = bench.http("DELETE", "/v1/drain", "");
    assert_eq!(
        (&undone["draining"], &undone["since"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(ready(&bench), 200);
    assert!(bench.metrics().contains("homeward_draining 0"));
    ng.must(&refused);
    call.talk(30, 40);
}

#[test]
fn the_relay_ends_with_the_last_call_if_it_was_asked_to() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let calls = ["one", "two"].map(|id| Call::up(&ng, id, &context("alice", "bob")));
    let wish = r#"{"exit_when_empty": true}"#;
    let (_, state) = bench.http("POST", "/v1/drain", wish);
    assert_eq!(
        (&state["exit_when_empty"], &state["calls"]),
        (&json!(true), &json!(2))
    );
    calls[0].talk(0, 5);
    calls[0].down(&ng);
    let (_, state) = bench.http("GET", "/v1/drain", "");
    assert_eq!(
        (&state["draining"], &state["calls"]),
        (&json!(true), &json!(1))
    );
    calls[1].talk(0, 5);
    // The answer to the last delete comes, and then nobody is there.
    calls[1].down(&ng);
    let ended = bench.relay.ended();
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    waiting.unwrap().block_on(async {
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, ended)
            .await
            .expect("the relay ends");
    });
    assert_eq!(
        bench.recordings_now(),
        2,
        "recordings are closed before the end"
    );
    bench.relay.stop().unwrap();
}

#[test]
fn without_a_call_it_ends_at_once_and_says_so_before() {
    let bench = Bench::start();
    let wish = r#"{"exit_when_empty": true}"#;
    let (status, state) = bench.http("POST", "/v1/drain", wish);
    assert_eq!((status, &state["calls"]), (200, &json!(0)));
    let ng = bench.relay.http()[0];
    eventually("nobody listens", || {
        std::net::TcpStream::connect(ng).is_err().then_some(())
    });
    bench.relay.stop().unwrap();
}

#[test]
fn hostile_wishes_are_named_and_change_nothing() {
    let bench = Bench::start();
    for (body, status) in [
        ("nonsense", 400),
        ("[]", 400),
        (r#"{"exit_when_empty": "yes"}"#, 422),
        (r#"{"exit_when_empty": true, "now": true}"#, 422),
        (r#"{"exit_when_empty": {"$gt": ""}}"#, 422),
    ] {
        let (got, problem) = bench.http("POST", "/v1/drain", body);
        assert_eq!(got, status, "{body}: {problem}");
    }
    let deep = "[".repeat(60_000);
    assert_eq!(bench.http("POST", "/v1/drain", &deep).0, 400);
    let (_, state) = bench.http("GET", "/v1/drain", "");
    assert_eq!(state["draining"], false, "{state}");
    for query in [
        "limit=x",
        "after=-1",
        "limit=501",
        "after=1&after=2",
        "all=true",
    ] {
        let (got, problem) = bench.http("GET", &format!("/v1/calls?{query}"), "");
        assert_eq!(got, 422, "{query}: {problem}");
    }
    let far = format!("/v1/calls?after={}", u64::MAX);
    let (got, page) = bench.http("GET", &far, "");
    assert_eq!((got, &page["calls"]), (200, &json!([])));
    // Nothing to read again: it was started from no file.
    let (got, problem) = bench.http("POST", "/v1/reload", "");
    assert_eq!(got, 409, "{problem}");
}

#[test]
fn every_call_is_on_exactly_one_page() {
    let bench = Bench::with(Setup {
        ports: 100,
        ..Setup::default()
    });
    let ng = bench.ng();
    let party = Party::new(1);
    for number in 0..23 {
        ng.must(&json!({
            "command": "offer", "call-id": format!("c{number}"), "from-tag": "a",
            "sdp": party.sdp(),
        }));
    }
    // Gaps in the order are passed over.
    for number in [0, 7, 8, 22] {
        let id = format!("c{number}");
        ng.must(&json!({ "command": "delete", "call-id": id, "delete delay": 0 }));
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = bench.http("GET", &format!("/v1/calls?limit=5{after}"), "");
        assert_eq!(status, 200, "{page}");
        let calls = page["calls"].as_array().unwrap();
        assert!(calls.len() <= 5 && !calls.is_empty());
        seen.extend(
            calls
                .iter()
                .map(|call| call["call_id"].as_str().unwrap().to_owned()),
        );
        assert!(
            calls
                .iter()
                .all(|call| call["state"] == "early" && call["legs"] == 2)
        );
        match page["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 19, "{seen:?}");
}

fn ready(bench: &Bench) -> u16 {
    http(bench.relay.http()[0], "GET", "/readyz", "").0
}
