//! Several nodes on one registry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::Scope;
use hookgate_store::{
    Answer, Begun, Claimed, Cursor, NewToolCall, PgSettings, Registry, RegistryError,
};
use hookgate_testpg::Cluster;
use serde_json::json;
use tokio::task::JoinSet;

use crate::bench::{Bench, beside, settings};
use crate::deliveries::{add, enqueue, event, lease};
use crate::registry::{NOW, add_tenant, binding, conversation, later, tenant};
use crate::tool_calls::write;

/// How long something may take that takes milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_changed_on_one_node_counts_on_another() {
    let bench = Bench::new();
    let (here, there) = (bench.store.registry(), bench.another());
    let _listener = there.listen(&settings(&bench.database)).unwrap();
    let acme = add_tenant(here, "acme").await;
    let (key, secret) = here.add_key(&acme, NOW).await.unwrap();
    until("the key is not known", || there.tenant_of_key(secret.as_bytes()).is_some()).await;
    here.remove_key(&acme, &key.id).await.unwrap();
    until("the key still works", || there.tenant_of_key(secret.as_bytes()).is_none()).await;
    here.set_tool_settings(&acme, Some("{}".to_owned())).await.unwrap();
    until("the settings are not known", || there.tool_settings(&acme).is_some()).await;
    let mut destinations = there.destinations_changed();
    add(here, None, 1, &json!({})).await;
    tokio::time::timeout(LIMIT, destinations.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_another_node_did_before_this_one_listened_counts() {
    let bench = Bench::new();
    let (here, there) = (bench.store.registry(), bench.another());
    add_tenant(here, "acme").await;
    assert!(there.tenant("acme").is_none(), "nobody told it");
    let _listener = there.listen(&settings(&bench.database)).unwrap();
    until("the tenant is not known", || there.tenant("acme").is_some()).await;
}

#[tokio::test]
async fn two_nodes_that_change_things_at_once_know_all_of_it_in_the_end() {
    let bench = Bench::new();
    let (here, there) = (bench.store.registry().clone(), bench.another());
    let settings = settings(&bench.database);
    let _listeners = (here.listen(&settings).unwrap(), there.listen(&settings).unwrap());
    let mut changes = JoinSet::new();
    for number in 0..20 {
        let node = if number % 2 == 0 { here.clone() } else { there.clone() };
        changes.spawn(async move { add_tenant(&node, &format!("tenant-{number}")).await });
    }
    let all = changes.join_all().await;
    for node in [&here, &there] {
        until("a tenant is not known", || all.iter().all(|it| node.tenant(it.as_str()).is_some()))
            .await;
    }
}

#[tokio::test]
async fn of_many_that_begin_the_same_on_two_nodes_one_is_carried_out() {
    let bench = Bench::new();
    let nodes = [bench.store.registry().clone(), bench.another()];
    let acme = add_tenant(&nodes[0], "acme").await;
    let mut calls = JoinSet::new();
    for number in 0..40_usize {
        let node = nodes[number % 2].clone();
        let call = NewToolCall { effect: Some([7; 32]), ..write(&acme, number as u128 + 1, 7) };
        calls.spawn(async move { node.begin_tool_call(call).await.unwrap() });
    }
    let begun = calls.join_all().await;
    let fresh = begun.iter().filter(|it| matches!(it, Begun::Fresh { .. })).count();
    assert_eq!(fresh, 1, "{begun:?}");
}

#[tokio::test]
async fn a_request_under_a_key_is_carried_out_by_one_node() {
    let bench = Bench::new();
    let nodes = [bench.store.registry().clone(), bench.another()];
    let (request, other) = ([1; 32], [2; 32]);
    let mut claims = JoinSet::new();
    for number in 0..40_usize {
        let node = nodes[number % 2].clone();
        claims.spawn(async move { node.claim_answer("op", "k", request, NOW).await.unwrap() });
    }
    let claims = claims.join_all().await;
    let mut own = claims.iter().filter_map(|it| match it {
        Claimed::Yours(claim) => Some(*claim),
        Claimed::Running => None,
        Claimed::Answered(_) => panic!("nobody answered"),
    });
    let (claim, more) = (own.next().unwrap(), own.next());
    assert_eq!(more, None, "one has it");
    let conflict = nodes[1].claim_answer("op", "k", other, NOW).await.unwrap_err();
    assert!(matches!(conflict, RegistryError::Conflict), "{conflict:?}");

    // It changed nothing: the other may try.
    nodes[0].give_back("op", "k", claim).await.unwrap();
    let claimed = nodes[1].claim_answer("op", "k", request, NOW).await.unwrap();
    let Claimed::Yours(second) = claimed else { panic!("{claimed:?}") };
    // What the first one had is not what the second one has.
    nodes[0].give_back("op", "k", claim).await.unwrap();
    let claimed = nodes[0].claim_answer("op", "k", request, NOW).await.unwrap();
    assert_eq!(claimed, Claimed::Running);

    let answer = Answer { status: 201, sealed: b"sealed".to_vec() };
    nodes[1].keep_answer("op", "k", request, answer.clone(), NOW).await.unwrap();
    nodes[1].give_back("op", "k", second).await.unwrap();
    let claimed = nodes[0].claim_answer("op", "k", request, NOW).await.unwrap();
    assert_eq!(claimed, Claimed::Answered(answer));

    // A node that was killed had this one.
    nodes[0].claim_answer("op", "k-2", request, NOW).await.unwrap();
    let last = later(Duration::from_millis(119_999));
    let claimed = nodes[1].claim_answer("op", "k-2", request, last).await.unwrap();
    assert_eq!(claimed, Claimed::Running);
    let over = later(Duration::from_mins(2));
    let claimed = nodes[1].claim_answer("op", "k-2", other, over).await.unwrap();
    assert!(matches!(claimed, Claimed::Yours(_)), "{claimed:?}");
}

#[tokio::test]
async fn a_delivery_that_one_node_made_wakes_another_and_is_leased_once() {
    let bench = Bench::new();
    let (here, there) = (bench.store.registry().clone(), bench.another());
    let destination = add(&here, None, 1, &json!({})).await;
    let _listener = there.listen(&settings(&bench.database)).unwrap();
    let mut changed = there.deliveries_changed();
    // The first look wakes as well; what comes behind it is news.
    tokio::time::timeout(LIMIT, changed.changed()).await.unwrap().unwrap();
    enqueue(&here, (0..64).map(|it| event(&destination, it)).collect(), NOW).await;
    tokio::time::timeout(LIMIT, changed.changed()).await.unwrap().unwrap();
    let (one, other) = tokio::join!(lease(&here, NOW, 64), lease(&there, NOW, 64));
    let mut all: Vec<_> = one.iter().chain(&other).map(|it| it.delivery).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "one lease each");
    assert!(count > 0);
}

