//! The primary's users: who they are for each service, and to which partner systems their profiles
//! let them migrate (TS 23.280 5.2.9.1, 10.1.4.1, 10.1.4.3); and the verdict on a migration.
//!
//! Pure: `crate::store::users` keeps it all, [`super::mark`] says what follows from a verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::agreement::Kind;
use super::identity::{McId, Service, SystemName};
use super::secret::Secret;
use super::telling::Telling;

/// The name that the primary's operators give a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(Box<str>);

impl UserId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        match (1..=MAX_USER_ID).contains(&text.len()) && text.chars().all(good) {
            true => Ok(Self(text.into())),
            false => Err(format!(
                "a user's name must be 1 to {MAX_USER_ID} letters, digits, hyphens, underscores, \
                 dots or @"
            )),
        }
    }
}

/// A user of the primary system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its name.
    pub id: UserId,
    /// Its MC service ID for each service; the same one may serve for several.
    pub ids: BTreeMap<Service, McId>,
    /// Its profiles, by rising index.
    pub profiles: Vec<Profile>,
}

/// One user profile (TS 23.280 10.1.4.1: a user may have several, selected by index).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Its index.
    pub index: u32,
    /// Systems that the user may migrate to with it.
    pub partners: Vec<PartnerAccess>,
}

/// A partner system in a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartnerAccess {
    /// The system.
    pub system: SystemName,
    /// Access data for service authentication there.
    pub access: Option<Secret>,
}

impl User {
    /// What is wrong with it, as (member, reason); empty for a good one.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.ids.is_empty() {
            faults.push((
                "ids",
                "must name an MC service ID of one service".to_owned(),
            ));
        }
        if self.profiles.len() > MAX_PROFILES {
            faults.push(("profiles", format!("more than {MAX_PROFILES}")));
        }
        for (place, profile) in self.profiles.iter().enumerate() {
            let index = profile.index;
            let former = self.profiles.iter().take(place);
            if former.into_iter().any(|former| former.index == index) {
                faults.push(("profiles", format!("index {index} stands twice")));
            }
            if profile.partners.len() > MAX_PARTNERS {
                faults.push(("profiles", format!("more than {MAX_PARTNERS} partners")));
            }
            for (place, partner) in profile.partners.iter().enumerate() {
                let mut former = profile.partners.iter().take(place);
                if former.any(|former| former.system == partner.system) {
                    let system = &partner.system;
                    faults.push(("profiles", format!("{system} stands twice in {index}")));
                }
            }
        }
        faults
    }

    /// Whether a profile holds access data.
    pub fn has_access_data(&self) -> bool {
        let mut partners = self.profiles.iter().flat_map(|profile| &profile.partners);
        partners.any(|partner| partner.access.is_some())
    }
}

impl Profile {
    fn lists(&self, system: &SystemName) -> bool {
        self.partners
            .iter()
            .any(|partner| partner.system == *system)
    }
}

/// What the primary has agreed with another system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Partner {
    /// The other system.
    pub system: SystemName,
    /// Which way users may migrate.
    pub kind: Kind,
    /// Services that users may migrate with.
    pub services: Vec<Service>,
    /// Whether the systems are interconnected, as those that offer migration must be
    /// (TS 23.280 5.2.9.1).
    pub interconnected: bool,
}

impl Partner {
    /// Whether our users may migrate there at all.
    pub const fn lets_out(&self) -> bool {
        match self.kind {
            Kind::Bilateral | Kind::UnilateralOut => true,
            Kind::UnilateralIn => false,
        }
    }
}

/// Why a migration is refused; stable words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Whoever tells it speaks for another system than its own, or of users who are not ours.
    WrongSystem,
    /// No agreement lets our users migrate there.
    NoAgreement,
    /// The systems are not interconnected.
    NoInterconnection,
    /// The agreement does not cover the service.
    ServiceNotAllowed,
    /// No user has this ID for this service.
    UserUnknown,
    /// The user has no profile with this index.
    ProfileUnknown,
    /// The profile, or without an index every one, does not list the system.
    PartnerNotInProfile,
    /// Another user has this ID at the partner.
    PartnerIdInUse,
    /// The user has moved on to another system since.
    AlreadyMigratedElsewhere,
    /// The primary has ended this migration.
    EndedByPrimary,
    /// Too many migrations of this user are still to begin.
    TooManyPending,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::WrongSystem,
        Self::NoAgreement,
        Self::NoInterconnection,
        Self::ServiceNotAllowed,
        Self::UserUnknown,
        Self::ProfileUnknown,
        Self::PartnerNotInProfile,
        Self::PartnerIdInUse,
        Self::AlreadyMigratedElsewhere,
        Self::EndedByPrimary,
        Self::TooManyPending,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongSystem => "wrong-system",
            Self::NoAgreement => "no-agreement",
            Self::NoInterconnection => "no-interconnection",
            Self::ServiceNotAllowed => "service-not-allowed",
            Self::UserUnknown => "user-unknown",
            Self::ProfileUnknown => "profile-unknown",
            Self::PartnerNotInProfile => "partner-not-in-profile",
            Self::PartnerIdInUse => "partner-id-in-use",
            Self::AlreadyMigratedElsewhere => "already-migrated-elsewhere",
            Self::EndedByPrimary => "ended-by-primary",
            Self::TooManyPending => "too-many-pending",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no reason of a refusal"))
    }
}

/// Whether the user may migrate as told, by what the systems have agreed and by the user's
/// profiles. `partner` is the agreement with the system that tells it, `user` who has the primary
/// ID for this service. What the systems have not agreed comes first, so that a partner without an
/// agreement learns nothing about users.
///
/// # Errors
/// Why not.
pub fn verdict(
    telling: &Telling,
    partner: Option<&Partner>,
    user: Option<&User>,
) -> Result<(), Reason> {
    let partner = partner.filter(|partner| partner.lets_out());
    let partner = partner.ok_or(Reason::NoAgreement)?;
    if !partner.interconnected {
        return Err(Reason::NoInterconnection);
    }
    if !partner.services.contains(&telling.service) {
        return Err(Reason::ServiceNotAllowed);
    }
    let has_id = |user: &&User| user.ids.get(&telling.service) == Some(&telling.primary_id);
    let user = user.filter(has_id).ok_or(Reason::UserUnknown)?;
    let listed = match telling.profile_index {
        None => user.profiles.iter().any(|p| p.lists(&partner.system)),
        Some(index) => {
            let profile = user.profiles.iter().find(|p| p.index == index);
            let profile = profile.ok_or(Reason::ProfileUnknown)?;
            profile.lists(&partner.system)
        }
    };
    match listed {
        true => Ok(()),
        false => Err(Reason::PartnerNotInProfile),
    }
}

const MAX_USER_ID: usize = 128;
const MAX_PROFILES: usize = 32;
const MAX_PARTNERS: usize = 64;

#[cfg(test)]
#[path = "profile/tests.rs"]
mod tests;
