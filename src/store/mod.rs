//! Durable state in embedded SQLite databases, one file a purpose.
//!
//! A database is owned by a thread of its own, fed by a bounded queue; what waits there is
//! committed together. Nothing here is on the way of a packet or of an SDP answer.

pub mod index;
pub mod journal;
pub mod registry;
mod sqlite;
