//! `homeward logger` as a process of its own, with a relay that copies to it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use homeward::traffic::recordings::check_files;
use homeward::traffic::{self, Plan};

use crate::daemon::{Daemon, Relay};
use crate::tools::{eventually, free_ports, recordings, run};

#[test]
fn stores_what_a_relay_copies_to_it_packet_by_packet() {
    let dir = tempfile::tempdir().unwrap();
    let (first, last) = free_ports(40);
    let text = format!("[archive]\ndir = \"stored\"\nports = [{first}, {last}]\n");
    std::fs::write(dir.path().join("logger.toml"), text).unwrap();
    let mut logger = Daemon::start(dir.path(), &["logger", "--config", "logger.toml"]);
    logger.says("media is taken as plain RTP");

    let there = format!("address = [\"127.0.0.1\"]\nports = [{first}, {last}]\n");
    let mut relay = Relay::with_logger(&there);
    (1..=3).for_each(|number| relay.migrate(&format!("user-{number}")));
    let (from, to) = free_ports(40);
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

#[test]
fn takes_media_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (first, last) = free_ports(10);
    let text = format!("[archive]\ndir = \"stored\"\nports = [{first}, {last}]\n");
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
            format!("[archive]\nports = [{even}, {}]\n", even + 1),
            ["archive", "in use"],
        ),
        (
            format!(
                "[archive]\ndir = \"in-the-way\"\nports = [{even}, {}]\n",
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
