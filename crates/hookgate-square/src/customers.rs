//! Customers: made once a key, found by phone number or e-mail address.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use serde_json::{Map, Value, json};

use crate::bookings::KEY_CHARS_MAX;
use crate::refusal::{Refusal, number, object, text};
use crate::state::seconds;
use crate::{Answer, Square};

/// One of these must be there.
const NAMING: [&str; 5] =
    ["given_name", "family_name", "company_name", "email_address", "phone_number"];

/// What else is kept.
const KEPT: [&str; 3] = ["nickname", "reference_id", "note"];

/// Longer than any name, as long as a note of a booking.
const FIELD_CHARS_MAX: usize = 4096;

/// A page of found customers, as Square's.
const PAGE_MAX: i64 = 100;

pub(crate) async fn create(Shared(square): Shared<Square>, body: Bytes) -> Answer {
    const WHAT: &str = "create customer";
    let request = object(&body)?;
    let key = text(&request, "idempotency_key", KEY_CHARS_MAX)?;
    let now = square.now();
    let mut state = square.lock();
    if let Some(answer) = state.repeated(WHAT, key, &request)? {
        return Ok(Json(answer));
    }
    let mut customer = Map::new();
    for field in NAMING.into_iter().chain(KEPT) {
        if let Some(text) = text(&request, field, FIELD_CHARS_MAX)?.filter(|it| !it.is_empty()) {
            customer.insert(field.to_owned(), text.into());
        }
    }
    if !NAMING.iter().any(|it| customer.contains_key(*it)) {
        let detail = "A name, an e-mail address or a phone number is required.";
        return Err(Refusal::bad("BAD_REQUEST", detail));
    }
    let phone = customer.get("phone_number").and_then(Value::as_str);
    if phone.is_some_and(|it| !is_phone_number(it)) {
        let detail = "A phone number has 9 to 16 digits.";
        return Err(Refusal::bad("INVALID_PHONE_NUMBER", detail).of("phone_number"));
    }
    let id = format!("STANDINCUSTOMER{:07}", state.next_number());
    let known = json!({
        "id": id,
        "created_at": seconds(now),
        "updated_at": seconds(now),
        "creation_source": "THIRD_PARTY",
        "version": 0,
    });
    customer.extend(known.as_object().cloned().unwrap_or_default());
    let customer = Value::Object(customer);
    let answer = json!({ "customer": customer });
    state.customers.insert(id, customer);
    state.remember(WHAT, key, &request, &answer);
    Ok(Json(answer))
}

pub(crate) async fn retrieve(Shared(square): Shared<Square>, Path(id): Path<String>) -> Answer {
    let state = square.lock();
    let found = state.customers.get(&id).map(|it| Json(json!({ "customer": it })));
    found.ok_or_else(|| Refusal::not_found("There is no such customer."))
}

pub(crate) async fn search(Shared(square): Shared<Square>, body: Bytes) -> Answer {
    let request = object(&body)?;
    let limit = number(&request, "limit")?.unwrap_or(PAGE_MAX);
    let limit = Some(limit).filter(|it| (1..=PAGE_MAX).contains(it));
    let limit = limit.and_then(|it| usize::try_from(it).ok());
    let limit = limit.ok_or_else(|| Refusal::invalid("limit"))?;
    let skipped = match text(&request, "cursor", KEY_CHARS_MAX)?.map(str::parse::<usize>) {
        None => 0,
        Some(Ok(skipped)) => skipped,
        Some(Err(_)) => return Err(Refusal::bad("INVALID_CURSOR", "Invalid cursor.").of("cursor")),
    };
    let filter = request.get("query").and_then(|it| it.get("filter"));
    let phone = Filter::read(filter, "phone_number")?;
    let email = Filter::read(filter, "email_address")?;

    let state = square.lock();
    let found: Vec<&Value> = state
        .customers
        .values()
        .filter(|it| phone.takes(it, |text| text.chars().filter(char::is_ascii_digit).collect()))
        .filter(|it| email.takes(it, str::to_lowercase))
        .collect();
    let page: Vec<&&Value> = found.iter().skip(skipped).take(limit).collect();
    if page.is_empty() {
        return Ok(Json(json!({})));
    }
    let next = skipped.saturating_add(page.len());
    let mut answer = json!({ "customers": page });
    if let Some(answer) = answer.as_object_mut().filter(|_| next < found.len()) {
        answer.insert("cursor".to_owned(), next.to_string().into());
    }
    Ok(Json(answer))
}

/// How a field is looked for.
enum Filter {
    Any,
    Exact(&'static str, String),
    Fuzzy(&'static str, String),
}

impl Filter {
    fn read(filter: Option<&Value>, field: &'static str) -> Result<Self, Refusal> {
        let Some(filter) = filter.and_then(|it| it.get(field)).and_then(Value::as_object) else {
            return Ok(Self::Any);
        };
        let exact = text(filter, "exact", FIELD_CHARS_MAX)?.map(str::to_owned);
        let fuzzy = text(filter, "fuzzy", FIELD_CHARS_MAX)?.map(str::to_owned);
        match (exact, fuzzy) {
            (Some(exact), None) => Ok(Self::Exact(field, exact)),
            (None, Some(fuzzy)) => Ok(Self::Fuzzy(field, fuzzy)),
            _ => Err(Refusal::bad("BAD_REQUEST", "Either exact or fuzzy.").of(field)),
        }
    }

    /// Compares after `even` has taken away what does not matter.
    fn takes(&self, customer: &Value, even: fn(&str) -> String) -> bool {
        let of = |field: &str| customer.get(field).and_then(Value::as_str).map(even);
        match self {
            Self::Any => true,
            Self::Exact(field, text) => of(field).is_some_and(|it| it == even(text)),
            Self::Fuzzy(field, text) => of(field).is_some_and(|it| it.contains(&even(text))),
        }
    }
}

/// 9 to 16 digits, as Square's description says, and what people put between them.
fn is_phone_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let rest = text.strip_prefix('+').unwrap_or(text);
    (9..=16).contains(&digits) && rest.chars().all(|it| it.is_ascii_digit() || " -().".contains(it))
}
