//! Times in JSON: RFC 3339 out; RFC 3339 or whole seconds since 1970 in.

use serde_json::Value;

use crate::wire::time::Timestamp;

/// Reads a time.
///
/// # Errors
/// What was expected.
pub fn moment(value: &Value) -> Result<Timestamp, String> {
    let found = match (value.as_str(), value.as_u64()) {
        (Some(text), _) => rfc3339(text),
        (None, Some(secs)) => (secs <= LAST_SECOND).then(|| Timestamp::from_secs(secs)),
        (None, None) => None,
    };
    found.ok_or_else(|| {
        "expected a time: \"2026-01-31T12:00:00Z\", or whole seconds since 1970".to_owned()
    })
}

/// RFC 3339 5.6, with any number of digits after the second of which nine count.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        let good = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| good)
    };
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
    let shape = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    if !shape {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(text.get(19..)?)?;
    let secs = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second;
    let secs = i64::try_from(secs).ok()? - offset(zone)?;
    let secs = u64::try_from(secs)
        .ok()
        .filter(|secs| *secs <= LAST_SECOND)?;
    Some(Timestamp::from_nanos(secs * 1_000_000_000 + nanos))
}

/// Nanoseconds of `.25Z`, and what follows the digits.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, zone) = rest.split_at_checked(end)?;
    let nanos: String = digits.chars().chain("000000000".chars()).take(9).collect();
    Some((nanos.parse().ok()?, zone)).filter(|_| !digits.is_empty())
}

/// Seconds that the zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |text: &str| -> Option<i64> {
        let good = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| good)
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970-01-01, for years from then on.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let place = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *lengths.get(place)?;
    if year < 1_970 || !(1..=length).contains(&day) {
        return None;
    }
    // Leap years before a year, counted from year 0.
    let leaps = |year: u64| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let before = (year - 1_970) * 365 + leaps(year) - leaps(1_970);
    Some(before + lengths.iter().take(place).sum::<u64>() + day - 1)
}

/// The last whole second that a [`Timestamp`] can hold with nanoseconds, in the year 2554.
const LAST_SECOND: u64 = u64::MAX / 1_000_000_000 - 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let nanos = |value: Value| moment(&value).unwrap().nanos();
        assert_eq!(nanos(json!(0)), 0);
        assert_eq!(nanos(json!("1970-01-01T00:00:01.5Z")), 1_500_000_000);
        let leap = 1_709_210_096_789_000_000;
        for text in [
            "2024-02-29T12:34:56.789Z",
            "2024-02-29 12:34:56.789000000999z",
            "2024-02-29t14:34:56.789+02:00",
            "2024-02-28T21:04:56.789-15:30",
        ] {
            assert_eq!(nanos(json!(text)), leap, "{text}");
        }
    }

    #[test]
    fn others_are_refused() {
        let texts = [
            "",
            "now",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+1:00",
            "2024-01-01T00:00:00+24:00",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-01-01T00:00:00Z",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00ZZ",
            "2024-01-01T00:00:0éZ",
            "２０24-01-01T00:00:00Z",
        ];
        for text in texts {
            assert!(moment(&json!(text)).is_err(), "{text}");
        }
        for value in [
            json!(-1),
            json!(1.5),
            json!(u64::MAX),
            json!(null),
            json!([]),
            json!({}),
        ] {
            assert!(moment(&value).is_err(), "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_printed_is_read_back(millis in 0..18_000_000_000_000_u64) {
            let time = Timestamp::from_nanos(millis * 1_000_000);
            prop_assert_eq!(moment(&json!(time.to_string())), Ok(time));
        }

        #[test]
        fn any_text_is_survived(text in ".{0,40}") {
            let _ = moment(&json!(text));
        }
    }
}
