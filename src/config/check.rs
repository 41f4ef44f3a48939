//! The whole file: its sections, and what must fit together across them.

use std::net::IpAddr;

use toml::de::DeTable;

use super::anchors::{self, anchors};
use super::media_anchor::media_anchor;
use super::sections::{self, LoggerRead};
use super::walk::{Table, Walk};
use super::{Archive, Config, Interface, Logger, Mistake, Ng, Relay, Tell, Transport, primary};
use crate::migration::agreement::Agreement;
use crate::wire::network::Network;

/// Checks the text of a file.
///
/// # Errors
/// All of its mistakes, in the order of the file.
pub fn check(text: &str) -> Result<Config, Vec<Mistake>> {
    let walk = Walk::new(text);
    if text.len() > MAX_TEXT {
        walk.note(
            None,
            String::new(),
            format!("longer than {MAX_TEXT} octets"),
        );
        return Err(walk.finish());
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map(|span| span.start);
        walk.note(at, String::new(), error.message().to_owned());
    }
    let config = read(Table::root(&walk, document.get_ref()));
    let mistakes = walk.finish();
    match mistakes.is_empty() {
        true => Ok(config),
        false => Err(mistakes),
    }
}

fn read(root: Table<'_, '_>) -> Config {
    let relay_table = root.table("relay");
    let relay = sections::relay(&relay_table);
    let interfaces = interfaces(&root);
    let ng_table = root.table("ng");
    let ng = sections::ng(&ng_table);
    control_ports(&ng_table, &ng, &interfaces);
    let http_table = root.table("http");
    let http = sections::http(&http_table);
    let (loggers, names) = loggers(&root, &relay.plain_networks);
    let (anchors, anchor_names) = anchors(&root, &relay.plain_networks, &interfaces);
    let known = (&names, anchor_names.as_slice());
    let (agreements, tells) = agreements(&root, &relay_table, &relay, known);
    let partners = primary::partners(&root, &relay_table, &relay.system);
    let users_table = root.table("users");
    let users = primary::users(&users_table, &partners);
    users_table.finish();
    let archive_table = root.table("archive");
    let archive = sections::archive(&archive_table, &relay.data_dir);
    archive_ports(&archive_table, &archive, &interfaces, &loggers, &root);
    let media_anchor_table = root.table("media_anchor");
    let media_anchor = media_anchor(&media_anchor_table, &archive, &interfaces);
    media_anchor_table.finish();
    let log_table = root.table("log");
    let log = sections::log(&log_table);
    for table in [relay_table, ng_table, http_table, archive_table, log_table] {
        table.finish();
    }
    root.finish();
    Config {
        relay,
        interfaces: or_default(interfaces),
        ng,
        http,
        loggers: or_default(loggers),
        anchors,
        agreements,
        tells,
        partners,
        users,
        archive,
        media_anchor,
        log,
    }
}

fn or_default<T: Default>(list: Vec<T>) -> Vec<T> {
    match list.is_empty() {
        true => vec![T::default()],
        false => list,
    }
}

fn interfaces(root: &Table<'_, '_>) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for (place, table) in root.tables("interface").into_iter().enumerate() {
        too_many(&table, place, MAX_INTERFACES);
        let interface = sections::interface(&table);
        if let Some(interface) = interface {
            for former in &interfaces {
                if former.name == interface.name {
                    table.mistake("name", format!("{:?} is taken already", former.name));
                }
                if let Some(address) = shared(former, &interface) {
                    let text = format!("overlap with those of {:?} on {address}", former.name);
                    table.mistake("ports", text);
                }
            }
            let mut binds: Vec<IpAddr> = interface.addresses.iter().map(|a| a.bind).collect();
            binds.sort_unstable();
            if binds.windows(2).any(|pair| pair.first() == pair.last()) {
                table.mistake("addresses", "an address stands twice");
            }
            interfaces.push(interface);
        }
        table.finish();
    }
    interfaces
}

/// A local address on which two interfaces would use the same ports.
fn shared(a: &Interface, b: &Interface) -> Option<IpAddr> {
    if !overlap(a.ports, b.ports) {
        return None;
    }
    let has = |address: &&super::Address| a.addresses.iter().any(|of_a| of_a.bind == address.bind);
    b.addresses.iter().find(has).map(|address| address.bind)
}

fn control_ports(table: &Table<'_, '_>, ng: &Ng, interfaces: &[Interface]) {
    for address in &ng.udp {
        for interface in interfaces {
            let (first, last) = interface.ports;
            let here = |ip: IpAddr| ip == address.ip() || address.ip().is_unspecified();
            let on_it = interface.addresses.iter().any(|local| here(local.bind));
            if on_it && (first..=last).contains(&address.port()) {
                let text = format!("{address} lies in the media ports of {:?}", interface.name);
                table.mistake("udp", text);
            }
        }
    }
}

