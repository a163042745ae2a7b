//! The index can be lost.

use std::path::Path;
use std::time::Duration;

use hookgate_core::tenant::Scope;
use hookgate_store::{EventFilter, ReadError};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::bench::{ALL, Bench, Call, NOON, files};

/// Every row, with its words.
pub(crate) fn rows(folder: &Path) -> Vec<String> {
    let connection = Connection::open(folder.join("index.sqlite")).unwrap();
    let mut all = Vec::new();
    for sql in [
        "SELECT printf('%d %s %d %d %d %s %s %s %s %d %d %s %s %s %s', seq, hex(e.id), log, place, received_at,
         s.word, p.word, t.word, k.word, status, verdict, n.word, conversation, external_id, hex(dedupe)) FROM events e
         JOIN words s ON s.id = source JOIN words p ON p.id = provider JOIN words t ON t.id = type
         JOIN words k ON k.id = kind LEFT JOIN words n ON n.id = tenant ORDER BY seq",
        "SELECT printf('span %d %d %d', span, first_at, last_at) FROM spans ORDER BY span",
        "SELECT printf('duplicates %d %d', seq, count) FROM duplicates ORDER BY seq",
        "SELECT printf('blob %s %d', hex(id), seq) FROM blobs ORDER BY id",
        "SELECT printf('decided %d %s %s %d %s', seq, kind, tenant, at, by) FROM decided ORDER BY seq",
        "SELECT printf('erased %d', seq) FROM erased ORDER BY seq",
        "SELECT printf('conversation %d %s %s %s %s %s %d', seq, p.word, external_id, t.word, agent_id, phone_number_id, at)
         FROM conversations JOIN words p ON p.id = provider JOIN words t ON t.id = tenant ORDER BY seq",
        "SELECT printf('named %s %d', t.word, seq) FROM violation_tenants JOIN words t ON t.id = tenant ORDER BY seq, t.word",
        "SELECT printf('progress %d %d %d', log, seq, place) FROM progress ORDER BY log",
    ] {
        let mut select = connection.prepare(sql).unwrap();
        let found = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        all.extend(found.map(Result::unwrap));
    }
    all
}

fn any_request() -> impl Strategy<Value = (u8, u64, i64)> {
    (0..8_u8, 0..30_u64, -100_000..100_000_i64)
}

async fn put(bench: &Bench, (form, number, at): (u8, u64, i64)) {
    let at = NOON + at;
    let receipt = match form {
        0..=2 => bench.append(&Call::status("c", number).at(at)).await,
        3 | 4 => bench.append(&Call::end("c", &number.to_string()).at(at)).await,
        5 => bench.store.quarantine(&Call::new("{").at(at).unreadable()).await.unwrap(),
        _ => {
            let forged = Call::status("c", number).at(at).with_token("guess").recorded();
            bench.store.quarantine(&forged).await.unwrap()
        }
    };
    assert!(receipt.seq() > 0, "places begin at one");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_made_anew_is_the_one_that_was_lost(
        requests in proptest::collection::vec(any_request(), 1..60),
        half in 0..60_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new();
            for (index, request) in requests.into_iter().enumerate() {
                if index == half {
                    bench = bench.reopen();
                }
                put(&bench, request).await;
            }
            let listed = format!("{:?}", bench.list().await);
            let mut lost = Vec::new();
            let bench = bench.between(|folder| {
                lost = rows(folder);
                std::fs::remove_file(folder.join("index.sqlite")).unwrap();
            });
            assert_eq!(format!("{:?}", bench.list().await), listed);
            bench.between(|folder| assert_eq!(rows(folder), lost));
        });
    }
}

#[tokio::test]
async fn garbage_in_place_of_the_index_is_replaced() {
    for garbage in
        [vec![], vec![7; 100], vec![0; 100_000], b"SQLite format 3\0 and then nothing".to_vec()]
    {
        let bench = Bench::new();
        for number in 0..20 {
            bench.append(&Call::status("c", number)).await;
        }
        let bench =
            bench.between(|folder| std::fs::write(folder.join("index.sqlite"), &garbage).unwrap());
        assert_eq!(bench.list().await.len(), 20, "after {} bytes of garbage", garbage.len());
        assert!(bench.append(&Call::status("c", 3)).await.is_duplicate());
    }
}

