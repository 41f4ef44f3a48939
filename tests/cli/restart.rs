//! `homeward run` ended and started again under live calls. `--long` plays 200 of them.

use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use homeward::traffic::{self, Plan, Report};
use serde_json::json;

use crate::daemon::Relay;
use crate::media::Call;
use crate::tools::{ended, eventually, free_ports, homeward};

/// A relay with so many ports, whose own logger has as many.
fn with_room(ports: u16) -> Relay {
    let (first, last) = free_ports(ports);
    let logger = format!("embedded = true\n[archive]\nports = [{first}, {last}]\n");
    Relay::with_room(&logger, ports)
}

/// Ends the process in one of two ways.
#[derive(Clone, Copy, Debug)]
enum End {
    Orderly,
    Killed,
}

impl End {
    fn of(self, relay: &mut Relay) {
        match self {
            Self::Orderly => {
                let status = relay.daemon.terminate();
                assert_eq!(status.code(), Some(0), "{}", relay.daemon.log());
            }
            Self::Killed => relay.daemon.kill(),
        }
    }
}

/// Waits until the journal has all that has happened.
fn settled(relay: &Relay) {
    // Learned addresses come from the workers, and changes are collected for a moment.
    let mut last = relay.metric("homeward_journal_rows_total");
    eventually("a quiet journal", || {
        sleep(Duration::from_millis(200));
        let now = relay.metric("homeward_journal_rows_total");
        let quiet = now == last && relay.metric("homeward_journal_behind") == 0;
        last = now;
        quiet.then_some(())
    });
}

#[test]
fn calls_go_on_after_sigterm() {
    calls_go_on(End::Orderly);
}

#[test]
fn calls_go_on_after_kill() {
    calls_go_on(End::Killed);
}

fn calls_go_on(end: End) {
    let mut relay = with_room(16);
    relay.migrate("alice");
    let names = ["alice", "bob", "alice", "carol"];
    let calls: Vec<Call> = (0..)
        .zip(names)
        .map(|(number, caller): (u32, _)| Call::set_up(&mut relay, &format!("c{number}"), caller))
        .collect();
    calls.iter().for_each(|call| call.exchange(1));
    settled(&relay);
    for round in 0..2_u16 {
        let tags = json!({ "command": "query", "call-id": "c0" });
        let before = relay.ng(&tags);
        end.of(&mut relay);
        relay.start_again();
        assert_eq!(relay.metric("homeward_calls_restored_total"), 4);
        assert_eq!(relay.metric("homeward_calls_not_restored_total"), 0);
        assert_eq!(relay.ng(&tags)["created"], before["created"]);
        // Strict from the first packet on: nobody has sent anything yet.
        for call in &calls {
            assert!(!call.lets_strangers_in(), "{end:?}, round {round}");
            call.exchange(round * 10 + 2);
        }
        settled(&relay);
    }
    // Two of them are mirrored, as before.
    assert_eq!(relay.metric("homeward_calls_mirrored"), 2);
    for call in &calls {
        assert_eq!(call.again(&mut relay), call.ports());
        call.exchange(40);
        call.delete(&mut relay);
    }
    eventually("the end of all calls", || {
        (relay.metric("homeward_calls") == 0).then_some(())
    });
    settled(&relay);
    end.of(&mut relay);
    relay.start_again();
    assert_eq!(relay.metric("homeward_calls_restored_total"), 0);
}

#[test]
fn media_flow_again_after_sigterm() {
    media_flow_again(End::Orderly, 20);
}

#[test]
fn media_flow_again_after_kill() {
    media_flow_again(End::Killed, 20);
}

#[test]
#[ignore = "plays 200 calls"]
fn two_hundred_calls_go_on() {
    for end in [End::Orderly, End::Killed] {
        media_flow_again(end, 200);
    }
}

