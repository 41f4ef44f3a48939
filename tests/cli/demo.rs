//! `homeward demo`: what it prints is a contract, and it fails when a packet is lost or changed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::tools::{Ended, ended, eventually, homeward, recordings, run};

/// Three calls of two seconds: two parties, 50 packets a second each.
const SENT: u64 = 3 * 2 * 50 * 2;

fn demo(dir: &Path, more: &[&str]) -> Ended {
    let args = ["demo", "--calls", "3", "--seconds", "2"];
    run(dir, args.iter().chain(more))
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().unwrap();
    object.keys().map(String::as_str).collect()
}

fn files(report: &Value) -> Vec<PathBuf> {
    let list = report["recordings"].as_array().unwrap();
    list.iter()
        .map(|path| path.as_str().unwrap().into())
        .collect()
}

#[test]
fn carries_and_stores_every_packet() {
    let dir = tempfile::tempdir().unwrap();
    let done = demo(dir.path(), &["--json", "--data", "here"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.err, "", "nothing to complain of");
    assert_eq!(done.out.lines().count(), 1, "one object");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let top = [
        "calls",
        "packets",
        "latency_us",
        "recordings",
        "certificates",
    ];
    assert_eq!(keys(&report), top);
    let packets = ["sent", "forwarded", "mirrored", "stored", "missing"];
    assert_eq!(keys(&report["packets"]), packets);
    assert_eq!(keys(&report["latency_us"]), ["p50", "p99", "p999", "max"]);
    assert_eq!(keys(&report["certificates"]), ["complete", "incomplete"]);
    assert_eq!(report["calls"], 3);
    for counter in ["sent", "forwarded", "mirrored", "stored"] {
        assert_eq!(report["packets"][counter], SENT, "{counter}");
    }
    assert_eq!(report["packets"]["missing"], 0);
    let order = ["p50", "p99", "p999", "max"].map(|at| report["latency_us"][at].as_f64().unwrap());
    assert!(order[0] > 0.0 && order.is_sorted(), "{order:?}");
    let files = files(&report);
    assert_eq!(files.len(), 3);
    for file in &files {
        assert!(file.starts_with("here") && dir.path().join(file).is_file());
    }
}

#[test]
fn a_second_demo_counts_only_its_own_recordings() {
    let dir = tempfile::tempdir().unwrap();
    let first = demo(dir.path(), &["--json"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let second = demo(dir.path(), &["--json"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    let read = |done: &Ended| files(&serde_json::from_str(&done.out).unwrap());
    let (first, second) = (read(&first), read(&second));
    assert_eq!((first.len(), second.len()), (3, 3));
    assert!(first.iter().all(|file| !second.contains(file)));
    assert_eq!(recordings(&dir.path().join("homeward-data/demo")).len(), 6);
}

#[test]
fn two_demos_at_once_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let start = |data: &str| {
        let mut command = homeward(dir.path());
        command.args([
            "demo",
            "--calls",
            "20",
            "--seconds",
            "2",
            "--json",
            "--data",
            data,
        ]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for running in [start("one"), start("two")] {
        let done = running.wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(report["packets"]["stored"], 20 * 2 * 50 * 2);
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    }
}

#[test]
fn two_demos_in_one_place_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("here/archive")).unwrap();
    let lock = std::fs::File::create(dir.path().join("here/archive/lock")).unwrap();
    lock.lock().unwrap();
    let refused = demo(dir.path(), &["--data", "here"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    assert!(
        refused.err.contains("another process uses it"),
        "{}",
        refused.err
    );
}

#[test]
fn an_interrupted_demo_ends_its_calls_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let log = "info,homeward::runtime::mirrors=debug";
    let args = ["demo", "--calls", "2", "--seconds", "3600", "--log", log];
    let mut running = Daemon::start(dir.path(), &args);
    eventually("both calls are mirrored", || {
        (running.log().matches("mirror opened").count() == 2).then_some(())
    });
    let ended = running.terminate();
    assert_eq!(ended.code(), Some(1), "{}", running.log());
    assert_eq!(recordings(dir.path()).len(), 2, "{}", running.log());
}

#[test]
fn a_lost_copy_is_named() {
    harmed("drop-mirror=1", "missing");
}

#[test]
fn an_altered_copy_is_named() {
    harmed("alter=1", "altered");
}

fn harmed(fault: &str, word: &str) {
    let dir = tempfile::tempdir().unwrap();
    let done = demo(dir.path(), &["--json", "--inject", fault]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        report["packets"]["forwarded"], SENT,
        "the call is not harmed"
    );
    assert_eq!(report["packets"]["stored"], SENT - 1);
    assert_eq!(report["packets"]["missing"], 1);
    // homeward demo: CALL-ID: WORD: SSRC 0x01234567 sequence 4711 ...
    let mut lines = done.err.lines().filter(|line| line.contains(word));
    let line = lines.next().unwrap();
    assert!(line.starts_with("homeward demo: demo-"), "{line}");
    let rest = line.split_once(": SSRC 0x").unwrap().1;
    let (ssrc, rest) = rest.split_once(" sequence ").unwrap();
    assert!(u32::from_str_radix(ssrc, 16).is_ok(), "{line}");
    let sequence = rest.split_whitespace().next().unwrap();
    assert!(sequence.parse::<u16>().is_ok(), "{line}");
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
}

#[test]
fn people_get_a_table_and_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let good = demo(dir.path(), &[]);
    assert_eq!(good.code, Some(0), "{good:?}");
    aligned(&good.out);
    assert!(good.out.lines().last().unwrap().starts_with("good: "));
    let bad = demo(dir.path(), &["--inject", "alter=2"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    aligned(&bad.out);
    let verdict = bad.out.lines().last().unwrap();
    assert_eq!(verdict, "FAILED: 2 of 600 packets are not stored as sent");
}

/// All lines but the last: two spaces, a name, and from column 13 on what there is to say.
fn aligned(text: &str) {
    let count = text.lines().count();
    assert!(count > 5, "{text}");
    for line in text.lines().take(count - 1) {
        let (name, value) = line.split_at(13);
        assert!(name.starts_with("  ") && name.ends_with(' '), "{line}");
        assert!(!value.starts_with(' ') && !value.is_empty(), "{line}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        "demo --calls 1 --seconds 1",
        "demo --help",
        "check none --json",
    ] {
        let mut shell = Command::new("sh");
        let pipe = format!("\"$0\" {args} | true; \"$0\" --help | head -1");
        shell.args(["-c", &pipe, env!("CARGO_BIN_EXE_homeward")]);
        let done = ended(shell.current_dir(dir.path()));
        assert_eq!(done.code, Some(0));
        assert!(!done.err.contains("panic"), "{}", done.err);
    }
}
