//! Free times.

use std::collections::BTreeMap;
use std::time::Duration;

use hookgate_core::time::Timestamp;
use hookgate_core::tool::Reply;
use http::StatusCode;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::arguments::{Arguments, invalid};
use super::change::not_found;
use super::client::Session;
use super::ids::Id;
use super::objects::Slot;
use super::shop::Service;
use super::slots::{later, past, soon};
use super::time;
use super::words::listed;
use crate::work::End;

/// The shortest and the longest time that Square searches at once.
const SEARCH_MIN: Duration = Duration::from_hours(24);
const SEARCH_MAX: Duration = Duration::from_hours(32 * 24);

/// Days that are looked at, unless the call says how many.
const DAYS: i64 = 7;

/// Days that are looked at most: two searches.
const DAYS_MAX: i64 = 62;

/// Times that are told at most. A model forgets the middle of a longer list.
const SLOTS_MAX: usize = 20;

/// Times of one day that are told at least, if it has them.
const SLOTS_A_DAY: usize = 3;

/// Times that the sentence names.
const SPOKEN_MAX: usize = 4;

/// What times are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    what: What,
    from: Timestamp,
    until: Timestamp,
}

#[derive(Clone, Debug)]
enum What {
    Service(Service, Option<Id>),
    Move(Id),
}

/// Reads what is wanted.
pub(crate) async fn plan(session: &Session<'_>, arguments: &Arguments<'_>) -> Result<Wanted, End> {
    let days = arguments.count("days", DAYS_MAX)?.unwrap_or(DAYS);
    let (date, booking) = (arguments.text("date")?, arguments.maybe_booking()?);
    let member = arguments.member()?;
    let zone = session.zone().await?;
    let now = session.work.now;
    let unclear = || invalid("Which day would you like? Please give me a date.");
    let day = match date {
        Some(text) => time::read_date(&text, &zone, now).ok_or_else(unclear)?,
        None => time::day(now, &zone),
    };
    let end = day.checked_add(days.days()).map_err(|_| unclear())?;
    let begins = |day: Date| time::beginning(day, &zone).ok_or_else(unclear);
    let (from, until) = (begins(day)?.max(soon(now)), begins(end)?);
    if until <= from {
        return Err(past());
    }
    let what = match booking {
        Some(booking) => What::Move(booking),
        None => What::Service(session.service(arguments).await?, member),
    };
    Ok(Wanted { what, from, until })
}

/// Searches.
pub(crate) async fn run(session: &Session<'_>, wanted: &Wanted) -> Result<Reply, End> {
    let zone = session.zone().await?;
    let mut found = Vec::new();
    for range in ranges(wanted.from, wanted.until) {
        let slots = match &wanted.what {
            What::Service(service, member) => {
                session.slots((&service.variation, member.as_ref()), range).await
            }
            What::Move(booking) => session.slots_for_move(booking.as_str(), range).await,
        };
        match (slots, &wanted.what) {
            (Ok(slots), _) => found.extend(slots),
            (Err(failure), What::Move(_)) if failure.is(StatusCode::NOT_FOUND) => {
                return Err(not_found());
            }
            (Err(failure), _) => return Err(failure.end()),
        }
    }
    found.retain(|it| it.start_at >= wanted.from && it.start_at < wanted.until);
    found.sort_by_key(|it| it.start_at);
    found.dedup_by_key(|it| it.start_at);
    Ok(told(session, &spread(found, &zone), wanted, &zone))
}

fn told(session: &Session<'_>, slots: &[Slot], wanted: &Wanted, zone: &TimeZone) -> Reply {
    let service = match &wanted.what {
        What::Service(service, _) => Some(service),
        What::Move(_) => None,
    };
    let spoken = |slot: &Slot| time::spoken(slot.start_at, zone, session.work.now);
    let reply = if slots.is_empty() {
        let message = "I don't see any free times then. Would another day work?";
        Reply::done("none", message)
    } else {
        let times: Vec<String> = slots.iter().take(SPOKEN_MAX).map(spoken).collect();
        let times = listed(&times, "and");
        let message = match service {
            Some(service) => format!("For {}, I have {times}.", service.name),
            None => format!("I have {times}."),
        };
        Reply::done("found", message)
    };
    let slots: Vec<Value> = slots
        .iter()
        .map(|it| {
            json!({
                "start_at": time::written(it.start_at, zone),
                "spoken": spoken(it),
                "minutes": it.minutes(),
                "team_member_id": it.segments.first().map(|it| &it.member),
            })
        })
        .collect();
    let reply = reply.with("slots", slots);
    match service {
        Some(service) => reply
            .with("service", service.name.as_str())
            .with("service_id", service.variation.as_str()),
        None => reply,
    }
}

