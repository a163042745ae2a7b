//! What is shown.

use hookgate_core::tenant::Scope;
use hookgate_store::RejectionFilter;
use serde_json::{Value, json};

use crate::bench::{ALL, Bench, Call};

fn without(value: &Value, names: &[&str]) -> Value {
    let mut value = value.clone();
    for name in names {
        value.as_object_mut().unwrap().remove(*name).expect("it is shown");
    }
    value
}

#[tokio::test]
async fn an_event_is_shown_as_the_contract_says() {
    let bench = Bench::new();
    let mut call = Call::new(
        r#"{"message":{"type":"end-of-call-report","call":{"id":"c1","monitor":{"listenUrl":"wss://x"}}}}"#,
    );
    call.headers.push(("x-vapi-signature", String::new()));
    let receipt = bench.append(&call).await;
    let event = bench.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    let detail = event.detail(Some(&call.body));
    assert_eq!(
        without(&detail, &["headers"]),
        json!({
            "id": receipt.id().to_string(), "seq": 1, "source": "vapi", "provider": "vapi",
            "type": "end-of-call-report", "kind": "call.analyzed", "external_id": null, "tenant": null,
            "conversation_id": "c1", "status": "accepted", "cause": null, "duplicates": 0,
            "duplicate_of": null, "late": false, "received_at": "2027-01-15T08:00:00.000Z",
            "correlation_id": "correlation", "peer": "203.0.113.7", "method": "POST", "target": "/webhook/vapi",
            "verification": {"verdict": "verified", "scheme": "vapi.token", "reason": null},
            "attribution": {
                "verdict": "unattributed", "reason": null, "conversation": null, "rule": 1,
                "claims": [{"kind": "conversation", "external_id": "c1", "tenant": null}],
            },
            "decision": null, "erased": false,
            "size": call.body.len(), "sha256": hex::encode(event.sha256),
            "payload": {"message": {"type": "end-of-call-report", "call": {"id": "c1", "monitor": {"listenUrl": "***"}}}},
            "canonical": {
                "version": 1, "kind": "call.analyzed", "type": "end-of-call-report",
                "provider": "vapi", "source": "vapi", "event_id": receipt.id().to_string(),
                "received_at": "2027-01-15T08:00:00.000Z", "conversation": {"id": "c1"},
                "sources": {"type": "/message/type", "conversation.id": "/message/call/id"},
            },
        })
    );
    let authorization = detail["headers"][0][1].as_str().unwrap();
    assert!(
        authorization.starts_with("Bearer sha256:") && authorization.chars().count() == 23,
        "{authorization}"
    );
    assert_eq!(detail["headers"][1], json!(["content-type", "application/json"]));
    assert_eq!(event.summary(), without(&detail, &["headers", "payload", "canonical"]));
}

#[tokio::test]
async fn bytes_without_proof_are_not_interpreted_and_their_digests_cut() {
    let bench = Bench::new();
    let mut call = Call::end("c1", "x").with_token("guess");
    call.headers.push(("x-vapi-signature", "0123456789abcdef".repeat(4)));
    let receipt = bench.store.quarantine(&call.recorded()).await.unwrap();
    let event = bench.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    let detail = event.detail(Some(&call.body));
    assert_eq!((&detail["payload"], &detail["status"]), (&Value::Null, &json!("quarantined")));
    assert_eq!(detail["canonical"], Value::Null);
    assert_eq!(detail["headers"][2], json!(["x-vapi-signature", "01234567…"]));

    bench.store.reject(&call.unproven(), 401);
    let rejection = &bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap()[0];
    let detail = rejection.detail();
    assert_eq!(detail["headers"][2], json!(["x-vapi-signature", "01234567…"]));
    assert_eq!(detail["payload"], Value::Null);
    assert!(detail["id"].as_str().unwrap().starts_with("rej_"));
    assert_eq!((&detail["status"], &detail["accepted_as"]), (&json!(401), &Value::Null));
    assert_eq!(
        hookgate_store::parse_rejection_id(detail["id"].as_str().unwrap()),
        Some(rejection.id)
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_shown_as_nothing() {
    let bench = Bench::new();
    let call = Call::new(r#"{"a":1,"a":2}"#);
    let receipt = bench.store.quarantine(&call.unreadable()).await.unwrap();
    let event = bench.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    let detail = event.detail(Some(&call.body));
    assert_eq!((&detail["payload"], &detail["cause"]), (&Value::Null, &json!("unreadable")));
    assert_eq!(detail["canonical"], Value::Null);
    let large = Call::end("c", &"x".repeat(2 << 20));
    let receipt = bench.append(&large).await;
    let event = bench.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    for detail in [event.detail(Some(&large.body)), event.detail(None)] {
        assert_eq!((&detail["payload"], &detail["canonical"]), (&Value::Null, &Value::Null));
    }
}
