//! What commands for a running relay have in common: where it is, what it wants to see, and what
//! to do next if it does not answer.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tokio::runtime::Runtime;

use crate::config::{self, Http};
use crate::runtime::client::Client;

/// Where the relay is, and how to speak to it.
#[derive(Debug, Args)]
pub(super) struct DoorArgs {
    /// HTTP door of the relay; the first http.listen of --config, else http://127.0.0.1:8080
    #[arg(global = true, long, value_name = "URL", env = "HOMEWARD_URL")]
    url: Option<String>,
    /// File with the token to show; http.token_file of --config if not given
    #[arg(global = true, long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Configuration file of the relay, to find its door
    #[arg(global = true, long, value_name = "FILE", env = "HOMEWARD_CONFIG")]
    config: Option<PathBuf>,
    /// Print what the relay answers, as JSON
    #[arg(global = true, long)]
    pub(super) json: bool,
}

/// Why a command could not be carried out.
#[derive(Debug, Error)]
pub(super) enum DoorError {
    /// What was given cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The relay refuses.
    #[error("{text}")]
    Refused {
        /// Status of its answer.
        status: u16,
        /// What it says, and what to do.
        text: String,
    },
}

/// A connection to the relay's door.
#[derive(Debug)]
pub(super) struct Door {
    runtime: Runtime,
    client: Client,
    url: String,
}

/// What is read of a problem document (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    errors: Vec<ProblemField>,
}

#[derive(Debug, Deserialize)]
struct ProblemField {
    field: String,
    reason: String,
}

impl DoorArgs {
    /// Connects.
    ///
    /// # Errors
    /// What was given is wrong, or nobody listens.
    pub(super) fn open(&self) -> Result<Door> {
        let http = self.http()?;
        let url = match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", first(&http)?),
        };
        let address = resolve(&url)?;
        let token = self.token(&http)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connecting = Client::connect(address, token, MAX_ANSWER);
        let client = runtime.block_on(connecting).map_err(|error| {
            anyhow!(
                "nothing answers at {url} ({error}): is homeward running, with this address in \
                 http.listen? Else give --url or --config"
            )
        })?;
        Ok(Door {
            runtime,
            client,
            url,
        })
    }

    /// The section `[http]` of the relay's file, or its defaults.
    fn http(&self) -> Result<Http> {
        let Some(path) = &self.config else {
            return Ok(Http::default());
        };
        let loaded = config::load(path);
        let config = loaded.map_err(|error| DoorError::Usage(error.to_string()))?;
        Ok(config.http)
    }

    fn token(&self, http: &Http) -> Result<Option<String>> {
        let own = Http {
            token_file: self.token_file.clone(),
            ..Http::default()
        };
        // A door that was named is not always that of the file.
        let (key, http) = match (&self.token_file, &self.url) {
            (Some(_), _) => ("--token-file", &own),
            (None, _) => ("http.token_file", http),
        };
        let token = http.token();
        Ok(token.map_err(|text| DoorError::Usage(format!("{key}: {text}")))?)
    }
}

/// The first socket of the relay, as this machine reaches it.
fn first(http: &Http) -> Result<SocketAddr> {
    let first = http.listen.first().copied();
    let mut first = first.ok_or_else(|| {
        DoorError::Usage("http.listen is empty: the relay has no door to ask at".to_owned())
    })?;
    if first.ip().is_unspecified() {
        first.set_ip(match first {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(first)
}

/// The address in `http://host:port`.
fn resolve(url: &str) -> Result<SocketAddr> {
    let wrong = |why: &str| {
        let text = format!("--url {url:?}: {why}: expected http://127.0.0.1:8080");
        anyhow!(DoorError::Usage(text))
    };
    if url.starts_with("https:") {
        return Err(wrong("TLS is not supported in this version"));
    }
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| wrong("not an http:// address"))?;
    if rest.contains(['/', '?', '#', '@']) {
        return Err(wrong("neither path nor user belong there"));
    }
    let has_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    });
    let with_port = match has_port {
        true => rest.to_owned(),
        false => format!("{rest}:80"),
    };
    let found = with_port.to_socket_addrs();
    let mut found = found.map_err(|error| wrong(&error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address"))
}

impl Door {
    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// The connection broke, or the relay refused.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map_or_else(String::new, Value::to_string);
        let asking = self.client.ask(method, path, body, PATIENCE);
        let answer = self.runtime.block_on(asking);
        let answer = answer.with_context(|| format!("{} has not answered", self.url))?;
        if answer.status.is_success() {
            return serde_json::from_slice(&answer.body)
                .with_context(|| format!("{} does not answer as a relay does", self.url));
        }
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_default();
        Err(self.refused(answer.status.as_u16(), problem).into())
    }

    /// Reads an answer.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: Value) -> Result<T> {
        let read = serde_json::from_value(answer);
        read.with_context(|| format!("{} does not answer as this version does", self.url))
    }

    /// Waits, with the connection left open.
    pub(super) fn pause(&self, time: Duration) {
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }

    fn refused(&self, status: u16, problem: Problem) -> DoorError {
        let Problem {
            title,
            detail,
            errors,
        } = problem;
        let text = match status {
            401 => format!("{} wants a token: give --token-file or --config", self.url),
            _ if !errors.is_empty() => {
                let list: Vec<String> = errors
                    .iter()
                    .map(|error| format!("{}: {}", error.field, error.reason))
                    .collect();
                list.join("; ")
            }
            _ if !detail.is_empty() => detail,
            _ if !title.is_empty() => title,
            404 => format!("{} is no relay of this version", self.url),
            _ => format!("{} answers with status {status}", self.url),
        };
        DoorError::Refused { status, text }
    }
}

/// A part of a path, percent-encoded (RFC 3986 2.3: all but unreserved characters).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Longest answer that is read, in octets: a page of calls, or a call of many legs.
const MAX_ANSWER: usize = 16 * 1_024 * 1_024;
/// The relay itself gives up after ten seconds, and says so.
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_a_reason() {
        let good = |url: &str| resolve(url).unwrap().to_string();
        assert_eq!(good("http://127.0.0.1:8080"), "127.0.0.1:8080");
        assert_eq!(good("http://[::1]:99"), "[::1]:99");
        assert_eq!(good("http://127.0.0.1"), "127.0.0.1:80");
        for (url, why) in [
            ("https://127.0.0.1:8080", "TLS"),
            ("127.0.0.1:8080", "not an http://"),
            ("http://127.0.0.1:8080/v1", "path"),
            ("http://me@127.0.0.1:8080", "user"),
            ("http://127.0.0.1:99999", "expected http://"),
            ("http://", "expected http://"),
            ("", "not an http://"),
        ] {
            let error = resolve(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn call_ids_survive_a_path() {
        assert_eq!(encoded("a-1.b_2~c"), "a-1.b_2~c");
        assert_eq!(encoded("a/b c@d%é"), "a%2Fb%20c%40d%25%C3%A9");
    }
}
