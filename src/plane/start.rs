//! Starting and stopping the workers, and how control talks to them.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use crossbeam::utils::CachePadded;

use super::command::Command;
use super::events::EventQueue;
use super::flow::SlotId;
use super::latency::{self, Latencies, Request};
use super::mailbox::Mailbox;
use super::metrics::WorkerMetrics;
use super::worker::{Equipment, Worker};
use crate::sys::affinity;
use crate::sys::clock::Clock;

/// How the data plane is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of workers; zero: one less than there are processors, at least one.
    pub workers: usize,
    /// Whether each worker is bound to a processor of its own, from the last one down. The first
    /// one is used only if there are as many workers as processors.
    pub pin: bool,
    /// Commands that can wait for one worker.
    pub command_queue: usize,
    /// Events that can wait for control, of all workers.
    pub event_queue: usize,
    /// Bounds of the pre-roll.
    pub preroll: Preroll,
    /// The clock of the process.
    pub clock: Clock,
}

/// Bounds of what is kept of streams whose [`keep`](super::flow::Flow::keep) asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preroll {
    /// No packet is kept for longer; zero: none is kept.
    pub age: Duration,
    /// Octets for each call; zero: none.
    pub call_bytes: usize,
    /// Octets in all: each worker has its equal part; zero: none.
    pub bytes: usize,
}

impl Default for Preroll {
    /// 10 s, 1 MiB for each call, 64 MiB in all.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(10),
            call_bytes: 1 << 20,
            bytes: 64 << 20,
        }
    }
}

impl Settings {
    /// The defaults, on this clock.
    pub const fn new(clock: Clock) -> Self {
        Self {
            workers: 0,
            pin: true,
            command_queue: 4_096,
            event_queue: 4_096,
            preroll: Preroll {
                age: Duration::from_secs(10),
                call_bytes: 1 << 20,
                bytes: 64 << 20,
            },
            clock,
        }
    }
}

/// The running data plane. Dropping it stops the workers and closes their sockets.
pub struct Plane {
    workers: Vec<WorkerHandle>,
    threads: Vec<JoinHandle<Vec<(SlotId, UdpSocket)>>>,
    events: Arc<EventQueue>,
}

impl Plane {
    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// Those of making sockets, descriptors and threads, and of pinning.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let processors = affinity::allowed()?;
        let count = match settings.workers {
            0 => processors.len().saturating_sub(1).max(1),
            count => count,
        };
        let mut plane = Self {
            workers: Vec::with_capacity(count),
            threads: Vec::with_capacity(count),
            events: Arc::new(EventQueue::new(settings.event_queue)?),
        };
        for index in 0..count {
            let processor = processors.iter().rev().cycle().nth(index).copied();
            plane.start_worker(index, processor.filter(|_| settings.pin), count, settings)?;
        }
        Ok(plane)
    }

    /// The workers, by index.
    pub fn workers(&self) -> &[WorkerHandle] {
        &self.workers
    }

    /// What the workers have to say. One reader is expected.
    pub const fn events(&self) -> &Arc<EventQueue> {
        &self.events
    }

    /// Latencies of all workers since the last call, in nanoseconds; waits up to `patience` for
    /// each worker, and leaves out those that do not answer.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn take_latencies(&self, patience: Duration) -> io::Result<Latencies> {
        let mut sum = latency::empty()?;
        for worker in &self.workers {
            if let Some(part) = worker.take_latencies(patience)? {
                sum.add(&part).map_err(io::Error::other)?;
            }
        }
        Ok(sum)
    }

    /// Stops the workers, closes their sockets, and waits until that is done.
    pub fn stop(mut self) {
        self.shut_down();
    }

    /// Stops the workers and gives their sockets, with the index of the worker and the slot. What
    /// arrives from now on waits in them.
    pub fn release(mut self) -> Vec<(usize, SlotId, UdpSocket)> {
        let sockets = self.shut_down().into_iter().enumerate();
        sockets
            .flat_map(|(worker, sockets)| {
                let located = move |(slot, socket)| (worker, slot, socket);
                sockets.into_iter().map(located)
            })
            .collect()
    }

    fn start_worker(
        &mut self,
        index: usize,
        processor: Option<usize>,
        workers: usize,
        settings: &Settings,
    ) -> io::Result<()> {
        let mailbox = Arc::new(Mailbox::new(settings.command_queue)?);
        let metrics = Arc::new(CachePadded::new(WorkerMetrics::default()));
        let equipment = Equipment {
            index,
            clock: settings.clock,
            mailbox: Arc::clone(&mailbox),
            events: Arc::clone(&self.events),
            metrics: Arc::clone(&metrics),
            preroll: settings.preroll,
            workers,
        };
        // The buffers are made on the worker's own processor.
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let pinned = processor.map_or(Ok(()), |number| affinity::restrict(&[number]));
                match pinned.and_then(|()| Worker::new(equipment)) {
                    Ok(worker) => {
                        let _ = tell.send(Ok(()));
                        worker.run()
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                        Vec::new()
                    }
                }
            })?;
        self.threads.push(thread);
        self.workers.push(WorkerHandle {
            mailbox,
            metrics,
            processor,
        });
        told.recv().map_err(io::Error::other)?
    }

    /// Stops the workers; their sockets, by worker.
    fn shut_down(&mut self) -> Vec<Vec<(SlotId, UdpSocket)>> {
        for worker in &self.workers {
            worker.mailbox.stop();
        }
        // A worker that panicked has nothing more to say.
        let threads = self.threads.drain(..);
        threads
            .map(|thread| thread.join().unwrap_or_default())
            .collect()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plane({} workers)", self.workers.len())
    }
}

/// How control reaches one worker.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    mailbox: Arc<Mailbox>,
    metrics: Arc<CachePadded<WorkerMetrics>>,
    processor: Option<usize>,
}

impl WorkerHandle {
    /// Hands over a command and wakes the worker. Never waits.
    ///
    /// # Errors
    ///
    /// The command itself, if the queue is full: try again later.
    #[expect(
        clippy::result_large_err,
        reason = "a command that found no room comes back whole"
    )]
    pub fn send(&self, command: Command) -> Result<(), Command> {
        self.mailbox.send(command)
    }

    /// What the worker counts about itself.
    pub fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    /// The processor that the worker is pinned to.
    pub const fn processor(&self) -> Option<usize> {
        self.processor
    }

    /// Latencies since the last call, in nanoseconds, given when all commands before the call have
    /// been carried out; `None` if the worker does not answer within
    /// `patience`. Then the next call gets them. For one caller at a time.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn take_latencies(&self, patience: Duration) -> io::Result<Option<Latencies>> {
        let request = Request {
            fresh: Box::new(latency::empty()?),
            asker: thread::current(),
        };
        // If a request is waiting already, its answer will do.
        let _ = self.mailbox.latency_request.push(request);
        self.mailbox.wake();
        let deadline = Clock::monotonic() + patience;
        loop {
            if let Some(latencies) = self.mailbox.latency_reply.pop() {
                return Ok(Some(*latencies));
            }
            let left = deadline.saturating_sub(Clock::monotonic());
            if left.is_zero() {
                return Ok(None);
            }
            thread::park_timeout(left);
        }
    }
}
