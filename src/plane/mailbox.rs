//! What control and one worker share: the command queue with its eventfd, and a place for the
//! exchange of latency histograms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, io};

use crossbeam::queue::ArrayQueue;

use super::command::Command;
use super::latency::{Latencies, Request};
use crate::sys::clock::Clock;
use crate::sys::eventfd::EventFd;
use crate::wire::time::Timestamp;

pub(super) struct Mailbox {
    commands: ArrayQueue<Given>,
    pub(super) latency_request: ArrayQueue<Request>,
    pub(super) latency_reply: ArrayQueue<Box<Latencies>>,
    pub(super) wake: EventFd,
    /// Whether the worker has been woken since it looked last.
    woken: AtomicBool,
    stopping: AtomicBool,
}

/// A command with the time at which it was given.
pub(super) struct Given {
    /// By the kernel's clock, as are the times at which packets arrive.
    pub(super) at: Timestamp,
    pub(super) command: Command,
}

impl Mailbox {
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            commands: ArrayQueue::new(capacity.max(1)),
            latency_request: ArrayQueue::new(1),
            latency_reply: ArrayQueue::new(1),
            wake: EventFd::new()?,
            woken: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    /// Adds a command and wakes the worker; gives it back if there is no room.
    #[expect(
        clippy::result_large_err,
        reason = "a command that found no room comes back whole"
    )]
    pub(super) fn send(&self, command: Command) -> Result<(), Command> {
        let at = Clock::realtime();
        let result = self.commands.push(Given { at, command });
        self.wake();
        result.map_err(|given| given.command)
    }

    pub(super) fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.wake.signal();
        }
    }

    /// The worker is about to look: whoever adds something from now on wakes it again.
    pub(super) fn opened(&self) {
        self.wake.clear();
        self.woken.store(false, Ordering::SeqCst);
    }

    pub(super) fn next(&self) -> Option<Given> {
        self.commands.pop()
    }

    pub(super) fn has_more(&self) -> bool {
        !self.commands.is_empty()
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake.signal();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} commands)", self.commands.len())
    }
}
