//! Events: the list, one of them, its bytes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use hookgate_core::event::Kind;
use hookgate_core::tenant::Scope;
use hookgate_store::{Body, Event, EventFilter, EventId, Status};
use serde_json::Value;
use utoipa::IntoParams;

use crate::attachment::{attachment, masked};
use crate::body::InPath;
use crate::page::{Asked, List, Listing, Ordered};
use crate::problem::{Problem, Sent};
use crate::query::Query;
use crate::{Shared, recordings, shapes, tool_calls};

/// Which events. Everything that is given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// Of this provider.
    provider: Option<String>,
    /// Of this source.
    source: Option<String>,
    /// Of this tenant. A tenant's key sees its own alone, whatever this says.
    tenant: Option<String>,
    /// Of this type, the provider's word.
    r#type: Option<String>,
    /// Of this kind, the canonical word.
    kind: Option<String>,
    /// Of the call, chat, thread or ticket with this id at the provider.
    conversation: Option<String>,
    /// `accepted` or `quarantined`.
    status: Option<String>,
    /// Received at this time (RFC 3339) or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Received before this time.
    #[param(format = DateTime)]
    until: Option<String>,
    /// With this text in the type, an id or the conversation's id.
    q: Option<String>,
}

/// Lists events.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(Filter, Ordered),
    responses((
        status = 200,
        description = "Without headers and payload.",
        body = Listing<shapes::EventSummary>,
    )),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    query: Query<Filter, Ordered>,
) -> Result<Json<Listing<Value>>, Problem> {
    let kinds = Kind::ALL.map(|it| (it.name(), it.name().to_owned()));
    let statuses = [Status::Accepted, Status::Quarantined].map(|it| (it.name(), it));
    let filter = EventFilter {
        provider: query.provider()?,
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
    let found = shared.console.store.events(&scope, filter, asked.page()).await;
    let found = found.map_err(Problem::reading)?;
    Ok(Json(asked.answer(found, |it| it.seq, Event::summary)))
}

/// Shows an event.
#[utoipa::path(
    get,
    path = "/v1/events/{id}",
    tag = "events",
    params(("id" = String, Path, description = "The event.")),
    responses((status = 200, description = "The event.", body = shapes::Event)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Value>, Problem> {
    let event = find(&shared, &scope, &id).await?;
    // A large body is not shown, and so not read.
    let body = shared.console.store.body(&scope, event.id).await;
    let body = match body.map_err(Problem::reading)? {
        Some(Body::Whole(bytes)) => Some(bytes),
        Some(Body::Large(_)) | None => None,
    };
    let mut detail = event.detail(body.as_deref());
    if let Value::Object(fields) = &mut detail {
        let calls = tool_calls::of(&shared, &scope, event.id).await?;
        let calls = serde_json::to_value(calls);
        let calls = calls.map_err(|error| Problem::failed("showing tool calls", &error))?;
        fields.insert("tool_calls".to_owned(), calls);
        let kept = recordings::of(&shared, &scope, event.id).await?;
        let kept = serde_json::to_value(kept);
        let kept = kept.map_err(|error| Problem::failed("showing recordings", &error))?;
        fields.insert("recordings".to_owned(), kept);
    }
    Ok(Json(detail))
}

/// Gives the bytes of an event's body.
///
/// To the operator exactly as they were received. To a tenant, known credentials in them
/// are masked.
#[utoipa::path(
    get,
    path = "/v1/events/{id}/raw",
    tag = "events",
    params(("id" = String, Path, description = "The event.")),
    responses(
        (
            status = 200,
            description = "The bytes, to be saved.",
            body = shapes::Bytes,
            content_type = "application/octet-stream",
        ),
        (
            status = 410,
            description = "They were erased.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn raw(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Response, Problem> {
    let event = find(&shared, &scope, &id).await?;
    let body = shared.console.store.body(&scope, event.id).await;
    let body = body.map_err(Problem::reading)?.ok_or(Problem::Erased)?;
    let name = event.id.to_string();
    note_reading(&event, &scope);
    match &scope {
        Scope::Operator => Ok(attachment(&name, body)),
        Scope::Tenant(_) => masked(&name, body).await,
    }
}

/// Logs that somebody reads the bytes of an event.
pub(crate) fn note_reading(event: &Event, scope: &Scope) {
    let who = match scope {
        Scope::Operator => "the operator read the exact bytes of an event",
        Scope::Tenant(_) => "a tenant read the masked bytes of an event",
    };
    tracing::info!(
        event.id = %event.id,
        event.seq = event.seq,
        source.id = event.source,
        tenant.id = event.tenant,
        "{who}"
    );
}

/// The event with this id, if it is within the scope.
pub(crate) async fn find(shared: &Shared, scope: &Scope, id: &str) -> Result<Event, Problem> {
    let id = EventId::parse(id).ok_or(Problem::NotFound)?;
    let found = shared.console.store.event(scope, id).await.map_err(Problem::reading)?;
    found.ok_or(Problem::NotFound)
}
