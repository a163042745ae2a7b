//! What the stand-in knows: the shop, its bookings, its customers, and the keys it has seen.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use crate::faults::Faults;
use crate::oauth::Grants;
use crate::refusal::Refusal;

/// The one location.
pub(crate) const LOCATION: &str = "LSTANDIN00001";

/// Where it is. The rule beside it is New York's since 2007, so that a machine without a
/// database of time zones runs the stand-in too.
pub(crate) const TIME_ZONE: &str = "America/New_York";
const TIME_ZONE_RULE: &str = "EST5EDT,M3.2.0,M11.1.0";

/// Who works there.
pub(crate) const TEAM: [&str; 2] = ["TMSTANDIN0001", "TMSTANDIN0002"];

/// All of a kind that are kept: enough for a long load test, little memory.
const RECORDS_MAX: usize = 100_000;

/// Access tokens that are told apart: more than a test has.
const TOKENS_MAX: usize = 100;

/// Characters of an access token that are kept.
const HINT_CHARS: usize = 4;

/// A seeded booking stands there.
const SEEDED_HOUR: i8 = 15;

/// A booking holds its time while it is in one of these.
const ACTIVE: [&str; 2] = ["ACCEPTED", "PENDING"];

/// What can be booked: one item of the catalog with one variation.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) item: &'static str,
    pub(crate) variation: &'static str,
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) minutes: i64,
    pub(crate) price_cents: i64,
}

/// The catalog.
pub(crate) const SERVICES: [Service; 2] = [
    Service {
        item: "ISTANDINHAIRCUT",
        variation: "VSTANDINHAIRCUT",
        version: 1_755_648_000_001,
        name: "Haircut",
        minutes: 30,
        price_cents: 3_500,
    },
    Service {
        item: "ISTANDINCOLOR",
        variation: "VSTANDINCOLOR",
        version: 1_755_648_000_002,
        name: "Hair colour",
        minutes: 60,
        price_cents: 9_000,
    },
];

/// The service whose variation this is.
pub(crate) fn service(variation: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|it| it.variation == variation)
}

/// A part of a booking: one service by one member of the team.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) member: String,
    pub(crate) service: &'static Service,
}

impl Segment {
    pub(crate) fn shown(&self) -> Value {
        json!({
            "team_member_id": self.member,
            "service_variation_id": self.service.variation,
            "service_variation_version": self.service.version,
            "duration_minutes": self.service.minutes,
        })
    }
}

/// A booking.
#[derive(Clone, Debug)]
pub(crate) struct Booking {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) status: &'static str,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) start_at: Timestamp,
    pub(crate) location: String,
    pub(crate) customer: String,
    pub(crate) customer_note: String,
    pub(crate) seller_note: String,
    pub(crate) segments: Vec<Segment>,
}

impl Booking {
    pub(crate) fn is_active(&self) -> bool {
        ACTIVE.contains(&self.status)
    }

    /// Notes that it changed.
    pub(crate) fn touch(&mut self, now: Timestamp) {
        self.version = self.version.saturating_add(1);
        self.updated_at = now;
    }

    pub(crate) fn shown(&self) -> Value {
        let segments: Vec<Value> = self.segments.iter().map(Segment::shown).collect();
        json!({
            "id": self.id,
            "version": self.version,
            "status": self.status,
            "created_at": seconds(self.created_at),
            "updated_at": seconds(self.updated_at),
            "start_at": seconds(self.start_at),
            "location_id": self.location,
            "customer_id": self.customer,
            "customer_note": self.customer_note,
            "seller_note": self.seller_note,
            "appointment_segments": segments,
            "transition_time_minutes": 0,
            "all_day": false,
            "location_type": "BUSINESS_LOCATION",
            "creator_details": { "creator_type": "CUSTOMER", "customer_id": self.customer },
            "source": "API",
        })
    }
}

