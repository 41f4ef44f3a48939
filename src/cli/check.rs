//! `homeward check FILE`: every mistake in a configuration, each with its key, at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Status, print_mistakes, say};
use crate::config;

/// Arguments of `homeward check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration file
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Status> {
    let mistakes = config::load(&args.file).err().unwrap_or_default();
    if args.json {
        let texts: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        let file = args.file.display().to_string();
        say(&format!("{}\n", json!({ "file": file, "good": texts.is_empty(), "mistakes": texts })));
    } else if mistakes.is_empty() {
        say(&format!("{}: good\n", args.file.display()));
    } else {
        print_mistakes(&args.file, &mistakes);
    }
    Ok(if mistakes.is_empty() { Status::Good } else { Status::BadUsage })
}
