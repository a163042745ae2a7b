//! Refused requests judged again.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use hookgate_core::headers::Headers;
use hookgate_core::received::Token;
use hookgate_core::tenant::TenantId;
use hookgate_store::Options;
use serde_json::{Value, json};

use crate::bench::{Bench, SECRET, full, sources};

const RETRY: &str = "/api/v1/rejections/retry";

fn body(number: usize) -> Vec<u8> {
    format!(r#"{{"event":"chat:start","chatId":"chat_{number}"}}"#).into_bytes()
}

/// A batch's counts: judged, accepted, quarantined, still refused, remaining.
#[track_caller]
fn counts(report: &Value) -> [u64; 5] {
    ["judged", "accepted", "quarantined", "still_refused", "remaining"]
        .map(|it| report[it].as_u64().unwrap_or_else(|| panic!("no {it}: {report}")))
}

#[tokio::test]
async fn after_a_wrong_secret_is_mended_nothing_is_lost() {
    let mut bench = Bench::new();
    let signed = bench.signed("retell", "retell.v_d", "right", br#"{"event":"call_started"}"#);
    let id = bench.refuse(signed).await;

    let still = bench.post(RETRY, "").await.json();
    assert_eq!(counts(&still), [1, 0, 0, 1, 0]);
    assert_eq!(
        still["results"],
        json!([{
            "id": id,
            "outcome": "refused",
            "reason": "the proof does not match the request under any secret in force",
        }])
    );

    let bench = bench.restarted(sources("right"));
    let report = bench.post(RETRY, "{}").await.json();
    assert_eq!(counts(&report), [1, 1, 0, 0, 0]);
    assert_eq!(report["results"][0]["outcome"], "accepted");
    let event = report["results"][0]["event_id"].as_str().unwrap();
    let event = bench.get(&format!("/api/v1/events/{event}")).await.json();
    assert_eq!(event["late"], true);
    assert_eq!(event["received_at"], "2026-11-22T08:00:00.000Z");
    assert_eq!(event["correlation_id"], "request-0");
    assert_eq!(event["status"], "accepted");
    assert_eq!(event["type"], "call_started");
    assert_eq!(event["verification"]["verdict"], "verified");
}

#[tokio::test]
async fn a_token_that_was_hashed_is_judged_again() {
    let mut bench = Bench::new();
    for (source, scheme) in
        [("vapi", "vapi.secret"), ("vapi", "vapi.token"), ("mightycall", "mightycall.bearer")]
    {
        let body = json!({ "org_id": "org_1", "event": scheme, "message": { "type": scheme } });
        let signed = bench.signed(source, scheme, "right", body.to_string().as_bytes());
        bench.refuse(signed).await;
    }
    let bench = bench.restarted(sources("right"));
    let report = bench.post(RETRY, "").await.json();
    assert_eq!(counts(&report)[3..], [0, 0], "{report}");
    let schemes: Vec<Value> = {
        let events = bench.get("/api/v1/events?order=asc").await.json();
        let events = events["data"].as_array().unwrap().clone();
        events.iter().map(|it| it["verification"]["scheme"].clone()).collect()
    };
    assert_eq!(schemes, ["vapi.secret", "vapi.token", "mightycall.bearer"]);
}

#[tokio::test]
async fn retried_twice_it_is_one_event() {
    let mut bench = Bench::new();
    let signed = bench.signed("tawk", "tawk.hmac_sha1", "right", &body(1));
    let id = bench.refuse(signed).await;
    let bench = bench.restarted(sources("right"));

    let one = bench.post(&format!("/api/v1/rejections/{id}/retry"), "").await.json();
    let two = bench.post(&format!("/api/v1/rejections/{id}/retry"), "").await.json();
    let ids = bench.post(RETRY, &json!({ "ids": [id, id] }).to_string()).await.json();
    assert_eq!(counts(&one), [1, 1, 0, 0, 0]);
    assert_eq!(one["results"], two["results"]);
    assert_eq!(one["results"], ids["results"]);
    assert_eq!(bench.get("/api/v1/events").await.column("id").len(), 1);

    let settled = bench.get("/api/v1/rejections?settled=true").await;
    assert_eq!(settled.column("id"), [id.as_str()]);
    assert_eq!(settled.column("accepted_as"), [one["results"][0]["event_id"].clone()]);
    assert_eq!(bench.get("/api/v1/rejections").await.column("id").len(), 0);
    assert_eq!(counts(&bench.post(RETRY, "").await.json()), [0; 5]);
}

#[tokio::test]
async fn what_the_provider_sent_again_meanwhile_is_not_stored_twice() {
    let mut bench = Bench::new();
    let refused = bench.signed("tawk", "tawk.hmac_sha1", "right", &body(1));
    bench.refuse(refused).await;
    let mut bench = bench.restarted(sources("right"));
    let again = bench.signed("tawk", "tawk.hmac_sha1", "right", &body(1));
    let event = bench.accept(again).await;
    let report = bench.post(RETRY, "").await.json();
    assert_eq!(report["results"][0]["event_id"], event.to_string());
    assert_eq!(bench.get("/api/v1/events").await.column("id").len(), 1);
}

#[tokio::test]
async fn what_is_proven_and_unreadable_goes_into_quarantine() {
    let mut bench = Bench::new();
    let signed = bench.signed("tawk", "tawk.hmac_sha1", "right", b"\xff");
    let id = bench.refuse(signed).await;
    let bench = bench.restarted(sources("right"));
    let report = bench.post(RETRY, "").await.json();
    assert_eq!(counts(&report), [1, 0, 1, 0, 0]);
    assert_eq!(report["results"][0]["outcome"], "quarantined");
    assert_eq!(report["results"][0]["reason"], "unreadable");
    let again = bench.post(&format!("/api/v1/rejections/{id}/retry"), "").await.json();
    assert_eq!(again["results"], report["results"]);
    assert_eq!(bench.get("/api/v1/events").await.column("status"), ["quarantined"]);
    assert_eq!(counts(&bench.post(RETRY, "").await.json()), [0; 5]);
}

#[tokio::test]
async fn a_large_body_is_judged_and_stored_again() {
    let mut bench = Bench::new();
    let fill = "x".repeat(3 << 20);
    let body = json!({ "event": "chat:end", "chatId": "large", "fill": fill }).to_string();
    let signed = bench.signed("tawk", "tawk.hmac_sha1", "right", body.as_bytes());
    let large = bench.large(signed).await;
    let id = bench.refuse(large).await;
    let raw = bench.get(&format!("/api/v1/rejections/{id}/raw")).await;
    assert!(raw.body == body, "the exact bytes of the refused request");
    let shown = bench.get(&format!("/api/v1/rejections/{id}")).await.json();
    let told = json!(["bodies over 1048576 bytes are not looked into"]);
    assert_eq!(shown["diagnosis"]["mistakes"], told);
    assert_eq!(counts(&bench.post(RETRY, "").await.json()), [1, 0, 0, 1, 0]);

    let bench = bench.restarted(sources("right"));
    let report = bench.post(RETRY, "").await.json();
    assert_eq!(counts(&report), [1, 1, 0, 0, 0]);
    let event = report["results"][0]["event_id"].as_str().unwrap();
    let shown = bench.get(&format!("/api/v1/events/{event}")).await.json();
    assert_eq!(shown["type"], "chat:end");
    assert_eq!(shown["late"], true);
    assert_eq!(shown["payload"], Value::Null);
    let raw = bench.get(&format!("/api/v1/events/{event}/raw")).await;
    assert_eq!(raw.header("content-length"), body.len().to_string());
    assert!(raw.body == body, "the exact bytes of the event");
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_unavailable_and_nothing_is_lost() {
    let mut bench = Bench::new();
    let signed = bench.signed("tawk", "tawk.hmac_sha1", "right", &body(1));
    let id = bench.refuse(signed).await;
    let bench = bench.restarted(sources("right")).reopened(full());
    let answer = bench.post(RETRY, "").await;
    assert_eq!(answer.problem(503), "The disk is full. Make room, then ask again.");
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(bench.get("/api/v1/rejections").await.column("id"), [id.as_str()]);
    let bench = bench.reopened(Options::default());
    assert_eq!(counts(&bench.post(RETRY, "").await.json()), [1, 1, 0, 0, 0]);
}

#[tokio::test]
async fn what_never_had_a_proof_stays_refused() {
    let mut bench = Bench::new();
    let received = bench.received("tawk", Headers::new(), &body(1));
    bench.refuse(received).await;
    let report = bench.post(RETRY, "").await.json();
    assert_eq!(counts(&report), [1, 0, 0, 1, 0]);
    assert_eq!(bench.get("/api/v1/events").await.column("id").len(), 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_nothing() {
    let mut bench = Bench::new();
    let signed = bench.signed("tawk", "tawk.hmac_sha1", "right", &body(1));
    bench.refuse(signed).await;
    let bench = bench.restarted(sources("right"));
    {
        let mut hasty = pin!(bench.post(RETRY, ""));
        let once = poll_fn(|context| Poll::Ready(hasty.as_mut().poll(context).is_pending()));
        assert!(once.await, "it is still being judged");
    }
    // Batches take turns, so this one finds what the first has left.
    assert_eq!(counts(&bench.post(RETRY, "").await.json()), [0; 5]);
    assert_eq!(bench.get("/api/v1/events").await.column("late"), [true]);
}

#[tokio::test]
async fn a_filter_picks_what_is_judged() {
    let mut bench = Bench::new();
    for number in 0..3 {
        let source = if number == 1 { "vapi" } else { "tawk" };
        let received = bench.received(source, Headers::new(), &body(number));
        bench.refuse(received).await;
    }
    for (filter, judged) in [
        (json!({}), 3),
        (json!({ "source": "tawk" }), 2),
        (json!({ "source": "tawk", "since": "2026-11-22T08:00:01Z" }), 1),
        (json!({ "until": "2026-11-22T08:00:02Z" }), 2),
        (json!({ "ids": [] }), 0),
        (json!({ "ids": ["rej_00000000000000000000000000000000"] }), 1),
    ] {
        let report = bench.post(RETRY, &filter.to_string()).await.json();
        assert_eq!(report["judged"], judged, "{filter}");
    }
    for bad in [
        "[]",
        "{",
        "\"x\"",
        r#"{"sauce":"tawk"}"#,
        r#"{"ids":"x"}"#,
        r#"{"ids":["x"]}"#,
        r#"{"ids":[],"source":"tawk"}"#,
        r#"{"since":"now"}"#,
        r#"{"cursor":"x"}"#,
    ] {
        bench.post(RETRY, bad).await.problem(400);
    }
    bench
        .post("/api/v1/rejections/rej_00000000000000000000000000000000/retry", "")
        .await
        .problem(404);
}

#[tokio::test]
async fn a_batch_is_bounded_and_says_how_to_go_on() {
    let mut bench = Bench::new();
    for number in 0..203 {
        let received = bench.received("tawk", Headers::new(), &body(number));
        bench.store.reject(&bench.judge(received).unwrap_err(), 401);
    }
    let first = bench.post(RETRY, "").await.json();
    assert_eq!(counts(&first), [200, 0, 0, 200, 3]);
    let next = json!({ "cursor": first["next_cursor"] });
    let second = bench.post(RETRY, &next.to_string()).await.json();
    assert_eq!(counts(&second), [3, 0, 0, 3, 0]);
    assert_eq!(second["next_cursor"], Value::Null);
    let ids: Vec<String> = (0..201).map(|it| format!("rej_{it:032x}")).collect();
    let many = bench.post(RETRY, &json!({ "ids": ids }).to_string()).await;
    assert_eq!(many.problem(400), "`ids` may have 200 ids.");
}

#[tokio::test]
async fn a_source_that_is_gone_keeps_its_requests() {
    let mut bench = Bench::new();
    let signed = bench.signed("tawk", "tawk.hmac_sha1", "right", &body(1));
    bench.refuse(signed).await;
    let bench = bench.restarted(hookgate_core::source::Sources::default());
    let report = bench.post(RETRY, "").await.json();
    assert_eq!(report["results"][0]["reason"], "its source is not configured any more");
    let bench = bench.restarted(sources("right"));
    assert_eq!(counts(&bench.post(RETRY, "").await.json()), [1, 1, 0, 0, 0]);
    assert_ne!(SECRET, "right");
}

#[tokio::test]
async fn a_refused_request_still_belongs_to_the_tenant_of_its_url_token() {
    let mut bench = Bench::new();
    bench.tenant("acme").await;
    bench.tenant("other").await;
    bench.bind("other", "agent", "agent_other").await;
    for agent in ["unbound", "agent_other"] {
        let body =
            json!({ "event": "call_ended", "call": { "call_id": agent, "agent_id": agent } });
        let body = body.to_string();
        let mut signed = bench.signed("retell", "retell.v_d", "right", body.as_bytes());
        let tenant = TenantId::parse("acme").unwrap();
        signed.token = Some(Token { id: "tok_1".to_owned(), tenant: Some(tenant) });
        bench.refuse(signed).await;
    }
    let bench = bench.restarted(sources("right"));
    assert_eq!(counts(&bench.post(RETRY, "").await.json()), [2, 1, 1, 0, 0]);
    let events = bench.get("/api/v1/events?order=asc").await;
    assert_eq!(events.column("tenant"), ["acme".into(), Value::Null]);
    let verdicts: Vec<Value> =
        events.column("attribution").iter().map(|it| it["verdict"].clone()).collect();
    assert_eq!(verdicts, ["owned", "contradiction"]);
}
