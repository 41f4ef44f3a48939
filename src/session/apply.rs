//! How a changed call is taken over, and how calls begin and end.
//!
//! The order of the commands is always: flows that change, copies that stop, sockets that close,
//! home legs that end, mirrors that end, begin and grow, home legs that begin and change, news.

use std::time::Duration;

use super::call::Call;
use super::command::{Command, EndReason, Flow, Notice};
use super::core::{Core, World};
use super::exchange::{self, Kind};
use super::home::Home;
use super::host::Host;
use super::ids::{StreamId, WorkerIndex};
use super::party::{Party, PartyId};
use super::reply::{CallState, Error, Reply};
use super::request::{Delete, Exchange};
use super::sockets::{Opened, Sockets};
use super::timers::Verdict;
use super::{delete, explain, flows, home, rewrite, scope, timers, view};
use crate::migration::agreement::{Agreement, OnLoggerLoss};
use crate::migration::identity::McId;
use crate::wire::time::Timestamp;

impl Core {
    /// An offer or answer.
    pub(super) fn exchange(
        &mut self,
        message: &Exchange,
        kind: Kind,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let key = self.ids.get(&message.call_id).copied();
        if kind == Kind::Answer && key.is_none() {
            return Err(Error::UnknownCall);
        }
        let session = rewrite::parse(&message.sdp)?;
        if rewrite::returned(&session, &message.options, &self.settings.instance) {
            return Ok(Reply::Sdp(message.sdp.clone()));
        }
        exchange::check(message)?;
        if home::path::is_cycle(&session, &self.settings.identity()) {
            return Err(Error::HomeCycle);
        }
        let mut draft = match key {
            Some(key) => self.calls[key].clone(),
            None => self.begin(message, host, now)?,
        };
        let mut sockets = Sockets {
            settings: &self.settings,
            ports: &mut self.ports,
            host,
            next_stream: &mut self.next_stream,
            now,
            opened: Vec::new(),
            spoilt: Vec::new(),
        };
        let mut done = exchange::run(&mut draft, message, &session, kind, &mut sockets);
        let (opened, spoilt) = (sockets.opened, sockets.spoilt);
        let spoilt = spoilt.into_iter().map(|stream| Command::Close { stream });
        self.queue.extend(spoilt);
        let rejected = match (&done, kind) {
            (Ok(_), Kind::Offer) => self.rejection(key, &mut draft, world, now),
            (Ok(_), Kind::Answer) | (Err(_), _) => None,
        };
        if let Some(why) = rejected {
            let notice = Notice::MigrationRefused(message.call_id.clone(), why.clone());
            self.queue.push_back(Command::Notice(notice));
            done = Err(Error::MigrationFailed(why));
        } else if key.is_none() && done.is_ok() && self.lacks_logger(&mut draft, world, host, now) {
            done = Err(Error::SessionLimit);
        }
        match done {
            Ok(outcome) => {
                let known = key.is_some();
                self.commit(key, draft, &opened, world, host, now);
                if !known {
                    self.totals.calls_total += 1;
                    let id = message.call_id.clone();
                    self.queue
                        .push_back(Command::Notice(Notice::CallStarted(id)));
                }
                let notices = outcome.notices.into_iter().map(Command::Notice);
                self.queue.extend(notices);
                Ok(Reply::Sdp(outcome.sdp))
            }
            Err(error) => {
                match error {
                    Error::OutOfPorts | Error::SessionLimit => self.totals.rejected_total += 1,
                    Error::MigrationFailed(_) => {
                        self.totals.rejected_total += 1;
                        self.totals.migration_refused_total += 1;
                    }
                    Error::UnknownCall
                    | Error::NothingToDelete
                    | Error::BadSdp
                    | Error::IncompleteSdp
                    | Error::BadDialogue
                    | Error::Rewrite(_)
                    | Error::Unsupported(_)
                    | Error::HomeCycle
                    | Error::Busy => {}
                }
                opened.iter().for_each(|pair| self.close(pair));
                Err(error)
            }
        }
    }

