//! Destinations: where events are passed on to. A tenant manages its own.
//!
//! A destination's secret is drawn here, sealed before it is kept, and shown once. The URL of
//! a chat's webhook is a secret too: of it the origin alone is shown.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::delivery::{Breaker, DestinationError, DestinationSettings, Disabled};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{Destination, DestinationId, NewDestination, NewSecret, OVERLAP_MAX};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::body::{self, Given, InPath, Wish};
use crate::page::{Asked, List, Listing, Paged};
use crate::problem::{Problem, Sent};
use crate::query::{Query, bad};
use crate::sources::find_tenant;
use crate::{Console, Shared, deliveries, random};

/// How long a secret that was replaced still signs unless said otherwise: a day in which to
/// give the receiver the new one.
const OVERLAP_DEFAULT: Duration = Duration::from_hours(24);

/// Random bytes of a secret. Standard Webhooks 1.0.0 wants 24 to 64.
const SECRET_BYTES: usize = 32;

const SHAPE: &str = "The body is a JSON object with `kind` (`http`, `slack`, `discord` or `ntfy`) \
                     and `url`, and any of: `tenant`, `events`, `providers`, `format`, `filter`, \
                     `template`, `rate_per_second`, `concurrency`, `ordered`, `timeout_ms`, `name`.";

/// The members that can be changed: all but whose it is.
const MEMBERS: [&str; 12] = [
    "kind",
    "url",
    "events",
    "providers",
    "format",
    "filter",
    "template",
    "rate_per_second",
    "concurrency",
    "ordered",
    "timeout_ms",
    "name",
];

/// What a destination wants.
#[derive(ToSchema)]
#[schema(as = NewDestination)]
#[expect(dead_code, reason = "it describes what the core reads")]
pub(crate) struct Described {
    /// Whose it is: it gets this tenant's events alone. Without one it is the operator's, and
    /// gets all. A tenant's key makes its own.
    tenant: Option<String>,
    /// `http`, `slack`, `discord` or `ntfy`.
    kind: String,
    /// Where.
    url: String,
    /// The kinds of event that it wants; a `*` at the end stands for any ending. All unless
    /// said otherwise.
    #[schema(required = false)]
    events: Vec<String>,
    /// The providers whose events it wants. All unless said otherwise.
    #[schema(required = false)]
    providers: Vec<String>,
    /// `canonical` (unless said otherwise), `raw` or `cloudevents`.
    #[schema(required = false)]
    format: String,
    /// What must hold of an event, all of it.
    #[schema(required = false)]
    filter: Vec<Comparison>,
    /// The text of a message to slack, discord or ntfy.
    template: Option<String>,
    /// 1 to 1000.
    rate_per_second: Option<u32>,
    /// 1 to 64; 8 unless said otherwise.
    concurrency: Option<u32>,
    /// Whether the events of a conversation come one after the other.
    #[schema(required = false)]
    ordered: bool,
    /// 500 to 25000; 15000 unless said otherwise.
    timeout_ms: Option<u32>,
    /// What people call it.
    name: Option<String>,
}

/// Something that must hold of an event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what the core reads")]
struct Comparison {
    /// A JSON pointer into the canonical event; below `/body` into what the provider sent.
    pointer: String,
    /// `eq`, `ne`, `gt`, `ge`, `lt`, `le`, `contains` or `exists`.
    op: String,
    /// With what it is compared.
    value: Option<Value>,
}

/// Members to put in the place of those that are there; null takes one away.
#[derive(ToSchema)]
#[schema(as = DestinationChange, value_type = Object)]
#[expect(dead_code, reason = "it describes a body that is merged as it came")]
pub(crate) struct Changed(Map<String, Value>);

/// A destination, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Destination)]
pub(crate) struct Shown {
    id: String,
    /// Whose it is; null: the operator's.
    #[schema(required)]
    tenant: Option<String>,
    /// `http`, `slack`, `discord` or `ntfy`.
    kind: &'static str,
    /// Where; of slack and discord the origin alone, for whoever knows the rest may post there.
    url: String,
    events: Vec<String>,
    /// Empty: all.
    providers: Vec<String>,
    format: &'static str,
    #[schema(value_type = Vec<Comparison>)]
    filter: Vec<hookgate_core::delivery::Comparison>,
    #[schema(required)]
    template: Option<String>,
    #[schema(required)]
    rate_per_second: Option<u32>,
    concurrency: u32,
    ordered: bool,
    timeout_ms: u32,
    #[schema(required)]
    name: Option<String>,
    /// `enabled` or `disabled`.
    state: &'static str,
    /// Why it is disabled: `gone` (its endpoint answered 410) or `by_hand`.
    #[schema(required)]
    disabled_reason: Option<&'static str>,
    #[schema(required, format = DateTime)]
    disabled_at: Option<String>,
    breaker: ShownBreaker,
    /// Until when the secret before signs too.
    #[schema(required, format = DateTime)]
    old_secret_until: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Whether deliveries wait until the endpoint is back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Breaker)]
