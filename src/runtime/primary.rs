//! Tells primaries which of their users have migrated to us, over HTTP: one record after the other,
//! again with growing pauses until the primary answers. Calls never wait for it.
//!
//! A migration stays in force while its primary cannot be told. One that the primary refuses has
//! failed: the record says so from then on, with the primary's reason, and the agreement says what
//! calls of such a user get. After a start everything is told again; the primary knows repetitions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use hyper::StatusCode;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::client::{Answer, Client, PATIENCE};
use super::control::Mailbox;
use super::door::Door;
use crate::config::{Config, Tell};
use crate::hook::{Control, RegistryFailure};
use crate::migration::identity::SystemName;
use crate::migration::record::{Record, RecordId, Standing};
use crate::migration::registry::{RecordFilter, RecordUpdate};
use crate::migration::telling::{Counts, Telling, Tellings, Told};
use crate::store::registry::Word;
use crate::sys::clock::Clock;
use crate::telemetry::metrics::Tellings as Figures;
use crate::wire::time::Timestamp;

/// The primaries that are told; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Primaries {
    all: Arc<[Primary]>,
    own: SystemName,
    clock: Clock,
}

#[derive(Debug)]
struct Primary {
    tell: Tell,
    token: Option<String>,
    queue: Mutex<Tellings>,
    news: Notify,
}

impl Primary {
    fn queue(&self) -> MutexGuard<'_, Tellings> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Primaries {
    /// Those of the configuration, and what they have said before this start.
    ///
    /// # Errors
    /// A token cannot be read; the text names the key.
    pub(super) fn new(config: &Config, words: Vec<Word>, clock: Clock) -> Result<Self> {
        let mut all = Vec::new();
        for tell in &config.tells {
            let token = tell.door.token().map_err(|text| {
                let place = tell.agreement;
                anyhow!("agreement[{place}].tell_token_file: {text}")
            })?;
            all.push(Primary {
                tell: tell.clone(),
                token,
                queue: Mutex::new(Tellings::new(LIMIT)),
                news: Notify::new(),
            });
        }
        let primaries = Self {
            all: all.into(),
            own: config.relay.system.clone(),
            clock,
        };
        primaries.remember(words);
        Ok(primaries)
    }

    /// What was told of a record as it is now needs no telling; of another one the primary has to
    /// hear, however long ago it has ended.
    fn remember(&self, words: Vec<Word>) {
        for word in words {
            if let Some(primary) = self.named(&word.primary_system) {
                let mut queue = primary.queue();
                queue.restore(word.record, word.told);
                if !word.current {
                    queue.push(word.record, self.clock.now());
                }
            }
        }
    }

    /// These records were added, updated or ended, durably.
    pub(super) fn changed(&self, records: &[Record]) {
        for record in records {
            if let Some(primary) = self.of(record) {
                primary.queue().push(record.id, self.clock.now());
                primary.news.notify_one();
            }
        }
    }

    /// What has become of telling the primary of this record.
    pub(super) fn told(&self, record: &Record) -> Option<Told> {
        self.of(record)?.queue().told(record.id)
    }

    /// Figures for metrics.
    pub(super) fn figures(&self) -> Vec<Figures> {
        let figures = |primary: &Primary| {
            let queue = primary.queue();
            let Counts {
                accepted,
                refused,
                failed,
                dropped,
            } = queue.counts;
            Figures {
                primary: primary.tell.primary.to_string(),
                waiting: queue.waiting() as u64,
                results: vec![
                    ("accepted", accepted),
                    ("refused", refused),
                    ("failed", failed),
                    ("dropped", dropped),
                ],
            }
        };
        self.all.iter().map(figures).collect()
    }

    /// Starts telling; the tasks end with the control loop, or when they are dropped.
    pub(super) fn start(
        &self,
        door: &Door,
        mailbox: &Mailbox,
        stop: &watch::Receiver<bool>,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for place in 0..self.all.len() {
            let teller = Teller {
                primaries: self.clone(),
                place,
                door: door.clone(),
                mailbox: mailbox.clone(),
                stop: stop.clone(),
                pause: FIRST_PAUSE,
                complained: None,
            };
            tasks.spawn(teller.run());
        }
        tasks
    }

    fn of(&self, record: &Record) -> Option<&Primary> {
        self.named(&record.primary_system)
    }

