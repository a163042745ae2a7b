//! From a stored event to a receiver, and what its answer means.

use std::time::Duration;

use axum::response::Response;
use hookgate_core::delivery::schedule;
use serde_json::json;
use standardwebhooks::Webhook;

use crate::bench::{Bench, SECRET, TOKEN, update};
use crate::receiver::{Receiver, Reply, status};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_event_reaches_its_destination_signed_so_that_the_libraries_accept_it() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    let to =
        bench.destination(Some("ada"), json!({"kind": "http", "url": receiver.url("/hook")})).await;
    bench.start();
    let event = bench.event("ada", "call_1", "first").await;
    bench.idle().await;

    let got = receiver.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].path, "/hook");
    assert_eq!(got[0].id(), format!("{event}_{to}"));
    Webhook::new(SECRET).unwrap().verify(&got[0].body, &got[0].headers).unwrap();
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert!(Webhook::new(other).unwrap().verify(&got[0].body, &got[0].headers).is_err());
    let body = got[0].json();
    assert_eq!(body["type"], "call.started");
    assert_eq!(body["data"]["event_id"], event.to_string());
    assert_eq!(got[0].header("x-hookgate-source"), "vapi");
    assert_eq!(bench.states().await, ["delivered 1"]);
    let metrics = bench.metrics();
    assert!(
        metrics.contains("hookgate_delivery_attempts_total{outcome=\"delivered\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn every_format_arrives_and_verifies() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    for format in ["raw", "canonical", "cloudevents"] {
        let url = receiver.url(&format!("/{format}"));
        bench.destination(None, json!({"kind": "http", "url": url, "format": format})).await;
    }
    for kind in ["slack", "discord", "ntfy"] {
        let url = receiver.url(&format!("/{kind}"));
        bench.destination(Some("ada"), json!({"kind": kind, "url": url})).await;
    }
    bench.start();
    let body = update("ada", "call_1", "first");
    bench.receive(&body).await;
    bench.idle().await;

    let mut got = receiver.got();
    got.sort_by(|one, other| one.path.cmp(&other.path));
    let paths: Vec<_> = got.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["/canonical", "/cloudevents", "/discord", "/ntfy", "/raw", "/slack"]);
    for it in got.iter().filter(|it| ["/canonical", "/cloudevents", "/raw"].contains(&&*it.path)) {
        Webhook::new(SECRET).unwrap().verify(&it.body, &it.headers).unwrap();
    }
    assert_eq!(got[1].json()["id"], got[1].id());
    assert_eq!(got[1].json()["source"], "https://hooks.example/in/vapi");
    assert_eq!(got[2].json()["content"], "Call started: call\\_1 (vapi, vapi)");
    assert_eq!(got[3].body, "Call started: call_1 (vapi, vapi)");
    assert_eq!(got[4].body, body);
    assert_eq!(got[4].header("content-type"), "application/json");
    assert_eq!(got[5].json(), json!({"text": "Call started: call_1 (vapi, vapi)"}));
    for it in &got {
        assert!(!format!("{:?}", it.headers).contains(TOKEN));
        assert!(it.headers.get("authorization").is_none());
    }
}

#[tokio::test]
async fn what_was_refused_is_tried_again_at_the_documented_times_under_the_same_id() {
    let bench = Bench::new().await;
    let receiver = Receiver::new(|n, _| status(if n < 3 { 500 } else { 200 })).await;
    bench.destination(None, json!({"kind": "http", "url": receiver.url("/")})).await;
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.idle().await;
    for (made, wait) in (1..).zip(&schedule::DEFAULT[..3]) {
        assert_eq!(bench.states().await, [format!("pending {made}")]);
        bench.pass(wait.saturating_sub(SECOND / 1_000));
        bench.idle().await;
        assert_eq!(receiver.got().len(), made, "a millisecond early");
        bench.pass(SECOND / 1_000);
        bench.idle().await;
        assert_eq!(receiver.got().len(), made + 1);
    }
    assert_eq!(bench.states().await, ["delivered 4"]);
    let got = receiver.got();
    assert!(got.iter().all(|it| it.id() == got[0].id() && it.body == got[0].body));
    let times: std::collections::HashSet<_> =
        got.iter().map(|it| it.header("webhook-timestamp")).collect();
    assert_eq!(times.len(), 4, "each attempt is signed anew");
    let deliveries = bench.deliveries().await;
    let statuses: Vec<_> =
        bench.attempts(&deliveries[0]).await.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(500), Some(200)]);
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_thirty_hours_gets_everything_once_it_is_back() {
    let bench = Bench::new().await;
    let up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_up = std::sync::Arc::clone(&up);
    let receiver = Receiver::new(move |_, _| {
        status(if is_up.load(std::sync::atomic::Ordering::SeqCst) { 200 } else { 503 })
    })
    .await;
    bench.destination(None, json!({"kind": "http", "url": receiver.url("/")})).await;
    bench.start();
    let mut stored = std::collections::HashSet::new();
    for n in 0..10 {
        stored.insert(bench.event("ada", &format!("call_{n}"), "x").await.to_string());
    }
    bench.idle().await;
    let until = bench.now().plus(Duration::from_hours(30));
    while bench.now() < until {
        bench.pass(Duration::from_mins(10));
        bench.idle().await;
    }
    let attempts = receiver.got().len();
    assert!(attempts <= 10 * 7, "at most seven attempts each within 30 hours: {attempts}");
    up.store(true, std::sync::atomic::Ordering::SeqCst);
    let until = bench.now().plus(Duration::from_hours(48));
    while bench.now() < until {
        bench.pass(Duration::from_mins(10));
        bench.idle().await;
    }
    let arrived = receiver.got().into_iter().skip(attempts);
    let arrived: Vec<_> = arrived.map(|it| it.header("x-hookgate-event").to_owned()).collect();
    assert_eq!(arrived.len(), 10, "each once");
    assert_eq!(arrived.into_iter().collect::<std::collections::HashSet<_>>(), stored);
    assert!(bench.states().await.iter().all(|it| it.starts_with("delivered")));
}

