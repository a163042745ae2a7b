//! What Square tells of bookings, customers and free times, as far as it is used.

use hookgate_core::time::Timestamp;
use serde_json::{Value, json};

use super::phone::Phone;

/// A booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) status: String,
    pub(crate) start_at: Timestamp,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) location_id: String,
    pub(crate) customer_id: Option<String>,
    pub(crate) segments: Vec<Segment>,
}

/// A part of a booking, or of a free time: a service by somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) member: String,
    pub(crate) variation: Option<String>,
    pub(crate) version: Option<i64>,
    pub(crate) minutes: Option<i64>,
}

/// A free time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) start_at: Timestamp,
    pub(crate) segments: Vec<Segment>,
}

/// A customer.
#[derive(Clone)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) phone: Option<Phone>,
    pub(crate) email: Option<String>,
}

impl Booking {
    /// Reads a booking; nothing if what identifies and orders it is not there.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "id")?,
            version: value.get("version").and_then(Value::as_i64).unwrap_or(0),
            status: text(value, "status")?,
            start_at: moment(value, "start_at")?,
            created_at: moment(value, "created_at"),
            location_id: text(value, "location_id")?,
            customer_id: text(value, "customer_id"),
            segments: segments(value),
        })
    }

    /// Whether it holds its time.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.status.as_str(), "ACCEPTED" | "PENDING")
    }

    /// Whether the shop still has to accept it.
    pub(crate) fn is_pending(&self) -> bool {
        self.status == "PENDING"
    }

    /// Whether somebody has cancelled it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.status.starts_with("CANCELLED")
    }

    /// Whether it is for this service.
    pub(crate) fn has_service(&self, variation: &str) -> bool {
        self.segments.iter().any(|it| it.variation.as_deref() == Some(variation))
    }

    /// Whether somebody who is needed for `slot` is busy with this one then.
    pub(crate) fn is_in_the_way_of(&self, slot: &Slot) -> bool {
        let ours = spans(self.start_at, &self.segments);
        let theirs = spans(slot.start_at, &slot.segments);
        self.is_active()
            && ours.iter().any(|(member, from, until)| {
                theirs.iter().any(|it| it.0 == *member && *from < it.2 && it.1 < *until)
            })
    }
}

/// Who is busy from when until when, in milliseconds. A part of unknown length counts with a
/// moment.
fn spans(start_at: Timestamp, segments: &[Segment]) -> Vec<(&str, i64, i64)> {
    let mut from = start_at.millis();
    let spans = segments.iter().map(|it| {
        let until = from.saturating_add(it.minutes.unwrap_or(0).saturating_mul(60_000).max(1));
        let span = (it.member.as_str(), from, until);
        from = until;
        span
    });
    spans.collect()
}

impl Segment {
    /// As a request for a booking has it.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({ "team_member_id": self.member });
        let known = [
            ("service_variation_id", self.variation.clone().map(Value::from)),
            ("service_variation_version", self.version.map(Value::from)),
            ("duration_minutes", self.minutes.map(Value::from)),
        ];
        if let Some(object) = value.as_object_mut() {
            object.extend(known.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?))));
        }
        value
    }
}

impl Slot {
    /// Reads a free time, if it is at this location.
    pub(crate) fn read(value: &Value, location_id: &str) -> Option<Self> {
        if text(value, "location_id").is_some_and(|it| it != location_id) {
            return None;
        }
        let segments = segments(value);
        let start_at = moment(value, "start_at")?;
        (!segments.is_empty()).then_some(Self { start_at, segments })
    }

    /// How long it takes, in minutes.
    pub(crate) fn minutes(&self) -> i64 {
        self.segments.iter().map(|it| it.minutes.unwrap_or(0)).fold(0, i64::saturating_add)
    }
}

impl Customer {
    /// Reads a customer.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let part = |name| text(value, name).unwrap_or_default();
        let name = format!("{} {}", part("given_name"), part("family_name"));
        Some(Self {
            id: text(value, "id")?,
            name: name.trim().to_owned(),
            phone: text(value, "phone_number").and_then(|it| Phone::read(&it)),
            email: text(value, "email_address"),
        })
    }
}

/// What stands in a list, as far as it can be read.
pub(crate) fn each<T>(value: &Value, name: &str, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    value.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(read).collect()
}

/// A text that is not empty.
pub(crate) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned)
}

fn moment(value: &Value, name: &str) -> Option<Timestamp> {
    Timestamp::parse(value.get(name)?.as_str()?)
}

fn segments(value: &Value) -> Vec<Segment> {
    each(value, "appointment_segments", |it| {
        Some(Segment {
            member: text(it, "team_member_id")?,
            variation: text(it, "service_variation_id"),
            version: it.get("service_variation_version").and_then(Value::as_i64),
            minutes: it.get("duration_minutes").and_then(Value::as_i64),
        })
    })
}
