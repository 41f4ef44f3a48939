//! The bearer token (RFC 6750 2.1).

use std::fmt;

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

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
