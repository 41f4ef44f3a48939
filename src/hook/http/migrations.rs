//! `/v1/migrations`: records of migrated users.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::Segment;
use super::fields::Fields;
use super::problem::Problem;
use crate::hook::Control;
use crate::migration::record::{Record, RecordId, Standing, Trigger};
use crate::migration::registry::{NewRecord, RecordFilter, RecordUpdate};
use crate::migration::telling::Told;

/// A record as JSON shows it: times in RFC 3339.
#[derive(Debug, Serialize)]
struct RecordView {
    id: u64,
    service: &'static str,
    primary_id: String,
    partner_id: String,
    primary_system: String,
    functional_aliases: Vec<String>,
    trigger: Trigger,
    profile_index: Option<u32>,
    result: &'static str,
    /// Why it failed.
    reason: Option<String>,
    since: String,
    until: Option<String>,
    /// Whether the primary knows: pending, accepted, refused or unreachable; null where it is not
    /// told.
    told: Option<&'static str>,
    /// Why it refuses, or cannot be reached.
    told_reason: Option<String>,
}

impl RecordView {
    fn new(control: &impl Control, record: Record) -> Self {
        let told = control.told(&record);
        let aliases = record.functional_aliases.into_iter();
        Self {
            id: record.id.0,
            service: record.service.as_str(),
            primary_id: record.primary_id.into(),
            partner_id: record.partner_id.into(),
            primary_system: record.primary_system.into(),
            functional_aliases: aliases.map(String::from).collect(),
            trigger: record.trigger,
            profile_index: record.profile_index,
            result: match record.standing {
                Standing::Authorised => "authorised",
                Standing::Failed { .. } => "failed",
            },
            reason: record.standing.failure().map(str::to_owned),
            since: record.since.to_string(),
            until: record.until.map(|until| until.to_string()),
            told: told.as_ref().map(Told::as_str),
            told_reason: told.as_ref().and_then(Told::reason).map(str::to_owned),
        }
    }
}

/// A page of records.
#[derive(Debug, Serialize)]
struct Page {
    migrations: Vec<RecordView>,
    /// What to give as `after` for the next page; null on the last one.
    next: Option<u64>,
}

/// `POST /v1/migrations`.
pub(super) async fn add<C: Control>(
    State(control): State<C>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let new = new_record(Fields::of_body(request).await?)?;
    let record = control.add_migration(new).await?;
    let location = [(LOCATION, format!("/v1/migrations/{}", record.id.0))];
    Ok((
        StatusCode::CREATED,
        location,
        Json(RecordView::new(&control, record)),
    ))
}

/// `GET /v1/migrations`.
pub(super) async fn list<C: Control>(
    State(control): State<C>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::of_query(query.as_deref())?;
    let limit = fields
        .integer("limit", 1_000)
        .map_or(100, |limit| limit.max(1));
    let limit = usize::try_from(limit).unwrap_or(1_000);
    let filter = RecordFilter {
        service: fields.parse("service"),
        primary_id: fields.parse("primary_id"),
        partner_id: fields.parse("partner_id"),
        primary_system: fields.parse("primary_system"),
        all: fields.boolean("all").unwrap_or(false),
        after: fields.integer("after", u64::MAX).map(RecordId),
        limit: Some(limit),
    };
    fields.finish()?;
    let records = control.migrations(filter).await?;
    let last = records.last().map(|record| record.id.0);
    Ok(Json(Page {
        next: last.filter(|_| records.len() >= limit),
        migrations: records
            .into_iter()
            .map(|record| RecordView::new(&control, record))
            .collect(),
    }))
}

/// `GET /v1/migrations/{id}`.
pub(super) async fn show<C: Control>(
    State(control): State<C>,
    Segment(id): Segment,
) -> Result<impl IntoResponse, Problem> {
    let id = number(&id)?;
    let filter = RecordFilter {
        all: true,
        after: id.0.checked_sub(1).map(RecordId),
        limit: Some(1),
        ..RecordFilter::default()
    };
    let records = control.migrations(filter).await?;
    let record = records.into_iter().find(|record| record.id == id);
    let record = record.ok_or_else(unknown)?;
    Ok(Json(RecordView::new(&control, record)))
}

/// `PATCH /v1/migrations/{id}`.
pub(super) async fn update<C: Control>(
    State(control): State<C>,
    Segment(id): Segment,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let id = number(&id)?;
    let update = record_update(Fields::of_body(request).await?.refuse_nulls())?;
    let record = control.update_migration(id, update).await?;
    Ok(Json(RecordView::new(&control, record)))
}

/// `DELETE /v1/migrations/{id}`: ends it, and gives it as it is then.
pub(super) async fn end<C: Control>(
    State(control): State<C>,
    Segment(id): Segment,
) -> Result<impl IntoResponse, Problem> {
    let record = control.end_migration(number(&id)?).await?;
    Ok(Json(RecordView::new(&control, record)))
}

fn new_record(mut fields: Fields) -> Result<NewRecord, Problem> {
    let service = fields.required("service");
    let primary_id = fields.required("primary_id");
    let partner_id = fields.required("partner_id");
    let primary_system = fields.required("primary_system");
    let functional_aliases = fields.list("functional_aliases").unwrap_or_default();
    let trigger = fields.word("trigger").unwrap_or_default();
    let profile_index = profile_index(&mut fields);
    let standing = standing(&mut fields).unwrap_or_default();
    let since = fields.moment("since");
    let until = fields.moment("until");
    fields.finish()?;
    let identities = (service, primary_id, partner_id, primary_system);
    let (Some(service), Some(primary_id), Some(partner_id), Some(primary_system)) = identities
    else {
        return Err(Problem::bad_request("a member is missing"));
    };
    Ok(NewRecord {
        service,
        primary_id,
        partner_id,
        primary_system,
        functional_aliases,
        trigger,
        profile_index,
        standing,
        since,
        until,
    })
}

fn record_update(mut fields: Fields) -> Result<RecordUpdate, Problem> {
    let update = RecordUpdate {
        partner_id: fields.parse("partner_id"),
        functional_aliases: fields.list("functional_aliases"),
        profile_index: profile_index(&mut fields),
        standing: standing(&mut fields),
        until: fields.moment("until"),
    };
    fields.finish()?;
    Ok(update)
}

fn profile_index(fields: &mut Fields) -> Option<u32> {
    let index = fields.integer("profile_index", u64::from(u32::MAX))?;
    u32::try_from(index).ok()
}

/// `result`, and the `reason` that goes with `failed` and with nothing else.
fn standing(fields: &mut Fields) -> Option<Standing> {
    let told = fields.has("result");
    let result = fields.word::<Outcome>("result");
    let reason: Option<String> = fields.parse("reason");
    match (result, reason) {
        (Some(Outcome::Failed), Some(reason)) => Some(Standing::Failed { reason }),
        (Some(Outcome::Failed), None) => {
            if !fields.has("reason") {
                fields.wrong("reason", "missing: says why the migration failed");
            }
            None
        }
        (Some(Outcome::Authorised) | None, Some(_)) => {
            // Of a result that cannot be read enough is said.
            if result.is_some() || !told {
                fields.wrong("reason", "goes with result failed only");
            }
            None
        }
        (Some(Outcome::Authorised), None) => Some(Standing::Authorised),
        (None, None) => None,
    }
}

/// How a migration came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Authorised,
    Failed,
}

fn number(text: &str) -> Result<RecordId, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| digits);
    id.map(RecordId).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::not_found("there is no migration with this number")
}
