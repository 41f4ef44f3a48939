//! Packs packets and events into blocks, sequentially and without allocation once warm.

use rustc_hash::FxHashMap;

use super::frame::{DECLARE, EVENT, FORM_BITS, NEXT_PACKET, SKIP_PACKET};
use super::{Event, Hash, Header, MAX_BLOCK, MAX_EVENT, MAX_STREAMS, varint};
use crate::wire::time::Timestamp;

/// Makes the blocks of one stripe.
#[derive(Debug)]
pub struct Builder {
    header: Header,
    /// A block is full at so many octets.
    target: usize,
    buffer: Vec<u8>,
    /// Slot and next index of each stream of the open block. Streams are numbered by ourselves,
    /// so a fast hash invites no collisions.
    slots: FxHashMap<u64, Slot>,
    previous_time: u64,
    json: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    next: u64,
}

/// A finished block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its header.
    pub header: Header,
    /// All of it, header included.
    pub bytes: Vec<u8>,
    /// Its hash, which the next block will name.
    pub hash: Hash,
}

/// The open block has no room: seal it, then push again. A frame always goes into an empty block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Builder {
    /// Blocks of about `target` octets (at least 4 kB, at most a quarter of [`MAX_BLOCK`]),
    /// beginning a new chain at sequence 0.
    pub fn new(epoch: u128, stripe: u32, target: usize) -> Self {
        let target = target.clamp(4_096, MAX_BLOCK / 4);
        let mut buffer = Vec::with_capacity(target + HEADROOM);
        buffer.resize(Header::LEN, 0);
        Self {
            header: Header {
                epoch,
                stripe,
                sequence: 0,
                body_len: 0,
                first: Timestamp::from_nanos(u64::MAX),
                last: Timestamp::from_nanos(0),
                previous: [0; 32],
            },
            target,
            buffer,
            slots: FxHashMap::default(),
            previous_time: 0,
            json: Vec::new(),
        }
    }

    /// Whether the open block has no frame.
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == Header::LEN
    }

    /// Octets of the open block so far.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The streams that have packets in the open block, in no order.
    pub fn streams(&self) -> impl Iterator<Item = u64> + '_ {
        self.slots.keys().copied()
    }

    /// Appends a packet. Its bytes must be a datagram's payload: more than 65,535 octets are cut.
    ///
    /// # Errors
    /// [`Full`].
    pub fn push_packet(
        &mut self,
        stream: u64,
        index: u64,
        time: Timestamp,
        bytes: &[u8],
    ) -> Result<(), Full> {
        let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
        self.room(bytes.len() + PACKET_OVERHEAD)?;
        let slot = match self.slots.get(&stream) {
            Some(slot) => *slot,
            None => self.declare(stream, index)?,
        };
        let form = if index == slot.next {
            NEXT_PACKET
        } else {
            SKIP_PACKET
        };
        varint::put(&mut self.buffer, slot.number << FORM_BITS | form);
        if form == SKIP_PACKET {
            let skip = index.wrapping_sub(slot.next).cast_signed();
            varint::put_signed(&mut self.buffer, skip);
        }
        self.put_time(time);
        varint::put(&mut self.buffer, bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        let next = index.wrapping_add(1);
        self.slots.insert(stream, Slot { next, ..slot });
        Ok(())
    }

    /// Appends an event. One whose JSON is longer than [`MAX_EVENT`] is left out and gives false.
    ///
    /// # Errors
    /// [`Full`].
    pub fn push_event(&mut self, time: Timestamp, event: &Event) -> Result<bool, Full> {
        self.json.clear();
        // Serialising these types into memory cannot fail: no maps, no failing implementations.
        if serde_json::to_writer(&mut self.json, event).is_err() || self.json.len() > MAX_EVENT {
            return Ok(false);
        }
        self.room(self.json.len() + PACKET_OVERHEAD)?;
        varint::put(&mut self.buffer, event.kind() << FORM_BITS | EVENT);
        self.put_time(time);
        varint::put(&mut self.buffer, self.json.len() as u64);
        self.buffer.extend_from_slice(&self.json);
        Ok(true)
    }

    /// Finishes the open block and begins the next one in `spare`, whose content is lost; `None`
    /// (and `spare` is dropped) if there is nothing in it.
    pub fn seal(&mut self, mut spare: Vec<u8>) -> Option<Sealed> {
        if self.is_empty() {
            return None;
        }
        spare.clear();
        spare.resize(Header::LEN, 0);
        let mut bytes = std::mem::replace(&mut self.buffer, spare);
        let mut header = self.header.clone();
        // Bounded by MAX_BLOCK: the target and one frame are far below it.
        header.body_len = u32::try_from(bytes.len() - Header::LEN).unwrap_or(u32::MAX);
        header.finish(&mut bytes);
        let hash = *blake3::hash(&bytes).as_bytes();
        self.header.sequence += 1;
        self.header.previous = hash;
        self.header.first = Timestamp::from_nanos(u64::MAX);
        self.header.last = Timestamp::from_nanos(0);
        self.previous_time = 0;
        self.slots.clear();
        Some(Sealed {
            header,
            bytes,
            hash,
        })
    }

    fn room(&self, need: usize) -> Result<(), Full> {
        if self.is_empty() || self.buffer.len() + need <= self.target {
            Ok(())
        } else {
            Err(Full)
        }
    }

    fn declare(&mut self, stream: u64, index: u64) -> Result<Slot, Full> {
        if self.slots.len() >= MAX_STREAMS {
            return Err(Full);
        }
        varint::put(&mut self.buffer, DECLARE);
        varint::put(&mut self.buffer, stream);
        varint::put(&mut self.buffer, index);
        Ok(Slot {
            number: self.slots.len() as u64,
            next: index,
        })
    }

    fn put_time(&mut self, time: Timestamp) {
        let delta = time.nanos().wrapping_sub(self.previous_time).cast_signed();
        varint::put_signed(&mut self.buffer, delta);
        self.previous_time = time.nanos();
        self.header.first = self.header.first.min(time);
        self.header.last = self.header.last.max(time);
    }
}

/// More than the frame fields around a packet or event, with the declaration of its stream.
const PACKET_OVERHEAD: usize = 7 * varint::MAX_LEN;

/// Room kept for the frame that goes beyond the target, so that warm buffers do not grow.
const HEADROOM: usize = 66_000;
