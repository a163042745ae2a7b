//! Bookings: made once a key, changed under their version, never deleted.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::refusal::{Refusal, number, object, text};
use crate::state::{Booking, LOCATION, Segment, State, TEAM, service};
use crate::{Answer, Square};

/// Square's limits, from its description.
pub(crate) const ID_CHARS_MAX: usize = 36;
pub(crate) const KEY_CHARS_MAX: usize = 255;
const CUSTOMER_CHARS_MAX: usize = 192;
const NOTE_CHARS_MAX: usize = 4096;

/// More services than a visit has.
const SEGMENTS_MAX: usize = 10;

/// A page of a list. Square's description names no limit.
const PAGE_MAX: usize = 100;

/// How far a list looks, unless it is told.
const LISTED: SignedDuration = SignedDuration::from_hours(31 * 24);

pub(crate) async fn create(Shared(square): Shared<Square>, body: Bytes) -> Answer {
    let request = object(&body)?;
    let key = text(&request, "idempotency_key", KEY_CHARS_MAX)?;
    let now = square.now();
    let mut state = square.lock();
    if let Some(answer) = state.repeated("create booking", key, &request)? {
        return Ok(Json(answer));
    }
    let wanted = wanted(&request)?;
    let location =
        text(wanted, "location_id", 32)?.ok_or_else(|| Refusal::missing("location_id"))?;
    if location != LOCATION {
        return Err(Refusal::not_found("There is no such location.").of("location_id"));
    }
    let customer = text(wanted, "customer_id", CUSTOMER_CHARS_MAX)?
        .ok_or_else(|| Refusal::missing("customer_id"))?;
    if !state.customers.contains_key(customer) {
        let detail = "There is no such customer.";
        return Err(Refusal::bad("CUSTOMER_NOT_FOUND", detail).of("customer_id"));
    }
    let start_at = moment(wanted)?.ok_or_else(|| Refusal::missing("start_at"))?;
    let segments = segments(wanted)?.ok_or_else(|| Refusal::missing("appointment_segments"))?;
    check_time(&state, start_at, &segments, now, None)?;

    let booking = Booking {
        id: format!("standin{:07}", state.next_number()),
        version: 0,
        status: "ACCEPTED",
        created_at: now,
        updated_at: now,
        start_at,
        location: LOCATION.to_owned(),
        customer: customer.to_owned(),
        customer_note: note(wanted, "customer_note")?.unwrap_or_default(),
        seller_note: note(wanted, "seller_note")?.unwrap_or_default(),
        segments,
    };
    let answer = shown(&booking);
    state.bookings.insert(booking.id.clone(), booking);
    state.remember("create booking", key, &request, &answer);
    Ok(Json(answer))
}

pub(crate) async fn retrieve(Shared(square): Shared<Square>, Path(id): Path<String>) -> Answer {
    square.lock().bookings.get(&id).map(|it| Json(shown(it))).ok_or_else(not_found)
}

pub(crate) async fn update(
    Shared(square): Shared<Square>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let request = object(&body)?;
    let key = text(&request, "idempotency_key", KEY_CHARS_MAX)?;
    let what = format!("update booking {id}");
    let now = square.now();
    let mut state = square.lock();
    if let Some(answer) = state.repeated(&what, key, &request)? {
        return Ok(Json(answer));
    }
    let wanted = wanted(&request)?;
    let mut booking = state.bookings.get(&id).ok_or_else(not_found)?.clone();
    check_version(&booking, number(wanted, "version")?)?;
    if !booking.is_active() {
        return Err(Refusal::bad("BAD_REQUEST", "The booking is over or was cancelled."));
    }
    if text(wanted, "location_id", 32)?.is_some_and(|it| it != LOCATION) {
        return Err(Refusal::bad("BAD_REQUEST", "The location cannot change.").of("location_id"));
    }
    let (start_at, segments) = (moment(wanted)?, segments(wanted)?);
    let moves = start_at.is_some() || segments.is_some();
    booking.start_at = start_at.unwrap_or(booking.start_at);
    booking.segments = segments.unwrap_or(booking.segments);
    if moves {
        check_time(&state, booking.start_at, &booking.segments, now, Some(id.as_str()))?;
    }
    booking.customer_note = note(wanted, "customer_note")?.unwrap_or(booking.customer_note);
    booking.seller_note = note(wanted, "seller_note")?.unwrap_or(booking.seller_note);
    booking.touch(now);

    let answer = shown(&booking);
    state.bookings.insert(id, booking);
    state.remember(&what, key, &request, &answer);
    Ok(Json(answer))
}

pub(crate) async fn cancel(
    Shared(square): Shared<Square>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let request = object(&body)?;
    let key = text(&request, "idempotency_key", KEY_CHARS_MAX)?;
    let what = format!("cancel booking {id}");
    let now = square.now();
    let mut state = square.lock();
    if let Some(answer) = state.repeated(&what, key, &request)? {
        return Ok(Json(answer));
    }
    let booking = state.bookings.get_mut(&id).ok_or_else(not_found)?;
    check_version(booking, number(&request, "booking_version")?)?;
    let no = |detail| Err(Refusal::bad("BAD_REQUEST", detail));
    match booking.status {
        "ACCEPTED" if booking.start_at <= now => return no("The booking is in the past."),
        "ACCEPTED" => {}
        "PENDING" => return no("PENDING cannot transition via seller cancel."),
        _ => return no("The booking is over or was cancelled."),
    }
    booking.status = "CANCELLED_BY_CUSTOMER";
    booking.touch(now);

    let answer = shown(booking);
    state.remember(&what, key, &request, &answer);
    Ok(Json(answer))
}

