//! Bindings and conversations: which id is whose.

use axum::http::Method;
use serde_json::{Value, json};

use crate::bench::Bench;

const BINDINGS: &str = "/api/v1/bindings";
const CONVERSATIONS: &str = "/api/v1/conversations";

fn binding(tenant: &str, kind: &str, id: &str) -> Value {
    json!({ "tenant": tenant, "provider": "retell", "kind": kind, "external_id": id })
}

#[tokio::test]
async fn an_id_belongs_to_one_tenant_and_the_refusal_names_nobody() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    bench.tenant("other").await;
    for kind in ["agent", "phone_number", "integration", "account", "property", "conversation"] {
        let wish = binding("acme", kind, "id 1/ü").to_string();
        let made = bench.post(BINDINGS, &wish).await;
        assert_eq!(made.status, 201, "{kind}: {made:?}");
        let expected = json!({
            "tenant": "acme", "provider": "retell", "kind": kind, "external_id": "id 1/ü",
            "created_at": "2026-11-22T08:00:00.000Z",
        });
        assert_eq!(made.json(), expected);
        let again = bench.post(BINDINGS, &wish).await;
        assert_eq!((again.status.as_u16(), again.json()), (200, expected), "{kind}");
        let taken = bench.post(BINDINGS, &binding("other", kind, "id 1/ü").to_string()).await;
        assert_eq!(taken.problem(409), "It belongs to somebody else already.");
        assert_eq!(taken.json()["type"], "urn:hookgate:problem:taken");
        assert!(!String::from_utf8_lossy(&taken.body).contains("acme"));
    }
}

#[tokio::test]
async fn what_cannot_be_bound_is_told_why() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let kinds = "`kind` must be one of agent, phone_number, integration, account, property, \
                 conversation.";
    for (wish, status, sentence) in [
        (binding("nobody", "agent", "a"), 404, "There is no tenant with this id."),
        (binding("nobody", "conversation", "a"), 404, "There is no tenant with this id."),
        (binding("acme", "organization", "a"), 400, kinds),
        (binding("acme", "Agent", "a"), 400, kinds),
        (
            binding("acme", "agent", ""),
            400,
            "An id at a provider is a visible text of 1 to 512 \
                                             bytes, without control characters.",
        ),
        (
            json!({ "tenant": "acme", "provider": "x", "kind": "agent", "external_id": "a" }),
            400,
            "`provider` must be one of elevenlabs, retell, vapi, mightycall, tawk.",
        ),
    ] {
        let answer = bench.post(BINDINGS, &wish.to_string()).await;
        assert_eq!(answer.problem(status), sentence, "{wish}");
    }
}

#[tokio::test]
async fn bindings_are_listed_by_what_they_are_and_removed_by_name() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    bench.tenant("other").await;
    bench.bind("acme", "agent", "a1").await;
    bench.bind("acme", "phone_number", "+1").await;
    bench.bind("other", "agent", "a2").await;
    for (query, expected) in [
        ("", vec!["a2", "+1", "a1"]),
        ("tenant=acme", vec!["+1", "a1"]),
        ("kind=agent", vec!["a2", "a1"]),
        ("provider=vapi", vec![]),
        ("external_id=%2B1", vec!["+1"]),
        ("tenant=acme&kind=agent&provider=retell&external_id=a1", vec!["a1"]),
        ("tenant=nobody", vec![]),
    ] {
        let answer = bench.get(&format!("{BINDINGS}?{query}")).await;
        assert_eq!(answer.column("external_id"), expected, "{query}");
    }
    let first = bench.get(&format!("{BINDINGS}?limit=2")).await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let second = bench.get(&format!("{BINDINGS}?limit=2&cursor={cursor}")).await;
    assert_eq!(second.column("external_id"), ["a1"]);
    assert_eq!(second.json()["next_cursor"], Value::Null);
    for query in ["kind=conversation", "kind=x", "provider=x", "tenant=a/b", "external_id="] {
        bench.get(&format!("{BINDINGS}?{query}")).await.problem(400);
    }

    let path = format!("{BINDINGS}?provider=retell&kind=agent&external_id=a1");
    assert_eq!(bench.ask(Method::DELETE, &path, "").await.status, 204);
    bench.ask(Method::DELETE, &path, "").await.problem(404);
    for query in ["", "?provider=retell&kind=agent", "?kind=agent&external_id=a2"] {
        bench.ask(Method::DELETE, &format!("{BINDINGS}{query}"), "").await.problem(400);
    }
    // What was freed can be another's.
    assert_eq!(
        bench.post(BINDINGS, &binding("other", "agent", "a1").to_string()).await.status,
        201
    );
}

