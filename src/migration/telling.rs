//! What the partner's relay tells the primary of a migration, and what has become of it: a bounded
//! queue of record numbers, each at most once however often its record changes.
//!
//! Pure: no socket, no clock. `crate::runtime` sends what stands first, with the record as it is at
//! that moment, and says how the primary has answered. the manual has the protocol.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::identity::{McId, Service, SystemName};
use super::record::{Record, RecordId, Trigger};
use crate::wire::time::Timestamp;

/// One migration as the partner knows it: the whole of it each time, so that only the last telling
/// counts (TS 23.280 10.6.3, and 5.2.9.1: what the primary is to know after authorisation).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telling {
    /// Number of the record at the partner.
    pub record: u64,
    /// Rises with each telling of the same record; what comes late is known by it.
    pub sequence: u64,
    /// The service.
    pub service: Service,
    /// The user's primary system: who is told.
    pub primary_system: SystemName,
    /// The user's ID at home.
    pub primary_id: McId,
    /// The system that the user has migrated to: who tells.
    pub partner_system: SystemName,
    /// The ID that the partner issued.
    pub partner_id: McId,
    /// Index of the user profile in use.
    #[serde(default)]
    pub profile_index: Option<u32>,
    /// Who set it off.
    #[serde(default)]
    pub trigger: Trigger,
    /// In force from then on, in nanoseconds since 1970.
    pub since: Timestamp,
    /// In force until then; until told otherwise if absent.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl Telling {
    /// What `partner_system` says of its record.
    pub fn of(record: &Record, partner_system: SystemName, sequence: u64) -> Self {
        Self {
            record: record.id.0,
            sequence,
            service: record.service,
            primary_system: record.primary_system.clone(),
            primary_id: record.primary_id.clone(),
            partner_system,
            partner_id: record.partner_id.clone(),
            profile_index: record.profile_index,
            trigger: record.trigger,
            since: record.since,
            until: record.until,
        }
    }
}

/// What has become of telling the primary of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It waits for its turn.
    Pending,
    /// The primary has accepted the record as it is now.
    Accepted,
    /// The primary refuses the migration, for this reason.
    Refused(String),
    /// The primary cannot be told, for this reason; it is tried again.
    Unreachable(String),
}

impl Told {
    /// The state as a word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// Why, where there is something to say.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pending | Self::Accepted => None,
            Self::Refused(reason) | Self::Unreachable(reason) => Some(reason),
        }
    }
}

/// What became of tellings since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted by the primary.
    pub accepted: u64,
    /// Refused by the primary.
    pub refused: u64,
    /// Attempts that failed; each is repeated.
    pub failed: u64,
    /// Given up since the queue was full, or since the record was forgotten meanwhile.
    pub dropped: u64,
}

/// The queue for one primary.
#[derive(Debug)]
pub struct Tellings {
    limit: usize,
    order: VecDeque<RecordId>,
    /// Sequence of the latest change of records that wait.
    waiting: BTreeMap<RecordId, u64>,
    /// The primary's last word on each record; of the eldest not, if there are too many.
    answered: BTreeMap<RecordId, Told>,
    sequence: u64,
    /// Why the primary could not be told the last time.
    error: Option<String>,
    /// What became of tellings.
    pub counts: Counts,
}

