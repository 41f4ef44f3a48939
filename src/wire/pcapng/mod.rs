//! pcapng: the file format of recordings (draft-ietf-opsawg-pcapng), written and read.
//!
//! The writer ([`mod@write`]) makes little-endian sections of link type 101 with nanosecond times; the
//! synthetic IP and UDP headers around a mirrored payload come from [`udp`]. The reader
//! ([`read`]) takes both byte orders, any time resolution, and input of any kind: it gives blocks
//! or an error, in bounded memory. Files are append-safe: the section has no stated length, and
//! whatever whole blocks a file holds can be read.

pub mod read;
pub mod udp;
pub mod write;

pub use read::{Block, Reader};
pub use udp::Datagram;
pub use write::{Interface, Packet, Section};

/// Link type "raw IP": a packet begins with its IPv4 or IPv6 header.
pub const LINKTYPE_RAW: u16 = 101;

/// No block is written or read that is longer, in octets: bounds the memory of a reader.
pub const MAX_BLOCK: usize = 16 << 20;

/// Block type of a Section Header; the same in both byte orders.
const SECTION_HEADER: u32 = 0x0A0D_0D0A;
/// Block type of an Interface Description.
const INTERFACE_DESCRIPTION: u32 = 1;
/// Block type of an Enhanced Packet.
const ENHANCED_PACKET: u32 = 6;
/// Tells the byte order of a section.
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;

/// Ends a list of options.
const OPT_END: u16 = 0;
/// Free text, in any block.
const OPT_COMMENT: u16 = 1;
/// The program that wrote the section.
const SHB_USERAPPL: u16 = 4;
/// Name of an interface.
const IF_NAME: u16 = 2;
/// Description of an interface.
const IF_DESCRIPTION: u16 = 3;
/// Resolution of an interface's times.
const IF_TSRESOL: u16 = 9;
/// Seconds to be added to an interface's times.
const IF_TSOFFSET: u16 = 14;
/// Number of a packet.
const EPB_PACKETID: u16 = 5;

#[cfg(test)]
mod tests;
