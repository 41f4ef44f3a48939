//! Brings the home legs of a call to what its decisions ask for, and tells the anchors.

use std::collections::VecDeque;

use super::super::call::Call;
use super::super::command::{Command, Flow, HomeLane, HomeOffer};
use super::super::core::{Anchor, Settings};
use super::super::flows;
use super::super::ids::{HomeId, StreamId};
use super::super::media::Half;
use super::super::options::Family;
use super::super::party::Party;
use super::super::ports::Ports;
use super::super::recording::{self, Switch};
use super::super::rewrite;
use super::super::scope;
use super::super::sockets::Sockets;
use super::flow::source;
use super::{Answer, Home, Lane, LaneKey, Pair, Standing, path};
use crate::migration::agreement::Mode;
use crate::migration::decision::MirrorRule;
use crate::migration::identity::SystemName;
use crate::wire::block::{Direction, MediaKind};
use crate::wire::time::Timestamp;

/// A lane that a primary asks for.
struct Wanted<'a> {
    primary: &'a SystemName,
    key: LaneKey,
    direction: Direction,
}

/// Makes and ends home legs and lanes, and opens sockets for those that have none. That no port
/// is free refuses nothing: the media goes straight.
pub(in super::super) fn plan(draft: &mut Call, next_home: &mut u64, sockets: &mut Sockets<'_>) {
    let asking = draft.parties.iter().filter_map(|p| redirects(draft, p));
    let mut rules: Vec<&MirrorRule> = Vec::new();
    for rule in asking {
        if rules
            .iter()
            .all(|r| r.primary_system != rule.primary_system)
        {
            rules.push(rule);
        }
    }
    if rules.is_empty() && draft.homes.is_empty() {
        return;
    }
    let now = sockets.now;
    let mut homes = draft.homes.clone();
    homes.retain(|home| rules.iter().any(|rule| home.is_for(rule)));
    for rule in rules {
        if !homes.iter().any(|home| home.is_for(rule)) {
            *next_home += 1;
            let (primary, anchors) = (rule.primary_system.clone(), rule.anchors.clone());
            homes.push(Home::new(HomeId(*next_home), primary, anchors, now));
        }
    }
    let wanted = wanted(draft);
    for home in &mut homes {
        home.fit(&wanted, sockets);
    }
    for home in &mut homes {
        home.open_sockets(draft, sockets);
    }
    draft.homes = homes;
}

/// What a leg's agreement says, if it says redirect. Where signalling may stop or pause what goes
/// home and has done so, nothing is led there.
fn redirects<'a>(call: &Call, party: &'a Party) -> Option<&'a MirrorRule> {
    let on = |rule: &MirrorRule| recording::switch(call, rule) == Switch::On;
    party
        .rule()
        .filter(|rule| rule.mode == Mode::Redirect && on(rule))
}

/// All lanes that are asked for. A stream goes through the sender's primary, or else through that
/// of the leg that it is for; one whose other end is not known (yet) goes nowhere.
fn wanted(call: &Call) -> Vec<Wanted<'_>> {
    let asks = |party: Option<&'_ Party>, kind: MediaKind| {
        let rule = redirects(call, party?)?;
        rule.media
            .contains(&kind)
            .then(|| rule.primary_system.clone())
    };
    let mut lanes = Vec::new();
    for (party, index, media, set) in call.sets() {
        let peer = call.party(set.peer);
        let other = peer.and_then(|peer| peer.medias.get(index));
        let known = media.declared().is_some() && other.is_some_and(|o| o.declared().is_some());
        if set.retired.is_some() || !known {
            continue;
        }
        let (from, to) = (asks(Some(party), media.kind), asks(peer, media.kind));
        let direction = match (&from, &to) {
            (Some(from), Some(to)) if from == to => Direction::Both,
            (Some(_), _) => Direction::FromUser,
            (None, Some(_)) => Direction::ToUser,
            (None, None) => continue,
        };
        let owner = if from.is_some() { Some(party) } else { peer };
        let Some(rule) = owner.and_then(|owner| redirects(call, owner)) else {
            continue;
        };
        lanes.push(Wanted {
            primary: &rule.primary_system,
            key: LaneKey {
                from: party.id,
                media: index,
                to: set.peer,
            },
            direction,
        });
    }
    lanes
}

/// Streams in the scope of a primary whose users are redirected that go through another one, from
/// whose user they come.
pub(super) fn elsewhere(call: &Call, primary: &SystemName) -> Vec<SystemName> {
    let mut others: Vec<SystemName> = Vec::new();
    for lane in wanted(call) {
        let to = call.party(lane.key.to);
        let kind = to
            .and_then(|to| to.medias.get(lane.key.media))
            .map(|m| m.kind);
        let asked = to.and_then(|to| redirects(call, to)).is_some_and(|rule| {
            rule.primary_system == *primary && kind.is_some_and(|kind| rule.media.contains(&kind))
        });
        if asked && lane.primary != primary && !others.contains(lane.primary) {
            others.push(lane.primary.clone());
        }
    }
    others
}

impl Home {
    /// With other anchors it is another home leg.
    fn is_for(&self, rule: &MirrorRule) -> bool {
        self.primary == rule.primary_system && self.anchors == rule.anchors
    }

