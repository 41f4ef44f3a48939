//! What another configuration means for a service that runs: a pure function of the one in force
//! and the one that was read.
//!
//! Each section is taken apart member by member, so that a new member does not compile until
//! somebody has decided whether it applies at once ([`Sorter::now`]), takes effect at the next
//! start ([`Sorter::later`]), or concerns only the check of the file.

use crate::config::{
    Address, Anchor, Announce, Archive, Config, Http, Interface, Log, Logger, Ng, Relay, Tell,
    Transport,
};
use crate::migration::agreement::Agreement;
use crate::migration::identity::SystemName;

/// What became of the differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// What applies at once: the key, and what happened to it.
    pub(super) applied: Vec<String>,
    /// What takes effect at the next start.
    pub(super) restart: Vec<String>,
}

/// The configuration in force after a running relay has taken over what it can of `new`, and what
/// became of each difference.
pub(super) fn of_relay(old: &Config, new: &Config) -> (Config, Changes) {
    let mut force = old.clone();
    let mut sorter = Sorter::default();
    let Config {
        relay: new_relay,
        interfaces: new_interfaces,
        ng: new_ng,
        http: new_http,
        loggers: new_loggers,
        anchors: new_anchors,
        agreements: new_agreements,
        tells: new_tells,
        partners: _,
        users: _,
        archive: new_archive,
        media_anchor: new_media_anchor,
        log: new_log,
    } = new;
    relay(&mut force.relay, new_relay, &mut sorter);
    interfaces(&force.interfaces, new_interfaces, &mut sorter);
    ng(&mut force.ng, new_ng, &mut sorter);
    http(&mut force.http, new_http, &mut sorter);
    force.loggers = loggers(&force.loggers, new_loggers, &mut sorter);
    anchors(&force.anchors, new_anchors, &mut sorter);
    force.agreements = agreements(&force, new_agreements, &mut sorter);
    sorter.later("agreement.tell", &doors(&force.tells), &doors(new_tells));
    archive(&mut force.archive, new_archive, false, &mut sorter);
    sorter.later("media_anchor", &force.media_anchor, new_media_anchor);
    log(&mut force.log, new_log, &mut sorter);
    (force, sorter.changes)
}

/// The same for a logger that runs alone, which has only some of the sections.
pub(super) fn of_logger(old: &Config, new: &Config) -> (Config, Changes) {
    let mut force = old.clone();
    let mut sorter = Sorter::default();
    let Config {
        relay: new_relay,
        interfaces: _,
        ng: _,
        http: new_http,
        loggers: _,
        anchors: _,
        agreements: _,
        tells: _,
        partners: new_partners,
        users: new_users,
        archive: new_archive,
        media_anchor: new_media_anchor,
        log: new_log,
    } = new;
    http(&mut force.http, new_http, &mut sorter);
    // Of the section it concerns only whose users are kept.
    sorter.later("relay.system", &force.relay.system, &new_relay.system);
    sorter.later("partner", &force.partners, new_partners);
    sorter.later("users", &force.users, new_users);
    archive(&mut force.archive, new_archive, true, &mut sorter);
    sorter.later("media_anchor", &force.media_anchor, new_media_anchor);
    log(&mut force.log, new_log, &mut sorter);
    (force, sorter.changes)
}

/// Who is told of migrations, and where.
fn doors(tells: &[Tell]) -> Vec<(&SystemName, &Announce)> {
    tells
        .iter()
        .map(|tell| (&tell.primary, &tell.door))
        .collect()
}

/// Sorts differences by when they take effect.
#[derive(Debug, Default)]
struct Sorter {
    changes: Changes,
}

impl Sorter {
    /// Applies at once.
    fn now<T: PartialEq + Clone>(&mut self, key: &str, force: &mut T, new: &T) {
        if force != new {
            force.clone_from(new);
            self.applied(key, "changed");
        }
    }

    /// Takes effect at the next start.
    fn later<T: PartialEq>(&mut self, key: &str, force: &T, new: &T) {
        if force != new {
            self.restart(key, "changed");
        }
    }

    fn applied(&mut self, key: &str, what: &str) {
        self.changes.applied.push(format!("{key}: {what}"));
    }