    /// A new call, at the worker with the least load.
    fn begin(
        &mut self,
        offer: &Exchange,
        host: &dyn Host,
        now: Timestamp,
    ) -> Result<Box<Call>, Error> {
        if self.stopping || self.draining || self.calls.len() >= self.settings.max_calls {
            self.totals.rejected_total += 1;
            return Err(Error::SessionLimit);
        }
        let loads = (0_u16..).zip(host.worker_loads());
        let worker = loads
            .min_by_key(|(_, load)| **load)
            .map_or(0, |(worker, _)| worker);
        Ok(Box::new(Call::new(
            offer.call_id.clone(),
            WorkerIndex(worker),
            now,
        )))
    }

    /// Whether a new call is to be refused because no logger takes what must be mirrored.
    fn lacks_logger(
        &self,
        draft: &mut Call,
        world: &World<'_>,
        host: &dyn Host,
        now: Timestamp,
    ) -> bool {
        let refuses = |agreement: &Agreement| agreement.on_logger_loss == OnLoggerLoss::Refuse;
        if !world.agreements.iter().any(refuses) {
            return false;
        }
        scope::decide_all(draft, world, now);
        let flows = flows::of(draft, false);
        let wanted = scope::wanted(draft, &flows, &self.settings, &self.ports);
        scope::refused(&wanted, host)
    }

    /// Why an offer is to be refused: it makes a leg of a user whose migration failed, and no
    /// agreement has such users served (TS 23.280 5.2.9.1). Legs that are there already stay.
    fn rejection(
        &self,
        key: Option<usize>,
        draft: &mut Call,
        world: &World<'_>,
        now: Timestamp,
    ) -> Option<String> {
        if !world.registry.knows_failed() {
            return None;
        }
        scope::decide_all(draft, world, now);
        let old = key.map(|key| &self.calls[key]);
        let is_new = |party: &&Party| old.is_none_or(|old| old.party(party.id).is_none());
        let decided = draft.parties.iter().filter(is_new);
        let mut decided = decided.filter_map(|party| party.decided.as_deref());
        decided
            .find_map(|(decision, _)| decision.rejection())
            .map(str::to_owned)
    }

    /// Takes a draft over: decides anew and queues all that follows from the difference.
    pub(super) fn commit(
        &mut self,
        key: Option<usize>,
        mut draft: Box<Call>,
        opened: &[Opened],
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        for media in draft.parties.iter_mut().flat_map(|party| &mut party.medias) {
            media
                .sets
                .retain(|set| set.retired.is_none_or(|at| at > now));
        }
        scope::decide_all(&mut draft, world, now);
        self.plan_homes(&mut draft, host, now);
        let preroll = self.settings.preroll;
        let old = key.map(|key| &self.calls[key]);
        let before = old.map_or_else(Vec::new, |old| flows::of(old, preroll));
        let after = flows::of(&draft, preroll);
        flows::queue_changes(&before, &after, &mut self.queue);
        let wanted = scope::wanted(&draft, &after, &self.settings, &self.ports);
        scope::detach(&mut draft, &wanted, host, &mut self.queue);
        let mut gone: Vec<Opened> = Vec::new();
        let kept = |pair: &Opened| flows::find(&after, pair.rtp).is_some();
        if let Some(old) = old {
            let pairs = old.sets().map(|(_, _, _, set)| Opened::of(set));
            let pairs = pairs.chain(old.homes.iter().flat_map(Home::pairs));
            gone.extend(pairs.filter(|pair| !kept(pair)));
            sum_up(old, &mut draft, &after, host);
        }
        gone.extend(opened.iter().filter(|pair| !kept(pair)));
        gone.iter().for_each(|pair| self.close(pair));
        let former = key.map_or(&[][..], |key| self.calls[key].homes.as_slice());
        home::plan::close(former, &mut draft, now, &mut self.queue);
        scope::attach(
            &mut draft,
            wanted,
            &mut self.next_mirror,
            host,
            &mut self.queue,
        );
        let facts = (&self.settings, &self.ports);
        home::plan::open(&mut draft, &after, facts, now, &mut self.queue);
        self.put(key, draft);
    }

    /// Brings the home legs of a draft to what its decisions ask for.
    fn plan_homes(&mut self, draft: &mut Call, host: &mut dyn Host, now: Timestamp) {
        let mut sockets = Sockets {
            settings: &self.settings,
            ports: &mut self.ports,
            host,
            next_stream: &mut self.next_stream,
            now,
            opened: Vec::new(),
            spoilt: Vec::new(),
        };
        home::plan::plan(draft, &mut self.next_home, &mut sockets);
        let spoilt = sockets.spoilt.into_iter();
        self.queue
            .extend(spoilt.map(|stream| Command::Close { stream }));
    }

