//! A message for a program: one `CloudEvents` 1.0 event in structured JSON
//! (github.com/cloudevents/spec, cloudevents/formats/json-format.md).

use hookgate_core::mask::visible;
use hookgate_egress::Url;
use http::{HeaderValue, header};
use serde_json::{Map, Value};

use super::http::{about, data};
use super::{Rendered, Subject};

const TYPE: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");

/// The canonical event in an envelope. Its `id` is the `webhook-id`, so that a receiver
/// recognises a repetition by either.
#[must_use]
pub fn structured(subject: &Subject<'_>, url: Url) -> Rendered {
    let event = subject.event;
    let mut envelope = Map::new();
    let mut put = |name: &str, value: Value| drop(envelope.insert(name.to_owned(), value));
    put("specversion", "1.0".into());
    put("id", subject.id.into());
    put("source", source(subject).into());
    put("type", format!("hookgate.{}", event.kind).into());
    put("time", event.received_at.to_string().into());
    if let Some(conversation) = event.conversation_id.as_deref().filter(|it| !it.is_empty()) {
        // The specification allows no control characters in an attribute.
        put("subject", visible(conversation).into());
    }
    if subject.replay > 0 {
        put("replay", subject.replay.into());
    }
    put("datacontenttype", "application/json".into());
    put("data", data(subject));
    let mut headers = about(subject);
    headers.insert(header::CONTENT_TYPE, TYPE);
    Rendered { url, headers, body: Value::Object(envelope).to_string().into() }
}

/// A URI for the source: the URL that the provider posts to, if that is known.
fn source(subject: &Subject<'_>) -> String {
    let source = &subject.event.source;
    match subject.public_url {
        Some(url) => format!("{url}/in/{source}"),
        None => format!("urn:hookgate:{source}"),
    }
}
