//! An explanation as JSON: sentences for people first, the facts for programs beside them.

use serde_json::{Map, Value, json};

use super::homes::{homes, sentence};
use crate::migration::agreement::Mode;
use crate::migration::decision::{Decision, LegRole, MirrorRule, Outcome};
use crate::migration::identity::McId;
use crate::session::host::Preroll;
use crate::session::recording::Switch;
use crate::session::reply::{Explanation, LegExplanation, MirrorExplanation, Recording};

pub(super) fn explanation(explanation: &Explanation) -> Value {
    json!({
        "call_id": explanation.call_id,
        "summary": summary(explanation),
        "as_of": explanation.as_of.to_string(),
        "state": explanation.state,
        "one_way": explanation.one_way,
        "created": explanation.created.to_string(),
        "answered": explanation.answered.map(|answered| answered.to_string()),
        "ended": explanation.ended.map(|ended| ended.to_string()),
        "end": explanation.end,
        "context": explanation.context,
        "legs": explanation.legs.iter().map(leg).collect::<Vec<Value>>(),
        "mirrors": explanation.mirrors.iter().map(mirror).collect::<Vec<Value>>(),
        "homes": homes(&explanation.homes),
        "recordings": explanation.recordings,
    })
}

/// The whole call in one sentence.
fn summary(explanation: &Explanation) -> String {
    let mut homes: Vec<String> = explanation.homes.iter().map(sentence).collect();
    homes.extend(explanation.mirrors.iter().map(home));
    homes.extend(explanation.recordings.iter().filter_map(switched));
    if !homes.is_empty() {
        return homes.join("; ");
    }
    if explanation.context.is_empty() {
        return "undecided: signalling has told nothing about who takes part; send the mc-* keys \
                with offer or answer, or PUT .../context"
            .to_owned();
    }
    let due = |leg: &&LegExplanation| leg.decision.rule().is_some();
    match explanation.legs.iter().find(due) {
        Some(leg) => format!("not mirrored yet: {}", decision(&leg.decision)),
        None => "not mirrored: no leg belongs to a migrated user whose media goes home; see legs"
            .to_owned(),
    }
}

/// What signalling has done with a mirror, if anything.
fn switched(recording: &Recording) -> Option<String> {
    let system = &recording.primary_system;
    match recording.switch {
        Switch::On => None,
        Switch::Paused => Some(format!("paused for {system} by signalling")),
        Switch::Stopped => Some(format!("stopped for {system} by signalling")),
    }
}

fn home(mirror: &MirrorExplanation) -> String {
    let now: u64 = mirror.streams.iter().map(|stream| stream.packets).sum();
    let lost: u64 = mirror.streams.iter().map(|stream| stream.dropped).sum();
    let packets = now + mirror.detached.packets;
    let dropped = lost + mirror.detached.dropped;
    let system = &mirror.primary_system;
    let Some(logger) = &mirror.logger else {
        return format!("not mirrored for {system}: no logger took it");
    };
    let lost = match dropped {
        0 => String::new(),
        dropped => format!(", {dropped} copies could not be sent"),
    };
    format!("mirrored to {system} (logger {logger}): {packets} packets copied{lost}")
}

fn leg(leg: &LegExplanation) -> Value {
    let role = match leg.role {
        LegRole::Calling => "calling",
        LegRole::Called => "called",
    };
    let drops: Map<String, Value> = leg
        .drops
        .iter()
        .map(|(reason, number)| (reason.clone(), Value::from(*number)))
        .collect();
    let dropped: u64 = leg.drops.iter().map(|(_, number)| number).sum();
    let media = match (leg.packets, dropped) {
        (0, 0) => "no packet came in".to_owned(),
        (taken, 0) => format!("{taken} packets taken, none dropped"),
        (taken, _) => {
            let list = leg.drops.iter();
            let list: Vec<String> = list
                .map(|(why, number)| format!("{number} {why}"))
                .collect();
            format!("{taken} packets taken, dropped: {}", list.join(", "))
        }
    };
    let mut shown = json!({
        "tag": leg.tag,
        "role": role,
        "why": decision(&leg.decision),
        "media": format!("{media}{}", kept(leg.preroll)),
        "decided": leg.decided.to_string(),
        "decision": leg.decision,
        "packets": leg.packets,
        "packets_out": leg.packets_out,
        "lost": leg.lost,
        "last_packet": leg.last_packet.map(|at| at.to_string()),
        "drops": drops,
    });
    if !leg.preroll.is_empty() {
        shown["preroll"] = json!(leg.preroll);
    }
    shown
}

/// What became of the packets that came before the decision, as part of a sentence.
fn kept(preroll: Preroll) -> String {
    let parts = [
        (preroll.kept, "kept for a late decision"),
        (preroll.sent, "sent after a late decision"),
        (preroll.evicted, "given up before a decision"),
    ];
    let told = parts.iter().filter(|(number, _)| *number > 0);
    told.map(|(number, what)| format!("; {number} {what}"))
        .collect()
}

/// A decision as a sentence.
fn decision(decision: &Decision) -> String {
    let name = decision.looked_up.as_ref().map_or("nobody", McId::as_str);
    match &decision.outcome {
        Outcome::Undecided => "undecided: signalling has told nothing about this call".to_owned(),
        Outcome::None { reason } => {
            let who = match &decision.looked_up {
                Some(_) => format!("{name} is not mirrored"),
                None => "not mirrored".to_owned(),
            };
            match &decision.failure {
                Some(why) => format!("{who}: {} ({why})", reason.text()),
                None => format!("{who}: {}", reason.text()),
            }
        }
        Outcome::Mirror(rule) => format!(
            "{name} is {} of {}, migrated to here as {} (migration {}, {}){}; the agreement {}",
            rule.primary_id,
            rule.primary_system,
            rule.partner_id,
            rule.record.0,
            rule.service,
            match &rule.failed {
                Some(why) => format!(", which failed ({why}), and is served all the same"),
                None => String::new(),
            },
            way(rule)
        ),
    }
}

/// How media goes home.
fn way(rule: &MirrorRule) -> String {
    let loggers = rule.loggers.join(", else ");
    match rule.mode {
        Mode::Duplicate => format!("sends its media to {loggers}"),
        Mode::Redirect => {
            let anchors = rule.anchors.join(", else ");
            let rest = match loggers.as_str() {
                "" => "is not recorded".to_owned(),
                _ => format!("is copied to {loggers}"),
            };
            format!("leads its media through {anchors}; what goes straight {rest}")
        }
    }
}

fn mirror(mirror: &MirrorExplanation) -> Value {
    json!({
        "mirror": mirror.mirror,
        "primary_system": mirror.primary_system,
        "logger": mirror.logger,
        "note": mirror.note,
        "streams": mirror.streams,
        "detached": mirror.detached,
    })
}
