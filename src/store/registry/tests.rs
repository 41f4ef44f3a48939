use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::migration::identity::Service;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

fn record(id: u64) -> Record {
    Record {
        id: RecordId(id),
        service: Service::Mcptt,
        primary_id: format!("u{id}@primary.example").parse().unwrap(),
        partner_id: format!("p{id}@partner.example").parse().unwrap(),
        primary_system: "primary.example".parse().unwrap(),
        functional_aliases: vec!["a@p".parse().unwrap(), "b@p".parse().unwrap()],
        trigger: Trigger::PrimarySystem,
        profile_index: Some(u32::MAX),
        standing: Standing::default(),
        since: at(1),
        until: None,
    }
}

fn open(dir: &Path) -> (Store, Loaded) {
    Store::open(dir, 100, at(10)).unwrap()
}

fn put(store: &Store, records: Vec<Record>) {
    store.put(records).unwrap().wait_blocking().unwrap();
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new").join("folder");
    let (store, loaded) = open(&dir);
    assert_eq!((loaded.records.len(), loaded.next_id), (0, 1));
    put(&store, vec![record(1), record(2)]);
    let ended = Record {
        until: Some(at(5)),
        ..record(1)
    };
    put(&store, vec![ended.clone(), record(3)]);
    drop(store);
    let (store, loaded) = open(&dir);
    assert_eq!(loaded.records, [ended, record(2), record(3)]);
    assert_eq!(loaded.next_id, 4);
    store.prune(at(6)).unwrap().wait_blocking().unwrap();
    drop(store);
    let (_store, loaded) = open(&dir);
    assert_eq!(loaded.records, [record(2), record(3)]);
    assert_eq!(loaded.next_id, 4, "numbers are never used twice");
}

#[test]
fn only_the_latest_ended_records_are_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let ended = |id| Record {
        until: Some(at(id)),
        ..record(id)
    };
    put(&store, (2..=8).map(ended).collect());
    put(&store, vec![record(9)]);
    drop(store);
    let (_store, loaded) = Store::open(dir.path(), 3, at(10)).unwrap();
    let ids: Vec<u64> = loaded.records.iter().map(|record| record.id.0).collect();
    assert_eq!(ids, [6, 7, 8, 9]);
}

#[test]
fn files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (store, _) = open(dir.path());
    put(&store, vec![record(1)]);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn many_writes_are_all_stored_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut waiting = Vec::new();
    for round in 0..3_u64 {
        for id in 1..=300 {
            let record = Record {
                since: at(round),
                ..record(id)
            };
            waiting.push(store.put(vec![record]).unwrap());
        }
    }
    for stored in waiting {
        stored.wait_blocking().unwrap();
    }
    drop(store);
    let (_store, loaded) = open(dir.path());
    assert_eq!(loaded.records.len(), 300);
    assert!(loaded.records.iter().all(|record| record.since == at(2)));
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let garbage = vec![0x5a_u8; 8_192];
    fs::write(&file, &garbage).unwrap();
    let error = Store::open(dir.path(), 9, at(0)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(FILE_NAME), "{error}");
    assert_eq!(fs::read(&file).unwrap(), garbage);
}

#[test]
fn a_file_damaged_inside_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    put(&store, (1..400).map(record).collect());
    drop(store);
    let file = dir.path().join(FILE_NAME);
    let mut bytes = fs::read(&file).unwrap();
    for byte in &mut bytes[8_192..] {
        *byte = 0xff;
    }
    fs::write(&file, &bytes).unwrap();
    let error = Store::open(dir.path(), 9, at(0)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn rows_that_we_did_not_write_are_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    db.execute(
        "INSERT INTO migration VALUES (7, 'mcfax', 'a@b', 'c@d', 'e', '', 'client', NULL, 0, NULL, NULL)",
        [],
    )
    .unwrap();
    let error = Store::open(dir.path(), 9, at(0)).unwrap_err().to_string();
    assert!(
        error.contains("migration 7") && error.contains("mcfax"),
        "{error}"
    );
}

#[test]
fn files_of_others_and_of_later_versions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let db = Connection::open(&file).unwrap();
    db.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let error = Store::open(dir.path(), 9, at(0)).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    fs::remove_file(&file).unwrap();
    drop(db);
    drop(open(dir.path()));
    let db = Connection::open(&file).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let error = Store::open(dir.path(), 9, at(0)).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file, 9, at(0)).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
    let error = Store::open(dir.path(), 9, at(0)).unwrap_err();
    assert!(error.to_string().contains(FILE_NAME), "{error}");
}

