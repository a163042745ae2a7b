//! Refused requests judged again, as of the time they were received, after a wrong secret
//! or scheme was mended: what is proven now becomes an event, marked late.
//!
//! [`judge_again`] is the life of one of them. Doing it twice gives no second event: a
//! refused request remembers what it became, and the store recognises a repetition.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use hookgate_core::attribution::{Quarantined, Readable, read, read_from};
use hookgate_core::received::{Body, Received, Verified};
use hookgate_core::source::{Source, TokenPath};
use hookgate_core::tenant::Scope;
use hookgate_core::verify::{Examination, Proof, Rejected};
use hookgate_store::{
    Body as StoredBody, EventId, Large, Order, Page, Rejection, RejectionFilter, Status,
    parse_rejection_id,
};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::{Given, InPath, Wish};
use crate::page::{Cursor, List};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::rejections::{envelope, print_id, url};
use crate::{Console, Shared};

/// Refused requests judged in one batch: each one that is proven waits for the disk.
const BATCH_MAX: usize = 200;

/// Their bodies together, in bytes, where a filter picks them. The batch ends with the one
/// that passes this.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// So many are counted behind a batch; there may be more.
const REMAINING_MAX: usize = 1000;

/// Read from a stored file at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// What to judge again: some ids, or the oldest that a filter shows.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RejectionSelection)]
pub(crate) struct Wanted {
    source: Option<String>,
    #[schema(format = DateTime)]
    since: Option<String>,
    #[schema(format = DateTime)]
    until: Option<String>,
    #[schema(max_items = 200)]
    ids: Option<Vec<String>>,
    /// The `next_cursor` of the batch before.
    cursor: Option<String>,
}

impl Wish for Wanted {
    const SHAPE: &'static str = "The body is a JSON object with any of: source, since, until \
                                 (texts), ids (a list of texts), cursor (the `next_cursor` of the \
                                 batch before).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

/// What became of refused requests that were judged again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetryReport)]
pub(crate) struct Report {
    judged: usize,
    accepted: usize,
    quarantined: usize,
    still_refused: usize,
    /// How many are left behind this batch, counted up to a thousand or so.
    remaining: usize,
    /// Pass it back as `cursor` to go on.
    #[schema(required)]
    next_cursor: Option<String>,
    results: Vec<Judged>,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetryResult)]
struct Judged {
    id: String,
    /// `accepted`, `quarantined` or `refused`.
    outcome: &'static str,
    /// The event that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    /// Why it is in quarantine, or stays refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What to judge now, oldest first.
#[derive(Debug, Default)]
struct Batch {
    requests: Vec<Picked>,
    /// How many more there are behind it, as far as they are counted.
    behind: usize,
}

/// A refused request in a batch.
#[derive(Debug)]
struct Picked {
    id: Uuid,
    /// The cursor that leads on behind it. A list of ids has none.
    cursor: Option<Cursor>,
}

/// What became of a refused request.
#[derive(Debug)]
enum Outcome {
    /// It is an event.
    Accepted(EventId),
    /// It is proven, and nobody may act on it: the event, and its cause.
    Quarantined(EventId, String),
    /// It stays refused, and why.
    Refused(String),
}

/// Judges a refused request again, as of the time it was received.
#[utoipa::path(
    post,
    path = "/v1/rejections/{id}/retry",
    tag = "rejections",
    params(("id" = String, Path, description = "The refused request.")),
    responses((status = 200, description = "What became of it.", body = Report)),
)]
pub(crate) async fn retry(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Report>, Problem> {
    let id = parse_rejection_id(&id).ok_or(Problem::NotFound)?;
    let found = shared.console.store.rejection(id).await.map_err(Problem::reading)?;
    found.ok_or(Problem::NotFound)?;
    detached(shared, Wanted { ids: Some(vec![print_id(id)]), ..Wanted::default() }).await
}

/// Judges refused requests again, as of the time they were received, 200 at most.
#[utoipa::path(
    post,
    path = "/v1/rejections/retry",
    tag = "rejections",
    request_body = Option<Wanted>,
    responses((status = 200, description = "What became of them.", body = Report)),
)]
pub(crate) async fn retry_many(
    State(shared): State<Arc<Shared>>,
    _: Query,
    Given(wanted): Given<Wanted>,
) -> Result<Json<Report>, Problem> {
    detached(shared, wanted).await
}

