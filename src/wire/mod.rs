//! Wire formats: borrowed views and codecs, pure functions over bytes.
//!
//! Nothing here opens a socket, reads a clock or logs. Every parser is total: any input gives a
//! value or an error, in bounded time and memory, and never a panic.

pub mod bencode;
pub mod block;
pub mod floor;
pub mod mcinfo;
pub mod mux;
pub mod network;
pub mod pcapng;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod sip;
pub mod stun;
pub mod time;
