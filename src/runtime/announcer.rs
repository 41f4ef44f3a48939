//! Tells a logger elsewhere over HTTP what its ports are used for: one connection, one request
//! after the other, again with growing pauses until the logger answers. Calls never wait for it.
//!
//! Each connection begins with `PUT /v1/relays/{relay}`; a run of the logger that is not the one
//! of before is told of all open mirrors again. The same request, every few seconds, tells the
//! logger that this relay lives, and this relay that the logger does.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hyper::StatusCode;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::client::{Answer, Client, PATIENCE};
use crate::mirror::announce::{Announcement, Counts, Queue, Request};
use crate::sys::clock::Clock;
use crate::wire::time::Timestamp;

/// Where announcements for one logger are handed in; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Announcer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    door: Mutex<Door>,
    /// No mirror goes to this logger any more.
    retired: AtomicBool,
    news: Notify,
}

/// Where a logger is told, and what it wants to see.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Door {
    /// Its address.
    pub(super) address: SocketAddr,
    /// Its token.
    pub(super) token: Option<String>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Announcer {
    /// Hands an announcement in.
    pub(super) fn say(&self, announcement: Announcement) {
        self.queue().push(announcement);
        self.0.news.notify_one();
    }

    /// All mirrors of an earlier process that go on are open again.
    pub(super) fn settle(&self) {
        self.queue().settle();
        self.0.news.notify_one();
    }

    /// What became of announcements.
    pub(super) fn counts(&self) -> Counts {
        self.queue().counts
    }

    /// Tells the logger through this door from now on; one that is another one, or knows nothing,
    /// is told of all that is open.
    /// Gives whether that is another one than before.
    pub(super) fn retarget(&self, door: Door) -> bool {
        let mut now = self.0.door.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *now != door;
        if changed {
            *now = door;
            drop(now);
            self.0.news.notify_one();
        }
        changed
    }

    /// The last mirror has gone from this logger: it is told so, within reason, and no more.
    pub(super) fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
        self.0.news.notify_one();
    }

    fn is_retired(&self) -> bool {
        self.0.retired.load(Ordering::Relaxed)
    }

    fn door(&self) -> Door {
        let door = self.0.door.lock().unwrap_or_else(PoisonError::into_inner);
        door.clone()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom to tell, and on whose behalf.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Name of the logger, for the log.
    pub(super) name: String,
    /// Its door.
    pub(super) door: Door,
    /// Instance of this relay.
    pub(super) relay: String,
}

/// How a connection ended in good order.
enum End {
    /// Nothing is left to say, and nothing will come.
    AllSaid,
    /// The logger's door is elsewhere now.
    Elsewhere,
}

/// The tasks that talk to loggers; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Announcers {
    tasks: Arc<Mutex<JoinSet<()>>>,
    stop: watch::Sender<bool>,
    clock: Clock,
}

impl Announcers {
    /// None yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            tasks: Arc::default(),
            stop: watch::Sender::new(false),
            clock,
        }
    }

    /// Starts telling a logger. Must be called within a tokio runtime.
    pub(super) fn start(&self, target: Target) -> Announcer {
        let announcer = Announcer(Arc::new(Shared {
            queue: Mutex::new(Queue::new(LIMIT)),
            door: Mutex::new(target.door.clone()),
            retired: AtomicBool::new(false),
            news: Notify::new(),
        }));
        let teller = Teller {
            target,
            announcer: announcer.clone(),
            clock: self.clock,
            stop: self.stop.subscribe(),
            known: None,
            pause: FIRST_PAUSE,
            complained: None,
        };
        let mut tasks = self.tasks();
        // Those of loggers that are not configured any more have ended, or will.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(teller.run());
        drop(tasks);
        announcer
    }

    /// Says what is still to be said to loggers that listen, within reason, and ends.
    pub(super) async fn finish(self) {
        self.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks());
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(LAST_WAIT, all).await.is_err() {
            warn!("not everything could be announced to all loggers");
        }
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of one logger.
struct Teller {
    target: Target,
    announcer: Announcer,
    clock: Clock,
    stop: watch::Receiver<bool>,
    /// The run of the logger that was told everything.
    known: Option<String>,
    pause: Duration,
    complained: Option<Timestamp>,
}

