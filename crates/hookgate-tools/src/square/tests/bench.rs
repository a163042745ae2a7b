//! A shop, two tenants who have it, and a desk where calls come in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::settings::{Settings, Whose};
use hookgate_core::tool::{Arguments, Call, Caller, Reply, named};
use hookgate_egress::{Egress, Url};
use hookgate_secrets::{
    BackendName, MasterKeys, Secrets, SecretsSettings, Surroundings, system_clock,
};
use hookgate_store::{Options, Store};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::schema::Description;
use crate::budget::Budget;
use crate::permit::Permit;
use crate::square::Square;
use crate::square::plan::Plan;
use crate::work::{End, Work};

/// It is always Monday, 10 o'clock in New York.
pub(crate) const NOW: &str = "2026-11-23T15:00:00Z";
pub(crate) const BOOKING: &str = "BOOKING#123";
pub(crate) const ADA: &str = "+12125550123";
pub(crate) const HAIRCUT: &str = "VSTANDINHAIRCUT";
pub(crate) const LOCATION: &str = "LSTANDIN00001";

const ANSWER_BYTES_MAX: usize = 1 << 20;
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

pub(crate) fn now() -> Timestamp {
    Timestamp::parse(NOW).unwrap()
}

/// What becomes of a request instead, or besides.
#[derive(Clone)]
pub(crate) enum Act {
    /// It is answered with this, and not done.
    Say(u16, Value),
    /// It is not done, and not answered.
    Hang,
    /// It is done, and not answered.
    DoAndHang,
    /// This is done first, as somebody else does it.
    Meanwhile(Arc<dyn Fn() + Send + Sync>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) token: String,
    pub(crate) body: Value,
    status: u16,
    answer: Value,
}

#[derive(Clone, Default)]
struct Record {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What is to befall the next request whose line begins so.
    acts: Arc<Mutex<Vec<(&'static str, Act)>>>,
}

pub(crate) struct Bench {
    pub(crate) shop: hookgate_square::Square,
    pub(crate) square: Square,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) egress: Egress,
    pub(crate) base: Url,
    record: Record,
    keys: AtomicU64,
    store: Store,
    _folder: TempDir,
}

fn standing_clock() -> jiff::Timestamp {
    NOW.parse().unwrap()
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

/// A credential whose token says whose it is.
pub(crate) fn credential(token: &str) -> Value {
    json!({ "access_token": token, "location_id": LOCATION, "environment": "sandbox" })
}

impl Bench {
    /// The shop with the tenants `acme` and `other`.
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let wake = Arc::new(|wakers: Vec<Waker>| wakers.into_iter().for_each(Waker::wake));
        let store = Store::open(folder.path(), Options::default(), wake).unwrap();
        let keys = MasterKeys::parse(KEY).unwrap();
        let secrets = Secrets::open(store.registry().clone(), Some(keys)).await.unwrap();
        let secrets = Arc::new(secrets);
        let shop = hookgate_square::Square::new(standing_clock);
        let record = Record::default();
        let app = hookgate_square::router(shop.clone())
            .layer(from_fn_with_state(record.clone(), recorded));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let egress = Egress::new(hookgate_egress::Settings::default()).unwrap();
        let square = Square::new(egress.clone(), Arc::clone(&secrets), Some(base.clone()));
        let keys = AtomicU64::new(0);
        let bench =
            Self { shop, square, secrets, egress, base, record, keys, store, _folder: folder };
        for id in ["acme", "other"] {
            let tenant = tenant(id);
            bench.store.registry().add_tenant(tenant, id.to_owned(), now()).await.unwrap();
            bench.set_credential(id, &credential(id)).await;
        }
        bench
    }

    pub(crate) async fn set_credential(&self, id: &str, credential: &Value) {
        let bytes = credential.to_string();
        self.secrets.put(&tenant(id), "square", bytes.as_bytes(), now()).await.unwrap();
    }

    /// Has acme's credential in the environment, which the gateway only reads.
    pub(crate) async fn keep_elsewhere(&mut self, credential: &Value) {
        let text = credential.to_string();
        let surroundings = Surroundings {
            egress: self.egress.clone(),
            variables: Arc::new(move |name| {
                (name == "HOOKGATE_CREDENTIAL_ACME_SQUARE").then(|| text.clone())
            }),
            references: Arc::new(|_| Err("there are none".to_owned())),
            clock: system_clock(),
        };
        let settings = SecretsSettings { backend: BackendName::Env, ..SecretsSettings::default() };
        let backend = settings.backend(&surroundings).unwrap();
        let registry = self.store.registry().clone();
        let secrets = Secrets::open(registry, Some(MasterKeys::parse(KEY).unwrap())).await.unwrap();
        self.secrets = Arc::new(secrets.with_backend(backend));
        let secrets = Arc::clone(&self.secrets);
        self.square = Square::new(self.egress.clone(), secrets, Some(self.base.clone()));
    }

    pub(crate) async fn stored(&self, id: &str) -> Value {
        self.secrets.get(&tenant(id), "square").await.unwrap().unwrap().as_json().unwrap()
    }

    /// What befalls the next request whose method and path begin with `line`.
    pub(crate) fn act(&self, line: &'static str, act: Act) {
        self.record.acts.lock().unwrap().push((line, act));
    }

    pub(crate) fn faults(&self, next: &Value) {
        self.shop.set_faults(&json!({ "next": next })).unwrap();
    }

    /// The requests that came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().unwrap().clone()
    }

    /// How many requests' method and path begin with `line`.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|it| it.line.starts_with(line)).count()
    }

    pub(crate) fn bookings(&self) -> Vec<Value> {
        self.shop.shown()["bookings"].as_array().unwrap().clone()
    }

    pub(crate) fn booking(&self, id: &str) -> Value {
        self.bookings().into_iter().find(|it| it["id"] == id).unwrap()
    }

    pub(crate) fn customers(&self) -> usize {
        self.shop.shown()["customers"].as_array().unwrap().len()
    }

    /// Has the seller make a booking for Ada.
    pub(crate) fn put(&self, id: &str, start_at: &str) {
        self.put_with(&json!({ "id": id, "start_at": start_at }));
    }

    pub(crate) fn put_with(&self, booking: &Value) {
        let mut whole = json!({ "customer_id": "CUSTOMER-1", "team_member_id": "TMSTANDIN0001" });
        whole.as_object_mut().unwrap().extend(booking.as_object().unwrap().clone());
        assert!(self.shop.put_booking(&whole));
    }

    /// Where acme's calls come in; it is Ada who calls.
    pub(crate) fn desk(&self) -> Desk<'_> {
        Desk {
            bench: self,
            tenant: tenant("acme"),
            caller: Caller { agent_id: None, number: Some(ADA.to_owned()) },
            settings: Settings::default(),
            patience: Duration::from_secs(8),
            now: now(),
        }
    }
}

