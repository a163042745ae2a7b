//! A gateway whose store is in PostgreSQL, which is away.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;

use hookgate_testpg::{Cluster, Database, Options, Stop};
use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, Gateway, PATIENCE};
use crate::passed_on::receiver;
use crate::tenants::{done, json, run, two_tenants};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// What no file on a node may show.
const CANARY: &str = "canary-0123456789abcdef";

/// What a node says when its spool is empty, and the database is used.
const BACK: &str = "events go to PostgreSQL";

/// A shell with what a node of this database needs.
pub(crate) fn node(database: &Database<'_>) -> Bench {
    let mut bench = Bench::new();
    bench
        .set("HOOKGATE_ADMIN_TOKEN", "operator-0123456789abcdef")
        .set("HOOKGATE_MASTER_KEY", KEY)
        .set("HOOKGATE_STORE", &database.tcp_url())
        .set("VAPI_WEBHOOK_SECRET", "vapi-0123456789abcdef0123456789abcdef");
    bench.file("hookgate.toml", "[store]\nstart_seconds = 1\n");
    bench
}

/// The body of an event of this call; no two are the same.
fn body(call: &str, agent: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let at = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        r#"{{"message":{{"type":"transcript","call":{{"id":"{call}","assistantId":"{agent}"}},"at":{at}}}}}"#
    )
}

/// Sends an event; to the source that was made, or to the one that is always there.
#[track_caller]
fn send(bench: &Bench, call: &str, agent: &str, made: Option<&str>) {
    let to = made.map(|url| ["--secret-file", "secret", "--to", url]);
    let mut arguments = vec!["send", "vapi", "--body", "-"];
    arguments.extend(to.into_iter().flatten());
    let ended = bench.run_with(&arguments, body(call, agent).as_bytes());
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// Waits for an answer of `/readyz`.
#[track_caller]
fn wait_until(gateway: &Gateway, is_so: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let said = gateway.get("/readyz", &[]).json();
        if is_so(&said) {
            return said;
        }
        assert!(Instant::now() < until, "{said}");
        std::thread::yield_now();
    }
}

/// Stops a gateway, and gives its exit code and what it said.
fn end(mut gateway: Gateway) -> (i32, String) {
    gateway.signal(Signal::TERM);
    (gateway.code(), gateway.seen())
}

#[test]
fn a_node_that_starts_while_its_database_is_away_serves_with_what_it_knew() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.file("secret", CANARY);
    let gateway = bench.serve(&[]);
    two_tenants(&bench);
    let made =
        run(&bench, "source add acme-vapi --provider vapi --tenant acme --secret-file secret");
    let path = made.out.trim().splitn(4, '/').nth(3).unwrap().to_owned();
    send(&bench, "known", "a_acme", None);
    gateway.stop();
    let cache = std::fs::read(bench.path().join("hookgate.data/cache")).unwrap();
    for text in [CANARY, "a_acme", "globex"] {
        let is_there = cache.windows(text.len()).any(|it| it == text.as_bytes());
        assert!(!is_there, "{text:?} is in the file in clear");
    }

    cluster.stop(Stop::Immediate);
    let mut gateway = bench.serve(&[]);
    assert!(gateway.seen().contains("serves with what it knew"), "{}", gateway.seen());
    let ready = gateway.get("/readyz", &[]);
    assert_eq!((ready.status, ready.json()["store"].as_str()), (200, Some("spooling")));
    // Of a conversation that it knows; of one that nobody can know; by a secret of the registry.
    send(&bench, "known", "a_acme", None);
    send(&bench, "new", "a_globex", None);
    let url = format!("http://127.0.0.1:{}/{path}", gateway.address.port());
    send(&bench, "tokened", "a_acme", Some(&url));
    let unproven = gateway.post("/in/vapi", &[("x-vapi-secret", "guess")], &body("x", "a_acme"));
    assert_eq!(unproven.status, 401, "{unproven:?}");
    gateway.wait_for_metric("hookgate_spool_state 1");
    gateway.wait_for_metric("hookgate_spool_entries 3");
    assert!(gateway.get("/metrics", &[]).body.contains("hookgate_spool_oldest_received_seconds 1"));
    let listed = run(&bench, "events list");
    assert_eq!(listed.code, 1, "{listed:?}");

    cluster.start_again();
    gateway.wait_for(BACK);
    gateway.wait_for_metric("hookgate_spool_entries 0");
    let events = json(&bench, "events list");
    let mut found: Vec<_> = events["data"].as_array().unwrap().iter().map(whose).collect();
    found.reverse();
    let all = [("known", "acme"), ("known", "acme"), ("new", "globex"), ("tokened", "acme")];
    assert_eq!(found, all.map(|(call, tenant)| (call.to_owned(), tenant.to_owned())));
    // As if it had started now: what changes is known at once, and events go to the database.
    done(&bench, "binding add --tenant globex --provider vapi --kind agent a_late");
    send(&bench, "late", "a_late", None);
    let late = json(&bench, "events list --tenant globex");
    assert_eq!(late["data"].as_array().unwrap().len(), 2, "{late}");
    let conversations = || json(&bench, "conversations list")["data"].as_array().unwrap().len();
    let until = Instant::now() + PATIENCE;
    while conversations() != 4 {
        assert!(Instant::now() < until, "conversations are not followed");
    }
    gateway.stop();
}

