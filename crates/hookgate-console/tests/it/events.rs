//! Events as the operator reads them.

use hookgate_core::headers::Headers;
use hookgate_store::EventId;
use serde_json::{Value, json};

use crate::bench::{Bench, SECRET, log};

const CALL: &[u8] = br#"{"event":"call_ended","call":{"call_id":"call_1","agent_id":"agent_1"}}"#;
const CHAT: &[u8] =
    br#"{"event":"chat:start","chatId":"chat_1","property":{"id":"p1","name":"x"}}"#;

/// A Retell call at second 0, a Tawk chat at second 1, an unreadable Retell body at 2.
async fn three(bench: &mut Bench) -> [EventId; 3] {
    let call = bench.signed("retell", "retell.v_d", SECRET, CALL);
    let chat = bench.signed("tawk", "tawk.hmac_sha1", SECRET, CHAT);
    let unreadable = bench.signed("retell", "retell.v_d", SECRET, b"\x1b[31m\xff not JSON");
    [bench.accept(call).await, bench.accept(chat).await, bench.accept(unreadable).await]
}

#[tokio::test]
async fn every_filter_shows_what_it_names() {
    let mut bench = Bench::new();
    let [call, chat, unreadable] = three(&mut bench).await.map(|it| it.to_string());
    let (call, chat, unreadable) = (call.as_str(), chat.as_str(), unreadable.as_str());
    for (query, expected) in [
        ("", vec![unreadable, chat, call]),
        ("order=desc", vec![unreadable, chat, call]),
        ("order=asc", vec![call, chat, unreadable]),
        ("provider=tawk", vec![chat]),
        ("provider=vapi", vec![]),
        ("source=retell", vec![unreadable, call]),
        ("source=nobody", vec![]),
        ("tenant=nobody", vec![]),
        ("type=call_ended", vec![call]),
        ("type=call", vec![]),
        ("kind=chat.started", vec![chat]),
        ("conversation=call_1", vec![call]),
        ("status=quarantined", vec![unreadable]),
        ("status=accepted", vec![chat, call]),
        ("since=2026-11-22T08:00:01Z", vec![unreadable, chat]),
        ("until=2026-11-22T08:00:01Z", vec![call]),
        ("since=2026-11-22T09:00:01%2B01:00&until=2026-11-22T08:00:02Z", vec![chat]),
        ("since=2026-11-22T09:00:01+01:00&until=2026-11-22T08:00:02Z", vec![chat]),
        ("q=chat_1", vec![chat]),
        ("q=call_", vec![call]),
        ("q=%25", vec![]),
        ("provider=retell&status=accepted&type=call_ended", vec![call]),
        ("provider=tawk&conversation=call_1", vec![]),
    ] {
        let answer = bench.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!(answer.column("id"), expected, "{query}");
    }
}

#[tokio::test]
async fn a_bad_parameter_is_named_with_what_it_may_be() {
    let bench = Bench::new();
    let long = format!("source={}", "x".repeat(257));
    for (query, sentence) in [
        ("provider=retel", "`provider` must be one of elevenlabs, retell, vapi, mightycall, tawk."),
        ("status=ok", "`status` must be one of accepted, quarantined."),
        ("order=up", "`order` must be one of desc, asc."),
        ("since=yesterday", "`since` must be a time such as 2026-11-22T08:00:00Z."),
        ("until=", "`until` must be a time such as 2026-11-22T08:00:00Z."),
        ("source=", "`source` must be a text of 1 to 256 bytes."),
        (&long, "`source` must be a text of 1 to 256 bytes."),
        ("source=a&source=b", "`source` must be given once."),
        ("cursor=x", "`cursor` must be a `next_cursor` of this list, with the same `order`."),
        (
            "tennant=a",
            "`tennant` is unknown; there are: provider, source, tenant, type, kind, conversation, \
             status, since, until, q, order, limit, cursor.",
        ),
        (
            "%1b[31m=1",
            "`\\u{1b}[31m` is unknown; there are: provider, source, tenant, type, kind, \
             conversation, status, since, until, q, order, limit, cursor.",
        ),
    ] {
        let answer = bench.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!(answer.problem(400), sentence, "{query}");
    }
    let kinds = bench.get("/api/v1/events?kind=call_ended").await.problem(400);
    assert!(kinds.starts_with("`kind` must be one of call.started, call.ended, "), "{kinds}");
}

#[tokio::test]
async fn a_list_leaves_out_headers_and_payload() {
    let mut bench = Bench::new();
    three(&mut bench).await;
    for event in bench.get("/api/v1/events").await.json()["data"].as_array().unwrap() {
        assert!(event.get("headers").is_none() && event.get("payload").is_none(), "{event}");
    }
}

