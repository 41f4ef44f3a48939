//! Late knowledge through the public doors: what is learned during a call, or after it, costs not
//! one packet of what was kept, and nothing is kept that nobody may have.

use std::ops::Range;

use serde_json::{Value, json};

use crate::harness::{Bench, Call, Ng, Party, Recorded, Setup, context, eventually, media_of};

fn said(party: &Party, numbers: Range<u16>) -> Vec<Vec<u8>> {
    numbers.map(|seq| party.packet(seq)).collect()
}

/// The one recording has these packets of both parties, each once, in order, and no others.
fn recorded(bench: &Bench, call: &Call, numbers: Range<u16>) {
    let recording = Recorded::read(&bench.recordings(1)[0]);
    for party in [&call.caller, &call.callee] {
        let stored = recording.rtp(party.ssrc);
        let number = |packet: &Vec<u8>| u16::from_be_bytes([packet[2], packet[3]]);
        let seen: Vec<u16> = stored.iter().map(number).collect();
        let wanted: Vec<u16> = numbers.clone().collect();
        assert_eq!(seen, wanted, "{:x}", party.ssrc);
        assert!(stored == said(party, numbers.clone()), "altered");
    }
    assert_eq!(bench.recordings_now(), 1);
}

fn put_context(bench: &Bench, call: &Call, calling: &str, called: &str) {
    let body = json!({
        "service": "mcptt",
        "calling_id": format!("sip:{calling}@partner.example"),
        "called_id": format!("sip:{called}@partner.example"),
    });
    let path = format!("/v1/calls/{}/context", call.id);
    let (status, answer) = bench.http("PUT", &path, &body.to_string());
    assert!(status < 300, "{status} {answer}");
}

fn explain(bench: &Bench, id: &str) -> Value {
    let (status, explained) = bench.http("GET", &format!("/v1/calls/{id}/explain"), "");
    assert_eq!(status, 200, "{explained}");
    explained
}

fn end_migration(bench: &Bench, record: &Value) {
    let path = format!("/v1/migrations/{}", record["id"]);
    let (status, ended) = bench.http("DELETE", &path, "");
    assert_eq!(status, 200, "{ended}");
}

