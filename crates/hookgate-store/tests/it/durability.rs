//! A receipt is on disk, and nothing else is: no secret, no file that others can read.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookgate_core::tenant::Scope;
use hookgate_store::{Options, Receipt};
use tempfile::TempDir;

use crate::bench::{Bench, Call, SECRET, blob, bytes_of, copy, files, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_issued_before_a_crash_is_there_after_it() {
    let bench = Bench::new();
    for round in 0..4 {
        let stop = Arc::new(AtomicBool::new(false));
        let receipts: Arc<std::sync::Mutex<Vec<(Receipt, String)>>> = Arc::default();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (store, stop, receipts) =
                    (bench.store.clone(), Arc::clone(&stop), Arc::clone(&receipts));
                tokio::spawn(async move {
                    for number in 0.. {
                        let call = Call::status(&format!("r{round}w{writer}"), number);
                        let receipt = store.append(&call.accepted(), None).await.unwrap();
                        let body = String::from_utf8(call.body.to_vec()).unwrap();
                        receipts.lock().unwrap().push((receipt, body));
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                })
            })
            .collect();
        while receipts.lock().unwrap().len() < 100 {
            tokio::task::yield_now().await;
        }
        let before = receipts.lock().unwrap().clone();
        // What a crash of the machine leaves: the files as they are at this moment.
        let crashed = TempDir::new().unwrap();
        let (from, to) = (bench.path().to_owned(), crashed.path().to_owned());
        tokio::task::spawn_blocking(move || copy(&from, &to)).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        // A database that was copied while it was written is none.
        for file in files(crashed.path()) {
            if file.file_name().unwrap().to_str().unwrap().starts_with("index.sqlite") {
                std::fs::remove_file(file).unwrap();
            }
        }
        let store = open(crashed.path(), &Options::default());
        for (receipt, body) in before {
            let found = store
                .body(&Scope::Operator, receipt.id())
                .await
                .unwrap()
                .expect("what was acknowledged is there");
            assert_eq!(bytes_of(found), body.as_bytes());
        }
    }
}

#[tokio::test]
async fn a_store_that_was_never_closed_opens_with_everything() {
    let bench = Bench::new();
    for number in 0..30 {
        bench.append(&Call::status("c", number)).await;
    }
    bench.append(&Call::status("c", 3)).await;
    let crashed = TempDir::new().unwrap();
    copy(bench.path(), crashed.path());
    let store = open(crashed.path(), &Options::default());
    assert!(store.append(&Call::status("c", 29).accepted(), None).await.unwrap().is_duplicate());
    assert!(!store.append(&Call::status("c", 30).accepted(), None).await.unwrap().is_duplicate());
    let events = store
        .events(&Scope::Operator, hookgate_store::EventFilter::default(), crate::bench::ALL)
        .await
        .unwrap();
    assert_eq!(events.len(), 31);
    assert_eq!(events.iter().map(|it| it.duplicates).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_token_is_in_no_file() {
    let bench = Bench::new();
    let mut call = Call::status("c", 1);
    call.headers.push(("x-vapi-secret", String::new()));
    call.headers.push(("cookie", format!("session={SECRET}")));
    bench.append(&call).await;
    bench.append(&call).await;
    bench.append(&Call::end("c", "1")).await;
    bench.append(&Call::end("c", "2")).await;
    let forged = Call::status("c", 2).with_token(&format!("{SECRET}x"));
    bench.store.reject(&forged.unproven(), 401);
    bench.store.quarantine(&forged.recorded()).await.unwrap();
    bench.store.quarantine(&Call::new("[").unreadable()).await.unwrap();
    let body = vec![b' '; 2 << 20];
    let mut large = Call::end("large", "x");
    let mut bytes = large.body.to_vec();
    bytes.extend_from_slice(&body);
    large.body = bytes.into();
    let kept = blob(&bench.store, &large.body, 100_000).await;
    bench.store.append(&large.accepted_large(kept), None).await.unwrap();
    bench.list().await;
    let look = |folder: &std::path::Path| {
        for file in files(folder) {
            let bytes = std::fs::read(&file).unwrap();
            let found = bytes.windows(SECRET.len()).any(|it| it == SECRET.as_bytes());
            assert!(!found, "the secret is in {}", file.display());
        }
    };
    look(bench.path());
    let bench = bench.between(look);
    let shown = bench.list().await.iter().map(|it| it.detail(None).to_string()).collect::<String>();
    assert!(!shown.contains(SECRET), "nor is it shown");
    assert!(shown.contains("Bearer sha256:"), "{shown}");
}

#[tokio::test]
async fn only_the_owner_reads_the_files() {
    let bench = Bench::new();
    bench.append(&Call::status("c", 1)).await;
    bench.store.reject(&Call::status("c", 1).with_token("x").unproven(), 401);
    blob(&bench.store, &vec![1; 1 << 20], 1 << 16).await;
    bench.list().await;
    for file in files(bench.path()) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    for folder in ["journal", "rejections", "blobs", "blobs/tmp", "rejections/blobs"] {
        let mode = std::fs::metadata(bench.path().join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
}

#[tokio::test]
async fn a_closed_store_takes_nothing() {
    let bench = Bench::new();
    bench.append(&Call::status("c", 1)).await;
    bench.store.close();
    let refused = bench.store.append(&Call::status("c", 2).accepted(), None).await;
    assert_eq!(refused.unwrap_err(), hookgate_store::Unavailable::Closing);
    assert_eq!(bench.store.admit(1).unwrap_err(), hookgate_store::Unavailable::Closing);
    assert_eq!(bench.reopen().list().await.len(), 1);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_is_stored() {
    let bench = Bench::new();
    let event = Call::status("c", 1).accepted();
    {
        let mut append = std::pin::pin!(bench.store.append(&event, None));
        // Polled once, then the client goes away.
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(append.as_mut().poll(context).is_pending())
        });
        let _ = polled.await;
    }
    let again = bench.append(&Call::status("c", 1)).await;
    assert!(again.is_duplicate());
    assert_eq!(bench.list().await.len(), 1);
}

#[tokio::test]
async fn the_masking_key_and_the_id_stay_the_same() {
    let bench = Bench::new();
    let (id, hash) = (bench.store.id(), bench.store.mask_key().hash(b"x"));
    let bench = bench.reopen();
    assert_eq!((bench.store.id(), bench.store.mask_key().hash(b"x")), (id, hash));
    let other = Bench::new();
    assert_ne!((other.store.id(), other.store.mask_key().hash(b"x")), (id, hash));
}
