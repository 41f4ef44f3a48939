//! The NG control protocol: how SIP proxies (Kamailio, OpenSIPS) drive the relay.
//!
//! A datagram goes through these, in this order: [`message`] (envelope), [`cache`] (repeats of a
//! request already seen), [`command`] (which request it is, with [`fields`], [`options`] and
//! [`context`]), then the core by way of [`super::Control`], and back through [`reply`] and
//! [`view`]. All of them are pure; [`udp`] alone has sockets and tasks. Other transports can use
//! the same parts.

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
