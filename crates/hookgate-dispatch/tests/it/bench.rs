//! What a test stands on: a store in a folder of its own, two tenants, a clock that is moved
//! by hand, and a dispatcher that can be stopped, dropped and started again.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use hookgate_core::address::Policy;
use hookgate_core::attribution::{read, read_from};
use hookgate_core::delivery::{DestinationSettings, schedule};
use hookgate_core::event::ClaimKind;
use hookgate_core::headers::Headers;
use hookgate_core::named;
use hookgate_core::provider;
use hookgate_core::received::{Body, Received, Verified};
use hookgate_core::secret::Secrets as SourceSecrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_dispatch::{
    AlertRules, Archiving, Counts, DeliveryMetrics, DispatchSettings, Dispatcher, Watcher,
};
use hookgate_egress::{Egress, Settings};
use hookgate_secrets::{MasterKeys, Secrets};
use hookgate_store::{
    Attempt, Binding, Delivery, DeliveryFilter, DestinationId, EventId, NewDestination, OpenError,
    Options, Store, Wake,
};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::receiver::PATIENCE;

/// The token of the source, which must reach nobody.
pub(crate) const TOKEN: &str = "canary-3f9c1d7e5b";

/// The secret of every destination.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const MASTER: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// Waits that are not moved: half of the way between front and back.
fn half() -> f64 {
    0.5
}

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) dispatcher: Dispatcher,
    now: Arc<AtomicI64>,
    allow: &'static [&'static str],
    archiving: Archiving,
    running: Mutex<Option<JoinHandle<bool>>>,
    metrics: Registry,
    folder: TempDir,
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::allowing(&["127.0.0.0/8"]).await
    }

    /// One whose operator allows these networks.
    pub(crate) async fn allowing(allow: &'static [&'static str]) -> Self {
        Self::with(allow, Archiving::default()).await
    }

    /// One that keeps recordings.
    pub(crate) async fn archiving(archiving: Archiving) -> Self {
        Self::with(&["127.0.0.0/8"], archiving).await
    }

    async fn with(allow: &'static [&'static str], archiving: Archiving) -> Self {
        let now = Arc::new(AtomicI64::new(0));
        let bench = Self::open(TempDir::new().unwrap(), now, allow, archiving).await;
        for id in ["ada", "bob"] {
            let at = bench.now();
            let registry = bench.store.registry();
            registry.add_tenant(tenant(id), id.to_owned(), at).await.unwrap();
            for provider in ["vapi", "elevenlabs"] {
                let binding = Binding {
                    tenant: tenant(id),
                    provider: provider.to_owned(),
                    kind: ClaimKind::Agent,
                    external_id: format!("agent-{id}"),
                    created_at: at,
                };
                registry.bind(binding).await.unwrap();
            }
        }
        bench
    }

    async fn open(
        folder: TempDir,
        now: Arc<AtomicI64>,
        allow: &'static [&'static str],
        archiving: Archiving,
    ) -> Self {
        let wake: Wake = Arc::new(|wakers: Vec<Waker>| wakers.into_iter().for_each(Waker::wake));
        let began = std::time::Instant::now();
        let store = loop {
            match Store::open(folder.path(), Options::default(), Arc::clone(&wake)) {
                // Threads of the one before still read.
                Err(OpenError::Locked) if began.elapsed() < PATIENCE => {
                    tokio::task::yield_now().await;
                }
                opened => break opened.unwrap(),
            }
        };
        // Receivers compare it with their own clocks, and so does the store when it is opened.
        let real = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.fetch_max(i64::try_from(real.as_millis()).unwrap(), Ordering::SeqCst);
        let keys = MasterKeys::parse(MASTER).unwrap();
        let secrets = Secrets::open(store.registry().clone(), Some(keys)).await.unwrap();
        let secrets = Arc::new(secrets);
        let mut metrics = Registry::default();
        let policy = Policy::new(allow.iter().map(|it| it.parse().unwrap()).collect());
        let clock = Arc::clone(&now);
        let dispatcher = Dispatcher::new(DispatchSettings {
            store: store.clone(),
            secrets: Arc::clone(&secrets),
            egress: Egress::new(Settings { policy, authorities: Vec::new() }).unwrap(),
            schedule: schedule::DEFAULT.into(),
            archiving: archiving.clone(),
            metrics: DeliveryMetrics::new(&mut metrics),
            clock: Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst))),
            chance: half,
            public_url: Some("https://hooks.example/".to_owned()),
            in_flight_max: 256,
            stop_wait: PATIENCE,
        });
        let running = Mutex::new(None);
        Self { store, secrets, dispatcher, now, allow, archiving, running, metrics, folder }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    /// Moves the clock.
    pub(crate) fn pass(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// One that looks after all of it when it is told to.
    pub(crate) fn watcher(&self, rules: AlertRules, counts: Counts) -> Watcher {
        let clock = Arc::clone(&self.now);
        let clock = Arc::new(move || Timestamp::from_millis(clock.load(Ordering::SeqCst)));
        Watcher::new(self.store.clone(), rules, counts, clock, &mut Registry::default())
    }

    /// Starts the dispatcher.
    pub(crate) fn start(&self) {
        let dispatcher = self.dispatcher.clone();
        let running = tokio::spawn(async move { dispatcher.run(std::future::pending()).await });
        *self.running.lock().unwrap() = Some(running);
    }

    /// Waits until all that is due now was tried.
    pub(crate) async fn idle(&self) {
        let idle = tokio::time::timeout(PATIENCE, self.dispatcher.idle()).await;
        assert!(idle.is_ok(), "it never comes to rest");
        let is_over = self.running.lock().unwrap().as_ref().is_some_and(JoinHandle::is_finished);
        assert!(!is_over, "the dispatcher ended");
    }

    /// Cuts the dispatcher off wherever it is, as a crash does.
    pub(crate) async fn crash(self) -> Self {
        let running = self.running.lock().unwrap().take();
        if let Some(running) = running {
            running.abort();
            // It ends by being cut off.
            let _ = running.await;
        }
        let Self { store, secrets, dispatcher, now, allow, archiving, folder, .. } = self;
        drop((dispatcher, secrets));
        store.close();
        drop(store);
        Self::open(folder, now, allow, archiving).await
    }

    /// The folder of the store.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A destination of a tenant, or of the operator.
    pub(crate) async fn destination(&self, owner: Option<&str>, settings: Value) -> DestinationId {
        let settings = DestinationSettings::read(settings).unwrap();
        let id = DestinationId::draw(self.now()).unwrap();
        let label = id.secret_label();
        let sealed = self.secrets.seal_for_installation(&label, SECRET.as_bytes()).await.unwrap();
        let new = NewDestination {
            id,
            tenant: owner.map(tenant),
            settings,
            sealed_secret: sealed,
            created_at: self.now(),
        };
        self.store.registry().add_destination(new).await.unwrap();
        id
    }

    /// Stores the start of a call, told apart by its note.
    pub(crate) async fn event(&self, owner: &str, call: &str, note: &str) -> EventId {
        self.receive(&update(owner, call, note)).await
    }

    /// Stores a request to Vapi's source as the front door does.
    pub(crate) async fn receive(&self, body: &str) -> EventId {
        let whole = Body::Whole(Bytes::copy_from_slice(body.as_bytes()));
        let readable = read(verified("vapi", body, whole, self.now())).unwrap();
        let receipt = match self.store.attribute(readable).await.unwrap() {
            Ok((event, adopting)) => self.store.append(&event, adopting).await.unwrap(),
            Err(event) => self.store.quarantine(&event).await.unwrap(),
        };
        receipt.id()
    }

    /// Stores a request to another provider's source; a large one in a file of its own.
    pub(crate) async fn receive_large(&self, provider: &str, body: &str) -> EventId {
        let received = if body.len() > 1 << 20 {
            let mut writer = self.store.begin_blob().await.unwrap();
            writer.write(Bytes::copy_from_slice(body.as_bytes())).await.unwrap();
            Body::Blob(writer.finish().await.unwrap())
        } else {
            Body::Whole(Bytes::copy_from_slice(body.as_bytes()))
        };
        let verified = verified(provider, body, received, self.now());
        let readable = read_from(verified, body.as_bytes()).unwrap();
        let (event, adopting) = self.store.attribute(readable).await.unwrap().unwrap();
        self.store.append(&event, adopting).await.unwrap().id()
    }

    /// Deliveries, the oldest first.
    pub(crate) async fn deliveries(&self) -> Vec<Delivery> {
        let registry = self.store.registry();
        let filter = DeliveryFilter::default();
        let mut all = registry.deliveries(&Scope::Operator, filter, None, u32::MAX).await.unwrap();
        all.sort_by_key(|it| it.n);
        all
    }

    /// How far each delivery is, with its attempts.
    pub(crate) async fn states(&self) -> Vec<String> {
        let told = |it: Delivery| format!("{} {}", it.status.name(), it.attempts);
        self.deliveries().await.into_iter().map(told).collect()
    }

    /// Attempts at a delivery, the oldest first.
    pub(crate) async fn attempts(&self, delivery: &Delivery) -> Vec<Attempt> {
        let registry = self.store.registry();
        registry.attempts_of(&Scope::Operator, delivery.id).await.unwrap()
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        text
    }
}

