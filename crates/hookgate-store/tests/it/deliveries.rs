//! Destinations and deliveries: whose they are, who tries them, and what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hookgate_core::delivery::schedule::DEFAULT;
use hookgate_core::delivery::{
    AttemptOutcome, DestinationSettings, Disabled, NextState, Settlement,
};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{
    Cursor, DESTINATIONS_PER_TENANT_MAX, DeliveryCounts, DeliveryFilter, DeliveryStatus,
    Destination, DestinationId, Erased, ErasureTarget, EventId, Leased, NewDelivery,
    NewDestination, NewSecret, RESPONSE_BYTES_MAX, Registry, RegistryError, Replaying, Retried,
    Rows, Settling, Written,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bench::Bench;
use crate::registry::{NOW, add_tenant, later};
use crate::tenancy::only;

pub(crate) const OK: AttemptOutcome = AttemptOutcome::Delivered { status: 200 };
pub(crate) const DOWN: AttemptOutcome = AttemptOutcome::Broken { reason: "refused" };
const CURSOR: &str = "deliveries";

pub(crate) fn seconds(seconds: u64) -> Timestamp {
    later(Duration::from_secs(seconds))
}

pub(crate) fn settings(more: &Value) -> DestinationSettings {
    let mut settings = json!({"kind": "http", "url": "https://hooks.example/in"});
    let all = settings.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    DestinationSettings::read(settings).unwrap()
}

pub(crate) async fn add(
    registry: &Registry,
    tenant: Option<&TenantId>,
    number: u128,
    more: &Value,
) -> Destination {
    let new = NewDestination {
        id: DestinationId(Uuid::from_u128(number)),
        tenant: tenant.cloned(),
        settings: settings(more),
        sealed_secret: format!("sealed {number}").into_bytes(),
        created_at: NOW,
    };
    registry.add_destination(new).await.unwrap()
}

/// The event of this number, for a destination.
pub(crate) fn event(destination: &Destination, number: u64) -> NewDelivery {
    NewDelivery {
        destination: destination.id,
        event: EventId(Uuid::from_u64_pair(7, number)),
        seq: number,
        tenant: destination.tenant.clone(),
        source: "vapi".to_owned(),
        provider: "vapi".to_owned(),
        conversation: None,
        kind: "call.ended".to_owned(),
        received_at: NOW,
    }
}

/// Keeps deliveries as if they were the next in the journal.
pub(crate) async fn enqueue(registry: &Registry, deliveries: Vec<NewDelivery>, now: Timestamp) {
    let from = registry.cursor(CURSOR).await.unwrap();
    let cursor = Cursor { name: CURSOR, from, to: from + 1, erasures: 0 };
    assert!(registry.enqueue_deliveries(cursor, deliveries, now).await.unwrap());
}

pub(crate) async fn lease(registry: &Registry, now: Timestamp, limit: u32) -> Vec<Leased> {
    let until = now.plus(Duration::from_secs(30));
    registry.lease_deliveries(now, limit, until).await.unwrap()
}

pub(crate) fn settling(leased: &Leased, outcome: AttemptOutcome, now: Timestamp) -> Settling {
    Settling {
        delivery: leased.delivery,
        token: leased.token,
        outcome,
        began_at: now,
        now,
        took: Duration::from_micros(1_234),
        response: None,
        schedule: Arc::from(DEFAULT),
        random: 0.5,
    }
}

pub(crate) async fn settle(
    registry: &Registry,
    leased: &Leased,
    outcome: AttemptOutcome,
    now: Timestamp,
) -> NextState {
    let settled = settle_one(registry, settling(leased, outcome, now)).await;
    settled.expect("the lease is not lost").state
}

/// Nothing: the lease was lost.
pub(crate) async fn settle_one(registry: &Registry, settling: Settling) -> Option<Settlement> {
    let mut settled = registry.settle_deliveries(vec![settling]).await.unwrap();
    settled.pop().expect("one for each")
}

async fn list(registry: &Registry, filter: DeliveryFilter) -> Vec<hookgate_store::Delivery> {
    registry.deliveries(&Scope::Operator, filter, None, 10_000).await.unwrap()
}

async fn statuses(registry: &Registry) -> Vec<&'static str> {
    let all = list(registry, DeliveryFilter::default()).await;
    all.iter().rev().map(|it| it.status.name()).collect()
}

fn seqs(leased: &[Leased]) -> Vec<u64> {
    leased.iter().map(|it| it.seq).collect()
}

