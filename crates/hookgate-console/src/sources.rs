//! The sources in force. What proves their requests is counted, never shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use hookgate_core::source::{Source, Verification};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::query::Query;
use crate::{Console, Shared};

/// `GET /api/v1/sources`
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Query::read(&uri, &[])?;
    let console = &shared.console;
    let data: Vec<Value> = console.sources.iter().map(|it| show(console, it)).collect();
    Ok(Json(json!({ "data": data, "next_cursor": null })))
}

fn show(console: &Console, source: &Source) -> Value {
    let paths = console.sources.paths(source);
    let urls = console.public_url.as_deref().map(|base| {
        let base = base.trim_end_matches('/');
        paths.iter().map(|path| format!("{base}{path}")).collect::<Vec<_>>()
    });
    let schemes = source.policy.schemes().iter().map(|it| it.name).collect::<Vec<_>>();
    json!({
        "name": source.name,
        "provider": source.provider.name,
        "paths": paths,
        "urls": urls,
        "verification": mode(source.verification),
        "schemes": schemes,
        "secrets": source.secrets.shared().len(),
        "account_keys": source.secrets.account_keys().len(),
        "body_bytes_max": source.body_bytes_max,
        "large_body_bytes_max": source.large_body_bytes_max,
    })
}

const fn mode(verification: Verification) -> &'static str {
    match verification {
        Verification::Enforce => "enforce",
        Verification::Open => "open",
        Verification::Record => "record",
    }
}
