//! What does not change: the location and the services.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use serde_json::{Value, json};

use crate::Answer;
use crate::refusal::{Refusal, number, object, text};
use crate::state::{LOCATION, SERVICES, Service, TEAM, TIME_ZONE};

/// Square's limit of a page, from its description.
const PAGE_MAX: i64 = 100;

/// Longer than any name.
const FILTER_CHARS_MAX: usize = 255;

pub(crate) async fn locations() -> Json<Value> {
    Json(json!({ "locations": [shown_location()] }))
}

pub(crate) async fn location(Path(id): Path<String>) -> Answer {
    if id != LOCATION && id != "main" {
        return Err(Refusal::not_found("There is no such location."));
    }
    Ok(Json(json!({ "location": shown_location() })))
}

fn shown_location() -> Value {
    let periods: Vec<Value> = ["MON", "TUE", "WED", "THU", "FRI"]
        .iter()
        .map(|day| {
            json!({
                "day_of_week": day,
                "start_local_time": "09:00:00",
                "end_local_time": "17:00:00",
            })
        })
        .collect();
    json!({
        "id": LOCATION,
        "name": "Stand-in Barbers",
        "timezone": TIME_ZONE,
        "status": "ACTIVE",
        "created_at": "2025-08-20T00:00:00Z",
        "merchant_id": "MSTANDIN00001",
        "country": "US",
        "language_code": "en-US",
        "currency": "USD",
        "type": "PHYSICAL",
        "business_hours": { "periods": periods },
    })
}

/// All pages are one: there are fewer services than a page holds.
pub(crate) async fn search(body: Bytes) -> Answer {
    let request = object(&body)?;
    if number(&request, "limit")?.is_some_and(|it| !(1..=PAGE_MAX).contains(&it)) {
        return Err(Refusal::invalid("limit"));
    }
    if text(&request, "cursor", FILTER_CHARS_MAX)?.is_some_and(|it| !it.is_empty()) {
        return Err(Refusal::bad("INVALID_CURSOR", "Invalid cursor.").of("cursor"));
    }
    let listed = |field: &str, ours: &str| {
        let list = request.get(field).and_then(Value::as_array).filter(|it| !it.is_empty());
        list.is_none_or(|list| list.iter().any(|it| it == ours))
    };
    let here =
        listed("product_types", "APPOINTMENTS_SERVICE") && listed("enabled_location_ids", LOCATION);
    let filter = text(&request, "text_filter", FILTER_CHARS_MAX)?.unwrap_or_default();
    let filter = filter.to_lowercase();
    let found: Vec<&Service> = SERVICES
        .iter()
        .filter(|it| here && filter.split(' ').all(|word| it.name.to_lowercase().contains(word)))
        .collect();
    if found.is_empty() {
        return Ok(Json(json!({})));
    }
    let items: Vec<Value> = found.iter().map(|it| shown(it)).collect();
    let variations: Vec<&str> = found.iter().map(|it| it.variation).collect();
    Ok(Json(json!({ "items": items, "matched_variation_ids": variations })))
}

fn shown(service: &Service) -> Value {
    let variation = json!({
        "type": "ITEM_VARIATION",
        "id": service.variation,
        "version": service.version,
        "is_deleted": false,
        "present_at_all_locations": true,
        "item_variation_data": {
            "item_id": service.item,
            "name": "Regular",
            "pricing_type": "FIXED_PRICING",
            "price_money": { "amount": service.price_cents, "currency": "USD" },
            // In milliseconds.
            "service_duration": service.minutes.saturating_mul(60_000),
            "available_for_booking": true,
            "team_member_ids": TEAM,
        },
    });
    json!({
        "type": "ITEM",
        "id": service.item,
        "version": service.version,
        "is_deleted": false,
        "present_at_all_locations": true,
        "item_data": {
            "name": service.name,
            "product_type": "APPOINTMENTS_SERVICE",
            "variations": [variation],
        },
    })
}
