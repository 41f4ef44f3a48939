//! The NG control protocol: how SIP proxies (Kamailio, OpenSIPS) drive the relay.
//!
//! A datagram goes through these, in this order: [`message`] (envelope), [`cache`] (repeats of a
//! request already seen), [`command`] (which request it is, with [`fields`], [`options`] and
//! [`context`]), then the core by way of [`super::Control`], and back through [`reply`] with
//! [`view`] and [`statistics`]. All of them are pure; [`udp`] alone has sockets and tasks. Other
//! transports can use the same parts.
//!
//! # What is chosen where the protocol leaves a choice
//!
//! - Unknown keys, flags and values are passed over. Refused, with the name of the key and the
//!   reason, are a call context (`mc-...`) and a `media address` that cannot be read: passing over
//!   them would leave a call unrecorded, or send media elsewhere than asked.
//! - `unsupported` comes with a `message` that says what; so does `Error rewriting SDP`.
//! - `codec` rules that need an encoder are passed over, and the reply has a `warning`. `strip: all`
//!   with `except` strips nothing.
//! - A request that finds too many others in flight is dropped and counted; the client repeats it.
//!   `ping` is answered all the same.
//! - A cookie longer than 1,024 octets is none.
//! - A reply too long for a datagram loses statistics: first those by SSRC, then retired sockets,
//!   media, parties; a list of calls is cut in halves. An SDP is never cut.

pub mod allow;
pub mod cache;
pub mod command;
pub mod context;
pub mod counters;
pub mod fields;
mod flags;
mod json;
pub mod message;
pub mod options;
pub mod reply;
mod rtpp;
pub mod statistics;
pub mod udp;
pub mod view;

#[cfg(test)]
mod tests;
