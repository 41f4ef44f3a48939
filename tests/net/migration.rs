//! Records of migrations over HTTP: what is taken, what is refused, and what follows in calls that
//! are up; and what signalling may do with mirrors.

use serde_json::{Value, json};

use crate::harness::{Bench, Call, Ng, Recorded, Setup, agreement, context, eventually};

fn two_systems() -> Bench {
    Bench::with(Setup {
        agreements: agreement("primary.example", "") + &agreement("other.example", ""),
        ..Setup::default()
    })
}

fn record(members: &Value) -> String {
    let mut record = json!({
        "service": "mcptt",
        "primary_id": "sip:alice@primary.example",
        "partner_id": "sip:alice@partner.example",
        "primary_system": "primary.example",
    });
    let members = members.as_object().unwrap().clone();
    record.as_object_mut().unwrap().extend(members);
    record.to_string()
}

fn at_fault(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array();
    let fields = errors
        .into_iter()
        .flatten()
        .map(|error| error["field"].as_str().unwrap());
    fields.collect()
}

#[test]
fn hostile_records_are_refused_with_their_member_and_change_nothing() {
    let bench = two_systems();
    let long = "x".repeat(201);
    let post = [
        (json!({ "result": "failed" }), "reason"),
        (json!({ "result": "failed", "reason": "" }), "reason"),
        (json!({ "result": "failed", "reason": "  " }), "reason"),
        (json!({ "result": "failed", "reason": long }), "reason"),
        (
            json!({ "result": "failed", "reason": "two\r\nlines" }),
            "reason",
        ),
        (json!({ "result": "failed", "reason": 7 }), "reason"),
        (json!({ "result": "failed", "reason": null }), "reason"),
        (json!({ "reason": "why" }), "reason"),
        (json!({ "result": "authorised", "reason": "why" }), "reason"),
        (json!({ "result": "perhaps" }), "result"),
        (json!({ "result": true }), "result"),
        (json!({ "trigger": "moon" }), "trigger"),
        (json!({ "profile_index": -1 }), "profile_index"),
        (json!({ "until": "2001-01-01T00:00:00Z" }), "until"),
        (
            json!({ "since": 4_000_000_000_u64, "until": 3_900_000_000_u64 }),
            "until",
        ),
        (
            json!({ "primary_system": "partner.example" }),
            "primary_system",
        ),
        (
            json!({ "primary_id": "sip:alice@other.example" }),
            "primary_id",
        ),
        (
            json!({ "primary_id": "sip:alice@sub.other.example" }),
            "primary_id",
        ),
        (
            json!({ "partner_id": "sip:alice@other.example" }),
            "partner_id",
        ),
        (
            json!({ "partner_id": "sip:alice@primary.example" }),
            "partner_id",
        ),
        (json!({ "standing": { "state": "failed" } }), "standing"),
    ];
    for (members, field) in post {
        let (status, problem) = bench.http("POST", "/v1/migrations", &record(&members));
        assert_eq!(status, 422, "{members} got {problem}");
        assert_eq!(at_fault(&problem), [field], "{members} got {problem}");
    }
    let (_, listed) = bench.http("GET", "/v1/migrations?all=true", "");
    assert_eq!(listed["migrations"], json!([]));
    // The same by way of a change.
    let id = bench.migrate("alice")["id"].to_string();
    bench.migrate("bob");
    let path = format!("/v1/migrations/{id}");
    let (_, before) = bench.http("GET", &path, "");
    let patch = [
        (json!({ "result": "failed" }), 422, "reason"),
        (json!({ "result": "failed", "reason": long }), 422, "reason"),
        (json!({ "reason": "why" }), 422, "reason"),
        (json!({ "result": null }), 422, "result"),
        (
            json!({ "partner_id": "sip:alice@other.example" }),
            422,
            "partner_id",
        ),
        (
            json!({ "partner_id": "sip:bob@partner.example" }),
            409,
            "partner_id",
        ),
        (
            json!({ "functional_aliases": ["sip:bob@primary.example"] }),
            409,
            "functional_aliases",
        ),
        (
            json!({ "primary_id": "sip:eve@primary.example" }),
            422,
            "primary_id",
        ),
        (
            json!({ "primary_system": "other.example" }),
            422,
            "primary_system",
        ),
        (json!({ "trigger": "client" }), 422, "trigger"),
    ];
    for (members, expected, field) in patch {
        let (status, problem) = bench.http("PATCH", &path, &members.to_string());
        assert_eq!(status, expected, "{members} got {problem}");
        assert_eq!(at_fault(&problem), [field], "{members} got {problem}");
    }
    let (_, after) = bench.http("GET", &path, "");
    assert_eq!(before, after);
    // What has ended stays as it is.
    assert_eq!(bench.http("DELETE", &path, "").0, 200);
    for body in [
        r#"{"result": "failed", "reason": "late"}"#,
        r#"{"profile_index": 1}"#,
    ] {
        let (status, problem) = bench.http("PATCH", &path, body);
        assert_eq!(status, 409, "{problem}");
        assert_eq!(problem["type"], "urn:homeward:problem:migration-ended");
    }
    assert_eq!(bench.http("PATCH", "/v1/migrations/99", "{}").0, 404);
}

