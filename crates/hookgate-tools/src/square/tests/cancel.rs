//! Cancelling.

use std::sync::Arc;

use hookgate_core::tool::settings::Whose;
use serde_json::json;

use super::bench::{Act, BOOKING, Bench, LOCATION, said, shown};
use crate::work::End;

const WRITE: &str = "POST /v2/bookings/BOOKING%23123/cancel";

fn wish() -> serde_json::Value {
    json!({ "booking_id": BOOKING })
}

#[tokio::test]
async fn a_booking_is_cancelled_and_the_caller_hears_which() {
    let bench = Bench::new().await;
    let end = bench.desk().call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "done cancelled");
    assert_eq!(said(&end), "Your appointment on Wednesday, November 25 at 3:00 PM is cancelled.");
    let data = &end.reply().data;
    assert_eq!(data["booking_id"], BOOKING);
    assert_eq!(data["start_at"], "2026-11-25T15:00:00-05:00");
    assert_eq!(bench.booking(BOOKING)["status"], "CANCELLED_BY_CUSTOMER");
    let seen = bench.seen();
    let write = seen.iter().find(|it| it.line == WRITE).unwrap();
    assert_eq!(write.body, json!({ "idempotency_key": "key-0", "booking_version": 0 }));
}

#[tokio::test]
async fn what_is_cancelled_already_is_a_success_and_is_left_alone() {
    let bench = Bench::new().await;
    assert!(bench.shop.set_status(BOOKING, "CANCELLED_BY_SELLER"));
    let end = bench.desk().call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "done already_cancelled");
    assert_eq!(said(&end), "That appointment is already cancelled.");
    assert_eq!(bench.count("POST"), 0);
}

#[tokio::test]
async fn what_cannot_be_cancelled_is_refused_in_words() {
    for (status, expected) in [
        ("PENDING", "refused pending"),
        ("DECLINED", "refused declined"),
        ("NO_SHOW", "refused no_show"),
    ] {
        let bench = Bench::new().await;
        assert!(bench.shop.set_status(BOOKING, status));
        let end = bench.desk().call("bookings_cancel", wish()).await;
        assert_eq!(shown(&end), expected);
        assert_eq!(bench.count("POST"), 0, "nothing is tried");
    }
    let bench = Bench::new().await;
    let desk = bench.desk().at("2026-11-25T20:00:00Z");
    assert_eq!(shown(&desk.call("bookings_cancel", wish()).await), "refused past");
    assert_eq!(bench.count("POST"), 0);
}

#[tokio::test]
async fn what_is_not_there_or_at_another_shop_is_not_found() {
    let bench = Bench::new().await;
    bench.put_with(&json!({
        "id": "ELSEWHERE", "start_at": "2026-11-26T15:00:00Z", "location_id": "LOTHER",
    }));
    for id in ["NOBODYS", "ELSEWHERE", &"x".repeat(37), ".", "..", "a\u{0}b", "\n"] {
        let end = bench.desk().call("bookings_cancel", json!({ "booking_id": id })).await;
        assert!(
            ["refused not_found", "refused missing_argument"].contains(&shown(&end).as_str()),
            "{id:?}: {end:?}"
        );
    }
    for none in [json!({}), json!({ "booking_id": null }), json!({ "booking_id": " " })] {
        let end = bench.desk().call("bookings_cancel", none).await;
        assert_eq!(shown(&end), "refused missing_argument");
        assert_eq!(said(&end), "Which appointment do you mean?");
    }
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": 7 })).await;
    assert_eq!(shown(&end), "refused not_found");
    assert_eq!(bench.count("POST"), 0);
}

#[tokio::test]
async fn an_id_cannot_leave_its_place_in_the_path() {
    let bench = Bench::new().await;
    for id in [
        "../customers/CUSTOMER-1",
        "BOOKING#123/cancel",
        "x?limit=1",
        "%2e%2e",
        "..%2f..",
        "x/../BOOKING#123",
        "BOOKING%23123",
        "..\\..",
        ";a",
    ] {
        let end = bench.desk().call("bookings_cancel", json!({ "booking_id": id })).await;
        assert_eq!(shown(&end), "refused not_found", "{id}");
    }
    for seen in bench.seen() {
        let path = seen.line.strip_prefix("GET /v2/bookings/").unwrap();
        assert!(!path.contains(['/', '?', '#', '\\']), "{path}");
    }
    assert_eq!(bench.seen().len(), 9);
    assert_eq!(bench.booking(BOOKING)["status"], "ACCEPTED");
}

#[tokio::test]
async fn where_only_the_caller_may_the_number_is_what_the_platform_attests() {
    let bench = Bench::new().await;
    let desk = bench.desk().changes(Whose::Caller);
    for number in [None, Some("+12125550199"), Some("anonymous"), Some("2125550")] {
        let end = desk.clone().called_by(number).call("bookings_cancel", wish()).await;
        assert_eq!(shown(&end), "refused not_yours", "{number:?}");
    }
    assert_eq!(bench.count("POST"), 0);
    for number in ["(212) 555-0123", "sip:+12125550123@example.com"] {
        let end = desk.clone().called_by(Some(number)).call("bookings_cancel", wish()).await;
        assert!(shown(&end).starts_with("done"), "{number}");
    }
}

