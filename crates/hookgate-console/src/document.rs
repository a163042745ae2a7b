//! The OpenAPI document. Paths, parameters and shapes come from the handlers; this file
//! adds what they share: who may ask, what any of them can answer, and how a POST is
//! repeated.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{ArrayItems, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::Shared;
use crate::problem::{self, PROBLEM_JSON, Problem};
use crate::query::Query;

/// Who may ask for what a router leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The operator alone.
    Operator,
    /// The operator, and a tenant for what is its own.
    Tenants,
    /// Everybody.
    Public,
}

/// The OpenAPI document of this API.
///
/// It is what it says of itself: made from the same code as the router.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "document",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = serde_json::Value)),
)]
pub(crate) async fn show(State(shared): State<Arc<Shared>>, _: Query) -> Result<Response, Problem> {
    let document = shared.document.get().cloned().ok_or(Problem::Internal)?;
    Ok(([(CONTENT_TYPE, "application/json")], document).into_response())
}

/// The document of the parts that lie under `/api`, and of one that does not.
pub(crate) fn joined<const N: usize>(api: [(Audience, OpenApi); N], probes: OpenApi) -> OpenApi {
    let completed = |audience, mut part| {
        complete(&mut part, audience);
        part
    };
    let parts = api.into_iter().map(|(audience, part)| completed(audience, part));
    let api = parts.reduce(OpenApi::merge_from).unwrap_or_default();
    let mut whole = empty().nest("/api", api).merge_from(completed(Audience::Public, probes));
    if let Some(components) = whole.components.as_mut() {
        name_entries(&mut components.schemas);
    }
    whole
}

/// Gives the entries of lists a schema of their own: as it is made, the schema of each list
/// repeats theirs.
fn name_entries(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let mut entries = Vec::new();
    for (name, schema) in schemas.iter_mut() {
        let Some(entry) = name.strip_prefix("Listing_") else { continue };
        let RefOr::T(Schema::Object(list)) = schema else { continue };
        let Some(RefOr::T(Schema::Array(data))) = list.properties.get_mut("data") else { continue };
        let named = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(entry).into()));
        if let ArrayItems::RefOrSchema(schema) = std::mem::replace(&mut data.items, named) {
            entries.push((entry.to_owned(), *schema));
        }
    }
    for (name, schema) in entries {
        schemas.entry(name).or_insert(schema);
    }
}

/// A document without any path.
fn empty() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0"));
    let mut info = Info::new("Hookgate", env!("CARGO_PKG_VERSION"));
    info.license = Some(license.build());
    info.description = Some(
        "What a webhook gateway received, whose it is, and the registry that decides that."
            .to_owned(),
    );
    let bearer = |description: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        SecurityScheme::Http(scheme.description(Some(description)).build())
    };
    let mut components = Components::new();
    components.add_security_scheme("operator", bearer("The operator's token."));
    components.add_security_scheme("tenant", bearer("A tenant's key: it sees its own alone."));
    components.schemas.insert(problem::Sent::name().into_owned(), problem::Sent::schema());
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new()
        .description("A problem, as in RFC 9457. `type` says which.")
        .content(PROBLEM_JSON, content)
        .build();
    components.responses.insert("Problem".to_owned(), response.into());
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Adds to every operation of `document` what all of them share.
fn complete(document: &mut OpenApi, audience: Audience) {
    let own = SecurityRequirement::new::<_, [&str; 0], _>;
    let security = match audience {
        Audience::Operator => vec![own("operator", [])],
        Audience::Tenants => vec![own("operator", []), own("tenant", [])],
        Audience::Public => Vec::new(),
    };
    for item in document.paths.paths.values_mut() {
        if let Some(operation) = item.post.as_mut() {
            operation.parameters.get_or_insert_default().push(idempotency_key().into());
        }
        for operation in operations(item) {
            operation.security = Some(security.clone());
            let id = operation.operation_id.take().unwrap_or_default();
            let tag = operation.tags.iter().flatten().next().map_or("", String::as_str);
            operation.operation_id = Some(format!("{tag}_{id}"));
            if let Some(body) = operation.request_body.as_mut() {
                not_null(body);
            }
            let problem = || RefOr::Ref(Ref::from_response_name("Problem"));
            let responses = &mut operation.responses.responses;
            responses.insert("default".to_owned(), problem());
            if audience != Audience::Public {
                responses.insert("401".to_owned(), problem());
            }
        }
    }
}

/// A body that may be left out is described as one that may be null, which it may not.
fn not_null(body: &mut RefOr<RequestBody>) {
    let RefOr::T(body) = body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        let Some(RefOr::T(Schema::OneOf(choices))) = &content.schema else { continue };
        let named = choices.items.iter().find(|it| matches!(it, RefOr::Ref(_))).cloned();
        if choices.items.len() == 2 && named.is_some() {
            content.schema = named;
            body.required = Some(Required::False);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// What every POST takes.
fn idempotency_key() -> Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Names this request: sent again with the same key within 24 hours, it gets the answer \
             of the first time and does nothing.",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(255))
                .build(),
        ))
        .extensions(None::<Extensions>)
        .build()
}
