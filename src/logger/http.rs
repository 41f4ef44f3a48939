//! The logger's door: over HTTP relays elsewhere say which call a port belongs to, and operators
//! ask for recordings. `crate::manual::logger` shows it from outside.
//!
//! Routes only; whoever puts them on a socket puts the token before them. Every request may come
//! twice: the second time changes nothing. A refusal is a problem document (RFC 9457) and has
//! changed nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::service::{Handle, LoggerError, MirrorKey, Settings};
use crate::store::index::{CallRow, Index};
use crate::wire::block::{CallInfo, PartyInfo, StreamInfo};

mod relays;

pub use relays::{Relays, SILENCE};

/// All routes for a logger with these settings. `relays` notes who was heard.
pub fn routes(handle: Handle, settings: &Settings, relays: Relays) -> Router {
    let door = Door {
        handle,
        relays,
        ports: settings.ports,
        dir: settings.dir.clone().into(),
    };
    Router::new()
        .route("/v1/relays/{relay}", put(hello))
        .route("/v1/relays/{relay}/mirrors", put(only_mirrors))
        .route(
            "/v1/mirrors/{relay}/{mirror}",
            put(open_mirror).delete(close_mirror),
        )
        .route(
            "/v1/mirrors/{relay}/{mirror}/streams/{stream}",
            put(attach_stream).delete(detach_stream),
        )
        .route("/v1/recordings", get(recordings))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(door)
}

#[derive(Clone, Debug)]
struct Door {
    handle: Handle,
    relays: Relays,
    ports: (u16, u16),
    dir: Arc<std::path::Path>,
}

impl Door {
    /// A name that is good, noted as heard.
    fn relay(&self, name: &str) -> Result<(), Problem> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(good) {
            return Err(Problem::invalid(format!(
                "the relay's name must be 1 to {MAX_NAME} letters, digits, hyphens, underscores or \
                 dots"
            )));
        }
        match self.relays.heard(name) {
            true => Ok(()),
            false => Err(Problem::busy("too many relays")),
        }
    }

    fn key(&self, relay: String, mirror: u64) -> Result<MirrorKey, Problem> {
        self.relay(&relay)?;
        Ok(MirrorKey { relay, mirror })
    }
}

/// Body of `PUT .../streams/{stream}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attach {
    port: u16,
    info: StreamInfo,
}

async fn hello(
    State(door): State<Door>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(relay) = path?;
    door.relay(&relay)?;
    Ok(Json(json!({ "run": door.handle.run_name() })).into_response())
}

/// Body of `PUT .../mirrors`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    first: u64,
    last: u64,
    open: BTreeSet<u64>,
}

/// A relay that was restarted has opened again what goes on: the rest has ended.
async fn only_mirrors(
    State(door): State<Door>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Json<Only>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Path(relay) = path?;
    let Json(Only { first, last, open }) = body?;
    door.relay(&relay)?;
    door.handle.close_others(&relay, first..=last, &open);
    Ok(StatusCode::NO_CONTENT)
}

async fn open_mirror(
    State(door): State<Door>,
    path: Result<Path<(String, u64)>, PathRejection>,
    body: Result<Json<CallInfo>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Path((relay, mirror)) = path?;
    let Json(info) = body?;
    if info.call_id.is_empty() {
        return Err(Problem::invalid("call_id: must not be empty"));
    }
    let key = door.key(relay, mirror)?;
    if door.handle.streams(&key).is_none() && door.handle.open_mirrors() >= MAX_MIRRORS {
        return Err(Problem::busy("too many mirrors are open"));
    }
    door.handle.open(key, info);
    Ok(StatusCode::NO_CONTENT)
}

async fn close_mirror(
    State(door): State<Door>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path((relay, mirror)) = path?;
    door.handle.close(&door.key(relay, mirror)?);
    Ok(StatusCode::NO_CONTENT)
}

