//! A gateway on a port of its own, and a sender that writes its bytes by hand.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookgate_core::digest::{Keyed, hmac_sha256};
use hookgate_core::named;
use hookgate_core::provider::{self, Provider};
use hookgate_core::scheme::Digest;
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Sources, Verification};
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::settings::Settings;
use hookgate_ingress::{
    BoxBody, Drained, Fallback, Gate, GateSettings, Inspection, Limits, Metrics, Tls, serve,
    serve_fallback,
};
use hookgate_store::{Event, EventFilter, Options, Order, Page, Quota, RejectionFilter, Store};
use hookgate_tools::{Broker, BrokerSettings, ToolMetrics};
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The secret of every source of the bench.
pub const SECRET: &str = "correct-horse-battery-staple";

/// When everything happens: 2026-11-22T12:00:00Z.
pub const NOW_MILLIS: i64 = 1_795_348_800_000;

/// How long any wait of a test may take.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// What a bench is set up with.
pub struct Setup {
    pub sources: Sources,
    pub settings: Box<dyn FnOnce(&mut GateSettings)>,
    pub fallback: Fallback,
    pub tls: Option<Tls>,
    pub has_door: bool,
    pub options: Options,
}

impl Default for Setup {
    fn default() -> Self {
        let mut sources = Sources::default();
        for provider in provider::ALL {
            sources.add(source(provider, Verification::Enforce), &[]).unwrap();
        }
        Self {
            sources,
            settings: Box::new(|_| {}),
            fallback: Arc::new(|request, peer| {
                Box::pin(async move { behind(request, peer).await })
            }),
            tls: None,
            has_door: true,
            options: Options::default(),
        }
    }
}

/// What stands behind the front door: it says what it was asked, or panics if it is.
async fn behind(
    request: http::Request<hyper::body::Incoming>,
    peer: hookgate_ingress::Peer,
) -> http::Response<BoxBody> {
    let path = request.uri().path().to_owned();
    assert!(path != "/panic", "as asked");
    let method = request.method().clone();
    let bytes = request.into_body().collect().await.map_or(0, |it| it.to_bytes().len());
    let text = format!(
        "behind: {method} {path} {bytes} https={} loopback={}",
        peer.is_https, peer.is_loopback
    );
    let body = http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {});
    http::Response::new(BoxBody::new(body))
}

/// A source with the bench's secret.
pub fn source(provider: &'static Provider, verification: Verification) -> Source {
    let policy = named::default_policy(provider.name).unwrap();
    let account_key = if provider.account_key_variable.is_some() { "account-key" } else { "" };
    let secrets = match verification {
        Verification::Open => Secrets::default(),
        _ => Secrets::from_text(SECRET, account_key),
    };
    Source::new(provider.name, provider, policy, secrets, verification)
}

/// Only these sources.
pub fn only(list: Vec<Source>) -> Sources {
    let mut sources = Sources::default();
    for source in list {
        sources.add(source, &[]).unwrap();
    }
    sources
}

/// A running gateway.
pub struct Bench {
    pub address: SocketAddr,
    pub store: Store,
    pub registry: Registry,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<Drained>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// The default set-up with other settings.
    pub async fn set(settings: impl FnOnce(&mut GateSettings) + 'static) -> Self {
        Self::with(Setup { settings: Box::new(settings), ..Setup::default() }).await
    }

    pub async fn limited(limits: impl FnOnce(&mut Limits) + 'static) -> Self {
        Self::set(|settings| limits(&mut settings.limits)).await
    }

