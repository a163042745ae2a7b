//! Tool calls: the list, one of them, and those of an event.

use hookgate_store::{NewToolCall, ToolCallId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bench::Bench;

#[tokio::test]
async fn a_tool_call_is_shown_with_its_arguments_its_answer_and_its_times() {
    let mut bench = Bench::new();
    let key = bench.tenant("acme").await;
    bench.bind("acme", "agent", "agent_acme").await;
    let event = bench.call("call_1", "agent_acme").await;
    let id = bench.tool_call("acme", event, "call_1").await;
    let summary = json!({
        "id": id.to_string(),
        "event_id": event.to_string(),
        "tenant": "acme",
        "source": "retell",
        "provider": "retell",
        "conversation_id": "call_1",
        "agent_id": null,
        "call_id": "tool_1",
        "tool": "bookings_create",
        "state": "succeeded",
        "status": "booked",
        "repeats": null,
        "generation": 1,
        "late": false,
        "started_at": "2026-11-22T08:00:00.000Z",
        "finished_at": "2026-11-22T08:00:00.250Z",
        "times": {
            "store_ms": 1.5, "record_ms": 2.25, "connector_ms": 246.0, "total_ms": 250.001,
        },
    });
    let mut whole = summary.clone();
    whole["arguments"] = json!({ "service": "haircut", "phone": "***" });
    whole["answer"] = json!({ "ok": true, "status": "booked", "message": "You are booked." });
    for token in [crate::bench::TOKEN, &key] {
        let list = bench.get_as(token, "/api/v1/tool-calls").await.json();
        assert_eq!(list, json!({ "data": [summary], "next_cursor": null }));
        let shown = bench.get_as(token, &format!("/api/v1/tool-calls/{id}")).await.json();
        assert_eq!(shown, whole);
        let event = bench.get_as(token, &format!("/api/v1/events/{event}")).await.json();
        assert_eq!(event["tool_calls"], json!([whole]));
    }
    let other = bench.call("call_2", "agent_acme").await;
    let other = bench.get(&format!("/api/v1/events/{other}")).await.json();
    assert_eq!(other["tool_calls"], json!([]));
    for nothing in ["call_00000000000000000000000000000001", "x", &event.to_string()] {
        bench.get(&format!("/api/v1/tool-calls/{nothing}")).await.problem(404);
    }
}

#[tokio::test]
async fn a_call_that_runs_has_no_answer_and_one_that_repeats_names_the_other() {
    let mut bench = Bench::new();
    bench.tenant("acme").await;
    let event = bench.call("call_1", "agent_acme").await;
    let first = bench.tool_call("acme", event, "call_1").await;
    let registry = bench.store.registry();
    let again = NewToolCall {
        id: ToolCallId(Uuid::from_u128(7)),
        position: 1,
        ..Bench::new_tool_call("acme", event, "call_1")
    };
    registry.begin_tool_call(again.clone()).await.unwrap();
    let shown = bench.get(&format!("/api/v1/tool-calls/{}", again.id)).await.json();
    assert_eq!(shown["repeats"], first.to_string());
    assert_eq!((&shown["state"], &shown["status"]), (&"started".into(), &"".into()));
    assert_eq!((&shown["answer"], &shown["finished_at"]), (&Value::Null, &Value::Null));
    let event = bench.get(&format!("/api/v1/events/{event}")).await.json();
    let ids: Vec<&Value> =
        event["tool_calls"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&Value::from(first.to_string()), &Value::from(again.id.to_string())]);
}

#[tokio::test]
async fn a_tenant_sees_its_own_and_others_calls_are_not_there() {
    let mut bench = Bench::new();
    let keys = [bench.tenant("acme").await, bench.tenant("other").await];
    let event = bench.call("call_1", "agent_acme").await;
    let own = bench.tool_call("acme", event, "call_1").await.to_string();
    let theirs = bench.tool_call("other", event, "call_2").await.to_string();
    let path = "/api/v1/tool-calls";
    for (key, own, theirs) in [(&keys[0], &own, &theirs), (&keys[1], &theirs, &own)] {
        for query in ["", "?provider=retell", "?state=succeeded"] {
            let found = bench.get_as(key, &format!("{path}{query}")).await;
            assert_eq!(found.column("id"), [own.as_str()]);
        }
        assert_eq!(bench.get_as(key, &format!("{path}/{own}")).await.status, 200);
        bench.get_as(key, &format!("{path}/{theirs}")).await.problem(404);
    }
    let asked = bench.get_as(&keys[0], &format!("{path}?tenant=other")).await;
    assert!(asked.column("id").is_empty());
}

#[tokio::test]
async fn the_list_has_pages_and_filters() {
    let mut bench = Bench::new();
    bench.tenant("acme").await;
    let event = bench.call("call_1", "agent_acme").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.insert(0, bench.tool_call("acme", event, &format!("call_{number}")).await.to_string());
    }
    let path = "/api/v1/tool-calls";
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = bench.get(&format!("{path}?limit=2{cursor}")).await;
        found.extend(page.column("id"));
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, ids);
    for (query, count) in [
        ("tenant=acme", 5),
        ("tenant=other", 0),
        ("tool=bookings_create", 5),
        ("tool=services_list", 0),
        ("state=succeeded", 5),
        ("state=unknown", 0),
        ("provider=vapi", 0),
        ("source=retell", 5),
        ("conversation=call_3", 1),
        ("since=2026-11-22T08:00:00Z", 5),
        ("until=2026-11-22T08:00:00Z", 0),
    ] {
        let found = bench.get(&format!("{path}?{query}")).await;
        assert_eq!(found.column("id").len(), count, "{query}");
    }
    for wrong in ["state=done", "provider=x", "since=today", "order=asc", "cursor=x", "limit=0"] {
        bench.get(&format!("{path}?{wrong}")).await.problem(400);
    }
}