#[tokio::test]
async fn a_destination_is_kept_changed_and_removed_within_its_scope() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let other = add_tenant(registry, "other").await;
    let own = add(registry, Some(&acme), 1, &json!({"events": ["call.*"]})).await;
    let operators = add(registry, None, 2, &json!({})).await;
    assert_eq!(own.settings.events, ["call.*"]);
    assert_eq!(own.secrets.at(NOW).collect::<Vec<_>>(), [b"sealed 1"]);
    assert_eq!(DestinationId::parse(&own.id.to_string()), Some(own.id));

    let ids = async |scope: &Scope| -> Vec<_> {
        let all = registry.destinations(scope, Rows::ALL).await.unwrap();
        all.iter().map(|it| it.id).collect()
    };
    assert_eq!(ids(&Scope::Operator).await, [operators.id, own.id]);
    assert_eq!(ids(&only("acme")).await, [own.id]);
    assert!(ids(&only("other")).await.is_empty());
    for foreign in [&own, &operators] {
        let other = Scope::Tenant(other.clone());
        assert!(registry.destination(&other, foreign.id).await.unwrap().is_none());
        let refused = [
            registry.change_destination(&other, foreign.id, settings(&json!({})), NOW).await.err(),
            registry.set_destination_disabled(&other, foreign.id, None, NOW).await.err(),
            registry
                .rotate_destination(
                    &other,
                    foreign.id,
                    NewSecret { sealed: vec![1], overlap: Duration::ZERO },
                    NOW,
                )
                .await
                .err(),
            registry.test_destination(&other, foreign.id, NOW).await.err(),
            registry.remove_destination(&other, foreign.id).await.err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(RegistryError::NotFound)), "{error:?}");
        }
    }
    let changed = settings(&json!({"events": ["other"], "concurrency": 3}));
    let changed = registry.change_destination(&only("acme"), own.id, changed, seconds(1)).await;
    assert_eq!(changed.unwrap().settings.concurrency(), 3);

    enqueue(registry, (0..1_100).map(|it| event(&own, it)).collect(), NOW).await;
    let leased = lease(registry, NOW, 1).await.pop().unwrap();
    registry.remove_destination(&only("acme"), own.id).await.unwrap();
    assert_eq!(ids(&Scope::Operator).await, [operators.id]);
    assert!(list(registry, DeliveryFilter::default()).await.is_empty());
    let settled = settle_one(registry, settling(&leased, OK, NOW)).await;
    assert!(settled.is_none(), "the lease went with the delivery");
    let bench = bench.reopen();
    let again = bench.store.registry().destination(&Scope::Operator, operators.id).await.unwrap();
    assert!(again == Some(operators), "it outlives a restart");
}

#[tokio::test]
async fn there_are_so_many_destinations_of_a_tenant_and_none_of_who_is_not_there() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let new = |tenant: &TenantId, number: u64| NewDestination {
        id: DestinationId(Uuid::from_u128(u128::from(number))),
        tenant: Some(tenant.clone()),
        settings: settings(&json!({})),
        sealed_secret: Vec::new(),
        created_at: NOW,
    };
    let nobody = registry.add_destination(new(&TenantId::parse("nobody").unwrap(), 1)).await;
    assert!(matches!(nobody, Err(RegistryError::NoSuchTenant)));
    for number in 0..DESTINATIONS_PER_TENANT_MAX {
        registry.add_destination(new(&acme, number)).await.unwrap();
    }
    let taken = registry.add_destination(new(&acme, 0)).await;
    assert!(matches!(taken, Err(RegistryError::TooMany { .. })), "{taken:?}");
    let first = DestinationId(Uuid::from_u128(0));
    registry.remove_destination(&only("acme"), first).await.unwrap();
    let taken = registry.add_destination(new(&acme, 1)).await;
    assert!(matches!(taken, Err(RegistryError::Taken)), "{taken:?}");
    registry.add_destination(new(&acme, 0)).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_was_replaced_signs_until_its_time_is_over() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({})).await;
    let rotate = async |sealed: &[u8], overlap: u64| {
        let overlap = Duration::from_secs(overlap);
        let secret = NewSecret { sealed: sealed.to_vec(), overlap };
        registry.rotate_destination(&Scope::Operator, destination.id, secret, NOW).await.unwrap()
    };
    let rotated = rotate(b"new", 60).await;
    assert_eq!(rotated.secrets.at(seconds(59)).collect::<Vec<_>>(), [&b"new"[..], b"sealed 1"]);
    assert_eq!(rotated.secrets.at(seconds(60)).collect::<Vec<_>>(), [b"new"]);
    let rotated = rotate(b"newer", 60).await;
    assert_eq!(rotated.secrets.at(NOW).collect::<Vec<_>>(), [&b"newer"[..], b"new"]);
    let rotated = rotate(b"last", 0).await;
    assert_eq!(rotated.secrets.at(NOW).collect::<Vec<_>>(), [b"last"], "at once");
    assert!(!format!("{rotated:?}").contains("last"));
}

