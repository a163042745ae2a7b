//! Tool calls: kept before they are carried out, each effect once, and whose they are.

use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{
    ARGUMENTS_BYTES_MAX, Begun, EventId, FinishedToolCall, NewToolCall, REPLY_BYTES_MAX, Registry,
    RegistryError, TOOL_SETTINGS_BYTES_MAX, ToolCall, ToolCallFilter, ToolCallId, ToolCallState,
    ToolTimes,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bench::{Bench, NOON};
use crate::registry::{NOW, add_tenant, tenant};
use crate::tenancy::only;

const ID: ToolCallId = ToolCallId(Uuid::nil());

/// A call that writes nothing, by its number.
pub(crate) fn new_call(tenant: &TenantId, number: u128) -> NewToolCall {
    NewToolCall {
        id: ToolCallId(Uuid::from_u128(number)),
        event: EventId(Uuid::from_u128(number / 100)),
        position: 0,
        tenant: tenant.clone(),
        source: "vapi".to_owned(),
        provider: "vapi".to_owned(),
        conversation: Some("conversation-1".to_owned()),
        agent: Some("agent-1".to_owned()),
        call_id: None,
        tool: "bookings_create".to_owned(),
        arguments: r#"{"n":1}"#.to_owned(),
        effect: None,
        started_at: NOW,
    }
}

/// A call that writes.
pub(crate) fn write(tenant: &TenantId, number: u128, effect: u8) -> NewToolCall {
    NewToolCall { effect: Some([effect; 32]), ..new_call(tenant, number) }
}

pub(crate) fn finished(id: ToolCallId, state: ToolCallState) -> FinishedToolCall {
    FinishedToolCall {
        id,
        state,
        status: state.name().to_owned(),
        reply: r#"{"ok":true}"#.to_owned(),
        late: false,
        times: ToolTimes::default(),
        finished_at: NOW,
    }
}

async fn end(registry: &Registry, id: ToolCallId, state: ToolCallState) {
    registry.finish_tool_call(finished(id, state)).await.unwrap();
}

async fn all(registry: &Registry, scope: &Scope) -> Vec<ToolCall> {
    registry.tool_calls(scope, ToolCallFilter::default(), None, 1_000).await.unwrap()
}

pub(crate) async fn one(registry: &Registry, id: ToolCallId) -> ToolCall {
    registry.tool_call(&Scope::Operator, id).await.unwrap().expect("it is kept")
}

fn earlier(begun: Begun) -> ToolCall {
    match begun {
        Begun::Earlier(earlier) => *earlier,
        Begun::Fresh { generation } => panic!("it is fresh: {generation}"),
    }
}

#[tokio::test]
async fn what_is_begun_and_finished_is_read_back_whole() {
    let bench = Bench::new();
    let acme = add_tenant(bench.store.registry(), "acme").await;
    let call = NewToolCall {
        position: 3,
        call_id: Some("toolu_1".to_owned()),
        effect: Some([7; 32]),
        ..new_call(&acme, 1)
    };
    let registry = bench.store.registry();
    let begun = registry.begin_tool_call(call.clone()).await.unwrap();
    assert_eq!(begun, Begun::Fresh { generation: 1 });
    let kept = one(registry, call.id).await;
    let expected = ToolCall {
        n: 1,
        id: call.id,
        event: call.event,
        position: 3,
        tenant: "acme".to_owned(),
        source: call.source.clone(),
        provider: call.provider.clone(),
        conversation: call.conversation.clone(),
        agent: call.agent.clone(),
        call_id: call.call_id.clone(),
        tool: call.tool.clone(),
        arguments: call.arguments.clone(),
        effect: call.effect,
        generation: 1,
        state: ToolCallState::Started,
        status: String::new(),
        reply: None,
        repeats: None,
        late: false,
        times: ToolTimes::default(),
        started_at: NOW,
        finished_at: None,
    };
    assert!(kept == expected, "{kept:?}");
    let times = ToolTimes { store_us: 1, record_us: 2, connector_us: 3, total_us: 4 };
    let end = FinishedToolCall {
        late: true,
        times,
        status: "booked".to_owned(),
        ..finished(call.id, ToolCallState::Succeeded)
    };
    registry.finish_tool_call(end.clone()).await.unwrap();
    let expected = ToolCall {
        state: ToolCallState::Succeeded,
        status: "booked".to_owned(),
        reply: Some(end.reply),
        late: true,
        times,
        finished_at: Some(NOW),
        ..expected
    };
    let bench = bench.reopen();
    let kept = one(bench.store.registry(), call.id).await;
    assert!(kept == expected, "{kept:?}");
    assert_eq!(ToolCallId::parse(&call.id.to_string()), Some(call.id));
    assert!(!format!("{kept:?}{call:?}").contains(r#""n""#), "no argument is printed");
}

#[tokio::test]
async fn an_effect_that_succeeded_runs_or_is_unknown_is_not_begun_again() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let first = write(&acme, 1, 1);
    registry.begin_tool_call(first.clone()).await.unwrap();
    let mut number = 10;
    for state in [None, Some(ToolCallState::Succeeded), Some(ToolCallState::Unknown)] {
        if let Some(state) = state {
            end(registry, first.id, state).await;
        }
        number += 1;
        let again = write(&acme, number, 1);
        let found = earlier(registry.begin_tool_call(again.clone()).await.unwrap());
        assert_eq!(found.id, first.id);
        assert_eq!(found.state, state.unwrap_or(ToolCallState::Started));
        let kept = one(registry, again.id).await;
        assert_eq!((kept.effect, kept.generation, kept.repeats), (None, 0, Some(first.id)));
    }
    // Another effect, and what has none, are their own.
    let other = registry.begin_tool_call(write(&acme, 2, 2)).await.unwrap();
    assert_eq!(other, Begun::Fresh { generation: 1 });
    for number in [3, 4] {
        let read = registry.begin_tool_call(new_call(&acme, number)).await.unwrap();
        assert_eq!(read, Begun::Fresh { generation: 0 });
    }
}

#[tokio::test]
async fn what_failed_or_was_refused_is_begun_again_as_the_next_attempt() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let ends = [ToolCallState::Failed, ToolCallState::Refused, ToolCallState::Failed];
    for (number, state) in (1..).zip(ends) {
        let call = write(&acme, u128::from(number), 1);
        let begun = registry.begin_tool_call(call.clone()).await.unwrap();
        assert_eq!(begun, Begun::Fresh { generation: number });
        end(registry, call.id, state).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_begin_the_same_at_once_one_is_carried_out() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let mut calls = JoinSet::new();
    for number in 0..40 {
        let (registry, call) = (registry.clone(), write(&acme, number, 1));
        calls.spawn(async move { registry.begin_tool_call(call).await.unwrap() });
    }
    let begun = calls.join_all().await;
    let fresh = begun.iter().filter(|it| **it == Begun::Fresh { generation: 1 }).count();
    assert_eq!(fresh, 1);
    assert_eq!(all(registry, &Scope::Operator).await.len(), 40, "all are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_take_over_the_same_effect_one_gets_it() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    for effect in 0..30_u8 {
        let number = 100 * u128::from(effect);
        let first = write(&acme, number, effect);
        registry.begin_tool_call(first.clone()).await.unwrap();
        end(registry, first.id, ToolCallState::Unknown).await;
        let mut takers = JoinSet::new();
        for taker in [1, 2] {
            let (registry, call) = (registry.clone(), write(&acme, number + taker, effect));
            takers.spawn(async move {
                let found = earlier(registry.begin_tool_call(call.clone()).await.unwrap());
                // Who came second may have met the first one already.
                let effect = call.effect.unwrap();
                let next = found.generation + 1;
                let took = registry.take_tool_effect(call.id, found.id, effect, next);
                took.await.unwrap().then_some((call.id, found.id))
            });
        }
        let took: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
        let of_first = took.iter().filter(|(_, found)| *found == first.id).count();
        assert_eq!(of_first, 1, "{took:?}");
        let winner = took.iter().find(|(_, found)| *found == first.id).unwrap().0;
        let kept = one(registry, winner).await;
        assert_eq!((kept.generation, kept.repeats), (2, None));
    }
}

#[tokio::test]
async fn who_took_an_effect_has_it_and_who_came_too_late_begins_anew() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let [first, second, third] = [1, 2, 3].map(|number| write(&acme, number, 9));
    for call in [&first, &second, &third] {
        registry.begin_tool_call(call.clone()).await.unwrap();
    }
    end(registry, first.id, ToolCallState::Unknown).await;
    let took = registry.take_tool_effect(third.id, first.id, [9; 32], 2).await.unwrap();
    assert!(took);
    let took = registry.take_tool_effect(second.id, first.id, [9; 32], 2).await.unwrap();
    assert!(!took);
    // Under its own id: its row is made anew, behind the one that it meets.
    let met = earlier(registry.begin_tool_call(second.clone()).await.unwrap());
    assert_eq!((met.id, met.generation), (third.id, 2));
    end(registry, third.id, ToolCallState::Failed).await;
    let begun = registry.begin_tool_call(second.clone()).await.unwrap();
    assert_eq!(begun, Begun::Fresh { generation: 3 });
    let refused = registry.begin_tool_call(second.clone()).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Taken), "{refused:?}");
    // Who has ended takes nothing.
    end(registry, second.id, ToolCallState::Failed).await;
    let refused = registry.take_tool_effect(second.id, second.id, [9; 32], 4).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NotFound), "{refused:?}");
    assert_eq!(all(registry, &Scope::Operator).await.len(), 3);
}

