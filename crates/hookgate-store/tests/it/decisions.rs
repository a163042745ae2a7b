//! Releases and re-attributions: decided once, true from then on, whatever is lost.

use hookgate_core::attribution::Rule;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{DecideError, Event, EventFilter, EventId, Status, backup, rebuild};
use tempfile::TempDir;

use crate::bench::{ALL, Bench, Call, Kind, on_every_store, open};
use crate::index::rows;
use crate::registry::{NOW, add_tenant};
use crate::tenancy::{bind, call, lose_index, only, receive, seen, story, two_tenants};

on_every_store!(
    what_cannot_be_released_says_why,
    a_contradiction_is_judged_by_the_rule_and_the_bindings_of_today,
    what_was_accepted_before_there_was_a_tenant_can_become_one_s,
    of_two_decisions_at_once_one_is_made,
    what_was_nobodys_becomes_somebodys_when_its_agent_is_bound,
);

async fn release(bench: &Bench, id: EventId, to: Option<&str>) -> Result<Event, DecideError> {
    let tenant = to.map(|it| TenantId::parse(it).unwrap());
    bench.store.release(id, tenant, "operator", "correlation", NOW).await
}

async fn judge_again(bench: &Bench, id: EventId) -> Result<Event, DecideError> {
    bench.store.reattribute(id, &Rule::default(), "operator", "correlation", NOW).await
}

#[tokio::test]
async fn a_released_event_is_whose_it_was_released_to_and_keeps_its_verdict() {
    let bench = Bench::new();
    two_tenants(&bench).await;
    receive(&bench, &call("call-a", "agent-acme", "1")).await;
    let contradiction = receive(&bench, &call("call-a", "agent-other", "2")).await.id();
    let nobodys = receive(&bench, &call("call-n", "agent-unknown", "3")).await.id();
    let released = release(&bench, contradiction, Some("other")).await.unwrap();
    assert_eq!(story(std::slice::from_ref(&released)), ["2 accepted other contradiction release"]);
    assert_eq!(released.cause.as_deref(), Some("contradiction"), "it says why it was there");
    let decision = released.decision.clone().unwrap();
    assert_eq!((decision.at, decision.by.as_str()), (NOW, "operator"));
    release(&bench, nobodys, None).await.unwrap();
    let told = [
        "3 accepted - unattributed release",
        "2 accepted other contradiction release",
        "1 accepted acme owned",
    ];
    let check = async |bench: &Bench| {
        assert_eq!(story(&seen(bench, &Scope::Operator).await), told);
        assert_eq!(story(&seen(bench, &only("acme")).await), told[2..]);
        let own = seen(bench, &only("other")).await;
        assert_eq!(story(&own), told[1..2]);
        // What is acme's in it stays hidden.
        assert_eq!(own[0].conversation_id, None);
        let ids: Vec<_> = own[0].claims.iter().map(|it| it.external_id.as_deref()).collect();
        assert_eq!(ids, [None, Some("agent-other")]);
        let filter = EventFilter { status: Some(Status::Quarantined), ..EventFilter::default() };
        assert!(bench.store.events(&Scope::Operator, filter, ALL).await.unwrap().is_empty());
        let acme = only("acme");
        let violations = bench.store.violations(&acme, EventFilter::default(), ALL).await.unwrap();
        assert_eq!(violations.len(), 1, "it happened");
    };
    check(&bench).await;
    let bench = bench.reopen();
    check(&bench).await;
    let mut lost = Vec::new();
    let bench = bench.between(|folder| {
        lost = rows(folder);
        lose_index(folder);
    });
    check(&bench).await;
    let bench = bench.between(|folder| {
        assert_eq!(rows(folder), lost);
        rebuild(folder, |_| {}).unwrap();
        assert_eq!(rows(folder), lost);
    });
    check(&bench).await;
    // A copy knows it too, and so does who reads the folder beside the server.
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("copy");
    backup(bench.path(), &target, |_| {}).unwrap();
    for folder in [bench.path(), target.as_path()] {
        let archive = hookgate_store::Archive::open(folder).unwrap();
        let events = archive.events(&EventFilter::default(), ALL).unwrap();
        assert_eq!(story(&events), told);
    }
    let copy = open(&target, &bench.options);
    let events = copy.events(&Scope::Operator, EventFilter::default(), ALL).await.unwrap();
    assert_eq!(story(&events), told);
}

async fn what_cannot_be_released_says_why(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let accepted = receive(&bench, &call("call-a", "agent-acme", "1")).await.id();
    let forged = call("call-a", "agent-acme", "2").with_token("guess").recorded();
    let unproven = bench.store.quarantine(&forged).await.unwrap().id();
    let unreadable = receive(&bench, &Call::new("{")).await.id();
    let strange = EventId::parse("evt_0197b0f0a0007000800000000000002a").unwrap();
    for (id, to, why) in [
        (accepted, None, DecideError::NotQuarantined),
        (unproven, Some("acme"), DecideError::Unproven),
        (strange, None, DecideError::NotFound),
        (unreadable, Some("nobody"), DecideError::NoSuchTenant),
    ] {
        assert_eq!(release(&bench, id, to).await.unwrap_err(), why);
    }
    release(&bench, unreadable, Some("acme")).await.unwrap();
    let again = release(&bench, unreadable, Some("other")).await.unwrap_err();
    assert_eq!(again, DecideError::NotQuarantined, "the first decision stands");
    for (id, why) in [
        (accepted, DecideError::NotQuarantined),
        (unproven, DecideError::Unproven),
        (unreadable, DecideError::NotQuarantined),
        (strange, DecideError::NotFound),
    ] {
        assert_eq!(judge_again(&bench, id).await.unwrap_err(), why);
    }
}

