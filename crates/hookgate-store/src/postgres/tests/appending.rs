//! What one node stores.

use std::time::Duration;

use bytes::Bytes;
use hookgate_testpg::Cluster;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

use super::bench::{self, Call};
use super::{Bench, database, number};
use crate::error::Unavailable;
use crate::head::{self, EventHead};
use crate::layout::EVENTS;
use crate::postgres::batch;
use crate::postgres::queue::Entry;
use crate::receipt::Receipt;

#[test]
fn an_event_is_stored_once_a_repetition_counted_and_a_variant_linked() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    let first = bench.append(&Call::end("c", "1")).unwrap();
    assert!(!first.is_duplicate());
    let again = bench.append(&Call::end("c", "1")).unwrap();
    assert_eq!((again.id(), again.is_duplicate()), (first.id(), true));
    let variant = bench.append(&Call::end("c", "2")).unwrap();
    assert_eq!((variant.id(), variant.is_duplicate()), (first.id(), true));
    let again = bench.append(&Call::end("c", "1")).unwrap();
    assert_eq!(again.id(), first.id());

    let mut client = database.connect();
    let rows = client
        .query("SELECT seq, id, duplicates, dedupe IS NULL, head, payload FROM hookgate.events ORDER BY seq", &[])
        .unwrap();
    assert_eq!(rows.len(), 2, "the variant has a row");
    let (seq, id, duplicates): (i64, Uuid, i64) = (rows[0].get(0), rows[0].get(1), rows[0].get(2));
    assert_eq!((seq, id, duplicates), (1, first.id().0, 2));
    assert!(rows[1].get::<_, bool>(3), "the key stays with the original");
    let linked: EventHead<'_> = head::decode(rows[1].get(4)).unwrap();
    assert_eq!(linked.original.unwrap().uuid(), first.id().0);
    assert_eq!(rows[1].get::<_, &[u8]>(5), &Call::end("c", "2").body[..]);
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.repetitions"), 2);
    let last = number(&mut client, "SELECT n FROM hookgate.versions WHERE topic = 'events'");
    assert_eq!(last, 4, "each has a place");
    assert_eq!(*bench.node.listed().borrow(), 4);
    assert_eq!(bench.node.snapshot().dedupe.repetitions, 3);
}

#[test]
fn events_at_once_share_transactions_and_repetitions_among_them_are_found() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    let events: Vec<_> = (0..400).map(|it| Call::status("c", it / 2).accepted()).collect();
    let receipts: Vec<Receipt> = bench.wait(async {
        let mut waiting: Vec<_> = Vec::new();
        for event in events {
            let node = bench.node.clone();
            waiting.push(tokio::spawn(async move { node.append(&event, None).await.unwrap() }));
        }
        let mut receipts = Vec::new();
        for it in waiting {
            receipts.push(it.await.unwrap());
        }
        receipts
    });
    assert_eq!(receipts.iter().filter(|it| it.is_duplicate()).count(), 200);
    let mut client = database.connect();
    let counted = "SELECT sum(duplicates)::bigint FROM hookgate.events";
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.events"), 200);
    assert_eq!(number(&mut client, counted), 200);
    let journal = bench.node.snapshot().journal;
    assert_eq!(journal.records, 400);
    assert!(journal.batches < 100, "{} batches", journal.batches);
    assert_eq!(bench.node.snapshot().pending.records, 0);
}

#[test]
fn a_text_that_a_column_cannot_hold_keeps_nobody_out() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    let id = format!("a\\u0000{}", "x".repeat(500));
    bench.append(&Call::status(&id, 1)).unwrap();
    let mut client = database.connect();
    let row = client.query_one("SELECT conversation, head FROM hookgate.events", &[]).unwrap();
    let head: EventHead<'_> = head::decode(row.get(1)).unwrap();
    let conversation: Option<String> = row.get(0);
    assert_eq!(conversation, head.conversation.map(|it| it.replace('\0', "\u{fffd}")));
}

