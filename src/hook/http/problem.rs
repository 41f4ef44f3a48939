//! Problem documents (RFC 9457): how every refusal looks.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::hook::RegistryFailure;
use crate::migration::registry::RegistryError;
use crate::session::reply::Error;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    /// Members of the request that are at fault (an extension of RFC 9457 3.2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<FieldError>,
    #[serde(skip)]
    retry: bool,
}

/// What is wrong with one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FieldError {
    pub(super) field: String,
    pub(super) reason: String,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:homeward:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry: false,
        }
    }

    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(status, "bad-request", "Bad request", detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("the body is longer than {limit} octets");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "too-large", "Too large", detail)
    }

    pub(super) fn not_json() -> Self {
        let detail = "the body must be JSON, and Content-Type must say application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "not-json", "Not JSON", detail)
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "a good token is needed: Authorization: Bearer <token>";
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "unauthorized", "Not authorized", detail)
    }

    pub(super) fn timeout() -> Self {
        let detail = "no answer in time; whether a change was made is not known, and making it \
                      again does no harm";
        let status = StatusCode::GATEWAY_TIMEOUT;
        Self::new(status, "timeout", "No answer in time", detail).again()
    }

    /// Members that are wrong; the detail lists them.
    pub(super) fn fields(errors: Vec<FieldError>) -> Self {
        let list: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.reason))
            .collect();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let mut problem = Self::new(status, "invalid", "Invalid members", list.join("; "));
        problem.errors = errors;
        problem
    }

    pub(super) fn busy(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "busy", "Not possible now", detail).again()
    }

    fn again(mut self) -> Self {
        self.retry = true;
        self
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        let conflict = |kind| Self::new(StatusCode::CONFLICT, kind, "Conflict", detail.clone());
        let mut problem = match &error {
            RegistryError::Unknown => return Self::not_found(&detail),
            RegistryError::Ended => conflict("migration-ended"),
            RegistryError::InUse { .. } => conflict("identity-in-use"),
            RegistryError::InProgress => conflict("change-in-progress").again(),
            RegistryError::Full(_) => return Self::busy(detail),
            RegistryError::Repeated { .. }
            | RegistryError::SameId
            | RegistryError::OwnSystem(_)
            | RegistryError::WrongSystem { .. }
            | RegistryError::Interval
            | RegistryError::Past
            | RegistryError::FailureReason(_)
            | RegistryError::TooManyAliases(_) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "invalid", "Invalid members", detail.clone())
            }
        };
        problem.errors.extend(error.field().map(|field| FieldError {
            field: field.to_owned(),
            reason: detail,
        }));
        problem
    }
}

impl From<RegistryFailure> for Problem {
    fn from(failure: RegistryFailure) -> Self {
        let detail = failure.to_string();
        match failure {
            RegistryFailure::Refused(error) => error.into(),
            RegistryFailure::Store(_) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, "not-stored", "Not stored", detail)
            }
            RegistryFailure::Busy => Self::busy(detail),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::UnknownCall | Error::NothingToDelete => {
                Self::not_found("there is no call with this id, and none has ended lately")
            }
            Error::Busy | Error::SessionLimit | Error::OutOfPorts => Self::busy(detail),
            Error::MigrationFailed(_) => {
                let status = StatusCode::FORBIDDEN;
                Self::new(status, "migration-failed", "Migration failed", detail)
            }
            Error::BadSdp
            | Error::IncompleteSdp
            | Error::BadDialogue
            | Error::Rewrite(_)
            | Error::HomeCycle
            | Error::Unsupported(_) => Self::bad_request(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Texts and numbers only: this cannot fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM);
        if self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Gives an error response of the framework the form of a problem document.
pub(super) fn clothe(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let typed = response.headers().get(CONTENT_TYPE);
    let ours = |value: &HeaderValue| value == PROBLEM || value == "application/json";
    if !is_error || typed.is_some_and(ours) {
        return response;
    }
    let title = status.canonical_reason().unwrap_or("Error");
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => "the path exists, but not with this method: see Allow",
        _ => title,
    };
    let problem = Problem::new(status, "http", title, detail).into_response();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, PROBLEM);
    Response::from_parts(parts, Body::new(problem.into_body()))
}

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
