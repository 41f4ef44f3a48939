//! `homeward run`: the relay, until SIGTERM or SIGINT.

use clap::Args;

use super::{Common, Status, load};
use crate::runtime::relay;
use crate::telemetry;

/// Arguments of `homeward run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Status> {
    let config = match load(args.common.config.as_deref()) {
        Ok(config) => config,
        Err(status) => return Ok(status),
    };
    telemetry::init_logging(&args.common.log, args.common.log_json)?;
    relay::run_until_signal(&config)?;
    Ok(Status::Good)
}
