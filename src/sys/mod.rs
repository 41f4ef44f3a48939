//! System calls: the only place with `unsafe`. Everything exported is safe and takes slices and
//! plain structs.
//!
//! Nothing here knows packets, calls or workers. `EINTR` is handled in here, once; every other
//! error goes to the caller as [`std::io::Error`].
#![expect(
    unsafe_code,
    reason = "the one place for system calls that std and socket2 lack"
)]

pub mod address;
pub mod affinity;
pub mod clock;
pub mod descriptors;
pub mod epoll;
pub mod eventfd;
pub mod mmsg;
pub mod readable;
pub mod rlimit;
pub mod sockopt;

use std::io;

/// Turns the `-1` of a system call into the error in `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Calls `operation` until something other than `EINTR` comes back.
fn uninterrupted(mut operation: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        match check(operation()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The length of `T` in the form that socket calls take.
fn socklen_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}