#[tokio::test]
async fn a_booking_that_was_changed_meanwhile_is_read_once_more() {
    let bench = Arc::new(Bench::new().await);
    let shop = bench.shop.clone();
    bench.act(
        WRITE,
        Act::Meanwhile(Arc::new(move || assert!(shop.set_status(BOOKING, "ACCEPTED")))),
    );
    let end = bench.desk().call_as("bookings_cancel", wish(), "key").await;
    assert_eq!(shown(&end), "done cancelled");
    let seen = bench.seen();
    let bodies: Vec<_> = seen.iter().filter(|it| it.line == WRITE).map(|it| &it.body).collect();
    assert_eq!(
        bodies,
        [
            &json!({ "idempotency_key": "key", "booking_version": 0 }),
            &json!({ "idempotency_key": "key-2", "booking_version": 1 }),
        ]
    );
}

#[tokio::test]
async fn somebody_else_who_cancels_meanwhile_makes_it_a_success() {
    let bench = Bench::new().await;
    let shop = bench.shop.clone();
    let other = move || assert!(shop.set_status(BOOKING, "CANCELLED_BY_SELLER"));
    bench.act(WRITE, Act::Meanwhile(Arc::new(other)));
    let end = bench.desk().call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "done cancelled");
    assert_eq!(bench.count(WRITE), 1);
}

#[tokio::test]
async fn a_booking_that_changes_all_the_time_is_left_alone() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        let shop = bench.shop.clone();
        let other = move || assert!(shop.set_status(BOOKING, "ACCEPTED"));
        bench.act(WRITE, Act::Meanwhile(Arc::new(other)));
    }
    let end = bench.desk().call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "failed conflict");
    assert_eq!(bench.count(WRITE), 2);
    assert_eq!(bench.booking(BOOKING)["status"], "ACCEPTED");
}

#[tokio::test]
async fn every_known_way_to_say_that_a_version_is_stale_is_understood() {
    for (status, code, field) in [
        (409, "ANYTHING", None),
        (400, "CONFLICT", None),
        (400, "VERSION_MISMATCH", None),
        (400, "INVALID_VALUE", Some("booking.version")),
        (400, "INVALID_VALUE", Some("booking_version")),
    ] {
        let bench = Bench::new().await;
        let mut error = json!({ "category": "INVALID_REQUEST_ERROR", "code": code });
        if let Some(field) = field {
            error["field"] = field.into();
        }
        bench.act(WRITE, Act::Say(status, json!({ "errors": [error] })));
        let end = bench.desk().call("bookings_cancel", wish()).await;
        assert_eq!(shown(&end), "done cancelled", "{status} {code} {field:?}");
        assert_eq!(bench.count("GET /v2/bookings/"), 2);
    }
}

#[tokio::test]
async fn a_refusal_of_squares_is_never_read_out() {
    let bench = Bench::new().await;
    let error = json!({
        "category": "INVALID_REQUEST_ERROR", "code": "BAD_REQUEST", "detail": "Square error for Ada",
    });
    bench.act(WRITE, Act::Say(400, json!({ "errors": [error] })));
    let end = bench.desk().call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "refused refused");
    assert!(!format!("{end:?}").contains("Ada"));
    for line in ["GET /v2/bookings/", WRITE] {
        let bench = Bench::new().await;
        bench.act(line, Act::Say(404, json!({ "errors": [] })));
        let end = bench.desk().call("bookings_cancel", wish()).await;
        assert_eq!(shown(&end), "refused not_found");
    }
}

#[tokio::test]
async fn a_cancellation_that_was_done_under_an_error_is_reported_as_done() {
    let bench = Bench::new().await;
    bench.faults(&json!(["commit-then-500"]));
    let end = bench.desk().call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "done cancelled");
    assert_eq!(bench.booking(BOOKING)["version"], 1, "once");
    assert_eq!(bench.count(WRITE), 2, "the same request, under its key");
}

#[tokio::test]
async fn what_became_of_a_write_without_an_answer_is_found_by_reading() {
    let bench = Bench::new().await;
    bench.act(WRITE, Act::DoAndHang);
    // Too little time to write again, enough to read.
    let end = bench.desk().patience(2_000).call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "done cancelled");
    assert_eq!(bench.count(WRITE), 1);
    assert_eq!(bench.booking(BOOKING)["version"], 1);
}

#[tokio::test]
async fn a_write_of_which_reading_tells_nothing_is_unknown_and_settled_later() {
    let bench = Bench::new().await;
    bench.act(WRITE, Act::Hang);
    let desk = bench.desk().patience(2_000);
    let end = desk.call("bookings_cancel", wish()).await;
    assert_eq!(shown(&end), "unknown unknown", "it may still come about");
    let plan = desk.plan("bookings_cancel", wish()).await.unwrap();
    assert_eq!(desk.settle(&plan).await, Ok(None));
    assert!(bench.shop.set_status(BOOKING, "CANCELLED_BY_CUSTOMER"));
    let settled = desk.settle(&plan).await.unwrap().unwrap();
    assert_eq!(shown(&End::Done(settled)), "done cancelled");
}

#[tokio::test]
async fn a_success_stands_while_the_booking_is_cancelled() {
    let bench = Bench::new().await;
    let desk = bench.desk();
    let plan = desk.plan("bookings_cancel", wish()).await.unwrap();
    assert_eq!(plan.business_key(), Some(BOOKING));
    let end = desk.run(&plan, "key").await;
    assert_eq!(desk.stands(&plan, end.reply()).await, Ok(true));
    assert!(bench.shop.set_status(BOOKING, "ACCEPTED"));
    assert_eq!(desk.stands(&plan, end.reply()).await, Ok(false));
    assert_eq!(bench.seen().iter().filter(|it| it.line.contains(LOCATION)).count(), 1, "cached");
}
