//! `homeward drain`: no new calls, those that are up end in peace.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Door, DoorArgs};
use super::{Status, say, say_error};

/// Arguments of `homeward drain`.
#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    door: DoorArgs,
    /// Wait until the last call has ended, and show how many are left
    #[arg(long)]
    wait: bool,
    /// Let the relay end itself after the last call
    #[arg(long)]
    exit: bool,
    /// Take calls again
    #[arg(long, conflicts_with_all = ["wait", "exit", "status"])]
    undo: bool,
    /// Change nothing, only show whether the relay drains
    #[arg(long, conflicts_with = "exit")]
    status: bool,
}

/// How far a relay is.
#[derive(Debug, Deserialize)]
struct State {
    draining: bool,
    since: Option<String>,
    exit_when_empty: bool,
    calls: u64,
}

pub(super) fn run(args: &DrainArgs) -> Result<Status> {
    let mut door = args.door.open()?;
    let path = "/v1/drain";
    let answer = if args.undo {
        door.ask("DELETE", path, None)?
    } else if args.status {
        door.ask("GET", path, None)?
    } else {
        let wish = json!({ "exit_when_empty": args.exit });
        door.ask("POST", path, Some(&wish))?
    };
    let state: State = door.read(answer.clone())?;
    if args.wait && state.draining {
        return wait(args, door, state, answer);
    }
    print(args, &state, &answer);
    Ok(Status::Good)
}

fn print(args: &DrainArgs, state: &State, answer: &Value) {
    match args.door.json {
        true => say(&format!("{answer}\n")),
        false => say(&format!("{}\n", sentence(state))),
    }
}

fn sentence(state: &State) -> String {
    let calls = calls(state.calls);
    let Some(since) = state.since.as_ref().filter(|_| state.draining) else {
        return format!("not draining: new calls are taken; {calls} up");
    };
    let end = match state.exit_when_empty {
        true => "the relay ends after the last one",
        false => "homeward drain --undo takes new calls again",
    };
    format!("draining since {since}: {calls} left; {end}")
}

fn calls(number: u64) -> String {
    match number {
        1 => "1 call".to_owned(),
        number => format!("{number} calls"),
    }
}

/// Asks again and again until no call is left, or the relay has ended as it was asked to.
fn wait(args: &DrainArgs, mut door: Door, mut state: State, mut answer: Value) -> Result<Status> {
    let progress = Progress::new(args.door.json, &state);
    while state.calls > 0 {
        door.pause(EVERY);
        // A door ends old connections; each question has one of its own.
        let asked = args.door.open().and_then(|mut fresh| {
            let answer = fresh.ask("GET", "/v1/drain", None)?;
            Ok((fresh, answer))
        });
        match asked {
            Ok((fresh, news)) => {
                state = fresh.read(news.clone())?;
                (door, answer) = (fresh, news);
            }
            Err(_) if state.exit_when_empty => {
                progress.end();
                if !args.door.json {
                    say("the relay has ended\n");
                }
                return Ok(Status::Good);
            }
            Err(error) => return Err(error),
        }
        if !state.draining {
            progress.end();
            bail!(
                "draining was undone: the relay takes new calls; {} up",
                calls(state.calls)
            );
        }
        progress.show(&state);
    }
    progress.end();
    match args.door.json {
        true => say(&format!("{answer}\n")),
        false => say("drained: no calls are left\n"),
    }
    Ok(Status::Good)
}

/// Shows how many calls are left: a bar on a terminal, a line for each news elsewhere.
struct Progress {
    bar: ProgressBar,
    silent: bool,
    lines: bool,
    last: std::cell::Cell<u64>,
}

impl Progress {
    fn new(silent: bool, state: &State) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = match terminal && !silent {
            true => ProgressBar::new(state.calls),
            false => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("{bar:40} {msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let progress = Self {
            bar,
            silent,
            lines: !terminal,
            last: std::cell::Cell::new(u64::MAX),
        };
        progress.show(state);
        progress
    }

    fn show(&self, state: &State) {
        let left = format!("{} left", calls(state.calls));
        let total = self.bar.length().unwrap_or(0);
        self.bar.set_position(total.saturating_sub(state.calls));
        self.bar.set_message(left.clone());
        if self.lines && !self.silent && self.last.replace(state.calls) != state.calls {
            say_error(&format!("{left}\n"));
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

const EVERY: Duration = Duration::from_millis(500);
