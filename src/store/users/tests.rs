use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::migration::agreement::Kind;
use crate::migration::mark::{MarkState, Outcome};
use crate::migration::profile::{Partner, PartnerAccess, Profile, Reason, User};
use crate::migration::record::Trigger;
use crate::migration::secret::{REDACTED, Secret};
use crate::migration::telling::Telling;

const SECRET: &str = "correct-horse-battery-staple";

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn key(byte: u8) -> Key {
    Key::parse(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn ring(current: Option<u8>, previous: &[u8]) -> Keyring {
    Keyring {
        current: current.map(key),
        previous: previous.iter().map(|byte| key(*byte)).collect(),
    }
}

fn open(dir: &Path, keys: Keyring) -> Result<Users, UsersError> {
    Users::open(dir, keys, at(1))
}

fn user(name: &str, access: Option<&str>) -> User {
    User {
        id: name.parse().unwrap(),
        ids: [(Service::Mcptt, format!("{name}@p.example").parse().unwrap())].into(),
        profiles: vec![Profile {
            index: 1,
            partners: vec![PartnerAccess {
                system: "q.example".parse().unwrap(),
                access: access.map(|text| Secret::new(text.into()).unwrap()),
            }],
        }],
    }
}

fn partner() -> Partner {
    Partner {
        system: "q.example".parse().unwrap(),
        kind: Kind::Bilateral,
        services: vec![Service::Mcptt],
        interconnected: true,
    }
}

fn telling(name: &str, sequence: u64) -> Telling {
    Telling {
        record: 7,
        sequence,
        service: Service::Mcptt,
        primary_system: "p.example".parse().unwrap(),
        primary_id: format!("{name}@p.example").parse().unwrap(),
        partner_system: "q.example".parse().unwrap(),
        partner_id: format!("{name}@q.example").parse().unwrap(),
        profile_index: Some(1),
        trigger: Trigger::PrimarySystem,
        since: at(10),
        until: None,
    }
}

/// Whether a file of the folder holds this.
fn holds(dir: &Path, text: &[u8]) -> bool {
    let files = std::fs::read_dir(dir).unwrap();
    let mut files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.any(|bytes| bytes.windows(text.len()).any(|window| window == text))
}

#[test]
fn users_and_marks_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
        assert!(users.put_user(&user("alice", Some(SECRET)), at(2)).unwrap());
        assert!(!users.put_user(&user("alice", Some(SECRET)), at(2)).unwrap());
        let told = users.tell(Some(&partner()), &telling("alice", 1), at(11));
        assert!(matches!(told.unwrap(), Outcome::Accepted { new: true, .. }));
        let told = users.tell(Some(&partner()), &telling("bob", 1), at(12));
        let Outcome::Refused { reason, .. } = told.unwrap() else {
            panic!("refused");
        };
        assert_eq!(reason, Reason::UserUnknown);
    }
    let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
    let found = users.user(&"alice".parse().unwrap()).unwrap().unwrap();
    assert_eq!(found, user("alice", Some(REDACTED)));
    let filter = MarkFilter {
        limit: 10,
        ..MarkFilter::default()
    };
    let marks = users.marks(&filter, at(20)).unwrap();
    assert_eq!(marks.len(), 1);
    assert_eq!(marks[0].state(at(20)), MarkState::Migrated);
    assert_eq!(marks[0].told, telling("alice", 1));
    assert_eq!(marks[0].user, found.id);
    let refusals = users.refusals(&filter).unwrap();
    assert_eq!((refusals.len(), refusals[0].times), (1, 1));
    // A repetition after the restart is one.
    let told = users.tell(Some(&partner()), &telling("alice", 1), at(21));
    let Outcome::Accepted { mark, new, .. } = told.unwrap() else {
        panic!("accepted");
    };
    assert_eq!((mark.id, new), (marks[0].id, false));
    let mode = std::fs::metadata(dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_migrated_user_keeps_its_id_and_an_id_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let mut users = open(dir.path(), Keyring::default()).unwrap();
    users.put_user(&user("alice", None), at(2)).unwrap();
    let other = User {
        id: "other".parse().unwrap(),
        ..user("alice", None)
    };
    let refused = users.put_user(&other, at(2)).unwrap_err();
    assert!(matches!(refused, UsersError::IdInUse { .. }), "{refused}");
    let told = users.tell(Some(&partner()), &telling("alice", 1), at(11));
    let Outcome::Accepted { mark, .. } = told.unwrap() else {
        panic!("accepted");
    };
    let alice: UserId = "alice".parse().unwrap();
    let moved = User {
        id: alice.clone(),
        ..user("renamed", None)
    };
    let migrated = UsersError::Migrated(alice.clone());
    assert_eq!(users.put_user(&moved, at(12)), Err(migrated.clone()));
    assert_eq!(users.delete_user(&alice, at(12)), Err(migrated));
    users.end_mark(mark.id, at(13)).unwrap();
    users.delete_user(&alice, at(14)).unwrap();
    assert_eq!(users.user(&alice), Ok(None));
    assert_eq!(
        users.delete_user(&alice, at(14)),
        Err(UsersError::UnknownUser)
    );
    assert_eq!(users.end_mark(99, at(14)), Err(UsersError::UnknownMark));
}

#[test]
fn users_come_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut users = open(dir.path(), Keyring::default()).unwrap();
    for name in ["c", "a", "b"] {
        users.put_user(&user(name, None), at(2)).unwrap();
    }
    let page = |after: Option<&str>| {
        let after = after.map(|name| name.parse().unwrap());
        let users = users.users(after.as_ref(), 2).unwrap();
        users
            .iter()
            .map(|user| user.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None), ["a", "b"]);
    assert_eq!(page(Some("b")), ["c"]);
    let totals = Totals { users: 3, open: 0 };
    assert_eq!(users.totals(at(3)), Ok(totals));
}

