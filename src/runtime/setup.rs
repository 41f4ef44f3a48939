//! From the configuration to the parts: what each of them is given.

use std::net::UdpSocket;

use anyhow::{Context, Result, anyhow};
use tracing::warn;

use super::announcer::Announcers;
use super::control::Mailbox;
use super::engine::Engine;
use super::home_sip;
use super::homes::{Anchor, Homes, Static, Way};
use super::loggers::{self, Maker};
use super::mirrors::{Logger as MirrorLogger, Mirrors};
use super::sockets::Sockets;
use crate::config::{self, AnchorTransport, Config, Transport};
use crate::logger::fault::Faults;
use crate::logger::service::{Options, Service, Settings as LoggerSettings};
use crate::migration::registry::Registry;
use crate::plane::start::Preroll;
use crate::plane::{self, Plane};
use crate::session::command::HomeLimits;
use crate::session::core::{
    Anchor as CoreAnchor, Core, Interface, LocalAddress, Settings as CoreSettings,
};
use crate::session::options::{Family, Learning};
use crate::store::journal::{Journal, Loaded as JournalLoaded};
use crate::store::registry::{Loaded, Store, StoreError};
use crate::sys::clock::Clock;
use crate::sys::rlimit;

/// Makes sure of what would otherwise show with the first call: that the data directory can be
/// written, and that the addresses of the interfaces are of this machine.
///
/// # Errors
/// What is wrong, with its key and what to do.
pub(super) fn preconditions(config: &Config) -> Result<()> {
    let dir = &config.relay.data_dir;
    let usable = std::fs::create_dir_all(dir).and_then(|()| tempfile_in(dir));
    usable.with_context(|| {
        format!(
            "relay.data_dir: cannot write to {}: name a directory of this user",
            dir.display()
        )
    })?;
    for (place, interface) in config.interfaces.iter().enumerate() {
        for address in &interface.addresses {
            let bound = UdpSocket::bind((address.bind, 0));
            bound.map_err(|error| {
                anyhow!(
                    "interface[{place}].addresses: no socket can be opened on {}: {error}; name \
                     addresses of this machine",
                    address.bind
                )
            })?;
        }
    }
    Ok(())
}

/// Writes a file and takes it away again.
fn tempfile_in(dir: &std::path::Path) -> std::io::Result<()> {
    let path = dir.join(format!(".writable-{:016x}", rand::random::<u64>()));
    std::fs::File::create_new(&path)?;
    std::fs::remove_file(&path)
}

/// The embedded logger, if one is configured.
pub(super) fn logger(config: &Config, clock: Clock, faults: Faults) -> Result<Option<Service>> {
    let embedded = config
        .loggers
        .iter()
        .any(|logger| logger.transport == Transport::Embedded);
    if !embedded {
        return Ok(None);
    }
    let options = Options {
        faults,
        ..Options::default()
    };
    let service = Service::start_with(logger_settings(config, false), clock, options);
    Ok(Some(service.context(ARCHIVE)?))
}

/// Settings of a logger: one that is embedded binds its ports as they are needed.
pub(super) fn logger_settings(config: &Config, alone: bool) -> LoggerSettings {
    let archive = &config.archive;
    LoggerSettings {
        dir: archive.dir.clone(),
        bind: archive.bind,
        ports: archive.ports,
        // On loopback, where alone none need be named, relays send from the same address.
        relays: if alone && !archive.relays.is_empty() {
            archive.relays.clone()
        } else {
            vec![archive.bind]
        },
        bind_all: alone,
        close_grace: archive.close_grace,
        block_bytes: archive.block_bytes,
        block_age: archive.block_age,
        segment_bytes: archive.segment_bytes,
    }
}

/// The store in the data directory.
pub(super) fn store(config: &Config, clock: Clock) -> Result<(Store, Loaded)> {
    let dir = &config.relay.data_dir;
    Store::open(dir, ENDED_MIGRATIONS, clock.now()).context("relay.data_dir")
}

/// The call journal, if one is kept.
///
/// # Errors
/// It cannot be used, and what to do.
pub(super) fn journal(config: &Config, clock: Clock) -> Result<Option<(Journal, JournalLoaded)>> {
    if !config.relay.journal {
        return Ok(None);
    }
    let stamp = clock.now().nanos();
    let opened = Journal::open(&config.relay.data_dir, &random_instance(), stamp);
    let (journal, loaded) = opened.map_err(|error| {
        let newer = matches!(error, StoreError::Newer { .. });
        let error = anyhow::Error::new(error);
        match newer {
            true => error.context(
                "relay.data_dir: the call journal (move journal.sqlite away to start without the \
                 calls that are in it)",
            ),
            false => error.context("relay.data_dir: the call journal"),
        }
    })?;
    if let Some(aside) = &loaded.moved_aside {
        warn!(
            aside = %aside.display(),
            "the call journal was damaged: it is moved aside, and its calls are lost"
        );
    }
    Ok(Some((journal, loaded)))
}

/// The identity of this relay in SDP and at loggers: with a journal it stays.
pub(super) fn instance(journal: Option<&(Journal, JournalLoaded)>) -> String {
    journal.map_or_else(random_instance, |(_, loaded)| loaded.instance.clone())
}

