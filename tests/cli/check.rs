//! `homeward check FILE`: every mistake at once, and files that cannot be read at all.

use serde_json::Value;

use crate::tools::run;

const TEN: &str = r#"[relay]
system = "not a name"
workers = -1
media_timout = 30
[[interface]]
name = "core"
addresses = ["192.0.2.5", "192.0.2.500"]
ports = [40000, 30000]
[ng]
udp = ["192.0.2.5:2223"]
[http]
listen = "192.0.2.5:8080"
[[logger]]
name = "hq"
transport = "smoke"
address = "203.0.113.9"
ports = [50000, 50999]
allow_plaintext = true
[[agreement]]
primary = "primary.example"
mode = "redirect"
loggers = ["hq", "nobody"]
"#;

const PLACES: [&str; 10] = [
    "line 2: relay.system: ",
    "line 3: relay.workers: ",
    "line 4: relay.media_timout: ",
    "line 7: interface[0].addresses: ",
    "line 8: interface[0].ports: ",
    "line 10: ng.udp: ",
    "line 12: http.listen: ",
    "line 15: logger[0].transport: ",
    "line 19: agreement[0].anchors: ",
    "line 22: agreement[0].loggers: ",
];

#[test]
fn ten_mistakes_are_all_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ten.toml"), TEN).unwrap();
    // What cannot be run is refused with the same words.
    for args in [
        ["check", "ten.toml"].as_slice(),
        &["run", "--config", "ten.toml"],
        &["logger", "--config", "ten.toml"],
    ] {
        let done = run(dir.path(), args);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
        let mut lines = done.err.lines();
        assert_eq!(lines.next(), Some("10 mistakes in ten.toml:"));
        for place in PLACES {
            let line = lines.next().unwrap();
            assert!(line.trim_start().starts_with(place), "{line}");
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn machines_get_one_object() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ten.toml"), TEN).unwrap();
    std::fs::write(dir.path().join("good.toml"), "[relay]\nworkers = 1\n").unwrap();
    let look = |file: &str| {
        let done = run(dir.path(), ["check", file, "--json"]);
        assert_eq!(done.err, "");
        (done.code, serde_json::from_str::<Value>(&done.out).unwrap())
    };
    let (code, report) = look("ten.toml");
    assert_eq!((code, &report["good"]), (Some(2), &Value::Bool(false)));
    assert_eq!(report["file"], "ten.toml");
    let mistakes = report["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), PLACES.len());
    for (mistake, place) in mistakes.iter().zip(PLACES) {
        assert!(mistake.as_str().unwrap().starts_with(place), "{mistake}");
    }
    let (code, report) = look("good.toml");
    assert_eq!((code, &report["good"]), (Some(0), &Value::Bool(true)));
    assert_eq!(report["mistakes"].as_array().unwrap().len(), 0);
    let (code, report) = look("none.toml");
    assert_eq!((code, &report["good"]), (Some(2), &Value::Bool(false)));
    assert!(
        report["mistakes"][0]
            .as_str()
            .unwrap()
            .contains("none.toml")
    );
}

#[test]
fn a_good_file_is_said_to_be_good() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.toml"), "").unwrap();
    let done = run(dir.path(), ["check", "good.toml"]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "good.toml: good\n")
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::write(dir.path().join("latin1"), b"[relay]\nsystem = \"\xe9\"\n").unwrap();
    for (file, word) in [
        ("absent", "No such file"),
        ("folder", "directory"),
        ("latin1", "UTF-8"),
    ] {
        for args in [["check", file].as_slice(), &["run", "--config", file]] {
            let done = run(dir.path(), args);
            assert_eq!((done.code, done.out.as_str()), (Some(2), ""));
            assert_eq!(done.err.lines().count(), 1, "{}", done.err);
            let named = done.err.contains(file) && done.err.contains(word);
            assert!(named, "{}", done.err);
        }
    }
}
