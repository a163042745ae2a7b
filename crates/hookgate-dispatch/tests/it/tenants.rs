//! Whose events a destination gets, in which order, and what comes to it later.

use std::collections::HashSet;
use std::sync::Mutex;

use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::Replaying;
use serde_json::json;

use crate::bench::{Bench, tenant};
use crate::receiver::{Receiver, status};

#[tokio::test]
async fn a_tenant_gets_its_own_events_and_the_operator_gets_all() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    for owner in ["ada", "bob"] {
        let url = receiver.url(&format!("/{owner}"));
        bench.destination(Some(owner), json!({"kind": "http", "url": url})).await;
    }
    bench.destination(None, json!({"kind": "http", "url": receiver.url("/operator")})).await;
    bench.start();
    let mut stored = Vec::new();
    for n in 0..20 {
        let owner = ["ada", "bob", ""][n % 3];
        let id = bench.event(owner, &format!("call_{n}"), "x").await.to_string();
        stored.push((owner, id));
    }
    // Ada's call with Bob's agent: nobody's.
    bench.event("bob", "call_0", "stolen").await;
    bench.idle().await;

    let got = |path: &str| -> HashSet<String> {
        let got = receiver.got().into_iter().filter(|it| it.path == path);
        got.map(|it| it.header("x-hookgate-event").to_owned()).collect()
    };
    let of = |owner: &str| -> HashSet<String> {
        stored.iter().filter(|(it, _)| *it == owner).map(|(_, id)| id.clone()).collect()
    };
    assert_eq!(got("/ada"), of("ada"));
    assert_eq!(got("/bob"), of("bob"));
    let mut all = of("ada");
    all.extend(of("bob"));
    // What is nobody's is the operator's as far as it is accepted.
    let accepted: HashSet<String> = got("/operator");
    assert!(accepted.is_superset(&all));
    let count = receiver.got().len();
    assert_eq!(count, of("ada").len() + of("bob").len() + accepted.len(), "each once");
}

#[tokio::test]
async fn kinds_providers_and_filters_choose() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    let wants = [
        ("/all", json!({})),
        ("/calls", json!({"events": ["call.*"]})),
        ("/chats", json!({"events": ["chat.*", "message.*"]})),
        ("/vapi", json!({"providers": ["vapi"]})),
        ("/retell", json!({"providers": ["retell"]})),
        (
            "/first",
            json!({"filter": [{"pointer": "/body/message/note", "op": "eq", "value": "first"}]}),
        ),
        ("/kind", json!({"filter": [{"pointer": "/kind", "op": "eq", "value": "call.started"}]})),
        ("/never", json!({"filter": [{"pointer": "/nowhere", "op": "exists"}]})),
    ];
    for (path, more) in wants {
        let mut settings = json!({"kind": "http", "url": receiver.url(path)});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.destination(Some("ada"), settings).await;
    }
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.event("ada", "call_1", "second").await;
    bench.idle().await;
    let mut paths: Vec<_> = receiver.got().into_iter().map(|it| it.path).collect();
    paths.sort();
    let expected =
        ["/all", "/all", "/calls", "/calls", "/first", "/kind", "/kind", "/vapi", "/vapi"];
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn what_came_before_a_destination_was_made_is_not_sent_to_it() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    bench.event("ada", "call_1", "before").await;
    bench.pass(std::time::Duration::from_secs(1));
    bench.destination(Some("ada"), json!({"kind": "http", "url": receiver.url("/")})).await;
    bench.start();
    let event = bench.event("ada", "call_1", "after").await;
    bench.idle().await;
    let got = receiver.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].header("x-hookgate-event"), event.to_string());
}

