//! The operator's HTTP API, and what a supervisor asks: health, readiness, metrics.
//!
//! [`router`] is the table of contents: every path, what answers it, and who may ask.
//! What holds:
//!
//! - **Closed by default.** Everything under `/api` lies behind one layer that wants the
//!   operator's token, unknown paths included.
//! - **GET changes nothing**, there is no CORS, and no answer is kept by a cache.
//! - **Exact bytes leave by `/raw` alone**, as an attachment that no browser renders, and
//!   each such read is logged. Everywhere else known credentials are masked.
//! - **An error is a problem** (RFC 9457): a constant sentence and a status. What
//!   went wrong inside is logged once, under the correlation id that the answer carries.
//!
//! Reading order: `guard.rs` (every request), `query.rs` and `page.rs` (what lists
//! share), one file for each resource, `retry.rs` (refused requests judged again).

mod attachment;
mod body;
mod events;
mod guard;
mod metrics;
mod page;
mod problem;
mod query;
mod rejections;
mod retry;
mod sources;
mod status;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use hookgate_core::secret::Secret;
use hookgate_core::source::Sources;
use hookgate_core::time::Timestamp;
use hookgate_store::Store;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

pub use metrics::register_store;

use crate::problem::Problem;

/// What the console shows, and to whom.
#[derive(Debug)]
pub struct Console {
    /// The store that it reads, and that retried requests go to.
    pub store: Store,
    /// The sources in force.
    pub sources: Arc<Sources>,
    /// The operator's token. An empty one opens nothing.
    pub admin_token: Secret,
    /// What `/metrics` prints.
    pub registry: Arc<Registry>,
    /// Tells the time.
    pub clock: fn() -> Timestamp,
    /// The address under which providers reach the front door, without a path.
    pub public_url: Option<String>,
}

/// Who sends a request. The listener puts it into the request's extensions; without it
/// nobody counts as local.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The socket's peer, or what a configured proxy says.
    pub addr: IpAddr,
}

/// What the handlers share.
#[derive(Debug)]
struct Shared {
    console: Console,
    /// Held while refused requests are judged again: one batch at a time, so that a
    /// request that stands in two batches is judged once.
    retrying: Mutex<()>,
}

/// All routes. A request should carry its [`Caller`] as an extension.
pub fn router(console: Console) -> Router {
    let shared = Arc::new(Shared { console, retrying: Mutex::new(()) });
    let operator = Router::new()
        .route("/v1/events", get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/raw", get(events::raw))
        .route("/v1/rejections", get(rejections::list))
        .route("/v1/rejections/retry", post(retry::many))
        .route("/v1/rejections/{id}", get(rejections::show))
        .route("/v1/rejections/{id}/raw", get(rejections::raw))
        .route("/v1/rejections/{id}/retry", post(retry::one))
        .route("/v1/sources", get(sources::list))
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(from_fn_with_state(Arc::clone(&shared), guard::operator));
    let metrics = get(status::metrics)
        .layer(from_fn_with_state(Arc::clone(&shared), guard::operator_or_local));
    Router::new()
        .nest("/api", operator)
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/metrics", metrics)
        .fallback(not_found)
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(from_fn(guard::every))
        .with_state(shared)
}

/// What the front door says of a path that leads nowhere.
async fn not_found() -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::NOT_FOUND, json, r#"{"error":"Not found"}"#)
}
