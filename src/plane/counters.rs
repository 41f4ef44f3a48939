//! Counters of one stream: written by its worker alone, read by anybody at any time.

/// Counters of one stream.
#[derive(Debug, Default)]
pub struct Counters {}
