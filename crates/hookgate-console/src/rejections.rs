//! Refused requests: the list, one of them with what is wrong about it, its exact bytes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use hookgate_core::diagnose::{BODY_BYTES_MAX, Case};
use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::source::{Source, Sources};
use hookgate_core::verify::Envelope;
use hookgate_store::{Body, Rejection, RejectionFilter, parse_rejection_id};
use serde_json::{Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::attachment::attachment;
use crate::body::InPath;
use crate::page::{Asked, List, Listing, Ordered};
use crate::problem::Problem;
use crate::query::Query;
use crate::shapes;
use crate::{Console, Shared};

/// Which refused requests.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `list` reads")]
pub(crate) struct Filter {
    /// To this source.
    source: Option<String>,
    /// Received at this time (RFC 3339) or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Received before this time.
    #[param(format = DateTime)]
    until: Option<String>,
    /// `true`: those too that were accepted in the meantime.
    settled: Option<bool>,
}

/// Secrets of other sources that are tried on a refused request.
const OTHER_SECRETS_MAX: usize = 16;

/// Lists refused requests.
#[utoipa::path(
    get,
    path = "/v1/rejections",
    tag = "rejections",
    params(Filter, Ordered),
    responses((
        status = 200,
        description = "Without headers.",
        body = Listing<shapes::RejectionSummary>,
    )),
)]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Query<Filter, Ordered>,
) -> Result<Json<Listing<Value>>, Problem> {
    let filter = RejectionFilter {
        source: query.text("source")?,
        since: query.moment("since")?,
        until: query.moment("until")?,
        settled: query.choice("settled", [("true", true), ("false", false)])?.unwrap_or(false),
    };
    let asked = Asked::read(List::Rejections, &query)?;
    let found = shared.console.store.rejections(filter, asked.page()).await;
    let found = found.map_err(Problem::reading)?;
    Ok(Json(asked.answer(found, |it| it.seq, Rejection::summary)))
}

/// Shows a refused request, and what is wrong about it.
///
/// Its body is never interpreted. The diagnosis is made under the secrets now in force.
#[utoipa::path(
    get,
    path = "/v1/rejections/{id}",
    tag = "rejections",
    params(("id" = String, Path, description = "The refused request.")),
    responses((status = 200, description = "The refused request.", body = shapes::Rejection)),
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Json<Value>, Problem> {
    let (rejection, body) = find(&shared.console, &id).await?;
    // About a hundred recipes are tried, each over the whole body.
    let work = move || {
        let mut detail = rejection.detail();
        if let Value::Object(fields) = &mut detail {
            let diagnosis = diagnosis(&shared.console, &rejection, &body);
            fields.insert("diagnosis".to_owned(), diagnosis);
        }
        detail
    };
    let detail = tokio::task::spawn_blocking(work).await;
    detail.map(Json).map_err(|error| Problem::failed("diagnosing a refused request", &error))
}

/// Gives the exact bytes of a refused request's body.
#[utoipa::path(
    get,
    path = "/v1/rejections/{id}/raw",
    tag = "rejections",
    params(("id" = String, Path, description = "The refused request.")),
    responses((
        status = 200,
        description = "The bytes, to be saved.",
        body = shapes::Bytes,
        content_type = "application/octet-stream",
    )),
)]
pub(crate) async fn raw(
    State(shared): State<Arc<Shared>>,
    InPath(id): InPath<String>,
    _: Query,
) -> Result<Response, Problem> {
    let (rejection, body) = find(&shared.console, &id).await?;
    let name = print_id(rejection.id);
    tracing::info!(
        rejection.id = name,
        source.id = rejection.source,
        "the operator read the exact bytes of a refused request"
    );
    Ok(attachment(&name, body))
}

/// The id as the API prints it.
pub(crate) fn print_id(id: Uuid) -> String {
    format!("rej_{}", id.simple())
}

/// What a stored request's head says, for judging it again.
pub(crate) fn envelope<'a>(
    console: &'a Console,
    rejection: &'a Rejection,
    url: &'a str,
) -> Envelope<'a> {
    Envelope {
        method: &rejection.method,
        url,
        headers: &rejection.headers,
        mask_key: Some(console.store.mask_key()),
    }
}

/// The public URL that the request came to.
pub(crate) fn url(console: &Console, rejection: &Rejection) -> String {
    let base = console.public_url.as_deref().unwrap_or_default();
    format!("{}{}", base.trim_end_matches('/'), rejection.target)
}

async fn find(console: &Console, id: &str) -> Result<(Rejection, Body), Problem> {
    let id = parse_rejection_id(id).ok_or(Problem::NotFound)?;
    console.store.rejection(id).await.map_err(Problem::reading)?.ok_or(Problem::NotFound)
}

/// Why the request is refused under its source's present secrets, as of the time it was
/// received, and which common mistakes explain it.
fn diagnosis(console: &Console, rejection: &Rejection, body: &Body) -> Value {
    let answer =
        |reason: &str, mistakes: &[String]| json!({ "reason": reason, "mistakes": mistakes });
    let sources = console.sources.get();
    let Some(source) = sources.named(&rejection.source) else {
        return answer("its source is not configured any more", &[]);
    };
    let Body::Whole(body) = body else {
        return answer(&rejection.reason, &[too_large()]);
    };
    let url = url(console, rejection);
    let case = Case {
        policy: &source.policy,
        secrets: &source.secrets,
        others: &others(&sources, source),
        envelope: envelope(console, rejection, &url),
        body,
        now: rejection.received_at,
    };
    let Some(found) = case.diagnose() else {
        return answer("it is proven under the present secrets: retry it", &[]);
    };
    let mut mistakes: Vec<String> = found.mistakes.iter().map(ToString::to_string).collect();
    if mistakes.is_empty() && body.len() > BODY_BYTES_MAX {
        mistakes.push(too_large());
    }
    answer(&found.rejected.to_string(), &mistakes)
}

fn too_large() -> String {
    format!("bodies over {BODY_BYTES_MAX} bytes are not looked into")
}

/// The secrets of the other sources: they are mixed up now and then.
fn others(sources: &Sources, source: &Source) -> Secrets {
    let others = sources.iter().filter(|it| it.name != source.name);
    let secrets = others.flat_map(|it| it.secrets.shared()).take(OTHER_SECRETS_MAX);
    let secrets: Vec<Secret> = secrets.cloned().collect();
    Secrets::new(secrets, Vec::new())
}
