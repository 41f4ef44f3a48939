//! The routing decision: for one leg of a call, whether its media goes home, and why.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::agreement::{Agreement, Mode, OnFailedMigration, OnLoggerLoss};
use super::context::CallContext;
use super::identity::{McId, Service, SystemName};
use super::record::{Record, RecordId};
use super::registry::Registry;
use crate::wire::block::MediaKind;
use crate::wire::time::Timestamp;

/// Which end of the call a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LegRole {
    /// The leg whose SDP was in the first offer.
    Calling,
    /// A leg that answers.
    Called,
}

/// What was decided for one leg, with all that explains it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The ID or alias that the look-up was made with.
    pub looked_up: Option<McId>,
    /// Why the migration of the party failed, if that is what counts for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What follows.
    pub outcome: Outcome,
}

/// The outcome of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Names of the primary's media anchors in order of preference, for `Mode::Redirect`.
    pub anchors: Vec<String>,
    /// Whether signalling may stop it.
    pub mandatory: bool,
    /// What becomes of the call if no logger takes the mirror.
    pub on_logger_loss: OnLoggerLoss,
    /// Why the user's migration failed; the agreement has such users served all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Decision {
    fn none(looked_up: Option<McId>, reason: Reason) -> Self {
        Self {
            looked_up,
            failure: None,
            outcome: Outcome::None { reason },
        }
    }

    /// Nothing was asked, since signalling has told nothing.
    pub const fn undecided() -> Self {
        Self {
            looked_up: None,
            failure: None,
            outcome: Outcome::Undecided,
        }
    }

    /// Why the party may not take part in new calls: its migration failed, and no agreement has
    /// it served.
    pub fn rejection(&self) -> Option<&str> {
        match self.outcome {
            Outcome::None {
                reason: Reason::MigrationFailed,
            } => Some(self.failure.as_deref().unwrap_or_default()),
            Outcome::None { .. } | Outcome::Mirror(_) | Outcome::Undecided => None,
        }
    }

    /// The rule, if the leg's media goes home.
    pub const fn rule(&self) -> Option<&MirrorRule> {
        match &self.outcome {
            Outcome::Mirror(rule) => Some(rule),
            Outcome::None { .. } | Outcome::Undecided => None,
        }
    }
}

impl Reason {
    /// The reason in words, for `explain` and logs.
    pub const fn text(self) -> &'static str {
        match self {
            Self::PartyUnknown => "signalling did not name this party",
            Self::NotMigrated => "no migration is known for this party",
            Self::MigrationNotInForce => "the party's migration has ended or has not begun",
            Self::MigrationFailed => {
                "the party's migration failed, and no agreement has such users served"
            }
            Self::NoAgreement => "there is no agreement with the party's primary system",
            Self::AgreementOneWay => {
                "the agreement does not cover users who migrate to this system"
            }
            Self::ServiceNotCovered => "the agreement does not cover the service",
            Self::SessionTypeDenied => "the agreement denies this type of session",
            Self::ServiceAmbiguous => {
                "several users have this name in different services, and signalling named no service"
            }
        }
    }
}

/// Why a leg is not mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The context does not name this leg's party.
    PartyUnknown,
    /// No migration record matches the party.
    NotMigrated,
    /// A record matches, but it is not in force yet, or no more.
    MigrationNotInForce,
    /// The user's migration failed, and no agreement has such users served.
    MigrationFailed,
    /// The user has migrated, but no agreement with the primary is configured.
    NoAgreement,
    /// The agreement does not let users of that primary migrate to us.
    AgreementOneWay,
    /// The agreement does not cover the service.
    ServiceNotCovered,
    /// The agreement denies the session type.
    SessionTypeDenied,
    /// Signalling names no service, and users of several services go by that name.
    ServiceAmbiguous,
}

/// The names that signalling gave one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'a> {
    /// Its MC service ID, or a functional alias in the place of one.
    pub id: Option<&'a McId>,
    /// The functional alias that it uses, or is addressed by.
    pub alias: Option<&'a McId>,
}

impl<'a> Names<'a> {
    /// What the context of the call says of this end of it.
    pub const fn of(context: &'a CallContext, role: LegRole) -> Self {
        let (id, alias) = match role {
            LegRole::Calling => (&context.calling_id, &context.functional_alias),
            LegRole::Called => (&context.called_id, &context.called_functional_alias),
        };
        Self {
            id: id.as_ref(),
            alias: alias.as_ref(),
        }
    }
}

/// Decides for the leg at one end of the call, known by the context alone.
pub fn decide(
    context: &CallContext,
    role: LegRole,
    registry: &Registry,
    agreements: &[Agreement],
    now: Timestamp,
) -> Decision {
    let names = Names::of(context, role);
    decide_for(names, context, registry, agreements, now)
}

