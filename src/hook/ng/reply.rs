//! From an answer of the core to a dictionary, and into a datagram that it fits.
//!
//! A UDP reply cannot be longer than [`MAX_REPLY`]. Where it would be, statistics are shortened,
//! never the `sdp`, and never by cutting bytes (NG reference 2).

use super::command::{Command, Refusal, Shape};
use super::counters::Counters;
use super::message::{self, Defect, Encoding};
use super::{statistics, view};
use crate::session::reply::{Error, Reply};
use crate::wire::bencode::{Dict, Value};

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The dictionary could not be read.
    Defect(Defect),
    /// The hook refused it.
    Refusal(Refusal),
    /// The core refused it.
    Core(Error),
}

/// The answer to a request, before it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `pong`.
    Pong,
    /// The core's.
    Reply(Reply),
    /// An error, or a limit.
    Failure(Failure),
}

/// What is needed to write an answer, beside the answer itself.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The command that is answered.
    pub command: Command,
    /// What the request said about its answer.
    pub shape: Shape,
    /// For `statistics`.
    pub counters: &'a Counters,
    /// Seconds since the relay was started, for `statistics`.
    pub uptime: u64,
}

/// A written reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The datagram.
    pub bytes: Vec<u8>,
    /// Whether it holds less than there is to say.
    pub shortened: bool,
}

/// Writes a reply, shortened as much as needed.
pub fn write(
    cookie: &[u8],
    encoding: Encoding,
    answer: &Answer,
    surroundings: &Surroundings<'_>,
) -> Written {
    for cut in 0..=MAX_CUT {
        let bytes = message::encode(cookie, encoding, &dict(answer, surroundings, cut));
        if bytes.len() <= MAX_REPLY {
            return Written {
                bytes,
                shortened: cut > 0,
            };
        }
    }
    // An SDP of 64 kB: nothing shorter would be true.
    let too_long = error("Reply does not fit a datagram", None);
    Written {
        bytes: message::encode(cookie, encoding, &too_long),
        shortened: true,
    }
}

/// The dictionary of an answer. `cut` is how much to leave out: 0 is nothing.
pub fn dict<'a>(answer: &'a Answer, surroundings: &Surroundings<'_>, cut: u32) -> Dict<'a> {
    match answer {
        Answer::Pong => Dict::new().with("result", "pong"),
        Answer::Reply(reply) => good(reply, surroundings, cut),
        Answer::Failure(failure) => bad(failure, surroundings),
    }
}

fn good<'a>(reply: &'a Reply, surroundings: &Surroundings<'_>, cut: u32) -> Dict<'a> {
    let shape = surroundings.shape;
    let dict = match reply {
        Reply::Sdp(sdp) => Dict::new().with("sdp", sdp.as_slice()),
        Reply::Deleted(None) => Dict::new().with("warning", NOTHING_DELETED),
        Reply::Deleted(Some(_)) if shape.fast => Dict::new(),
        Reply::Deleted(Some(call)) | Reply::Call(call) => view::call(call, cut),
        Reply::Calls(calls) => {
            let kept = calls.len().checked_shr(cut).unwrap_or(0);
            let ids = calls.iter().take(kept).map(|id| id.0.as_ref());
            Dict::new().with("calls", Value::list(ids))
        }
        Reply::Statistics(figures) => {
            let (counters, uptime) = (surroundings.counters, surroundings.uptime);
            let statistics = statistics::statistics(figures, counters, uptime, cut);
            Dict::new().with("statistics", statistics)
        }
        Reply::Ok | Reply::Explained(_) | Reply::Page(_) => Dict::new(),
        Reply::Recording(state) => {
            let warning = state.warning.or(shape.warning);
            return Dict::new()
                .with_some("warning", warning)
                .with("result", "ok");
        }
    };
    dict.with_some("warning", shape.warning)
        .with("result", "ok")
}

fn bad(failure: &Failure, surroundings: &Surroundings<'_>) -> Dict<'static> {
    match failure {
        Failure::Defect(defect) => error(&defect.to_string(), None),
        Failure::Refusal(refusal) => {
            let detail = match refusal {
                Refusal::Unsupported(what) => Some(*what),
                Refusal::NoCommand
                | Refusal::UnknownCommand
                | Refusal::NoSdp
                | Refusal::NoCallId
                | Refusal::NoFromTag
                | Refusal::NoToTag
                | Refusal::Limit
                | Refusal::Bad { .. } => None,
            };
            error(&refusal.to_string(), detail)
        }
        Failure::Core(refused) => core_error(refused, surroundings),
    }
}

/// Limits have their own form for clients that know it (10.2). Without it the one text is used
/// that every client takes as "try the next node".
fn core_error(refused: &Error, surroundings: &Surroundings<'_>) -> Dict<'static> {
    let text = refused.to_string();
    let limit = match refused {
        Error::SessionLimit => true,
        Error::Busy => surroundings.command == Command::Offer,
        Error::UnknownCall
        | Error::NothingToDelete
        | Error::BadSdp
        | Error::IncompleteSdp
        | Error::BadDialogue
        | Error::Rewrite(_)
        | Error::OutOfPorts
        | Error::HomeCycle
        | Error::MigrationFailed(_)
        | Error::Unsupported(_) => false,
    };
    if limit && surroundings.shape.load_limit {
        return Dict::new()
            .with("message", text)
            .with("result", "load limit");
    }
    if limit {
        return error(&Error::SessionLimit.to_string(), None);
    }
    let detail = match refused {
        Error::Rewrite(why) => Some(why.as_str()),
        Error::Unsupported(what) => Some(*what),
        Error::MigrationFailed(_)
        | Error::UnknownCall
        | Error::NothingToDelete
        | Error::BadSdp
        | Error::IncompleteSdp
        | Error::BadDialogue
        | Error::OutOfPorts
        | Error::SessionLimit
        | Error::HomeCycle
        | Error::Busy => None,
    };
    error(&text, detail)
}

/// The detail is in a key of its own: the texts are matched on.
fn error(reason: &str, detail: Option<&str>) -> Dict<'static> {
    Dict::new()
        .with("error-reason", reason.to_owned())
        .with_some("message", detail.map(str::to_owned))
        .with("result", "error")
}

/// Longest payload of a UDP datagram over IPv4, in octets.
pub const MAX_REPLY: usize = 65_507;
/// At this level a list of a hundred thousand calls is empty.
const MAX_CUT: u32 = 20;
const NOTHING_DELETED: &str = "Call-ID not found or tags didn't match";

#[cfg(test)]
mod tests;
