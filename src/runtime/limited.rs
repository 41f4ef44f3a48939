//! Log lines that signalling can set off are held back: one in ten seconds for each place in the
//! code, with the number of those that were not written. Call-ids are for debug level.

use std::time::Duration;

use crate::sys::clock::Clock;

/// The limit of one place in the code.
#[derive(Debug, Default)]
pub(super) struct Limited {
    next: Duration,
    held_back: u64,
}

impl Limited {
    /// Whether a line may be written now; if so, how many were held back since the last one.
    pub(super) fn permit(&mut self) -> Option<u64> {
        self.permit_at(Clock::monotonic())
    }

    fn permit_at(&mut self, now: Duration) -> Option<u64> {
        if now < self.next {
            self.held_back += 1;
            return None;
        }
        self.next = now + PERIOD;
        Some(std::mem::take(&mut self.held_back))
    }
}

const PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_and_tells_how_many() {
        let mut limited = Limited::default();
        let at = |secs| Duration::from_secs(secs);
        assert_eq!(limited.permit_at(at(100)), Some(0));
        assert_eq!(limited.permit_at(at(101)), None);
        assert_eq!(limited.permit_at(at(109)), None);
        assert_eq!(limited.permit_at(at(110)), Some(2));
        assert_eq!(limited.permit_at(at(111)), None);
    }
}
