//! The sources in force: those of the configuration, and those made here. What proves
//! their requests is counted, never shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use hookgate_core::attribution::AgentMatch;
use hookgate_core::provider;
use hookgate_core::source::{Source, Sources, Verification};
use hookgate_core::tenant::TenantId;
use hookgate_store::{SourceRow, Written};
use serde::Serialize;
use utoipa::ToSchema;

use crate::body::{Given, InPath};
use crate::page::{List, Listing, Paged, Slice};
use crate::problem::{Problem, Sent};
use crate::query::Query;
use crate::settings::{SettingsError, SourceSettings};
use crate::{Console, Shared, policy, tokens};

/// How long a change waits for the front door to follow it. That takes a millisecond.
const FOLLOW_WAIT_MAX: Duration = Duration::from_secs(2);

/// A source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Source)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(crate) struct Shown {
    name: String,
    provider: String,
    /// The paths that lead to it, without those of URL tokens.
    paths: Vec<String>,
    /// The same with the gateway's public address; null while that is not configured.
    #[schema(required)]
    urls: Option<Vec<String>>,
    /// `enforce`, `open` (there is no secret) or `record`.
    verification: &'static str,
    /// The names of the accepted schemes.
    schemes: Vec<&'static str>,
    /// How many secrets are in force.
    secrets: usize,
    /// How many account keys are in force.
    account_keys: usize,
    body_bytes_max: u64,
    large_body_bytes_max: u64,
    /// `auto`, `observe` or `enforce`.
    ownership: &'static str,
    /// Whether a first event may make its conversation known.
    adopt: bool,
    /// The tenant that everything here belongs to.
    #[schema(required)]
    tenant: Option<String>,
    /// Whether it is built in or configured in the file, and so not changed here.
    configured: bool,
    /// How many URL tokens lead to it.
    tokens: usize,
    /// Whether a secret that was published in a guide is in force.
    placeholder: bool,
    /// How requests prove themselves.
    policy: policy::Shown,
    /// Which agents may speak for a known call: `exact`, its own alone, or `same_tenant`.
    assistant_match: &'static str,
    /// Whether an organisation's id in the body names a tenant (`MightyCall`).
    trust_body_org: bool,
    /// Whether ids among the arguments of a tool call count (Retell).
    flat_agent_id: bool,
}

/// A source that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeSource {
    #[serde(flatten)]
    source: Shown,
    /// Its first URL token. It is not shown again.
    token: String,
    /// Where the provider sends requests with it.
    url: String,
}

/// Lists the sources in force.
#[utoipa::path(
    get,
    path = "/v1/sources",
    tag = "sources",
    params(Paged),
    responses((
        status = 200,
        description = "Those of the configuration first.",
        body = Listing<Shown>,
    )),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Query<Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let slice = Slice::read(List::Sources, &query)?;
    let console = &shared.console;
    let registry = console.store.registry();
    let made: Vec<SourceRow> = registry.sources().await;
    let mut tokens: HashMap<String, usize> = HashMap::new();
    for token in registry.tokens(None).await.map_err(Problem::registry)? {
        let count = tokens.entry(token.source).or_default();
        *count = count.saturating_add(1);
    }
    let sources = console.sources.get();
    let show = |source: &Arc<Source>| Shown {
        configured: !made.iter().any(|it| it.name == source.name),
        tokens: tokens.get(&source.name).copied().unwrap_or_default(),
        ..shown(console, &sources, source)
    };
    let all: Vec<Arc<Source>> = sources.iter().cloned().collect();
    slice.answer(&all, |it| it.name.clone(), show).map(Json)
}

