//! The media of migrated users goes home, all of it and nothing else.

use serde_json::json;

use crate::harness::{Bench, Call, Party, Recorded, context, eventually, media_of};

#[test]
fn a_migrated_callers_call_is_recorded_packet_by_packet() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "home/../1", &context("alice", "bob"));
    call.talk(1, 101);
    call.down(&ng);
    let recording = Recorded::read(&bench.recordings(1)[0]);
    let said = |party: &Party| (1..101).map(|seq| party.packet(seq)).collect::<Vec<_>>();
    assert_eq!(recording.rtp(call.caller.ssrc), said(&call.caller));
    assert_eq!(recording.rtp(call.callee.ssrc), said(&call.callee));
    assert!(
        recording
            .comments
            .join("\n")
            .contains("sip:alice@primary.example")
    );
}

#[test]
fn a_migrated_callee_is_recorded_too() {
    let bench = Bench::start();
    bench.migrate("bob");
    let ng = bench.ng();
    let call = Call::up(&ng, "callee", &context("alice", "bob"));
    call.talk(1, 11);
    call.down(&ng);
    let recording = Recorded::read(&bench.recordings(1)[0]);
    assert_eq!(recording.rtp(call.caller.ssrc).len(), 10);
    assert_eq!(recording.rtp(call.callee.ssrc).len(), 10);
}

#[test]
fn two_migrated_users_of_one_primary_are_stored_once() {
    let bench = Bench::start();
    bench.migrate("alice");
    bench.migrate("bob");
    let ng = bench.ng();
    let call = Call::up(&ng, "both", &context("alice", "bob"));
    call.talk(1, 11);
    call.down(&ng);
    let recordings = bench.recordings(1);
    assert_eq!(recordings.len(), 1);
    let recording = Recorded::read(&recordings[0]);
    assert_eq!(recording.rtp(call.caller.ssrc).len(), 10);
    assert_eq!(recording.rtp(call.callee.ssrc).len(), 10);
}

#[test]
fn nobody_elses_call_is_recorded_and_explain_says_why() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "private", &context("carol", "bob"));
    call.talk(1, 11);
    let (status, explained) = bench.http("GET", "/v1/calls/private/explain", "");
    assert_eq!(status, 200);
    assert!(
        explained.to_string().contains("not-migrated"),
        "{explained}"
    );
    call.down(&ng);
    let (status, explained) = bench.http("GET", "/v1/calls/private/explain", "");
    assert_eq!(
        status, 200,
        "an ended call can still be explained: {explained}"
    );
    // A recorded call after it shows that the logger had the time.
    let recorded = Call::up(&ng, "other", &context("alice", "bob"));
    recorded.talk(1, 3);
    recorded.down(&ng);
    assert_eq!(bench.recordings(1).len(), 1);
}

#[test]
fn explain_names_the_migration_and_the_logger() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "told", &context("alice", "bob"));
    call.talk(1, 3);
    let (_, explained) = bench.http("GET", "/v1/calls/told/explain", "");
    let text = explained.to_string();
    for word in [
        "sip:alice@primary.example",
        "primary.example",
        "hq",
        "duplicate",
    ] {
        assert!(text.contains(word), "{word} in {explained}");
    }
}

#[test]
fn a_strangers_packets_are_counted_and_neither_forwarded_nor_stored() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "stranger", &context("alice", "bob"));
    call.talk(1, 6);
    let stranger = Party::new(0xBAD);
    for seq in 0..10 {
        stranger.send(call.at_caller, seq);
    }
    assert!(call.callee.hears_nothing());
    eventually("the stranger is counted", || {
        let (_, explained) = bench.http("GET", "/v1/calls/stranger/explain", "");
        explained
            .to_string()
            .contains("stranger\",10")
            .then_some(())
            .or_else(|| {
                explained
                    .to_string()
                    .contains("\"stranger\":10")
                    .then_some(())
            })
    });
    call.talk(6, 11);
    call.down(&ng);
    let recording = Recorded::read(&bench.recordings(1)[0]);
    assert_eq!(recording.rtp(0xBAD).len(), 0);
    assert_eq!(recording.rtp(call.caller.ssrc).len(), 10);
}

#[test]
fn hold_and_resume_leave_no_gap() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "hold", &context("alice", "bob"));
    call.talk(1, 11);
    let exchange = |direction: &str, back: &str| {
        let offered = ng.must(&json!({
            "command": "offer", "call-id": "hold", "from-tag": "caller", "to-tag": "callee",
            "sdp": call.caller.sdp_with(&format!("a={direction}\r\n")),
        }));
        assert!(
            offered["sdp"]
                .as_str()
                .unwrap()
                .contains(&format!("a={direction}\r\n"))
        );
        assert_eq!(
            media_of(&offered),
            call.at_callee,
            "hold does not move ports"
        );
        ng.must(&json!({
            "command": "answer", "call-id": "hold", "from-tag": "caller", "to-tag": "callee",
            "sdp": call.callee.sdp_with(&format!("a={back}\r\n")),
        }));
    };
    exchange("sendonly", "recvonly");
    call.talk(11, 21);
    exchange("sendrecv", "sendrecv");
    call.talk(21, 31);
    call.down(&ng);
    let recording = Recorded::read(&bench.recordings(1)[0]);
    assert_eq!(recording.rtp(call.caller.ssrc).len(), 30);
    assert_eq!(recording.rtp(call.callee.ssrc).len(), 30);
}

#[test]
fn an_ended_migration_is_not_mirrored_any_more() {
    let bench = Bench::start();
    let record = bench.migrate("alice");
    let id = record["id"].to_string();
    let (status, listed) = bench.http("GET", "/v1/migrations", "");
    assert_eq!(status, 200);
    assert!(listed.to_string().contains("sip:alice@partner.example"));
    let (status, ended) = bench.http("DELETE", &format!("/v1/migrations/{id}"), "");
    assert_eq!(status, 200, "{ended}");
    let ng = bench.ng();
    let call = Call::up(&ng, "after", &context("alice", "bob"));
    call.talk(1, 3);
    let (_, explained) = bench.http("GET", "/v1/calls/after/explain", "");
    assert!(explained.to_string().contains("not-"), "{explained}");
    call.down(&ng);
    assert_eq!(bench.recordings_now(), 0);
}

#[test]
fn migrations_survive_a_restart() {
    let bench = Bench::start();
    bench.migrate("alice");
    let bench = bench.restart();
    let ng = bench.ng();
    let call = Call::up(&ng, "again", &context("alice", "bob"));
    call.talk(1, 3);
    call.down(&ng);
    assert_eq!(bench.recordings(1).len(), 1);
}
