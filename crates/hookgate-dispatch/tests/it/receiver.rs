//! An endpoint on loopback that remembers what it got and answers by a script.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a test waits for something that must come: far more than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    /// The `webhook-id`.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What it answers to the request with this number, the first being 0.
pub(crate) type Script = Arc<dyn Fn(usize, &Got) -> Reply + Send + Sync>;

/// An answer.
pub(crate) enum Reply {
    /// At once.
    Now(Response),
    /// Never: the connection stays open.
    Never,
}

/// A status without a body.
pub(crate) fn status(status: u16) -> Reply {
    Reply::Now(Response::builder().status(status).body(axum::body::Body::empty()).unwrap())
}

struct Shared {
    got: Mutex<Vec<Got>>,
    count: watch::Sender<usize>,
    script: Script,
}

pub(crate) struct Receiver {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// One that answers every request with 204.
    pub(crate) async fn willing() -> Self {
        Self::new(|_, _| status(204)).await
    }

    pub(crate) async fn new(script: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            count: watch::Sender::new(0),
            script: Arc::new(script),
        });
        let app = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, shared, server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Everything so far, in the order it came.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Everything, once there are so many.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Got> {
        let mut counted = self.shared.count.subscribe();
        let waited = tokio::time::timeout(PATIENCE, counted.wait_for(|it| *it >= count)).await;
        assert!(waited.is_ok(), "{count} requests, and only {} came", self.got().len());
        self.got()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let got = Got { path: uri.path().to_owned(), headers, body };
    let number = {
        let mut all = shared.got.lock().unwrap();
        all.push(got.clone());
        all.len() - 1
    };
    shared.count.send_replace(number + 1);
    match (shared.script)(number, &got) {
        Reply::Now(response) => response,
        Reply::Never => std::future::pending().await,
    }
}
