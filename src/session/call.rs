//! A call: its legs, and who is meant by a message's tags (NG reference 5.1).

use serde::{Deserialize, Serialize};

use super::home::Home;
use super::ids::{CallId, StreamId, Tag, WorkerIndex};
use super::media::{Media, PortSet};
use super::party::{Party, PartyId};
use super::ports::PlaceId;
use super::recording::Switches;
use super::reply::Error;
use super::request::Exchange;
use super::scope::Mirror;
use crate::migration::context::CallContext;
use crate::migration::decision::LegRole;
use crate::wire::time::Timestamp;

/// A call. The journal keeps it as it is; a member that comes later needs `#[serde(default)]`, so
/// that calls of an earlier version are understood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Call {
    /// Its name in signalling.
    pub(super) id: CallId,
    /// Its number in the journal, never used twice.
    pub(super) number: u64,
    /// When it was made.
    pub(super) created: Timestamp,
    /// When signalling last touched it.
    pub(super) last_signal: Timestamp,
    /// When it was first answered.
    pub(super) answered: Option<Timestamp>,
    /// The worker of all its streams.
    pub(super) worker: WorkerIndex,
    /// DSCP byte of its sockets; those that exist keep theirs.
    pub(super) tos: Option<u8>,
    /// Free text from signalling.
    pub(super) metadata: Option<Box<str>>,
    /// What signalling has told about it.
    pub(super) context: CallContext,
    /// Its legs, in the order they came.
    pub(super) parties: Vec<Party>,
    /// Number of the next leg.
    pub(super) next_party: u16,
    /// Local addresses chosen for it: one for each interface and family.
    pub(super) places: Vec<PlaceId>,
    /// Its mirrors; the journal keeps less of them.
    #[serde(skip)]
    pub(super) mirrors: Vec<Mirror>,
    /// Its ways through primary systems; after a restart they are asked for anew.
    #[serde(skip)]
    pub(super) homes: Vec<Home>,
    /// What signalling wants of them.
    #[serde(default)]
    pub(super) switches: Switches,
    /// All of it is to be removed then.
    pub(super) delete_at: Option<Timestamp>,
    /// When to look whether media still flows, or whether there was an answer.
    pub(super) quiet_due: Timestamp,
    /// When to look whether media flows both ways; `None` once that is settled.
    pub(super) one_way_due: Option<Timestamp>,
    /// Its entry in the timers.
    #[serde(skip)]
    pub(super) due: Timestamp,
    /// The journal has it, or is to have it.
    #[serde(skip)]
    pub(super) journalled: bool,
}

impl Call {
    /// A call without legs.
    pub(super) fn new(id: CallId, worker: WorkerIndex, now: Timestamp) -> Self {
        Self {
            id,
            number: 0,
            created: now,
            last_signal: now,
            answered: None,
            worker,
            tos: None,
            metadata: None,
            context: CallContext::default(),
            parties: Vec::with_capacity(2),
            next_party: 0,
            places: Vec::new(),
            mirrors: Vec::new(),
            homes: Vec::new(),
            switches: Switches::default(),
            delete_at: None,
            quiet_due: now,
            one_way_due: None,
            due: Timestamp::default(),
            journalled: false,
        }
    }

    /// Index of a leg.
    pub(super) fn index_of(&self, id: PartyId) -> Option<usize> {
        self.parties.iter().position(|party| party.id == id)
    }

    /// A leg.
    pub(super) fn party(&self, id: PartyId) -> Option<&Party> {
        self.parties.iter().find(|party| party.id == id)
    }

    /// Index of the leg with this tag.
    pub(super) fn named(&self, tag: &Tag) -> Option<usize> {
        self.parties.iter().position(|party| party.is_named(tag))
    }

    /// Every socket pair: its leg, the place of its m-line, its media.
    pub(super) fn sets(&self) -> impl Iterator<Item = (&Party, usize, &Media, &PortSet)> {
        self.parties.iter().flat_map(|party| {
            let medias = party.medias.iter().enumerate();
            medias.flat_map(move |(index, media)| {
                media.sets.iter().map(move |set| (party, index, media, set))
            })
        })
    }

