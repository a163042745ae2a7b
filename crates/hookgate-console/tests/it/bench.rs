//! A store, the sources, and the console over both.

use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hookgate_console::{Caller, Console, SourceSettings, register_store, router};
use hookgate_core::attribution::{Quarantined, read, read_from};
use hookgate_core::headers::Headers;
use hookgate_core::named;
use hookgate_core::provider;
use hookgate_core::received::{self, Received, Unproven, Verified};
use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::sign::{Message, sign};
use hookgate_core::sound::Sound;
use hookgate_core::source::{CurrentSources, Source, Sources, Verification};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_store::{
    Begun, Cursor, EventId, FinishedToolCall, Made, NewRecording, NewToolCall, Options, Store,
    ToolCallId, ToolCallState, ToolTimes,
};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::sync::watch;
use tower_service::Service;

use crate::following::Following;

/// The operator's token.
pub(crate) const TOKEN: &str = "operator-token-canary-1";

/// The secret that every source has unless a test says otherwise.
pub(crate) const SECRET: &str = "source-secret-canary-2";

/// The base64 of 32 bytes.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The moment that the console's clock shows, and when the first request is received:
/// 2026-11-22T08:00:00Z.
pub(crate) const NOW: i64 = 1_795_334_400_000;

/// How long a test waits for what is done behind its back.
pub(crate) const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// So much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The media type of an answer that goes on.
const EVENT_STREAM: &str = "text/event-stream";

/// One installation.
pub(crate) struct Bench {
    // Before the folder: it is closed first.
    pub(crate) store: Store,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sources: Arc<CurrentSources>,
    pub(crate) caller: Option<Caller>,
    pub(crate) router: axum::Router,
    /// Stops the gateway.
    pub(crate) stop: watch::Sender<bool>,
    follower: Follower,
    received: i64,
}

/// Puts the sources that are made over the API in force, as the gateway does.
struct Follower(tokio::task::JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// The `detail` of a problem with this status.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert!(body["type"].as_str().unwrap().starts_with("urn:hookgate:problem:"), "{body}");
        assert!(body["title"].is_string(), "{body}");
        body["detail"].as_str().unwrap().to_owned()
    }

    /// The entries, if it is a list.
    pub(crate) fn json_list(&self) -> Option<Vec<Value>> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body["data"].as_array().cloned()
    }

    /// The values of `field` in a list.
    #[track_caller]
    pub(crate) fn column(&self, field: &str) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["data"].as_array().unwrap().iter().map(|it| it[field].clone()).collect()
    }
}

