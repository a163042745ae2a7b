//! Deliveries to an endpoint that stays down, in simulated time: none waits for ever, and none
//! is given up before its time.

use std::sync::Arc;
use std::time::Duration;

use hookgate_core::delivery::AttemptOutcome;
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_store::{DeliveryFilter, DeliveryStatus, NewDelivery, Registry, Settling};
use serde_json::json;

use crate::bench::Bench;
use crate::deliveries::{DOWN, OK, add, enqueue, event, lease, settle_one, settling};
use crate::registry::NOW;

const HOUR: Duration = Duration::from_hours(1);

/// The schedule here: three attempts within two hours.
const SCHEDULE: [Duration; 2] = [HOUR, HOUR];

/// Tries what is due, until nothing is or the time is over.
async fn simulate(
    registry: &Registry,
    until: Timestamp,
    outcome: impl Fn(Timestamp) -> AttemptOutcome,
) {
    let mut now = NOW;
    while now < until {
        let leased = lease(registry, now, 64).await;
        let is_idle = leased.is_empty();
        for it in leased {
            let schedule = Arc::from(SCHEDULE);
            let settling = Settling { schedule, ..settling(&it, outcome(now), now) };
            settle_one(registry, settling).await.unwrap();
        }
        if is_idle {
            let Some(next) = registry.next_delivery().await.unwrap() else { return };
            now = next.max(now.plus(Duration::from_millis(1)));
        }
    }
}

async fn statuses(registry: &Registry, status: DeliveryStatus) -> Vec<hookgate_store::Delivery> {
    let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
    registry.deliveries(&Scope::Operator, filter, None, 10_000).await.unwrap()
}

#[tokio::test]
async fn behind_a_breaker_that_stays_open_the_schedule_goes_on() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({})).await;
    let healthy = add(registry, None, 2, &json!({})).await;
    let mut all: Vec<NewDelivery> = (0..700).map(|it| event(&destination, it)).collect();
    all.push(event(&healthy, 9_999));
    enqueue(registry, all, NOW).await;
    // One in a minute, three times 700 of them: without an end it would take more than a day.
    simulate(registry, NOW.plus(30 * 24 * HOUR), |_| DOWN).await;
    let failed = statuses(registry, DeliveryStatus::Failed).await;
    assert!(statuses(registry, DeliveryStatus::Pending).await.is_empty(), "none waits");
    assert_eq!(failed.len(), 701);
    let (mut tried, mut untried) = (0, 0);
    for it in &failed {
        let ended = it.finished_at.unwrap();
        let lasted = NOW.age(ended);
        assert!(lasted >= HOUR && lasted <= 24 * HOUR, "it had its time, and no more: {lasted:?}");
        let attempts = registry.attempts_of(&Scope::Operator, it.id).await.unwrap();
        let last = attempts.last().unwrap();
        if last.error.as_deref() == Some("breaker_open") {
            untried += 1;
            assert!(lasted >= 2 * HOUR, "as long as the schedule takes");
            assert_eq!(u32::try_from(attempts.len()).unwrap(), it.attempts + 1, "it says why");
        } else {
            tried += 1;
            assert_eq!(it.attempts, 3);
        }
    }
    assert!(tried > 0 && untried > 500, "{tried} {untried}");
}

#[tokio::test]
async fn an_endpoint_that_is_back_within_the_schedule_gets_everything() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"ordered": true})).await;
    let lanes = |it: u64| NewDelivery {
        conversation: Some(format!("call-{}", it % 30)),
        ..event(&destination, it)
    };
    enqueue(registry, (0..90).map(lanes).collect(), NOW).await;
    let back = NOW.plus(HOUR + HOUR / 2);
    simulate(registry, NOW.plus(12 * HOUR), |now| if now < back { DOWN } else { OK }).await;
    assert_eq!(statuses(registry, DeliveryStatus::Delivered).await.len(), 90);
}

#[tokio::test]
async fn of_a_conversation_in_order_none_waits_for_ever_either() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"ordered": true})).await;
    let lanes = |it: u64| NewDelivery {
        conversation: Some(format!("call-{}", it % 10)),
        ..event(&destination, it)
    };
    enqueue(registry, (0..100).map(lanes).collect(), NOW).await;
    // Each has its time after the one before it, as in a conversation that is merely stuck.
    simulate(registry, NOW.plus(120 * HOUR), |_| DOWN).await;
    assert!(statuses(registry, DeliveryStatus::Pending).await.is_empty());
}

#[tokio::test]
async fn a_gateway_that_was_off_for_days_gives_nothing_up_that_had_no_chance() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let destination = add(registry, None, 1, &json!({"concurrency": 64})).await;
    enqueue(registry, (0..100).map(|it| event(&destination, it)).collect(), NOW).await;
    let later = NOW.plus(100 * HOUR);
    for leased in lease(registry, later, 64).await {
        let schedule = Arc::from(SCHEDULE);
        let settling = Settling { schedule, ..settling(&leased, DOWN, later) };
        settle_one(registry, settling).await.unwrap();
    }
    let kept = registry.destination(&Scope::Operator, destination.id).await.unwrap().unwrap();
    assert!(kept.breaker.is_open());
    assert_eq!(statuses(registry, DeliveryStatus::Pending).await.len(), 100);
}
