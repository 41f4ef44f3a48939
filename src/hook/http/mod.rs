//! HTTP and JSON under `/v1`: migrations, calls, explanations (`crate::manual::http`).
//!
//! Translates and validates; it holds no state of calls or migrations. Every refusal is a problem
//! document (RFC 9457) that names the members at fault, and changes nothing. [`app`] makes the
//! routes, [`server::serve`] puts them on a socket.

mod calls;
mod drain;
mod explain;
mod fields;
mod homes;
mod migrations;
pub mod moment;
mod problem;
pub mod server;
mod token;
mod view;

use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;

pub use self::drain::{drain_routes, reload_routes};
pub use self::token::{Gate, Token};

use self::problem::Problem;
use super::Control;

/// Settings of the HTTP side.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What clients must show.
    pub gate: Gate,
    /// A request that takes longer is answered with 504.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gate: Gate::default(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// All routes of one server: `/v1` and `protected` behind the token, `open` to everybody who can
/// connect.
pub fn app<C: Control>(control: C, settings: &Settings, protected: Router, open: Router) -> Router {
    let routes = Router::new()
        .route(
            "/v1/migrations",
            get(migrations::list::<C>).post(migrations::add::<C>),
        )
        .route(
            "/v1/migrations/{id}",
            get(migrations::show::<C>)
                .patch(migrations::update::<C>)
                .delete(migrations::end::<C>),
        )
        .route("/v1/calls", get(calls::list::<C>))
        .route("/v1/calls/{call}", get(calls::show::<C>))
        .route("/v1/calls/{call}/explain", get(calls::explain::<C>))
        .route(
            "/v1/calls/{call}/context",
            axum::routing::put(calls::context::<C>),
        )
        .route(
            "/v1/calls/{call}/recording",
            axum::routing::post(calls::recording::<C>),
        )
        .with_state(control)
        .merge(protected);
    guard(routes, open, settings)
}

/// Puts the token before `protected`, and bounds times; every error is a problem document.
pub fn guard(protected: Router, open: Router, settings: &Settings) -> Router {
    protected
        .route_layer(from_fn_with_state(settings.gate.clone(), authenticate))
        .merge(open)
        .fallback(async || Problem::not_found("there is nothing under this path"))
        .layer(from_fn_with_state(settings.timeout, limit_time))
        .layer(from_fn(always_a_problem))
}

async fn authenticate(
    State(gate): State<Gate>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match gate.lets_in(request.headers()) {
        true => Ok(next.run(request).await),
        false => Err(Problem::unauthorized()),
    }
}

async fn limit_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let answer = tokio::time::timeout(limit, next.run(request)).await;
    answer.map_err(|_| Problem::timeout())
}

/// Errors that the framework answers by itself become problem documents like all others; their
/// headers (`Allow`) stay.
async fn always_a_problem(request: Request, next: Next) -> Response {
    problem::clothe(next.run(request).await)
}

/// A path parameter, decoded; what cannot be decoded is a problem like any other.
struct Segment(String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Problem::not_found("the path is not UTF-8"))?;
        match text.len() {
            1..=MAX_SEGMENT => Ok(Self(text)),
            _ => Err(Problem::not_found("the path names nothing that can exist")),
        }
    }
}

const MAX_SEGMENT: usize = 1_024;

#[cfg(test)]
mod tests;
