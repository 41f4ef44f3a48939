//! Disks that are full or cannot be written, and databases that cannot be used, on both sides.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{OPERATOR, PARTNER, Primary, add, record, told};
use crate::daemon::Relay;
use crate::media::Call;
use crate::skip;
use crate::tools::run;

/// A small file system in memory.
struct Disk(PathBuf);

impl Disk {
    /// In place of this folder; `None`: the test is left out.
    fn mount(test: &str, at: PathBuf) -> Option<Self> {
        if !skip::root(test) {
            return None;
        }
        std::fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
        if !mount
            .arg(&at)
            .output()
            .is_ok_and(|done| done.status.success())
        {
            skip::skip(test, "cannot mount a small file system");
            return None;
        }
        Some(Self(at))
    }

    fn remount(&self, mode: &str) {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-o", &format!("remount,{mode}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }

    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[0; 512]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The relay's records, with all pages.
fn stored(relay: &Relay) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/v1/migrations?limit=1000&after={after}");
        let (_, page) = relay.http("GET", &path, "");
        let page: Value = serde_json::from_str(&page).unwrap();
        for record in page["migrations"].as_array().unwrap() {
            names.push(record["partner_id"].as_str().unwrap().to_owned());
        }
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => return names,
        }
    }
}

/// Live calls and records while the relay's disk becomes full and has room again.
#[test]
fn a_full_disk_refuses_records_and_holds_up_no_call() {
    let mut relay = Relay::with_agreement("");
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    let (test, data) = ("a_full_disk_refuses_records", relay.dir.path().join("data"));
    let Some(disk) = Disk::mount(test, data) else {
        return;
    };
    let path = relay.dir.path().join("relay.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let elsewhere = text.replace("[archive]", "[archive]\ndir = \"archive\"");
    std::fs::write(&path, elsewhere).unwrap();
    relay.start_again();
    let mut expected = vec!["sip:alice@partner.example".to_owned()];
    add(&relay, &record("alice"));
    let before = Call::set_up(&mut relay, "before", "alice");
    before.exchange(1);
    disk.fill();
    // The log may have room for some.
    let refused = (0..2_000).find_map(|n| {
        let name = format!("user{n}");
        let (status, body) = relay.http("POST", "/v1/migrations", &record(&name).to_string());
        match status {
            201 => {
                expected.push(format!("sip:{name}@partner.example"));
                None
            }
            _ => Some((status, body)),
        }
    });
    let (status, body) = refused.expect("the disk is full at some time");
    assert_eq!(status, 503, "{body}");
    assert!(
        body.contains("registry.sqlite") && body.contains("make room"),
        "{body}"
    );
    // What was there is in force and cannot be ended; calls come and go.
    let (status, body) = relay.http("DELETE", "/v1/migrations/1", "");
    assert_eq!(status, 503, "{body}");
    let during = Call::set_up(&mut relay, "during", "alice");
    during.exchange(1);
    before.exchange(2);
    let (_, explained) = relay.http("GET", "/v1/calls/during/explain", "");
    assert!(
        explained.contains("sip:alice@primary.example"),
        "{explained}"
    );
    assert_eq!(stored(&relay), expected);
    disk.free();
    add(&relay, &record("zoe"));
    expected.push("sip:zoe@partner.example".to_owned());
    during.exchange(2);
    before.delete(&mut relay);
    during.delete(&mut relay);
    relay.restart();
    assert_eq!(stored(&relay), expected);
    assert_eq!(relay.daemon.terminate().code(), Some(0));
}