/// The body of the start of a call.
pub(crate) fn update(owner: &str, call: &str, note: &str) -> String {
    let agent = match owner {
        "" => String::new(),
        owner => format!(r#","assistantId":"agent-{owner}""#),
    };
    format!(
        r#"{{"message":{{"type":"call.started","call":{{"id":"{call}"{agent}}},"note":"{note}"}}}}"#
    )
}

fn verified(provider: &str, body: &str, received: Body, at: Timestamp) -> Verified {
    let policy = named::policy("vapi.auto", &Value::Null).unwrap();
    let secrets = SourceSecrets::from_text(TOKEN, "");
    let provider = provider::named(provider).unwrap();
    let source =
        Arc::new(Source::new(provider.name, provider, policy, secrets, Verification::Enforce));
    let mut headers = Headers::new();
    headers.push_plain(http::header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    headers.push_plain(http::header::CONTENT_TYPE, "application/json");
    let url = "http://localhost/webhook/vapi";
    let envelope = Envelope { method: "POST", url, headers: &headers, mask_key: None };
    let mut examination = Examination::open(&source.policy, &source.secrets, envelope, at);
    examination.update(body.as_bytes());
    let received = Received {
        source,
        method: "POST".to_owned(),
        target: "/webhook/vapi".to_owned(),
        tool: None,
        token: None,
        headers,
        body: received,
        peer: IpAddr::from([203, 0, 113, 7]),
        at,
        late: false,
        correlation_id: "correlation".to_owned(),
    };
    received.judge(examination).unwrap()
}