impl Bench {
    /// A source for each provider, all with [`SECRET`].
    pub(crate) fn new() -> Self {
        log();
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), Options::default());
        Self::over(store, folder, Arc::new(sources(SECRET)))
    }

    /// The same folder, closed and opened with other bounds.
    pub(crate) fn reopened(self, options: Options) -> Self {
        let Self { store, folder, sources, router, follower, received, .. } = self;
        store.close();
        let sources = sources.get();
        drop((store, router, follower));
        let store = open(folder.path(), options);
        Self { received, ..Self::over(store, folder, sources) }
    }

    /// The same store under other sources, as after a restart with another configuration.
    pub(crate) fn restarted(self, sources: Sources) -> Self {
        let received = self.received;
        Self { received, ..Self::over(self.store, self.folder, Arc::new(sources)) }
    }

    fn over(store: Store, folder: tempfile::TempDir, configured: Arc<Sources>) -> Self {
        let mut metrics = Registry::default();
        register_store(&mut metrics, store.clone());
        let sources = Arc::new(CurrentSources::new(Arc::clone(&configured)));
        let secrets = Arc::new(secrets(&store));
        let (applied, sources_applied) = watch::channel(0);
        let stop = watch::Sender::new(false);
        let following = follow(
            store.registry().clone(),
            Arc::clone(&secrets),
            configured,
            (Arc::clone(&sources), applied),
        );
        let router = router(Console {
            store: store.clone(),
            secrets,
            sources: Arc::clone(&sources),
            sources_applied,
            check_source: Arc::new(check),
            forget_tenant: Arc::new(|_| {}),
            check_destination: Arc::new(|url: String, _| {
                let is_inside = url.contains("//10.") || url.contains("//localhost");
                Box::pin(async move {
                    if is_inside {
                        Err("the host's address may not be reached".to_owned())
                    } else {
                        Ok(())
                    }
                })
            }),
            admin_token: Secret::new(TOKEN),
            metrics: Arc::new(metrics),
            clock: || Timestamp::from_millis(NOW),
            public_url: Some("https://hooks.example".to_owned()),
            // More than a test makes.
            bulk_per_second: 1_000_000,
            stop: stop.subscribe(),
        });
        let follower = Follower(tokio::spawn(following));
        Self { store, folder, sources, caller: None, router, stop, follower, received: 0 }
    }

    /// A request of anybody.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(caller) = self.caller {
            request.extensions_mut().insert(caller);
        }
        let response = self.router.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let is_stream = head.headers.get("content-type").is_some_and(|it| it == EVENT_STREAM);
        let body = if is_stream {
            // It does not end: what is stored already is the answer.
            Following::new(body).until("live").await.into()
        } else {
            to_bytes(body, ANSWER_BYTES_MAX).await.expect("the whole answer")
        };
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The operator reads.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    /// The operator acts.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::POST, path, body).await
    }

    /// The operator acts, and it works: this is the answer.
    #[track_caller]
    pub(crate) fn made(&self, path: &str, body: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.post(path, &body.to_string()).await;
            assert!(answer.status.is_success(), "{caller}: {answer:?}");
            answer.json()
        }
    }

    /// The operator does anything.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        self.ask_as(TOKEN, method, path, body).await
    }

    /// Whoever has this token reads.
    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.ask_as(token, Method::GET, path, "").await
    }

    /// Whoever has this token does anything.
    pub(crate) async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &str,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let request = Request::builder().method(method).uri(path).header("authorization", bearer);
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// A booking that an agent of a tenant made, with this event, in this call.
    pub(crate) async fn tool_call(&self, tenant: &str, event: EventId, call: &str) -> ToolCallId {
        let new = Self::new_tool_call(tenant, event, call);
        let registry = self.store.registry();
        let begun = registry.begin_tool_call(new.clone()).await.unwrap();
        assert_eq!(begun, Begun::Fresh { generation: 1 });
        let reply = r#"{"ok":true,"status":"booked","message":"You are booked."}"#;
        let finished = registry.finish_tool_call(FinishedToolCall {
            id: new.id,
            state: ToolCallState::Succeeded,
            status: "booked".to_owned(),
            reply: reply.to_owned(),
            late: false,
            times: ToolTimes {
                store_us: 1_500,
                record_us: 2_250,
                connector_us: 246_000,
                total_us: 250_001,
            },
            finished_at: Timestamp::from_millis(NOW + 250),
        });
        finished.await.unwrap();
        new.id
    }

    /// The same before it is begun: another for each call of each tenant.
    pub(crate) fn new_tool_call(tenant: &str, event: EventId, call: &str) -> NewToolCall {
        let effect = hookgate_core::digest::sha256(format!("{tenant}/{call}").as_bytes());
        NewToolCall {
            id: ToolCallId(
                uuid::Builder::from_random_bytes(*effect.first_chunk().unwrap()).into_uuid(),
            ),
            event,
            position: 0,
            tenant: TenantId::parse(tenant).unwrap(),
            source: "retell".to_owned(),
            provider: "retell".to_owned(),
            conversation: Some(call.to_owned()),
            agent: None,
            call_id: Some("tool_1".to_owned()),
            tool: "bookings_create".to_owned(),
            arguments: r#"{"service":"haircut","phone":"***"}"#.to_owned(),
            effect: Some(effect),
            started_at: Timestamp::from_millis(NOW),
        }
    }

    /// A recording of an event of a tenant, with these bytes.
    pub(crate) async fn recording(&self, tenant: &str, event: EventId, sound: &[u8]) -> String {
        let registry = self.store.registry();
        let now = Timestamp::from_millis(NOW);
        let new = NewRecording {
            event,
            seq: 1,
            place: 0,
            tenant: Some(TenantId::parse(tenant).unwrap()),
            source: "retell".to_owned(),
            provider: "retell".to_owned(),
            conversation: Some(format!("call_{tenant}")),
            kind: "mixed",
            digest: Some(hookgate_core::digest::sha256(event.0.as_bytes())),
            received_at: now,
        };
        let from = registry.cursor("recordings").await.unwrap();
        let erasures = registry.erasures_done().await.unwrap();
        let cursor = Cursor { name: "recordings", from, to: from + 1, erasures };
        let made = Made { recordings: vec![new], ..Made::default() };
        assert!(registry.keep_made(cursor, made, now).await.unwrap());
        let until = now.plus(std::time::Duration::from_mins(1));
        let leased = registry.lease_recordings(now, 1, until).await.unwrap().pop().unwrap();
        if !sound.is_empty() {
            let mut writer = self.store.begin_recording(&leased).await.unwrap().unwrap();
            writer.write(Bytes::copy_from_slice(sound)).await.unwrap();
            let blob = writer.finish().await.unwrap();
            assert!(self.store.keep_recording(&leased, blob, Sound::Mp3, now).await.unwrap());
        }
        leased.id.to_string()
    }

    /// Makes a tenant, and a key for it.
    pub(crate) async fn tenant(&self, id: &str) -> String {
        self.made("/api/v1/tenants", serde_json::json!({ "id": id, "name": id })).await;
        let key = self.made(&format!("/api/v1/tenants/{id}/keys"), serde_json::json!({})).await;
        key["key"].as_str().unwrap().to_owned()
    }

    /// Binds an id at Retell to a tenant.
    pub(crate) async fn bind(&self, tenant: &str, kind: &str, external_id: &str) {
        let binding = serde_json::json!({
            "tenant": tenant, "provider": "retell", "kind": kind, "external_id": external_id,
        });
        self.made("/api/v1/bindings", binding).await;
    }

    /// The erasure with this id, when it is done.
    pub(crate) async fn erased(&self, id: &str) -> Value {
        let path = format!("/api/v1/erasures/{id}");
        let done = async {
            loop {
                let erasure = self.get(&path).await.json();
                if erasure["state"] == "done" {
                    return erasure;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, done).await.expect("the erasure was waited for")
    }

    /// What stands in all files of the store, as text, without the room that is kept free.
    pub(crate) fn files(&self) -> String {
        let mut all = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    all.extend(std::fs::read(path).unwrap().into_iter().filter(|it| *it != 0));
                }
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// A Retell event of this call and agent, as the front door takes it in.
    pub(crate) async fn call(&mut self, call: &str, agent: &str) -> EventId {
        let body = serde_json::json!({
            "event": "call_ended",
            "call": { "call_id": call, "agent_id": agent, "access_token": "body-canary-5" },
        });
        let received = self.signed("retell", "retell.v_d", SECRET, body.to_string().as_bytes());
        self.accept(received).await
    }

    /// A request as a provider sends it, signed with `secret` under the source's scheme
    /// of this name, each a second after the one before.
    pub(crate) fn signed(
        &mut self,
        source: &str,
        scheme: &str,
        secret: &str,
        body: &[u8],
    ) -> Received {
        let at = Timestamp::from_millis(NOW + self.received * 1000);
        let sources = self.sources.get();
        let schemes = sources.named(source).unwrap().policy.schemes();
        let scheme = schemes.iter().find(|it| it.name == scheme).expect("a scheme of the source");
        let url = format!("https://hooks.example/in/{source}");
        let message = Message { method: "POST", url: &url, id: "msg_1" };
        let mut headers = Headers::new();
        headers.push_plain("content-type".parse().unwrap(), "application/json");
        for (name, value) in sign(scheme, &Secret::new(secret), message, body, at).unwrap() {
            headers.push_plain(name, value);
        }
        self.received(source, headers, body)
    }

    /// A request with these headers.
    pub(crate) fn received(&mut self, source: &str, headers: Headers, body: &[u8]) -> Received {
        let number = self.received;
        self.received += 1;
        Received {
            source: Arc::clone(self.sources.get().named(source).unwrap()),
            method: "POST".to_owned(),
            target: format!("/in/{source}"),
            tool: None,
            token: None,
            headers,
            body: received::Body::Whole(Bytes::copy_from_slice(body)),
            peer: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
            at: Timestamp::from_millis(NOW + number * 1000),
            late: false,
            correlation_id: format!("request-{number}"),
        }
    }

    /// The same request with its body in a file of its own.
    pub(crate) async fn large(&self, mut received: Received) -> Received {
        let received::Body::Whole(bytes) = &received.body else { panic!("large already") };
        let mut writer = self.store.begin_blob().await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        received.body = received::Body::Blob(writer.finish().await.unwrap());
        received
    }

    /// Refuses a request, and gives the id under which it is kept.
    pub(crate) async fn refuse(&self, received: Received) -> String {
        let unproven = self.judge(received).expect_err("a request without proof");
        let correlation_id = unproven.received().correlation_id.clone();
        self.store.reject(&unproven, 401);
        let kept = self.get("/api/v1/rejections?limit=1000&settled=true").await;
        let mut kept = kept.json()["data"].as_array().unwrap().clone().into_iter();
        let found = kept.find(|it| it["correlation_id"] == *correlation_id);
        found.expect("the refused request is listed")["id"].as_str().unwrap().to_owned()
    }

    /// Judges a request as the front door does.
    pub(crate) fn judge(&self, received: Received) -> Result<Verified, Box<Unproven>> {
        let source = Arc::clone(&received.source);
        let url = format!("https://hooks.example{}", received.target);
        let envelope = Envelope {
            method: &received.method,
            url: &url,
            headers: &received.headers,
            mask_key: None,
        };
        let mut examination =
            Examination::open(&source.policy, &source.secrets, envelope, received.at);
        match &received.body {
            received::Body::Whole(bytes) => examination.update(bytes),
            received::Body::Blob(blob) => {
                let mut bytes = Vec::new();
                self.store.open_blob(blob).unwrap().read_to_end(&mut bytes).unwrap();
                examination.update(&bytes);
            }
        }
        received.judge(examination).map_err(Box::new)
    }

    /// Stores what a provider sends as the front door does, and gives the event's id.
    pub(crate) async fn accept(&self, received: Received) -> EventId {
        let verified = self.judge(received).expect("a genuine request");
        let readable = match verified.received().body {
            received::Body::Whole(_) => read(verified),
            received::Body::Blob(blob) => {
                let file = self.store.open_blob(&blob).unwrap();
                read_from(verified, BufReader::new(file))
            }
        };
        let attributed = match readable {
            Ok(readable) => self.store.attribute(readable).await.unwrap(),
            Err(quarantined) => Err(quarantined),
        };
        match attributed {
            Ok((event, adopting)) => self.store.append(&event, adopting).await.unwrap().id(),
            Err(event) => self.store.quarantine(&event).await.unwrap().id(),
        }
    }

    /// Stores a request without proof in quarantine.
    pub(crate) async fn record(&self, received: Received) -> EventId {
        let event =
            Quarantined::unproven(*self.judge(received).expect_err("a request without proof"));
        self.store.quarantine(&event).await.unwrap().id()
    }
}

/// A disk on which nothing more is accepted.
pub(crate) fn full() -> Options {
    Options { disk_full_percent: 0, ..Options::default() }
}

fn open(folder: &Path, options: Options) -> Store {
    let wake = Arc::new(|wakers: Vec<Waker>| wakers.into_iter().for_each(Waker::wake));
    Store::open(folder, options, wake).unwrap()
}

/// What seals, under a master key that every test has.
fn secrets(store: &Store) -> hookgate_secrets::Secrets {
    let registry = store.registry().clone();
    let open = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let keys = hookgate_secrets::MasterKeys::parse(MASTER_KEY).unwrap();
        runtime.block_on(hookgate_secrets::Secrets::open(registry, Some(keys))).unwrap()
    };
    // On a thread of its own: this one may be a runtime's already.
    std::thread::scope(|scope| scope.spawn(open).join()).unwrap()
}

