//! All metrics, each defined once: name, unit, meaning.
//!
//! At a scrape the runtime fills a [`Snapshot`] from the counters of workers and core, and
//! [`Snapshot::render`] writes it as OpenMetrics text. Counters start at zero with the process.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use self::write::{Labels, Writer};

mod home;
mod journal;
mod primary;
mod write;

pub use self::home::{HomeAnchor, MediaAnchor};
pub use self::journal::Journal;
pub use self::primary::Primary;

/// Everything that one scrape shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Calls.
    pub calls: Calls,
    /// Packets of calls, summed over all streams since the start.
    pub media: Media,
    /// One entry a worker.
    pub workers: Vec<Worker>,
    /// Time that packets were with the relay.
    pub latency: Latency,
    /// One entry a local address.
    pub ports: Vec<Ports>,
    /// Requests of signalling.
    pub requests: Vec<Requests>,
    /// One entry a logger.
    pub loggers: Vec<Logger>,
    /// Ways through primary systems.
    pub homes: Homes,
    /// The embedded logger, if there is one.
    pub archive: Option<Archive>,
    /// One entry a media anchor that is asked by SIP.
    pub home_anchors: Vec<HomeAnchor>,
    /// The media anchor in this process, if there is one.
    pub media_anchor: Option<MediaAnchor>,
    /// The call journal, if there is one.
    pub journal: Option<Journal>,
    /// Migration records that have not ended.
    pub migrations: u64,
    /// What primaries were told of migrations.
    pub tellings: Vec<Tellings>,
    /// Whether no new calls are taken, so that the process can be ended.
    pub draining: bool,
}

/// Counts of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls now.
    pub open: u64,
    /// Of them, calls with a mirror.
    pub mirrored: u64,
    /// Calls ever made.
    pub started: u64,
    /// Offers refused by a limit or for want of ports.
    pub rejected: u64,
    /// Of them, those because the migration of a party failed.
    pub migration_refused: u64,
    /// Requests to stop or pause a mandatory mirror, not obeyed.
    pub recording_not_obeyed: u64,
    /// Ended calls, by reason (`deleted`, `media-timeout`, ...).
    pub ended: Vec<(&'static str, u64)>,
    /// Ended calls that had media in one direction only.
    pub one_way: u64,
    /// Ended calls that never had media.
    pub no_media: u64,
    /// Sum of the durations of ended calls.
    pub duration: Duration,
}

/// Counts of packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Packets taken.
    pub packets: u64,
    /// Their octets (UDP payload).
    pub octets: u64,
    /// Of the packets, RTCP.
    pub rtcp_packets: u64,
    /// Packets sent on to the other leg.
    pub forwarded: u64,
    /// Their octets.
    pub forwarded_octets: u64,
    /// Packets dropped, by reason.
    pub drops: Vec<(&'static str, u64)>,
    /// RTP packets missing by sequence number.
    pub lost: u64,
    /// Copies sent to loggers.
    pub mirrored: u64,
    /// Copies that could not be sent.
    pub mirror_dropped: u64,
    /// Packets kept now while it is undecided where they belong.
    pub preroll_kept: u64,
    /// Packets that went to loggers after a late decision.
    pub preroll_sent: u64,
    /// Packets that were kept and given up, though they may have belonged somewhere.
    pub preroll_evicted: u64,
}

/// Counts of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// Its index.
    pub index: u16,
    /// Returns from waiting.
    pub wakeups: u64,
    /// System calls that receive.
    pub receive_calls: u64,
    /// Of them, those that failed.
    pub receive_errors: u64,
    /// Datagrams received, dropped ones included.
    pub datagrams: u64,
    /// System calls that forward or mirror.
    pub send_calls: u64,
    /// Commands that could not be carried out.
    pub commands_failed: u64,
    /// Events that found no room.
    pub events_dropped: u64,
    /// Streams in service.
    pub streams: u64,
}