/// Makes a source, with a first URL token.
#[utoipa::path(
    post,
    path = "/v1/sources",
    tag = "sources",
    request_body = SourceSettings,
    responses(
        (
            status = 201,
            description = "It takes requests. The token is shown this once.",
            body = MadeSource,
        ),
        (
            status = 409,
            description = "There is a source with this name.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    _: Query,
    Given(settings): Given<SourceSettings>,
) -> Result<(StatusCode, Json<MadeSource>), Problem> {
    let console = &shared.console;
    if is_configured(console, &settings.name).await {
        return Err(Problem::Reserved);
    }
    (console.check_source)(&settings).map_err(Problem::BadSource)?;
    if let Some(tenant) = &settings.tenant {
        find_tenant(console, tenant)?;
    }
    let sealed = settings.seal(&console.secrets).await;
    let sealed = sealed.map_err(|error| match error {
        SettingsError::Sealed(error) => Problem::secrets(&error),
        error @ SettingsError::Unreadable => Problem::failed("printing settings", &error),
    })?;
    let registry = console.store.registry();
    let now = (console.clock)();
    let row = SourceRow {
        name: settings.name.clone(),
        provider: settings.provider,
        settings: sealed,
        created_at: now,
    };
    match registry.add_source(row).await.map_err(Problem::registry)? {
        Written::Created(_) => {}
        Written::Present(_) => return Err(Problem::Taken),
    }
    let made = registry.add_token(&settings.name, settings.tenant, now).await;
    let (_, token) = made.map_err(Problem::registry)?;
    tracing::info!(source.id = settings.name, "the operator made a source");
    followed(console).await;
    let sources = console.sources.get();
    let source = sources.named(&settings.name).ok_or_else(|| {
        tracing::error!(source.id = settings.name, "a source that was just made is not in force");
        Problem::Internal
    })?;
    let url = tokens::url(console, &settings.name, &token);
    let source = Shown { configured: false, tokens: 1, ..shown(console, &sources, source) };
    Ok((StatusCode::CREATED, Json(MadeSource { source, token, url })))
}

/// Removes a source that was made here. What it received stays.
#[utoipa::path(
    delete,
    path = "/v1/sources/{name}",
    tag = "sources",
    params(("name" = String, Path, description = "The source.")),
    responses(
        (status = 204, description = "It takes no more requests."),
        (
            status = 409,
            description = "It is built in or configured in the file.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    InPath(name): InPath<String>,
    _: Query,
) -> Result<StatusCode, Problem> {
    let console = &shared.console;
    if is_configured(console, &name).await {
        return Err(Problem::Reserved);
    }
    console.store.registry().remove_source(&name).await.map_err(Problem::registry)?;
    tracing::info!(source.id = name, "the operator removed a source");
    followed(console).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the source is built in or configured in the file.
async fn is_configured(console: &Console, name: &str) -> bool {
    let is_made = console.store.registry().sources().await.iter().any(|it| it.name == name);
    let is_in_force = console.sources.get().named(name).is_some();
    provider::named(name).is_some() || is_in_force && !is_made
}

/// That there is such a tenant, and it is not being erased.
pub(crate) fn find_tenant(console: &Console, id: &TenantId) -> Result<(), Problem> {
    let tenant = console.store.registry().tenant(id.as_str());
    tenant.filter(|it| !it.erasing).map(drop).ok_or(Problem::NoSuchTenant)
}

/// Waits until the front door goes by the sources as they are now.
async fn followed(console: &Console) {
    let wanted = *console.store.registry().sources_changed().borrow();
    let mut applied = console.sources_applied.clone();
    let followed = tokio::time::timeout(FOLLOW_WAIT_MAX, applied.wait_for(|it| *it >= wanted));
    if !matches!(followed.await, Ok(Ok(_))) {
        tracing::warn!("the front door does not follow a change of the sources");
    }
}

/// A source with what it says of itself.
fn shown(console: &Console, sources: &Sources, source: &Source) -> Shown {
    let paths: Vec<String> = sources.paths(source).into_iter().map(str::to_owned).collect();
    let urls = console.public_url.as_deref().map(|base| {
        let base = base.trim_end_matches('/');
        paths.iter().map(|path| format!("{base}{path}")).collect()
    });
    Shown {
        name: source.name.clone(),
        provider: source.provider.name.to_owned(),
        paths,
        urls,
        verification: mode(source.verification),
        schemes: source.policy.schemes().iter().map(|it| it.name).collect(),
        secrets: source.secrets.shared().len(),
        account_keys: source.secrets.account_keys().len(),
        body_bytes_max: source.body_bytes_max,
        large_body_bytes_max: source.large_body_bytes_max,
        ownership: source.rule.mode.name(),
        adopt: source.rule.adopt,
        tenant: source.tenant.as_ref().map(ToString::to_string),
        configured: true,
        tokens: 0,
        placeholder: source.secrets.has_published(),
        policy: policy::Shown::from(&source.policy),
        assistant_match: match source.rule.agent_match {
            AgentMatch::Exact => "exact",
            AgentMatch::SameTenant => "same_tenant",
        },
        trust_body_org: source.rule.trust_body_org,
        flat_agent_id: source.rule.flat_agent_id,
    }
}

const fn mode(verification: Verification) -> &'static str {
    match verification {
        Verification::Enforce => "enforce",
        Verification::Open => "open",
        Verification::Record => "record",
    }
}
