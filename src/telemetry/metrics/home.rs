//! Metrics of redirected calls: the relay's side by SIP, and the media anchor's.

use std::fmt;

use super::Snapshot;
use super::write::{Labels, Writer};

/// What the SIP client of one media anchor counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeAnchor {
    /// Name of the anchor.
    pub name: String,
    /// Home legs now.
    pub legs: u64,
    /// Answers of the anchor that could be used.
    pub answered: u64,
    /// Home legs that failed, by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// SIP datagrams that were dropped or repeated.
    pub datagrams: Vec<(&'static str, u64)>,
}

/// What the media anchor beside the logger counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaAnchor {
    /// Calls now.
    pub calls: u64,
    /// Calls that were taken.
    pub taken: u64,
    /// Calls that were refused or failed, by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// Packets by what became of them: `returned`, `elsewhere` (from another address; dropped).
    pub packets: Vec<(&'static str, u64)>,
    /// SIP datagrams that were dropped.
    pub datagrams: Vec<(&'static str, u64)>,
}

impl Snapshot {
    pub(super) fn homes_by_sip(&self, w: &mut Writer<'_>) -> fmt::Result {
        let label = |of: &HomeAnchor| Labels::one("anchor", of.name.clone());
        let rows = self.home_anchors.iter().map(|of| (label(of), of.legs));
        w.gauges("home_sip_legs", "Home legs by SIP now", rows)?;
        let rows = self.home_anchors.iter().map(|of| (label(of), of.answered));
        w.counters(
            "home_sip_answers",
            "Answers of media anchors that could be used",
            rows,
        )?;
        let rows = self.home_anchors.iter().flat_map(|of| {
            let rows = of.failures.iter();
            rows.map(move |(reason, count)| (label(of).and("reason", *reason), *count))
        });
        w.counters("home_sip_failures", "Home legs by SIP that failed", rows)?;
        let rows = self.home_anchors.iter().flat_map(|of| {
            let rows = of.datagrams.iter();
            rows.map(move |(what, count)| (label(of).and("what", *what), *count))
        });
        w.counters(
            "home_sip_datagrams",
            "SIP datagrams of home legs that were dropped or repeated",
            rows,
        )
    }

    pub(super) fn media_anchor(&self, w: &mut Writer<'_>) -> fmt::Result {
        let Some(anchor) = &self.media_anchor else {
            return Ok(());
        };
        w.gauge(
            "anchor_calls",
            "Calls at the media anchor now",
            anchor.calls,
        )?;
        w.counter(
            "anchor_calls_taken",
            "Calls that the media anchor took",
            anchor.taken,
        )?;
        let one = |name, rows: &[(&'static str, u64)]| -> Vec<_> {
            let rows = rows.iter();
            rows.map(|(value, count)| (Labels::one(name, *value), *count))
                .collect()
        };
        w.counters(
            "anchor_failures",
            "Calls that the media anchor refused, or that failed there",
            one("reason", &anchor.failures),
        )?;
        w.counters(
            "anchor_packets",
            "Packets at the media anchor, by what became of them",
            one("outcome", &anchor.packets),
        )?;
        w.counters(
            "anchor_datagrams",
            "SIP datagrams that the media anchor dropped",
            one("what", &anchor.datagrams),
        )
    }
}