/// The call and the tenant of an event, which is accepted.
fn whose(event: &Value) -> (String, String) {
    assert_eq!(event["status"], "accepted", "{event}");
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    (text("conversation_id"), text("tenant"))
}

#[test]
fn what_arrived_while_the_database_was_away_is_kept_and_not_sent_again() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.set("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8");
    bench.set("RUST_LOG", "info,hookgate_dispatch=debug");
    let mut gateway = bench.serve(&[]);
    let ((begin, has_begun), (go_on, goes_on)) = (channel(), channel::<()>());
    let (address, arrived) = receiver(move |_| {
        begin.send(()).unwrap();
        // Ends with the sender, and is over at once from then on.
        let _ = goes_on.recv();
        200
    });
    done(&bench, &format!("destination add --kind http --url http://{address}/"));
    send(&bench, "known", "a", None);
    has_begun.recv_timeout(PATIENCE).unwrap();
    cluster.stop(Stop::Immediate);
    drop(go_on);
    gateway.wait_for("the end of attempts cannot be kept");
    cluster.start_again();
    // Each connection comes back by itself: until all have, the list may not be had.
    let until = Instant::now() + PATIENCE;
    let is_kept = || {
        let listed = run(&bench, "deliveries list --state delivered --json");
        let listed = serde_json::from_str::<Value>(&listed.out).ok();
        listed.is_some_and(|it| it["data"].as_array().is_some_and(|it| it.len() == 1))
    };
    while !is_kept() {
        assert!(Instant::now() < until, "its end is not kept");
    }
    assert_eq!(arrived.try_iter().count(), 1, "its lease was waited for, and it was sent again");
    gateway.stop();
}

#[test]
fn what_others_changed_while_it_was_gone_counts_when_the_database_is_back() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let (mut here, mut there) = (node(&database), node(&database));
    let gateway = here.serve(&[]);
    two_tenants(&here);
    send(&here, "known", "a_acme", None);
    gateway.stop();
    let other = there.serve(&[]);
    done(&there, "tenant add initech --name initech");
    done(&there, "binding remove --provider vapi --kind agent a_acme");
    done(&there, "binding add --tenant initech --provider vapi --kind agent a_acme");
    other.stop();

    cluster.stop(Stop::Immediate);
    let mut gateway = here.serve(&[]);
    send(&here, "new", "a_acme", None);
    cluster.start_again();
    gateway.wait_for(BACK);
    let events = json(&here, "events list");
    assert_eq!(whose(&events["data"][0]), ("new".to_owned(), "initech".to_owned()));
    assert!(done(&here, "tenant list").contains("initech"));
    gateway.stop();
}

#[test]
fn a_node_without_anything_to_serve_with_waits_a_moment_and_says_so() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    cluster.stop(Stop::Immediate);
    let check = |bench: &Bench| {
        let ended = run(bench, "serve --listen 127.0.0.1:0");
        assert_eq!(ended.code, 1, "{ended:?}");
        let (away, waiting) = ("PostgreSQL was away for 1 s", "waiting for it");
        assert!(ended.err.contains(away) && ended.out.contains(waiting), "{ended:?}");
    };
    check(&bench);
    // What another installation left there is none.
    cluster.start_again();
    bench.serve(&[]).stop();
    cluster.stop(Stop::Immediate);
    bench.set("HOOKGATE_MASTER_KEY", OTHER_KEY);
    check(&bench);
    bench.set("HOOKGATE_MASTER_KEY", KEY);
    let config = "[store]\nstart_seconds = 1\nspool = \"off\"\n";
    bench.file("hookgate.toml", config);
    check(&bench);
    // One that comes in time is waited for.
    bench.file("hookgate.toml", "[store]\nspool = \"off\"\n");
    let gateway = std::thread::scope(|scope| {
        let serving = scope.spawn(|| bench.serve(&[]));
        cluster.start_again();
        serving.join().unwrap()
    });
    assert_eq!(gateway.get("/readyz", &[]).json()["store"], "ok");
    gateway.stop();
}

