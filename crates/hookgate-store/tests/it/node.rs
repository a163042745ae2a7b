//! What only a store in PostgreSQL has to show: that nothing of what was erased is in a table,
//! and that large bodies come back from their pieces.

use std::sync::{Arc, Condvar, Mutex};

use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{Body, Erasure, EventFilter, Hook, Options};
use postgres::{Client, NoTls};

use crate::bench::{ALL, Bench, Kind, blob, bytes_of};
use crate::registry::NOW;
use crate::tenancy::{call, only, receive, receive_all, two_tenants};

/// Stands in bodies and ids of what is to be erased, and nowhere else.
const CANARY: &str = "canary-7be1";

/// How many rows of all tables of events say this.
fn traces(bench: &Bench, text: &str) -> i64 {
    let url = bench.database.as_ref().unwrap().url();
    let text = text.to_owned();
    let count = move || {
        let mut client = Client::connect(&url, NoTls).unwrap();
        let mut count = 0;
        for table in
            ["events", "blobs", "adopted", "violation_tenants", "repetitions", "rejections"]
        {
            let sql = format!(
                "SELECT count(*) FROM hookgate.{table} AS it WHERE it::text LIKE '%' || $1 || '%' \
                 OR it::text LIKE '%' || encode(convert_to($1, 'UTF8'), 'hex') || '%'"
            );
            count += client.query_one(&sql, &[&text]).unwrap().get::<_, i64>(0);
        }
        count
    };
    std::thread::spawn(count).join().unwrap()
}

async fn done(bench: &Bench, erasure: &Erasure) -> Erasure {
    let mut erasing = bench.store.erasing();
    loop {
        let now = bench.store.registry().erasure(&erasure.id).await.unwrap().unwrap();
        if now.finished_at.is_some() {
            return now;
        }
        erasing.changed().await.unwrap();
    }
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_tenant_is_in_any_table_and_the_others_stay() {
    let bench = Bench::on(Kind::Postgres);
    two_tenants(&bench).await;
    let conversation = format!("{CANARY}-call");
    for number in 0..3 {
        receive(&bench, &call(&conversation, "agent-acme", &format!("{CANARY} {number}"))).await;
    }
    receive(&bench, &call(&conversation, "agent-acme", &format!("{CANARY} 0"))).await;
    let large = call(&conversation, "agent-acme", &CANARY.repeat(200_000));
    let bytes = blob(&bench.store, &large.body, 300_000).await;
    let event = large.accepted_large_by(&bench, bytes).await;
    bench.store.append(&event, None).await.unwrap();
    receive(&bench, &call("kept", "agent-other", "kept")).await;
    let own = bench.store.events(&only("acme"), EventFilter::default(), ALL).await.unwrap();
    assert_eq!(own.len(), 4);
    let body = bench.store.body(&only("acme"), own[0].id).await.unwrap().unwrap();
    assert!(matches!(body, Body::Large(_)), "it is in pieces");
    assert_eq!(tokio::task::spawn_blocking(|| bytes_of(body)).await.unwrap(), large.body);
    assert!(traces(&bench, CANARY) > 3);

    let begun = bench.store.erase_tenant(&acme(), NOW).await.unwrap();
    let finished = done(&bench, &begun).await;
    assert_eq!(finished.events, 4);
    assert!(finished.bytes > large.body.len() as u64);
    assert_eq!(traces(&bench, CANARY), 0);
    assert_eq!(traces(&bench, "acme"), 0);
    let all = bench.list().await;
    assert_eq!(all.len(), 5);
    for event in all.iter().filter(|it| it.is_erased) {
        assert_eq!(event.sha256, own.iter().find(|it| it.id == event.id).unwrap().sha256);
        assert!(bench.store.body(&Scope::Operator, event.id).await.unwrap().is_none());
    }
    assert_eq!(all.iter().filter(|it| !it.is_erased).count(), 1, "the other tenant's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_was_stopped_goes_on_and_counts_each_event_once() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let waits = Arc::clone(&gate);
    let hook = Hook(Some(Arc::new(move |_| {
        let open = waits.0.lock().unwrap();
        drop(waits.1.wait_while(open, |it| !*it).unwrap());
    })));
    let bench = Bench::on_with(Kind::Postgres, Options { erasing: hook, ..Options::default() });
    two_tenants(&bench).await;
    let calls = (0..1_100).map(|number| call("a", "agent-acme", &format!("{CANARY} {number}")));
    receive_all(&bench, calls).await;
    let begun = bench.store.erase_tenant(&acme(), NOW).await.unwrap();
    bench.store.erasing().changed().await.unwrap();
    let half = bench.store.registry().erasure(&begun.id).await.unwrap().unwrap();
    assert!(half.finished_at.is_none() && half.events > 0, "{half:?}");
    let store = bench.store.clone();
    let closing = std::thread::spawn(move || store.close());
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    closing.join().unwrap();
    let bench = bench.reopen();
    assert_eq!(done(&bench, &begun).await.events, 1_100);
    assert_eq!(traces(&bench, CANARY), 0);
    assert!(bench.store.registry().tenant("acme").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_finds_what_is_not_what_came() {
    let bench = Bench::on(Kind::Postgres);
    two_tenants(&bench).await;
    let mut seqs = Vec::new();
    for number in 0..3 {
        let request = call("a", "agent-acme", &format!("{number}"));
        seqs.push(receive(&bench, &request).await.seq());
    }
    let url = bench.database.as_ref().unwrap().url();
    let look = move || {
        let mut client = Client::connect(&url, NoTls).unwrap();
        let clean = hookgate_store::check_postgres(&mut client, |_| {}).unwrap();
        let seq = i64::try_from(seqs[1]).unwrap();
        let bad = "UPDATE hookgate.events SET payload = 'x', source = 'y' WHERE seq = $1";
        client.execute(bad, &[&seq]).unwrap();
        (clean, hookgate_store::check_postgres(&mut client, |_| {}).unwrap())
    };
    let (clean, damaged) = std::thread::spawn(look).join().unwrap();
    assert!(clean.is_clean() && clean.events == 3, "{clean:?}");
    assert_eq!((damaged.corrupt, damaged.misindexed), (1, 1), "{damaged:?}");
}
