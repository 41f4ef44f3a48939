//! From a dictionary to a request of the core (NG reference 4 to 9).
//!
//! [`translate`] is pure and total: any dictionary gives a request or a refusal in the words that
//! proxies and operators' scripts know.

use thiserror::Error;
use tracing::debug;

use super::context::ContextKeys;
use super::fields::{Folded, int, list, switch, text};
use super::options::Settings;
use super::rtpp::{self, Word};
use crate::session::ids::{CallId, Tag};
use crate::session::recording::Switch;
use crate::session::request::{Delete, Exchange, Query, Request};
use crate::wire::bencode::{Dict, Value};

/// A request as understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// Which command it was, for the counters.
    pub command: Command,
    /// What to do.
    pub action: Result<Action, Refusal>,
    /// How to put the answer.
    pub shape: Shape,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Answer `pong`.
    Ping,
    /// Ask the core.
    Core(Request),
}

/// What the request says about its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The client understands `load limit` (10.2).
    pub load_limit: bool,
    /// No statistics in the answer to `delete`.
    pub fast: bool,
    /// What was passed over though it mattered.
    pub warning: Option<&'static str>,
}

/// The commands, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// `ping`.
    Ping,
    /// `offer`.
    Offer,
    /// `answer`.
    Answer,
    /// `delete`.
    Delete,
    /// `query`.
    Query,
    /// `list`.
    List,
    /// `statistics`.
    Statistics,
    /// `start recording`.
    StartRecording,
    /// `stop recording`.
    StopRecording,
    /// `pause recording`.
    PauseRecording,
    /// One of the protocol that this relay does not do (yet).
    Unsupported,
    /// None of the protocol, or none at all.
    Unknown,
}

impl Command {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Ping,
        Self::Offer,
        Self::Answer,
        Self::Delete,
        Self::Query,
        Self::List,
        Self::Statistics,
        Self::StartRecording,
        Self::StopRecording,
        Self::PauseRecording,
        Self::Unsupported,
        Self::Unknown,
    ];

    /// The short name in counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::List => "list",
            Self::Statistics => "statistics",
            Self::StartRecording => "start_recording",
            Self::StopRecording => "stop_recording",
            Self::PauseRecording => "pause_recording",
            Self::Unsupported => "unsupported",
            Self::Unknown => "unknown",
        }
    }

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Names are matched exactly, as other daemons do.
    fn named(name: &str) -> Self {
        match name {
            "ping" => Self::Ping,
            "offer" => Self::Offer,
            "answer" => Self::Answer,
            "delete" => Self::Delete,
            "query" => Self::Query,
            "list" => Self::List,
            "statistics" => Self::Statistics,
            "start recording" => Self::StartRecording,
            "stop recording" => Self::StopRecording,
            "pause recording" => Self::PauseRecording,
            _ if NEED_CODEC.contains(&name) || NOT_YET.contains(&name) => Self::Unsupported,
            _ => Self::Unknown,
        }
    }
}

/// Why a request does not reach the core; the text is the `error-reason`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No `command`.
    #[error("Dictionary contains no key \"command\"")]
    NoCommand,
    /// Not a command.
    #[error("Unrecognized command")]
    UnknownCommand,
    /// No `sdp`, or an empty one.
    #[error("No SDP body in message")]
    NoSdp,
    /// No `call-id`.
    #[error("No call-id in message")]
    NoCallId,
    /// No `from-tag`.
    #[error("No from-tag in message")]
    NoFromTag,
    /// No `to-tag` in an answer.
    #[error("No to-tag in message")]
    NoToTag,
    /// `limit` below zero.
    #[error("invalid limit, must be >= 0")]
    Limit,
    /// What was asked needs a codec, ICE or SRTP, or is not done by this relay; the text, which
    /// is not part of the `error-reason`, says what.
    #[error("unsupported")]
    Unsupported(&'static str),
    /// A value that cannot be read: the key and the reason.
    #[error("{key}: {reason}")]
    Bad {
        /// The key, as this daemon spells it.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Refusal {
    pub(super) const fn bad(key: &'static str, reason: String) -> Self {
        Self::Bad { key, reason }
    }
}

/// Understands a dictionary.
pub fn translate(dict: &Dict<'_>) -> Translated {
    let Some(name) = command_name(dict) else {
        return refused(Command::Unknown, Refusal::NoCommand);
    };
    let command = Command::named(&name);
    let keys = match command {
        Command::Unknown => return refused(command, Refusal::UnknownCommand),
        Command::Unsupported => return refused(command, unsupported(&name)),
        Command::Ping => Keys::default(),
        Command::Offer
        | Command::Answer
        | Command::Delete
        | Command::Query
        | Command::List
        | Command::Statistics
        | Command::StartRecording
        | Command::StopRecording
        | Command::PauseRecording => Keys::of(dict),
    };
    let mut shape = Shape {
        load_limit: keys.load_limit,
        fast: keys.fast,
        warning: None,
    };
    let action = keys.action(command, &mut shape);
    Translated {
        command,
        action,
        shape,
    }
}

/// Whether it is a `ping`, which needs no look at anything else.
pub fn is_ping(dict: &Dict<'_>) -> bool {
    dict.get("command").and_then(Value::as_bytes) == Some(b"ping")
}

fn unsupported(name: &str) -> Refusal {
    Refusal::Unsupported(if NEED_CODEC.contains(&name) {
        "this relay has no codecs"
    } else {
        "this relay does not do this command"
    })
}

fn refused(command: Command, refusal: Refusal) -> Translated {
    Translated {
        command,
        action: Err(refusal),
        shape: Shape::default(),
    }
}

fn command_name<'d>(dict: &'d Dict<'_>) -> Option<std::borrow::Cow<'d, str>> {
    let exact = dict.get("command");
    let folded = || {
        dict.iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(b"command"))
            .map(|(_, value)| value)
            .last()
    };
    text(exact.or_else(folded)?)
}

