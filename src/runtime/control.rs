//! The control loop: one owner of the engine, fed by a bounded queue; and the handle to it that
//! hooks hold.

use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::engine::Engine;
use crate::session::reply::{Error, Reply};
use crate::session::request::Request;
use crate::sys::readable::Readable;

/// The way to the control loop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Mailbox {
    queue: mpsc::Sender<Message>,
}

/// What is sent to the control loop.
pub(super) enum Message {
    /// A request of signalling.
    Session(Request, oneshot::Sender<Result<Reply, Error>>),
    /// Anything else that needs the engine: figures, changes of the registry.
    With(Box<dyn FnOnce(&mut Engine) + Send>),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(request, _) => f.debug_tuple("Session").field(request).finish(),
            Self::With(_) => f.write_str("With"),
        }
    }
}

/// The loop is at its end: the relay stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// A mailbox, and the queue behind it for [`run`].
pub(super) fn mailbox() -> (Mailbox, mpsc::Receiver<Message>) {
    let (queue, messages) = mpsc::channel(QUEUE);
    (Mailbox { queue }, messages)
}

impl Mailbox {
    /// Hands a request to the session core.
    ///
    /// # Errors
    /// The core's refusal; `Busy` when the relay stops.
    pub async fn session(&self, request: Request) -> Result<Reply, Error> {
        let (answer, reply) = oneshot::channel();
        self.queue
            .send(Message::Session(request, answer))
            .await
            .map_err(|_| Error::Busy)?;
        reply.await.unwrap_or(Err(Error::Busy))
    }

    /// Does something with the engine, in the control loop.
    ///
    /// # Errors
    /// The relay stops.
    pub async fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, reply) = oneshot::channel();
        // A caller that went away does not want the answer.
        let job = Box::new(move |engine: &mut Engine| drop(answer.send(job(engine))));
        self.queue
            .send(Message::With(job))
            .await
            .map_err(|_| Stopped)?;
        reply.await.map_err(|_| Stopped)
    }
}

impl Mailbox {
    /// As [`Self::with`], for threads outside of the runtime.
    ///
    /// # Errors
    /// The relay stops.
    pub fn with_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, reply) = oneshot::channel();
        let job = Box::new(move |engine: &mut Engine| drop(answer.send(job(engine))));
        self.queue
            .blocking_send(Message::With(job))
            .map_err(|_| Stopped)?;
        reply.blocking_recv().map_err(|_| Stopped)
    }
}

/// Runs until `stop` turns true or all mailboxes are gone; requests that come later are refused.
pub(super) async fn run(
    mut engine: Engine,
    mut messages: mpsc::Receiver<Message>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<Engine> {
    let news = Readable::new(engine.plane().events().as_fd())?;
    let mut batch = Vec::with_capacity(BATCH);
    while !engine.is_over() {
        // A flood of requests must not hold up time.
        if engine.poll_timeout().is_some_and(|at| at <= engine.now()) {
            engine.tick();
        }
        let flushed = engine.flush();
        let tick = until_tick(&engine, flushed);
        tokio::select! {
            biased;
            // 1. The end.
            changed = stop.changed() => if changed.is_err() || *stop.borrow() { break },
            // 2. News from workers: learned addresses, emptied slots.
            ready = news.wait() => {
                ready?;
                engine.worker_events();
            }
            // 3. Requests, some at a time.
            count = messages.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    break;
                }
                batch.drain(..).for_each(|message| handle(&mut engine, message));
            }
            // 4. Time.
            () = tokio::time::sleep(tick) => engine.tick(),
        }
    }
    Ok(engine)
}

fn handle(engine: &mut Engine, message: Message) {
    match message {
        Message::Session(request, answer) => {
            let reply = engine.request(request);
            // A hook that gave up waiting has lost its answer; the state is right all the same.
            drop(answer.send(reply));
        }
        Message::With(job) => job(engine),
    }
}

fn until_tick(engine: &Engine, flushed: bool) -> Duration {
    let wanted = engine
        .poll_timeout()
        .map_or(IDLE, |at| at.since(engine.now()));
    let longest = if flushed { IDLE } else { RETRY };
    wanted.clamp(SHORTEST, longest)
}

const QUEUE: usize = 4096;
const BATCH: usize = 64;
const IDLE: Duration = Duration::from_secs(1);
/// A worker whose queue was full is tried again so soon.
const RETRY: Duration = Duration::from_millis(1);
const SHORTEST: Duration = Duration::from_millis(1);
