//! Events: the list, one of them, its exact bytes.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use hookgate_core::event::Kind;
use hookgate_core::provider;
use hookgate_store::{Body, Event, EventFilter, EventId, Status, Store};
use serde_json::Value;

use crate::Shared;
use crate::attachment::attachment;
use crate::page::{Asked, List};
use crate::problem::Problem;
use crate::query::Query;

/// What `GET /api/v1/events` knows.
const PARAMETERS: &[&str] = &[
    "provider",
    "source",
    "tenant",
    "type",
    "kind",
    "conversation",
    "status",
    "since",
    "until",
    "q",
    "order",
    "limit",
    "cursor",
];

/// `GET /api/v1/events`
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let query = Query::read(&uri, PARAMETERS)?;
    let providers = provider::ALL.map(|it| (it.name, it.name.to_owned()));
    let kinds = Kind::ALL.map(|it| (it.name(), it.name().to_owned()));
    let statuses = [Status::Accepted, Status::Quarantined].map(|it| (it.name(), it));
    let filter = EventFilter {
        provider: query.choice("provider", providers)?,
        source: query.text("source")?,
        tenant: query.text("tenant")?,
        event_type: query.text("type")?,
        kind: query.choice("kind", kinds)?,
        conversation: query.text("conversation")?,
        status: query.choice("status", statuses)?,
        since: query.moment("since")?,
        until: query.moment("until")?,
        q: query.text("q")?,
    };
    let asked = Asked::read(List::Events, &query)?;
    let found = shared.console.store.events(filter, asked.page()).await;
    Ok(asked.answer(found.map_err(Problem::reading)?, |it| it.seq, Event::summary))
}

/// `GET /api/v1/events/{id}`
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Query::read(&uri, &[])?;
    let store = &shared.console.store;
    let event = find(store, id).await?;
    // A large body lies in a file; it is not shown, and so not read.
    let body = match store.body(event.id).await.map_err(Problem::reading)? {
        Some(Body::Whole(bytes)) => Some(bytes),
        Some(Body::File(..)) | None => None,
    };
    Ok(Json(event.detail(body.as_deref())))
}

/// `GET /api/v1/events/{id}/raw`
pub(crate) async fn raw(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::read(&uri, &[])?;
    let store = &shared.console.store;
    let event = find(store, id).await?;
    let body = store.body(event.id).await.map_err(Problem::reading)?.ok_or(Problem::Erased)?;
    tracing::info!(
        event.id = %event.id,
        event.seq = event.seq,
        source.id = event.source,
        tenant.id = event.tenant,
        "the operator read the exact bytes of an event"
    );
    Ok(attachment(&event.id.to_string(), body))
}

async fn find(store: &Store, id: Result<Path<String>, PathRejection>) -> Result<Event, Problem> {
    let id = id.ok().and_then(|Path(text)| EventId::parse(&text)).ok_or(Problem::NotFound)?;
    store.event(id).await.map_err(Problem::reading)?.ok_or(Problem::NotFound)
}
