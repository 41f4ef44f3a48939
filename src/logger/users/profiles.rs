//! `/v1/users`: who may migrate where. Access data goes in and never comes out.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::marks::MarkView;
use super::problem::Problem;
use super::{Primary, body};
use crate::migration::profile::UserId;
use crate::store::users::{MarkFilter, UsersError};

/// Which page of users.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/users`.
pub(super) async fn list(
    State(primary): State<Primary>,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Page { after, limit }) = query?;
    let after = after.map(|after| after.parse::<UserId>()).transpose();
    let after = after.map_err(Problem::invalid)?;
    let limit = limit.unwrap_or(100).clamp(1, 1_000);
    let users = primary
        .with(move |users, _| users.users(after.as_ref(), limit))
        .await?;
    let full = users.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = users.last().filter(|_| full).map(|user| user.id.clone());
    Ok(Json(json!({ "users": users, "next": next })).into_response())
}

/// `GET /v1/users/{id}`: with its migrations that have not ended.
pub(super) async fn show(
    State(primary): State<Primary>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = name(path)?;
    let now = primary.clock.now();
    let (user, marks) = primary
        .with(move |users, now| {
            let user = users.user(&id)?.ok_or(UsersError::UnknownUser)?;
            let filter = MarkFilter {
                user: Some(id),
                limit: 100,
                ..MarkFilter::default()
            };
            Ok((user, users.marks(&filter, now)?))
        })
        .await?;
    let marks: Vec<MarkView> = marks.iter().map(|mark| MarkView::new(mark, now)).collect();
    let mut shown = json!(user);
    if let Some(members) = shown.as_object_mut() {
        members.insert("migrations".into(), json!(marks));
    }
    Ok(Json(shown).into_response())
}

/// `PUT /v1/users/{id}`.
pub(super) async fn put(
    State(primary): State<Primary>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let user = body::user(name(path)?, &headers, &body?)?;
    let (new, shown) = primary
        .with(move |users, now| {
            let new = users.put_user(&user, now)?;
            Ok((new, users.user(&user.id)?))
        })
        .await?;
    let status = match new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(shown)).into_response())
}

/// `DELETE /v1/users/{id}`.
pub(super) async fn delete(
    State(primary): State<Primary>,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let id = name(path)?;
    let deleted = primary.with(move |users, now| users.delete_user(&id, now));
    deleted.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn name(path: Result<Path<String>, PathRejection>) -> Result<UserId, Problem> {
    let Path(name) = path?;
    name.parse().map_err(Problem::invalid)
}