#[tokio::test]
async fn rows_and_cursor_move_together_and_nothing_is_kept_twice() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let own = add(registry, Some(&acme), 1, &json!({})).await;
    let operators = add(registry, None, 2, &json!({})).await;
    let keep = async |registry: &Registry, from, to, deliveries| {
        let cursor = Cursor { name: CURSOR, from, to, erasures: 0 };
        registry.enqueue_deliveries(cursor, deliveries, NOW).await.unwrap()
    };
    assert!(keep(registry, 0, 7, vec![event(&own, 1), event(&operators, 1)]).await);
    assert!(!keep(registry, 0, 9, vec![event(&own, 2)]).await, "it was elsewhere");
    assert_eq!(registry.cursor(CURSOR).await.unwrap(), 7);
    assert_eq!(registry.cursor("another").await.unwrap(), 0);
    assert!(keep(registry, 7, 8, vec![event(&own, 1), event(&own, 3)]).await);
    let foreign =
        NewDelivery { tenant: Some(add_tenant(registry, "other").await), ..event(&own, 4) };
    let nobodys = NewDelivery { tenant: None, ..event(&own, 5) };
    let gone = NewDelivery { destination: DestinationId(Uuid::nil()), ..event(&own, 6) };
    let erased = TenantId::parse("erased").unwrap();
    let erased = NewDelivery { tenant: Some(erased), ..event(&operators, 7) };
    assert!(keep(registry, 8, 9, vec![foreign, nobodys, gone, erased]).await);
    let bench = bench.reopen();
    let registry = bench.store.registry();
    assert_eq!(registry.cursor(CURSOR).await.unwrap(), 9);
    let kept = list(registry, DeliveryFilter::default()).await;
    let kept: Vec<_> = kept.iter().rev().map(|it| (it.destination, it.seq)).collect();
    assert_eq!(kept, [(own.id, 1), (operators.id, 1), (own.id, 3)]);
}