/// Runs a batch to its end even if the client hangs up meanwhile.
async fn detached(shared: Arc<Shared>, wanted: Wanted) -> Result<Json<Report>, Problem> {
    let batch = async move { run(&shared, wanted).await };
    let done = tokio::spawn(batch.in_current_span()).await;
    done.unwrap_or_else(|error| Err(Problem::failed("judging refused requests again", &error)))
}

/// One batch. It ends early when the store takes nothing more: what was done is done.
async fn run(shared: &Shared, wanted: Wanted) -> Result<Json<Report>, Problem> {
    let _turn = shared.retrying.lock().await;
    let console = &shared.console;
    let batch = select(console, wanted).await?;
    let mut outcomes = Vec::with_capacity(batch.requests.len());
    for request in &batch.requests {
        match judge_again(console, request.id).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(stop @ (Problem::Unavailable(_) | Problem::Behind)) => {
                if outcomes.is_empty() {
                    return Err(stop);
                }
                break;
            }
            // One that is damaged does not hold the others up.
            Err(_) => outcomes.push(Outcome::Refused("it cannot be read: see the log".to_owned())),
        }
    }
    Ok(Json(report(&batch, &outcomes)))
}

/// A refused request's second life. Everything that it needs is as it was when it came,
/// but the policy and the secrets.
async fn judge_again(console: &Console, id: Uuid) -> Result<Outcome, Problem> {
    let found = console.store.rejection(id).await.map_err(Problem::reading)?;
    let Some((rejection, stored)) = found else {
        return Ok(Outcome::Refused("it is not kept any more".to_owned()));
    };
    if let Some(event) = rejection.accepted_as {
        return became(console, event).await;
    }
    let sources = console.sources.get();
    let Some(source) = sources.named(&rejection.source) else {
        return Ok(Outcome::Refused("its source is not configured any more".to_owned()));
    };
    let stored = match stored {
        StoredBody::Large(large) => {
            let examination = examination(console, source, &rejection);
            let (large, verdict) = look_through(large, examination).await?;
            if let Err(rejected) = verdict {
                return Ok(Outcome::Refused(rejected.to_string()));
            }
            StoredBody::Large(large)
        }
        whole @ StoredBody::Whole(_) => whole,
    };
    let (received, examination) = receive_again(console, source, rejection, stored).await?;
    let verified = match received.judge(examination) {
        Ok(verified) => verified,
        Err(unproven) => return Ok(Outcome::Refused(unproven.reason().to_string())),
    };
    let outcome = keep(console, verified).await?;
    if let Outcome::Accepted(event) | Outcome::Quarantined(event, _) = &outcome {
        console.store.settle(id, *event);
    }
    Ok(outcome)
}

/// Finds out whose a proven request is, and stores it.
async fn keep(console: &Console, verified: Verified) -> Result<Outcome, Problem> {
    let store = &console.store;
    let attributed = match readable(console, verified).await? {
        Ok(readable) => store.attribute(readable).await.map_err(Problem::Unavailable)?,
        Err(quarantined) => Err(quarantined),
    };
    match attributed {
        Ok((event, adopting)) => {
            let receipt = store.append(&event, adopting).await.map_err(Problem::Unavailable)?;
            Ok(Outcome::Accepted(receipt.id()))
        }
        Err(event) => {
            let receipt = store.quarantine(&event).await.map_err(Problem::Unavailable)?;
            Ok(Outcome::Quarantined(receipt.id(), event.cause().name().to_owned()))
        }
    }
}

