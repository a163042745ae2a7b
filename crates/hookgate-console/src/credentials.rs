//! The credentials of tenants: put, named, removed, and never shown.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use hookgate_core::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::body::{self, InPath};
use crate::page::{List, Listing, Paged, Slice};
use crate::problem::Problem;
use crate::query::Query;
use crate::{Shared, tenants};

/// That there is a credential, and since when.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Credential)]
pub(crate) struct Shown {
    name: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<&(String, Timestamp)> for Shown {
    fn from((name, updated_at): &(String, Timestamp)) -> Self {
        Self { name: name.clone(), updated_at: updated_at.to_string() }
    }
}

/// A credential: an object or a text. Nothing shows it again.
#[derive(ToSchema)]
#[schema(as = CredentialValue)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a body that is sealed as it came")]
pub(crate) enum Secret {
    Object(serde_json::Map<String, Value>),
    Text(String),
}

/// Puts a credential, in the place of the one before.
///
/// It is sealed before it is stored, and never shown.
#[utoipa::path(
    put,
    path = "/v1/tenants/{id}/credentials/{name}",
    tag = "credentials",
    params(
        ("id" = String, Path, description = "The tenant."),
        ("name" = String, Path, description = "1 to 64 lower-case letters, digits, `.`, `-`, `_`."),
    ),
    request_body = Secret,
    responses((status = 204, description = "It is kept.")),
)]
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    InPath((id, name)): InPath<(String, String)>,
    _: Query,
    body: Body,
) -> Result<StatusCode, Problem> {
    let tenant = tenants::find(&shared, &id)?;
    let value = body::read(body).await?;
    match serde_json::from_slice(&value) {
        Ok(Value::Object(_) | Value::String(_)) => {}
        _ => return Err(Problem::BadBody("The body is a JSON object, or a JSON text.")),
    }
    let now = (shared.console.clock)();
    let put = shared.console.secrets.put(&tenant.id, &name, &value, now).await;
    put.map_err(|error| Problem::secrets(&error))?;
    tracing::info!(tenant.id = %tenant.id, credential.name = name, "the operator put a credential");
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the credentials of a tenant by name.
#[utoipa::path(
    get,
    path = "/v1/tenants/{id}/credentials",
    tag = "credentials",
    params(("id" = String, Path, description = "The tenant."), Paged),
    responses((status = 200, description = "Their names.", body = Listing<Shown>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    query: Query<Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let slice = Slice::read(List::Credentials, &query)?;
    slice.answer(&all(&shared, &id).await?, |it| it.0.clone(), |it| Shown::from(it)).map(Json)
}

/// Tells whether there is a credential, and since when.
#[utoipa::path(
    get,
    path = "/v1/tenants/{id}/credentials/{name}",
    tag = "credentials",
    params(
        ("id" = String, Path, description = "The tenant."),
        ("name" = String, Path, description = "The credential."),
    ),
    responses((status = 200, description = "There is one. Its value is not shown.", body = Shown)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    InPath((id, name)): InPath<(String, String)>,
    _: Query,
) -> Result<Json<Shown>, Problem> {
    let all = all(&shared, &id).await?;
    let found = all.iter().find(|it| it.0 == name).ok_or(Problem::NotFound)?;
    Ok(Json(Shown::from(found)))
}

/// Removes a credential.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{id}/credentials/{name}",
    tag = "credentials",
    params(
        ("id" = String, Path, description = "The tenant."),
        ("name" = String, Path, description = "The credential."),
    ),
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    InPath((id, name)): InPath<(String, String)>,
    _: Query,
) -> Result<StatusCode, Problem> {
    let tenant = tenants::find(&shared, &id)?;
    let removed = shared.console.store.registry().remove_credential(&tenant.id, &name).await;
    removed.map_err(Problem::registry)?;
    tracing::info!(tenant.id = %tenant.id, credential.name = name, "the operator removed a credential");
    Ok(StatusCode::NO_CONTENT)
}

async fn all(shared: &Shared, id: &str) -> Result<Vec<(String, Timestamp)>, Problem> {
    let tenant = tenants::find(shared, id)?;
    let all = shared.console.store.registry().credentials(&tenant.id).await;
    all.map_err(Problem::registry)
}
