//! What finding out whose an event is costs a processor, beside reading its body: with the
//! ids in memory, as of every event of a call but the first.
//!
//! `cargo bench -p hookgate-store --bench attribute`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and fails where it cannot go on"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_core::attribution::{Readable, read};
use hookgate_core::event::ClaimKind;
use hookgate_core::headers::Headers;
use hookgate_core::received::{Body, Received};
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_core::{named, provider};
use hookgate_store::{Binding, Options, Store};

/// Events that are attributed in one measurement.
const EVENTS: u32 = 200_000;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let wake = Arc::new(|wakers: Vec<std::task::Waker>| {
        wakers.into_iter().for_each(std::task::Waker::wake);
    });
    let store = Store::open(folder.path(), Options::default(), wake).unwrap();
    runtime.block_on(measure(&store));
    store.close();
}

async fn measure(store: &Store) {
    let acme = TenantId::parse("acme").unwrap();
    let registry = store.registry();
    registry.add_tenant(acme.clone(), "Acme".to_owned(), NOW).await.unwrap();
    for (kind, id) in [(ClaimKind::Agent, "agent_1"), (ClaimKind::PhoneNumber, "+12137771235")] {
        let binding = Binding {
            tenant: acme.clone(),
            provider: "retell".to_owned(),
            kind,
            external_id: id.to_owned(),
            created_at: NOW,
        };
        registry.bind(binding).await.unwrap();
    }
    let source = source();
    let first = store.attribute(readable(&source)).await.unwrap().unwrap();
    let receipt = store.append(&first.0, first.1).await.unwrap();
    assert_eq!(first.0.decision().tenant(), Some(&acme));

    let statements = store.ledger().statements();
    let (mut reading, mut attributing) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..EVENTS {
        let verified = verified(&source);
        let begin = Instant::now();
        let readable = read(verified).unwrap();
        reading += begin.elapsed();
        let begin = Instant::now();
        let attributed = store.attribute(readable).await.unwrap().unwrap();
        attributing += begin.elapsed();
        drop(attributed);
    }
    let micros = |it: Duration| it.as_secs_f64() * 1e6 / f64::from(EVENTS);
    println!("{EVENTS} events of a known call, one thread, after event {}", receipt.seq());
    println!("reading the body:     {:.2} us", micros(reading));
    println!("attributing, in memory: {:.2} us", micros(attributing));
    println!("SQL statements asked:  {}", store.ledger().statements() - statements);
}

fn source() -> Arc<Source> {
    let policy = named::policy("vapi.token", &serde_json::json!({})).unwrap();
    let retell = provider::named("retell").unwrap();
    let secrets = Secrets::from_text("secret", "");
    Arc::new(Source::new("retell", retell, policy, secrets, Verification::Enforce))
}

fn readable(source: &Arc<Source>) -> Readable {
    read(verified(source)).unwrap()
}

fn verified(source: &Arc<Source>) -> hookgate_core::received::Verified {
    let body = Bytes::from_static(
        br#"{"event":"call_ended","call":{"call_id":"call_1","agent_id":"agent_1","direction":"inbound","from_number":"+12137771234","to_number":"+12137771235","call_status":"ended"}}"#,
    );
    let mut headers = Headers::new();
    headers.push_plain(http::header::AUTHORIZATION, "Bearer secret");
    let envelope = Envelope { method: "POST", url: "", headers: &headers, mask_key: None };
    let mut examination = Examination::open(&source.policy, &source.secrets, envelope, NOW);
    examination.update(&body);
    let received = Received {
        source: Arc::clone(source),
        method: "POST".to_owned(),
        target: "/webhook/retell".to_owned(),
        tool: None,
        token: None,
        headers,
        body: Body::Whole(body),
        peer: [203, 0, 113, 7].into(),
        at: NOW,
        late: false,
        correlation_id: "bench".to_owned(),
    };
    received.judge(examination).unwrap()
}
