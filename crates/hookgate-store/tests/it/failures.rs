//! A disk that fails, a folder that is not ours, a format that is not known.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use hookgate_journal::{Fault, LogId, Operation};
use hookgate_store::{Faults, OpenError, Options, Store, Unavailable};

use crate::bench::{Bench, Call};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A store whose disk fails for the log of events with this `errno` while it is not zero.
fn failing() -> (Bench, Arc<AtomicI32>) {
    failing_for(LogId::new(0), Duration::ZERO)
}

fn failing_for(failing: LogId, probe_interval: Duration) -> (Bench, Arc<AtomicI32>) {
    let errno = Arc::new(AtomicI32::new(0));
    let told = Arc::clone(&errno);
    let faults: hookgate_journal::Faults = Arc::new(move |operation| {
        let errno = told.load(Ordering::SeqCst);
        let fails = errno != 0 && matches!(operation, Operation::Write(log) if log == failing);
        fails.then_some(Fault::Errno(errno))
    });
    let options = Options { faults: Faults(Some(faults)), probe_interval, ..Options::default() };
    (Bench::with(options), errno)
}

#[tokio::test]
async fn a_full_disk_is_said_and_gets_over_it() {
    let (bench, errno) = failing();
    bench.append(&Call::status("c", 1)).await;
    errno.store(ENOSPC, Ordering::SeqCst);
    for _ in 0..3 {
        let refused = bench.store.append(&Call::status("c", 2).accepted(), None).await;
        assert_eq!(refused.unwrap_err(), Unavailable::DiskFull);
    }
    assert_eq!(bench.list().await.len(), 1, "what failed is not listed");
    errno.store(0, Ordering::SeqCst);
    assert!(!bench.append(&Call::status("c", 2)).await.is_duplicate());
    assert_eq!(bench.list().await.len(), 2);
    assert_eq!(bench.reopen().list().await.len(), 2);
}

#[tokio::test]
async fn a_failing_disk_is_not_asked_by_everyone() {
    let (bench, errno) = failing_for(LogId::new(0), Duration::from_hours(1));
    errno.store(EIO, Ordering::SeqCst);
    for _ in 0..2 {
        bench.store.append(&Call::status("c", 1).accepted(), None).await.unwrap_err();
    }
    errno.store(0, Ordering::SeqCst);
    // It would work again; that is found out when the hour is over.
    let refused = bench.store.append(&Call::status("c", 1).accepted(), None).await;
    assert_eq!(refused.unwrap_err(), Unavailable::Failed);
    assert_eq!(bench.store.admit(1).unwrap_err(), Unavailable::Failed);
    assert!(bench.reopen().list().await.is_empty());
}

#[tokio::test]
async fn a_ring_that_fails_does_not_stop_what_is_proven() {
    let (bench, errno) = failing_for(LogId::new(1), Duration::from_hours(1));
    errno.store(ENOSPC, Ordering::SeqCst);
    let forged = Call::status("c", 1).with_token("guess").recorded();
    for _ in 0..2 {
        let refused = bench.store.quarantine(&forged).await;
        assert_eq!(refused.unwrap_err(), Unavailable::DiskFull);
    }
    for number in 0..5 {
        bench.append(&Call::status("c", number)).await;
    }
    bench.store.admit(1).unwrap();
    assert_eq!(bench.list().await.len(), 5);
}

#[tokio::test]
async fn an_event_that_failed_is_no_original() {
    let (bench, errno) = failing();
    errno.store(EIO, Ordering::SeqCst);
    let event = Call::end("c", "x").accepted();
    // Both are on their way at once: the second takes the first for its original.
    let (first, second) =
        tokio::join!(bench.store.append(&event, None), bench.store.append(&event, None));
    assert_eq!(first.unwrap_err(), Unavailable::Failed);
    assert_eq!(second.unwrap_err(), Unavailable::Failed);
    errno.store(0, Ordering::SeqCst);
    let third = bench.append(&Call::end("c", "x")).await;
    assert!(!third.is_duplicate(), "the first that was stored is the original");
    let fourth = bench.append(&Call::end("c", "x")).await;
    assert_eq!((fourth.id(), fourth.is_duplicate()), (third.id(), true));
    let events = bench.list().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].duplicates, 1);
}

#[tokio::test]
async fn an_event_that_failed_and_that_nobody_waited_for_is_no_original() {
    let (bench, errno) = failing();
    errno.store(EIO, Ordering::SeqCst);
    let event = Call::status("c", 1).accepted();
    {
        let mut append = std::pin::pin!(bench.store.append(&event, None));
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(append.as_mut().poll(context).is_pending())
        });
        let _ = polled.await;
    }
    // Committed or failed in order: when this one has failed, so has the other.
    bench.store.append(&Call::status("c", 2).accepted(), None).await.unwrap_err();
    errno.store(0, Ordering::SeqCst);
    assert!(!bench.append(&Call::status("c", 1)).await.is_duplicate());
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_spared() {
    let bench =
        Bench::with(Options { disk_warn_percent: 0, disk_full_percent: 0, ..Options::default() });
    assert_eq!(bench.store.admit(1).unwrap_err(), Unavailable::DiskFull);
    let refused = bench.store.append(&Call::status("c", 1).accepted(), None).await;
    assert_eq!(refused.unwrap_err(), Unavailable::DiskFull);
    let disk = bench.store.snapshot().disk;
    assert!(disk.is_full && disk.is_low && disk.total_bytes > disk.free_bytes, "{disk:?}");
}

#[tokio::test]
async fn an_index_that_is_far_behind_holds_senders_back() {
    let bench = Bench::with(Options { index_lag_max: 1, ..Options::default() });
    let mut refused = 0;
    for number in 0..50 {
        match bench.store.append(&Call::status("c", number).accepted(), None).await {
            Ok(_) => {}
            Err(Unavailable::Behind) => {
                refused += 1;
                assert_eq!(
                    bench.list().await.len() + refused,
                    usize::try_from(number).unwrap() + 1
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "none was held back");
}

#[test]
fn a_folder_belongs_to_one_process() {
    let bench = Bench::new();
    let second = Store::open(bench.path(), Options::default(), hookgate_journal::wake_inline());
    assert!(matches!(second.unwrap_err(), OpenError::Locked));
    let sentence = OpenError::Locked.to_string();
    assert!(sentence.contains("stop it"), "{sentence}");
}

#[test]
fn a_registry_of_a_newer_version_is_left_alone() {
    let bench = Bench::new();
    bench.store.close();
    let Bench { store, folder, .. } = bench;
    drop(store);
    let registry = folder.path().join("registry.sqlite");
    let connection = rusqlite::Connection::open(&registry).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let bytes = std::fs::read(&registry).unwrap();
    let refused = Store::open(folder.path(), Options::default(), hookgate_journal::wake_inline())
        .unwrap_err();
    let is_newer = matches!(refused, OpenError::NewerFormat { found: 99, known: 1..=98, .. });
    assert!(is_newer, "{refused:?}");
    assert!(refused.to_string().contains("install that version"), "{refused}");
    assert_eq!(std::fs::read(&registry).unwrap(), bytes, "nothing was changed");
}

#[test]
fn a_damaged_registry_is_not_made_anew() {
    let bench = Bench::new();
    bench.store.close();
    let Bench { store, folder, .. } = bench;
    drop(store);
    std::fs::write(folder.path().join("registry.sqlite"), [7; 8192]).unwrap();
    let refused = Store::open(folder.path(), Options::default(), hookgate_journal::wake_inline())
        .unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt(_)), "{refused:?}");
}