#[tokio::test]
async fn an_index_of_another_version_is_replaced() {
    let bench = Bench::new();
    bench.append(&Call::status("c", 1)).await;
    let bench = bench.between(|folder| {
        let connection = Connection::open(folder.join("index.sqlite")).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    });
    assert!(bench.store.snapshot().index.was_rebuilt);
    assert_eq!(bench.list().await.len(), 1);
}

#[tokio::test]
async fn an_index_that_knows_more_than_the_journal_is_replaced_and_said() {
    let bench = Bench::new();
    for number in 0..20 {
        bench.append(&Call::status("c", number)).await;
    }
    let bench = bench.between(|folder| {
        for file in files(&folder.join("journal")) {
            if file.extension().is_some_and(|it| it == "seg") || file.ends_with("next") {
                std::fs::remove_file(file).unwrap();
            }
        }
    });
    assert_eq!(bench.list().await.len(), 0);
    assert_eq!(bench.store.snapshot().recovered.missing, 20);
    let receipt = bench.append(&Call::status("c", 0)).await;
    assert!(!receipt.is_duplicate(), "what is lost cannot be repeated");
    assert!(receipt.seq() > 20, "no place is given twice");
}

#[tokio::test]
async fn an_index_that_breaks_in_use_is_made_anew() {
    let bench = Bench::new();
    for number in 0..3_000 {
        let event = Call::status("c", number).accepted();
        bench.store.append(&event, None).await.unwrap();
    }
    bench.list().await;
    // Written into the file itself, past the side file, and under the server's feet.
    let path = bench.path().join("index.sqlite");
    let connection = Connection::open(&path).unwrap();
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    drop(connection);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    for page in 3..length / 4096 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 4096], page * 4096).unwrap();
    }
    let begun = std::time::Instant::now();
    let events = loop {
        match bench.store.events(&Scope::Operator, EventFilter::default(), ALL).await {
            Ok(events) if events.len() == 3_000 => break events,
            // The pages that are in memory may still be whole for a while.
            Ok(_) | Err(_) => assert!(begun.elapsed().as_secs() < 30, "the index is not made anew"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(events[0].conversation_id.as_deref(), Some("c"));
    bench.append(&Call::status("d", 1)).await;
    let filter = EventFilter { conversation: Some("d".to_owned()), ..EventFilter::default() };
    assert_eq!(bench.store.events(&Scope::Operator, filter, ALL).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_index_that_cannot_be_written_makes_reads_say_so_and_loses_nothing() {
    let bench = Bench::new();
    bench.append(&Call::status("c", 1)).await;
    assert_eq!(bench.list().await.len(), 1);
    let blocker = Connection::open(bench.path().join("index.sqlite")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.append(&Call::status("c", 2)).await;
    let refused = bench.store.events(&Scope::Operator, EventFilter::default(), ALL).await;
    assert!(matches!(refused, Err(ReadError::Behind)), "{refused:?}");
    blocker.execute_batch("ROLLBACK").unwrap();
    let mut listed = bench.store.listed();
    let caught_up = listed.wait_for(|it| *it >= 2);
    tokio::time::timeout(Duration::from_secs(20), caught_up).await.unwrap().unwrap();
    assert_eq!(bench.list().await.len(), 2);
}

#[tokio::test]
async fn what_the_index_missed_while_it_closed_is_caught_up_at_the_start() {
    let bench = Bench::new();
    bench.append(&Call::status("c", 1)).await;
    bench.list().await;
    let blocker = Connection::open(bench.path().join("index.sqlite")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for number in 2..9 {
        bench.append(&Call::status("c", number)).await;
    }
    let bench = bench.between(|_| drop(blocker));
    assert_eq!(bench.list().await.len(), 8);
    assert!(!bench.store.snapshot().index.was_rebuilt);
}
