//! Tenants: made, shown, given other bounds, erased.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{Quota, Tenant, Written};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::Shared;
use crate::body::{Given, InPath, Wish};
use crate::erasures::Erasure;
use crate::page::{Asked, List, Listing, Paged};
use crate::problem::Problem;
use crate::query::{Query, bad, tenant};
use crate::random;

/// The longest retention, in days: a century.
const RETENTION_DAYS_MAX: u32 = 36_500;

/// Random characters in an id that is made here, of 5 bits each.
const ID_CHARS: usize = 10;

/// Ids that are drawn before giving up. One that is taken already comes once in a
/// thousand million million draws.
const DRAWS_MAX: u32 = 3;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct Shown {
    /// 1 to 64 letters, digits, `.`, `_` and `-`.
    id: String,
    /// For people.
    name: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// How long its events are kept; null: as long as the gateway keeps everything.
    #[schema(required)]
    retention_days: Option<u32>,
    quota: Bounds,
    /// Whether it is being erased.
    erasing: bool,
}

/// What a tenant's sources may take in. Null: the configured default.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
pub(crate) struct Bounds {
    #[schema(required)]
    events_per_second: Option<u32>,
    #[schema(required)]
    bytes_per_second: Option<u64>,
    /// Requests at once.
    #[schema(required)]
    in_flight: Option<u32>,
}

impl From<&Tenant> for Shown {
    fn from(it: &Tenant) -> Self {
        Self {
            id: it.id.to_string(),
            name: it.name.clone(),
            created_at: it.created_at.to_string(),
            retention_days: it.retention_days,
            quota: Bounds {
                events_per_second: it.quota.events_per_second,
                bytes_per_second: it.quota.bytes_per_second,
                in_flight: it.quota.in_flight,
            },
            erasing: it.erasing,
        }
    }
}

/// A tenant to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// 1 to 64 letters, digits, `.`, `_` and `-`; one is made if there is none.
    id: Option<String>,
    /// 1 to 200 bytes, for people.
    name: String,
}

impl Wish for NewTenant {
    const SHAPE: &'static str =
        "The body is a JSON object with `name` (a text), and `id` (a text).";
}

/// What is to change of a tenant. What is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantChange {
    /// 1 to 36500; null: no end.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    retention_days: Change<u32>,
    quota: Option<QuotaChange>,
}

/// What is to change of a quota. What is not named stays; null is the configured default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotaChange {
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    events_per_second: Change<u32>,
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1)]
    bytes_per_second: Change<u64>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    in_flight: Change<u32>,
}

impl Wish for TenantChange {
    const SHAPE: &'static str = "The body is a JSON object with any of: `retention_days` (a whole \
                                 number or null), `quota` (an object with any of \
                                 `events_per_second`, `bytes_per_second`, `in_flight`: whole \
                                 numbers or null).";
}

/// What becomes of something that may be null: not naming it is not the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It becomes this.
    Set(Option<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<T>::deserialize(deserializer).map(Self::Set)
    }
}

impl<T> Change<T> {
    fn or(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Set(value) => value,
        }
    }
}

/// Lists tenants.
#[utoipa::path(
    get,
    path = "/v1/tenants",
    tag = "tenants",
    params(Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Shown>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Query<Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let asked = Asked::read(List::Tenants, &query)?;
    let found = shared.console.store.registry().tenants(asked.rows()).await;
    Ok(Json(asked.answer(found.map_err(Problem::registry)?, |it| it.row, |it| Shown::from(it))))
}

/// Makes a tenant.
///
/// The same id again is not made twice: the answer is what is there.
#[utoipa::path(
    post,
    path = "/v1/tenants",
    tag = "tenants",
    request_body = NewTenant,
    responses(
        (status = 201, description = "It was made.", body = Shown),
        (status = 200, description = "It was there already, and is as it was.", body = Shown),
    ),
)]
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    _: Query,
    Given(wish): Given<NewTenant>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let name = wish.name;
    let registry = shared.console.store.registry();
    let now = (shared.console.clock)();
    if let Some(id) = wish.id {
        let id = tenant("id", &id)?;
        let written = registry.add_tenant(id, name.clone(), now).await;
        return match written.map_err(Problem::registry)? {
            Written::Created(tenant) => Ok(created(&tenant)),
            Written::Present(tenant) => Ok((StatusCode::OK, Json(Shown::from(&tenant)))),
        };
    }
    for _ in 0..DRAWS_MAX {
        let id = format!("t_{}", random::base32(ID_CHARS)?);
        let id = TenantId::parse(&id).map_err(|error| Problem::failed("making an id", &error))?;
        let written = registry.add_tenant(id, name.clone(), now).await;
        if let Written::Created(tenant) = written.map_err(Problem::registry)? {
            return Ok(created(&tenant));
        }
    }
    Err(Problem::Internal)
}

