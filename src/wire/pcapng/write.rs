//! Writes pcapng blocks at the end of a buffer. The caller keeps the count of interfaces: they
//! are numbered from 0 in the order in which they are written.

use super::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, EPB_PACKETID, IF_DESCRIPTION, IF_NAME, IF_TSRESOL,
    INTERFACE_DESCRIPTION, LINKTYPE_RAW, MAX_BLOCK, OPT_COMMENT, OPT_END, SECTION_HEADER,
    SHB_USERAPPL,
};
use crate::wire::time::Timestamp;

/// What a Section Header says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section<'a> {
    /// The program that writes it.
    pub application: &'a str,
    /// Free text.
    pub comments: &'a [&'a str],
}

/// What an Interface Description says; link type 101 and nanoseconds are fixed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interface<'a> {
    /// Short name, shown with each packet.
    pub name: &'a str,
    /// Longer description; may be empty.
    pub description: &'a str,
    /// Free text.
    pub comments: &'a [&'a str],
}

/// What an Enhanced Packet says.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Number of the interface in its section, from 0.
    pub interface: u32,
    /// When it was received.
    pub time: Timestamp,
    /// Number of the packet, kept as `epb_packetid`.
    pub id: Option<u64>,
    /// The packet from its IP header on.
    pub data: &'a [u8],
    /// Free text.
    pub comments: &'a [&'a str],
}

/// Appends a Section Header of unknown length, so that blocks can be appended at any time.
pub fn section(out: &mut Vec<u8>, section: &Section<'_>) {
    block(out, SECTION_HEADER, |out| {
        out.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        out.extend_from_slice(&1u16.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&(-1i64).to_le_bytes());
        let start = out.len();
        comments(out, section.comments, start);
        text_option(out, SHB_USERAPPL, section.application);
        end_of_options(out, start);
    });
}

/// Appends an Interface Description.
pub fn interface(out: &mut Vec<u8>, interface: &Interface<'_>) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        let start = out.len();
        text_option(out, IF_NAME, interface.name);
        text_option(out, IF_DESCRIPTION, interface.description);
        option(out, IF_TSRESOL, &[NANOSECONDS]);
        comments(out, interface.comments, start);
        end_of_options(out, start);
    });
}

/// Appends an Enhanced Packet. Data beyond 65,575 octets (the longest IPv6 packet without jumbo
/// option) is cut off, with the original length kept.
pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let data = packet.data.get(..MAX_PACKET).unwrap_or(packet.data);
    block(out, ENHANCED_PACKET, |out| {
        let nanos = packet.time.nanos().to_le_bytes();
        out.extend_from_slice(&packet.interface.to_le_bytes());
        out.extend_from_slice(&nanos[4..]);
        out.extend_from_slice(&nanos[..4]);
        out.extend_from_slice(&length(data.len()).to_le_bytes());
        out.extend_from_slice(&length(packet.data.len()).to_le_bytes());
        out.extend_from_slice(data);
        pad(out, data.len());
        let start = out.len();
        comments(out, packet.comments, start);
        if let Some(id) = packet.id {
            option(out, EPB_PACKETID, &id.to_le_bytes());
        }
        end_of_options(out, start);
    });
}

/// One block around `body`, with its length before and after.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let total = length(out.len() - start + 4).to_le_bytes();
    out.extend_from_slice(&total);
    if let Some(field) = out.get_mut(start + 4..start + 8) {
        field.copy_from_slice(&total);
    }
}

/// Comments, each split at the length that an option can have. What would make the block too long
/// for readers is left out.
fn comments(out: &mut Vec<u8>, comments: &[&str], start: usize) {
    for comment in comments {
        let mut rest = *comment;
        while !rest.is_empty() && out.len() - start < MAX_OPTIONS {
            let (head, tail) = split(rest);
            option(out, OPT_COMMENT, head.as_bytes());
            rest = tail;
        }
    }
}

/// A text option, cut off at the length that an option can have; none for empty text.
fn text_option(out: &mut Vec<u8>, code: u16, text: &str) {
    if !text.is_empty() {
        option(out, code, split(text).0.as_bytes());
    }
}

/// Splits before the last character that does not fit into one option.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.floor_char_boundary(usize::from(u16::MAX)))
}

/// One option with its padding.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    let value = value.get(..usize::from(length)).unwrap_or(value);
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

/// Writers must end options that they wrote; without any the list is left out.
fn end_of_options(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        option(out, OPT_END, &[]);
    }
}

/// Zeros up to the next multiple of four.
fn pad(out: &mut Vec<u8>, length: usize) {
    out.resize(out.len() + length.next_multiple_of(4) - length, 0);
}

/// Lengths here are bounded by [`MAX_BLOCK`].
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// `if_tsresol` of nanoseconds: ten to the power of minus nine.
const NANOSECONDS: u8 = 9;

/// Longest packet: IPv6 header and a payload of 65,535 octets.
const MAX_PACKET: usize = 40 + 65_535;

/// No comment is begun beyond so many octets of options.
const MAX_OPTIONS: usize = MAX_BLOCK / 2;