/// Offer and answer once more, with these keys in the offer.
fn again(ng: &Ng, call: &Call, caller: &Party, keys: &Value) -> Value {
    let mut offer = json!({
        "command": "offer", "call-id": call.id, "from-tag": "caller", "to-tag": "callee",
        "sdp": caller.sdp(),
    });
    if let (Some(offer), Some(keys)) = (offer.as_object_mut(), keys.as_object()) {
        offer.extend(keys.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    ng.must(&offer);
    ng.must(&json!({
        "command": "answer", "call-id": call.id, "from-tag": "caller", "to-tag": "callee",
        "sdp": call.callee.sdp(),
    }))
}

#[test]
fn a_context_that_comes_late_brings_the_call_from_its_first_packet() {
    let bench = Bench::start();
    bench.migrate("alice");
    let call = Call::up(&bench.ng(), "late", &json!({}));
    call.talk(1, 201);
    eventually("all is kept", || {
        let before = explain(&bench, "late");
        let kept = |leg: usize| before["legs"][leg]["preroll"]["kept"] == 200;
        (kept(0) && kept(1)).then_some(())
    });
    put_context(&bench, &call, "alice", "bob");
    call.talk(201, 301);
    eventually("the pre-roll is sent", || {
        let after = explain(&bench, "late");
        let sent = |leg: usize| after["legs"][leg]["preroll"]["sent"] == 200;
        (sent(0) && sent(1)).then_some(())
    });
    let after = explain(&bench, "late");
    let media = after["legs"][0]["media"].as_str().unwrap();
    assert!(media.contains("200 sent after a late decision"), "{media}");
    call.talk(301, 321);
    call.down(&bench.ng());
    recorded(&bench, &call, 1..321);
}

#[test]
fn a_context_in_a_new_offer_does_too_and_the_end_may_follow_at_once() {
    let bench = Bench::start();
    bench.migrate("bob");
    let ng = bench.ng();
    let call = Call::up(&ng, "re-offer", &json!({}));
    call.talk(1, 101);
    again(&ng, &call, &call.caller, &context("alice", "bob"));
    call.down(&ng);
    recorded(&bench, &call, 1..101);
}

#[test]
fn a_context_without_a_match_keeps_nothing_for_a_later_record() {
    let bench = Bench::start();
    let call = Call::up(&bench.ng(), "no-match", &json!({}));
    call.talk(1, 51);
    put_context(&bench, &call, "alice", "bob");
    call.talk(51, 101);
    bench.migrate("alice");
    call.talk(101, 151);
    call.down(&bench.ng());
    recorded(&bench, &call, 101..151);
}

#[test]
fn a_late_context_for_which_no_logger_has_room_leaves_a_gap_that_shows() {
    let bench = Bench::with(Setup {
        archive_ports: 4,
        ..Setup::default()
    });
    bench.migrate("alice");
    let ng = bench.ng();
    let first = Call::up(&ng, "first", &context("alice", "bob"));
    first.talk(1, 3);
    let late = Call::up(&ng, "late", &json!({}));
    late.talk(1, 31);
    eventually("all is kept", || {
        (figure(&bench, "homeward_preroll_packets") == 60).then_some(())
    });
    put_context(&bench, &late, "alice", "bob");
    eventually("what was kept is given up", || {
        (figure(&bench, "homeward_preroll_packets_evicted_total") == 60).then_some(())
    });
    assert_eq!(figure(&bench, "homeward_preroll_packets"), 0);
    assert_eq!(figure(&bench, "homeward_preroll_packets_sent_total"), 0);
    let explained = explain(&bench, "late");
    for leg in [0, 1] {
        let preroll = &explained["legs"][leg]["preroll"];
        assert_eq!(
            preroll,
            &json!({ "kept": 0, "sent": 0, "evicted": 30 }),
            "{explained}"
        );
    }
    late.talk(31, 41);
    late.down(&ng);
    assert_eq!(figure(&bench, "homeward_preroll_packets_evicted_total"), 60);
}

fn figure(bench: &Bench, name: &str) -> u64 {
    let text = bench.metrics();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {text}"))
        .parse()
        .unwrap()
}

#[test]
fn a_call_that_ends_undecided_leaves_nothing_but_a_count() {
    let bench = Bench::start();
    let call = Call::up(&bench.ng(), "never", &json!({}));
    call.talk(1, 31);
    // A packet is kept a moment after the other side has it.
    eventually("all is kept", || {
        (figure(&bench, "homeward_preroll_packets") == 60).then_some(())
    });
    call.down(&bench.ng());
    bench.migrate("alice");
    let explained = explain(&bench, "never");
    for leg in [0, 1] {
        let preroll = &explained["legs"][leg]["preroll"];
        assert_eq!(
            (&preroll["kept"], &preroll["evicted"]),
            (&json!(0), &json!(30))
        );
    }
    let summary = explained["summary"].as_str().unwrap();
    assert!(summary.contains("undecided"), "{summary}");
    let path = "/v1/calls/never/context";
    let (status, _) = bench.http("PUT", path, "{\"service\":\"mcptt\"}");
    assert_eq!(status, 404);
    assert_eq!(bench.recordings_now(), 0);
}

#[test]
fn a_migration_begins_and_ends_in_mid_call() {
    let bench = Bench::start();
    let call = Call::up(&bench.ng(), "mid", &context("alice", "bob"));
    call.talk(1, 21);
    let record = bench.migrate("alice");
    call.talk(21, 61);
    end_migration(&bench, &record);
    call.talk(61, 81);
    recorded(&bench, &call, 21..61);
    call.down(&bench.ng());
}

#[test]
fn a_record_that_comes_after_the_call_is_no_harm() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "over", &context("alice", "bob"));
    call.talk(1, 11);
    call.down(&ng);
    bench.migrate("alice");
    let why = explain(&bench, "over")["legs"][0]["why"].clone();
    assert!(why.as_str().unwrap().contains("not mirrored"), "{why}");
    let next = Call::up(&ng, "next", &context("alice", "bob"));
    next.talk(1, 11);
    next.down(&ng);
    recorded(&bench, &next, 1..11);
}

