//! Free times around one that is wanted.

use std::time::Duration;

use hookgate_core::time::Timestamp;
use hookgate_core::tool::Reply;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::api::Between;
use super::client::Session;
use super::error::Failure;
use super::objects::{Booking, Slot};
use super::time;
use super::words::listed;
use crate::work::End;

/// How far around a time others are looked for, to each side. Both sides together are more
/// than the day that Square asks for at least, also where one is cut off by the present.
const AROUND: Duration = Duration::from_hours(36);

/// How long before a time a booking may begin that is in its way: nothing at a shop takes
/// longer.
const LONGEST: Duration = Duration::from_hours(12);

/// How long a wanted time may take, for whom is busy meanwhile.
const MEANWHILE: Duration = Duration::from_hours(4);

/// Other times that are offered.
const ALTERNATIVES_MAX: usize = 3;

/// Square refuses ranges that begin in the past, and its clock is not ours.
const SOON: Duration = Duration::from_mins(1);

/// A moment, so much later.
pub(crate) fn later(moment: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(moment.millis().saturating_add(by))
}

/// A moment, so much earlier.
pub(crate) fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(moment.millis().saturating_sub(by))
}

/// The first moment that may be asked about.
pub(crate) fn soon(now: Timestamp) -> Timestamp {
    later(now, SOON)
}

/// The range to search for a time that is wanted.
pub(crate) fn around(start_at: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
    (earlier(start_at, AROUND).max(soon(now)), later(start_at, AROUND))
}

/// Who is busy around a time: Square has offered times that the shop itself had given away.
pub(crate) async fn busy_at(
    session: &Session<'_>,
    start_at: Timestamp,
) -> Result<Vec<Booking>, Failure> {
    let (from, until) = (earlier(start_at, LONGEST), later(start_at, MEANWHILE));
    session.bookings(Between { customer: None, from, until }).await
}

/// The time that was wanted is taken: the ones nearest to it.
pub(crate) fn not_available(
    session: &Session<'_>,
    slots: &[Slot],
    wanted: Timestamp,
    zone: &TimeZone,
) -> End {
    let mut starts: Vec<Timestamp> =
        slots.iter().map(|it| it.start_at).filter(|it| *it != wanted).collect();
    starts.dedup();
    starts.sort_by_key(|it| it.millis().abs_diff(wanted.millis()));
    starts.truncate(ALTERNATIVES_MAX);
    starts.sort();
    let spoken: Vec<String> =
        starts.iter().map(|it| time::spoken(*it, zone, session.work.now)).collect();
    let message = if spoken.is_empty() {
        "Sorry, that time isn't available. Would another day work?".to_owned()
    } else {
        let others = listed(&spoken, "or");
        format!("Sorry, that time isn't available. I could offer you {others}.")
    };
    let alternatives: Vec<Value> = starts
        .iter()
        .zip(&spoken)
        .map(|(start, spoken)| json!({ "start_at": time::written(*start, zone), "spoken": spoken }))
        .collect();
    End::Refused(Reply::sorry("not_available", message).with("alternatives", alternatives))
}

/// The time that was wanted is over.
pub(crate) fn past() -> End {
    End::Refused(Reply::sorry("past", "That time has already passed. When else would suit you?"))
}
