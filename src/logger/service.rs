//! The logger as a service: threads, sockets, files behind one handle.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::wire::block::{CallInfo, StreamInfo};

/// Settings of the logger.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where archive, index and recordings lie; made with mode 0700 if absent.
    pub dir: PathBuf,
    /// Address that media arrives on.
    pub bind: IpAddr,
    /// First and last UDP port for media, both included. An even port takes RTP (or datagrams of
    /// a media that is not RTP), the odd one after it RTCP.
    pub ports: (u16, u16),
    /// Addresses that media is taken from; packets from others are counted and dropped.
    pub relays: Vec<IpAddr>,
    /// Whether all ports are bound at start. Otherwise a port is bound when a stream is attached.
    pub bind_all: bool,
    /// From the end of a call to the closing of its recording, for packets still on the way.
    pub close_grace: Duration,
    /// A block is sealed when it has so many octets...
    pub block_bytes: usize,
    /// ... or is so old.
    pub block_age: Duration,
    /// A segment file of the archive is closed at so many octets.
    pub segment_bytes: u64,
}

/// Names one mirror of one relay process: calls are told apart by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorKey {
    /// Instance of the relay: random for each start of its process.
    pub relay: String,
    /// Number of the mirror there.
    pub mirror: u64,
}

/// A recording that was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The mirror that it is of.
    pub key: MirrorKey,
    /// What is known of the call.
    pub info: CallInfo,
    /// The pcapng file.
    pub path: PathBuf,
    /// Packets in it.
    pub packets: u64,
    /// RTP packets that are missing by sequence number.
    pub lost: u64,
}

/// What went wrong at the logger.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoggerError {
    /// A port cannot be bound.
    #[error("the logger cannot take media on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The mirror is not known.
    #[error("mirror {0:?} is not open")]
    UnknownMirror(MirrorKey),
    /// The archive or index cannot be used.
    #[error("the archive in {dir} cannot be used: {reason}")]
    Archive {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The way to a logger in the same process; cheap to clone. Calls return at once: what takes time
/// is done by the logger's own threads.
#[derive(Clone, Debug)]
pub struct Handle {}

impl Handle {
    /// A mirror begins (again, after a change: then what is known of the call is replaced).
    pub fn open(&self, key: MirrorKey, info: CallInfo) {
        let _ = (key, info);
    }

    /// Takes a stream on this port; the port is bound when this returns.
    ///
    /// # Errors
    /// The port cannot be bound, or the mirror is not open.
    pub fn attach(
        &self,
        key: &MirrorKey,
        info: StreamInfo,
        port: u16,
    ) -> Result<SocketAddr, LoggerError> {
        let _ = info;
        let _ = port;
        Err(LoggerError::UnknownMirror(key.clone()))
    }

    /// What is known about an attached stream has changed (its remote address was learned).
    pub fn update_stream(&self, key: &MirrorKey, info: StreamInfo) {
        let _ = (key, info);
    }

    /// No more packets will be sent for the stream.
    pub fn detach(&self, key: &MirrorKey, stream: u64) {
        let _ = (key, stream);
    }

    /// The mirror has ended: close its recording after the grace time.
    pub fn close(&self, key: &MirrorKey) {
        let _ = key;
    }
}
