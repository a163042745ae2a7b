//! Accepted requests without proof: a ring of their own.

use std::time::Duration;

use hookgate_core::tenant::Scope;
use hookgate_store::{EventFilter, Options, Ring, Share, Status, Unavailable};

use crate::bench::{ALL, Bench, Call, bytes_of};

fn generous() -> Share {
    Share { records: 1_000_000, bytes: 1 << 40, refill: Duration::from_secs(1) }
}

#[tokio::test]
async fn it_is_kept_apart_and_never_interpreted() {
    let bench = Bench::new();
    let forged = Call::end("c", "x").with_token("guess");
    let receipt = bench.store.quarantine(&forged.recorded()).await.unwrap();
    let event = bench.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    assert_eq!(event.status, Status::Quarantined);
    assert_eq!((event.verdict.as_str(), event.cause.as_deref()), ("mismatch", Some("unproven")));
    assert_eq!((event.event_type.as_str(), event.conversation_id), ("", None));
    assert!(event.reason.unwrap().contains("under any secret"));
    assert_eq!(
        bytes_of(bench.store.body(&Scope::Operator, receipt.id()).await.unwrap().unwrap()),
        forged.body
    );
}

#[tokio::test]
async fn the_oldest_are_overwritten_and_leave_the_lists() {
    let ring = Ring { bytes_max: 512 << 10, records_max: 1_000_000 };
    let options = Options {
        unproven: ring,
        unproven_share: generous(),
        segment_bytes_max: 64 << 10,
        ..Options::default()
    };
    let mut bench = Bench::with(options);
    let accepted = bench.append(&Call::status("kept", 1)).await;
    let padding = "x".repeat(2_000);
    let mut last = None;
    for number in 0..1_000 {
        let forged = Call::end(&number.to_string(), &padding).with_token("guess");
        last = Some(bench.store.quarantine(&forged.recorded()).await.unwrap());
    }
    for _ in 0..2 {
        let events = bench.list().await;
        let unproven = events.iter().filter(|it| it.status == Status::Quarantined).count();
        assert!((50..350).contains(&unproven), "{unproven} are kept");
        assert_eq!(events[0].id, last.unwrap().id(), "the newest is there");
        assert_eq!(events.last().unwrap().id, accepted.id(), "what is proven is not touched");
        for event in &events {
            assert!(
                bench.store.body(&Scope::Operator, event.id).await.unwrap().is_some(),
                "what is listed is there"
            );
        }
        let filter = EventFilter { status: Some(Status::Quarantined), ..EventFilter::default() };
        assert_eq!(
            bench.store.events(&Scope::Operator, filter, ALL).await.unwrap().len(),
            unproven
        );
        bench = bench.reopen();
    }
    let bytes: u64 = crate::bench::files(&bench.path().join("journal").join("unproven"))
        .iter()
        .map(|it| it.metadata().unwrap().len())
        .sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

#[tokio::test]
async fn one_peer_cannot_overwrite_the_others() {
    let share = Share { records: 5, bytes: 1 << 20, refill: Duration::from_hours(24) };
    let bench = Bench::with(Options { unproven_share: share, ..Options::default() });
    let forged = |number, peer| {
        Call::status("c", number).with_token("guess").from([10, 0, 0, peer]).recorded()
    };
    let mut refused = 0;
    for number in 0..20 {
        match bench.store.quarantine(&forged(number, 1)).await {
            Ok(_) => {}
            Err(Unavailable::Behind) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 15);
    assert_eq!(bench.store.snapshot().unproven.dropped, 15);
    bench.store.quarantine(&forged(1, 2)).await.unwrap();
    // What is proven has no such bound.
    for number in 0..20 {
        bench.append(&Call::status("c", number).from([10, 0, 0, 1])).await;
    }
}
