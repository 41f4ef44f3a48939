//! `homeward logger` as a process of its own, with a relay that copies to it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use homeward::traffic::recordings::check_files;
use homeward::traffic::{self, Plan, Report};
use homeward::wire::pcapng::{Block, Reader};
use serde_json::Value;

use crate::daemon::{Daemon, Relay, http};
use crate::media::Call;
use crate::tools::{eventually, free_port, free_ports, recordings, run};

#[test]
fn stores_what_a_relay_copies_to_it_packet_by_packet() {
    let dir = tempfile::tempdir().unwrap();
    let (first, last) = free_ports(40);
    let text =
        format!("[archive]\ndir = \"stored\"\nports = [{first}, {last}]\n[http]\nlisten = []\n");
    std::fs::write(dir.path().join("logger.toml"), text).unwrap();
    let mut logger = Daemon::start(dir.path(), &["logger", "--config", "logger.toml"]);
    logger.says("media is taken as plain RTP");

    let there = format!("address = [\"127.0.0.1\"]\nports = [{first}, {last}]\n");
    let mut relay = Relay::with_logger(&there);
    (1..=3).for_each(|number| relay.migrate(&format!("user-{number}")));
    let (from, to) = free_ports(40);
    let played = play(&relay, (from, to));
    assert_eq!(relay.daemon.terminate().code(), Some(0));

    // Nobody has announced these calls: their recordings are closed with the logger at the latest.
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    let files = recordings(&dir.path().join("stored"));
    let found = check_files(&files, &played.expected);
    assert!(found.passed(), "{found:#?}");
    assert_eq!(found.stored, 3 * 2 * 50 * 2);
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("unattributed-"), "{name}");
    }
}

/// Three calls of migrated users, two seconds each; all went well between the parties.
fn play(relay: &Relay, (from, to): (u16, u16)) -> Report {
    let keys = [
        ("mc-service", "mcptt"),
        ("mc-session-type", "private"),
        ("mc-calling-id", "sip:user-<n>@partner.example"),
        ("mc-called-id", "sip:dispatcher-<n>@partner.example"),
    ];
    let plan = Plan {
        calls: 3,
        seconds: 2,
        ports: from..=to,
        keys: keys.map(|(key, value)| (key.into(), value.into())).into(),
        ng_timeout: Duration::from_secs(5),
        ..Plan::new(relay.ng_address())
    };
    let played = traffic::run(&plan, &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert!(played.passed(), "{:?}", played.problems);
    played
}

/// A logger with a door, in a directory of its own, and what a relay must know of it.
struct Told {
    dir: tempfile::TempDir,
    door: u16,
    there: String,
}

impl Told {
    fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ((first, last), door) = (free_ports(40), free_port());
        let token = dir.path().join("token");
        std::fs::write(&token, "a-token-of-this-test").unwrap();
        let text = format!(
            "[archive]\ndir = \"stored\"\nports = [{first}, {last}]\n[http]\n\
             listen = \"127.0.0.1:{door}\"\ntoken_file = \"token\"\n"
        );
        std::fs::write(dir.path().join("logger.toml"), text).unwrap();
        let there = format!(
            "address = \"127.0.0.1\"\nports = [{first}, {last}]\n\
             announce = \"http://127.0.0.1:{door}\"\nannounce_token_file = {token:?}\n"
        );
        Self { dir, door, there }
    }

    fn start(&self) -> Daemon {
        let mut logger = Daemon::start(self.dir.path(), &["logger", "--config", "logger.toml"]);
        logger.says("media is taken as plain RTP");
        logger.says("listening for HTTP");
        logger
    }

    fn stored(&self) -> Vec<std::path::PathBuf> {
        recordings(&self.dir.path().join("stored"))
    }

    /// What the call says of itself in its recording: the first comment of the file.
    fn comment(file: &std::path::Path) -> Value {
        let bytes = std::fs::read(file).unwrap();
        let mut reader = Reader::new(bytes.as_slice());
        match reader.next_block().unwrap() {
            Some(Block::Section(section)) => serde_json::from_str(&section.comments()[0]).unwrap(),
            _ => panic!("a section comes first"),
        }
    }
}

