//! What operators and their machines look at: `/healthz`, `/readyz`, `/metrics`.
//!
//! - `GET /healthz`: 200 while the process answers at all.
//! - `GET /readyz`: 200 when the relay takes calls, else a problem document, 503, with the reason.
//! - `GET /metrics`: OpenMetrics text, or 503 if the numbers cannot be had.
//!
//! The routes go onto the server of `hook::http`: health is open, metrics are behind its token.

use std::future::Future;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::telemetry::metrics::Snapshot;

/// Whether the relay takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not, for this reason (starting, draining, ...).
    NotReady(String),
}

/// Where the numbers of a scrape come from.
pub trait Source: Clone + Send + Sync + 'static {
    /// The numbers as of now; `None` if they cannot be had (the relay stops).
    fn snapshot(&self) -> impl Future<Output = Option<Snapshot>> + Send;
}

/// `/healthz` and `/readyz`.
pub fn health<F>(ready: impl Fn() -> F + Clone + Send + Sync + 'static) -> Router
where
    F: Future<Output = Readiness> + Send + 'static,
{
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readyz(ready().await)))
}

/// `/metrics`.
pub fn metrics<S: Source>(source: S) -> Router {
    Router::new()
        .route("/metrics", get(scrape::<S>))
        .with_state(source)
}

fn readyz(readiness: Readiness) -> Response {
    match readiness {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::NotReady(reason) => {
            // As every refusal of these sockets looks (RFC 9457).
            let problem = serde_json::json!({
                "type": "urn:homeward:problem:not-ready",
                "title": "Not ready",
                "status": 503,
                "detail": reason,
            });
            let kind = [(CONTENT_TYPE, "application/problem+json")];
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (status, kind, problem.to_string()).into_response()
        }
    }
}

async fn scrape<S: Source>(State(source): State<S>) -> Response {
    let snapshot = source.snapshot().await;
    match snapshot.and_then(|snapshot| snapshot.render().ok()) {
        Some(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[derive(Clone)]
    struct Numbers(Option<u64>);

    impl Source for Numbers {
        async fn snapshot(&self) -> Option<Snapshot> {
            self.0.map(|migrations| Snapshot {
                migrations,
                ..Snapshot::default()
            })
        }
    }

    async fn get_text(router: Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_and_readiness_are_two_things() {
        let router = health(async || Readiness::NotReady("draining".into()));
        assert_eq!(get_text(router.clone(), "/healthz").await.0, 200);
        let (status, text) = get_text(router, "/readyz").await;
        assert_eq!(status, 503);
        assert!(text.contains(r#""detail":"draining""#), "{text}");
        assert_eq!(
            get_text(health(async || Readiness::Ready), "/readyz")
                .await
                .0,
            200
        );
    }

    #[tokio::test]
    async fn metrics_are_scraped() {
        let (status, text) = get_text(metrics(Numbers(Some(4))), "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("homeward_migrations"), "{text}");
        assert_eq!(get_text(metrics(Numbers(None)), "/metrics").await.0, 503);
    }
}
