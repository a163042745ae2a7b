//! A store, the sources, and the console over both.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hookgate_console::{Caller, Console, register_store, router};
use hookgate_core::attribution::{Quarantined, attribute};
use hookgate_core::headers::Headers;
use hookgate_core::named;
use hookgate_core::provider;
use hookgate_core::received::{self, Received, Unproven, Verified};
use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::sign::{Message, sign};
use hookgate_core::source::{Source, Sources, Verification};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_store::{EventId, Options, Store};
use prometheus_client::registry::Registry;
use serde_json::Value;
use tower_service::Service;

/// The operator's token.
pub(crate) const TOKEN: &str = "operator-token-canary-1";

/// The secret that every source has unless a test says otherwise.
pub(crate) const SECRET: &str = "source-secret-canary-2";

/// The moment that the console's clock shows, and when the first request is received:
/// 2026-11-22T08:00:00Z.
pub(crate) const NOW: i64 = 1_795_334_400_000;

/// So much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// One installation.
pub(crate) struct Bench {
    // Before the folder: it is closed first.
    pub(crate) store: Store,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sources: Arc<Sources>,
    pub(crate) caller: Option<Caller>,
    router: axum::Router,
    received: i64,
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
        Self::over(store, folder, sources(SECRET))
    }

    /// The same folder, closed and opened with other bounds.
    pub(crate) fn reopened(self, options: Options) -> Self {
        let Self { store, folder, sources, router, received, .. } = self;
        store.close();
        drop((store, router));
        let store = open(folder.path(), options);
        let sources = Arc::into_inner(sources).expect("nobody else has the sources");
        Self { received, ..Self::over(store, folder, sources) }
    }

    /// The same store under other sources, as after a restart with another configuration.
    pub(crate) fn restarted(self, sources: Sources) -> Self {
        let received = self.received;
        Self { received, ..Self::over(self.store, self.folder, sources) }
    }

    fn over(store: Store, folder: tempfile::TempDir, sources: Sources) -> Self {
        let mut registry = Registry::default();
        register_store(&mut registry, store.clone());
        let sources = Arc::new(sources);
        let router = router(Console {
            store: store.clone(),
            sources: Arc::clone(&sources),
            admin_token: Secret::new(TOKEN),
            registry: Arc::new(registry),
            clock: || Timestamp::from_millis(NOW),
            public_url: Some("https://hooks.example".to_owned()),
        });
        Self { store, folder, sources, caller: None, router, received: 0 }
    }

    /// A request of anybody.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(caller) = self.caller {
            request.extensions_mut().insert(caller);
        }
        let response = self.router.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, ANSWER_BYTES_MAX).await.expect("the whole answer");
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

    /// The operator does anything.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let request = Request::builder().method(method).uri(path).header("authorization", bearer);
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
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
        let schemes = self.sources.named(source).unwrap().policy.schemes();
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
            source: Arc::clone(self.sources.named(source).unwrap()),
            method: "POST".to_owned(),
            target: format!("/in/{source}"),
            tool: None,
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

    /// Stores what a provider sends, and gives the event's id.
    pub(crate) async fn accept(&self, received: Received) -> EventId {
        let verified = self.judge(received).expect("a genuine request");
        match attribute(verified) {
            Ok(event) => self.store.append(&event).await.unwrap().id(),
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
