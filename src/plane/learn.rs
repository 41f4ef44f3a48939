//! Whose packets are taken, and where the peer really is (NG reference 13.2). Pure.
//!
//! Only well-formed packets come here. A window opens with the first of them after signalling
//! (`Flow::window`); what happens in it depends on [`Learn`], what happens after it on [`Source`].
//! A source that matches the declared address and port ends the heuristic window at once.

use std::time::Duration;

use super::flow::{Learn, Source};
use crate::sys::address::Address;
use crate::wire::time::Timestamp;

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken.
    Take,
    /// Taken, and the peer's address is now this packet's source.
    Follow,
    /// Dropped: from a stranger.
    Stranger,
}

/// The rules of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) learn: Learn,
    pub(super) source: Source,
}

/// State of the learning of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learner {
    /// When the window opened; the epoch until a packet opens it.
    opened: Timestamp,
    /// How well the peer's address matches the declared one; zero before there is any.
    rank: u8,
    confirmed: bool,
    /// The peer's address is from an earlier window, and has not been heard in this one.
    kept: bool,
}

/// How long a window is open after the first packet in it.
pub(super) const WINDOW: Duration = Duration::from_secs(3);
/// How long in a new window the former peer has precedence over sources that match no better, so
/// that a harmless re-INVITE does not hand the stream to whoever sends first.
pub(super) const PRECEDENCE: Duration = Duration::from_millis(500);

impl Learner {
    /// The peer was found before, by another process: it is settled, so that [`Source`] holds from
    /// the first packet on.
    pub(super) fn known(declared: &Address, peer: &Address) -> Self {
        Self {
            rank: rank(declared, peer),
            confirmed: true,
            ..Self::default()
        }
    }

    /// Signalling opens the window anew. `kept` is the peer of the former window if signalling
    /// has not declared another address since.
    pub(super) fn reopen(&mut self, declared: &Address, kept: Option<&Address>) {
        *self = Self {
            rank: kept.map_or(0, |peer| rank(declared, peer)),
            kept: kept.is_some(),
            ..Self::default()
        };
    }

    /// Whether any source has been taken, in this window or one whose peer is kept.
    pub(super) fn has_heard(&self) -> bool {
        self.rank != 0
    }

    /// Whether the address is settled, so that only [`Source`] counts.
    #[cfg(test)]
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Judges a packet that came from `from`, where `declared` is what signalling said and `peer`
    /// the address in use.
    pub(super) fn judge(
        &mut self,
        rules: Rules,
        declared: &Address,
        peer: &Address,
        from: &Address,
        now: Timestamp,
    ) -> Verdict {
        if rules.learn == Learn::Off {
            return fixed(rules.source, from == declared);
        }
        if self.opened == Timestamp::default() {
            self.opened = now;
        }
        self.confirmed |= now.since(self.opened) >= WINDOW && self.rank != 0 && !self.kept;
        if self.confirmed {
            return settled(rules.source, peer, from);
        }
        match rules.learn {
            Learn::Off | Learn::Immediate => {
                self.confirmed = true;
                self.follow(ANY, peer, from)
            }
            Learn::Delayed => self.follow(ANY, peer, from),
            Learn::Heuristic => self.weigh(rules.source, declared, peer, from, now),
        }
    }

    /// In the heuristic window: the better match wins, and the first of equals.
    fn weigh(
        &mut self,
        source: Source,
        declared: &Address,
        peer: &Address,
        from: &Address,
        now: Timestamp,
    ) -> Verdict {
        let rank = rank(declared, from);
        self.confirmed |= rank == EXACT;
        let silent = self.kept && now.since(self.opened) >= PRECEDENCE;
        if rank > self.rank || silent || from == peer {
            return self.follow(rank, peer, from);
        }
        fixed(source, false)
    }

    /// The source is the peer from now on. The first one is news even if it is as declared.
    fn follow(&mut self, rank: u8, peer: &Address, from: &Address) -> Verdict {
        let known = self.rank != 0 && from == peer;
        (self.rank, self.kept) = (rank, false);
        if known {
            Verdict::Take
        } else {
            Verdict::Follow
        }
    }
}

/// After the window.
fn settled(source: Source, peer: &Address, from: &Address) -> Verdict {
    match source {
        _ if from == peer => Verdict::Take,
        Source::Strict => Verdict::Stranger,
        Source::Handover => Verdict::Follow,
        Source::Loose => Verdict::Take,
    }
}

/// Without learning the destination never moves.
fn fixed(source: Source, expected: bool) -> Verdict {
    if expected || source != Source::Strict {
        Verdict::Take
    } else {
        Verdict::Stranger
    }
}

/// How well a source matches what was declared.
fn rank(declared: &Address, from: &Address) -> u8 {
    if !declared.is_some() {
        return ANY;
    }
    match (declared.same_ip(from), declared.port() == from.port()) {
        (true, true) => EXACT,
        (true, false) => SAME_HOST,
        (false, true) => SAME_PORT,
        (false, false) => ANY,
    }
}

const ANY: u8 = 1;
const SAME_PORT: u8 = 2;
const SAME_HOST: u8 = 3;
const EXACT: u8 = 4;

#[cfg(test)]
mod tests;
