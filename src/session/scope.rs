//! Which streams of a call go home, and to whom (design section 4).
//!
//! The scope of a mirror is the migrated leg: what arrives from its user, and what is forwarded
//! to its user. There is one mirror for a call and a primary system; a stream between two
//! migrated legs of one primary is in it once. Streams of other legs never are. What is wanted is
//! computed anew after each change and compared with what the logger has been told.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::call::Call;
use super::command::{Command, Flow};
use super::core::{Settings, World};
use super::host::{Host, Room};
use super::ids::{MirrorId, StreamId};
use super::media::{Half, Media, PortSet};
use super::party::Party;
use super::ports::Ports;
use super::recording::Switch;
use super::reply::Copies;
use super::{flows, home, names, recording, rewrite};
use crate::migration::agreement::{Mode, OnLoggerLoss};
use crate::migration::decision::{MirrorRule, Names, Outcome, decide_for};
use crate::migration::identity::SystemName;
use crate::wire::block::{
    CallInfo, Codec, Direction, MediaKind, PartyInfo, StreamInfo, StreamKind,
};
use crate::wire::time::Timestamp;

mod former;

pub(super) use former::{Former, resume};

/// A mirror as its logger has been told.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    pub(super) id: MirrorId,
    pub(super) primary: SystemName,
    pub(super) loggers: Vec<String>,
    pub(super) info: CallInfo,
    pub(super) attached: Vec<Attached>,
    /// Copied of streams that have been detached.
    pub(super) detached: Copies,
    /// Its logger is gone: another mirror takes its place.
    pub(super) lost: bool,
}

/// A stream that is being copied.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    pub(super) stream: StreamId,
    /// What the worker has reported.
    pub(super) learned: Option<SocketAddr>,
    pub(super) info: StreamInfo,
    /// Copied of it before it was attached, for another mirror or an earlier time.
    earlier: Copies,
}

/// A mirror as it ought to be.
#[derive(Debug)]
pub(super) struct Wanted {
    primary: SystemName,
    loggers: Vec<String>,
    /// Socket pairs in its scope.
    pairs: usize,
    /// Whether the call is refused if no logger takes it.
    refuse: bool,
    info: CallInfo,
    streams: Vec<(StreamId, StreamInfo)>,
}

/// Decides anew for every leg. A decision that stays the same keeps its time.
pub(super) fn decide_all(call: &mut Call, world: &World<'_>, now: Timestamp) {
    for index in 0..call.parties.len() {
        let party = &call.parties[index];
        let names = names::of(call, party);
        let decision = decide_for(names, &call.context, world.registry, world.agreements, now);
        if decision.outcome == Outcome::Undecided {
            call.parties[index].decided = None;
        } else if party.decided.as_ref().is_none_or(|old| old.0 != decision) {
            call.parties[index].decided = Some(Box::new((decision, now)));
        }
    }
}

/// The mirrors that the decisions ask for, those first that the call depends on; `flows` are the
/// wanted states of the call's streams.
pub(super) fn wanted(
    call: &Call,
    flows: &[(StreamId, Flow)],
    settings: &Settings,
    ports: &Ports,
) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    // What is redirected needs no logger: then it is not recorded while it does not go home.
    let copied = |rule: &&MirrorRule| rule.mode == Mode::Duplicate || !rule.loggers.is_empty();
    for rule in call.parties.iter().filter_map(Party::rule).filter(copied) {
        let switch = recording::switch(call, rule);
        if switch == Switch::Stopped {
            continue;
        }
        if all.iter().all(|w| w.primary != rule.primary_system) {
            all.push(Wanted {
                primary: rule.primary_system.clone(),
                loggers: rule.loggers.clone(),
                pairs: pairs(call, &rule.primary_system),
                refuse: rule.on_logger_loss == OnLoggerLoss::Refuse,
                info: call_info(call, rule, settings),
                streams: match switch {
                    Switch::On => streams(call, &rule.primary_system, flows, ports),
                    Switch::Paused | Switch::Stopped => Vec::new(),
                },
            });
        }
    }
    all.sort_by_key(|wanted| !wanted.refuse);
    all
}

