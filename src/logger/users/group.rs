//! Tellings that wait for the disk: whoever has its turn takes along all that have come meanwhile, so
//! that one wait serves many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::migration::mark::Outcome;
use crate::migration::profile::Partner;
use crate::migration::telling::Telling;
use crate::store::users::{Users, UsersError};
use crate::wire::time::Timestamp;

type Answer = Result<Outcome, UsersError>;

/// Tellings that wait; cheap to clone. As many as there are requests, which the server limits.
#[derive(Clone, Debug, Default)]
pub(super) struct Group(Arc<Mutex<VecDeque<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    told: (Option<Partner>, Telling),
    done: oneshot::Sender<Answer>,
}

impl Group {
    /// One more; somebody has to [`take`](Self::take) after it was added.
    pub(super) fn add(
        &self,
        partner: Option<Partner>,
        telling: Telling,
    ) -> oneshot::Receiver<Answer> {
        let (done, answer) = oneshot::channel();
        let told = (partner, telling);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(Waiting { told, done });
        answer
    }

    /// Stores what waits, the eldest first, and answers. One turn for each that was added is
    /// enough for all.
    pub(super) fn take(&self, users: &mut Users, now: Timestamp) {
        let (tellings, answers): (Vec<_>, Vec<_>) = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = waiting.len().min(TOGETHER);
            let some = waiting.drain(..count);
            some.map(|Waiting { told, done }| (told, done)).unzip()
        };
        let outcomes = users.tell_all(&tellings, now);
        for (done, outcome) in answers.into_iter().zip(outcomes) {
            // The client may have gone away.
            let _ = done.send(outcome);
        }
    }
}

/// So many are stored together at most.
const TOGETHER: usize = 256;
