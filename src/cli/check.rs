//! `homeward check FILE`: every mistake in a configuration, each with its key, at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Status, say, say_error};
use crate::config::{self, LoadError};

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
    let error = config::load(&args.file).err();
    if args.json {
        let texts: Vec<String> = match &error {
            None => Vec::new(),
            Some(LoadError::Mistakes { mistakes, .. }) => {
                mistakes.iter().map(ToString::to_string).collect()
            }
            Some(unreadable) => vec![unreadable.to_string()],
        };
        let file = args.file.display().to_string();
        let object = json!({ "file": file, "good": error.is_none(), "mistakes": texts });
        say(&format!("{object}\n"));
    } else if let Some(error) = &error {
        say_error(&format!("{error}\n"));
    } else {
        say(&format!("{}: good\n", args.file.display()));
    }
    Ok(if error.is_none() {
        Status::Good
    } else {
        Status::BadUsage
    })
}
