//! `homeward demo`: relay, logger and traffic in one process over real sockets; prints what was
//! carried, mirrored and stored, and where.
//!
//! Every calling party is a user of `primary.example` who has migrated to `partner.example`. What
//! was sent and forwarded is counted by the parties; what is stored, by reading the closed
//! recordings back and comparing packet by packet.

mod inject;
mod report;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::inject::Inject;
use self::report::DemoReport;
use super::{Status, say, say_error};
use crate::config::{Config, Transport};
use crate::hook::Control;
use crate::migration::agreement::{Agreement, OnLoggerLoss};
use crate::migration::identity::Service;
use crate::migration::registry::NewRecord;
use crate::runtime::relay::Relay;
use crate::runtime::signals;
use crate::telemetry::{self, log::Format};
use crate::traffic::{self, Plan, Progress, recordings};

/// Arguments of `homeward demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Number of calls
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=MAX_CALLS))]
    calls: u32,
    /// Length of each call in seconds
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Harm the mirrored media on its way to the logger: the run must then fail.
    /// `drop-mirror=K` loses K packets, `alter=K` changes a bit in K packets
    #[arg(long, value_name = "FAULT")]
    inject: Option<Inject>,
    /// Where recordings and databases go
    #[arg(long, value_name = "DIR", default_value = "homeward-data/demo")]
    data: PathBuf,
    /// What to log: error, warn, info, debug
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

pub(super) fn run(args: &DemoArgs) -> Result<Status> {
    telemetry::log::init(&args.log, Format::Text)?;
    let config = config(args)?;
    let relay = Relay::start_with(&config, args.inject.map(Inject::faults).unwrap_or_default())?;
    migrate(&relay, args.calls)?;
    let report = play(args, &config, &relay);
    let stopped = relay.stop();
    let report = report?;
    stopped?;
    if args.json {
        say(&format!("{}\n", serde_json::to_string(&report)?));
    } else {
        say(&report.text(args.calls, args.seconds));
    }
    for problem in &report.problems {
        say_error(&format!("homeward demo: {problem}\n"));
    }
    Ok(if report.good() {
        Status::Good
    } else {
        Status::Failed
    })
}

/// A relay on loopback with ports of its own, and an agreement with the primary.
fn config(args: &DemoArgs) -> Result<Config> {
    let mut config = Config::default();
    let loopback = std::net::Ipv4Addr::LOCALHOST;
    config.relay.system = "partner.example".parse()?;
    config.relay.data_dir.clone_from(&args.data);
    // Its calls end with it.
    config.relay.journal = false;
    config.archive.dir = args.data.join("archive");
    config.archive.ports = logger_ports(args.calls);
    config.archive.close_grace = Duration::from_millis(300);
    config.ng.udp = vec![(loopback, 0).into()];
    config.http.listen = Vec::new();
    let logger = config
        .loggers
        .iter()
        .find(|logger| logger.transport == Transport::Embedded);
    let logger = logger
        .context("the default configuration has an embedded logger")?
        .name
        .clone();
    let mut agreement = Agreement::new("primary.example".parse()?, vec![logger]);
    agreement.on_logger_loss = OnLoggerLoss::Continue;
    config.agreements = vec![agreement];
    Ok(config)
}

/// Two port pairs a call, from a place of its own: several demos can run side by side.
fn logger_ports(calls: u32) -> (u16, u16) {
    let (first, last) = LOGGER_PORTS;
    let wanted = u16::try_from(calls * 4 + SPARE_PORTS).unwrap_or(u16::MAX);
    let wanted = wanted.min(last - first);
    let start = first + rand::random_range(0..=last - first - wanted);
    (start, start + wanted)
}

/// Lets the calling party of each call migrate.
fn migrate(relay: &Relay, calls: u32) -> Result<()> {
    let waiting = tokio::runtime::Builder::new_current_thread().build()?;
    waiting.block_on(async {
        for number in 1..=calls {
            let record = NewRecord {
                service: Service::Mcptt,
                primary_id: format!("sip:user-{number}@primary.example").parse()?,
                partner_id: format!("sip:user-{number}@partner.example").parse()?,
                primary_system: "primary.example".parse()?,
                functional_aliases: Vec::new(),
                trigger: crate::migration::record::Trigger::Client,
                profile_index: None,
                standing: Default::default(),
                since: None,
                until: None,
            };
            relay.door().add_migration(record).await?;
        }
        Ok(())
    })
}

/// Plays the calls and looks at what came of them.
fn play(args: &DemoArgs, config: &Config, relay: &Relay) -> Result<DemoReport> {
    let ng = relay
        .ng()
        .first()
        .copied()
        .context("the relay does not listen")?;
    // Another demo may have left its recordings in the same directory.
    let prefix = format!("demo-{:08x}-", rand::random::<u32>());
    let plan = Plan {
        calls: args.calls,
        seconds: args.seconds,
        ports: PARTY_PORTS.0..=PARTY_PORTS.1,
        call_id_prefix: prefix.clone(),
        seed: rand::random(),
        keys: KEYS
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        ..Plan::new(ng)
    };
    let bar = progress_bar();
    let mut show = |progress: &Progress| {
        bar.set_length(progress.planned);
        bar.set_position(progress.sent);
    };
    let played = traffic::run(&plan, &mut show, &*signals::end_flag()?);
    bar.set_message("reading the recordings back");
    let played = played?;
    let found = recordings::check_named(
        &config.archive.dir,
        &prefix,
        &played.expected,
        RECORDINGS_WAIT,
    );
    bar.finish_and_clear();
    let figures = relay.figures();
    let latencies = relay.latencies();
    Ok(DemoReport::new(&played, &found?, &figures, latencies))
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} packets {elapsed} {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What the proxy tells the relay about each call.
const KEYS: [(&str, &str); 4] = [
    ("mc-service", "mcptt"),
    ("mc-session-type", "private"),
    ("mc-calling-id", "sip:user-<n>@partner.example"),
    ("mc-called-id", "sip:dispatcher-<n>@partner.example"),
];
const MAX_CALLS: i64 = 2_500;
const PARTY_PORTS: (u16, u16) = (41_000, 51_999);
const LOGGER_PORTS: (u16, u16) = (52_000, 64_999);
/// Ports at the logger beyond what the calls need: other programs may have some.
const SPARE_PORTS: u32 = 1_000;
const RECORDINGS_WAIT: Duration = Duration::from_secs(20);