/// Decides for one leg. Pure; the same arguments give the same decision.
///
/// The leg's party is looked up under the ID that signalling gave it: as an ID that we issued, as
/// an ID from home, as a functional alias (TS 23.280 10.16.3, 10.16.5). It is also looked up under
/// the alias that it uses or is addressed by, if its ID leads to no migration in force. Without a
/// service in the context the record's own counts, as long as all that match mean the same user.
pub fn decide_for(
    names: Names<'_>,
    context: &CallContext,
    registry: &Registry,
    agreements: &[Agreement],
    now: Timestamp,
) -> Decision {
    // A leg may have a name of its own where nothing is known of the call.
    if context.is_empty() && names.id.is_none() && names.alias.is_none() {
        return Decision::undecided();
    }
    let by_id = names.id.map(|id| {
        let found = registry.by_id(id);
        (id, matching(found, context.service, now))
    });
    let by_alias = names.alias.map(|alias| {
        let found = registry.by_alias(alias);
        (alias, matching(found, context.service, now))
    });
    let mut tried = [by_id, by_alias].into_iter().flatten();
    let Some(first) = tried.next() else {
        return Decision::none(None, Reason::PartyUnknown);
    };
    // What says most wins; of equals the ID.
    let (name, found) = tried.fold(first, |best, next| {
        match next.1.weight() > best.1.weight() {
            true => next,
            false => best,
        }
    });
    let looked_up = Some(name.clone());
    match found {
        Match::None => Decision::none(looked_up, Reason::NotMigrated),
        Match::NotInForce => Decision::none(looked_up, Reason::MigrationNotInForce),
        Match::Ambiguous => Decision::none(looked_up, Reason::ServiceAmbiguous),
        Match::InForce(records) => agreed_outcome(looked_up, &records, context, agreements),
    }
}

/// What a look-up gave.
enum Match<'a> {
    None,
    NotInForce,
    Ambiguous,
    /// Records of one user, one for each service; never empty.
    InForce(SmallVec<[&'a Record; 3]>),
}

impl Match<'_> {
    const fn weight(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::NotInForce => 1,
            Self::Ambiguous => 2,
            Self::InForce(_) => 3,
        }
    }
}

fn matching<'a>(
    found: impl Iterator<Item = (Service, &'a Record)>,
    service: Option<Service>,
    now: Timestamp,
) -> Match<'a> {
    let mut any = false;
    let mut records: SmallVec<[&Record; 3]> = SmallVec::new();
    for (of, record) in found.take(MAX_MATCHES) {
        if service.is_some_and(|service| service != of) {
            continue;
        }
        any = true;
        // The first one of a service is the best one.
        if record.in_force(now) && records.iter().all(|other| other.service != of) {
            records.push(record);
        }
    }
    records.sort_by_key(|record| record.service);
    let Some(first) = records.first() else {
        return if any { Match::NotInForce } else { Match::None };
    };
    let home = (&first.primary_system, &first.primary_id);
    match records
        .iter()
        .all(|record| (&record.primary_system, &record.primary_id) == home)
    {
        true => Match::InForce(records),
        false => Match::Ambiguous,
    }
}

/// The first record that the agreement lets go home; if there is none, why the first does not.
fn agreed_outcome(
    looked_up: Option<McId>,
    records: &[&Record],
    context: &CallContext,
    agreements: &[Agreement],
) -> Decision {
    let mut refusal = (Reason::NotMigrated, None);
    for (place, record) in records.iter().enumerate() {
        let failure = record.standing.failure();
        match agreed(record, context, agreements) {
            Ok(agreement) => {
                return Decision {
                    looked_up,
                    failure: failure.map(str::to_owned),
                    outcome: Outcome::Mirror(rule(record, agreement)),
                };
            }
            Err(reason) if place == 0 => refusal = (reason, failure),
            Err(_) => {}
        }
    }
    let (reason, failure) = refusal;
    Decision {
        failure: failure.map(str::to_owned),
        ..Decision::none(looked_up, reason)
    }
}

fn agreed<'a>(
    record: &Record,
    context: &CallContext,
    agreements: &'a [Agreement],
) -> Result<&'a Agreement, Reason> {
    let with = |agreement: &&Agreement| agreement.primary == record.primary_system;
    let found = agreements.iter().find(with);
    let serves = |agreement: &&Agreement| agreement.on_failed_migration == OnFailedMigration::Serve;
    // Without an agreement nobody has said that such users are served, and to refuse them is what
    // an agreement does that does not say it either.
    if record.standing.failure().is_some() && found.filter(serves).is_none() {
        return Err(Reason::MigrationFailed);
    }
    let agreement = found.ok_or(Reason::NoAgreement)?;
    if !agreement.lets_in() {
        return Err(Reason::AgreementOneWay);
    }
    if !agreement.covers(record.service) {
        return Err(Reason::ServiceNotCovered);
    }
    if agreement.denies(context.session_type) {
        return Err(Reason::SessionTypeDenied);
    }
    Ok(agreement)
}

fn rule(record: &Record, agreement: &Agreement) -> MirrorRule {
    MirrorRule {
        record: record.id,
        service: record.service,
        primary_id: record.primary_id.clone(),
        partner_id: record.partner_id.clone(),
        primary_system: record.primary_system.clone(),
        mode: agreement.mode,
        media: agreement.media.clone(),
        loggers: agreement.loggers.clone(),
        anchors: agreement.anchors.clone(),
        mandatory: agreement.mandatory,
        on_logger_loss: agreement.on_logger_loss,
        failed: record.standing.failure().map(str::to_owned),
    }
}

/// How many records of one name are looked at; there are that many only if a user has many
/// scheduled migrations.
const MAX_MATCHES: usize = 64;

#[cfg(test)]
mod tests;
