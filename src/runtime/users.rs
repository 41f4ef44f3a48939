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
    let mut tokens = Vec::new();
    for (place, partner) in config.partners.iter().enumerate() {
        let token = partner
            .token()
            .map_err(|text| anyhow!("partner[{place}].token_file: {text}"))?;
        tokens.push((partner.terms.system.clone(), token));
    }
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
    let terms = |partner: &Partner| partner.terms.clone();
    let partners = config.partners.iter().map(terms).collect();
    let own = config.relay.system.clone();
    Ok(Some(Primary::new(users, own, partners, access, clock)))
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