/// What an earlier batch made of a refused request.
async fn became(console: &Console, id: EventId) -> Result<Outcome, Problem> {
    let event = console.store.event(&Scope::Operator, id).await.map_err(Problem::reading)?;
    match event.filter(|it| it.status == Status::Quarantined) {
        Some(event) => Ok(Outcome::Quarantined(id, event.cause.unwrap_or_default())),
        None => Ok(Outcome::Accepted(id)),
    }
}

/// Begins to judge a refused request under the present policy and secrets, as of the time
/// it was received.
fn examination(console: &Console, source: &Source, rejection: &Rejection) -> Examination {
    let url = url(console, rejection);
    let envelope = envelope(console, rejection, &url);
    let (policy, secrets) = source.proving(tool_of(console, source, rejection).as_deref());
    Examination::open(policy, secrets, envelope, rejection.received_at)
}

/// The tool on whose path a refused request came. It is not called any more: whoever wanted
/// to hear of it is gone.
fn tool_of(console: &Console, source: &Source, rejection: &Rejection) -> Option<Arc<str>> {
    let path = rejection.target.split('?').next().unwrap_or_default();
    if rejection.token.is_some() {
        return TokenPath::read(path)?.tool.map(Arc::from);
    }
    let sources = console.sources.get();
    sources.route(path).filter(|it| it.source.name == source.name)?.tool.clone()
}

/// Judges a large body before it is copied: a copy of what stays refused would take from
/// the budget of those that come in.
async fn look_through(
    mut large: Large,
    mut examination: Examination,
) -> Result<(Large, Result<Proof, Rejected>), Problem> {
    let work = move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = large.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            examination.update(chunk.get(..read).unwrap_or_default());
        }
        large.rewind()?;
        Ok((large, examination.finish(None)))
    };
    let done: io::Result<_> = match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => return Err(Problem::failed("judging a refused body", &error)),
    };
    done.map_err(|error| Problem::failed("reading a refused body", &error))
}

/// The request as it was received, and an examination that has seen all of its body.
async fn receive_again(
    console: &Console,
    source: &Arc<Source>,
    rejection: Rejection,
    stored: StoredBody,
) -> Result<(Received, Examination), Problem> {
    let mut examination = examination(console, source, &rejection);
    let body = match stored {
        StoredBody::Whole(bytes) => {
            examination.update(&bytes);
            Body::Whole(bytes)
        }
        StoredBody::Large(large) => copy(console, large, &mut examination).await?,
    };
    let tool = tool_of(console, source, &rejection);
    let received = Received {
        source: Arc::clone(source),
        tool,
        token: rejection.token,
        method: rejection.method,
        target: rejection.target,
        headers: rejection.headers,
        body,
        peer: rejection.peer,
        at: rejection.received_at,
        late: true,
        correlation_id: rejection.correlation_id,
    };
    Ok((received, examination))
}

/// Copies a large body for the event that it becomes, and examines the copy: the refused
/// one goes when its turn in the ring comes.
async fn copy(
    console: &Console,
    mut large: Large,
    examination: &mut Examination,
) -> Result<Body, Problem> {
    let failed = |error: &io::Error| Problem::failed("reading a refused body", error);
    let mut copy = console.store.begin_blob().await.map_err(Problem::Unavailable)?;
    loop {
        let work = move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = large.read(&mut chunk)?;
            chunk.truncate(read);
            Ok((large, Bytes::from(chunk)))
        };
        let read = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
        let (rest, chunk): (Large, Bytes) = read.and_then(|it| it).map_err(|it| failed(&it))?;
        large = rest;
        if chunk.is_empty() {
            break;
        }
        examination.update(&chunk);
        copy.write(chunk).await.map_err(Problem::Unavailable)?;
    }
    copy.finish().await.map(Body::Blob).map_err(Problem::Unavailable)
}

/// Reads a proven request.
async fn readable(
    console: &Console,
    verified: Verified,
) -> Result<Result<Readable, Box<Quarantined>>, Problem> {
    let Body::Blob(blob) = verified.received().body else { return Ok(read(verified)) };
    let file = console.store.open_blob(&blob);
    let file = file.map_err(|error| Problem::failed("opening a large body", &error))?;
    let work = move || read_from(verified, BufReader::new(file));
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::failed("reading a large body", &error))
}