    pub async fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wake = Arc::new(|wakers: Vec<std::task::Waker>| {
            wakers.into_iter().for_each(std::task::Waker::wake);
        });
        let store = Store::open(folder.path(), setup.options, wake).unwrap();
        let mut registry = Registry::default();
        let mut settings = GateSettings {
            sources: Arc::new(setup.sources),
            store: store.clone(),
            public_url: None,
            clock: || Timestamp::from_millis(NOW_MILLIS),
            trusted_proxies: Vec::new(),
            require_https: false,
            allow_from: HashMap::new(),
            limits: Limits::default(),
            quota: Quota::default(),
            tools: tools(&store, &mut registry).await,
            metrics: Metrics::new(&mut registry),
            inspect: None,
        };
        (setup.settings)(&mut settings);
        let gate = Arc::new(Gate::new(settings));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            let _ = stopped.await;
        };
        let (fallback, tls, listeners) = (setup.fallback, setup.tls, vec![listener]);
        let server = if setup.has_door {
            tokio::spawn(serve(listeners, gate, fallback, tls, stopped))
        } else {
            tokio::spawn(serve_fallback(listeners, gate, fallback, tls, stopped))
        };
        let (stop, server) = (Some(stop), Some(server));
        Self { address, store, registry, stop, server, _folder: folder }
    }

    /// Tells the server to stop; gives back how it ends.
    pub fn stop(&mut self) -> JoinHandle<Drained> {
        self.stop.take().unwrap().send(()).unwrap();
        self.server.take().unwrap()
    }

    pub async fn connect(&self) -> Line<TcpStream> {
        Line { stream: TcpStream::connect(self.address).await.unwrap(), buffer: Vec::new() }
    }

    /// Sends bytes on a connection of their own and reads the answer.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut line = self.connect().await;
        line.write(bytes.as_ref()).await;
        line.answer().await
    }

    /// Posts a body, and tells status, body and what the journal holds now.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let answer = self.send(request("POST", path, headers, body)).await;
        format!("{} {} | {}", answer.status, answer.body, self.journal().await)
    }

    pub async fn events(&self) -> Vec<Event> {
        let page = Page { order: Order::OldestFirst, after: None, limit: 1000 };
        let events = self.store.events(&Scope::Operator, EventFilter::default(), page);
        within("the events", events).await.unwrap()
    }

    /// All that is stored, as one string.
    pub async fn journal(&self) -> String {
        let mut out = String::new();
        for event in self.events().await {
            let cause = event.cause.map(|it| format!(" {it}")).unwrap_or_default();
            let name = if event.event_type.is_empty() { "-" } else { &event.event_type };
            write!(out, "{} {name}{cause}; ", event.status.name()).unwrap();
        }
        let page = Page { order: Order::OldestFirst, after: None, limit: 1000 };
        let refused = self.store.rejections(RejectionFilter::default(), page);
        for it in within("the refused requests", refused).await.unwrap() {
            write!(out, "refused {} {}; ", it.status, it.verdict).unwrap();
        }
        out.trim_end_matches("; ").to_owned()
    }

    /// Waits until the journal reads so.
    pub async fn journal_becomes(&self, expected: &str) {
        let reads_so = async {
            while self.journal().await != expected {
                tokio::task::yield_now().await;
            }
        };
        within(&format!("the journal to read {expected:?}"), reads_so).await;
    }

    /// What the counters say, one line a sample.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// One connection of a sender.
