//! Group sessions with migrated users of two primaries: each gets what its own user says and
//! hears, and nothing of the others.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Bench, Ng, Party, Recorded, Setup, agreement, media_of};

const MEMBERS: [&str; 5] = ["bob", "ann", "carl", "zoe", "dave"];
const PACKETS: u16 = 10;

/// The leg of one member: the focus has sockets of its own for each.
struct Leg {
    focus: Party,
    member: Party,
    /// Where the focus sends.
    at_focus: SocketAddr,
    /// Where the member sends.
    at_member: SocketAddr,
}

fn bench() -> Bench {
    let bench = Bench::with(Setup {
        agreements: agreement("one.example", "") + &agreement("two.example", ""),
        ..Setup::default()
    });
    bench.migrate_from("ann", "one.example", &json!({}));
    bench.migrate_from("zoe", "two.example", &json!({}));
    bench
}

fn invite(ng: &Ng, call: &str, tag: &str, number: u32) -> Leg {
    let name = MEMBERS[number as usize];
    let focus = Party::new(0xF000_0000 + number);
    let member = Party::new(0xA000_0000 + number);
    let message = |command: &str, sdp: String| {
        json!({
            "command": command, "call-id": call, "from-tag": tag, "sdp": sdp,
            "via-branch": format!("branch-{name}"), "replace": ["origin"],
        })
    };
    let mut offer = message("offer", focus.sdp());
    offer.as_object_mut().unwrap().extend(context(name));
    let at_member = media_of(&ng.must(&offer));
    let mut answer = message("answer", member.sdp());
    answer["to-tag"] = json!(name);
    let at_focus = media_of(&ng.must(&answer));
    Leg {
        focus,
        member,
        at_focus,
        at_member,
    }
}

fn context(member: &str) -> serde_json::Map<String, Value> {
    let context = json!({
        "mc-service": "mcptt",
        "mc-session-type": "prearranged",
        "mc-group-id": "sip:fire@partner.example",
        "mc-calling-id": "sip:focus@partner.example",
        "mc-called-id": format!("sip:{member}@partner.example"),
    });
    context.as_object().unwrap().clone()
}

/// Every member talks, and the focus talks to every member; all of it arrives where it belongs.
fn talk(legs: &[Leg]) {
    for seq in 1..=PACKETS {
        for leg in legs {
            leg.member.send(leg.at_member, seq);
            assert_eq!(leg.focus.receive().0, leg.member.packet(seq));
            leg.focus.send(leg.at_focus, seq);
            assert_eq!(leg.member.receive().0, leg.focus.packet(seq));
        }
    }
}

/// Both recordings together, each with its own user alone.
fn check(recordings: &[PathBuf]) {
    assert_eq!(recordings.len(), 2);
    let mut homes = Vec::new();
    for path in recordings {
        let recording = Recorded::read(path);
        let comments = recording.comments.join("\n");
        let (number, home) = match comments.contains("sip:ann@one.example") {
            true => (1, "one.example"),
            false => (3, "two.example"),
        };
        assert!(comments.contains(home), "{comments}");
        assert!(comments.contains("sip:fire@partner.example"), "{comments}");
        homes.push(home);
        for other in 0..5 {
            let expected = if other == number {
                usize::from(PACKETS)
            } else {
                0
            };
            for side in [0xF000_0000, 0xA000_0000] {
                let found = recording.rtp(side + other).len();
                assert_eq!(found, expected, "{home}: leg {other}, {side:x}");
            }
        }
    }
    homes.sort_unstable();
    assert_eq!(homes, ["one.example", "two.example"]);
}

#[test]
fn five_legs_of_one_call_with_two_migrated_users() {
    let bench = bench();
    let ng = bench.ng();
    let legs: Vec<Leg> = (0..5)
        .map(|n| invite(&ng, "conference", "focus", n))
        .collect();
    talk(&legs);
    let explained = bench.explain("conference");
    let mirrors = explained["mirrors"].as_array().unwrap();
    assert_eq!(mirrors.len(), 2, "{explained:#}");
    ng.must(&json!({ "command": "delete", "call-id": "conference", "delete delay": 0 }));
    check(&bench.recordings(2));
}

#[test]
fn five_calls_of_one_group_with_two_migrated_users() {
    let bench = bench();
    let ng = bench.ng();
    let name = |n: u32| format!("dialogue-{n}");
    let legs: Vec<Leg> = (0..5)
        .map(|n| invite(&ng, &name(n), &format!("focus-{n}"), n))
        .collect();
    talk(&legs);
    for n in 0..5 {
        ng.must(&json!({ "command": "delete", "call-id": name(n), "delete delay": 0 }));
    }
    check(&bench.recordings(2));
}

#[test]
fn five_dialogues_of_one_call_with_a_tag_for_each() {
    let bench = bench();
    let ng = bench.ng();
    let legs: Vec<Leg> = (0..5)
        .map(|n| invite(&ng, "session", &format!("focus-{n}"), n))
        .collect();
    talk(&legs);
    ng.must(&json!({ "command": "delete", "call-id": "session", "delete delay": 0 }));
    check(&bench.recordings(2));
}

#[test]
fn users_of_two_primaries_in_one_call_are_mirrored_to_both() {
    let bench = bench();
    let ng = bench.ng();
    let keys = crate::harness::context("ann", "zoe");
    let call = crate::harness::Call::up(&ng, "both", &keys);
    call.talk(1, 11);
    call.down(&ng);
    for path in bench.recordings(2) {
        let recording = Recorded::read(&path);
        assert_eq!(recording.rtp(call.caller.ssrc).len(), 10);
        assert_eq!(recording.rtp(call.callee.ssrc).len(), 10);
        // Neither home learns what the other's user is called at home.
        let comments = recording.comments.join("\n");
        let known = ["sip:ann@one.example", "sip:zoe@two.example"];
        assert_eq!(known.iter().filter(|id| comments.contains(*id)).count(), 1);
    }
}
