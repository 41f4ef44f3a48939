//! Mirrors: how copies of a migrated leg's media get to a logger.
//!
//! Only `rtp` so far: plain RTP to an address and port of its own for each stream.

pub mod rtp;