struct ShownBreaker {
    /// After 20 failures in a row one delivery at a time is tried.
    open: bool,
    /// Failures since the last success.
    failures: u32,
    /// When the next one is tried, while it is open.
    #[schema(required, format = DateTime)]
    probe_at: Option<String>,
}

/// A destination whose secret is new.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeDestination {
    #[serde(flatten)]
    shown: Shown,
    /// What signs its deliveries (Standard Webhooks). It is not shown again.
    secret: String,
}

/// How a secret is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecretRotation)]
pub(crate) struct Rotation {
    /// How long the old one signs too: 86400 unless said otherwise, 604800 at most.
    #[schema(maximum = 604_800)]
    overlap_seconds: Option<u64>,
}

impl Wish for Rotation {
    const SHAPE: &'static str =
        "The body is empty, or a JSON object with `overlap_seconds` (a whole number).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

impl Shown {
    fn of(it: &Destination, now: Timestamp) -> Self {
        let Breaker { failures, probe_at, .. } = it.breaker;
        let old = it.secrets.before.as_ref().map(|(_, until)| *until).filter(|it| now < *it);
        let settings = &it.settings;
        Self {
            id: it.id.to_string(),
            tenant: it.tenant.as_ref().map(ToString::to_string),
            kind: settings.kind.name(),
            url: settings.shown_url(),
            events: settings.events.clone(),
            providers: settings.providers.clone(),
            format: settings.format.name(),
            filter: settings.filter.clone(),
            template: settings.template.clone(),
            rate_per_second: settings.rate_per_second,
            concurrency: settings.concurrency(),
            ordered: settings.ordered,
            timeout_ms: settings.timeout_ms(),
            name: settings.name.clone(),
            state: if it.disabled.is_some() { "disabled" } else { "enabled" },
            disabled_reason: it.disabled.map(Disabled::name),
            disabled_at: it.disabled_at.map(|it| it.to_string()),
            breaker: ShownBreaker {
                open: it.breaker.is_open(),
                failures,
                probe_at: probe_at.map(|it| it.to_string()),
            },
            old_secret_until: old.map(|it| it.to_string()),
            created_at: it.created_at.to_string(),
            updated_at: it.updated_at.to_string(),
        }
    }
}

/// Makes a destination.
///
/// It gets the events that come from now on.
#[utoipa::path(
    post,
    path = "/v1/destinations",
    tag = "destinations",
    request_body = Described,
    responses((
        status = 201,
        description = "It gets events. Its secret is shown this once.",
        body = MadeDestination,
    )),
)]
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    _: Query,
    body: Body,
) -> Result<(StatusCode, Json<MadeDestination>), Problem> {
    let console = &shared.console;
    let mut members = members(body).await?;
    let tenant = owner(console, &scope, members.remove("tenant"))?;
    let settings = checked(console, &scope, Value::Object(members)).await?;
    let now = (console.clock)();
    let id = DestinationId::draw(now);
    let id = id.map_err(|error| Problem::failed("drawing the id of a destination", &error))?;
    let (secret, sealed_secret) = new_secret(console, id).await?;
    let new = NewDestination { id, tenant, settings, sealed_secret, created_at: now };
    let made = console.store.registry().add_destination(new).await.map_err(Problem::registry)?;
    log(&made, &scope, "a destination was made");
    let shown = Shown::of(&made, now);
    Ok((StatusCode::CREATED, Json(MadeDestination { shown, secret })))
}

/// Lists destinations, without their secrets.
#[utoipa::path(
    get,
    path = "/v1/destinations",
    tag = "destinations",
    params(Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Shown>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    query: Query<Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let asked = Asked::read(List::Destinations, &query)?;
    let registry = shared.console.store.registry();
    let found = registry.destinations(&scope, asked.rows()).await.map_err(Problem::registry)?;
    let now = (shared.console.clock)();
    Ok(Json(asked.answer(found, |it| it.n, |it| Shown::of(it, now))))
}

