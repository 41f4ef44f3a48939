//! `homeward explain CALL`: all that tells why a call is, or is not, mirrored and heard.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::{DoorArgs, encoded};
use super::table::{Table, printable, span};
use super::{Status, say};
use crate::hook::http::moment::moment;

/// Arguments of `homeward explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    door: DoorArgs,
    /// The call's call-id, as `homeward calls` shows it; also of a call that ended lately
    #[arg(value_name = "CALL")]
    call: String,
}

/// An explanation, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Explanation {
    call_id: String,
    summary: String,
    as_of: Value,
    state: String,
    one_way: bool,
    created: Value,
    answered: Value,
    ended: Value,
    end: Option<String>,
    context: Map<String, Value>,
    legs: Vec<Leg>,
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Deserialize)]
struct Leg {
    tag: Option<String>,
    role: String,
    why: String,
    decided: String,
    decision: Decision,
    packets: u64,
    packets_out: u64,
    lost: i64,
    last_packet: Value,
    drops: Map<String, Value>,
    #[serde(default)]
    preroll: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Decision {
    looked_up: Option<String>,
    outcome: Outcome,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outcome {
    outcome: String,
    reason: Option<String>,
    mode: String,
    media: Vec<String>,
    loggers: Vec<String>,
    anchors: Vec<String>,
    mandatory: bool,
    on_logger_loss: String,
}

#[derive(Debug, Deserialize)]
struct Mirror {
    primary_system: String,
    logger: Option<String>,
    note: String,
    streams: Vec<Stream>,
    detached: Copies,
}

#[derive(Debug, Deserialize)]
struct Stream {
    stream: u64,
    media: String,
    kind: String,
    packets: u64,
    dropped: u64,
}

#[derive(Debug, Deserialize)]
struct Copies {
    packets: u64,
    dropped: u64,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Status> {
    let mut door = args.door.open()?;
    let path = format!("/v1/calls/{}/explain", encoded(&args.call));
    let answer = door.ask("GET", &path, None)?;
    if args.door.json {
        say(&format!("{answer}\n"));
        return Ok(Status::Good);
    }
    say(&text(&door.read(answer)?));
    Ok(Status::Good)
}

/// The whole page: what is wrong first, then each leg, then each mirror.
fn text(call: &Explanation) -> String {
    let mut page = String::new();
    line(&mut page, 0, &format!("call {}", call.call_id));
    line(&mut page, 2, &life(call));
    line(&mut page, 2, &context(&call.context));
    line(&mut page, 2, &call.summary);
    for warning in warnings(call) {
        line(&mut page, 0, &format!("! {warning}"));
    }
    for leg in &call.legs {
        page.push('\n');
        one_leg(&mut page, call, leg);
    }
    for mirror in &call.mirrors {
        page.push('\n');
        one_mirror(&mut page, mirror);
    }
    page
}

fn line(page: &mut String, indent: usize, text: &str) {
    let _ = writeln!(page, "{:indent$}{}", "", printable(text));
}

fn life(call: &Explanation) -> String {
    let time = |at: &Value| at.as_str().map(str::to_owned);
    let lasted = between(&call.created, &call.as_of).unwrap_or_default();
    let created = time(&call.created).unwrap_or_default();
    let answered = match time(&call.answered) {
        Some(answered) => format!(", answered {answered}"),
        None => ", never answered".to_owned(),
    };
    match (time(&call.ended), &call.end) {
        (Some(ended), Some(why)) => {
            format!("ended {ended} ({why}) after {lasted}; offered {created}{answered}")
        }
        (Some(ended), None) => format!("ended {ended} after {lasted}; offered {created}{answered}"),
        (None, _) => format!("{} for {lasted}; offered {created}{answered}", call.state),
    }
}

/// The time from one moment to a later one.
fn between(from: &Value, to: &Value) -> Option<String> {
    let (from, to) = (moment(from).ok()?, moment(to).ok()?);
    Some(span(to.since(from).as_secs()))
}

fn context(context: &Map<String, Value>) -> String {
    let given = |key: &str| context.get(key).and_then(Value::as_str);
    let mut words = Vec::new();
    words.extend(given("service"));
    words.extend(given("session_type"));
    let emergency = context.get("emergency") == Some(&Value::Bool(true));
    words.extend(emergency.then_some("EMERGENCY"));
    let mut said = words.join(" ");
    for (key, word) in [
        ("calling_id", "from"),
        ("called_id", "to"),
        ("group_id", "group"),
        ("functional_alias", "as"),
    ] {
        if let Some(id) = given(key) {
            let _ = write!(said, " {word} {id}");
        }
    }
    match said.trim() {
        "" => "signalling told nothing about it".to_owned(),
        said => format!("signalling told: {said}"),
    }
}

/// What somebody who was woken up should see first.
fn warnings(call: &Explanation) -> Vec<String> {
    let mut found = Vec::new();
    let silent: Vec<&Leg> = call.legs.iter().filter(|leg| leg.packets == 0).collect();
    if call.one_way {
        let who: Vec<String> = silent.iter().map(|leg| name(leg)).collect();
        found.push(format!(
            "one-way: nothing was taken from {}",
            who.join(", nor from ")
        ));
    } else if silent.len() == call.legs.len() && call.answered.is_string() {
        found.push("no packet was taken from any leg".to_owned());
    }
    for mirror in &call.mirrors {
        if mirror.logger.is_none() {
            let system = &mirror.primary_system;
            found.push(format!("no logger takes the mirror for {system}"));
        }
        let lost: u64 = mirror.streams.iter().map(|s| s.dropped).sum();
        let lost = lost + mirror.detached.dropped;
        if lost > 0 {
            let system = &mirror.primary_system;
            found.push(format!("{lost} copies for {system} could not be sent"));
        }
    }
    for leg in &call.legs {
        let dropped: u64 = leg.drops.values().filter_map(Value::as_u64).sum();
        if dropped > leg.packets {
            let who = name(leg);
            found.push(format!(
                "more packets of {who} were dropped ({dropped}) than taken ({})",
                leg.packets
            ));
        }
    }
    found
}

fn name(leg: &Leg) -> String {
    match &leg.decision.looked_up {
        Some(id) => format!("the {} party {id}", leg.role),
        None => format!("the {} party", leg.role),
    }
}

fn one_leg(page: &mut String, call: &Explanation, leg: &Leg) {
    let who = leg.decision.looked_up.as_deref().unwrap_or("not named");
    let tag = leg.tag.as_deref().unwrap_or("-");
    line(page, 0, &format!("{} leg: {who} (tag {tag})", leg.role));
    let outcome = &leg.decision.outcome;
    let migrated = match (outcome.outcome.as_str(), &outcome.reason) {
        ("mirror", _) => "yes".to_owned(),
        ("undecided", _) => "not known".to_owned(),
        (_, Some(reason)) => format!("no ({reason})"),
        (_, None) => "no".to_owned(),
    };
    entry(page, "mirrored", &migrated);
    entry(page, "why", &leg.why);
    if outcome.outcome == "mirror" {
        entry(page, "rule", &rule(outcome));
    }
    entry(page, "decided", &leg.decided);
    entry(page, "packets", &packets(call, leg));
    let drops: Vec<String> = leg
        .drops
        .iter()
        .map(|(reason, number)| format!("{number} {reason}"))
        .collect();
    let drops = match drops.is_empty() {
        true => "none".to_owned(),
        false => drops.join(", "),
    };
    entry(page, "dropped", &drops);
    if !leg.preroll.is_empty() {
        let parts = leg.preroll.iter();
        let parts: Vec<String> = parts
            .map(|(what, number)| format!("{number} {what}"))
            .collect();
        entry(page, "pre-roll", &parts.join(", "));
    }
}

fn entry(page: &mut String, key: &str, text: &str) {
    line(page, 2, &format!("{key:<9} {text}"));
}

fn rule(outcome: &Outcome) -> String {
    let list = |names: &[String]| names.join(", else ");
    let mut rule = format!("{} {}", outcome.mode, outcome.media.join(", "));
    if outcome.mode == "redirect" {
        let _ = write!(rule, " through {}", list(&outcome.anchors));
    }
    let _ = write!(rule, " to {}", list(&outcome.loggers));
    if outcome.mandatory {
        rule.push_str("; mandatory");
    }
    let _ = write!(rule, "; without a logger: {}", outcome.on_logger_loss);
    rule
}

fn packets(call: &Explanation, leg: &Leg) -> String {
    let (taken, out) = (leg.packets, leg.packets_out);
    let mut text = format!("{taken} in, {out} out");
    if leg.lost != 0 {
        let _ = write!(text, ", {} lost before they came here", leg.lost);
    }
    match between(&leg.last_packet, &call.as_of) {
        Some(ago) => {
            let _ = write!(text, "; the last one came {ago} ago");
        }
        None => text.push_str("; nothing came"),
    }
    text
}

fn one_mirror(page: &mut String, mirror: &Mirror) {
    let logger = mirror.logger.as_deref().unwrap_or("no logger");
    let system = &mirror.primary_system;
    line(page, 0, &format!("mirror to {system}: {logger}"));
    entry(page, "why", &mirror.note);
    let Copies { packets, dropped } = mirror.detached;
    if mirror.streams.is_empty() {
        entry(page, "streams", "none now");
    } else {
        let mut table = Table::new(
            &["STREAM", "MEDIA", "KIND", "COPIED", "NOT SENT"],
            &[0, 3, 4],
        );
        for stream in &mirror.streams {
            table.row(&[
                &stream.stream.to_string(),
                &stream.media,
                &stream.kind,
                &stream.packets.to_string(),
                &stream.dropped.to_string(),
            ]);
        }
        page.push_str(&table.text("  "));
    }
    if packets + dropped > 0 {
        let past = format!("{packets} copied, {dropped} not sent, of streams that have ended");
        entry(page, "before", &past);
    }
}