#[tokio::test]
async fn a_conversation_is_registered_and_shown_with_its_owners() {
    let mut bench = Bench::new();
    let key = bench.tenant("acme").await;
    bench.tenant("other").await;
    bench.bind("acme", "agent", "agent_1").await;
    bench.bind("other", "phone_number", "+2").await;
    let wish = json!({
        "tenant": "acme", "provider": "retell", "external_id": "call_1", "agent_id": "agent_1",
    });
    let made = bench.post(CONVERSATIONS, &wish.to_string()).await;
    assert_eq!(made.status, 201);
    let shown = json!({
        "tenant": "acme", "provider": "retell", "external_id": "call_1", "agent_id": "agent_1",
        "phone_number_id": null, "origin": "registered", "created_at": "2026-11-22T08:00:00.000Z",
    });
    assert_eq!(made.json(), shown);
    assert_eq!(bench.post(CONVERSATIONS, &wish.to_string()).await.status, 200);
    let theirs = json!({ "tenant": "other", "provider": "retell", "external_id": "call_1" });
    bench.post(CONVERSATIONS, &theirs.to_string()).await.problem(409);
    bench
        .post(BINDINGS, &binding("other", "conversation", "call_1").to_string())
        .await
        .problem(409);

    let event = bench.call("call_1", "agent_1").await;
    let detail = bench.get(&format!("{CONVERSATIONS}/retell/call_1")).await.json();
    assert_eq!(detail["verdict"], "consistent");
    assert_eq!(
        detail["owners"],
        json!({
            "conversation": "acme",
            "agent": { "external_id": "agent_1", "tenant": "acme" },
            "phone_number": null,
        })
    );
    assert_eq!(detail["events"][0]["id"], event.to_string());
    assert_eq!(detail["events"][0]["attribution"]["conversation"], "registered");
    assert!(detail["events"][0].get("payload").is_none());

    // Another's number beside it is a contradiction, and a tenant is not told whose it is.
    let with_number = json!({
        "tenant": "acme", "provider": "retell", "external_id": "call_1", "agent_id": "agent_1",
        "phone_number_id": "+2",
    });
    assert_eq!(bench.post(CONVERSATIONS, &with_number.to_string()).await.status, 200);
    let path = format!("{CONVERSATIONS}/retell/call_1");
    let to_operator = bench.get(&path).await.json();
    assert_eq!(to_operator["verdict"], "contradiction");
    assert_eq!(to_operator["owners"]["phone_number"]["tenant"], "other");
    let to_tenant = bench.get_as(&key, &path).await;
    assert_eq!(to_tenant.json()["verdict"], "contradiction");
    let hidden = to_tenant.json()["owners"]["phone_number"]["tenant"].clone();
    assert_eq!(hidden.as_str().unwrap().len(), "sha256:".len() + 16);
    assert!(!String::from_utf8_lossy(&to_tenant.body).contains("other"));
}

#[tokio::test]
async fn conversations_that_are_adopted_stand_in_the_same_list() {
    let mut bench = Bench::new();
    let key = bench.tenant("acme").await;
    let other = bench.tenant("other").await;
    bench.bind("acme", "agent", "agent_1").await;
    let wish = json!({ "tenant": "acme", "provider": "retell", "external_id": "call_1" });
    bench.made(CONVERSATIONS, wish).await;
    bench.call("call_2", "agent_1").await;
    bench.call("call_3", "unbound").await;
    let list = bench.get(CONVERSATIONS).await;
    let mut found: Vec<(Value, Value)> =
        list.column("external_id").into_iter().zip(list.column("origin")).collect();
    found.sort_by_key(|it| it.0.to_string());
    let expected = [("call_1", "registered"), ("call_2", "adopted")];
    assert_eq!(found, expected.map(|(id, origin)| (id.into(), origin.into())));
    for (query, count) in
        [("tenant=acme", 2), ("tenant=other", 0), ("provider=vapi", 0), ("provider=retell", 2)]
    {
        let list = bench.get(&format!("{CONVERSATIONS}?{query}")).await;
        assert_eq!(list.column("external_id").len(), count, "{query}");
    }
    for (key, count) in [(&key, 2), (&other, 0)] {
        // A tenant's key is confined, whatever the filter says.
        for query in ["", "?tenant=acme"] {
            let list = bench.get_as(key, &format!("{CONVERSATIONS}{query}")).await;
            assert_eq!(list.column("external_id").len(), count);
        }
    }
    let mut seen = Vec::new();
    let mut from = String::new();
    loop {
        let page = bench.get(&format!("{CONVERSATIONS}?limit=1{from}")).await;
        seen.extend(page.column("external_id"));
        let next = page.json()["next_cursor"].clone();
        let Some(cursor) = next.as_str() else { break };
        from = format!("&cursor={cursor}");
    }
    assert_eq!(seen, list.column("external_id"));
}

