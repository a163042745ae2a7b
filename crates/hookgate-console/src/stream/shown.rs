//! An event with its headers and bytes, as a stream passes it on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::headers::Value as Header;
use hookgate_core::mask::Masker;
use hookgate_core::tenant::Scope;
use hookgate_core::{json, mask};
use hookgate_store::{Body, Event};
use serde_json::{Value, json};

use crate::Shared;
use crate::events;
use crate::problem::Problem;

/// The largest body that stands in a message, in bytes: a large one is read by itself, so
/// that a stream holds no more than this while its reader is slow.
const BODY_BYTES_MAX: u64 = 256 * 1024;

/// The event with `headers` and `body_base64`. The bytes are those that `/raw` gives:
/// exact to the operator, and to a tenant with known credentials masked. Where they are too
/// many, or cannot be masked, there is null; `/raw` gives them or says why not. Nothing if
/// they were erased.
pub(super) async fn raw(
    shared: &Shared,
    scope: &Scope,
    event: &Event,
) -> Result<Option<Value>, Problem> {
    let body = shared.console.store.body(scope, event.id).await;
    let Some(body) = body.map_err(Problem::reading)? else { return Ok(None) };
    let body = match body {
        Body::Whole(bytes) if bytes.len() as u64 <= BODY_BYTES_MAX => match scope {
            Scope::Operator => Some(STANDARD.encode(&bytes)),
            Scope::Tenant(_) => masked(&bytes).map(|it| STANDARD.encode(it)),
        },
        Body::Whole(_) | Body::Large(_) => None,
    };
    if body.is_some() {
        events::note_reading(event, scope);
    }
    let Value::Object(mut fields) = event.summary() else { return Ok(None) };
    fields.insert("headers".to_owned(), headers(event));
    fields.insert("body_base64".to_owned(), body.into());
    Ok(Some(Value::Object(fields)))
}

fn masked(bytes: &[u8]) -> Option<Vec<u8>> {
    json::extract(bytes, &[]).ok()?;
    let mut shown = Vec::with_capacity(bytes.len());
    Masker::new().feed(bytes, &mut shown);
    Some(shown)
}

/// Name and value of each, in order. A value is null that is kept as a hash alone, and an
/// object with `base64` where it is not UTF-8. A digest that proved nothing is cut: it might
/// be one that somebody wants to try.
fn headers(event: &Event) -> Value {
    let is_verified = event.verdict == "verified";
    let show = |(name, value): (&axum::http::HeaderName, &Header)| {
        let name = name.as_str();
        let is_digest =
            event.signature_headers.iter().any(|it| it == name) || name.contains("signature");
        let value = match value {
            Header::Hashed { .. } => Value::Null,
            Header::Plain(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if is_digest && !is_verified && !text.is_empty() => {
                    mask::digest(text).into()
                }
                Ok(text) => text.into(),
                Err(_) if is_digest && !is_verified => mask::MASK.into(),
                Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
            },
        };
        json!([name, value])
    };
    Value::Array(event.headers.iter().map(show).collect())
}
