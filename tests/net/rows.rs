//! What TS 23.280 5.2.9.1 says, sentence by sentence, through the public doors: a relay on real
//! sockets, signalling over NG, migrations over HTTP, media from real parties, recordings read
//! back. A test is named after the row of the requirement that it is about.

mod home;

use serde_json::{Value, json};

use crate::harness::{Bench, Call, Party, Recorded, Setup, agreement, context};

fn said(party: &Party, count: u16) -> Vec<Vec<u8>> {
    (1..=count).map(|seq| party.packet(seq)).collect()
}

fn why(bench: &Bench, call: &str, leg: usize) -> String {
    bench.explain(call)["legs"][leg]["decision"]["outcome"]["reason"]
        .as_str()
        .unwrap_or("mirrored")
        .to_owned()
}

/// Migration: the user gets the service from the partner. The relay serves it under the ID that
/// the partner issued, like any user of its own, whichever end of the call it is.
#[test]
fn row_1_the_user_is_served_by_the_partner() {
    let bench = Bench::start();
    let record = bench.migrate_from(
        "alice",
        "primary.example",
        &json!({ "partner_id": "sip:guest-7@partner.example" }),
    );
    assert_eq!(record["result"], "authorised");
    let ng = bench.ng();
    for (id, calling, called) in [("by", "guest-7", "bob"), ("to", "bob", "guest-7")] {
        let call = Call::up(&ng, id, &context(calling, called));
        call.talk(1, 21);
        call.down(&ng);
    }
    let recordings = bench.recordings(2);
    for recording in recordings.iter().map(|path| Recorded::read(path)) {
        let comments = recording.comments.join("\n");
        for name in ["sip:alice@primary.example", "sip:guest-7@partner.example"] {
            assert!(comments.contains(name), "{name} in {comments}");
        }
    }
}

/// Migration may be one way or two way.
#[test]
fn row_3_agreements_have_a_direction() {
    let directions = [
        ("both.example", "bilateral", "mirrored"),
        ("in.example", "unilateral-in", "mirrored"),
        ("out.example", "unilateral-out", "agreement-one-way"),
    ];
    let tables = directions.map(|(name, kind, _)| agreement(name, &format!("kind = \"{kind}\"")));
    let bench = Bench::with(Setup {
        agreements: tables.concat(),
        ..Setup::default()
    });
    let ng = bench.ng();
    for (number, (system, _, expected)) in directions.into_iter().enumerate() {
        let (user, id) = (format!("user{number}"), format!("row3-{number}"));
        bench.migrate_from(&user, system, &json!({}));
        let call = Call::up(&ng, &id, &context(&user, "bob"));
        call.talk(1, 6);
        assert_eq!(why(&bench, &id, 0), expected, "{system}");
        call.down(&ng);
    }
    // A system that nothing was agreed with.
    bench.migrate_from("zoe", "stranger.example", &json!({}));
    let call = Call::up(&ng, "row3-none", &context("zoe", "bob"));
    call.talk(1, 6);
    assert_eq!(why(&bench, "row3-none", 0), "no-agreement");
    call.down(&ng);
    assert_eq!(bench.recordings(2).len(), 2);
}

/// The primary system or the client can trigger it.
#[test]
fn row_4_client_or_primary_system_triggers() {
    let bench = Bench::start();
    let ng = bench.ng();
    for (user, trigger, profile) in [("alice", "client", 0), ("carl", "primary-system", 3)] {
        let members = json!({ "trigger": trigger, "profile_index": profile });
        let record = bench.migrate_from(user, "primary.example", &members);
        let path = format!("/v1/migrations/{}", record["id"]);
        let (_, shown) = bench.http("GET", &path, "");
        assert_eq!(shown["trigger"], trigger);
        assert_eq!(shown["profile_index"], profile);
        let call = Call::up(&ng, &format!("row4-{user}"), &context(user, "bob"));
        call.talk(1, 6);
        call.down(&ng);
    }
    assert_eq!(bench.recordings(2).len(), 2);
    // Both survive a restart.
    let bench = bench.restart();
    let (_, listed) = bench.http("GET", "/v1/migrations", "");
    let triggers: Vec<&Value> = listed["migrations"].as_array().unwrap().iter().collect();
    assert_eq!(triggers[0]["trigger"], "client");
    assert_eq!(triggers[1]["trigger"], "primary-system");
}

