//! Repetitions: recognised for ever, and only of what was stored and accepted.

use std::time::{Duration, Instant};

use hookgate_core::tenant::Scope;
use hookgate_store::{EventFilter, Options, Receipt, Unavailable};

use crate::bench::{ALL, Bench, Call, Kind, on_every_store};

on_every_store!(
    the_same_bytes_again_are_counted_and_not_stored,
    the_same_event_with_other_bytes_is_stored_and_linked,
    another_source_or_tool_is_another_event,
    a_tool_called_by_url_alone_is_told_apart_by_its_query,
    requests_at_the_same_time_make_one_event,
    a_restart_forgets_no_event,
    what_nobody_may_act_on_absorbs_nothing,
);

async fn the_same_bytes_again_are_counted_and_not_stored(on: Kind) {
    let bench = Bench::on(on);
    let call = Call::status("c", 1);
    let first = bench.append(&call).await;
    for _ in 0..3 {
        let again = bench.append(&call).await;
        assert_eq!(
            (again.id(), again.seq(), again.is_duplicate()),
            (first.id(), first.seq(), true)
        );
    }
    let events = bench.list().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].duplicates, 3);
}

async fn the_same_event_with_other_bytes_is_stored_and_linked(on: Kind) {
    let bench = Bench::on(on);
    let first = bench.append(&Call::end("c", "one")).await;
    let again = bench.append(&Call::end("c", "two")).await;
    assert_eq!((again.id(), again.is_duplicate()), (first.id(), true));
    let events = bench.list().await;
    assert_eq!(events.len(), 2);
    assert_eq!((events[0].duplicate_of, events[1].duplicate_of), (Some(first.id()), None));
    assert_eq!(bench.bodies().await[1], Call::end("c", "two").body);
    // The original stays the one that others repeat.
    assert!(bench.append(&Call::end("c", "one")).await.is_duplicate());
    let original = bench.store.event(&Scope::Operator, first.id()).await.unwrap().unwrap();
    assert_eq!(original.duplicates, 1);
}

async fn another_source_or_tool_is_another_event(on: Kind) {
    let bench = Bench::on(on);
    bench.append(&Call::status("c", 1)).await;
    assert!(!bench.append(&Call::status("c", 1).to("vapi-two")).await.is_duplicate());
    let mut tool = Call::status("c", 1);
    tool.tool = Some("bookings_cancel".into());
    assert!(!bench.append(&tool).await.is_duplicate());
    assert!(bench.append(&tool).await.is_duplicate());
}

async fn a_tool_called_by_url_alone_is_told_apart_by_its_query(on: Kind) {
    let bench = Bench::on(on);
    let mut call = Call::status("c", 1);
    call.tool = Some("weather".into());
    call.body = "".into();
    for query in ["", "?city=Oslo", "?city=Rome"] {
        call.target = format!("/in/vapi/***/tools/weather{query}");
        assert!(!bench.append(&call).await.is_duplicate(), "{query}");
        assert!(bench.append(&call).await.is_duplicate(), "{query}");
    }
    call.body = r#"{"days":2}"#.into();
    assert!(!bench.append(&call).await.is_duplicate());
}

async fn requests_at_the_same_time_make_one_event(on: Kind) {
    let bench = Bench::on(on);
    let event = Call::status("c", 1).accepted();
    let (a, b, c) = tokio::join!(
        bench.store.append(&event, None),
        bench.store.append(&event, None),
        bench.store.append(&event, None)
    );
    let receipts = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(receipts.iter().filter(|it| it.is_duplicate()).count(), 2);
    assert!(receipts.iter().all(|it| it.id() == receipts[0].id()));
    assert_eq!(bench.list().await.len(), 1);
}

async fn a_restart_forgets_no_event(on: Kind) {
    let mut bench = Bench::on(on);
    let first = bench.append(&Call::end("c", "one")).await;
    let digest = bench.append(&Call::status("c", 1)).await;
    for round in 0..3 {
        bench = bench.reopen();
        let again = bench.append(&Call::end("c", "one")).await;
        assert_eq!(
            (again.id(), again.seq(), again.is_duplicate()),
            (first.id(), first.seq(), true)
        );
        assert_eq!(bench.append(&Call::status("c", 1)).await.id(), digest.id());
        let other = bench.append(&Call::end("c", &format!("other {round}"))).await;
        assert_eq!((other.id(), other.is_duplicate()), (first.id(), true));
    }
    assert_eq!(bench.list().await.len(), 5);
    let original = bench.store.event(&Scope::Operator, first.id()).await.unwrap().unwrap();
    assert_eq!(original.duplicates, 3);
}

