//! The sections of a file, each read into its checked form on its own.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::walk::Table;
use super::{
    Address, Announce, Archive, DEFAULT_PORTS, Http, Interface, Log, Logger, Ng, Relay, Transport,
};
use crate::migration::agreement::{Agreement, OnLoggerLoss};
use crate::migration::identity::SystemName;
use crate::wire::network::Network;

pub(super) fn relay(table: &Table<'_, '_>) -> Relay {
    let default = Relay::default();
    let second = Duration::from_secs(1);
    let day = Duration::from_secs(86_400);
    let timeout = |key, default| table.duration(key, second..=day * 7).unwrap_or(default);
    let delay = |key, default| {
        let found = table.duration(key, Duration::ZERO..=day);
        found.unwrap_or(default)
    };
    Relay {
        system: table.parse("system").unwrap_or(default.system),
        data_dir: path(table, "data_dir").unwrap_or(default.data_dir),
        workers: table.size("workers", 0..=256).unwrap_or(default.workers),
        max_calls: table
            .size("max_calls", 1..=1_000_000)
            .unwrap_or(default.max_calls),
        ended_calls: table
            .size("ended_calls", 0..=100_000)
            .unwrap_or(default.ended_calls),
        media_timeout: timeout("media_timeout", default.media_timeout),
        silent_timeout: timeout("silent_timeout", default.silent_timeout),
        offer_timeout: timeout("offer_timeout", default.offer_timeout),
        final_timeout: table.duration("final_timeout", second..=day * 366),
        delete_delay: delay("delete_delay", default.delete_delay),
        port_linger: delay("port_linger", default.port_linger),
        learning: table.word("learning").unwrap_or(default.learning),
        strict_source: table.boolean("strict_source").unwrap_or(true),
        journal: table.boolean("journal").unwrap_or(default.journal),
        preroll: {
            let found = table.duration("preroll", Duration::ZERO..=Duration::from_secs(600));
            found.unwrap_or(default.preroll)
        },
        preroll_call_bytes: table
            .size("preroll_call_bytes", 65_536..=1 << 30)
            .unwrap_or(default.preroll_call_bytes),
        preroll_bytes: table
            .size("preroll_bytes", 1_048_576..=1 << 38)
            .unwrap_or(default.preroll_bytes),
        plain_networks: networks(table, "plain_networks").unwrap_or_default(),
    }
}

pub(super) fn interface(table: &Table<'_, '_>) -> Option<Interface> {
    let name = name(table);
    let addresses = table.list("addresses", address);
    if addresses.is_none() && !table.has("addresses") {
        table.mistake("addresses", "missing: at least one local address is needed");
    }
    let ports = match table.has("ports") {
        true => table.ports("ports"),
        false => {
            let _ = table.ports("ports");
            Some(DEFAULT_PORTS)
        }
    };
    let addresses = addresses.unwrap_or_default();
    if addresses.is_empty() && table.has("addresses") {
        table.mistake("addresses", "no usable address is left");
    }
    Some(Interface {
        name: name?,
        addresses: Some(addresses).filter(|list| !list.is_empty())?,
        ports: ports?,
    })
}

pub(super) fn ng(table: &Table<'_, '_>) -> Ng {
    let default = Ng::default();
    let udp = table.list("udp", socket).unwrap_or(default.udp);
    let allow = networks(table, "allow");
    let open: Vec<&SocketAddr> = udp.iter().filter(|at| !at.ip().is_loopback()).collect();
    if let (Some(at), None) = (open.first(), &allow) {
        let text = format!(
            "NG has no authentication: listening on {at} needs allow = [networks of the proxies]"
        );
        table.mistake(if table.has("allow") { "allow" } else { "udp" }, text);
    }
    if let Some(at) = udp.iter().find(|at| at.ip().is_unspecified()) {
        let text = format!("{at} is a wildcard: name each address to listen on");
        table.mistake("udp", text);
    }
    no_repetition(table, "udp", &udp);
    Ng {
        udp,
        allow: allow.unwrap_or_else(|| Network::loopback().into()),
    }
}