/// A request that was done under an idempotency key, and the answer to it.
#[derive(Debug)]
struct Done {
    body: Map<String, Value>,
    answer: Value,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) bookings: BTreeMap<String, Booking>,
    /// As Square shows them, in the order of their ids.
    pub(crate) customers: BTreeMap<String, Value>,
    pub(crate) faults: Faults,
    pub(crate) grants: Grants,
    /// How many came for `/v2` and for tokens.
    pub(crate) requests: u64,
    /// How many of them with which access token, by its last characters.
    callers: BTreeMap<String, u64>,
    /// By what was asked for, and the key.
    done: BTreeMap<(String, String), Done>,
    made: u64,
    zone: TimeZone,
}

impl State {
    /// The shop as it is found.
    pub(crate) fn seeded(now: Timestamp) -> Self {
        let mut state = Self {
            bookings: BTreeMap::new(),
            customers: BTreeMap::new(),
            faults: Faults::default(),
            grants: Grants::default(),
            requests: 0,
            callers: BTreeMap::new(),
            done: BTreeMap::new(),
            made: 0,
            zone: TimeZone::posix(TIME_ZONE_RULE).unwrap_or(TimeZone::UTC),
        };
        let customer = "CUSTOMER-1".to_owned();
        let shown = json!({
            "id": customer,
            "created_at": seconds(now),
            "updated_at": seconds(now),
            "given_name": "Ada",
            "family_name": "Example",
            "phone_number": "+12125550123",
            "version": 0,
        });
        state.customers.insert(customer.clone(), shown);
        let booking = Booking {
            id: "BOOKING#123".to_owned(),
            version: 0,
            status: "ACCEPTED",
            created_at: now,
            updated_at: now,
            start_at: state.second_working_day(now),
            location: LOCATION.to_owned(),
            customer,
            customer_note: String::new(),
            seller_note: String::new(),
            segments: TEAM
                .iter()
                .zip(&SERVICES)
                .take(1)
                .map(|(member, service)| Segment { member: (*member).to_owned(), service })
                .collect(),
        };
        state.bookings.insert(booking.id.clone(), booking);
        state
    }