/// Whether a new call has to be refused, since an agreement wants that if no logger takes its
/// mirror (design section 4).
pub(super) fn refused(wanted: &[Wanted], host: &dyn Host) -> bool {
    let needed: Vec<Room<'_>> = wanted
        .iter()
        .filter(|wanted| wanted.refuse)
        .map(|wanted| Room {
            loggers: &wanted.loggers,
            pairs: wanted.pairs,
        })
        .collect();
    !needed.is_empty() && !host.can_mirror(&needed)
}

fn rule_for<'a>(party: &'a Party, primary: &SystemName) -> Option<&'a MirrorRule> {
    party.rule().filter(|rule| rule.primary_system == *primary)
}

/// Whether media of this kind, from the leg or to it, goes to the primary.
fn asks(leg: &Party, kind: MediaKind, primary: &SystemName) -> bool {
    rule_for(leg, primary).is_some_and(|rule| rule.media.contains(&kind))
}

/// Socket pairs of which one leg is migrated, whether both ends are known yet or not.
fn pairs(call: &Call, primary: &SystemName) -> usize {
    let in_scope = |leg: &Party, set: &PortSet, kind| {
        asks(leg, kind, primary)
            || call
                .party(set.peer)
                .is_some_and(|peer| asks(peer, kind, primary))
    };
    call.sets()
        .filter(|(leg, _, media, set)| in_scope(leg, set, media.kind))
        .count()
}

fn streams(
    call: &Call,
    primary: &SystemName,
    flows: &[(StreamId, Flow)],
    ports: &Ports,
) -> Vec<(StreamId, StreamInfo)> {
    let mut found = Vec::new();
    for (party, index, media, set) in call.sets() {
        let asked = |leg: &Party| asks(leg, media.kind, primary);
        let from_user = asked(party);
        let peer_asked = call.party(set.peer).is_some_and(asked);
        if !from_user && !peer_asked {
            continue;
        }
        for (half, stream) in set.halves() {
            // The odd port of a media that is not RTP has nothing to carry.
            if half == Half::Rtcp && !media.is_rtp() {
                continue;
            }
            let Some(flow) = flows::find(flows, stream) else {
                continue;
            };
            if home::flow::carries(call, primary, flow) {
                continue;
            }
            let direction = match (from_user, peer_asked && flow.forward.is_some()) {
                (true, true) => Direction::Both,
                (true, false) => Direction::FromUser,
                (false, true) => Direction::ToUser,
                (false, false) => continue,
            };
            let facts = (party, index, media, set);
            found.push((
                stream,
                stream_info(call, facts, half, flow, direction, ports),
            ));
        }
    }
    found
}

pub(super) fn stream_info(
    call: &Call,
    (party, index, media, set): (&Party, usize, &Media, &PortSet),
    half: Half,
    flow: &Flow,
    direction: Direction,
    ports: &Ports,
) -> StreamInfo {
    let stream = match half {
        Half::Rtp => set.rtp,
        Half::Rtcp => set.rtcp,
    };
    let codecs = match flow.kind {
        StreamKind::Rtp => codecs(call, party, set, index),
        StreamKind::Rtcp | StreamKind::Datagram => Vec::new(),
    };
    StreamInfo {
        stream: stream.0,
        from_tag: party
            .tag
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        direction,
        media_index: u32::try_from(index).map_or(u32::MAX, |index| index.saturating_add(1)),
        media: media.kind,
        kind: flow.kind,
        local: ports.local(set, half),
        remote: flow.remote,
        codecs,
    }
}

/// The payload types of a stream: from its sender's SDP, or from that of its peer as long as the
/// sender has not answered.
fn codecs(call: &Call, party: &Party, set: &PortSet, index: usize) -> Vec<Codec> {
    let peer = || call.party(set.peer)?.sdp.as_deref();
    let Some(Ok(session)) = party.sdp.as_deref().or_else(peer).map(rewrite::parse) else {
        return Vec::new();
    };
    let Some(media) = session.medias.get(index) else {
        return Vec::new();
    };
    let codec = |codec: crate::wire::sdp::Codec<'_>| Codec {
        payload_type: codec.payload,
        encoding: codec.to_string(),
        fmtp: codec.fmtp.unwrap_or_default().to_owned(),
    };
    media.codecs().into_iter().map(codec).collect()
}

