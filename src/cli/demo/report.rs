//! What the demo prints: one JSON object whose keys are a contract, or a few lines.

use std::fmt::Write;
use std::path::PathBuf;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::runtime::engine::Figures;
use crate::traffic::Report;
use crate::traffic::recordings::Found;

/// The result of a demo.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DemoReport {
    calls: u32,
    packets: Packets,
    latency_us: Latency,
    recordings: Vec<PathBuf>,
    certificates: Certificates,
    #[serde(skip)]
    pub(super) problems: Vec<String>,
    #[serde(skip)]
    carried: bool,
}

/// RTP packets of all calls.
#[derive(Clone, Copy, Debug, Serialize)]
struct Packets {
    /// Sent by the parties.
    sent: u64,
    /// Received by the other party, unchanged.
    forwarded: u64,
    /// Copied to the logger, by the relay's count.
    mirrored: u64,
    /// Read back from the recordings, each as it was sent.
    stored: u64,
    /// Sent, and not in the recordings as it was sent.
    missing: u64,
}

/// From a packet's receipt by the kernel to its handing back for sending, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// Certificates; this version makes none.
#[derive(Clone, Copy, Debug, Serialize)]
struct Certificates {
    complete: u64,
    incomplete: u64,
}

impl DemoReport {
    pub(super) fn new(
        played: &Report,
        found: &Found,
        figures: &Figures,
        latencies: Option<Histogram<u64>>,
    ) -> Self {
        let sent = played.packets.sent;
        let forwarded = played.packets.received - played.packets.altered;
        let micros = |quantile: f64| {
            let nanos = latencies
                .as_ref()
                .map_or(0, |all| all.value_at_quantile(quantile));
            f64::from(u32::try_from(nanos / 100).unwrap_or(u32::MAX)) / 10.0
        };
        let problems = played
            .problems
            .iter()
            .chain(&found.problems)
            .cloned()
            .collect();
        Self {
            calls: played.calls.planned,
            packets: Packets {
                sent,
                forwarded,
                mirrored: figures.totals.rtp.mirrored,
                stored: found.stored,
                missing: sent.saturating_sub(found.stored),
            },
            latency_us: Latency {
                p50: micros(0.5),
                p99: micros(0.99),
                p999: micros(0.999),
                max: micros(1.0),
            },
            recordings: found.files.clone(),
            certificates: Certificates {
                complete: 0,
                incomplete: 0,
            },
            problems,
            carried: played.passed(),
        }
    }

    /// Whether every packet was carried and stored, once and unchanged.
    pub(super) fn good(&self) -> bool {
        self.carried && self.packets.missing == 0 && self.problems.is_empty()
    }

    /// For people.
    pub(super) fn text(&self, calls: u32, seconds: u32) -> String {
        let Packets {
            sent,
            forwarded,
            mirrored,
            stored,
            missing,
        } = self.packets;
        let Latency {
            p50,
            p99,
            p999,
            max,
        } = self.latency_us;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<10} {value}");
        };
        line(
            "calls",
            format!("{calls} of {seconds} s, each by a user who has migrated"),
        );
        line(
            "carried",
            format!("{forwarded} of {sent} RTP packets reached the other party unchanged"),
        );
        line(
            "mirrored",
            format!("{mirrored} copies went to the primary's logger"),
        );
        line(
            "stored",
            format!(
                "{stored} of them were read back from {} recordings, {missing} missing",
                self.recordings.len()
            ),
        );
        line(
            "latency",
            format!("p50 {p50} us, p99 {p99} us, p99.9 {p999} us, max {max} us within the relay"),
        );
        if let Some(first) = self.recordings.first() {
            let dir = first.parent().unwrap_or(first);
            line("recordings", format!("in {}", dir.display()));
            line("open one", format!("wireshark {}", first.display()));
        }
        let verdict = match (self.good(), missing) {
            (true, _) => "good: every packet was carried and stored once, unchanged".to_owned(),
            (false, 0) => "FAILED: see below what went wrong".to_owned(),
            (false, _) => format!("FAILED: {missing} of {sent} packets are not stored as sent"),
        };
        let _ = writeln!(text, "{verdict}");
        text
    }
}