    /// Counts a request under its access token, of which no more is kept than tells it from
    /// others.
    pub(crate) fn count(&mut self, headers: &HeaderMap) {
        let token = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let Some(token) = token.and_then(|it| it.strip_prefix("Bearer ")) else { return };
        let hint = token.get(token.len().saturating_sub(HINT_CHARS)..).unwrap_or_default();
        let hint = format!("…{hint}");
        if self.callers.len() < TOKENS_MAX || self.callers.contains_key(&hint) {
            let count = self.callers.entry(hint).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn second_working_day(&self, now: Timestamp) -> Timestamp {
        let local = now.to_zoned(self.zone.clone());
        let days = (1_i64..8).filter_map(|days| {
            let date = local.date().checked_add(days.days()).ok()?;
            let zoned = date.at(SEEDED_HOUR, 0, 0, 0).to_zoned(self.zone.clone()).ok()?;
            Some(zoned.timestamp())
        });
        let minutes = SERVICES.first().map_or(0, |it| it.minutes);
        days.filter(|start| self.is_open(*start, minutes)).nth(1).unwrap_or(now)
    }

    /// Whether the shop is open for so long then: from nine to five, Monday to Friday.
    pub(crate) fn is_open(&self, start: Timestamp, minutes: i64) -> bool {
        let start = start.to_zoned(self.zone.clone());
        let opened = i64::from(start.hour()) * 60 + i64::from(start.minute());
        let is_weekend = start.weekday().to_monday_zero_offset() >= 5;
        !is_weekend && opened >= 9 * 60 && opened.saturating_add(minutes) <= 17 * 60
    }

    /// The bookings that hold their time, but for this one.
    pub(crate) fn active(&self, except: Option<&str>) -> Vec<&Booking> {
        let bookings = self.bookings.values();
        bookings.filter(|it| it.is_active() && Some(&*it.id) != except).collect()
    }

    /// Whether all of these can be done, one after another.
    pub(crate) fn fits(
        &self,
        start: Timestamp,
        segments: &[Segment],
        except: Option<&str>,
    ) -> bool {
        let mut from = start.as_second();
        let minutes = segments.iter().map(|it| it.service.minutes).sum();
        let others = self.active(except);
        self.is_open(start, minutes)
            && segments.iter().all(|it| {
                let free = is_free(&others, &it.member, from, it.service.minutes);
                from = from.saturating_add(it.service.minutes.saturating_mul(60));
                free
            })
    }

    /// Puts a booking of half an hour there, whatever else is there.
    pub(crate) fn put_booking(&mut self, given: &Value, now: Timestamp) -> Option<()> {
        let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
        let segment = Segment { member: text("team_member_id")?, service: SERVICES.first()? };
        let booking = Booking {
            id: text("id")?,
            version: 0,
            status: "ACCEPTED",
            created_at: now,
            updated_at: now,
            start_at: text("start_at")?.parse().ok()?,
            location: text("location_id").unwrap_or_else(|| LOCATION.to_owned()),
            customer: text("customer_id")?,
            customer_note: String::new(),
            seller_note: String::new(),
            segments: vec![segment],
        };
        self.bookings.insert(booking.id.clone(), booking);
        Some(())
    }

    /// A number nobody has had.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.made = self.made.saturating_add(1);
        self.made
    }

    /// What was answered to this request before, if it is the same. Asked before anything
    /// else, so that a repetition is answered whatever became of its subject since.
    pub(crate) fn repeated(
        &self,
        what: &str,
        key: Option<&str>,
        body: &Map<String, Value>,
    ) -> Result<Option<Value>, Refusal> {
        let Some(done) = key.and_then(|it| self.done.get(&(what.to_owned(), it.to_owned()))) else {
            let full = self.done.len() >= RECORDS_MAX
                || self.bookings.len() >= RECORDS_MAX
                || self.customers.len() >= RECORDS_MAX;
            return if full { Err(Refusal::rate_limited()) } else { Ok(None) };
        };
        if done.body == *body {
            return Ok(Some(done.answer.clone()));
        }
        let detail = "The idempotency key was used with other parameters.";
        Err(Refusal::bad("IDEMPOTENCY_KEY_REUSED", detail).of("idempotency_key"))
    }

    /// Keeps an answer for the same request again.
    pub(crate) fn remember(
        &mut self,
        what: &str,
        key: Option<&str>,
        body: &Map<String, Value>,
        answer: &Value,
    ) {
        if let Some(key) = key {
            let done = Done { body: body.clone(), answer: answer.clone() };
            self.done.insert((what.to_owned(), key.to_owned()), done);
        }
    }

    pub(crate) fn shown(&self) -> Value {
        let bookings: Vec<Value> = self.bookings.values().map(Booking::shown).collect();
        let customers: Vec<&Value> = self.customers.values().collect();
        json!({
            "requests": self.requests,
            "callers": self.callers,
            "tokens": self.grants.renewed(),
            "faults": self.faults.shown(),
            "bookings": bookings,
            "customers": customers,
        })
    }
}

/// A moment as Square writes it: in UTC, to the second.
pub(crate) fn seconds(moment: Timestamp) -> String {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string()
}

/// Whether none of these bookings has this member's time.
pub(crate) fn is_free(others: &[&Booking], member: &str, start: i64, minutes: i64) -> bool {
    let end = start.saturating_add(minutes.saturating_mul(60));
    !others.iter().any(|booking| {
        let mut from = booking.start_at.as_second();
        booking.segments.iter().any(|segment| {
            let until = from.saturating_add(segment.service.minutes.saturating_mul(60));
            let overlaps = segment.member == member && from < end && start < until;
            from = until;
            overlaps
        })
    })
}
