//! The command line: one file a subcommand.
//!
//! Exit status: 0 good, 1 the run failed (or failed its own checks), 2 bad usage or
//! configuration. Results go to standard output, everything else to standard error.

mod calls;
mod check;
mod client;
mod demo;
mod drain;
mod explain;
mod logger;
mod migrations;
mod run;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::client::DoorError;
use crate::config::{self, Config};
use crate::runtime::reload::Origin;
use crate::telemetry::log::{self, Format, LogError};

/// Homeward: a media relay that brings the calls of migrated mission-critical users home.
#[derive(Debug, Parser)]
#[command(name = "homeward", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay, with an embedded logger unless the configuration says otherwise
    Run(run::RunArgs),
    /// Run the logger alone
    Logger(logger::LoggerArgs),
    /// Place calls through a relay and a logger in this process, and check what was stored
    Demo(demo::DemoArgs),
    /// Name every mistake in a configuration file
    Check(check::CheckArgs),
    /// Show the calls of a running relay
    Calls(calls::CallsArgs),
    /// Explain why a call is, or is not, mirrored and heard
    Explain(explain::ExplainArgs),
    /// Show, add and end migrations at a running relay
    Migrations(migrations::MigrationsArgs),
    /// Let a running relay take no new calls, so that it can be ended in peace
    Drain(drain::DrainArgs),
}

/// Where the configuration comes from, and how logs are written.
#[derive(Debug, Args)]
struct Common {
    /// Configuration file (TOML); without one: loopback only, data in ./homeward-data
    #[arg(long, value_name = "FILE", env = "HOMEWARD_CONFIG")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or a filter such as `info,homeward::hook=debug`;
    /// the configuration's log.filter if not given
    #[arg(long, value_name = "FILTER", env = "HOMEWARD_LOG")]
    log: Option<String>,
    /// Write logs as JSON, one object a line
    #[arg(long)]
    log_json: bool,
}

impl Common {
    fn start_logging(&self, config: &Config) -> Result<(), LogError> {
        let filter = self.log.as_ref().unwrap_or(&config.log.filter);
        let format = match self.log_json || config.log.json {
            true => Format::Json,
            false => Format::Text,
        };
        log::init(filter, format)
    }
}

impl Common {
    /// Where the configuration can be read again.
    fn origin(&self) -> Origin {
        Origin {
            file: self.config.clone(),
            own_filter: self.log.is_some(),
            on_hangup: true,
        }
    }
}

/// Parses the command line, runs the command, and gives its exit status.
pub fn main() -> ExitCode {
    let status = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Logger(args) => logger::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Calls(args) => calls::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Migrations(args) => migrations::run(&args),
        Command::Drain(args) => drain::run(&args),
    };
    match status {
        Ok(status) => status.into(),
        Err(error) => {
            say_error(&format!("homeward: {}\n", in_one_line(&error)));
            let filter = matches!(error.downcast_ref(), Some(LogError::Filter(_)));
            let usage = matches!(error.downcast_ref(), Some(DoorError::Usage(_)));
            match filter || usage {
                true => Status::BadUsage.into(),
                false => Status::Failed.into(),
            }
        }
    }
}

/// An error with its causes; many an error has put its cause into its own text already.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.replace('\n', " ")
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Good,
    Failed,
    BadUsage,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Good => 0,
            Status::Failed => 1,
            Status::BadUsage => 2,
        })
    }
}

/// Reads the configuration; if it has mistakes, all of them are printed.
fn load(path: Option<&Path>) -> Result<Config, Status> {
    let Some(path) = path else {
        return Ok(Config::default());
    };
    config::load(path).map_err(|error| {
        say_error(&format!("{error}\n"));
        Status::BadUsage
    })
}

/// Standard output that went away (`| head`) is no reason to panic.
fn say(text: &str) {
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}

fn say_error(text: &str) {
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}
