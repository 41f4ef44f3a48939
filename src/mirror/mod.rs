//! Mirrors: how copies of a migrated leg's media get to a logger.
//!
//! `rtp`: plain RTP to an address and port of its own for each stream. What a port is
//! used for a logger elsewhere is told by [`announce`]. `sip`: media that goes through the primary.

pub mod announce;
pub mod rtp;
pub mod sip;