impl Teller {
    async fn run(mut self) {
        loop {
            let error = match self.connection().await {
                Ok(End::AllSaid) => return,
                Ok(End::Elsewhere) => {
                    self.known = None;
                    continue;
                }
                Err(error) => error,
            };
            if *self.stop.borrow() || self.announcer.is_retired() && self.pause >= LONGEST_PAUSE {
                return;
            }
            self.announcer.queue().counts.failed += 1;
            // One failure alone: the logger has ended an old connection.
            if self.pause > FIRST_PAUSE {
                self.complain(&error);
            }
            tokio::select! {
                () = sleep(self.pause) => {}
                _ = self.stop.wait_for(|stop| *stop) => {}
            }
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Talks over one connection; returns when told to stop and nothing is left to say.
    async fn connection(&mut self) -> Result<End> {
        let mut client = self.connect().await?;
        let door = self.announcer.door();
        self.hello(&mut client).await?;
        loop {
            if self.announcer.door() != door {
                // Not an error: the configuration names another door now.
                return Ok(End::Elsewhere);
            }
            let first = self.announcer.queue().first().cloned();
            if let Some(first) = first {
                self.tell(&mut client, &first).await?;
                self.pause = FIRST_PAUSE;
                continue;
            }
            self.pause = FIRST_PAUSE;
            if *self.stop.borrow() || self.announcer.is_retired() {
                return Ok(End::AllSaid);
            }
            let announcer = self.announcer.clone();
            let quiet = tokio::select! {
                () = announcer.0.news.notified() => false,
                _ = self.stop.wait_for(|stop| *stop) => false,
                () = sleep(HEARTBEAT) => true,
            };
            if quiet {
                self.hello(&mut client).await?;
            }
        }
    }

    async fn connect(&self) -> Result<Client> {
        let Door { address, token } = self.announcer.door();
        Ok(Client::connect(address, token, MAX_ANSWER).await?)
    }

    /// Says that this relay is there. A run of the logger that knows nothing is told everything.
    async fn hello(&mut self, client: &mut Client) -> Result<()> {
        let path = format!("/v1/relays/{}", self.target.relay);
        let asking = client.ask("PUT", &path, String::new(), PATIENCE);
        let Answer { status, body } = asking.await?;
        if !status.is_success() {
            bail!("it answers {status} to a greeting");
        }
        let answer: Value = serde_json::from_slice(&body).context("not a logger's answer")?;
        let run = answer.get("run").and_then(Value::as_str);
        let run = run
            .ok_or_else(|| anyhow!("not a logger's answer"))?
            .to_owned();
        if self.known.as_ref() != Some(&run) {
            info!(
                logger = self.target.name,
                "the logger is told which calls are mirrored"
            );
            self.known = Some(run);
            self.announcer.queue().begin_anew();
            self.complained = None;
        }
        Ok(())
    }

    async fn tell(&self, client: &mut Client, first: &Announcement) -> Result<()> {
        let Request { method, path, body } = first.request(&self.target.relay);
        let Answer { status, .. } = client.ask(method, &path, body, PATIENCE).await?;
        let again = status.is_server_error()
            || matches!(
                status,
                StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
            );
        if again {
            bail!("it answers {status}");
        }
        self.announcer.queue().done(status.is_success());
        Ok(())
    }

    /// At most one line a minute.
    fn complain(&mut self, error: &anyhow::Error) {
        let now = self.clock.now();
        if self
            .complained
            .is_some_and(|last| now.since(last) < BETWEEN_COMPLAINTS)
        {
            return;
        }
        self.complained = Some(now);
        warn!(
            logger = self.target.name,
            address = %self.announcer.door().address,
            error = format!("{error:#}"),
            "the logger cannot be told which calls are mirrored; trying again"
        );
    }
}

/// Announcements that wait for a logger: some for each of thousands of calls.
const LIMIT: usize = 65_536;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Shorter than an idle connection lives, and far shorter than a silent relay is thought alive.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// For all that is left to be said when the relay stops.
const LAST_WAIT: Duration = Duration::from_secs(3);
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(60);
/// Longest answer that is read, in octets.
const MAX_ANSWER: usize = 65_536;
