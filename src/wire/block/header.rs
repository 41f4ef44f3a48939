//! The fixed part at the front of a block.

use thiserror::Error;
use xxhash_rust::xxh3::Xxh3Default;

use super::{MAGIC, MAX_BLOCK, VERSION};
use crate::wire::time::Timestamp;

/// BLAKE3 hash of a whole block.
pub type Hash = [u8; 32];

/// What stands at the front of a block. (Epoch, stripe, sequence) is its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Instance of the process that made the block: random for each start.
    pub epoch: u128,
    /// Which of the sequences of that process.
    pub stripe: u32,
    /// Place in the sequence, from 0.
    pub sequence: u64,
    /// Octets after the header.
    pub body_len: u32,
    /// Earliest time of a frame; zero without frames.
    pub first: Timestamp,
    /// Latest time of a frame.
    pub last: Timestamp,
    /// Hash of the block before it in the sequence; zeros for the first one.
    pub previous: Hash,
}

/// Why something is not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BlockError {
    /// It begins otherwise.
    #[error("not a block")]
    Magic,
    /// Made by a later version.
    #[error("block format version {0} is not known (this program reads up to {VERSION})")]
    Version(u16),
    /// The length is above the bound.
    #[error("a block of {0} octets is too long")]
    TooLong(u64),
    /// The input ends before the block does.
    #[error("the block is cut off")]
    Truncated,
    /// The checksum differs.
    #[error("the checksum of the block is wrong")]
    Checksum,
    /// The body breaks the format at this place, although the checksum is right.
    #[error("bad frame at octet {0} of the body")]
    Frame(usize),
}

impl Header {
    /// Length of a header, in octets.
    pub const LEN: usize = 96;

    /// Reads a header without checking the checksum, which covers the body as well: enough to know
    /// how much to read.
    ///
    /// # Errors
    /// Everything but [`BlockError::Checksum`] and [`BlockError::Frame`].
    pub fn parse(input: &[u8]) -> Result<Self, BlockError> {
        let magic: [u8; 4] = take(input, 0)?;
        if magic != MAGIC {
            return Err(BlockError::Magic);
        }
        let version = u16::from_le_bytes(take(input, 4)?);
        if version == 0 || version > VERSION {
            return Err(BlockError::Version(version));
        }
        if input.len() < Self::LEN {
            return Err(BlockError::Truncated);
        }
        let body_len = u32::from_le_bytes(take(input, 28)?);
        let total = u64::from(body_len) + Self::LEN as u64;
        if total > MAX_BLOCK as u64 {
            return Err(BlockError::TooLong(total));
        }
        Ok(Self {
            epoch: u128::from_le_bytes(take(input, 8)?),
            stripe: u32::from_le_bytes(take(input, 24)?),
            sequence: u64::from_le_bytes(take(input, 32)?),
            body_len,
            first: Timestamp::from_nanos(u64::from_le_bytes(take(input, 40)?)),
            last: Timestamp::from_nanos(u64::from_le_bytes(take(input, 48)?)),
            previous: take(input, 56)?,
        })
    }

    /// Octets of the whole block.
    pub fn total(&self) -> usize {
        Self::LEN + usize::try_from(self.body_len).unwrap_or(MAX_BLOCK)
    }

    /// Writes the header over the first [`Header::LEN`] octets of a block whose body is complete.
    pub(super) fn finish(&self, block: &mut [u8]) {
        let fields: [(usize, &[u8]); 10] = [
            (0, &MAGIC),
            (4, &VERSION.to_le_bytes()),
            (6, &[0, 0]),
            (8, &self.epoch.to_le_bytes()),
            (24, &self.stripe.to_le_bytes()),
            (28, &self.body_len.to_le_bytes()),
            (32, &self.sequence.to_le_bytes()),
            (40, &self.first.nanos().to_le_bytes()),
            (48, &self.last.nanos().to_le_bytes()),
            (56, &self.previous),
        ];
        for (at, value) in fields {
            put(block, at, value);
        }
        let checksum = checksum(block);
        put(block, CHECKSUM, &checksum.to_le_bytes());
    }
}

/// The checksum that is written in a block; zero if it is cut off before that.
pub(super) fn stated_checksum(block: &[u8]) -> Result<u64, BlockError> {
    Ok(u64::from_le_bytes(take(block, CHECKSUM)?))
}

/// XXH3 (64 bits, seed 0) over a block without its checksum field.
pub(super) fn checksum(block: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(block.get(..CHECKSUM).unwrap_or_default());
    hash.update(block.get(Header::LEN..).unwrap_or_default());
    hash.digest()
}

fn put(block: &mut [u8], at: usize, value: &[u8]) {
    if let Some(field) = block.get_mut(at..at + value.len()) {
        field.copy_from_slice(value);
    }
}

fn take<const N: usize>(input: &[u8], at: usize) -> Result<[u8; N], BlockError> {
    let octets = input.get(at..at + N).ok_or(BlockError::Truncated)?;
    octets.try_into().map_err(|_| BlockError::Truncated)
}

/// Where the checksum stands.
const CHECKSUM: usize = 88;
