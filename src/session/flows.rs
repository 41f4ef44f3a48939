//! The wanted state of every stream, as a pure function of the call, and what must be told to
//! the workers when a call has changed.
//!
//! Nothing is remembered about what was sent: the state before a change and the state after it
//! are computed alike and compared.

use std::collections::VecDeque;

use super::call::Call;
use super::command::{Command, Flow, Route};
use super::home;
use super::ids::StreamId;
use super::media::{Half, Media, PortSet};
use super::party::Party;
use crate::wire::block::StreamKind;

/// The wanted state of all streams of a call, by number of the stream.
///
/// If there is a `preroll`, the packets of a call about which signalling has told nothing yet are
/// kept for a late decision (design section 4), under the number of its first stream, which no
/// other call has.
pub(super) fn of(call: &Call, preroll: bool) -> Vec<(StreamId, Flow)> {
    let mut flows = Vec::with_capacity(8);
    let undecided = preroll && call.context.is_empty();
    let first = call.streams().min().filter(|_| undecided);
    let keep = first.map(|stream| stream.0);
    for (party, index, media, set) in call.sets() {
        for (half, stream) in set.halves() {
            let wanted = Flow {
                keep,
                ..flow(call, party, index, media, set, half)
            };
            flows.push((stream, wanted));
        }
    }
    home::flow::add(call, &mut flows);
    flows.sort_unstable_by_key(|(stream, _)| *stream);
    flows
}

/// The wanted state of one stream. What arrives from the leg goes to the peer that its socket
/// belongs to, out of the socket that faces the peer for this leg.
pub(super) fn flow(
    call: &Call,
    party: &Party,
    index: usize,
    media: &Media,
    set: &PortSet,
    half: Half,
) -> Flow {
    let target = call
        .party(set.peer)
        .and_then(|peer| peer.medias.get(index))
        .and_then(|peer| {
            let to = peer.current(party.id)?;
            // A zero address forbids RTP and RTCP alike (RFC 3264 8.4); direction attributes do not
            // stop packets (NG reference 13.3).
            let takes = peer.declared_to(to).is_some_and(|declared| !declared.held);
            takes.then_some((peer.mux.agreed, to))
        });
    let (forward, forward_rtcp) = match (target, half) {
        (None, _) => (None, None),
        (Some((true, to)), _) => (Some(to.rtp), None),
        (Some((false, to)), Half::Rtp) if media.is_rtp() => (Some(to.rtp), Some(to.rtcp)),
        (Some((false, to)), Half::Rtp) => (Some(to.rtp), None),
        (Some((false, to)), Half::Rtcp) => (Some(to.rtcp), None),
    };
    let declared = media.declared_to(set);
    let other = || call.party(set.peer)?.medias.get(index)?.declared();
    Flow {
        worker: call.worker,
        kind: kind(media, half),
        remote: declared.and_then(|d| d.remote(half, set.family, media.mux.agreed)),
        learning: party.learning,
        window: media.window,
        source: party.source,
        forward,
        forward_rtcp,
        blocked: false,
        clock_rate: declared.or_else(other).map_or(8000, |d| d.clock_rate),
        known: set.known(half),
        route: home::flow::route(call, party.id, index, media, set, half),
        keep: None,
    }
}

/// What arrives on a socket.
pub(super) fn kind(media: &Media, half: Half) -> StreamKind {
    match half {
        Half::Rtcp => StreamKind::Rtcp,
        Half::Rtp if media.is_rtp() => StreamKind::Rtp,
        Half::Rtp => StreamKind::Datagram,
    }
}

/// Queues a `Configure` for each stream whose wanted state is not what it was. A stream is
/// configured before another is told to forward to it, or to go home through it; of two new ones
/// that forward to each other the first is configured without, and then again. What goes home no
/// more turns first, and what goes home now turns last: so whoever goes home always finds the
/// stream that faces home ready.
pub(super) fn queue_changes(
    before: &[(StreamId, Flow)],
    after: &[(StreamId, Flow)],
    queue: &mut VecDeque<Command>,
) {
    let mut fresh: Vec<(StreamId, Flow)> = Vec::new();
    for (stream, flow) in after
        .iter()
        .filter(|(stream, _)| find(before, *stream).is_none())
    {
        let ready =
            |to: &StreamId| find(before, *to).is_some() || fresh.iter().any(|(s, _)| s == to);
        let mut first = flow.clone();
        first.forward = first.forward.filter(ready);
        first.forward_rtcp = first.forward_rtcp.filter(ready);
        if let Route::Via { .. } = first.route {
            first.route = Route::Direct;
        }
        queue.push_back(Command::Configure {
            stream: *stream,
            flow: first.clone(),
        });
        fresh.push((*stream, first));
    }
    let told = |stream| find(before, stream).or_else(|| find(&fresh, stream));
    let turn = |stream, flow: &Flow| match (told(stream).map(|told| told.route), flow.route) {
        (Some(Route::Via { .. }), Route::Direct) => Turn::Straight,
        (_, Route::Direct | Route::Home(_)) => Turn::None,
        (_, Route::Via { .. }) => Turn::Home,
    };
    for now in [Turn::Straight, Turn::None, Turn::Home] {
        for (stream, flow) in after {
            if told(*stream) != Some(flow) && turn(*stream, flow) == now {
                queue.push_back(Command::Configure {
                    stream: *stream,
                    flow: flow.clone(),
                });
            }
        }
    }
}

/// What a change means for the way of a stream's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// They went home, and do not any more.
    Straight,
    /// They go home now.
    Home,
    /// Neither.
    None,
}

/// The entry of a stream in a list that is sorted by stream.
pub(super) fn find(flows: &[(StreamId, Flow)], stream: StreamId) -> Option<&Flow> {
    let index = flows.binary_search_by_key(&stream, |(s, _)| *s).ok()?;
    Some(&flows[index].1)
}
