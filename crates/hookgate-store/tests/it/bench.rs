//! What a test stands on: a store in a folder of its own, and requests to put into it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hookgate_core::attribution::{Attributed, Consulted, Quarantined, Readable, read, read_from};
use hookgate_core::headers::Headers;
use hookgate_core::named;
use hookgate_core::provider;
use hookgate_core::received::{Blob, Body as ReceivedBody, Received, Token, Unproven, Verified};
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_store::{Body, Event, EventFilter, Options, Order, Page, Receipt, Store};
use http::HeaderName;
use tempfile::TempDir;

use super::database::{self, Tables};

/// The secret of every source here, and the canary that must not reach a disk.
pub(crate) const SECRET: &str = "canary-3f9c1d7e5b";

/// When everything happens, unless a test says otherwise.
pub(crate) const NOON: i64 = 1_800_000_000_000;

/// The newest first, all of them.
pub(crate) const ALL: Page = Page { order: Order::NewestFirst, after: None, limit: 10_000 };

/// Where a store keeps what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In a folder.
    Embedded,
    /// In PostgreSQL, with a folder of the node's own.
    Postgres,
}

/// Makes of each function `async fn name(on: Kind)` a test for every kind of store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                Box::pin(super::$name($crate::bench::Kind::Embedded)).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                Box::pin(super::$name($crate::bench::Kind::Postgres)).await;
            })*
        }
    };
}
pub(crate) use on_every_store;

/// A store in a folder of its own, or a node with one in a database of its own.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
    pub(crate) options: Options,
    // Behind the store, which is gone first.
    pub(crate) database: Option<Tables>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::on_with(Kind::Embedded, options)
    }

    /// A store of a kind.
    pub(crate) fn on(kind: Kind) -> Self {
        Self::on_with(kind, Options::default())
    }

    pub(crate) fn on_with(kind: Kind, options: Options) -> Self {
        let folder = TempDir::new().unwrap();
        let database = (kind == Kind::Postgres).then(database::with_tables);
        let store = open_on(database.as_ref(), folder.path(), &options);
        Self { store, folder, options, database }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(self) -> Self {
        self.between(|_| {})
    }

    /// Does something to the files of the closed store, and opens it again. A node has no
    /// files that anything could be done to.
    pub(crate) fn between(self, act: impl FnOnce(&Path)) -> Self {
        let Self { store, folder, options, database } = self;
        store.close();
        drop(store);
        if database.is_none() {
            act(folder.path());
        }
        let store = open_on(database.as_ref(), folder.path(), &options);
        Self { store, folder, options, database }
    }

    /// Keeps everybody from committing to the registry, until it is let go.
    pub(crate) fn hold(&self) -> Hold {
        let other = rusqlite::Connection::open(self.path().join("registry.sqlite")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Hold(other)
    }

    pub(crate) async fn append(&self, call: &Call) -> Receipt {
        self.store.append(&call.accepted(), None).await.unwrap()
    }

    pub(crate) async fn list(&self) -> Vec<Event> {
        self.store.events(&Scope::Operator, EventFilter::default(), ALL).await.unwrap()
    }

    /// All bodies, the oldest first.
    pub(crate) async fn bodies(&self) -> Vec<String> {
        let mut bodies = Vec::new();
        for event in self.list().await.into_iter().rev() {
            let body = self
                .store
                .body(&Scope::Operator, event.id)
                .await
                .unwrap()
                .expect("the body is there");
            bodies.push(String::from_utf8(bytes_of(body)).unwrap());
        }
        bodies
    }
}

/// Opens a store in this folder, or a node of the one in this database.
fn open_on(database: Option<&Tables>, folder: &Path, options: &Options) -> Store {
    match database {
        None => open(folder, options),
        Some(database) => database::node(&database.url(), folder, options),
    }
}

/// A transaction of another process.
pub(crate) struct Hold(rusqlite::Connection);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

pub(crate) fn open(folder: &Path, options: &Options) -> Store {
    Store::open(folder, options.clone(), hookgate_journal::wake_inline()).unwrap()
}

pub(crate) fn bytes_of(body: Body) -> Vec<u8> {
    match body {
        Body::Whole(bytes) => bytes.to_vec(),
        Body::Large(mut large) => {
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut large, &mut all).unwrap();
            assert_eq!(all.len() as u64, large.len(), "the length is what was said");
            all
        }
    }
}