#[test]
fn access_data_lies_encrypted_and_needs_its_key() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut users = open(dir.path(), Keyring::default()).unwrap();
        let refused = users.put_user(&user("alice", Some(SECRET)), at(2));
        assert_eq!(refused, Err(UsersError::NoKey));
        assert_eq!(users.user(&"alice".parse().unwrap()), Ok(None));
        // There is none that could stay.
        let refused = users.put_user(&user("alice", Some(REDACTED)), at(2));
        assert!(matches!(refused, Err(UsersError::NothingToKeep { .. })));
    }
    {
        let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
        users.put_user(&user("alice", Some(SECRET)), at(2)).unwrap();
        // What was read can be written back.
        let read = users.user(&"alice".parse().unwrap()).unwrap().unwrap();
        users.put_user(&read, at(3)).unwrap();
        assert!(!holds(dir.path(), SECRET.as_bytes()));
        assert!(holds(dir.path(), b"q.example"));
    }
    for (keys, words) in [
        (ring(None, &[]), "users.key_file must name"),
        (ring(Some(2), &[]), "is not the key"),
        (ring(Some(2), &[3]), "is not the key"),
    ] {
        let error = open(dir.path(), keys).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(open(dir.path(), ring(Some(1), &[])).is_ok());
}

#[test]
fn keys_are_rotated_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
        users.put_user(&user("alice", Some(SECRET)), at(2)).unwrap();
        users.put_user(&user("bob", Some(SECRET)), at(2)).unwrap();
    }
    let sealed = |dir: &Path| {
        let db = Connection::open(dir.join(FILE_NAME)).unwrap();
        let mut select = db.prepare("SELECT access FROM profile_partner").unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<Vec<u8>>>()
    };
    let before = sealed(dir.path());
    drop(open(dir.path(), ring(Some(2), &[3, 1])).unwrap());
    let after = sealed(dir.path());
    assert_eq!(after.len(), 2);
    for former in &before {
        assert!(!after.contains(former) && !holds(dir.path(), former));
    }
    // The former key is not needed any more, and does not help any more.
    assert!(open(dir.path(), ring(Some(2), &[])).is_ok());
    assert!(open(dir.path(), ring(Some(1), &[])).is_err());
}

#[test]
fn access_data_that_was_moved_or_altered_keeps_it_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
        users.put_user(&user("alice", Some(SECRET)), at(2)).unwrap();
        users
            .put_user(&user("bob", Some("another")), at(2))
            .unwrap();
    }
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let swap = "UPDATE profile_partner SET access = (SELECT access FROM profile_partner \
                WHERE user = 'alice') WHERE user = 'bob'";
    db.execute(swap, []).unwrap();
    let error = open(dir.path(), ring(Some(1), &[]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("bob") && error.contains("altered"),
        "{error}"
    );
}

#[test]
fn other_files_and_later_versions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    std::fs::write(
        &path,
        "no database at all, and longer than its header would be: ".repeat(20),
    )
    .unwrap();
    let damaged = open(dir.path(), Keyring::default()).unwrap_err();
    assert!(
        matches!(damaged, UsersError::Store(StoreError::Damaged { .. })),
        "{damaged}"
    );
    std::fs::remove_file(&path).unwrap();
    drop(open(dir.path(), Keyring::default()).unwrap());
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let newer = open(dir.path(), Keyring::default()).unwrap_err();
    assert!(
        matches!(newer, UsersError::Store(StoreError::Newer { .. })),
        "{newer}"
    );
    std::fs::remove_file(&path).unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE other (x)").unwrap();
    drop(db);
    let foreign = open(dir.path(), Keyring::default()).unwrap_err();
    assert!(
        matches!(foreign, UsersError::Store(StoreError::Foreign { .. })),
        "{foreign}"
    );
}