#[test]
fn a_large_body_comes_back_byte_for_byte_and_leaves_nothing_on_the_node() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    let mut bytes = Call::end("large", "x").body.to_vec();
    bytes.extend((0..3_500_000_u32).map(|it| b" \n\t\r"[(it % 7 % 4) as usize]));
    let call = Call { body: Bytes::from(bytes), ..Call::end("large", "x") };
    let put = || {
        bench.wait(async {
            let mut writer = bench.node.begin_blob().await.unwrap();
            for piece in call.body.chunks(100_000) {
                writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            let blob = writer.finish().await.unwrap();
            bench.node.append(&call.accepted_large(blob), None).await.unwrap()
        })
    };
    let first = put();
    assert!(put().is_duplicate());
    let mut client = database.connect();
    let stored: Vec<u8> = client
        .query_one(
            "SELECT string_agg(bytes, ''::bytea ORDER BY n) FROM hookgate.blobs
             WHERE id = (SELECT blob FROM hookgate.events WHERE id = $1)",
            &[&first.id().0],
        )
        .unwrap()
        .get(0);
    assert!(stored == call.body, "byte for byte");
    let spare = "SELECT count(DISTINCT id) FROM hookgate.blobs";
    assert_eq!(number(&mut client, spare), 1, "a repetition leaves no pieces");
    let left: Vec<_> = bench::files(&bench.folder.path().join("blobs"));
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(bench.node.snapshot().blobs.in_flight_bytes, 0);
}

#[test]
fn pieces_that_belong_to_nothing_go_after_an_hour() {
    let database = database(Cluster::shared());
    let mut client = database.connect();
    let put = "INSERT INTO hookgate.blobs VALUES ($1, 0, $2, 'x')";
    let now = crate::rejections::now().millis();
    client.execute(put, &[&Uuid::from_u128(1), &(now - 4_000_000)]).unwrap();
    client.execute(put, &[&Uuid::from_u128(2), &now]).unwrap();
    let _bench = Bench::new(&database.url());
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.blobs"), 1);
}

#[test]
fn what_was_written_down_elsewhere_is_stored_once_however_often_it_is_sent() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    let receipt = bench.append(&Call::end("c", "1")).unwrap();
    bench.append(&Call::end("c", "1")).unwrap();
    let mut client = database.connect();
    let head: Vec<u8> = client.query_one("SELECT head FROM hookgate.events", &[]).unwrap().get(0);
    for _ in 0..2 {
        let (entry, ticket) = Entry::again(head.clone(), Call::end("c", "1").body, EVENTS).unwrap();
        bench.node.inner.desk.queue.push(entry).unwrap();
        let again = bench.wait(ticket).unwrap();
        assert_eq!((again.id(), again.seq()), (receipt.id(), receipt.seq()));
    }
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.events"), 1);
    assert_eq!(number(&mut client, "SELECT duplicates FROM hookgate.events"), 1);
}

#[test]
fn a_closed_node_takes_nothing_and_what_waited_is_stored() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    let node = bench.node.clone();
    let event = Call::status("c", 1).accepted();
    let mut waiting = Box::pin(node.append(&event, None));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    bench.node.close();
    assert!(bench.wait(waiting).is_ok());
    assert_eq!(bench.append(&Call::status("c", 2)).unwrap_err(), Unavailable::Closing);
    assert_eq!(number(&mut database.connect(), "SELECT count(*) FROM hookgate.events"), 1);
}

