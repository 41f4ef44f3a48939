//! What home legs mean for the streams of a call: the way of what parties send, and the state of
//! the streams that face home.

use super::super::call::Call;
use super::super::command::{Flow, Route, SourcePolicy};
use super::super::flows;
use super::super::ids::StreamId;
use super::super::media::{Half, Media, PortSet};
use super::super::options::Learning;
use super::super::party::{Party, PartyId};
use super::{Answer, Home, Lane, LaneKey};
use crate::migration::identity::SystemName;

/// The way of what a leg sends into one of its sockets. RTCP that the anchor takes on its RTP
/// port goes out of our RTP port, too (RFC 5761).
pub(in super::super) fn route(
    call: &Call,
    from: PartyId,
    index: usize,
    media: &Media,
    set: &PortSet,
    half: Half,
) -> Route {
    let key = LaneKey {
        from,
        media: index,
        to: set.peer,
    };
    let mut lanes = call.homes.iter().flat_map(|home| &home.lanes);
    let lane = lanes.find(|lane| lane.key == key).and_then(Lane::open);
    let Some((pair, remote)) = lane else {
        return Route::Direct;
    };
    let (rtp, rtcp) = (pair.opened.rtp, pair.opened.rtcp);
    let home_rtcp = remote.rtcp.filter(|_| media.is_rtp()).map(|_| rtcp);
    match half {
        Half::Rtp => Route::Via {
            home: rtp,
            home_rtcp,
        },
        // The odd port of a media that is not RTP has nothing to carry.
        Half::Rtcp if !media.is_rtp() => Route::Direct,
        Half::Rtcp => Route::Via {
            home: home_rtcp.unwrap_or(rtp),
            home_rtcp: None,
        },
    }
}

/// Adds the wanted states of the streams that face home. What comes back goes on as if the party
/// had sent it there; nothing is taken before the anchor has said where it is, and then from
/// nowhere else.
pub(in super::super) fn add(call: &Call, to: &mut Vec<(StreamId, Flow)>) {
    for home in &call.homes {
        for lane in &home.lanes {
            let source = source(call, lane.key);
            let (Some(pair), Some((party, media, set))) = (lane.pair, source) else {
                continue;
            };
            for half in [Half::Rtp, Half::Rtcp] {
                let straight = flows::flow(call, party, lane.key.media, media, set, half);
                let stream = match half {
                    Half::Rtp => pair.opened.rtp,
                    Half::Rtcp => pair.opened.rtcp,
                };
                to.push((stream, facing(home, lane, half, media, straight)));
            }
        }
    }
}

/// The state of a stream that faces home, where `straight` is that of the party's.
fn facing(home: &Home, lane: &Lane, half: Half, media: &Media, straight: Flow) -> Flow {
    let used = half == Half::Rtp || media.is_rtp();
    let remote = match (lane.answer, half) {
        (Answer::At(remote), Half::Rtp) => Some(remote.rtp),
        (Answer::At(remote), Half::Rtcp) => remote.rtcp.filter(|_| used),
        (Answer::Waiting | Answer::Refused, _) => None,
    };
    Flow {
        remote,
        learning: Learning::Off,
        window: 0,
        source: SourcePolicy::Strict,
        blocked: remote.is_none(),
        known: None,
        route: match used {
            true => Route::Home(home.limits),
            false => Route::Direct,
        },
        keep: None,
        ..straight
    }
}

/// The leg that sends into a lane, with its media and its sockets in use.
pub(super) fn source(call: &Call, key: LaneKey) -> Option<(&Party, &Media, &PortSet)> {
    let party = call.party(key.from)?;
    let media = party.medias.get(key.media)?;
    Some((party, media, media.current(key.to)?))
}

/// Whether all packets of a stream go through this primary: then it gets no copy of them.
pub(in super::super) fn carries(call: &Call, primary: &SystemName, flow: &Flow) -> bool {
    let Route::Via { home, home_rtcp } = flow.route else {
        return false;
    };
    let answers = |stream: StreamId| {
        let homes = call.homes.iter().filter(|home| home.primary == *primary);
        let mut pairs = homes.flat_map(|home| home.lanes.iter().filter_map(|lane| lane.pair));
        pairs.any(|pair| pair.half(stream).is_some_and(|half| !pair.is_lost(half)))
    };
    answers(home) && home_rtcp.is_none_or(answers)
}