#[test]
fn what_is_left_in_the_spool_is_said_by_the_end_and_by_the_doctor() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.serve(&[]).stop();
    assert!(run(&bench, "doctor").out.contains("nothing waits in it"));
    cluster.stop(Stop::Immediate);
    let gateway = bench.serve(&[]);
    send(&bench, "one", "a", None);
    send(&bench, "two", "a", None);
    let (code, said) = end(gateway);
    assert_ne!(code, 0);
    assert!(said.contains("stopped with events in the spool"), "{said}");
    let doctor = run(&bench, "doctor").out;
    assert!(doctor.contains("it holds 2 events, the oldest since 20"), "{doctor}");
    cluster.start_again();
    let gateway = bench.serve(&[]);
    gateway.wait_for_store();
    let events = json(&bench, "events list");
    let calls: Vec<_> = events["data"].as_array().unwrap().iter().collect();
    assert_eq!(calls.len(), 2, "{events}");
    assert_eq!(calls[1]["conversation_id"], "one");
    gateway.stop();
    assert!(run(&bench, "doctor").out.contains("nothing waits in it"));
}

#[test]
fn a_spool_with_events_in_it_is_not_turned_off() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.serve(&[]).stop();
    cluster.stop(Stop::Immediate);
    let gateway = bench.serve(&[]);
    send(&bench, "one", "a", None);
    end(gateway);
    cluster.start_again();
    bench.file("hookgate.toml", "[store]\nspool = \"off\"\n");
    let doctor = run(&bench, "doctor");
    assert!(doctor.code == 1 && doctor.out.contains("events (1) wait in"), "{doctor:?}");
    let ended = run(&bench, "serve --listen 127.0.0.1:0");
    assert!(ended.code == 1 && ended.err.contains("hookgate.data/spool"), "{ended:?}");
    bench.file("hookgate.toml", "");
    let gateway = bench.serve(&[]);
    gateway.wait_for_store();
    gateway.stop();
    bench.file("hookgate.toml", "[store]\nspool = \"off\"\n");
    bench.serve(&[]).stop();
}

#[test]
fn what_needs_the_database_says_that_it_is_away() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    let gateway = bench.serve(&[]);
    two_tenants(&bench);
    cluster.stop(Stop::Immediate);
    for command in [
        "events list",
        "rejections list",
        "deliveries list",
        "conversations list",
        "conversations rebuild",
        "tenant add initech --name initech",
        "credential list acme",
    ] {
        let ended = run(&bench, command);
        assert_eq!(ended.code, 1, "{command}: {ended:?}");
        assert!(ended.err.contains("The database is away"), "{command}: {ended:?}");
    }
    let operator = [("authorization", "Bearer operator-0123456789abcdef")];
    let answer = gateway.request("POST", "/api/v1/conversations/rebuild", &operator, "");
    assert_eq!(answer.status, 503, "{answer:?}");
    drop(gateway);
}

#[test]
fn an_outage_is_said_once_and_not_by_each_who_meets_it() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.set("RUST_LOG", "info,hookgate_dispatch=debug,hookgate_store=debug");
    let mut gateway = bench.serve(&["--log-format", "json"]);
    cluster.stop(Stop::Immediate);
    for what in [
        "deliveries cannot be leased",
        "recordings cannot be leased",
        "deliveries cannot be counted",
        "conversations cannot be followed",
    ] {
        gateway.wait_for(what);
        gateway.wait_for(what);
    }
    cluster.start_again();
    gateway.wait_for("PostgreSQL is back: deliveries go on");
    let (code, said) = end(gateway);
    assert_eq!(code, 0, "{said}");
    let loud: Vec<_> = said.lines().filter(|it| it.contains("\"level\":\"ERROR\"")).collect();
    // What was under way when it went is another cause.
    assert!(loud.len() <= 2, "{loud:#?}");
    let away = "PostgreSQL is away: deliveries wait for it";
    assert_eq!(loud.iter().filter(|it| it.contains(away)).count(), 1, "{loud:#?}");
    let told = said.matches("changes of other nodes are not heard now").count();
    assert_eq!(told, 1, "{said}");
}

