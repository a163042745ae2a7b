//! Refused requests: a ring of the latest.

use std::time::Duration;

use hookgate_core::time::Timestamp;
use hookgate_store::{Options, Order, Page, RejectionFilter, Ring, Share};

use crate::bench::{ALL, Bench, Call, NOON, blob, bytes_of, files};

fn refused(number: u64) -> Call {
    Call::status("c", number).with_token("guess")
}

fn everything() -> RejectionFilter {
    RejectionFilter { settled: true, ..RejectionFilter::default() }
}

fn generous() -> Options {
    let share = Share { records: 1_000_000, bytes: 1 << 40, refill: Duration::from_secs(1) };
    Options { rejections_share: share, ..Options::default() }
}

#[tokio::test]
async fn a_refused_request_is_kept_with_its_bytes_and_why() {
    let mut bench = Bench::new();
    bench.store.reject(&refused(1).unproven(), 401);
    for _ in 0..2 {
        let listed = bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap();
        assert_eq!(listed.len(), 1);
        let (found, body) = bench.store.rejection(listed[0].id).await.unwrap().unwrap();
        assert_eq!((found.status, found.verdict.as_str()), (401, "mismatch"));
        assert_eq!(found.scheme.as_deref(), Some("vapi.token"));
        assert!(found.reason.contains("under any secret"), "{}", found.reason);
        assert_eq!((found.source.as_str(), found.size), ("vapi", refused(1).body.len() as u64));
        assert_eq!(bytes_of(body), refused(1).body);
        bench = bench.reopen();
    }
}

#[tokio::test]
async fn what_became_an_event_is_settled_for_good() {
    let mut bench = Bench::new();
    bench.store.reject(&refused(1).unproven(), 401);
    bench.store.reject(&refused(2).unproven(), 401);
    let listed = bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap();
    let mut mended = Call::status("c", 1);
    mended.late = true;
    let receipt = bench.append(&mended).await;
    bench.store.settle(listed[1].id, receipt.id());
    for _ in 0..2 {
        let open = bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap();
        assert_eq!(open.iter().map(|it| it.id).collect::<Vec<_>>(), [listed[0].id]);
        let all = bench.store.rejections(everything(), ALL).await.unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].accepted_as, Some(receipt.id()));
        bench = bench.reopen();
    }
}

#[tokio::test]
async fn the_hash_of_a_token_can_still_be_judged() {
    let bench = Bench::new();
    bench.store.reject(&Call::status("c", 1).with_token("the right one, later").unproven(), 401);
    let listed = bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap();
    let (rejection, body) = bench.store.rejection(listed[0].id).await.unwrap().unwrap();
    let body = bytes_of(body);
    let judge = |secret: &str| {
        let source = crate::bench::source("vapi");
        hookgate_core::verify::verify(
            &source.policy,
            &hookgate_core::secret::Secrets::new(
                vec![hookgate_core::secret::Secret::new(secret)],
                vec![],
            ),
            hookgate_core::verify::Envelope {
                method: &rejection.method,
                url: "http://localhost/",
                headers: &rejection.headers,
                mask_key: Some(bench.store.mask_key()),
            },
            &body,
            rejection.received_at,
        )
    };
    assert!(judge("the right one, later").is_ok());
    assert!(judge("another").is_err());
}

#[tokio::test]
async fn filters_and_pages_show_each_once() {
    let bench = Bench::with(generous());
    for number in 0..40 {
        let source = if number % 4 == 0 { "vapi-two" } else { "vapi" };
        let at = NOON + i64::try_from(number).unwrap() * 1_000;
        bench.store.reject(&refused(number).to(source).at(at).unproven(), 401);
    }
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let filter = RejectionFilter {
            source: Some("vapi-two".to_owned()),
            since: Some(Timestamp::from_millis(NOON + 4_000)),
            until: Some(Timestamp::from_millis(NOON + 36_000)),
            settled: false,
        };
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = bench
                .store
                .rejections(filter.clone(), Page { order, after, limit: 3 })
                .await
                .unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.seq);
            found.extend(page.iter().map(|it| (it.received_at.millis() - NOON) / 1_000));
        }
        if order == Order::NewestFirst {
            found.reverse();
        }
        assert_eq!(found, [4, 8, 12, 16, 20, 24, 28, 32]);
    }
    let unknown = RejectionFilter { source: Some("none".to_owned()), ..RejectionFilter::default() };
    assert!(bench.store.rejections(unknown, ALL).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_oldest_are_overwritten() {
    let ring = Ring { bytes_max: 1 << 20, records_max: 1_000_000 };
    let mut bench = Bench::with(Options { rejections: ring, ..generous() });
    for number in 0..1_500 {
        let mut call = refused(number);
        call.body = format!("{number} {}", "x".repeat(2_000)).into();
        bench.store.reject(&call.unproven(), 401);
        if number % 50 == 0 {
            bench.store.rejections(everything(), ALL).await.unwrap();
        }
    }
    for _ in 0..2 {
        let kept = bench.store.rejections(everything(), ALL).await.unwrap();
        assert!((100..600).contains(&kept.len()), "{} are kept", kept.len());
        let (_, body) = bench.store.rejection(kept[0].id).await.unwrap().unwrap();
        assert!(bytes_of(body).starts_with(b"1499 "), "the newest is there");
        bench = bench.reopen();
    }
}

#[tokio::test]
async fn one_peer_cannot_overwrite_the_others() {
    let share = Share { records: 5, bytes: 1 << 20, refill: Duration::from_hours(24) };
    let bench = Bench::with(Options { rejections_share: share, ..Options::default() });
    for number in 0..20 {
        bench.store.reject(&refused(number).from([10, 0, 0, 1]).unproven(), 401);
    }
    bench.store.reject(&refused(99).from([10, 0, 0, 2]).unproven(), 401);
    let kept = bench.store.rejections(everything(), ALL).await.unwrap();
    assert_eq!(kept.len(), 6);
    assert_eq!(kept[0].peer.to_string(), "10.0.0.2");
    assert_eq!(bench.store.snapshot().rejections.dropped, 15);
}

#[tokio::test]
async fn a_large_body_goes_with_its_request() {
    let ring = Ring { bytes_max: 6 << 20, records_max: 1_000_000 };
    let mut bench = Bench::with(Options { rejections: ring, ..generous() });
    let bytes = vec![b'y'; 2 << 20];
    for number in 0..3 {
        let mut call = refused(number);
        call.body = bytes.clone().into();
        let large = blob(&bench.store, &bytes, 70_000).await;
        bench.store.reject(&call.unproven_large(large), 401);
    }
    for _ in 0..2 {
        let kept = bench.store.rejections(everything(), ALL).await.unwrap();
        assert_eq!(
            kept.len(),
            1,
            "two of the three are beyond the half of the ring that large bodies may take"
        );
        let (_, body) = bench.store.rejection(kept[0].id).await.unwrap().unwrap();
        assert_eq!(bytes_of(body), bytes);
        assert_eq!(files(&bench.path().join("rejections").join("blobs")).len(), 1);
        bench = bench.reopen();
    }
    assert_eq!(bench.store.snapshot().blobs.in_flight_bytes, 0);
}
