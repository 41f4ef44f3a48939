//! Gathers the figures of all parts for `/metrics`, and tells whether the relay takes calls.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;

use super::control::Mailbox;
use super::engine::Engine;
use super::primary::Primaries;
use super::sockets::HomeSum;
use super::{home_sip, media_anchor};
use crate::admin::{self, Readiness, Source};
use crate::hook::ng::command::Command;
use crate::hook::ng::counters::Counters;
use crate::logger::service::Handle;
use crate::logger::stats::Stats;
use crate::plane::WorkerHandle;
use crate::plane::latency::Latencies;
use crate::session::host::DROP_REASONS;
use crate::session::reply::{PortUse, Statistics};
use crate::telemetry::metrics::{
    Archive, Calls, Homes, Journal, Latency, Media, Ports, Requests, Snapshot, Worker,
};

/// Routes for operators: those that need the token, and those that are open.
pub(super) fn routes(
    mailbox: &Mailbox,
    ng: Arc<Counters>,
    redirected: Redirected,
    primaries: Primaries,
    stopping: watch::Receiver<bool>,
) -> (Router, Router) {
    let figures = RelayFigures {
        mailbox: mailbox.clone(),
        ng,
        redirected,
        primaries,
    };
    let mailbox = mailbox.clone();
    let ready = move || {
        let (mailbox, stopping) = (mailbox.clone(), *stopping.borrow());
        async move {
            let draining = mailbox.with(|engine| engine.drained().since.is_some());
            match (stopping, draining.await) {
                (false, Ok(false)) => Readiness::Ready,
                (false, Ok(true)) => Readiness::NotReady("draining".to_owned()),
                (true, _) | (_, Err(_)) => Readiness::NotReady("the relay is stopping".to_owned()),
            }
        }
    };
    (admin::metrics(figures), admin::health(ready))
}

/// Where a scrape gets its figures.
#[derive(Clone, Debug)]
struct RelayFigures {
    mailbox: Mailbox,
    ng: Arc<Counters>,
    primaries: Primaries,
    redirected: Redirected,
}

/// Where the figures of redirected calls are.
#[derive(Clone, Debug)]
pub(super) struct Redirected {
    /// The SIP clients of anchors.
    pub(super) clients: home_sip::Figures,
    /// The anchor in this process, and the logger that it records at.
    pub(super) anchor: Option<(media_anchor::Figures, Handle)>,
}

impl Source for RelayFigures {
    async fn snapshot(&self) -> Option<Snapshot> {
        let mut snapshot = self.mailbox.with(of_engine).await.ok()?;
        snapshot.requests = requests(&self.ng);
        snapshot.home_anchors = self.redirected.clients.rows();
        let anchor = self.redirected.anchor.as_ref();
        snapshot.media_anchor = anchor.map(|(figures, logger)| figures.row(logger.stats()));
        snapshot.tellings = self.primaries.figures();
        Some(snapshot)
    }
}

fn of_engine(engine: &mut Engine) -> Snapshot {
    let statistics = engine.statistics();
    let figures = engine.figures();
    let sums = figures.totals.by_kind();
    let sum = |of: fn(&super::sockets::Sum) -> u64| sums.iter().map(|(_, sum)| of(sum)).sum();
    let drops = DROP_REASONS.into_iter().zip(figures.totals.drops());
    let preroll = figures.totals.preroll;
    let latency = engine.latencies(PATIENCE).map(latency).unwrap_or_default();
    Snapshot {
        calls: calls(&statistics, figures.oneway),
        media: Media {
            packets: sum(|sum| sum.packets),
            octets: sum(|sum| sum.octets),
            rtcp_packets: figures.totals.rtcp.packets,
            forwarded: sum(|sum| sum.forwarded),
            forwarded_octets: sum(|sum| sum.forwarded_octets),
            drops: drops.collect(),
            lost: figures.totals.rtp.lost,
            mirrored: sum(|sum| sum.mirrored),
            mirror_dropped: sum(|sum| sum.mirror_dropped),
            preroll_kept: preroll.kept,
            preroll_sent: preroll.sent,
            preroll_evicted: preroll.evicted,
        },
        workers: engine
            .plane()
            .workers()
            .iter()
            .enumerate()
            .map(worker)
            .collect(),
        latency,
        ports: statistics.ports.iter().map(ports).collect(),
        requests: Vec::new(),
        tellings: Vec::new(),
        loggers: engine.loggers(),
        homes: homes(&statistics, &figures.totals.home),
        archive: engine.archive().map(archive),
        home_anchors: Vec::new(),
        media_anchor: None,
        journal: engine.journal().map(|(restored, health)| Journal {
            behind: health.behind,
            errors: health.errors,
            written: health.written,
            restored: restored.calls,
            lost: restored.lost,
        }),
        migrations: engine.registry().open_count() as u64,
        draining: engine.drained().since.is_some(),
    }
}

