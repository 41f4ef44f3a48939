//! `homeward logger`: the logger alone, with its door for relays elsewhere and for operators.

use anyhow::{Context, Result};
use axum::Router;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use tracing::{info, warn};

use super::media_anchor::Bound;
use super::reload::{Origin, Parts, Reloader};
use super::servers::{Http, until};
use super::signals::Hangups;
use super::{setup, signals, users};
use crate::admin::{self, Readiness};
use crate::config::Config;
use crate::hook::http;
use crate::logger::http::{Relays, SILENCE, routes};
use crate::logger::service::{Handle, Service};
use crate::sys::clock::Clock;

/// Runs the logger alone until SIGTERM or SIGINT.
///
/// # Errors
/// What could not be opened or bound, and what went wrong at the end.
pub fn run_until_signal(config: &Config, origin: Origin) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(config, origin))
}

async fn run(config: &Config, origin: Origin) -> Result<()> {
    let clock = Clock::start();
    let terminated = signals::terminate()?;
    let hangups = Hangups::listen()?;
    let doors = Http::bind(config).await?;
    let settings = setup::logger_settings(config, true);
    let users = users::open(config, clock)?;
    let service = Service::start(settings.clone(), clock).context(setup::ARCHIVE)?;
    let (first, last) = config.archive.ports;
    info!(address = %config.archive.bind, first, last, "media is taken as plain RTP");
    let relays = Relays::new(clock);
    let reloader = Reloader::new(
        origin,
        config.clone(),
        doors.settings.gate.clone(),
        Parts::Logger {
            handle: service.handle(),
            users: users.clone(),
        },
    );
    let mut protected = routes(service.handle(), &settings, relays.clone())
        .merge(http::reload_routes(reloader.clone()));
    let (stop, stopping) = watch::channel(false);
    let ready = stopping.clone();
    let open = admin::health(move || {
        let readiness = match *ready.borrow() {
            false => Readiness::Ready,
            true => Readiness::NotReady("the logger is stopping".to_owned()),
        };
        std::future::ready(readiness)
    });
    let anchor = Bound::bind(config, service.handle(), clock)?;
    let mut open = open;
    if let Some(primary) = users {
        let (behind_token, own_access) = primary.routes();
        protected = protected
            .merge(behind_token)
            .merge(users::metrics(&primary));
        open = open.merge(own_access);
        let partners = config.partners.len();
        info!(
            partners,
            "users of this system are kept, and their migrations are marked"
        );
    }
    let mut serving = serve(doors, protected, open, &stopping);
    if let Some(anchor) = anchor {
        serving.spawn(anchor.run(stopping.clone()));
    }
    serving.spawn(close_silent(service.handle(), relays, stopping.clone()));
    serving.spawn(reloader.at(hangups, stopping));
    terminated.await;
    info!("stopping: closing recordings");
    stop.send_replace(true);
    while serving.join_next().await.is_some() {}
    service.stop();
    Ok(())
}

fn serve(
    doors: Http,
    protected: Router,
    open: Router,
    stopping: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let app = http::guard(protected, open, &doors.settings);
    let mut serving = JoinSet::new();
    for address in doors.addresses() {
        info!(%address, "listening for HTTP");
    }
    doors.serve(&app, stopping, &mut serving);
    serving
}

/// Ends the recordings of relays that have died.
async fn close_silent(handle: Handle, relays: Relays, stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = until(stopping.clone()) => return,
            () = sleep(ROUND) => {}
        }
        let closed = relays.close_silent(&handle, SILENCE);
        if closed > 0 {
            warn!(
                mirrors = closed,
                "a relay has fallen silent: its recordings are closed"
            );
        }
    }
}

/// How often silent relays are looked for.
const ROUND: Duration = Duration::from_secs(5);
