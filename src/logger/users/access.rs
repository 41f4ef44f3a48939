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
        Self::of(operator.map(hash), partners)
    }

    /// With the same token of the operator and these of partners.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_partners(&self, partners: &[(SystemName, String)]) -> Result<Self, String> {
        Self::of(self.operator, partners)
    }

    fn of(
        operator: Option<blake3::Hash>,
        partners: &[(SystemName, String)],
    ) -> Result<Self, String> {
        let mut known: Vec<(SystemName, blake3::Hash)> = Vec::with_capacity(partners.len());
        for (system, token) in partners {
            let hash = hash(token);
            if operator == Some(hash) {
                return Err(format!(
                    "the token of {system} is also that of http.token_file"
                ));
            }
            if let Some((other, _)) = known.iter().find(|(_, former)| *former == hash) {
                return Err(format!("{other} and {system} have the same token"));
            }
            known.push((system.clone(), hash));
        }
        Ok(Self {
            operator,
            partners: known,
        })
    }

    /// Systems that are known by another token than in `former`.
    pub fn renewed(&self, former: &Self) -> Vec<SystemName> {
        let other = |(system, hash): &&(SystemName, blake3::Hash)| {
            let mut of = former.partners.iter();
            of.any(|(name, former)| name == system && former != hash)
        };
        let renewed = self.partners.iter().filter(other);
        renewed.map(|(system, _)| system.clone()).collect()
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

fn hash(token: &str) -> blake3::Hash {
    blake3::hash(token.as_bytes())
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(..)")
    }
}