#[tokio::test]
async fn what_a_crash_left_is_unknown_and_not_done_again() {
    let bench = Bench::new();
    let acme = add_tenant(bench.store.registry(), "acme").await;
    let [left, done] = [write(&acme, 1, 1), write(&acme, 2, 2)];
    for call in [&left, &done] {
        bench.store.registry().begin_tool_call(call.clone()).await.unwrap();
    }
    end(bench.store.registry(), done.id, ToolCallState::Succeeded).await;
    let bench = bench.reopen();
    let registry = bench.store.registry();
    assert_eq!(one(registry, left.id).await.state, ToolCallState::Unknown);
    assert_eq!(one(registry, done.id).await.state, ToolCallState::Succeeded);
    let met = earlier(registry.begin_tool_call(write(&acme, 3, 1)).await.unwrap());
    assert_eq!((met.id, met.state), (left.id, ToolCallState::Unknown));
}

#[tokio::test]
async fn an_end_that_nobody_waits_for_is_kept() {
    let bench = Bench::new();
    let acme = add_tenant(bench.store.registry(), "acme").await;
    let [read, closed] = [new_call(&acme, 1), new_call(&acme, 2)];
    for call in [&read, &closed] {
        bench.store.registry().begin_tool_call(call.clone()).await.unwrap();
    }
    let registry = bench.store.registry();
    drop(registry.finish_tool_call(finished(read.id, ToolCallState::Succeeded)));
    assert_eq!(one(registry, read.id).await.state, ToolCallState::Succeeded, "reads see it");
    drop(registry.finish_tool_call(finished(closed.id, ToolCallState::Refused)));
    let bench = bench.reopen();
    let kept = one(bench.store.registry(), closed.id).await;
    assert_eq!(kept.state, ToolCallState::Refused, "closing keeps it");
    // Of one that is not there, nothing is kept and nothing is wrong.
    let gone = finished(ToolCallId(Uuid::from_u128(99)), ToolCallState::Failed);
    bench.store.registry().finish_tool_call(gone).await.unwrap();
    bench.store.close();
    let refused = bench.store.registry().begin_tool_call(new_call(&acme, 3)).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Unavailable { .. }), "{refused:?}");
}