pub(crate) async fn list(
    Shared(square): Shared<Square>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let asked = |name: &str| query.get(name).filter(|it| !it.is_empty());
    let time = |name: &'static str| {
        let invalid = Refusal::bad("INVALID_TIME", "The time is not in RFC 3339 form.").of(name);
        asked(name).map(|it| it.parse::<Timestamp>()).transpose().map_err(|_| invalid)
    };
    let from = time("start_at_min")?.unwrap_or_else(|| square.now());
    let until = match time("start_at_max")? {
        Some(until) => until,
        None => from.checked_add(LISTED).map_err(|_| Refusal::invalid("start_at_min"))?,
    };
    let limit = match asked("limit").map(|it| it.parse::<usize>()) {
        None => PAGE_MAX,
        Some(Ok(limit)) if limit > 0 => limit.min(PAGE_MAX),
        Some(_) => return Err(Refusal::invalid("limit")),
    };
    let skipped = match asked("cursor").map(|it| it.parse::<usize>()) {
        None => 0,
        Some(Ok(skipped)) => skipped,
        Some(Err(_)) => return Err(Refusal::bad("INVALID_CURSOR", "Invalid cursor.").of("cursor")),
    };

    let state = square.lock();
    let mut found: Vec<&Booking> = state
        .bookings
        .values()
        .filter(|it| from <= it.start_at && it.start_at <= until)
        .filter(|it| asked("customer_id").is_none_or(|id| *id == it.customer))
        .filter(|it| asked("location_id").is_none_or(|id| *id == it.location))
        .filter(|booking| {
            let by = |id: &String| booking.segments.iter().any(|it| it.member == *id);
            asked("team_member_id").is_none_or(by)
        })
        .collect();
    found.sort_by(|a, b| (a.start_at, &a.id).cmp(&(b.start_at, &b.id)));
    let page: Vec<Value> = found.iter().skip(skipped).take(limit).map(|it| it.shown()).collect();
    let next = skipped.saturating_add(page.len());
    let mut answer = json!({ "bookings": page, "errors": [] });
    if let Some(answer) = answer.as_object_mut().filter(|_| next < found.len()) {
        answer.insert("cursor".to_owned(), next.to_string().into());
    }
    Ok(Json(answer))
}

fn shown(booking: &Booking) -> Value {
    json!({ "booking": booking.shown(), "errors": [] })
}

fn not_found() -> Refusal {
    Refusal::not_found("Specified booking was not found.")
}

fn wanted(request: &Map<String, Value>) -> Result<&Map<String, Value>, Refusal> {
    let booking = request.get("booking").and_then(Value::as_object);
    booking.ok_or_else(|| Refusal::missing("booking"))
}

/// A version that is not given is not compared: Square's description makes it optional.
fn check_version(booking: &Booking, known: Option<i64>) -> Result<(), Refusal> {
    if known.is_some_and(|it| it != booking.version) { Err(Refusal::stale()) } else { Ok(()) }
}

/// Whether the time is to come, and no booking stands in the way other than `itself`.
fn check_time(
    state: &State,
    start_at: Timestamp,
    segments: &[Segment],
    now: Timestamp,
    itself: Option<&str>,
) -> Result<(), Refusal> {
    if start_at <= now {
        let detail = "The time is in the past.";
        return Err(Refusal::bad("BAD_REQUEST", detail).of("start_at"));
    }
    if !state.fits(start_at, segments, itself) {
        let detail = "The time is not available.";
        return Err(Refusal::bad("BAD_REQUEST", detail).of("start_at"));
    }
    Ok(())
}

fn moment(wanted: &Map<String, Value>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text(wanted, "start_at", 64)? else {
        return Ok(None);
    };
    // To the second, as it is shown.
    let moment = text.parse::<Timestamp>().ok();
    let moment = moment.and_then(|it| Timestamp::from_second(it.as_second()).ok());
    let invalid = Refusal::bad("INVALID_TIME", "The time is not in RFC 3339 form.").of("start_at");
    moment.map(Some).ok_or(invalid)
}

fn note(wanted: &Map<String, Value>, field: &'static str) -> Result<Option<String>, Refusal> {
    Ok(text(wanted, field, NOTE_CHARS_MAX)?.map(str::to_owned))
}

fn segments(wanted: &Map<String, Value>) -> Result<Option<Vec<Segment>>, Refusal> {
    let Some(given) = wanted.get("appointment_segments").filter(|it| !it.is_null()) else {
        return Ok(None);
    };
    let given = given.as_array().filter(|it| !it.is_empty() && it.len() <= SEGMENTS_MAX);
    let given = given.ok_or_else(|| Refusal::invalid("appointment_segments"))?;
    given.iter().map(segment).collect::<Result<_, _>>().map(Some)
}

fn segment(given: &Value) -> Result<Segment, Refusal> {
    let given = given.as_object().ok_or_else(|| Refusal::invalid("appointment_segments"))?;
    let member = text(given, "team_member_id", 32)?;
    let member = member.ok_or_else(|| Refusal::missing("team_member_id"))?;
    if !TEAM.contains(&member) {
        return Err(Refusal::not_found("There is no such team member.").of("team_member_id"));
    }
    let variation = text(given, "service_variation_id", ID_CHARS_MAX)?
        .ok_or_else(|| Refusal::missing("service_variation_id"))?;
    let unknown = Refusal::not_found("There is no such service.").of("service_variation_id");
    let service = service(variation).ok_or(unknown)?;
    let version = number(given, "service_variation_version")?
        .ok_or_else(|| Refusal::missing("service_variation_version"))?;
    if version != service.version {
        return Err(Refusal::invalid("service_variation_version"));
    }
    Ok(Segment { member: member.to_owned(), service })
}
