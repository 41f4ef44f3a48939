//! Appends blocks to segment files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Layout;
use super::layout::{private_file, sync_dir};

/// Where a block went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Octet at which it begins.
    pub start: u64,
    /// Octet after its last one.
    pub end: u64,
}

/// The end of the archive.
#[derive(Debug)]
pub struct SegmentWriter {
    layout: Arc<Layout>,
    limit: u64,
    /// The segment that is written, or that will be.
    number: u64,
    file: Option<File>,
    length: u64,
    unsynced: bool,
}

impl SegmentWriter {
    /// Writes to segments from `number` on, which must not exist; closes each at `limit` octets.
    pub fn new(layout: Arc<Layout>, number: u64, limit: u64) -> Self {
        Self {
            layout,
            limit,
            number,
            file: None,
            length: 0,
            unsynced: false,
        }
    }

    /// Appends a block. It is durable after the next [`SegmentWriter::sync`].
    ///
    /// # Errors
    /// The file system says no; then nothing was appended, and it can be tried again.
    pub fn append(&mut self, block: &[u8]) -> io::Result<Place> {
        let length = block.len() as u64;
        if self.length > 0 && self.length + length > self.limit {
            self.roll()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let file = private_file(&self.layout.segment(self.number), true)?;
                sync_dir(&self.layout.archive())?;
                empty.insert(file)
            }
        };
        if let Err(error) = file.write_all_at(block, self.length) {
            // What was written of it would be cut off on the next start anyway.
            let _ = file.set_len(self.length);
            return Err(error);
        }
        let start = self.length;
        self.length += length;
        self.unsynced = true;
        Ok(Place {
            segment: self.number,
            start,
            end: self.length,
        })
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// The file system says no. What of the file is durable is not known then; the next block
    /// begins a new segment.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| self.unsynced) else {
            return Ok(());
        };
        self.unsynced = false;
        let result = file.sync_data();
        if result.is_err() {
            self.next();
        }
        result
    }

    fn roll(&mut self) -> io::Result<()> {
        self.sync()?;
        if self.length > 0 {
            self.next();
        }
        Ok(())
    }

    fn next(&mut self) {
        self.file = None;
        self.length = 0;
        self.number += 1;
    }
}