fn calls(statistics: &Statistics, oneway: u64) -> Calls {
    Calls {
        open: statistics.calls,
        mirrored: statistics.mirrored_calls,
        started: statistics.calls_total,
        rejected: statistics.rejected_total,
        migration_refused: statistics.migration_refused_total,
        recording_not_obeyed: statistics.recording_not_obeyed_total,
        ended: vec![
            ("deleted", statistics.deleted_total),
            ("media-timeout", statistics.timeout_total),
            ("silent-timeout", statistics.silent_timeout_total),
            ("offer-timeout", statistics.offer_timeout_total),
            ("final-timeout", statistics.final_timeout_total),
        ],
        one_way: statistics.oneway_total.max(oneway),
        no_media: statistics.zeroway_total,
        duration: Duration::from_millis(statistics.duration_total_ms),
    }
}

fn homes(statistics: &Statistics, sum: &HomeSum) -> Homes {
    let states = ["pending", "up", "bypassed", "failed"];
    Homes {
        open: states.into_iter().zip(statistics.homes).collect(),
        failures: statistics.home_failures_total,
        bypasses: statistics.home_bypasses_total,
        returns: statistics.home_returns_total,
        sent: sum.sent,
        returned: sum.returned,
        lost: sum.lost,
    }
}

fn worker((index, handle): (usize, &WorkerHandle)) -> Worker {
    let metrics = handle.metrics();
    Worker {
        index: u16::try_from(index).unwrap_or(u16::MAX),
        wakeups: metrics.wakeups.read(),
        receive_calls: metrics.receive_calls.read(),
        receive_errors: metrics.receive_errors.read(),
        datagrams: metrics.datagrams.read(),
        send_calls: metrics.send_calls.read() + metrics.mirror_calls.read(),
        commands_failed: metrics.commands_failed.read(),
        events_dropped: metrics.events_dropped.read(),
        streams: metrics.slots.read(),
    }
}

fn latency(all: &Latencies) -> Latency {
    // The histogram's own bins may lie across a bound: only sums from zero count each packet once.
    let mut below = 0;
    let mut bucket = |bound, up_to: u64| {
        let count = up_to.saturating_sub(below);
        below = below.max(up_to);
        (bound, count)
    };
    let up_to = |bound: Duration| {
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        all.count_between(0, nanos)
    };
    let mut buckets = LATENCY_BOUNDS
        .map(|bound| bucket(bound, up_to(bound)))
        .to_vec();
    buckets.push(bucket(Duration::MAX, all.len()));
    let sum = Duration::from_nanos(1).mul_f64(all.mean() * all.len() as f64);
    Latency { buckets, sum }
}

fn ports(ports: &PortUse) -> Ports {
    Ports {
        interface: ports.interface.clone(),
        address: ports.address,
        used: ports.used.into(),
        size: u64::from(ports.max - ports.min) + 1,
    }
}

fn requests(ng: &Counters) -> Vec<Requests> {
    let total = ng.total();
    let rows = Command::ALL
        .into_iter()
        .enumerate()
        .map(|(place, command)| Requests {
            protocol: "ng",
            command: command.as_str(),
            good: total.count[place] - total.errors[place],
            refused: total.errors[place],
        });
    rows.collect()
}

fn archive(stats: Stats) -> Archive {
    Archive {
        packets: vec![
            ("received", stats.received),
            ("stored", stats.stored),
            ("stranger", stats.strangers),
            ("unattached", stats.unattached),
            ("overflow", stats.overflow),
            ("socket-full", stats.kernel),
        ],
        write_errors: stats.write_errors + stats.index_errors,
        recordings: stats.recordings,
        recordings_failed: stats.recordings_failed,
    }
}

/// How long each worker may take to hand over its latencies; the control loop waits for it.
const PATIENCE: Duration = Duration::from_millis(20);
/// Buckets of the latency histogram: 1, 2, 5 from 10 microseconds to 100 milliseconds.
const LATENCY_BOUNDS: [Duration; 13] = [
    Duration::from_micros(10),
    Duration::from_micros(20),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
];
