//! Datagrams in batches: `recvmmsg` into a ring of packet buffers, `sendmmsg` out of it.
//!
//! The message headers are built once and point to their buffers for good. After each receive
//! those that were used are set back at once (`msg_namelen`, `msg_controllen` and `msg_flags` are
//! both input and output), so that a receive of one datagram costs one header, not a batch.

mod control;
mod ring;
mod send;

pub use ring::{BUFFER_OCTETS, Datagram, PacketRing};
pub use send::{OnFull, SendBatch, send_to};

#[cfg(test)]
mod tests;
