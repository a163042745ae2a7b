//! Times as people say them, in the shop's time zone.

use hookgate_core::time::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{ToSpan as _, Zoned};

/// The longest text that is read as a time, in characters. The longest that is one, with a
/// zone's name in brackets, is below it.
const TEXT_CHARS_MAX: usize = 80;

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAMoment {
    /// It is no date and time.
    Unreadable,
    /// It is a date without a time of day.
    NoTime,
    /// The clocks go forward over it: it is not on them that day.
    Skipped,
}

/// The moment that a text names, to the second: in UTC or with an offset if it says so, else
/// by the shop's clocks. Of an hour that they show twice it is the first.
pub(crate) fn read_moment(
    text: &str,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Timestamp, NotAMoment> {
    let text = text.trim();
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(NotAMoment::Unreadable);
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(of(zoned.timestamp()));
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(of(moment));
    }
    let local = read_local(text, zone, now)?;
    let ambiguous = zone.to_ambiguous_timestamp(local);
    if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return Err(NotAMoment::Skipped);
    }
    ambiguous.earlier().map(of).map_err(|_| NotAMoment::Unreadable)
}

/// The day that a text names, by the shop's clocks.
pub(crate) fn read_date(text: &str, zone: &TimeZone, now: Timestamp) -> Option<Date> {
    let text = text.trim();
    if text.chars().count() > TEXT_CHARS_MAX {
        return None;
    }
    let today = local(now, zone).date();
    match text.to_ascii_lowercase().as_str() {
        "today" | "now" => Some(today),
        "tomorrow" => today.checked_add(1.day()).ok(),
        _ => text
            .parse::<Date>()
            .or_else(|_| text.parse::<jiff::Timestamp>().map(|it| it.to_zoned(zone.clone()).date()))
            .ok(),
    }
}

/// When a day begins by the shop's clocks.
pub(crate) fn beginning(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    let zoned = day.to_zoned(zone.clone()).ok()?;
    Some(of(zoned.timestamp()))
}

/// The day of a moment by the shop's clocks.
pub(crate) fn day(moment: Timestamp, zone: &TimeZone) -> Date {
    local(moment, zone).date()
}

/// "Tuesday, December 1 at 3:00 PM", with the year if it is not this one.
pub(crate) fn spoken(moment: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let zoned = local(moment, zone);
    let form = if zoned.year() == local(now, zone).year() {
        "%A, %B %-d at %-I:%M %p"
    } else {
        "%A, %B %-d, %Y at %-I:%M %p"
    };
    zoned.strftime(form).to_string()
}

/// "2026-12-01T15:00:00-05:00": a program reads it anywhere, and a model that reads it aloud
/// says the hour on the shop's clocks.
pub(crate) fn written(moment: Timestamp, zone: &TimeZone) -> String {
    local(moment, zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// As Square takes it: UTC, to the second.
pub(crate) fn for_square(moment: Timestamp) -> String {
    of_millis(moment).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn of(moment: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(moment.as_second().saturating_mul(1000))
}

fn of_millis(moment: Timestamp) -> jiff::Timestamp {
    // What lies outside is thousands of years away.
    jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn local(moment: Timestamp, zone: &TimeZone) -> Zoned {
    of_millis(moment).to_zoned(zone.clone())
}

/// Date and time of day as the shop's clocks show them.
fn read_local(text: &str, zone: &TimeZone, now: Timestamp) -> Result<DateTime, NotAMoment> {
    // A date alone is a date and time too for the parser, at midnight.
    if text.contains(':')
        && let Ok(local) = text.parse::<DateTime>()
    {
        return Ok(local);
    }
    if read_date(text, zone, now).is_some() {
        return Err(NotAMoment::NoTime);
    }
    let split = text.split_once(|it: char| it.is_whitespace() || it == 'T' || it == ',');
    // "Today" and "tomorrow" begin with a T of their own.
    let split = split.filter(|(date, _)| !date.is_empty()).or_else(|| text.split_once(' '));
    let (date, clock) = split.ok_or(NotAMoment::Unreadable)?;
    let date = read_date(date, zone, now).ok_or(NotAMoment::Unreadable)?;
    let clock = clock.trim();
    let clock = clock.strip_prefix("at ").unwrap_or(clock);
    read_clock(clock).map(|it| date.to_datetime(it)).ok_or(NotAMoment::Unreadable)
}

/// "3pm", "3:00 PM", "3:30 p.m.", "15:00", "noon". A bare "3" could be either.
fn read_clock(text: &str) -> Option<Time> {
    let plain: String = text.chars().filter(|it| !it.is_whitespace() && *it != '.').collect();
    let plain = plain.to_ascii_lowercase();
    match plain.as_str() {
        "noon" | "midday" => return Time::new(12, 0, 0, 0).ok(),
        "midnight" => return Some(Time::midnight()),
        _ => {}
    }
    let half = |ending| plain.strip_suffix(ending);
    let (digits, later) = match (half("am"), half("pm")) {
        (Some(digits), _) => (digits, Some(0)),
        (_, Some(digits)) => (digits, Some(12)),
        _ => (plain.as_str(), None),
    };
    let mut parts = digits.split(':');
    let hour = number(parts.next()?)?;
    let minute = parts.next().map(number);
    let second = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() || minute.is_none() && later.is_none() {
        return None;
    }
    let minute = minute.unwrap_or(Some(0))?;
    let hour = match later {
        None => hour,
        Some(later) if (1..=12).contains(&hour) => hour % 12 + later,
        Some(_) => return None,
    };
    Time::new(hour, minute, second, 0).ok()
}

/// One or two digits.
fn number(text: &str) -> Option<i8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// As [`written`], in UTC where the zone is not known.
pub(crate) fn maybe_written(moment: Timestamp, zone: Option<&TimeZone>) -> String {
    zone.map_or_else(|| for_square(moment), |it| written(moment, it))
}
