//! `Retry-After` (RFC 9110 §10.2.3): a number of seconds, or a date.

use std::time::Duration;

use hookgate_core::time::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The longest text that is looked at, in bytes: a date has 29.
const BYTES_MAX: usize = 64;

/// The date of HTTP is one of RFC 2822's.
const DATES: DateTimeParser = DateTimeParser::new();

/// How long to wait, or nothing if it does not say. A date that has passed is no wait. Some
/// services write fractions of a second, which are rounded up.
pub(crate) fn read(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || text.len() > BYTES_MAX {
        return None;
    }
    if text.bytes().all(|it| it.is_ascii_digit() || it == b'.') {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        if seconds.is_empty() || fraction.contains('.') {
            return None;
        }
        // More than fits is for ever; whoever waits has a limit.
        let seconds = seconds.parse().unwrap_or(u64::MAX);
        let more = u64::from(fraction.bytes().any(|it| it != b'0'));
        return Some(Duration::from_secs(seconds.saturating_add(more)));
    }
    let at = DATES.parse_timestamp(text).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()).ahead(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<u64>) {
        // 2027-01-15T08:00:00Z.
        let now = Timestamp::from_millis(1_800_000_000_000);
        assert_eq!(read(text, now), seconds.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("0.25", Some(1));
        check("3.000", Some(3));
        check("99999999999999999999999", Some(u64::MAX));
        check("Fri, 15 Jan 2027 08:00:30 GMT", Some(30));
        check("Fri, 15 Jan 2027 07:00:00 GMT", Some(0));
    }

    #[test]
    fn anything_else_says_nothing() {
        for text in ["", "-1", "soon", "1e9", ".", ".5", "1.2.3", "12 s", "2027-01-15", "١٢"] {
            check(text, None);
        }
        check(&"1".repeat(65), None);
    }
}
