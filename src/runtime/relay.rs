//! A running relay: everything that `homeward run` starts, and stops again in order.

use std::net::SocketAddr;
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crossbeam::channel::Receiver;
use tokio::sync::watch;
use tracing::info;

use super::control::Mailbox;
use super::door::Door;
use super::engine::{Engine, Figures};
use super::handover::{self, TakeOverError};
use super::lifetime::{self, Beginning, Up};
use super::reload::Origin;
use super::signals::{self};
use crate::config::Config;
use crate::logger::fault::Faults;
use crate::logger::service::Recording;
use crate::plane::latency::Latencies;

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
                let outcome = lifetime::run(&config, beginning, stopper, &tell);
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
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let terminated = {
        let _context = waiting.enter();
        signals::terminate()?
    };
    let relay = Relay::begin(config, beginning)?;
    let signalled = waiting.block_on(async {
        tokio::select! {
            () = terminated => true,
            () = relay.ended() => false,
        }
    });
    if signalled && config.relay.journal {
        info!("stopping: calls are kept for the next start");
        return relay.suspend();
    }
    if signalled {
        info!("stopping: ending calls and closing recordings");
    }
    relay.stop()
}

/// How long a worker may take to hand over its latencies.
const PATIENCE: Duration = Duration::from_millis(500);
