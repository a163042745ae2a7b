//! What goes wrong on purpose, and the gate that every request for `/v2` passes.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::Square;
use crate::refusal::Refusal;

/// Longer than any platform waits for a tool call.
const LATENCY_MS_MAX: u64 = 120_000;

/// More than a test has requests.
const FAULTS_MAX: usize = 1_000;

/// The golden ratio's fraction of 2^64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How each request is delayed, and what becomes of the next ones.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    latency_ms: u64,
    latency_spread_ms: u64,
    next: VecDeque<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Answered instead of doing anything.
    Status(u64),
    /// Done, and answered with 500.
    CommitThenFail,
    /// Done, and answered when nobody waits any more.
    CommitThenWait,
}

impl Faults {
    /// Reads `{"latency_ms": 200, "latency_spread_ms": 50, "next": [429, "commit-then-500"]}`.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("faults are a JSON object")?;
        let mut faults = Self::default();
        let millis = |name: &str, value: &Value| {
            let millis = value.as_u64().filter(|it| *it <= LATENCY_MS_MAX);
            millis.ok_or_else(|| format!("{name} is a number up to {LATENCY_MS_MAX}"))
        };
        for (name, value) in object {
            match name.as_str() {
                "latency_ms" => faults.latency_ms = millis(name, value)?,
                "latency_spread_ms" => faults.latency_spread_ms = millis(name, value)?,
                "next" => {
                    let next = value.as_array().filter(|it| it.len() <= FAULTS_MAX);
                    let next =
                        next.ok_or_else(|| format!("next is a list of {FAULTS_MAX} at most"))?;
                    faults.next = next.iter().map(Fault::read).collect::<Result<_, _>>()?;
                }
                _ => return Err("faults have latency_ms, latency_spread_ms and next".to_owned()),
            }
        }
        Ok(faults)
    }

    pub(crate) fn shown(&self) -> Value {
        let next: Vec<Value> = self.next.iter().copied().map(Fault::shown).collect();
        json!({
            "latency_ms": self.latency_ms, "latency_spread_ms": self.latency_spread_ms,
            "next": next,
        })
    }

    /// How long a request is held back, by its number: from the latency to as much more as the
    /// spread, spread evenly by the golden ratio.
    fn latency(&self, number: u64) -> Duration {
        let place = number.wrapping_mul(GOLDEN) >> 32;
        let more = self.latency_spread_ms.saturating_mul(place) >> 32;
        Duration::from_millis(self.latency_ms.saturating_add(more))
    }

    /// The next fault that can befall such a request. One that is done after a commit waits
    /// for something to commit.
    fn take(&mut self, writes: bool) -> Option<Fault> {
        let at = self.next.iter().position(|it| writes || matches!(it, Fault::Status(_)))?;
        self.next.remove(at)
    }
}

impl Fault {
    fn read(value: &Value) -> Result<Self, String> {
        match (value.as_u64(), value.as_str()) {
            (Some(status @ (401 | 403 | 404 | 409 | 429 | 500)), _) => Ok(Self::Status(status)),
            (_, Some("commit-then-500")) => Ok(Self::CommitThenFail),
            (_, Some("commit-then-wait")) => Ok(Self::CommitThenWait),
            _ => Err("a fault is 401, 403, 404, 409, 429, 500, \"commit-then-500\" or \
                      \"commit-then-wait\""
                .to_owned()),
        }
    }

    fn shown(self) -> Value {
        match self {
            Self::Status(status) => status.into(),
            Self::CommitThenFail => "commit-then-500".into(),
            Self::CommitThenWait => "commit-then-wait".into(),
        }
    }
}

/// Counts a request, delays it, asks for its headers, and lets it fail if that is wished.
pub(crate) async fn gate(Shared(square): Shared<Square>, request: Request, next: Next) -> Response {
    let latency = {
        let mut state = square.lock();
        state.requests = state.requests.saturating_add(1);
        state.count(request.headers());
        state.faults.latency(state.requests)
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    // Whoever asks for a token has none to show.
    if request.uri().path().starts_with("/v2/")
        && let Err(refusal) = check(&square, request.headers())
    {
        return refusal.into_response();
    }
    let fault = square.lock().faults.take(writes(&request));
    match fault {
        None => next.run(request).await,
        Some(Fault::Status(401)) => Refusal::unauthorized().into_response(),
        Some(Fault::Status(403)) => Refusal::forbidden().into_response(),
        Some(Fault::Status(404)) => Refusal::not_found("Not found.").into_response(),
        Some(Fault::Status(409)) => Refusal::conflict().into_response(),
        Some(Fault::Status(429)) => Refusal::rate_limited().into_response(),
        Some(Fault::Status(_)) => Refusal::internal().into_response(),
        Some(Fault::CommitThenFail) => {
            let answer = next.run(request).await;
            if answer.status().is_success() {
                return Refusal::internal().into_response();
            }
            answer
        }
        Some(Fault::CommitThenWait) => {
            let answer = next.run(request).await;
            tokio::time::sleep(Duration::from_millis(LATENCY_MS_MAX)).await;
            answer
        }
    }
}

fn writes(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::PUT
        || (request.method() == Method::POST
            && !path.ends_with("/search")
            && !path.ends_with("/search-catalog-items"))
}

/// There must be a token, one that was granted if any was, and a version of the API.
fn check(square: &Square, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let token = text(header::AUTHORIZATION.as_str()).and_then(|it| it.strip_prefix("Bearer "));
    let token = token.map(str::trim).filter(|it| !it.is_empty());
    let token = token.ok_or_else(Refusal::unauthorized)?;
    if !square.lock().grants.admits(token) {
        return Err(Refusal::expired());
    }
    let version = text("square-version").ok_or_else(|| Refusal::missing("Square-Version"))?;
    if version.len() != "2025-08-20".len() || version.parse::<jiff::civil::Date>().is_err() {
        let detail = "The Square version is a date, YYYY-MM-DD.";
        return Err(Refusal::bad("INVALID_SQUARE_VERSION_FORMAT", detail));
    }
    Ok(())
}
