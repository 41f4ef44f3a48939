//! Home legs of a call as JSON: how they stand, in a sentence and in figures.

use serde_json::{Map, Value, json};

use crate::session::reply::{HomeExplanation, HomeState, LaneExplanation};

/// All home legs of a call.
pub(super) fn homes(homes: &[HomeExplanation]) -> Vec<Value> {
    homes.iter().map(home).collect()
}

/// How one stands, in a sentence.
pub(super) fn sentence(home: &HomeExplanation) -> String {
    let system = &home.primary_system;
    let anchor = home.anchor.as_deref().unwrap_or("none");
    let state = match home.state {
        HomeState::Idle => format!("to go through {system} as soon as both ends are known"),
        HomeState::Pending => format!("to go through {system}: anchor {anchor} is being asked"),
        HomeState::Up => {
            let (sent, returned, lost) = (home.sent, home.returned, home.lost);
            format!(
                "through {system} (anchor {anchor}): {sent} packets sent there, {returned} came \
                 back, {lost} did not"
            )
        }
        HomeState::Failed => {
            let reason = home.reason.as_deref().unwrap_or("no reason given");
            format!("not through {system}: {reason}; it is tried again")
        }
    };
    match home.note.as_str() {
        "" => state,
        note => format!("{state}; {note}"),
    }
}

fn home(home: &HomeExplanation) -> Value {
    json!({
        "home": home.home,
        "primary_system": home.primary_system,
        "anchors": home.anchors,
        "anchor": home.anchor,
        "state": home.state,
        "since": home.since.to_string(),
        "reason": home.reason,
        "next_try": home.next_try.map(|at| at.to_string()),
        "note": home.note,
        "bypasses": home.bypasses,
        "returns": home.returns,
        "unanswered": home.unanswered,
        "packets": {
            "sent": home.sent,
            "returned": home.returned,
            "lost": home.lost,
            "dropped": home.dropped,
        },
        "lanes": home.lanes.iter().map(lane).collect::<Vec<Value>>(),
    })
}

fn lane(lane: &LaneExplanation) -> Value {
    let drops = lane.drops.iter();
    let drops: Map<String, Value> = drops
        .map(|(reason, number)| (reason.clone(), Value::from(*number)))
        .collect();
    json!({
        "label": lane.label,
        "media": lane.media,
        "direction": lane.direction,
        "state": lane.state,
        "streams": lane.streams,
        "local": lane.local,
        "remote": lane.remote,
        "packets": { "sent": lane.sent, "returned": lane.returned, "lost": lane.lost },
        "drops": drops,
    })
}