/// Everything that the keys of a request say.
#[derive(Debug, Default)]
struct Keys {
    call_id: Option<Box<str>>,
    from_tag: Option<Box<str>>,
    to_tag: Option<Box<str>>,
    via_branch: Option<Box<str>>,
    sdp: Vec<u8>,
    limit: Option<i64>,
    delete_delay: Option<i64>,
    load_limit: bool,
    use_to_tag: bool,
    fatal: bool,
    fast: bool,
    pause: bool,
    discard: bool,
    settings: Settings,
    context: ContextKeys,
    bad_name: Option<Refusal>,
    nesting: u8,
}

impl Keys {
    fn of(dict: &Dict<'_>) -> Self {
        let mut keys = Self::default();
        for (raw, value) in dict.iter() {
            keys.key(raw, value);
        }
        keys
    }

    fn key(&mut self, raw: &[u8], value: &Value<'_>) {
        let Some(folded) = Folded::new(raw) else {
            debug!("key without effect");
            return;
        };
        let name = folded.as_str();
        match name {
            "command" => {}
            "call-id" | "callid" => self.call_id = self.name("call-id", value),
            "from-tag" => self.from_tag = self.name("from-tag", value),
            "to-tag" => self.to_tag = self.name("to-tag", value),
            "via-branch" => self.via_branch = self.name("via-branch", value),
            "sdp" => self.sdp = value.as_bytes().unwrap_or_default().to_vec(),
            "limit" => self.limit = int(value),
            "delete-delay" => self.delete_delay = int(value),
            "supports" => {
                self.load_limit |= list(value).any(|item| {
                    Folded::new(item.as_bytes()).is_some_and(|item| item.as_str() == "load-limit")
                });
            }
            "flags" | "rtpp-flags" if self.nesting >= MAX_NESTING => {}
            "flags" => self.nested(|keys| list(value).for_each(|flag| keys.flag(&flag))),
            "rtpp-flags" => {
                let flags = text(value).unwrap_or_default();
                self.nested(|keys| {
                    rtpp::words(&flags)
                        .into_iter()
                        .for_each(|word| keys.word(word))
                });
            }
            _ if self.context.key(name, value) || self.settings.key(name, value) => {}
            // What is left is a flag written as a key, or unknown.
            _ => match switch(value) {
                Some(true) => self.flag(&String::from_utf8_lossy(raw)),
                Some(false) => self.settings.flag_off(name),
                None => debug!(key = name, "key without effect"),
            },
        }
    }

    /// Flags may hold keys that hold flags; not without end.
    fn nested(&mut self, read: impl FnOnce(&mut Self)) {
        self.nesting += 1;
        read(self);
        self.nesting -= 1;
    }

    fn word(&mut self, word: Word<'_>) {
        match word {
            Word::Flag(flag) => self.flag(flag),
            Word::Key(key, value) => self.key(key.as_bytes(), &value),
        }
    }

    fn flag(&mut self, raw: &str) {
        let raw = raw.trim();
        if let Some((key, value)) = raw.split_once('=') {
            self.nested(|keys| {
                if keys.nesting <= MAX_NESTING {
                    keys.key(key.as_bytes(), &Value::from(value));
                }
            });
            return;
        }
        let Some(folded) = Folded::new(raw.as_bytes()) else {
            debug!("flag without effect");
            return;
        };
        match folded.as_str() {
            "to-tag" => self.use_to_tag = true,
            "fatal" => self.fatal = true,
            "fast" => self.fast = true,
            "pause" => self.pause = true,
            "discard-recording" => self.discard = true,
            name => self.settings.flag(name, raw),
        }
    }

