//! `homeward calls`: what a running relay carries.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Door, DoorArgs};
use super::table::{Table, span};
use super::{Status, say};
use crate::hook::http::moment::moment;

/// Arguments of `homeward calls`.
#[derive(Debug, Args)]
pub(super) struct CallsArgs {
    #[command(flatten)]
    door: DoorArgs,
    /// Show the calls again every SECONDS (2), until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    watch: Option<u64>,
}

/// A page of calls, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Page {
    as_of: Value,
    calls: Vec<Call>,
}

/// A call in one line.
#[derive(Debug, Deserialize)]
struct Call {
    call_id: String,
    created: Value,
    state: String,
    one_way: bool,
    calling_id: Option<String>,
    called_id: Option<String>,
    group_id: Option<String>,
    emergency: bool,
    legs: u64,
    packets: Packets,
    dropped: u64,
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Deserialize)]
struct Packets {
    from_calling: u64,
    from_called: u64,
}

#[derive(Debug, Deserialize)]
struct Mirror {
    primary_system: String,
    logger: Option<String>,
}

pub(super) fn run(args: &CallsArgs) -> Result<Status> {
    let Some(secs) = args.watch else {
        let mut door = args.door.open()?;
        say(&shown(&mut door, args.door.json)?);
        return Ok(Status::Good);
    };
    loop {
        // A door ends old connections.
        let mut door = args.door.open()?;
        let text = shown(&mut door, args.door.json)?;
        let clear = std::io::stdout().is_terminal() && !args.door.json;
        say(if clear { "\u{1b}[H\u{1b}[2J" } else { "" });
        say(&text);
        door.pause(Duration::from_secs(secs));
    }
}

/// All calls, from as many pages as there are.
fn shown(door: &mut Door, as_json: bool) -> Result<String> {
    let mut table = Table::new(&HEADING, &[2, 3, 4, 5, 6]);
    let (mut all, mut number) = (Vec::new(), 0_usize);
    let mut path = format!("/v1/calls?limit={PAGE}");
    loop {
        let mut answer = door.ask("GET", &path, None)?;
        let next = answer.get("next").and_then(Value::as_u64);
        if as_json {
            if let Some(Value::Array(calls)) = answer.get_mut("calls") {
                all.append(calls);
            }
        } else {
            let page: Page = door.read(answer)?;
            number += page.calls.len();
            page.calls
                .iter()
                .for_each(|call| row(&mut table, call, &page.as_of));
        }
        match next {
            Some(next) => path = format!("/v1/calls?limit={PAGE}&after={next}"),
            None => break,
        }
    }
    Ok(match (as_json, number) {
        (true, _) => format!("{}\n", json!({ "calls": all, "next": null })),
        (false, 0) => "no calls\n".to_owned(),
        (false, 1) => format!("{}1 call\n", table.text("")),
        (false, number) => format!("{}{number} calls\n", table.text("")),
    })
}

fn row(table: &mut Table, call: &Call, as_of: &Value) {
    let age = match (moment(as_of), moment(&call.created)) {
        (Ok(now), Ok(created)) => span(now.since(created).as_secs()),
        _ => "?".to_owned(),
    };
    let state = if call.one_way { "one-way" } else { &call.state };
    let mirrors: Vec<String> = call.mirrors.iter().map(to).collect();
    let mirrors = match mirrors.is_empty() {
        true => "-".to_owned(),
        false => mirrors.join(", "),
    };
    table.row(&[
        &call.call_id,
        state,
        &age,
        &call.legs.to_string(),
        &call.packets.from_calling.to_string(),
        &call.packets.from_called.to_string(),
        &call.dropped.to_string(),
        &mirrors,
        &who(call),
    ]);
}

fn to(mirror: &Mirror) -> String {
    match &mirror.logger {
        Some(logger) => logger.clone(),
        None => format!("no logger for {}", mirror.primary_system),
    }
}

fn who(call: &Call) -> String {
    let nobody = "?".to_owned();
    let to = call.group_id.as_ref().or(call.called_id.as_ref());
    let who = match (&call.calling_id, to) {
        (None, None) => return "not told".to_owned(),
        (from, to) => format!(
            "{} -> {}",
            from.as_ref().unwrap_or(&nobody),
            to.unwrap_or(&nobody)
        ),
    };
    match call.emergency {
        true => format!("{who} EMERGENCY"),
        false => who,
    }
}

const HEADING: [&str; 9] = [
    "CALL",
    "STATE",
    "AGE",
    "LEGS",
    "FROM CALLING",
    "FROM CALLED",
    "DROPPED",
    "MIRRORED TO",
    "WHO",
];
/// What a relay gives at most.
const PAGE: u64 = 500;