#[tokio::test]
async fn fifty_that_wait_at_once_share_a_commit() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    // Another process has the file: nobody is committed until all wait.
    let hold = bench.hold();
    let before = registry.tool_call_commits();
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let (registry, call) = (registry.clone(), write(&acme, number, 0));
        let call = NewToolCall { effect: Some([u8::try_from(number).unwrap(); 32]), ..call };
        calls.spawn(async move { registry.begin_tool_call(call).await.unwrap() });
    }
    // On this runtime all of them are polled before this goes on.
    tokio::task::yield_now().await;
    drop(hold);
    let begun = calls.join_all().await;
    assert_eq!(begun.len(), 50);
    assert!(begun.iter().all(|it| *it == Begun::Fresh { generation: 1 }));
    let commits = registry.tool_call_commits() - before;
    assert!(commits <= 2, "{commits}");
}

#[tokio::test]
async fn who_has_something_else_to_do_is_kept_in_time_and_at_once_when_it_must_be() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let fresh = Begun::Fresh { generation: 1 };
    assert_eq!(registry.begin_tool_call_beside(write(&acme, 1, 1)).await.unwrap(), fresh);
    let beginning = registry.begin_tool_call_beside(write(&acme, 2, 2));
    let (begun, ()) = tokio::join!(beginning, async { registry.hurry() });
    assert_eq!(begun.unwrap(), fresh);
    // Nothing waits, and nothing is made of it.
    registry.hurry();
    assert_eq!(all(registry, &Scope::Operator).await.len(), 2);
}