#[test]
fn what_contradicts_is_refused_or_counts_as_the_users_next_step() {
    let bench = two_systems();
    let aliases = json!({ "functional_aliases": ["sip:chief@partner.example"] });
    let first = bench.migrate_from("alice", "primary.example", &aliases);
    // Another user with her alias, or her ID in another role.
    for members in [
        json!({ "functional_aliases": ["sip:chief@partner.example"] }),
        json!({ "partner_id": "sip:chief@partner.example" }),
        json!({ "partner_id": "sip:alice@partner.example" }),
    ] {
        let mut other = members.clone();
        other["primary_id"] = json!("sip:zoe@other.example");
        other["primary_system"] = json!("other.example");
        if other.get("partner_id").is_none() {
            other["partner_id"] = json!("sip:zoe@partner.example");
        }
        let (status, problem) = bench.http("POST", "/v1/migrations", &record(&other));
        assert_eq!(status, 409, "{problem}");
        let number = format!("migration {}", first["id"]);
        assert!(
            problem["detail"].as_str().unwrap().contains(&number),
            "{problem}"
        );
    }
    // The very same once more is the same record.
    let again = bench.migrate_from("alice", "primary.example", &aliases);
    assert_eq!(again, first);
    // That it failed is news: it takes the place of the former record.
    let failed = json!({ "result": "failed", "reason": "no-interconnection" });
    let second = bench.migrate_from("alice", "primary.example", &failed);
    assert_ne!(second["id"], first["id"]);
    let (_, former) = bench.http("GET", &format!("/v1/migrations/{}", first["id"]), "");
    assert_eq!(former["until"], second["since"]);
    let repeated = bench.migrate_from("alice", "primary.example", &failed);
    assert_eq!(repeated["id"], second["id"]);
}

#[test]
fn a_record_begins_fails_and_ends_in_mid_call() {
    let bench = Bench::start();
    let ng = bench.ng();
    let call = Call::up(&ng, "mid", &context("alice", "bob"));
    call.talk(1, 6);
    let record = bench.migrate("alice");
    call.talk(6, 11);
    let path = format!("/v1/migrations/{}", record["id"]);
    let failed = r#"{"result": "failed", "reason": "revoked"}"#;
    assert_eq!(bench.http("PATCH", &path, failed).0, 200);
    // The call is not cut; it is not mirrored any more.
    call.talk(11, 16);
    let explained = bench.explain("mid");
    let leg = &explained["legs"][0];
    assert_eq!(leg["decision"]["outcome"]["reason"], "migration-failed");
    assert!(leg["why"].as_str().unwrap().contains("(revoked)"), "{leg}");
    assert_eq!(
        bench.http("PATCH", &path, r#"{"result": "authorised"}"#).0,
        200
    );
    call.talk(16, 21);
    assert_eq!(bench.http("DELETE", &path, "").0, 200);
    call.talk(21, 26);
    call.down(&ng);
    let mut stored: Vec<u16> = bench
        .recordings(2)
        .iter()
        .flat_map(|path| numbers(&Recorded::read(path), &call))
        .collect();
    stored.sort_unstable();
    let expected: Vec<u16> = (7..11).chain(17..21).collect();
    assert_eq!(stored, expected);
}

/// The packets of the caller in a recording, but for the first ones after a change: they may have
/// been on their way when it was made, so that either is right for them.
fn numbers(recording: &Recorded, call: &Call) -> Vec<u16> {
    let packets = recording.rtp(call.caller.ssrc);
    let numbers = packets.iter().map(|p| u16::from_be_bytes([p[2], p[3]]));
    numbers.filter(|number| number % 5 != 1).collect()
}

#[test]
fn planned_records_come_into_force_and_expire_by_themselves() {
    let bench = Bench::start();
    let ng = bench.ng();
    let now = seconds();
    let planned = json!({ "since": now + 3, "until": now + 6 });
    bench.migrate_from("alice", "primary.example", &planned);
    let call = Call::up(&ng, "planned", &context("alice", "bob"));
    let state = || {
        let explained = bench.explain("planned");
        let outcome = explained["legs"][0]["decision"]["outcome"].clone();
        outcome["reason"].as_str().unwrap_or("mirrored").to_owned()
    };
    assert_eq!(state(), "migration-not-in-force");
    eventually("it begins", || (state() == "mirrored").then_some(()));
    eventually("it ends", || {
        (state() == "migration-not-in-force").then_some(())
    });
    call.talk(1, 3);
    call.down(&ng);
}

#[expect(clippy::disallowed_methods, reason = "a test of real time")]
fn seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The recording verbs over NG.
fn verb(ng: &Ng, command: &str, call: &str) -> Value {
    ng.must(&json!({ "command": command, "call-id": call }))
}

#[test]
fn signalling_pauses_and_resumes_a_mirror() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "paused", &context("alice", "bob"));
    call.talk(1, 6);
    assert_eq!(verb(&ng, "pause recording", "paused").get("warning"), None);
    call.talk(6, 11);
    let explained = bench.explain("paused");
    assert_eq!(
        explained["recordings"][0]["switch"], "paused",
        "{explained:#}"
    );
    assert!(
        explained["summary"].as_str().unwrap().contains("paused"),
        "{explained:#}"
    );
    assert_eq!(verb(&ng, "start recording", "paused").get("warning"), None);
    call.talk(11, 16);
    // The flag turns a stop into a pause: the recording stays one.
    ng.must(&json!({ "command": "stop recording", "call-id": "paused", "flags": ["pause"] }));
    call.talk(16, 21);
    let resume = r#"{"action": "resume", "primary": "primary.example"}"#;
    let (status, state) = bench.http("POST", "/v1/calls/paused/recording", resume);
    assert_eq!((status, &state["warning"]), (200, &Value::Null), "{state}");
    assert_eq!(state["recordings"][0]["switch"], "on");
    call.talk(21, 26);
    call.down(&ng);
    let recordings = bench.recordings(1);
    assert_eq!(recordings.len(), 1);
    let stored = numbers(&Recorded::read(&recordings[0]), &call);
    let expected: Vec<u16> = (2..6).chain(12..16).chain(22..26).collect();
    assert_eq!(stored, expected);
}

