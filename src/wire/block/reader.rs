//! Takes blocks apart. Total and bounded: nothing is allocated by what a length field claims.

use super::frame::{DECLARE, EVENT, FORM_BITS, NEXT_PACKET, SKIP_PACKET};
use super::header::{checksum, stated_checksum};
use super::{BlockError, Frame, Hash, Header, MAX_STREAMS, PacketFrame, RawEvent, varint};
use crate::wire::time::Timestamp;

/// A block whose checksum is right.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    header: Header,
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// Takes a block off the front of the input and checks it.
    ///
    /// # Errors
    /// [`BlockError`], except for its `Frame`.
    pub fn parse(input: &'a [u8]) -> Result<Self, BlockError> {
        let header = Header::parse(input)?;
        let bytes = input.get(..header.total()).ok_or(BlockError::Truncated)?;
        if stated_checksum(bytes)? != checksum(bytes) {
            return Err(BlockError::Checksum);
        }
        Ok(Self { header, bytes })
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All of it, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its hash, which the next block of the stripe names.
    pub fn hash(&self) -> Hash {
        *blake3::hash(self.bytes).as_bytes()
    }

    /// What it carries, in the order in which it was put in.
    pub fn frames(&self) -> Frames<'a> {
        let body = self.bytes.get(Header::LEN..).unwrap_or_default();
        Frames {
            length: body.len(),
            rest: body,
            slots: Vec::new(),
            time: 0,
        }
    }
}

/// Iterates over the frames of a block; ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    length: usize,
    rest: &'a [u8],
    slots: Vec<Slot>,
    time: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    stream: u64,
    next: u64,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let at = self.length - self.rest.len();
            match self.step() {
                Some(Some(frame)) => return Some(Ok(frame)),
                Some(None) => {}
                None => {
                    self.rest = &[];
                    return Some(Err(BlockError::Frame(at)));
                }
            }
        }
        None
    }
}

impl<'a> Frames<'a> {
    /// One frame; `Some(None)` for one that only the reader itself cares for, `None` on an error.
    fn step(&mut self) -> Option<Option<Frame<'a>>> {
        let head = varint::take(&mut self.rest)?;
        let value = head >> FORM_BITS;
        match head & ((1 << FORM_BITS) - 1) {
            NEXT_PACKET => self.packet(value, false).map(Some),
            SKIP_PACKET => self.packet(value, true).map(Some),
            DECLARE => self.declare().map(|()| None),
            EVENT => self.event(value).map(Some),
            _ => self.bytes().map(|_| None),
        }
    }

    fn packet(&mut self, slot: u64, stated: bool) -> Option<Frame<'a>> {
        let slot = usize::try_from(slot).ok()?;
        let Slot { stream, next } = *self.slots.get(slot)?;
        let index = if stated {
            next.wrapping_add_signed(varint::take_signed(&mut self.rest)?)
        } else {
            next
        };
        let time = self.time()?;
        let bytes = self.bytes()?;
        self.slots.get_mut(slot)?.next = index.wrapping_add(1);
        Some(Frame::Packet(PacketFrame {
            stream,
            index,
            time,
            bytes,
        }))
    }

    fn declare(&mut self) -> Option<()> {
        let stream = varint::take(&mut self.rest)?;
        let next = varint::take(&mut self.rest)?;
        if self.slots.len() >= MAX_STREAMS {
            return None;
        }
        self.slots.push(Slot { stream, next });
        Some(())
    }

    fn event(&mut self, kind: u64) -> Option<Frame<'a>> {
        let time = self.time()?;
        let json = self.bytes()?;
        Some(Frame::Event(RawEvent { kind, time, json }))
    }

    fn time(&mut self) -> Option<Timestamp> {
        let delta = varint::take_signed(&mut self.rest)?;
        self.time = self.time.wrapping_add_signed(delta);
        Some(Timestamp::from_nanos(self.time))
    }

    /// A length and so many octets.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(varint::take(&mut self.rest)?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }
}