#[tokio::test]
async fn a_released_event_is_passed_on_when_it_is_released() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    for owner in ["ada", "bob"] {
        let url = receiver.url(&format!("/{owner}"));
        bench.destination(Some(owner), json!({"kind": "http", "url": url})).await;
    }
    bench.start();
    bench.event("ada", "call_1", "first").await;
    let contradicting = bench.event("bob", "call_1", "second").await;
    bench.idle().await;
    assert_eq!(receiver.got().len(), 1, "what contradicts is nobody's");

    let release = |to: &str| {
        let to: TenantId = tenant(to);
        bench.store.release(contradicting, Some(to), "operator", "correlation", bench.now())
    };
    release("bob").await.unwrap();
    bench.idle().await;
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    assert_eq!(got[1].path, "/bob");
    assert_eq!(got[1].header("x-hookgate-event"), contradicting.to_string());
    bench.idle().await;
    assert_eq!(receiver.got().len(), 2, "once");
}

#[tokio::test]
async fn the_events_of_a_conversation_come_in_order_where_that_is_wanted() {
    let bench = Bench::new().await;
    // The first attempt at each fails.
    let seen = Mutex::new(HashSet::new());
    let receiver = Receiver::new(move |_, got| {
        status(if seen.lock().unwrap().insert(got.id().to_owned()) { 500 } else { 200 })
    })
    .await;
    let settings = json!({
        "kind": "http", "url": receiver.url("/"), "format": "raw", "ordered": true,
    });
    bench.destination(Some("ada"), settings).await;
    bench.start();
    for note in 0..6 {
        for call in 0..5 {
            bench.event("ada", &format!("call_{call}"), &note.to_string()).await;
        }
    }
    bench.idle().await;
    for _ in 0..6 {
        bench.pass(std::time::Duration::from_secs(5));
        bench.idle().await;
    }
    assert_eq!(bench.states().await, vec!["delivered 2"; 30]);
    let mut refused = HashSet::new();
    let mut latest = std::collections::HashMap::new();
    for got in receiver.got() {
        if refused.insert(got.id().to_owned()) {
            continue;
        }
        let body = got.json();
        let call = body["message"]["call"]["id"].as_str().unwrap().to_owned();
        let note: i64 = body["message"]["note"].as_str().unwrap().parse().unwrap();
        let before = latest.insert(call, note).unwrap_or(-1);
        assert_eq!(note, before + 1);
    }
    assert_eq!(latest.into_values().collect::<Vec<_>>(), [5; 5]);
}

#[tokio::test]
async fn a_test_reaches_a_destination_that_wants_nothing_of_the_kind() {
    let (bench, receiver) = (Bench::new().await, Receiver::new(|_, _| status(500)).await);
    let settings = json!({"kind": "http", "url": receiver.url("/"), "events": ["chat.*"]});
    let to = bench.destination(Some("ada"), settings).await;
    bench.start();
    let registry = bench.store.registry();
    registry.test_destination(&Scope::Operator, to, bench.now()).await.unwrap();
    bench.idle().await;
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(receiver.got()[0].json()["type"], "test");
    assert_eq!(bench.states().await, ["failed 1"], "a test is tried once");
}

#[tokio::test]
async fn a_replay_comes_under_an_id_of_its_own() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    bench.destination(Some("ada"), json!({"kind": "http", "url": receiver.url("/")})).await;
    bench.start();
    bench.event("ada", "call_1", "first").await;
    bench.idle().await;
    let delivered = bench.deliveries().await.remove(0);
    let again = hookgate_store::NewDelivery {
        destination: delivered.destination,
        event: delivered.event,
        seq: delivered.seq,
        tenant: delivered.tenant.clone(),
        source: delivered.source.clone(),
        provider: delivered.provider.clone(),
        conversation: delivered.conversation.clone(),
        kind: delivered.kind.clone(),
        received_at: delivered.received_at,
    };
    let registry = bench.store.registry();
    let how = Replaying::default();
    registry.replay_deliveries(&Scope::Operator, vec![again], how, bench.now()).await.unwrap();
    bench.idle().await;
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    assert_eq!(got[1].id(), format!("{}_r1", got[0].id()));
    assert_eq!(got[1].header("x-hookgate-replay"), "1");
    assert_eq!(got[1].header("x-hookgate-event"), got[0].header("x-hookgate-event"));
}
