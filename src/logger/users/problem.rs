//! Refusals of the primary's doors (RFC 9457). None repeats what a client has sent.

use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::migration::profile::Reason;
use crate::store::users::UsersError;

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            more: Map::new(),
        }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    pub(super) fn not_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "a good token is needed: Authorization: Bearer <token>";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(super) fn not_a_partner() -> Self {
        let detail = "migrations are told with the token of the partner system";
        Self::new(StatusCode::FORBIDDEN, "not-a-partner", detail)
    }

    pub(super) fn busy() -> Self {
        let detail = "the logger is too busy or is stopping";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
    }

    /// The migration may not be. The member `reason` is what a relay looks at.
    pub(super) fn refused(reason: Reason) -> Self {
        let detail = format!("the migration is refused: {reason}");
        let mut problem = Self::new(StatusCode::FORBIDDEN, "migration-refused", detail);
        problem.more.insert("reason".into(), json!(reason.as_str()));
        problem
    }

    /// A later telling came before; `last` is its sequence.
    pub(super) fn stale(last: u64) -> Self {
        let detail = "a later telling of this migration has come before";
        let mut problem = Self::new(StatusCode::CONFLICT, "stale", detail);
        problem.more.insert("last".into(), json!(last));
        problem
    }
}

impl From<UsersError> for Problem {
    fn from(error: UsersError) -> Self {
        let detail = error.to_string();
        match error {
            UsersError::UnknownUser | UsersError::UnknownMark => Self::not_found(&detail),
            UsersError::IdInUse { .. } => Self::new(StatusCode::CONFLICT, "id-in-use", detail),
            UsersError::Migrated(_) => Self::new(StatusCode::CONFLICT, "user-is-migrated", detail),
            UsersError::NothingToKeep { .. } => Self::invalid(detail),
            UsersError::NoKey => Self::new(StatusCode::CONFLICT, "no-key", detail),
            UsersError::Store(_) | UsersError::Key(_) => {
                tracing::warn!(error = detail, "the users of this system cannot be stored");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-stored", detail)
            }
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::not_found("the path names nothing that can exist")
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::not_json(rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        let kind = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            _ => "bad-request",
        };
        Self::new(rejection.status(), kind, rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut body = json!({
            "type": format!("urn:homeward:problem:{}", self.kind),
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.more);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
