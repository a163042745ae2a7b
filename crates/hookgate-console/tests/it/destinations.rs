//! Destinations, deliveries, and delivering again.

use axum::body::Body;
use axum::http::{Method, Request};
use hookgate_core::delivery::AttemptOutcome;
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_store::{DestinationId, Settling};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::bench::{Bench, NOW, log};

const PATH: &str = "/api/v1/destinations";

async fn two(bench: &Bench) -> [String; 2] {
    let keys = [bench.tenant("acme").await, bench.tenant("other").await];
    bench.bind("acme", "agent", "agent_acme").await;
    bench.bind("other", "agent", "agent_other").await;
    keys
}

/// A destination, and its path.
async fn made(bench: &Bench, settings: Value) -> (Value, String) {
    let made = bench.made(PATH, settings).await;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    (made, path)
}

/// Tries everything that is due once, with this outcome.
async fn try_all(bench: &Bench, outcome: AttemptOutcome) {
    let registry = bench.store.registry();
    let now = Timestamp::from_millis(NOW);
    let until = now.plus(Duration::from_secs(30));
    for leased in registry.lease_deliveries(now, 100, until).await.unwrap() {
        let settling = Settling {
            delivery: leased.delivery,
            token: leased.token,
            outcome: outcome.clone(),
            began_at: now,
            now,
            took: Duration::from_micros(12_500),
            response: Some("no".to_owned()),
            schedule: Arc::from([]),
            random: 0.5,
        };
        let settled = registry.settle_deliveries(vec![settling]).await.unwrap();
        assert!(matches!(settled[..], [Some(_)]), "the lease is not lost");
    }
}

#[tokio::test]
async fn a_destination_is_made_shown_changed_and_removed() {
    let bench = Bench::new();
    let wish = json!({"kind": "http", "url": "https://hooks.example/in", "events": ["call.*"]});
    let (mut made, path) = made(&bench, wish).await;
    let secret = made.as_object_mut().unwrap().remove("secret").unwrap();
    assert!(secret.as_str().unwrap().starts_with("whsec_"));
    let expected = json!({
        "id": made["id"], "tenant": null, "kind": "http", "url": "https://hooks.example/in",
        "events": ["call.*"], "providers": [], "format": "canonical", "filter": [],
        "template": null, "rate_per_second": null, "concurrency": 8, "ordered": false,
        "timeout_ms": 15_000, "name": null, "state": "enabled", "disabled_reason": null,
        "disabled_at": null, "breaker": {"open": false, "failures": 0, "probe_at": null},
        "old_secret_until": null, "created_at": "2026-11-22T08:00:00.000Z",
        "updated_at": "2026-11-22T08:00:00.000Z",
    });
    assert_eq!(made, expected);
    assert_eq!(bench.get(&path).await.json(), expected, "without its secret");
    assert_eq!(bench.get(PATH).await.json()["data"], json!([expected]));

    let change = json!({"name": "CRM", "rate_per_second": 5}).to_string();
    let changed = bench.ask(Method::PATCH, &path, &change).await.json();
    let told = (&changed["name"], &changed["rate_per_second"], &changed["events"]);
    assert_eq!(told, (&json!("CRM"), &json!(5), &json!(["call.*"])));
    let change = json!({"name": null, "events": null}).to_string();
    let changed = bench.ask(Method::PATCH, &path, &change).await.json();
    assert_eq!((&changed["name"], &changed["events"]), (&Value::Null, &json!(["*"])));
    for (wrong, says) in [
        (json!({"kind": null}), "kind"),
        (json!({"rate_per_second": 0}), "rate_per_second"),
        (json!({"url": "https://10.0.0.1/in"}), "address"),
        (json!({"tenant": "acme"}), "tenant"),
    ] {
        let answer = bench.ask(Method::PATCH, &path, &wrong.to_string()).await;
        assert!(answer.problem(400).contains(says), "{wrong}: {answer:?}");
    }
    assert_eq!(bench.get(&path).await.json()["rate_per_second"], 5, "nothing was changed");
    assert_eq!(bench.ask(Method::DELETE, &path, "").await.status, 204);
    bench.get(&path).await.problem(404);
}