    /// Every stream.
    pub(super) fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.sets().flat_map(|(_, _, _, set)| [set.rtp, set.rtcp])
    }

    /// The legs of an offer: its sender and its receiver, made if they are new.
    pub(super) fn legs_of_offer(
        &mut self,
        offer: &Exchange,
        now: Timestamp,
    ) -> Result<(usize, usize), Error> {
        let known = offer.to_tag.as_ref().filter(|tag| **tag != offer.from_tag);
        let to = known
            .filter(|_| !offer.options.new_branch)
            .and_then(|tag| self.named(tag))
            .map(|index| self.parties[index].id);
        let from = match self.named(&offer.from_tag) {
            Some(from) => from,
            None => self.unheard_leg(to, offer, now)?,
        };
        self.parties[from].name(&offer.from_tag);
        let sender = self.parties[from].id;
        let to = to.and_then(|id| self.index_of(id)).filter(|&to| to != from);
        let to = match to.or_else(|| self.branch_of(from, offer)) {
            Some(to) => to,
            None => self.add_party(LegRole::Called, now)?,
        };
        // A leg that gave way to the new one has moved the others.
        let from = self.index_of(sender).ok_or(Error::BadDialogue)?;
        let free = known.filter(|tag| self.named(tag).is_none());
        let peer = &mut self.parties[to];
        if peer.tag.is_none() {
            peer.tag = free.cloned();
        }
        if offer.via_branch.is_some() && peer.via_branch.is_none() {
            peer.via_branch.clone_from(&offer.via_branch);
        }
        self.link(from, to);
        self.parties[to].offered = Some((sender, now));
        Ok((from, to))
    }

    /// The sender of an offer whose tag is new: the peer that was offered to and has not shown
    /// its tag yet (an UPDATE before its first SDP), else a new leg.
    fn unheard_leg(
        &mut self,
        to: Option<PartyId>,
        offer: &Exchange,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let to = to.and_then(|to| self.index_of(to));
        // Who offers to the first caller has been called by it; other new ones call.
        let role = match to.map(|to| self.parties[to].role) {
            Some(LegRole::Calling) => LegRole::Called,
            Some(LegRole::Called) | None => LegRole::Calling,
        };
        let waiting = to.and_then(|to| self.untagged_peer(to, offer.via_branch.as_deref()));
        match waiting {
            Some(index) => Ok(index),
            None => self.add_party(role, now),
        }
    }

    /// The peer that an offer without a usable `to-tag` is for, if it is known: that of its
    /// branch, or the one that has not answered.
    fn branch_of(&self, from: usize, offer: &Exchange) -> Option<usize> {
        if offer.options.new_branch {
            return None;
        }
        let branch = offer.via_branch.as_deref();
        self.peers_of(from).find(|&index| {
            let peer = &self.parties[index];
            let same = peer.via_branch.as_deref() == branch;
            same && (peer.tag.is_none() || (branch.is_some() && offer.to_tag.is_none()))
        })
    }

    /// The legs of an answer: who offered, and who answers.
    pub(super) fn legs_of_answer(&mut self, answer: &Exchange) -> Result<(usize, usize), Error> {
        let tag = answer.to_tag.as_ref().ok_or(Error::BadDialogue)?;
        let from = self.named(&answer.from_tag).ok_or(Error::BadDialogue)?;
        let to = match self.named(tag) {
            Some(to) => to,
            None => self
                .untagged_peer(from, answer.via_branch.as_deref())
                .or_else(|| self.last_offered(from, answer.via_branch.as_deref()))
                .ok_or(Error::BadDialogue)?,
        };
        let offerer = self.parties[from].id;
        let offered = self.parties[to]
            .offered
            .is_some_and(|(by, _)| by == offerer);
        if from == to || !offered {
            return Err(Error::BadDialogue);
        }
        self.parties[to].name(tag);
        Ok((from, to))
    }

    /// The peer without a tag: that of the branch; if the branch fits none, the one offered to
    /// last.
    fn untagged_peer(&self, of: usize, branch: Option<&str>) -> Option<usize> {
        let untagged = || self.peers_of(of).filter(|&i| self.parties[i].tag.is_none());
        let fits = |i: &usize| self.parties[*i].via_branch.as_deref() == branch;
        untagged()
            .find(|i| branch.is_some() && fits(i))
            .or_else(|| self.newest(untagged()))
    }

    /// The peer that was offered to last, of the branch if there is one: another phone behind it
    /// answers the same offer.
    fn last_offered(&self, from: usize, branch: Option<&str>) -> Option<usize> {
        let fits = |i: &usize| self.parties[*i].via_branch.as_deref() == branch;
        let of_branch = self.peers_of(from).filter(|i| branch.is_some() && fits(i));
        self.newest(of_branch)
            .or_else(|| self.newest(self.peers_of(from)))
    }

    fn newest(&self, legs: impl Iterator<Item = usize>) -> Option<usize> {
        legs.max_by_key(|&i| (self.parties[i].offered.map(|(_, at)| at), i))
    }

    /// Indexes of the peers of a leg, in the order they came.
    pub(super) fn peers_of(&self, leg: usize) -> impl Iterator<Item = usize> {
        let peers = &self.parties[leg].peers;
        peers.iter().filter_map(|&id| self.index_of(id))
    }

    fn link(&mut self, a: usize, b: usize) {
        let (a_id, b_id) = (self.parties[a].id, self.parties[b].id);
        self.parties[a].link(b_id);
        self.parties[b].link(a_id);
    }

    /// Makes a leg. A call holds [`MAX_PARTIES`]: then the oldest branch without an answer gives
    /// way, and if all have answered the offer is refused.
    fn add_party(&mut self, role: LegRole, now: Timestamp) -> Result<usize, Error> {
        if self.parties.len() >= MAX_PARTIES {
            let idle = |p: &Party| p.sdp.is_none() && p.tag.is_none();
            let oldest = self.parties.iter().find(|p| idle(p)).map(|p| p.id);
            self.remove_party(oldest.ok_or(Error::SessionLimit)?);
        }
        let id = PartyId(self.next_party);
        // Wrapping is safe: numbers 65,536 apart are never in one call at the same time, since
        // the oldest leg leaves long before; should it not, the offer is refused.
        self.next_party = self.next_party.wrapping_add(1);
        if self.index_of(id).is_some() {
            return Err(Error::SessionLimit);
        }
        self.parties.push(Party::new(id, role, now));
        Ok(self.parties.len() - 1)
    }

    /// Forgets a tag that a leg has used besides its present one.
    pub(super) fn forget_alias(&mut self, tag: &Tag) {
        for party in &mut self.parties {
            party.aliases.retain(|alias| alias != tag);
        }
    }

    /// Takes a leg out, with all sockets that carry its media.
    pub(super) fn remove_party(&mut self, id: PartyId) {
        self.parties.retain(|party| party.id != id);
        for party in &mut self.parties {
            party.unlink(id);
        }
    }
}

/// Legs that one call can have.
const MAX_PARTIES: usize = 32;
