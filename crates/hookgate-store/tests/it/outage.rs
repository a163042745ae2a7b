//! What a node with a spool promises while its database is away, and when it is back: on a real
//! server, with a network between that fails when a test says so.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::Scope;
use hookgate_store::{
    Event, EventFilter, Options, PgSettings, Receipt, Rejection, RejectionFilter, Settled,
    SpoolState, Store, Unavailable, is_database_away,
};
use hookgate_testpg::{Cluster, Database, Options as ServerOptions, Proxy, Stop, Upstream};
use postgres::Client;
use tempfile::TempDir;
use uuid::Uuid;

use crate::bench::{ALL, Call, blob, bytes_of, copy};
use crate::database::outside;
use crate::registry::{add_tenant, binding, tenant};
use crate::tenancy::call;

/// Senders at each node.
const SENDERS: usize = 4;

/// Times that everything fails that can.
const ROUNDS: usize = 1;

/// A node, and the network between it and the server.
struct Node {
    store: Store,
    proxy: Proxy,
    folder: TempDir,
}

impl Node {
    fn new(database: &Database<'_>) -> Self {
        Self::with(database, &Options::default())
    }

    fn with(database: &Database<'_>, options: &Options) -> Self {
        let port = database.cluster().port();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = Proxy::start(Upstream::Tcp(server));
        let through = format!(":{}/", proxy.address().port());
        let url = database.tcp_url().replace(&format!(":{port}/"), &through);
        let folder = TempDir::new().unwrap();
        let store = open(&url, folder.path(), options);
        Self { store, proxy, folder }
    }

    fn spool(&self) -> SpoolState {
        self.store.spool().unwrap()
    }

    async fn goes(&self, state: &str) {
        until(|| self.spool().state == state).await;
    }

    /// The network is away, and the node has noticed.
    async fn lose(&self) {
        self.proxy.refuse();
        receive(&self.store, &Call::status("noticed", 1)).await.unwrap();
        self.goes("spooling").await;
    }

    /// The network is back, and all is in the database.
    async fn recover(&self) {
        self.proxy.heal();
        self.drained().await;
    }

    async fn drained(&self) {
        until(|| self.spool().state == "ok" && self.spool().entries == 0).await;
    }

    async fn list(&self) -> Vec<Event> {
        list(&self.store).await
    }
}

