//! What storing an event costs, thread by thread: `cargo bench -p hookgate-store`.
//!
//! Absolute figures drift with the machine. What counts is where the time goes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a tool for a developer"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hookgate_core::attribution::{Attributed, Consulted, read};
use hookgate_core::headers::Headers;
use hookgate_core::received::{Body, Received};
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_core::{named, provider};
use hookgate_store::{Options, Store};
use http::HeaderName;

/// Appends in flight at once.
const SENDERS: u64 = 256;

fn main() {
    let events: u64 =
        std::env::var("EVENTS").ok().and_then(|it| it.parse().ok()).unwrap_or(300_000);
    let folder =
        tempfile::TempDir::new_in(std::env::var("FOLDER").unwrap_or_else(|_| ".".to_owned()))
            .unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store =
        Store::open(folder.path(), Options::default(), hookgate_journal::wake_inline()).unwrap();
    let requests: Arc<Vec<Attributed>> = Arc::new((0..events).map(request).collect());
    let next = Arc::new(AtomicU64::new(0));
    let before = cpu_by_thread();
    let begun = Instant::now();
    let refused = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (store, requests, next, refused) =
                    (store.clone(), Arc::clone(&requests), Arc::clone(&next), Arc::clone(&refused));
                tokio::spawn(async move {
                    while let Ok(at) = usize::try_from(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(request) = requests.get(at) else { break };
                        while store.append(request, None).await.is_err() {
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
    });
    let took = begun.elapsed();
    let lag = store.snapshot().index.lag;
    while store.snapshot().index.lag > 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let indexed = begun.elapsed();
    let after = cpu_by_thread();
    store.close();
    let journal = store.snapshot().journal;
    println!(
        "{events} events in {took:.2?} ({:.0}/s), index {lag} behind, all indexed after {indexed:.2?}, {} batches, {} refusals",
        rate(events, took.as_secs_f64()),
        journal.batches,
        refused.load(Ordering::Relaxed)
    );
    for (name, nanos) in after {
        let spent = nanos.saturating_sub(before.get(&name).copied().unwrap_or(0));
        if spent > 1_000_000 {
            println!("{name:>20}: {:.2} µs an event", rate(spent, 1_000.0) / rate(events, 1.0));
        }
    }
    drop(store);
    first_polls();
    let begun = Instant::now();
    let store =
        Store::open(folder.path(), Options::default(), hookgate_journal::wake_inline()).unwrap();
    println!("opened again in {:.2?}", begun.elapsed());
    store.close();
    drop(store);
    std::fs::remove_file(folder.path().join("index.sqlite")).unwrap();
    let begun = Instant::now();
    let store =
        Store::open(folder.path(), Options::default(), hookgate_journal::wake_inline()).unwrap();
    println!("opened without its index in {:.2?}", begun.elapsed());
    store.close();
}

/// What the thread of a request does for it, without any executor: the first poll, of
/// requests that were just received and are still in the cache.
fn first_polls() {
    let folder =
        tempfile::TempDir::new_in(std::env::var("FOLDER").unwrap_or_else(|_| ".".to_owned()))
            .unwrap();
    let store =
        Store::open(folder.path(), Options::default(), hookgate_journal::wake_inline()).unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut bursts = Vec::new();
    let mut digests = Vec::new();
    for burst in 0..200 {
        let requests: Vec<Attributed> = (burst * 512..burst * 512 + 512).map(request).collect();
        let begun = Instant::now();
        for request in &requests {
            std::hint::black_box(request.received().body.sha256());
        }
        digests.push(begun.elapsed().as_secs_f64() * 1e6 / 512.0);
        let begun = Instant::now();
        for request in &requests {
            // It is on its way with the first poll, whoever waits for it.
            let _ = std::pin::pin!(store.append(request, None)).poll(&mut context);
        }
        bursts.push(begun.elapsed().as_secs_f64() * 1e6 / 512.0);
        while store.snapshot().pending.records > 0 {
            std::thread::yield_now();
        }
    }
    for (what, mut micros) in [("SHA-256 of a body", digests), ("first poll, with it", bursts)] {
        micros.sort_by(f64::total_cmp);
        let at = |part: usize| micros.get(micros.len() * part / 100).copied().unwrap_or(f64::NAN);
        println!(
            "{what:>20}: {:.2} µs at best, {:.2} half of the time, {:.2} at the 90th",
            at(5),
            at(50),
            at(90)
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "printed with two digits")]
fn rate(count: u64, per: f64) -> f64 {
    count as f64 / per
}

/// A webhook of 2,560 bytes with the headers that a proxy leaves.
fn request(number: u64) -> Attributed {
    let policy = named::policy("vapi.auto", &serde_json::json!({})).unwrap();
    let source = Arc::new(Source::new(
        "vapi",
        provider::named("vapi").unwrap(),
        policy,
        Secrets::from_text("secret", ""),
        Verification::Enforce,
    ));
    let filler = "x".repeat(2_450);
    let body = format!(
        r#"{{"message":{{"type":"status-update","call":{{"id":"call-{}"}},"n":{number},"filler":"{filler}"}}}}"#,
        number / 8
    );
    let mut headers = Headers::new();
    headers.push_plain(http::header::AUTHORIZATION, "Bearer secret");
    for (name, value) in [
        ("host", "hooks.example.com"),
        ("user-agent", "axios/1.7.9"),
        ("content-type", "application/json"),
        ("content-length", "2560"),
        ("accept", "application/json, text/plain, */*"),
        ("accept-encoding", "gzip, compress, deflate, br"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "5f3c9a52-8c1e-4b3d-9d8e-2f6b7a1c0d4e"),
    ] {
        headers.push_plain(HeaderName::from_static(name), value);
    }
    let at = Timestamp::from_millis(1_800_000_000_000_i64.saturating_add_unsigned(number / 50));
    let envelope =
        Envelope { method: "POST", url: "http://localhost/", headers: &headers, mask_key: None };
    let mut examination = Examination::open(&source.policy, &source.secrets, envelope, at);
    examination.update(body.as_bytes());
    let received = Received {
        source,
        method: "POST".to_owned(),
        target: "/webhook/vapi".to_owned(),
        tool: None,
        token: None,
        headers,
        body: Body::Whole(Bytes::from(body)),
        peer: [203, 0, 113, 7].into(),
        at,
        late: false,
        correlation_id: "5f3c9a528c1e4b3d9d8e2f6b7a1c0d4e".to_owned(),
    };
    let verified = received.judge(examination).expect("it is proven");
    let readable = read(verified).expect("it can be read");
    readable.decide(&Consulted::default()).conclude().expect("it may be acted on")
}

/// Nanoseconds on a processor, by the names of the threads (Linux).
fn cpu_by_thread() -> BTreeMap<String, u64> {
    let mut spent = BTreeMap::new();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return spent };
    for task in tasks.flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let nanos = read("schedstat").split(' ').next().and_then(|it| it.parse::<u64>().ok());
        *spent.entry(read("comm").trim().to_owned()).or_default() += nanos.unwrap_or(0);
    }
    spent
}
