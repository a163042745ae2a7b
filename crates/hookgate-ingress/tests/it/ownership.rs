//! Whose an event is, as senders and operators see it: through the front door, with a
//! registry on disk.

use std::time::Duration;

use hookgate_core::attribution::Origin;
use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{Binding, Conversation, Event, Quota, Written};

use crate::bench::{Bench, SECRET, body_signature, request};

const NOW: Timestamp = Timestamp::from_millis(crate::bench::NOW_MILLIS);

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

/// A gateway with the tenants `a` and `b`, each with an assistant and a number at Vapi.
async fn gateway() -> Bench {
    let bench = Bench::new().await;
    two_tenants(&bench).await;
    bench
}

async fn two_tenants(bench: &Bench) {
    for id in ["a", "b"] {
        let registry = bench.store.registry();
        registry.add_tenant(tenant(id), id.to_owned(), NOW).await.unwrap();
        for (kind, name) in [(ClaimKind::Agent, "agent"), (ClaimKind::PhoneNumber, "phone")] {
            bind(bench, kind, &format!("{name}-{id}"), id).await;
        }
    }
}

async fn bind(bench: &Bench, kind: ClaimKind, id: &str, to: &str) {
    let (provider, external_id) = ("vapi".to_owned(), id.to_owned());
    let binding = Binding { tenant: tenant(to), provider, kind, external_id, created_at: NOW };
    let bound = bench.store.registry().bind(binding).await.unwrap();
    assert!(matches!(bound, Written::Created(_)));
}

async fn register(bench: &Bench, call: &str, to: &str, agent: Option<&str>) {
    let conversation = Conversation {
        tenant: tenant(to),
        provider: "vapi".to_owned(),
        external_id: call.to_owned(),
        agent_id: agent.map(str::to_owned),
        phone_number_id: None,
        origin: Origin::Registered,
        created_at: NOW,
    };
    bench.store.registry().register_conversation(conversation).await.unwrap();
}