/// Latency from the kernel's receive time stamp to the hand-over for sending, since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Upper bounds of the buckets in rising order, with the packets that fell into each of them
    /// and into none before. The last one takes all that is left.
    pub buckets: Vec<(Duration, u64)>,
    /// Sum over all packets.
    pub sum: Duration,
}

/// Use of the ports of one local address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Name of its interface.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// Ports in use.
    pub used: u64,
    /// Ports in all.
    pub size: u64,
}

/// Requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    /// `ng` or `http`.
    pub protocol: &'static str,
    /// `offer`, `answer`, ...
    pub command: &'static str,
    /// Requests that were answered with `ok`.
    pub good: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// What one logger gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logger {
    /// Its name.
    pub name: String,
    /// Mirrors now.
    pub mirrors: u64,
    /// Port pairs that further streams can have.
    pub free_pairs: u64,
    /// What became of announcements, for a logger that is told over HTTP which calls its ports
    /// belong to.
    pub announcements: Vec<(&'static str, u64)>,
}

/// Ways of calls through primary systems.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Homes {
    /// Home legs that exist now, by state.
    pub open: Vec<(&'static str, u64)>,
    /// Times that no anchor took one, or the last one gave it up.
    pub failures: u64,
    /// Times that a stream was sent straight since home did not answer.
    pub bypasses: u64,
    /// Times that such a stream went through home again.
    pub returns: u64,
    /// Packets sent home to come back.
    pub sent: u64,
    /// Packets that came back as they were sent, and in time.
    pub returned: u64,
    /// Packets that have not come back and are not expected to. One may still come, so that this
    /// can fall.
    pub lost: u64,
}

/// What the embedded logger counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    /// Packets by what became of them (`stored`, `stranger`, `overflow`, ...).
    pub packets: Vec<(&'static str, u64)>,
    /// Failed writes to archive and index; each is tried again.
    pub write_errors: u64,
    /// Recordings made.
    pub recordings: u64,
    /// Recordings that could not be made.
    pub recordings_failed: u64,
}

/// What one primary was told of migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tellings {
    /// The primary system.
    pub primary: String,
    /// Records that wait to be told.
    pub waiting: u64,
    /// Tellings since the start, by what became of them.
    pub results: Vec<(&'static str, u64)>,
}

