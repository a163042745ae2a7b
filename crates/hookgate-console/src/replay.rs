//! Delivering events again. A replay is a delivery of its own, with a number and an id that
//! its receiver tells from the first; it runs no tool.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::{Extension, Json};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{
    Destination, Event, EventFilter, NewDelivery, Order, Page, Replaying, Rows, Status, Unavailable,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::{Given, InPath, Wish};
use crate::page::{Cursor, List};
use crate::problem::{Problem, Sent};
use crate::query::{self, Query, bad};
use crate::{Console, Shared, bulk, destinations, events};

/// Events of one batch: with a few destinations each they are one transaction.
const BATCH_MAX: usize = 200;

/// How often events are read anew because an erasure was done meanwhile. There is one for each
/// wish and, of old events, one for each tenant and day.
const READINGS_MAX: usize = 16;

/// The header that names a request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// To whom an event is delivered again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Replay)]
pub(crate) struct Wanted {
    /// This destination, whichever kinds of event it wants; without one all that want it.
    destination: Option<String>,
}

impl Wish for Wanted {
    const SHAPE: &'static str = "The body is empty, or a JSON object with `destination` (a text).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

/// How many deliveries there are of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    deliveries: u64,
}

/// Which events are delivered again: what a filter shows, the oldest first.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplaySelection)]
pub(crate) struct Selection {
    /// This destination, whichever kinds of event it wants; without one all that want it.
    destination: Option<String>,
    source: Option<String>,
    provider: Option<String>,
    tenant: Option<String>,
    /// The canonical kind of event.
    kind: Option<String>,
    conversation: Option<String>,
    #[schema(format = DateTime)]
    since: Option<String>,
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Only counts.
    dry_run: Option<bool>,
    /// Names the run: what was made under this name is not made again, so that a run that was
    /// broken off can be begun anew.
    run: Option<String>,
    /// The `next_cursor` of the batch before.
    cursor: Option<String>,
}

impl Wish for Selection {
    const SHAPE: &'static str = "The body is a JSON object with any of: destination, source, \
                                 provider, tenant, kind, conversation, since, until, run (texts), \
                                 dry_run (true or false), cursor (the `next_cursor` of the batch \
                                 before).";
}

/// What a batch came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayCount)]
pub(crate) struct Report {
    /// Events of this batch.
    events: u64,
    /// Deliveries of them.
    deliveries: u64,
    /// Pass it back as `cursor` to go on with the rest.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Who asks, and the name of the request if it has one.
pub(crate) struct Asker {
    scope: Scope,
    /// The answer is kept under the key, too; this makes up for a crash in between.
    run: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let scope = parts.extensions.get::<Scope>().cloned().ok_or(Problem::Unauthorized)?;
        let key = parts.headers.get(IDEMPOTENCY_KEY).and_then(|it| it.to_str().ok());
        let run = key.map(|it| run_of(&scope, &format!("key/{it}")));
        Ok(Self { scope, run })
    }
}

/// Delivers an event again.
#[utoipa::path(
    post,
    path = "/v1/events/{id}/replay",
    tag = "events",
    params(("id" = String, Path, description = "The event.")),
    request_body = Option<Wanted>,
    responses(
        (status = 202, description = "How many deliveries that are.", body = Replayed),
        (
            status = 409,
            description = "The event is not accepted, or the destination is disabled.",
            body = Sent,
            content_type = "application/problem+json",
        ),
        (
            status = 410,
            description = "It was erased.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn replay(
    State(shared): State<Arc<Shared>>,
    Asker { scope, run }: Asker,
    InPath(id): InPath<String>,
    _: Query,
    Given(wanted): Given<Wanted>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let console = &shared.console;
    for _ in 0..READINGS_MAX {
        let erasures = erasures(console).await?;
        let event = events::find(&shared, &scope, &id).await?;
        if event.is_erased {
            return Err(Problem::Erased);
        }
        if event.status != Status::Accepted {
            return Err(Problem::Quarantined);
        }
        let targets = Targets::find(console, &scope, wanted.destination.as_deref()).await?;
        let made = targets.of(&event);
        let how = Replaying { request: run.as_deref(), erasures };
        let Some(count) = make(console, &scope, made, how).await? else { continue };
        tracing::info!(event.id = %event.id, deliveries = count, "an event is delivered again");
        return Ok((StatusCode::ACCEPTED, Json(Replayed { deliveries: count })));
    }
    Err(Problem::Unavailable(Unavailable::Behind))
}

/// Delivers the events that a filter shows again, 200 at most.
///
/// With `dry_run` it counts what it would deliver. Otherwise the next batch waits until as much
/// time has passed as this one takes at the rate for bulk.
#[utoipa::path(
    post,
    path = "/v1/events/replay",
    tag = "events",
    request_body = Selection,
    responses((status = 202, description = "How many.", body = Report)),
)]
pub(crate) async fn replay_many(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    _: Query,
    Given(wanted): Given<Selection>,
) -> Result<(StatusCode, Json<Report>), Problem> {
    let console = &shared.console;
    let targets = Targets::find(console, &scope, wanted.destination.as_deref()).await?;
    let start = Cursor { list: List::Replays, order: Order::OldestFirst, after: None };
    let from = match &wanted.cursor {
        None => start,
        Some(text) => Cursor::parse(text, start)
            .ok_or_else(|| bad("cursor", "the `next_cursor` of an earlier batch"))?,
    };
    let run = wanted.run.as_deref().map(|it| query::text("run", it)).transpose()?;
    let run = run.map(|it| run_of(&scope, &format!("run/{it}")));
    let is_dry = wanted.dry_run.unwrap_or(false);
    // Counting costs no delivery.
    let mut turn =
        if is_dry { None } else { Some(shared.bulk.take(&scope, console.bulk_per_second).await) };
    let filter = wanted.filter()?;
    for _ in 0..READINGS_MAX {
        let erasures = erasures(console).await?;
        let most = turn.as_ref().map(|_| u64::from(bulk::batch(console.bulk_per_second)));
        let batch = Batch::read(console, &scope, (&filter, from.after), (&targets, most)).await?;
        let Batch { events, made, next } = batch;
        let mut deliveries = made.len() as u64;
        if turn.is_some() {
            let how = Replaying { request: run.as_deref(), erasures };
            let Some(count) = make(console, &scope, made, how).await? else { continue };
            deliveries = count;
            tracing::info!(events, deliveries, "events are delivered again");
        }
        if let Some(turn) = turn.take() {
            turn.paid(deliveries);
        }
        let next = next.map(|after| Cursor { after: Some(after), ..start }.print());
        return Ok((StatusCode::ACCEPTED, Json(Report { events, deliveries, next_cursor: next })));
    }
    Err(Problem::Unavailable(Unavailable::Behind))
}

