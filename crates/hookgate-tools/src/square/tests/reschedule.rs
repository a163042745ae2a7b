//! Moving.

use std::sync::Arc;

use hookgate_core::tool::settings::Whose;
use serde_json::{Value, json};

use super::bench::{Act, BOOKING, Bench, said, shown};

const WRITE: &str = "PUT /v2/bookings/BOOKING%23123";

fn wish() -> Value {
    json!({ "booking_id": BOOKING, "start_at": "2026-11-26T10:00" })
}

#[tokio::test]
async fn a_booking_is_moved_and_nothing_else_about_it_changes() {
    let bench = Bench::new().await;
    let end = bench.desk().call_as("bookings_reschedule", wish(), "key").await;
    assert_eq!(shown(&end), "done rescheduled");
    assert_eq!(said(&end), "Your appointment is now on Thursday, November 26 at 10:00 AM.");
    assert_eq!(end.reply().data["start_at"], "2026-11-26T10:00:00-05:00");
    let seen = bench.seen();
    let write = seen.iter().find(|it| it.line == WRITE).unwrap();
    let change = json!({ "version": 0, "start_at": "2026-11-26T15:00:00Z" });
    assert_eq!(write.body, json!({ "idempotency_key": "key", "booking": change }));
    let search = seen.iter().find(|it| it.line.ends_with("availability/search")).unwrap();
    let filter = search.body["query"]["filter"].as_object().unwrap();
    assert_eq!(filter["booking_id"], BOOKING);
    assert_eq!(filter.len(), 2, "the booking stands alone with the range");
}

#[tokio::test]
async fn a_booking_that_is_there_already_is_a_success() {
    let bench = Bench::new().await;
    let same = json!({ "booking_id": BOOKING, "new_time": "2026-11-25T15:00" });
    let end = bench.desk().call("bookings_reschedule", same).await;
    assert_eq!(shown(&end), "done rescheduled");
    assert_eq!(bench.count("PUT") + bench.count("POST"), 0);
}

#[tokio::test]
async fn it_may_move_into_its_own_time_and_not_into_anothers() {
    let bench = Bench::new().await;
    bench.put("OTHER", "2026-11-25T21:00:00Z");
    let to =
        |hour: &str| json!({ "booking_id": BOOKING, "start_at": format!("2026-11-25 {hour}") });
    // The other chair is free then, and is not who it was booked with.
    let end = bench.desk().call("bookings_reschedule", to("4pm")).await;
    assert_eq!(shown(&end), "refused not_available");
    let end = bench.desk().call("bookings_reschedule", to("3:30 pm")).await;
    assert_eq!(shown(&end), "done rescheduled");
}

#[tokio::test]
async fn what_is_free_only_with_somebody_else_moves_to_them() {
    let bench = Bench::new().await;
    let slot = json!({ "availabilities": [{
        "start_at": "2026-11-26T15:00:00Z", "location_id": "LSTANDIN00001",
        "appointment_segments": [{
            "duration_minutes": 30, "team_member_id": "TMSTANDIN0002",
            "service_variation_id": "VSTANDINHAIRCUT",
            "service_variation_version": 1_755_648_000_001_i64,
        }],
    }] });
    bench.act("POST /v2/bookings/availability", Act::Say(200, slot));
    let end = bench.desk().call("bookings_reschedule", wish()).await;
    assert_eq!(shown(&end), "done rescheduled");
    let member = &bench.booking(BOOKING)["appointment_segments"][0]["team_member_id"];
    assert_eq!(member, "TMSTANDIN0002");
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_in_words() {
    for (status, expected) in [
        ("PENDING", "refused pending"),
        ("DECLINED", "refused declined"),
        ("NO_SHOW", "refused no_show"),
        ("CANCELLED_BY_CUSTOMER", "refused cancelled"),
    ] {
        let bench = Bench::new().await;
        assert!(bench.shop.set_status(BOOKING, status));
        let end = bench.desk().call("bookings_reschedule", wish()).await;
        assert_eq!(shown(&end), expected);
        assert_eq!(bench.count("PUT"), 0);
    }
    let bench = Bench::new().await;
    let desk = bench.desk();
    for (wish, expected) in [
        (json!({ "start_at": "2026-11-26T10:00" }), "refused missing_argument"),
        (json!({ "booking_id": BOOKING }), "refused missing_argument"),
        (json!({ "booking_id": BOOKING, "start_at": "2026-11-22T10:00" }), "refused past"),
        (json!({ "booking_id": BOOKING, "start_at": "2026-11-28T10:00" }), "refused not_available"),
        (json!({ "booking_id": "NOBODYS", "start_at": "2026-11-26T10:00" }), "refused not_found"),
    ] {
        assert_eq!(
            shown(&desk.call("bookings_reschedule", wish.clone()).await),
            expected,
            "{wish}"
        );
    }
    let stranger = desk.changes(Whose::Caller).called_by(Some("+12125550199"));
    assert_eq!(shown(&stranger.call("bookings_reschedule", wish()).await), "refused not_yours");
    assert_eq!(bench.count("PUT"), 0);
}

#[tokio::test]
async fn a_booking_that_was_changed_meanwhile_is_read_once_more() {
    let bench = Bench::new().await;
    let shop = bench.shop.clone();
    let other = move || assert!(shop.set_status(BOOKING, "ACCEPTED"));
    bench.act(WRITE, Act::Meanwhile(Arc::new(other)));
    let end = bench.desk().call_as("bookings_reschedule", wish(), "key").await;
    assert_eq!(shown(&end), "done rescheduled");
    let seen = bench.seen();
    let keys: Vec<_> = seen.iter().filter(|it| it.line == WRITE).collect();
    assert_eq!(keys[1].body["idempotency_key"], "key-2");
    assert_eq!(keys[1].body["booking"]["version"], 1);

    let bench = Bench::new().await;
    let shop = bench.shop.clone();
    let other = move || assert!(shop.set_status(BOOKING, "CANCELLED_BY_SELLER"));
    bench.act(WRITE, Act::Meanwhile(Arc::new(other)));
    let end = bench.desk().call("bookings_reschedule", wish()).await;
    assert_eq!(shown(&end), "refused cancelled");
}

#[tokio::test]
async fn a_move_that_was_done_under_an_error_is_done_once() {
    let bench = Bench::new().await;
    bench.faults(&json!(["commit-then-500"]));
    let desk = bench.desk();
    let plan = desk.plan("bookings_reschedule", wish()).await.unwrap();
    assert_eq!(plan.business_key(), Some("BOOKING#123|2026-11-26T15:00:00Z"));
    assert_eq!(desk.settle(&plan).await, Ok(None));
    let end = desk.run(&plan, "key").await;
    assert_eq!(shown(&end), "done rescheduled");
    assert_eq!(bench.booking(BOOKING)["version"], 1);
    assert_eq!(desk.settle(&plan).await.unwrap().as_ref(), Some(end.reply()));
    assert_eq!(desk.stands(&plan, end.reply()).await, Ok(true));
    assert!(bench.shop.set_status(BOOKING, "CANCELLED_BY_SELLER"));
    assert_eq!(desk.stands(&plan, end.reply()).await, Ok(false));
}
