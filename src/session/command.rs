//! What the core tells others to do. Carried out in order; each is idempotent.

use std::net::SocketAddr;

use super::ids::{CallId, MirrorId, StreamId, WorkerIndex};
use super::options::Learning;
use crate::wire::block::{CallInfo, StreamInfo, StreamKind};

/// A command of the core to its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Bring a bound stream to this state. The first one puts its socket to work at the worker.
    Configure {
        /// The stream; bound before through the host.
        stream: StreamId,
        /// All of its wanted state.
        flow: Flow,
    },
    /// Close the stream's socket and forget it.
    Close {
        /// The stream.
        stream: StreamId,
    },
    /// A mirror begins: tell the logger.
    MirrorOpen {
        /// The mirror.
        mirror: MirrorId,
        /// The call that it is of.
        call: CallId,
        /// Names of the loggers that may take it, in order of preference.
        loggers: Vec<String>,
        /// Socket pairs whose streams it has, or will have as soon as the call is answered.
        pairs: usize,
        /// What the logger is told.
        info: CallInfo,
    },
    /// What is known about the call has changed.
    MirrorUpdate {
        /// The mirror.
        mirror: MirrorId,
        /// What the logger is told.
        info: CallInfo,
    },
    /// Copy a stream to the mirror's logger from now on.
    MirrorAttach {
        /// The mirror.
        mirror: MirrorId,
        /// The stream.
        stream: StreamId,
        /// What the logger is told.
        info: StreamInfo,
    },
    /// Stop copying a stream.
    MirrorDetach {
        /// The mirror.
        mirror: MirrorId,
        /// The stream.
        stream: StreamId,
    },
    /// The mirror is at its end: the logger can close the recording.
    MirrorClose {
        /// The mirror.
        mirror: MirrorId,
    },
    /// Something that operators want to see.
    Notice(Notice),
}

/// Wanted state of a stream at its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The worker of the call.
    pub worker: WorkerIndex,
    /// What arrives.
    pub kind: StreamKind,
    /// Where the leg is to be reached from this socket, as declared. `None`: not known (yet).
    pub remote: Option<SocketAddr>,
    /// How the real address is learned.
    pub learning: Learning,
    /// Raised by the core whenever signalling opens the learning window anew.
    pub window: u32,
    /// What comes from elsewhere after learning.
    pub source: SourcePolicy,
    /// The stream out of whose socket, and to whose remote, packets are forwarded.
    pub forward: Option<StreamId>,
    /// The same for RTCP that arrives on an RTP port; `None`: like `forward`.
    pub forward_rtcp: Option<StreamId>,
    /// Drop everything, and count it.
    pub blocked: bool,
    /// Clock rate of the first codec, for jitter, in Hz; 8000 if not known.
    pub clock_rate: u32,
}

/// What is done with packets from an unexpected source (NG reference 13.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SourcePolicy {
    /// Dropped and counted.
    #[default]
    Strict,
    /// Taken, and the destination follows.
    Handover,
    /// Taken, and the destination stays.
    Loose,
}

/// News for logs, metrics and event listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A call was made.
    CallStarted(CallId),
    /// A call has ended.
    CallEnded(CallId, EndReason),
    /// After its answer, media of a call goes in one direction only.
    OneWay(CallId),
    /// An unknown interface name was asked for; the default was used.
    UnknownInterface(CallId, Box<str>),
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// Signalling said so.
    Deleted,
    /// No packet for the media time-out.
    MediaTimeout,
    /// No packet of a held call for the silent time-out.
    SilentTimeout,
    /// The offer was never answered.
    OfferTimeout,
    /// It reached the configured absolute length.
    FinalTimeout,
    /// An offer could not be completed.
    Failed,
    /// The relay stops.
    Shutdown,
}
