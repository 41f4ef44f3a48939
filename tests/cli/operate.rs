//! What operators do with a running relay: `calls`, `explain`, `migrations`, `drain`, and SIGHUP.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Relay, http};
use crate::media::Call;
use crate::tools::{Ended, eventually, free_port, free_ports, homeward, run};

/// Runs a command that finds the relay by its file; it must be good, and say nothing else.
fn ask(relay: &Relay, args: &[&str]) -> String {
    let done = tried(relay, args);
    assert_eq!(
        (done.code, done.err.as_str()),
        (Some(0), ""),
        "{args:?}: {}",
        done.out
    );
    done.out
}

fn tried(relay: &Relay, args: &[&str]) -> Ended {
    run(
        relay.dir.path(),
        [args, &["--config", "relay.toml"]].concat(),
    )
}

/// The line that begins so.
fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let mut lines = text.lines();
    lines
        .find(|line| line.trim_start().starts_with(start))
        .unwrap_or_else(|| panic!("no line {start:?} in:\n{text}"))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The relay's file with this text replaced, as SIGHUP finds it.
fn edit(relay: &Relay, from: &str, to: &str) {
    let path = relay.dir.path().join("relay.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn calls_are_listed_in_columns() {
    let mut relay = Relay::start();
    assert_eq!(ask(&relay, &["calls"]), "no calls\n");
    relay.migrate("alice");
    let mirrored = Call::set_up(&mut relay, "first", "alice");
    let other = Call::set_up(&mut relay, "second-with-a-long-name", "bob");
    for sequence in 0..7 {
        mirrored.exchange(sequence);
    }
    other.exchange(1);
    let table = eventually("all packets are counted", || {
        let table = ask(&relay, &["calls"]);
        let line = words(line(&table, "first ")).join(" ");
        line.contains(" 7 7 0 hq ").then_some(table)
    });
    let heading = line(&table, "CALL ");
    assert_eq!(table.lines().next(), Some(heading));
    let first = line(&table, "first ");
    assert_eq!(words(first)[1], "answered", "{first}");
    assert!(first.ends_with("sip:alice@partner.example -> sip:dispatcher@partner.example"));
    let second = words(line(&table, "second-with-a-long-name "));
    assert_eq!(second[second.len() - 4], "-", "not mirrored: {second:?}");
    for column in ["STATE", "MIRRORED TO", "WHO"] {
        let at = heading.find(column).unwrap();
        for row in table.lines().skip(1).take(2) {
            assert_eq!(&row[at - 2..at], "  ", "{column}:\n{table}");
            assert_ne!(&row[at..=at], " ", "{column}:\n{table}");
        }
    }
    assert!(table.ends_with("\n2 calls\n"), "{table}");
    let answer: Value = serde_json::from_str(&ask(&relay, &["calls", "--json"])).unwrap();
    assert_eq!(answer["calls"].as_array().unwrap().len(), 2);
    assert_eq!(answer["calls"][0]["packets"]["from_calling"], 7);
}

#[test]
fn a_call_is_explained_so_that_a_tired_person_understands() {
    let mut relay = Relay::start();
    relay.migrate("alice");
    let call = Call::set_up(&mut relay, "c/1 x", "alice");
    for sequence in 0..9 {
        call.exchange(sequence);
    }
    let text = eventually("all packets are counted", || {
        let text = ask(&relay, &["explain", "c/1 x"]);
        text.contains("18 packets copied").then_some(text)
    });
    assert!(text.starts_with("call c/1 x\n  answered for "), "{text}");
    assert!(text.contains("mirrored to primary.example (logger hq): 18 packets copied"));
    assert!(!text.contains("\n! "), "nothing to be warned of:\n{text}");
    line(&text, "calling leg: sip:alice@partner.example (tag a)");
    line(&text, "called leg: sip:dispatcher@partner.example (tag b)");
    assert!(
        line(&text, "rule").contains("duplicate audio, video, floor to hq"),
        "{text}"
    );
    assert!(text.contains("no (not-migrated)"), "{text}");
    assert!(
        line(&text, "packets").contains("9 in, 9 out; the last one came "),
        "{text}"
    );
    assert_eq!(words(line(&text, "dropped")), ["dropped", "none"]);
    line(&text, "mirror to primary.example: hq");
    assert_eq!(text.matches("  audio  rtp ").count(), 2, "{text}");
    call.delete(&mut relay);
    let text = ask(&relay, &["explain", "c/1 x"]);
    assert!(
        line(&text, "ended 20").contains("(deleted) after "),
        "{text}"
    );
    let answer: Value =
        serde_json::from_str(&ask(&relay, &["explain", "--json", "c/1 x"])).unwrap();
    assert_eq!(
        (&answer["state"], &answer["end"]),
        (&json!("ended"), &json!("deleted"))
    );
    let unknown = tried(&relay, &["explain", "nobody's"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), ""));
    assert!(
        unknown.err.contains("no call with this id"),
        "{}",
        unknown.err
    );
}

