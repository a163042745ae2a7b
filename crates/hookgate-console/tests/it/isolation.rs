//! What a tenant sees of its own, what it does not see of others, and what the operator
//! decides about events afterwards.

use axum::http::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, SECRET, log};

/// Two tenants with an agent each, and their keys.
async fn two(bench: &Bench) -> [String; 2] {
    let keys = [bench.tenant("acme").await, bench.tenant("other").await];
    bench.bind("acme", "agent", "agent_acme").await;
    bench.bind("other", "agent", "agent_other").await;
    keys
}

#[tokio::test]
async fn a_tenant_lists_its_own_events_whatever_it_asks_for() {
    let mut bench = Bench::new();
    let [acme, other] = two(&bench).await;
    let own = bench.call("call_1", "agent_acme").await.to_string();
    let theirs = bench.call("call_2", "agent_other").await.to_string();
    let nobodys = bench.call("call_3", "unbound").await.to_string();
    for query in ["", "?tenant=other", "?tenant=acme", "?q=call_", "?order=asc", "?provider=retell"]
    {
        let path = format!("/api/v1/events{query}");
        let expected = if query == "?tenant=other" { vec![] } else { vec![own.as_str()] };
        assert_eq!(bench.get_as(&acme, &path).await.column("id"), expected, "{query}");
    }
    assert_eq!(bench.get_as(&other, "/api/v1/events").await.column("id"), [theirs.as_str()]);
    assert_eq!(
        bench.get_as(&acme, "/api/v1/events?status=quarantined").await.column("id").len(),
        0
    );
    for id in [&theirs, &nobodys] {
        for path in ["", "/raw"] {
            bench.get_as(&acme, &format!("/api/v1/events/{id}{path}")).await.problem(404);
        }
    }
    let all = bench.get("/api/v1/events").await;
    assert_eq!(all.column("id"), [nobodys.as_str(), &theirs, &own], "the operator sees all");
    assert_eq!(all.column("tenant"), [Value::Null, "other".into(), "acme".into()]);
}

#[tokio::test]
async fn a_tenant_gets_the_bytes_with_credentials_masked_and_the_operator_exactly() {
    let mut bench = Bench::new();
    let [acme, _] = two(&bench).await;
    let exact = "{ \"event\":\"call_ended\",\"z\" : 1.50,\n \"call\":{\"call_id\":\"c\",\"agent_id\":\
                 \"agent_acme\",\"access_token\":{\"a\":\"tok-canary\"}},\"a\":\"\\u0041\" }";
    let shown = "{ \"event\":\"call_ended\",\"z\" : 1.50,\n \"call\":{\"call_id\":\"c\",\"agent_id\":\
                 \"agent_acme\",\"access_token\":\"***\"},\"a\":\"\\u0041\" }";
    let received = bench.signed("retell", "retell.v_d", SECRET, exact.as_bytes());
    let id = bench.accept(received).await;
    let path = format!("/api/v1/events/{id}/raw");
    assert_eq!(bench.get(&path).await.body, exact);
    let masked = bench.get_as(&acme, &path).await;
    assert_eq!(masked.body, shown);
    assert_eq!(masked.header("content-length"), shown.len().to_string());
    assert_eq!(masked.header("content-disposition"), format!("attachment; filename=\"{id}.bin\""));
    assert_eq!(masked.header("content-security-policy"), "sandbox; default-src 'none'");
    let log = log();
    let of_event = log.lines().filter(|it| it.contains(&id.to_string()));
    assert_eq!(of_event.filter(|it| it.contains("read the")).count(), 2);
    assert!(!log.contains("tok-canary"));
}

