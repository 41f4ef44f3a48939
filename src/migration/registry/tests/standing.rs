//! Migrations that failed, what a change touches, and what it may not claim.

use super::*;

#[test]
fn a_failed_migration_needs_a_reason_that_fits_a_line() {
    let mut registry = Registry::default();
    let failed = |reason: &str| Standing::Failed {
        reason: reason.into(),
    };
    let attempt = |standing| NewRecord {
        standing,
        ..new("alice", "a1", &[])
    };
    for bad in ["", " ", "two\nlines", &"x".repeat(201)] {
        let error = registry
            .prepare_add(attempt(failed(bad)), at(0))
            .unwrap_err();
        assert_eq!(error.field(), Some("reason"), "{bad:?}");
    }
    let first = registry.add(attempt(failed(" no ")), at(0)).unwrap();
    assert_eq!(first.standing.failure(), Some("no"));
    let repeated = registry.add(attempt(failed("no")), at(1)).unwrap();
    assert_eq!(repeated.id, first.id);
    assert!(registry.knows_failed());
    // Another outcome is another record, which takes its place.
    let second = registry.add(attempt(Standing::Authorised), at(2)).unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(registry.record(first.id).unwrap().until, Some(at(2)));
    let turn = |standing| RecordUpdate {
        standing: Some(standing),
        ..RecordUpdate::default()
    };
    let bad = registry.prepare_update(second.id, turn(failed("")), at(3));
    assert_eq!(bad.unwrap_err().field(), Some("reason"));
    let turned = registry
        .update(second.id, turn(failed("late")), at(3))
        .unwrap();
    assert_eq!(turned.standing.failure(), Some("late"));
    registry.end(second.id, at(4)).unwrap();
    let ended = registry.prepare_update(second.id, turn(Standing::Authorised), at(5));
    assert_eq!(ended.unwrap_err(), RegistryError::Ended);
}

#[test]
fn a_change_tells_all_names_that_it_touches() {
    let mut registry = Registry::default();
    let first = registry.add(new("alice", "a1", &["x@p"]), at(0)).unwrap();
    let change = registry
        .prepare_add(new("alice", "a2", &["y@p"]), at(1))
        .unwrap();
    let names = registry.names_touched(&change);
    for name in [
        "alice@primary.example",
        "a1@partner.example",
        "a2@partner.example",
        "x@p",
        "y@p",
    ] {
        assert!(names.contains(&id(name)), "{name} in {names:?}");
    }
    registry.commit(change);
    let known = registry.names_of(&[first.id]).unwrap();
    assert_eq!(known.len(), 3);
    assert_eq!(registry.names_of(&[RecordId(99)]), None);
}

#[test]
fn a_change_cannot_claim_what_is_of_another_system() {
    let mut registry = Registry::default();
    let other = "other.example".parse().unwrap();
    registry.know_systems("partner.example".parse().unwrap(), vec![other]);
    let first = registry.add(new("alice", "a1", &[]), at(0)).unwrap();
    for foreign in [
        "a1@other.example",
        "a1@sub.other.example",
        "a1@primary.example",
    ] {
        let update = RecordUpdate {
            partner_id: Some(id(foreign)),
            ..RecordUpdate::default()
        };
        let error = registry
            .prepare_update(first.id, update, at(1))
            .unwrap_err();
        assert!(
            matches!(error, RegistryError::WrongSystem { .. }),
            "{error}"
        );
    }
    // An alias is of the partner, where it is used (TS 23.280 10.16.3), or of no known system.
    let aliases = |alias: &str| RecordUpdate {
        functional_aliases: Some(vec![id(alias)]),
        ..RecordUpdate::default()
    };
    let foreign = registry.prepare_update(first.id, aliases("chief@other.example"), at(1));
    assert_eq!(foreign.unwrap_err().field(), Some("functional_aliases"));
    for good in ["chief@partner.example", "chief@primary.example", "tel:+431"] {
        registry.update(first.id, aliases(good), at(1)).unwrap();
    }
}
