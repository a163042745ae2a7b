//! What is kept within bounds.

use hookgate_core::received::Body as ReceivedBody;
use hookgate_testpg::Cluster;
use uuid::Uuid;

use super::bench::{ALL, Call, bytes_of};
use super::{Bench, database, number};
use crate::error::Unavailable;
use crate::filter::{Order, Page, RejectionFilter};
use crate::options::{Options, Ring, Share};
use crate::record::EventId;

fn forged(number: u64) -> Call {
    Call::status("c", number).with_token("wrong")
}

#[test]
fn the_ring_of_requests_without_proof_keeps_the_newest() {
    let database = database(Cluster::shared());
    let by_count = Ring { records_max: 10, bytes_max: 1 << 30 };
    let bench = Bench::with(&database.url(), Options { unproven: by_count, ..Options::default() });
    bench.append(&Call::status("kept", 1)).unwrap();
    for number in 0..25 {
        bench.wait(bench.node.quarantine(&forged(number).recorded())).unwrap();
    }
    let bench = {
        drop(bench);
        let mut client = database.connect();
        let ring = "SELECT count(*) FROM hookgate.events WHERE log = 1";
        let oldest = "SELECT min(seq) FROM hookgate.events WHERE log = 1";
        assert_eq!(number(&mut client, ring), 10);
        assert_eq!(number(&mut client, oldest), 17);
        let bytes: i64 = number(
            &mut client,
            "SELECT max(octet_length(head) + octet_length(payload))::bigint FROM hookgate.events",
        );
        let by_bytes = Ring { records_max: 1_000, bytes_max: 4 * u64::try_from(bytes).unwrap() };
        Bench::with(&database.url(), Options { unproven: by_bytes, ..Options::default() })
    };
    bench.wait(bench.node.quarantine(&forged(99).recorded())).unwrap();
    bench.node.close();
    let mut client = database.connect();
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.events WHERE log = 1"), 4);
    let kept = "SELECT count(*) FROM hookgate.events WHERE log = 0";
    assert_eq!(number(&mut client, kept), 1, "what is proven stays");
}

#[test]
fn a_peer_has_its_share_of_requests_without_proof() {
    let database = database(Cluster::shared());
    let share = Share { records: 2, bytes: 1 << 20, refill: std::time::Duration::from_hours(1) };
    let options = Options { unproven_share: share, rejections_share: share, ..Options::default() };
    let bench = Bench::with(&database.url(), options);
    let put =
        |number, peer| bench.wait(bench.node.quarantine(&forged(number).from(peer).recorded()));
    assert!(put(1, [1, 1, 1, 1]).is_ok() && put(2, [1, 1, 1, 1]).is_ok());
    assert_eq!(put(3, [1, 1, 1, 1]).unwrap_err(), Unavailable::Behind);
    assert!(put(4, [2, 2, 2, 2]).is_ok(), "another peer has its own");
    assert_eq!(bench.node.snapshot().unproven.dropped, 1);
    for number in 0..3 {
        bench.node.reject(&forged(number).from([1, 1, 1, 1]).unproven(), 401);
    }
    assert_eq!(bench.node.snapshot().rejections.dropped, 1);
    let all = bench.wait(bench.node.rejections(RejectionFilter::default(), ALL)).unwrap();
    assert_eq!(all.len(), 2);
}

#[test]
fn refused_requests_are_listed_settled_and_the_oldest_go() {
    let database = database(Cluster::shared());
    let rejections = Ring { records_max: 10, bytes_max: 1 << 30 };
    let bench = Bench::with(&database.url(), Options { rejections, ..Options::default() });
    let list =
        |filter: RejectionFilter, page| bench.wait(bench.node.rejections(filter, page)).unwrap();
    for number in 0..3 {
        bench.node.reject(&forged(number).unproven(), 401);
    }
    let all = list(RejectionFilter::default(), ALL);
    assert_eq!(all.len(), 3);
    assert!(all.windows(2).all(|it| it[0].seq > it[1].seq), "the newest first");
    let (rejection, body) = bench.wait(bench.node.rejection(all[2].id)).unwrap().unwrap();
    assert_eq!((rejection.status, rejection.id), (401, all[2].id));
    assert_eq!(bytes_of(body), forged(0).body);
    bench.node.settle(all[2].id, EventId(Uuid::from_u128(7)));
    let open = list(RejectionFilter { settled: false, ..RejectionFilter::default() }, ALL);
    assert_eq!(open.len(), 2);
    let settled = list(RejectionFilter { settled: true, ..RejectionFilter::default() }, ALL);
    assert_eq!(settled[2].accepted_as, Some(EventId(Uuid::from_u128(7))));
    let page = Page { order: Order::OldestFirst, after: Some(all[2].seq), limit: 1 };
    assert_eq!(
        list(RejectionFilter { settled: true, ..RejectionFilter::default() }, page)[0].id,
        all[1].id
    );
    let other = RejectionFilter { source: Some("retell".to_owned()), ..RejectionFilter::default() };
    assert!(list(other, ALL).is_empty());
    for number in 3..30 {
        bench.node.reject(&forged(number).unproven(), 401);
    }
    let left = list(RejectionFilter::default(), ALL);
    assert_eq!(left.len(), 10);
    assert!(bench.wait(bench.node.rejection(all[2].id)).unwrap().is_none());
    assert_eq!(bench.node.snapshot().rejections.kept, 10);
}

#[test]
fn the_large_body_of_a_refused_request_is_kept_and_goes_with_it() {
    let database = database(Cluster::shared());
    let rejections = Ring { records_max: 1_000, bytes_max: 3 << 20 };
    let bench = Bench::with(&database.url(), Options { rejections, ..Options::default() });
    let bytes: Vec<u8> = (0..2_500_000_u32).flat_map(u32::to_le_bytes).take(2_500_000).collect();
    let refuse = || {
        bench.wait(async {
            let mut writer = bench.node.begin_blob().await.unwrap();
            writer.write(bytes.clone().into()).await.unwrap();
            let blob = writer.finish().await.unwrap();
            let call = Call { body: bytes.clone().into(), ..forged(1) };
            let unproven = call.unproven_large(blob);
            assert!(matches!(unproven.received().body, ReceivedBody::Blob(_)));
            bench.node.reject(&unproven, 401);
        });
    };
    refuse();
    let all = bench.wait(bench.node.rejections(RejectionFilter::default(), ALL)).unwrap();
    let (_, body) = bench.wait(bench.node.rejection(all[0].id)).unwrap().unwrap();
    assert!(bytes_of(body) == bytes, "byte for byte");
    refuse();
    let left = bench.wait(bench.node.rejections(RejectionFilter::default(), ALL)).unwrap();
    assert_eq!(left.len(), 1, "both are too much");
    assert_ne!(left[0].id, all[0].id);
    let pieces = "SELECT count(DISTINCT id) FROM hookgate.blobs";
    assert_eq!(number(&mut database.connect(), pieces), 1);
    assert_eq!(bench.node.snapshot().rejections.blob_bytes, 2_500_000);
    assert_eq!(bench.node.snapshot().blobs.in_flight_bytes, 0);
}