#[tokio::test]
async fn a_large_body_is_masked_too() {
    let mut bench = Bench::new();
    let [acme, _] = two(&bench).await;
    let fill = "x".repeat(2 << 20);
    let body = |token: &str| {
        format!(
            r#"{{"fill":"{fill}","call":{{"call_id":"c","agent_id":"agent_acme"}},"token":"{token}","event":"call_ended"}}"#
        )
    };
    let received = bench.signed("retell", "retell.v_d", SECRET, body("tok-canary").as_bytes());
    let received = bench.large(received).await;
    let id = bench.accept(received).await;
    let path = format!("/api/v1/events/{id}/raw");
    assert!(bench.get(&path).await.body == body("tok-canary"), "exact for the operator");
    let masked = bench.get_as(&acme, &path).await;
    assert_eq!(masked.status, 200);
    assert!(masked.body == body("***"), "masked for the tenant");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_shown_to_a_tenant() {
    let mut bench = Bench::new();
    let [acme, _] = two(&bench).await;
    let body =
        br#"{"event":"call_ended","event":"x","call":{"call_id":"c","agent_id":"agent_acme"}}"#;
    let received = bench.signed("retell", "retell.v_d", SECRET, body);
    let id = bench.accept(received).await;
    let path = format!("/api/v1/events/{id}");
    bench.get_as(&acme, &path).await.problem(404);
    bench.made(&format!("{path}/release"), json!({ "tenant": "acme" })).await;
    assert_eq!(bench.get_as(&acme, &path).await.json()["payload"], Value::Null);
    let raw = bench.get_as(&acme, &format!("{path}/raw")).await;
    raw.problem(409);
    assert_eq!(raw.json()["type"], "urn:hookgate:problem:unmaskable");
    assert_eq!(bench.get(&format!("{path}/raw")).await.body, body.as_slice());
}

#[tokio::test]
async fn a_contradiction_is_told_to_those_it_names_without_the_others_ids() {
    let mut bench = Bench::new();
    let [acme, other] = two(&bench).await;
    let third = bench.tenant("third").await;
    bench.call("call_other", "agent_other").await;
    let id = bench.call("call_other", "agent_acme").await.to_string();

    let path = "/api/v1/violations";
    let whole = bench.get(path).await.json();
    let expected = json!({
        "data": [{
            "id": id,
            "at": "2026-11-22T08:00:01.000Z",
            "source": "retell",
            "provider": "retell",
            "kind": "contradiction",
            "reason": "different_tenants",
            "text": "Security violation: Invalid call ownership",
            "claims": [
                { "kind": "conversation", "external_id": "call_other", "tenant": "other" },
                { "kind": "agent", "external_id": "agent_acme", "tenant": "acme" },
            ],
        }],
        "next_cursor": null,
    });
    assert_eq!(whole, expected);

    for (key, own, foreign) in
        [(&acme, "agent_acme", "call_other"), (&other, "call_other", "agent_acme")]
    {
        let seen = bench.get_as(key, path).await;
        assert_eq!(seen.column("id"), [id.as_str()]);
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        assert!(text.contains(own) && !text.contains(foreign), "{text}");
        let claims = seen.json()["data"][0]["claims"].clone();
        let hidden = |member: &str| {
            let all = claims.as_array().unwrap().iter().map(|it| it[member].as_str().unwrap());
            all.filter(|it| it.starts_with("sha256:") && it.len() == 23).count()
        };
        assert_eq!((hidden("external_id"), hidden("tenant")), (1, 1), "{claims}");
    }
    assert_eq!(bench.get_as(&third, path).await.column("id").len(), 0);
    for (query, count) in [
        ("tenant=acme", 1),
        ("tenant=third", 0),
        ("source=retell", 1),
        ("provider=vapi", 0),
        ("since=2026-11-22T08:00:02Z", 0),
        ("until=2026-11-22T08:00:02Z", 1),
    ] {
        let found = bench.get(&format!("{path}?{query}")).await;
        assert_eq!(found.column("id").len(), count, "{query}");
    }
    // The event itself is nobody's.
    for key in [&acme, &other] {
        bench.get_as(key, &format!("/api/v1/events/{id}")).await.problem(404);
    }
}

#[tokio::test]
async fn an_event_is_released_once_and_its_verdicts_stay() {
    let mut bench = Bench::new();
    let [acme, other] = two(&bench).await;
    bench.call("call_other", "agent_other").await;
    let id = bench.call("call_other", "agent_acme").await.to_string();
    let path = format!("/api/v1/events/{id}");
    let release = format!("{path}/release");
    let before = bench.get(&path).await.json();
    assert_eq!((&before["status"], &before["tenant"]), (&"quarantined".into(), &Value::Null));

    let nobody = bench.post(&release, r#"{"tenant":"nobody"}"#).await;
    assert_eq!(nobody.problem(404), "There is no tenant with this id.");
    bench.post(&release, r#"{"tenant":"a/b"}"#).await.problem(400);
    let released = bench.post(&release, r#"{"tenant":"acme"}"#).await;
    assert_eq!(released.status, 200, "{released:?}");
    let released = released.json();
    assert_eq!((&released["status"], &released["tenant"]), (&"accepted".into(), &"acme".into()));
    assert_eq!(released["attribution"]["verdict"], "contradiction");
    assert_eq!(released["cause"], before["cause"]);
    let decision = json!({
        "kind": "release", "tenant": "acme", "at": "2026-11-22T08:00:00.000Z", "by": "operator",
    });
    assert_eq!(released["decision"], decision);
    let again = bench.post(&release, r#"{"tenant":"acme"}"#).await;
    again.problem(409);
    assert_eq!(again.json()["type"], "urn:hookgate:problem:not-quarantined");

    // The tenant sees it now, and nothing of the other's ids.
    let seen = bench.get_as(&acme, &path).await;
    assert_eq!(seen.status, 200);
    let claims = seen.json()["attribution"]["claims"].clone();
    let expected = json!([
        { "kind": "conversation", "external_id": null, "tenant": null },
        { "kind": "agent", "external_id": "agent_acme", "tenant": "acme" },
    ]);
    assert_eq!(claims, expected);
    assert_eq!(seen.json()["conversation_id"], Value::Null);
    bench.get_as(&other, &path).await.problem(404);
    assert!(log().contains("the operator released an event from quarantine"));
}

#[tokio::test]
async fn what_is_not_proven_is_never_released() {
    let mut bench = Bench::new();
    two(&bench).await;
    let received = bench.received("tawk", hookgate_core::headers::Headers::new(), b"{}");
    let id = bench.record(received).await;
    let answer = bench.post(&format!("/api/v1/events/{id}/release"), "").await;
    answer.problem(409);
    assert_eq!(answer.json()["type"], "urn:hookgate:problem:unproven");
    for id in ["evt_00000000000000000000000000000000", "x"] {
        bench.post(&format!("/api/v1/events/{id}/release"), "").await.problem(404);
    }
}

#[tokio::test]
async fn after_an_id_was_bound_the_events_that_named_it_find_their_owner() {
    let mut bench = Bench::new();
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(bench.call(&format!("call_{number}"), "agent_late").await.to_string());
    }
    let other = bench.call("call_x", "unbound").await.to_string();
    let unreadable = bench.signed("retell", "retell.v_d", SECRET, b"x");
    bench.accept(unreadable).await;
    let key = bench.tenant("acme").await;
    bench.bind("acme", "agent", "agent_late").await;

    let path = "/api/v1/events/reattribute";
    let one = bench.made(path, json!({ "ids": [ids[0], ids[0]] })).await;
    assert_eq!(
        (&one["judged"], &one["owned"], &one["next_cursor"]),
        (&1.into(), &1.into(), &Value::Null)
    );
    assert_eq!(one["results"], json!([{ "id": ids[0], "verdict": "owned", "tenant": "acme" }]));
    let rest = bench.made(path, json!({ "source": "retell" })).await;
    let counts = ["judged", "owned", "unattributed", "contradiction", "remaining"];
    let counts = counts.map(|it| rest[it].as_u64().unwrap());
    assert_eq!(counts, [3, 2, 1, 0, 0], "{rest}");
    let verdicts: Vec<&Value> =
        rest["results"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(verdicts, [ids[1].as_str(), &ids[2], &other]);

    let seen = bench.get_as(&key, "/api/v1/events?order=asc").await;
    assert_eq!(seen.column("id"), ids);
    let decision = seen.json()["data"][0]["decision"].clone();
    assert_eq!((&decision["kind"], &decision["tenant"]), (&"reattribute".into(), &"acme".into()));
}

#[tokio::test]
async fn a_batch_of_owners_to_judge_again_is_bounded_and_goes_on() {
    let mut bench = Bench::new();
    for number in 0..203 {
        bench.call(&format!("call_{number}"), "unbound").await;
    }
    let path = "/api/v1/events/reattribute";
    let first = bench.made(path, json!({ "provider": "retell" })).await;
    assert_eq!((&first["judged"], &first["remaining"]), (&200.into(), &3.into()));
    let next = json!({ "provider": "retell", "cursor": first["next_cursor"] });
    let second = bench.made(path, next).await;
    assert_eq!((&second["judged"], &second["remaining"]), (&3.into(), &0.into()));
    assert_eq!(second["next_cursor"], Value::Null);
    let none = bench.made(path, json!({ "provider": "vapi" })).await;
    assert_eq!((&none["judged"], &none["next_cursor"]), (&0.into(), &Value::Null));

    let id = "evt_00000000000000000000000000000000";
    for (wrong, sentence) in [
        (json!({ "ids": vec![id; 201] }), "`ids` may have 200 ids."),
        (json!({ "ids": ["x"] }), "`ids` has a text that is no id."),
        (json!({ "ids": [id] }), "`ids` has an id that no event has."),
        (json!({ "ids": [], "source": "x" }), "Give either `ids` or a filter."),
        (json!({ "cursor": "x" }), "`cursor` must be the `next_cursor` of an earlier batch."),
        (json!({ "since": "x" }), "`since` must be a time such as 2026-11-22T08:00:00Z."),
    ] {
        assert_eq!(bench.post(path, &wrong.to_string()).await.problem(400), sentence);
    }
}

#[tokio::test]
async fn an_erased_tenant_is_gone_with_all_that_was_its_own() {
    let mut bench = Bench::new();
    let [_, other] = two(&bench).await;
    let own = bench.call("call_1", "agent_acme").await;
    let theirs = bench.call("call_2", "agent_other").await;
    let begun = bench.ask(Method::DELETE, "/api/v1/tenants/acme", "").await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let begun = begun.json();
    assert_eq!((&begun["tenant"], &begun["conversation"]), (&"acme".into(), &Value::Null));
    let done = bench.erased(begun["id"].as_str().unwrap()).await;
    assert_eq!(done["events"], 1);
    assert!(done["finished_at"].is_string() && done["bytes"].as_u64().unwrap() > 0, "{done}");
    bench.get("/api/v1/tenants/acme").await.problem(404);
    bench.ask(Method::DELETE, "/api/v1/tenants/acme", "").await.problem(404);
    bench.get(&format!("/api/v1/events/{own}/raw")).await.problem(410);
    assert_eq!(bench.get(&format!("/api/v1/events/{theirs}/raw")).await.status, 200);
    assert_eq!(bench.get("/api/v1/bindings").await.column("tenant"), ["other"]);
    assert_eq!(bench.get_as(&other, "/api/v1/events").await.column("id"), [theirs.to_string()]);
}
