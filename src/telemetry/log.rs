//! What is logged, and how: one subscriber for the process, on standard error.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use thiserror::Error;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, registry, reload};

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people; with colours on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "the log filter {0:?} cannot be read: expected \"info\" or \"info,homeward::hook=debug\""
    )]
    Filter(String),
    /// The process has a subscriber already.
    #[error(transparent)]
    Again(#[from] TryInitError),
}

/// Sets up logging for the whole process; once. `filter` is a level (`info`), or directives
/// (`info,homeward::hook=debug`).
///
/// # Errors
/// The filter cannot be read, or logging is set up already.
pub fn init(filter: &str, format: Format) -> Result<(), LogError> {
    let targets = parse(filter)?;
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(format == Format::Text && io::stderr().is_terminal());
    let layer = match format {
        Format::Text => layer.boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(targets);
    registry().with(layer.with_filter(filter)).try_init()?;
    // The subscriber was set up just now, and that works once.
    drop(FILTER.set(handle));
    Ok(())
}

/// Logs by another filter from now on, if logging was set up by [`init`].
///
/// # Errors
/// The filter cannot be read.
pub fn refilter(filter: &str) -> Result<(), LogError> {
    let targets = parse(filter)?;
    if let Some(handle) = FILTER.get() {
        // Fails only without a subscriber, and it lives as long as the process.
        drop(handle.reload(targets));
    }
    Ok(())
}

fn parse(filter: &str) -> Result<Targets, LogError> {
    filter
        .parse()
        .map_err(|_| LogError::Filter(filter.chars().take(200).collect()))
}

/// The filter in force.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_makes_no_sense_is_named() {
        let error = init("a=b=c", Format::Text).unwrap_err();
        assert!(error.to_string().contains("a=b=c"), "{error}");
    }

    #[test]
    fn logging_is_set_up_once() {
        let first = init("error", Format::Json);
        let second = init("error", Format::Text);
        assert!(matches!(second, Err(LogError::Again(_))), "{first:?}");
    }
}
