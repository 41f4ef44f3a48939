//! Signals that a service gets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A flag that turns true with SIGTERM or SIGINT, for work that then ends in order by itself.
/// When this returns, these signals do nothing else any more.
///
/// # Errors
/// The system does not let signals be handled.
pub fn end_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let end = {
        let _context = runtime.enter();
        terminate()?
    };
    let wait = move || {
        runtime.block_on(end);
        told.store(true, Ordering::Relaxed);
    };
    // Ends with the process.
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(wait)?;
    Ok(flag)
}

/// Handles signals from now on; what it gives ends with SIGTERM or SIGINT. SIGHUP is no reason to
/// end. To be called within a tokio runtime, and before anything is promised: by default these
/// signals end a process at once.
///
/// # Errors
/// The system does not let signals be handled.
pub(super) fn terminate() -> io::Result<impl Future<Output = ()> + Send> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Heard elsewhere, if at all; by default it would end the process.
    let hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        drop(hangup);
    })
}

/// The signal that asks for the configuration to be read again.
#[derive(Debug)]
pub(super) struct Hangups(Signal);

impl Hangups {
    /// Handles SIGHUP from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system does not let signals be handled.
    pub(super) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one; several that come at once count as one.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // Never so while the process lives.
            std::future::pending::<()>().await;
        }
    }
}
