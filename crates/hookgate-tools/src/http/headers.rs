//! A request's headers: the tenant's with values and credentials in them, and ours.

use hookgate_core::digest::sha256;
use hookgate_core::secret::Secret;
use hookgate_core::standard_webhooks;
use hookgate_core::tool::settings::HttpTool;
use hookgate_core::tool::template::{Piece, as_text, is_of, lookup, pieces};
use hookgate_secrets::Secrets;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use super::credentials::{Credentials, Hidden};
use super::{HttpPlan, Unusable};
use crate::work::Work;

/// The longest value of a header, in bytes. Servers take 8 KiB for all of them.
const VALUE_BYTES_MAX: usize = 4096;

/// The longest id of a platform's that goes on as it is. UUIDs have 36 characters.
const ID_BYTES_MAX: usize = 128;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/json, text/plain;q=0.5");

/// Headers, and what in them must not come back.
pub(super) struct Headers {
    pub(super) map: HeaderMap,
    pub(super) hidden: Hidden,
}

/// Makes the headers of a request.
pub(super) async fn make(
    secrets: &Secrets,
    tool: &HttpTool,
    plan: &HttpPlan,
    work: &Work<'_>,
    key: Option<&str>,
) -> Result<Headers, Unusable> {
    let mut credentials = Credentials { secrets, tenant: work.tenant, used: Hidden::default() };
    let mut map = HeaderMap::new();
    map.insert(header::ACCEPT, ACCEPTED);
    if plan.body.is_some() {
        map.insert(header::CONTENT_TYPE, JSON);
    }
    for (name, template) in &tool.headers {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| Unusable::Configuration("one of its headers is none"))?;
        map.insert(name, value(template, &plan.context, &mut credentials).await?);
    }
    let key = key.filter(|_| tool.writes);
    if let Some(key) = key {
        let text = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
        let value = HeaderValue::try_from(text);
        map.insert(IDEMPOTENCY_KEY, value.map_err(|_| Unusable::Arguments)?);
    }
    if let Some(reference) = &tool.signed_with {
        let secret = credentials.resolve(reference).await?;
        let id = key.map_or_else(|| id(plan, work), str::to_owned);
        if let Some(key) = secret.expose().strip_prefix(standard_webhooks::PREFIX) {
            credentials.used.add(Secret::new(key));
        }
        let body = plan.body.as_deref().unwrap_or_default();
        let signed = standard_webhooks::sign(&[secret], &id, body, work.now)
            .ok_or(Unusable::Configuration("it is signed with what is no secret"))?;
        for (name, text) in signed {
            map.insert(name, HeaderValue::try_from(text).map_err(|_| Unusable::Arguments)?);
        }
    }
    Ok(Headers { map, hidden: credentials.used })
}

/// One value. What cannot stand in a header is refused, not repaired.
async fn value(
    template: &str,
    context: &Value,
    credentials: &mut Credentials<'_>,
) -> Result<HeaderValue, Unusable> {
    let unusable = Unusable::Configuration;
    let is_plain = |text: &str| !text.chars().any(char::is_control);
    let mut text = String::with_capacity(template.len());
    let mut is_sensitive = false;
    for piece in pieces(template) {
        match piece {
            Piece::Text(it) if is_plain(it) => text.push_str(it),
            Piece::Text(_) => return Err(unusable("a header has a control character")),
            Piece::Placeholder(it) => match it.path.strip_prefix("credential.") {
                Some(reference) => {
                    let secret = credentials.resolve(reference).await?;
                    let secret = std::str::from_utf8(secret.expose()).unwrap_or_default();
                    if secret.is_empty() || !is_plain(secret) {
                        return Err(unusable("a credential cannot stand in a header"));
                    }
                    text.push_str(secret);
                    is_sensitive = true;
                }
                None if is_of(context, it.path) => {
                    let found = lookup(context, it.path).map(as_text).unwrap_or_default();
                    let found =
                        if found.is_empty() { it.default.unwrap_or_default() } else { &found };
                    if !is_plain(found) {
                        return Err(Unusable::Arguments);
                    }
                    text.push_str(found);
                }
                None => return Err(unusable("one of its headers names something unknown")),
            },
        }
    }
    if text.len() > VALUE_BYTES_MAX {
        return Err(Unusable::Arguments);
    }
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Unusable::Arguments)?;
    value.set_sensitive(is_sensitive);
    Ok(value)
}

/// An id for a request that has no key: the platform's of the call; where it has none that
/// can be signed (a `.` separates what is), one made of all that is known of the call.
fn id(plan: &HttpPlan, work: &Work<'_>) -> String {
    let fits = |it: &&String| {
        let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-');
        !it.is_empty() && it.len() <= ID_BYTES_MAX && it.bytes().all(is_plain)
    };
    work.call.id.as_ref().filter(fits).cloned().unwrap_or_else(|| {
        let known = format!("{} {} {}", work.now.millis(), plan.url, plan.context);
        format!("call_{}", hex::encode(sha256(known.as_bytes())))
    })
}
