//! Migrated users, agreements between MC systems, and the routing decision.
//!
//! Pure: time is an argument, nothing is stored or sent from here. [`registry`] knows who has
//! migrated, [`agreement`] what the systems have agreed, [`decision`] what follows for a leg.

pub mod agreement;
pub mod context;
pub mod decision;
pub mod identity;
pub mod mark;
pub mod profile;
pub mod record;
pub mod registry;
pub mod secret;
pub mod telling;