async fn of_two_decisions_at_once_one_is_made(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    for round in 0..10 {
        let request = call(&format!("call-{round}"), "agent-unknown", "1");
        let id = receive(&bench, &request).await.id();
        let both =
            tokio::join!(release(&bench, id, Some("acme")), release(&bench, id, Some("other")));
        let (made, refused) = match both {
            (Ok(made), Err(refused)) | (Err(refused), Ok(made)) => (made, refused),
            both => panic!("{both:?}"),
        };
        assert_eq!(refused, DecideError::NotQuarantined);
        let now = bench.store.event(&Scope::Operator, id).await.unwrap().unwrap();
        assert_eq!(now.tenant, made.tenant);
    }
    assert_eq!(bench.store.registry().decisions_after(0, 100).unwrap().len(), 10);
}

async fn what_was_nobodys_becomes_somebodys_when_its_agent_is_bound(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let early = [
        receive(&bench, &call("call-n", "agent-new", "1")).await.id(),
        receive(&bench, &call("call-n", "agent-new", "2")).await.id(),
    ];
    let judged = judge_again(&bench, early[0]).await.unwrap();
    assert_eq!(story(&[judged]), ["1 quarantined - unattributed"]);
    let written = bench.store.registry().decisions_after(0, 9).unwrap();
    assert!(written.is_empty(), "nothing changed, so nothing is written down");

    bind(&bench, &TenantId::parse("acme").unwrap(), "agent-new").await;
    let first = judge_again(&bench, early[0]).await.unwrap();
    assert_eq!(story(&[first]), ["1 accepted acme owned reattribute"]);
    let known = bench.store.conversation(&only("acme"), "vapi", "call-n").await.unwrap();
    assert_eq!(known.unwrap().agent_id.as_deref(), Some("agent-new"), "it made its call known");
    // So another's agent on it is a contradiction, from now on and after every loss.
    receive(&bench, &call("call-n", "agent-other", "3")).await;
    let bench = bench.between(lose_index);
    receive(&bench, &call("call-n", "agent-other", "4")).await;
    judge_again(&bench, early[1]).await.unwrap();
    let told = [
        "4 quarantined - contradiction",
        "3 quarantined - contradiction",
        "2 accepted acme owned reattribute",
        "1 accepted acme owned reattribute",
    ];
    assert_eq!(story(&seen(&bench, &Scope::Operator).await), told);
    assert_eq!(story(&seen(&bench, &only("acme")).await), told[2..]);
    let mut lost = Vec::new();
    let bench = bench.between(|folder| {
        lost = rows(folder);
        lose_index(folder);
    });
    assert_eq!(story(&seen(&bench, &Scope::Operator).await), told);
    bench.between(|folder| assert_eq!(rows(folder), lost));
}

async fn a_contradiction_is_judged_by_the_rule_and_the_bindings_of_today(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    receive(&bench, &call("call-a", "agent-acme", "1")).await;
    let stray = receive(&bench, &call("call-a", "agent-stray", "2")).await.id();
    let still = judge_again(&bench, stray).await.unwrap();
    assert_eq!(
        (still.ownership.as_str(), still.conflict.as_deref()),
        ("contradiction", Some("agent_mismatch"))
    );
    bind(&bench, &TenantId::parse("acme").unwrap(), "agent-stray").await;
    let exact =
        Rule { agent_match: hookgate_core::attribution::AgentMatch::Exact, ..Rule::default() };
    let judged = bench.store.reattribute(stray, &exact, "operator", "c", NOW).await.unwrap();
    assert_eq!(judged.ownership, "contradiction", "the rule says: the call's own alone");
    let judged = judge_again(&bench, stray).await.unwrap();
    assert_eq!(story(&[judged]), ["2 accepted acme owned reattribute"]);
}

async fn what_was_accepted_before_there_was_a_tenant_can_become_one_s(on: Kind) {
    let bench = Bench::on(on);
    let early = receive(&bench, &call("call-e", "agent-1", "1")).await.id();
    let acme = add_tenant(bench.store.registry(), "acme").await;
    assert_eq!(story(&seen(&bench, &Scope::Operator).await), ["1 accepted - unattributed"]);
    bind(&bench, &acme, "agent-1").await;
    judge_again(&bench, early).await.unwrap();
    assert_eq!(story(&seen(&bench, &only("acme")).await), ["1 accepted acme owned reattribute"]);
}
