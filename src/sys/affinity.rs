//! Which processors a thread may run on.

use std::{io, mem};

use super::check;

/// Numbers of the processors that the calling thread may run on, in ascending order.
pub fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: `cpu_set_t` is an array of integers; all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is writable and the size is its own; 0 names the calling thread.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    let limit = 8 * size_of::<libc::cpu_set_t>();
    Ok((0..limit)
        // SAFETY: `cpu` is below the number of bits in the set.
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect())
}

/// Lets the calling thread run on these processors only.
///
/// # Errors
///
/// `InvalidInput` if none of them exists or is allowed, or if one is beyond what the kernel
/// can name.
pub fn restrict(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: `cpu_set_t` is an array of integers; all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        if cpu >= 8 * size_of::<libc::cpu_set_t>() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: `cpu` is below the number of bits in the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is readable and the size is its own; 0 names the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned() {
        std::thread::spawn(|| {
            let before = allowed().unwrap();
            assert!(!before.is_empty());
            let last = *before.last().unwrap();
            restrict(&[last]).unwrap();
            assert_eq!(allowed().unwrap(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(restrict(&[]).is_err());
        assert!(restrict(&[usize::MAX]).is_err());
    }
}
