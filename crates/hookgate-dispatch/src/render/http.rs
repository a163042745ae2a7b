//! A message for a program: the raw body, or the canonical event as Standard Webhooks has it.

use std::fmt::Write;

use bytes::Bytes;
use hookgate_core::headers::{Found, Text};
use hookgate_core::json;
use hookgate_core::mask::{Masker, credentials};
use hookgate_core::tenant::Scope;
use hookgate_egress::Url;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use super::{Rendered, Subject, Unrenderable};

/// The longest value of a header that says something of the event, in bytes. Ids and types
/// are shorter; servers take 8 KiB for all headers.
const VALUE_BYTES_MAX: usize = 512;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

const EVENT: HeaderName = HeaderName::from_static("x-hookgate-event");
const SOURCE: HeaderName = HeaderName::from_static("x-hookgate-source");
const PROVIDER: HeaderName = HeaderName::from_static("x-hookgate-provider");
const TYPE: HeaderName = HeaderName::from_static("x-hookgate-type");
const KIND: HeaderName = HeaderName::from_static("x-hookgate-kind");
const TENANT: HeaderName = HeaderName::from_static("x-hookgate-tenant");
const REPLAY: HeaderName = HeaderName::from_static("x-hookgate-replay");

/// The body as it came. For a tenant, known credentials in it are masked; every other byte
/// is as it came for everybody.
///
/// # Errors
///
/// [`Unrenderable::Unmaskable`].
pub fn raw(subject: &Subject<'_>, url: Url) -> Result<Rendered, Unrenderable> {
    let content_type = match subject.event.headers.find(&header::CONTENT_TYPE) {
        Found::Once(Text::Plain(text)) => HeaderValue::from_bytes(text).ok(),
        _ => None,
    };
    let body = match subject.scope {
        Scope::Operator => subject.body.clone(),
        Scope::Tenant(_) => masked(subject.body)?,
    };
    let mut headers = about(subject);
    headers.insert(header::CONTENT_TYPE, content_type.unwrap_or(BYTES));
    Ok(Rendered { url, headers, body })
}

/// `{"type","timestamp","data"}`: the kind, when the event was received, and the canonical
/// event.
#[must_use]
pub fn canonical(subject: &Subject<'_>, url: Url) -> Rendered {
    let body = json!({
        "type": subject.event.kind,
        "timestamp": subject.event.received_at.to_string(),
        "data": data(subject),
    });
    let mut headers = about(subject);
    headers.insert(header::CONTENT_TYPE, JSON);
    Rendered { url, headers, body: body.to_string().into() }
}

/// The canonical event, without credentials.
pub(super) fn data(subject: &Subject<'_>) -> Value {
    let mut data = subject.canonical.clone();
    credentials(&mut data);
    data
}

/// The headers that say which event this is.
pub(super) fn about(subject: &Subject<'_>) -> HeaderMap {
    let event = subject.event;
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(EVENT, header_value(&event.id.to_string()));
    headers.insert(SOURCE, header_value(&event.source));
    headers.insert(PROVIDER, header_value(&event.provider));
    headers.insert(TYPE, header_value(&event.event_type));
    headers.insert(KIND, header_value(&event.kind));
    // A tenant knows who it is.
    if let (Scope::Operator, Some(tenant)) = (subject.scope, &event.tenant) {
        headers.insert(TENANT, header_value(tenant));
    }
    if subject.replay > 0 {
        headers.insert(REPLAY, HeaderValue::from(subject.replay));
    }
    headers
}

/// A text as a header's value: whatever is not printable ASCII is percent-encoded, and so is
/// `%`; what is too long is cut.
#[must_use]
pub fn header_value(text: &str) -> HeaderValue {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_plain = (b' '..=b'~').contains(&byte) && byte != b'%';
        if value.len() >= VALUE_BYTES_MAX {
            break;
        }
        if is_plain {
            value.push(byte.into());
        } else {
            // Writing to a text does not fail.
            let _ = write!(value, "%{byte:02X}");
        }
    }
    HeaderValue::try_from(value.trim()).unwrap_or(HeaderValue::from_static(""))
}

fn masked(body: &Bytes) -> Result<Bytes, Unrenderable> {
    json::extract(body, &[]).map_err(|_| Unrenderable::Unmaskable)?;
    let mut shown = Vec::with_capacity(body.len());
    Masker::new().feed(body, &mut shown);
    Ok(shown.into())
}
