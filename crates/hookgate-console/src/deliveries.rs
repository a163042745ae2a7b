//! Deliveries: the list, one of them with its attempts, and trying again.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use hookgate_core::tenant::Scope;
use hookgate_store::{
    Attempt, Delivery, DeliveryFilter, DeliveryId, DeliveryStatus, DestinationId, EventId, Order,
    Retried, Rows,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::body::{Given, InPath, Wish};
use crate::page::{Asked, Cursor, List, Listing, Paged};
use crate::problem::{Problem, Sent};
use crate::query::{self, Query, bad};
use crate::times::milliseconds;
use crate::{Console, Shared, bulk, destinations};

/// Which deliveries. Everything that is given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// Of events of this tenant. A tenant's key sees those to its own destinations alone.
    tenant: Option<String>,
    /// To this destination.
    destination: Option<String>,
    /// Of this event.
    event: Option<String>,
    /// `pending`, `delivered`, `failed`, `dead_ours` or `skipped`.
    state: Option<String>,
    /// Of events of this kind.
    kind: Option<String>,
    /// Made at this time (RFC 3339) or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Made before this time.
    #[param(format = DateTime)]
    until: Option<String>,
}

/// A delivery as lists show it: without its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliverySummary)]
pub(crate) struct Summary {
    id: String,
    destination_id: String,
    event_id: String,
    /// Which replay of the event it is; 0: the first delivery.
    replay: u32,
    /// What its receiver knows it by, the same with each attempt.
    webhook_id: String,
    /// Whose the event is.
    #[schema(required)]
    tenant: Option<String>,
    source: String,
    provider: String,
    /// The provider's id of the conversation.
    #[schema(required)]
    conversation_id: Option<String>,
    /// The canonical kind of the event, or `test`.
    kind: String,
    /// `pending`, `delivered`, `failed` (its endpoint did not take it), `dead_ours` (it failed
    /// here) or `skipped` (its destination was disabled).
    state: &'static str,
    /// Attempts since it was first due or last tried again by hand.
    attempts: u32,
    /// When it is tried next; null when it is not, or waits for the one before it.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    /// Whether it is being tried.
    under_way: bool,
    #[schema(format = DateTime)]
    received_at: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it arrived or was given up.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
}

/// A delivery, whole.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct Shown {
    #[serde(flatten)]
    summary: Summary,
    /// Every attempt, the oldest first.
    history: Vec<ShownAttempt>,
}

/// An attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct ShownAttempt {
    #[schema(format = DateTime)]
    at: String,
    /// The endpoint's status.
    #[schema(required)]
    status: Option<u16>,
    /// Why there was no answer, in a word.
    #[schema(required)]
    error: Option<String>,
    duration_ms: f64,
    /// The beginning of what the endpoint said.
    #[schema(required)]
    response: Option<String>,
}

/// Which deliveries are tried again: of those that were given up, or skipped, what a filter
/// shows.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeliverySelection)]
pub(crate) struct Wanted {
    tenant: Option<String>,
    destination: Option<String>,
    event: Option<String>,
    /// `failed`, `dead_ours` or `skipped`; all of them unless said otherwise.
    state: Option<String>,
    kind: Option<String>,
    #[schema(format = DateTime)]
    since: Option<String>,
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Only counts them.
    dry_run: Option<bool>,
    /// The `next_cursor` of the batch before.
    cursor: Option<String>,
}

