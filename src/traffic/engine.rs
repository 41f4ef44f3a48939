//! A run: places the calls, lets two threads play and check them, ends them, and reports.
//!
//! The calling thread speaks NG, one request at a time; one thread sends for all parties and one
//! receives. Calls begin as they are set up, and each is deleted when its packets have arrived
//! or nothing came for a second.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::call::{self, Call};
use super::control::Controller;
use super::media::{Media, WavError};
use super::ng::NgError;
use super::plan::{Plan, PlanError};
use super::receiver::Receiver;
use super::report::Report;
use super::sdp::SdpError;
use super::{sender, summary};
use crate::sys::clock::Clock;
use crate::sys::rlimit;

/// How far a run has come; given to the progress callback ten times a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Calls that are set up.
    pub placed: u32,
    /// Calls that have ended.
    pub ended: u32,
    /// Calls of the plan.
    pub calls: u32,
    /// RTP packets sent so far.
    pub sent: u64,
    /// RTP packets that arrived so far.
    pub arrived: u64,
    /// RTP packets that the plan will have sent at its end.
    pub planned: u64,
    /// Since the start of the run.
    pub elapsed: Duration,
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan is not good.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The sound cannot be played.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// The relay's daemon refused or did not answer.
    #[error("call {call_id}: {command}: {source}")]
    Ng {
        /// The call that hit it.
        call_id: String,
        /// The NG command.
        command: &'static str,
        /// What happened.
        source: NgError,
    },
    /// The relay's description cannot be used.
    #[error("call {call_id}: {command}: {source}")]
    Sdp {
        /// The call that hit it.
        call_id: String,
        /// The NG command.
        command: &'static str,
        /// What is wrong with it.
        source: SdpError,
    },
    /// The relay told a party to send to an address that is not permitted.
    #[error("call {call_id}: {command}: media would go to {address}, which is not on this host")]
    Remote {
        /// The call that hit it.
        call_id: String,
        /// The NG command.
        command: &'static str,
        /// The address.
        address: IpAddr,
    },
    /// Sockets or threads of this host.
    #[error("{what}: {source}")]
    Io {
        /// What could not be done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl RunError {
    /// For `map_err`: an error of this host while doing `what`.
    pub(super) const fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// Plays and checks the calls of a plan. `progress` is called on the calling thread; `stop` ends
/// the run early, in order, with a report.
///
/// # Errors
///
/// [`RunError`]: the plan cannot be run, or the daemon refused a request; then the calls that
/// stand are deleted first. Lost or altered packets are not errors but part of the report.
pub fn run(
    plan: &Plan,
    progress: &mut dyn FnMut(&Progress),
    stop: &AtomicBool,
) -> Result<Report, RunError> {
    plan.check()?;
    let media = Arc::new(Media::new(plan)?);
    let sockets = u64::from(plan.calls) * 2 * plan.sockets_per_party();
    rlimit::raise_nofile(sockets + SPARE_DESCRIPTORS).map_err(RunError::io("descriptor limit"))?;
    let calls = call::open(plan, &media).map_err(RunError::io("ports of the parties"))?;

    let epoch = Clock::monotonic();
    let receiver = Receiver::new(&calls, epoch).map_err(RunError::io("watching the sockets"))?;
    let mut controller = Controller::new(plan, &calls, epoch).map_err(RunError::io("NG socket"))?;
    let (halt, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let sending = start(scope, "load-send", || sender::run(&calls, epoch, &halt))?;
        let receiving = start(scope, "load-receive", || receiver.run(&done));
        let outcome = match &receiving {
            Ok(_) => controller.run(progress, stop, &halt),
            Err(_) => Ok(()),
        };
        // Whatever happened: both threads end, and so do the calls.
        halt.store(true, Ordering::Release);
        sending.thread().unpark();
        join(sending)?;
        controller.end_calls();
        done.store(true, Ordering::Release);
        let received = join(receiving?)?.map_err(RunError::io("receiving"))?;
        outcome?;
        Ok(summary::report(plan, &calls, &received, controller))
    })
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>, RunError> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder
        .spawn_scoped(scope, body)
        .map_err(RunError::io("thread"))
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T, RunError> {
    let gone = |_| RunError::io("thread")(io::Error::other("it panicked"));
    thread.join().map_err(gone)
}

/// Sums over all calls, cheap enough for a progress bar.
pub(super) fn totals(calls: &[Call]) -> (u64, u64) {
    let sum = |of: fn(&call::Party) -> &AtomicU32| {
        let parties = calls.iter().flat_map(|call| &call.parties);
        parties
            .map(|party| u64::from(of(party).load(Ordering::Relaxed)))
            .sum()
    };
    (sum(|party| &party.sent), sum(|party| &party.arrived))
}

const SPARE_DESCRIPTORS: u64 = 64;
