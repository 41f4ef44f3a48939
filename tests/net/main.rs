//! The relay through its public doors: NG and HTTP on real sockets, media on real sockets, a
//! logger with real files. One relay a test, in this process.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails its test")]

mod bad_input;
mod carried;
mod commands;
mod drain;
mod flood;
mod groups;
mod harness;
mod late;
mod limits;
mod migration;
mod mirrored;
mod primary;
mod redirect;
mod reload;
mod rows;