fn created(tenant: &Tenant) -> (StatusCode, Json<Shown>) {
    tracing::info!(tenant.id = %tenant.id, "the operator made a tenant");
    (StatusCode::CREATED, Json(Shown::from(tenant)))
}

/// Shows a tenant.
///
/// A tenant's key sees its own.
#[utoipa::path(
    get,
    path = "/v1/tenants/{id}",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = Shown)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(scope): Extension<Scope>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Shown>, Problem> {
    if !scope.covers(Some(&id)) {
        return Err(Problem::NotFound);
    }
    find(&shared, &id).map(|it| Json(Shown::from(&*it)))
}

/// Changes a tenant's retention or quota.
#[utoipa::path(
    patch,
    path = "/v1/tenants/{id}",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant.")),
    request_body = TenantChange,
    responses((status = 200, description = "The tenant as it is now.", body = Shown)),
)]
pub(crate) async fn change(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
    Given(wish): Given<TenantChange>,
) -> Result<Json<Shown>, Problem> {
    if let Change::Set(Some(days)) = wish.retention_days
        && !(1..=RETENTION_DAYS_MAX).contains(&days)
    {
        return Err(bad(
            "retention_days",
            format!("a number from 1 to {RETENTION_DAYS_MAX}, or null"),
        ));
    }
    // What is not named is read and written back: nobody else may write in between.
    let _turn = shared.changing.lock().await;
    let before = find(&shared, &id)?;
    let quota = wish.quota.map(|change| changed(before.quota, &change)).transpose()?;
    let retention_days = match wish.retention_days {
        Change::Keep => None,
        Change::Set(days) => Some(days),
    };
    let registry = shared.console.store.registry();
    let after = registry.set_tenant(&before.id, retention_days, quota).await;
    let after = after.map_err(Problem::registry)?;
    tracing::info!(tenant.id = %after.id, "the operator changed a tenant");
    Ok(Json(Shown::from(&after)))
}

/// Erases a tenant, with everything that is its own.
///
/// Its keys, tokens, bindings and credentials are void at once. Its events go one by one:
/// see `GET /api/v1/erasures/{id}`.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{id}",
    tag = "tenants",
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 202, description = "It has begun.", body = Erasure)),
)]
pub(crate) async fn erase(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<(StatusCode, Json<Erasure>), Problem> {
    let tenant = find(&shared, &id)?;
    let now = (shared.console.clock)();
    let erasure = shared.console.store.erase_tenant(&tenant.id, now).await;
    let erasure = erasure.map_err(Problem::registry)?;
    shared.console.secrets.forget(&tenant.id);
    (shared.console.forget_tenant)(&tenant.id);
    tracing::warn!(tenant.id = %tenant.id, "the operator has a tenant erased");
    Ok((StatusCode::ACCEPTED, Json(Erasure::from(&erasure))))
}

/// The tenant with this id.
pub(crate) fn find(shared: &Shared, id: &str) -> Result<Arc<Tenant>, Problem> {
    shared.console.store.registry().tenant(id).ok_or(Problem::NotFound)
}

fn changed(before: Quota, change: &QuotaChange) -> Result<Quota, Problem> {
    let none = [
        change.events_per_second == Change::Set(Some(0)),
        change.bytes_per_second == Change::Set(Some(0)),
        change.in_flight == Change::Set(Some(0)),
    ];
    if none.contains(&true) {
        return Err(bad("quota", "made of numbers from 1 on, or null"));
    }
    Ok(Quota {
        events_per_second: change.events_per_second.or(before.events_per_second),
        bytes_per_second: change.bytes_per_second.or(before.bytes_per_second),
        in_flight: change.in_flight.or(before.in_flight),
    })
}
