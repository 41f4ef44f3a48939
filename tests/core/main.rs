//! The session core against a made-up world: a host whose ports can be taken, a plane that holds
//! what it was told, a registry, and virtual time. Rules one by one, then all at random.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails its test")]

mod exchange;
mod groups;
mod harness;
mod late;
mod life;
mod losses;
mod media;
mod messages;
mod mirrors;
mod ports;
mod redirect;
mod redirect_changes;
mod restart;
mod simulation;