#[test]
fn a_write_that_fails_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
    users.put_user(&user("alice", None), at(2)).unwrap();
    users
        .tell(Some(&partner()), &telling("alice", 1), at(11))
        .unwrap();
    // As on a full disk: no page more than there are.
    let pages: i64 = users
        .db
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    users
        .db
        .pragma_update(None, "max_page_count", pages)
        .unwrap();
    let mut full = None;
    for number in 0..10_000 {
        let big = "x".repeat(4_000);
        let new = user(&format!("user-{number}"), Some(&big));
        if let Err(error) = users.put_user(&new, at(12)) {
            full = Some((new, error));
            break;
        }
    }
    let (new, error) = full.expect("the disk is full at some time");
    assert!(error.to_string().contains("make room"), "{error}");
    assert_eq!(users.user(&new.id), Ok(None));
    let mut told = None;
    for record in 100..100_000 {
        let late = Telling {
            record,
            ..telling("nobody", 1)
        };
        if let Err(error) = users.tell(Some(&partner()), &late, at(13)) {
            told = Some((late, error));
            break;
        }
    }
    let (late, error) = told.expect("the disk is full at some time");
    assert!(error.to_string().contains("make room"), "{error}");
    assert_eq!(users.refusal(&late.partner_system, &late), Ok(None));
    users.db.pragma_update(None, "query_only", "ON").unwrap();
    let error = users
        .tell(Some(&partner()), &telling("alice", 2), at(14))
        .unwrap_err();
    assert!(error.to_string().contains("writable"), "{error}");
    users.db.pragma_update(None, "query_only", "OFF").unwrap();
    let mark = users.mark(1, at(15)).unwrap().unwrap();
    assert_eq!(mark.told.sequence, 1);
}

#[test]
fn a_migration_that_begins_ends_the_former_one_without_being_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut users = open(dir.path(), Keyring::default()).unwrap();
    users.put_user(&user("alice", None), at(2)).unwrap();
    users
        .tell(Some(&partner()), &telling("alice", 1), at(11))
        .unwrap();
    let later = Telling {
        record: 8,
        since: at(100),
        ..telling("alice", 1)
    };
    users.tell(Some(&partner()), &later, at(12)).unwrap();
    let filter = MarkFilter {
        limit: 10,
        ..MarkFilter::default()
    };
    let open = |users: &mut Users, secs| {
        let marks = users.marks(&filter, at(secs)).unwrap();
        marks
            .iter()
            .map(|mark| mark.told.record)
            .collect::<Vec<_>>()
    };
    assert_eq!(open(&mut users, 99), [7, 8]);
    assert_eq!(open(&mut users, 100), [8]);
}

#[test]
fn tellings_that_are_stored_together_fare_as_each_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
    users.put_user(&user("alice", None), at(0)).unwrap();
    users.put_user(&user("bob", None), at(0)).unwrap();
    let tellings = [
        telling("alice", 2),
        telling("mallory", 1),
        telling("bob", 1),
        telling("alice", 1),
        telling("alice", 3),
    ];
    let tellings: Vec<_> = tellings.map(|told| (Some(partner()), told)).into();
    let outcomes = users.tell_all(&tellings, at(1));
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(Result::unwrap).collect();
    let [first, unknown, other, late, again] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    let numbers = [first, other, again].map(|outcome| match outcome {
        Outcome::Accepted { mark, new, .. } => (mark.id, *new),
        Outcome::Refused { .. } | Outcome::Stale { .. } => panic!("{outcome:?}"),
    });
    assert_eq!(numbers[0].0, numbers[2].0);
    assert_eq!(numbers.map(|(_, new)| new), [true, true, false]);
    assert!(matches!(late, Outcome::Stale { last: 2 }), "{late:?}");
    let unknown_user = Reason::UserUnknown;
    assert!(matches!(unknown, Outcome::Refused { reason, .. } if *reason == unknown_user));
    drop(users);
    let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
    let filter = MarkFilter {
        limit: 10,
        ..MarkFilter::default()
    };
    assert_eq!(users.marks(&filter, at(2)).unwrap().len(), 2);
    assert_eq!(users.refusals(&filter).unwrap().len(), 1);
}

#[test]
fn on_a_full_disk_no_telling_of_a_group_is_taken_for_stored() {
    let dir = tempfile::tempdir().unwrap();
    let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
    let names: Vec<String> = (0..200).map(|n| format!("user{n}")).collect();
    for name in &names {
        users.put_user(&user(name, None), at(0)).unwrap();
    }
    let pages: i64 = users
        .db
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    users
        .db
        .pragma_update(None, "max_page_count", pages + 4)
        .unwrap();
    let tellings: Vec<_> = names
        .iter()
        .map(|name| (Some(partner()), telling(name, 1)))
        .collect();
    let outcomes = users.tell_all(&tellings, at(1));
    assert_eq!(outcomes.len(), names.len());
    let stored: Vec<&str> = names
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.is_ok())
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(
        !stored.is_empty() && stored.len() < names.len(),
        "{}",
        stored.len()
    );
    drop(users);
    let mut users = open(dir.path(), ring(Some(1), &[])).unwrap();
    let filter = MarkFilter {
        limit: 1_000,
        ..MarkFilter::default()
    };
    let marks = users.marks(&filter, at(2)).unwrap();
    let marked: Vec<&str> = marks.iter().map(|mark| mark.user.as_str()).collect();
    assert_eq!(marked, stored);
}