/// Opens a node with a spool.
fn open(url: &str, folder: &Path, options: &Options) -> Store {
    let settings = PgSettings::parse(url).unwrap();
    let settings = settings.in_folder(folder.join("node"), Some(folder.join("spool")));
    let wake = hookgate_journal::wake_inline();
    outside(|| Store::open_postgres(&settings, options.clone(), wake).unwrap())
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

/// All events, the oldest first.
async fn list(store: &Store) -> Vec<Event> {
    let mut events = store.events(&Scope::Operator, EventFilter::default(), ALL).await.unwrap();
    events.reverse();
    events
}

/// Receives a request as the front door does. True: its owner is found out later.
async fn receive(store: &Store, call: &Call) -> Result<(Receipt, bool), Unavailable> {
    match store.attribute_or_defer(call.readable(), None).await? {
        Settled::Admitted(event, adopting) => {
            store.append(&event, adopting).await.map(|it| (it, false))
        }
        Settled::Quarantined(event) => store.quarantine(&event).await.map(|it| (it, false)),
        Settled::Deferred(_, receipt) => Ok((receipt, true)),
    }
}

fn cluster() -> Cluster {
    Cluster::start(&ServerOptions { sync: true, ..ServerOptions::default() })
}

/// What senders were told: by body, the event, and whether it was refused before.
#[derive(Default)]
struct Told {
    receipts: Mutex<HashMap<String, (Uuid, bool)>>,
    /// All but the first of each node are to stop.
    ease: AtomicBool,
    stop: AtomicBool,
}

impl Told {
    fn len(&self) -> usize {
        self.receipts.lock().unwrap().len()
    }

    /// Waits until so many more were told.
    async fn grows(&self, by: usize) {
        let all = self.len() + by;
        until(|| self.len() >= all).await;
    }
}

/// Sends one event after the other, each again until it is taken.
async fn send(store: Store, name: String, told: Arc<Told>) {
    let mut number = 0;
    let is_first = name.ends_with('0');
    let is_over =
        || told.stop.load(Ordering::Relaxed) || !is_first && told.ease.load(Ordering::Relaxed);
    while !is_over() {
        let call = Call::status(&name, number);
        let event = call.accepted();
        let mut was_refused = false;
        let receipt = loop {
            match store.append(&event, None).await {
                Ok(receipt) => break receipt,
                Err(_) => was_refused = true,
            }
            tokio::task::yield_now().await;
        };
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        told.receipts.lock().unwrap().insert(body, (receipt.id().0, was_refused));
        number += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_is_there_once_and_in_order_after_cuts_freezes_and_stops() {
    let cluster = outside(cluster);
    let database = outside(|| cluster.database());
    let nodes = [Node::new(&database), Node::new(&database)];
    let told = Arc::new(Told::default());
    let mut senders = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        for number in 0..SENDERS {
            let name = format!("node{at}sender{number}");
            senders.push(tokio::spawn(send(node.store.clone(), name, Arc::clone(&told))));
        }
    }
    told.grows(200).await;
    for _ in 0..ROUNDS {
        nodes[0].proxy.cut();
        told.grows(200).await;
        // One alone, and the other goes on.
        nodes[0].proxy.freeze();
        nodes[0].goes("spooling").await;
        told.grows(200).await;
        nodes[0].proxy.heal();
        told.grows(200).await;
        nodes[1].proxy.refuse();
        nodes[1].goes("spooling").await;
        told.grows(200).await;
        nodes[1].proxy.heal();
        outside(|| cluster.stop(Stop::Immediate));
        for node in &nodes {
            node.goes("spooling").await;
        }
        told.grows(200).await;
        outside(|| cluster.start_again());
        told.grows(200).await;
    }
    // Under load, both leave the spool; how much of it, a machine may bear that does other
    // things too.
    told.ease.store(true, Ordering::Relaxed);
    for node in &nodes {
        node.goes("ok").await;
    }
    told.grows(200).await;
    told.stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    for node in &nodes {
        node.drained().await;
        assert!(node.spool().outages >= 1, "{:?}", node.spool());
    }
    let stored = outside(|| {
        let mut client = database.connect();
        let rows = client
            .query(
                "SELECT convert_from(payload, 'UTF8'), id FROM hookgate.events ORDER BY seq",
                &[],
            )
            .unwrap();
        rows.iter().map(|it| (it.get(0), it.get(1))).collect::<Vec<(String, Uuid)>>()
    });
    let told = told.receipts.lock().unwrap();
    assert_eq!(stored.len(), told.len(), "each once, and nothing else");
    let mut last: HashMap<String, u64> = HashMap::new();
    for (body, id) in &stored {
        let (receipt, was_refused) = told[body];
        assert!(receipt == *id || was_refused, "{body}");
        let message: serde_json::Value = serde_json::from_str(body).unwrap();
        let sender = message["message"]["call"]["id"].as_str().unwrap().to_owned();
        let number = message["message"]["n"].as_u64().unwrap();
        let before = last.insert(sender, number);
        assert_eq!(before.map_or(0, |it| it + 1), number, "{body}: in its order");
    }
    drop(told);
    outside(move || drop((nodes, database)));
    outside(move || drop(cluster));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decided_is_decided_when_it_is_drained_by_the_bindings_of_then() {
    let database = outside(|| Cluster::shared().database());
    let node = Node::new(&database);
    let other = Node::new(&database);
    let registry = node.store.registry();
    let [acme, rival] = [add_tenant(registry, "acme").await, add_tenant(registry, "rival").await];
    for agent in ["agent-1", "agent-2"] {
        registry.bind(binding(&acme, ClaimKind::Agent, agent)).await.unwrap();
    }
    let (known, deferred) = receive(&node.store, &call("known", "agent-1", "0")).await.unwrap();
    assert!(!deferred && known.seq() > 0);
    node.lose().await;
    assert!(
        registry.add_tenant(tenant("late"), "Late".to_owned(), crate::registry::NOW).await.is_err()
    );

    let calls = [
        // All of it is in memory.
        (call("known", "agent-1", "1"), false),
        // Who has this call nobody can say now. The one behind it contradicts what it made known.
        (call("new", "agent-1", "2"), true),
        (call("new", "", "3"), true),
        // Its agent is given to somebody else meanwhile.
        (call("moved", "agent-2", "4"), true),
        // An agent that nobody has yet.
        (call("late", "agent-3", "5"), true),
        // Nobody's for good.
        (call("nobody", "agent-9", "6"), true),
    ];
    let mut ids = Vec::new();
    for (call, is_deferred) in &calls {
        let (receipt, deferred) = receive(&node.store, call).await.unwrap();
        assert_eq!((deferred, receipt.seq()), (*is_deferred, 0), "{call:?}");
        ids.push(receipt.id());
    }
    let registry = other.store.registry();
    registry.unbind("vapi", ClaimKind::Agent, "agent-2").await.unwrap();
    registry.bind(binding(&rival, ClaimKind::Agent, "agent-2")).await.unwrap();
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-3")).await.unwrap();
    node.recover().await;
    let all = node.list().await;
    let owners: Vec<_> = ids
        .iter()
        .map(|id| {
            let event = all.iter().find(|it| it.id == *id).expect("it has the id it was told");
            (event.tenant.as_deref(), event.status.name())
        })
        .collect();
    let accepted = |tenant| (Some(tenant), "accepted");
    let (acme, nobody) = (accepted("acme"), (None, "quarantined"));
    assert_eq!(owners, [acme, acme, nobody, accepted("rival"), acme, nobody]);
    let causes: Vec<_> = [2, 5]
        .map(|at: usize| all.iter().find(|it| it.id == ids[at]).unwrap().ownership.clone())
        .into();
    assert_eq!(causes, ["contradiction", "unattributed"]);
    let places: Vec<_> = ids.iter().map(|id| all.iter().position(|it| it.id == *id)).collect();
    assert!(places.is_sorted(), "in the order in which they came");
    // And it is known for good.
    let (receipt, deferred) = receive(&other.store, &call("new", "agent-1", "7")).await.unwrap();
    assert!(!deferred);
    let event = other.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    assert_eq!(event.standing.as_deref(), Some("adopted"));
    outside(move || drop((node, other, database)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_is_said_before_a_body_is_read_and_loses_nothing() {
    let database = outside(|| Cluster::shared().database());
    let options = Options { spool_bytes_max: 64 << 20, ..Options::default() };
    let node = Node::with(&database, &options);
    node.lose().await;
    let filling = "x".repeat(1_000_000);
    let mut ids = Vec::new();
    let cause = loop {
        if let Err(cause) = node.store.admit(1_000_000) {
            break cause;
        }
        let call = Call::end(&format!("call-{}", ids.len()), &filling);
        ids.push(receive(&node.store, &call).await.unwrap().0.id());
    };
    assert_eq!(cause, Unavailable::Behind);
    assert!(ids.len() > 60, "{}", ids.len());
    assert!(node.spool().bytes <= 64 << 20);
    node.recover().await;
    node.store.admit(1_000_000).unwrap();
    let stored: Vec<_> = node.list().await.iter().skip(1).map(|it| it.id).collect();
    assert_eq!(stored, ids);
    outside(move || drop((node, database)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_goes_through_the_spool() {
    let database = outside(|| Cluster::shared().database());
    let node = Node::new(&database);
    node.lose().await;
    let call = Call::end("large", &"y".repeat(3_000_000));
    let body = blob(&node.store, &call.body, 300_000).await;
    let event = call.accepted_large(body);
    let receipt = node.store.append(&event, None).await.unwrap();
    assert!(node.spool().bytes > 3_000_000);
    node.recover().await;
    let body = node.store.body(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    assert_eq!(tokio::task::spawn_blocking(|| bytes_of(body)).await.unwrap(), call.body);
    let left = crate::bench::files(&node.folder.path().join("spool/bodies"));
    assert!(left.is_empty(), "{left:?}");
    outside(move || drop((node, database)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_while_it_drains_goes_on_when_it_is_started_again() {
    let database = outside(|| Cluster::shared().database());
    let node = Node::new(&database);
    node.lose().await;
    let mut ids = vec![];
    for number in 0..3_000 {
        let event = Call::status("c", number).accepted();
        ids.push(node.store.append(&event, None).await.unwrap().id());
    }
    node.proxy.heal();
    // In the middle of it.
    until(|| node.spool().entries < 3_000).await;
    node.proxy.refuse();
    until(|| node.spool().state != "draining").await;
    let left = node.spool().entries;
    // Nothing is closed: what is on the disk is what a crash leaves.
    let crashed = TempDir::new().unwrap();
    copy(&node.folder.path().join("spool"), &crashed.path().join("spool"));
    let again = open(&database.tcp_url(), crashed.path(), &Options::default());
    until(|| again.spool().is_some_and(|it| it.state == "ok" && it.entries == 0)).await;
    let stored: Vec<_> = list(&again).await.iter().skip(1).map(|it| it.id).collect();
    assert_eq!(stored, ids, "each once, in order; {left} were left");
    let repetitions = outside(|| count(&mut database.connect(), "repetitions"));
    assert_eq!(repetitions, 0, "what was drained twice is no repetition");
    outside(move || drop((again, node, database)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_in_the_spool_is_said_at_the_end_and_drained_after_the_next_start() {
    let database = outside(|| Cluster::shared().database());
    let node = Node::new(&database);
    node.lose().await;
    let (receipt, _) = receive(&node.store, &Call::status("c", 1)).await.unwrap();
    node.store.admit(0).unwrap();
    let store = node.store.clone();
    outside(move || store.close());
    assert_eq!(node.spool().entries, 2);
    let Node { store, folder, proxy } = node;
    outside(move || drop(store));
    let again = open(&database.tcp_url(), folder.path(), &Options::default());
    // The database is there: nobody who asks it is told otherwise.
    until(|| {
        let state = again.spool().unwrap().state;
        assert_ne!(state, "spooling");
        state == "ok"
    })
    .await;
    assert_eq!(again.spool().unwrap().entries, 0);
    assert_eq!(list(&again).await.last().unwrap().id, receipt.id());
    outside(move || drop((again, proxy, database)));
}

/// What was refused, the newest first, when all of it is written.
async fn rejections(store: &Store) -> Vec<Rejection> {
    loop {
        match store.rejections(RejectionFilter::default(), ALL).await {
            Ok(listed) => return listed,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_while_the_database_is_away_is_kept_when_it_is_back() {
    let database = outside(|| Cluster::shared().database());
    let node = Node::new(&database);
    node.lose().await;
    let refused = |number| Call::status("c", number).with_token("guess");
    let large = Call::end("c", &"y".repeat(3_000_000)).with_token("guess");
    let body = blob(&node.store, &large.body, 300_000).await;
    node.store.reject(&refused(1).unproven(), 401);
    node.store.reject(&large.unproven_large(body), 401);
    node.store.reject(&refused(2).unproven(), 401);
    let away = node.store.rejections(RejectionFilter::default(), ALL).await.unwrap_err();
    assert!(is_database_away(&away), "{away}");
    assert_eq!(node.store.snapshot().blobs.in_flight_bytes, 0, "nobody else waits for its room");
    node.recover().await;
    let listed = rejections(&node.store).await;
    let sizes: Vec<_> = listed.iter().rev().map(|it| it.size).collect();
    let sent = [&refused(1).body, &large.body, &refused(2).body].map(|it| it.len() as u64);
    assert_eq!(sizes, sent);
    assert_eq!(node.store.snapshot().rejections.dropped, 0);
    let (_, body) = node.store.rejection(listed[1].id).await.unwrap().unwrap();
    assert_eq!(tokio::task::spawn_blocking(|| bytes_of(body)).await.unwrap(), large.body);
    let left = crate::bench::files(&node.folder.path().join("node/blobs"));
    assert!(left.is_empty(), "{left:?}");
    outside(move || drop((node, database)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_requests_that_have_no_room_to_wait_are_dropped_and_counted() {
    let database = outside(|| Cluster::shared().database());
    let node = Node::new(&database);
    node.lose().await;
    let filling = "x".repeat(1 << 20);
    for number in 0..20 {
        let call = Call::end(&format!("c{number}"), &filling).with_token("guess");
        node.store.reject(&call.unproven(), 401);
    }
    let dropped = node.store.snapshot().rejections.dropped;
    assert!((4..8).contains(&dropped), "{dropped}");
    node.recover().await;
    let listed = rejections(&node.store).await;
    assert_eq!(listed.len() as u64, 20 - dropped);
    assert_eq!(node.store.snapshot().rejections.dropped, dropped);
    outside(move || drop((node, database)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_while_the_database_is_away_does_not_wait_for_it() {
    let database = outside(|| Cluster::shared().database());
    let node = Node::new(&database);
    node.lose().await;
    node.store.reject(&Call::status("c", 1).with_token("guess").unproven(), 401);
    let store = node.store.clone();
    outside(move || store.close());
    assert_eq!(node.store.snapshot().rejections.dropped, 1);
    outside(move || drop((node, database)));
}

fn count(client: &mut Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM hookgate.{table}"), &[]).unwrap().get(0)
}
