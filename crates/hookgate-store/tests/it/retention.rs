//! Retention: what is old enough goes, what is not stays, and what comes again is known.

use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{
    DeliveryFilter, EventFilter, NewDelivery, NewToolCall, Options, RejectionFilter,
    ToolCallFilter, check, rebuild,
};

use crate::bench::{ALL, Bench, Kind, NOON, files, on_every_store};
use crate::deliveries;
use crate::index::rows;
use crate::tenancy::{call, lose_index, only, receive, receive_all, seen, two_tenants};
use crate::tool_calls::new_call;

on_every_store!(
    events_go_when_their_tenant_or_their_source_wants_it_whichever_is_first,
    without_a_word_on_retention_everything_stays,
    tool_calls_go_when_their_tenant_or_their_source_wants_it,
    deliveries_go_when_their_tenant_or_their_source_wants_it,
    a_conversation_is_known_as_long_as_an_event_of_it_is_kept,
);

const DAY: i64 = 24 * 60 * 60 * 1000;

/// So many days after everything began.
fn day(number: i64) -> Timestamp {
    Timestamp::from_millis(NOON + number * DAY)
}

async fn keep_for(bench: &Bench, tenant: &str, days: u32) {
    let tenant = TenantId::parse(tenant).unwrap();
    bench.store.registry().set_tenant(&tenant, Some(Some(days)), None).await.unwrap();
}

/// Which bodies are still there, by the notes in them, the oldest first.
async fn notes(bench: &Bench) -> Vec<String> {
    let mut notes = Vec::new();
    for event in seen(bench, &Scope::Operator).await.into_iter().rev() {
        let body = bench.store.body(&Scope::Operator, event.id).await.unwrap();
        assert_eq!(body.is_none(), event.is_erased);
        if let Some(hookgate_store::Body::Whole(bytes)) = body {
            let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let note = body.pointer("/message/note").and_then(|it| it.as_str());
            notes.push(note.unwrap().to_owned());
        }
    }
    notes
}

async fn events_go_when_their_tenant_or_their_source_wants_it_whichever_is_first(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    keep_for(&bench, "acme", 10).await;
    for (number, source, agent) in [
        (0, "vapi", "agent-acme"),
        (0, "vapi", "agent-other"),
        (0, "short", "agent-acme"),
        (0, "short", "agent-unknown"),
        (5, "vapi", "agent-acme"),
        (9, "short", "agent-other"),
    ] {
        let note = format!("{number} {source} {agent}");
        let id = format!("call {note}");
        let request = call(&id, agent, &note).to(source).at(day(number).millis());
        receive(&bench, &request).await;
    }
    let refused = call("r", "agent-acme", "refused").to("short").with_token("wrong");
    bench.store.reject(&refused.at(day(0).millis()).unproven(), 401);
    let forged = call("f", "agent-acme", "forged").to("short").with_token("wrong");
    bench.store.quarantine(&forged.at(day(0).millis()).recorded()).await.unwrap();
    bench.store.set_retention([("short".to_owned(), 3)]);
    let all = notes(&bench).await;
    assert_eq!(all.len(), 7);
    assert_eq!(bench.store.sweep(day(2)).await.unwrap(), 0);
    assert_eq!(notes(&bench).await, all, "nothing is too old");
    assert_eq!(bench.store.sweep(day(4)).await.unwrap(), 3, "two proven, and one that is not");
    assert_eq!(
        notes(&bench).await,
        ["0 vapi agent-acme", "0 vapi agent-other", "5 vapi agent-acme", "9 short agent-other"]
    );
    let kept = bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap();
    assert!(kept.is_empty(), "nor is a refused request kept longer");
    assert_eq!(bench.store.sweep(day(4)).await.unwrap(), 0);
    assert_eq!(bench.store.sweep(day(12)).await.unwrap(), 1);
    let rest = ["0 vapi agent-other", "5 vapi agent-acme", "9 short agent-other"];
    assert_eq!(notes(&bench).await, rest);
    // A late one, with an old time, behind everything that was swept.
    let late = call("late", "agent-other", "late").to("short").at(day(1).millis());
    receive(&bench, &late).await;
    assert_eq!(bench.store.sweep(day(12)).await.unwrap(), 1);
    let mut lost = Vec::new();
    let bench = bench.between(|folder| {
        assert!(check(folder, |_| {}).unwrap().is_clean());
        lost = rows(folder);
        lose_index(folder);
    });
    assert_eq!(notes(&bench).await, rest);
    bench.between(|folder| assert_eq!(rows(folder), lost));
}