#[tokio::test]
async fn a_delivery_is_leased_to_one_and_settled_by_him_alone() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let destination = add(registry, Some(&acme), 1, &json!({})).await;
    enqueue(registry, vec![event(&destination, 1)], NOW).await;
    assert_eq!(registry.next_delivery().await.unwrap(), Some(NOW));
    let leased = lease(registry, NOW, 10).await.pop().unwrap();
    assert_eq!((leased.attempts, leased.tenant.clone()), (0, Some(acme)));
    assert_eq!(leased.secrets.at(NOW).collect::<Vec<_>>(), [b"sealed 1"]);
    let id = format!("{}_{}", leased.event, leased.destination);
    assert_eq!(leased.webhook_id(), id);
    assert!(lease(registry, seconds(29), 10).await.is_empty(), "somebody has it");
    assert_eq!(registry.next_delivery().await.unwrap(), Some(seconds(30)));

    let again = lease(registry, seconds(30), 10).await.pop().expect("its lease is over");
    assert_ne!(again.token, leased.token);
    let void = settle_one(registry, settling(&leased, OK, seconds(31))).await;
    assert!(void.is_none(), "it is another one's");
    let outcome = AttemptOutcome::Refused { status: 503, retry_after: None };
    let said = Settling {
        response: Some(format!("{}é", "x".repeat(RESPONSE_BYTES_MAX - 1))),
        ..settling(&again, outcome, seconds(31))
    };
    let next = settle_one(registry, said).await.unwrap().state;
    assert_eq!(next, NextState::Pending { due: seconds(36) });
    let twice = settle_one(registry, settling(&again, OK, seconds(31))).await;
    assert!(twice.is_none(), "it is settled");
    assert!(lease(registry, seconds(35), 10).await.is_empty(), "it is not due yet");
    assert_eq!(registry.next_delivery().await.unwrap(), Some(seconds(36)));

    let last = lease(registry, seconds(36), 10).await.pop().unwrap();
    assert_eq!((last.attempts, last.webhook_id()), (1, id));
    assert_eq!(settle(registry, &last, OK, seconds(37)).await, NextState::Delivered);
    assert_eq!(registry.next_delivery().await.unwrap(), None);
    let attempts = registry.attempts_of(&only("acme"), last.delivery).await.unwrap();
    let told: Vec<_> = attempts.iter().map(|it| (it.at, it.status, it.micros)).collect();
    assert_eq!(told, [(seconds(31), Some(503), 1_234), (seconds(37), Some(200), 1_234)]);
    let response = attempts.first().unwrap().response.as_deref().unwrap();
    assert_eq!(response.len(), RESPONSE_BYTES_MAX - 1, "cut between characters");
    let kept = registry.delivery(&only("acme"), last.delivery).await.unwrap().unwrap();
    assert_eq!((kept.status, kept.attempts, kept.due), (DeliveryStatus::Delivered, 2, None));
    assert_eq!((kept.finished_at, kept.leased), (Some(seconds(37)), false));
    assert!(registry.attempts_of(&only("other"), last.delivery).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_crash_left_is_due_again_and_the_breaker_stays_open() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"concurrency": 64})).await;
    enqueue(registry, (0..30).map(|it| event(&destination, it)).collect(), NOW).await;
    for leased in lease(registry, NOW, 20).await {
        settle(registry, &leased, DOWN, NOW).await;
    }
    assert!(lease(registry, seconds(4), 100).await.is_empty(), "the breaker is open");
    assert_eq!(registry.next_delivery().await.unwrap(), Some(seconds(5)));
    let probe = lease(registry, seconds(5), 100).await;
    assert_eq!(probe.len(), 1, "one probe");
    assert!(lease(registry, seconds(6), 100).await.is_empty(), "one at a time");
    let bench = bench.reopen();
    let registry = bench.store.registry();
    let lost = settle_one(registry, settling(&probe[0], OK, seconds(7))).await;
    assert!(lost.is_none(), "nobody settles what was leased before the restart");
    let kept = registry.destination(&Scope::Operator, destination.id).await.unwrap().unwrap();
    assert!(kept.breaker.is_open());
    let probe = lease(registry, seconds(7), 100).await;
    assert_eq!(probe.len(), 1);
    settle(registry, &probe[0], DOWN, seconds(7)).await;
    assert!(lease(registry, seconds(16), 100).await.is_empty(), "the next one is later");
    let probe = lease(registry, seconds(17), 100).await;
    settle(registry, &probe[0], OK, seconds(17)).await;
    assert_eq!(lease(registry, seconds(17), 100).await.len(), 29, "all that is due goes");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_gets_nothing_until_it_is_enabled() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"concurrency": 1})).await;
    enqueue(registry, vec![event(&destination, 1), event(&destination, 2)], NOW).await;
    let leased = lease(registry, NOW, 10).await;
    assert_eq!(seqs(&leased), [1], "one at a time");
    let gone = settling(&leased[0], AttemptOutcome::Gone, NOW);
    let settled = settle_one(registry, gone).await.unwrap();
    assert_eq!((settled.state, settled.disables), (NextState::Failed, Some(Disabled::Gone)));
    enqueue(registry, vec![event(&destination, 3)], NOW).await;
    assert!(lease(registry, seconds(60), 10).await.is_empty());
    assert_eq!(registry.next_delivery().await.unwrap(), None);
    assert_eq!(statuses(registry).await, ["failed", "pending", "skipped"]);
    let test = registry.test_destination(&Scope::Operator, destination.id, NOW).await;
    assert!(matches!(test, Err(RegistryError::Invalid(_))));
    let one = list(registry, DeliveryFilter::default()).await[0].id;
    let retried = registry.retry_delivery(&Scope::Operator, one, NOW).await;
    assert!(matches!(retried, Err(RegistryError::Invalid(_))));
    let disable = async |disabled| {
        let set = registry.set_destination_disabled(
            &Scope::Operator,
            destination.id,
            disabled,
            seconds(60),
        );
        set.await.unwrap()
    };
    let still = disable(Some(Disabled::ByHand)).await;
    assert_eq!((still.disabled, still.disabled_at), (Some(Disabled::Gone), Some(NOW)));
    assert_eq!(disable(None).await.disabled, None);
    assert_eq!(seqs(&lease(registry, seconds(60), 10).await), [2], "what waited goes on");
    assert_eq!(disable(Some(Disabled::ByHand)).await.disabled, Some(Disabled::ByHand));
    let counts = registry.delivery_counts(seconds(60)).await.unwrap();
    let expected = DeliveryCounts {
        pending: 1,
        leased: 1,
        failed: 1,
        skipped: 1,
        disabled: 1,
        ..DeliveryCounts::default()
    };
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn the_failures_of_endpoints_and_ours_are_told_apart() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({})).await;
    enqueue(registry, (1..=4).map(|it| event(&destination, it)).collect(), NOW).await;
    let ours = AttemptOutcome::Ours { reason: "secret", may_pass: false };
    let leased = lease(registry, NOW, 4).await;
    let once = |outcome| Settling { schedule: Arc::from([]), ..settling(&leased[0], outcome, NOW) };
    settle_one(registry, once(DOWN)).await.unwrap();
    settle(registry, &leased[1], ours, NOW).await;
    settle(registry, &leased[2], OK, NOW).await;
    assert_eq!(statuses(registry).await, ["failed", "dead_ours", "delivered", "pending"]);
    let counts = registry.delivery_counts(NOW).await.unwrap();
    let expected = DeliveryCounts {
        pending: 1,
        leased: 1,
        failed: 1,
        dead_ours: 1,
        ..DeliveryCounts::default()
    };
    assert_eq!(counts, expected);
    let failed =
        DeliveryFilter { status: Some(DeliveryStatus::Failed), ..DeliveryFilter::default() };
    let found: Vec<_> = list(registry, failed).await.iter().map(|it| it.seq).collect();
    assert_eq!(found, [1]);
    let attempts = registry.attempts_of(&Scope::Operator, leased[1].delivery).await.unwrap();
    assert_eq!(attempts[0].error.as_deref(), Some("secret"));
    // Due for long, and nobody tries it.
    assert_eq!(lease(registry, seconds(31), 0).await.len(), 0);
    let counts = registry.delivery_counts(seconds(700)).await.unwrap();
    assert_eq!((counts.stuck, counts.oldest_due), (1, Some(NOW)), "{counts:?}");
}

