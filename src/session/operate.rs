//! What operators do with a running core: other settings, draining, and pages of calls.

use std::collections::BTreeSet;

use super::call::Call;
use super::core::{Core, Settings};
use super::flows;
use super::host::Host;
use super::ids::MirrorId;
use super::media::PortSet;
use super::reply::{CallPage, CallState, CallSummary, MirrorSummary};
use super::timers;
use crate::migration::decision::LegRole;
use crate::wire::time::Timestamp;

impl Core {
    /// Takes over limits, time-outs and the defaults of new calls. Name, interfaces and instance
    /// stay what they were. Commands follow only if packets of undecided calls are kept from now
    /// on, or no more: sockets, SDP and mirrors of calls are as before. A time-out that became
    /// shorter is counted from the last sign of life, as ever.
    pub fn reconfigure(&mut self, settings: Settings) {
        let old = std::mem::replace(&mut self.settings, settings);
        let times = |s: &Settings| {
            let quiet = (s.media_timeout, s.silent_timeout, s.offer_timeout);
            (quiet, s.final_timeout)
        };
        let moved = times(&old) != times(&self.settings);
        self.settings.system = old.system;
        self.settings.interfaces = old.interfaces;
        self.settings.instance = old.instance;
        let excess = self.ended.len().saturating_sub(self.settings.ended_kept);
        self.ended.drain(..excess);
        if moved {
            self.set_timers();
        }
        let (before, after) = (old.preroll, self.settings.preroll);
        if before != after {
            for (_, call) in &self.calls {
                let (old, new) = (flows::of(call, before), flows::of(call, after));
                flows::queue_changes(&old, &new, &mut self.queue);
            }
        }
    }

    /// The settings in force.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Refuses new calls from now on, with the error that makes proxies go elsewhere, or takes
    /// them again. Calls that are up go on with all that belongs to them.
    pub const fn drain(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Calls that exist now.
    pub fn open_calls(&self) -> usize {
        self.calls.len()
    }

    /// When to look at each call next, after time-outs have changed.
    fn set_timers(&mut self) {
        self.timers.clear();
        for (key, call) in &mut self.calls {
            call.quiet_due = timers::quiet_due(call, &self.settings, call.last_signal);
            call.due = timers::due(call, &self.settings);
            self.timers.insert((call.due, key));
        }
    }

    /// Marks mirrors whose logger is gone, and those that no logger took: another one may now.
    pub(super) fn lose(&mut self, lost: &[MirrorId], host: &dyn Host) {
        let lost: BTreeSet<MirrorId> = lost.iter().copied().collect();
        let mirrors = self
            .calls
            .iter_mut()
            .flat_map(|(_, call)| &mut call.mirrors);
        for mirror in mirrors {
            mirror.lost |= lost.contains(&mirror.id) || host.taken(mirror.id).is_none();
        }
    }

    /// At most `limit` calls that come after `after` in an order that stays.
    pub(super) fn page(
        &self,
        after: Option<u64>,
        limit: usize,
        host: &dyn Host,
        now: Timestamp,
    ) -> CallPage {
        let first = after.map_or(0, |after| after.saturating_add(1));
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        // Keys are given again after a call has ended, so there are not many more than calls.
        let mut left = (first..self.calls.capacity()).filter(|key| self.calls.contains(*key));
        let keys: Vec<usize> = left.by_ref().take(limit).collect();
        let more = left.next().is_some();
        let last = keys.last().map(|key| *key as u64);
        CallPage {
            as_of: now,
            next: last.filter(|_| more),
            calls: keys
                .into_iter()
                .map(|key| summary(&self.calls[key], host, now))
                .collect(),
        }
    }
}

/// A call in one line.
fn summary(call: &Call, host: &dyn Host, now: Timestamp) -> CallSummary {
    let mut taken = [0_u64; 2];
    let mut dropped = 0;
    for party in &call.parties {
        let side = usize::from(party.role != LegRole::Calling);
        let closed = party.closed.as_deref();
        taken[side] += closed.map_or(0, |sum| sum.packets());
        dropped += closed.map_or(0, |sum| sum.rtp.dropped() + sum.rtcp.dropped());
        let sets = party.medias.iter().flat_map(|media| &media.sets);
        for (_, stream) in sets.flat_map(PortSet::halves) {
            let counters = host.counters(stream);
            taken[side] += counters.packets;
            dropped += counters.dropped();
        }
    }
    let mirrors = call.mirrors.iter().map(|mirror| MirrorSummary {
        primary_system: mirror.primary.to_string(),
        logger: host.taken(mirror.id).map(|taken| taken.logger),
    });
    CallSummary {
        call_id: call.id.clone(),
        created: call.created,
        answered: call.answered,
        state: state(call),
        one_way: timers::is_one_way(call, host, now),
        context: call.context.clone(),
        legs: call.parties.len(),
        packets_calling: taken[0],
        packets_called: taken[1],
        dropped,
        mirrors: mirrors.collect(),
    }
}

/// How far a call is.
pub(super) fn state(call: &Call) -> CallState {
    let leaves = |party: &super::party::Party| party.delete_at.is_some();
    if call.delete_at.is_some() || call.parties.iter().all(leaves) {
        CallState::Ending
    } else if call.answered.is_none() {
        CallState::Early
    } else if timers::is_held(call) {
        CallState::Held
    } else {
        CallState::Answered
    }
}