    fn named(&self, system: &SystemName) -> Option<&Primary> {
        let mut all = self.all.iter();
        all.find(|primary| primary.tell.primary == *system)
    }
}

/// The task of one primary.
struct Teller {
    primaries: Primaries,
    place: usize,
    door: Door,
    mailbox: Mailbox,
    stop: watch::Receiver<bool>,
    pause: Duration,
    complained: Option<Timestamp>,
}

impl Teller {
    async fn run(mut self) {
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.tell_all() => {}
        }
    }

    async fn tell_all(&mut self) {
        self.begin().await;
        loop {
            while self.primary().queue().first().is_some() {
                let Err(error) = self.connection().await else {
                    continue;
                };
                let text = format!("{error:#}");
                self.complain(&text);
                self.primary().queue().failed(text);
                sleep(self.pause).await;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
            self.primary().news.notified().await;
        }
    }

    /// Everything that this relay knows of this primary's users is told, also what has ended
    /// lately: the primary may not have heard of it yet.
    async fn begin(&self) {
        let name = self.primary().tell.primary.clone();
        let mut after = None;
        loop {
            let filter = RecordFilter {
                primary_system: Some(name.clone()),
                all: true,
                after,
                limit: Some(PAGE),
                ..RecordFilter::default()
            };
            let Ok(page) = self.door.migrations(filter).await else {
                return;
            };
            let now = self.primaries.clock.now();
            let lately = |until: Timestamp| now.since(until) < LONG_ENDED;
            let fresh = |record: &&Record| {
                // One that failed is none; if the primary took it for one, it waits already.
                record.standing == Standing::Authorised
                    && (record.is_open(now) || record.until.is_some_and(lately))
            };
            let records: Vec<Record> = page.iter().filter(fresh).cloned().collect();
            self.primaries.changed(&records);
            after = page.last().map(|record| record.id);
            if page.len() < PAGE {
                return;
            }
        }
    }

    /// Tells what waits over one connection.
    async fn connection(&mut self) -> Result<()> {
        let primary = self.primary();
        let (address, token) = (primary.tell.door.address, primary.token.clone());
        let mut client = Client::connect(address, token, MAX_ANSWER).await?;
        loop {
            let first = self.primary().queue().first();
            let Some((id, sequence)) = first else {
                return Ok(());
            };
            self.tell(&mut client, id, sequence).await?;
            if self.complained.take().is_some() {
                info!(primary = %self.primary().tell.primary, "the primary can be told again");
            }
            self.pause = FIRST_PAUSE;
        }
    }

    async fn tell(&self, client: &mut Client, id: RecordId, sequence: u64) -> Result<()> {
        let record = self.record(id).await?;
        let last = self.primary().queue().last_word(id).cloned();
        let Some(telling) = record.as_ref().and_then(|record| {
            let own = self.primaries.own.clone();
            telling(record, last.as_ref(), own, sequence, self.now())
        }) else {
            let lost = record.is_none();
            self.primary().queue().nothing(id, sequence, lost);
            if let Some(word) = last.filter(|_| !lost) {
                self.door.keep_word(id, word).await;
            }
            return Ok(());
        };
        let body = serde_json::to_string(&telling)?;
        let answer = client.ask("POST", "/v1/migrations", body, PATIENCE).await?;
        let over = telling.until.is_some_and(|until| until <= self.now());
        match verdict(&answer)? {
            Verdict::Accepted => {
                let told = Told::Accepted;
                if self.primary().queue().answered(id, sequence, told.clone()) {
                    self.door.keep_word(id, told).await;
                }
            }
            Verdict::Refused(reason) => self.refused(id, sequence, reason, over).await,
            Verdict::Stale(last) => self.primary().queue().stale(id, last, self.now()),
            Verdict::NotUnderstood(why) => {
                warn!(
                    primary = %self.primary().tell.primary,
                    record = id.0,
                    answer = why,
                    "the primary does not understand what it is told of a migration"
                );
                let told = Told::Unreachable(why);
                self.primary().queue().answered(id, sequence, told);
            }
        }
        Ok(())
    }

    /// The migration has failed (TS 23.280 5.2.9.1), unless its record has changed meanwhile.
    async fn refused(&self, id: RecordId, sequence: u64, reason: String, over: bool) {
        debug!(record = id.0, reason, "the primary refuses a migration");
        let told = Told::Refused(reason.clone());
        if !self.primary().queue().answered(id, sequence, told.clone()) {
            return;
        }
        if over {
            return self.door.keep_word(id, told).await;
        }
        let update = RecordUpdate {
            standing: Some(Standing::Failed { reason }),
            ..RecordUpdate::default()
        };
        match self.door.update_migration(id, update).await {
            // The change comes back to us, and the word is kept then. It may have ended in between.
            Ok(_) | Err(RegistryFailure::Refused(_)) => {}
            Err(RegistryFailure::Store(_) | RegistryFailure::Busy) => {
                // To be refused once more, and then stored.
                sleep(FIRST_PAUSE).await;
                self.primary().queue().push(id, self.now());
            }
        }
    }

    async fn record(&self, id: RecordId) -> Result<Option<Record>> {
        let found = self
            .mailbox
            .with(move |engine| engine.registry().record(id).cloned());
        found.await.map_err(|_| anyhow!("the relay is stopping"))
    }

    fn primary(&self) -> &Primary {
        #[expect(
            clippy::indexing_slicing,
            reason = "made from a place in this very list"
        )]
        &self.primaries.all[self.place]
    }

    fn now(&self) -> Timestamp {
        self.primaries.clock.now()
    }

    /// At most one line a minute, and none for a first failure: the primary may have restarted.
    fn complain(&mut self, error: &str) {
        let now = self.now();
        let lately = |last: Timestamp| now.since(last) < BETWEEN_COMPLAINTS;
        if self.pause == FIRST_PAUSE || self.complained.is_some_and(lately) {
            return;
        }
        self.complained = Some(now);
        let primary = self.primary();
        warn!(
            primary = %primary.tell.primary,
            address = %primary.tell.door.address,
            waiting = primary.queue().waiting(),
            error,
            "the primary cannot be told of migrations; they stay in force, trying again"
        );
    }
}