#[tokio::test]
async fn a_call_that_is_given_up_on_its_way_to_the_disk_is_not_kept() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let hold = bench.hold();
    for (number, effect) in [(1, 1), (2, 2)] {
        // It is queued, and then nobody waits for it any more.
        let beginning = registry.begin_tool_call_beside(write(&acme, number, effect));
        let given_up = tokio::time::timeout(std::time::Duration::ZERO, beginning).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
    drop(hold);
    assert!(all(registry, &Scope::Operator).await.is_empty());
}

#[tokio::test]
async fn one_that_is_refused_takes_no_other_with_it() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let hold = bench.hold();
    let mut calls = JoinSet::new();
    for number in 0..9 {
        // Every third has a tenant that is not there, or an id that is taken.
        let tenant = if number % 3 == 1 { tenant("nobody") } else { acme.clone() };
        let number = if number % 3 == 2 { 0 } else { number };
        let (registry, call) = (registry.clone(), new_call(&tenant, number));
        calls.spawn(async move { registry.begin_tool_call(call).await });
    }
    tokio::task::yield_now().await;
    drop(hold);
    let begun = calls.join_all().await;
    let count = |is: fn(&RegistryError) -> bool| {
        begun.iter().filter(|it| it.as_ref().is_err_and(is)).count()
    };
    assert_eq!(count(|it| matches!(it, RegistryError::NoSuchTenant)), 3);
    assert_eq!(count(|it| matches!(it, RegistryError::Taken)), 3);
    assert_eq!(all(registry, &Scope::Operator).await.len(), 3);
}