/// Shows a destination, without its secret.
#[utoipa::path(
    get,
    path = "/v1/destinations/{id}",
    tag = "destinations",
    params(("id" = String, Path, description = "The destination.")),
    responses((status = 200, description = "The destination.", body = Shown)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Shown>, Problem> {
    let found = find(&shared.console, &scope, &id).await?;
    Ok(Json(Shown::of(&found, (shared.console.clock)())))
}

/// Changes a destination.
///
/// What is not named stays. What waits for it is delivered as it is then.
#[utoipa::path(
    patch,
    path = "/v1/destinations/{id}",
    tag = "destinations",
    params(("id" = String, Path, description = "The destination.")),
    request_body = Changed,
    responses((status = 200, description = "The destination as it is now.", body = Shown)),
)]
pub(crate) async fn change(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let console = &shared.console;
    let changes = members(body).await?;
    if let Some(odd) = changes.keys().find(|it| !MEMBERS.contains(&it.as_str())) {
        let fault = format!("the body is of another shape: `{odd}` cannot be changed");
        return Err(Problem::BadDestination(body::said(&fault)));
    }
    // What is not named is read and written back: nobody else may write in between.
    let _turn = shared.changing.lock().await;
    let before = find(console, &scope, &id).await?;
    let settings = serde_json::to_value(&before.settings);
    let settings = settings.map_err(|error| Problem::failed("printing a destination", &error))?;
    let Value::Object(mut settings) = settings else { return Err(Problem::Internal) };
    for (name, value) in changes {
        if value.is_null() {
            settings.remove(&name);
        } else {
            settings.insert(name, value);
        }
    }
    let settings = checked(console, &scope, Value::Object(settings)).await?;
    let now = (console.clock)();
    let registry = console.store.registry();
    let after = registry.change_destination(&scope, before.id, settings, now).await;
    let after = after.map_err(Problem::registry)?;
    log(&after, &scope, "a destination was changed");
    Ok(Json(Shown::of(&after, now)))
}

/// Removes a destination, with what was and is to be delivered to it.
#[utoipa::path(
    delete,
    path = "/v1/destinations/{id}",
    tag = "destinations",
    params(("id" = String, Path, description = "The destination.")),
    responses((status = 204, description = "It gets nothing more.")),
)]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<StatusCode, Problem> {
    let console = &shared.console;
    let found = find(console, &scope, &id).await?;
    let removed = console.store.registry().remove_destination(&scope, found.id).await;
    removed.map_err(Problem::registry)?;
    log(&found, &scope, "a destination was removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a destination a new secret.
///
/// The old one signs too, for a while; deliveries carry both signatures then.
#[utoipa::path(
    post,
    path = "/v1/destinations/{id}/rotate",
    tag = "destinations",
    params(("id" = String, Path, description = "The destination.")),
    request_body = Option<Rotation>,
    responses((
        status = 201,
        description = "The new secret. It is shown this once.",
        body = MadeDestination,
    )),
)]
pub(crate) async fn rotate(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
    Given(wish): Given<Rotation>,
) -> Result<(StatusCode, Json<MadeDestination>), Problem> {
    let console = &shared.console;
    let overlap = wish.overlap_seconds.map_or(OVERLAP_DEFAULT, Duration::from_secs);
    if overlap > OVERLAP_MAX {
        return Err(bad("overlap_seconds", format!("a number up to {}", OVERLAP_MAX.as_secs())));
    }
    let found = find(console, &scope, &id).await?;
    let (secret, sealed) = new_secret(console, found.id).await?;
    let now = (console.clock)();
    let registry = console.store.registry();
    let rotated =
        registry.rotate_destination(&scope, found.id, NewSecret { sealed, overlap }, now).await;
    let rotated = rotated.map_err(Problem::registry)?;
    log(&rotated, &scope, "the secret of a destination was rotated");
    let shown = Shown::of(&rotated, now);
    Ok((StatusCode::CREATED, Json(MadeDestination { shown, secret })))
}

