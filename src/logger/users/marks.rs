//! `/v1/migrations`: relays of partner systems tell, the primary marks or refuses.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::{debug, warn};

use super::access::Caller;
use super::problem::Problem;
use super::{Primary, body};
use crate::migration::identity::SystemName;
use crate::migration::mark::{EndedBy, Mark, MarkState, Outcome};
use crate::migration::profile::{Reason, UserId};
use crate::migration::record::Trigger;
use crate::migration::telling::Telling;
use crate::store::users::{MarkFilter, Refused};
use crate::wire::time::Timestamp;

/// A mark as JSON shows it: times in RFC 3339.
#[derive(Debug, Serialize)]
pub(super) struct MarkView {
    id: u64,
    user: String,
    service: &'static str,
    primary_id: String,
    /// Whether the user is migrated by it now.
    migrated: bool,
    state: MarkState,
    partner_system: String,
    partner_id: String,
    trigger: Trigger,
    profile_index: Option<u32>,
    since: String,
    until: Option<String>,
    ended_by: Option<EndedBy>,
    accepted: String,
    /// Number of the record at the partner.
    record: u64,
}

impl MarkView {
    pub(super) fn new(mark: &Mark, now: Timestamp) -> Self {
        let told = &mark.told;
        let state = mark.state(now);
        Self {
            id: mark.id,
            user: mark.user.to_string(),
            service: told.service.as_str(),
            primary_id: told.primary_id.to_string(),
            migrated: state == MarkState::Migrated,
            state,
            partner_system: told.partner_system.to_string(),
            partner_id: told.partner_id.to_string(),
            trigger: told.trigger,
            profile_index: told.profile_index,
            since: told.since.to_string(),
            until: mark.until.map(|until| until.to_string()),
            ended_by: mark.ended_by,
            accepted: mark.accepted.to_string(),
            record: told.record,
        }
    }
}

#[derive(Debug, Serialize)]
struct RefusedView {
    reason: Reason,
    times: u64,
    first: String,
    last: String,
    told_by: String,
    service: &'static str,
    primary_id: String,
    primary_system: String,
    partner_system: String,
    partner_id: String,
    trigger: Trigger,
    profile_index: Option<u32>,
    record: u64,
}

impl From<&Refused> for RefusedView {
    fn from(refused: &Refused) -> Self {
        let told = &refused.told;
        Self {
            reason: refused.reason,
            times: refused.times,
            first: refused.first.to_string(),
            last: refused.last.to_string(),
            told_by: refused.told_by.to_string(),
            service: told.service.as_str(),
            primary_id: told.primary_id.to_string(),
            primary_system: told.primary_system.to_string(),
            partner_system: told.partner_system.to_string(),
            partner_id: told.partner_id.to_string(),
            trigger: told.trigger,
            profile_index: told.profile_index,
            record: told.record,
        }
    }
}

/// Which marks; and the latest refusals with the first page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    user: Option<String>,
    partner_system: Option<String>,
    all: Option<bool>,
    after: Option<u64>,
    limit: Option<u32>,
}

/// `GET /v1/migrations`: a partner sees what it has told itself.
pub(super) async fn list(
    State(primary): State<Primary>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let caller = primary.caller(&headers)?;
    let Query(wanted) = query?;
    let user = wanted.user.map(|user| user.parse::<UserId>()).transpose();
    let system = wanted.partner_system.map(|name| name.parse::<SystemName>());
    let system = system.transpose();
    let filter = MarkFilter {
        user: user.map_err(Problem::invalid)?,
        partner_system: match caller {
            Caller::Operator => system.map_err(|error| Problem::invalid(error.to_string()))?,
            Caller::Partner(system) => Some(system),
        },
        all: wanted.all.unwrap_or(false),
        after: wanted.after.unwrap_or(0),
        limit: wanted.limit.unwrap_or(100).clamp(1, 1_000),
    };
    let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let now = primary.clock.now();
    let (marks, refusals) = primary
        .with(move |users, now| {
            let refusals = match filter.after {
                0 if filter.user.is_none() => users.refusals(&filter)?,
                _ => Vec::new(),
            };
            Ok((users.marks(&filter, now)?, refusals))
        })
        .await?;
    let next = marks.last().filter(|_| marks.len() >= limit);
    let next = next.map(|mark| mark.id);
    let marks: Vec<MarkView> = marks.iter().map(|mark| MarkView::new(mark, now)).collect();
    let refusals: Vec<RefusedView> = refusals.iter().map(RefusedView::from).collect();
    let page = json!({ "migrations": marks, "refusals": refusals, "next": next });
    Ok(Json(page).into_response())
}

