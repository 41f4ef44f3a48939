//! The engine that plays and checks calls; the demo and `homeward-load` use it.
//!
//! [`run`] takes a [`Plan`] and gives a [`Report`]: it places calls over the NG protocol with any
//! daemon that speaks it, plays both parties of each, and checks that every packet arrives at
//! the other party unchanged and once. All that is sent is a pure function of the plan's seed
//! ([`media`], [`script`]), so the receiving side ([`check`]) needs no copy of it.
//!
//! The engine knows nothing of relays beyond the protocol; it must not use other parts of
//! Homeward than `wire` and `sys`, or it would share their mistakes.

pub mod check;
pub mod media;
pub mod ng;
pub mod plan;
pub mod recordings;
pub mod report;
pub mod script;

mod call;
mod control;
mod engine;
mod receiver;
mod sdp;
mod sender;
mod summary;
#[cfg(test)]
mod tests;

pub use engine::{Progress, RunError, run};
pub use media::{Side, Stream};
pub use plan::{Codec, Mode, Plan, PlanError};
pub use report::{CallExpectation, PartyExpectation, Report};
pub use sdp::SdpError;