/// Nothing was sent or answered that is not in Square's description.
impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let described = Description::read();
        for Seen { line, body, status, answer, .. } in self.seen() {
            let (method, path) = line.split_once(' ').unwrap();
            if status == 200 {
                described.check_answer(method, path, status, &answer);
                if !body.is_null() {
                    described.check_request(method, path, &body);
                }
            }
        }
    }
}

async fn recorded(State(record): State<Record>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap();
    let line = format!("{} {}", parts.method, parts.uri);
    let token = parts.headers.get(header::AUTHORIZATION).map_or("", |it| it.to_str().unwrap());
    let token = token.strip_prefix("Bearer ").unwrap_or_default().to_owned();
    if parts.method != Method::GET {
        assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
    }
    let act = {
        let mut acts = record.acts.lock().unwrap();
        let at = acts.iter().position(|(begin, _)| line.starts_with(begin));
        at.map(|at| acts.remove(at).1)
    };
    let sent = serde_json::from_slice(&body).unwrap_or_default();
    let mut seen = Seen { line, token, body: sent, status: 0, answer: Value::Null };
    let note = |seen: Seen| record.seen.lock().unwrap().push(seen);
    match &act {
        Some(Act::Say(status, value)) => {
            note(seen);
            let status = StatusCode::from_u16(*status).unwrap();
            return (status, axum::Json(value.clone())).into_response();
        }
        Some(Act::Hang) => {
            note(seen);
            return std::future::pending().await;
        }
        Some(Act::Meanwhile(does)) => does(),
        Some(Act::DoAndHang) | None => {}
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap();
    seen.status = head.status.as_u16();
    seen.answer = serde_json::from_slice(&body).unwrap_or_default();
    note(seen);
    if let Some(Act::DoAndHang) = act {
        return std::future::pending().await;
    }
    Response::from_parts(head, Body::from(body))
}

/// Where calls come in.
#[derive(Clone)]
pub(crate) struct Desk<'b> {
    bench: &'b Bench,
    pub(crate) tenant: TenantId,
    pub(crate) caller: Caller,
    pub(crate) settings: Settings,
    pub(crate) patience: Duration,
    pub(crate) now: Timestamp,
}