/// What a primary is told of a call, if a leg of it is at home there.
pub(super) fn info_for(call: &Call, primary: &SystemName, settings: &Settings) -> Option<CallInfo> {
    let mut rules = call.parties.iter().filter_map(|p| rule_for(p, primary));
    Some(call_info(call, rules.next()?, settings))
}

/// Whether the agreement with a primary names loggers.
pub(super) fn has_loggers(call: &Call, primary: &SystemName) -> bool {
    let mut rules = call.parties.iter().filter_map(|p| rule_for(p, primary));
    rules.next().is_some_and(|rule| !rule.loggers.is_empty())
}

fn call_info(call: &Call, rule: &MirrorRule, settings: &Settings) -> CallInfo {
    let context = &call.context;
    let service = context.service.unwrap_or(rule.service);
    let mine = |p: &&Party| rule_for(p, &rule.primary_system).is_some();
    let reasons: Vec<String> = call
        .parties
        .iter()
        .filter(mine)
        .filter_map(Party::rule)
        .map(reason)
        .collect();
    let mut reason = reasons;
    reason.dedup();
    CallInfo {
        call_id: call.id.to_string(),
        started: call.created,
        relay_system: settings.system.clone(),
        primary_system: rule.primary_system.to_string(),
        service: Some(service.to_string()),
        session_type: context.session_type.map(|t| t.as_str().to_owned()),
        group: context.group_id.as_ref().map(ToString::to_string),
        emergency: context.emergency,
        metadata: call.metadata.as_deref().map(str::to_owned),
        parties: call
            .parties
            .iter()
            .map(|party| party_info(call, party, &rule.primary_system))
            .collect(),
        reason: reason.join("; "),
    }
}

fn reason(rule: &MirrorRule) -> String {
    let who = format!(
        "{} is {} of {}",
        rule.partner_id, rule.primary_id, rule.primary_system
    );
    let (service, record) = (rule.service, rule.record.0);
    match &rule.failed {
        None => format!("{who}, migrated for {service} (migration {record})"),
        Some(why) => format!(
            "{who}, whose migration for {service} failed ({why}) and who is served all the same \
             (migration {record})"
        ),
    }
}

/// A leg as one primary may know it: what it is called at home only if it is at home there.
fn party_info(call: &Call, party: &Party, primary: &SystemName) -> PartyInfo {
    let rule = rule_for(party, primary);
    let Names { id: said, alias } = names::of(call, party);
    let migrated = party.rule();
    let partner_id = migrated.map(|rule| &rule.partner_id).or(said);
    // A name that is neither of the user's IDs is an alias in the place of one.
    let in_place = said.filter(|said| {
        migrated.is_some_and(|rule| **said != rule.partner_id && **said != rule.primary_id)
    });
    let alias = alias.or(in_place);
    PartyInfo {
        tag: party
            .tag
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        partner_id: partner_id.map(ToString::to_string),
        primary_id: rule.map(|rule| rule.primary_id.to_string()),
        functional_alias: alias.map(ToString::to_string),
        migrated: rule.is_some(),
    }
}

/// Queues what ends: streams that are not wanted any more are detached.
pub(super) fn detach(
    call: &mut Call,
    wanted: &[Wanted],
    host: &dyn Host,
    queue: &mut VecDeque<Command>,
) {
    for mirror in &mut call.mirrors {
        let stays = wanted.iter().find(|wanted| mirror.is(wanted, host));
        let id = mirror.id;
        let detached = &mut mirror.detached;
        mirror.attached.retain(|attached| {
            let stream = attached.stream;
            let keep = stays.is_some_and(|w| w.streams.iter().any(|(s, _)| *s == stream));
            if !keep {
                let copies = attached.copies(host);
                detached.packets += copies.packets;
                detached.dropped += copies.dropped;
                queue.push_back(Command::MirrorDetach { mirror: id, stream });
            }
            keep
        });
    }
}