#[test]
fn a_user_who_moves_to_another_port_is_recorded_without_a_gap() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "moves", &context("alice", "bob"));
    call.talk(1, 51);
    let moved = Party::new(call.caller.ssrc);
    let answer = again(&ng, &call, &moved, &json!({}));
    let at_caller = media_of(&answer);
    for seq in 51..101 {
        moved.send(at_caller, seq);
        assert_eq!(call.callee.receive().0, moved.packet(seq));
        call.callee.send(call.at_callee, seq);
        assert_eq!(moved.receive().0, call.callee.packet(seq));
    }
    call.down(&ng);
    recorded(&bench, &call, 1..101);
}

#[test]
fn contradicting_contexts_and_records_change_the_mirror_without_a_gap() {
    let bench = Bench::start();
    bench.migrate("alice");
    let second = bench.migrate("carol");
    let call = Call::up(&bench.ng(), "contrary", &json!({}));
    call.talk(1, 51);
    put_context(&bench, &call, "alice", "bob");
    call.talk(51, 101);
    put_context(&bench, &call, "carol", "bob");
    call.talk(101, 151);
    // Somebody else claims the ID of the migrated user: refused, with the name of the record.
    let claim = json!({
        "service": "mcptt",
        "primary_id": "sip:mallory@primary.example",
        "partner_id": "sip:carol@partner.example",
        "primary_system": "primary.example",
    });
    let (status, refused) = bench.http("POST", "/v1/migrations", &claim.to_string());
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains(&second["id"].to_string()));
    call.talk(151, 201);
    call.down(&bench.ng());
    recorded(&bench, &call, 1..201);
}

#[test]
fn a_transfer_to_a_migrated_user_brings_the_new_leg_home() {
    let bench = Bench::start();
    bench.migrate("carol");
    let ng = bench.ng();
    let call = Call::up(&ng, "transfer", &context("alice", "bob"));
    call.talk(1, 21);
    // The caller goes on with another party: a leg of its own, under its own ID.
    let carol = Party::new(0x3333_0001);
    let mut offer = json!({
        "command": "offer", "call-id": "transfer", "from-tag": "caller",
        "via-branch": "second", "sdp": call.caller.sdp(),
    });
    let keys = context("alice", "carol");
    if let (Some(offer), Some(keys)) = (offer.as_object_mut(), keys.as_object()) {
        offer.extend(keys.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    let at_carol = media_of(&ng.must(&offer));
    let answer = ng.must(&json!({
        "command": "answer", "call-id": "transfer", "from-tag": "caller", "to-tag": "carol",
        "via-branch": "second", "sdp": carol.sdp(),
    }));
    let at_caller = media_of(&answer);
    for seq in 21..41 {
        call.caller.send(at_caller, seq);
        assert_eq!(carol.receive().0, call.caller.packet(seq));
        carol.send(at_carol, seq);
        assert_eq!(call.caller.receive().0, carol.packet(seq));
    }
    call.down(&ng);
    let recording = Recorded::read(&bench.recordings(1)[0]);
    assert_eq!(recording.rtp(carol.ssrc), said(&carol, 21..41));
    assert_eq!(recording.rtp(call.caller.ssrc), said(&call.caller, 21..41));
    assert_eq!(
        recording.rtp(call.callee.ssrc).len(),
        0,
        "his leg is not hers"
    );
}
