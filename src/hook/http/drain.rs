//! `/v1/drain` and `/v1/reload`: what operators do with a running relay.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::fields::Fields;
use super::problem::{FieldError, Problem};
use crate::hook::{Drain, Draining, Fault, Reload, ReloadFailure};

/// `/v1/drain`.
pub fn drain_routes<D: Drain>(relay: D) -> Router {
    Router::new()
        .route(
            "/v1/drain",
            get(show::<D>).post(begin::<D>).delete(undo::<D>),
        )
        .with_state(relay)
}

/// `/v1/reload`.
pub fn reload_routes<R: Reload>(service: R) -> Router {
    Router::new()
        .route("/v1/reload", post(reload::<R>))
        .with_state(service)
}

/// `GET /v1/drain`.
async fn show<D: Drain>(State(relay): State<D>) -> Result<Json<Value>, Problem> {
    let state = relay.draining().await.ok_or_else(stopping)?;
    Ok(Json(draining(&state)))
}

/// `POST /v1/drain`: no new calls; `exit_when_empty` ends the process after the last one.
async fn begin<D: Drain>(State(relay): State<D>, request: Request) -> Result<Json<Value>, Problem> {
    let mut exit = false;
    if has_body(&request) {
        let mut fields = Fields::of_body(request).await?;
        exit = fields.boolean("exit_when_empty").unwrap_or(false);
        fields.finish()?;
    }
    let state = relay.drain(exit).await.ok_or_else(stopping)?;
    Ok(Json(draining(&state)))
}

/// `DELETE /v1/drain`: calls are taken again.
async fn undo<D: Drain>(State(relay): State<D>) -> Result<Json<Value>, Problem> {
    let state = relay.undrain().await.ok_or_else(stopping)?;
    Ok(Json(draining(&state)))
}

fn draining(state: &Draining) -> Value {
    json!({
        "draining": state.since.is_some(),
        "since": state.since.map(|since| since.to_string()),
        "exit_when_empty": state.exit_when_empty,
        "calls": state.calls,
    })
}

/// `POST /v1/reload`: the configuration file is read again.
async fn reload<R: Reload>(
    State(service): State<R>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    if has_body(&request) {
        Fields::of_body(request).await?.finish()?;
    }
    let reloaded = service.reload().await?;
    Ok(Json(json!({
        "applied": reloaded.applied,
        "at_next_start": reloaded.restart,
    })))
}

/// These requests need no body; one that is there must make sense.
fn has_body(request: &Request) -> bool {
    let headers = request.headers();
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

fn stopping() -> Problem {
    Problem::busy("the relay is stopping")
}

impl From<ReloadFailure> for Problem {
    fn from(failure: ReloadFailure) -> Self {
        let detail = failure.to_string();
        match failure {
            ReloadFailure::NoFile => Self::new(StatusCode::CONFLICT, "no-file", "No file", detail),
            ReloadFailure::Mistakes { faults, .. } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                let title = "The configuration has mistakes";
                let mut problem = Self::new(status, "configuration", title, detail);
                problem.errors = faults.into_iter().map(field).collect();
                problem
            }
            ReloadFailure::Busy => Self::busy(detail),
        }
    }
}

