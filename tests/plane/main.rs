//! The data plane over real loopback sockets: what comes in on one slot goes out of another, and
//! to the loggers, byte by byte; what must be dropped is dropped and counted.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod forward;
mod harness;
mod home;
mod hostile;
mod lifecycle;
mod mirror;
mod preroll;
mod redirected;
