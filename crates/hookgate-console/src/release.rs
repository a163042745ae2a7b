//! Taking an event out of quarantine: a decision of the operator's, written down beside
//! the event, whose verdicts stay as they were.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use hookgate_core::tenant::TenantId;
use hookgate_store::EventId;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::body::{Given, InPath, Wish};
use crate::guard::Correlation;
use crate::problem::{Problem, Sent};
use crate::query::Query;
use crate::{Shared, shapes};

/// Who decides over this API: there is one operator.
pub(crate) const OPERATOR: &str = "operator";

/// To whom an event is released.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// The tenant that gets it; without one it is the operator's alone.
    #[schema(value_type = Option<String>)]
    tenant: Option<TenantId>,
}

impl Wish for Release {
    const SHAPE: &'static str =
        "The body is empty, or a JSON object with `tenant` (a tenant's id).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

/// Releases an event from quarantine.
///
/// Its verdicts stay, and no tool is run. What did not prove its origin is never released.
#[utoipa::path(
    post,
    path = "/v1/events/{id}/release",
    tag = "events",
    params(("id" = String, Path, description = "The event.")),
    request_body = Option<Release>,
    responses(
        (
            status = 200,
            description = "The event as it is now, without headers and payload.",
            body = shapes::EventSummary,
        ),
        (
            status = 409,
            description = "It is accepted already, or not proven.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn release(
    State(shared): State<Arc<Shared>>,
    Extension(correlation): Extension<Correlation>,
    InPath(id): InPath<String>,
    _: Query,
    Given(wish): Given<Release>,
) -> Result<Json<Value>, Problem> {
    let id = EventId::parse(&id).ok_or(Problem::NotFound)?;
    let now = (shared.console.clock)();
    let store = &shared.console.store;
    let released = store.release(id, wish.tenant, OPERATOR, &correlation.0, now).await;
    let event = released.map_err(Problem::deciding)?;
    tracing::warn!(
        event.id = %event.id,
        event.seq = event.seq,
        source.id = event.source,
        tenant.id = event.tenant,
        cause = event.cause,
        "the operator released an event from quarantine"
    );
    Ok(Json(event.summary()))
}