/// What the gateway's configuration would say of these settings.
fn check(settings: &SourceSettings) -> Result<(), String> {
    if provider::named(&settings.provider).is_none() {
        return Err("There is no such provider.".to_owned());
    }
    if settings.schemes.is_some() {
        return Err("The default schemes will do for a test.".to_owned());
    }
    Ok(())
}

/// Puts what is made over the API in force beside what is configured.
async fn follow(
    registry: hookgate_store::Registry,
    secrets: Arc<hookgate_secrets::Secrets>,
    configured: Arc<Sources>,
    (current, applied): (Arc<CurrentSources>, watch::Sender<u64>),
) {
    let mut changed = registry.sources_changed();
    loop {
        let version = *changed.borrow_and_update();
        let mut sources = Sources::default();
        for source in configured.iter() {
            sources.add(Arc::clone(source), &[]).unwrap();
        }
        for row in registry.sources().await {
            let settings = SourceSettings::open(&row, &secrets).await.unwrap();
            sources.add(built(&settings), &[]).unwrap();
        }
        current.set(Arc::new(sources));
        applied.send(version).unwrap();
        changed.changed().await.unwrap();
    }
}

/// The source with these settings.
fn built(settings: &SourceSettings) -> Source {
    let provider = provider::named(&settings.provider).unwrap();
    let policy = named::default_policy(provider.name).unwrap();
    let secrets = Secrets::new(settings.secret.clone().into_iter().collect(), Vec::new());
    let mut source =
        Source::new(settings.name.clone(), provider, policy, secrets, Verification::Enforce);
    source.tenant.clone_from(&settings.tenant);
    source.rule.adopt = settings.adopt.unwrap_or(source.rule.adopt);
    source
}

/// A source for each provider, all with this secret.
pub(crate) fn sources(secret: &str) -> Sources {
    let mut sources = Sources::default();
    for provider in provider::ALL {
        let policy = named::default_policy(provider.name).unwrap();
        let secrets = Secrets::from_text(secret, "account-key-canary-3");
        let source = Source::new(provider.name, provider, policy, secrets, Verification::Enforce);
        sources.add(source, &[]).unwrap();
    }
    sources
}

/// Everything that this process has logged.
pub(crate) fn log() -> String {
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || Sink(Arc::clone(&sink)))
            .init();
        log
    });
    String::from_utf8_lossy(&log.lock().unwrap()).into_owned()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
