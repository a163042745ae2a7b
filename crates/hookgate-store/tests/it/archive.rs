//! Reading from outside.

use hookgate_store::{Archive, EventFilter, Order, Page, RejectionFilter};

use crate::bench::{ALL, Bench, Call, bytes_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_shows_every_receipt_while_the_store_writes() {
    let bench = Bench::new();
    let archive = Archive::open(bench.path()).unwrap();
    for number in 0..300 {
        let receipt = bench.append(&Call::status("c", number)).await;
        let event = archive.event(receipt.id()).unwrap().expect("it is there at once");
        assert_eq!(event.seq, receipt.seq());
        if number % 50 == 0 {
            let events = archive.events(&EventFilter::default(), ALL).unwrap();
            assert_eq!(events.len() as u64, number + 1);
        }
    }
    let body =
        archive.body(archive.events(&EventFilter::default(), ALL).unwrap()[0].id).unwrap().unwrap();
    assert_eq!(bytes_of(body), Call::status("c", 299).body);
}

#[tokio::test]
async fn an_archive_says_what_the_store_says_with_and_without_an_index() {
    let bench = Bench::new();
    for number in 0..40 {
        bench.append(&Call::status("c", number)).await;
    }
    bench.append(&Call::status("c", 7)).await;
    bench.store.quarantine(&Call::new("{").unreadable()).await.unwrap();
    bench.store.quarantine(&Call::status("c", 1).with_token("x").recorded()).await.unwrap();
    bench.store.reject(&Call::status("c", 1).with_token("x").unproven(), 401);
    let expected = format!("{:?}", bench.list().await);
    let rejected =
        format!("{:?}", bench.store.rejections(RejectionFilter::default(), ALL).await.unwrap());
    let look = |folder: &std::path::Path| {
        let archive = Archive::open(folder).unwrap();
        assert_eq!(
            format!("{:?}", archive.events(&EventFilter::default(), ALL).unwrap()),
            expected
        );
        let found = archive.rejections(&RejectionFilter::default(), ALL).unwrap();
        assert_eq!(format!("{found:?}"), rejected);
        assert!(archive.rejection(found[0].id).unwrap().is_some());
        let mut paged = Vec::new();
        let mut after = None;
        loop {
            let page = Page { order: Order::OldestFirst, after, limit: 9 };
            let events = archive.events(&EventFilter::default(), page).unwrap();
            let Some(last) = events.last() else { break };
            after = Some(last.seq);
            paged.extend(events);
        }
        paged.reverse();
        assert_eq!(format!("{paged:?}"), expected);
    };
    look(bench.path());
    let bench = bench.between(|folder| {
        look(folder);
        std::fs::remove_file(folder.join("index.sqlite")).unwrap();
        look(folder);
    });
    drop(bench);
}

#[test]
fn a_folder_without_a_store_is_no_archive() {
    let folder = tempfile::TempDir::new().unwrap();
    assert!(Archive::open(folder.path()).is_err());
    assert!(crate::bench::files(folder.path()).is_empty(), "and nothing is made there");
}
