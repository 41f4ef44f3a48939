//! The reference media anchor beside a logger: its SIP sockets.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::sync::watch;
use tracing::info;

use super::servers::until;
use super::sip::Sockets;
use crate::config::{Config, MediaAnchor};
use crate::logger::anchor::{Anchor, Counts, Failure, Settings};
use crate::logger::service::Handle;
use crate::logger::stats::Stats;
use crate::sys::clock::Clock;
use crate::telemetry::metrics;
use crate::wire::sip::{Agent, Timing};

/// An anchor whose sockets are bound.
#[derive(Debug)]
pub(super) struct Bound {
    sockets: Sockets,
    anchor: Anchor,
    figures: Figures,
    clock: Clock,
}

/// What the anchor counts, for scrapes; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Arc<Mutex<Counts>>);

impl Bound {
    /// Binds the sockets of the configured anchor, if there is one. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// A socket cannot be bound.
    pub(super) fn bind(config: &Config, handle: Handle, clock: Clock) -> Result<Option<Self>> {
        let Some(wanted) = &config.media_anchor else {
            return Ok(None);
        };
        let sockets = Sockets::bind(&wanted.sip).context("media_anchor.sip: cannot listen")?;
        for address in sockets.addresses() {
            info!(%address, "calls are taken as a media anchor");
        }
        let anchor = Anchor::new(settings(wanted, config.relay.system.to_string()), handle);
        Ok(Some(Self {
            sockets,
            anchor,
            figures: Figures::default(),
            clock,
        }))
    }

    /// What it counts.
    pub(super) fn figures(&self) -> Figures {
        self.figures.clone()
    }

    /// Serves until told to stop; then ends all calls.
    pub(super) async fn run(mut self, stopping: watch::Receiver<bool>) {
        let mut stopped = std::pin::pin!(until(stopping));
        loop {
            tokio::select! {
                () = &mut stopped => break,
                () = self.sockets.step(&mut self.anchor, self.clock) => {}
            }
            self.figures.set(self.anchor.counts());
        }
        self.sockets.finish(&mut self.anchor, self.clock).await;
        debug_assert!(self.anchor.poll_transmit().is_none());
    }
}

impl Figures {
    /// As metrics, with what the logger counts of the packets.
    pub(super) fn row(&self, stats: Stats) -> metrics::MediaAnchor {
        let counts = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::MediaAnchor {
            calls: counts.open,
            taken: counts.taken,
            failures: Failure::ALL
                .iter()
                .zip(counts.failures)
                .map(|(failure, count)| (failure.as_str(), count))
                .collect(),
            packets: vec![("returned", stats.returned), ("elsewhere", stats.elsewhere)],
            datagrams: vec![
                ("stranger", counts.strangers),
                ("unreadable", counts.unreadable),
            ],
        }
    }

    fn set(&self, counts: Counts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

fn settings(wanted: &MediaAnchor, system: String) -> Settings {
    Settings {
        system,
        identities: Vec::new(),
        relays: wanted.relays.clone(),
        bind: wanted.bind.clone(),
        ports: wanted.ports,
        max_calls: wanted.max_calls,
        media_timeout: wanted.media_timeout,
        timing: Timing::default(),
        secret: rand::random(),
    }
}
