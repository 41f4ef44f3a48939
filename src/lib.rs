//! Homeward: a media relay that brings the calls of migrated mission-critical users home.
//!
//! A user of one mission-critical system (the *primary*) may migrate to another (the *partner*)
//! and be served there (3GPP TS 23.280 5.2.9.1). Homeward runs beside the partner's MC server,
//! carries the RTP of its calls, and copies the media of migrated users to the primary's loggers.
//!
//! Layers, from the bottom: [`wire`] and [`sys`] know nothing of the others; [`migration`] and
//! [`session`] are the pure core; [`plane`] moves packets; [`mirror`] and [`logger`] are the two
//! ends of the way home; [`hook`] is how signalling drives it all; [`runtime`] ties the parts
//! together. [`manual`] is the long-form documentation.

pub mod admin;
pub mod cli;
pub mod config;
pub mod hook;
pub mod logger;
pub mod manual;
pub mod migration;
pub mod mirror;
pub mod plane;
pub mod runtime;
pub mod session;
pub mod store;
pub mod sys;
pub mod telemetry;
pub mod traffic;
pub mod wire;