pub(super) fn http(table: &Table<'_, '_>) -> Http {
    let default = Http::default();
    let listen = table.list("listen", socket).unwrap_or(default.listen);
    let token_file = path(table, "token_file");
    let open = listen.iter().find(|at| !at.ip().is_loopback());
    if let (Some(at), false) = (open, table.has("token_file")) {
        let text = format!("listening on {at} needs token_file, with the token clients must show");
        table.mistake("listen", text);
    }
    no_repetition(table, "listen", &listen);
    Http {
        listen,
        token_file,
        max_connections: table
            .size("max_connections", 1..=65_536)
            .unwrap_or(default.max_connections),
    }
}

/// The name, and what is known of the transport: a logger with a mistake still has its name, so
/// that agreements can refer to it.
pub(super) struct LoggerRead {
    pub(super) name: Option<String>,
    pub(super) logger: Option<Logger>,
    /// Of a transport that later versions know, and that may spool.
    pub(super) unsupported: bool,
}

pub(super) fn logger(table: &Table<'_, '_>, plain: &[Network]) -> LoggerRead {
    let name = name(table);
    let transport = table.string("transport");
    let embedded = table.boolean("embedded").unwrap_or(false);
    let unsupported = matches!(transport, Some("trunk" | "siprec"));
    if unsupported {
        let text = "this version knows only \"rtp\"; trunk and siprec are not supported yet";
        table.mistake("transport", text);
        for key in LATER_LOGGER_KEYS {
            let _ = table.has_known(key);
        }
        return LoggerRead {
            name,
            logger: None,
            unsupported,
        };
    }
    match transport {
        Some("rtp") => {}
        Some(_) => table.mistake("transport", "unknown transport: expected \"rtp\""),
        None if table.has("transport") => {}
        None => table.mistake("transport", "missing: expected \"rtp\""),
    }
    let transport = match embedded {
        true => embedded_transport(table),
        false => rtp_transport(table, plain),
    };
    let logger = name.clone().zip(transport);
    LoggerRead {
        name,
        logger: logger.map(|(name, transport)| Logger { name, transport }),
        unsupported,
    }
}

fn embedded_transport(table: &Table<'_, '_>) -> Option<Transport> {
    for key in EMBEDDED_HAS_NOT {
        if table.has_known(key) {
            table.mistake(key, "an embedded logger has none of its own: see [archive]");
        }
    }
    Some(Transport::Embedded)
}

fn rtp_transport(table: &Table<'_, '_>, plain: &[Network]) -> Option<Transport> {
    let announce = announce(table, plain);
    let addresses = table.list("address", |text| {
        let address = text.parse::<IpAddr>().ok().filter(usable);
        address.ok_or_else(|| format!("{text:?} is not an IP address; names are not looked up"))
    });
    let ports = table.ports("ports");
    let allowed = table.boolean("allow_plaintext").unwrap_or(false);
    for key in ["address", "ports"] {
        if !table.has(key) {
            table.mistake(key, "missing: a logger that is not embedded needs it");
        }
    }
    let addresses = addresses?;
    for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        if addresses.iter().filter(|address| family(address)).count() > 1 {
            table.mistake("address", "at most one address of each family");
        }
    }
    if let Some(address) = addresses
        .iter()
        .find(|address| !safe(**address, plain))
        .filter(|_| !allowed)
    {
        let text = format!(
            "media would go to {address} unprotected: set allow_plaintext = true here, or name \
             the network in relay.plain_networks"
        );
        table.mistake("address", text);
    }
    Some(Transport::Rtp {
        addresses: Some(addresses).filter(|list| !list.is_empty())?,
        ports: ports?,
        announce,
    })
}

/// Whether what travels in clear may go there.
pub(super) fn safe(address: IpAddr, plain: &[Network]) -> bool {
    address.is_loopback() || plain.iter().any(|network| network.contains(address))
}