/// `GET /v1/migrations/{id}`.
pub(super) async fn show(
    State(primary): State<Primary>,
    path: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = primary.caller(&headers)?;
    let mark = visible(&primary, path, &caller).await?;
    let view = MarkView::new(&mark, primary.clock.now());
    Ok(Json(view).into_response())
}

/// `POST /v1/migrations`: 201 for a migration that is new, 200 for one that is known.
pub(super) async fn tell(
    State(primary): State<Primary>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let system = partner(primary.caller(&headers)?)?;
    let telling = body::telling(&headers, &body?)?;
    if telling.partner_system != system || telling.primary_system != primary.own {
        return Err(wrong_system(&primary, system, telling).await?);
    }
    take(&primary, telling).await
}

/// `PATCH /v1/migrations/{id}`.
pub(super) async fn update(
    State(primary): State<Primary>,
    path: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let caller = primary.caller(&headers)?;
    let known = visible(&primary, path, &caller).await?;
    partner(caller)?;
    let update = body::update(&headers, &body?)?;
    let told = known.told;
    let telling = Telling {
        sequence: update
            .sequence
            .unwrap_or_else(|| later(&primary, told.sequence)),
        partner_id: update.partner_id.unwrap_or(told.partner_id),
        profile_index: update.profile_index.or(told.profile_index),
        trigger: update.trigger.unwrap_or(told.trigger),
        until: update.until.or(told.until),
        ..told
    };
    take(&primary, telling).await
}

/// `DELETE /v1/migrations/{id}`: told by the partner that it is over, or ended by the operator.
pub(super) async fn end(
    State(primary): State<Primary>,
    path: Result<Path<u64>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = primary.caller(&headers)?;
    let known = visible(&primary, path, &caller).await?;
    let now = primary.clock.now();
    if caller == Caller::Operator {
        let ended = primary.with(move |users, now| users.end_mark(known.id, now));
        return Ok(Json(MarkView::new(&ended.await?, primary.clock.now())).into_response());
    }
    if known.state(now) == MarkState::Ended {
        return Ok(Json(MarkView::new(&known, now)).into_response());
    }
    let telling = Telling {
        sequence: later(&primary, known.told.sequence),
        until: Some(now),
        ..known.told
    };
    take(&primary, telling).await
}

async fn take(primary: &Primary, telling: Telling) -> Result<Response, Problem> {
    let system = telling.partner_system.clone();
    match primary.tell(telling).await? {
        Outcome::Accepted { mark, new, .. } => {
            primary.counts.accept();
            debug!(%system, mark = mark.id, "a migration was told and accepted");
            let status = match new {
                true => StatusCode::CREATED,
                false => StatusCode::OK,
            };
            let view = MarkView::new(&mark, primary.clock.now());
            Ok((status, Json(view)).into_response())
        }
        Outcome::Refused { reason, .. } => {
            primary.counts.refuse(reason);
            debug!(%system, %reason, "a migration was told and refused");
            Err(Problem::refused(reason))
        }
        Outcome::Stale { last } => {
            primary.counts.late();
            Err(Problem::stale(last))
        }
    }
}

/// A partner speaks for itself, and of our users, or not at all.
async fn wrong_system(
    primary: &Primary,
    told_by: SystemName,
    telling: Telling,
) -> Result<Problem, Problem> {
    let reason = Reason::WrongSystem;
    primary.counts.refuse(reason);
    if primary.counts.may_complain(primary.clock.now().secs()) {
        warn!(
            system = %told_by,
            "a partner tells migrations to another system, or of users of another one: refused"
        );
    }
    primary
        .with(move |users, now| users.refuse(&told_by, &telling, reason, now))
        .await?;
    Ok(Problem::refused(reason))
}

fn partner(caller: Caller) -> Result<SystemName, Problem> {
    match caller {
        Caller::Partner(system) => Ok(system),
        Caller::Operator => Err(Problem::not_a_partner()),
    }
}

/// A mark, if the caller may see it.
async fn visible(
    primary: &Primary,
    path: Result<Path<u64>, PathRejection>,
    caller: &Caller,
) -> Result<Mark, Problem> {
    let Path(id) = path?;
    let found = primary.with(move |users, now| users.mark(id, now)).await?;
    let mine = |mark: &Mark| match caller {
        Caller::Operator => true,
        Caller::Partner(system) => mark.told.partner_system == *system,
    };
    let found = found.filter(mine);
    found.ok_or_else(|| Problem::not_found("there is no migration with this number"))
}

fn later(primary: &Primary, last: u64) -> u64 {
    primary.clock.now().nanos().max(last.saturating_add(1))
}
