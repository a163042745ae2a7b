//! What tenants' agents may do: put, shown, removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use hookgate_core::tool::settings::{Settings, SettingsError};
use serde_json::Value;
use utoipa::ToSchema;

use crate::body::{self, InPath};
use crate::problem::Problem;
use crate::query::Query;
use crate::{Shared, tenants};

/// What is said of a body of another shape, when no member can be named.
const SHAPE: &str = "The body is a JSON object with any of: `allow` (texts), `bookings_list`, \
                     `bookings_change` (`caller` or `anyone`), `answers` (an object), `http` \
                     (objects with `name` and `url`).";

/// What a tenant's agents may do, and how.
#[derive(ToSchema)]
#[schema(as = ToolSettings)]
#[expect(dead_code, reason = "it describes what the core reads")]
pub(crate) struct Described {
    /// The tools that may be called; a `*` at the end stands for any ending. Not there: all.
    allow: Option<Vec<String>>,
    /// Whose bookings are listed: those of the calling number, unless said otherwise.
    #[schema(inline, required = false)]
    bookings_list: Whose,
    /// Whose bookings are cancelled and moved: anybody's who knows their id, unless said
    /// otherwise.
    #[schema(inline, required = false)]
    bookings_change: Whose,
    /// What is answered to requests for a decision, by the platform's word for them.
    #[schema(required = false)]
    answers: BTreeMap<String, Value>,
    /// The tenant's own endpoints.
    #[schema(required = false)]
    http: Vec<Endpoint>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes what the core reads")]
enum Whose {
    Caller,
    Anyone,
}

/// An endpoint of the tenant's own as a tool.
#[derive(ToSchema)]
#[schema(as = HttpTool)]
#[expect(dead_code, reason = "it describes what the core reads")]
struct Endpoint {
    /// 1 to 64 lower-case letters, digits and `_`, the first a letter.
    name: String,
    /// What it does, for the model that calls it.
    #[schema(required = false)]
    about: String,
    /// Where it is; a template.
    url: String,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`; `POST` unless said otherwise.
    #[schema(required = false)]
    method: String,
    /// `{{credential.NAME}}` in them stands for a stored credential.
    #[schema(required = false)]
    headers: BTreeMap<String, String>,
    /// A JSON Schema of its arguments.
    parameters: Option<Value>,
    /// Arguments that are masked wherever they are shown.
    #[schema(required = false)]
    personal: Vec<String>,
    /// A template. Not there: the call with all that is known of it.
    body: Option<Value>,
    /// What is made of a good answer: a template.
    answer: Option<Value>,
    /// The credential that requests are signed with.
    signed_with: Option<String>,
    /// Whether it changes anything; it does unless said otherwise.
    #[schema(required = false)]
    writes: bool,
    /// Whether the same again is a wish of its own.
    #[schema(required = false)]
    repeatable: bool,
    /// 100 to 30000.
    timeout_ms: Option<u32>,
}

/// Shows what a tenant's agents may do.
///
/// Of a tenant without settings, what holds then.
#[utoipa::path(
    get,
    path = "/v1/tenants/{id}/tools",
    tag = "tools",
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "Its settings.", body = Described)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Settings>, Problem> {
    let tenant = tenants::find(&shared, &id)?;
    let Some(stored) = shared.console.store.registry().tool_settings(&tenant.id) else {
        return Ok(Json(Settings::default()));
    };
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        Problem::failed("reading a tenant's settings of tools", error)
    };
    let stored = serde_json::from_str(&stored).map_err(|error| unreadable(&error))?;
    Settings::read(stored).map(Json).map_err(|error| unreadable(&error))
}

/// Puts what a tenant's agents may do, in the place of what was there.
#[utoipa::path(
    put,
    path = "/v1/tenants/{id}/tools",
    tag = "tools",
    params(("id" = String, Path, description = "The tenant.")),
    request_body = Described,
    responses((status = 204, description = "It holds for every call from now on.")),
)]
pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
    body: Body,
) -> Result<StatusCode, Problem> {
    let body = body::read(body).await?;
    // An array would be read, too, as the members in their order.
    let Ok(value @ Value::Object(_)) = serde_json::from_slice(&body) else {
        return Err(Problem::BadBody(SHAPE));
    };
    let settings = Settings::read(value).map_err(|error| refused(&error))?;
    let tenant = tenants::find(&shared, &id)?;
    let text = serde_json::to_string(&settings)
        .map_err(|error| Problem::failed("printing settings of tools", &error))?;
    let set = shared.console.store.registry().set_tool_settings(&tenant.id, Some(text)).await;
    set.map_err(Problem::registry)?;
    tracing::info!(tenant.id = %tenant.id, "the operator set what a tenant's agents may do");
    Ok(StatusCode::NO_CONTENT)
}

/// Removes what was set for a tenant's agents.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{id}/tools",
    tag = "tools",
    params(("id" = String, Path, description = "The tenant.")),
    responses((status = 204, description = "It has none; what holds without any holds.")),
)]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<StatusCode, Problem> {
    let tenant = tenants::find(&shared, &id)?;
    let removed = shared.console.store.registry().set_tool_settings(&tenant.id, None).await;
    removed.map_err(Problem::registry)?;
    tracing::info!(tenant.id = %tenant.id, "the operator removed what a tenant's agents may do");
    Ok(StatusCode::NO_CONTENT)
}

/// What is wrong with settings. Values are not repeated: a header may hold a secret.
fn refused(error: &SettingsError) -> Problem {
    let SettingsError::Shape(fault) = error else {
        return Problem::BadTools(body::said(&error.to_string()));
    };
    body::misnamed(fault).map_or(Problem::BadBody(SHAPE), Problem::BadTools)
}