#[tokio::test]
async fn the_events_of_a_conversation_come_in_order_if_that_is_wanted() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"ordered": true})).await;
    let of = |conversation: &str, number| NewDelivery {
        conversation: Some(conversation.to_owned()),
        ..event(&destination, number)
    };
    let all = vec![of("a", 1), of("a", 2), of("b", 3), of("a", 4), event(&destination, 5)];
    enqueue(registry, all, NOW).await;
    let leased = lease(registry, NOW, 10).await;
    assert_eq!(seqs(&leased), [1, 3, 5], "one of each, and what has none");
    settle(registry, &leased[0], DOWN, NOW).await;
    settle(registry, &leased[1], OK, NOW).await;
    assert!(lease(registry, seconds(4), 10).await.is_empty(), "2 waits for 1");
    let now = seconds(5);
    let first = lease(registry, now, 10).await;
    assert_eq!(seqs(&first), [1]);
    settle(registry, &first[0], OK, now).await;
    for expected in [2, 4] {
        let leased = lease(registry, now, 10).await;
        assert_eq!(seqs(&leased), [expected]);
        settle(registry, &leased[0], OK, now).await;
    }
    // What is given up does not hold up the others for ever.
    enqueue(registry, vec![of("a", 6), of("a", 7), of("a", 8)], now).await;
    let head = lease(registry, now, 10).await;
    let once = Settling { schedule: Arc::from([]), ..settling(&head[0], DOWN, now) };
    settle_one(registry, once).await.unwrap();
    let next = lease(registry, now, 10).await;
    assert_eq!(seqs(&next), [7]);
    // Without order all go at once, and with it again one does.
    let change = async |ordered: bool| {
        let settings = settings(&json!({"ordered": ordered}));
        registry.change_destination(&Scope::Operator, destination.id, settings, now).await.unwrap()
    };
    change(false).await;
    enqueue(registry, vec![of("a", 9), of("a", 10)], now).await;
    change(true).await;
    assert!(lease(registry, now, 10).await.is_empty(), "7 is under way");
    settle(registry, &next[0], OK, now).await;
    assert_eq!(seqs(&lease(registry, now, 10).await), [8]);
    let now = seconds(60);
    assert_eq!(seqs(&lease(registry, now, 10).await), [5, 8], "their leases are over");
    change(false).await;
    assert_eq!(seqs(&lease(registry, now, 10).await), [9, 10]);
}

