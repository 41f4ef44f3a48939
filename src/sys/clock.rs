//! The only place that reads clocks.
//!
//! [`Clock::now`] is wall time at the anchor plus monotonic time since, so it never steps back.
//! [`Clock::realtime`] is the kernel's wall clock, which may be stepped: it serves to compare
//! with the receive time stamps that the kernel puts on datagrams, and for nothing else.

use std::mem;
use std::time::Duration;

use crate::wire::time::Timestamp;

/// A wall clock anchored once; copies of it agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Wall time less monotonic time, in nanoseconds.
    offset: u64,
}

impl Clock {
    /// Takes the anchor. A process does this once and copies the clock.
    pub fn start() -> Self {
        Self {
            offset: Self::realtime().nanos().saturating_sub(monotonic_nanos()),
        }
    }

    /// The moment, to be used everywhere.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.offset.saturating_add(monotonic_nanos()))
    }

    /// The kernel's wall clock, as in `SO_TIMESTAMPNS`.
    pub fn realtime() -> Timestamp {
        Timestamp::from_nanos(read(libc::CLOCK_REALTIME))
    }

    /// Time since some fixed moment, for waits.
    pub fn monotonic() -> Duration {
        Duration::from_nanos(monotonic_nanos())
    }

    /// Processor time that the calling thread has used.
    pub fn thread_cpu() -> Duration {
        Duration::from_nanos(read(libc::CLOCK_THREAD_CPUTIME_ID))
    }
}

fn monotonic_nanos() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> u64 {
    // SAFETY: `timespec` consists of integers.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: `time` is writable; the clocks named in this file exist on every Linux, so that the
    // call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let (secs, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    secs.unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_forward_and_agrees_with_the_wall() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        let (now, wall) = (clock.now(), Clock::realtime());
        let apart = now.since(wall).max(wall.since(now));
        assert!(apart < Duration::from_secs(60), "{apart:?}");
        assert!(last > Timestamp::from_secs(1_700_000_000));
    }

    #[test]
    fn copies_agree_and_waits_have_a_clock() {
        let clock = Clock::start();
        let copy = clock;
        assert!(copy.now() <= clock.now());
        assert!(Clock::monotonic() <= Clock::monotonic());
        assert!(Clock::thread_cpu() <= Clock::thread_cpu());
    }
}