#[tokio::test]
async fn of_two_that_follow_the_journal_one_moves_the_cursor() {
    let bench = Bench::new();
    let (here, there) = (bench.store.registry().clone(), bench.another());
    let destination = add(&here, None, 1, &json!({})).await;
    let cursor = Cursor { name: "deliveries", from: 0, to: 5, erasures: 0 };
    let made: Vec<_> = (1..=5).map(|it| event(&destination, it)).collect();
    let (one, other) = tokio::join!(
        here.enqueue_deliveries(cursor, made.clone(), NOW),
        there.enqueue_deliveries(cursor, made, NOW)
    );
    assert_ne!(one.unwrap(), other.unwrap());
    let any = hookgate_store::DeliveryFilter::default();
    assert_eq!(here.deliveries(&Scope::Operator, any, None, 100).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_conversation_that_an_event_made_known_is_registered_by_its_tenant_alone() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    bench.say(
        "INSERT INTO hookgate.adopted (seq, provider, external_id, tenant, agent_id, at) \
         VALUES (1, 'vapi', 'call-1', 'acme', 'agent-1', 1)",
    );
    let taken = registry.register_conversation(conversation(&other, "call-1")).await.unwrap_err();
    assert!(matches!(taken, RegistryError::Taken), "{taken:?}");
    let kept = registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    assert!(kept.into_inner().agent_id.is_some());
}

#[tokio::test]
async fn a_connection_that_is_lost_fails_one_call_and_is_made_anew() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    registry.keys(&acme).await.unwrap();
    bench.say(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let bound = |id: &'static str| registry.bind(binding(&acme, ClaimKind::Agent, id));
    // The driver may have noticed by itself: then even the first one succeeds.
    for id in ["first", "second"] {
        let done = bound(id).await;
        assert!(
            id == "first" && matches!(done, Err(RegistryError::Unavailable { .. })) || done.is_ok(),
            "{done:?}"
        );
        let read = registry.keys(&acme).await;
        assert!(
            id == "first" && matches!(read, Err(RegistryError::Unavailable { .. })) || read.is_ok(),
            "{read:?}"
        );
    }
}

#[test]
fn two_nodes_that_start_at_once_find_one_store() {
    let database = Cluster::shared().database();
    let settings: Arc<PgSettings> = Arc::new(settings(&database));
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let settings = Arc::clone(&settings);
            std::thread::spawn(move || Registry::open_postgres(&settings).unwrap())
        })
        .collect();
    let nodes: Vec<Registry> = nodes.into_iter().map(|it| it.join().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(add_tenant(&nodes[0], "acme"));
    for node in &nodes {
        let key = runtime.block_on(node.add_key(&tenant("acme"), NOW));
        assert!(key.is_ok(), "{key:?}");
    }
    let select = "SELECT count(*) FROM hookgate.meta WHERE name = 'store_id'";
    let count: i64 = beside(|| database.connect().query_one(select, &[]).unwrap().get(0));
    assert_eq!(count, 1);
}
