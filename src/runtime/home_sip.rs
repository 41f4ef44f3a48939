//! Between the home legs of the control loop and the SIP clients of media anchors: jobs go one
//! way, news the other. Each anchor has a client of its own, with its own socket.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::control::Mailbox;
use super::homes::{Attempt, HomeJob, HomeNews, HomeOutcome};
use super::sip::Sockets;
use crate::mirror::sip::{Client, Counts, Failure, Lane, Offer, Outcome, Remote, Settings};
use crate::session::command::{HomeOffer, HomeRemote};
use crate::sys::clock::Clock;
use crate::telemetry::metrics;
use crate::wire::sip::Timing;

/// The clients of all anchors.
#[derive(Debug)]
pub(super) struct Clients {
    tasks: JoinSet<()>,
    clock: Clock,
    figures: Figures,
}

/// What the clients count, for scrapes; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Arc<Mutex<Vec<(String, u64, Counts)>>>);

/// The anchor that a client speaks to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its name in agreements.
    pub(super) name: String,
    /// Where its SIP is.
    pub(super) address: SocketAddr,
    /// Where ours is; `None`: what the system chooses.
    pub(super) local: Option<SocketAddr>,
    /// Name of our MC system.
    pub(super) system: String,
}

impl Clients {
    /// None yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            tasks: JoinSet::new(),
            clock,
            figures: Figures::default(),
        }
    }

    /// Starts the client of one anchor; it ends when the sender is dropped. Must be called within a
    /// tokio runtime.
    pub(super) fn start(&mut self, target: Target, mailbox: &Mailbox) -> mpsc::Sender<HomeJob> {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let place = self.figures.add(target.name.clone());
        let settings = Settings {
            system: target.system.clone(),
            anchors: vec![target.address.ip()],
            max_legs: MAX_LEGS,
            answer_timeout: ANSWER_TIMEOUT,
            timing: Timing::default(),
            secret: rand::random(),
        };
        let task = Task {
            client: Client::new(settings),
            target,
            sockets: None,
            attempts: FxHashMap::default(),
            mailbox: mailbox.clone(),
            clock: self.clock,
            figures: self.figures.clone(),
            place,
        };
        self.tasks.spawn(task.run(inbox));
        jobs
    }

    /// What they count.
    pub(super) fn figures(&self) -> Figures {
        self.figures.clone()
    }

    /// Waits until all home legs are ended, within reason. Their senders are dropped by now.
    pub(super) async fn finish(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WAIT, all).await.is_err() {
            tracing::warn!("not every media anchor has confirmed the end of its home legs");
        }
    }
}

impl Figures {
    /// As metrics.
    pub(super) fn rows(&self) -> Vec<metrics::HomeAnchor> {
        let rows = self.lock();
        let rows = rows.iter().map(|(name, legs, counts)| metrics::HomeAnchor {
            name: name.clone(),
            legs: *legs,
            answered: counts.answered,
            failures: Failure::ALL
                .iter()
                .zip(counts.failures)
                .map(|(failure, count)| (failure.as_str(), count))
                .collect(),
            datagrams: vec![
                ("stranger", counts.strangers),
                ("unreadable", counts.unreadable),
                ("repeated", counts.repeated),
            ],
        });
        rows.collect()
    }

    fn add(&self, name: String) -> usize {
        let mut rows = self.lock();
        rows.push((name, 0, Counts::default()));
        rows.len() - 1
    }

    fn set(&self, place: usize, legs: usize, counts: Counts) {
        if let Some(row) = self.lock().get_mut(place) {
            (row.1, row.2) = (legs as u64, counts);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, u64, Counts)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of one client.
#[derive(Debug)]
struct Task {
    client: Client,
    target: Target,
    /// Opened with the first home leg.
    sockets: Option<Sockets>,
    attempts: FxHashMap<u64, Attempt>,
    mailbox: Mailbox,
    clock: Clock,
    figures: Figures,
    place: usize,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<HomeJob>) {
        loop {
            tokio::select! {
                job = inbox.recv() => match job {
                    Some(job) => self.job(job).await,
                    None => break,
                },
                () = step(&mut self.sockets, &mut self.client, self.clock) => {}
            }
            if let Some(sockets) = &self.sockets {
                sockets.flush(&mut self.client);
            }
            while let Some(outcome) = self.client.poll_outcome() {
                self.tell(outcome).await;
            }
            let (legs, counts) = (self.client.len(), self.client.counts());
            self.figures.set(self.place, legs, counts);
        }
        if let Some(mut sockets) = self.sockets.take() {
            sockets.finish(&mut self.client, self.clock).await;
        }
    }

    async fn job(&mut self, job: HomeJob) {
        let now = self.clock.now();
        match job {
            HomeJob::Open { of, offer } => {
                let address = self.target.address;
                let hop = match self.open() {
                    Ok(sockets) => sockets.hop(address),
                    Err(error) => {
                        let reason = format!("no SIP socket: {error}");
                        self.news(of, HomeOutcome::Failed(reason)).await;
                        return;
                    }
                };
                self.attempts.insert(of.number, of);
                self.client.open(of.number, hop, plain(*offer), now);
            }
            HomeJob::Update { of, offer } => self.client.update(of.number, plain(*offer), now),
            HomeJob::Close { of } => {
                self.attempts.remove(&of.number);
                self.client.close(of.number, now);
            }
        }
    }

    fn open(&mut self) -> std::io::Result<&Sockets> {
        if self.sockets.is_none() {
            let (address, local) = (self.target.address, self.target.local);
            self.sockets = Some(Sockets::towards(address, local)?);
        }
        let missing = std::io::ErrorKind::NotConnected;
        self.sockets.as_ref().ok_or_else(|| missing.into())
    }

    async fn tell(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { home, lanes } => {
                let lanes = lanes.into_iter();
                let lanes =
                    lanes.map(|(label, Remote { rtp, rtcp })| (label, HomeRemote { rtp, rtcp }));
                if let Some(of) = self.attempts.get(&home).copied() {
                    self.news(of, HomeOutcome::Answered(lanes.collect())).await;
                }
            }
            Outcome::Failed { home, reason, .. } => {
                if let Some(of) = self.attempts.remove(&home) {
                    self.news(of, HomeOutcome::Failed(reason)).await;
                }
            }
        }
    }

    async fn news(&self, of: Attempt, outcome: HomeOutcome) {
        let news = HomeNews { of, outcome };
        // If the control loop has ended, nobody needs to know.
        let _ = self.mailbox.with(|engine| engine.home_news(news)).await;
    }
}

async fn step(sockets: &mut Option<Sockets>, client: &mut Client, clock: Clock) {
    match sockets {
        Some(sockets) => sockets.step(client, clock).await,
        None => std::future::pending().await,
    }
}

fn plain(offer: HomeOffer) -> Offer {
    let lanes = offer.lanes.into_iter().map(|lane| Lane {
        label: lane.label,
        info: lane.info,
        protocol: lane.protocol,
        rtp: lane.rtp,
        rtcp: lane.rtcp,
    });
    Offer {
        info: offer.info,
        path: offer.path,
        lanes: lanes.collect(),
    }
}

/// Jobs that wait for the client of one anchor: a burst of calls.
const QUEUE: usize = 4_096;
/// Home legs at one anchor: as many as a relay has calls by default.
const MAX_LEGS: usize = 20_000;
/// How long an anchor may take to answer; the next one is tried then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last home legs may take to end.
const LAST_WAIT: Duration = Duration::from_secs(3);
