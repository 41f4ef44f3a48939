//! Bodies of requests. Those with access data are never quoted in what we say about them.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::migration::identity::{McId, Service, SystemName};
use crate::migration::profile::{PartnerAccess, Profile, User, UserId};
use crate::migration::record::Trigger;
use crate::migration::secret::Secret;
use crate::migration::telling::Telling;
use crate::wire::time::Timestamp;

/// A telling.
pub(super) fn telling(headers: &HeaderMap, body: &Bytes) -> Result<Telling, Problem> {
    parse(headers, body, |error| error.to_string())
}

/// What changes of a migration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    pub(super) sequence: Option<u64>,
    pub(super) partner_id: Option<McId>,
    pub(super) profile_index: Option<u32>,
    pub(super) trigger: Option<Trigger>,
    pub(super) until: Option<Timestamp>,
}

/// Changes of a migration.
pub(super) fn update(headers: &HeaderMap, body: &Bytes) -> Result<Update, Problem> {
    parse(headers, body, |error| error.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    ids: BTreeMap<Service, McId>,
    #[serde(default)]
    profiles: Vec<ProfileBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileBody {
    index: u32,
    #[serde(default)]
    partners: Vec<PartnerBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartnerBody {
    system: SystemName,
    #[serde(default)]
    access: Option<Zeroizing<String>>,
}

/// A user, checked.
pub(super) fn user(id: UserId, headers: &HeaderMap, body: &Bytes) -> Result<User, Problem> {
    // What serde says may quote the body, and the body may hold access data in a wrong place.
    let whole: UserBody = parse(headers, body, |error| {
        let (line, column) = (error.line(), error.column());
        format!("the body is not a user with profiles: see line {line}, column {column}")
    })?;
    let mut user = User {
        id,
        ids: whole.ids,
        profiles: Vec::new(),
    };
    for profile in whole.profiles {
        let partners = profile.partners.into_iter().map(|partner| {
            let secret = |text: Zeroizing<String>| {
                let secret = Secret::new(text.to_string());
                secret.ok_or_else(|| Problem::invalid("access: expected 1 to 4096 octets"))
            };
            Ok(PartnerAccess {
                system: partner.system,
                access: partner.access.map(secret).transpose()?,
            })
        });
        user.profiles.push(Profile {
            index: profile.index,
            partners: partners.collect::<Result<_, Problem>>()?,
        });
    }
    user.profiles.sort_by_key(|profile| profile.index);
    let faults = user.faults();
    let faults: Vec<String> = faults
        .into_iter()
        .map(|(member, text)| format!("{member}: {text}"))
        .collect();
    match faults.is_empty() {
        true => Ok(user),
        false => Err(Problem::invalid(faults.join("; "))),
    }
}

fn parse<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &Bytes,
    say: impl FnOnce(&serde_json::Error) -> String,
) -> Result<T, Problem> {
    let kind = headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::not_json(
            "the body must be JSON, and Content-Type must say application/json",
        ));
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::invalid(say(&error)),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => {
            let (line, column) = (error.line(), error.column());
            Problem::not_json(format!(
                "the body is not JSON: see line {line}, column {column}"
            ))
        }
    })
}
