//! Conversations that an event makes known: they are as durable as the event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookgate_core::attribution::{Attributed, Conversation, Origin};
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::tenant::TenantId;
use hookgate_journal::{Fault, LogId, Operation};
use hookgate_store::{Faults, Options, Receipt, RegistryError, Unavailable, Written, rebuild};

use crate::bench::{Bench, Call};
use crate::registry::{add_tenant, binding, conversation};

const EIO: i32 = 5;

/// An event of a call, by an agent.
fn call(id: &str, agent: &str, number: u32) -> Call {
    Call::new(format!(
        r#"{{"message":{{"type":"status-update","call":{{"id":"{id}","assistantId":"{agent}"}},"n":{number}}}}}"#
    ))
}

fn claims(id: &str, agent: &str) -> [Claim; 2] {
    let claim = |kind, id: &str| Claim::new(kind, Some(id.to_owned()));
    [claim(ClaimKind::Conversation, id), claim(ClaimKind::Agent, agent)]
}

/// What is known of a call.
async fn known(bench: &Bench, id: &str) -> Option<Conversation> {
    let claims = &claims(id, "agent-1")[..1];
    bench.store.ledger().consult("vapi", claims).await.unwrap().conversation
}

/// Attributes an event and stores it, as the front door does.
async fn receive(bench: &Bench, call: &Call) -> (Attributed, Result<Receipt, Unavailable>) {
    let ledger = bench.store.ledger();
    let unknown = call.accepted();
    let claims = &unknown.facts().claims;
    let consulted = ledger.consult("vapi", claims).await.unwrap();
    let event = call.accepted_as(&consulted);
    let adopting = event.decision().adoption().map(|it| ledger.adopt(it).expect("it is free"));
    let receipt = bench.store.append(&event, adopting).await;
    (event, receipt)
}

async fn acme_and_other(bench: &Bench) -> (TenantId, TenantId) {
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    (acme, other)
}

fn adopted(tenant: &TenantId) -> Conversation {
    Conversation {
        tenant: tenant.clone(),
        agent_id: Some("agent-1".to_owned()),
        phone_number_id: None,
        origin: Origin::Adopted,
    }
}

#[tokio::test]
async fn what_was_adopted_is_known_after_a_restart_and_after_the_index_is_made_anew() {
    let bench = Bench::new();
    let (acme, other) = acme_and_other(&bench).await;
    assert_eq!(known(&bench, "call-1").await, None);
    let (event, receipt) = receive(&bench, &call("call-1", "agent-1", 1)).await;
    receipt.unwrap();
    assert_eq!(event.decision().tenant(), Some(&acme));
    assert_eq!(known(&bench, "call-1").await, Some(adopted(&acme)));

    let bench = bench.reopen();
    assert_eq!(known(&bench, "call-1").await, Some(adopted(&acme)));
    assert!(bench.store.ledger().statements() > 0, "it was asked");
    let foreign =
        bench.store.registry().register_conversation(conversation(&other, "call-1")).await;
    assert!(matches!(foreign, Err(RegistryError::Taken)), "{foreign:?}");

    let bench = bench.between(|folder| rebuild(folder, |_| {}).unwrap());
    assert_eq!(known(&bench, "call-1").await, Some(adopted(&acme)));
    // It needs no binding any more, and belongs to nobody else for one.
    let registry = bench.store.registry();
    registry.unbind("vapi", ClaimKind::Agent, "agent-1").await.unwrap();
    assert_eq!(known(&bench, "call-1").await, Some(adopted(&acme)));
    let own = registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    let Written::Created(own) = own else { panic!("it becomes a registered one: {own:?}") };
    assert_eq!(own.agent_id.as_deref(), Some("agent-1"), "what it was adopted with is kept");
    let expected = Conversation { origin: Origin::Registered, ..adopted(&acme) };
    assert_eq!(known(&bench, "call-1").await, Some(expected.clone()));
    assert_eq!(known(&bench.reopen(), "call-1").await, Some(expected));
}

#[tokio::test]
async fn a_conversation_whose_event_is_not_stored_is_not_known() {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let faults: hookgate_journal::Faults = Arc::new(move |operation| {
        let is_event = matches!(operation, Operation::Write(log) if log == LogId::new(0));
        (is_event && told.load(Ordering::SeqCst)).then_some(Fault::Errno(EIO))
    });
    let options = Options {
        faults: Faults(Some(faults)),
        probe_interval: std::time::Duration::ZERO,
        ..Options::default()
    };
    let bench = Bench::with(options);
    let (acme, _) = acme_and_other(&bench).await;
    fails.store(true, Ordering::SeqCst);
    for number in 0..3 {
        let (event, receipt) = receive(&bench, &call("call-1", "agent-1", number)).await;
        assert_eq!(receipt.unwrap_err(), Unavailable::Failed);
        assert!(event.decision().adoption().is_some(), "it would have been adopted");
        assert_eq!(known(&bench, "call-1").await, None);
    }
    fails.store(false, Ordering::SeqCst);
    receive(&bench, &call("call-1", "agent-1", 4)).await.1.unwrap();
    assert_eq!(known(&bench, "call-1").await, Some(adopted(&acme)));
    assert_eq!(known(&bench.reopen(), "call-1").await, Some(adopted(&acme)));
}

#[tokio::test]
async fn a_call_that_is_known_asks_no_statement_and_adopts_nothing() {
    let bench = Bench::new();
    let (acme, _) = acme_and_other(&bench).await;
    receive(&bench, &call("call-1", "agent-1", 0)).await.1.unwrap();
    let statements = bench.store.ledger().statements();
    for number in 1..50 {
        let claims = claims("call-1", "agent-1");
        assert!(bench.store.ledger().consult_cached("vapi", &claims).is_some());
        let (event, receipt) = receive(&bench, &call("call-1", "agent-1", number)).await;
        receipt.unwrap();
        assert!(event.decision().adoption().is_none());
        assert_eq!(event.decision().tenant(), Some(&acme));
    }
    assert_eq!(bench.store.ledger().statements(), statements);
}

#[tokio::test]
async fn many_adoptions_stay_known_when_they_leave_memory() {
    let bench = Bench::new();
    let (acme, _) = acme_and_other(&bench).await;
    for number in 0..1_300 {
        let id = format!("call-{number}");
        receive(&bench, &call(&id, "agent-1", 0)).await.1.unwrap();
    }
    let (_, adoptions) = bench.store.ledger().entries();
    assert!(adoptions < 1_300, "{adoptions}");
    for number in (0..1_300).step_by(7) {
        assert_eq!(known(&bench, &format!("call-{number}")).await, Some(adopted(&acme)));
    }
    let bench = bench.reopen();
    for number in (0..1_300).step_by(7) {
        assert_eq!(known(&bench, &format!("call-{number}")).await, Some(adopted(&acme)));
    }
}
