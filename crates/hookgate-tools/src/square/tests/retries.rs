//! What is sent again, and for how long.

use serde_json::json;

use super::bench::{Act, BOOKING, Bench, shown};
use crate::work::End;

#[tokio::test]
async fn what_passes_is_tried_again() {
    let bench = Bench::new().await;
    bench.faults(&json!([500, 500]));
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "done cancelled");
    for status in [408, 429, 500, 502, 503, 504] {
        let bench = Bench::new().await;
        bench.act("GET /v2/bookings/", Act::Say(status, json!({})));
        bench.act("POST /v2/bookings/", Act::Say(status, json!("no object")));
        let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
        assert_eq!(shown(&end), "done cancelled", "{status}");
        assert_eq!(bench.seen().len(), 5, "each twice, and the time zone");
    }
}

#[tokio::test]
async fn a_wait_that_does_not_fit_is_not_begun() {
    let bench = Bench::new().await;
    bench.faults(&json!([429]));
    let end =
        bench.desk().patience(900).call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "failed unavailable");
    assert_eq!(bench.count("GET /v2/bookings/"), 1, "Square wants a second");
    bench.faults(&json!([429]));
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "done cancelled");
}

#[tokio::test]
async fn what_does_not_pass_ends_with_the_time_and_nothing_was_changed() {
    let bench = Bench::new().await;
    bench.faults(&json!(vec![500; 50]));
    let end = bench
        .desk()
        .patience(1_000)
        .call("bookings_cancel", json!({ "booking_id": BOOKING }))
        .await;
    assert_eq!(shown(&end), "failed unavailable");
    assert!(bench.seen().len() > 1);
    bench.faults(&json!([]));
    for _ in 0..50 {
        bench.act("POST /v2/bookings/", Act::Say(500, json!({})));
    }
    let end = bench
        .desk()
        .patience(2_000)
        .call("bookings_cancel", json!({ "booking_id": BOOKING }))
        .await;
    assert_eq!(shown(&end), "failed unavailable", "each was answered, and reading says no");
    assert_eq!(bench.booking(BOOKING)["status"], "ACCEPTED");
}

#[tokio::test]
async fn no_time_at_all_sends_nothing() {
    let bench = Bench::new().await;
    let end =
        bench.desk().patience(0).call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "failed unavailable");
    assert_eq!(bench.seen().len(), 0);
}

#[tokio::test]
async fn answers_that_are_nonsense_are_no_success() {
    for answer in [json!(null), json!([]), json!({}), json!({ "booking": { "id": 7 } }), json!("x")]
    {
        let bench = Bench::new().await;
        bench.act("GET /v2/bookings/", Act::Say(200, answer.clone()));
        let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
        assert_eq!(shown(&end), "failed unavailable", "{answer}");
    }
    // A write that says so was done all the same.
    let bench = Bench::new().await;
    bench.act("POST /v2/bookings/", Act::Say(200, json!({})));
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "failed unavailable", "reading shows that it was not");
    // And an answer about another booking is none.
    let bench = Bench::new().await;
    let other = json!({ "booking": {
        "id": "OTHER", "version": 0, "status": "ACCEPTED", "start_at": "2026-11-26T15:00:00Z",
        "location_id": "LSTANDIN00001",
    } });
    bench.act("GET /v2/bookings/", Act::Say(200, other));
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "refused not_found");
}

#[tokio::test]
async fn an_answer_without_end_is_no_answer() {
    let bench = Bench::new().await;
    let long = json!({ "items": [], "padding": "x".repeat(1 << 20) });
    bench.act("POST /v2/catalog", Act::Say(200, long));
    assert_eq!(shown(&bench.desk().call("services_list", json!({})).await), "failed unavailable");
}

#[tokio::test]
async fn a_square_that_is_not_there_is_said_to_be_out_of_reach() {
    let bench = Bench::new().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let mut away = Bench::new().await;
    away.square = crate::square::Square::new(
        bench.egress.clone(),
        std::sync::Arc::clone(&away.secrets),
        Some(hookgate_egress::Url::parse(&base).unwrap()),
    );
    let end =
        away.desk().patience(700).call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "failed unavailable");
}

#[tokio::test]
async fn a_write_without_a_key_is_not_done() {
    let bench = Bench::new().await;
    let desk = bench.desk();
    let plan = desk.plan("bookings_cancel", json!({ "booking_id": BOOKING })).await.unwrap();
    let end = desk.run_without_key(&plan).await;
    assert!(matches!(end, End::Failed(_)));
    assert_eq!(bench.seen().len(), 0);
}

#[tokio::test]
async fn requests_side_by_side_count_once_as_time_outside() {
    let bench = Bench::new().await;
    bench.shop.set_faults(&json!({ "latency_ms": 100 })).unwrap();
    let (spent, outside) = bench.desk().timed("bookings_list", json!({})).await;
    assert!(outside <= spent, "{outside:?} of {spent:?}");
    assert!(!outside.is_zero());
}