fn random_instance() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The engine, with the registry that the store has kept.
pub(super) fn engine(
    config: &Config,
    clock: Clock,
    loaded: Loaded,
    homes: Homes,
    maker: &Maker,
) -> Result<Engine> {
    // Without more descriptors calls are refused one by one, with the reason; so this may fail.
    drop(rlimit::raise_nofile(DESCRIPTORS));
    let settings = plane::Settings {
        workers: config.relay.workers,
        preroll: Preroll {
            age: config.relay.preroll,
            call_bytes: config.relay.preroll_call_bytes,
            bytes: config.relay.preroll_bytes,
        },
        ..plane::Settings::new(clock)
    };
    let plane = Plane::start(&settings).context("cannot start the data plane")?;
    let core = Core::new(core_settings(config, maker.instance.clone()));
    let sockets = Sockets::new(plane, None);
    let mirrors = Mirrors::new(maker.instance.clone(), mirror_loggers(config, maker)?);
    let registry = registry(config, loaded, clock);
    Ok(Engine::new(
        core,
        sockets,
        mirrors,
        homes,
        registry,
        config.agreements.clone(),
        clock,
    ))
}

/// The media anchors. Clients of those that are asked tell the control loop what came of it.
pub(super) fn homes(config: &Config, mailbox: &Mailbox, clients: &mut home_sip::Clients) -> Homes {
    let mut anchors = Vec::new();
    for anchor in &config.anchors {
        let way = match &anchor.transport {
            AnchorTransport::Static { address, ports } => {
                Way::Static(Static::new(*address, *ports))
            }
            AnchorTransport::Sip { address, local } => {
                let target = home_sip::Target {
                    name: anchor.name.clone(),
                    address: *address,
                    local: *local,
                    system: config.relay.system.to_string(),
                };
                Way::Sip(clients.start(target, mailbox))
            }
        };
        anchors.push(Anchor {
            name: anchor.name.clone(),
            way,
        });
    }
    Homes::new(anchors)
}

fn registry(config: &Config, loaded: Loaded, clock: Clock) -> Registry {
    let mut registry = Registry::default();
    let others = config
        .agreements
        .iter()
        .map(|agreement| agreement.primary.clone());
    registry.know_systems(config.relay.system.clone(), others.collect());
    registry.load(loaded.records, loaded.next_id, clock.now());
    registry
}

/// Makes loggers for the mirrors of a relay with this identity.
pub(super) fn maker(
    config: &Config,
    instance: String,
    logger: Option<&Service>,
    announcers: &Announcers,
) -> Maker {
    Maker {
        instance,
        announcers: announcers.clone(),
        embedded: logger.map(Service::handle),
        archive: config.archive.clone(),
    }
}

fn mirror_loggers(config: &Config, maker: &Maker) -> Result<Vec<MirrorLogger>> {
    let tokens = loggers::tokens(&config.loggers).map_err(|wrong| {
        let wrong: Vec<String> = wrong
            .into_iter()
            .map(|(key, text)| format!("{key}: {text}"))
            .collect();
        anyhow!(wrong.join("; "))
    });
    let wanted = loggers::wanted(&config.loggers, &tokens?);
    Ok(wanted.iter().map(|wanted| maker.make(wanted)).collect())
}

/// What the core is to know of a configuration.
pub(super) fn core_settings(config: &Config, instance: String) -> CoreSettings {
    let relay = &config.relay;
    CoreSettings {
        system: relay.system.to_string(),
        interfaces: config.interfaces.iter().map(interface).collect(),
        max_calls: relay.max_calls,
        media_timeout: relay.media_timeout,
        silent_timeout: relay.silent_timeout,
        offer_timeout: relay.offer_timeout,
        final_timeout: relay.final_timeout,
        delete_delay: relay.delete_delay,
        port_linger: relay.port_linger,
        learning: match relay.learning {
            config::Learning::Off => Learning::Off,
            config::Learning::Immediate => Learning::Immediate,
            config::Learning::Delayed => Learning::Delayed,
            config::Learning::Heuristic => Learning::Heuristic,
        },
        strict_source: relay.strict_source,
        anchors: config.anchors.iter().map(anchor).collect(),
        instance,
        // Without any agreement nothing can ever belong to anybody.
        preroll: !relay.preroll.is_zero() && !config.agreements.is_empty(),
        ended_kept: relay.ended_calls,
    }
}

fn anchor(wanted: &config::Anchor) -> CoreAnchor {
    CoreAnchor {
        name: wanted.name.clone(),
        interface: wanted.interface.clone(),
        family: Family::of(wanted.address()),
        limits: HomeLimits {
            unreachable_after: wanted.unreachable_after,
            return_after: wanted.return_after,
        },
    }
}

fn interface(wanted: &config::Interface) -> Interface {
    let address = |of: &config::Address| LocalAddress {
        bind: of.bind,
        advertised: of.advertised,
    };
    Interface {
        name: wanted.name.clone(),
        addresses: wanted.addresses.iter().map(address).collect(),
        ports: wanted.ports,
    }
}

/// The section of the configuration that a logger's failure to start points at.
pub(super) const ARCHIVE: &str = "[archive]";
/// Ended migrations that are read at start, for lists and explanations.
const ENDED_MIGRATIONS: usize = 10_000;
/// Four sockets a call, and some thousands of calls.
const DESCRIPTORS: u64 = 1_048_576;