/// The names of all loggers, and whether each may spool.
type Names = Vec<(String, bool)>;

fn loggers(root: &Table<'_, '_>, plain: &[Network]) -> (Vec<Logger>, Names) {
    let (mut loggers, mut names): (Vec<Logger>, Names) = (Vec::new(), Vec::new());
    let tables = root.tables("logger");
    if tables.is_empty() {
        names.push((Logger::default().name, false));
    }
    for (place, table) in tables.into_iter().enumerate() {
        too_many(&table, place, MAX_LOGGERS);
        let LoggerRead {
            name,
            logger,
            unsupported,
        } = sections::logger(&table, plain);
        if let Some(name) = name {
            if names.iter().any(|(former, _)| *former == name) {
                table.mistake("name", format!("{name:?} is taken already"));
            }
            names.push((name, unsupported));
        }
        if let Some(logger) = logger {
            let embedded = |logger: &Logger| logger.transport == Transport::Embedded;
            if embedded(&logger) && loggers.iter().any(embedded) {
                table.mistake("embedded", "only one logger can be embedded");
            }
            loggers.push(logger);
        }
        table.finish();
    }
    (loggers, names)
}

fn agreements(
    root: &Table<'_, '_>,
    relay_table: &Table<'_, '_>,
    relay: &Relay,
    (names, anchor_names): (&Names, &[String]),
) -> (Vec<Agreement>, Vec<Tell>) {
    let all: Vec<String> = names.iter().map(|(name, _)| name.clone()).collect();
    let (mut agreements, mut tells): (Vec<Agreement>, Vec<Tell>) = (Vec::new(), Vec::new());
    let tables = root.tables("agreement");
    if !tables.is_empty() && !relay_table.has("system") {
        let text = "relay.system is missing: an agreement needs the name of our own MC system";
        relay_table.mistake("system", text);
    }
    for (place, table) in tables.into_iter().enumerate() {
        too_many(&table, place, MAX_AGREEMENTS);
        let agreement = sections::agreement(&table, &relay.system, &all);
        let told = agreement.as_ref().map(|agreement| &agreement.primary);
        tells.extend(primary::tell(&table, place, told, &relay.plain_networks));
        if let Some(agreement) = agreement {
            if agreements
                .iter()
                .any(|former| former.primary == agreement.primary)
            {
                let text = format!("there is an agreement with {} already", agreement.primary);
                table.mistake("primary", text);
            }
            agreements.push(agreement);
        }
        agreed_loggers(&table, names);
        anchors::agreed(&table, anchor_names);
        table.finish();
    }
    (agreements, tells)
}

/// Loggers must exist, and `spool` needs one that can be spooled for.
fn agreed_loggers(table: &Table<'_, '_>, names: &Names) {
    let listed = table.list("loggers", |text| {
        match names.iter().find(|(name, _)| name == text) {
            Some(found) => Ok(found.1),
            None => {
                let known: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                Err(format!(
                    "there is no logger {text:?}; known: {}",
                    known.join(", ")
                ))
            }
        }
    });
    let can_spool = match &listed {
        Some(listed) => listed.iter().any(|spools| *spools) || listed.is_empty(),
        None => names.iter().any(|(_, spools)| *spools),
    };
    let spool = table.quiet("on_logger_loss") == Some("spool");
    if spool && !can_spool {
        let text =
            "\"spool\" needs a trunk logger: with rtp loggers it is \"continue\" or \"refuse\"";
        table.mistake("on_logger_loss", text);
    }
}

/// The embedded logger and the interfaces must not want the same ports.
fn archive_ports(
    table: &Table<'_, '_>,
    archive: &Archive,
    interfaces: &[Interface],
    loggers: &[Logger],
    root: &Table<'_, '_>,
) {
    let embedded = |logger: &Logger| logger.transport == Transport::Embedded;
    if root.has("logger") && !loggers.iter().any(embedded) {
        return;
    }
    for interface in interfaces {
        let mut addresses = interface.addresses.iter();
        let same = addresses.any(|address| address.bind == archive.bind);
        if same && overlap(archive.ports, interface.ports) {
            let (first, last) = archive.ports;
            let text = format!(
                "archive ports {first} to {last} on {} overlap with those of interface {:?}",
                archive.bind, interface.name
            );
            match table.is_present() {
                true => table.mistake("ports", text),
                false => root.mistake("interface", text),
            }
        }
    }
}

pub(super) fn too_many(table: &Table<'_, '_>, place: usize, limit: usize) {
    if place == limit {
        table.mistake("", format!("more than {limit} of them"));
    }
}

pub(super) fn overlap(a: (u16, u16), b: (u16, u16)) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

const MAX_TEXT: usize = 1_048_576;
const MAX_INTERFACES: usize = 64;
const MAX_LOGGERS: usize = 64;
const MAX_AGREEMENTS: usize = 1_000;
