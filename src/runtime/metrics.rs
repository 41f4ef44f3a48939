//! Gathers the figures of all parts for `/metrics`, and says whether the relay is well.
use std::sync::Arc;
use axum::Router;
use tokio::sync::watch;
use super::control::Mailbox;
use crate::hook::ng::counters::Counters;
/// x
pub(super) fn routes(_m: &Mailbox, _c: Arc<Counters>, _s: watch::Receiver<bool>) -> (Router, Router) { (Router::new(), Router::new()) }
