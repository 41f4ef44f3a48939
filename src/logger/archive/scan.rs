//! Reads segments: one block at a place, or all of them on start.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::wire::block::{Block, BlockError, Header, MAGIC};

/// What [`scan`] found at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Octet after the last whole block.
    pub end: u64,
    /// Octets in the middle that are no blocks; left as they are.
    pub damaged: u64,
    /// Octets after the last whole block.
    pub torn: u64,
}

/// Reads the block at a place into `buffer`; `None` at the end of the file.
///
/// # Errors
/// The file cannot be read. What is not a whole block is the inner error.
pub fn read_block<'a>(
    file: &File,
    at: u64,
    buffer: &'a mut Vec<u8>,
) -> io::Result<Option<Result<Block<'a>, BlockError>>> {
    buffer.resize(Header::LEN, 0);
    let got = read_at(file, at, buffer)?;
    if got == 0 {
        return Ok(None);
    }
    let header = match Header::parse(buffer.get(..got).unwrap_or_default()) {
        Ok(header) => header,
        Err(error) => return Ok(Some(Err(error))),
    };
    // The length is bounded by the format; a block longer than the file ends in "truncated".
    buffer.resize(header.total(), 0);
    let body = buffer.get_mut(Header::LEN..).unwrap_or_default();
    let got = read_at(file, at + Header::LEN as u64, body)?;
    Ok(Some(Block::parse(
        buffer.get(..Header::LEN + got).unwrap_or_default(),
    )))
}

/// Visits the blocks of a segment from `from` on. Over damage it goes on at the next whole block;
/// what comes after the last whole one is torn: cut off, if `cut`, and never guessed at.
///
/// # Errors
/// The file cannot be read or cut, or holds blocks of a later version
/// ([`io::ErrorKind::Unsupported`]).
pub fn scan(
    path: &Path,
    from: u64,
    cut: bool,
    mut visit: impl FnMut(u64, &Block<'_>),
) -> io::Result<Scanned> {
    let file = OpenOptions::new().read(true).write(cut).open(path)?;
    let length = file.metadata()?.len();
    let mut buffer = Vec::new();
    let mut scanned = Scanned {
        end: from,
        ..Scanned::default()
    };
    let mut at = from;
    while let Some(block) = read_block(&file, at, &mut buffer)? {
        match block {
            Ok(block) => {
                scanned.damaged += at - scanned.end;
                visit(at, &block);
                at += block.bytes().len() as u64;
                scanned.end = at;
            }
            Err(BlockError::Version(version)) if scanned.end == at => {
                let reason = BlockError::Version(version).to_string();
                return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
            }
            Err(_) => match next_magic(&file, at + 1)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    scanned.torn = length.saturating_sub(scanned.end);
    if cut && scanned.torn > 0 {
        file.set_len(scanned.end)?;
        file.sync_all()?;
    }
    Ok(scanned)
}

/// The next place that looks like the begin of a block.
fn next_magic(file: &File, mut at: u64) -> io::Result<Option<u64>> {
    let mut window = vec![0; WINDOW];
    loop {
        let got = read_at(file, at, &mut window)?;
        let found = memchr::memmem::find(window.get(..got).unwrap_or_default(), &MAGIC);
        match found {
            Some(place) => return Ok(Some(at + place as u64)),
            None if got < WINDOW => return Ok(None),
            // The magic may lie across two windows.
            None => at += (WINDOW - MAGIC.len() + 1) as u64,
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// Octets that are searched at once.
const WINDOW: usize = 64 << 10;
