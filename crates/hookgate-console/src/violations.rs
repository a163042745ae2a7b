//! Violations: proven events whose ids contradict each other, or what is known.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use hookgate_core::attribution::Conflict;
use hookgate_core::tenant::Scope;
use hookgate_store::{Event, EventFilter};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::page::{Asked, List, Listing, Paged};
use crate::problem::Problem;
use crate::query::Query;
use crate::seen::{Eyes, SeenClaim};

/// A contradiction.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Violation {
    /// The id of the event.
    id: String,
    #[schema(format = DateTime)]
    at: String,
    source: String,
    provider: String,
    /// `contradiction`.
    kind: &'static str,
    /// How it contradicts: `wrong_type`, `different_tenants`, `two_conversations`,
    /// `agent_mismatch`, `agent_missing` or `phone_number_mismatch`.
    reason: String,
    /// The sentence that the log has.
    text: &'static str,
    /// What the event claims. A tenant sees its own ids, and hashes of all others.
    claims: Vec<SeenClaim>,
}

/// Which violations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// That name an id of this tenant. A tenant's key sees its own alone, whatever this says.
    tenant: Option<String>,
    /// Of this source.
    source: Option<String>,
    /// Of this provider.
    provider: Option<String>,
    /// Received at this time (RFC 3339) or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Received before this time.
    #[param(format = DateTime)]
    until: Option<String>,
}

/// Lists events that contradict ownership.
///
/// A tenant's key sees those that name one of its ids.
#[utoipa::path(
    get,
    path = "/v1/violations",
    tag = "violations",
    params(Filter, Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Violation>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    query: Query<Filter, Paged>,
) -> Result<Json<Listing<Violation>>, Problem> {
    let filter = EventFilter {
        tenant: query.tenant()?.map(|it| it.to_string()),
        source: query.text("source")?,
        provider: query.provider()?,
        since: query.moment("since")?,
        until: query.moment("until")?,
        ..EventFilter::default()
    };
    let asked = Asked::read(List::Violations, &query)?;
    let found = shared.console.store.violations(&scope, filter, asked.page()).await;
    let found = found.map_err(Problem::reading)?;
    let eyes = shared.eyes(&scope);
    Ok(Json(asked.answer(found, |it| it.seq, |it| show(it, eyes))))
}

fn show(event: &Event, eyes: Eyes<'_>) -> Violation {
    let conflict = event.conflict.as_deref().and_then(Conflict::named);
    let conflict = conflict.unwrap_or(Conflict::Tenants);
    Violation {
        id: event.id.to_string(),
        at: event.received_at.to_string(),
        source: event.source.clone(),
        provider: event.provider.clone(),
        kind: "contradiction",
        reason: conflict.name().to_owned(),
        text: conflict.text(),
        claims: event.claims.iter().map(|it| eyes.claim(it)).collect(),
    }
}