#[test]
fn a_full_disk_stores_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join(FILE_NAME);
    let db = sqlite::open(&path, SCHEMA).unwrap();
    db.pragma_update(None, "max_page_count", 12).unwrap();
    let mut writer = Writer {
        db,
        path: path.clone(),
    };
    let (done, _) = oneshot::channel();
    let job = Job::Put {
        records: (1..2_000).map(record).collect(),
        done,
    };
    let error = writer
        .commit(&[job])
        .map_err(|error| classify(&path, &error));
    let Err(StoreError::Write { advice, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(advice.contains("room"));
    // Small things still fit, and nothing of the large one is there.
    let (done, _) = oneshot::channel();
    let small = Job::Put {
        records: vec![record(5)],
        done,
    };
    writer.commit(&[small]).unwrap();
    drop(writer);
    let (_store, loaded) = open(dir.path());
    assert_eq!(loaded.records, [record(5)]);
}

#[test]
fn a_read_only_database_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let db = sqlite::open(&path, SCHEMA).unwrap();
    db.pragma_update(None, "query_only", true).unwrap();
    let mut writer = Writer {
        db,
        path: path.clone(),
    };
    let (done, _) = oneshot::channel();
    let job = Job::Put {
        records: vec![record(1)],
        done,
    };
    let error = writer
        .commit(&[job])
        .map_err(|error| classify(&path, &error));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("writable"), "{error}");
}

#[tokio::test]
async fn commits_can_be_awaited() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let stored = store.put(vec![record(1)]).unwrap();
    stored.wait().await.unwrap();
    let reader = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let count: i64 = reader
        .query_row("SELECT count(*) FROM migration", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1, "operators can read it while we run");
}

#[test]
fn a_failed_migration_is_kept_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let failed = Record {
        standing: Standing::Failed {
            reason: "partner-not-in-profile".into(),
        },
        ..record(1)
    };
    put(&store, vec![failed.clone(), record(2)]);
    drop(store);
    let (store, loaded) = open(dir.path());
    assert_eq!(loaded.records, [failed, record(2)]);
    put(&store, vec![record(1)]);
    drop(store);
    let (_store, loaded) = open(dir.path());
    assert_eq!(loaded.records, [record(1), record(2)]);
}

#[test]
fn a_database_of_the_first_version_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE_NAME);
    let db = Connection::open(&file).unwrap();
    db.execute_batch(SCHEMA.steps[0]).unwrap();
    db.pragma_update(None, "application_id", SCHEMA.application)
        .unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    db.execute_batch(
        "INSERT INTO migration VALUES (7, 'mcptt', 'sip:u7@primary.example', \
         'sip:p7@partner.example', 'primary.example', 'sip:a@p sip:b@p', 'primary-system', \
         4294967295, 1000001000000000, NULL);
         UPDATE counter SET next_id = 8;",
    )
    .unwrap();
    drop(db);
    let (store, loaded) = open(dir.path());
    assert_eq!((loaded.records, loaded.next_id), (vec![record(7)], 8));
    let failed = Record {
        standing: Standing::Failed {
            reason: "later".into(),
        },
        ..record(8)
    };
    put(&store, vec![failed.clone()]);
    drop(store);
    let (_store, loaded) = open(dir.path());
    assert_eq!(loaded.records, [record(7), failed]);
}

#[test]
fn words_of_primaries_are_kept_with_their_records() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    put(&store, (1..=4).map(record).collect());
    let say = |id, told| {
        let stored = store.put_word(RecordId(id), told).unwrap();
        stored.wait_blocking().unwrap();
    };
    let refused = Told::Refused("user-unknown".into());
    say(1, Told::Accepted);
    say(2, refused.clone());
    say(3, Told::Accepted);
    say(4, Told::Unreachable("nobody listens".into()));
    // Of no record; and one that has changed since.
    say(9, Told::Accepted);
    put(&store, vec![record(3)]);
    drop(store);
    let (store, loaded) = open(dir.path());
    let word = |id, told, current| Word {
        record: RecordId(id),
        primary_system: record(id).primary_system,
        told,
        current,
    };
    assert_eq!(
        loaded.words,
        [
            word(1, Told::Accepted, true),
            word(2, refused, true),
            word(3, Told::Accepted, false),
        ]
    );
    let ended = Record {
        until: Some(at(5)),
        ..record(2)
    };
    put(&store, vec![ended]);
    store.prune(at(6)).unwrap().wait_blocking().unwrap();
    drop(store);
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let count = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table} WHERE {table}.rowid = 2");
        db.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("migration"), count("word")), (0, 0));
    db.execute("UPDATE word SET told = 'perhaps'", []).unwrap();
    let error = Store::open(dir.path(), 9, at(0)).unwrap_err().to_string();
    assert!(error.contains("word on migration 1"), "{error}");
}
