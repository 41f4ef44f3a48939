//! The life of a relay: opens everything, serves, and closes in order, or hands its sockets to
//! another process. Runs on the control thread.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc as sync_mpsc};

use anyhow::{Context, Result, anyhow};
use crossbeam::channel::Receiver;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use super::announcer::Announcers;
use super::control::{self, Mailbox, Message};
use super::door::Door;
use super::engine::Engine;
use super::handover::{self, Parcel};
use super::home_sip::Clients;
use super::lock::DirLock;
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
use crate::store::journal::{Journal, Loaded as JournalLoaded};
use crate::store::registry::{Store, Word};
use crate::sys::clock::Clock;

/// What the control thread says when it is up.
pub(super) struct Up {
    pub(super) ng: Vec<SocketAddr>,
    pub(super) http: Vec<SocketAddr>,
    pub(super) door: Door,
    pub(super) mailbox: Mailbox,
    pub(super) recordings: Option<Receiver<Recording>>,
}

/// With what a relay begins.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// Faults on the way to the embedded logger.
    pub(super) faults: Faults,
    /// Where the configuration can be read again.
    pub(super) origin: Origin,
    /// Sockets of the process before.
    pub(super) sockets: Parcel,
    /// Whether another process may take the sockets over.
    pub(super) hand_over: bool,
}

pub(super) fn run(
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
        let (store, mut loaded) = setup::store(config, clock)?;
        let words = std::mem::take(&mut loaded.words);
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
        let parts = Parts {
            engine,
            journal,
            mailbox,
            messages,
            maker,
            store,
            words,
            recordings: logger.as_ref().map(|logger| logger.recordings()),
            origin: beginning.origin,
            redirected,
            sockets: beginning.sockets,
            heirs: if beginning.hand_over {
                heirs(config)
            } else {
                None
            },
        };
        let (end, ending) = watch::channel(false);
        let anchor = anchor.map(|anchor| tokio::spawn(anchor.run(ending)));
        let end_anchor = async {
            end.send_replace(true);
            if let Some(anchor) = anchor {
                // If it has ended badly the panic hook has told.
                let _ = anchor.await;
            }
        };
        match serve(config, clock, parts, stop, tell).await {
            Ok(Some((heir, parcel))) => {
                // The calls wait for this; what is to be told to loggers the heir tells anew.
                let passed = handover::pass(&heir, parcel);
                drop(announcers);
                end_anchor.await;
                if let Some(logger) = logger {
                    logger.suspend();
                }
                drop(lock);
                let told = passed.and_then(|()| handover::done(&heir));
                clients.finish().await;
                told.context("the process that asked for the sockets is gone: start one again")
            }
            outcome => {
                // Home legs have ended with the calls; the anchor in this process hears of it.
                clients.finish().await;
                end_anchor.await;
                announcers.finish().await;
                if let Some(logger) = logger {
                    logger.stop();
                }
                outcome.map(drop)
            }
        }
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
    words: Vec<Word>,
    recordings: Option<Receiver<Recording>>,
    origin: Origin,
    redirected: Redirected,
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
        words,
        recordings,
        origin,
        redirected,
        sockets,
        heirs,
    } = parts;
    let primaries = Primaries::new(config, words, clock)?;
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
