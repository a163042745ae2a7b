//! What people give on the command line: bodies, moments.

use std::io::Read as _;
use std::path::Path;

use hookgate_core::time::Timestamp;

use crate::exit::Usage;

/// The largest body that a command reads, in bytes: as much as the front door takes.
const BODY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The largest file of secrets, in bytes: what the API takes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// The exact bytes of a file. `-` is standard input.
pub(crate) fn body(path: &Path) -> anyhow::Result<Vec<u8>> {
    let unreadable =
        |error: std::io::Error| Usage::new(format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    let limit = BODY_BYTES_MAX.saturating_add(1);
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if bytes.len() as u64 > BODY_BYTES_MAX {
        return Err(Usage::new(format!("{} is larger than 128 MiB", path.display())).into());
    }
    Ok(bytes)
}

/// The text of a file that holds secrets, without outer white space. `-` is standard input.
pub(crate) fn secret(flag: &str, path: &Path) -> anyhow::Result<String> {
    let wrong = |fault: &str| Usage::new(format!("{flag} {}: {fault}", path.display()));
    let bytes = body(path)?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(wrong("it is larger than 64 KiB").into());
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text"))?;
    match text.trim() {
        "" => Err(wrong("it is empty").into()),
        text => Ok(text.to_owned()),
    }
}

/// A time span as `24h`, in whole seconds.
pub(crate) fn seconds(flag: &str, text: &str) -> anyhow::Result<u64> {
    parse_seconds(text).ok_or_else(|| {
        Usage::new(format!("{flag} {text}: write a time span as 90s, 30m, 24h, 7d")).into()
    })
}

fn parse_seconds(text: &str) -> Option<u64> {
    let span: jiff::Span = text.parse().ok()?;
    let span = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    u64::try_from(span.as_secs()).ok()
}

/// A moment: RFC 3339, a day, or as long ago as `2h`.
pub(crate) fn moment(flag: &str, text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    parse_moment(text, now).ok_or_else(|| {
        Usage::new(format!(
            "{flag} {text}: write a time as 2026-11-22T10:00:00Z, a day as 2026-11-22 (UTC), or as \
             long ago as 15m, 2h, 7d"
        ))
        .into()
    })
}

fn parse_moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(moment) = Timestamp::parse(text) {
        return Some(moment);
    }
    let millis = |it: jiff::Timestamp| Timestamp::from_millis(it.as_millisecond());
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        return day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|it| millis(it.timestamp()));
    }
    let ago: jiff::Span = text.parse().ok()?;
    let now =
        jiff::Timestamp::from_millisecond(now.millis()).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    let then = now.checked_sub(ago).ok()?;
    (then <= now).then(|| millis(then.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_long_ago() {
        let now = Timestamp::parse("2026-11-22T10:00:00Z").unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let moment = parse_moment(text, now).map(|it| it.to_string());
            assert_eq!(moment.as_deref(), expected, "{text}");
        };
        check("2026-11-21T23:00:00+01:00", Some("2026-11-21T22:00:00.000Z"));
        check("2026-11-21", Some("2026-11-21T00:00:00.000Z"));
        check("90m", Some("2026-11-22T08:30:00.000Z"));
        check("7d", Some("2026-11-15T10:00:00.000Z"));
        check("-1h", None);
        check("yesterday", None);
        check("", None);
    }

    #[test]
    fn a_span_is_counted_in_seconds() {
        let check = |text: &str, expected| assert_eq!(parse_seconds(text), expected, "{text}");
        check("90s", Some(90));
        check("24h", Some(86_400));
        check("30d", Some(2_592_000));
        check("0s", Some(0));
        check("-1h", None);
        check("1mo", None);
        check("soon", None);
    }
}
