//! A running relay: everything that `homeward run` starts, and stops again in order.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc as sync_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crossbeam::channel::Receiver;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use super::announcer::Announcers;
use super::control::{self, Mailbox, Message};
use super::door::Door;
use super::engine::{Engine, Figures};
use super::handover::{self, Parcel, TakeOverError};
use super::lock::DirLock;
use super::loggers::Maker;
use super::metrics;
use super::primary::Primaries;
use super::reload::{self, Origin, Reloader};
use super::servers::{Servers, until};
use super::setup;
use super::signals::Hangups;
use crate::config::Config;
use crate::hook::http;
use crate::logger::fault::Faults;
use crate::logger::service::Recording;
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
        let beginning = Beginning {
            origin,
            ..Beginning::default()
        };
        Self::begin(config, beginning)
    }

    /// The same with faults on the way to the embedded logger, for demonstrations and tests.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: &Config, faults: Faults) -> Result<Self> {
        let beginning = Beginning {
            faults,
            ..Beginning::default()
        };
        Self::begin(config, beginning)
    }

    fn begin(config: &Config, beginning: Beginning) -> Result<Self> {
        let (over, ended) = watch::channel(());
        let stop = watch::Sender::new(false);
        let stopper = stop.clone();
        let (tell, told) = sync_mpsc::channel();
        let config = config.clone();
        let control = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                let outcome = control_thread(&config, beginning, stopper, &tell);
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

/// Runs a relay until SIGTERM or SIGINT, until it is drained and was asked to end then, or until
/// another process takes its sockets over. With `take_over` it begins with the sockets of the
/// relay that has the data directory now, if there is one.
///
/// # Errors
/// As [`Relay::start`] and [`Relay::stop`]; or the other relay keeps its sockets.
pub fn run_until_signal(config: &Config, origin: Origin, take_over: bool) -> Result<()> {
    let mut beginning = Beginning {
        origin,
        hand_over: config.relay.journal,
        ..Beginning::default()
    };
    if take_over {
        match handover::take_over(&config.relay.data_dir) {
            Ok(parcel) => beginning.sockets = parcel,
            Err(nobody @ TakeOverError::Nobody(_)) => info!("nothing to take over: {nobody}"),
            Err(error @ TakeOverError::Refused(_)) => return Err(error.into()),
        }
    }
    let relay = Relay::begin(config, beginning)?;
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

/// With what a relay begins.
#[derive(Debug, Default)]
struct Beginning {
    /// Faults on the way to the embedded logger.
    faults: Faults,
    /// Where the configuration can be read again.
    origin: Origin,
    /// Sockets of the process before.
    sockets: Parcel,
    /// Whether another process may take the sockets over.
    hand_over: bool,
}

fn control_thread(
    config: &Config,
    beginning: Beginning,
    stop: watch::Sender<bool>,
    tell: &sync_mpsc::Sender<Up>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let clock = Clock::start();
        setup::preconditions(config)?;
        let lock = DirLock::take(&config.relay.data_dir).context("relay.data_dir")?;
        let journal = setup::journal(config, clock)?;
        let logger = setup::logger(config, clock, beginning.faults)?;
        let (store, loaded) = setup::store(config, clock)?;
        let announcers = Announcers::new(clock);
        let (mailbox, messages) = control::mailbox();
        let homes = setup::homes(config, &mailbox);
        let instance = setup::instance(journal.as_ref());
        let maker = setup::maker(config, instance, logger.as_ref(), &announcers);
        let engine = setup::engine(config, clock, loaded, homes, &maker)?;
        let parts = Parts {
            engine,
            journal,
            mailbox,
            messages,
            maker,
            store,
            recordings: logger.as_ref().map(|logger| logger.recordings()),
            origin: beginning.origin,
            sockets: beginning.sockets,
            heirs: if beginning.hand_over {
                heirs(config)
            } else {
                None
            },
        };
        match serve(config, clock, parts, stop, tell).await {
            Ok(Some((heir, parcel))) => {
                // The calls wait for this; what is to be told to loggers the heir tells anew.
                let passed = handover::pass(&heir, parcel);
                drop(announcers);
                if let Some(logger) = logger {
                    logger.suspend();
                }
                drop(lock);
                let told = passed.and_then(|()| handover::done(&heir));
                told.context("the process that asked for the sockets is gone: start one again")
            }
            outcome => {
                announcers.finish().await;
                if let Some(logger) = logger {
                    logger.stop();
                }
                outcome.map(drop)
            }
        }
    })
}

/// Where other processes ask for the sockets.
fn heirs(config: &Config) -> Option<UnixListener> {
    let listener = handover::listen(&config.relay.data_dir);
    let complain = |error: &std::io::Error| {
        warn!(%error, "no other process can take over from this one: the path may be too long");
    };
    listener.inspect_err(complain).ok()
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
    sockets: Parcel,
    heirs: Option<UnixListener>,
}

/// Everything is open: serve until told to stop, until drained, or until another process asks for
/// the sockets. Then gives them, with the way to it.
async fn serve(
    config: &Config,
    clock: Clock,
    parts: Parts,
    stop: watch::Sender<bool>,
    tell: &sync_mpsc::Sender<Up>,
) -> Result<Option<(UnixStream, Parcel)>> {
    let Parts {
        mut engine,
        journal,
        mailbox,
        messages,
        maker,
        store,
        recordings,
        origin,
        sockets,
        heirs,
    } = parts;
    let primaries = Primaries::new(config, clock)?;
    let door = Door::new(mailbox.clone(), Arc::new(store), primaries.clone());
    let hangups = origin.on_hangup.then(Hangups::listen).transpose()?;
    let bound = (sockets.ng, sockets.http);
    let servers = Servers::bind(config, bound, door.clone(), clock).await?;
    let (ng, addresses) = (servers.ng(), servers.http());
    engine.take_over(sockets.media);
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
    let sockets = heirs.is_some().then(|| servers.sockets()).transpose()?;
    let mut heir = hand_over_to(heirs, &stop);
    // Requests that have begun are answered before the control loop ends.
    let (halt, halted) = watch::channel(false);
    let serving = tokio::spawn(async move {
        servers.run(door, protected, open, quitting).await;
        halt.send_replace(true);
    });
    tokio::spawn({
        let (quit, stopping) = (quit.clone(), stop.subscribe());
        async move {
            until(stopping).await;
            quit.send_replace(true);
        }
    });
    let outcome = control::run(engine, messages, halted).await;
    drop(telling);
    quit.send_replace(true);
    let engine = outcome.context("the control loop failed")?;
    serving.await.context("a server failed")?;
    let (Ok(heir), Some((ng, http))) = (heir.try_recv(), sockets) else {
        engine.stop();
        return Ok(None);
    };
    let media = engine.release().into_iter();
    let media = media.filter_map(|socket| Some((socket.local_addr().ok()?, socket)));
    let media = media.collect();
    Ok(Some((heir, Parcel { media, ng, http })))
}

/// Waits for another process that asks for the sockets; then everything stops.
fn hand_over_to(
    heirs: Option<UnixListener>,
    stop: &watch::Sender<bool>,
) -> oneshot::Receiver<UnixStream> {
    let (say, heir) = oneshot::channel();
    if let Some(heirs) = heirs {
        let stop = stop.clone();
        tokio::spawn(async move {
            let asked = handover::wait(&heirs).await;
            info!("handing the calls over to another process");
            drop(say.send(asked));
            stop.send_replace(true);
        });
    }
    heir
}

/// How long a worker may take to hand over its latencies.
const PATIENCE: Duration = Duration::from_millis(500);