/// The events of one batch, as what they are delivered again.
struct Batch {
    events: u64,
    made: Vec<NewDelivery>,
    /// The place behind which there may be more.
    next: Option<u64>,
}

impl Batch {
    /// Reads what a filter shows behind a place, up to `most` deliveries.
    async fn read(
        console: &Console,
        scope: &Scope,
        (filter, after): (&EventFilter, Option<u64>),
        (targets, most): (&Targets, Option<u64>),
    ) -> Result<Self, Problem> {
        let page = Page { order: Order::OldestFirst, after, limit: BATCH_MAX };
        let found = console.store.events(scope, filter.clone(), page).await;
        let found = found.map_err(Problem::reading)?;
        let mut next = found.last().filter(|_| found.len() == BATCH_MAX).map(|it| it.seq);
        let mut events = 0_u64;
        let mut made = Vec::new();
        for event in found.iter().filter(|it| !it.is_erased) {
            let of_event = targets.of(event);
            events = events.saturating_add(u64::from(!of_event.is_empty()));
            made.extend(of_event);
            if most.is_some_and(|most| made.len() as u64 >= most) {
                // A batch ends behind an event.
                let is_last = found.last().is_some_and(|it| it.seq == event.seq);
                next = if is_last { next } else { Some(event.seq) };
                break;
            }
        }
        Ok(Self { events, made, next })
    }
}

impl Selection {
    fn filter(self) -> Result<EventFilter, Problem> {
        let text = |name, value: Option<String>| value.map(|it| query::text(name, &it)).transpose();
        let moment =
            |name, value: Option<String>| value.map(|it| query::moment(name, &it)).transpose();
        Ok(EventFilter {
            source: text("source", self.source)?,
            provider: self.provider.map(|it| query::provider(&it)).transpose()?,
            tenant: text("tenant", self.tenant)?,
            kind: text("kind", self.kind)?,
            conversation: text("conversation", self.conversation)?,
            status: Some(Status::Accepted),
            since: moment("since", self.since)?,
            until: moment("until", self.until)?,
            ..EventFilter::default()
        })
    }
}

/// Who gets events again.
struct Targets {
    destinations: Vec<Destination>,
    /// It was named, so it gets what it is told to.
    is_named: bool,
}

impl Targets {
    async fn find(console: &Console, scope: &Scope, named: Option<&str>) -> Result<Self, Problem> {
        let destinations = if let Some(id) = named {
            vec![destinations::find_enabled(console, scope, id).await?]
        } else {
            let all = console.store.registry().destinations(scope, Rows::ALL).await;
            let all = all.map_err(Problem::registry)?;
            all.into_iter().filter(|it| it.disabled.is_none()).collect()
        };
        Ok(Self { destinations, is_named: named.is_some() })
    }

    /// What an event is delivered again as.
    fn of(&self, event: &Event) -> Vec<NewDelivery> {
        let tenant = event.tenant.as_deref().and_then(|it| TenantId::parse(it).ok());
        let wants = |it: &&Destination| {
            let is_its_own = it.tenant.is_none() || it.tenant == tenant;
            is_its_own && (self.is_named || it.settings.wants(&event.kind, &event.provider))
        };
        let of = |it: &Destination| NewDelivery {
            destination: it.id,
            event: event.id,
            seq: event.seq,
            tenant: tenant.clone(),
            source: event.source.clone(),
            provider: event.provider.clone(),
            conversation: event.conversation_id.clone(),
            kind: event.kind.clone(),
            received_at: event.received_at,
        };
        self.destinations.iter().filter(wants).map(of).collect()
    }
}

/// To be asked before events are read: what is erased meanwhile is not delivered again.
async fn erasures(console: &Console) -> Result<u64, Problem> {
    console.store.registry().erasures_done().await.map_err(Problem::registry)
}

/// Nothing: an erasure was done since the events were read.
async fn make(
    console: &Console,
    scope: &Scope,
    made: Vec<NewDelivery>,
    how: Replaying<'_>,
) -> Result<Option<u64>, Problem> {
    let now = (console.clock)();
    let made = console.store.registry().replay_deliveries(scope, made, how, now).await;
    made.map_err(Problem::registry)
}

/// The name of a run, which is its owner's alone.
fn run_of(scope: &Scope, name: &str) -> String {
    scope.tenant().map_or_else(|| format!("operator/{name}"), |it| format!("tenant/{it}/{name}"))
}