#[tokio::test]
async fn a_rate_is_kept_over_leases_and_restarts() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let settings = json!({"rate_per_second": 10, "concurrency": 64});
    let destination = add(registry, None, 1, &settings).await;
    enqueue(registry, (0..40).map(|it| event(&destination, it)).collect(), NOW).await;
    let mut bench = bench;
    let mut counts = Vec::new();
    for second in 0..3 {
        let mut count = 0;
        for tenth in 0..20 {
            let now = seconds(second).plus(Duration::from_millis(tenth * 50));
            let leased = lease(bench.store.registry(), now, 100).await;
            count += leased.len();
            for leased in leased {
                let outcome = AttemptOutcome::Refused { status: 500, retry_after: None };
                let outcome = if leased.seq % 2 == 0 { outcome } else { OK };
                settle(bench.store.registry(), &leased, outcome, now).await;
            }
        }
        counts.push(count);
        bench = bench.reopen();
    }
    assert_eq!(counts, [10, 10, 10]);
}

#[tokio::test]
async fn a_destination_with_much_to_do_starves_nobody() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let busy = add(registry, None, 1, &json!({"concurrency": 64})).await;
    enqueue(registry, (0..2_000).map(|it| event(&busy, it)).collect(), NOW).await;
    let mut quiet = BTreeSet::new();
    for number in 2..22 {
        let destination = add(registry, None, number, &json!({})).await;
        enqueue(registry, vec![event(&destination, 5_000)], seconds(1)).await;
        quiet.insert(destination.id);
    }
    let mut seen = BTreeSet::new();
    let mut of_busy = 0;
    for _ in 0..3 {
        for leased in lease(registry, seconds(1), 8).await {
            seen.insert(leased.destination);
            of_busy += usize::from(leased.destination == busy.id);
        }
    }
    assert!(seen.is_superset(&quiet), "{} of {}", seen.len(), quiet.len());
    assert!((1..=4).contains(&of_busy), "{of_busy}");
    let many = lease(registry, seconds(1), 32).await;
    assert_eq!(many.len(), 32, "who is alone gets all");
}

#[tokio::test]
async fn a_replay_is_a_delivery_of_its_own_and_made_once_a_request() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let own = add(registry, Some(&acme), 1, &json!({})).await;
    let operators = add(registry, None, 2, &json!({})).await;
    let of_operator = NewDelivery { tenant: Some(acme), ..event(&operators, 1) };
    enqueue(registry, vec![event(&own, 1)], NOW).await;
    let replay = async |scope: &Scope, request: Option<&str>| {
        let both = vec![event(&own, 1), of_operator.clone()];
        let how = Replaying { request, erasures: 0 };
        registry.replay_deliveries(scope, both, how, NOW).await.unwrap().unwrap()
    };
    assert_eq!(replay(&only("acme"), Some("r1")).await, 1, "its own alone");
    assert_eq!(replay(&only("acme"), Some("r1")).await, 1, "the same request, no more of them");
    assert_eq!(replay(&only("other"), None).await, 0);
    assert_eq!(replay(&Scope::Operator, Some("r2")).await, 2);
    assert_eq!(replay(&Scope::Operator, None).await, 2);
    let ids: Vec<_> = lease(registry, NOW, 100).await.iter().map(Leased::webhook_id).collect();
    let plain = format!("{}_{}", event(&own, 1).event, own.id);
    let replays: Vec<_> = ids.iter().filter_map(|it| it.strip_prefix(&plain)).collect();
    assert_eq!(replays, ["", "_r1", "_r2", "_r3"]);
    assert_eq!(ids.len(), 6);
    let disabled = Some(Disabled::ByHand);
    registry.set_destination_disabled(&only("acme"), own.id, disabled, NOW).await.unwrap();
    assert_eq!(replay(&Scope::Operator, Some("r3")).await, 1, "not to one that is disabled");
}

