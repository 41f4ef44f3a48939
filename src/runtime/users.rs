//! The primary's half of migration in `homeward logger`: users, partners and their tokens.

use anyhow::{Context, Result, anyhow};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, http::HeaderValue};

use crate::config::{Config, Partner};
use crate::logger::users::{Access, Primary};
use crate::migration::identity::SystemName;
use crate::migration::profile::Partner as Terms;
use crate::store::users::{Key, Keyring, Users};
use crate::sys::clock::Clock;
use crate::telemetry::metrics::Primary as Figures;

/// Opens the users of the configuration; `None` if it speaks of none.
///
/// # Errors
/// A token or key cannot be read, or the database cannot be used.
pub(super) fn open(config: &Config, clock: Clock) -> Result<Option<Primary>> {
    let Some(wanted) = &config.users else {
        return Ok(None);
    };
    let operator = config
        .http
        .token()
        .map_err(|text| anyhow!("http.token_file: {text}"))?;
    let tokens = tokens(&config.partners).map_err(|faults| {
        let (key, text) = faults.into_iter().next().unwrap_or_default();
        anyhow!("{key}: {text}")
    })?;
    let access = Access::new(operator.as_deref(), &tokens)
        .map_err(|text| anyhow!("partner.token_file: {text}"))?;
    let mut keys = Keyring::default();
    if let Some(path) = &wanted.key_file {
        let key = Key::read(path).map_err(|text| anyhow!("users.key_file: {text}"))?;
        keys.current = Some(key);
    }
    for path in &wanted.previous_key_files {
        let key = Key::read(path).map_err(|text| anyhow!("users.previous_key_files: {text}"))?;
        keys.previous.push(key);
    }
    let users = Users::open(&config.archive.dir, keys, clock.now()).context("[users]")?;
    let partners = terms(&config.partners);
    let own = config.relay.system.clone();
    Ok(Some(Primary::new(users, own, partners, access, clock)))
}

/// What is agreed with these partners.
pub(super) fn terms(partners: &[Partner]) -> Vec<Terms> {
    let terms = partners.iter().map(|partner| partner.terms.clone());
    terms.collect()
}

/// The token of each partner.
pub(super) type Tokens = Vec<(SystemName, String)>;

/// Reads the tokens of these partners.
///
/// # Errors
/// The key and what is wrong, for each that cannot be read.
pub(super) fn tokens(partners: &[Partner]) -> Result<Tokens, Vec<(String, String)>> {
    let (mut tokens, mut faults) = (Vec::new(), Vec::new());
    for (place, partner) in partners.iter().enumerate() {
        match partner.token() {
            Ok(token) => tokens.push((partner.terms.system.clone(), token)),
            Err(text) => faults.push((format!("partner[{place}].token_file"), text)),
        }
    }
    match faults.is_empty() {
        true => Ok(tokens),
        false => Err(faults),
    }
}

/// `/metrics` of a logger that keeps users.
pub(super) fn metrics(primary: &Primary) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(primary.clone())
}

async fn scrape(State(primary): State<Primary>) -> Response {
    let Ok(totals) = primary.totals().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let counts = primary.counts();
    let mut tellings = vec![("accepted", counts.accepted()), ("stale", counts.stale())];
    let refused: Vec<(&'static str, u64)> = counts.refused().collect();
    tellings.push(("refused", refused.iter().map(|(_, count)| count).sum()));
    let figures = Figures {
        users: totals.users,
        marks: totals.open,
        tellings,
        refused,
    };
    match figures.render() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