async fn attach_stream(
    State(door): State<Door>,
    path: Result<Path<(String, u64, u64)>, PathRejection>,
    body: Result<Json<Attach>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Path((relay, mirror, stream)) = path?;
    let Json(Attach { port, info }) = body?;
    if info.stream != stream {
        return Err(Problem::invalid(
            "info.stream: is not the stream of the path",
        ));
    }
    let (first, last) = door.ports;
    if !(first..=last).contains(&port) {
        return Err(Problem::invalid(format!(
            "port: this logger takes media on ports {first} to {last}"
        )));
    }
    let key = door.key(relay, mirror)?;
    if door
        .handle
        .streams(&key)
        .is_some_and(|count| count >= MAX_STREAMS)
    {
        return Err(Problem::busy("too many streams in this mirror"));
    }
    // The same stream on the same port: an update, as far as the logger is concerned.
    door.handle.attach(&key, info, port)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn detach_stream(
    State(door): State<Door>,
    path: Result<Path<(String, u64, u64)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path((relay, mirror, stream)) = path?;
    door.handle.detach(&door.key(relay, mirror)?, stream);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    limit: Option<u32>,
}

async fn recordings(
    State(door): State<Door>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Wanted { limit }) = query?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid(format!("limit: must be 1 to {MAX_LIMIT}")));
    }
    let dir = Arc::clone(&door.dir);
    let read = tokio::task::spawn_blocking(move || {
        Index::read_only(&dir.join("index.sqlite")).and_then(|index| index.recorded(limit))
    });
    let rows = read
        .await
        .map_err(|_| Problem::busy("the index cannot be read"))?;
    let rows = rows.map_err(|error| {
        tracing::warn!(%error, "the logger's index cannot be read");
        Problem::busy("the index cannot be read")
    })?;
    let shown = rows.into_iter().filter_map(|row| shown(row, &door.dir));
    let shown: Vec<Shown> = shown.collect();
    Ok(Json(json!({ "recordings": shown })).into_response())
}

/// A recording as operators see it.
#[derive(Debug, Serialize)]
struct Shown {
    call_id: String,
    primary_system: String,
    relay_system: String,
    parties: Vec<PartyInfo>,
    /// RFC 3339, UTC.
    started: String,
    opened: String,
    closed: Option<String>,
    path: PathBuf,
    packets: u64,
    lost: u64,
    incomplete: bool,
}

fn shown(row: CallRow, dir: &std::path::Path) -> Option<Shown> {
    let made = row.recording?;
    Some(Shown {
        call_id: row.info.call_id,
        primary_system: row.info.primary_system,
        relay_system: row.info.relay_system,
        parties: row.info.parties,
        started: row.info.started.to_string(),
        opened: row.opened.to_string(),
        closed: row.closed.map(|at| at.to_string()),
        path: dir.join("recordings").join(made.path),
        packets: made.packets,
        lost: made.lost,
        incomplete: made.incomplete,
    })
}

/// A refusal (RFC 9457).
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    fn invalid(detail: impl Into<String>) -> Self {
        let (status, detail) = (StatusCode::UNPROCESSABLE_ENTITY, detail.into());
        Self { status, detail }
    }

    fn busy(detail: &str) -> Self {
        let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, detail.to_owned());
        Self { status, detail }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        let (status, detail) = (StatusCode::NOT_FOUND, rejection.body_text());
        Self { status, detail }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let (status, detail) = (rejection.status(), rejection.body_text());
        Self { status, detail }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let (status, detail) = (rejection.status(), rejection.body_text());
        Self { status, detail }
    }
}

impl From<LoggerError> for Problem {
    fn from(error: LoggerError) -> Self {
        let status = match error {
            LoggerError::UnknownMirror(_) => StatusCode::NOT_FOUND,
            LoggerError::Bind { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            LoggerError::Archive { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        let detail = match error {
            LoggerError::UnknownMirror(_) => "this mirror is not open".to_owned(),
            LoggerError::Bind { .. } | LoggerError::Archive { .. } => error.to_string(),
        };
        Self { status, detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = [(CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, body.to_string()).into_response()
    }
}

/// Longest body, in octets.
const MAX_BODY: usize = 65_536;
/// Longest name of a relay, in octets.
const MAX_NAME: usize = 64;
/// Mirrors that may be open at once, of all relays together.
const MAX_MIRRORS: usize = 100_000;
/// Streams that one mirror may have at once.
const MAX_STREAMS: usize = 1_024;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

#[cfg(test)]
mod tests;
