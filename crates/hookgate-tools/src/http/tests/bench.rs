//! What a test stands on: a store in a folder of its own, an endpoint on loopback that says
//! what it is told to, and calls.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hookgate_core::address::Policy;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::settings::{HttpTool, Settings};
use hookgate_core::tool::{Arguments, Call, Caller};
use hookgate_egress::Egress;
use hookgate_secrets::{MasterKeys, Secrets};
use hookgate_store::{Options, Store};
use http::{HeaderMap, Method, Uri};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::budget::Budget;
use crate::http::Http;
use crate::permit::Permit;
use crate::work::{End, Work};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(super) const KEY: &str = "key-1";
pub(super) const TOKEN: &str = "tk-canary-\"1\"";
pub(super) const SIGNING: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What the endpoint does with a request.
#[derive(Clone)]
pub(super) enum Say {
    Json(u16, Value),
    Text(u16, String),
    RetryAfter(u16, &'static str),
    Redirect(String),
    /// Nothing, for ever.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |it| it.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An endpoint. Each request takes the next of what it says; the last stays.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Endpoint {
    pub(super) async fn start(says: impl IntoIterator<Item = Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let says = Arc::new(Mutex::new(says.into_iter().collect::<VecDeque<_>>()));
        let requests = Arc::clone(&seen);
        let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            requests.lock().unwrap().push(Seen { method, uri, headers, body });
            let mut says = says.lock().unwrap();
            let say = if says.len() > 1 { says.pop_front() } else { says.front().cloned() };
            answer(say.unwrap())
        };
        let router = axum::Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request.
    #[track_caller]
    pub(super) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

async fn answer(say: Say) -> Response {
    let response = |status: u16| Response::builder().status(status);
    let built = match say {
        Say::Json(status, value) => response(status)
            .header("content-type", "application/json")
            .body(Body::from(value.to_string())),
        Say::Text(status, text) => response(status).body(Body::from(text)),
        Say::RetryAfter(status, wait) => {
            response(status).header("retry-after", wait).body(Body::empty())
        }
        Say::Redirect(to) => response(307).header("location", to).body(Body::empty()),
        Say::Hang => std::future::pending().await,
    };
    built.unwrap()
}

/// An endpoint that hangs up in the middle of each answer, and how often it did.
pub(super) async fn breaking() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            assert!(read > 0);
            counted.fetch_add(1, Ordering::SeqCst);
            let start = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{";
            stream.write_all(start).await.unwrap();
        }
    });
    (address, count)
}

/// Credentials of `acme`, and of nobody else.
pub(super) struct Bench {
    secrets: Arc<Secrets>,
    _store: Store,
    _folder: TempDir,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let wake = Arc::new(|wakers: Vec<Waker>| wakers.into_iter().for_each(Waker::wake));
        let store = Store::open(folder.path(), Options::default(), wake).unwrap();
        for id in ["acme", "other"] {
            store.registry().add_tenant(tenant(id), id.to_owned(), NOW).await.unwrap();
        }
        let keys = MasterKeys::parse("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
        let secrets = Secrets::open(store.registry().clone(), Some(keys)).await.unwrap();
        let crm = json!({"token": TOKEN, "number": 74_210_993, "nested": {"key": "deep-canary"}});
        for (name, value) in [
            ("plain", "plain-canary\n"),
            ("crm", &*crm.to_string()),
            ("with.dot", "dotted-canary"),
            ("signing", SIGNING),
            ("text", "text-canary"),
            ("broken", "two\nlines"),
            ("empty", " "),
        ] {
            secrets.put(&tenant("acme"), name, value.as_bytes(), NOW).await.unwrap();
        }
        Self { secrets: Arc::new(secrets), _store: store, _folder: folder }
    }

    /// A connector that may reach loopback.
    pub(super) fn http(&self) -> Http {
        self.reaching(Policy::new(vec!["127.0.0.0/8".parse().unwrap()]))
    }

    pub(super) fn reaching(&self, policy: Policy) -> Http {
        let settings = hookgate_egress::Settings { policy, ..hookgate_egress::Settings::default() };
        Http::new(Egress::new(settings).unwrap(), Arc::clone(&self.secrets))
    }

    /// Plans and runs one call.
    pub(super) async fn call(&self, tool: &HttpTool, asked: &Asked) -> End {
        call(&self.http(), tool, asked).await
    }
}

pub(super) async fn call(http: &Http, tool: &HttpTool, asked: &Asked) -> End {
    match http.plan(tool, &asked.work()) {
        Ok(plan) => {
            let permit = tool.writes.then(|| Permit::granted(KEY.to_owned()));
            http.run(tool, &plan, &asked.work(), permit.as_ref()).await
        }
        Err(end) => end,
    }
}

pub(super) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

/// A tool as a tenant writes it.
#[track_caller]
pub(super) fn tool(url: &str, more: Value) -> HttpTool {
    let mut tool = json!({"name": "orders_find", "url": url});
    let Value::Object(more) = more else { panic!("no object") };
    tool.as_object_mut().unwrap().extend(more);
    Settings::read(json!({"http": [tool]})).unwrap().http.remove(0)
}

/// A call, and all that stands around it.
pub(super) struct Asked {
    tenant: TenantId,
    call: Call,
    arguments: Map<String, Value>,
    caller: Caller,
    settings: Settings,
    budget: Budget,
}

impl Asked {
    pub(super) fn new(arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else { panic!("no object") };
        Self {
            tenant: tenant("acme"),
            call: Call {
                id: Some("toolu_1".to_owned()),
                tool: "orders_find".to_owned(),
                arguments: Arguments::Read(arguments.clone()),
            },
            arguments,
            caller: Caller {
                agent_id: Some("agent_1".to_owned()),
                number: Some("+14155550142".to_owned()),
            },
            settings: Settings::default(),
            budget: Budget::until(Instant::now() + Duration::from_mins(1)),
        }
    }

    pub(super) fn of(self, id: &str) -> Self {
        Self { tenant: tenant(id), ..self }
    }

    pub(super) fn with_id(mut self, id: Option<&str>) -> Self {
        self.call.id = id.map(str::to_owned);
        self
    }

    pub(super) fn within(self, time: Duration) -> Self {
        Self { budget: Budget::until(Instant::now() + time), ..self }
    }

    pub(super) fn work(&self) -> Work<'_> {
        Work {
            tenant: &self.tenant,
            provider: "retell",
            conversation: Some("call_1"),
            call: &self.call,
            arguments: &self.arguments,
            caller: &self.caller,
            settings: &self.settings,
            budget: &self.budget,
            now: NOW,
        }
    }
}

/// How a call ended, as one text: `Done found`.
pub(super) fn shown(end: &End) -> String {
    let word = match end {
        End::Done(_) => "Done",
        End::Refused(_) => "Refused",
        End::Failed(_) => "Failed",
        End::Unknown(_) => "Unknown",
    };
    format!("{word} {}", end.reply().status)
}