/// A message of Vapi about a call.
fn message(call: &str, rest: &str) -> String {
    format!(r#"{{"message":{{"type":"hang","call":{{"id":"{call}"{rest}}}}}}}"#)
}

async fn post(bench: &Bench, path: &str, body: &str) -> String {
    let signature = body_signature(SECRET, body.as_bytes());
    let headers = [("x-vapi-signature", signature.as_str())];
    bench.send(request("POST", path, &headers, body.as_bytes())).await.short()
}

const OK: &str = r#"200 {"status":"ok"}"#;
const UNAUTHORIZED: &str = r#"401 {"error":"Unauthorized"}"#;
const NOT_FOUND: &str = r#"404 {"error":"Not found"}"#;

/// The last event, as one line.
async fn last(bench: &Bench) -> String {
    bench.events().await.last().map(line).unwrap_or_default()
}

fn line(event: &Event) -> String {
    let tenant = event.tenant.as_deref().unwrap_or("-");
    let cause = event.cause.as_deref().unwrap_or("-");
    format!("{} {tenant} {} {cause}", event.status.name(), event.ownership)
}

#[tokio::test]
async fn a_bound_agent_makes_its_call_known_to_the_very_next_request() {
    let bench = gateway().await;
    assert_eq!(
        post(&bench, "/webhook/vapi", &message("c1", r#","assistantId":"agent-a""#)).await,
        OK
    );
    assert_eq!(last(&bench).await, "accepted a owned -");
    let stolen = message("c1", r#","assistantId":"agent-b""#);
    assert_eq!(post(&bench, "/webhook/vapi", &stolen).await, UNAUTHORIZED);
    assert_eq!(last(&bench).await, "quarantined - contradiction contradiction");
    assert!(
        bench.metrics().contains(r#"violations_total{source="vapi"} 1"#),
        "{}",
        bench.metrics()
    );
}

#[tokio::test]
async fn a_changed_binding_takes_effect_at_once() {
    let bench = gateway().await;
    let unknown = message("c2", r#","assistantId":"agent-new""#);
    assert_eq!(post(&bench, "/webhook/vapi", &unknown).await, r#"404 {"error":"Call not found"}"#);
    bind(&bench, ClaimKind::Agent, "agent-new", "b").await;
    assert_eq!(post(&bench, "/webhook/vapi", &unknown).await, OK);
    bench.store.registry().unbind("vapi", ClaimKind::Agent, "agent-new").await.unwrap();
    let other = message("c3", r#","assistantId":"agent-new""#);
    assert_eq!(post(&bench, "/webhook/vapi", &other).await, r#"404 {"error":"Call not found"}"#);
}

#[tokio::test]
async fn a_registration_is_not_undone_by_a_refused_request() {
    let bench = gateway().await;
    register(&bench, "c4", "a", Some("agent-a")).await;
    for spoofed in ["agent-b", "fake-assistant-999"] {
        let body = message("c4", &format!(r#","assistantId":"{spoofed}""#));
        assert_eq!(post(&bench, "/webhook/vapi", &body).await, UNAUTHORIZED, "{spoofed}");
    }
    let genuine = message("c4", r#","assistantId":"agent-a","phoneNumberId":"phone-a""#);
    assert_eq!(post(&bench, "/webhook/vapi", &genuine).await, OK);
    assert_eq!(last(&bench).await, "accepted a owned -");
}

#[tokio::test]
async fn a_url_token_names_a_tenant_and_the_ids_must_agree_with_it() {
    let bench = gateway().await;
    let registry = bench.store.registry();
    let (made, token) = registry.add_token("vapi", Some(tenant("a")), NOW).await.unwrap();
    let path = format!("/in/vapi/{token}");
    assert_eq!(post(&bench, &path, &message("c5", r#","assistantId":"agent-a""#)).await, OK);
    assert_eq!(
        post(&bench, &path, &message("c6", r#","assistantId":"agent-b""#)).await,
        UNAUTHORIZED
    );
    for event in bench.events().await {
        assert_eq!(event.target, format!("/in/vapi/{}", made.id), "the token itself is not stored");
    }
    // Not by any other source, not with a character changed, and not unsigned.
    assert_eq!(post(&bench, &format!("/in/retell/{token}"), "{}").await, NOT_FOUND);
    assert_eq!(post(&bench, &format!("/in/vapi/{token}x"), "{}").await, NOT_FOUND);
    let unsigned = bench.send(request("POST", &path, &[], b"{}")).await;
    assert_eq!(unsigned.short(), UNAUTHORIZED);

    let (_, newer) = registry.rotate_token(&made.id, Duration::ZERO, NOW).await.unwrap();
    let late = message("c7", r#","assistantId":"agent-a""#);
    assert_eq!(post(&bench, &path, &late).await, NOT_FOUND, "its grace is over");
    assert_eq!(post(&bench, &format!("/in/vapi/{newer}"), &late).await, OK);
}

#[tokio::test]
async fn nobodys_call_leaves_no_trace_by_which_it_would_be_a_repetition_later() {
    let bench = gateway().await;
    let body = message("c8", r#","assistantId":"agent-new""#);
    let unknown = r#"404 {"error":"Call not found"}"#;
    assert_eq!(post(&bench, "/webhook/vapi", &body).await, unknown);
    assert_eq!(post(&bench, "/webhook/vapi", &body).await, unknown);
    register(&bench, "c8", "b", Some("agent-new")).await;
    assert_eq!(post(&bench, "/webhook/vapi", &body).await, OK);
    assert_eq!(last(&bench).await, "accepted b owned -");
    assert_eq!(post(&bench, "/webhook/vapi", &body).await, OK);
    let events = bench.events().await;
    assert_eq!(events.len(), 3, "the fourth was the same as the third");
    assert_eq!(events[2].duplicates, 1);
}

#[tokio::test]
async fn a_tenant_sees_its_own_events_alone() {
    let bench = gateway().await;
    post(&bench, "/webhook/vapi", &message("c9", r#","assistantId":"agent-a""#)).await;
    post(&bench, "/webhook/vapi", &message("c10", r#","assistantId":"agent-b""#)).await;
    post(&bench, "/webhook/vapi", &message("c9", r#","assistantId":"agent-b""#)).await;
    let all = bench.events().await;
    assert_eq!(all.len(), 3);
    for (id, sees) in [("a", [true, false, false]), ("b", [false, true, false])] {
        let scope = Scope::Tenant(tenant(id));
        for (event, sees) in all.iter().zip(sees) {
            let seen = bench.store.event(&scope, event.id).await.unwrap();
            assert_eq!(seen.is_some(), sees, "{id} {}", line(event));
            let body = bench.store.body(&scope, event.id).await.unwrap();
            assert_eq!(body.is_some(), sees, "{id} {}", line(event));
        }
    }
}

#[tokio::test]
async fn one_tenants_flood_fails_no_other() {
    let bench = Bench::set(|settings| {
        settings.quota = Quota { events_per_second: Some(1), ..Quota::default() };
    })
    .await;
    two_tenants(&bench).await;
    let mut answers = Vec::new();
    for number in 0..12 {
        let body = message(&format!("flood-{number}"), r#","assistantId":"agent-a""#);
        answers.push(post(&bench, "/webhook/vapi", &body).await);
    }
    let limited = answers.iter().filter(|it| it.starts_with("429")).count();
    assert!((1..12).contains(&limited), "{answers:?}");
    assert_eq!(
        post(&bench, "/webhook/vapi", &message("calm", r#","assistantId":"agent-b""#)).await,
        OK
    );
    // A quota of its own goes before the default.
    let quota = Quota { events_per_second: Some(1_000), ..Quota::default() };
    bench.store.registry().set_tenant(&tenant("a"), None, Some(quota)).await.unwrap();
    let more = message("more", r#","assistantId":"agent-a""#);
    assert_eq!(post(&bench, "/webhook/vapi", &more).await, OK);
}

#[tokio::test]
async fn a_sender_that_hangs_up_while_the_registry_is_asked_cancels_nothing() {
    let bench = gateway().await;
    for number in 0..20 {
        let body = message(&format!("hang-{number}"), r#","assistantId":"agent-a""#);
        let signature = body_signature(SECRET, body.as_bytes());
        let headers = [("x-vapi-signature", signature.as_str())];
        let mut line = bench.connect().await;
        line.write(&request("POST", "/webhook/vapi", &headers, body.as_bytes())).await;
        drop(line);
    }
    let expected = vec!["accepted hang"; 20].join("; ");
    bench.journal_becomes(&expected).await;
}
