//! What anchors and workers report about home legs.

use std::net::SocketAddr;

use super::super::command::{Command, HomeRemote, Notice};
use super::super::core::{Core, World};
use super::super::host::Host;
use super::super::ids::{HomeId, StreamId};
use super::super::media::Half;
use super::super::options::Family;
use super::{Answer, Home, Pair, Standing};
use crate::wire::time::Timestamp;

impl Core {
    /// An anchor takes a home leg, or has answered what was changed of it.
    pub(in super::super) fn home_answered(
        &mut self,
        id: HomeId,
        lanes: &[(String, HomeRemote)],
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        let Some((key, place)) = self.home(id) else {
            return;
        };
        let mut draft = self.calls[key].clone();
        let home = &mut draft.homes[place];
        for lane in &mut home.lanes {
            let label = lane.label.to_string();
            let found = lanes.iter().find(|(name, _)| *name == label);
            lane.answer = match (found, lane.pair) {
                (Some((_, remote)), Some(pair)) if pair.reaches(remote) => Answer::At(*remote),
                (Some(_) | None, Some(_)) => Answer::Refused,
                (Some(_) | None, None) => Answer::Waiting,
            };
        }
        let news = home.standing == Standing::Pending;
        home.stand(Standing::Up, now);
        let notice = Notice::HomeUp(draft.id.clone(), home.primary.as_str().into());
        self.commit(Some(key), draft, &[], world, host, now);
        if news {
            self.queue.push_back(Command::Notice(notice));
        }
    }

    /// No anchor takes a home leg, or the last one has given it up.
    pub(in super::super) fn home_failed(
        &mut self,
        id: HomeId,
        reason: &str,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        let Some((key, place)) = self.home(id) else {
            return;
        };
        let mut draft = self.calls[key].clone();
        let home = &mut draft.homes[place];
        home.fail(reason, host, now);
        let notice = Notice::HomeFailed {
            call: draft.id.clone(),
            primary: home.primary.as_str().into(),
            reason: reason.into(),
        };
        self.totals.home_failures_total += 1;
        self.commit(Some(key), draft, &[], world, host, now);
        self.queue.push_back(Command::Notice(notice));
    }

    /// A worker sends a stream straight, since home does not answer (`Some`: packets that had not
    /// come back), or sends it home again.
    pub(in super::super) fn home_turned(
        &mut self,
        stream: StreamId,
        lost: Option<u64>,
        world: &World<'_>,
        host: &mut dyn Host,
        now: Timestamp,
    ) {
        let Some(&key) = self.facing_home.get(&stream) else {
            return;
        };
        let mut draft = self.calls[key].clone();
        let call = draft.id.clone();
        let mut homes = draft.homes.iter_mut();
        let Some(home) = homes.find_map(|home| home.turn(stream, lost)) else {
            return;
        };
        let primary: Box<str> = home.primary.as_str().into();
        let notice = match lost {
            Some(unanswered) => {
                home.bypasses += 1;
                home.unanswered += unanswered;
                self.totals.home_bypasses_total += 1;
                Notice::HomeLost {
                    call,
                    primary,
                    unanswered,
                }
            }
            None => {
                home.returns += 1;
                self.totals.home_returns_total += 1;
                Notice::HomeBack(call, primary)
            }
        };
        self.commit(Some(key), draft, &[], world, host, now);
        self.queue.push_back(Command::Notice(notice));
    }

    /// The call of a home leg that an anchor is, or was, asked to take, and its place in it.
    fn home(&self, id: HomeId) -> Option<(usize, usize)> {
        let key = *self.homes.get(&id)?;
        let mut homes = self.calls[key].homes.iter();
        let place = homes.position(|home| home.id == id && home.told.is_some())?;
        Some((key, place))
    }
}

impl Home {
    /// Notes that a stream is bypassed, or is not; itself if that is new.
    fn turn(&mut self, stream: StreamId, lost: Option<u64>) -> Option<&mut Self> {
        let pairs = self.lanes.iter_mut().filter_map(|lane| lane.pair.as_mut());
        let mut found = pairs.filter_map(|pair| Some((pair.half(stream)?, pair)));
        let (half, pair) = found.next()?;
        let flag = match half {
            Half::Rtp => &mut pair.lost[0],
            Half::Rtcp => &mut pair.lost[1],
        };
        let news = *flag != lost.is_some();
        *flag = lost.is_some();
        news.then_some(self)
    }
}

impl Pair {
    /// Whether packets can go from here to there.
    fn reaches(&self, remote: &HomeRemote) -> bool {
        let fits = |at: SocketAddr| {
            let address = at.ip();
            Family::of(address) == self.family && !address.is_unspecified() && at.port() > 0
        };
        fits(remote.rtp) && remote.rtcp.is_none_or(fits)
    }
}
