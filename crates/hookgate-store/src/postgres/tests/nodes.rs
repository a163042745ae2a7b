//! Several nodes on one database.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use hookgate_core::attribution::{Adoption, Attributed, Conversation, Origin};
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_testpg::Cluster;
use postgres::Client;

use super::bench::Call;
use super::{Bench, database, number};
use crate::error::Unavailable;
use crate::ledger::Adopting;
use crate::registry::Binding;
use crate::sql::EVENTS_LOCK;

/// Times that two nodes race: each round takes another interleaving of their threads.
const ROUNDS: u64 = 500;

#[test]
fn one_event_that_comes_to_two_nodes_at_once_is_stored_once() {
    let database = database(Cluster::shared());
    let (one, two) = (Bench::new(&database.url()), Bench::new(&database.url()));
    for round in 0..ROUNDS {
        let (left, right) =
            (Call::status("c", round).accepted(), Call::status("c", round).accepted());
        let (first, second) = one.wait(async {
            tokio::join!(one.node.append(&left, None), two.node.append(&right, None))
        });
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.id(), second.id());
        assert!(first.is_duplicate() != second.is_duplicate(), "round {round}");
    }
    let mut client = database.connect();
    let all = i64::try_from(ROUNDS).unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.events"), all);
    let repeated = "SELECT count(*) FROM hookgate.events WHERE duplicates = 1";
    assert_eq!(number(&mut client, repeated), all);
}

/// A node that knows both tenants, and that this one has an agent.
fn node_of(url: &str, owner: &str) -> (Bench, TenantId) {
    let bench = Bench::new(url);
    let registry = bench.node.registry().clone();
    let owner = TenantId::parse(owner).unwrap();
    bench.wait(async {
        for id in ["acme", "other"] {
            let id = TenantId::parse(id).unwrap();
            registry
                .add_tenant(id, "A tenant".to_owned(), Timestamp::from_millis(1))
                .await
                .unwrap();
        }
        let binding = Binding {
            tenant: owner.clone(),
            provider: "vapi".to_owned(),
            kind: ClaimKind::Agent,
            external_id: format!("agent-{owner}"),
            created_at: Timestamp::from_millis(1),
        };
        registry.bind(binding).await.unwrap();
    });
    (bench, owner)
}

/// An event of a tenant's agent that makes a call known, as the front door decides it on a node.
async fn adopting(
    bench: &Bench,
    owner: &TenantId,
    id: &str,
    note: u64,
) -> (Attributed, Option<Adopting>) {
    let call = Call::new(format!(
        r#"{{"message":{{"type":"status-update","call":{{"id":"{id}","assistantId":"agent-{owner}"}},"n":{note}}}}}"#
    ));
    let ledger = bench.node.ledger();
    let consulted = ledger.consult("vapi", &call.accepted().facts().claims).await.unwrap();
    let event = call.accepted_as(&consulted);
    let adopting = event.decision().adoption().map(|it: &Adoption| ledger.adopt(it).unwrap());
    (event, adopting)
}

#[test]
fn a_conversation_that_two_nodes_make_known_at_once_is_one_tenants() {
    let database = database(Cluster::shared());
    let (one, acme) = node_of(&database.url(), "acme");
    let (two, other) = node_of(&database.url(), "other");
    let mut won = [0_u64; 2];
    for round in 0..ROUNDS {
        let id = format!("call-{round}");
        let (first, second) = one.wait(async {
            let (left, kept_left) = adopting(&one, &acme, &id, 1).await;
            let (right, kept_right) = adopting(&two, &other, &id, 2).await;
            assert_eq!(left.decision().tenant(), Some(&acme));
            assert_eq!(right.decision().tenant(), Some(&other));
            assert!(kept_left.is_some() && kept_right.is_some());
            tokio::join!(one.node.append(&left, kept_left), two.node.append(&right, kept_right))
        });
        let (winner, loser, node) = match (first, second) {
            (Ok(_), Err(cause)) => (&acme, cause, &two),
            (Err(cause), Ok(_)) => (&other, cause, &one),
            both => panic!("{both:?}"),
        };
        won[usize::from(*winner == other)] += 1;
        assert_eq!(loser, Unavailable::Behind, "it is judged anew");
        let claims = [Claim::new(ClaimKind::Conversation, Some(id.clone()))];
        let cached = node.node.ledger().consult_cached("vapi", &claims);
        assert!(cached.is_none(), "what the node knew of it is asked again");
        let mut client = database.connect();
        let row = client
            .query_one("SELECT tenant FROM hookgate.adopted WHERE external_id = $1", &[&id])
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), winner.as_str());
    }
    let mut client = database.connect();
    let all = i64::try_from(ROUNDS).unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.adopted"), all);
    assert_eq!(number(&mut client, "SELECT count(*) FROM hookgate.events"), all);
    let changed = number(&mut client, "SELECT n FROM hookgate.versions WHERE topic = 'ledger'");
    assert!(changed > 0, "the other nodes are told");
}

