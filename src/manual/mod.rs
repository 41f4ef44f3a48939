//! The manual: long-form documentation, one page a topic.
//!
//! - [`block_format`]: mirrored packets and events as octets.
//! - [`logger`]: what becomes of what is mirrored: archive, index, recordings.
//! - [`architecture`]: the parts, who owns what, and the way of a packet.
//! - [`configuration`]: every key of the file, and its default.
//! - [`control`]: how a SIP proxy drives the relay and tells it who is calling.
//! - [`http`]: the JSON interface.
//! - [`load`]: playing calls through a relay and checking them.
//! - [`media_anchor`]: home legs by SIP, and the anchor beside a logger.
//! - [`migration`]: records of migrated users, agreements, and how a decision is made.
//! - [`primary`]: the primary's users, who may migrate where, and who has.
//! - [`redirect`]: calls that go through the primary system, and what happens if it is away.
//! - [`operations`]: what to look at when a call is silent or is not recorded.

pub mod architecture;
pub mod block_format;
pub mod configuration;
pub mod control;
pub mod http;
pub mod load;
pub mod logger;
pub mod media_anchor;
pub mod migration;
pub mod operations;
pub mod primary;
pub mod redirect;