    fn restart(&mut self, key: &str, what: &str) {
        self.changes.restart.push(format!("{key}: {what}"));
    }
}

fn relay(force: &mut Relay, new: &Relay, sorter: &mut Sorter) {
    let Relay {
        system,
        data_dir,
        workers,
        max_calls,
        ended_calls,
        media_timeout,
        silent_timeout,
        offer_timeout,
        final_timeout,
        delete_delay,
        port_linger,
        learning,
        strict_source,
        journal,
        preroll,
        preroll_call_bytes,
        preroll_bytes,
        plain_networks,
    } = new;
    sorter.later("relay.system", &force.system, system);
    sorter.later("relay.data_dir", &force.data_dir, data_dir);
    sorter.later("relay.workers", &force.workers, workers);
    sorter.now("relay.max_calls", &mut force.max_calls, max_calls);
    sorter.now("relay.ended_calls", &mut force.ended_calls, ended_calls);
    sorter.now(
        "relay.media_timeout",
        &mut force.media_timeout,
        media_timeout,
    );
    sorter.now(
        "relay.silent_timeout",
        &mut force.silent_timeout,
        silent_timeout,
    );
    sorter.now(
        "relay.offer_timeout",
        &mut force.offer_timeout,
        offer_timeout,
    );
    sorter.now(
        "relay.final_timeout",
        &mut force.final_timeout,
        final_timeout,
    );
    sorter.now("relay.delete_delay", &mut force.delete_delay, delete_delay);
    sorter.now("relay.port_linger", &mut force.port_linger, port_linger);
    sorter.now("relay.learning", &mut force.learning, learning);
    sorter.now(
        "relay.strict_source",
        &mut force.strict_source,
        strict_source,
    );
    sorter.later("relay.journal", &force.journal, journal);
    // Workers have taken the room for it.
    sorter.later("relay.preroll", &force.preroll, preroll);
    sorter.later(
        "relay.preroll_call_bytes",
        &force.preroll_call_bytes,
        preroll_call_bytes,
    );
    sorter.later("relay.preroll_bytes", &force.preroll_bytes, preroll_bytes);
    // The check of the file asks it, and nobody else.
    force.plain_networks.clone_from(plain_networks);
}

fn interfaces(force: &[Interface], new: &[Interface], sorter: &mut Sorter) {
    for interface in new {
        let Interface {
            name,
            addresses,
            ports,
        } = interface;
        let key = format!("interface[{name}]");
        let Some(old) = force.iter().find(|old| old.name == *name) else {
            sorter.restart(&key, "added");
            continue;
        };
        let pairs = |list: &[Address]| -> Vec<_> {
            let pair = |Address { bind, advertised }: &Address| (*bind, *advertised);
            list.iter().map(pair).collect()
        };
        let (was, is) = (pairs(&old.addresses), pairs(addresses));
        sorter.later(&format!("{key}.addresses"), &was, &is);
        sorter.later(&format!("{key}.ports"), &old.ports, ports);
    }
    let gone = force
        .iter()
        .filter(|old| new.iter().all(|i| i.name != old.name));
    for old in gone {
        sorter.restart(&format!("interface[{}]", old.name), "removed");
    }
    let first = |list: &[Interface]| list.first().map(|interface| interface.name.clone());
    if first(force) != first(new) {
        sorter.restart("interface", "another one is the default");
    }
}

fn ng(force: &mut Ng, new: &Ng, sorter: &mut Sorter) {
    let Ng { udp, allow } = new;
    sorter.later("ng.udp", &force.udp, udp);
    sorter.now("ng.allow", &mut force.allow, allow);
}

fn http(force: &mut Http, new: &Http, sorter: &mut Sorter) {
    let Http {
        listen,
        token_file,
        max_connections,
    } = new;
    sorter.later("http.listen", &force.listen, listen);
    // Without a token nobody but this machine may reach the sockets, and they stay what they are.
    let open = force.listen.iter().any(|at| !at.ip().is_loopback());
    match (token_file, open) {
        (None, true) => sorter.later("http.token_file", &force.token_file, token_file),
        _ => sorter.now("http.token_file", &mut force.token_file, token_file),
    }
    sorter.later(
        "http.max_connections",
        &force.max_connections,
        max_connections,
    );
}

