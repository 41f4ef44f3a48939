//! What signalling asks of the core. Hooks translate their protocol into these.

use serde::Serialize;

use super::ids::{CallId, Tag};
use super::options::Options;
use super::recording::Switch;
use crate::migration::context::CallContext;
use crate::migration::identity::SystemName;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// First or later half of an exchange: NG `offer`.
    Offer(Box<Exchange>),
    /// The other half: NG `answer`.
    Answer(Box<Exchange>),
    /// End a call, or a leg of it: NG `delete`.
    Delete(Delete),
    /// State and counters of a call: NG `query`.
    Query(Query),
    /// Call-ids of at most so many calls: NG `list`.
    List {
        /// At most so many; checked to be 0 or more by the hook.
        limit: usize,
    },
    /// Summaries of calls, a page at a time.
    Page {
        /// What the page before gave as `next`; `None`: the first page.
        after: Option<u64>,
        /// At most so many; the hook bounds it, since reading counters takes time.
        limit: usize,
    },
    /// Daemon-wide counters: NG `statistics`.
    Statistics,
    /// More is known about a call: what it leaves out stays as it is.
    Context {
        /// The call.
        call_id: CallId,
        /// The news.
        context: CallContext,
    },
    /// Start, stop or pause the mirrors of a call, within the agreements (NG reference 9.4).
    Recording {
        /// The call.
        call_id: CallId,
        /// What to do with them.
        switch: Switch,
        /// Only the mirror for this primary system.
        primary: Option<SystemName>,
    },
    /// Why a call is, or is not, mirrored.
    Explain {
        /// The call; also one that has ended lately.
        call_id: CallId,
    },
}

/// An offer or an answer. Tags are those of the dialogue: in an answer `from_tag` is still the
/// party that offered, and the SDP belongs to `to_tag` (NG reference 5.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The call.
    pub call_id: CallId,
    /// The party that offers.
    pub from_tag: Tag,
    /// The party that answers; absent in a first offer, required in an answer.
    pub to_tag: Option<Tag>,
    /// Tells forked branches apart.
    pub via_branch: Option<Box<str>>,
    /// The SDP as received.
    pub sdp: Vec<u8>,
    /// All that changes how it is handled.
    pub options: Options,
    /// Facts about the call; empty if none came with it.
    pub context: CallContext,
}

/// NG `delete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The call.
    pub call_id: CallId,
    /// Only this party.
    pub from_tag: Option<Tag>,
    /// Only this party; set by the hook only if the flag `to-tag` was there (NG reference 9.2).
    pub to_tag: Option<Tag>,
    /// Only this branch.
    pub via_branch: Option<Box<str>>,
    /// Seconds until removal; `None`: the configured default.
    pub delay: Option<u32>,
    /// An unknown call is an error rather than a warning.
    pub fatal: bool,
}

/// NG `query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Query {
    /// The call.
    pub call_id: CallId,
    /// Only this party and those it is subscribed to.
    pub from_tag: Option<Tag>,
    /// The same, and preferred.
    pub to_tag: Option<Tag>,
}
