//! `/v1/calls`: what the relay carries, and why it is or is not mirrored.

use axum::Json;
use axum::extract::{RawQuery, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fields::Fields;
use super::problem::Problem;
use super::{Segment, explain, view};
use crate::hook::Control;
use crate::migration::context::CallContext;
use crate::session::ids::CallId;
use crate::session::recording::Switch;
use crate::session::reply::Reply;
use crate::session::request::{Query, Request};

/// `GET /v1/calls`.
pub(super) async fn list<C: Control>(
    State(control): State<C>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::of_query(query.as_deref())?;
    let limit = fields.integer("limit", MAX_CALLS).unwrap_or(DEFAULT_CALLS);
    let after = fields.integer("after", u64::MAX);
    fields.finish()?;
    let limit = usize::try_from(limit.max(1)).unwrap_or(1);
    let reply = control.request(Request::Page { after, limit }).await?;
    let Reply::Page(page) = reply else {
        return Err(unexpected(&reply));
    };
    Ok(Json(view::page(&page)))
}

/// `GET /v1/calls/{call}`.
pub(super) async fn show<C: Control>(
    State(control): State<C>,
    Segment(call): Segment,
) -> Result<Json<Value>, Problem> {
    let query = Query {
        call_id: CallId(call.into()),
        from_tag: None,
        to_tag: None,
    };
    let reply = control.request(Request::Query(query)).await?;
    let Reply::Call(call) = reply else {
        return Err(unexpected(&reply));
    };
    Ok(Json(view::call(&call)))
}

/// `GET /v1/calls/{call}/explain`.
pub(super) async fn explain<C: Control>(
    State(control): State<C>,
    Segment(call): Segment,
) -> Result<Json<Value>, Problem> {
    let call_id = CallId(call.into());
    let reply = control.request(Request::Explain { call_id }).await?;
    let Reply::Explained(explanation) = reply else {
        return Err(unexpected(&reply));
    };
    Ok(Json(explain::explanation(&explanation)))
}

/// `PUT /v1/calls/{call}/context`.
pub(super) async fn context<C: Control>(
    State(control): State<C>,
    Segment(call): Segment,
    request: HttpRequest,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::of_body(request).await?;
    let context = CallContext {
        service: fields.parse("service"),
        session_type: fields.word("session_type"),
        calling_id: fields.parse("calling_id"),
        called_id: fields.parse("called_id"),
        group_id: fields.parse("group_id"),
        functional_alias: fields.parse("functional_alias"),
        called_functional_alias: fields.parse("called_functional_alias"),
        emergency: fields.boolean("emergency").unwrap_or(false),
    };
    fields.finish()?;
    let call_id = CallId(call.into());
    let reply = control
        .request(Request::Context { call_id, context })
        .await?;
    let Reply::Ok = reply else {
        return Err(unexpected(&reply));
    };
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/calls/{call}/recording`: start, stop, pause or resume the call's mirrors, within the
/// agreements.
pub(super) async fn recording<C: Control>(
    State(control): State<C>,
    Segment(call): Segment,
    request: HttpRequest,
) -> Result<Json<Value>, Problem> {
    let mut fields = Fields::of_body(request).await?;
    let absent = !fields.has("action");
    let action = fields.word::<Verb>("action");
    let primary = fields.parse("primary");
    if absent {
        fields.wrong("action", "missing");
    }
    fields.finish()?;
    let Some(action) = action else {
        return Err(Problem::bad_request("action is missing"));
    };
    let request = Request::Recording {
        call_id: CallId(call.into()),
        switch: match action {
            Verb::Start | Verb::Resume => Switch::On,
            Verb::Pause => Switch::Paused,
            Verb::Stop => Switch::Stopped,
        },
        primary,
    };
    let reply = control.request(request).await?;
    let Reply::Recording(state) = reply else {
        return Err(unexpected(&reply));
    };
    Ok(Json(
        json!({ "recordings": state.recordings, "warning": state.warning }),
    ))
}

/// What can be asked of mirrors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Start,
    Stop,
    Pause,
    Resume,
}

/// The core never answers one request with the reply to another.
fn unexpected(reply: &Reply) -> Problem {
    debug_assert!(false, "{reply:?}");
    Problem::bad_request("the relay gave an answer to another question")
}

const DEFAULT_CALLS: u64 = 100;
/// The control loop does nothing else while it reads the counters of so many calls: about a
/// millisecond.
const MAX_CALLS: u64 = 500;
