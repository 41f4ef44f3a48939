//! State and counters of a call, as `query` and `delete` show them (NG reference 9.3, 11).

use std::collections::BTreeMap;

use super::call::Call;
use super::command::{Flow, SourcePolicy};
use super::host::{Host, StreamCounters};
use super::ids::{StreamId, Tag};
use super::media::{Half, Media, PortSet};
use super::party::{Party, PartyId};
use super::ports::Ports;
use super::reply::{CallView, MediaView, PartyView, StreamView};
use super::{flows, home, rewrite};
use crate::wire::block::MediaKind;

/// All of a call.
pub(super) fn of(call: &Call, ports: &Ports, host: &dyn Host) -> CallView {
    let all: Vec<&Party> = call.parties.iter().collect();
    shown(call, &all, ports, host)
}

/// The party of the first tag that is known, with those that it is subscribed to; without tags
/// the whole call; nobody if no tag is known.
pub(super) fn of_party(
    call: &Call,
    tags: [Option<&Tag>; 2],
    ports: &Ports,
    host: &dyn Host,
) -> CallView {
    let mut named = tags.into_iter().flatten().peekable();
    if named.peek().is_none() {
        return of(call, ports, host);
    }
    let picked = named
        .find_map(|tag| call.named(tag))
        .map(|i| &call.parties[i]);
    let belongs =
        |p: &&Party| picked.is_some_and(|picked| picked.id == p.id || picked.peers.contains(&p.id));
    let legs: Vec<&Party> = call.parties.iter().filter(belongs).collect();
    shown(call, &legs, ports, host)
}

fn shown(call: &Call, legs: &[&Party], ports: &Ports, host: &dyn Host) -> CallView {
    let figures = Figures::read(call, host);
    let places: Vec<PartyId> = legs.iter().map(|party| party.id).collect();
    CallView {
        call_id: call.id.clone(),
        created: call.created,
        last_signal: call.last_signal,
        metadata: call.metadata.as_deref().map(str::to_owned),
        parties: (0..)
            .zip(legs)
            .map(|(index, party)| party_view(party, index, &places, &figures, ports))
            .collect(),
        mirrored: call.mirrors.iter().any(|m| host.taken(m.id).is_some()),
        homes: home::explain::of(call, ports, host),
    }
}

/// Counters of all streams of a call, read once.
struct Figures {
    flows: Vec<(StreamId, Flow)>,
    counters: BTreeMap<StreamId, StreamCounters>,
    /// Packets and octets that went out of each socket.
    sent: BTreeMap<StreamId, (u64, u64)>,
}

impl Figures {
    fn read(call: &Call, host: &dyn Host) -> Self {
        let flows = flows::of(call, false);
        let mut counters = BTreeMap::new();
        let mut sent: BTreeMap<StreamId, (u64, u64)> = BTreeMap::new();
        for (stream, flow) in &flows {
            let read = host.counters(*stream);
            if let Some(out) = flow.forward {
                let sum = sent.entry(out).or_default();
                sum.0 += read.forwarded;
                sum.1 += read.forwarded_octets;
            }
            counters.insert(*stream, read);
        }
        Self {
            flows,
            counters,
            sent,
        }
    }
}

fn party_view(
    party: &Party,
    index: usize,
    places: &[PartyId],
    figures: &Figures,
    ports: &Ports,
) -> PartyView {
    let place = |peer: &PartyId| places.iter().position(|id| id == peer);
    let peers: Vec<usize> = party.peers.iter().filter_map(place).collect();
    let session = party.sdp.as_deref().map(rewrite::parse);
    let session = session.and_then(Result::ok);
    let medias = (0..).zip(&party.medias).map(|(number, media)| {
        // The peer may have put another media into this place since the leg last spoke.
        let described = session.as_ref().and_then(|s| s.medias.get(number));
        let described = described.filter(|described| described.media_kind() == media.kind);
        let mut view = media_view(party, media, figures, ports);
        view.index = u32::try_from(number).map_or(u32::MAX, |n| n.saturating_add(1));
        if let Some(described) = described {
            view.kind = described.kind.to_owned();
            view.protocol = described.protocol.to_owned();
            view.codec = described.codecs().first().map(ToString::to_string);
        }
        view
    });
    PartyView {
        tag: party.tag.as_ref().map(ToString::to_string),
        index,
        via_branch: party.via_branch.as_deref().map(str::to_owned),
        label: party.label.as_deref().map(str::to_owned),
        created: party.created,
        subscriptions: peers.clone(),
        subscribers: peers,
        medias: medias.collect(),
        closed: party.closed.as_deref().cloned().unwrap_or_default(),
    }
}

/// The word of the m-line, for a leg whose SDP is not known or leaves the media out.
const fn word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Floor => "application",
        MediaKind::Other => "",
    }
}

fn media_view(party: &Party, media: &Media, figures: &Figures, ports: &Ports) -> MediaView {
    let declared = media.declared();
    let mut sets: Vec<&PortSet> = media.sets.iter().collect();
    sets.sort_by_key(|set| set.retired.is_some());
    let streams = sets.iter().flat_map(|set| {
        let view = |(half, stream)| stream_view(party, media, set, half, stream, figures, ports);
        set.halves().map(view)
    });
    MediaView {
        index: 0,
        kind: word(media.kind).to_owned(),
        protocol: String::new(),
        codec: None,
        send: declared.is_some_and(|d| d.direction.sends()),
        recv: declared.is_some_and(|d| d.direction.receives() && !d.held),
        rtcp_mux: media.mux.agreed,
        streams: streams.collect(),
    }
}

fn stream_view(
    party: &Party,
    media: &Media,
    set: &PortSet,
    half: Half,
    stream: StreamId,
    figures: &Figures,
    ports: &Ports,
) -> StreamView {
    let counters = figures.counters.get(&stream).cloned().unwrap_or_default();
    let advertised = flows::find(&figures.flows, stream).and_then(|flow| flow.remote);
    let (packets_out, octets_out) = figures.sent.get(&stream).copied().unwrap_or_default();
    StreamView {
        stream,
        kind: flows::kind(media, half),
        local: ports.local(set, half),
        endpoint: counters.learned.or(advertised),
        advertised,
        strict: party.source == SourcePolicy::Strict,
        handover: party.source == SourcePolicy::Handover,
        counters,
        packets_out,
        octets_out,
    }
}
