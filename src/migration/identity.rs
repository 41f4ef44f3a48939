//! Who and what: services, MC systems and MC service IDs (TS 23.280 10.1.4.1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A mission-critical service. One user may use the same MC service ID for all of them, so every
/// look-up is by (service, ID) (TS 23.280 10.1.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Push to talk, TS 23.379.
    Mcptt,
    /// Video, TS 23.281.
    Mcvideo,
    /// Data, TS 23.282.
    Mcdata,
}

impl Service {
    /// The name used in configuration, JSON and NG keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mcptt => "mcptt",
            Self::Mcvideo => "mcvideo",
            Self::Mcdata => "mcdata",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Service {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "mcptt" => Ok(Self::Mcptt),
            "mcvideo" => Ok(Self::Mcvideo),
            "mcdata" => Ok(Self::Mcdata),
            _ => Err(IdentityError::Service(text.chars().take(32).collect())),
        }
    }
}

/// Name of an MC system: a domain name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SystemName(Box<str>);

impl SystemName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SystemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SystemName {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || text.len() > MAX_SYSTEM_LEN || !text.chars().all(good) {
            return Err(IdentityError::System(text.chars().take(64).collect()));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl TryFrom<String> for SystemName {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SystemName> for String {
    fn from(name: SystemName) -> Self {
        name.0.into()
    }
}

/// An MC service ID or functional alias: a URI such as `sip:alice@partner.example`.
///
/// Compared by its normal form: scheme and host in lower case, `sips` and URI parameters kept as
/// they are, and `sip:` added where there is no scheme, since scripts often pass bare addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct McId(Box<str>);

impl McId {
    /// The ID in its normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain of a SIP URI (RFC 3261 19.1.1: what stands between `@` and port, parameters or
    /// headers), in lower case. `None` for other schemes and for URIs without a user.
    pub fn host(&self) -> Option<&str> {
        let (scheme, rest) = self.0.split_once(':')?;
        if !matches!(scheme, "sip" | "sips") {
            return None;
        }
        let (_, host) = rest.rsplit_once('@')?;
        let end = host.find([':', ';', '?']).unwrap_or(host.len());
        host.get(..end).filter(|host| !host.is_empty())
    }
}

impl fmt::Display for McId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for McId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"');
        if text.is_empty() || text.len() > MAX_ID_LEN || text.chars().any(bad) {
            return Err(IdentityError::Id(text.chars().take(64).collect()));
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            Some(_) | None => ("sip".to_owned(), text),
        };
        if rest.is_empty() {
            return Err(IdentityError::Id(text.chars().take(64).collect()));
        }
        let normal = match rest.rsplit_once('@') {
            Some((user, host)) => format!("{scheme}:{user}@{}", host.to_ascii_lowercase()),
            None => format!("{scheme}:{rest}"),
        };
        Ok(Self(normal.into()))
    }
}

impl TryFrom<String> for McId {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<McId> for String {
    fn from(id: McId) -> Self {
        id.0.into()
    }
}

/// RFC 3986 3.1, and no dot, so that `host.example:5060` is not read as a scheme.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-'))
}

/// What is wrong with an identity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not a service name.
    #[error("unknown service {0:?}: expected mcptt, mcvideo or mcdata")]
    Service(String),
    /// Not a system name.
    #[error("{0:?} is not an MC system name: expected a domain name of at most 253 characters")]
    System(String),
    /// Not an MC service ID.
    #[error("{0:?} is not an MC service ID: expected a URI of at most 255 characters")]
    Id(String),
}

const MAX_SYSTEM_LEN: usize = 253;
const MAX_ID_LEN: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_normal_form() {
        let id = |text: &str| text.parse::<McId>().unwrap();
        assert_eq!(
            id("SIP:Alice@Partner.Example"),
            id("sip:Alice@partner.example")
        );
        assert_eq!(
            id("alice@partner.example").as_str(),
            "sip:alice@partner.example"
        );
        assert_eq!(id("tel:+4312345").as_str(), "tel:+4312345");
        assert_ne!(id("sip:alice@a.example"), id("sip:Alice@a.example"));
    }

    #[test]
    fn host_is_the_domain_alone() {
        let host = |text: &str| text.parse::<McId>().unwrap().host().map(str::to_owned);
        assert_eq!(host("a@B.Example").as_deref(), Some("b.example"));
        assert_eq!(
            host("sips:a@b.example:5061;x=y?z").as_deref(),
            Some("b.example")
        );
        assert_eq!(host("tel:+431"), None);
        assert_eq!(host("sip:b.example"), None);
        assert_eq!(host("sip:a@:5"), None);
    }

    #[test]
    fn hostile_ids_are_refused() {
        for bad in [
            "",
            "  ",
            "sip:",
            "a b@c",
            "<sip:a@b>",
            "a\r\nb@c",
            &"x".repeat(256),
        ] {
            assert!(bad.parse::<McId>().is_err(), "{bad:?}");
        }
        for bad in ["", "a b", "p\0", &"x".repeat(254)] {
            assert!(bad.parse::<SystemName>().is_err(), "{bad:?}");
        }
    }
}
