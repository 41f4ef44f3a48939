//! Sending datagrams out of the packet ring.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::super::address::Address;
use super::super::uninterrupted;
use super::ring::{PacketRing, header};

/// Sends one datagram without waiting.
///
/// # Errors
///
/// Those of `sendto`; an error that an earlier datagram left at the socket is not reported, the
/// datagram is sent again instead.
pub fn send_to(socket: &impl AsFd, bytes: &[u8], to: &Address) -> io::Result<()> {
    match send_once(socket, bytes, to) {
        Err(error) if is_of_the_past(&error) => send_once(socket, bytes, to),
        result => result,
    }
}

fn send_once(socket: &impl AsFd, bytes: &[u8], to: &Address) -> io::Result<()> {
    let (fd, name) = (socket.as_fd().as_raw_fd(), std::ptr::from_ref(to).cast());
    loop {
        // SAFETY: `bytes` and `to` are readable for the lengths given.
        let sent = unsafe {
            libc::sendto(
                fd,
                bytes.as_ptr().cast(),
                bytes.len(),
                FLAGS,
                name,
                to.kernel_len(),
            )
        };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What a batch does when the socket takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// Only the datagram at hand has failed; the next one is tried.
    TryNext,
    /// All the rest has failed.
    GiveUp,
}

/// Datagrams of a [`PacketRing`] that wait to be sent in one system call.
pub struct SendBatch {
    slots: Vec<usize>,
    capacity: usize,
    names: Vec<Address>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl SendBatch {
    /// Room for `capacity` datagrams.
    pub fn new(capacity: usize) -> Self {
        let mut names = vec![Address::NONE; capacity];
        let empty = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        let mut vectors = vec![empty; capacity];
        let headers = names
            .iter_mut()
            .zip(&mut vectors)
            .map(|(name, vector)| header(name, None, vector))
            .collect();
        Self {
            slots: Vec::with_capacity(capacity),
            capacity,
            names,
            vectors,
            headers,
        }
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.slots.len() == self.capacity
    }

    /// Adds what buffer `slot` of the ring holds now; the buffer must stay as it is until the
    /// batch is sent. `false`, and nothing added, if the batch is full.
    pub fn push(&mut self, slot: usize, to: &Address) -> bool {
        let at = self.slots.len();
        if at == self.capacity {
            return false;
        }
        self.slots.push(slot);
        self.names[at] = *to;
        self.headers[at].msg_hdr.msg_namelen = to.kernel_len();
        true
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// Sends all that waits, in order, without blocking, and empties the batch. `report` is told
    /// for each datagram, by its place, whether the kernel took it. Gives the number of system
    /// calls.
    ///
    /// A datagram fails alone: those after it are still sent. What an earlier datagram left as an
    /// error at the socket (an ICMP message) fails nothing.
    pub fn send(
        &mut self,
        socket: &impl AsFd,
        ring: &PacketRing,
        on_full: OnFull,
        mut report: impl FnMut(usize, bool),
    ) -> u64 {
        for (vector, &slot) in self.vectors.iter_mut().zip(&self.slots) {
            let bytes = ring.datagram(slot).bytes;
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
        }
        let (mut at, mut calls, mut retried) = (0, 0, false);
        while at < self.slots.len() {
            calls += 1;
            match self.send_from(socket, at) {
                Ok(sent) => {
                    (at..at + sent).for_each(|index| report(index, true));
                    at += sent;
                    retried = false;
                }
                Err(error) if !retried && is_of_the_past(&error) => retried = true,
                Err(error) => {
                    let all = on_full == OnFull::GiveUp && is_full(&error);
                    let end = if all { self.slots.len() } else { at + 1 };
                    (at..end).for_each(|index| report(index, false));
                    at = end;
                    retried = false;
                }
            }
        }
        self.slots.clear();
        calls
    }

    /// One system call for the datagrams from `at` on; at least one is sent if there is no error.
    fn send_from(&mut self, socket: &impl AsFd, at: usize) -> io::Result<usize> {
        let fd = socket.as_fd().as_raw_fd();
        let headers = &mut self.headers[at..self.slots.len()];
        let count = libc::c_uint::try_from(headers.len()).unwrap_or(libc::c_uint::MAX);
        let start = headers.as_mut_ptr();
        let sent = uninterrupted(|| {
            // SAFETY: `start` is good for `count` headers; their addresses belong to this batch
            // and their octets to the ring that the caller holds.
            unsafe { libc::sendmmsg(fd, start, count, FLAGS) }
        })?;
        match usize::try_from(sent) {
            Ok(sent @ 1..) => Ok(sent),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SendBatch({} of {})", self.len(), self.capacity)
    }
}

/// Errors that an ICMP message about an earlier datagram can leave at a socket (RFC 1122
/// 4.1.3.3). Reading the error clears it, so that one more try tells.
fn is_of_the_past(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN)
    )
}

/// Whether the socket's buffer, or the device's queue, takes no more.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM)
    )
}

const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