#[tokio::test]
async fn what_is_erased_or_about_to_be_is_neither_replayed_nor_tried_again() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({})).await;
    let of = |conversation: &str, number| NewDelivery {
        conversation: Some(conversation.to_owned()),
        ..event(&destination, number)
    };
    let replay = async |made, erasures| {
        let how = Replaying { request: None, erasures };
        registry.replay_deliveries(&Scope::Operator, made, how, NOW).await.unwrap()
    };
    enqueue(registry, vec![of("call-1", 1), of("call-2", 2)], NOW).await;
    for leased in lease(registry, NOW, 2).await {
        let once = Settling { schedule: Arc::from([]), ..settling(&leased, DOWN, NOW) };
        settle_one(registry, once).await.unwrap();
    }
    let seen = registry.erasures_done().await.unwrap();
    let (provider, external_id) = (of("", 1).provider, "call-1".to_owned());
    let target = ErasureTarget::Conversation { provider, external_id };
    let Written::Created(erasure) = registry.add_erasure(target, NOW).await.unwrap() else {
        panic!("it is new")
    };
    let both = || vec![of("call-1", 1), of("call-2", 2)];
    assert_eq!(replay(both(), seen).await, Some(1), "the other one alone");
    let all = list(registry, DeliveryFilter::default()).await;
    let doomed = all.iter().find(|it| it.seq == 1).unwrap();
    let retried = registry.retry_delivery(&Scope::Operator, doomed.id, NOW).await;
    assert!(matches!(retried, Err(RegistryError::NotFound)));
    let retried =
        registry.retry_deliveries(&Scope::Operator, DeliveryFilter::default(), Rows::ALL, NOW);
    assert_eq!(retried.await.unwrap().0, 1);
    assert_eq!(seqs(&lease(registry, NOW, 9).await), [2, 2]);

    registry.finish_erasure(&erasure.id, Erased::default(), seconds(1)).unwrap();
    assert_eq!(replay(both(), seen).await, None, "the events are to be read anew");
    let now = registry.erasures_done().await.unwrap();
    assert_eq!(replay(vec![of("call-2", 2)], now).await, Some(1));
}

#[tokio::test]
async fn while_a_breaker_is_open_what_comes_asks_for_no_lease_and_a_test_is_the_probe() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"concurrency": 64})).await;
    enqueue(registry, (0..30).map(|it| event(&destination, it)).collect(), NOW).await;
    let all: Vec<_> =
        lease(registry, NOW, 20).await.iter().map(|it| settling(it, DOWN, NOW)).collect();
    let settled = registry.settle_deliveries(all).await.unwrap();
    assert_eq!(settled.len(), 20, "together as one by one");
    assert!(settled.last().unwrap().unwrap().breaker.is_open());
    enqueue(registry, vec![event(&destination, 40)], seconds(1)).await;
    let next = registry.next_delivery().await.unwrap();
    assert_eq!(next, Some(seconds(5)), "not before the probe");
    registry.test_destination(&Scope::Operator, destination.id, seconds(2)).await.unwrap();
    assert_eq!(registry.next_delivery().await.unwrap(), Some(seconds(2)));
    let test = lease(registry, seconds(2), 100).await;
    assert_eq!((test.len(), test[0].seq), (1, 0));
    settle(registry, &test[0], OK, seconds(2)).await;
    assert_eq!(lease(registry, seconds(2), 100).await.len(), 11, "all that is due goes at once");
}

#[tokio::test]
async fn what_was_given_up_is_tried_again_from_the_beginning() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let destination = add(registry, Some(&acme), 1, &json!({"concurrency": 64})).await;
    enqueue(registry, (0..15).map(|it| event(&destination, it)).collect(), NOW).await;
    for leased in lease(registry, NOW, 15).await {
        let outcome = if leased.seq == 7 { OK } else { DOWN };
        let once = Settling { schedule: Arc::from([]), ..settling(&leased, outcome, NOW) };
        settle_one(registry, once).await.unwrap();
    }
    let all = list(registry, DeliveryFilter::default()).await;
    let of = |seq: u64| all.iter().find(|it| it.seq == seq).unwrap().id;
    let retry = async |scope: &Scope, id| registry.retry_delivery(scope, id, seconds(1)).await;
    assert!(matches!(retry(&only("other"), of(1)).await, Err(RegistryError::NotFound)));
    assert_eq!(retry(&only("acme"), of(7)).await.unwrap(), Retried::Delivered);
    assert_eq!(retry(&only("acme"), of(1)).await.unwrap(), Retried::Queued);
    let leased = lease(registry, seconds(1), 100).await;
    assert_eq!((seqs(&leased), leased[0].attempts), (vec![1], 0));
    assert_eq!(retry(&only("acme"), of(1)).await.unwrap(), Retried::Queued, "it is under way");
    settle(registry, &leased[0], OK, seconds(1)).await;
    assert_eq!(registry.attempts_of(&only("acme"), of(1)).await.unwrap().len(), 2);

    let retry_some = async |scope: &Scope, after| {
        let page = Rows { after, limit: 5 };
        let any = DeliveryFilter::default();
        registry.retry_deliveries(scope, any, page, seconds(2)).await.unwrap()
    };
    assert_eq!(retry_some(&only("other"), None).await, (0, None));
    let (mut after, mut counts) = (None, Vec::new());
    loop {
        let (count, next) = retry_some(&only("acme"), after).await;
        counts.push(count);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(counts, [5, 5, 3]);
    assert_eq!(retry_some(&only("acme"), None).await, (0, None), "all of them are due");
    assert_eq!(lease(registry, seconds(2), 100).await.len(), 13);
}