#[test]
fn names_the_calls_that_a_relay_announces() {
    let told = Told::prepare();
    let mut logger = told.start();
    let mut relay = Relay::with_logger(&told.there);
    (1..=3).for_each(|number| relay.migrate(&format!("user-{number}")));
    let played = play(&relay, free_ports(40));

    // Recordings are closed while relay and logger run.
    let files = eventually("three recordings", || {
        let files = told.stored();
        (files.len() >= 3).then_some(files)
    });
    let found = check_files(&files, &played.expected);
    assert!(found.passed(), "{found:#?}");
    assert_eq!((files.len(), found.stored), (3, 3 * 2 * 50 * 2));
    for expected in &played.expected {
        let mut files = files.iter();
        let named = |file: &&std::path::PathBuf| {
            let name = file.file_name().unwrap().to_str().unwrap();
            name.starts_with(&expected.call_id)
        };
        let comment = Told::comment(files.find(named).unwrap()).to_string();
        assert!(comment.contains("@primary.example"), "{comment}");
        assert!(comment.contains(&expected.call_id), "{comment}");
    }
    let (_, metrics) = relay.http("GET", "/metrics", "");
    let line = "homeward_announcements_total{logger=\"hq\",result=\"refused\"} 0";
    assert!(metrics.contains(line), "{metrics}");
    let (status, body) = http(told.door, "GET", "/v1/recordings", "").unwrap();
    assert_eq!(status, 401, "{body}");
    let (status, _) = http(told.door, "GET", "/healthz", "").unwrap();
    assert_eq!(status, 200);
    assert_eq!(relay.daemon.terminate().code(), Some(0));
    assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    assert_eq!(told.stored().len(), 3, "{:?}", told.stored());
}

#[test]
fn is_told_of_calls_that_are_up_when_it_starts() {
    let told = Told::prepare();
    let mut relay = Relay::with_logger(&told.there);
    relay.migrate("alice");
    let call = Call::set_up(&mut relay, "call-1", "alice");
    call.exchange(1);
    relay.daemon.says("the logger cannot be told");
    assert!(
        !relay.daemon.log().contains("call-1"),
        "{}",
        relay.daemon.log()
    );
    for sequence in [10, 20] {
        let mut logger = told.start();
        // Told twice: of the first logger, and of the one after its restart.
        let words = "the logger is told which calls are mirrored";
        eventually(words, || {
            let times = relay.daemon.log().matches(words).count();
            (times == usize::from(sequence / 10)).then_some(())
        });
        (sequence..sequence + 5).for_each(|sequence| call.exchange(sequence));
        if sequence == 20 {
            call.delete(&mut relay);
            eventually("a second recording", || {
                (told.stored().len() > 1).then_some(())
            });
        }
        assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
    }
    for file in told.stored() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("call-1-"), "{name}");
        let comment = Told::comment(&file).to_string();
        assert!(comment.contains("sip:alice@primary.example"), "{comment}");
    }
    assert_eq!(relay.daemon.terminate().code(), Some(0));
}

#[test]
fn takes_media_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (first, last) = free_ports(10);
    let text =
        format!("[archive]\ndir = \"stored\"\nports = [{first}, {last}]\n[http]\nlisten = []\n");
    std::fs::write(dir.path().join("logger.toml"), text).unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 1..=2 {
        let mut logger = Daemon::start(dir.path(), &["logger", "--config", "logger.toml"]);
        logger.says("media is taken as plain RTP");
        for sequence in 0..10 {
            let packet = crate::media::rtp(0, sequence);
            sender.send_to(&packet, ("127.0.0.1", first)).unwrap();
        }
        assert_eq!(logger.terminate().code(), Some(0), "{}", logger.log());
        eventually("a recording a round", || {
            (recordings(dir.path()).len() == round).then_some(())
        });
    }
}

#[test]
fn says_what_keeps_it_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let busy = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let even = port & !1;
    std::fs::write(dir.path().join("in-the-way"), "").unwrap();
    for (text, words) in [
        (
            format!(
                "[http]\nlisten = []\n[archive]\nports = [{even}, {}]\n",
                even + 1
            ),
            ["archive", "in use"],
        ),
        (
            format!(
                "[http]\nlisten = []\n[archive]\ndir = \"in-the-way\"\nports = [{even}, {}]\n",
                even + 1
            ),
            ["archive", "in-the-way"],
        ),
    ] {
        std::fs::write(dir.path().join("logger.toml"), text).unwrap();
        let done = run(dir.path(), ["logger", "--config", "logger.toml"]);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""));
        assert_eq!(done.err.lines().count(), 1, "{}", done.err);
        for word in words {
            assert!(done.err.contains(word), "{word}: {}", done.err);
        }
    }
    let open = "[archive]\nbind = \"192.0.2.1\"\n";
    std::fs::write(dir.path().join("logger.toml"), open).unwrap();
    let done = run(dir.path(), ["logger", "--config", "logger.toml"]);
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert!(done.err.contains("archive.bind: "), "{}", done.err);
}
