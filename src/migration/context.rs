//! The call context: what signalling tells about a call in mission-critical terms.

use serde::{Deserialize, Serialize};

use super::identity::{McId, Service};

/// Facts about one call; all optional, since proxies tell what they know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallContext {
    /// The MC service.
    pub service: Option<Service>,
    /// Kind of session.
    pub session_type: Option<SessionType>,
    /// MC service ID (or functional alias) of the calling party: the leg of the first offer.
    pub calling_id: Option<McId>,
    /// MC service ID (or functional alias) of the called party: the leg that answers.
    pub called_id: Option<McId>,
    /// MC group ID.
    pub group_id: Option<McId>,
    /// Functional alias that the calling party uses.
    pub functional_alias: Option<McId>,
    /// Functional alias under which the called party is addressed (TS 23.280 10.16.3).
    pub called_functional_alias: Option<McId>,
    /// Emergency call, alert or imminent peril.
    pub emergency: bool,
}

impl CallContext {
    /// Whether signalling has told nothing at all: such a call is undecided.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes over what `newer` tells; what it leaves out stays.
    pub fn merge(&mut self, newer: Self) {
        let Self {
            service,
            session_type,
            calling_id,
            called_id,
            group_id,
            functional_alias,
            called_functional_alias,
            emergency,
        } = newer;
        self.service = service.or(self.service);
        self.session_type = session_type.or(self.session_type);
        self.calling_id = calling_id.or_else(|| self.calling_id.take());
        self.called_id = called_id.or_else(|| self.called_id.take());
        self.group_id = group_id.or_else(|| self.group_id.take());
        self.functional_alias = functional_alias.or_else(|| self.functional_alias.take());
        self.called_functional_alias =
            called_functional_alias.or_else(|| self.called_functional_alias.take());
        self.emergency |= emergency;
    }
}

/// `session-type` of mcptt-info and mcvideo-info (TS 24.379 F.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionType {
    /// Private call.
    Private,
    /// Prearranged group call.
    Prearranged,
    /// Chat group call.
    Chat,
    /// First-to-answer call (Rel-14).
    FirstToAnswer,
    /// Ambient listening (Rel-14).
    AmbientListening,
    /// Ad hoc group call (Rel-18).
    Adhoc,
}

impl SessionType {
    /// The value as the schema writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Prearranged => "prearranged",
            Self::Chat => "chat",
            Self::FirstToAnswer => "first-to-answer",
            Self::AmbientListening => "ambient-listening",
            Self::Adhoc => "adhoc",
        }
    }
}
