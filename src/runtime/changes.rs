//! What another configuration means for a service that runs: a pure function of the one in force
//! and the one that was read.
//!
//! Each section is taken apart member by member, so that a new member does not compile until
//! somebody has decided whether it applies at once ([`Sorter::now`]), takes effect at the next
//! start ([`Sorter::later`]), or concerns only the check of the file.

use crate::config::{
    Address, Anchor, Announce, Archive, Config, Http, Interface, Log, Logger, Ng, Partner, Relay,
    Tell, Transport,
};
use crate::migration::agreement::Agreement;
use crate::migration::identity::SystemName;
use crate::migration::profile::Partner as Terms;

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
    partners(&mut force, new_partners, &mut sorter);
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

/// The partners in force; where no users are kept there is no door for them yet.
fn partners(force: &mut Config, new: &[Partner], sorter: &mut Sorter) {
    if force.users.is_none() {
        return sorter.later("partner", &force.partners.as_slice(), &new);
    }
    let mut found = Vec::new();
    for partner in new {
        let Partner {
            terms:
                Terms {
                    system,
                    kind: _,
                    services: _,
                    interconnected: _,
                },
            token_file: _,
        } = partner;
        let key = format!("partner[{system}]");
        if *system == force.relay.system {
            sorter.restart(&key, "this is the name of our own system until then");
            continue;
        }
        match force
            .partners
            .iter()
            .find(|old| old.terms.system == *system)
        {
            Some(old) if old == partner => {}
            Some(_) => sorter.applied(&key, "changed"),
            None => sorter.applied(&key, "added"),
        }
        found.push(partner.clone());
    }
    for old in &force.partners {
        if new.iter().all(|p| p.terms.system != old.terms.system) {
            sorter.applied(&format!("partner[{}]", old.terms.system), "removed");
        }
    }
    force.partners = found;
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
mod tests;