/// The loggers in force, in the order of the new file.
fn loggers(force: &[Logger], new: &[Logger], sorter: &mut Sorter) -> Vec<Logger> {
    let mut found = Vec::new();
    for logger in new {
        let Logger { name, transport } = logger;
        let key = format!("logger[{name}]");
        let old = force.iter().find(|old| old.name == *name);
        let begins = match transport {
            Transport::Embedded => true,
            Transport::Rtp {
                addresses: _,
                ports: _,
                announce: None,
            } => false,
            Transport::Rtp {
                addresses: _,
                ports: _,
                announce:
                    Some(Announce {
                        address: _,
                        token_file: _,
                    }),
            } => false,
        };
        match old {
            Some(old) if old.transport == *transport => {}
            // To open an archive takes time in which no call could be made.
            Some(old) if begins => {
                sorter.restart(&key, "is to be embedded");
                found.push(old.clone());
                continue;
            }
            None if begins => {
                sorter.restart(&key, "added; an embedded one begins with the process");
                continue;
            }
            Some(_) => sorter.applied(&key, "changed"),
            None => sorter.applied(&key, "added"),
        }
        found.push(logger.clone());
    }
    let gone = force
        .iter()
        .filter(|old| new.iter().all(|l| l.name != old.name));
    for old in gone {
        sorter.applied(&format!("logger[{}]", old.name), "removed");
    }
    found
}

/// Home legs are open at anchors, and workers know their limits: none changes under way.
fn anchors(force: &[Anchor], new: &[Anchor], sorter: &mut Sorter) {
    for anchor in new {
        let key = format!("anchor[{}]", anchor.name);
        match force.iter().find(|old| old.name == anchor.name) {
            Some(old) => sorter.later(&key, old, anchor),
            None => sorter.restart(&key, "added"),
        }
    }
    let gone = force
        .iter()
        .filter(|old| new.iter().all(|a| a.name != old.name));
    for old in gone {
        sorter.restart(&format!("anchor[{}]", old.name), "removed");
    }
}

/// The agreements in force. All of their members apply at once, through the decision.
fn agreements(force: &Config, new: &[Agreement], sorter: &mut Sorter) -> Vec<Agreement> {
    let mut found = Vec::new();
    for agreement in new {
        let key = format!("agreement[{}]", agreement.primary);
        if agreement.primary == force.relay.system {
            sorter.restart(&key, "this is the name of our own system until then");
            continue;
        }
        let old = force.agreements.iter();
        match old.clone().find(|old| old.primary == agreement.primary) {
            Some(old) if old == agreement => {}
            Some(_) => sorter.applied(&key, "changed"),
            None => sorter.applied(&key, "added"),
        }
        found.push(agreement.clone());
    }
    for old in &force.agreements {
        if new.iter().all(|a| a.primary != old.primary) {
            sorter.applied(&format!("agreement[{}]", old.primary), "removed");
        }
    }
    found
}

fn archive(force: &mut Archive, new: &Archive, alone: bool, sorter: &mut Sorter) {
    let Archive {
        dir,
        bind,
        ports,
        relays,
        close_grace,
        block_bytes,
        block_age,
        segment_bytes,
    } = new;
    sorter.later("archive.dir", &force.dir, dir);
    sorter.later("archive.bind", &force.bind, bind);
    sorter.later("archive.ports", &force.ports, ports);
    // An embedded logger hears its own process only. For another one an empty list means that it
    // is on loopback, and its socket stays where it is.
    if alone && (force.bind.is_loopback() || !relays.is_empty()) {
        sorter.now("archive.relays", &mut force.relays, relays);
    } else if alone {
        sorter.later("archive.relays", &force.relays, relays);
    }
    sorter.later("archive.close_grace", &force.close_grace, close_grace);
    sorter.later("archive.block_bytes", &force.block_bytes, block_bytes);
    sorter.later("archive.block_age", &force.block_age, block_age);
    sorter.later("archive.segment_bytes", &force.segment_bytes, segment_bytes);
}

fn log(force: &mut Log, new: &Log, sorter: &mut Sorter) {
    let Log { filter, json } = new;
    sorter.now("log.filter", &mut force.filter, filter);
    sorter.later("log.format", &force.json, json);
}

#[cfg(test)]
mod tests {
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
}