pub struct Line<S> {
    pub stream: S,
    pub buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub async fn write(&mut self, bytes: &[u8]) {
        within("the sender to write", self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Answer {
        within("an answer", self.next_answer()).await.expect("an answer before the end")
    }

    /// Nothing if the connection ends first.
    pub async fn next_answer(&mut self) -> Option<Answer> {
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let text = String::from_utf8(self.buffer[..head].to_vec()).unwrap();
        let mut lines = text.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        let length = if status == 100 { 0 } else { length };
        while self.buffer.len() < head + 4 + length {
            self.more().await?;
        }
        let rest = self.buffer.split_off(head + 4 + length);
        let body = String::from_utf8(self.buffer[head + 4..].to_vec()).unwrap();
        self.buffer = rest;
        Some(Answer { status, headers, body })
    }

    async fn more(&mut self) -> Option<()> {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk).await.ok()?;
        self.buffer.extend_from_slice(&chunk[..count]);
        (count > 0).then_some(())
    }

    /// Waits until the other side has closed, and gives back what it still sent.
    pub async fn ended(&mut self) -> String {
        let end = async { while self.more().await.is_some() {} };
        within("the connection to end", end).await;
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub fn short(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}

/// A request with a length.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = head(method, path, headers, &[("content-length", &body.len().to_string())]);
    bytes.extend_from_slice(body);
    bytes
}

/// A request in chunks.
pub fn chunked(path: &str, headers: &[(&str, &str)], chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = head("POST", path, headers, &[("transfer-encoding", "chunked")]);
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

pub fn head(method: &str, path: &str, headers: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: hooks.example.com\r\n");
    for (name, value) in headers.iter().chain(more) {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Waits for something, and says what for if it does not come.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT_MAX, wait).await.unwrap_or_else(|_| panic!("waited for {what}"))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}

/// `X-Retell-Signature` under a key.
pub fn retell_signature(key: &str, body: &[u8], millis: i64) -> String {
    let covered = [body, millis.to_string().as_bytes()].concat();
    format!("v={millis},d={}", hex::encode(hmac_sha256(key.as_bytes(), &covered)))
}

/// `ElevenLabs-Signature` under a key.
pub fn elevenlabs_signature(key: &str, body: &[u8], seconds: i64) -> String {
    let covered = [format!("{seconds}.").as_bytes(), body].concat();
    format!("t={seconds},v0={}", hex::encode(hmac_sha256(key.as_bytes(), &covered)))
}

/// Hex HMAC-SHA256 of the body alone.
pub fn body_signature(key: &str, body: &[u8]) -> String {
    hex::encode(hmac_sha256(key.as_bytes(), body))
}

/// `X-Tawk-Signature` under a key.
pub fn tawk_signature(key: &str, body: &[u8]) -> String {
    let mut keyed = Keyed::new(Digest::HmacSha1, key.as_bytes());
    keyed.update(body);
    hex::encode(keyed.finish().as_bytes())
}

/// A genuine Retell event, and its headers.
pub fn retell_event(body: &str) -> (String, Vec<u8>) {
    (retell_signature(SECRET, body.as_bytes(), NOW_MILLIS), body.as_bytes().to_vec())
}

/// A genuine request of Retell, as bytes.
pub fn genuine() -> Vec<u8> {
    genuine_with(&[])
}

pub fn genuine_with(headers: &[(&str, &str)]) -> Vec<u8> {
    let (signature, body) = retell_event(CALL_ENDED);
    let mut all = vec![("x-retell-signature", signature.as_str())];
    all.extend_from_slice(headers);
    request("POST", "/webhook/retell", &all, &body)
}

pub const CALL_ENDED: &str = r#"{"event":"call_ended","call":{"call_id":"c1","agent_id":"a1"}}"#;

/// Collects inspections.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Inspection>>>);

impl Seen {
    pub fn sink(&self) -> hookgate_ingress::Inspector {
        let seen = self.clone();
        Arc::new(move |it: &Inspection| seen.0.lock().unwrap().push(it.clone()))
    }

    pub fn all(&self) -> Vec<Inspection> {
        self.0.lock().unwrap().clone()
    }
}

/// A broker without credentials: nothing here reaches a connector.
async fn tools(store: &Store, registry: &mut Registry) -> Broker {
    let secrets = hookgate_secrets::Secrets::open(store.registry().clone(), None).await.unwrap();
    Broker::new(BrokerSettings {
        store: store.clone(),
        secrets: Arc::new(secrets),
        egress: hookgate_egress::Egress::new(hookgate_egress::Settings::default()).unwrap(),
        square_url: None,
        defaults: Settings::default(),
        patience: None,
        metrics: ToolMetrics::new(registry),
        clock: || Timestamp::from_millis(NOW_MILLIS),
    })
}
