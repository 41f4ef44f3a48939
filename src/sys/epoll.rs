//! Waiting for many descriptors at once, level-triggered.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::{check, uninterrupted};

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// A new, empty one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Reports `token` as long as `fd` can be read or has an error.
    pub fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: EPOLLIN,
            u64: token,
        };
        self.control(libc::EPOLL_CTL_ADD, fd, &raw mut event)
    }

    /// Does not report `fd` any more.
    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut())
    }

    /// Waits until something can be read or the time is over (`None`: without limit); `ready`
    /// then holds the tokens. A signal counts as the end of the time.
    pub fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<()> {
        let millis = timeout.map_or(-1, |t| i32::try_from(t.as_millis()).unwrap_or(i32::MAX));
        let room = i32::try_from(ready.events.len()).unwrap_or(i32::MAX);
        // SAFETY: `events` is writable for `room` entries.
        let result = check(unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), ready.events.as_mut_ptr(), room, millis)
        });
        ready.len = match result {
            Ok(n) => usize::try_from(n).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: &impl AsFd,
        event: *mut libc::epoll_event,
    ) -> io::Result<()> {
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_fd().as_raw_fd());
        // SAFETY: `event` is null or points to an event on the caller's stack.
        uninterrupted(|| unsafe { libc::epoll_ctl(epoll, operation, fd, event) })?;
        Ok(())
    }
}

/// What a wait found; reused for every wait.
pub struct Ready {
    events: Box<[libc::epoll_event]>,
    len: usize,
}

impl Ready {
    /// Room for `capacity` descriptors in one wait.
    pub fn new(capacity: usize) -> Self {
        let empty = libc::epoll_event { events: 0, u64: 0 };
        Self {
            events: vec![empty; capacity].into_boxed_slice(),
            len: 0,
        }
    }

    /// How many descriptors the last wait found.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the last wait found none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The token of entry `index` of the last wait.
    pub fn token(&self, index: usize) -> Option<u64> {
        self.events[..self.len].get(index).map(|event| event.u64)
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({} of {})", self.len, self.events.len())
    }
}

const EPOLLIN: u32 = libc::EPOLLIN as u32;

#[cfg(test)]
mod tests {
    use super::super::eventfd::EventFd;
    use super::*;

    #[test]
    fn is_level_triggered() {
        let (epoll, event) = (Epoll::new().unwrap(), EventFd::new().unwrap());
        let mut ready = Ready::new(4);
        epoll.add(&event, 7).unwrap();
        epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
        assert_eq!(ready.token(0), None);

        event.signal();
        for _ in 0..2 {
            epoll.wait(&mut ready, None).unwrap();
            assert_eq!((ready.len(), ready.token(0)), (1, Some(7)));
        }
        epoll.remove(&event).unwrap();
        epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
        assert!(epoll.remove(&event).is_err());
    }
}
