//! `homeward-load`: plays calls through a media relay that speaks the NG protocol, and checks
//! them.
//!
//! A thin command line over [`homeward::traffic`]. Exit status: 0 good, 1 the run failed or its
//! checks did, 2 bad usage.

mod args;
mod calls;
mod print;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let outcome = match command {
        Command::Calls(args) => calls::run(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            print::error(&error);
            ExitCode::from(if error.is::<calls::BadUsage>() {
                BAD_USAGE
            } else {
                FAILED
            })
        }
    }
}

const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;
