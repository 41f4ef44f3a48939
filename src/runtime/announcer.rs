//! Tells a logger elsewhere over HTTP what its ports are used for: one connection, one request
//! after the other, again with growing pauses until the logger answers. Calls never wait for it.
//!
//! Each connection begins with `PUT /v1/relays/{relay}`; a run of the logger that is not the one
//! of before is told of all open mirrors again. The same request, every few seconds, tells the
//! logger that this relay lives, and this relay that the logger does.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use axum::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request as HttpRequest, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::mirror::announce::{Announcement, Counts, Queue, Request};
use crate::sys::clock::Clock;
use crate::wire::time::Timestamp;

/// Where announcements for one logger are handed in; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Announcer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    news: Notify,
}

impl Announcer {
    /// Hands an announcement in.
    pub(super) fn say(&self, announcement: Announcement) {
        self.queue().push(announcement);
        self.0.news.notify_one();
    }

    /// What became of announcements.
    pub(super) fn counts(&self) -> Counts {
        self.queue().counts
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
    pub(super) address: SocketAddr,
    /// Its token.
    pub(super) token: Option<String>,
    /// Instance of this relay.
    pub(super) relay: String,
}

/// The tasks that talk to loggers.
#[derive(Debug)]
pub(super) struct Announcers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    clock: Clock,
}

impl Announcers {
    /// None yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
            clock,
        }
    }

    /// Starts telling a logger. Must be called within a tokio runtime.
    pub(super) fn start(&mut self, target: Target) -> Announcer {
        let announcer = Announcer(Arc::new(Shared {
            queue: Mutex::new(Queue::new(LIMIT)),
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
        self.tasks.spawn(teller.run());
        announcer
    }

    /// Says what is still to be said to loggers that listen, within reason, and ends.
    pub(super) async fn finish(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(LAST_WAIT, all).await.is_err() {
            warn!("not everything could be announced to all loggers");
        }
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
            let Err(error) = self.connection().await else {
                return;
            };
            if *self.stop.borrow() {
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
    async fn connection(&mut self) -> Result<()> {
        let mut sender = self.connect().await?;
        self.hello(&mut sender).await?;
        loop {
            let first = self.announcer.queue().first().cloned();
            if let Some(first) = first {
                self.tell(&mut sender, &first).await?;
                self.pause = FIRST_PAUSE;
                continue;
            }
            self.pause = FIRST_PAUSE;
            if *self.stop.borrow() {
                return Ok(());
            }
            let announcer = self.announcer.clone();
            let quiet = tokio::select! {
                () = announcer.0.news.notified() => false,
                _ = self.stop.wait_for(|stop| *stop) => false,
                () = sleep(HEARTBEAT) => true,
            };
            if quiet {
                self.hello(&mut sender).await?;
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>> {
        let connecting = timeout(PATIENCE, TcpStream::connect(self.target.address));
        let stream = connecting.await.map_err(|_| late())??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // What goes wrong shows at the request that waits for it.
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }

    /// Says that this relay is there. A run of the logger that knows nothing is told everything.
    async fn hello(&mut self, sender: &mut SendRequest<Body>) -> Result<()> {
        let request = Request {
            method: "PUT",
            path: format!("/v1/relays/{}", self.target.relay),
            body: String::new(),
        };
        let (status, body) = self.ask(sender, request).await?;
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

    async fn tell(&self, sender: &mut SendRequest<Body>, first: &Announcement) -> Result<()> {
        let request = first.request(&self.target.relay);
        let (status, _) = self.ask(sender, request).await?;
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

    async fn ask(
        &self,
        sender: &mut SendRequest<Body>,
        request: Request,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let mut builder = HttpRequest::builder()
            .method(request.method)
            .uri(request.path)
            .header(HOST, self.target.address.to_string());
        if !request.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.target.token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = builder.body(Body::from(request.body))?;
        let asking = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = axum::body::to_bytes(Body::new(body), MAX_ANSWER).await?;
            anyhow::Ok((head.status, body.to_vec()))
        };
        timeout(PATIENCE, asking).await.map_err(|_| late())?
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
            address = %self.target.address,
            error = format!("{error:#}"),
            "the logger cannot be told which calls are mirrored; trying again"
        );
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// Announcements that wait for a logger: some for each of thousands of calls.
const LIMIT: usize = 65_536;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Shorter than an idle connection lives, and far shorter than a silent relay is thought alive.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// For connecting, and for each answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For all that is left to be said when the relay stops.
const LAST_WAIT: Duration = Duration::from_secs(3);
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(60);
/// Longest answer that is read, in octets.
const MAX_ANSWER: usize = 65_536;
