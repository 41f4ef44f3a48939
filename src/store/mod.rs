//! Durable state in embedded SQLite databases, one file a purpose.
//!
//! Registry and index are each owned by a thread fed by a bounded queue; what waits there is
//! committed together. Users are few changes, made by whoever waits for them. Nothing here is on the way of a packet or of an SDP answer.

pub mod index;
pub mod journal;
pub mod registry;
mod sqlite;
pub mod users;
