//! Waiting in a tokio runtime until a descriptor can be read.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that a task waits for.
#[derive(Debug)]
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Watches a duplicate of the descriptor. To be called within a tokio runtime with I/O.
    ///
    /// # Errors
    /// No descriptor is left, or it is of a kind that cannot be waited for (a plain file).
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let fd = fd.try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` is open for as long as it lives and never becomes another
        // descriptor, and the `AsyncFd` owns it.
        let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Waits until it can be read. Edge-triggered: read all there is before waiting again.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn wait(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::eventfd::EventFd;

    #[tokio::test]
    async fn wakes_when_there_is_something() {
        let event = EventFd::new().unwrap();
        let readable = Readable::new(event.as_fd()).unwrap();
        event.signal();
        readable.wait().await.unwrap();
        event.clear();
        event.signal();
        readable.wait().await.unwrap();
    }
}
