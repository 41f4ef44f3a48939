//! A running relay: everything that `homeward run` starts, and stops again in order.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc as sync_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crossbeam::channel::Receiver;
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::announcer::Announcers;
use super::control::{self, Mailbox, Message};
use super::door::Door;
use super::engine::{Engine, Figures};
use super::home_sip::Clients;
use super::loggers::Maker;
use super::media_anchor::Bound;
use super::metrics::{self, Redirected};
use super::primary::Primaries;
use super::reload::{self, Origin, Reloader};
use super::servers::{Servers, until};
use super::setup;
use super::signals::Hangups;
use crate::config::Config;
use crate::hook::http;
use crate::logger::fault::Faults;
use crate::logger::service::{Recording, Service};
use crate::plane::latency::Latencies;
use crate::store::journal::{Journal, Loaded as JournalLoaded};
use crate::store::registry::Store;
use crate::sys::clock::Clock;

/// A relay that runs, with an embedded logger if one is configured.
#[derive(Debug)]
pub struct Relay {
    ng: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    door: Door,
    mailbox: Mailbox,
    recordings: Option<Receiver<Recording>>,
    stop: watch::Sender<bool>,
    /// Closed when the control thread is at its end.
    ended: watch::Receiver<()>,
    control: JoinHandle<Result<()>>,
}

/// What the control thread says when it is up.
struct Up {
    ng: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    door: Door,
    mailbox: Mailbox,
    recordings: Option<Receiver<Recording>>,
}

impl Relay {
    /// Starts everything; when this returns, requests are answered.
    ///
    /// # Errors
    /// Whatever could not be opened, bound or started, named.
    pub fn start(config: &Config) -> Result<Self> {
        Self::start_with(config, Faults::default())
    }

    /// The same for a configuration that has been read from a file and can be read again.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_from(config: &Config, origin: Origin) -> Result<Self> {
        Self::begin(config, Faults::default(), origin)
    }

    /// The same with faults on the way to the embedded logger, for demonstrations and tests.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: &Config, faults: Faults) -> Result<Self> {
        Self::begin(config, faults, Origin::default())
    }

    fn begin(config: &Config, faults: Faults, origin: Origin) -> Result<Self> {
        let (over, ended) = watch::channel(());
        let (stop, stopping) = watch::channel(false);
        let (tell, told) = sync_mpsc::channel();
        let config = config.clone();
        let control = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                let outcome = control_thread(&config, faults, origin, stopping, &tell);
                drop(over);
                outcome
            })
            .context("cannot start the control thread")?;
        match told.recv() {
            Ok(Up {
                ng,
                http,
                door,
                mailbox,
                recordings,
            }) => Ok(Self {
                ng,
                http,
                door,
                mailbox,
                recordings,
                stop,
                ended,
                control,
            }),
            Err(_) => match control.join() {
                Ok(Ok(())) => Err(anyhow!("the control thread ended at once")),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(anyhow!("the control thread panicked")),
            },
        }
    }

    /// Addresses on which NG requests are taken.
    pub fn ng(&self) -> &[SocketAddr] {
        &self.ng
    }

    /// Addresses on which HTTP requests are taken.
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// The way in for hooks.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Recordings as they are closed, if the logger is embedded.
    pub fn recordings(&self) -> Option<&Receiver<Recording>> {
        self.recordings.as_ref()
    }

    /// Figures of the engine; zeros if it stops.
    pub fn figures(&self) -> Figures {
        self.mailbox
            .with_blocking(|engine| engine.figures())
            .unwrap_or_default()
    }

    /// Media sockets that are open.
    pub fn open_streams(&self) -> u64 {
        self.figures().streams
    }

    /// Latencies of all packets forwarded since the start, in nanoseconds, from the kernel's
    /// receipt to handing back for sending; `None` if the relay stops.
    pub fn latencies(&self) -> Option<Latencies> {
        self.with_engine(|engine| engine.latencies(PATIENCE).cloned())
            .flatten()
    }

    /// Runs a job in the control loop and waits for it; `None` if the relay stops.
    pub fn with_engine<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Option<T> {
        self.mailbox.with_blocking(job).ok()
    }

    /// Stops, and keeps all calls for the next start, if there is a journal; otherwise as
    /// [`Self::stop`].
    ///
    /// # Errors
    /// What went wrong while it ran or stopped.
    pub fn suspend(self) -> Result<()> {
        self.with_engine(Engine::suspend);
        self.stop()
    }

    /// Waits until it has ended by itself: drained, as it was asked to, or because of a failure
    /// that [`Self::stop`] tells.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.clone();
        async move { while ended.changed().await.is_ok() {} }
    }

    /// Ends all calls, closes their recordings, and stops.
    ///
    /// # Errors
    /// What went wrong while it ran or stopped.
    pub fn stop(self) -> Result<()> {
        // Nobody listens only if the thread has ended, and then join tells why.
        let _ = self.stop.send(true);
        self.control
            .join()
            .map_err(|_| anyhow!("the control thread panicked"))?
    }
}

/// Runs a relay until SIGTERM or SIGINT, or until it is drained and was asked to end then.
///
/// # Errors
/// As [`Relay::start`] and [`Relay::stop`].
pub fn run_until_signal(config: &Config, origin: Origin) -> Result<()> {
    let relay = Relay::start_from(config, origin)?;
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signalled = waiting.block_on(async {
        tokio::select! {
            told = super::signals::terminate() => told.map(|()| true),
            () = relay.ended() => Ok(false),
        }
    })?;
    if signalled && config.relay.journal {
        info!("stopping: calls are kept for the next start");
        return relay.suspend();
    }
    if signalled {
        info!("stopping: ending calls and closing recordings");
    }
    relay.stop()
}

