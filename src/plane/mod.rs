//! The data plane in userspace: one pinned thread a worker; receive a batch, classify, learn or
//! check the source, count, fan out, send.
//!
//! A worker owns its sockets, buffers and flow slots; nothing that changes per packet is shared.
//! It takes [`command::Command`]s from a bounded queue (an eventfd wakes it) and reports
//! [`command::Event`]s on another. Per packet it takes no lock, allocates nothing, logs nothing.
//! It never sees the session core.

pub mod command;
pub mod counters;
pub mod events;
pub mod flow;
pub mod latency;
pub mod metrics;
pub mod socket;
pub mod start;

mod decide;
mod home;
mod learn;
mod loops;
mod mailbox;
mod outbox;
mod preroll;
mod slot;
mod stats;
mod worker;

pub use start::{Plane, Settings, WorkerHandle};