    /// A call-id, tag or branch; empty means absent.
    fn name(&mut self, key: &'static str, value: &Value<'_>) -> Option<Box<str>> {
        match text(value) {
            Some(text) if text.is_empty() => None,
            Some(text) => Some(text.as_ref().into()),
            None => {
                let refusal = Refusal::bad(key, "not a text in UTF-8".to_owned());
                self.bad_name.get_or_insert(refusal);
                None
            }
        }
    }

    fn action(mut self, command: Command, shape: &mut Shape) -> Result<Action, Refusal> {
        if let Some(refusal) = self.bad_name.take() {
            return Err(refusal);
        }
        let request = match command {
            Command::Ping => return Ok(Action::Ping),
            Command::Offer => Request::Offer(self.exchange(shape, false)?),
            Command::Answer => Request::Answer(self.exchange(shape, true)?),
            Command::Delete => Request::Delete(self.delete()?),
            Command::Query => Request::Query(self.query()?),
            Command::List => Request::List {
                limit: usize::try_from(self.limit.unwrap_or(DEFAULT_LIMIT))
                    .map_err(|_| Refusal::Limit)?,
            },
            Command::Statistics => Request::Statistics,
            Command::StartRecording => self.recording(Switch::On, shape)?,
            Command::StopRecording if self.pause => self.recording(Switch::Paused, shape)?,
            Command::StopRecording => self.recording(Switch::Stopped, shape)?,
            Command::PauseRecording => self.recording(Switch::Paused, shape)?,
            Command::Unsupported => return Err(unsupported("")),
            Command::Unknown => return Err(Refusal::UnknownCommand),
        };
        Ok(Action::Core(request))
    }

    fn exchange(self, shape: &mut Shape, answer: bool) -> Result<Box<Exchange>, Refusal> {
        if self.sdp.is_empty() {
            return Err(Refusal::NoSdp);
        }
        let call_id = CallId(self.call_id.ok_or(Refusal::NoCallId)?);
        let from_tag = Tag(self.from_tag.ok_or(Refusal::NoFromTag)?);
        if answer && self.to_tag.is_none() {
            return Err(Refusal::NoToTag);
        }
        let (options, warning) = self.settings.finish()?;
        shape.warning = warning;
        Ok(Box::new(Exchange {
            call_id,
            from_tag,
            to_tag: self.to_tag.map(Tag),
            via_branch: self.via_branch,
            sdp: self.sdp,
            options,
            context: self.context.finish()?,
        }))
    }

    fn delete(self) -> Result<Delete, Refusal> {
        let to_tag = self.to_tag.filter(|_| self.use_to_tag);
        Ok(Delete {
            call_id: CallId(self.call_id.ok_or(Refusal::NoCallId)?),
            from_tag: self.from_tag.map(Tag),
            to_tag: to_tag.map(Tag),
            via_branch: self.via_branch,
            // A negative number asks for the default, as an absent one.
            delay: self
                .delete_delay
                .and_then(|delay| u32::try_from(delay).ok()),
            fatal: self.fatal,
        })
    }

    /// Recording verbs act on the whole call; what is thrown away at a logger is not ours to say.
    fn recording(self, switch: Switch, shape: &mut Shape) -> Result<Request, Refusal> {
        if self.discard {
            shape.warning = Some("discard recording is not done: loggers keep what they have");
        }
        Ok(Request::Recording {
            call_id: CallId(self.call_id.ok_or(Refusal::NoCallId)?),
            switch,
            primary: None,
        })
    }

    fn query(self) -> Result<Query, Refusal> {
        Ok(Query {
            call_id: CallId(self.call_id.ok_or(Refusal::NoCallId)?),
            from_tag: self.from_tag.map(Tag),
            to_tag: self.to_tag.map(Tag),
        })
    }
}

/// Calls that `list` names if it does not say how many.
const DEFAULT_LIMIT: i64 = 32;
const MAX_NESTING: u8 = 3;
/// Commands that need an encoder or a decoder.
const NEED_CODEC: [&str; 8] = [
    "play media",
    "stop media",
    "play DTMF",
    "silence media",
    "unsilence media",
    "transform",
    "inject start",
    "inject stop",
];
/// Commands of the protocol that this relay does not do.
const NOT_YET: [&str; 16] = [
    "start forwarding",
    "stop forwarding",
    "block media",
    "unblock media",
    "block DTMF",
    "unblock DTMF",
    "publish",
    "subscribe request",
    "subscribe answer",
    "unsubscribe",
    "connect",
    "mesh",
    "create",
    "create answer",
    "cli",
    "CLI",
];

#[cfg(test)]
mod tests;