/// A time in as many equal parts as it takes for Square to search each of them. A short one
/// is searched with what follows it.
fn ranges(from: Timestamp, until: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let until = until.max(later(from, SEARCH_MIN));
    let length = until.ahead(from);
    let parts = length.as_secs().div_ceil(SEARCH_MAX.as_secs()).max(1);
    let step = Duration::from_secs(length.as_secs().div_ceil(parts));
    let mut ranges = Vec::new();
    let mut start = from;
    for _ in 0..parts {
        let end = later(start, step).min(until);
        ranges.push((start, end));
        start = end;
    }
    ranges
}

/// Some of the times: of each day the first, the last and what is evenly between, until
/// there are enough.
fn spread(slots: Vec<Slot>, zone: &TimeZone) -> Vec<Slot> {
    let mut days: BTreeMap<Date, Vec<Slot>> = BTreeMap::new();
    for slot in slots {
        days.entry(time::day(slot.start_at, zone)).or_default().push(slot);
    }
    let a_day = (SLOTS_MAX / days.len().max(1)).max(SLOTS_A_DAY);
    let chosen = days.into_values().flat_map(|slots| {
        let (count, last) = (a_day.min(slots.len()), slots.len().saturating_sub(1));
        let at = |n: usize| n.saturating_mul(last) / count.saturating_sub(1).max(1);
        let wanted: Vec<usize> = (0..count).map(at).collect();
        slots.into_iter().enumerate().filter(move |(n, _)| wanted.contains(n)).map(|(_, it)| it)
    });
    chosen.take(SLOTS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_446_000_000);

    #[test]
    fn a_range_is_split_so_that_each_part_can_be_searched() {
        for hours in [1_u64, 23, 24, 25, 7 * 24, 32 * 24, 32 * 24 + 1, 62 * 24, 62 * 24 + 1] {
            let until = later(NOW, Duration::from_hours(hours));
            let ranges = ranges(NOW, until);
            assert_eq!(ranges.first().unwrap().0, NOW);
            assert!(ranges.last().unwrap().1 >= until, "{hours} h are covered");
            for (n, (from, until)) in ranges.iter().enumerate() {
                let length = until.ahead(*from);
                assert!((SEARCH_MIN..=SEARCH_MAX).contains(&length), "{hours} h: {length:?}");
                assert!(n == 0 || ranges[n - 1].1 == *from, "nothing is left out");
            }
            assert!(ranges.len() <= 2);
        }
    }

    #[test]
    fn few_times_are_told_and_they_are_of_all_hours() {
        let slot = |minutes: u64| Slot {
            start_at: later(NOW, Duration::from_mins(minutes)),
            segments: Vec::new(),
        };
        let minutes = |slots: Vec<Slot>| -> Vec<u64> {
            let told = spread(slots, &TimeZone::UTC);
            told.iter().map(|it| it.start_at.ahead(NOW).as_secs() / 60).collect()
        };
        assert!(minutes(Vec::new()).is_empty());
        assert_eq!(minutes(vec![slot(5)]), [5]);
        let day = (0..40).map(|it| slot(it * 10)).collect();
        let told = minutes(day);
        assert_eq!((told.len(), told.first(), told.last()), (20, Some(&0), Some(&390)));
        let many = (0..10).flat_map(|day| (0..9).map(move |it| slot(day * 1440 + it * 10)));
        let told = minutes(many.collect());
        assert_eq!(told.len(), SLOTS_MAX);
        assert_eq!(told[..4], [0, 40, 80, 1440]);
    }
}