#[tokio::test]
async fn a_tenant_sees_its_own_calls_and_no_others() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    // Of one event, which only a contradiction would give two tenants.
    let (own, foreign) = (new_call(&acme, 1), new_call(&other, 2));
    for call in [&own, &foreign] {
        registry.begin_tool_call(call.clone()).await.unwrap();
    }
    let ids = |calls: Vec<ToolCall>| calls.into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(all(registry, &only("acme")).await), [own.id]);
    assert_eq!(ids(all(registry, &Scope::Operator).await), [foreign.id, own.id]);
    assert!(registry.tool_call(&only("acme"), foreign.id).await.unwrap().is_none());
    assert!(registry.tool_call(&only("acme"), own.id).await.unwrap().is_some());
    let of_event = registry.tool_calls_of(&only("acme"), own.event).await.unwrap();
    assert_eq!(ids(of_event), [own.id]);
    let of_event = registry.tool_calls_of(&Scope::Operator, own.event).await.unwrap();
    assert_eq!(ids(of_event), [own.id, foreign.id]);
    let filter = ToolCallFilter { tenant: Some("other".to_owned()), ..ToolCallFilter::default() };
    assert!(registry.tool_calls(&only("acme"), filter, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_are_the_newest_first_by_pages_and_filters() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    for number in 0..25 {
        let is_even = number % 2 == 0;
        let call = NewToolCall {
            position: u32::try_from(24 - number).unwrap(),
            tool: if is_even { "even" } else { "odd" }.to_owned(),
            provider: if is_even { "vapi" } else { "retell" }.to_owned(),
            source: if number < 5 { "first" } else { "vapi" }.to_owned(),
            conversation: (number % 5 == 0).then(|| "five".to_owned()),
            started_at: Timestamp::from_millis(NOON + i64::try_from(number).unwrap()),
            ..new_call(&acme, number)
        };
        registry.begin_tool_call(call.clone()).await.unwrap();
        if number >= 20 {
            end(registry, call.id, ToolCallState::Failed).await;
        }
    }
    let list = async |filter: ToolCallFilter| -> Vec<u128> {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = registry.tool_calls(&Scope::Operator, filter.clone(), before, 4);
            let page = page.await.unwrap();
            found.extend(page.iter().map(|it| it.id.0.as_u128()));
            match page.last() {
                Some(last) => before = Some(last.n),
                None => return found,
            }
        }
    };
    let any = ToolCallFilter::default;
    let text = |it: &str| Some(it.to_owned());
    assert_eq!(list(any()).await, (0..25).rev().collect::<Vec<_>>());
    let even = list(ToolCallFilter { tool: text("even"), ..any() }).await;
    assert_eq!(even, (0..25).rev().step_by(2).collect::<Vec<_>>());
    let found = list(ToolCallFilter { provider: text("vapi"), ..any() }).await;
    assert_eq!(found, even);
    let found = list(ToolCallFilter { source: text("first"), ..any() }).await;
    assert_eq!(found, [4, 3, 2, 1, 0]);
    let found = list(ToolCallFilter { conversation: text("five"), ..any() }).await;
    assert_eq!(found, [20, 15, 10, 5, 0]);
    let found = list(ToolCallFilter { state: Some(ToolCallState::Failed), ..any() }).await;
    assert_eq!(found, [24, 23, 22, 21, 20]);
    let at = |it| Some(Timestamp::from_millis(NOON + it));
    let found = list(ToolCallFilter { since: at(3), until: at(6), ..any() }).await;
    assert_eq!(found, [5, 4, 3]);
    // Within an event, the order of its request counts.
    let of = registry.tool_calls_of(&Scope::Operator, EventId(Uuid::nil())).await.unwrap();
    let positions: Vec<_> = of.iter().map(|it| it.position).collect();
    assert_eq!(positions, (0..25).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_not_kept() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let call = || new_call(&acme, 1);
    let long = |bytes: usize| "x".repeat(bytes);
    for refused in [
        NewToolCall { arguments: long(ARGUMENTS_BYTES_MAX + 1), ..call() },
        NewToolCall { tool: long(513), ..call() },
        NewToolCall { tool: String::new(), ..call() },
        NewToolCall { source: long(65), ..call() },
        NewToolCall { provider: "nobody".to_owned(), ..call() },
        NewToolCall { conversation: Some(long(513)), ..call() },
        NewToolCall { agent: Some(String::new()), ..call() },
        NewToolCall { call_id: Some("\n".to_owned()), ..call() },
    ] {
        let refused = registry.begin_tool_call(refused).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{refused:?}");
    }
    let arguments = long(ARGUMENTS_BYTES_MAX);
    registry.begin_tool_call(NewToolCall { arguments, ..call() }).await.unwrap();
    let end = || finished(call().id, ToolCallState::Succeeded);
    for refused in [
        FinishedToolCall { reply: long(REPLY_BYTES_MAX + 1), ..end() },
        FinishedToolCall { status: long(201), ..end() },
        FinishedToolCall { state: ToolCallState::Started, ..end() },
    ] {
        let refused = registry.finish_tool_call(refused).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{refused:?}");
    }
    assert_eq!(one(registry, call().id).await.state, ToolCallState::Started);
    let reply = long(REPLY_BYTES_MAX);
    registry.finish_tool_call(FinishedToolCall { reply, ..end() }).await.unwrap();
}

#[tokio::test]
async fn settings_are_known_at_once_and_after_a_restart_and_gone_with_their_tenant() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    assert_eq!(registry.tool_settings(&acme), None);
    for settings in [r#"{"allow":[]}"#, "{}"] {
        registry.set_tool_settings(&acme, Some(settings.to_owned())).await.unwrap();
        assert_eq!(registry.tool_settings(&acme).as_deref(), Some(settings));
    }
    let long = "x".repeat(TOOL_SETTINGS_BYTES_MAX + 1);
    let refused = registry.set_tool_settings(&acme, Some(long)).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Invalid(_)), "{refused:?}");
    let nobody = tenant("nobody");
    let refused = registry.set_tool_settings(&nobody, Some("{}".to_owned())).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
    registry.set_tool_settings(&other, Some("{}".to_owned())).await.unwrap();
    let bench = bench.reopen();
    let registry = bench.store.registry();
    assert_eq!(registry.tool_settings(&acme).as_deref(), Some("{}"));
    registry.set_tool_settings(&acme, None).await.unwrap();
    assert_eq!(registry.tool_settings(&acme), None);
    bench.store.erase_tenant(&other, NOW).await.unwrap();
    assert_eq!(registry.tool_settings(&other), None);
    let refused = registry.set_tool_settings(&other, Some("{}".to_owned())).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
    let bench = bench.reopen();
    for tenant in [&acme, &other] {
        assert_eq!(bench.store.registry().tool_settings(tenant), None);
    }
}

#[tokio::test]
async fn a_tenant_that_is_erased_begins_nothing() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    registry.begin_tool_call(new_call(&acme, 1)).await.unwrap();
    bench.store.erase_tenant(&acme, NOW).await.unwrap();
    let refused = registry.begin_tool_call(new_call(&acme, 2)).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
    // The one that is under way may end.
    registry.finish_tool_call(finished(ID, ToolCallState::Succeeded)).await.unwrap();
}
