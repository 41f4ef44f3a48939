//! What the core answers. Hooks translate these into their protocol.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::command::{EndReason, HomeRemote};
use super::host::{Preroll, StreamCounters, Traffic};
use super::ids::{CallId, HomeId, MirrorId, StreamId};
use super::recording::Switch;
use crate::migration::context::CallContext;
use crate::migration::decision::{Decision, LegRole};
use crate::wire::block::{Direction, MediaKind, StreamKind};
use crate::wire::time::Timestamp;

/// A good answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To an offer or answer: the SDP for the other side.
    Sdp(Vec<u8>),
    /// To a delete: the last figures of the call, or `None` with a warning if it is unknown.
    Deleted(Option<Box<CallView>>),
    /// To a query.
    Call(Box<CallView>),
    /// To a list.
    Calls(Vec<CallId>),
    /// To a page.
    Page(Box<CallPage>),
    /// To statistics.
    Statistics(Box<Statistics>),
    /// To a context update.
    Ok,
    /// To explain.
    Explained(Box<Explanation>),
    /// To a request to start, stop or pause mirrors.
    Recording(Box<RecordingState>),
}

/// A refusal. The texts are those that proxies and operators' scripts match on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// No such call.
    #[error("Unknown call-id")]
    UnknownCall,
    /// A delete with `fatal` found nothing.
    #[error("Call-ID not found or tags didn't match")]
    NothingToDelete,
    /// The SDP cannot be read.
    #[error("Failed to parse SDP")]
    BadSdp,
    /// The SDP has no media, or a media without an address.
    #[error("Incomplete SDP specification")]
    IncompleteSdp,
    /// An answer for a party that was never offered to.
    #[error("Invalid dialogue association")]
    BadDialogue,
    /// The SDP cannot be rewritten as asked; the text says why.
    #[error("Error rewriting SDP")]
    Rewrite(String),
    /// No local port is free.
    #[error("Ran out of ports")]
    OutOfPorts,
    /// The limit of calls is reached, or the relay drains.
    #[error("Parallel session limit reached")]
    SessionLimit,
    /// What was asked needs a codec, ICE or SRTP.
    #[error("unsupported")]
    Unsupported(&'static str),
    /// The media has come through this relay before, on its way through a primary system.
    #[error("Media comes through this relay already: the redirect is a cycle")]
    HomeCycle,
    /// The relay is too busy, or is stopping.
    #[error("Load limit exceeded")]
    Busy,
    /// The migration of a party failed, and no agreement has it served (TS 23.280 5.2.9.1); why
    /// it failed.
    #[error("Migration failed: {0}")]
    MigrationFailed(String),
}

/// What mirrors signalling has stopped, paused, or left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordingState {
    /// One entry for each primary system that an agreement sends media to.
    pub recordings: Vec<Recording>,
    /// Why not all was done that was asked.
    pub warning: Option<&'static str>,
}

/// The mirror for one primary system, as far as signalling has a say in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// The primary system.
    pub primary_system: String,
    /// What signalling wants.
    pub switch: Switch,
    /// Whether the agreement leaves signalling no say.
    pub mandatory: bool,
}

/// State and counters of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallView {
    /// The call.
    pub call_id: CallId,
    /// When it was made.
    pub created: Timestamp,
    /// When signalling last touched it.
    pub last_signal: Timestamp,
    /// Free text from signalling.
    pub metadata: Option<String>,
    /// Its legs, in the order they came.
    pub parties: Vec<PartyView>,
    /// Whether a logger has any leg's mirror.
    pub mirrored: bool,
    /// Its ways through primary systems.
    pub homes: Vec<HomeExplanation>,
}

/// Some of all calls. A call that lives while one page after the other is asked for is on exactly
/// one of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CallPage {
    /// The time of the relay's clock.
    pub as_of: Timestamp,
    /// The calls.
    pub calls: Vec<CallSummary>,
    /// What to ask the next page with; `None`: this is the last one.
    pub next: Option<u64>,
}

/// A call in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallSummary {
    /// The call.
    pub call_id: CallId,
    /// When it was made.
    pub created: Timestamp,
    /// When it was first answered.
    pub answered: Option<Timestamp>,
    /// How far it is.
    pub state: CallState,
    /// Media comes from one leg only, and should come from both.
    pub one_way: bool,
    /// What signalling has told.
    pub context: CallContext,
    /// Its legs.
    pub legs: usize,
    /// Packets taken from the calling leg.
    pub packets_calling: u64,
    /// Packets taken from all other legs.
    pub packets_called: u64,
    /// Packets dropped, of all legs and for all reasons.
    pub dropped: u64,
    /// Its mirrors.
    pub mirrors: Vec<MirrorSummary>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// Offered, not answered.
    Early,
    /// Answered.
    Answered,
    /// Answered, and on hold.
    Held,
    /// Deleted by signalling; it ends when the delay is over.
    Ending,
    /// It has ended.
    Ended,
}

