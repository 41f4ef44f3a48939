//! The block format: sequenced units of mirrored packets and call events.
//!
//! The same bytes go into the logger's archive now, and onto the trunk and into the spool later
//! (`crate::manual::block_format` is the specification).

pub mod event;

pub use event::{CallInfo, Codec, Direction, MediaKind, PartyInfo, StreamInfo, StreamKind};