#[tokio::test]
async fn a_secret_is_sealed_shown_once_and_signs_too_for_a_while_when_it_was_rotated() {
    let bench = Bench::new();
    let (made, path) = made(&bench, json!({"kind": "http", "url": "https://a.example/"})).await;
    let answer = bench.post(&format!("{path}/rotate"), "").await;
    assert_eq!(answer.status, 201);
    let rotated = answer.json();
    assert_eq!(rotated["old_secret_until"], "2026-11-23T08:00:00.000Z", "a day");
    assert_ne!(made["secret"], rotated["secret"]);
    let at_once = bench.made(&format!("{path}/rotate"), json!({"overlap_seconds": 0})).await;
    assert_eq!(at_once["old_secret_until"], Value::Null);
    let too_long = json!({"overlap_seconds": 604_801}).to_string();
    assert!(bench.post(&format!("{path}/rotate"), &too_long).await.problem(400).contains("604800"));

    let id = DestinationId::parse(made["id"].as_str().unwrap()).unwrap();
    let kept = bench.store.registry().destination(&Scope::Operator, id).await.unwrap().unwrap();
    assert!(kept.secrets.now.len() > 50);
    let (files, log) = (bench.files(), log());
    for secret in [&made["secret"], &rotated["secret"], &at_once["secret"]] {
        let secret = secret.as_str().unwrap().strip_prefix("whsec_").unwrap();
        assert!(!files.contains(secret) && !log.contains(secret), "it is sealed");
    }
}

