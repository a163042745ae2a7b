//! A shop on the telephone: a store, a stand-in Square, and nodes that answer calls.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_core::attribution::read;
use hookgate_core::event::ClaimKind;
use hookgate_core::headers::Headers;
use hookgate_core::named;
use hookgate_core::provider;
use hookgate_core::received::{Body, Received};
use hookgate_core::secret::Secrets as SourceSecrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::settings::Settings;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_egress::{Egress, Url};
use hookgate_secrets::{MasterKeys, Secrets};
use hookgate_square::Square;
use hookgate_store::{Binding, Options, Store, ToolCall, ToolCallFilter};
use hookgate_tools::{Broker, BrokerSettings, ToolMetrics};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

const SECRET: &str = "vapi-0123456789abcdef";
const AGENT: &str = "assistant-1";

/// Half past ten on a Monday in New York, in a shop whose clock stands still.
const NOW: &str = "2026-11-23T15:30:00Z";

/// The shop, and two nodes on one store.
pub(crate) struct Desk {
    pub(crate) square: Square,
    pub(crate) store: Store,
    nodes: [Broker; 2],
    source: Arc<Source>,
    next: AtomicU64,
    _folder: TempDir,
}

fn now() -> Timestamp {
    Timestamp::parse(NOW).unwrap()
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wake = Arc::new(|wakers: Vec<std::task::Waker>| {
            wakers.into_iter().for_each(std::task::Waker::wake);
        });
        let store = Store::open(folder.path(), Options::default(), wake).unwrap();
        let (keys, _) = MasterKeys::generate().unwrap();
        let secrets = Secrets::open(store.registry().clone(), Some(keys)).await.unwrap();
        let secrets = Arc::new(secrets);
        let tenant = TenantId::parse("acme").unwrap();
        store.registry().add_tenant(tenant.clone(), "Acme".to_owned(), now()).await.unwrap();
        let binding = Binding {
            tenant: tenant.clone(),
            provider: "vapi".to_owned(),
            kind: ClaimKind::Agent,
            external_id: AGENT.to_owned(),
            created_at: now(),
        };
        store.registry().bind(binding).await.unwrap();
        let credential = json!({
            "access_token": "token", "location_id": "LSTANDIN00001", "environment": "sandbox",
            "timezone": "America/New_York",
        });
        secrets.put(&tenant, "square", credential.to_string().as_bytes(), now()).await.unwrap();

        let square = Square::new(|| NOW.parse().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(hookgate_square::serve(listener, square.clone()));

        let node = || {
            Broker::new(BrokerSettings {
                store: store.clone(),
                secrets: Arc::clone(&secrets),
                egress: Egress::new(hookgate_egress::Settings::default()).unwrap(),
                square_url: Some(url.clone()),
                defaults: Settings::default(),
                patience: Some(Duration::from_mins(1)),
                metrics: ToolMetrics::new(&mut Registry::default()),
                clock: now,
            })
        };
        let nodes = [node(), node()];
        let provider = provider::named("vapi").unwrap();
        let policy = named::default_policy("vapi").unwrap();
        let secrets = SourceSecrets::from_text(SECRET, "");
        let source = Source::new("vapi", provider, policy, secrets, Verification::Enforce);
        let (source, next) = (Arc::new(source), AtomicU64::new(0));
        Self { square, store, nodes, source, next, _folder: folder }
    }

    /// Says a wish to a node, in one and the same conversation; gives what is answered.
    pub(crate) async fn say(&self, node: usize, tool: &str, arguments: &Value) -> Value {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let body = json!({"message": {
            "type": "tool-calls",
            "call": {"id": "call-1", "assistantId": AGENT, "customer": {"number": "+12125550123"}},
            "toolCallList": [{"id": format!("toolu_{number}"), "name": tool, "arguments": arguments}],
        }});
        let began = Instant::now();
        let mut headers = Headers::new();
        let authorization = format!("Bearer {SECRET}");
        headers.push_plain(http::header::AUTHORIZATION, authorization);
        let body = Bytes::from(body.to_string());
        let envelope = Envelope { method: "POST", url: "", headers: &headers, mask_key: None };
        let (policy, secrets) = self.source.proving(None);
        let mut examination = Examination::open(policy, secrets, envelope, now());
        examination.update(&body);
        let received = Received {
            source: Arc::clone(&self.source),
            method: "POST".to_owned(),
            target: "/webhook/vapi".to_owned(),
            tool: None,
            token: None,
            headers,
            body: Body::Whole(body),
            peer: IpAddr::from([127, 0, 0, 1]),
            at: now(),
            late: false,
            correlation_id: format!("c{number}"),
        };
        let readable = read(received.judge(examination).unwrap()).unwrap();
        let (event, adopting) = self.store.attribute(readable).await.unwrap().unwrap();
        let receipt = self.store.append(&event, adopting).await.unwrap();
        let answer = self.nodes[node].answer(&event, &receipt, began).await;
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        match answer["results"][0]["result"].as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => json!({"ok": false, "message": answer["results"][0]["error"]}),
        }
    }

    /// The bookings of the stand-in besides the one that was there.
    pub(crate) fn bookings(&self) -> Vec<Value> {
        let shown = self.square.shown();
        let bookings = shown["bookings"].as_array().unwrap().clone();
        bookings.into_iter().filter(|it| it["id"] != "BOOKING#123").collect()
    }

    pub(crate) async fn calls(&self) -> Vec<ToolCall> {
        let scope = hookgate_core::tenant::Scope::Operator;
        let filter = ToolCallFilter::default();
        self.store.registry().tool_calls(&scope, filter, None, 1_000).await.unwrap()
    }
}
