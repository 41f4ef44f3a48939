//! The bearer token (RFC 6750 2.1).

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// The hash of a token. Hashes compare in constant time, whatever the lengths.
#[derive(Clone)]
pub struct Token(blake3::Hash);

impl Token {
    /// From the token itself, which is not kept.
    pub fn new(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    pub(super) fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (shown.next(), shown.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && blake3::hash(token.trim().as_bytes()) == self.0
    }
}

/// What clients must show now, if anything; all clones change together.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<RwLock<Option<Token>>>);

impl Gate {
    /// `None`: nothing needs to be shown.
    pub fn new(token: Option<Token>) -> Self {
        Self(Arc::new(RwLock::new(token)))
    }

    /// Wants another token from the next request on; whether that is a change.
    pub fn set(&self, token: Option<Token>) -> bool {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = now.as_ref().map(|now| now.0) != token.as_ref().map(|token| token.0);
        *now = token;
        changed
    }

    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        let now = self.0.read().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().is_none_or(|token| token.is_shown_by(headers))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