#[tokio::test]
async fn a_segment_goes_when_all_in_it_is_too_old_and_its_keys_stay() {
    let options = Options { segment_bytes_max: 64 << 10, ..Options::default() };
    let bench = Bench::with(options);
    two_tenants(&bench).await;
    keep_for(&bench, "acme", 10).await;
    let padding = "x".repeat(2_000);
    let old = |number: i64| {
        call(&format!("old-{}", number % 9), "agent-acme", &format!("{padding} {number}"))
            .at(day(number / 100).millis())
    };
    receive_all(&bench, (0..300).map(old)).await;
    // Its call goes on.
    let living = receive(&bench, &call("living", "agent-acme", "first").at(day(2).millis())).await;
    let young = |number: i64| {
        call("young", "agent-acme", &format!("{padding} {number}")).at(day(12).millis())
    };
    receive_all(&bench, (300..400).map(young)).await;
    let segments = |bench: &Bench| {
        let all = files(&bench.path().join("journal/events"));
        all.into_iter().filter(|it| it.extension().is_some_and(|it| it == "seg")).count()
    };
    let before = segments(&bench);
    bench.store.sweep(day(13)).await.unwrap();
    let after = segments(&bench);
    assert!(after < before && after > 1, "{before} segments, then {after}");
    assert_eq!(seen(&bench, &only("acme")).await.len(), 100);
    let look = async |bench: &Bench| {
        for number in [0, 1, 50, 120] {
            let again = receive(bench, &old(number)).await;
            assert!(again.is_duplicate(), "number {number} is a repetition still");
        }
        assert!(receive(bench, &young(310)).await.is_duplicate());
        assert_eq!(seen(bench, &only("acme")).await.len(), 100, "and brings nothing back");
        let gone = bench.store.event(&Scope::Operator, living.id()).await.unwrap();
        assert!(gone.is_none_or(|it| it.is_erased));
        let recovered = bench.store.snapshot().recovered;
        assert_eq!((recovered.missing, recovered.corrupt), (0, 0));
    };
    look(&bench).await;
    let bench = bench.reopen();
    look(&bench).await;
    let bench = bench.between(|folder| {
        assert!(check(folder, |_| {}).unwrap().is_clean());
        let lost = rows(folder);
        rebuild(folder, |_| {}).unwrap();
        let made = rows(folder);
        let differs = lost.iter().find(|it| !it.starts_with("span") && !made.contains(it));
        assert_eq!(differs, None);
        assert!(check(folder, |_| {}).unwrap().is_clean());
    });
    look(&bench).await;
    let first = bench.path().join("journal/events/0000000000000001.seg");
    assert!(!first.exists(), "what is gone stays gone");
}

async fn a_conversation_is_known_as_long_as_an_event_of_it_is_kept(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    keep_for(&bench, "acme", 10).await;
    for (id, number) in [("short", 0), ("long", 0), ("long", 8)] {
        receive(&bench, &call(id, "agent-acme", &number.to_string()).at(day(number).millis()))
            .await;
    }
    let known = async |bench: &Bench| {
        let mut known = Vec::new();
        for id in ["short", "long"] {
            known
                .push(bench.store.conversation(&only("acme"), "vapi", id).await.unwrap().is_some());
        }
        known
    };
    assert_eq!(known(&bench).await, [true, true]);
    bench.store.sweep(day(12)).await.unwrap();
    assert_eq!(known(&bench).await, [false, true], "the first event of the long one is erased");
    let claim = Claim::new(ClaimKind::Conversation, Some("short".to_owned()));
    let consulted = bench.store.ledger().consult("vapi", &[claim]).await.unwrap();
    assert_eq!(consulted.conversation, None, "nor is it known to who attributes");
    let bench = bench.between(lose_index);
    assert_eq!(known(&bench).await, [false, true]);
    // So nobody else can take it over.
    receive(&bench, &call("long", "agent-other", "against").at(day(12).millis())).await;
    let found = bench.store.violations(&only("acme"), EventFilter::default(), ALL).await.unwrap();
    assert_eq!(found.len(), 1);
    bench.store.sweep(day(30)).await.unwrap();
    assert_eq!(known(&bench).await, [false, false]);
    let bench = bench.between(lose_index);
    assert_eq!(known(&bench).await, [false, false]);
}