impl Desk<'_> {
    /// Another caller.
    pub(crate) fn called_by(mut self, number: Option<&str>) -> Self {
        self.caller.number = number.map(str::to_owned);
        self
    }

    pub(crate) fn lists(mut self, whose: Whose) -> Self {
        self.settings.bookings_list = whose;
        self
    }

    pub(crate) fn changes(mut self, whose: Whose) -> Self {
        self.settings.bookings_change = whose;
        self
    }

    pub(crate) fn patience(mut self, milliseconds: u64) -> Self {
        self.patience = Duration::from_millis(milliseconds);
        self
    }

    pub(crate) fn at(mut self, now: &str) -> Self {
        self.now = Timestamp::parse(now).unwrap();
        self
    }

    pub(crate) fn of(mut self, id: &str) -> Self {
        self.tenant = tenant(id);
        self
    }

    /// Plans a call and carries it out, under a key of its own.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> End {
        let key = self.bench.keys.fetch_add(1, Ordering::SeqCst);
        self.call_as(tool, arguments, &format!("key-{key}")).await
    }

    pub(crate) async fn call_as(&self, tool: &str, arguments: Value, key: &str) -> End {
        let given = Given::new(self.patience, arguments);
        let work = self.work(&given);
        match self.bench.square.plan(named(tool).unwrap(), &work).await {
            Ok(plan) => {
                self.bench.square.run(&plan, &work, Some(&Permit::granted(key.to_owned()))).await
            }
            Err(end) => end,
        }
    }

    pub(crate) async fn plan(&self, tool: &str, arguments: Value) -> Result<Plan, End> {
        let given = Given::new(self.patience, arguments);
        self.bench.square.plan(named(tool).unwrap(), &self.work(&given)).await
    }

    pub(crate) async fn run(&self, plan: &Plan, key: &str) -> End {
        let given = Given::new(self.patience, json!({}));
        self.bench
            .square
            .run(plan, &self.work(&given), Some(&Permit::granted(key.to_owned())))
            .await
    }

    pub(crate) async fn run_without_key(&self, plan: &Plan) -> End {
        let given = Given::new(self.patience, json!({}));
        self.bench.square.run(plan, &self.work(&given), None).await
    }

    /// How long a call took, and how much of that was spent outside.
    pub(crate) async fn timed(&self, tool: &str, arguments: Value) -> (Duration, Duration) {
        let given = Given::new(self.patience, arguments);
        let (work, began) = (self.work(&given), Instant::now());
        let plan = self.bench.square.plan(named(tool).unwrap(), &work).await.unwrap();
        let end = self.bench.square.run(&plan, &work, None).await;
        assert!(matches!(end, End::Done(_)));
        (began.elapsed(), given.budget.outside())
    }

    pub(crate) async fn stands(&self, plan: &Plan, earlier: &Reply) -> Result<bool, End> {
        let given = Given::new(self.patience, json!({}));
        self.bench.square.stands(plan, earlier, &self.work(&given)).await
    }

    pub(crate) async fn settle(&self, plan: &Plan) -> Result<Option<Reply>, End> {
        let given = Given::new(self.patience, json!({}));
        self.bench.square.settle(plan, self.now, &self.work(&given)).await
    }

    fn work<'a>(&'a self, given: &'a Given) -> Work<'a> {
        Work {
            tenant: &self.tenant,
            provider: "retell",
            conversation: Some("call_1"),
            call: &given.call,
            arguments: &given.arguments,
            caller: &self.caller,
            settings: &self.settings,
            budget: &given.budget,
            now: self.now,
        }
    }
}

/// What a call brings along.
struct Given {
    call: Call,
    arguments: Map<String, Value>,
    budget: Budget,
}

impl Given {
    fn new(patience: Duration, arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        let call = Call {
            id: None,
            tool: "any".to_owned(),
            arguments: Arguments::Read(arguments.clone()),
        };
        Self { call, arguments, budget: Budget::until(Instant::now() + patience) }
    }
}

/// How a call ended, in two words.
pub(crate) fn shown(end: &End) -> String {
    let kind = match end {
        End::Done(_) => "done",
        End::Refused(_) => "refused",
        End::Failed(_) => "failed",
        End::Unknown(_) => "unknown",
    };
    let reply = end.reply();
    assert_eq!(reply.ok, kind == "done");
    assert!(!reply.message.is_empty() && reply.message.len() < 400, "{}", reply.message);
    for word in ["Square", "BOOKING", "CUSTOMER", "STANDIN", "error", "null"] {
        assert!(!reply.message.contains(word), "{word}: {}", reply.message);
    }
    format!("{kind} {}", reply.status)
}

/// What is said.
pub(crate) fn said(end: &End) -> &str {
    &end.reply().message
}
