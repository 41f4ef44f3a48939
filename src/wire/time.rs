//! The one notion of time that the pure modules share.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since the Unix epoch.
///
/// The runtime makes it from a wall clock anchor taken once at start plus monotonic time, so it
/// never steps backwards while the process lives, and differences are true durations.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the Unix epoch; saturates in the year 2554.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds since the Unix epoch.
    pub const fn micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the Unix epoch.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T17:38:00.250Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, day_secs) = (self.secs() / 86_400, self.secs() % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (day_secs / 3_600, day_secs / 60 % 60, day_secs % 60);
        let millis = self.0 / 1_000_000 % 1_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// Gregorian date of a day counted from 1970-01-01, by eras of 400 years that start in March.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc3339() {
        assert_eq!(
            Timestamp::from_nanos(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
        let leap = Timestamp::from_nanos(1_709_210_096_789_000_000);
        assert_eq!(leap.to_string(), "2024-02-29T12:34:56.789Z");
        assert_eq!(
            Timestamp::from_secs(4_102_444_799).to_string(),
            "2099-12-31T23:59:59.000Z"
        );
    }

    #[test]
    fn arithmetic_saturates() {
        let early = Timestamp::from_secs(1);
        assert_eq!(early.since(Timestamp::from_secs(2)), Duration::ZERO);
        assert_eq!(early - Duration::from_secs(5), Timestamp::from_nanos(0));
        assert_eq!(
            (Timestamp::from_nanos(u64::MAX) + Duration::from_secs(1)).nanos(),
            u64::MAX
        );
    }
}
