//! `homeward run`: the relay, until SIGTERM or SIGINT.

use clap::Args;

use super::{Common, Status, load};
use crate::runtime::relay;

/// Arguments of `homeward run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,
    /// Replace the relay that runs on this data directory: its calls go on without losing a packet
    #[arg(long)]
    take_over: bool,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Status> {
    let config = match load(args.common.config.as_deref()) {
        Ok(config) => config,
        Err(status) => return Ok(status),
    };
    args.common.start_logging(&config)?;
    relay::run_until_signal(&config, args.common.origin(), args.take_over)?;
    Ok(Status::Good)
}
