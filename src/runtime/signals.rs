//! Signals that a service gets.

use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// Waits for SIGTERM or SIGINT. SIGHUP is no reason to end.
///
/// # Errors
/// The system does not let signals be handled.
pub(super) async fn terminate() -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                warn!("SIGHUP: this version cannot reload its configuration; restart it instead");
            }
        }
    }
}
