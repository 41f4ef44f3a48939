//! The primary's side: receives mirrored media, keeps it in the archive, and makes a recording
//! of each call when it has ended.
//!
//! [`service::Service`] is the whole of it; `homeward run` embeds one, `homeward logger` is one.
//! Four threads, joined by bounded queues (`crate::manual::logger` tells the whole story):
//! receiver -> writer -> catalog -> recorder. Only the receiver faces the network, and it waits for
//! none of the others: what they cannot take is counted as a gap.

pub mod anchor;
mod announce;
pub mod archive;
mod catalog;
pub mod fault;
mod file_name;
pub mod http;
mod intake;
mod loss;
mod receiver;
mod recorder;
mod recording;
mod registry;
mod returning;
pub mod service;
mod start;
pub mod stats;
pub mod users;
mod writer;

#[cfg(test)]
mod tests;