impl Tellings {
    /// An empty queue; beyond `limit` records that wait further ones are dropped and counted.
    /// As many answers are remembered.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            order: VecDeque::new(),
            waiting: BTreeMap::new(),
            answered: BTreeMap::new(),
            sequence: 0,
            error: None,
            counts: Counts {
                accepted: 0,
                refused: 0,
                failed: 0,
                dropped: 0,
            },
        }
    }

    /// A record was added, updated or ended. One that waits already keeps its place.
    pub fn push(&mut self, id: RecordId, now: Timestamp) {
        let known = self.waiting.contains_key(&id);
        if !known && self.waiting.len() >= self.limit {
            self.counts.dropped += 1;
            return;
        }
        let sequence = self.next_sequence(now);
        self.waiting.insert(id, sequence);
        if !known {
            self.order.push_back(id);
        }
    }

    /// What is to be told next, with its sequence.
    pub fn first(&self) -> Option<(RecordId, u64)> {
        let id = self.order.front()?;
        self.waiting.get(id).map(|sequence| (*id, *sequence))
    }

    /// The primary has answered; false if the record has changed meanwhile, so that the answer
    /// says nothing about it any more.
    pub fn answered(&mut self, id: RecordId, sequence: u64, told: Told) -> bool {
        self.error = None;
        match told {
            Told::Accepted => self.counts.accepted += 1,
            Told::Refused(_) => self.counts.refused += 1,
            Told::Pending | Told::Unreachable(_) => {}
        }
        let current = self.take(id, sequence);
        if current {
            self.restore(id, told);
        }
        current
    }

    /// There is nothing to tell of the record; if it was `lost` before it was told, that counts.
    pub fn nothing(&mut self, id: RecordId, sequence: u64, lost: bool) {
        if self.take(id, sequence) && lost {
            self.counts.dropped += 1;
            self.answered.remove(&id);
        }
    }

    /// The primary could not be told.
    pub fn failed(&mut self, error: String) {
        self.counts.failed += 1;
        self.error = Some(error);
    }

    /// The primary has heard a later telling of this record than ours: ours come after it now.
    pub fn stale(&mut self, id: RecordId, last: u64, now: Timestamp) {
        self.sequence = self.sequence.max(last);
        if self.waiting.contains_key(&id) {
            let sequence = self.next_sequence(now);
            self.waiting.insert(id, sequence);
        }
    }

    /// What the primary has said of this record before the queue was made.
    pub fn restore(&mut self, id: RecordId, told: Told) {
        self.answered.insert(id, told);
        if self.answered.len() > self.limit {
            self.answered.pop_first();
        }
    }

    /// What has become of telling this record; `None` if there was nothing to tell.
    pub fn told(&self, id: RecordId) -> Option<Told> {
        if !self.waiting.contains_key(&id) {
            return self.answered.get(&id).cloned();
        }
        Some(match &self.error {
            Some(error) => Told::Unreachable(error.clone()),
            None => Told::Pending,
        })
    }

    /// The primary's last word on this record, whether it waits again or not.
    pub fn last_word(&self, id: RecordId) -> Option<&Told> {
        self.answered.get(&id)
    }

    /// Records that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a record out if it has not changed since; otherwise it goes to the end.
    fn take(&mut self, id: RecordId, sequence: u64) -> bool {
        if self.order.front() == Some(&id) {
            self.order.pop_front();
        } else {
            self.order.retain(|waiting| *waiting != id);
        }
        match self.waiting.get(&id) {
            Some(latest) if *latest == sequence => self.waiting.remove(&id).is_some(),
            Some(_) => {
                self.order.push_back(id);
                false
            }
            None => false,
        }
    }

    /// Later than all before, also than those of the process before this one unless the clock was
    /// set back; then the primary says so.
    fn next_sequence(&mut self, now: Timestamp) -> u64 {
        self.sequence = now.nanos().max(self.sequence.saturating_add(1));
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_record_waits_once_and_its_last_state_counts() {
        let mut queue = Tellings::new(8);
        let (a, b) = (RecordId(1), RecordId(2));
        queue.push(a, now(1));
        queue.push(b, now(1));
        let (first, sequence) = queue.first().unwrap();
        assert_eq!(first, a);
        // It changes while the primary is being told.
        queue.push(a, now(1));
        assert_eq!(queue.waiting(), 2);
        assert!(!queue.answered(a, sequence, Told::Refused("no-agreement".into())));
        assert_eq!(queue.told(a), Some(Told::Pending));
        assert_eq!(queue.first().unwrap().0, b);
        let (_, of_b) = queue.first().unwrap();
        assert!(queue.answered(b, of_b, Told::Accepted));
        let (again, later) = queue.first().unwrap();
        assert!(again == a && later > sequence);
        assert!(queue.answered(a, later, Told::Accepted));
        assert_eq!(queue.first(), None);
        assert_eq!(queue.told(a), Some(Told::Accepted));
        assert_eq!((queue.counts.accepted, queue.counts.refused), (2, 1));
    }

    #[test]
    fn failures_show_on_what_waits_until_an_answer_comes() {
        let mut queue = Tellings::new(8);
        queue.push(RecordId(1), now(1));
        queue.push(RecordId(2), now(1));
        queue.failed("nobody listens".into());
        let told = queue.told(RecordId(2)).unwrap();
        assert_eq!(
            (told.as_str(), told.reason()),
            ("unreachable", Some("nobody listens"))
        );
        let (id, sequence) = queue.first().unwrap();
        assert!(queue.answered(id, sequence, Told::Accepted));
        assert_eq!(queue.told(RecordId(2)), Some(Told::Pending));
        assert_eq!(queue.told(RecordId(3)), None);
        assert_eq!(queue.told(RecordId(1)), Some(Told::Accepted));
    }

    #[test]
    fn answers_of_before_count_and_are_bounded() {
        let mut queue = Tellings::new(2);
        for id in 1..=3 {
            queue.restore(RecordId(id), Told::Refused("no-agreement".into()));
        }
        assert_eq!(queue.told(RecordId(1)), None);
        assert_eq!(queue.told(RecordId(3)).unwrap().as_str(), "refused");
        queue.push(RecordId(3), now(1));
        assert_eq!(queue.told(RecordId(3)), Some(Told::Pending));
        assert_eq!(queue.last_word(RecordId(3)).unwrap().as_str(), "refused");
    }

    #[test]
    fn the_queue_is_bounded_and_survives_a_clock_that_was_set_back() {
        let mut queue = Tellings::new(1);
        queue.push(RecordId(1), now(1));
        queue.push(RecordId(2), now(1));
        queue.push(RecordId(1), now(1));
        assert_eq!((queue.waiting(), queue.counts.dropped), (1, 1));
        let (id, sequence) = queue.first().unwrap();
        let last = now(100).nanos();
        assert!(sequence < last);
        queue.stale(id, last, now(2));
        let (_, sequence) = queue.first().unwrap();
        assert!(sequence > last);
        queue.nothing(id, sequence, true);
        assert_eq!((queue.waiting(), queue.counts.dropped), (0, 2));
    }
}
