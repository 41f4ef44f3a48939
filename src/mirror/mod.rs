//! Mirrors: how copies of a migrated leg's media get to a logger.
//!
//! Only `rtp` so far: plain RTP to an address and port of its own for each stream. What a port is
//! used for a logger elsewhere is told by [`announce`].

pub mod announce;
pub mod rtp;