/// What the primary is to hear of a record; `None`: nothing. A migration that failed is none; if
/// the primary has accepted it before, it is over for it.
fn telling(
    record: &Record,
    last: Option<&Told>,
    own: SystemName,
    sequence: u64,
    now: Timestamp,
) -> Option<Telling> {
    let telling = Telling::of(record, own, sequence);
    match (&record.standing, last) {
        (Standing::Authorised, _) => Some(telling),
        (Standing::Failed { .. }, Some(Told::Accepted)) => Some(Telling {
            until: Some(record.until.map_or(now, |until| until.min(now))),
            ..telling
        }),
        (Standing::Failed { .. }, _) => None,
    }
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused(String),
    Stale(u64),
    /// For good: telling it again would not help.
    NotUnderstood(String),
}

fn verdict(answer: &Answer) -> Result<Verdict> {
    let member = |name: &str| -> Option<Value> {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        body.get(name).cloned()
    };
    let status = answer.status;
    if status.is_success() {
        return match member("state") {
            Some(_) => Ok(Verdict::Accepted),
            None => bail!("it answers {status}, but not as a primary does"),
        };
    }
    let short = |text: &str| -> String {
        let line = text.chars().filter(|c| !c.is_control());
        line.take(MAX_REASON).collect()
    };
    let reason = member("reason");
    let reason = reason.as_ref().and_then(Value::as_str).map(short);
    let last = member("last").as_ref().and_then(Value::as_u64);
    match (status, reason, last) {
        (StatusCode::FORBIDDEN, Some(reason), _) if !reason.is_empty() => {
            Ok(Verdict::Refused(reason))
        }
        (StatusCode::CONFLICT, _, Some(last)) => Ok(Verdict::Stale(last)),
        (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, ..) => {
            let detail = member("detail");
            let detail = detail.as_ref().and_then(Value::as_str).unwrap_or_default();
            Ok(Verdict::NotUnderstood(format!(
                "it answers {status}: {}",
                short(detail)
            )))
        }
        _ => bail!("it answers {status}"),
    }
}

/// Records that wait for a primary; more than a registry holds.
const LIMIT: usize = 1_000_000;
const PAGE: usize = 1_000;
/// What ended longer ago is not told again after a start.
const LONG_ENDED: Duration = Duration::from_secs(7 * 86_400);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(60);
/// Longest answer that is read, in octets.
const MAX_ANSWER: usize = 65_536;
/// Longest part of an answer that goes into records and logs, in characters.
const MAX_REASON: usize = 64;

#[cfg(test)]
#[path = "primary/tests.rs"]
mod tests;
