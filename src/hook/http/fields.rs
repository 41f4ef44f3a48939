//! Reads a JSON object member by member and collects what is wrong, so that one answer names it
//! all.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::moment::moment;
use super::problem::{FieldError, Problem};
use crate::wire::time::Timestamp;

/// The members of a request.
#[derive(Debug)]
pub(super) struct Fields {
    members: Map<String, Value>,
    /// Whether a member that is null counts as absent.
    nulls: bool,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads the body of a request: a JSON object of at most 64 KiB.
    pub(super) async fn of_body(request: Request) -> Result<Self, Problem> {
        if !says_json(request.headers()) {
            return Err(Problem::not_json());
        }
        let body = to_bytes(request.into_body(), MAX_BODY).await;
        let body = body.map_err(|_| Problem::too_large(MAX_BODY))?;
        let value: Value = serde_json::from_slice(&body)
            .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?;
        match value {
            Value::Object(members) => Ok(Self::new(members)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err(Problem::bad_request("the body must be a JSON object")),
        }
    }

    /// Reads the query of a request; each parameter at most once.
    pub(super) fn of_query(query: Option<&str>) -> Result<Self, Problem> {
        let pairs: axum::extract::Query<Vec<(String, String)>> = {
            let uri = axum::http::Uri::builder()
                .path_and_query(format!("/?{}", query.unwrap_or_default()))
                .build();
            let uri = uri.map_err(|_| Problem::bad_request("the query cannot be read"))?;
            axum::extract::Query::try_from_uri(&uri)
                .map_err(|_| Problem::bad_request("the query cannot be read"))?
        };
        let mut fields = Self::new(Map::new());
        for (key, value) in pairs.0 {
            if fields.members.contains_key(&key) {
                fields.wrong(&key, "stands twice");
            }
            fields.members.insert(key, Value::String(value));
        }
        Ok(fields)
    }

    fn new(members: Map<String, Value>) -> Self {
        Self {
            members,
            nulls: true,
            known: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// A null is refused: it would mean to take away what cannot be taken away.
    pub(super) fn refuse_nulls(mut self) -> Self {
        self.nulls = false;
        self
    }

    /// Whether the member is there, good or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.members.get(key).is_some_and(|value| !value.is_null())
    }

    /// A text that must parse.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take(key)?;
        self.read(key, &value, |value| {
            text(value)?
                .parse()
                .map_err(|error: T::Err| error.to_string())
        })
    }

    /// The same for a member that must be there.
    pub(super) fn required<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let absent = self.members.get(key).is_none_or(Value::is_null);
        let value = self.parse(key);
        if absent {
            self.wrong(key, "missing");
        }
        value
    }

    /// A list of texts that must parse.
    pub(super) fn list<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let value = self.take(key)?;
        self.read(key, &value, |value| {
            let items = value.as_array().ok_or("expected a list of texts")?;
            let parse = |item: &Value| {
                let parsed = text(item)?.parse();
                parsed.map_err(|error: T::Err| error.to_string())
            };
            items.iter().take(MAX_LIST).map(parse).collect()
        })
    }

    /// One of the words that an enum knows.
    pub(super) fn word<T: for<'de> Deserialize<'de>>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take(key)?;
        self.read(key, &value, |value| {
            T::deserialize(Value::from(text(value)?)).map_err(|error| error.to_string())
        })
    }

    /// A whole number; in a query also as text.
    pub(super) fn integer(&mut self, key: &'static str, max: u64) -> Option<u64> {
        let value = self.take(key)?;
        self.read(key, &value, |value| {
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            let number = number.filter(|number| *number <= max);
            number.ok_or_else(|| format!("expected a whole number of at most {max}"))
        })
    }

    /// `true` or `false`; in a query as text.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        self.read(key, &value, |value| {
            let found = value.as_bool().or_else(|| value.as_str()?.parse().ok());
            found.ok_or_else(|| "expected true or false".to_owned())
        })
    }

    /// A time.
    pub(super) fn moment(&mut self, key: &'static str) -> Option<Timestamp> {
        let value = self.take(key)?;
        self.read(key, &value, moment)
    }

    /// Notes that a member is wrong.
    pub(super) fn wrong(&mut self, key: &str, reason: &str) {
        self.errors.push(FieldError {
            field: key.chars().take(64).collect(),
            reason: reason.to_owned(),
        });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All members that are wrong, those that are unknown among them.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let known = self.known.join(", ");
        let unknown = |key: &&String| !self.known.contains(&key.as_str());
        let unknown: Vec<String> = self.members.keys().filter(unknown).cloned().collect();
        for key in unknown.iter().take(MAX_ERRORS) {
            self.wrong(key, &format!("unknown; known are: {known}"));
        }
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(Problem::fields(self.errors)),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.members.get(key)?.clone();
        match value.is_null() && self.nulls {
            true => None,
            false => Some(value),
        }
    }

    fn read<T>(
        &mut self,
        key: &str,
        value: &Value,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        match read(value) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.wrong(key, &reason);
                None
            }
        }
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "expected a text".to_owned())
}

fn says_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    })
}

const MAX_BODY: usize = 65_536;
/// Of longer lists the registry refuses the length; reading them whole is of no use.
const MAX_LIST: usize = 1_000;
const MAX_ERRORS: usize = 16;
