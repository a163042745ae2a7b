//! The stream of events as they come: server-sent events from a durable place on.
//!
//! A stream holds one page of the store at a time and reads on when its reader has taken
//! it. A reader that is slow is waited for, and one that was away goes on where it was: the
//! id of each event is its place in the order of all. Nothing is kept for it here.

mod follower;
mod place;
mod seats;
mod shown;
mod wanted;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use hookgate_core::tenant::Scope;
use http_body_util::channel::Channel;
use tokio::time::Instant;
use utoipa::IntoParams;

use self::follower::Follower;
use self::place::Place;
pub(crate) use self::seats::Seats;
use self::wanted::Wanted;
use crate::problem::{Problem, Sent};
use crate::query::Query;
use crate::{Shared, shapes};

/// Where a client says how far it came.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Tells nginx and others like it to pass on what comes at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Messages that wait for a slow client, each at most one event. What follows stays in the
/// store until they are taken.
const MESSAGES_WAITING_MAX: usize = 1;

/// Which events, and from where on. Everything that is given must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `follow` reads")]
pub(crate) struct Asked {
    /// Of this provider, or of one of several: `retell,vapi`.
    provider: Option<String>,
    /// Of this source, or of one of several.
    source: Option<String>,
    /// Of this tenant. A tenant's key sees its own alone, whatever this says.
    tenant: Option<String>,
    /// Of this type, the provider's word.
    r#type: Option<String>,
    /// Of this kind, the canonical word.
    kind: Option<String>,
    /// Of the call, chat, thread or ticket with this id at the provider.
    conversation: Option<String>,
    /// `accepted` or `quarantined`.
    status: Option<String>,
    /// With this text in the type, an id or the conversation's id.
    q: Option<String>,
    /// Where to begin: `now` (the default), `start`, behind an `id` of the stream or the
    /// event of this id, or with what was received at a time (RFC 3339) or later.
    /// `Last-Event-ID` goes before it.
    since: Option<String>,
    /// `raw`: with headers and exact bytes.
    payload: Option<String>,
}

/// Follows events as they come.
///
/// Server-sent events. `hello` comes first, with `behind`: how many events are stored
/// already behind the place that was named. Each `event` has the shape of the list, and with
/// `payload=raw` also `headers` and `body_base64` (null: read it at `/raw`). `gap` has the
/// `count` of those between that were erased or cannot be read. The `id` of each is the place
/// to go on from, as `Last-Event-ID` or `since`. A comment comes every 15 seconds.
#[utoipa::path(
    get,
    path = "/v1/events/stream",
    tag = "events",
    params(Asked),
    responses(
        (
            status = 200,
            description = "Events, until either side ends it.",
            body = shapes::Stream,
            content_type = "text/event-stream",
        ),
        (
            status = 429,
            description = "So many streams are open as there may be.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn follow(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    headers: HeaderMap,
    query: Query<Asked>,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&query)?;
    let place = match headers.get(LAST_EVENT_ID) {
        Some(id) => Place::read("Last-Event-ID", id.to_str().unwrap_or_default())?,
        None => query.raw("since").map_or(Ok(Place::Now), |text| Place::read("since", text))?,
    };
    let seat = shared.streams.take(&scope).ok_or(Problem::TooManyStreams)?;
    let after = place.find(&shared, &scope).await?;
    let mut token = HeaderMap::new();
    token.extend(headers.get(AUTHORIZATION).cloned().map(|it| (AUTHORIZATION, it)));
    let (out, channel) = Channel::new(MESSAGES_WAITING_MAX);
    let is_new = matches!(place, Place::Now);
    let spoke = Instant::now();
    let follower = Follower { shared, scope, token, wanted, after, out, spoke, seat };
    tokio::spawn(follower.run(is_new));

    let mut response = Body::new(channel).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    Ok(response)
}