    /// Stores a call, with its entries in the indexes.
    pub(super) fn put(&mut self, key: Option<usize>, mut call: Box<Call>) {
        let (key, former) = match key {
            Some(key) => {
                let due = call.due;
                self.timers.remove(&(due, key));
                self.named.rename(key, &self.calls[key], &call);
                let former = std::mem::replace(&mut self.calls[key], call);
                (key, Some(former))
            }
            None => {
                let id = call.id.clone();
                call.due = Timestamp::default();
                if call.number == 0 {
                    self.next_call += 1;
                    call.number = self.next_call;
                }
                let key = self.calls.vacant_key();
                self.named.add(key, &call);
                self.calls.insert(call);
                self.ids.insert(id, key);
                (key, None)
            }
        };
        self.journal.touch(key);
        for home in former.iter().flat_map(|former| &former.homes) {
            self.homes.remove(&home.id);
            for pair in home.pairs() {
                self.facing_home.remove(&pair.rtp);
                self.facing_home.remove(&pair.rtcp);
            }
        }
        let call = &mut self.calls[key];
        let former = || former.iter().flat_map(|former| former.streams());
        if !former().eq(call.streams()) {
            for stream in former() {
                self.streams.remove(&stream);
            }
            let streams = call.streams().map(|stream| (stream, key));
            self.streams.extend(streams);
        }
        for home in &call.homes {
            self.homes.insert(home.id, key);
            for pair in home.pairs() {
                self.facing_home.insert(pair.rtp, key);
                self.facing_home.insert(pair.rtcp, key);
            }
        }
        call.due = timers::due(call, &self.settings);
        self.timers.insert((call.due, key));
    }

    pub(super) fn close(&mut self, pair: &Opened) {
        for stream in [pair.rtp, pair.rtcp] {
            self.queue.push_back(Command::Close { stream });
        }
        self.ports.give_back(pair.place, pair.port);
    }

    /// NG `delete`.
    pub(super) fn delete(
        &mut self,
        delete: &Delete,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let key = self.ids.get(&delete.call_id).copied();
        let found = key.and_then(|key| Some((key, delete::find(&self.calls[key], delete)?)));
        let Some((key, removal)) = found else {
            return match delete.fatal {
                true => Err(Error::NothingToDelete),
                false => Ok(Reply::Deleted(None)),
            };
        };
        let view = view::of(&self.calls[key], &self.ports, host);
        let given = delete.delay.map(|secs| Duration::from_secs(secs.into()));
        let at = now + given.unwrap_or(self.settings.delete_delay);
        let mut draft = self.calls[key].clone();
        draft.last_signal = now;
        if let (delete::Removal::Nothing, Some(tag)) = (&removal, &delete.from_tag) {
            draft.forget_alias(delete.to_tag.as_ref().unwrap_or(tag));
        }
        delete::mark(&mut draft, &removal, at);
        self.take_away(key, draft, world, host, now);
        Ok(Reply::Deleted(Some(Box::new(view))))
    }

    /// Takes over a draft after removing the legs whose time has come; ends the call if none is
    /// left.
    fn take_away(
        &mut self,
        key: usize,
        mut draft: Box<Call>,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        let over = draft.delete_at.is_some_and(|at| at <= now);
        if over || !delete::sweep(&mut draft, now) {
            self.end(key, EndReason::Deleted, world, host, now);
        } else {
            self.commit(Some(key), draft, &[], world, host, now);
        }
    }

    /// Looks at the calls whose time has come.
    pub(super) fn tick(&mut self, world: &World<'_>, host: &mut dyn Host, now: Timestamp) {
        while let Some(&(due, key)) = self.timers.first() {
            if due > now {
                break;
            }
            let mut draft = self.calls[key].clone();
            match timers::judge(&mut draft, &self.settings, host, now) {
                Verdict::Ends(reason) => self.end(key, reason, world, host, now),
                Verdict::Lives => {
                    if timers::one_way(&mut draft, host, now) {
                        let notice = Notice::OneWay(draft.id.clone());
                        self.queue.push_back(Command::Notice(notice));
                    }
                    self.take_away(key, draft, world, host, now);
                }
            }
        }
    }

