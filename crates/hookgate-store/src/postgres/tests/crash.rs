//! A server that dies, and commits whose outcome nobody knows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hookgate_journal::Health;
use hookgate_testpg::{Cluster, Options as ServerOptions, Stop};
use uuid::Uuid;

use super::bench::Call;
use super::proxy::{Cut, Proxy};
use super::{Bench, database, number};
use crate::error::Unavailable;

/// Times that the server is stopped in the middle.
const STOPS: usize = 4;

#[test]
fn every_receipt_is_there_exactly_once_after_the_server_died() {
    let options = ServerOptions { sync: true, ..ServerOptions::default() };
    let cluster = Cluster::start(&options);
    let database = database(&cluster);
    let bench = Bench::new(&database.url());
    let stop = Arc::new(AtomicBool::new(false));
    let receipts: Arc<Mutex<HashMap<String, Uuid>>> = Arc::default();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let (node, stop, receipts) =
                (bench.node.clone(), Arc::clone(&stop), Arc::clone(&receipts));
            bench.runtime.spawn(async move {
                for number in 0.. {
                    let call = Call::status(&format!("w{writer}"), number);
                    let event = call.accepted();
                    // As a sender does: it comes again until it is told that it is stored.
                    let receipt = loop {
                        match node.append(&event, None).await {
                            Ok(receipt) => break receipt,
                            Err(_) => tokio::task::yield_now().await,
                        }
                    };
                    let body = String::from_utf8(call.body.to_vec()).unwrap();
                    receipts.lock().unwrap().insert(body, receipt.id().0);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            })
        })
        .collect();
    for round in 1..=STOPS {
        while receipts.lock().unwrap().len() < round * 400 {
            std::thread::yield_now();
        }
        cluster.stop(Stop::Immediate);
        cluster.start_again();
    }
    let before = receipts.lock().unwrap().len();
    while receipts.lock().unwrap().len() < before + 400 {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        bench.wait(writer).unwrap();
    }
    let mut client = database.connect();
    let mut stored: HashMap<String, Vec<Uuid>> = HashMap::new();
    for row in client.query("SELECT payload, id FROM hookgate.events", &[]).unwrap() {
        let body = String::from_utf8(row.get(0)).unwrap();
        stored.entry(body).or_default().push(row.get(1));
    }
    let receipts = receipts.lock().unwrap();
    for (body, id) in &*receipts {
        assert_eq!(stored.get(body), Some(&vec![*id]), "{body}");
    }
    assert_eq!(stored.len(), receipts.len(), "and nothing else");
    let last = number(&mut client, "SELECT n FROM hookgate.versions WHERE topic = 'events'");
    assert_eq!(number(&mut client, "SELECT max(seq) FROM hookgate.events"), last);
}

#[test]
fn a_commit_whose_answer_is_lost_is_looked_up_and_stored_once() {
    let cluster = Cluster::shared();
    let database = database(cluster);
    let proxy = Proxy::to(cluster.port());
    let url = database.tcp_url();
    let url = url.replace(&format!(":{}/", cluster.port()), &format!(":{}/", proxy.port));
    let bench = Bench::new(&url);
    let original = bench.append(&Call::end("c", "0")).unwrap();
    for (round, cut) in (1..).zip([Cut::Before, Cut::After, Cut::After, Cut::Before]) {
        proxy.cut(cut);
        let call = Call::end(&format!("c{round}"), "1");
        let receipt = bench.append(&call).unwrap();
        assert!(proxy.has_cut());
        assert!(!receipt.is_duplicate(), "{cut:?}: it is the first of its kind");

        proxy.cut(cut);
        let again = bench.append(&Call::end("c", "0")).unwrap();
        assert!(proxy.has_cut());
        assert_eq!((again.id(), again.is_duplicate()), (original.id(), true));

        proxy.cut(cut);
        let variant = bench.append(&Call::end("c", &round.to_string())).unwrap();
        assert_eq!((variant.id(), variant.is_duplicate()), (original.id(), true));

        let mut client = database.connect();
        let rows = 1 + 2 * round;
        assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.events"), rows, "{cut:?}");
        let repeated = "SELECT duplicates FROM hookgate.events WHERE seq = 1";
        assert_eq!(number(&mut client, repeated), round, "{cut:?}");
        let id = "SELECT count(*) FROM hookgate.events WHERE id = $1";
        let found: i64 = client.query_one(id, &[&receipt.id().0]).unwrap().get(0);
        assert_eq!(found, 1);
    }
}

#[test]
fn a_server_that_stays_away_is_said_and_noticed_when_it_is_back() {
    let cluster = Cluster::start(&ServerOptions::default());
    let database = database(&cluster);
    let bench = Bench::new(&database.url());
    bench.append(&Call::status("c", 1)).unwrap();
    cluster.stop(Stop::Fast);
    assert_eq!(bench.append(&Call::status("c", 2)).unwrap_err(), Unavailable::Failed);
    assert_eq!(bench.node.admit(0), Err(Unavailable::Failed), "before a body is read");
    assert_eq!(bench.node.snapshot().health, Health::Failed);
    cluster.start_again();
    while bench.node.admit(0).is_err() {
        std::thread::yield_now();
    }
    let receipt = bench.append(&Call::status("c", 2)).unwrap();
    assert!(!receipt.is_duplicate(), "what nobody got a receipt for was not there");
    assert_eq!(number(&mut database.connect(), "SELECT count(*) FROM hookgate.events"), 2);
}

#[test]
fn a_commit_whose_answer_is_lost_goes_through_the_spool_and_is_stored_once() {
    let cluster = Cluster::shared();
    let database = database(cluster);
    let proxy = Proxy::to(cluster.port());
    let url = database.tcp_url();
    let url = url.replace(&format!(":{}/", cluster.port()), &format!(":{}/", proxy.port));
    let bench = Bench::spooling(&url);
    for (round, cut) in (1..).zip([Cut::Before, Cut::After, Cut::After, Cut::Before]) {
        proxy.cut(cut);
        let receipt = bench.append(&Call::end(&format!("c{round}"), "1")).unwrap();
        assert!(proxy.has_cut());
        while bench.node.spool().is_none_or(|it| it.state != "ok") {
            std::thread::yield_now();
        }
        let mut client = database.connect();
        assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.events"), round, "{cut:?}");
        assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.repetitions"), 0);
        let id = "SELECT count(*) FROM hookgate.events WHERE id = $1";
        let found: i64 = client.query_one(id, &[&receipt.id().0]).unwrap().get(0);
        assert_eq!(found, 1, "{cut:?}");
    }
}
