//! A call as JSON: as the core tells it, with times in RFC 3339 and drops by name.

use serde_json::{Map, Value, json};

use super::homes::homes;
use crate::session::host::{DROP_REASONS, StreamCounters, Sum};
use crate::session::reply::{CallPage, CallSummary, CallView, MediaView, PartyView, StreamView};

/// A page of calls.
pub(super) fn page(page: &CallPage) -> Value {
    json!({
        "as_of": page.as_of.to_string(),
        "calls": page.calls.iter().map(summary).collect::<Vec<Value>>(),
        "next": page.next,
    })
}

fn summary(call: &CallSummary) -> Value {
    let context = &call.context;
    json!({
        "call_id": call.call_id,
        "created": call.created.to_string(),
        "answered": call.answered.map(|at| at.to_string()),
        "state": call.state,
        "one_way": call.one_way,
        "service": context.service,
        "calling_id": context.calling_id,
        "called_id": context.called_id,
        "group_id": context.group_id,
        "emergency": context.emergency,
        "legs": call.legs,
        "packets": { "from_calling": call.packets_calling, "from_called": call.packets_called },
        "dropped": call.dropped,
        "mirrors": call.mirrors,
    })
}

pub(super) fn call(call: &CallView) -> Value {
    json!({
        "call_id": call.call_id,
        "created": call.created.to_string(),
        "last_signal": call.last_signal.to_string(),
        "metadata": call.metadata,
        "mirrored": call.mirrored,
        "homes": homes(&call.homes),
        "parties": call.parties.iter().map(party).collect::<Vec<Value>>(),
    })
}

fn party(party: &PartyView) -> Value {
    json!({
        "index": party.index,
        "tag": party.tag,
        "via_branch": party.via_branch,
        "label": party.label,
        "created": party.created.to_string(),
        "subscriptions": party.subscriptions,
        "subscribers": party.subscribers,
        "medias": party.medias.iter().map(media).collect::<Vec<Value>>(),
        "closed": { "rtp": closed(&party.closed.rtp), "rtcp": closed(&party.closed.rtcp) },
    })
}

fn media(media: &MediaView) -> Value {
    json!({
        "index": media.index,
        "kind": media.kind,
        "protocol": media.protocol,
        "codec": media.codec,
        "send": media.send,
        "recv": media.recv,
        "rtcp_mux": media.rtcp_mux,
        "streams": media.streams.iter().map(stream).collect::<Vec<Value>>(),
    })
}

fn stream(stream: &StreamView) -> Value {
    json!({
        "stream": stream.stream,
        "kind": stream.kind,
        "local": stream.local,
        "endpoint": stream.endpoint,
        "advertised": stream.advertised,
        "strict": stream.strict,
        "handover": stream.handover,
        "packets_out": stream.packets_out,
        "octets_out": stream.octets_out,
        "in": counters(&stream.counters),
    })
}

fn closed(sum: &Sum) -> Value {
    json!({ "packets": sum.packets, "octets": sum.octets, "drops": by_name(&sum.drops) })
}

/// Drops by reason; only reasons that occurred.
fn by_name(drops: &[u64; DROP_REASONS.len()]) -> Map<String, Value> {
    let named = DROP_REASONS.iter().zip(drops);
    named
        .filter(|(_, number)| **number > 0)
        .map(|(reason, number)| ((*reason).to_owned(), Value::from(*number)))
        .collect()
}

fn counters(counters: &StreamCounters) -> Value {
    json!({
        "packets": counters.packets,
        "octets": counters.octets,
        "rtcp_packets": counters.rtcp_packets,
        "forwarded": counters.forwarded,
        "forwarded_octets": counters.forwarded_octets,
        "mirrored": counters.mirrored,
        "mirror_dropped": counters.mirror_dropped,
        "drops": by_name(&counters.drops),
        "ssrc": counters.ssrc.map(|ssrc| format!("{ssrc:08x}")),
        "ssrc_changes": counters.ssrc_changes,
        "lost": counters.lost,
        "jitter": counters.jitter,
        "last_seq": counters.last_seq,
        "talk_bursts": counters.talk_bursts,
        "last_packet": counters.last_packet.map(|at| at.to_string()),
        "learned": counters.learned,
    })
}