/// A mirror in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MirrorSummary {
    /// The primary system that it is for.
    pub primary_system: String,
    /// The logger that takes it; `None` if none does.
    pub logger: Option<String>,
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartyView {
    /// Its tag; `None` until it has answered.
    pub tag: Option<String>,
    /// Number that tells untagged legs apart within the call.
    pub index: usize,
    /// Its branch.
    pub via_branch: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Indexes of the legs whose media it receives.
    pub subscriptions: Vec<usize>,
    /// Indexes of the legs that receive its media.
    pub subscribers: Vec<usize>,
    /// Its media, by m-line.
    pub medias: Vec<MediaView>,
    /// Sums over its sockets that are closed: other ports have taken over, or a peer has left.
    pub closed: Traffic,
}

/// One media of a leg.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MediaView {
    /// Place of the m-line, from 1.
    pub index: u32,
    /// `audio`, `video`, `application`, ...
    pub kind: String,
    /// `RTP/AVP`, `udp MCPTT`: the protocol as the leg's SDP writes it.
    pub protocol: String,
    /// First codec, `AMR-WB/16000`.
    pub codec: Option<String>,
    /// The leg sends (as far as SDP says).
    pub send: bool,
    /// The leg receives (as far as SDP says).
    pub recv: bool,
    /// RTCP shares the RTP port.
    pub rtcp_mux: bool,
    /// Its sockets: RTP first, RTCP second; retired ones after.
    pub streams: Vec<StreamView>,
}

/// One socket of a media.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamView {
    /// The stream.
    pub stream: StreamId,
    /// What arrives on it.
    pub kind: StreamKind,
    /// Our socket.
    pub local: SocketAddr,
    /// Where we send: learned, or else declared.
    pub endpoint: Option<SocketAddr>,
    /// What SDP declared.
    pub advertised: Option<SocketAddr>,
    /// Sources are checked strictly.
    pub strict: bool,
    /// A changed source is followed.
    pub handover: bool,
    /// What came in, and why packets were dropped.
    pub counters: StreamCounters,
    /// Packets sent out of this socket, towards the leg.
    pub packets_out: u64,
    /// Their octets (UDP payload).
    pub octets_out: u64,
}

/// Daemon-wide counters that the core keeps itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Calls that exist now.
    pub calls: u64,
    /// Of them, calls that are to be mirrored.
    pub mirrored_calls: u64,
    /// Calls ever made.
    pub calls_total: u64,
    /// Offers refused by a limit or for want of ports.
    pub rejected_total: u64,
    /// Offers refused because the migration of a party failed.
    pub migration_refused_total: u64,
    /// Requests to stop or pause a mirror that were not obeyed, since an agreement forbids it.
    pub recording_not_obeyed_total: u64,
    /// Calls ended by `delete`.
    pub deleted_total: u64,
    /// Calls ended because no media came.
    pub timeout_total: u64,
    /// Calls ended because media of a held call stayed away.
    pub silent_timeout_total: u64,
    /// Calls ended because the offer was never answered.
    pub offer_timeout_total: u64,
    /// Calls ended because of their absolute length.
    pub final_timeout_total: u64,
    /// Ended calls that had media in one direction only.
    pub oneway_total: u64,
    /// Ended calls that never had media.
    pub zeroway_total: u64,
    /// Sum of the durations of ended calls, in milliseconds.
    pub duration_total_ms: u64,
    /// Home legs that exist now: those being asked for, those that media goes through, those of
    /// them that are bypassed in part or in whole, those that failed and are tried again.
    pub homes: [u64; 4],
    /// Times that no anchor took a home leg, or the last one gave it up.
    pub home_failures_total: u64,
    /// Times that a stream was sent straight since home did not answer.
    pub home_bypasses_total: u64,
    /// Times that such a stream went through home again.
    pub home_returns_total: u64,
    /// Port pairs in use and in all, by interface and address.
    pub ports: Vec<PortUse>,
}

/// Use of the ports of one local address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortUse {
    /// Interface name.
    pub interface: String,
    /// Local address.
    pub address: std::net::IpAddr,
    /// First port of the range.
    pub min: u16,
    /// Last port of the range.
    pub max: u16,
    /// Ports in use.
    pub used: u32,
}

/// Why a call is, or is not, mirrored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The call.
    pub call_id: CallId,
    /// The time of the relay's clock; for a call that has ended, when it did.
    pub as_of: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// When it was first answered.
    pub answered: Option<Timestamp>,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
    /// Why it ended, if it has.
    pub end: Option<EndReason>,
    /// How far it is.
    pub state: CallState,
    /// Media comes from one leg only, and should come from both.
    pub one_way: bool,
    /// What signalling has told.
    pub context: CallContext,
    /// One entry a leg.
    pub legs: Vec<LegExplanation>,
    /// One entry a mirror.
    pub mirrors: Vec<MirrorExplanation>,
    /// One entry a home leg.
    pub homes: Vec<HomeExplanation>,
    /// Primaries whose mirror signalling has stopped or paused.
    pub recordings: Vec<Recording>,
}

