//! URL tokens: secret parts of a source's path. A token is shown once, when it is made.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use hookgate_core::tenant::TenantId;
use hookgate_store::{GRACE_MAX, UrlToken};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::{Given, InPath, Wish};
use crate::page::{List, Listing, Paged, Slice};
use crate::problem::Problem;
use crate::query::{Query, bad};
use crate::sources::find_tenant;
use crate::{Console, Shared};

/// How long a rotated token goes on working unless said otherwise: a day in which to paste
/// the new one.
const GRACE_DEFAULT: Duration = Duration::from_hours(24);

/// A URL token, without the token itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct Shown {
    id: String,
    source: String,
    /// The tenant that requests with it belong to.
    #[schema(required)]
    tenant: Option<String>,
    /// The last four characters of the token.
    hint: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it stops working, if it was rotated.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
}

/// A URL token that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewToken {
    #[serde(flatten)]
    shown: Shown,
    /// The token itself. It is not shown again.
    token: String,
    /// Where the provider sends requests with it.
    url: String,
}

impl From<&UrlToken> for Shown {
    fn from(it: &UrlToken) -> Self {
        Self {
            id: it.id.clone(),
            source: it.source.clone(),
            tenant: it.tenant.as_ref().map(ToString::to_string),
            hint: it.hint.clone(),
            created_at: it.created_at.to_string(),
            expires_at: it.expires_at.map(|it| it.to_string()),
        }
    }
}

/// What a token is made for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenWish {
    /// The tenant that requests with it belong to.
    #[schema(value_type = Option<String>)]
    tenant: Option<TenantId>,
}

impl Wish for TokenWish {
    const SHAPE: &'static str =
        "The body is empty, or a JSON object with `tenant` (a tenant's id).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

/// How a token is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// How long the old one goes on working: 86400 unless said otherwise, 2592000 at most.
    #[schema(maximum = 2_592_000)]
    grace_seconds: Option<u64>,
}

impl Wish for Rotation {
    const SHAPE: &'static str =
        "The body is empty, or a JSON object with `grace_seconds` (a whole number).";

    fn unsaid() -> Option<Self> {
        Some(Self::default())
    }
}

/// Makes a URL token for a source.
#[utoipa::path(
    post,
    path = "/v1/sources/{name}/tokens",
    tag = "tokens",
    params(("name" = String, Path, description = "The source.")),
    request_body = Option<TokenWish>,
    responses((status = 201, description = "It works. It is shown this once.", body = NewToken)),
)]
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    InPath(name): InPath<String>,
    _: Query,
    Given(wish): Given<TokenWish>,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    let console = &shared.console;
    find(console, &name)?;
    if let Some(tenant) = &wish.tenant {
        find_tenant(console, tenant)?;
    }
    let made = console.store.registry().add_token(&name, wish.tenant, (console.clock)()).await;
    let (made, token) = made.map_err(Problem::registry)?;
    tracing::info!(source.id = name, token.id = made.id, "the operator made a URL token");
    Ok((StatusCode::CREATED, Json(new(console, &made, token))))
}

/// Lists the URL tokens of a source, without the tokens themselves.
#[utoipa::path(
    get,
    path = "/v1/sources/{name}/tokens",
    tag = "tokens",
    params(("name" = String, Path, description = "The source."), Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Shown>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    InPath(name): InPath<String>,
    query: Query<Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let slice = Slice::read(List::Tokens, &query)?;
    let console = &shared.console;
    find(console, &name)?;
    let tokens = console.store.registry().tokens(Some(&name)).await.map_err(Problem::registry)?;
    slice.answer(&tokens, |it| it.id.clone(), |it| Shown::from(it)).map(Json)
}

/// Makes a new URL token in the place of one, which goes on working for a while.
#[utoipa::path(
    post,
    path = "/v1/sources/{name}/tokens/{id}/rotate",
    tag = "tokens",
    params(
        ("name" = String, Path, description = "The source."),
        ("id" = String, Path, description = "The old token."),
    ),
    request_body = Option<Rotation>,
    responses((status = 201, description = "The new one. It is shown this once.", body = NewToken)),
)]
pub(crate) async fn rotate(
    State(shared): State<Arc<Shared>>,
    InPath((name, id)): InPath<(String, String)>,
    _: Query,
    Given(wish): Given<Rotation>,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    let console = &shared.console;
    let grace = wish.grace_seconds.map_or(GRACE_DEFAULT, Duration::from_secs);
    if grace > GRACE_MAX {
        return Err(bad("grace_seconds", format!("a number up to {}", GRACE_MAX.as_secs())));
    }
    find_token(console, &name, &id).await?;
    let made = console.store.registry().rotate_token(&id, grace, (console.clock)()).await;
    let (made, token) = made.map_err(Problem::registry)?;
    tracing::info!(source.id = name, token.id = id, "the operator rotated a URL token");
    Ok((StatusCode::CREATED, Json(new(console, &made, token))))
}

/// Removes a URL token, at once.
#[utoipa::path(
    delete,
    path = "/v1/sources/{name}/tokens/{id}",
    tag = "tokens",
    params(
        ("name" = String, Path, description = "The source."),
        ("id" = String, Path, description = "The token."),
    ),
    responses((status = 204, description = "It leads nowhere.")),
)]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    InPath((name, id)): InPath<(String, String)>,
    _: Query,
) -> Result<StatusCode, Problem> {
    let console = &shared.console;
    find_token(console, &name, &id).await?;
    console.store.registry().remove_token(&id).await.map_err(Problem::registry)?;
    tracing::info!(source.id = name, token.id = id, "the operator removed a URL token");
    Ok(StatusCode::NO_CONTENT)
}

/// Where a provider sends requests with this token; without a public address, the path.
pub(crate) fn url(console: &Console, source: &str, token: &str) -> String {
    let base = console.public_url.as_deref().unwrap_or_default();
    format!("{}/in/{source}/{token}", base.trim_end_matches('/'))
}

fn new(console: &Console, made: &UrlToken, token: String) -> NewToken {
    let url = url(console, &made.source, &token);
    NewToken { shown: Shown::from(made), token, url }
}

/// That there is such a source.
fn find(console: &Console, source: &str) -> Result<(), Problem> {
    console.sources.get().named(source).map(drop).ok_or(Problem::NotFound)
}

/// That the token is one of this source's.
async fn find_token(console: &Console, source: &str, id: &str) -> Result<(), Problem> {
    find(console, source)?;
    let tokens = console.store.registry().tokens(Some(source)).await.map_err(Problem::registry)?;
    tokens.iter().any(|it| it.id == id).then_some(()).ok_or(Problem::NotFound)
}