/// Sends a test to a destination, before all that waits for it.
#[utoipa::path(
    post,
    path = "/v1/destinations/{id}/test",
    tag = "destinations",
    params(("id" = String, Path, description = "The destination.")),
    responses(
        (
            status = 202,
            description = "The delivery. Ask for it again to learn what became of it.",
            body = deliveries::Summary,
        ),
        (
            status = 409,
            description = "The destination is disabled.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn test(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<(StatusCode, Json<deliveries::Summary>), Problem> {
    let console = &shared.console;
    let found = find_enabled(console, &scope, &id).await?;
    let registry = console.store.registry();
    let made = registry.test_destination(&scope, found.id, (console.clock)()).await;
    let made = made.map_err(Problem::registry)?;
    let delivery = deliveries::find(console, &scope, made).await?;
    Ok((StatusCode::ACCEPTED, Json(deliveries::Summary::from(&delivery))))
}

/// Enables a destination. What waited for it goes on; its breaker is closed.
#[utoipa::path(
    post,
    path = "/v1/destinations/{id}/enable",
    tag = "destinations",
    params(("id" = String, Path, description = "The destination.")),
    responses((status = 200, description = "The destination as it is now.", body = Shown)),
)]
pub(crate) async fn enable(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Shown>, Problem> {
    set_disabled(&shared.console, &scope, &id, None).await
}

/// Disables a destination. What waits for it goes on waiting, what comes is skipped.
#[utoipa::path(
    post,
    path = "/v1/destinations/{id}/disable",
    tag = "destinations",
    params(("id" = String, Path, description = "The destination.")),
    responses((status = 200, description = "The destination as it is now.", body = Shown)),
)]
pub(crate) async fn disable(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Shown>, Problem> {
    set_disabled(&shared.console, &scope, &id, Some(Disabled::ByHand)).await
}

async fn set_disabled(
    console: &Console,
    scope: &Scope,
    id: &str,
    disabled: Option<Disabled>,
) -> Result<Json<Shown>, Problem> {
    let found = find(console, scope, id).await?;
    let now = (console.clock)();
    let registry = console.store.registry();
    let set = registry.set_destination_disabled(scope, found.id, disabled, now).await;
    let set = set.map_err(Problem::registry)?;
    let what =
        if disabled.is_some() { "a destination was disabled" } else { "a destination was enabled" };
    log(&set, scope, what);
    Ok(Json(Shown::of(&set, now)))
}

/// The destination with this id, if it is within the scope.
pub(crate) async fn find(
    console: &Console,
    scope: &Scope,
    id: &str,
) -> Result<Destination, Problem> {
    let id = DestinationId::parse(id).ok_or(Problem::NotFound)?;
    let found = console.store.registry().destination(scope, id).await;
    found.map_err(Problem::registry)?.ok_or(Problem::NotFound)
}

/// The same, if it gets anything.
pub(crate) async fn find_enabled(
    console: &Console,
    scope: &Scope,
    id: &str,
) -> Result<Destination, Problem> {
    let found = find(console, scope, id).await?;
    if found.disabled.is_some() { Err(Problem::Disabled) } else { Ok(found) }
}

/// The members of a body.
async fn members(body: Body) -> Result<Map<String, Value>, Problem> {
    let body = body::read(body).await?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Problem::BadBody(SHAPE)),
    }
}

/// Whose a destination becomes. A tenant's key makes its own.
fn owner(
    console: &Console,
    scope: &Scope,
    wanted: Option<Value>,
) -> Result<Option<TenantId>, Problem> {
    let wanted = match wanted {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(crate::query::tenant("tenant", &text)?),
        Some(_) => return Err(Problem::BadBody(SHAPE)),
    };
    match (scope, wanted) {
        (Scope::Operator, wanted) => {
            wanted.as_ref().map_or(Ok(()), |it| find_tenant(console, it))?;
            Ok(wanted)
        }
        (Scope::Tenant(own), wanted) => {
            let is_own = wanted.is_none_or(|it| it == *own);
            if is_own { Ok(Some(own.clone())) } else { Err(Problem::NoSuchTenant) }
        }
    }
}

/// Settings that can be, at an address that may be reached.
async fn checked(
    console: &Console,
    scope: &Scope,
    value: Value,
) -> Result<DestinationSettings, Problem> {
    let settings = DestinationSettings::read(value).map_err(|error| refused(&error))?;
    let check = (console.check_destination)(settings.url.clone(), scope.clone()).await;
    check.map_err(|error| Problem::BadDestination(body::said(&error)))?;
    Ok(settings)
}

/// A new secret, and the same sealed.
async fn new_secret(console: &Console, id: DestinationId) -> Result<(String, Vec<u8>), Problem> {
    let mut bytes = [0; SECRET_BYTES];
    random::fill(&mut bytes)?;
    let secret = format!("whsec_{}", STANDARD.encode(bytes));
    let sealed = console.secrets.seal_for_installation(&id.secret_label(), secret.as_bytes()).await;
    Ok((secret, sealed.map_err(|error| Problem::secrets(&error))?))
}

/// What is wrong with settings. Values are not repeated but for names of ours: a URL may be
/// a secret.
fn refused(error: &DestinationError) -> Problem {
    let DestinationError::Shape(fault) = error else {
        return Problem::BadDestination(body::said(&error.to_string()));
    };
    body::misnamed(fault).map_or(Problem::BadBody(SHAPE), Problem::BadDestination)
}

fn log(destination: &Destination, scope: &Scope, what: &'static str) {
    tracing::info!(
        destination.id = %destination.id,
        tenant.id = destination.tenant.as_ref().map(TenantId::as_str),
        by = scope.tenant().map_or("operator", |_| "tenant"),
        "{what}"
    );
}
