//! When there is time: half-hour slots in business hours, minus bookings.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::bookings::ID_CHARS_MAX;
use crate::refusal::{Refusal, object, text};
use crate::state::{Booking, LOCATION, Segment, Service, State, TEAM, is_free, seconds, service};
use crate::{Answer, Square};

/// Square's limits of a range, from its description of `SearchAvailabilityFilter`.
const RANGE_SECONDS_MIN: i64 = 24 * 60 * 60;
const RANGE_SECONDS_MAX: i64 = 32 * RANGE_SECONDS_MIN;

/// Every slot starts at a multiple of this.
const STEP_SECONDS: i64 = 30 * 60;

/// More services than a visit has.
const SEGMENTS_MAX: usize = 10;

/// What is looked for: these services one after another, each by one of these members.
struct Wanted {
    segments: Vec<(&'static Service, Vec<String>)>,
    /// The booking that is to move: its own time counts as free.
    except: Option<String>,
}

pub(crate) async fn search(Shared(square): Shared<Square>, body: Bytes) -> Answer {
    let request = object(&body)?;
    let query = inner(&request, "query")?;
    let filter = inner(query, "filter")?;
    let (from, until) = range(inner(filter, "start_at_range")?)?;

    let now = square.now().as_second();
    let state = square.lock();
    let wanted = wanted(filter, &state)?;
    let others = state.active(wanted.except.as_deref());
    let mut found = Vec::new();
    // Only what is still to come, on the grid.
    let mut start = from.max(now).saturating_add(STEP_SECONDS - 1).div_euclid(STEP_SECONDS);
    while start.saturating_mul(STEP_SECONDS) < until {
        let at = start.saturating_mul(STEP_SECONDS);
        found.extend(offer(&state, &others, &wanted, at));
        start = start.saturating_add(1);
    }
    Ok(Json(json!({ "availabilities": found, "errors": [] })))
}

fn inner<'a>(
    object: &'a Map<String, Value>,
    field: &'static str,
) -> Result<&'a Map<String, Value>, Refusal> {
    object.get(field).and_then(Value::as_object).ok_or_else(|| Refusal::missing(field))
}

fn range(range: &Map<String, Value>) -> Result<(i64, i64), Refusal> {
    let end = |field| {
        let text = text(range, field, 64)?.ok_or_else(|| Refusal::missing(field))?;
        let moment: Timestamp = text.parse().map_err(|_| {
            Refusal::bad("INVALID_TIME", "The time is not in RFC 3339 form.").of(field)
        })?;
        Ok::<i64, Refusal>(moment.as_second())
    };
    let (from, until) = (end("start_at")?, end("end_at")?);
    let length = until.saturating_sub(from);
    if !(RANGE_SECONDS_MIN..=RANGE_SECONDS_MAX).contains(&length) {
        let detail = "The range must be at least 24 hours and at most 32 days long.";
        return Err(Refusal::bad("INVALID_TIME_RANGE", detail).of("start_at_range"));
    }
    Ok((from, until))
}

fn wanted(filter: &Map<String, Value>, state: &State) -> Result<Wanted, Refusal> {
    let location = text(filter, "location_id", 32)?;
    let segments = filter.get("segment_filters").filter(|it| !it.is_null());
    if let Some(id) = text(filter, "booking_id", ID_CHARS_MAX)? {
        if location.is_some() || segments.is_some() {
            let detail = "booking_id stands alone.";
            return Err(Refusal::bad("CONFLICTING_PARAMETERS", detail).of("booking_id"));
        }
        let booking = state.bookings.get(id);
        let booking = booking.ok_or_else(|| Refusal::not_found("There is no such booking."))?;
        let segments = booking.segments.iter();
        let segments = segments.map(|it| (it.service, vec![it.member.clone()])).collect();
        return Ok(Wanted { segments, except: Some(id.to_owned()) });
    }
    let location = location.ok_or_else(|| Refusal::missing("location_id"))?;
    if location != LOCATION {
        return Err(Refusal::not_found("There is no such location.").of("location_id"));
    }
    let segments = segments.and_then(Value::as_array);
    let segments = segments.ok_or_else(|| Refusal::missing("segment_filters"))?;
    if segments.is_empty() || segments.len() > SEGMENTS_MAX {
        return Err(Refusal::invalid("segment_filters"));
    }
    let segments = segments.iter().map(segment).collect::<Result<_, _>>()?;
    Ok(Wanted { segments, except: None })
}

fn segment(filter: &Value) -> Result<(&'static Service, Vec<String>), Refusal> {
    let filter = filter.as_object().ok_or_else(|| Refusal::invalid("segment_filters"))?;
    let variation = text(filter, "service_variation_id", 36)?
        .ok_or_else(|| Refusal::missing("service_variation_id"))?;
    let unknown = Refusal::not_found("There is no such service.").of("service_variation_id");
    let found = service(variation).ok_or(unknown)?;
    let members = filter.get("team_member_id_filter");
    let asked = |name: &str| members.and_then(|it| it.get(name)).and_then(Value::as_array);
    let (any, none) = (asked("any"), asked("none"));
    let members = TEAM.iter().filter(|member| {
        let named = |list: &Vec<Value>| list.iter().any(|it| it.as_str() == Some(**member));
        any.is_none_or(named) && !none.is_some_and(named)
    });
    Ok((found, members.map(|it| (*it).to_owned()).collect()))
}

/// A slot, if each of the services finds somebody who is free for it then, beside the
/// `others`.
fn offer(state: &State, others: &[&Booking], wanted: &Wanted, start: i64) -> Option<Value> {
    let moment = Timestamp::from_second(start).ok()?;
    let minutes = wanted.segments.iter().map(|(service, _)| service.minutes).sum();
    if !state.is_open(moment, minutes) {
        return None;
    }
    let mut from = start;
    let mut shown = Vec::new();
    for (service, members) in &wanted.segments {
        let member = members.iter().find(|it| is_free(others, it, from, service.minutes))?;
        shown.push(Segment { member: member.clone(), service }.shown());
        from = from.saturating_add(service.minutes.saturating_mul(60));
    }
    Some(json!({
        "start_at": seconds(moment),
        "location_id": LOCATION,
        "appointment_segments": shown,
    }))
}
