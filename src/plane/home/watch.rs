//! Whether home answers, from the times of what is sent and what comes back. Pure.

use std::time::Duration;

use crate::wire::time::Timestamp;

/// Observes one home.
///
/// What is sent without an answer makes up *runs*: a run begins with the first packet after an
/// answer, or after a silence longer than the limit, because the time in which nothing was sent
/// does not count against home.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// When the run began.
    first: Timestamp,
    /// When something was sent last.
    last: Timestamp,
    /// Packets of the run.
    run: u32,
    /// Runs since the last answer that ended in silence.
    ended: u8,
    /// Packets since the last answer.
    unanswered: u64,
    /// The last answer, as long as home is not silent.
    answer: Option<Timestamp>,
    /// How long home has been answering.
    proof: Duration,
}

impl Watch {
    /// Packets sent since the last answer.
    pub(super) const fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// A packet is about to be sent; whether home has been silent for longer than `limit` to
    /// what was sent before. That takes at least [`ENOUGH`] packets; of a stream that sends
    /// less often than `limit` (RTCP, floor control) as many runs.
    pub(super) fn sends(&mut self, limit: Duration, now: Timestamp) -> bool {
        if self.run > 0 && now.since(self.last) > limit {
            self.ended = self.ended.saturating_add(1);
            self.run = 0;
        }
        if self.run == 0 {
            self.first = now;
        }
        let long = self.run >= ENOUGH && now.since(self.first) > limit;
        self.last = now;
        self.run = self.run.saturating_add(1);
        self.unanswered = self.unanswered.saturating_add(1);
        long || u32::from(self.ended) >= ENOUGH
    }

    /// A good answer came; how long home has been answering now. Each answer stands for the time
    /// since the one before, but for no more than `limit`.
    pub(super) fn answers(&mut self, limit: Duration, now: Timestamp) -> Duration {
        let since = self.answer.map_or(Duration::ZERO, |last| now.since(last));
        self.proof = self.proof.saturating_add(since.min(limit));
        self.answer = Some(now);
        (self.run, self.ended, self.unanswered) = (0, 0, 0);
        self.proof
    }

    /// Home is silent: what it answered before proves nothing any more.
    pub(super) fn start_proof(&mut self) {
        (self.answer, self.proof) = (None, Duration::ZERO);
    }
}

/// Unanswered packets below which nothing is said of home: single ones get lost.
const ENOUGH: u32 = 3;
