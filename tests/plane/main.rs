//! The data plane over real loopback sockets: what comes in on one slot goes out of another, and
//! to the loggers, byte by byte; what must be dropped is dropped and counted.

mod forward;
mod harness;