impl Wish for Wanted {
    const SHAPE: &'static str = "The body is a JSON object with any of: tenant, destination, \
                                 event, state, kind, since, until (texts), dry_run (true or \
                                 false), cursor (the `next_cursor` of the batch before).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

/// How many deliveries are tried again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetryCount)]
pub(crate) struct Report {
    /// Due from now on, or with `dry_run` all that would be.
    deliveries: u64,
    /// Pass it back as `cursor` to go on with the rest.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<&Delivery> for Summary {
    fn from(it: &Delivery) -> Self {
        Self {
            id: it.id.to_string(),
            destination_id: it.destination.to_string(),
            event_id: it.event.to_string(),
            replay: it.replay,
            webhook_id: it.webhook_id(),
            tenant: it.tenant.as_ref().map(ToString::to_string),
            source: it.source.clone(),
            provider: it.provider.clone(),
            conversation_id: it.conversation.clone(),
            kind: it.kind.clone(),
            state: it.status.name(),
            attempts: it.attempts,
            next_attempt_at: it.due.map(|due| due.max(it.created_at).to_string()),
            under_way: it.leased,
            received_at: it.received_at.to_string(),
            created_at: it.created_at.to_string(),
            finished_at: it.finished_at.map(|it| it.to_string()),
        }
    }
}

impl From<&Attempt> for ShownAttempt {
    fn from(it: &Attempt) -> Self {
        Self {
            at: it.at.to_string(),
            status: it.status,
            error: it.error.clone(),
            duration_ms: milliseconds(it.micros),
            response: it.response.clone(),
        }
    }
}

/// Lists deliveries.
#[utoipa::path(
    get,
    path = "/v1/deliveries",
    tag = "deliveries",
    params(Filter, Paged),
    responses((
        status = 200,
        description = "The newest first, without their attempts.",
        body = Listing<Summary>,
    )),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    query: Query<Filter, Paged>,
) -> Result<Json<Listing<Summary>>, Problem> {
    let states = DeliveryStatus::ALL.map(|it| (it.name(), it));
    let filter = DeliveryFilter {
        tenant: query.text("tenant")?,
        destination: query.text("destination")?.map(|it| destination(&it)).transpose()?,
        event: query.text("event")?.map(|it| event(&it)).transpose()?,
        status: query.choice("state", states)?,
        kind: query.text("kind")?,
        since: query.moment("since")?,
        until: query.moment("until")?,
    };
    let asked = Asked::read(List::Deliveries, &query)?;
    let Rows { after, limit } = asked.rows();
    let registry = shared.console.store.registry();
    let found = registry.deliveries(&scope, filter, after, limit).await;
    let found = found.map_err(Problem::registry)?;
    Ok(Json(asked.answer(found, |it| it.n, |it| Summary::from(it))))
}

