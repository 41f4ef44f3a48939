//! `homeward logger`: the logger alone, until SIGTERM or SIGINT.

use clap::Args;

use super::{Common, Status, load};
use crate::runtime::logger;

/// Arguments of `homeward logger`.
#[derive(Debug, Args)]
pub(super) struct LoggerArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &LoggerArgs) -> anyhow::Result<Status> {
    let config = match load(args.common.config.as_deref()) {
        Ok(config) => config,
        Err(status) => return Ok(status),
    };
    args.common.start_logging(&config)?;
    logger::run_until_signal(&config, args.common.origin())?;
    Ok(Status::Good)
}
