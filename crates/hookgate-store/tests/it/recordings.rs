//! Rows of recordings, wherever the registry is. Their files are in `erasure.rs`.

use std::time::Duration;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::{
    Cursor, Erased, ErasureTarget, EventId, Made, NewRecording, RecordingCounts, Registry,
    Unfetched, Written,
};
use uuid::Uuid;

use crate::bench::{Bench, Kind, on_every_store};
use crate::deliveries::seconds;
use crate::registry::{NOW, add_tenant};

on_every_store!(
    a_recording_is_leased_by_one_and_tried_again_until_it_is_given_up,
    a_link_that_several_events_of_a_call_name_is_noted_once,
    what_was_erased_since_it_was_read_is_not_noted,
    a_tenants_recordings_go_with_it,
);

fn new(event: u128, tenant: Option<&TenantId>) -> NewRecording {
    NewRecording {
        event: EventId(Uuid::from_u128(event)),
        seq: 1,
        place: 0,
        tenant: tenant.cloned(),
        source: "vapi".to_owned(),
        provider: "vapi".to_owned(),
        conversation: Some("call-1".to_owned()),
        kind: "mixed",
        digest: Some([u8::try_from(event).unwrap(); 32]),
        received_at: NOW,
    }
}

/// Notes recordings; says whether the cursor moved.
async fn note(registry: &Registry, recordings: Vec<NewRecording>, erasures: u64) -> bool {
    let from = registry.cursor("events").await.unwrap();
    let cursor = Cursor { name: "events", from, to: from + 1, erasures };
    registry.keep_made(cursor, Made { recordings, ..Made::default() }, NOW).await.unwrap()
}

async fn pending(registry: &Registry) -> u64 {
    registry.recording_counts().await.unwrap().pending
}

async fn a_recording_is_leased_by_one_and_tried_again_until_it_is_given_up(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    assert_eq!(registry.next_recording().await.unwrap(), None);
    assert!(note(registry, vec![new(1, None)], 0).await);
    assert_eq!(registry.next_recording().await.unwrap(), Some(NOW));
    let lease = async |at: Timestamp| {
        registry.lease_recordings(at, 9, at.plus(Duration::from_mins(1))).await.unwrap().pop()
    };
    let first = lease(NOW).await.unwrap();
    assert!(lease(NOW).await.is_none(), "it is somebody's");
    assert_eq!(registry.next_recording().await.unwrap(), Some(seconds(60)), "its lease ends");
    let second = lease(seconds(60)).await.unwrap();
    assert!(!registry.holds_recording(&first).await.unwrap());
    assert!(registry.holds_recording(&second).await.unwrap());

    let failed = |again| Unfetched::Failed { reason: "nothing came", again };
    let late = registry.settle_recording(&first, failed(None), seconds(61)).await.unwrap();
    assert!(!late, "its lease was lost");
    let again = failed(Some(seconds(90)));
    assert!(registry.settle_recording(&second, again, seconds(61)).await.unwrap());
    assert_eq!(registry.next_recording().await.unwrap(), Some(seconds(90)));
    let third = lease(seconds(90)).await.unwrap();
    assert_eq!(third.attempts, 1);
    let postponed = Unfetched::Postponed { until: seconds(95) };
    assert!(registry.settle_recording(&third, postponed, seconds(91)).await.unwrap());
    let fourth = lease(seconds(95)).await.unwrap();
    assert_eq!(fourth.attempts, 1, "what was postponed was not tried");
    assert!(registry.settle_recording(&fourth, failed(None), seconds(96)).await.unwrap());
    assert_eq!(registry.next_recording().await.unwrap(), None);
    let counts = registry.recording_counts().await.unwrap();
    assert_eq!(counts, RecordingCounts { pending: 0, failed: 1 });
}

async fn a_link_that_several_events_of_a_call_name_is_noted_once(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let same = |event, tenant| NewRecording { digest: Some([7; 32]), ..new(event, tenant) };
    assert!(note(registry, vec![same(1, Some(&acme)), same(1, Some(&acme))], 0).await);
    assert!(note(registry, vec![same(2, Some(&acme))], 0).await);
    assert_eq!(pending(registry).await, 1);
    assert!(note(registry, vec![same(3, None)], 0).await);
    assert_eq!(pending(registry).await, 2, "whose it is makes it another one");
    let gone = registry.lease_recordings(NOW, 1, seconds(60)).await.unwrap().pop().unwrap();
    assert!(registry.settle_recording(&gone, Unfetched::Gone, NOW).await.unwrap());
    assert_eq!(pending(registry).await, 1);
    let nobody = TenantId::parse("nobody").unwrap();
    assert!(note(registry, vec![new(4, Some(&nobody))], 0).await);
    assert_eq!(pending(registry).await, 1, "a tenant that is not there has none");
}

async fn what_was_erased_since_it_was_read_is_not_noted(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    let seen = registry.erasures_done().await.unwrap();
    let (provider, external_id) = ("vapi".to_owned(), "call-1".to_owned());
    let target = ErasureTarget::Conversation { provider, external_id };
    let Written::Created(erasure) = registry.add_erasure(target, NOW).await.unwrap() else {
        panic!("it is new")
    };
    registry.finish_erasure(&erasure.id, Erased::default(), seconds(1)).unwrap();
    assert!(!note(registry, vec![new(1, None)], seen).await, "its event is to be read anew");
    assert_eq!((pending(registry).await, registry.cursor("events").await.unwrap()), (0, 0));
    let now = registry.erasures_done().await.unwrap();
    assert!(note(registry, vec![new(1, None)], now).await);
    assert_eq!(pending(registry).await, 1);
}

async fn a_tenants_recordings_go_with_it(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    assert!(note(registry, vec![new(1, Some(&acme)), new(2, None)], 0).await);
    assert_eq!(pending(registry).await, 2);
    let mut progress = bench.store.erasing();
    let erasure = bench.store.erase_tenant(&acme, NOW).await.unwrap();
    while registry.erasure(&erasure.id).await.unwrap().unwrap().finished_at.is_none() {
        let moved = tokio::time::timeout(Duration::from_mins(1), progress.changed()).await;
        moved.expect("the erasure ends").unwrap();
    }
    let left = registry.lease_recordings(NOW, 9, seconds(60)).await.unwrap();
    assert_eq!(left.iter().map(|it| it.event).collect::<Vec<_>>(), [new(2, None).event]);
}