impl Snapshot {
    /// The metrics as OpenMetrics text.
    ///
    /// # Errors
    /// None in practice: texts are written to memory.
    pub fn render(self) -> Result<String, fmt::Error> {
        let mut registry = prometheus_client::registry::Registry::with_prefix("homeward");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn calls(&self, w: &mut Writer<'_>) -> fmt::Result {
        let calls = &self.calls;
        w.gauge("calls", "Calls now", calls.open)?;
        w.gauge("calls_mirrored", "Calls with a mirror now", calls.mirrored)?;
        w.counter("calls_started", "Calls ever made", calls.started)?;
        w.counter(
            "offers_rejected",
            "Offers refused by a limit, for want of ports, or since a migration failed",
            calls.rejected,
        )?;
        w.counter(
            "offers_migration_failed",
            "Offers refused because the migration of a party failed",
            calls.migration_refused,
        )?;
        w.counter(
            "recordings_not_obeyed",
            "Requests to stop or pause a mandatory mirror, which goes on",
            calls.recording_not_obeyed,
        )?;
        let rows = calls.ended.iter();
        let rows = rows.map(|(reason, count)| (Labels::one("reason", *reason), *count));
        w.counters("calls_ended", "Calls that ended, by reason", rows)?;
        w.counter(
            "calls_one_way",
            "Ended calls that had media in one direction only",
            calls.one_way,
        )?;
        w.counter(
            "calls_without_media",
            "Ended calls that never had media",
            calls.no_media,
        )?;
        w.second(
            "calls_duration",
            "Sum of the durations of ended calls",
            calls.duration,
        )
    }

    fn media(&self, w: &mut Writer<'_>) -> fmt::Result {
        let media = &self.media;
        w.counter("packets_received", "Packets taken", media.packets)?;
        w.bytes("received", "UDP payload of packets taken", media.octets)?;
        w.counter(
            "rtcp_packets_received",
            "Packets taken that are RTCP",
            media.rtcp_packets,
        )?;
        w.counter(
            "packets_forwarded",
            "Packets sent on to the other leg",
            media.forwarded,
        )?;
        w.bytes(
            "forwarded",
            "UDP payload of packets sent on",
            media.forwarded_octets,
        )?;
        let rows = media.drops.iter();
        let rows = rows.map(|(reason, count)| (Labels::one("reason", *reason), *count));
        w.counters("packets_dropped", "Packets dropped, by reason", rows)?;
        w.counter(
            "packets_lost",
            "RTP packets missing by sequence number on arrival",
            media.lost,
        )?;
        w.counter("packets_mirrored", "Copies sent to loggers", media.mirrored)?;
        w.counter(
            "packets_mirror_dropped",
            "Copies that could not be sent to a logger",
            media.mirror_dropped,
        )?;
        w.gauge(
            "preroll_packets",
            "Packets kept now while it is undecided where they belong",
            media.preroll_kept,
        )?;
        w.counter(
            "preroll_packets_sent",
            "Kept packets that went to loggers after a late decision",
            media.preroll_sent,
        )?;
        w.counter(
            "preroll_packets_evicted",
            "Kept packets that were given up, though they may have belonged to somebody",
            media.preroll_evicted,
        )?;
        w.histogram(
            "latency",
            "From the kernel's receive time stamp to the hand-over for sending",
            &self.latency.buckets,
            self.latency.sum,
        )
    }

    fn workers(&self, w: &mut Writer<'_>) -> fmt::Result {
        let label = |worker: &Worker| Labels::one("worker", worker.index.to_string());
        for (name, help, count) in WORKER_COUNTERS {
            let rows = self.workers.iter();
            w.counters(
                name,
                help,
                rows.map(|worker| (label(worker), count(worker))),
            )?;
        }
        let rows = self.workers.iter();
        w.gauges(
            "worker_streams",
            "Streams in service",
            rows.map(|worker| (label(worker), worker.streams)),
        )
    }

    fn ports(&self, w: &mut Writer<'_>) -> fmt::Result {
        let label = |ports: &Ports| {
            Labels::one("interface", ports.interface.clone())
                .and("address", ports.address.to_string())
        };
        let rows = self.ports.iter();
        w.gauges(
            "ports_used",
            "Media ports in use",
            rows.map(|ports| (label(ports), ports.used)),
        )?;
        let rows = self.ports.iter();
        w.gauges(
            "ports_size",
            "Media ports in all",
            rows.map(|ports| (label(ports), ports.size)),
        )
    }

    fn requests(&self, w: &mut Writer<'_>) -> fmt::Result {
        let rows = self.requests.iter().flat_map(|requests| {
            let label = |result: &'static str| {
                Labels::one("protocol", requests.protocol)
                    .and("command", requests.command)
                    .and("result", result)
            };
            [
                (label("ok"), requests.good),
                (label("refused"), requests.refused),
            ]
        });
        w.counters("requests", "Requests of signalling", rows)
    }

    fn loggers(&self, w: &mut Writer<'_>) -> fmt::Result {
        let label = |logger: &Logger| Labels::one("logger", logger.name.clone());
        let rows = self.loggers.iter();
        w.gauges(
            "mirrors",
            "Mirrors open now",
            rows.map(|logger| (label(logger), logger.mirrors)),
        )?;
        let rows = self.loggers.iter();
        w.gauges(
            "logger_free_pairs",
            "Port pairs at the logger that further streams can have",
            rows.map(|logger| (label(logger), logger.free_pairs)),
        )?;
        let rows = self.loggers.iter().flat_map(|logger| {
            let rows = logger.announcements.iter();
            rows.map(move |(result, count)| (label(logger).and("result", *result), *count))
        });
        w.counters(
            "announcements",
            "What loggers elsewhere were told of mirrors, by what became of it",
            rows,
        )
    }