async fn without_a_word_on_retention_everything_stays(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    receive(&bench, &call("a", "agent-acme", "old").at(day(-9_000).millis())).await;
    assert_eq!(bench.store.sweep(day(9_000)).await.unwrap(), 0);
    assert_eq!(notes(&bench).await, ["old"]);
}

async fn tool_calls_go_when_their_tenant_or_their_source_wants_it(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    keep_for(&bench, "acme", 10).await;
    bench.store.set_retention([("short".to_owned(), 3)]);
    for (number, (tenant, source, days)) in (0..).zip([
        ("acme", "vapi", 0),
        ("acme", "vapi", 5),
        ("other", "vapi", 0),
        ("other", "short", 0),
        ("other", "short", 5),
    ]) {
        let tenant = TenantId::parse(tenant).unwrap();
        let source = source.to_owned();
        let call = NewToolCall { source, started_at: day(days), ..new_call(&tenant, number) };
        bench.store.registry().begin_tool_call(call).await.unwrap();
    }
    let kept = async || -> Vec<u128> {
        let any = ToolCallFilter::default();
        let kept = bench.store.registry().tool_calls(&Scope::Operator, any, None, 10);
        kept.await.unwrap().iter().map(|it| it.id.0.as_u128()).collect()
    };
    for (today, expected) in
        [(2, vec![4, 3, 2, 1, 0]), (4, vec![4, 2, 1, 0]), (11, vec![2, 1]), (16, vec![2])]
    {
        bench.store.sweep(day(today)).await.unwrap();
        assert_eq!(kept().await, expected, "on day {today}");
    }
}

async fn deliveries_go_when_their_tenant_or_their_source_wants_it(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    keep_for(&bench, "acme", 10).await;
    bench.store.set_retention([("short".to_owned(), 3)]);
    let registry = bench.store.registry();
    let ordered = serde_json::json!({"ordered": true});
    let destination = deliveries::add(registry, None, 1, &ordered).await;
    let mut made = Vec::new();
    for (number, (tenant, source, days)) in (0..).zip([
        ("acme", "vapi", 0),
        ("acme", "vapi", 5),
        ("other", "vapi", 0),
        ("other", "short", 0),
        ("other", "short", 5),
    ]) {
        made.push(NewDelivery {
            tenant: TenantId::parse(tenant).ok(),
            source: source.to_owned(),
            conversation: Some("one".to_owned()),
            received_at: day(days),
            ..deliveries::event(&destination, number)
        });
    }
    deliveries::enqueue(registry, made, day(5)).await;
    for (today, expected) in
        [(2, vec![4, 3, 2, 1, 0]), (4, vec![4, 2, 1, 0]), (11, vec![2, 1]), (16, vec![2])]
    {
        bench.store.sweep(day(today)).await.unwrap();
        let any = DeliveryFilter::default();
        let kept = registry.deliveries(&Scope::Operator, any, None, 10).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|it| it.seq).collect();
        assert_eq!(kept, expected, "on day {today}");
        // Those that went led their conversation; the next one does now.
        let first = *expected.last().unwrap();
        let far = Timestamp::from_millis(i64::MAX / 4 + today * 1_000_000);
        let leased = deliveries::lease(registry, far, 10).await;
        assert_eq!(leased.iter().map(|it| it.seq).collect::<Vec<_>>(), [first], "on day {today}");
    }
}
