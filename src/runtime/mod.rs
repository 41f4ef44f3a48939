//! Puts the parts together: the control loop, the plane, hooks, logger, store, signals.
//!
//! One thread runs the control loop and all servers on a small tokio runtime; data plane workers,
//! the logger and the store have threads of their own. [`relay::Relay`] is a running relay,
//! [`engine::Engine`] the heart of its control loop.

mod announcer;
mod changes;
pub mod client;
mod contact;
pub mod control;
pub mod door;
pub mod engine;
mod handover;
mod home_sip;
mod homes;
pub mod journal;
mod lifetime;
mod limited;
mod lock;
pub mod logger;
mod loggers;
mod media_anchor;
mod metrics;
mod mirrors;
mod primary;
pub mod relay;
pub mod reload;
mod servers;
mod setup;
pub mod signals;
mod sip;
pub mod sockets;
mod surroundings;
mod users;