/// The loss is the time without a process, and no more.
fn media_flow_again(end: End, calls: u32) {
    let mut relay = with_room(u16::try_from(calls * 4).unwrap());
    relay.migrate("alice");
    let playing = play(&relay, calls);
    eventually("all calls", || {
        (relay.metric("homeward_calls") == u64::from(calls)).then_some(())
    });
    sleep(Duration::from_secs(1));
    settled(&relay);
    let gone = Instant::now();
    end.of(&mut relay);
    relay.start_again();
    let gap = gone.elapsed().as_secs_f64();
    let restored = relay.metric("homeward_calls_restored_total");
    let report = playing.join().unwrap();
    assert_eq!(restored, u64::from(calls), "{}", relay.daemon.log());
    let packets = &report.packets;
    assert_eq!(packets.duplicate + packets.altered, 0, "{packets:?}");
    // A second of grace, because sender and relay share the machine with other tests.
    let bound = f64::from(calls) * 2.0 * 50.0 * (gap + 1.0);
    let lost = packets.lost as f64;
    assert!(
        lost <= bound,
        "{lost} lost in a gap of {gap} s: {packets:?}"
    );
    for way in [&report.caller_to_callee, &report.callee_to_caller] {
        assert!(way.lost < way.sent, "{way:?}");
    }
    assert_eq!(relay.daemon.terminate().code(), Some(0));
}

fn play(relay: &Relay, calls: u32) -> std::thread::JoinHandle<Report> {
    let key = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let plan = Plan {
        calls,
        seconds: 12,
        keys: vec![
            key("mc-service", "mcptt"),
            key("mc-calling-id", "sip:alice@partner.example"),
            key("mc-called-id", "sip:bob@partner.example"),
        ],
        ..Plan::new(relay.ng_address())
    };
    std::thread::spawn(move || traffic::run(&plan, &mut |_| {}, &AtomicBool::new(false)).unwrap())
}

#[test]
fn a_port_that_is_taken_meanwhile_ends_its_call_alone() {
    let mut relay = with_room(16);
    let calls = ["one", "two"].map(|id| Call::set_up(&mut relay, id, "bob"));
    calls.iter().for_each(|call| call.exchange(1));
    settled(&relay);
    relay.daemon.kill();
    let [port, _] = calls[0].ports();
    let taker = std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
    relay.start_again();
    assert_eq!(relay.metric("homeward_calls_restored_total"), 1);
    assert_eq!(relay.metric("homeward_calls_not_restored_total"), 1);
    let log = relay.daemon.log();
    assert!(log.contains("another program has its port"), "{log}");
    assert!(log.contains(&port.to_string()), "{log}");
    calls[1].exchange(2);
    drop(taker);
}

#[test]
fn without_a_journal_calls_end_with_the_process() {
    let mut relay = with_room(16);
    let path = relay.dir.path().join("relay.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("[relay]", "[relay]\njournal = false")).unwrap();
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    relay.start_again();
    Call::set_up(&mut relay, "c1", "bob").exchange(1);
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    relay.start_again();
    assert_eq!(relay.metric("homeward_calls"), 0);
}

#[test]
fn a_damaged_journal_is_moved_aside() {
    let mut relay = with_room(16);
    Call::set_up(&mut relay, "c1", "bob").exchange(1);
    // In order, so that the write-ahead log does not hold all of it once more.
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    let data = relay.dir.path().join("data");
    std::fs::write(data.join("journal.sqlite"), vec![7; 20_000]).unwrap();
    relay.start_again();
    let log = relay.daemon.log();
    assert!(log.contains("moved aside"), "{log}");
    let aside = |name: &str| name.starts_with("journal.sqlite.broken-");
    let names = std::fs::read_dir(&data).unwrap();
    let names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| aside(name)), "{names:?}");
    let call = Call::set_up(&mut relay, "c2", "bob");
    call.exchange(1);
    settled(&relay);
    relay.daemon.kill();
    relay.start_again();
    call.exchange(2);
}

#[test]
fn a_journal_of_a_later_version_is_named() {
    let mut relay = with_room(16);
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    let file = relay.dir.path().join("data/journal.sqlite");
    // The schema's version: four octets from the sixtieth on (SQLite file format 1.3.10).
    let mut octets = std::fs::read(&file).unwrap();
    octets[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&file, &octets).unwrap();
    let run = ended(homeward(relay.dir.path()).args(["run", "--config", "relay.toml"]));
    assert_eq!(run.code, Some(1), "{run:?}");
    for text in [
        "journal.sqlite",
        "later version",
        "move journal.sqlite away",
    ] {
        assert!(run.err.contains(text), "{text}: {}", run.err);
    }
    assert_eq!(std::fs::read(&file).unwrap(), octets, "left as it was");
}

