//! `homeward-load calls`.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use homeward::traffic::recordings::{self, Found};
use homeward::traffic::{self, Mode, Plan, PlanError, RunError};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Calls;
use crate::print;

/// The command line asks for what cannot be.
#[derive(Debug)]
pub(crate) struct BadUsage(RunError);

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        if matches!(
            self.0,
            RunError::Plan(PlanError::Remote(_)) | RunError::Remote { .. }
        ) {
            f.write_str(" (--allow-remote permits it)")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadUsage {}

/// Runs it; whether all was good.
pub(crate) fn run(args: &Calls) -> anyhow::Result<bool> {
    let plan = plan(args);
    let bar = print::Bar::new(args.json);
    let stop = stop_on_interrupt()?;
    let report = traffic::run(&plan, &mut |progress| bar.show(progress), &stop);
    bar.clear();
    let report = report.map_err(usage)?;
    let found = match &args.recordings {
        None => None,
        Some(dir) => {
            let wait = Duration::from_secs(args.recordings_wait);
            Some(recordings::check(dir, &report.expected, wait)?)
        }
    };
    if args.json {
        print::json(&report, found.as_ref())?;
    } else {
        print::text(&report, found.as_ref())?;
    }
    Ok(report.passed() && found.as_ref().is_none_or(Found::passed))
}

/// Set by the first interrupt from the keyboard: the calls are ended and reported on.
fn stop_on_interrupt() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let mut interrupts = {
        let _context = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let flag = Arc::clone(&stop);
    let wait = move || {
        runtime.block_on(interrupts.recv());
        flag.store(true, Ordering::Relaxed);
    };
    // Ends with the process.
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(wait)?;
    Ok(stop)
}

fn usage(error: RunError) -> anyhow::Error {
    match error {
        RunError::Plan(_) | RunError::Wav(_) | RunError::Remote { .. } => BadUsage(error).into(),
        RunError::Ng { .. } | RunError::Sdp { .. } | RunError::Io { .. } => error.into(),
    }
}

fn plan(args: &Calls) -> Plan {
    let mut plan = Plan::new(args.ng);
    plan.calls = args.calls;
    plan.seconds = args.seconds;
    plan.rate = args.rate;
    plan.codec = args.codec.clone();
    plan.mode = if args.ptt {
        Mode::PushToTalk
    } else {
        Mode::FullDuplex
    };
    plan.caller_ip = args.caller_ip.unwrap_or(plan.caller_ip);
    plan.callee_ip = args.callee_ip.unwrap_or(plan.caller_ip);
    plan.ports = args.ports.0..=args.ports.1;
    plan.direction.clone_from(&args.direction);
    plan.flags.clone_from(&args.flags);
    if let Some(id) = &args.context {
        let pairs = [
            ("mc-service", "mcptt"),
            ("mc-session-type", "private"),
            ("mc-calling-id", id),
        ];
        let own = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        plan.keys.extend(own);
    }
    plan.keys.extend(args.keys.iter().cloned());
    plan.call_id_prefix = match &args.call_id_prefix {
        Some(prefix) => prefix.clone(),
        None => format!("load-{}-", std::process::id()),
    };
    plan.seed = args.seed;
    plan.rtcp = args.rtcp;
    plan.allow_remote = args.allow_remote;
    plan
}
