//! The block format: sequenced units of mirrored packets and call events.
//!
//! The same bytes go into the logger's archive now, and onto the trunk and into the spool later
//! (`crate::manual::block_format` is the specification). A [`Builder`] packs packets and events
//! into blocks, once and in sequence; [`Block`] takes one apart. Each block can be read alone: what
//! a frame refers to is declared before it in the same block.

pub mod builder;
pub mod event;
pub mod frame;
pub mod header;
pub mod reader;
mod varint;

pub use builder::{Builder, Sealed};
pub use event::{CallInfo, Codec, Direction, MediaKind, PartyInfo, StreamInfo, StreamKind};
pub use frame::{Event, Frame, GapReason, PacketFrame, RawEvent};
pub use header::{BlockError, Hash, Header};
pub use reader::{Block, Frames};

/// First octets of a block.
pub const MAGIC: [u8; 4] = *b"HWBK";

/// Version of the format that is written, and the highest that is read.
pub const VERSION: u16 = 1;

/// No block is written or read that is longer, header included, in octets.
pub const MAX_BLOCK: usize = 16 << 20;

/// No event is written that is longer, in octets of JSON.
pub const MAX_EVENT: usize = 4 << 20;

/// A block declares at most so many streams.
pub const MAX_STREAMS: usize = 1 << 16;

#[cfg(test)]
mod tests;
