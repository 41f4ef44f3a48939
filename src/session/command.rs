//! What the core tells others to do. Carried out in order; each is idempotent.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{CallId, HomeId, MirrorId, StreamId, WorkerIndex};
use super::options::Learning;
use crate::migration::identity::SystemName;
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
    /// Set a home leg up at the first of these anchors that takes it. Answered by
    /// [`Event::HomeAnswered`](super::core::Event) or `HomeFailed`.
    HomeOpen {
        /// The home leg.
        home: HomeId,
        /// Names of the anchors that may take it, in order of preference.
        anchors: Vec<String>,
        /// What goes through it.
        offer: HomeOffer,
    },
    /// What goes through a home leg, or what is known of the call, has changed; answered alike.
    HomeUpdate {
        /// The home leg.
        home: HomeId,
        /// All that goes through it now.
        offer: HomeOffer,
    },
    /// A home leg is bypassed: its anchor is asked whether it still has it, if it can be asked;
    /// answered as an update, or as a failure.
    HomeProbe {
        /// The home leg.
        home: HomeId,
    },
    /// A home leg has ended.
    HomeClose {
        /// The home leg.
        home: HomeId,
    },
    /// Something that operators want to see.
    Notice(Notice),
}

/// What is offered to the primary's media anchor.
#[derive(Clone, Debug, PartialEq)]
pub struct HomeOffer {
    /// What the anchor is told about the call.
    pub info: CallInfo,
    /// Identities of the relays that the media has come through, this one last: an offer that
    /// carries the identity of its receiver is a cycle, and is refused.
    pub path: Vec<String>,
    /// One m-line each: media sent there comes back there.
    pub lanes: Vec<HomeLane>,
}

/// One direction of one media on its way through home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeLane {
    /// Names it for the life of the home leg: `a=label` (RFC 4574).
    pub label: String,
    /// The stream that goes through it, as its logger would be told; `info.direction` is
    /// `FromUser` or `ToUser` of the migrated leg.
    pub info: StreamInfo,
    /// Protocol of the m-line, `RTP/AVP`.
    pub protocol: String,
    /// Our socket towards home for RTP or datagrams.
    pub rtp: SocketAddr,
    /// The same for RTCP; `None` for media that is not RTP, or where it shares the RTP port.
    pub rtcp: Option<SocketAddr>,
}

/// Where the anchor takes a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeRemote {
    /// RTP or datagrams.
    pub rtp: SocketAddr,
    /// RTCP, if it does not share the RTP port.
    pub rtcp: Option<SocketAddr>,
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
    /// Where the peer was before the process was restarted; looked at when the stream is new to
    /// its worker only.
    pub known: Option<SocketAddr>,
    /// The way of its packets, or that this is the stream facing home.
    pub route: Route,
    /// Keep accepted packets in the pre-roll of this call.
    pub keep: Option<u64>,
}

/// The way of a stream's packets (design section 6, redirect).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// Straight to where `forward` says.
    #[default]
    Direct,
    /// Through the home leg; straight while home does not answer.
    Via {
        /// The stream that faces home, for RTP and datagrams.
        home: StreamId,
        /// The same for RTCP that arrives on an RTP port; `None`: like `home`.
        home_rtcp: Option<StreamId>,
    },
    /// This stream faces home: what comes back goes to where `forward` says.
    Home(HomeLimits),
}

/// When home counts as unreachable, and as back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeLimits {
    /// Packets were sent home for so long, and none came back: bypass it.
    pub unreachable_after: Duration,
    /// Home has answered without a pause for so long: go through it again.
    pub return_after: Duration,
}

/// What is done with packets from an unexpected source (NG reference 13.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Media of a call goes through this primary.
    HomeUp(CallId, Box<str>),
    /// It does not: no anchor takes it, or the last one has given it up.
    HomeFailed {
        /// The call.
        call: CallId,
        /// The primary.
        primary: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// The primary's anchor does not answer: it is bypassed.
    HomeLost {
        /// The call.
        call: CallId,
        /// The primary.
        primary: Box<str>,
        /// Packets sent there last that have not come back.
        unanswered: u64,
    },
    /// The primary's anchor answers again, and media goes through it.
    HomeBack(CallId, Box<str>),
    /// An offer was refused because the migration of a party failed; why it failed.
    MigrationRefused(CallId, String),
    /// Signalling wanted to stop or pause the mirror for a primary whose agreement forbids it.
    NotObeyed(CallId, SystemName),
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
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
