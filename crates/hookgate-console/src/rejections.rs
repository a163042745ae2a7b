//! Refused requests: the list, one of them with what is wrong about it, its exact bytes.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use hookgate_core::diagnose::{BODY_BYTES_MAX, Case};
use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::source::{Source, Sources};
use hookgate_core::verify::Envelope;
use hookgate_store::{Body, Rejection, RejectionFilter, parse_rejection_id};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::attachment::attachment;
use crate::page::{Asked, List};
use crate::problem::Problem;
use crate::query::Query;
use crate::{Console, Shared};

/// What `GET /api/v1/rejections` knows.
const PARAMETERS: &[&str] = &["source", "since", "until", "settled", "order", "limit", "cursor"];

/// Secrets of other sources that are tried on a refused request.
const OTHER_SECRETS_MAX: usize = 16;

/// `GET /api/v1/rejections`
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let query = Query::read(&uri, PARAMETERS)?;
    let filter = RejectionFilter {
        source: query.text("source")?,
        since: query.moment("since")?,
        until: query.moment("until")?,
        settled: query.choice("settled", [("true", true), ("false", false)])?.unwrap_or(false),
    };
    let asked = Asked::read(List::Rejections, &query)?;
    let found = shared.console.store.rejections(filter, asked.page()).await;
    Ok(asked.answer(found.map_err(Problem::reading)?, |it| it.seq, Rejection::summary))
}

/// `GET /api/v1/rejections/{id}`
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Query::read(&uri, &[])?;
    let (rejection, body) = find(&shared.console, id).await?;
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

/// `GET /api/v1/rejections/{id}/raw`
pub(crate) async fn raw(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::read(&uri, &[])?;
    let (rejection, body) = find(&shared.console, id).await?;
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

async fn find(
    console: &Console,
    id: Result<Path<String>, PathRejection>,
) -> Result<(Rejection, Body), Problem> {
    let id = id.ok().and_then(|Path(text)| parse_rejection_id(&text)).ok_or(Problem::NotFound)?;
    console.store.rejection(id).await.map_err(Problem::reading)?.ok_or(Problem::NotFound)
}

/// Why the request is refused under its source's present secrets, as of the time it was
/// received, and which common mistakes explain it.
fn diagnosis(console: &Console, rejection: &Rejection, body: &Body) -> Value {
    let answer =
        |reason: &str, mistakes: &[String]| json!({ "reason": reason, "mistakes": mistakes });
    let Some(source) = console.sources.named(&rejection.source) else {
        return answer("its source is not configured any more", &[]);
    };
    let Body::Whole(body) = body else {
        return answer(&rejection.reason, &[too_large()]);
    };
    let url = url(console, rejection);
    let case = Case {
        policy: &source.policy,
        secrets: &source.secrets,
        others: &others(&console.sources, source),
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