#[tokio::test]
async fn the_url_of_a_chat_is_shown_to_nobody() {
    let bench = Bench::new();
    let url = "https://hooks.slack.com/services/T0/B0/url-canary-9";
    let wish = json!({"kind": "slack", "url": url, "template": "{{kind}}"});
    let (made, path) = made(&bench, wish).await;
    assert_eq!(made["url"], "https://hooks.slack.com/…");
    assert_eq!(bench.get(&path).await.json()["url"], "https://hooks.slack.com/…");
    let changed = bench.ask(Method::PATCH, &path, r#"{"name":"Ops"}"#).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let id = DestinationId::parse(made["id"].as_str().unwrap()).unwrap();
    let kept = bench.store.registry().destination(&Scope::Operator, id).await.unwrap().unwrap();
    assert_eq!(kept.settings.url, url, "a change keeps what is not shown");
    assert!(!log().contains("url-canary-9"));
}

#[tokio::test]
async fn what_no_destination_can_be_is_refused_without_repeating_it() {
    let bench = Bench::new();
    for (wish, word, says) in [
        (json!([]), "bad-body", "JSON object"),
        (json!({"url": "https://a.example/"}), "bad-destination", "kind"),
        (json!({"kind": "http"}), "bad-destination", "url"),
        (json!({"kind": "fax-canary", "url": "https://a.example/"}), "bad-body", "`kind`"),
        (json!({"kind": "http", "url": "ftp://canary"}), "bad-destination", "URL"),
        (json!({"kind": "http", "url": "https://u:canary@a.example/"}), "bad-destination", "URL"),
        (json!({"kind": "http", "url": "https://localhost/"}), "bad-destination", "address"),
        (
            json!({"kind": "http", "url": "https://a.example/", "events": ["x"]}),
            "bad-destination",
            "kind",
        ),
        (json!({"kind": "http", "url": "https://a.example/", "odd": 1}), "bad-destination", "odd"),
        (json!({"kind": "http", "url": "https://a.example/", "tenant": 1}), "bad-body", "tenant"),
        (
            json!({"kind": "http", "url": "https://a.example/", "tenant": "no/id"}),
            "bad-parameter",
            "tenant",
        ),
    ] {
        let answer = bench.post(PATH, &wish.to_string()).await;
        let detail = answer.problem(400);
        assert!(detail.contains(says) && !detail.contains("canary"), "{wish}: {detail}");
        let kind = format!("urn:hookgate:problem:{word}");
        assert_eq!(answer.json()["type"], kind, "{wish}");
    }
    let nobodys = json!({"kind": "http", "url": "https://a.example/", "tenant": "nobody"});
    bench.post(PATH, &nobodys.to_string()).await.problem(404);
}

#[tokio::test]
async fn a_tenant_has_its_own_destinations_and_delivers_its_own_events() {
    let mut bench = Bench::new();
    let [acme, other] = two(&bench).await;
    let wish = json!({"kind": "http", "url": "https://acme.example/"});
    let own = bench.ask_as(&acme, Method::POST, PATH, &wish.to_string()).await;
    assert_eq!(own.status, 201, "{own:?}");
    let own = own.json();
    assert_eq!(own["tenant"], "acme");
    let foreign = json!({"tenant": "other", "kind": "http", "url": "https://acme.example/"});
    bench.ask_as(&acme, Method::POST, PATH, &foreign.to_string()).await.problem(404);
    let (operators, _) = made(&bench, wish).await;
    let event = bench.call("call_1", "agent_acme").await;
    let path = format!("/api/v1/events/{event}/replay");
    let replay = async |key: &str, body: &str| bench.ask_as(key, Method::POST, &path, body).await;
    assert_eq!(replay(&acme, "").await.json(), json!({"deliveries": 1}));
    replay(&other, "").await.problem(404);
    let named = json!({"destination": operators["id"]}).to_string();
    replay(&acme, &named).await.problem(404);
    assert_eq!(bench.post(&path, "").await.json(), json!({"deliveries": 2}));

    let list = bench.get_as(&acme, "/api/v1/deliveries").await;
    assert_eq!(list.column("replay"), [2, 1]);
    assert_eq!(list.column("destination_id"), [own["id"].clone(), own["id"].clone()]);
    assert!(bench.get_as(&other, "/api/v1/deliveries").await.column("id").is_empty());
    assert_eq!(bench.get("/api/v1/deliveries").await.column("id").len(), 3);
    // Of an event that two own nobody gets anything, and what is in quarantine stays there.
    let nobodys = bench.call("call_2", "unbound").await;
    bench.post(&format!("/api/v1/events/{nobodys}/replay"), "").await.problem(409);
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_attempts_and_tried_again() {
    let mut bench = Bench::new();
    let [acme, _] = two(&bench).await;
    let wish = json!({"tenant": "acme", "kind": "http", "url": "https://acme.example/"});
    let (destination, at) = made(&bench, wish).await;
    let event = bench.call("call_1", "agent_acme").await.to_string();
    bench.made(&format!("/api/v1/events/{event}/replay"), json!({})).await;
    try_all(&bench, AttemptOutcome::Refused { status: 500, retry_after: None }).await;
    let id = bench.get("/api/v1/deliveries?state=failed").await.column("id");
    let path = format!("/api/v1/deliveries/{}", id[0].as_str().unwrap());
    let shown = bench.get_as(&acme, &path).await.json();
    let webhook_id = format!("{event}_{}_r1", destination["id"].as_str().unwrap());
    let expected = json!({
        "id": id[0], "destination_id": destination["id"], "event_id": event, "replay": 1,
        "webhook_id": webhook_id, "tenant": "acme", "source": "retell", "provider": "retell",
        "conversation_id": "call_1", "kind": "call.ended", "state": "failed", "attempts": 1,
        "next_attempt_at": null, "under_way": false, "received_at": "2026-11-22T08:00:00.000Z",
        "created_at": "2026-11-22T08:00:00.000Z", "finished_at": "2026-11-22T08:00:00.000Z",
        "history": [{
            "at": "2026-11-22T08:00:00.000Z", "status": 500, "error": null,
            "duration_ms": 12.5, "response": "no",
        }],
    });
    assert_eq!(shown, expected);

    let retry = format!("{path}/retry");
    bench.post(&format!("{at}/disable"), "").await;
    bench.post(&retry, "").await.problem(409);
    bench.post(&format!("{at}/test"), "").await.problem(409);
    assert_eq!(bench.get(&at).await.json()["disabled_reason"], "by_hand");
    let enabled = bench.ask_as(&acme, Method::POST, &format!("{at}/enable"), "").await;
    assert_eq!(enabled.json()["state"], "enabled");
    let again = bench.ask_as(&acme, Method::POST, &retry, "").await;
    assert_eq!(again.status, 202);
    let told = again.json();
    assert_eq!((&told["state"], &told["attempts"]), (&json!("pending"), &json!(0)));
    try_all(&bench, AttemptOutcome::Delivered { status: 204 }).await;
    assert_eq!(bench.get(&path).await.json()["history"].as_array().unwrap().len(), 2);
    let problem = bench.post(&retry, "").await;
    problem.problem(409);
    assert_eq!(problem.json()["type"], "urn:hookgate:problem:delivered");

    let test = bench.post(&format!("{at}/test"), "").await;
    assert_eq!((test.status.as_u16(), &test.json()["kind"]), (202, &json!("test")));
    for nothing in ["dlv_00000000000000000000000000000001", "x"] {
        bench.get(&format!("/api/v1/deliveries/{nothing}")).await.problem(404);
    }
    for wrong in ["state=lost", "destination=x", "event=x", "order=asc", "since=today"] {
        bench.get(&format!("/api/v1/deliveries?{wrong}")).await.problem(400);
    }
}

#[tokio::test]
async fn many_are_counted_first_and_then_tried_again() {
    let mut bench = Bench::new();
    let [acme, other] = two(&bench).await;
    let wish = json!({"tenant": "acme", "kind": "http", "url": "https://acme.example/", "concurrency": 64});
    made(&bench, wish).await;
    for number in 0..5 {
        bench.call(&format!("call_{number}"), "agent_acme").await;
    }
    bench.made("/api/v1/events/replay", json!({})).await;
    try_all(&bench, AttemptOutcome::Broken { reason: "refused" }).await;
    let path = "/api/v1/deliveries/retry";
    let count = async |key: &str, body: Value| {
        let answer = bench.ask_as(key, Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["deliveries"].as_u64().unwrap()
    };
    let dry = || json!({"dry_run": true});
    assert_eq!(count(&other, dry()).await, 0);
    assert_eq!(count(&acme, dry()).await, 5);
    assert_eq!(count(&acme, json!({"dry_run": true, "state": "dead_ours"})).await, 0);
    assert_eq!(count(&other, json!({})).await, 0);
    assert_eq!(count(&acme, json!({"until": "2026-11-22T07:00:00Z"})).await, 0);
    assert_eq!(count(&acme, json!({})).await, 5);
    assert_eq!(count(&acme, json!({})).await, 0, "they are due already");
    for wrong in [json!({"state": "pending"}), json!({"odd": 1}), json!({"cursor": "x"})] {
        bench.post(path, &wrong.to_string()).await.problem(400);
    }
}

#[tokio::test]
async fn a_run_of_replays_is_counted_first_goes_on_and_makes_nothing_twice() {
    let mut bench = Bench::new();
    let [acme, other] = two(&bench).await;
    let wish = json!({"kind": "http", "url": "https://acme.example/", "events": ["call.ended"]});
    let mut own = wish.clone();
    own["tenant"] = json!("acme");
    made(&bench, own).await;
    let (chats, _) =
        made(&bench, json!({"kind": "http", "url": "https://a.example/", "events": ["chat.*"]}))
            .await;
    for number in 0..201 {
        bench.call(&format!("call_{number}"), "agent_acme").await;
    }
    bench.call("call_x", "unbound").await;
    let path = "/api/v1/events/replay";
    let ask = async |key: &str, body: Value| {
        let answer = bench.ask_as(key, Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()
    };
    let first = ask(&acme, json!({"dry_run": true})).await;
    assert_eq!((&first["events"], &first["deliveries"]), (&json!(200), &json!(200)));
    assert!(bench.get("/api/v1/deliveries").await.column("id").is_empty(), "it only counted");
    assert_eq!(ask(&other, json!({"dry_run": true})).await["events"], 0);
    // The same batch twice, as after a crash, and then the rest.
    for _ in 0..2 {
        let made = ask(&acme, json!({"run": "monday"})).await;
        assert_eq!(made["deliveries"], 200);
        let rest = json!({"run": "monday", "cursor": made["next_cursor"]});
        let rest = ask(&acme, rest).await;
        assert_eq!((&rest["deliveries"], &rest["next_cursor"]), (&json!(1), &Value::Null));
    }
    assert_eq!(bench.get("/api/v1/deliveries?limit=1000").await.column("id").len(), 201);
    let named = json!({"destination": chats["id"], "conversation": "call_7"});
    let named = bench.made(path, named).await;
    assert_eq!(named["deliveries"], 1, "who is named gets what it does not ask for");
}

#[tokio::test]
async fn a_replay_that_is_sent_again_under_its_key_makes_no_second_one() {
    let mut bench = Bench::new();
    two(&bench).await;
    made(&bench, json!({"kind": "http", "url": "https://a.example/"})).await;
    let event = bench.call("call_1", "agent_acme").await;
    for _ in 0..2 {
        let request = Request::post(format!("/api/v1/events/{event}/replay"))
            .header("authorization", format!("Bearer {}", crate::bench::TOKEN))
            .header("idempotency-key", "one")
            .body(Body::empty());
        let answer = bench.send(request.unwrap()).await;
        assert_eq!(answer.json(), json!({"deliveries": 1}));
    }
    assert_eq!(bench.get("/api/v1/deliveries").await.column("id").len(), 1);
}
