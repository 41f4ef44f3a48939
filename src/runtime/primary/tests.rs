use super::*;
use crate::migration::record::Trigger;

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        body: body.as_bytes().to_vec(),
    }
}

#[test]
fn answers_of_a_primary_and_of_others_are_told_apart() {
    let good = |status, body| verdict(&answer(status, body)).unwrap();
    assert_eq!(good(201, r#"{"state":"migrated"}"#), Verdict::Accepted);
    assert_eq!(good(200, r#"{"state":"ended"}"#), Verdict::Accepted);
    assert_eq!(
        good(403, r#"{"reason":"no-agreement"}"#),
        Verdict::Refused("no-agreement".into())
    );
    assert_eq!(good(409, r#"{"last":7}"#), Verdict::Stale(7));
    let why = "it answers 422 Unprocessable Entity: no record";
    assert_eq!(
        good(422, r#"{"detail":"no record"}"#),
        Verdict::NotUnderstood(why.into())
    );
    for (status, body) in [
        (200, ""),
        (204, ""),
        (200, "<html>"),
        (200, "{}"),
        (401, "{}"),
        (403, "{}"),
        (403, r#"{"reason":""}"#),
        (403, r#"{"reason":7}"#),
        (404, r#"{"reason":"x"}"#),
        (409, "{}"),
        (500, ""),
        (503, "{}"),
        (302, ""),
    ] {
        assert!(verdict(&answer(status, body)).is_err(), "{status} {body}");
    }
    // A hostile primary cannot make the reason anything but one short line.
    let long = format!(r#"{{"reason":"a\nb{}"}}"#, "x".repeat(10_000));
    let Verdict::Refused(reason) = good(403, &long) else {
        panic!("refused");
    };
    assert!(reason.len() == MAX_REASON && reason.starts_with("abx"));
}

#[test]
fn a_migration_that_failed_is_not_told_but_ended() {
    let now = Timestamp::from_secs(100);
    let record = Record {
        id: RecordId(1),
        service: crate::migration::identity::Service::Mcptt,
        primary_id: "a@p.example".parse().unwrap(),
        partner_id: "a@q.example".parse().unwrap(),
        primary_system: "p.example".parse().unwrap(),
        functional_aliases: Vec::new(),
        trigger: Trigger::Client,
        profile_index: None,
        standing: Standing::Authorised,
        since: Timestamp::from_secs(10),
        until: None,
    };
    let own: SystemName = "q.example".parse().unwrap();
    let of = |record: &Record, last: Option<&Told>| telling(record, last, own.clone(), 5, now);
    assert_eq!(of(&record, None).unwrap().until, None);
    let failed = Record {
        standing: Standing::Failed {
            reason: "unknown".into(),
        },
        ..record
    };
    assert_eq!(of(&failed, None), None);
    assert_eq!(of(&failed, Some(&Told::Refused("x".into()))), None);
    let ended = of(&failed, Some(&Told::Accepted)).unwrap();
    assert_eq!(ended.until, Some(now));
}