#[test]
fn what_strangers_wrote_does_not_command_the_terminal() {
    let mut relay = Relay::start();
    let id = "\u{1b}[2J\u{7}evil\u{202e}\nnext";
    Call::set_up(&mut relay, id, "carol");
    for args in [&["calls"][..], &["explain", id]] {
        let text = ask(&relay, args);
        assert!(text.contains("evil"), "{text:?}");
        let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(bad) && !text.contains("\nnext"), "{text:?}");
    }
}

#[test]
fn migrations_come_and_go() {
    let relay = Relay::start();
    assert_eq!(ask(&relay, &["migrations"]), "no migrations\n");
    let add = [
        "migrations",
        "add",
        "--primary-id",
        "sip:alice@primary.example",
        "--partner-id",
        "sip:a1@partner.example",
        "--primary-system",
        "primary.example",
        "--alias",
        "sip:chief@partner.example",
        "--until",
        "2100-01-01T00:00:00Z",
    ];
    let said = ask(&relay, &add);
    assert!(
        said.starts_with("migration 1 added: sip:alice@primary.example of "),
        "{said}"
    );
    let listed = ask(
        &relay,
        &["migrations", "list", "--primary-system", "primary.example"],
    );
    let row = words(line(&listed, "1 "));
    assert_eq!(row[..3], ["1", "mcptt", "sip:a1@partner.example"]);
    assert_eq!(row[6], "2100-01-01T00:00:00.000Z");
    assert!(listed.ends_with("\n1 migration\n"), "{listed}");
    let other = ask(
        &relay,
        &["migrations", "list", "--primary-system", "x.example"],
    );
    assert_eq!(other, "no migrations\n");
    let shown = ask(&relay, &["migrations", "show", "1"]);
    assert_eq!(
        words(line(&shown, "functional_aliases"))[1],
        "sip:chief@partner.example"
    );
    let ended = ask(&relay, &["migrations", "end", "1"]);
    assert!(ended.starts_with("migration 1 ended: "), "{ended}");
    assert_eq!(ask(&relay, &["migrations", "list"]), "no migrations\n");
    let all: Value =
        serde_json::from_str(&ask(&relay, &["migrations", "list", "--all", "--json"])).unwrap();
    assert_eq!(all["migrations"][0]["id"], 1);
    for (args, word) in [
        (&["migrations", "end", "1"][..], "ended"),
        (&["migrations", "show", "99"], "no migration"),
        (&["migrations", "list", "--service", "fax"], "service: "),
    ] {
        let done = tried(&relay, args);
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{args:?}");
        assert!(done.err.contains(word), "{args:?}: {}", done.err);
    }
}

#[test]
fn draining_is_begun_undone_and_waited_for() {
    let mut relay = Relay::start();
    let call = Call::set_up(&mut relay, "last", "bob");
    assert!(ask(&relay, &["drain", "--status"]).starts_with("not draining: "));
    let said = ask(&relay, &["drain"]);
    assert!(
        said.starts_with("draining since 20") && said.contains(": 1 call left; "),
        "{said}"
    );
    let (status, problem) = relay.http("GET", "/readyz", "");
    assert!(
        status == 503 && problem.contains("\"draining\""),
        "{problem}"
    );
    let said = ask(&relay, &["drain", "--undo"]);
    assert!(said.starts_with("not draining: "), "{said}");
    assert_eq!(relay.http("GET", "/readyz", "").0, 200);
    let args = ["drain", "--wait", "--exit", "--config", "relay.toml"];
    let mut waiting = homeward(relay.dir.path())
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(waiting.stderr.take().unwrap());
    let mut first = String::new();
    told.read_line(&mut first).unwrap();
    assert_eq!(first, "1 call left\n");
    call.exchange(1);
    call.delete(&mut relay);
    let done = waiting.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{out}");
    let last = ["the relay has ended\n", "drained: no calls are left\n"];
    assert!(last.contains(&&*out), "{out}");
    eventually("the relay ends by itself", || {
        (!relay.daemon.runs()).then_some(())
    });
}

