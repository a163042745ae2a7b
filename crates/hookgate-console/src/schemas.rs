//! The schemas of what the gateway passes on.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hookgate_core::canonical::schema;

use crate::problem::Problem;
use crate::query::Query;

/// The media type of a JSON Schema.
const SCHEMA_JSON: &str = "application/schema+json";

/// The JSON Schema (2020-12) of canonical events.
///
/// It is of what stands at `canonical` in an event.
#[utoipa::path(
    get,
    path = "/v1/schemas/canonical-event",
    tag = "document",
    responses((
        status = 200,
        description = "A JSON Schema.",
        body = serde_json::Value,
        content_type = "application/schema+json",
    )),
)]
pub(crate) async fn canonical_event(_: Query) -> Result<Response, Problem> {
    let schema = schema::schema().to_string();
    Ok(([(CONTENT_TYPE, SCHEMA_JSON)], schema).into_response())
}