/// Picks what to judge: the given ids, or the oldest that the filter shows.
async fn select(console: &Console, wanted: Wanted) -> Result<Batch, Problem> {
    let Wanted { source, since, until, ids, cursor } = wanted;
    if let Some(ids) = ids {
        if source.is_some() || since.is_some() || until.is_some() || cursor.is_some() {
            return Err(Problem::BadBody("Give either `ids` or a filter."));
        }
        return pick(&ids);
    }
    let filter = RejectionFilter {
        source: source.map(|it| query::text("source", &it)).transpose()?,
        since: since.map(|it| query::moment("since", &it)).transpose()?,
        until: until.map(|it| query::moment("until", &it)).transpose()?,
        settled: false,
    };
    let start = Cursor { list: List::Retries, order: Order::OldestFirst, after: None };
    let from = match cursor {
        None => start,
        Some(text) => Cursor::parse(&text, start)
            .ok_or_else(|| query::bad("cursor", "the `next_cursor` of an earlier batch"))?,
    };
    let limit = BATCH_MAX.saturating_add(REMAINING_MAX);
    let page = Page { order: from.order, after: from.after, limit };
    let found = console.store.rejections(filter, page).await.map_err(Problem::reading)?;

    let mut bytes: u64 = 0;
    let fits = |it: &&Rejection| {
        let before = bytes;
        bytes = bytes.saturating_add(it.size);
        before < BATCH_BYTES_MAX
    };
    let picked = found
        .iter()
        .take(BATCH_MAX)
        .take_while(fits)
        .map(|it| Picked { id: it.id, cursor: Some(Cursor { after: Some(it.seq), ..start }) });
    let requests: Vec<Picked> = picked.collect();
    Ok(Batch { behind: found.len().saturating_sub(requests.len()), requests })
}

fn pick(ids: &[String]) -> Result<Batch, Problem> {
    if ids.len() > BATCH_MAX {
        return Err(Problem::BadBody("`ids` may have 200 ids."));
    }
    let mut requests: Vec<Picked> = Vec::with_capacity(ids.len());
    for id in ids {
        let id =
            parse_rejection_id(id).ok_or(Problem::BadBody("`ids` has a text that is no id."))?;
        if !requests.iter().any(|it| it.id == id) {
            requests.push(Picked { id, cursor: None });
        }
    }
    Ok(Batch { requests, behind: 0 })
}

/// What was done, how much is left, and how to go on with it.
fn report(batch: &Batch, outcomes: &[Outcome]) -> Report {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|it| wanted(it)).count();
    let accepted = count(|it| matches!(it, Outcome::Accepted(_)));
    let quarantined = count(|it| matches!(it, Outcome::Quarantined(..)));
    let still_refused = count(|it| matches!(it, Outcome::Refused(_)));
    let judged = outcomes.len();
    let unjudged = batch.requests.len().saturating_sub(judged);
    let remaining = unjudged.saturating_add(batch.behind);
    let last = batch.requests.iter().zip(outcomes).next_back();
    let next = last.and_then(|(it, _)| it.cursor).filter(|_| remaining > 0);
    tracing::info!(judged, accepted, quarantined, still_refused, "judged refused requests again");
    let results = batch.requests.iter().zip(outcomes).map(|(it, outcome)| show(it.id, outcome));
    Report {
        judged,
        accepted,
        quarantined,
        still_refused,
        remaining,
        next_cursor: next.map(Cursor::print),
        results: results.collect(),
    }
}

fn show(id: Uuid, outcome: &Outcome) -> Judged {
    let (outcome, event_id, reason) = match outcome {
        Outcome::Accepted(event) => ("accepted", Some(event.to_string()), None),
        Outcome::Quarantined(event, reason) => {
            ("quarantined", Some(event.to_string()), Some(reason.clone()))
        }
        Outcome::Refused(reason) => ("refused", None, Some(reason.clone())),
    };
    Judged { id: print_id(id), outcome, event_id, reason }
}