#[test]
fn a_second_relay_on_the_same_data_is_refused() {
    let mut relay = with_room(16);
    let call = Call::set_up(&mut relay, "c1", "bob");
    call.exchange(1);
    let run = ended(homeward(relay.dir.path()).args(["run", "--config", "relay.toml"]));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.err.contains("in use by another homeward"),
        "{}",
        run.err
    );
    call.exchange(2);
}

/// A small file system in memory; needs root.
#[derive(Debug)]
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(at: &std::path::Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(at);
        let done = mount.output().is_ok_and(|output| output.status.success());
        done.then(|| Self(at.to_owned()))
    }

    fn remount(&self, mode: &str) {
        let mut mount = Command::new("mount");
        let status = mount.args(["-o", &format!("remount,{mode}")]).arg(&self.0);
        assert!(status.status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_holds_up_no_call() {
    let mut relay = with_room(60);
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    let data = relay.dir.path().join("data");
    let Some(_disk) = Disk::mount(&data) else {
        eprintln!("SKIP a full disk: nothing can be mounted here");
        return;
    };
    // The archive is elsewhere: this is about the journal.
    let path = relay.dir.path().join("relay.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("[archive]", "[archive]\ndir = \"archive\""),
    )
    .unwrap();
    relay.start_again();
    let before = Call::set_up(&mut relay, "before", "bob");
    before.exchange(1);
    settled(&relay);
    let ballast = data.join("ballast");
    let fill = || {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
    };
    fill();
    let calls: Vec<Call> = (0..10)
        .map(|n| Call::set_up(&mut relay, &format!("c{n}"), "bob"))
        .collect();
    calls.iter().for_each(|call| call.exchange(1));
    before.exchange(2);
    eventually("it is told", || {
        (relay.metric("homeward_journal_errors_total") > 0).then_some(())
    });
    assert!(relay.metric("homeward_journal_behind") > 0);
    let log = relay.daemon.log();
    let told = log.matches("the call journal cannot be written").count();
    assert_eq!(told, 1, "{log}");
    std::fs::remove_file(&ballast).unwrap();
    relay.daemon.says("the call journal is written again");
    settled(&relay);
    relay.daemon.kill();
    relay.start_again();
    assert_eq!(relay.metric("homeward_calls_restored_total"), 11);
    calls.iter().for_each(|call| call.exchange(2));
    // The end of the process, too, is in order.
    fill();
    calls[0].delete(&mut relay);
    assert_eq!(
        relay.daemon.terminate().code(),
        Some(0),
        "{}",
        relay.daemon.log()
    );
}

#[test]
fn a_read_only_disk_holds_up_no_call() {
    let mut relay = with_room(16);
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    let data = relay.dir.path().join("data");
    let Some(disk) = Disk::mount(&data) else {
        eprintln!("SKIP a read-only disk: nothing can be mounted here");
        return;
    };
    let path = relay.dir.path().join("relay.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("[archive]", "[archive]\ndir = \"archive\""),
    )
    .unwrap();
    relay.start_again();
    let call = Call::set_up(&mut relay, "c1", "bob");
    call.exchange(1);
    settled(&relay);
    // Files that are open for writing forbid it; then there is nothing to be tried here.
    let mut mount = Command::new("mount");
    let done = mount
        .args(["-o", "remount,ro"])
        .arg(&disk.0)
        .output()
        .unwrap();
    if done.status.success() {
        let other = Call::set_up(&mut relay, "c2", "bob");
        other.exchange(1);
        call.exchange(2);
        disk.remount("rw");
        settled(&relay);
    }
    relay.daemon.kill();
    // A data directory that cannot be written is named at the start.
    disk.remount("ro");
    let run = ended(homeward(relay.dir.path()).args(["run", "--config", "relay.toml"]));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("relay.data_dir"), "{}", run.err);
    disk.remount("rw");
    relay.start_again();
    call.exchange(3);
}
