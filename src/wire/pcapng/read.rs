//! Reads pcapng: sections in either byte order, interfaces with any time resolution, packets.
//!
//! Total and bounded: a block is at most [`MAX_BLOCK`] octets, a section has at most
//! [`MAX_INTERFACES`] interfaces, and a file that ends in mid-block says so.

use std::io::{self, Read};

use thiserror::Error;

use super::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, EPB_PACKETID, IF_DESCRIPTION, IF_NAME, IF_TSOFFSET,
    IF_TSRESOL, INTERFACE_DESCRIPTION, MAX_BLOCK, OPT_COMMENT, OPT_END, SECTION_HEADER,
};
use crate::wire::time::Timestamp;

/// More interfaces than this in a section are refused.
pub const MAX_INTERFACES: usize = 1 << 16;

/// What a reader can come upon.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file does not begin with a Section Header.
    #[error("not a pcapng file")]
    NotPcapng,
    /// The file ends within a block: a writer was cut short.
    #[error("the file ends within a block, {0} octets into it")]
    Truncated(usize),
    /// A length field is impossible, or above the bounds of this reader.
    #[error("bad length in a block of type {0:#x}")]
    BadLength(u32),
    /// A packet of an interface that was not described.
    #[error("packet of an unknown interface {0}")]
    UnknownInterface(u32),
    /// More than [`MAX_INTERFACES`].
    #[error("too many interfaces")]
    TooManyInterfaces,
}

/// One block of a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Block<'a> {
    /// A section begins: interfaces are numbered anew.
    Section(Options<'a>),
    /// An interface; they are numbered from 0 in their section.
    Interface(Interface<'a>),
    /// A packet.
    Packet(Packet<'a>),
    /// A block of another type.
    Other(u32),
}

/// An Interface Description.
#[derive(Clone, Debug)]
pub struct Interface<'a> {
    /// Number in its section.
    pub index: u32,
    /// Link type; recordings have 101.
    pub link_type: u16,
    /// All options.
    pub options: Options<'a>,
}

impl Interface<'_> {
    /// `if_name`, or empty.
    pub fn name(&self) -> String {
        self.options.text(IF_NAME)
    }

    /// `if_description`, or empty.
    pub fn description(&self) -> String {
        self.options.text(IF_DESCRIPTION)
    }
}

/// An Enhanced Packet.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// Number of its interface in the section.
    pub interface: u32,
    /// Link type of its interface.
    pub link_type: u16,
    /// When it was received, whatever the resolution was; saturates.
    pub time: Timestamp,
    /// What was captured.
    pub data: &'a [u8],
    /// Length of the packet before it was cut, in octets.
    pub original_len: u32,
    /// All options.
    pub options: Options<'a>,
}

impl Packet<'_> {
    /// `epb_packetid`, if there is one.
    pub fn id(&self) -> Option<u64> {
        let value = self.options.find(EPB_PACKETID)?;
        Some(self.options.order.u64(value.get(..8)?.try_into().ok()?))
    }
}

/// The options of a block: an iterator over (code, value).
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    order: Order,
}

impl Options<'_> {
    /// All comments, with what is not UTF-8 replaced.
    pub fn comments(&self) -> Vec<String> {
        let comments = self.filter(|(code, _)| *code == OPT_COMMENT);
        comments
            .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
            .collect()
    }

    fn text(&self, code: u16) -> String {
        String::from_utf8_lossy(self.find(code).unwrap_or_default()).into_owned()
    }
}

impl<'a> Options<'a> {
    /// The value of the first option with this code.
    pub fn find(&self, code: u16) -> Option<&'a [u8]> {
        let mut options = *self;
        options.find_map(|(at, value)| (at == code).then_some(value))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16(self.rest.get(..2)?.try_into().ok()?);
        let length = self.order.u16(self.rest.get(2..4)?.try_into().ok()?);
        let end = 4 + usize::from(length);
        let value = self.rest.get(4..end)?;
        // Readers must not rely on the end mark nor on the padding of the last option.
        self.rest = self.rest.get(end.next_multiple_of(4)..).unwrap_or_default();
        (code != OPT_END).then_some((code, value))
    }
}

/// Reads a file block by block; a `&[u8]` is a source as well.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
    section: Option<Order>,
    interfaces: Vec<Clock>,
}

impl<R: Read> Reader<R> {
    /// Reads from here; give it a buffered source.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            section: None,
            interfaces: Vec::new(),
        }
    }

    /// The next block; `None` at the end of the file.
    ///
    /// # Errors
    /// [`ReadError`]; nothing can be read after it.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, ReadError> {
        let Some((kind, order)) = self.fill()? else {
            return Ok(None);
        };
        // `fill` has read the whole block: 8 octets of header, the body, 4 octets of trailer.
        let body = self.buffer.get(8..self.buffer.len() - 4);
        let body = body.ok_or(ReadError::BadLength(kind))?;
        let parser = Body { kind, order, body };
        match kind {
            SECTION_HEADER => {
                self.section = Some(order);
                self.interfaces.clear();
                parser.section().map(Some)
            }
            INTERFACE_DESCRIPTION => parser.interface(&mut self.interfaces).map(Some),
            ENHANCED_PACKET => parser.packet(&self.interfaces).map(Some),
            _ => Ok(Some(Block::Other(kind))),
        }
    }

    /// Reads one whole block into the buffer and checks its lengths.
    fn fill(&mut self) -> Result<Option<(u32, Order)>, ReadError> {
        self.buffer.clear();
        if !self.read_to(12)? {
            return Ok(None);
        }
        let first: [u8; 4] = take(&self.buffer, 0).ok_or(ReadError::NotPcapng)?;
        let order = if first == SECTION_HEADER.to_le_bytes() {
            Order::detect(take(&self.buffer, 8).ok_or(ReadError::NotPcapng)?)
                .ok_or(ReadError::NotPcapng)?
        } else {
            self.section.ok_or(ReadError::NotPcapng)?
        };
        let kind = order.u32(first);
        let bad = || ReadError::BadLength(kind);
        let total = order.u32(take(&self.buffer, 4).ok_or_else(bad)?);
        let length = usize::try_from(total).map_err(|_| bad())?;
        if !(12..=MAX_BLOCK).contains(&length) || length % 4 != 0 {
            return Err(bad());
        }
        self.read_to(length)?;
        match take(&self.buffer, length - 4) {
            Some(trailer) if order.u32(trailer) == total => Ok(Some((kind, order))),
            _ => Err(bad()),
        }
    }

    /// Reads until the buffer holds `length` octets; false at a clean end of the file. Memory
    /// grows with what the source really gives, not with what a length field claims.
    fn read_to(&mut self, length: usize) -> Result<bool, ReadError> {
        let missing = length.saturating_sub(self.buffer.len());
        let limit = u64::try_from(missing).unwrap_or(u64::MAX);
        (&mut self.source)
            .take(limit)
            .read_to_end(&mut self.buffer)?;
        match self.buffer.len() {
            have if have >= length => Ok(true),
            0 => Ok(false),
            have => Err(ReadError::Truncated(have)),
        }
    }
}

