//! Recordings: the list, and the sound of one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use hookgate_core::tenant::Scope;
use hookgate_store::{EventId, Recording, RecordingFilter, RecordingId, RecordingState, Rows};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::attachment::sound;
use crate::body::InPath;
use crate::page::{Asked, List, Listing, Paged};
use crate::problem::{Problem, Sent};
use crate::query::{Query, bad};
use crate::{Shared, shapes};

/// Recordings of one event that are shown with it. Providers give up to four.
const OF_EVENT_MAX: u32 = 100;

/// Which recordings. Everything that is given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// Of this tenant. A tenant's key sees its own alone, whatever this says.
    tenant: Option<String>,
    /// That this event named first.
    event: Option<String>,
    /// Of this provider.
    provider: Option<String>,
    /// Of the call with this id at the provider.
    conversation: Option<String>,
    /// `pending`, `fetched` or `failed`.
    state: Option<String>,
}

/// A recording.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recording)]
pub(crate) struct Shown {
    id: String,
    /// The event that named it first.
    event_id: String,
    #[schema(required)]
    tenant: Option<String>,
    source: String,
    provider: String,
    /// The provider's id of the conversation.
    #[schema(required)]
    conversation_id: Option<String>,
    /// What is to be heard: `mixed`, `multi_channel`, `agent` or `user`.
    kind: String,
    /// `pending` (it is to be fetched), `fetched` or `failed` (it was given up).
    state: &'static str,
    /// Why the latest attempt failed.
    #[schema(required)]
    reason: Option<String>,
    /// Attempts that failed.
    attempts: u32,
    /// When it is tried next.
    #[schema(format = DateTime, required)]
    next_attempt_at: Option<String>,
    /// Its length in bytes.
    #[schema(required)]
    size: Option<u64>,
    /// Its SHA-256.
    #[schema(required)]
    sha256: Option<String>,
    /// The type that it is served as.
    #[schema(required)]
    content_type: Option<&'static str>,
    /// When its event was received.
    #[schema(format = DateTime)]
    received_at: String,
    /// When it was fetched or given up.
    #[schema(format = DateTime, required)]
    finished_at: Option<String>,
}

impl From<&Recording> for Shown {
    fn from(it: &Recording) -> Self {
        Self {
            id: it.id.to_string(),
            event_id: it.event.to_string(),
            tenant: it.tenant.as_ref().map(ToString::to_string),
            source: it.source.clone(),
            provider: it.provider.clone(),
            conversation_id: it.conversation.clone(),
            kind: it.kind.clone(),
            state: it.state.name(),
            reason: it.reason.clone(),
            attempts: it.attempts,
            next_attempt_at: it.due.map(|it| it.to_string()),
            size: it.size,
            sha256: it.sha256.map(hex::encode),
            content_type: it.sound.map(hookgate_core::sound::Sound::content_type),
            received_at: it.received_at.to_string(),
            finished_at: it.finished_at.map(|it| it.to_string()),
        }
    }
}

/// Lists recordings.
#[utoipa::path(
    get,
    path = "/v1/recordings",
    tag = "recordings",
    params(Filter, Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Shown>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    query: Query<Filter, Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let states = RecordingState::ALL.map(|it| (it.name(), it));
    let event = query
        .raw("event")
        .map(|it| EventId::parse(it).ok_or_else(|| bad("event", "the id of an event")));
    let filter = RecordingFilter {
        tenant: query.text("tenant")?,
        event: event.transpose()?,
        provider: query.provider()?,
        conversation: query.text("conversation")?,
        state: query.choice("state", states)?,
    };
    let asked = Asked::read(List::Recordings, &query)?;
    let found = shared.console.store.recordings(&scope, filter, asked.rows()).await;
    let found = found.map_err(Problem::reading)?;
    Ok(Json(asked.answer(found, |it| it.n, |it| Shown::from(it))))
}

/// Gives the sound of a recording.
///
/// With `Range: bytes=` a part of it.
#[utoipa::path(
    get,
    path = "/v1/recordings/{id}",
    tag = "recordings",
    params(("id" = String, Path, description = "The recording.")),
    responses(
        (
            status = 200,
            description = "The sound, to be saved or played. Its type is one of a closed list, \
                           whatever its server said.",
            content(
                (shapes::Bytes = "audio/mpeg"),
                (shapes::Bytes = "audio/wav"),
                (shapes::Bytes = "audio/ogg"),
                (shapes::Bytes = "audio/flac"),
                (shapes::Bytes = "audio/mp4"),
                (shapes::Bytes = "audio/webm"),
                (shapes::Bytes = "audio/aac"),
                (shapes::Bytes = "audio/amr"),
                (shapes::Bytes = "audio/basic"),
                (shapes::Bytes = "audio/aiff"),
                (shapes::Bytes = "application/octet-stream"),
            ),
        ),
        (
            status = 206,
            description = "The part that was asked for.",
            content(
                (shapes::Bytes = "audio/mpeg"),
                (shapes::Bytes = "audio/wav"),
                (shapes::Bytes = "audio/ogg"),
                (shapes::Bytes = "audio/flac"),
                (shapes::Bytes = "audio/mp4"),
                (shapes::Bytes = "audio/webm"),
                (shapes::Bytes = "audio/aac"),
                (shapes::Bytes = "audio/amr"),
                (shapes::Bytes = "audio/basic"),
                (shapes::Bytes = "audio/aiff"),
                (shapes::Bytes = "application/octet-stream"),
            ),
        ),
        (
            status = 409,
            description = "It is not here (yet); the list says why.",
            body = Sent,
            content_type = "application/problem+json",
        ),
        (
            status = 416,
            description = "It has no such part.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = RecordingId::parse(&id).ok_or(Problem::NotFound)?;
    let store = &shared.console.store;
    let found = store.recording(&scope, id).await.map_err(Problem::reading)?;
    let found = found.ok_or(Problem::NotFound)?;
    let Some(kind) = found.sound else { return Err(Problem::NotFetched) };
    // Erased since.
    let body = store.recorded(&found).await.map_err(Problem::reading)?.ok_or(Problem::NotFound)?;
    tracing::info!(
        recording.id = %found.id,
        event.id = %found.event,
        source.id = found.source,
        tenant.id = found.tenant.as_ref().map(hookgate_core::tenant::TenantId::as_str),
        by = if scope.tenant().is_some() { "a tenant" } else { "the operator" },
        "somebody listens to a recording"
    );
    sound(&found.id.to_string(), kind, body, &headers)
}

/// The recordings of an event.
pub(crate) async fn of(
    shared: &Shared,
    scope: &Scope,
    event: EventId,
) -> Result<Vec<Shown>, Problem> {
    let filter = RecordingFilter { event: Some(event), ..RecordingFilter::default() };
    let page = Rows { after: None, limit: OF_EVENT_MAX };
    let found = shared.console.store.recordings(scope, filter, page).await;
    Ok(found.map_err(Problem::reading)?.iter().rev().map(Shown::from).collect())
}
