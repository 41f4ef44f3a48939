//! The wanted state of every stream, as a pure function of the call, and what must be told to
//! the workers when a call has changed.
//!
//! Nothing is remembered about what was sent: the state before a change and the state after it
//! are computed alike and compared.

use std::collections::VecDeque;

use super::call::Call;
use super::command::{Command, Flow, Route};
use super::ids::StreamId;
use super::media::{Half, Media, PortSet};
use super::party::Party;
use crate::wire::block::StreamKind;

/// The wanted state of all streams of a call, by number of the stream.
pub(super) fn of(call: &Call) -> Vec<(StreamId, Flow)> {
    let mut flows = Vec::with_capacity(8);
    for (party, index, media, set) in call.sets() {
        for (half, stream) in set.halves() {
            flows.push((stream, flow(call, party, index, media, set, half)));
        }
    }
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
        .filter(|peer| peer.takes_packets())
        .and_then(|peer| Some((peer.mux.agreed, peer.current(party.id)?)));
    let (forward, forward_rtcp) = match (target, half) {
        (None, _) => (None, None),
        (Some((true, to)), _) => (Some(to.rtp), None),
        (Some((false, to)), Half::Rtp) if media.is_rtp() => (Some(to.rtp), Some(to.rtcp)),
        (Some((false, to)), Half::Rtp) => (Some(to.rtp), None),
        (Some((false, to)), Half::Rtcp) => (Some(to.rtcp), None),
    };
    let declared = media.declared();
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
        route: Route::Direct,
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
/// configured before another is told to forward to it; of two new ones that forward to each other
/// the first is configured without, and then again.
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
        queue.push_back(Command::Configure {
            stream: *stream,
            flow: first.clone(),
        });
        fresh.push((*stream, first));
    }
    for (stream, flow) in after {
        let told = find(before, *stream).or_else(|| find(&fresh, *stream));
        if told != Some(flow) {
            queue.push_back(Command::Configure {
                stream: *stream,
                flow: flow.clone(),
            });
        }
    }
}

/// The entry of a stream in a list that is sorted by stream.
pub(super) fn find(flows: &[(StreamId, Flow)], stream: StreamId) -> Option<&Flow> {
    let index = flows.binary_search_by_key(&stream, |(s, _)| *s).ok()?;
    Some(&flows[index].1)
}