/// A partner's relay that is told "not now" by a primary without room tells it again.
#[test]
fn a_full_disk_of_the_primary_is_waited_out() {
    let primary = Primary::prepare();
    let (test, dir) = ("a_full_disk_of_the_primary", primary.path("stored"));
    let Some(disk) = Disk::mount(test, dir) else {
        return;
    };
    let mut logger = primary.start();
    primary.user("alice");
    let mut relay = Relay::with_agreement(&primary.tell());
    disk.fill();
    let full = (0..2_000).find_map(|n| {
        let user = json!({ "ids": { "mcptt": format!("sip:{n}@primary.example") } });
        let path = format!("/v1/users/user{n}");
        let (status, body) = primary.ask(OPERATOR, "PUT", &path, &user.to_string());
        (status != 201).then_some((status, body))
    });
    let (status, problem) = full.expect("the disk is full at some time");
    assert_eq!(status, 503, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("users.sqlite") && detail.contains("make room"),
        "{detail}"
    );
    let id = add(&relay, &record("alice"));
    let unreachable = told(&relay, id, "unreachable");
    assert_eq!(unreachable["result"], "authorised", "{unreachable}");
    assert!(primary.marks("alice").is_empty());
    disk.free();
    told(&relay, id, "accepted");
    assert_eq!(primary.marks("alice").len(), 1);
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    // One that cannot be written at all is named at the start.
    disk.remount("ro");
    refused(primary.dir.path(), "logger", &["stored"]);
    disk.remount("rw");
    let mut logger = primary.start();
    assert_eq!(primary.marks("alice").len(), 1);
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}

/// It does not start, and one line says why.
fn refused(dir: &Path, command: &str, words: &[&str]) {
    let file = match command {
        "run" => "relay.toml",
        _ => "logger.toml",
    };
    let done = run(dir, [command, "--config", file]);
    assert_eq!(done.code, Some(1), "{}", done.err);
    let lines = done
        .err
        .lines()
        .filter(|line| line.starts_with("homeward: "));
    let lines: Vec<&str> = lines.collect();
    let [line] = lines[..] else {
        panic!("{}", done.err);
    };
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
}

/// Puts worse and worse things into a database; the file stays as it is, and the right one is
/// taken again.
fn unusable(dir: &Path, command: &str, file: &Path) {
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let good = std::fs::read(file).unwrap();
    let with = |place: usize, number: u32| {
        let mut octets = good.clone();
        octets[place..place + 4].copy_from_slice(&number.to_be_bytes());
        octets
    };
    let mut torn = good.clone();
    let pages = 3 * 4_096.min(torn.len() / 4);
    torn[4_096..4_096 + pages].fill(0xa5);
    // Version and application: SQLite file format 1.3.
    for (octets, words) in [
        (vec![7; 20_000], ["damaged", "restore a backup"]),
        (torn, ["damaged", "restore a backup"]),
        (with(60, 99), ["later version", "schema 99"]),
        (with(68, 0x1234_5678), ["not one of ours", "choose another"]),
    ] {
        std::fs::write(file, &octets).unwrap();
        refused(dir, command, &[&name, words[0], words[1]]);
        assert_eq!(std::fs::read(file).unwrap(), octets, "left as it was");
    }
    std::fs::write(file, &good).unwrap();
}

#[test]
fn a_registry_that_cannot_be_used_is_named_and_left_alone() {
    let mut relay = Relay::with_agreement("");
    let id = add(&relay, &record("alice"));
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    let dir = relay.dir.path();
    unusable(dir, "run", &dir.join("data/registry.sqlite"));
    relay.start_again();
    assert_eq!(super::shown(&relay, id)["result"], "authorised");
    assert_eq!(relay.daemon.terminate().code(), Some(0));
}

#[test]
fn users_that_cannot_be_used_are_named_and_left_alone() {
    let primary = Primary::prepare();
    let mut logger = primary.start();
    primary.user("alice");
    let telling = json!({
        "record": 1, "sequence": 1, "service": "mcptt", "since": 1,
        "primary_system": "primary.example", "primary_id": "sip:alice@primary.example",
        "partner_system": "partner.example", "partner_id": "sip:alice@partner.example",
    });
    let told = telling.to_string();
    let (status, mark) = primary.ask(PARTNER, "POST", "/v1/migrations", &told);
    assert_eq!(status, 201, "{mark}");
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    unusable(
        primary.dir.path(),
        "logger",
        &primary.path("stored/users.sqlite"),
    );
    let mut logger = primary.start();
    assert_eq!(primary.marks("alice").len(), 1);
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
}
