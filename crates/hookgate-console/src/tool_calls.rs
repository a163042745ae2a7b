//! Tool calls: the list, and one of them with what was asked for and what was answered.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use hookgate_core::tenant::Scope;
use hookgate_store::{EventId, ToolCall, ToolCallFilter, ToolCallId, ToolCallState, ToolTimes};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::body::InPath;
use crate::page::{Asked, List, Listing, Paged};
use crate::problem::Problem;
use crate::query::Query;
use crate::times::milliseconds;

/// Which tool calls. Everything that is given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// Of this tenant. A tenant's key sees its own alone, whatever this says.
    tenant: Option<String>,
    /// Of this tool.
    tool: Option<String>,
    /// `started`, `succeeded`, `refused`, `failed` or `unknown`.
    state: Option<String>,
    /// Of this provider.
    provider: Option<String>,
    /// Of this source.
    source: Option<String>,
    /// Of the conversation with this id at the provider.
    conversation: Option<String>,
    /// Begun at this time (RFC 3339) or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Begun before this time.
    #[param(format = DateTime)]
    until: Option<String>,
}

/// A tool call as lists show it: without its arguments and its answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolCallSummary)]
pub(crate) struct Summary {
    id: String,
    /// The event that it came with.
    event_id: String,
    tenant: String,
    source: String,
    provider: String,
    /// The provider's id of the conversation.
    #[schema(required)]
    conversation_id: Option<String>,
    /// The provider's id of the agent.
    #[schema(required)]
    agent_id: Option<String>,
    /// The provider's id of the call.
    #[schema(required)]
    call_id: Option<String>,
    /// What was asked for.
    tool: String,
    /// `started`, `succeeded`, `refused` (it was not to be done), `failed` (it was not done)
    /// or `unknown` (nobody knows whether it was done).
    state: &'static str,
    /// The answer's word; empty while there is none.
    status: String,
    /// The call that did already what this one asks for.
    #[schema(required)]
    repeats: Option<String>,
    /// Which attempt at a change it is, from 1 on; 0: it changes nothing itself.
    generation: u32,
    /// Whether it ended after the platform had an answer.
    late: bool,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime, required)]
    finished_at: Option<String>,
    times: Times,
}

/// Where the time of a tool call went, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolCallTimes)]
pub(crate) struct Times {
    /// Until its event was stored.
    #[serde(rename = "store_ms")]
    store: f64,
    /// Keeping the record of it, but for what passed while it was carried out.
    #[serde(rename = "record_ms")]
    record: f64,
    /// Carrying it out.
    #[serde(rename = "connector_ms")]
    connector: f64,
    /// All of it.
    #[serde(rename = "total_ms")]
    total: f64,
}

/// A tool call, whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolCall)]
pub(crate) struct Shown {
    #[serde(flatten)]
    summary: Summary,
    /// What was asked with; what is personal is masked.
    #[schema(required)]
    arguments: Value,
    /// What was answered; null while there is no answer.
    #[schema(required)]
    answer: Option<Map<String, Value>>,
}

impl From<&ToolCall> for Summary {
    fn from(it: &ToolCall) -> Self {
        Self {
            id: it.id.to_string(),
            event_id: it.event.to_string(),
            tenant: it.tenant.clone(),
            source: it.source.clone(),
            provider: it.provider.clone(),
            conversation_id: it.conversation.clone(),
            agent_id: it.agent.clone(),
            call_id: it.call_id.clone(),
            tool: it.tool.clone(),
            state: it.state.name(),
            status: it.status.clone(),
            repeats: it.repeats.map(|it| it.to_string()),
            generation: it.generation,
            late: it.late,
            started_at: it.started_at.to_string(),
            finished_at: it.finished_at.map(|it| it.to_string()),
            times: it.times.into(),
        }
    }
}

impl From<ToolTimes> for Times {
    fn from(it: ToolTimes) -> Self {
        Self {
            store: milliseconds(it.store_us),
            record: milliseconds(it.record_us),
            connector: milliseconds(it.connector_us),
            total: milliseconds(it.total_us),
        }
    }
}

impl From<&ToolCall> for Shown {
    fn from(it: &ToolCall) -> Self {
        let reply = it.reply.as_deref().and_then(|it| serde_json::from_str(it).ok());
        Self {
            summary: Summary::from(it),
            arguments: serde_json::from_str(&it.arguments).unwrap_or_default(),
            answer: reply,
        }
    }
}

/// Lists tool calls.
#[utoipa::path(
    get,
    path = "/v1/tool-calls",
    tag = "tool-calls",
    params(Filter, Paged),
    responses((
        status = 200,
        description = "The newest first, without arguments and answers.",
        body = Listing<Summary>,
    )),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    query: Query<Filter, Paged>,
) -> Result<Json<Listing<Summary>>, Problem> {
    let states = ToolCallState::ALL.map(|it| (it.name(), it));
    let filter = ToolCallFilter {
        tenant: query.text("tenant")?,
        tool: query.text("tool")?,
        state: query.choice("state", states)?,
        provider: query.provider()?,
        source: query.text("source")?,
        conversation: query.text("conversation")?,
        since: query.moment("since")?,
        until: query.moment("until")?,
    };
    let asked = Asked::read(List::ToolCalls, &query)?;
    let page = asked.page();
    let found = shared.console.store.registry().tool_calls(&scope, filter, page.after, page.limit);
    let found = found.await.map_err(Problem::registry)?;
    Ok(Json(asked.answer(found, |it| it.n, |it| Summary::from(it))))
}

/// Shows a tool call.
#[utoipa::path(
    get,
    path = "/v1/tool-calls/{id}",
    tag = "tool-calls",
    params(("id" = String, Path, description = "The tool call.")),
    responses((status = 200, description = "The tool call.", body = Shown)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Shown>, Problem> {
    let id = ToolCallId::parse(&id).ok_or(Problem::NotFound)?;
    let found = shared.console.store.registry().tool_call(&scope, id).await;
    let found = found.map_err(Problem::registry)?.ok_or(Problem::NotFound)?;
    Ok(Json(Shown::from(&found)))
}

/// The tool calls of an event.
pub(crate) async fn of(
    shared: &Shared,
    scope: &Scope,
    event: EventId,
) -> Result<Vec<Shown>, Problem> {
    let found = shared.console.store.registry().tool_calls_of(scope, event).await;
    Ok(found.map_err(Problem::registry)?.iter().map(Shown::from).collect())
}
