//! Calls, legs, streams; offer and answer; which streams are mirrored.
//!
//! The pure core of the control path. One way in, [`core::Core::handle`] (requests from
//! signalling) and [`core::Core::handle_event`] (news from the workers and time), one way out:
//! after each of them drain [`core::Core::poll_command`], then ask [`core::Core::poll_timeout`]
//! when to call again. It knows no socket, no clock, no task. What it needs at once from outside
//! (a bound port, a counter's value) it asks of a [`host::Host`].

mod apply;
mod call;
pub mod command;
pub mod core;
mod delete;
mod exchange;
mod explain;
mod facing;
mod flows;
mod home;
pub mod host;
pub mod ids;
pub mod journal;
mod media;
mod named;
mod names;
mod negotiate;
mod operate;
pub mod options;
mod party;
mod ports;
pub mod recording;
pub mod reply;
pub mod request;
pub mod rewrite;
mod scope;
mod sockets;
mod timers;
mod view;