/// Appends, and lets the merge of old keys catch up where it must.
async fn patiently(bench: &Bench, call: &Call) -> Receipt {
    let event = call.accepted();
    let begun = Instant::now();
    loop {
        match bench.store.append(&event, None).await {
            Ok(receipt) => return receipt,
            Err(Unavailable::Behind) => {
                assert!(begun.elapsed() < Duration::from_secs(10), "the merge never catches up");
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn keys_that_left_memory_are_still_known() {
    let options = Options { generation_keys_max: 3, ..Options::default() };
    let mut bench = Bench::with(options);
    let mut receipts = Vec::new();
    for number in 0..60 {
        let call = Call::end(&format!("c{number}"), "x");
        let receipt = patiently(&bench, &call).await;
        assert!(!receipt.is_duplicate(), "call {number} is new");
        receipts.push(receipt);
    }
    for round in 0..3 {
        for (number, first) in receipts.iter().enumerate() {
            let again = patiently(&bench, &Call::end(&format!("c{number}"), "x")).await;
            assert_eq!(
                (again.id(), again.seq(), again.is_duplicate()),
                (first.id(), first.seq(), true),
                "call {number} in round {round}"
            );
        }
        let variant = patiently(&bench, &Call::end("c5", &format!("other {round}"))).await;
        assert_eq!((variant.id(), variant.is_duplicate()), (receipts[5].id(), true));
        bench = bench.reopen();
    }
    let events = bench.list().await;
    assert_eq!(events.len(), 63);
    assert!(events.iter().filter(|it| it.duplicate_of.is_none()).all(|it| it.duplicates == 3));
    let keys = bench.store.snapshot().dedupe;
    assert!(keys.keys_in_memory <= 15 && keys.keys_in_table >= 45, "{keys:?}");
}

#[tokio::test]
async fn an_index_made_anew_knows_every_key() {
    let options = Options { generation_keys_max: 3, ..Options::default() };
    let bench = Bench::with(options);
    for number in 0..20 {
        patiently(&bench, &Call::end(&format!("c{number}"), "x")).await;
    }
    let bench = bench.between(|folder| std::fs::remove_file(folder.join("index.sqlite")).unwrap());
    assert!(bench.store.snapshot().index.was_rebuilt);
    for number in 0..20 {
        assert!(patiently(&bench, &Call::end(&format!("c{number}"), "x")).await.is_duplicate());
    }
}

async fn what_nobody_may_act_on_absorbs_nothing(on: Kind) {
    let bench = Bench::on(on);
    let call = Call::status("c", 1);
    let forged = call.clone().with_token("guess");
    let recorded = bench.store.quarantine(&forged.recorded()).await.unwrap();
    assert!(!bench.append(&call).await.is_duplicate());
    // Nor is it absorbed.
    let again = bench.store.quarantine(&forged.recorded()).await.unwrap();
    assert!(!again.is_duplicate());
    assert_ne!(again.id(), recorded.id());
    let unreadable = Call::new("{{");
    for _ in 0..2 {
        assert!(!bench.store.quarantine(&unreadable.unreadable()).await.unwrap().is_duplicate());
    }
    assert_eq!(
        bench.store.events(&Scope::Operator, EventFilter::default(), ALL).await.unwrap().len(),
        5
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_with_little_memory_make_each_event_once() {
    let options = Options { generation_keys_max: 2, ..Options::default() };
    let bench = std::sync::Arc::new(Bench::with(options));
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let bench = std::sync::Arc::clone(&bench);
            tokio::spawn(async move {
                let mut new = 0;
                for step in 0..60 {
                    // Each sender goes through the same calls in an order of its own.
                    let number = (step * 7 + sender * 11) % 60;
                    let receipt = patiently(&bench, &Call::end(&format!("c{number}"), "x")).await;
                    new += usize::from(!receipt.is_duplicate());
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for sender in senders {
        new += sender.await.unwrap();
    }
    assert_eq!(new, 60);
    let events = bench.list().await;
    assert_eq!(events.len(), 60);
    assert_eq!(events.iter().map(|it| it.duplicates).sum::<u64>(), 8 * 60 - 60);
}