#[test]
fn who_forgets_the_scope_sees_nothing() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    bench.append(&Call::status("c", 1)).unwrap();
    bench.append(&Call::status("c", 1)).unwrap();
    bench.node.reject(&Call::status("c", 2).with_token("x").unproven(), 401);
    bench.node.close();
    let mut client = database.connect();
    client
        .batch_execute(
            "SET search_path = hookgate;
             INSERT INTO blobs VALUES (gen_random_uuid(), 0, 0, 'x');
             INSERT INTO adopted VALUES (1, 'vapi', 'c', 'acme', NULL, NULL, 0);
             INSERT INTO violation_tenants VALUES ('acme', 1);
             UPDATE events SET tenant = 'acme'",
        )
        .unwrap();
    let seen = |client: &mut Client, scope: Option<&str>| {
        client.batch_execute("BEGIN; SET LOCAL ROLE hookgate_app").unwrap();
        if let Some(scope) = scope {
            client.batch_execute(&format!("SET LOCAL hookgate.tenant = '{scope}'")).unwrap();
        }
        let tables =
            ["events", "repetitions", "blobs", "adopted", "violation_tenants", "rejections"];
        let counts = tables.map(|it| number(client, &format!("SELECT count(*) FROM {it}")));
        client.batch_execute("ROLLBACK").unwrap();
        counts
    };
    assert_eq!(seen(&mut client, None), [0; 6]);
    assert_eq!(seen(&mut client, Some("*")), [1; 6]);
    assert_eq!(seen(&mut client, Some("acme")), [1, 1, 0, 1, 1, 0]);
    assert_eq!(seen(&mut client, Some("other")), [0; 6]);
    assert_eq!(seen(&mut client, None), [0; 6], "nor after somebody else had one");
}

#[test]
fn an_event_that_the_database_refuses_keeps_none_of_the_others_out() {
    let database = database(Cluster::shared());
    database
        .connect()
        .batch_execute("ALTER TABLE hookgate.events ADD CHECK (conversation <> 'refused')")
        .unwrap();
    let bench = Bench::new(&database.url());
    let outcomes = bench.wait(async {
        let mut waiting = Vec::new();
        for number in 0..60 {
            let event = Call::status(if number == 37 { "refused" } else { "c" }, number).accepted();
            let node = bench.node.clone();
            waiting.push(tokio::spawn(async move { node.append(&event, None).await }));
        }
        let mut outcomes = Vec::new();
        for it in waiting {
            outcomes.push(it.await.unwrap());
        }
        outcomes
    });
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.as_ref().err(), (number == 37).then_some(&Unavailable::Failed));
    }
    assert_eq!(number(&mut database.connect(), "SELECT count(*) FROM hookgate.events"), 59);
}

#[test]
fn what_a_batch_asks_is_found_by_an_index_and_planned_once() {
    let database = database(Cluster::shared());
    let mut session = batch::prepare(database.connect()).unwrap();
    // Nothing is known of these tables yet, and all are empty: without the session's settings
    // PostgreSQL would rather look at every row, and keep that plan.
    for question in ["last", "end(1)", "ledger"] {
        assert_uses_an_index(&mut session.client, question);
    }
    for question in ["keys", "dropped", "there", "again", "tenants", "registered", "adopted"] {
        assert_uses_an_index(&mut session.client, &format!("{question}('{{}}')"));
    }
    let anew = "SELECT sum(custom_plans)::bigint FROM pg_prepared_statements";
    assert_eq!(number(&mut session.client, anew), 0);
}

fn assert_uses_an_index(client: &mut Client, question: &str) {
    let messages = client.simple_query(&format!("EXPLAIN EXECUTE batch_{question}")).unwrap();
    let lines = messages.iter().filter_map(|it| match it {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan = lines.collect::<Vec<_>>().join("\n");
    assert!(plan.contains("Index Cond") && !plan.contains("Seq Scan"), "{question}:\n{plan}");
}

#[test]
fn other_nodes_are_told_of_the_end_of_a_burst_too() {
    let database = database(Cluster::shared());
    let mut client = database.connect();
    client.batch_execute("LISTEN hookgate").unwrap();
    let bench = Bench::new(&database.url());
    // The first is told with its commit; the next, which follows at once, is told after it.
    bench.append(&Call::end("c", "1")).unwrap();
    bench.append(&Call::end("d", "1")).unwrap();
    let mut told = client.notifications();
    let mut told = told.timeout_iter(Duration::from_secs(30));
    let mut count = 0;
    while count < 2 {
        let news = told.next().unwrap().expect("both are told");
        count += usize::from(news.payload() == "events");
    }
}