/// If migration fails, whether the partner still serves the user is a business matter.
#[test]
fn row_6_a_failed_migration_is_served_or_rejected() {
    let serve = agreement("serve.example", "on_failed_migration = \"serve\"");
    let reject = agreement("reject.example", "on_failed_migration = \"reject\"");
    let bench = Bench::with(Setup {
        agreements: serve + &reject,
        ..Setup::default()
    });
    let failed = json!({ "result": "failed", "reason": "partner-not-in-profile" });
    bench.migrate_from("alice", "serve.example", &failed);
    let record = bench.migrate_from("zoe", "reject.example", &failed);
    let ng = bench.ng();
    let call = Call::up(&ng, "served", &context("alice", "bob"));
    call.talk(1, 11);
    let explained = bench.explain("served").to_string();
    assert!(explained.contains("is served all the same"), "{explained}");
    call.down(&ng);
    let recording = Recorded::read(&bench.recordings(1)[0]);
    assert_eq!(recording.rtp(call.caller.ssrc), said(&call.caller, 10));
    let comments = recording.comments.join("\n");
    assert!(comments.contains("partner-not-in-profile"), "{comments}");
    // The other one is refused as caller and as called party; the proxy is told why.
    let caller = Party::new(1);
    for (calling, called) in [("zoe", "bob"), ("bob", "zoe")] {
        let mut offer = context(calling, called);
        let members = json!({
            "command": "offer", "call-id": "rejected", "from-tag": "a", "sdp": caller.sdp(),
        });
        offer
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        let answer = ng.ask(&offer);
        assert_eq!(answer["result"], "error");
        assert_eq!(
            answer["error-reason"],
            "Migration failed: partner-not-in-profile"
        );
    }
    let (status, _) = bench.http("GET", "/v1/calls/rejected", "");
    assert_eq!(status, 404);
    let metrics = bench.metrics();
    assert!(
        metrics.contains("homeward_offers_migration_failed_total 2"),
        "{metrics}"
    );
    // It comes about after all, and survives a restart as what it is now.
    let path = format!("/v1/migrations/{}", record["id"]);
    let (status, record) = bench.http("PATCH", &path, r#"{"result": "authorised"}"#);
    assert_eq!(
        (status, &record["result"]),
        (200, &json!("authorised")),
        "{record}"
    );
    let bench = bench.restart();
    let (_, listed) = bench.http("GET", "/v1/migrations", "");
    assert_eq!(listed["migrations"][0]["result"], "failed");
    assert_eq!(listed["migrations"][0]["reason"], "partner-not-in-profile");
    assert_eq!(listed["migrations"][1]["result"], "authorised");
    let ng = bench.ng();
    let call = Call::up(&ng, "after", &context("zoe", "bob"));
    call.talk(1, 6);
    call.down(&ng);
    assert_eq!(bench.recordings(2).len(), 2);
}

/// A functional alias defined in the partner system can be the target of a private communication.
#[test]
fn row_7_a_functional_alias_is_the_target_of_a_private_call() {
    let bench = Bench::start();
    let aliases = json!({ "functional_aliases": ["sip:commander@partner.example"] });
    bench.migrate_from("alice", "primary.example", &aliases);
    let ng = bench.ng();
    let by_id = context("bob", "commander");
    let mut by_key = context("bob", "unknown");
    by_key["mc-called-functional-alias"] = json!("sip:commander@partner.example");
    by_key.as_object_mut().unwrap().remove("mc-called-id");
    for (id, keys) in [("alias-as-id", by_id), ("alias-by-key", by_key)] {
        let call = Call::up(&ng, id, &keys);
        call.talk(1, 11);
        assert_eq!(why(&bench, id, 1), "mirrored");
        assert_eq!(why(&bench, id, 0), "not-migrated");
        call.down(&ng);
        let end = bench.explain(id);
        assert_eq!(
            end["legs"][1]["decision"]["looked_up"],
            "sip:commander@partner.example"
        );
    }
    for path in bench.recordings(2) {
        let recording = Recorded::read(&path);
        let comments = recording.comments.join("\n");
        assert!(
            comments.contains("sip:commander@partner.example"),
            "{comments}"
        );
        assert!(comments.contains("sip:alice@primary.example"), "{comments}");
        assert_eq!(recording.rtp(0x2222_0001).len(), 10);
    }
}

/// While migrated, media of the user's calls may have to be routed to the primary system, for
/// example for logging: all of it, byte for byte, and only while migrated.
#[test]
fn row_8_media_of_a_migrated_user_is_routed_to_the_primary() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "before", &context("alice", "bob"));
    call.talk(1, 11);
    call.down(&ng);
    let record = bench.migrate("alice");
    let call = Call::up(&ng, "while", &context("alice", "bob"));
    call.talk(1, 51);
    call.down(&ng);
    let recording = Recorded::read(&bench.recordings(1)[0]);
    for party in [&call.caller, &call.callee] {
        assert_eq!(recording.rtp(party.ssrc), said(party, 50));
    }
    let (status, _) = bench.http("DELETE", &format!("/v1/migrations/{}", record["id"]), "");
    assert_eq!(status, 200);
    let call = Call::up(&ng, "after", &context("alice", "bob"));
    call.talk(1, 11);
    assert_eq!(why(&bench, "after", 0), "migration-not-in-force");
    call.down(&ng);
    assert_eq!(bench.recordings_now(), 1);
}