#[test]
fn the_doctor_says_what_an_outage_is_for_this_node() {
    let cluster = Cluster::start(&Options::default());
    let (database, other, empty) = (cluster.database(), cluster.database(), cluster.database());
    let mut bench = node(&database);
    let gateway = bench.serve(&[]);
    cluster.stop(Stop::Immediate);
    send(&bench, "one", "a", None);
    let doctor = run(&bench, "doctor").out;
    assert!(doctor.contains("nodes that run spool what comes"), "{doctor}");
    assert!(doctor.contains("a running node drains them"), "{doctor}");
    assert!(doctor.contains("The database is away"), "{doctor}");
    assert!(!doctor.contains("set HOOKGATE_ADMIN_TOKEN"), "{doctor}");
    end(gateway);
    cluster.start_again();
    // Of another store, and of none.
    let mut beside = node(&other);
    let there = beside.serve(&[]);
    bench.set("HOOKGATE_STORE", &other.tcp_url());
    let doctor = run(&bench, "doctor");
    assert!(
        doctor.code == 1 && doctor.out.contains("it holds 1 event of another store"),
        "{doctor:?}"
    );
    assert!(!doctor.out.contains("a running node drains them"), "{doctor:?}");
    there.stop();
    bench.set("HOOKGATE_STORE", &empty.tcp_url());
    let doctor = run(&bench, "doctor");
    assert!(
        doctor.code == 1 && doctor.out.contains("it holds 1 event of another store"),
        "{doctor:?}"
    );
    let away = node(&database);
    away.file("hookgate.toml", "[store]\nspool = \"off\"\n");
    cluster.stop(Stop::Immediate);
    let doctor = run(&away, "doctor").out;
    assert!(doctor.contains("nodes that run answer webhooks with 503"), "{doctor}");
}

#[test]
fn a_full_spool_is_said_before_a_body_is_sent() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.file("hookgate.toml", "[store]\nspool_bytes = \"64 MiB\"\n");
    bench.serve(&[]).stop();
    cluster.stop(Stop::Immediate);
    let mut gateway = bench.serve(&[]);
    gateway.wait_for_metric("hookgate_spool_size_max_bytes 67108864");
    let filling = format!(r#"{{"filling":"{}","message""#, "x".repeat(1_000_000));
    let large = body("large", "a").replacen("{\"message\"", &filling, 1);
    let mut taken = 0;
    while bench.run_with(&["send", "vapi", "--body", "-"], large.as_bytes()).code == 0 {
        taken += 1;
        assert!(taken < 70, "it is never full");
    }
    assert!(taken > 60, "{taken}");
    // The answer comes although no byte of the body does.
    let mut stream = gateway.connect();
    let head = "POST /in/vapi HTTP/1.1\r\nhost: x\r\nx-vapi-secret: vapi-0123456789abcdef0123456789abcdef\r\n\
                content-length: 1000000\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // It may cut the connection, as nothing is read of the body.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("\r\nretry-after: "), "{answer}");
    cluster.start_again();
    gateway.wait_for(BACK);
    gateway.wait_for_metric("hookgate_spool_entries 0");
    send(&bench, "later", "a", None);
    gateway.stop();
}

#[test]
fn the_spool_of_one_store_is_never_drained_into_another() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.serve(&[]).stop();
    // Somebody makes it anew.
    database.connect().batch_execute("DROP SCHEMA hookgate CASCADE").unwrap();
    cluster.stop(Stop::Fast);
    let mut gateway = bench.serve(&[]);
    send(&bench, "one", "a", None);
    cluster.start_again();
    gateway.wait_for("holds another store");
    let said = wait_until(&gateway, |it| it["why"] == "other_store");
    assert_eq!(said["store"], "spooling", "{said}");
    send(&bench, "two", "a", None);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'hookgate'";
    let count: i64 = database.connect().query_one(schemas, &[]).unwrap().get(0);
    assert_eq!(count, 0, "nothing was made there");
    assert_ne!(end(gateway).0, 0);

    let ended = run(&bench, "serve --listen 127.0.0.1:0");
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("holds events (2) of another store"), "{ended:?}");
    assert!(run(&bench, "doctor").out.contains("it holds 2 events of another store"));
}