/// The body of a block that is being taken apart.
struct Body<'a> {
    kind: u32,
    order: Order,
    body: &'a [u8],
}

impl<'a> Body<'a> {
    fn section(&self) -> Result<Block<'a>, ReadError> {
        self.options(16).map(Block::Section)
    }

    fn interface(&self, clocks: &mut Vec<Clock>) -> Result<Block<'a>, ReadError> {
        if clocks.len() >= MAX_INTERFACES {
            return Err(ReadError::TooManyInterfaces);
        }
        let link_type = self
            .order
            .u16(take(self.body, 0).ok_or_else(|| self.bad())?);
        let options = self.options(8)?;
        let index = u32::try_from(clocks.len()).map_err(|_| self.bad())?;
        clocks.push(Clock::new(link_type, &options));
        Ok(Block::Interface(Interface {
            index,
            link_type,
            options,
        }))
    }

    fn packet(&self, clocks: &[Clock]) -> Result<Block<'a>, ReadError> {
        let interface = self.u32(0)?;
        let ticks = (u64::from(self.u32(4)?) << 32) | u64::from(self.u32(8)?);
        let captured = usize::try_from(self.u32(12)?).map_err(|_| self.bad())?;
        let clock = usize::try_from(interface).ok().and_then(|i| clocks.get(i));
        let clock = clock.ok_or(ReadError::UnknownInterface(interface))?;
        let data = self.body.get(20..).and_then(|rest| rest.get(..captured));
        Ok(Block::Packet(Packet {
            interface,
            link_type: clock.link_type,
            time: clock.time(ticks),
            data: data.ok_or_else(|| self.bad())?,
            original_len: self.u32(16)?,
            options: self.options(20 + captured.next_multiple_of(4))?,
        }))
    }

    fn options(&self, at: usize) -> Result<Options<'a>, ReadError> {
        Ok(Options {
            rest: self.body.get(at..).ok_or_else(|| self.bad())?,
            order: self.order,
        })
    }

    fn u32(&self, at: usize) -> Result<u32, ReadError> {
        let octets = take(self.body, at).ok_or_else(|| self.bad())?;
        Ok(self.order.u32(octets))
    }

    fn bad(&self) -> ReadError {
        ReadError::BadLength(self.kind)
    }
}

/// How an interface states its times.
#[derive(Clone, Copy, Debug)]
struct Clock {
    link_type: u16,
    /// `if_tsresol`: with the upper bit a negative power of two, else of ten.
    resolution: u8,
    /// Seconds to add.
    offset: i64,
}

impl Clock {
    fn new(link_type: u16, options: &Options<'_>) -> Self {
        let resolution = options.find(IF_TSRESOL).and_then(<[u8]>::first).copied();
        let offset = options.find(IF_TSOFFSET).and_then(|value| take(value, 0));
        Self {
            link_type,
            resolution: resolution.unwrap_or(MICROSECONDS),
            offset: offset.map_or(0, |octets| options.order.u64(octets).cast_signed()),
        }
    }

    fn time(self, ticks: u64) -> Timestamp {
        let power = u32::from(self.resolution & 0x7F);
        let ticks = u128::from(ticks);
        let nanos = if self.resolution & 0x80 != 0 {
            (ticks * 1_000_000_000) >> power
        } else if power <= 9 {
            ticks * 10u128.pow(9 - power)
        } else {
            // Resolutions finer than 10^-38 leave no nanosecond of 64 bits of ticks.
            10u128.checked_pow(power - 9).map_or(0, |unit| ticks / unit)
        };
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
        let total = nanos.saturating_add(i128::from(self.offset) * 1_000_000_000);
        Timestamp::from_nanos(u64::try_from(total.max(0)).unwrap_or(u64::MAX))
    }
}

/// Byte order of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn detect(magic: [u8; 4]) -> Option<Self> {
        if magic == BYTE_ORDER_MAGIC.to_le_bytes() {
            Some(Self::Little)
        } else if magic == BYTE_ORDER_MAGIC.to_be_bytes() {
            Some(Self::Big)
        } else {
            None
        }
    }

    fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    fn u64(self, octets: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(octets),
            Self::Big => u64::from_be_bytes(octets),
        }
    }
}

/// The `N` octets at a place.
fn take<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// `if_tsresol` where none is stated.
const MICROSECONDS: u8 = 6;