/// Shows a delivery with its attempts.
#[utoipa::path(
    get,
    path = "/v1/deliveries/{id}",
    tag = "deliveries",
    params(("id" = String, Path, description = "The delivery.")),
    responses((status = 200, description = "The delivery.", body = Shown)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Shown>, Problem> {
    let id = DeliveryId::parse(&id).ok_or(Problem::NotFound)?;
    let found = find(&shared.console, &scope, id).await?;
    let attempts = shared.console.store.registry().attempts_of(&scope, id).await;
    let attempts = attempts.map_err(Problem::registry)?;
    let history = attempts.iter().map(ShownAttempt::from).collect();
    Ok(Json(Shown { summary: Summary::from(&found), history }))
}

/// Tries a delivery again that was given up, skipped, or waits.
///
/// Its schedule begins anew, and its receiver sees the same id.
#[utoipa::path(
    post,
    path = "/v1/deliveries/{id}/retry",
    tag = "deliveries",
    params(("id" = String, Path, description = "The delivery.")),
    responses(
        (status = 202, description = "It is due now.", body = Summary),
        (
            status = 409,
            description = "It arrived already, or its destination is disabled.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn retry(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<(StatusCode, Json<Summary>), Problem> {
    let console = &shared.console;
    let id = DeliveryId::parse(&id).ok_or(Problem::NotFound)?;
    let found = find(console, &scope, id).await?;
    if found.status == DeliveryStatus::Delivered {
        return Err(Problem::Delivered);
    }
    let destination = found.destination.to_string();
    destinations::find_enabled(console, &scope, &destination).await?;
    let retried = console.store.registry().retry_delivery(&scope, id, (console.clock)()).await;
    if retried.map_err(Problem::registry)? == Retried::Delivered {
        return Err(Problem::Delivered);
    }
    let found = find(console, &scope, id).await?;
    tracing::info!(
        delivery.id = %id,
        destination.id = %found.destination,
        "a delivery is tried again"
    );
    Ok((StatusCode::ACCEPTED, Json(Summary::from(&found))))
}

/// Tries deliveries again that were given up or skipped, 1000 at most.
///
/// The next batch waits until as much time has passed as this one takes at the rate for bulk.
/// Those of disabled destinations stay. What is due already is not counted, so that a run that
/// was broken off can be begun anew.
#[utoipa::path(
    post,
    path = "/v1/deliveries/retry",
    tag = "deliveries",
    request_body = Option<Wanted>,
    responses((status = 202, description = "How many.", body = Report)),
)]
pub(crate) async fn retry_many(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    _: Query,
    Given(wanted): Given<Wanted>,
) -> Result<(StatusCode, Json<Report>), Problem> {
    let console = &shared.console;
    let registry = console.store.registry();
    let start = Cursor { list: List::DeliveryRetries, order: Order::NewestFirst, after: None };
    let from = match &wanted.cursor {
        None => start,
        Some(text) => Cursor::parse(text, start)
            .ok_or_else(|| bad("cursor", "the `next_cursor` of an earlier batch"))?,
    };
    let is_dry = wanted.dry_run.unwrap_or(false);
    let filter = wanted.filter()?;
    if is_dry {
        let counted = registry.count_given_up(&scope, filter).await.map_err(Problem::registry)?;
        let report = Report { deliveries: counted, next_cursor: None };
        return Ok((StatusCode::ACCEPTED, Json(report)));
    }
    let turn = shared.bulk.take(&scope, console.bulk_per_second).await;
    let page = Rows { after: from.after, limit: bulk::batch(console.bulk_per_second) };
    let retried = registry.retry_deliveries(&scope, filter, page, (console.clock)()).await;
    let (deliveries, next) = retried.map_err(Problem::registry)?;
    turn.paid(deliveries);
    tracing::info!(deliveries, "deliveries are tried again");
    let next = next.map(|after| Cursor { after: Some(after), ..start }.print());
    Ok((StatusCode::ACCEPTED, Json(Report { deliveries, next_cursor: next })))
}

impl Wanted {
    fn filter(self) -> Result<DeliveryFilter, Problem> {
        let given_up = [DeliveryStatus::Failed, DeliveryStatus::DeadOurs, DeliveryStatus::Skipped];
        let given_up = given_up.map(|it| (it.name(), it));
        let text = |name, value: Option<String>| value.map(|it| query::text(name, &it)).transpose();
        let moment =
            |name, value: Option<String>| value.map(|it| query::moment(name, &it)).transpose();
        Ok(DeliveryFilter {
            tenant: text("tenant", self.tenant)?,
            destination: self.destination.map(|it| destination(&it)).transpose()?,
            event: self.event.map(|it| event(&it)).transpose()?,
            status: self.state.map(|it| query::choice("state", &it, given_up)).transpose()?,
            kind: text("kind", self.kind)?,
            since: moment("since", self.since)?,
            until: moment("until", self.until)?,
        })
    }
}

/// The delivery with this id, if it is within the scope.
pub(crate) async fn find(
    console: &Console,
    scope: &Scope,
    id: DeliveryId,
) -> Result<Delivery, Problem> {
    let found = console.store.registry().delivery(scope, id).await;
    found.map_err(Problem::registry)?.ok_or(Problem::NotFound)
}

fn destination(text: &str) -> Result<DestinationId, Problem> {
    DestinationId::parse(text).ok_or_else(|| bad("destination", "the id of a destination"))
}

fn event(text: &str) -> Result<EventId, Problem> {
    EventId::parse(text).ok_or_else(|| bad("event", "the id of an event"))
}
