//! The manual: long-form documentation, one page a topic.
//!
//! - [`architecture`]: the parts, who owns what, and the way of a packet.
//! - [`configuration`]: every key of the file, and its default.
//! - [`control`]: how a SIP proxy drives the relay and tells it who is calling.
//! - [`http`]: the JSON interface.
//! - [`load`]: playing calls through a relay and checking them.
//! - [`migration`]: records of migrated users, agreements, and how a decision is made.
//! - [`operations`]: what to look at when a call is silent or is not recorded.

pub mod architecture;
pub mod configuration;
pub mod control;
pub mod http;
pub mod load;
pub mod migration;
pub mod operations;
