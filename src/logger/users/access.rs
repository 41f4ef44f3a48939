//! Whose token it is: a partner's speaks for that partner's system, the server's for the operator.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::problem::Problem;
use crate::migration::identity::SystemName;

/// The hashes of all tokens; hashes compare in constant time, whatever the lengths.
pub struct Access {
    operator: Option<blake3::Hash>,
    partners: Vec<(SystemName, blake3::Hash)>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever holds the server's token; anybody on loopback if it has none.
    Operator,
    /// The relay of this system.
    Partner(SystemName),
}

impl Access {
    /// From the tokens themselves, which are not kept.
    ///
    /// # Errors
    /// Two of them are the same, so that nobody could tell who shows it; the text says whose.
    pub fn new(operator: Option<&str>, partners: &[(SystemName, String)]) -> Result<Self, String> {
        for (place, (system, token)) in partners.iter().enumerate() {
            if operator == Some(token) {
                return Err(format!(
                    "the token of {system} is also that of http.token_file"
                ));
            }
            let mut former = partners.iter().take(place);
            if let Some((other, _)) = former.find(|(_, former)| former == token) {
                return Err(format!("{other} and {system} have the same token"));
            }
        }
        let hash = |token: &str| blake3::hash(token.as_bytes());
        Ok(Self {
            operator: operator.map(hash),
            partners: partners
                .iter()
                .map(|(system, token)| (system.clone(), hash(token)))
                .collect(),
        })
    }

    /// Who shows this (RFC 6750 2.1).
    ///
    /// # Errors
    /// Nobody whom we know.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let value = match (shown.next(), shown.next()) {
            (None, None) if self.operator.is_none() => return Ok(Caller::Operator),
            (Some(value), None) => value,
            (Some(_) | None, _) => return Err(Problem::unauthorized()),
        };
        let text = value.to_str().unwrap_or_default();
        let token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => return Err(Problem::unauthorized()),
        };
        let hash = blake3::hash(token.as_bytes());
        if self.operator == Some(hash) {
            return Ok(Caller::Operator);
        }
        let mut partners = self.partners.iter();
        match partners.find(|(_, of)| *of == hash) {
            Some((system, _)) => Ok(Caller::Partner(system.clone())),
            None => Err(Problem::unauthorized()),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(..)")
    }
}
