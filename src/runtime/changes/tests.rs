use std::net::SocketAddr;

use super::*;
use crate::config::check;

fn config(text: &str) -> Config {
    check(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{text}"))
}

/// A whole file, with these lines in `[relay]` and these after it.
fn file(relay: &str, rest: &str) -> Config {
    config(&format!(
        "[relay]\nsystem = \"p.example\"\n{relay}\n{rest}\n"
    ))
}

const TWO: &str = "[[logger]]\nname = \"a\"\ntransport = \"rtp\"\naddress = \"127.0.0.1\"\n\
                   ports = [50000, 50099]\n[[logger]]\nname = \"b\"\ntransport = \"rtp\"\n\
                   address = \"127.0.0.1\"\nports = [50100, 50199]\n";

#[test]
fn the_same_file_changes_nothing() {
    let old = file(
        "",
        &format!("{TWO}[[agreement]]\nprimary = \"h.example\"\n"),
    );
    let (force, changes) = of_relay(&old, &old.clone());
    assert_eq!((force, changes), (old, Changes::default()));
}

#[test]
fn limits_apply_and_the_ground_stays() {
    let old = file("", TWO);
    let new = file(
        "max_calls = 7\nmedia_timeout = 5\nworkers = 3\ndata_dir = \"elsewhere\"\n\
         learning = \"off\"",
        &format!("[ng]\nallow = [\"127.0.0.9\"]\n[http]\nlisten = \"127.0.0.1:81\"\n{TWO}"),
    );
    let (force, changes) = of_relay(&old, &new);
    assert_eq!(
        changes.applied,
        [
            "relay.max_calls: changed",
            "relay.media_timeout: changed",
            "relay.learning: changed",
            "ng.allow: changed",
        ]
    );
    assert_eq!(
        changes.restart,
        [
            "relay.data_dir: changed",
            "relay.workers: changed",
            "http.listen: changed",
            "archive.dir: changed",
        ]
    );
    assert_eq!((force.relay.max_calls, force.relay.workers), (7, 0));
    assert_eq!(force.http.listen, old.http.listen);
    // What waits for a start is told again and again.
    let (_, again) = of_relay(&force, &new);
    assert_eq!((again.applied.len(), again.restart), (0, changes.restart));
    assert_eq!(of_relay(&force, &old).1.restart, Vec::<String>::new());
}

#[test]
fn agreements_and_loggers_come_change_and_go() {
    let agreed = |primary: &str, more: &str| {
        format!("[[agreement]]\nprimary = \"{primary}\"\nloggers = [\"b\"]\n{more}\n")
    };
    let old = file(
        "",
        &format!(
            "{TWO}{}{}",
            agreed("h.example", ""),
            agreed("i.example", "")
        ),
    );
    let only_b = TWO.replace("\"a\"", "\"c\"").replace("50100", "50102");
    let new = file(
        "",
        &format!(
            "{only_b}{}{}",
            agreed("i.example", "media = [\"audio\"]"),
            agreed("j.example", "")
        ),
    );
    let (force, changes) = of_relay(&old, &new);
    assert_eq!(
        changes.applied,
        [
            "logger[c]: added",
            "logger[b]: changed",
            "logger[a]: removed",
            "agreement[i.example]: changed",
            "agreement[j.example]: added",
            "agreement[h.example]: removed",
        ]
    );
    assert_eq!(changes.restart, Vec::<String>::new());
    assert_eq!(
        (force.loggers, force.agreements),
        (new.loggers, new.agreements)
    );
}

#[test]
fn an_embedded_logger_begins_with_the_process_and_an_interface_too() {
    let old = file("", TWO);
    let more = "[[logger]]\nname = \"here\"\ntransport = \"rtp\"\nembedded = true\n\
                [[interface]]\nname = \"new\"\naddresses = \"127.0.0.1\"\nports = [3000, 3009]\n";
    let new = file("", &format!("{TWO}{more}"));
    let (force, changes) = of_relay(&old, &new);
    assert_eq!(changes.applied, Vec::<String>::new());
    let [added, removed, first, logger] = &changes.restart[..] else {
        panic!("{changes:?}");
    };
    assert!(added.starts_with("interface[new]: added"), "{added}");
    assert!(removed.starts_with("interface[default]: removed"));
    assert!(first.contains("default"), "{first}");
    assert!(logger.starts_with("logger[here]: added"), "{logger}");
    assert_eq!(force, old);
    // The other way round it goes at once: its mirrors move, and it has nothing more to do.
    let (force, changes) = of_relay(&new, &old);
    assert_eq!(changes.applied, ["logger[here]: removed"]);
    assert_eq!(force.loggers, old.loggers);
}

#[test]
fn a_socket_beyond_loopback_never_loses_its_token() {
    let mut old = file("", "[http]\ntoken_file = \"t\"");
    old.http.listen = vec![SocketAddr::from(([192, 0, 2, 1], 80))];
    let new = file("", "");
    let (force, changes) = of_relay(&old, &new);
    assert_eq!(force.http, old.http);
    assert_eq!(
        changes.restart,
        ["http.listen: changed", "http.token_file: changed"]
    );
    let other = file("", "[http]\ntoken_file = \"u\"");
    let (force, changes) = of_relay(&old, &other);
    assert_eq!(force.http.token_file, Some("u".into()));
    assert_eq!(changes.applied, ["http.token_file: changed"]);
}

#[test]
fn a_logger_alone_takes_its_own_sections_only() {
    let old = config("[archive]\nrelays = [\"127.0.0.1\"]");
    let new = config(
        "[relay]\nworkers = 5\n[archive]\nrelays = [\"127.0.0.2\"]\nblock_bytes = 4096\n\
         [log]\nfilter = \"debug\"\nformat = \"json\"",
    );
    let (force, changes) = of_logger(&old, &new);
    assert_eq!(
        changes.applied,
        ["archive.relays: changed", "log.filter: changed"]
    );
    assert_eq!(
        changes.restart,
        ["archive.block_bytes: changed", "log.format: changed"]
    );
    assert_eq!(force.archive.relays, new.archive.relays);
    // One that hears others must not come to hear everybody.
    let mut open = old;
    open.archive.bind = [192, 0, 2, 1].into();
    let (force, changes) = of_logger(&open, &config(""));
    assert_eq!(force.archive.relays, open.archive.relays);
    assert!(changes.restart.contains(&"archive.relays: changed".into()));
}

#[test]
fn partners_of_a_logger_come_change_and_go() {
    let file = |system: &str, partners: &str| {
        config(&format!(
            "[relay]\nsystem = \"{system}\"\n[users]\n{partners}"
        ))
    };
    let partner = |name: &str, more: &str| {
        format!("[[partner]]\nsystem = \"{name}\"\ntoken_file = \"t\"\n{more}\n")
    };
    let three = ["a.example", "b.example", "c.example"].map(|name| partner(name, ""));
    let old = file("h.example", &three.concat());
    let changed = partner("b.example", "interconnected = true");
    let added = partner("d.example", "");
    let new = file("h.example", &[three[0].clone(), changed, added].concat());
    let (force, changes) = of_logger(&old, &new);
    assert_eq!(
        changes.applied,
        [
            "partner[b.example]: changed",
            "partner[d.example]: added",
            "partner[c.example]: removed",
        ]
    );
    assert_eq!((&force, changes.restart), (&new, Vec::new()));
    // Another name of ours waits for a start, and so does a partner with the name of before.
    let new = file("other.example", &partner("h.example", ""));
    let (force, changes) = of_logger(&old, &new);
    assert_eq!(force.relay.system, old.relay.system);
    assert!(force.partners.is_empty());
    assert_eq!(changes.restart[0], "relay.system: changed");
    assert!(changes.restart[1].starts_with("partner[h.example]: "));
    // Nobody can speak to a logger that keeps no users.
    let (force, changes) = of_logger(&config(""), &old);
    assert!(force.partners.is_empty() && force.users.is_none());
    let waiting = ["relay.system", "partner", "users"];
    let waiting = waiting.map(|key| format!("{key}: changed"));
    assert_eq!((changes.applied, changes.restart), (vec![], waiting.into()));
}
