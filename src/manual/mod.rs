//! The manual: long-form documentation, one page a topic.
//!
//! - [`block_format`]: mirrored packets and events as octets.
//! - [`logger`]: what becomes of what is mirrored: archive, index, recordings.
//! - [`architecture`]: the parts, who owns what, and the way of a packet.
//! - [`control`]: how a SIP proxy drives the relay and tells it who is calling.
//! - [`load`]: playing calls through a relay and checking them.
//! - [`operations`]: what to look at when a call is silent or is not recorded.

pub mod architecture;
pub mod block_format;
pub mod control;
pub mod load;
pub mod logger;
pub mod operations;