#[test]
fn a_stopped_mirror_ends_and_a_started_one_is_another() {
    let bench = Bench::start();
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "stopped", &context("alice", "bob"));
    call.talk(1, 6);
    verb(&ng, "stop recording", "stopped");
    verb(&ng, "stop recording", "stopped");
    assert_eq!(bench.recordings(1).len(), 1);
    call.talk(6, 11);
    verb(&ng, "start recording", "stopped");
    call.talk(11, 16);
    call.down(&ng);
    let recordings = bench.recordings(2);
    let mut stored: Vec<u16> = recordings
        .iter()
        .flat_map(|path| numbers(&Recorded::read(path), &call))
        .collect();
    stored.sort_unstable();
    let expected: Vec<u16> = (2..6).chain(12..16).collect();
    assert_eq!(stored, expected);
}

#[test]
fn what_is_mandatory_is_not_stopped_and_what_is_not_agreed_is_not_started() {
    let bench = Bench::with(Setup {
        agreements: agreement("primary.example", "mandatory = true"),
        ..Setup::default()
    });
    bench.migrate("alice");
    let ng = bench.ng();
    let call = Call::up(&ng, "must", &context("alice", "bob"));
    for command in ["pause recording", "stop recording"] {
        let answer = verb(&ng, command, "must");
        assert!(
            answer["warning"].as_str().unwrap().contains("mandatory"),
            "{answer}"
        );
    }
    let (status, state) = bench.http("POST", "/v1/calls/must/recording", r#"{"action": "stop"}"#);
    assert_eq!(
        (status, &state["recordings"][0]["mandatory"]),
        (200, &json!(true)),
        "{state}"
    );
    call.talk(1, 11);
    call.down(&ng);
    assert_eq!(
        Recorded::read(&bench.recordings(1)[0])
            .rtp(call.caller.ssrc)
            .len(),
        10
    );
    let metrics = bench.metrics();
    assert!(
        metrics.contains("homeward_recordings_not_obeyed_total 3"),
        "{metrics}"
    );
    let other = Call::up(&ng, "other", &context("carl", "bob"));
    let answer = verb(&ng, "start recording", "other");
    assert!(
        answer["warning"].as_str().unwrap().contains("no agreement"),
        "{answer}"
    );
    other.talk(1, 6);
    other.down(&ng);
    assert_eq!(bench.recordings_now(), 1);
    // Bad requests.
    let answer = ng.ask(&json!({ "command": "stop recording", "call-id": "nothing" }));
    assert_eq!(answer["error-reason"], "Unknown call-id");
    let answer = ng.ask(&json!({ "command": "stop recording" }));
    assert_eq!(answer["error-reason"], "No call-id in message");
    let path = "/v1/calls/must/recording";
    for (body, field) in [
        ("{}", "action"),
        (r#"{"action": "erase"}"#, "action"),
        (r#"{"action": null}"#, "action"),
        (r#"{"action": "stop", "primary": 7}"#, "primary"),
        (r#"{"action": "stop", "all": true}"#, "all"),
    ] {
        let (status, problem) = bench.http("POST", path, body);
        assert_eq!(
            (status, at_fault(&problem)),
            (422, vec![field]),
            "{body} got {problem}"
        );
    }
    let nothing = bench.http(
        "POST",
        "/v1/calls/nothing/recording",
        r#"{"action": "stop"}"#,
    );
    assert_eq!(nothing.0, 404);
}