/// The HTTP door of a logger elsewhere.
fn announce(table: &Table<'_, '_>, plain: &[Network]) -> Option<Announce> {
    let text = table.string("announce");
    let token_file = path(table, "announce_token_file");
    if table.has("announce_token_file") && !table.has("announce") {
        let text = "there is no announce = \"http://...\" that it could be for";
        table.mistake("announce_token_file", text);
    }
    let address = door(text?).map_err(|error| table.mistake("announce", error));
    let address = address.ok()?;
    let allowed = table.boolean("allow_plaintext").unwrap_or(false);
    if !allowed && !safe(address.ip(), plain) {
        let text = format!(
            "call-ids, identities and the token would go to {} unprotected: set allow_plaintext = \
             true here, or name the network in relay.plain_networks",
            address.ip()
        );
        table.mistake("announce", text);
    }
    Some(Announce {
        address,
        token_file,
    })
}

/// `http://192.0.2.9:8080`.
pub(super) fn door(text: &str) -> Result<SocketAddr, String> {
    if text.starts_with("https:") {
        return Err("TLS is not supported in this version: expected \"http://...\"".to_owned());
    }
    let authority = text.strip_prefix("http://");
    let authority = authority.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let address = authority.and_then(|text| text.parse::<SocketAddr>().ok());
    let address = address.filter(|address| address.port() > 0 && usable(&address.ip()));
    address.ok_or_else(|| {
        format!(
            "{text:?} is not the address of a door: expected \"http://192.0.2.9:8080\", \
             with no path; names are not looked up"
        )
    })
}

/// An agreement; which loggers it names is checked elsewhere.
pub(super) fn agreement(
    table: &Table<'_, '_>,
    own: &SystemName,
    all_loggers: &[String],
) -> Option<Agreement> {
    let primary: Option<SystemName> = table.parse("primary");
    if !table.has("primary") {
        table.mistake("primary", "missing: the name of the other MC system");
    }
    let stand_in = own.clone();
    let known = primary.is_some();
    let default = Agreement::new(primary.unwrap_or(stand_in), all_loggers.to_vec());
    let agreement = Agreement {
        kind: table.word("kind").unwrap_or(default.kind),
        services: table.words("services").unwrap_or(default.services),
        mode: table.word("mode").unwrap_or(default.mode),
        media: table.words("media").unwrap_or(default.media),
        deny_session_types: table.words("deny_session_types").unwrap_or_default(),
        loggers: table
            .list("loggers", |text| Ok(text.to_owned()))
            .unwrap_or(default.loggers),
        anchors: table
            .list("anchors", |text| Ok(text.to_owned()))
            .unwrap_or_default(),
        mandatory: table.boolean("mandatory").unwrap_or(default.mandatory),
        on_logger_loss: table
            .word("on_logger_loss")
            .unwrap_or(OnLoggerLoss::Continue),
        on_failed_migration: table
            .word("on_failed_migration")
            .unwrap_or(default.on_failed_migration),
        primary: default.primary,
    };
    let agreement = agreement.normalise();
    for (key, text) in agreement.faults(own) {
        // A list that is empty because its words were wrong has been told about already.
        let told = key == "primary" && !known || key == "loggers" && !table.has(key);
        if !told {
            table.mistake(key, format!("{key} {text}"));
        }
    }
    known.then_some(agreement)
}

