//! The statistics dictionary of a call, as `query` and `delete` give it (NG reference 11), with
//! the names that proxies read.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::session::host::{Sum, Traffic};
use crate::session::reply::{CallView, MediaView, PartyView, StreamView};
use crate::wire::bencode::{Dict, Value};
use crate::wire::block::StreamKind;
use crate::wire::time::Timestamp;

/// The dictionary. `cut` says how much to leave out: 1 the figures by SSRC, 2 also retired
/// sockets, 3 the media, 4 all but the totals.
pub fn call(view: &CallView, cut: u32) -> Dict<'_> {
    let mut tags = Dict::new();
    if cut < 4 {
        for party in &view.parties {
            tags.push(name(party), self::party(party, view, cut));
        }
    }
    let created = view.created;
    Dict::new()
        .with("created", created.secs())
        .with("created_us", created.micros() % 1_000_000)
        .with("created_ts", created.micros())
        .with("last signal", view.last_signal.secs())
        .with_some("metadata", view.metadata.as_deref())
        .with("tags", tags)
        .with("SSRC", if cut < 1 { ssrcs(view) } else { Dict::new() })
        .with("totals", totals(view))
}

fn party<'a>(party: &'a PartyView, view: &'a CallView, cut: u32) -> Dict<'a> {
    let edges = |indexes: &[usize]| {
        let others = indexes
            .iter()
            .filter_map(|index| view.parties.iter().find(|party| party.index == *index));
        Value::list(others.map(|other| {
            Dict::new()
                .with("tag", name(other))
                .with("type", "offer/answer")
        }))
    };
    let medias = party.medias.iter().map(|media| self::media(media, cut));
    let medias = if cut < 3 {
        Value::list(medias)
    } else {
        Value::List(Vec::new())
    };
    Dict::new()
        .with("tag", party.tag.as_deref().unwrap_or_default())
        .with_some("via-branch", party.via_branch.as_deref())
        .with_some("label", party.label.as_deref())
        .with("created", party.created.secs())
        .with("subscriptions", edges(&party.subscriptions))
        .with("subscribers", edges(&party.subscribers))
        .with("medias", medias)
}

fn media(media: &MediaView, cut: u32) -> Dict<'_> {
    let shown = if cut < 2 { usize::MAX } else { 2 };
    let streams = media.streams.iter().take(shown).map(stream);
    let flags = [
        (!media.streams.is_empty(), "initialized"),
        (media.send, "send"),
        (media.recv, "recv"),
        (media.rtcp_mux, "rtcp-mux"),
    ];
    let ingress = media
        .streams
        .iter()
        .filter(|stream| stream.kind == StreamKind::Rtp)
        .filter_map(|stream| stream.counters.ssrc)
        .map(|ssrc| Dict::new().with("SSRC", ssrc));
    Dict::new()
        .with("index", media.index)
        .with("type", media.kind.as_str())
        .with("protocol", media.protocol.as_str())
        .with_some("codec", media.codec.as_deref())
        .with("streams", Value::list(streams))
        .with("flags", set(&flags))
        .with("ingress SSRCs", Value::list(ingress))
        .with("egress SSRCs", Value::List(Vec::new()))
}

fn stream(stream: &StreamView) -> Dict<'_> {
    let counters = &stream.counters;
    let last = counters.last_packet.map_or(0, Timestamp::secs);
    let flags = [
        (stream.kind == StreamKind::Rtp, "RTP"),
        (stream.kind == StreamKind::Rtcp, "RTCP"),
        (stream.endpoint.is_some(), "filled"),
        (counters.learned.is_some(), "confirmed"),
        (stream.strict, "strict source address"),
        (stream.handover, "media handover"),
    ];
    Dict::new()
        .with("local port", stream.local.port())
        .with("local address", stream.local.ip().to_string())
        .with("family", family(stream.local.ip()))
        .with_some("endpoint", stream.endpoint.map(endpoint))
        .with_some("advertised endpoint", stream.advertised.map(endpoint))
        .with("last packet", last)
        .with("last kernel packet", 0)
        .with("last user packet", last)
        .with_some("SSRC", counters.ssrc)
        .with("flags", set(&flags))
        .with(
            "stats",
            sums(counters.packets, counters.octets, counters.dropped()),
        )
        .with("stats_out", sums(stream.packets_out, stream.octets_out, 0))
}

/// By SSRC seen last on each socket. RTCP quality is not known: its keys are left out, not zero.
fn ssrcs(view: &CallView) -> Dict<'_> {
    let mut dict = Dict::new();
    for stream in streams(view) {
        let counters = &stream.counters;
        let Some(ssrc) = counters.ssrc else {
            continue;
        };
        let figures = Dict::new()
            .with(
                "packets",
                counters.packets - counters.rtcp_packets.min(counters.packets),
            )
            .with("bytes", counters.octets)
            .with("last RTP timestamp", counters.last_rtp_timestamp)
            .with("last RTP seq", counters.last_seq)
            .with("cumulative loss", counters.lost);
        dict.push(ssrc.to_string(), figures);
    }
    dict
}

/// RTCP on an RTP port is counted as RTCP by packets; its octets are with the RTP. Sockets that
/// are closed count as well.
fn totals(view: &CallView) -> Dict<'_> {
    let mut all = Traffic::default();
    for stream in streams(view) {
        all.add(stream.kind, &stream.counters);
    }
    for party in &view.parties {
        all.merge(&party.closed);
    }
    let sums = |sum: &Sum| sums(sum.packets, sum.octets, sum.dropped());
    Dict::new()
        .with("RTP", sums(&all.rtp))
        .with("RTCP", sums(&all.rtcp))
}

fn streams(view: &CallView) -> impl Iterator<Item = &StreamView> {
    view.parties
        .iter()
        .flat_map(|party| &party.medias)
        .flat_map(|media| &media.streams)
}

fn name(party: &PartyView) -> Cow<'_, str> {
    match &party.tag {
        Some(tag) => Cow::Borrowed(tag),
        None => Cow::Owned(format!("<untagged {}>", party.index)),
    }
}

fn endpoint(address: SocketAddr) -> Dict<'static> {
    Dict::new()
        .with("family", family(address.ip()))
        .with("address", address.ip().to_string())
        .with("port", address.port())
}

/// Not `IP4` here.
const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

fn sums(packets: u64, octets: u64, errors: u64) -> Dict<'static> {
    Dict::new()
        .with("packets", packets)
        .with("bytes", octets)
        .with("errors", errors)
}

fn set(flags: &[(bool, &'static str)]) -> Value<'static> {
    Value::list(flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name))
}
