//! When there is time.

use serde_json::{Value, json};

use crate::bench::{Answer, Bench, HAIRCUT, LOCATION, MEMBER};

const PATH: &str = "/v2/bookings/availability/search";
/// Tuesday, 11 o'clock in New York.
const SLOT: &str = "2026-11-24T16:00:00Z";

fn search(bench: &Bench, from: &str, until: &str) -> Answer {
    let segment = json!({
        "service_variation_id": HAIRCUT,
        "team_member_id_filter": { "any": [MEMBER] },
    });
    let filter = json!({
        "start_at_range": { "start_at": from, "end_at": until },
        "location_id": LOCATION,
        "segment_filters": [segment],
    });
    bench.post(PATH, &json!({ "query": { "filter": filter } }))
}

fn starts(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let found = answer.body["availabilities"].as_array().unwrap();
    found.iter().map(|it| it["start_at"].as_str().unwrap().to_owned()).collect()
}

fn tuesday(bench: &Bench) -> Vec<String> {
    starts(&search(bench, "2026-11-24T05:00:00Z", "2026-11-25T05:00:00Z"))
}

#[test]
fn slots_are_half_hours_of_business_hours_where_the_shop_is() {
    let bench = Bench::new();
    let found = tuesday(&bench);
    assert_eq!(found.len(), 16);
    assert_eq!(found[0], "2026-11-24T14:00:00Z", "nine in New York, in winter");
    assert_eq!(found[15], "2026-11-24T21:30:00Z");
    let summer = starts(&search(&bench, "2027-07-01T04:00:00Z", "2027-07-02T04:00:00Z"));
    assert_eq!(summer[0], "2027-07-01T13:00:00Z", "nine in New York, in summer");
    let weekend = starts(&search(&bench, "2026-11-28T05:00:00Z", "2026-11-30T05:00:00Z"));
    assert!(weekend.is_empty(), "{weekend:?}");
    let today = starts(&search(&bench, "2026-11-23T05:00:00Z", "2026-11-24T05:00:00Z"));
    assert_eq!(today[0], "2026-11-23T15:00:00Z", "nothing before now");
}

#[test]
fn a_booked_slot_is_not_offered_until_it_is_cancelled() {
    let bench = Bench::new();
    assert!(tuesday(&bench).contains(&SLOT.to_owned()));
    let booked = bench.book("one", SLOT);
    assert!(!tuesday(&bench).contains(&SLOT.to_owned()));
    assert_eq!(tuesday(&bench).len(), 15);

    let id = booked.booking()["id"].as_str().unwrap();
    let cancel = bench.post(&format!("/v2/bookings/{id}/cancel"), &json!({ "booking_version": 0 }));
    assert_eq!(cancel.status, 200, "{cancel:?}");
    assert!(tuesday(&bench).contains(&SLOT.to_owned()));
    bench.book("two", SLOT).booking();
}

#[test]
fn what_is_offered_can_be_booked_as_it_stands() {
    let bench = Bench::new();
    let found = search(&bench, "2026-11-24T05:00:00Z", "2026-11-25T05:00:00Z");
    let mut wanted = found.body["availabilities"][3].clone();
    wanted["customer_id"] = "CUSTOMER-1".into();
    bench.post("/v2/bookings", &json!({ "booking": wanted })).booking();
}

#[test]
fn another_member_takes_over_when_one_is_busy() {
    let bench = Bench::new();
    bench.book("one", SLOT).booking();
    let range = json!({ "start_at": SLOT, "end_at": "2026-11-25T16:00:00Z" });
    let filter = json!({
        "start_at_range": range,
        "location_id": LOCATION,
        "segment_filters": [{ "service_variation_id": HAIRCUT }],
    });
    let found = bench.post(PATH, &json!({ "query": { "filter": filter } })).body;
    let first = &found["availabilities"][0];
    assert_eq!(first["start_at"], SLOT);
    assert_eq!(first["appointment_segments"][0]["team_member_id"], "TMSTANDIN0002");
}

#[test]
fn a_booking_that_moves_is_not_in_its_own_way() {
    let bench = Bench::new();
    let range = json!({ "start_at": "2026-11-25T05:00:00Z", "end_at": "2026-11-26T05:00:00Z" });
    let filter = json!({ "start_at_range": range, "booking_id": "BOOKING#123" });
    let found = starts(&bench.post(PATH, &json!({ "query": { "filter": filter } })));
    assert!(found.contains(&"2026-11-25T20:00:00Z".to_owned()), "{found:?}");

    let both = json!({
        "start_at_range": range,
        "booking_id": "BOOKING#123",
        "location_id": LOCATION,
    });
    let answer = bench.post(PATH, &json!({ "query": { "filter": both } }));
    assert_eq!(answer.refusal(), "400 CONFLICTING_PARAMETERS");
}

#[test]
fn a_range_is_between_a_day_and_thirty_two_days_long() {
    let bench = Bench::new();
    let from = "2026-11-24T00:00:00Z";
    for (until, is_fine) in [
        ("2026-11-24T23:59:59Z", false),
        ("2026-11-25T00:00:00Z", true),
        ("2026-12-26T00:00:00Z", true),
        ("2026-12-26T00:00:01Z", false),
        ("2026-11-23T00:00:00Z", false),
    ] {
        let answer = search(&bench, from, until);
        let expected = if is_fine { "200 -" } else { "400 INVALID_TIME_RANGE" };
        assert_eq!(answer.refusal(), expected, "{until}");
    }
    assert_eq!(search(&bench, from, "soon").refusal(), "400 INVALID_TIME");
    let nothing = bench.post(PATH, &json!({ "query": Value::Null }));
    assert_eq!(nothing.refusal(), "400 MISSING_REQUIRED_PARAMETER");
}