#[tokio::test]
async fn an_event_is_shown_whole() {
    let mut bench = Bench::new();
    let [call, ..] = three(&mut bench).await;
    let event = bench.get(&format!("/api/v1/events/{call}")).await;
    assert_eq!(event.status, 200);
    let event = event.json();
    let shown = |names: &[&str]| -> Value {
        names.iter().map(|name| ((*name).to_owned(), event[*name].clone())).collect()
    };
    assert_eq!(
        shown(&[
            "id",
            "source",
            "provider",
            "type",
            "kind",
            "tenant",
            "conversation_id",
            "status",
            "duplicates",
            "late",
            "received_at",
            "correlation_id",
            "size",
            "payload",
        ]),
        json!({
            "id": call.to_string(),
            "source": "retell",
            "provider": "retell",
            "type": "call_ended",
            "kind": "call.ended",
            "tenant": null,
            "conversation_id": "call_1",
            "status": "accepted",
            "duplicates": 0,
            "late": false,
            "received_at": "2026-11-22T08:00:00.000Z",
            "correlation_id": "request-0",
            "size": CALL.len(),
            "payload": serde_json::from_slice::<Value>(CALL).unwrap(),
        })
    );
    assert_eq!(event["verification"]["verdict"], "verified");
    assert_eq!(event["verification"]["scheme"], "retell.v_d");
    assert_eq!(event["attribution"]["verdict"], "unattributed");
    let claims = event["attribution"]["claims"].as_array().unwrap();
    let agent = json!({ "kind": "agent", "external_id": "agent_1", "tenant": null });
    assert!(claims.contains(&agent), "{claims:?}");
    assert_eq!(event["headers"][0], json!(["content-type", "application/json"]));
    let canonical = &event["canonical"];
    assert_eq!(canonical["event_id"], event["id"]);
    assert_eq!(canonical["conversation"]["id"], "call_1");
    assert_eq!(canonical["sources"]["conversation.id"], "/call/call_id");
    assert!(event["seq"].is_u64(), "{event}");
    assert_eq!(event["sha256"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn an_id_is_found_with_and_without_its_prefix_and_another_is_not() {
    let mut bench = Bench::new();
    let [call, ..] = three(&mut bench).await;
    assert_eq!(bench.get(&format!("/api/v1/events/{}", call.0)).await.status, 200);
    for id in ["evt_00000000000000000000000000000000", "evt_", "x", "%ff", "..", "evt_%00"] {
        for path in ["", "/raw"] {
            bench.get(&format!("/api/v1/events/{id}{path}")).await.problem(404);
        }
    }
    bench.get(&format!("/api/v1/events/{call}?payload=full")).await.problem(400);
}

#[tokio::test]
async fn credentials_in_headers_and_bodies_are_masked() {
    let mut bench = Bench::new();
    let body = br#"{"message":{"type":"status-update","status":"ended","call":{"id":"c","monitor":{"controlUrl":"https://control-canary"}},"server":{"secret":"server-canary"}}}"#;
    let received = bench.signed("vapi", "vapi.secret", SECRET, body);
    let id = bench.accept(received).await;
    let answer = bench.get(&format!("/api/v1/events/{id}")).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(!text.contains("canary"), "{text}");
    let event = answer.json();
    assert_eq!(event["payload"]["message"]["call"]["monitor"]["controlUrl"], "***");
    let headers = event["headers"].as_array().unwrap();
    assert!(headers.iter().any(|it| it[0] == "x-vapi-secret"), "{headers:?}");
}

#[tokio::test]
async fn an_unreadable_or_large_body_has_no_payload() {
    let mut bench = Bench::new();
    let [.., unreadable] = three(&mut bench).await;
    let event = bench.get(&format!("/api/v1/events/{unreadable}")).await.json();
    assert_eq!(event["payload"], Value::Null);
    assert_eq!(event["status"], "quarantined");

    let large = format!(r#"{{"event":"call_ended","fill":"{}"}}"#, "x".repeat(1024 * 1024));
    let large = bench.signed("retell", "retell.v_d", SECRET, large.as_bytes());
    let large = bench.accept(large).await;
    let event = bench.get(&format!("/api/v1/events/{large}")).await.json();
    assert_eq!((&event["payload"], &event["canonical"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn free_json_in_a_canonical_event_is_masked_for_everybody() {
    let mut bench = Bench::new();
    let body = br#"{"event":"call_ended","call":{"call_id":"c","access_token":"canary","metadata":{"customer":"c_1","api_key":"canary","deep":[{"password":"canary"}]}}}"#;
    let received = bench.signed("retell", "retell.v_d", SECRET, body);
    let id = bench.accept(received).await;
    let event = bench.get(&format!("/api/v1/events/{id}")).await.json();
    assert!(!event.to_string().contains("canary"), "{event}");
    let masked = json!({"customer": "c_1", "api_key": "***", "deep": [{"password": "***"}]});
    assert_eq!(event["canonical"]["conversation"]["metadata"], masked);
}

#[tokio::test]
async fn the_schema_of_canonical_events_is_for_every_key() {
    const PATH: &str = "/api/v1/schemas/canonical-event";
    let bench = Bench::new();
    let acme = bench.tenant("acme").await;
    for answer in [bench.get(PATH).await, bench.get_as(&acme, PATH).await] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), hookgate_core::canonical::schema::schema());
    }
    bench.get_as("nobody", PATH).await.problem(401);
}

#[tokio::test]
async fn a_body_without_proof_is_never_interpreted() {
    let mut bench = Bench::new();
    let received = bench.received("tawk", Headers::new(), CHAT);
    let id = bench.record(received).await;
    let event = bench.get(&format!("/api/v1/events/{id}")).await.json();
    assert_eq!(event["status"], "quarantined");
    assert_eq!(event["verification"]["verdict"], "unverified");
    assert_eq!(event["conversation_id"], Value::Null);
}

#[tokio::test]
async fn raw_gives_the_exact_bytes_as_a_file_and_is_logged() {
    let mut bench = Bench::new();
    let [call, _, unreadable] = three(&mut bench).await;
    for (id, bytes) in [(call, CALL), (unreadable, b"\x1b[31m\xff not JSON".as_slice())] {
        let answer = bench.get(&format!("/api/v1/events/{id}/raw")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, bytes);
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("content-length"), bytes.len().to_string());
        assert_eq!(
            answer.header("content-disposition"),
            format!("attachment; filename=\"{id}.bin\"")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-security-policy"), "sandbox; default-src 'none'");
        let log = log();
        let line = log.lines().find(|it| it.contains(&id.to_string())).expect("a line of the log");
        assert!(line.contains("INFO") && line.contains("exact bytes"), "{line}");
    }
}