    fn homes(&self, w: &mut Writer<'_>) -> fmt::Result {
        let homes = &self.homes;
        let rows = homes.open.iter();
        let rows = rows.map(|(state, count)| (Labels::one("state", *state), *count));
        w.gauges("homes", "Home legs that exist now, by state", rows)?;
        w.counter(
            "home_failures",
            "Times that no anchor took a home leg, or the last one gave it up",
            homes.failures,
        )?;
        w.counter(
            "home_bypasses",
            "Times that a stream was sent straight since home did not answer",
            homes.bypasses,
        )?;
        w.counter(
            "home_returns",
            "Times that such a stream went through home again",
            homes.returns,
        )?;
        w.counter(
            "home_packets_sent",
            "Packets sent home to come back",
            homes.sent,
        )?;
        w.counter(
            "home_packets_returned",
            "Packets that came back from home as they were sent, and in time",
            homes.returned,
        )?;
        w.gauge(
            "home_packets_lost",
            "Packets sent home that have not come back and are not expected to",
            homes.lost,
        )
    }

    fn archive(&self, w: &mut Writer<'_>) -> fmt::Result {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        let rows = archive.packets.iter();
        let rows = rows.map(|(what, count)| (Labels::one("outcome", *what), *count));
        w.counters(
            "archive_packets",
            "Packets that reached the embedded logger, by what became of them",
            rows,
        )?;
        w.counter(
            "archive_write_errors",
            "Failed writes to archive and index",
            archive.write_errors,
        )?;
        w.counter("recordings", "Recordings made", archive.recordings)?;
        w.counter(
            "recordings_failed",
            "Recordings that could not be made",
            archive.recordings_failed,
        )
    }
}

impl Snapshot {
    fn tellings(&self, w: &mut Writer<'_>) -> fmt::Result {
        let label = |told: &Tellings| Labels::one("primary", told.primary.clone());
        let rows = self.tellings.iter();
        w.gauges(
            "tellings_waiting",
            "Migration records that their primary is still to be told of",
            rows.map(|told| (label(told), told.waiting)),
        )?;
        let rows = self.tellings.iter().flat_map(|told| {
            let rows = told.results.iter();
            rows.map(move |(result, count)| (label(told).and("result", *result), *count))
        });
        w.counters(
            "tellings",
            "What primaries were told of migrations, by what became of it",
            rows,
        )
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer::new(encoder);
        self.calls(&mut writer)?;
        self.media(&mut writer)?;
        self.workers(&mut writer)?;
        self.ports(&mut writer)?;
        self.requests(&mut writer)?;
        self.loggers(&mut writer)?;
        self.homes(&mut writer)?;
        self.archive(&mut writer)?;
        self.homes_by_sip(&mut writer)?;
        self.media_anchor(&mut writer)?;
        self.journal(&mut writer)?;
        self.tellings(&mut writer)?;
        writer.gauge(
            "migrations",
            "Migration records that have not ended",
            self.migrations,
        )?;
        writer.gauge(
            "draining",
            "1 while no new calls are taken, so that the process can be ended",
            u64::from(self.draining),
        )
    }
}

type WorkerCounter = (&'static str, &'static str, fn(&Worker) -> u64);

const WORKER_COUNTERS: [WorkerCounter; 7] = [
    ("worker_wakeups", "Returns from waiting", |w| w.wakeups),
    ("worker_receive_calls", "System calls that receive", |w| {
        w.receive_calls
    }),
    (
        "worker_receive_errors",
        "System calls that receive, failed",
        |w| w.receive_errors,
    ),
    (
        "worker_datagrams",
        "Datagrams received, dropped ones included",
        |w| w.datagrams,
    ),
    (
        "worker_send_calls",
        "System calls that forward or mirror",
        |w| w.send_calls,
    ),
    (
        "worker_commands_failed",
        "Commands that could not be carried out",
        |w| w.commands_failed,
    ),
    (
        "worker_events_dropped",
        "Events of the worker that found no room",
        |w| w.events_dropped,
    ),
];

#[cfg(test)]
mod tests;
