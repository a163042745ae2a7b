//! Bindings: which tenant an id at a provider belongs to.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use hookgate_core::attribution::Origin;
use hookgate_core::event::ClaimKind;
use hookgate_store::{Binding, BindingFilter, Conversation, Written};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::body::{Given, Wish};
use crate::page::{Asked, List, Listing, Paged};
use crate::problem::{Problem, Sent};
use crate::query::{self, BINDING_KINDS, Query, bad, choice, tenant};

/// A binding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Binding)]
pub(crate) struct Shown {
    tenant: String,
    provider: String,
    kind: &'static str,
    external_id: String,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&Binding> for Shown {
    fn from(it: &Binding) -> Self {
        Self {
            tenant: it.tenant.to_string(),
            provider: it.provider.clone(),
            kind: it.kind.name(),
            external_id: it.external_id.clone(),
            created_at: it.created_at.to_string(),
        }
    }
}

/// A binding to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBinding {
    tenant: String,
    /// `elevenlabs`, `retell`, `vapi`, `mightycall` or `tawk`.
    provider: String,
    /// `agent`, `phone_number`, `integration`, `account`, `property`, or `conversation`, which
    /// registers a conversation.
    kind: String,
    /// The id as the provider writes it.
    external_id: String,
}

impl Wish for NewBinding {
    const SHAPE: &'static str =
        "The body is a JSON object with `tenant`, `provider`, `kind` and `external_id` (texts).";
}

/// Which bindings.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// Of this tenant.
    tenant: Option<String>,
    /// At this provider.
    provider: Option<String>,
    /// `agent`, `phone_number`, `integration`, `account` or `property`.
    kind: Option<String>,
    /// Of this id.
    external_id: Option<String>,
}

/// One binding.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `remove` reads")]
pub(crate) struct One {
    provider: String,
    /// `agent`, `phone_number`, `integration`, `account` or `property`.
    kind: String,
    external_id: String,
}

/// Binds an id to a tenant.
///
/// An id belongs to one tenant at a time. The same again is answered with what is there.
#[utoipa::path(
    post,
    path = "/v1/bindings",
    tag = "bindings",
    request_body = NewBinding,
    responses(
        (status = 201, description = "It is bound.", body = Shown),
        (status = 200, description = "It was bound to this tenant already.", body = Shown),
        (
            status = 409,
            description = "It is bound to another tenant.",
            body = Sent,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    _: Query,
    Given(wish): Given<NewBinding>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let binding = Binding {
        tenant: tenant("tenant", &wish.tenant)?,
        provider: query::provider(&wish.provider)?,
        kind: choice("kind", &wish.kind, BINDING_KINDS.map(|it| (it.name(), it)))?,
        external_id: wish.external_id,
        created_at: (shared.console.clock)(),
    };
    let registry = shared.console.store.registry();
    let written = if binding.kind == ClaimKind::Conversation {
        let conversation = Conversation {
            tenant: binding.tenant,
            provider: binding.provider,
            external_id: binding.external_id,
            agent_id: None,
            phone_number_id: None,
            origin: Origin::Registered,
            created_at: binding.created_at,
        };
        let written = registry.register_conversation(conversation).await;
        written.map(|it| mapped(it, of_conversation))
    } else {
        registry.bind(binding).await
    };
    let (status, binding) = match written.map_err(Problem::registry)? {
        Written::Created(binding) => (StatusCode::CREATED, binding),
        Written::Present(binding) => (StatusCode::OK, binding),
    };
    tracing::info!(
        tenant.id = %binding.tenant,
        provider = binding.provider,
        kind = binding.kind.name(),
        is_new = status == StatusCode::CREATED,
        "the operator bound an id"
    );
    Ok((status, Json(Shown::from(&binding))))
}

fn mapped<T, U>(written: Written<T>, change: impl Fn(T) -> U) -> Written<U> {
    match written {
        Written::Created(it) => Written::Created(change(it)),
        Written::Present(it) => Written::Present(change(it)),
    }
}

fn of_conversation(it: Conversation) -> Binding {
    Binding {
        tenant: it.tenant,
        provider: it.provider,
        kind: ClaimKind::Conversation,
        external_id: it.external_id,
        created_at: it.created_at,
    }
}

/// Lists bindings. Conversations have a list of their own.
#[utoipa::path(
    get,
    path = "/v1/bindings",
    tag = "bindings",
    params(Filter, Paged),
    responses((status = 200, description = "The newest first.", body = Listing<Shown>)),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Query<Filter, Paged>,
) -> Result<Json<Listing<Shown>>, Problem> {
    let asked = Asked::read(List::Bindings, &query)?;
    let filter = BindingFilter {
        tenant: query.tenant()?,
        provider: query.provider()?,
        kind: query.choice("kind", kinds())?,
        external_id: query.external_id()?,
    };
    let found = shared.console.store.registry().bindings(filter, asked.rows()).await;
    let found = found.map_err(Problem::registry)?;
    Ok(Json(asked.answer(found, |it| it.0, |it| Shown::from(&it.1))))
}

/// Removes a binding. From now on the id names nobody.
///
/// A conversation is removed with its events: `DELETE
/// /api/v1/conversations/{provider}/{external_id}`.
#[utoipa::path(
    delete,
    path = "/v1/bindings",
    tag = "bindings",
    params(One),
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    query: Query<One>,
) -> Result<StatusCode, Problem> {
    let provider = query.provider()?.ok_or_else(|| bad("provider", "given"))?;
    let kind = query.choice("kind", kinds())?.ok_or_else(|| bad("kind", "given"))?;
    let external_id = query.external_id()?.ok_or_else(|| bad("external_id", "given"))?;
    let removed = shared.console.store.registry().unbind(&provider, kind, &external_id).await;
    removed.map_err(Problem::registry)?;
    tracing::info!(provider, kind = kind.name(), "the operator removed a binding");
    Ok(StatusCode::NO_CONTENT)
}

/// The kinds of which there are bindings proper.
fn kinds() -> impl Iterator<Item = (&'static str, ClaimKind)> {
    let kinds = BINDING_KINDS.into_iter().filter(|it| *it != ClaimKind::Conversation);
    kinds.map(|it| (it.name(), it))
}