#[tokio::test]
async fn a_test_comes_before_all_that_waits() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"concurrency": 1})).await;
    enqueue(registry, (0..10).map(|it| event(&destination, it)).collect(), NOW).await;
    let id = registry.test_destination(&Scope::Operator, destination.id, NOW).await.unwrap();
    let leased = lease(registry, NOW, 10).await;
    assert_eq!((leased[0].delivery, leased[0].kind.as_str()), (id, "test"));
    let again = registry.test_destination(&Scope::Operator, destination.id, NOW).await.unwrap();
    assert_ne!(again, id);
}

#[tokio::test]
async fn who_follows_hears_of_work_and_of_destinations() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (mut work, mut changes) = (registry.deliveries_changed(), registry.destinations_changed());
    let destination = add(registry, None, 1, &json!({})).await;
    assert!(work.has_changed().unwrap() && changes.has_changed().unwrap());
    work.mark_unchanged();
    changes.mark_unchanged();
    enqueue(registry, vec![event(&destination, 1)], NOW).await;
    assert!(work.has_changed().unwrap() && !changes.has_changed().unwrap());
    work.mark_unchanged();
    enqueue(registry, Vec::new(), NOW).await;
    assert!(!work.has_changed().unwrap(), "there is nothing new");
}

#[tokio::test]
async fn a_page_has_what_its_filter_finds_and_its_scope_covers() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let own = add(registry, Some(&acme), 1, &json!({})).await;
    let operators = add(registry, None, 2, &json!({})).await;
    let started = |it: NewDelivery| NewDelivery { kind: "call.started".to_owned(), ..it };
    enqueue(registry, vec![event(&own, 1), started(event(&own, 2))], NOW).await;
    let of_operator = NewDelivery { tenant: Some(acme), ..event(&operators, 1) };
    enqueue(registry, vec![of_operator, event(&operators, 3)], seconds(9)).await;
    let places = async |scope: &Scope, filter: DeliveryFilter| -> Vec<u64> {
        let found = registry.deliveries(scope, filter, None, 10).await.unwrap();
        found.iter().map(|it| it.n).collect()
    };
    let any = DeliveryFilter::default;
    assert_eq!(places(&Scope::Operator, any()).await, [4, 3, 2, 1]);
    assert_eq!(places(&only("acme"), any()).await, [2, 1], "not the operator's of its events");
    assert!(places(&only("other"), any()).await.is_empty());
    let filters = [
        (DeliveryFilter { tenant: Some("acme".to_owned()), ..any() }, vec![3, 2, 1]),
        (DeliveryFilter { destination: Some(operators.id), ..any() }, vec![4, 3]),
        (DeliveryFilter { event: Some(event(&own, 1).event), ..any() }, vec![3, 1]),
        (DeliveryFilter { kind: Some("call.started".to_owned()), ..any() }, vec![2]),
        (DeliveryFilter { since: Some(seconds(9)), ..any() }, vec![4, 3]),
        (DeliveryFilter { until: Some(seconds(9)), ..any() }, vec![2, 1]),
        (DeliveryFilter { status: Some(DeliveryStatus::Pending), ..any() }, vec![4, 3, 2, 1]),
        (DeliveryFilter { status: Some(DeliveryStatus::Failed), ..any() }, vec![]),
    ];
    for (filter, expected) in filters {
        assert_eq!(places(&Scope::Operator, filter.clone()).await, expected, "{filter:?}");
    }
    let page = registry.deliveries(&Scope::Operator, any(), Some(3), 1).await.unwrap();
    assert_eq!(page.iter().map(|it| it.n).collect::<Vec<_>>(), [2]);
    for status in DeliveryStatus::ALL {
        assert_eq!(DeliveryStatus::named(status.name()), Some(status));
    }
    let id = page[0].id;
    assert_eq!(hookgate_store::DeliveryId::parse(&id.to_string()), Some(id));
}
