//! Large bodies: a file each.

use bytes::Bytes;
use hookgate_core::tenant::Scope;
use hookgate_store::{Options, Unavailable};

use crate::bench::{Bench, Call, blob, bytes_of, files};

/// A JSON body of about this size that is a call's end.
fn large(call: &str, bytes: usize) -> Call {
    Call::end(call, &"0123456789abcdef".repeat(bytes / 16))
}

fn blob_files(bench: &Bench) -> usize {
    files(&bench.path().join("blobs")).len()
}

#[tokio::test]
async fn a_large_body_comes_back_byte_for_byte() {
    let mut bench = Bench::new();
    let call = large("c", 5 << 20);
    let kept = blob(&bench.store, &call.body, 99_999).await;
    assert_eq!(kept.bytes, call.body.len() as u64);
    assert_eq!(kept.sha256, hookgate_core::digest::sha256(&call.body));
    assert_eq!(bench.store.snapshot().blobs.in_flight_bytes, kept.bytes);
    let receipt = bench.store.append(&call.accepted_large(kept), None).await.unwrap();
    assert_eq!(bench.store.snapshot().blobs.in_flight_bytes, 0);
    for _ in 0..2 {
        let event = bench.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
        assert_eq!((event.size, event.sha256), (kept.bytes, kept.sha256));
        assert_eq!(
            bytes_of(bench.store.body(&Scope::Operator, receipt.id()).await.unwrap().unwrap()),
            call.body
        );
        bench = bench.reopen();
    }
    let file =
        std::fs::File::open(bench.path()).map(|_| bench.store.open_blob(&kept).unwrap()).unwrap();
    assert_eq!(file.metadata().unwrap().len(), kept.bytes);
}

#[tokio::test]
async fn a_large_body_that_is_dropped_leaves_nothing() {
    let bench = Bench::new();
    let mut writer = bench.store.begin_blob().await.unwrap();
    for _ in 0..20 {
        writer.write(Bytes::from(vec![7; 100_000])).await.unwrap();
    }
    assert_eq!(blob_files(&bench), 1);
    drop(writer);
    assert_eq!(blob_files(&bench), 0);
    assert_eq!(bench.store.snapshot().blobs.in_flight_bytes, 0);
    let finished = blob(&bench.store, &vec![1; 300_000], 1_000).await;
    bench.store.discard_blob(&finished);
    assert_eq!((blob_files(&bench), bench.store.snapshot().blobs.in_flight_bytes), (0, 0));
}

#[tokio::test]
async fn a_large_body_that_nobody_kept_is_gone_after_a_restart() {
    let bench = Bench::new();
    let finished = blob(&bench.store, &vec![1; 300_000], 1_000).await;
    assert_eq!(blob_files(&bench), 1);
    let bench = bench.reopen();
    assert_eq!(blob_files(&bench), 0);
    assert!(bench.store.open_blob(&finished).is_err());
}

#[tokio::test]
async fn a_large_body_in_its_place_without_a_record_is_removed_at_the_start() {
    let bench = Bench::new();
    let call = large("c", 2 << 20);
    let kept = blob(&bench.store, &call.body, 100_000).await;
    let receipt = bench.store.append(&call.accepted_large(kept), None).await.unwrap();
    let bench = bench.between(|folder| {
        let shelf = folder.join("blobs").join("2a");
        std::fs::create_dir_all(&shelf).unwrap();
        std::fs::write(shelf.join("0197b0f0a0007000800000000000002a"), b"orphan").unwrap();
    });
    assert_eq!(bench.store.snapshot().recovered.orphaned_blobs, 1);
    assert_eq!(blob_files(&bench), 1);
    assert!(bench.store.body(&Scope::Operator, receipt.id()).await.unwrap().is_some());
}

#[tokio::test]
async fn the_bytes_on_their_way_are_bounded() {
    let bench = Bench::with(Options { blobs_in_flight_bytes_max: 1_000_000, ..Options::default() });
    let mut first = bench.store.begin_blob().await.unwrap();
    first.write(Bytes::from(vec![1; 900_000])).await.unwrap();
    let mut second = bench.store.begin_blob().await.unwrap();
    assert_eq!(second.write(Bytes::from(vec![2; 200_000])).await.unwrap_err(), Unavailable::Behind);
    drop(first);
    second.write(Bytes::from(vec![2; 200_000])).await.unwrap();
}

#[tokio::test]
async fn a_large_repetition_is_recognised_and_its_file_removed() {
    let bench = Bench::new();
    let call = large("c", 2 << 20);
    let first = blob(&bench.store, &call.body, 1 << 20).await;
    let first = bench.store.append(&call.accepted_large(first), None).await.unwrap();
    let again = blob(&bench.store, &call.body, 1 << 20).await;
    let again = bench.store.append(&call.accepted_large(again), None).await.unwrap();
    assert_eq!((again.id(), again.is_duplicate()), (first.id(), true));
    assert_eq!(blob_files(&bench), 1);
    let other = large("c", 3 << 20);
    let kept = blob(&bench.store, &other.body, 1 << 20).await;
    assert!(bench.store.append(&other.accepted_large(kept), None).await.unwrap().is_duplicate());
    assert_eq!(blob_files(&bench), 2, "other bytes stay");
    assert_eq!(bench.store.snapshot().blobs.in_flight_bytes, 0);
}

#[tokio::test]
async fn a_large_append_that_nobody_waits_for_is_stored() {
    let bench = Bench::new();
    let call = large("c", 2 << 20);
    let kept = blob(&bench.store, &call.body, 1 << 20).await;
    let event = call.accepted_large(kept);
    {
        let mut append = std::pin::pin!(bench.store.append(&event, None));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(append.as_mut().poll(context).is_pending())
        });
        let _ = polled.await;
    }
    let begun = std::time::Instant::now();
    while bench.list().await.is_empty() {
        assert!(begun.elapsed().as_secs() < 10, "it is never stored");
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.bodies().await[0].len() as u64, kept.bytes);
}
