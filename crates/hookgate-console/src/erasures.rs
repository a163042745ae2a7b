//! Erasures: what was to be forgotten, and how far that is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookgate_store::ErasureTarget;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::body::InPath;
use crate::page::{Asked, List, Listing, Paged};
use crate::problem::Problem;
use crate::query::Query;

/// An erasure.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Erasure {
    id: String,
    /// The tenant that is erased, or whose old events are.
    #[schema(required)]
    tenant: Option<String>,
    /// The conversation that is erased.
    #[schema(required)]
    conversation: Option<Conversation>,
    /// The source whose old events are erased.
    #[schema(required)]
    source: Option<String>,
    /// Retention: events that were received before this moment are erased.
    #[schema(required, format = DateTime)]
    before: Option<String>,
    /// `running` or `done`.
    state: &'static str,
    /// Events erased so far.
    events: u64,
    /// Their bytes.
    bytes: u64,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
}

/// A conversation, as a provider knows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversationName)]
pub(crate) struct Conversation {
    provider: String,
    external_id: String,
}

impl From<&hookgate_store::Erasure> for Erasure {
    fn from(it: &hookgate_store::Erasure) -> Self {
        let (mut tenant, mut conversation, mut source, mut before) = (None, None, None, None);
        match &it.target {
            ErasureTarget::Tenant(id) => tenant = Some(id.to_string()),
            ErasureTarget::Conversation { provider, external_id } => {
                let (provider, external_id) = (provider.clone(), external_id.clone());
                conversation = Some(Conversation { provider, external_id });
            }
            ErasureTarget::Before { at, tenant: of, source: from } => {
                before = Some(at.to_string());
                tenant = of.as_ref().map(ToString::to_string);
                source.clone_from(from);
            }
        }
        Self {
            id: it.id.clone(),
            tenant,
            conversation,
            source,
            before,
            state: if it.finished_at.is_some() { "done" } else { "running" },
            events: it.events,
            bytes: it.bytes,
            started_at: it.started_at.to_string(),
            finished_at: it.finished_at.map(|it| it.to_string()),
        }
    }
}

/// Lists erasures.
#[utoipa::path(
    get,
    path = "/v1/erasures",
    tag = "erasures",
    params(Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Erasure>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Query<Paged>,
) -> Result<Json<Listing<Erasure>>, Problem> {
    let asked = Asked::read(List::Erasures, &query)?;
    let found = shared.console.store.registry().erasures(asked.rows()).await;
    let found = found.map_err(Problem::registry)?;
    Ok(Json(asked.answer(found, |it| it.row, |it| Erasure::from(it))))
}

/// Shows how far an erasure is.
#[utoipa::path(
    get,
    path = "/v1/erasures/{id}",
    tag = "erasures",
    params(("id" = String, Path, description = "The erasure.")),
    responses((status = 200, description = "The erasure.", body = Erasure)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Erasure>, Problem> {
    let found = shared.console.store.registry().erasure(&id).await.map_err(Problem::registry)?;
    found.map(|it| Json(Erasure::from(&it))).ok_or(Problem::NotFound)
}
