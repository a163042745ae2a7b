//! What goes wrong on purpose, and what is asked of every request.

use serde_json::{Value, json};

use crate::bench::{Bench, HEADERS};

const TUESDAY: &str = "2026-11-24T16:00:00Z";

#[test]
fn each_fault_befalls_one_request() {
    let bench = Bench::new();
    bench.faults(&json!({ "next": [401, 404, 409, 429, 500] }));
    for expected in [
        "401 UNAUTHORIZED",
        "404 NOT_FOUND",
        "409 CONFLICT",
        "429 RATE_LIMITED",
        "500 INTERNAL_SERVER_ERROR",
    ] {
        assert_eq!(bench.book("one", TUESDAY).refusal(), expected);
    }
    let bookings = &bench.square.shown()["bookings"];
    assert_eq!(bookings.as_array().unwrap().len(), 1, "none of them did anything");
    bench.book("one", TUESDAY).booking();
}

#[test]
fn a_booking_that_was_made_under_a_500_comes_back_under_its_key() {
    let bench = Bench::new();
    bench.faults(&json!({ "next": ["commit-then-500"] }));
    assert_eq!(bench.get("/v2/locations").status, 200, "a read has nothing to commit");
    assert_eq!(bench.book("one", TUESDAY).refusal(), "500 INTERNAL_SERVER_ERROR");
    let made = bench.square.shown()["bookings"].clone();
    assert_eq!(made.as_array().unwrap().len(), 2);

    let again = bench.book("one", TUESDAY);
    assert!(made.as_array().unwrap().contains(again.booking()));
    assert_eq!(bench.square.shown()["bookings"], made);
    assert_eq!(bench.book("two", TUESDAY).refusal(), "400 BAD_REQUEST", "the time is taken");
}

#[test]
fn faults_are_shown_replaced_and_checked() {
    let bench = Bench::new();
    let wished = json!({
        "latency_ms": 1, "latency_spread_ms": 2, "next": [500, "commit-then-500"],
    });
    bench.faults(&wished);
    assert_eq!(bench.call("GET", "/stand-in/state", "", "").body["faults"], wished);
    for wrong in [
        "[]",
        "nonsense",
        r#"{"next":[418]}"#,
        r#"{"next":500}"#,
        r#"{"latency_ms":-1}"#,
        r#"{"latency_ms":120001}"#,
        r#"{"latency_spread_ms":120001}"#,
        r#"{"later":1}"#,
    ] {
        let answer = bench.call("POST", "/stand-in/faults", "", wrong);
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body["error"].is_string(), "{wrong}");
    }
    assert_eq!(bench.square.shown()["faults"], wished, "a wrong one changes nothing");
    bench.faults(&json!({}));
    assert_eq!(bench.get("/v2/locations").status, 200);
}

#[test]
fn a_latency_holds_the_answer_back() {
    let bench = Bench::new();
    bench.faults(&json!({ "latency_ms": 120_000 }));
    let waiting = bench.begin("GET", "/v2/locations");
    bench.wait_for_requests(1);
    waiting.set_nonblocking(true).unwrap();
    let nothing = waiting.peek(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    bench.faults(&json!({ "latency_ms": 0 }));
    assert_eq!(bench.get("/v2/locations").status, 200);
}

#[test]
fn a_request_needs_a_token_and_a_version() {
    let bench = Bench::new();
    // One in bad form takes no fault.
    bench.faults(&json!({ "next": [500] }));
    for (headers, expected) in [
        ("", "401 UNAUTHORIZED"),
        ("authorization: Bearer \r\nsquare-version: 2025-08-20\r\n", "401 UNAUTHORIZED"),
        ("authorization: Basic eA==\r\nsquare-version: 2025-08-20\r\n", "401 UNAUTHORIZED"),
        ("authorization: Bearer any\r\n", "400 MISSING_REQUIRED_PARAMETER"),
        (
            "authorization: Bearer any\r\nsquare-version: latest\r\n",
            "400 INVALID_SQUARE_VERSION_FORMAT",
        ),
        (HEADERS, "500 INTERNAL_SERVER_ERROR"),
        (HEADERS, "200 -"),
    ] {
        let answer = bench.call("GET", "/v2/locations", headers, "");
        assert_eq!(answer.refusal(), expected, "{headers:?}");
    }
    assert_eq!(bench.square.shown()["requests"], 7);
}

#[test]
fn what_is_no_path_or_no_json_is_refused_in_squares_shape() {
    let bench = Bench::new();
    for (method, path) in [("GET", "/v2/payments"), ("DELETE", "/v2/bookings"), ("GET", "/")] {
        let answer = bench.call(method, path, HEADERS, "");
        assert_eq!(answer.refusal(), "404 NOT_FOUND", "{method} {path}");
    }
    for body in ["", "[]", "{"] {
        let answer = bench.call("POST", "/v2/bookings", HEADERS, body);
        assert_eq!(answer.refusal(), "400 EXPECTED_JSON_BODY", "{body}");
        assert_ne!(answer.body, Value::Null);
    }
}