/// The decision for one leg.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LegExplanation {
    /// Its tag, if it has one.
    pub tag: Option<String>,
    /// Calling or called.
    pub role: LegRole,
    /// The decision.
    pub decision: Decision,
    /// When it was made.
    pub decided: Timestamp,
    /// Packets that came in on its sockets, also those that are closed, and were taken.
    pub packets: u64,
    /// Packets dropped, by reason; only reasons that occurred.
    pub drops: Vec<(String, u64)>,
    /// What was kept of its packets while the call was undecided.
    #[serde(skip_serializing_if = "Preroll::is_empty")]
    pub preroll: Preroll,
    /// Packets sent to it out of the sockets that are open now.
    pub packets_out: u64,
    /// RTP packets missing by sequence number among those that came in on the sockets that are
    /// open now (RFC 3550 A.3); negative if some came twice.
    pub lost: i64,
    /// When a packet was taken last.
    pub last_packet: Option<Timestamp>,
}

/// The state of one mirror.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MirrorExplanation {
    /// The mirror.
    pub mirror: MirrorId,
    /// The primary system that it is for.
    pub primary_system: String,
    /// The logger that takes it; `None` if none does.
    pub logger: Option<String>,
    /// Why there is none, or what happened to it.
    pub note: String,
    /// Its streams.
    pub streams: Vec<MirrorStream>,
    /// What was copied of streams that are not in it any more.
    pub detached: Copies,
}

/// Copies of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Packets copied.
    pub packets: u64,
    /// Copies that could not be sent.
    pub dropped: u64,
}

/// One stream of a mirror.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MirrorStream {
    /// The stream.
    pub stream: StreamId,
    /// Its media.
    pub media: MediaKind,
    /// What its datagrams are.
    pub kind: StreamKind,
    /// Packets copied.
    pub packets: u64,
    /// Copies that could not be sent.
    pub dropped: u64,
}

/// The state of one home leg.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HomeExplanation {
    /// The home leg.
    pub home: HomeId,
    /// The primary system that media goes through.
    pub primary_system: String,
    /// Its anchors, the preferred one first.
    pub anchors: Vec<String>,
    /// The one that has it, or is asked to take it.
    pub anchor: Option<String>,
    /// How it stands.
    pub state: HomeState,
    /// Since when.
    pub since: Timestamp,
    /// Why it failed.
    pub reason: Option<String>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
    /// What does not go through home, and where it goes instead.
    pub note: String,
    /// Times that a stream was bypassed.
    pub bypasses: u64,
    /// Times that a stream came back from that.
    pub returns: u64,
    /// Packets that had not come back when a stream was bypassed.
    pub unanswered: u64,
    /// Packets sent home to come back, on all lanes there ever were.
    pub sent: u64,
    /// Packets that came back and went on.
    pub returned: u64,
    /// Packets that did not come back.
    pub lost: u64,
    /// Datagrams that came from home and were dropped.
    pub dropped: u64,
    /// What goes through it now.
    pub lanes: Vec<LaneExplanation>,
}

/// How a home leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HomeState {
    /// No media is known yet that could go through it.
    Idle,
    /// An anchor is being asked.
    Pending,
    /// An anchor has answered; see the lanes.
    Up,
    /// No anchor takes it; it will be tried again.
    Failed,
}

/// One direction of one media on its way through home.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaneExplanation {
    /// Its name in the offer to the anchor.
    pub label: String,
    /// Its media.
    pub media: MediaKind,
    /// As seen by the migrated user.
    pub direction: Direction,
    /// How it stands.
    pub state: LaneState,
    /// The streams that face home: of RTP or datagrams, of RTCP.
    pub streams: Vec<StreamId>,
    /// Our RTP socket towards home.
    pub local: Option<SocketAddr>,
    /// Where the anchor takes it.
    pub remote: Option<HomeRemote>,
    /// Packets sent home to come back.
    pub sent: u64,
    /// Packets that came back and went on.
    pub returned: u64,
    /// Packets that did not come back.
    pub lost: u64,
    /// Datagrams dropped that came from home, by reason; only reasons that occurred.
    pub drops: Vec<(String, u64)>,
}

/// How a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaneState {
    /// Its packets go through home.
    Through,
    /// The anchor has not answered yet.
    Pending,
    /// The anchor does not take it.
    Refused,
    /// Home does not answer on one of its sockets: packets go straight.
    Bypassed,
    /// There was no local port for it.
    NoPort,
    /// The home leg has failed.
    Failed,
}
