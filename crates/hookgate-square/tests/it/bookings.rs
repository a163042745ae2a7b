//! Bookings: one a key, changed under their version, cancelled once.

use serde_json::{Value, json};

use crate::bench::{Bench, LOCATION, booking};

/// Tuesday, 11 o'clock in New York.
const TUESDAY: &str = "2026-11-24T16:00:00Z";
/// The booking that is there from the start, and the path of it.
const SEEDED: &str = "/v2/bookings/BOOKING%23123";

fn count(bench: &Bench) -> usize {
    bench.square.shown()["bookings"].as_array().unwrap().len()
}

#[test]
fn the_same_key_makes_one_booking() {
    let bench = Bench::new();
    let before = count(&bench);
    let first = bench.book("one", TUESDAY);
    assert_eq!(first.booking()["version"], 0);
    assert_eq!(first.booking()["status"], "ACCEPTED");
    assert_eq!(first.booking()["start_at"], TUESDAY);
    let again = bench.book("one", TUESDAY);
    assert_eq!(again.booking(), first.booking());
    assert_eq!(count(&bench), before + 1);

    let other = bench.book("one", "2026-11-24T18:00:00Z");
    assert_eq!(other.refusal(), "400 IDEMPOTENCY_KEY_REUSED");
    assert_eq!(count(&bench), before + 1);
}

#[test]
fn a_time_is_given_away_once_in_business_hours_and_in_the_future() {
    let bench = Bench::new();
    bench.book("one", TUESDAY).booking();
    for (key, start_at, refused) in [
        ("taken", TUESDAY, "400 BAD_REQUEST"),
        ("overlapping", "2026-11-24T15:45:00Z", "400 BAD_REQUEST"),
        ("at night", "2026-11-24T03:00:00Z", "400 BAD_REQUEST"),
        ("on Saturday", "2026-11-28T16:00:00Z", "400 BAD_REQUEST"),
        ("past", "2026-11-20T16:00:00Z", "400 BAD_REQUEST"),
        ("no time", "tomorrow", "400 INVALID_TIME"),
    ] {
        assert_eq!(bench.book(key, start_at).refusal(), refused, "{key}");
    }
    bench.book("next", "2026-11-24T16:30:00Z").booking();
}

#[test]
fn what_a_booking_needs_is_asked_for() {
    let bench = Bench::new();
    let check = |pointer: &str, value: Value, refused: &str| {
        let mut body = booking("key", TUESDAY);
        *body.pointer_mut(pointer).unwrap() = value;
        assert_eq!(bench.post("/v2/bookings", &body).refusal(), refused, "{pointer}");
    };
    check("/idempotency_key", json!("x".repeat(256)), "400 VALUE_TOO_LONG");
    check("/booking", Value::Null, "400 MISSING_REQUIRED_PARAMETER");
    check("/booking/location_id", json!("ELSEWHERE"), "404 NOT_FOUND");
    check("/booking/customer_id", json!("NOBODY"), "400 CUSTOMER_NOT_FOUND");
    check("/booking/customer_id", json!(7), "400 EXPECTED_STRING");
    check("/booking/appointment_segments", json!([]), "400 INVALID_VALUE");
    let version = "/booking/appointment_segments/0/service_variation_version";
    check(version, json!(1), "400 INVALID_VALUE");
    check(version, json!("1"), "400 EXPECTED_INTEGER");
}

#[test]
fn a_change_needs_the_version_that_is_there() {
    let bench = Bench::new();
    let moved = |key: &str, version: i64, start_at: &str| {
        let booking = json!({ "version": version, "start_at": start_at });
        bench.put(SEEDED, &json!({ "idempotency_key": key, "booking": booking }))
    };
    let first = moved("a", 0, TUESDAY);
    assert_eq!(first.booking()["version"], 1);
    assert_eq!(first.booking()["start_at"], TUESDAY);
    assert_eq!(first.booking()["customer_id"], "CUSTOMER-1", "what is not given stays");
    assert_eq!(moved("a", 0, TUESDAY).booking(), first.booking(), "the same request again");

    let stale = moved("b", 0, "2026-11-24T18:00:00Z");
    assert_eq!(stale.refusal(), "409 VERSION_MISMATCH");
    assert_eq!(stale.body["errors"][0]["field"], "version");
    assert_eq!(bench.get(SEEDED).booking()["start_at"], TUESDAY);
    moved("c", 1, "2026-11-24T18:00:00Z").booking();

    let elsewhere = json!({ "booking": { "version": 2, "location_id": "ELSEWHERE" } });
    assert_eq!(bench.put(SEEDED, &elsewhere).refusal(), "400 BAD_REQUEST");
}

