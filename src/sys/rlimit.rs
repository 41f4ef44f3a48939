//! Limits of the process.

use std::{io, mem};

use super::check;

/// Raises the limit of open descriptors as far as the process may; gives the new limit.
///
/// With the right to do so the hard limit is raised to `wanted` as well.
pub fn raise_nofile(wanted: u64) -> io::Result<u64> {
    // SAFETY: `rlimit` consists of integers.
    let mut limit: libc::rlimit = unsafe { mem::zeroed() };
    // SAFETY: `limit` is writable.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    let all = libc::rlimit {
        rlim_cur: wanted,
        rlim_max: limit.rlim_max.max(wanted),
    };
    // SAFETY: `all` is readable.
    if check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const all) }).is_ok() {
        return Ok(wanted);
    }
    limit.rlim_cur = limit.rlim_max.min(wanted).max(limit.rlim_cur);
    // SAFETY: `limit` is readable.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_lowers() {
        let now = raise_nofile(0).unwrap();
        assert!(raise_nofile(now).unwrap() >= now);
        assert!(raise_nofile(now + 1).unwrap() >= now);
    }
}