fn field(fault: Fault) -> FieldError {
    let reason = match fault.line {
        Some(line) => format!("line {line}: {}", fault.text),
        None => fault.text,
    };
    FieldError {
        field: fault.key,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::body::{Body, to_bytes};
    use axum::http::Request as HttpRequest;
    use axum::http::header::CONTENT_TYPE;
    use proptest::prelude::*;
    use tower::ServiceExt;

    use super::*;
    use crate::hook::Reloaded;
    use crate::hook::http::{Settings, guard};
    use crate::wire::time::Timestamp;

    #[derive(Clone, Default)]
    struct Fake(Arc<Mutex<Draining>>, Option<ReloadFailure>);

    impl Drain for Fake {
        async fn drain(&self, exit_when_empty: bool) -> Option<Draining> {
            let mut state = self.0.lock().unwrap();
            state.since = Some(Timestamp::from_secs(1_767_225_600));
            state.exit_when_empty = exit_when_empty;
            Some(*state)
        }

        async fn undrain(&self) -> Option<Draining> {
            *self.0.lock().unwrap() = Draining::default();
            self.draining().await
        }

        async fn draining(&self) -> Option<Draining> {
            Some(*self.0.lock().unwrap())
        }
    }

    impl Reload for Fake {
        async fn reload(&self) -> Result<Reloaded, ReloadFailure> {
            match &self.1 {
                Some(failure) => Err(failure.clone()),
                None => Ok(Reloaded {
                    applied: vec!["relay.max_calls: changed".into()],
                    restart: Vec::new(),
                }),
            }
        }
    }

    async fn ask(fake: &Fake, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let routes = drain_routes(fake.clone()).merge(reload_routes(fake.clone()));
        let app = guard(routes, Router::new(), &Settings::default());
        let request = HttpRequest::builder().method(method).uri(path);
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, body.len())
            .body(Body::from(body.to_vec()))
            .unwrap();
        let response = app.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn draining_begins_is_shown_and_ends() {
        let fake = Fake::default();
        let (status, shown) = ask(&fake, "GET", "/v1/drain", b"").await;
        let nothing = json!({
            "draining": false, "since": null, "exit_when_empty": false, "calls": 0,
        });
        assert_eq!((status, &shown), (200, &nothing));
        let (status, begun) = ask(&fake, "POST", "/v1/drain", b"").await;
        assert_eq!((status, &begun["draining"]), (200, &json!(true)));
        assert_eq!(begun["since"], "2026-01-01T00:00:00.000Z");
        let wish = br#"{"exit_when_empty": true}"#;
        let (_, begun) = ask(&fake, "POST", "/v1/drain", wish).await;
        assert_eq!(begun["exit_when_empty"], true);
        let (status, undone) = ask(&fake, "DELETE", "/v1/drain", b"").await;
        assert_eq!((status, undone), (200, nothing));
    }

    #[tokio::test]
    async fn bad_wishes_change_nothing() {
        let fake = Fake::default();
        for (body, status) in [
            (&b"{"[..], 400),
            (b"[]", 400),
            (b"true", 400),
            (br#"{"exit_when_empty": 1}"#, 422),
            (br#"{"exit": true}"#, 422),
            (br#"{"exit_when_empty": true, "force": "now"}"#, 422),
            (&vec![b'['; 70_000], 413),
        ] {
            let (got, problem) = ask(&fake, "POST", "/v1/drain", body).await;
            assert_eq!(got, status, "{problem}");
        }
        assert_eq!(*fake.0.lock().unwrap(), Draining::default());
        assert_eq!(ask(&fake, "PUT", "/v1/drain", b"").await.0, 405);
        assert_eq!(ask(&fake, "GET", "/v1/reload", b"").await.0, 405);
        let (status, _) = ask(&fake, "POST", "/v1/reload", br#"{"file": "/etc/passwd"}"#).await;
        assert_eq!(status, 422);
    }

    #[tokio::test]
    async fn every_mistake_of_a_file_is_told() {
        let fault = |line, key: &str| Fault {
            line,
            key: key.into(),
            text: "is wrong".into(),
        };
        let failure = ReloadFailure::Mistakes {
            file: "relay.toml".into(),
            faults: vec![fault(Some(3), "relay.workers"), fault(None, "ng.udp")],
        };
        let fake = Fake(Arc::default(), Some(failure));
        let (status, problem) = ask(&fake, "POST", "/v1/reload", b"").await;
        assert_eq!(status, 422);
        assert_eq!(
            problem["errors"],
            json!([
                { "field": "relay.workers", "reason": "line 3: is wrong" },
                { "field": "ng.udp", "reason": "is wrong" },
            ])
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("relay.toml") && detail.contains("nothing"));
        let fake = Fake(Arc::default(), Some(ReloadFailure::NoFile));
        assert_eq!(ask(&fake, "POST", "/v1/reload", b"").await.0, 409);
        let (status, good) = ask(&Fake::default(), "POST", "/v1/reload", b"{}").await;
        assert_eq!(
            (status, &good["applied"][0]),
            (200, &json!("relay.max_calls: changed"))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, cases: 64, ..ProptestConfig::default()
        })]

        #[test]
        fn any_body_is_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let fake = Fake::default();
            let (status, _) = runtime.unwrap().block_on(ask(&fake, "POST", "/v1/drain", &body));
            prop_assert!(matches!(status, 200 | 400 | 422), "{status}");
        }
    }
}