#[tokio::test]
async fn a_conversation_is_found_by_what_its_events_tell_and_by_its_owner_alone() {
    let mut bench = Bench::new();
    let key = bench.tenant("acme").await;
    let other = bench.tenant("other").await;
    bench.bind("acme", "agent", "agent_1").await;
    let event = bench.call("call_2", "agent_1").await;
    for (query, count) in [
        ("status=ended", 1),
        ("status=ongoing", 0),
        ("agent=agent_1&provider=retell&since=2026-01-01T00:00:00Z", 1),
        ("until=2026-01-01T00:00:00Z", 0),
        ("q=nothing", 0),
        ("channel=chat", 0),
        ("number=4155555678", 0),
    ] {
        let path = format!("{CONVERSATIONS}?{query}");
        assert_eq!(bench.get(&path).await.column("external_id").len(), count, "{query}");
        let own = bench.get_as(&key, &path).await;
        assert_eq!(own.column("external_id").len(), count, "{query}");
        assert_eq!(own.json()["behind"], 0);
        let theirs = bench.get_as(&other, &path).await;
        assert_eq!(theirs.column("external_id").len(), 0, "{query}");
    }
    for query in ["number=12", "channel=fax", "since=today", "q=", "status="] {
        bench.get(&format!("{CONVERSATIONS}?{query}")).await.problem(400);
    }
    let path = format!("{CONVERSATIONS}/retell/call_2");
    let shown = bench.get_as(&key, &path).await.json();
    assert_eq!((&shown["event_count"], &shown["behind"]), (&1.into(), &0.into()));
    assert_eq!(shown["content"]["phase"], "ended");
    assert_eq!(shown["content"]["timeline"][0]["event_id"], event.to_string());
    bench.get_as(&other, &path).await.problem(404);

    let begun = bench.post(&format!("{CONVERSATIONS}/rebuild"), "").await;
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(bench.get(&path).await.json()["content"], shown["content"]);
    let progress = bench.get(&format!("{CONVERSATIONS}/rebuild")).await.json();
    assert_eq!((&progress["conversations"], &progress["behind"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn a_conversation_that_only_events_name_is_shown_as_not_known() {
    let mut bench = Bench::new();
    let key = bench.tenant("acme").await;
    bench.call("call_9", "unbound").await;
    let path = format!("{CONVERSATIONS}/retell/call_9");
    let detail = bench.get(&path).await.json();
    assert_eq!((&detail["tenant"], &detail["origin"]), (&Value::Null, &Value::Null));
    assert_eq!(detail["verdict"], "unknown");
    assert_eq!(detail["owners"]["agent"], json!({ "external_id": "unbound", "tenant": null }));
    assert_eq!(detail["events"].as_array().unwrap().len(), 1);
    bench.get_as(&key, &path).await.problem(404);
    bench.get(&format!("{CONVERSATIONS}/retell/call_8")).await.problem(404);
    bench.get(&format!("{CONVERSATIONS}/vapi/call_9")).await.problem(404);
    bench.ask(Method::DELETE, &format!("{CONVERSATIONS}/vapi/call_9"), "").await.problem(404);
}

#[tokio::test]
async fn an_erased_conversation_is_gone_and_the_erasure_is_told_of() {
    let mut bench = Bench::new();
    bench.tenant("acme").await;
    bench.bind("acme", "agent", "agent_1").await;
    let event = bench.call("call_1", "agent_1").await;
    let begun = bench.ask(Method::DELETE, &format!("{CONVERSATIONS}/retell/call_1"), "").await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let erasure = begun.json();
    let name = json!({ "provider": "retell", "external_id": "call_1" });
    assert_eq!((&erasure["tenant"], &erasure["conversation"]), (&Value::Null, &name));
    let id = erasure["id"].as_str().unwrap();
    let done = bench.erased(id).await;
    assert_eq!((&done["events"], &done["state"]), (&1.into(), &"done".into()));
    assert_eq!(bench.get("/api/v1/erasures").await.column("id"), [id]);
    bench.get(&format!("/api/v1/events/{event}/raw")).await.problem(410);
    bench.get("/api/v1/erasures/era_0000000000000000").await.problem(404);
    assert!(!bench.files().contains("body-canary-5"));
}
