//! The built binary as a user would type it: exit status, what it prints, what it leaves behind.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests fail with them; processes live in real time"
)]

mod check;
mod daemon;
mod demo;
mod logger;
mod media;
mod operate;
mod primary;
mod refused;
mod restart;
mod run;
#[path = "../common/skip.rs"]
mod skip;
mod take_over;
mod tools;
mod usage;
