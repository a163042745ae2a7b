//! Checking, rebuilding, copying.

use std::os::unix::fs::FileExt;

use hookgate_core::tenant::Scope;
use hookgate_store::{
    EventFilter, MaintenanceError, OpenError, Options, RejectionFilter, backup, check, rebuild,
};
use tempfile::TempDir;

use crate::bench::{ALL, Bench, Call, blob, bytes_of, files, open};

async fn filled() -> Bench {
    let bench = Bench::new();
    for number in 0..50 {
        bench.append(&Call::status("c", number)).await;
    }
    bench.append(&Call::status("c", 7)).await;
    bench.store.quarantine(&Call::status("c", 1).with_token("x").recorded()).await.unwrap();
    bench.store.reject(&Call::status("c", 1).with_token("x").unproven(), 401);
    let call = Call::end("large", &"x".repeat(2 << 20));
    let kept = blob(&bench.store, &call.body, 1 << 20).await;
    bench.store.append(&call.accepted_large(kept), None).await.unwrap();
    bench.list().await;
    // The ring is synced when it is closed; only what is behind that may be torn.
    let bench = bench.reopen();
    bench.store.reject(&Call::status("c", 2).with_token("y").unproven(), 401);
    bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap();
    bench
}

#[tokio::test]
async fn a_whole_store_passes_the_check_open_or_closed() {
    let bench = filled().await;
    let look = |folder: &std::path::Path| {
        let mut steps = 0;
        let report = check(folder, |_| steps += 1).unwrap();
        assert!(report.is_clean() && !report.has_no_index, "{report:?}");
        assert_eq!((report.events, report.blobs), (52, 1));
        assert!(report.records >= 54 && steps > 0, "{report:?}");
    };
    look(bench.path());
    bench.between(look);
}

#[tokio::test]
async fn a_flipped_byte_is_found_wherever_it_is() {
    for (folder, needle) in [
        ("journal/events", &b"status-update"[..]),
        ("rejections/refused", b"status-update"),
        ("blobs", b"xxxxxxxx"),
    ] {
        let bench = filled().await;
        bench.between(|root| {
            let mut flipped = false;
            for file in files(&root.join(folder)) {
                let bytes = std::fs::read(&file).unwrap();
                if let Some(at) = bytes.windows(needle.len()).position(|it| it == needle) {
                    let handle = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
                    handle.write_all_at(b"!", at as u64 + 3).unwrap();
                    flipped = true;
                    break;
                }
            }
            assert!(flipped, "there is something to flip in {folder}");
            let report = check(root, |_| {}).unwrap();
            assert!(!report.is_clean(), "{folder}: {report:?}");
            assert_eq!(report.details.len(), 1, "{report:?}");
        });
    }
}

#[tokio::test]
async fn an_index_that_disagrees_is_found_and_mended() {
    let bench = filled().await;
    let listed = format!("{:?}", bench.list().await);
    let bench = bench.between(|folder| {
        let connection = rusqlite::Connection::open(folder.join("index.sqlite")).unwrap();
        connection.execute("DELETE FROM events WHERE seq IN (3, 9)", []).unwrap();
        connection.execute("UPDATE events SET place = place + 8 WHERE seq = 5", []).unwrap();
        drop(connection);
        let report = check(folder, |_| {}).unwrap();
        assert_eq!((report.misindexed, report.corrupt), (3, 0), "{report:?}");
        let connection = rusqlite::Connection::open(folder.join("index.sqlite")).unwrap();
        let invented =
            "INSERT INTO events SELECT 9, randomblob(16), log, place, received_at, source, provider, type,
            kind, status, verdict, tenant, conversation, external_id, dedupe FROM events WHERE seq = 4";
        connection.execute(invented, []).unwrap();
        connection.execute("DELETE FROM duplicates", []).unwrap();
        drop(connection);
        assert_eq!(check(folder, |_| {}).unwrap().misindexed, 3);
        let mut records = 0;
        rebuild(folder, |progress| records = records.max(progress.done)).unwrap();
        assert_eq!(records, 53);
        assert!(check(folder, |_| {}).unwrap().is_clean());
    });
    assert_eq!(format!("{:?}", bench.list().await), listed);
    assert!(bench.append(&Call::status("c", 7)).await.is_duplicate());
    let refused = rebuild(bench.path(), |_| {}).unwrap_err();
    assert!(matches!(refused, MaintenanceError::Open(OpenError::Locked)), "{refused}");
}

#[test]
fn nothing_is_made_where_there_is_no_store() {
    let folder = TempDir::new().unwrap();
    assert!(rebuild(folder.path(), |_| {}).is_err());
    assert!(check(folder.path(), |_| {}).is_err());
    assert!(backup(folder.path(), &folder.path().join("copy"), |_| {}).is_err());
    assert!(files(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_store_opens_and_holds_everything_before_it() {
    let bench = filled().await;
    std::fs::write(bench.path().join("master.key"), b"key").unwrap();
    std::fs::write(bench.path().join("admin.token"), b"token").unwrap();
    for round in 0..3 {
        let before = bench.list().await;
        let store = bench.store.clone();
        let writer = tokio::spawn(async move {
            for number in 0..500 {
                store
                    .append(&Call::status(&format!("r{round}"), number).accepted(), None)
                    .await
                    .unwrap();
            }
        });
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("copy");
        let (from, to) = (bench.path().to_owned(), target.clone());
        tokio::task::spawn_blocking(move || backup(&from, &to, |_| {}).unwrap()).await.unwrap();
        writer.await.unwrap();

        let names: Vec<_> =
            std::fs::read_dir(&target).unwrap().map(|it| it.unwrap().file_name()).collect();
        for private in ["index.sqlite", "master.key", "admin.token"] {
            assert!(!names.iter().any(|it| it == private), "{names:?}");
        }
        let report = check(&target, |_| {}).unwrap();
        assert!(report.is_clean() && report.has_no_index, "{report:?}");
        let copy = open(&target, &Options::default());
        assert_eq!(copy.snapshot().recovered.corrupt, 0);
        assert_eq!(copy.id(), bench.store.id());
        for event in &before {
            let found = copy
                .event(&Scope::Operator, event.id)
                .await
                .unwrap()
                .expect("it was acknowledged before");
            assert_eq!(format!("{found:?}"), format!("{event:?}"));
            let body = copy.body(&Scope::Operator, event.id).await.unwrap().unwrap();
            assert_eq!(
                bytes_of(body),
                bytes_of(bench.store.body(&Scope::Operator, event.id).await.unwrap().unwrap())
            );
        }
        assert_eq!(copy.rejections(RejectionFilter::default(), ALL).await.unwrap().len(), 2);
        assert!(copy.append(&Call::status("c", 7).accepted(), None).await.unwrap().is_duplicate());
        assert!(
            !copy.append(&Call::status("new", 1).accepted(), None).await.unwrap().is_duplicate()
        );
        let all = copy.events(&Scope::Operator, EventFilter::default(), ALL).await.unwrap();
        assert!(all.len() > before.len());
    }
}

#[tokio::test]
async fn a_backup_overwrites_nothing() {
    let bench = filled().await;
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("precious"), b"x").unwrap();
    let refused = backup(bench.path(), folder.path(), |_| {}).unwrap_err();
    assert!(matches!(refused, MaintenanceError::TargetTaken(_)), "{refused}");
    assert_eq!(files(folder.path()).len(), 1);
}