fn control_thread(
    config: &Config,
    faults: Faults,
    origin: Origin,
    stopping: watch::Receiver<bool>,
    tell: &sync_mpsc::Sender<Up>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let clock = Clock::start();
        setup::preconditions(config)?;
        // Before anything else: it tells whether another process has the data directory.
        let journal = setup::journal(config, clock)?;
        let logger = setup::logger(config, clock, faults)?;
        let (store, loaded) = setup::store(config, clock)?;
        let announcers = Announcers::new(clock);
        let (mailbox, messages) = control::mailbox();
        let mut clients = Clients::new(clock);
        let homes = setup::homes(config, &mailbox, &mut clients);
        let anchor = media_anchor(config, logger.as_ref(), clock)?;
        let redirected = Redirected {
            clients: clients.figures(),
            anchor: anchor
                .as_ref()
                .zip(logger.as_ref())
                .map(|(anchor, logger)| (anchor.figures(), logger.handle())),
        };
        let instance = setup::instance(journal.as_ref());
        let maker = setup::maker(config, instance, logger.as_ref(), &announcers);
        let engine = setup::engine(config, clock, loaded, homes, &maker)?;
        let recordings = logger.as_ref().map(|logger| logger.recordings());
        let parts = Parts {
            engine,
            journal,
            mailbox,
            messages,
            maker,
            store,
            recordings,
            origin,
            redirected,
        };
        let (end, ending) = watch::channel(false);
        let anchor = anchor.map(|anchor| tokio::spawn(anchor.run(ending)));
        let outcome = serve(config, clock, parts, stopping, tell).await;
        // Home legs have ended with the calls; the anchor in this process hears of it.
        clients.finish().await;
        end.send_replace(true);
        if let Some(anchor) = anchor {
            // If it has ended badly the panic hook has told.
            let _ = anchor.await;
        }
        announcers.finish().await;
        if let Some(logger) = logger {
            logger.stop();
        }
        outcome
    })
}

/// The media anchor, if one is configured: it needs the embedded logger.
fn media_anchor(config: &Config, logger: Option<&Service>, clock: Clock) -> Result<Option<Bound>> {
    match (logger, &config.media_anchor) {
        (Some(logger), _) => Bound::bind(config, logger.handle(), clock),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(anyhow!(
            "media_anchor: there is no embedded logger that could record; name one, or let \
             `homeward logger` be the anchor"
        )),
    }
}

/// All that is open before anything is promised.
struct Parts {
    engine: Engine,
    journal: Option<(Journal, JournalLoaded)>,
    mailbox: Mailbox,
    messages: mpsc::Receiver<Message>,
    maker: Maker,
    store: Store,
    recordings: Option<Receiver<Recording>>,
    origin: Origin,
    redirected: Redirected,
}

/// Everything is open: serve until told to stop, or until drained.
async fn serve(
    config: &Config,
    clock: Clock,
    parts: Parts,
    stopping: watch::Receiver<bool>,
    tell: &sync_mpsc::Sender<Up>,
) -> Result<()> {
    let Parts {
        mut engine,
        journal,
        mailbox,
        messages,
        maker,
        store,
        recordings,
        origin,
        redirected,
    } = parts;
    let primaries = Primaries::new(config, clock)?;
    let door = Door::new(mailbox.clone(), Arc::new(store), primaries.clone());
    let hangups = origin.on_hangup.then(Hangups::listen).transpose()?;
    let servers = Servers::bind(config, door.clone(), clock).await?;
    let (ng, addresses) = (servers.ng(), servers.http());
    // Requests wait in their sockets until the calls that they are about are there.
    if let Some((journal, loaded)) = journal {
        engine.restore(journal, loaded);
    }
    for address in &addresses {
        info!(%address, "listening for HTTP");
    }
    // Servers end with the control loop, which may end by itself.
    let (quit, quitting) = watch::channel(false);
    let reloader = {
        let parts = reload::Parts::Relay {
            mailbox: mailbox.clone(),
            allowed: servers.allowed(),
            maker,
        };
        Reloader::new(origin, config.clone(), servers.gate(), parts)
    };
    if let Some(hangups) = hangups {
        tokio::spawn(reloader.clone().at(hangups, quitting.clone()));
    }
    let (protected, open) = metrics::routes(
        &mailbox,
        servers.ng_counters(),
        redirected,
        primaries.clone(),
        quitting.clone(),
    );
    let telling = primaries.start(&door, &mailbox, &quitting);
    let protected = protected
        .merge(http::drain_routes(door.clone()))
        .merge(http::reload_routes(reloader));
    let up = Up {
        ng,
        http: addresses,
        door: door.clone(),
        mailbox,
        recordings,
    };
    // Whoever started the thread waits for this.
    drop(tell.send(up));
    let serving = tokio::spawn(servers.run(door, protected, open, quitting));
    tokio::spawn({
        let (quit, stopping) = (quit.clone(), stopping.clone());
        async move {
            until(stopping).await;
            quit.send_replace(true);
        }
    });
    let outcome = control::run(engine, messages, stopping).await;
    drop(telling);
    quit.send_replace(true);
    outcome.context("the control loop failed")?;
    serving.await.context("a server failed")
}

/// How long a worker may take to hand over its latencies.
const PATIENCE: Duration = Duration::from_millis(500);
