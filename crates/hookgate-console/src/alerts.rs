//! Alerts: what is raised, and what was.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookgate_store::Alert;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::Shared;
use crate::page::{List, Listing, Paged, Slice};
use crate::problem::Problem;
use crate::query::Query;

/// How many are shown: who wants to know more asks where they were sent.
const SHOWN_MAX: u32 = 1_000;

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct Shown {
    /// Its deliveries have it as their `event_id`.
    id: String,
    /// `alert.source_silent`, `alert.rejections_rising`, `alert.destination_failing`,
    /// `alert.destination_disabled`, `alert.elevenlabs_auto_disable`, `alert.disk_filling` or
    /// `alert.store_failing`.
    kind: &'static str,
    /// What it is about: the name of a source, the id of a destination, a part of the store.
    subject: String,
    /// Whose destination it is about.
    #[schema(required)]
    tenant: Option<String>,
    /// `raised` or `cleared`.
    state: &'static str,
    text: String,
    /// The same for programs; which members there are depends on the kind.
    facts: Map<String, Value>,
    #[schema(format = DateTime)]
    raised_at: String,
    /// When it was over.
    #[schema(required, format = DateTime)]
    cleared_at: Option<String>,
}

impl From<&Alert> for Shown {
    fn from(it: &Alert) -> Self {
        Self {
            id: it.id.to_string(),
            kind: it.kind.name(),
            subject: it.subject.clone(),
            tenant: it.tenant.as_ref().map(ToString::to_string),
            state: if it.cleared_at.is_some() { "cleared" } else { "raised" },
            text: it.text.clone(),
            facts: serde_json::from_str(&it.facts).unwrap_or_default(),
            raised_at: it.raised_at.to_string(),
            cleared_at: it.cleared_at.map(|it| it.to_string()),
        }
    }
}

/// Lists alerts.
#[utoipa::path(
    get,
    path = "/v1/alerts",
    tag = "alerts",
    params(Paged),
    responses((
        status = 200,
        description = "Those that are raised first, of both the newest first; the latest 1000.",
        body = Listing<Shown>,
    )),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Query<Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let slice = Slice::read(List::Alerts, &query)?;
    let found = shared.console.store.registry().alerts(SHOWN_MAX).await;
    let found = found.map_err(Problem::registry)?;
    slice.answer(&found, |it| it.id.to_string(), |it| Shown::from(it)).map(Json)
}