    /// Its lanes are those that are wanted; those that stay keep their sockets.
    fn fit(&mut self, wanted: &[Wanted<'_>], sockets: &Sockets<'_>) {
        let mine = |lane: &&Wanted<'_>| *lane.primary == self.primary;
        let mut lanes = Vec::with_capacity(self.lanes.len());
        for lane in wanted.iter().filter(mine) {
            let known = self.lanes.iter().position(|l| l.key == lane.key);
            let mut kept = match known {
                Some(known) => self.lanes.swap_remove(known),
                None => {
                    self.labels += 1;
                    Lane {
                        label: self.labels,
                        key: lane.key,
                        direction: lane.direction,
                        pair: None,
                        answer: Answer::Waiting,
                    }
                }
            };
            kept.direction = lane.direction;
            lanes.push(kept);
        }
        for gone in std::mem::replace(&mut self.lanes, lanes) {
            self.gone.add(gone.carried(sockets.host));
        }
    }

    /// Opens sockets for the lanes that have none, unless the home leg has failed and its pause
    /// is not over. Limits and interface are those of the preferred anchor: all that may take it
    /// get the same sockets.
    fn open_sockets(&mut self, draft: &mut Call, sockets: &mut Sockets<'_>) {
        let now = sockets.now;
        if self.next_try().is_some_and(|at| at > now) {
            return;
        }
        let anchor = self.preferred(&sockets.settings.anchors);
        if let Some(anchor) = anchor {
            self.limits = anchor.limits;
        }
        let name = anchor.and_then(|anchor| anchor.interface.as_deref());
        let interface = name
            .and_then(|name| sockets.ports.interface(name))
            .unwrap_or(0);
        let family = anchor.map_or(Family::Ip4, |anchor| anchor.family);
        for lane in self.lanes.iter_mut().filter(|lane| lane.pair.is_none()) {
            let Ok(opened) = sockets.bind(draft, interface, family) else {
                break;
            };
            lane.pair = Some(Pair {
                opened,
                family: sockets.ports.family(opened.place),
                lost: [false; 2],
            });
            lane.answer = Answer::Waiting;
        }
        if self.lanes.is_empty() || self.pairs().next().is_some() {
            if self.next_try().is_some() {
                self.stand(Standing::Idle, now);
            }
        } else {
            // The anchor, if it has the home leg with other lanes, is told when sockets are closed.
            let told = self.told.take();
            self.fail("no local port is free", sockets.host, now);
            self.told = told;
        }
    }

    fn preferred<'a>(&self, anchors: &'a [Anchor]) -> Option<&'a Anchor> {
        let first = self.anchors.first()?;
        anchors.iter().find(|anchor| anchor.name == *first)
    }
}

/// Queues the end of home legs that nothing goes through any more. `old` are those of before.
pub(in super::super) fn close(
    old: &[Home],
    draft: &mut Call,
    now: Timestamp,
    queue: &mut VecDeque<Command>,
) {
    let ended = |home: &&Home| {
        let stays = draft.homes.iter().any(|stays| stays.id == home.id);
        home.told.is_some() && !stays
    };
    for home in old.iter().filter(ended) {
        queue.push_back(Command::HomeClose { home: home.id });
    }
    for home in &mut draft.homes {
        if home.told.is_some() && home.pairs().next().is_none() {
            home.told = None;
            if home.next_try().is_none() {
                home.stand(Standing::Idle, now);
            }
            queue.push_back(Command::HomeClose { home: home.id });
        }
    }
}

/// Queues what anchors are to be told; the streams that face them are configured by then.
pub(in super::super) fn open(
    draft: &mut Call,
    flows: &[(StreamId, Flow)],
    (settings, ports): (&Settings, &Ports),
    now: Timestamp,
    queue: &mut VecDeque<Command>,
) {
    for place in 0..draft.homes.len() {
        let probes = draft.homes[place].probes(now);
        let home = &draft.homes[place];
        if home.next_try().is_some() || home.pairs().next().is_none() {
            continue;
        }
        let Some(offer) = offer(draft, home, flows, settings, ports) else {
            continue;
        };
        let home = &mut draft.homes[place];
        let id = home.id;
        match home.told.replace(Box::new(offer.clone())) {
            None => {
                home.stand(Standing::Pending, now);
                let anchors = home.anchors.clone();
                queue.push_back(Command::HomeOpen {
                    home: id,
                    anchors,
                    offer,
                });
            }
            Some(told) if *told != offer => {
                queue.push_back(Command::HomeUpdate { home: id, offer });
            }
            Some(_) if probes => queue.push_back(Command::HomeProbe { home: id }),
            Some(_) => {}
        }
    }
}

fn offer(
    call: &Call,
    home: &Home,
    flows: &[(StreamId, Flow)],
    settings: &Settings,
    ports: &Ports,
) -> Option<HomeOffer> {
    let mut lanes = Vec::with_capacity(home.lanes.len());
    for lane in &home.lanes {
        let (Some(pair), Some((party, media, set))) = (lane.pair, source(call, lane.key)) else {
            continue;
        };
        let Some(flow) = flows::find(flows, set.rtp) else {
            continue;
        };
        let facts = (party, lane.key.media, media, set);
        let local = ports.address(pair.opened.place).advertised;
        let at = |port: u16| std::net::SocketAddr::new(local, port);
        let odd = pair.opened.port.saturating_add(1);
        lanes.push(HomeLane {
            label: lane.label.to_string(),
            info: scope::stream_info(call, facts, Half::Rtp, flow, lane.direction, ports),
            protocol: protocol(party, lane.key.media),
            rtp: at(pair.opened.port),
            rtcp: media.is_rtp().then(|| at(odd)),
        });
    }
    Some(HomeOffer {
        info: scope::info_for(call, &home.primary, settings)?,
        path: path::of(call, settings.identity()),
        lanes,
    })
}

/// The protocol of an m-line, as the leg's SDP writes it.
fn protocol(party: &Party, index: usize) -> String {
    let session = party
        .sdp
        .as_deref()
        .and_then(|sdp| rewrite::parse(sdp).ok());
    let media = session
        .as_ref()
        .and_then(|session| session.medias.get(index));
    media.map_or_else(String::new, |media| media.protocol.to_owned())
}
