//! The queue of events from all workers to control, with a descriptor to wait on.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, io};

use crossbeam::queue::ArrayQueue;

use super::command::Event;
use crate::sys::eventfd::EventFd;

/// Events of all workers. Bounded; its descriptor is readable when there is something in it, and
/// can be given to a poller (tokio's `AsyncFd`).
pub struct EventQueue {
    queue: ArrayQueue<(usize, Event)>,
    signal: EventFd,
    /// Whether the signal has been given since the last [`Self::drain`].
    signalled: AtomicBool,
}

impl EventQueue {
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            queue: ArrayQueue::new(capacity.max(1)),
            signal: EventFd::new()?,
            signalled: AtomicBool::new(false),
        })
    }

    /// Takes out all there is, each with the index of its worker, and resets the descriptor. What
    /// comes in meanwhile is taken too or signalled anew.
    pub fn drain(&self, mut take: impl FnMut(usize, Event)) {
        self.signal.clear();
        self.signalled.store(false, Ordering::SeqCst);
        while let Some((worker, event)) = self.queue.pop() {
            take(worker, event);
        }
    }

    /// Adds an event; `false` if there is no room.
    pub(super) fn push(&self, worker: usize, event: Event) -> bool {
        let pushed = self.queue.push((worker, event)).is_ok();
        if !self.signalled.swap(true, Ordering::SeqCst) {
            self.signal.signal();
        }
        pushed
    }
}

impl AsFd for EventQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

impl AsRawFd for EventQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.signal.as_raw_fd()
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventQueue({} waiting)", self.queue.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::flow::SlotId;
    use super::*;
    use crate::sys::epoll::{Epoll, Ready};

    #[test]
    fn is_bounded_and_can_be_waited_for() {
        let queue = EventQueue::new(2).unwrap();
        let (epoll, mut ready) = (Epoll::new().unwrap(), Ready::new(1));
        epoll.add(&queue, 0).unwrap();
        let closed = |slot| Event::Closed { slot: SlotId(slot) };
        for round in 0..2 {
            assert!(queue.push(3, closed(1)), "{round}");
            assert!(queue.push(4, closed(2)));
            assert!(!queue.push(5, closed(3)));
            epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
            assert_eq!(ready.len(), 1);
            let mut seen = Vec::new();
            queue.drain(|worker, event| seen.push((worker, event)));
            assert_eq!(seen, [(3, closed(1)), (4, closed(2))]);
            epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
            assert!(ready.is_empty());
        }
    }
}
