//! `Idempotency-Key`: a POST that is sent again gets the answer of the first time.
//!
//! The first request under a key is done to its end even if its client hangs up, and what
//! it was answered is kept, sealed, for a day. An answer that is no success is not kept:
//! such a request changed nothing, and may be tried again under the same key. While one node is
//! at a request, no other one begins it. A crash between the work and the keeping forgets the
//! key, not the work.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hookgate_core::digest::sha256;
use hookgate_core::tenant::Scope;
use hookgate_store::{Answer, Claim, Claimed};
use tracing::Instrument;

use crate::problem::Problem;
use crate::query::bad;
use crate::{Shared, body};

/// The header that names a request.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Marks an answer of an earlier time.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in characters: room for two UUIDs and a name, and short enough to be
/// kept a hundred thousand times.
const KEY_CHARS_MAX: usize = 255;

/// The largest answer that is kept, in bytes. The longest is a report on two hundred
/// requests that were judged again, of 300 bytes each.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The keys whose first request is still running.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashSet<Name>>);

/// Whose key it is, and the key.
type Name = (String, String);

/// A key that is taken while this lives.
struct Turn {
    shared: Arc<Shared>,
    name: Name,
}

impl Turn {
    fn take(shared: &Arc<Shared>, name: &Name) -> Result<Self, Problem> {
        let mut running = shared.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.insert(name.clone()) {
            Ok(Self { shared: Arc::clone(shared), name: name.clone() })
        } else {
            Err(Problem::InProgress)
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = self.shared.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.name);
    }
}

/// Around every POST with a key.
pub(crate) async fn once(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    named(shared, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn named(shared: Arc<Shared>, request: Request, next: Next) -> Result<Response, Problem> {
    let key = key(request.headers())?;
    let scope = match request.extensions().get::<Scope>() {
        Some(Scope::Operator) => "operator".to_owned(),
        Some(Scope::Tenant(tenant)) => format!("tenant/{tenant}"),
        None => return Err(Problem::Unauthorized),
    };
    let name = (scope, key);
    let (head, body) = request.into_parts();
    let body = body::read(body).await?;
    let path = head.uri.path_and_query().map_or("", |it| it.as_str());
    // The body comes as its digest, so that no path and body run into another pair.
    let digest = sha256(&[&sha256(&body), path.as_bytes()].concat());

    let turn = Turn::take(&shared, &name)?;
    let registry = shared.console.store.registry();
    let now = (shared.console.clock)();
    let claimed = registry.claim_answer(&name.0, &name.1, digest, now).await;
    let claim = match claimed.map_err(Problem::registry)? {
        Claimed::Yours(claim) => claim,
        Claimed::Running => return Err(Problem::InProgress),
        Claimed::Answered(answer) => return replay(&shared, &name, &answer).await,
    };
    let request = Request::from_parts(head, Body::from(body));
    let work = async move {
        let response = next.run(request).await;
        if !response.status().is_success() {
            give_back(&turn, claim).await;
            return Ok(response);
        }
        let response = keep(&turn, digest, response).await;
        drop(turn);
        response
    };
    let done = tokio::spawn(work.in_current_span()).await;
    done.unwrap_or_else(|error| Err(Problem::failed("answering a request with a key", &error)))
}

fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let one = values.next().filter(|_| values.next().is_none());
    let fits = |it: &&HeaderValue| {
        (1..=KEY_CHARS_MAX).contains(&it.len()) && it.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let text = one.filter(fits).and_then(|it| it.to_str().ok());
    text.map(str::to_owned)
        .ok_or_else(|| bad("Idempotency-Key", "given once, with 1 to 255 visible ASCII characters"))
}

/// Keeps a success, and passes it on.
async fn keep(turn: &Turn, request: [u8; 32], response: Response) -> Result<Response, Problem> {
    let (head, body) = response.into_parts();
    let read = to_bytes(body, ANSWER_BYTES_MAX).await;
    let body = read.map_err(|error| Problem::failed("keeping an answer", &error))?;
    if let Err(problem) = write_down(turn, request, head.status, &body).await {
        // What was asked for is done, and its client must hear of it.
        tracing::warn!(
            problem = problem.word(),
            "an answer was not kept: the same request sent again will be done again"
        );
    }
    Ok(Response::from_parts(head, Body::from(body)))
}

/// Lets the same request be tried again, also at another node.
async fn give_back(turn: &Turn, claim: Claim) {
    let registry = turn.shared.console.store.registry();
    let (scope, key) = &turn.name;
    if let Err(error) = registry.give_back(scope, key, claim).await {
        tracing::warn!(%error, "a key is not free again: it counts as running for two minutes");
    }
}

async fn write_down(
    turn: &Turn,
    request: [u8; 32],
    status: StatusCode,
    body: &[u8],
) -> Result<(), Problem> {
    let console = &turn.shared.console;
    let sealed = console.secrets.seal_for_installation(&label(&turn.name), body).await;
    let sealed = sealed.map_err(|error| Problem::secrets(&error))?;
    let answer = Answer { status: status.as_u16(), sealed };
    let (scope, key) = &turn.name;
    let kept = console.store.registry().keep_answer(scope, key, request, answer, (console.clock)());
    kept.await.map_err(Problem::registry)
}

/// What a kept answer is sealed for: no other one opens under this.
fn label((scope, key): &Name) -> String {
    format!("answer/{scope}/{key}")
}

/// The answer of the first time.
async fn replay(shared: &Shared, name: &Name, answer: &Answer) -> Result<Response, Problem> {
    let opened = shared.console.secrets.open_for_installation(&label(name), &answer.sealed).await;
    let body = opened.map_err(|error| Problem::secrets(&error))?;
    let body = Bytes::copy_from_slice(body.expose());
    let has_body = !body.is_empty();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(|_| Problem::Internal)?;
    let headers = response.headers_mut();
    headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}