pub(super) fn archive(table: &Table<'_, '_>, data_dir: &std::path::Path) -> Archive {
    let default = Archive::in_dir(data_dir);
    let bind: Option<IpAddr> = table.parse("bind");
    let relays = table.list("relays", |text| {
        let address = text.parse::<IpAddr>().ok().filter(usable);
        address.ok_or_else(|| format!("{text:?} is not an IP address"))
    });
    let bind = bind.unwrap_or(default.bind);
    if !bind.is_loopback() && relays.as_ref().is_none_or(Vec::is_empty) {
        let text = format!(
            "taking media on {bind} needs relays = [addresses], or anybody could add to recordings"
        );
        table.mistake("bind", text);
    }
    let millis = Duration::from_millis;
    Archive {
        dir: path(table, "dir").unwrap_or(default.dir),
        bind,
        ports: table.ports("ports").unwrap_or(default.ports),
        relays: relays.unwrap_or_default(),
        close_grace: table
            .duration("close_grace", millis(0)..=millis(600_000))
            .unwrap_or(default.close_grace),
        block_bytes: table
            .size("block_bytes", 4_096..=1_048_576)
            .unwrap_or(default.block_bytes),
        block_age: table
            .duration("block_age", millis(10)..=millis(10_000))
            .unwrap_or(default.block_age),
        segment_bytes: table
            .integer("segment_bytes", 1_048_576..=68_719_476_736)
            .unwrap_or(default.segment_bytes),
    }
}

pub(super) fn log(table: &Table<'_, '_>) -> Log {
    let default = Log::default();
    let filter = table.string("filter").map(str::to_owned);
    let format = table.string("format");
    if format.is_some_and(|format| !matches!(format, "text" | "json")) {
        table.mistake("format", "expected \"text\" or \"json\"");
    }
    if let Some(filter) = &filter
        && let Err(error) = filter.parse::<tracing_subscriber::filter::Targets>()
    {
        table.mistake("filter", error.to_string());
    }
    Log {
        filter: filter.unwrap_or(default.filter),
        json: format == Some("json"),
    }
}

pub(super) fn name(table: &Table<'_, '_>) -> Option<String> {
    let Some(name) = table.string("name") else {
        if !table.has("name") {
            table.mistake("name", "missing: others refer to it by its name");
        }
        return None;
    };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        let text = "expected 1 to 64 letters, digits, hyphens, underscores or dots";
        table.mistake("name", text);
        return None;
    }
    Some(name.to_owned())
}

pub(super) fn path(table: &Table<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let text = table.string(key)?;
    if text.is_empty() || text.contains('\0') {
        table.mistake(key, "expected a path");
        return None;
    }
    Some(text.into())
}

fn networks(table: &Table<'_, '_>, key: &'static str) -> Option<Vec<Network>> {
    table.list(key, str::parse)
}

pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<SocketAddr>().ok();
    address.filter(|address| address.port() > 0).ok_or_else(|| {
        format!(
            "{text:?} is not an address with a port: expected \"127.0.0.1:2223\" or \"[::1]:2223\""
        )
    })
}

/// `192.0.2.5`, or `192.0.2.5!203.0.113.7`: bound to, and advertised.
fn address(text: &str) -> Result<Address, String> {
    let one = |text: &str| {
        let address = text.parse::<IpAddr>().ok().filter(usable);
        address.ok_or_else(|| {
            format!("{text:?} is not the address of an interface: expected \"192.0.2.5\", or \"192.0.2.5!203.0.113.7\" to advertise another one")
        })
    };
    let Some((bind, advertised)) = text.split_once('!') else {
        return Ok(one(text)?.into());
    };
    let address = Address {
        bind: one(bind)?,
        advertised: one(advertised)?,
    };
    match address.bind.is_ipv4() == address.advertised.is_ipv4() {
        true => Ok(address),
        false => Err(format!("{text:?}: both addresses must be of one family")),
    }
}

pub(super) fn usable(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

pub(super) fn no_repetition(table: &Table<'_, '_>, key: &str, list: &[SocketAddr]) {
    for (place, address) in list.iter().enumerate() {
        if list.iter().take(place).any(|former| former == address) {
            table.mistake(key, format!("{address} stands twice"));
        }
    }
}

/// Keys of loggers of later versions; a file that uses them is told about the transport only.
const LATER_LOGGER_KEYS: [&str; 8] = [
    "announce",
    "announce_token_file",
    "address",
    "ports",
    "allow_plaintext",
    "certificate",
    "key",
    "trust",
];

/// Keys of loggers elsewhere.
const EMBEDDED_HAS_NOT: [&str; 5] = [
    "address",
    "ports",
    "allow_plaintext",
    "announce",
    "announce_token_file",
];