#[tokio::test]
async fn a_delivery_is_given_up_after_the_last_attempt_and_is_the_endpoints_failure() {
    let bench = Bench::new().await;
    let receiver = Receiver::new(|_, _| status(400)).await;
    bench.destination(None, json!({"kind": "http", "url": receiver.url("/")})).await;
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.idle().await;
    for wait in schedule::DEFAULT {
        bench.pass(wait);
        bench.idle().await;
    }
    assert_eq!(bench.states().await, ["failed 10"]);
    bench.pass(Duration::from_hours(1_000));
    bench.idle().await;
    assert_eq!(receiver.got().len(), 10);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let bench = Bench::new().await;
    let receiver = Receiver::new(|n, _| match n {
        0 => {
            let response = Response::builder().status(429).header("retry-after", "90");
            Reply::Now(response.body("slow down".into()).unwrap())
        }
        _ => status(200),
    })
    .await;
    bench.destination(None, json!({"kind": "http", "url": receiver.url("/")})).await;
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.idle().await;
    bench.pass(89 * SECOND);
    bench.idle().await;
    assert_eq!(receiver.got().len(), 1);
    bench.pass(SECOND);
    bench.idle().await;
    assert_eq!(receiver.got().len(), 2);
    let deliveries = bench.deliveries().await;
    let attempts = bench.attempts(&deliveries[0]).await;
    assert_eq!(attempts[0].response.as_deref(), Some("slow down"));
}

#[tokio::test]
async fn gone_disables_the_destination_and_nothing_more_is_sent_to_it() {
    let bench = Bench::new().await;
    let receiver = Receiver::new(|_, _| status(410)).await;
    let to =
        bench.destination(Some("ada"), json!({"kind": "http", "url": receiver.url("/")})).await;
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.idle().await;
    bench.event("ada", "call_1", "second").await;
    bench.idle().await;
    bench.pass(Duration::from_hours(100));
    bench.idle().await;
    assert_eq!(receiver.got().len(), 1);
    let found =
        bench.store.registry().destination(&hookgate_core::tenant::Scope::Operator, to).await;
    assert_eq!(found.unwrap().unwrap().disabled.unwrap().name(), "gone");
    assert_eq!(bench.states().await[0], "failed 1");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_left_after_its_time() {
    let bench = Bench::new().await;
    let receiver = Receiver::new(|_, _| Reply::Never).await;
    let settings = json!({"kind": "http", "url": receiver.url("/"), "timeout_ms": 500});
    bench.destination(None, settings).await;
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.idle().await;
    assert_eq!(bench.states().await, ["pending 1"]);
    let deliveries = bench.deliveries().await;
    let attempts = bench.attempts(&deliveries[0]).await;
    assert_eq!(attempts[0].error.as_deref(), Some("timed_out"));
}

#[tokio::test]
async fn a_slow_destination_holds_up_nobody_else() {
    let bench = Bench::new().await;
    let slow = Receiver::new(|_, _| Reply::Never).await;
    let quick = Receiver::willing().await;
    let settings = json!({"kind": "http", "url": slow.url("/"), "timeout_ms": 25_000});
    bench.destination(None, settings).await;
    bench.destination(None, json!({"kind": "http", "url": quick.url("/")})).await;
    bench.start();
    for n in 0..50 {
        bench.event("ada", &format!("call_{n}"), "x").await;
    }
    assert_eq!(quick.wait_for(50).await.len(), 50);
    assert!(slow.got().len() <= 8, "no more than its concurrency");
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let bench = Bench::new().await;
    let elsewhere = Receiver::willing().await;
    for code in [301, 302, 303, 307, 308] {
        let to = elsewhere.url("/stolen");
        let receiver = Receiver::new(move |_, _| {
            let response = Response::builder().status(code).header("location", &to);
            Reply::Now(response.body("".into()).unwrap())
        })
        .await;
        bench.destination(None, json!({"kind": "http", "url": receiver.url("/")})).await;
        if code == 301 {
            bench.start();
        }
        bench.event("ada", &format!("call_{code}"), "x").await;
        bench.idle().await;
        assert!(!receiver.got().is_empty());
    }
    assert!(elsewhere.got().is_empty());
    assert!(bench.states().await.iter().all(|it| it.starts_with("pending")));
}

#[tokio::test]
async fn loopback_is_out_of_reach_unless_the_operator_allows_it() {
    let (bench, receiver) = (Bench::allowing(&[]).await, Receiver::willing().await);
    let port = receiver.port;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1"] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            bench.destination(None, json!({"kind": "http", "url": url})).await;
        }
    }
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.idle().await;
    assert!(receiver.got().is_empty());
    for delivery in bench.deliveries().await {
        let attempts = bench.attempts(&delivery).await;
        let error = attempts[0].error.clone().unwrap();
        assert!(["address_not_allowed", "https_required"].contains(&&*error), "{error}");
    }
}