/// Queues the rest, after streams were closed: mirrors that end, begin, or know more.
pub(super) fn attach(
    call: &mut Call,
    wanted: Vec<Wanted>,
    next_mirror: &mut u64,
    host: &dyn Host,
    queue: &mut VecDeque<Command>,
) {
    call.mirrors.retain(|mirror| {
        let keep = wanted.iter().any(|wanted| mirror.is(wanted, host));
        if !keep {
            queue.push_back(Command::MirrorClose { mirror: mirror.id });
        }
        keep
    });
    for wanted in wanted {
        let mut mirrors = call.mirrors.iter();
        let known = mirrors.position(|mirror| mirror.is(&wanted, host));
        let index = known.unwrap_or_else(|| {
            *next_mirror += 1;
            call.mirrors.push(Mirror {
                id: MirrorId(*next_mirror),
                primary: wanted.primary.clone(),
                loggers: wanted.loggers.clone(),
                info: wanted.info.clone(),
                attached: Vec::new(),
                detached: Copies::default(),
                lost: false,
            });
            queue.push_back(Command::MirrorOpen {
                mirror: MirrorId(*next_mirror),
                call: call.id.clone(),
                loggers: wanted.loggers.clone(),
                pairs: wanted.pairs,
                info: wanted.info.clone(),
            });
            call.mirrors.len() - 1
        });
        let mirror = &mut call.mirrors[index];
        mirror.loggers = wanted.loggers;
        if mirror.info != wanted.info {
            mirror.info = wanted.info;
            queue.push_back(Command::MirrorUpdate {
                mirror: mirror.id,
                info: mirror.info.clone(),
            });
        }
        for (stream, info) in wanted.streams {
            mirror.attach(stream, info, host, queue);
        }
    }
}

impl Mirror {
    /// Whether this is the one that is wanted. It stays with the logger that has it for as long as
    /// that is among those wanted: a recording is not torn apart because a list got longer.
    fn is(&self, wanted: &Wanted, host: &dyn Host) -> bool {
        if self.lost || self.primary != wanted.primary {
            return false;
        }
        let listed = || {
            let taken = host.taken(self.id);
            taken.is_some_and(|taken| wanted.loggers.contains(&taken.logger))
        };
        self.loggers == wanted.loggers || listed()
    }

    fn attach(
        &mut self,
        stream: StreamId,
        mut info: StreamInfo,
        host: &dyn Host,
        queue: &mut VecDeque<Command>,
    ) {
        let index = self.attached.iter().position(|a| a.stream == stream);
        let learned = index
            .and_then(|index| self.attached[index].learned)
            .or_else(|| host.counters(stream).learned);
        info.remote = learned.or(info.remote);
        match index {
            Some(index) if self.attached[index].info == info => return,
            Some(index) => self.attached[index].info = info.clone(),
            None => self.attached.push(Attached {
                stream,
                learned,
                info: info.clone(),
                earlier: copies(stream, host),
            }),
        }
        queue.push_back(Command::MirrorAttach {
            mirror: self.id,
            stream,
            info,
        });
    }

    /// A worker has learned where the stream comes from: the logger is told.
    pub(super) fn learned(
        &mut self,
        stream: StreamId,
        address: SocketAddr,
        queue: &mut VecDeque<Command>,
    ) {
        let Some(attached) = self.attached.iter_mut().find(|a| a.stream == stream) else {
            return;
        };
        attached.learned = Some(address);
        if attached.info.remote == Some(address) {
            return;
        }
        attached.info.remote = Some(address);
        queue.push_back(Command::MirrorAttach {
            mirror: self.id,
            stream,
            info: attached.info.clone(),
        });
    }
}

impl Attached {
    /// What has been copied of the stream since it was attached.
    pub(super) fn copies(&self, host: &dyn Host) -> Copies {
        let all = copies(self.stream, host);
        Copies {
            packets: all.packets.saturating_sub(self.earlier.packets),
            dropped: all.dropped.saturating_sub(self.earlier.dropped),
        }
    }
}

fn copies(stream: StreamId, host: &dyn Host) -> Copies {
    let counters = host.counters(stream);
    Copies {
        packets: counters.mirrored,
        dropped: counters.mirror_dropped,
    }
}