    /// Records or agreements have changed.
    pub(super) fn decide_anew(&mut self, world: &World<'_>, host: &mut dyn Host, now: Timestamp) {
        let named = |party: &Party| party.own.is_some();
        let told = self
            .calls
            .iter()
            .filter(|(_, call)| !call.context.is_empty() || call.parties.iter().any(named));
        let keys: Vec<usize> = told.map(|(key, _)| key).collect();
        for key in keys {
            self.decide_again(key, world, host, now);
        }
    }

    /// Records of these names have changed.
    pub(super) fn decide_named(
        &mut self,
        names: &[McId],
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        for key in self.named.calls(names) {
            self.decide_again(key, world, host, now);
        }
    }

    fn decide_again(&mut self, key: usize, world: &World<'_>, host: &mut dyn Host, now: Timestamp) {
        let draft = self.calls[key].clone();
        let (waits, queued) = (self.journal.waits_for(key), self.queue.len());
        self.commit(Some(key), draft, &[], world, host, now);
        // Records come by the thousand, and most of them change nothing for a call.
        let decided = |party: &Party| party.decided.as_ref().is_some_and(|d| d.1 == now);
        let same = queued == self.queue.len() && !self.calls[key].parties.iter().any(decided);
        if same && !waits {
            self.journal.spare(key);
        }
    }

    /// Ends a call: its copies stop, its sockets close, its mirrors end, and what explains it is
    /// kept for a while.
    pub(super) fn end(
        &mut self,
        key: usize,
        reason: EndReason,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        let mut draft = self.calls[key].clone();
        self.count_end(&draft, reason, host, now);
        let mut explanation = explain::of(&draft, &self.ports, host, now);
        (explanation.ended, explanation.end) = (Some(now), Some(reason));
        explanation.state = CallState::Ended;
        for leg in &mut explanation.legs {
            leg.preroll.close(draft.context.is_empty());
        }
        let legs: Vec<PartyId> = draft.parties.iter().map(|party| party.id).collect();
        legs.into_iter().for_each(|leg| draft.remove_party(leg));
        self.commit(Some(key), draft, &[], world, host, now);
        let call = self.calls.remove(key);
        self.named.remove(key, &call);
        self.timers.remove(&(call.due, key));
        self.ids.remove(&call.id);
        self.journal.forget(key, &call);
        if self.settings.ended_kept > 0 {
            if self.ended.len() >= self.settings.ended_kept {
                self.ended.pop_front();
            }
            self.ended.push_back(Box::new(explanation));
        }
        let notice = Notice::CallEnded(call.id, reason);
        self.queue.push_back(Command::Notice(notice));
    }

    fn count_end(&mut self, call: &Call, reason: EndReason, host: &dyn Host, now: Timestamp) {
        let totals = &mut self.totals;
        match reason {
            EndReason::Deleted => totals.deleted_total += 1,
            EndReason::MediaTimeout => totals.timeout_total += 1,
            EndReason::SilentTimeout => totals.silent_timeout_total += 1,
            EndReason::OfferTimeout => totals.offer_timeout_total += 1,
            EndReason::FinalTimeout => totals.final_timeout_total += 1,
            EndReason::Failed | EndReason::Shutdown => {}
        }
        match timers::speakers(call, host) {
            0 => totals.zeroway_total += 1,
            1 => totals.oneway_total += 1,
            _ => {}
        }
        let lasted = now.since(call.created).as_millis();
        totals.duration_total_ms += u64::try_from(lasted).unwrap_or(u64::MAX);
    }
}

/// Adds what the sockets that close have counted to their legs. `after` are the streams that go
/// on.
fn sum_up(old: &Call, draft: &mut Call, after: &[(StreamId, Flow)], host: &dyn Host) {
    for (leg, _, media, set) in old.sets() {
        if flows::find(after, set.rtp).is_some() {
            continue;
        }
        let Some(leg) = draft.index_of(leg.id) else {
            continue;
        };
        let closed = draft.parties[leg].closed.get_or_insert_default();
        for (half, stream) in set.halves() {
            closed.add(flows::kind(media, half), &host.counters(stream));
        }
        closed.preroll.close(old.context.is_empty());
    }
}