#[test]
fn what_the_same_tenant_makes_known_on_two_nodes_is_stored_by_both() {
    let database = database(Cluster::shared());
    let (one, acme) = node_of(&database.url(), "acme");
    let (two, _) = node_of(&database.url(), "acme");
    one.wait(async {
        let (left, kept_left) = adopting(&one, &acme, "call", 1).await;
        let (right, kept_right) = adopting(&two, &acme, "call", 2).await;
        one.node.append(&left, kept_left).await.unwrap();
        two.node.append(&right, kept_right).await.unwrap();
    });
    for bench in [&one, &two] {
        let claims = [Claim::new(ClaimKind::Conversation, Some("call".to_owned()))];
        let known = bench.node.ledger().consult_cached("vapi", &claims).unwrap();
        let adopted = Conversation {
            tenant: acme.clone(),
            agent_id: Some("agent-acme".to_owned()),
            phone_number_id: None,
            origin: Origin::Adopted,
        };
        assert_eq!(known.conversation, Some(adopted));
    }
    assert_eq!(number(&mut database.connect(), "SELECT count(*) FROM hookgate.events"), 2);
}

#[test]
fn nothing_of_a_tenant_is_stored_once_another_node_has_begun_to_erase_it() {
    let database = database(Cluster::shared());
    let (bench, acme) = node_of(&database.url(), "acme");
    bench.wait(async {
        let (event, kept) = adopting(&bench, &acme, "call-1", 1).await;
        bench.node.append(&event, kept).await.unwrap();
    });
    database.connect().batch_execute("UPDATE hookgate.tenants SET erasing = 1").unwrap();
    let refused = bench.wait(async {
        let (event, kept) = adopting(&bench, &acme, "call-2", 1).await;
        bench.node.append(&event, kept).await
    });
    assert_eq!(refused.unwrap_err(), Unavailable::Behind);
    assert_eq!(number(&mut database.connect(), "SELECT count(*) FROM hookgate.events"), 1);
}

/// The events behind a cursor, in one statement.
fn behind(client: &mut Client, cursor: i64) -> Vec<i64> {
    let sql = "SELECT seq FROM hookgate.events WHERE seq > $1 ORDER BY seq";
    client.query(sql, &[&cursor]).unwrap().iter().map(|it| it.get(0)).collect()
}

#[test]
fn a_cursor_never_passes_a_place_that_is_committed_later() {
    let database = database(Cluster::shared());
    let bench = Bench::new(&database.url());
    bench.append(&Call::status("c", 1)).unwrap();
    // A node that has taken its place and stops before its commit.
    let mut slow = database.connect();
    slow.batch_execute(&format!(
        "BEGIN; SELECT pg_advisory_xact_lock({EVENTS_LOCK});
         INSERT INTO hookgate.events (seq, id, log, received_at, status, verdict, head)
         SELECT n + 1, gen_random_uuid(), 0, 0, 0, 0, 'x' FROM hookgate.versions
         WHERE topic = 'events';
         UPDATE hookgate.versions SET n = n + 1 WHERE topic = 'events'"
    ))
    .unwrap();
    let event = Call::status("c", 2).accepted();
    let mut waiting = Box::pin(bench.node.append(&event, None));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    let mut reader = database.connect();
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while number(&mut reader, waits) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(behind(&mut reader, 0), [1], "the later place waits for the earlier one");
    assert!(waiting.as_mut().poll(&mut context).is_pending(), "and has no receipt");
    slow.batch_execute("COMMIT").unwrap();
    assert_eq!(bench.wait(waiting).unwrap().seq(), 3);
    assert_eq!(behind(&mut reader, 1), [2, 3]);
}

#[test]
fn a_reader_beside_two_busy_nodes_misses_nothing() {
    let database = database(Cluster::shared());
    let nodes = [Bench::new(&database.url()), Bench::new(&database.url())];
    let is_over = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut client = database.connect();
            let (mut read, mut cursor) = (BTreeSet::new(), 0);
            loop {
                let was_over = is_over.load(Ordering::SeqCst);
                for seq in behind(&mut client, cursor) {
                    assert_eq!(seq, cursor + 1, "nothing comes later");
                    cursor = seq;
                    read.insert(seq);
                }
                if was_over {
                    return read;
                }
            }
        });
        let writers: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(name, bench)| {
                scope.spawn(move || {
                    bench.wait(async {
                        for round in 0..40 {
                            let events: Vec<_> = (0..8)
                                .map(|it| {
                                    Call::status(&format!("n{name}"), round * 8 + it).accepted()
                                })
                                .collect();
                            let all = events.into_iter().map(|event| {
                                let node = bench.node.clone();
                                tokio::spawn(async move { node.append(&event, None).await })
                            });
                            for it in all.collect::<Vec<_>>() {
                                it.await.unwrap().unwrap();
                            }
                        }
                    });
                })
            })
            .collect();
        for it in writers {
            it.join().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        reader.join().unwrap()
    });
    assert_eq!(read.len(), 640);
}
