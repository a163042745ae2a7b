//! The keys with which a tenant asks this API. A key is shown once, when it is made.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use hookgate_store::TenantKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Shared;
use crate::body::{Given, InPath, Wish};
use crate::page::{List, Listing, Paged, Slice};
use crate::problem::Problem;
use crate::query::Query;
use crate::tenants;

/// A tenant's key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct Shown {
    id: String,
    tenant: String,
    /// The last four characters of the key.
    hint: String,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    id: String,
    /// The key itself. It is not shown again.
    key: String,
    tenant: String,
    /// The last four characters of the key.
    hint: String,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&TenantKey> for Shown {
    fn from(it: &TenantKey) -> Self {
        Self {
            id: it.id.clone(),
            tenant: it.tenant.to_string(),
            hint: it.hint.clone(),
            created_at: it.created_at.to_string(),
        }
    }
}

/// Nothing is asked of a key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyWish {}

impl Wish for KeyWish {
    const SHAPE: &'static str = "The body is empty, or an empty JSON object.";

    fn unsaid() -> Option<Self> {
        Some(Self {})
    }
}

/// Makes a key for a tenant.
#[utoipa::path(
    post,
    path = "/v1/tenants/{id}/keys",
    tag = "keys",
    params(("id" = String, Path, description = "The tenant.")),
    request_body = Option<KeyWish>,
    responses((status = 201, description = "The key: it is shown this once.", body = NewKey)),
)]
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
    _: Given<KeyWish>,
) -> Result<(StatusCode, Json<NewKey>), Problem> {
    let tenant = tenants::find(&shared, &id)?;
    let now = (shared.console.clock)();
    let made = shared.console.store.registry().add_key(&tenant.id, now).await;
    let (made, key) = made.map_err(Problem::registry)?;
    tracing::info!(tenant.id = %made.tenant, key.id = made.id, "the operator made a key");
    let Shown { id, tenant, hint, created_at } = Shown::from(&made);
    Ok((StatusCode::CREATED, Json(NewKey { id, key, tenant, hint, created_at })))
}

/// Lists the keys of a tenant, without the keys themselves.
#[utoipa::path(
    get,
    path = "/v1/tenants/{id}/keys",
    tag = "keys",
    params(("id" = String, Path, description = "The tenant."), Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Shown>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    query: Query<Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let slice = Slice::read(List::Keys, &query)?;
    let tenant = tenants::find(&shared, &id)?;
    let keys = shared.console.store.registry().keys(&tenant.id).await;
    slice
        .answer(&keys.map_err(Problem::registry)?, |it| it.id.clone(), |it| Shown::from(it))
        .map(Json)
}

/// Removes a key. It opens nothing from now on.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{id}/keys/{key_id}",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The tenant."),
        ("key_id" = String, Path, description = "The key."),
    ),
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    InPath((id, key)): InPath<(String, String)>,
    _: Query,
) -> Result<StatusCode, Problem> {
    let tenant = tenants::find(&shared, &id)?;
    let removed = shared.console.store.registry().remove_key(&tenant.id, &key).await;
    removed.map_err(Problem::registry)?;
    tracing::info!(tenant.id = %tenant.id, key.id = key, "the operator removed a key");
    Ok(StatusCode::NO_CONTENT)
}