/// A request to Vapi's source, proven by its token.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) source: String,
    pub(crate) body: Bytes,
    pub(crate) at: i64,
    pub(crate) peer: IpAddr,
    pub(crate) late: bool,
    pub(crate) token: String,
    pub(crate) tool: Option<Arc<str>>,
    pub(crate) target: String,
    pub(crate) url_token: Option<Token>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Call {
    pub(crate) fn new(body: impl Into<Bytes>) -> Self {
        Self {
            source: "vapi".to_owned(),
            body: body.into(),
            at: NOON,
            peer: IpAddr::from([203, 0, 113, 7]),
            late: false,
            token: SECRET.to_owned(),
            tool: None,
            target: "/webhook/vapi".to_owned(),
            url_token: None,
            headers: vec![("content-type", "application/json".to_owned())],
        }
    }

    /// A status update of a call: told apart by its bytes.
    pub(crate) fn status(call: &str, number: u64) -> Self {
        Self::new(format!(
            r#"{{"message":{{"type":"status-update","call":{{"id":"{call}"}},"n":{number}}}}}"#
        ))
    }

    /// The end of a call: told apart by the call's id, whatever the bytes are.
    pub(crate) fn end(call: &str, note: &str) -> Self {
        Self::new(format!(
            r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"{call}"}},"note":"{note}"}}}}"#
        ))
    }

    pub(crate) fn at(mut self, at: i64) -> Self {
        self.at = at;
        self
    }

    pub(crate) fn to(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        self
    }

    pub(crate) fn from(mut self, peer: [u8; 4]) -> Self {
        self.peer = peer.into();
        self
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    fn examined(&self, body: ReceivedBody) -> (Received, Examination) {
        let source = source(&self.source);
        let mut headers = Headers::new();
        headers.push_plain(http::header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in &self.headers {
            headers.push_plain(HeaderName::from_static(name), value.clone());
        }
        let at = Timestamp::from_millis(self.at);
        let url = format!("http://localhost{}", self.target);
        let envelope = Envelope { method: "POST", url: &url, headers: &headers, mask_key: None };
        let mut examination = Examination::open(&source.policy, &source.secrets, envelope, at);
        examination.update(&self.body);
        let received = Received {
            source,
            method: "POST".to_owned(),
            target: self.target.clone(),
            tool: self.tool.clone(),
            token: self.url_token.clone(),
            headers,
            body,
            peer: self.peer,
            at,
            late: self.late,
            correlation_id: "correlation".to_owned(),
        };
        (received, examination)
    }

    pub(crate) fn verified(&self) -> Verified {
        let (received, examination) = self.examined(ReceivedBody::Whole(self.body.clone()));
        received.judge(examination).expect("it is proven")
    }

    pub(crate) fn accepted(&self) -> Attributed {
        self.accepted_as(&Consulted::default())
    }

    /// Read, and not decided on.
    pub(crate) fn readable(&self) -> Readable {
        read(self.verified()).expect("it can be read")
    }

    /// Accepted where the registry says this.
    pub(crate) fn accepted_as(&self, consulted: &Consulted) -> Attributed {
        self.readable().decide(consulted).conclude().expect("it may be acted on")
    }

    /// The same with its body in a file.
    pub(crate) fn accepted_large(&self, blob: Blob) -> Attributed {
        let (received, examination) = self.examined(ReceivedBody::Blob(blob));
        let verified = received.judge(examination).expect("it is proven");
        let readable = read_from(verified, &*self.body).expect("it can be read");
        readable.decide(&Consulted::default()).conclude().expect("it may be acted on")
    }

    /// The same where `bench` says whose it is.
    pub(crate) async fn accepted_large_by(&self, bench: &Bench, blob: Blob) -> Attributed {
        let (received, examination) = self.examined(ReceivedBody::Blob(blob));
        let verified = received.judge(examination).expect("it is proven");
        let readable = read_from(verified, &*self.body).expect("it can be read");
        let claims = readable.claims();
        let consulted = bench.store.ledger().consult("vapi", claims).await.unwrap();
        readable.decide(&consulted).conclude().expect("it may be acted on")
    }

    /// Proven, but not readable.
    pub(crate) fn unreadable(&self) -> Quarantined {
        *read(self.verified()).expect_err("it cannot be read")
    }

    /// Not proven.
    pub(crate) fn unproven(&self) -> Unproven {
        let (received, examination) = self.examined(ReceivedBody::Whole(self.body.clone()));
        received.judge(examination).expect_err("it is not proven")
    }

    pub(crate) fn unproven_large(&self, blob: Blob) -> Unproven {
        let (received, examination) = self.examined(ReceivedBody::Blob(blob));
        received.judge(examination).expect_err("it is not proven")
    }

    /// Not proven, and accepted all the same.
    pub(crate) fn recorded(&self) -> Quarantined {
        Quarantined::unproven(self.unproven())
    }
}

/// A source of Vapi whose token is [`SECRET`].
pub(crate) fn source(name: &str) -> Arc<Source> {
    let policy = named::policy("vapi.auto", &serde_json::json!({})).unwrap();
    let secrets = Secrets::from_text(SECRET, "");
    let provider = provider::named("vapi").unwrap();
    Arc::new(Source::new(name, provider, policy, secrets, Verification::Enforce))
}

/// Writes a large body.
pub(crate) async fn blob(store: &Store, bytes: &[u8], chunk: usize) -> Blob {
    let mut writer = store.begin_blob().await.unwrap();
    for piece in bytes.chunks(chunk) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

/// All files under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Copies a folder as it is at this moment: what a crash would leave.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if std::fs::copy(entry.path(), &target).is_err() {
            // Removed meanwhile.
        }
    }
}