#[test]
fn a_booking_is_cancelled_once() {
    let bench = Bench::new();
    let path = format!("{SEEDED}/cancel");
    let cancel = |key: &str, version: i64| {
        bench.post(&path, &json!({ "idempotency_key": key, "booking_version": version }))
    };
    assert_eq!(cancel("a", 7).refusal(), "409 VERSION_MISMATCH");
    let done = cancel("b", 0);
    assert_eq!(done.booking()["status"], "CANCELLED_BY_CUSTOMER");
    assert_eq!(done.booking()["version"], 1);
    assert_eq!(cancel("b", 0).booking(), done.booking(), "the same request again");
    assert_eq!(cancel("c", 0).refusal(), "409 VERSION_MISMATCH");
    assert_eq!(cancel("d", 1).refusal(), "400 BAD_REQUEST");
    assert_eq!(bench.get(SEEDED).booking()["version"], 1);
    let change = json!({ "booking": { "version": 1, "customer_note": "late" } });
    assert_eq!(bench.put(SEEDED, &change).refusal(), "400 BAD_REQUEST");
}

#[test]
fn what_the_seller_has_not_accepted_cannot_be_cancelled() {
    let bench = Bench::new();
    assert!(bench.square.set_status("BOOKING#123", "PENDING"));
    assert!(!bench.square.set_status("nobody's", "PENDING"));
    let path = format!("{SEEDED}/cancel");
    let answer = bench.post(&path, &json!({ "booking_version": 1 }));
    assert_eq!(answer.refusal(), "400 BAD_REQUEST");
    assert!(answer.body["errors"][0]["detail"].as_str().unwrap().contains("cannot transition"));
}

#[test]
fn an_unknown_booking_is_not_found() {
    let bench = Bench::new();
    assert_eq!(bench.get("/v2/bookings/nothing").refusal(), "404 NOT_FOUND");
    let change = json!({ "booking": { "version": 0 } });
    assert_eq!(bench.put("/v2/bookings/nothing", &change).refusal(), "404 NOT_FOUND");
    let cancel = bench.post("/v2/bookings/nothing/cancel", &json!({}));
    assert_eq!(cancel.refusal(), "404 NOT_FOUND");
}

#[test]
fn bookings_are_listed_by_filter_and_page_by_page() {
    let bench = Bench::new();
    for hour in 15..20 {
        bench.book(&hour.to_string(), &format!("2026-11-24T{hour}:00:00Z")).booking();
    }
    let ids = |query: &str| -> Vec<String> {
        let list = bench.get(&format!("/v2/bookings?{query}")).body;
        let bookings = list["bookings"].as_array().unwrap();
        bookings.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids("");
    assert_eq!(all.len(), 6);
    assert_eq!(all[5], "BOOKING#123", "in the order of time");
    assert_eq!(ids("start_at_min=2026-11-25T00:00:00Z"), all[5..]);
    assert_eq!(ids("start_at_max=2026-11-24T15:30:00Z"), all[..1]);
    assert_eq!(ids("customer_id=CUSTOMER-1&team_member_id=TMSTANDIN0001"), all);
    assert!(ids("customer_id=CUSTOMER-2").is_empty());
    assert!(ids("team_member_id=TMSTANDIN0002").is_empty());
    assert_eq!(ids(&format!("location_id={LOCATION}")), all);

    let mut paged = Vec::new();
    let mut query = "limit=4".to_owned();
    loop {
        paged.extend(ids(&query));
        let answer = bench.get(&format!("/v2/bookings?{query}")).body;
        let Some(cursor) = answer["cursor"].as_str() else { break };
        query = format!("limit=4&cursor={cursor}");
    }
    assert_eq!(paged, all);
    assert_eq!(bench.get("/v2/bookings?limit=0").refusal(), "400 INVALID_VALUE");
    assert_eq!(bench.get("/v2/bookings?cursor=x").refusal(), "400 INVALID_CURSOR");
}
