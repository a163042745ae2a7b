//! What happens where an endpoint is not well.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use super::bench::{Asked, Bench, Endpoint, Say, breaking, shown, tool};

fn error(status: u16) -> Say {
    Say::Json(status, json!({"message": "internal canary"}))
}

#[tokio::test]
async fn a_write_is_sent_again_with_the_same_key_until_it_goes_well() {
    let bench = Bench::new().await;
    for first in [500, 502, 503, 408, 429] {
        let says = [error(first), Say::Json(200, json!({"message": "Yes."}))];
        let endpoint = Endpoint::start(says).await;
        let tool = tool(&endpoint.url("/"), json!({"signed_with": "signing"}));
        let end = bench.call(&tool, &Asked::new(json!({}))).await;
        assert_eq!((shown(&end).as_str(), &*end.reply().message), ("Done done", "Yes."));
        let seen = endpoint.seen();
        assert_eq!(seen.len(), 2);
        for name in ["idempotency-key", "webhook-id", "webhook-signature"] {
            assert!(seen[0].header(name) == seen[1].header(name) && seen[0].header(name) != "-");
        }
    }
}

#[tokio::test]
async fn nobody_knows_what_a_write_did_that_fails_each_time() {
    let bench = Bench::new().await;
    let endpoint = Endpoint::start([error(500)]).await;
    let write = tool(&endpoint.url("/"), json!({}));
    let end = bench.call(&write, &Asked::new(json!({}))).await;
    assert_eq!(shown(&end), "Unknown unknown");
    assert!(!end.reply().message.contains("canary"));
    assert_eq!(endpoint.seen().len(), 3);

    let read = tool(&endpoint.url("/"), json!({"writes": false}));
    let end = bench.call(&read, &Asked::new(json!({}))).await;
    assert_eq!(shown(&end), "Failed unavailable");
    assert_eq!(endpoint.seen().len(), 6);
}

#[tokio::test]
async fn what_one_try_may_have_done_no_later_refusal_takes_back() {
    let bench = Bench::new().await;
    for later in [409, 429, 307] {
        let endpoint = Endpoint::start([error(500), error(later)]).await;
        let end = bench.call(&tool(&endpoint.url("/"), json!({})), &Asked::new(json!({}))).await;
        assert_eq!(shown(&end), "Unknown unknown", "{later}");
    }
    let endpoint = Endpoint::start([error(500), error(404)]).await;
    let read = tool(&endpoint.url("/"), json!({"writes": false}));
    let end = bench.call(&read, &Asked::new(json!({}))).await;
    assert_eq!(shown(&end), "Refused refused");
}

#[tokio::test]
async fn too_many_requests_is_no_doubt() {
    let bench = Bench::new().await;
    let endpoint = Endpoint::start([error(429)]).await;
    let end = bench.call(&tool(&endpoint.url("/"), json!({})), &Asked::new(json!({}))).await;
    assert_eq!((shown(&end).as_str(), endpoint.seen().len()), ("Failed unavailable", 3));

    // Nobody waits a minute on the telephone.
    let endpoint = Endpoint::start([Say::RetryAfter(429, "60")]).await;
    let end = bench.call(&tool(&endpoint.url("/"), json!({})), &Asked::new(json!({}))).await;
    assert_eq!((shown(&end).as_str(), endpoint.seen().len()), ("Failed unavailable", 1));
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_left_when_its_time_is_up() {
    let bench = Bench::new().await;
    let endpoint = Endpoint::start([Say::Hang]).await;
    for (more, expected) in [
        (json!({"timeout_ms": 150}), "Unknown unknown"),
        (json!({"timeout_ms": 150, "writes": false}), "Failed unavailable"),
    ] {
        let end = bench.call(&tool(&endpoint.url("/"), more), &Asked::new(json!({}))).await;
        assert_eq!(shown(&end), expected);
    }
    assert_eq!(endpoint.seen().len(), 2);
    // The call's own time may be shorter.
    let asked = Asked::new(json!({})).within(Duration::from_millis(150));
    let end = bench.call(&tool(&endpoint.url("/"), json!({"timeout_ms": 30_000})), &asked).await;
    assert_eq!(shown(&end), "Unknown unknown");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let bench = Bench::new().await;
    let (address, count) = breaking().await;
    let url = format!("http://{address}/");
    let end = bench.call(&tool(&url, json!({})), &Asked::new(json!({}))).await;
    assert_eq!(shown(&end), "Unknown unknown");
    assert_eq!(count.load(Ordering::SeqCst), 3);
    let read = tool(&url, json!({"writes": false}));
    assert_eq!(shown(&bench.call(&read, &Asked::new(json!({}))).await), "Failed unavailable");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let end = bench.call(&tool(&url, json!({})), &Asked::new(json!({}))).await;
    assert_eq!(shown(&end), "Failed unavailable");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let bench = Bench::new().await;
    let other = Endpoint::start([Say::Json(200, json!({}))]).await;
    let endpoint = Endpoint::start([Say::Redirect(other.url("/"))]).await;
    let headers = json!({"headers": {"Authorization": "Bearer {{credential.plain}}"}});
    let end = bench.call(&tool(&endpoint.url("/"), headers), &Asked::new(json!({}))).await;
    assert_eq!(shown(&end), "Failed not_configured");
    assert_eq!((endpoint.seen().len(), other.seen().len()), (1, 0));
}
