//! The archive: segment files of blocks, only ever appended to.
//!
//! `archive/<number>.seg` holds whole blocks one after the other and nothing else (mode 0600, in
//! a directory of mode 0700). A segment is never changed after it is closed. [`segment`] writes,
//! [`mod@scan`] reads, and on start cuts off a block that was not written to its end.

pub mod layout;
pub mod scan;
pub mod segment;

pub use layout::Layout;
pub use scan::{Scanned, read_block, scan};
pub use segment::{Place, SegmentWriter};

#[cfg(test)]
mod tests;