#[test]
fn errors_tell_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{}", free_port());
    for command in [
        &["calls"][..],
        &["explain", "x"],
        &["migrations"],
        &["drain"],
    ] {
        let done = run(dir.path(), [command, &["--url", &url]].concat());
        assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{command:?}");
        for word in [url.as_str(), "is homeward running", "--url", "--config"] {
            assert!(done.err.contains(word), "{command:?}: {}", done.err);
        }
        for (args, word) in [
            (["--url", "https://127.0.0.1:1"], "TLS"),
            (["--url", "nonsense"], "http://127.0.0.1:8080"),
            (["--config", "absent.toml"], "absent.toml"),
            (["--token-file", "absent.token"], "absent.token"),
        ] {
            let done = run(dir.path(), [command, &args].concat());
            assert_eq!(
                (done.code, done.out.as_str()),
                (Some(2), ""),
                "{command:?} {args:?}"
            );
            assert!(done.err.contains(word), "{args:?}: {}", done.err);
        }
    }
    for bad in [
        &["drain", "--undo", "--wait"][..],
        &["calls", "--watch", "0"],
        &["explain"],
    ] {
        assert_eq!(run(dir.path(), bad).code, Some(2), "{bad:?}");
    }
}

#[test]
fn sighup_takes_a_good_file_over_and_leaves_a_bad_one() {
    let mut relay = Relay::start();
    relay.migrate("alice");
    let call = Call::set_up(&mut relay, "goes-on", "alice");
    call.exchange(0);
    let good = std::fs::read_to_string(relay.dir.path().join("relay.toml")).unwrap();
    edit(&relay, "workers = 1", "workers = \"many\"\nmax_calls = 0");
    edit(
        &relay,
        "primary = \"primary.example\"",
        "secondary = \"primary.example\"",
    );
    relay.daemon.signal("HUP");
    for mistake in [
        "configuration not reloaded, nothing was changed",
        "relay.workers: ",
        "relay.max_calls: ",
        "agreement[0].secondary: ",
        "agreement[0].primary: ",
    ] {
        relay.daemon.says(mistake);
    }
    call.exchange(1);
    std::fs::write(relay.dir.path().join("relay.toml"), good).unwrap();
    std::fs::write(relay.dir.path().join("token"), "0123456789abcdef\n").unwrap();
    edit(&relay, "workers = 1", "workers = 2\nmax_calls = 1");
    edit(
        &relay,
        "[[agreement]]",
        "token_file = \"token\"\n[log]\nfilter = \"debug\"\n[[agreement]]",
    );
    relay.daemon.signal("HUP");
    relay.daemon.says("configuration reloaded");
    relay
        .daemon
        .says("takes effect at the next start: relay.workers: changed");
    relay.daemon.says("in force now: relay.max_calls: changed");
    call.exchange(2);
    // The token is wanted now, and the file says where it is.
    let url = relay.url();
    let done = run(relay.dir.path(), ["calls", "--url", &url]);
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("--token-file"), "{}", done.err);
    let given = ["calls", "--url", &url, "--token-file", "token"];
    assert_eq!(run(relay.dir.path(), given).code, Some(0));
    assert!(ask(&relay, &["calls"]).contains("goes-on"));
    // The filter of the log as well.
    call.delete(&mut relay);
    relay.daemon.says("call ended");
    assert_eq!(relay.daemon.terminate().code(), Some(0));
}

#[test]
fn a_logger_reads_its_file_again() {
    let dir = tempfile::tempdir().unwrap();
    let ((first, last), door) = (free_ports(10), free_port());
    let text = |relays: &str| {
        format!(
            "[archive]\ndir = \"stored\"\nports = [{first}, {last}]\nrelays = [{relays}]\n\
             [http]\nlisten = \"127.0.0.1:{door}\"\n"
        )
    };
    let path = dir.path().join("logger.toml");
    std::fs::write(&path, text("\"127.0.0.1\"")).unwrap();
    let mut logger = Daemon::start(dir.path(), &["logger", "--config", "logger.toml"]);
    logger.says("listening for HTTP");
    std::fs::write(&path, text("\"127.0.0.2\"")).unwrap();
    logger.signal("HUP");
    logger.says("in force now: archive.relays: changed");
    std::fs::write(&path, text("\"nobody\"")).unwrap();
    let (status, problem) = http(door, "POST", "/v1/reload", "").unwrap();
    assert_eq!(status, 422, "{problem}");
    assert!(problem.contains("archive.relays"), "{problem}");
    std::fs::write(&path, text("\"127.0.0.2\"")).unwrap();
    let (status, answer) = http(door, "POST", "/v1/reload", "").unwrap();
    assert_eq!(
        (status, answer.as_str()),
        (200, r#"{"applied":[],"at_next_start":[]}"#)
    );
    assert_eq!(logger.terminate().code(), Some(0));
}
