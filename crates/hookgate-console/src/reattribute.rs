//! Stored events whose ownership is judged again, by their stored claims and the bindings
//! of today: those in quarantine for their ownership, and those that are nobody's.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use hookgate_core::attribution::Rule;
use hookgate_core::tenant::Scope;
use hookgate_store::{DecideError, Event, EventFilter, EventId, Order, Page};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::{Given, Wish};
use crate::guard::Correlation;
use crate::page::{Cursor, List};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::release::OPERATOR;
use crate::{Console, Shared};

/// Events judged in one batch: each that changes is written to the disk.
const BATCH_MAX: usize = 200;

/// Events looked at for one batch: most of what a filter shows has its owner.
const LOOKED_AT_MAX: usize = 10_000;

/// Events read at once.
const PAGE: usize = 1000;

/// What to judge again: some ids, or the oldest that a filter shows.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventSelection)]
pub(crate) struct Wanted {
    #[schema(max_items = 200)]
    ids: Option<Vec<String>>,
    source: Option<String>,
    provider: Option<String>,
    #[schema(format = DateTime)]
    since: Option<String>,
    #[schema(format = DateTime)]
    until: Option<String>,
    /// The `next_cursor` of the batch before.
    cursor: Option<String>,
}

impl Wish for Wanted {
    const SHAPE: &'static str = "The body is a JSON object with any of: ids (a list of texts), \
                                 source, provider, since, until (texts), cursor (the \
                                 `next_cursor` of the batch before).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

/// What became of events that were judged again.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ReattributionReport)]
pub(crate) struct Report {
    judged: usize,
    owned: usize,
    unattributed: usize,
    contradiction: usize,
    /// How many are left behind this batch, as far as they were counted.
    remaining: usize,
    /// Pass it back as `cursor` to go on.
    #[schema(required)]
    next_cursor: Option<String>,
    results: Vec<Judged>,
}

/// The verdict on one of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReattributionResult)]
struct Judged {
    id: String,
    /// `owned`, `unattributed` or `contradiction`.
    verdict: String,
    #[schema(required)]
    tenant: Option<String>,
}

/// What to judge now, oldest first.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<Event>,
    /// How many more there are behind it, as far as they are counted.
    behind: usize,
    /// Where to go on.
    next: Option<Cursor>,
}

/// Judges the ownership of stored events again, by the bindings of today, 200 at most.
#[utoipa::path(
    post,
    path = "/v1/events/reattribute",
    tag = "events",
    request_body = Option<Wanted>,
    responses((status = 200, description = "What became of them.", body = Report)),
)]
pub(crate) async fn reattribute(
    State(shared): State<Arc<Shared>>,
    Extension(correlation): Extension<Correlation>,
    _: Query,
    Given(wanted): Given<Wanted>,
) -> Result<Json<Report>, Problem> {
    let console = &shared.console;
    let batch = select(console, wanted).await?;
    let mut report = Report {
        remaining: batch.behind,
        next_cursor: batch.next.map(Cursor::print),
        ..Report::default()
    };
    for event in &batch.events {
        match judge_again(console, event, &correlation.0).await {
            Ok(after) => report.add(&after),
            // It was decided or erased in the meantime.
            Err(DecideError::NotFound | DecideError::NotQuarantined) => {}
            Err(error) => return Err(Problem::deciding(error)),
        }
    }
    tracing::info!(
        judged = report.judged,
        owned = report.owned,
        unattributed = report.unattributed,
        contradiction = report.contradiction,
        "judged the ownership of events again"
    );
    Ok(Json(report))
}

impl Report {
    fn add(&mut self, event: &Event) {
        let count = match event.ownership.as_str() {
            "owned" => &mut self.owned,
            "contradiction" => &mut self.contradiction,
            _ => &mut self.unattributed,
        };
        *count = count.saturating_add(1);
        self.judged = self.judged.saturating_add(1);
        self.results.push(Judged {
            id: event.id.to_string(),
            verdict: event.ownership.clone(),
            tenant: event.tenant.clone(),
        });
    }
}

async fn judge_again(
    console: &Console,
    event: &Event,
    correlation_id: &str,
) -> Result<Event, DecideError> {
    let sources = console.sources.get();
    let rule = sources.named(&event.source).map_or_else(Rule::default, |it| it.rule);
    let now = (console.clock)();
    console.store.reattribute(event.id, &rule, OPERATOR, correlation_id, now).await
}

/// Picks what to judge: the given ids, or the oldest that the filter shows.
async fn select(console: &Console, wanted: Wanted) -> Result<Batch, Problem> {
    let Wanted { ids, source, provider, since, until, cursor } = wanted;
    if let Some(ids) = ids {
        let filters = [&source, &provider, &since, &until, &cursor];
        if filters.into_iter().any(Option::is_some) {
            return Err(Problem::BadBody("Give either `ids` or a filter."));
        }
        return pick(console, &ids).await;
    }
    let filter = EventFilter {
        source: source.map(|it| query::text("source", &it)).transpose()?,
        provider: provider.map(|it| query::provider(&it)).transpose()?,
        since: since.map(|it| query::moment("since", &it)).transpose()?,
        until: until.map(|it| query::moment("until", &it)).transpose()?,
        ..EventFilter::default()
    };
    let start = Cursor { list: List::Reattributions, order: Order::OldestFirst, after: None };
    let from = match cursor {
        None => start,
        Some(text) => Cursor::parse(&text, start)
            .ok_or_else(|| query::bad("cursor", "the `next_cursor` of an earlier batch"))?,
    };
    look(console, &filter, from).await
}

/// Looks through events from `from` on until a batch is full.
async fn look(console: &Console, filter: &EventFilter, from: Cursor) -> Result<Batch, Problem> {
    let mut batch = Batch::default();
    let (mut at, mut looked_at) = (from, 0_usize);
    // Where the batch ends: behind the last event that is in it, or that was looked at.
    let mut end = from;
    loop {
        let page = Page { order: at.order, after: at.after, limit: PAGE };
        let found = console.store.events(&Scope::Operator, filter.clone(), page).await;
        let found = found.map_err(Problem::reading)?;
        let is_last = found.len() < PAGE;
        looked_at = looked_at.saturating_add(found.len());
        for event in found {
            at.after = Some(event.seq);
            if batch.events.len() < BATCH_MAX {
                end.after = at.after;
                if event.awaits_an_owner() {
                    batch.events.push(event);
                }
            } else if event.awaits_an_owner() {
                batch.behind = batch.behind.saturating_add(1);
            }
        }
        let is_full = batch.events.len() >= BATCH_MAX && batch.behind > 0;
        if is_last || is_full || looked_at >= LOOKED_AT_MAX {
            let is_done = is_last && batch.behind == 0;
            batch.next = (!is_done).then_some(end);
            return Ok(batch);
        }
    }
}

async fn pick(console: &Console, ids: &[String]) -> Result<Batch, Problem> {
    if ids.len() > BATCH_MAX {
        return Err(Problem::BadBody("`ids` may have 200 ids."));
    }
    let mut batch = Batch::default();
    for id in ids {
        let id = EventId::parse(id).ok_or(Problem::BadBody("`ids` has a text that is no id."))?;
        if batch.events.iter().any(|it| it.id == id) {
            continue;
        }
        let found = console.store.event(&Scope::Operator, id).await.map_err(Problem::reading)?;
        let event = found.ok_or(Problem::BadBody("`ids` has an id that no event has."))?;
        if event.awaits_an_owner() {
            batch.events.push(event);
        }
    }
    Ok(batch)
}
