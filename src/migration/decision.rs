//! The routing decision: for one leg of a call, whether its media goes home, and why.

use serde::Serialize;

use super::agreement::{Agreement, Mode};
use super::context::CallContext;
use super::identity::{McId, Service, SystemName};
use super::record::RecordId;
use super::registry::Registry;
use crate::wire::block::MediaKind;
use crate::wire::time::Timestamp;

/// Which end of the call a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LegRole {
    /// The leg whose SDP was in the first offer.
    Calling,
    /// A leg that answers.
    Called,
}

/// What was decided for one leg, with all that explains it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The ID or alias that the look-up was made with.
    pub looked_up: Option<McId>,
    /// What follows.
    pub outcome: Outcome,
}

/// The outcome of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The leg's media goes home.
    Mirror(MirrorRule),
    /// It does not, and nothing is kept.
    None {
        /// Why not.
        reason: Reason,
    },
    /// Signalling has told nothing yet.
    Undecided,
}

/// How the media of a migrated leg goes home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MirrorRule {
    /// The record that says the user has migrated.
    pub record: RecordId,
    /// The service that matched.
    pub service: Service,
    /// The user's ID at home.
    pub primary_id: McId,
    /// The user's ID here.
    pub partner_id: McId,
    /// The system that it goes to.
    pub primary_system: SystemName,
    /// Duplicate or redirect.
    pub mode: Mode,
    /// Media kinds that go home.
    pub media: Vec<MediaKind>,
    /// Names of loggers in order of preference.
    pub loggers: Vec<String>,
    /// Whether signalling may stop it.
    pub mandatory: bool,
}

/// Why a leg is not mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The context does not name this leg's party.
    PartyUnknown,
    /// No migration record matches the party.
    NotMigrated,
    /// A record matches, but it is not in force yet, or no more.
    MigrationNotInForce,
    /// The user has migrated, but no agreement with the primary is configured.
    NoAgreement,
    /// The agreement does not let users of that primary migrate to us.
    AgreementOneWay,
    /// The agreement does not cover the service.
    ServiceNotCovered,
    /// The agreement denies the session type.
    SessionTypeDenied,
}

/// Decides for one leg. Pure; the same arguments give the same decision.
pub fn decide(
    context: &CallContext,
    role: LegRole,
    registry: &Registry,
    agreements: &[Agreement],
    now: Timestamp,
) -> Decision {
    let _ = (context, role, registry, agreements, now);
    Decision {
        looked_up: None,
        outcome: Outcome::Undecided,
    }
}
