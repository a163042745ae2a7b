//! What a supervisor and a collector of metrics ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use hookgate_store::Unavailable;
use prometheus_client::encoding::text;
use serde_json::json;

use crate::problem::{Problem, RETRY_AFTER_SECONDS};
use crate::{Shared, shapes};

/// The media type of what [`metrics`] prints.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Tells that the process answers. Restart it if it does not.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "status",
    responses((status = 200, description = "It answers.", body = shapes::Health)),
)]
pub(crate) async fn healthz() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Tells whether a webhook that came now could be stored.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "status",
    responses(
        (status = 200, description = "It could.", body = shapes::Readiness),
        (status = 503, description = "It could not.", body = shapes::Readiness),
    ),
)]
pub(crate) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let time = (shared.console.clock)().to_string();
    let cause = match shared.console.store.admit(0) {
        Ok(()) => {
            let spool = shared.console.store.spool();
            let state = spool.as_ref().map_or("ok", |it| it.state);
            let why = spool.and_then(|it| it.why);
            let body = match why {
                None => json!({ "status": "ready", "store": state, "time": time }),
                Some(why) => json!({ "status": "ready", "store": state, "why": why, "time": time }),
            };
            return Json(body).into_response();
        }
        Err(cause) => cause,
    };
    let store = match cause {
        Unavailable::DiskFull => "disk full",
        Unavailable::Behind => "behind",
        Unavailable::Failed => "failed",
        Unavailable::Closing => "closing",
    };
    let body = json!({ "status": "not ready", "store": store, "time": time });
    let later = [(RETRY_AFTER, RETRY_AFTER_SECONDS)];
    (StatusCode::SERVICE_UNAVAILABLE, later, Json(body)).into_response()
}

/// Prints what is counted, as `OpenMetrics` text.
///
/// For the operator, and for whoever asks from the gateway's own machine.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "status",
    responses((
        status = 200,
        description = "OpenMetrics text.",
        body = String,
        content_type = "application/openmetrics-text",
    )),
)]
pub(crate) async fn metrics(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    // Asking the file system how full it is may block.
    let print = move || {
        let mut page = String::new();
        text::encode(&mut page, &shared.console.metrics).map(|()| page)
    };
    match tokio::task::spawn_blocking(print).await {
        Ok(Ok(page)) => Ok(([(CONTENT_TYPE, OPEN_METRICS)], page).into_response()),
        Ok(Err(error)) => Err(Problem::failed("printing the metrics", &error)),
        Err(error) => Err(Problem::failed("printing the metrics", &error)),
    }
}
