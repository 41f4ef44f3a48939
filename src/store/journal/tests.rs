use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[derive(Debug)]
struct Text(&'static str);

impl Encode for Text {
    fn encode(&self) -> [Vec<u8>; 2] {
        [self.0.into(), b"extra".to_vec()]
    }
}

fn open_in(dir: &Path) -> (Journal, Loaded) {
    Journal::open(dir, "one", 7).unwrap()
}

fn batch(calls: &[(u64, Option<&'static str>)]) -> Batch {
    let encode = |text: &'static str| Box::new(Text(text)) as Box<dyn Encode>;
    Batch {
        calls: calls
            .iter()
            .map(|(n, text)| (*n, text.map(encode)))
            .collect(),
        numbers: vec![("stream", calls.len() as u64 * 10)],
    }
}

fn write(journal: &Journal, calls: &[(u64, Option<&'static str>)]) {
    journal.write(batch(calls)).unwrap();
    assert!(journal.flush(PATIENCE));
}

fn records(loaded: &Loaded) -> Vec<(u64, &str)> {
    let text = |(number, [record, extra]): &'_ (u64, [Vec<u8>; 2])| {
        assert_eq!(extra, b"extra");
        (
            *number,
            String::from_utf8(record.clone()).unwrap().leak() as &str,
        )
    };
    loaded.calls.iter().map(text).collect()
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_latest_state_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, loaded) = open_in(dir.path());
    assert_eq!((loaded.instance.as_str(), loaded.calls.len()), ("one", 0));
    write(&journal, &[(3, Some("c")), (1, Some("a")), (2, Some("b"))]);
    write(&journal, &[(1, Some("changed")), (2, None), (9, None)]);
    assert_eq!(journal.health().behind, 0);
    let mode = fs::metadata(dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    drop(journal);
    let (_journal, loaded) = Journal::open(dir.path(), "two", 8).unwrap();
    assert_eq!(loaded.instance, "one", "the identity stays");
    assert_eq!(records(&loaded), [(1, "changed"), (3, "c")]);
    assert_eq!(loaded.numbers["stream"], 30, "numbers never go back");
    assert_eq!(loaded.moved_aside, None);
}

#[test]
fn what_waits_is_written_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(dir.path());
    journal.write(batch(&[(1, Some("a"))])).unwrap();
    drop(journal);
    assert_eq!(records(&open_in(dir.path()).1), [(1, "a")]);
}

#[test]
fn a_second_process_is_told_that_there_is_a_first() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(dir.path());
    write(&journal, &[(1, Some("a"))]);
    let refused = Journal::open(dir.path(), "two", 8).unwrap_err();
    assert!(refused.to_string().contains("other program"), "{refused}");
    write(&journal, &[(2, Some("b"))]);
    drop(journal);
    assert_eq!(records(&open_in(dir.path()).1), [(1, "a"), (2, "b")]);
}

#[test]
fn damage_is_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let (journal, _) = open_in(dir.path());
    for number in 0..200 {
        write(
            &journal,
            &[(number, Some("some call, and what belongs to it"))],
        );
    }
    drop(journal);
    let good = fs::read(&path).unwrap();
    // From nothing of it to all of it but the last page.
    let cut = good.len() - 4096;
    let garbage = vec![0x5a; good.len()];
    let torn = [&good[..4096], &garbage[4096..]].concat();
    for bad in [&garbage[..], &torn, &good[..cut], &good[..100]] {
        fs::write(&path, bad).unwrap();
        let (journal, loaded) = open_in(dir.path());
        let aside = loaded.moved_aside.clone().unwrap();
        assert_eq!(fs::read(aside).unwrap(), bad);
        assert!(loaded.calls.is_empty());
        write(&journal, &[(1, Some("new"))]);
        drop(journal);
        assert_eq!(records(&open_in(dir.path()).1), [(1, "new")]);
    }
}

#[test]
fn a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    drop(open_in(dir.path()));
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 5).unwrap();
    drop(db);
    let before = fs::read(&path).unwrap();
    let refused = Journal::open(dir.path(), "two", 8).unwrap_err();
    assert!(
        matches!(refused, StoreError::Newer { found: 5, .. }),
        "{refused}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_disk_that_takes_nothing_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_in(dir.path());
    write(&journal, &[(1, Some("a")), (2, Some("b"))]);
    drop(journal);
    let (db, _) = open(&dir.path().join(FILE_NAME), "one").unwrap();
    // SQLite says that the disk is full at this size.
    let pages: i64 = db
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    db.pragma_update(None, "max_page_count", pages).unwrap();
    let state = Arc::new(State::default());
    let mut writer = Writer {
        db,
        path: FILE_NAME.into(),
        stored: [1, 2].into_iter().collect(),
        pending: BTreeMap::new(),
        numbers: BTreeMap::new(),
        state: Arc::clone(&state),
        warned: false,
    };
    let long = String::from_utf8(vec![b'x'; 60_000]).unwrap().leak();
    writer.take(batch(&[(3, Some(long)), (4, Some("d")), (1, None)]));
    assert!(!writer.write());
    assert_eq!(
        (state.behind.load(Ordering::Relaxed), writer.warned),
        (3, true)
    );
    // Calls that come and go meanwhile leave nothing behind, however many there are.
    for number in 100..1_000 {
        writer.take(batch(&[(number, Some("short"))]));
        writer.take(batch(&[(number, None)]));
    }
    assert_eq!(writer.pending.len(), 3);
    assert!(!writer.write());
    writer
        .db
        .pragma_update(None, "max_page_count", 1_000)
        .unwrap();
    assert!(writer.write());
    let errors = state.errors.load(Ordering::Relaxed);
    assert_eq!((errors, state.behind.load(Ordering::Relaxed)), (2, 0));
    drop(writer);
    let found: Vec<u64> = open_in(dir.path()).1.calls.iter().map(|c| c.0).collect();
    assert_eq!(found, [2, 3, 4]);
}

#[test]
fn a_stalled_disk_fills_the_queue_and_no_more() {
    let (queue, jobs) = bounded(2);
    let journal = Journal {
        queue: Some(queue),
        thread: None,
        state: Arc::default(),
    };
    assert!(journal.has_room());
    for _ in 0..2 {
        journal.write(batch(&[(1, Some("a"))])).unwrap();
    }
    assert!(!journal.has_room());
    let back = journal.write(batch(&[(5, Some("e"))])).unwrap_err();
    assert_eq!(back.calls[0].0, 5);
    assert!(!journal.flush(Duration::from_millis(1)));
    drop(jobs);
    assert!(journal.write(batch(&[])).is_err());
}
