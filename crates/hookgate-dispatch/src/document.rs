//! What an event says, as JSON: for filters, for templates, and for who wants it in the form
//! that is the same for every provider.

use hookgate_core::canonical::{self, About, CanonicalEvent};
use hookgate_core::delivery::{DestinationKind, DestinationSettings, Format};
use hookgate_core::event::Kind;
use hookgate_core::provider::{self, BODY_BYTES_MAX};
use hookgate_core::tenant::TenantId;
use hookgate_store::{Alert, Event};
use serde_json::{Map, Value, json};

/// The largest body that is read for what it says, in bytes. Larger ones hold recordings;
/// their events say what their heads say.
pub(crate) const READ_BYTES_MAX: u64 = BODY_BYTES_MAX;

/// The member of a filter's document with what the provider sent.
const BODY: &str = "body";

/// The canonical event. Without its body it says what its head says.
pub(crate) fn canonical(event: &Event, body: Option<&[u8]>) -> Value {
    let made = canonical_event(event, body).and_then(|it| serde_json::to_value(it).ok());
    // A test is of no provider.
    made.unwrap_or_else(|| {
        json!({
            "version": canonical::VERSION,
            "event_id": event.id.to_string(),
            "kind": event.kind,
            "type": event.event_type,
            "provider": event.provider,
            "source": event.source,
            "received_at": event.received_at.to_string(),
        })
    })
}

/// The same before it is JSON; nothing for what is of no provider.
pub(crate) fn canonical_event(event: &Event, body: Option<&[u8]>) -> Option<CanonicalEvent> {
    let id = event.id.to_string();
    let about = About {
        event_id: Some(&id),
        event_type: &event.event_type,
        kind: Kind::named(&event.kind).unwrap_or(Kind::Other),
        external_id: event.external_id.as_deref(),
        conversation_id: event.conversation_id.as_deref(),
        received_at: event.received_at,
    };
    let provider = provider::named(&event.provider)?;
    Some(canonical::canonical(provider, &event.source, body, &about))
}

/// What an alert says.
pub(crate) fn alert(alert: &Alert) -> Value {
    // What cannot be read says nothing; the text says it too.
    let facts: Map<String, Value> = serde_json::from_str(&alert.facts).unwrap_or_default();
    json!({
        "id": alert.id.to_string(),
        "kind": alert.kind.name(),
        "subject": alert.subject,
        "tenant": alert.tenant.as_ref().map(TenantId::as_str),
        "text": alert.text,
        "facts": facts,
        "raised_at": alert.raised_at.to_string(),
    })
}

/// Whether a destination has to have the body to be told of an event.
pub(crate) fn needs_body(settings: &DestinationSettings, event: &Event) -> bool {
    let is_small = event.size <= READ_BYTES_MAX;
    match settings.kind {
        DestinationKind::Http => is_small || settings.format == Format::Raw,
        // Our own templates say what the head says.
        _ => is_small && settings.template.is_some(),
    }
}

/// Whether all that a destination asks of an event holds.
pub(crate) fn matches(settings: &DestinationSettings, event: &Event, body: Option<&[u8]>) -> bool {
    if settings.filter.is_empty() {
        return true;
    }
    let mut document = canonical(event, body);
    let asks = settings.filter.iter().any(|it| {
        it.pointer.strip_prefix('/').is_some_and(|it| it.split('/').next() == Some(BODY))
    });
    if asks {
        // What is no JSON is not there.
        let read = body.and_then(|it| serde_json::from_slice(it).ok()).unwrap_or(Value::Null);
        if !document.is_object() {
            document = Value::Object(Map::new());
        }
        if let Some(document) = document.as_object_mut() {
            document.insert(BODY.to_owned(), read);
        }
    }
    settings.matches(&document)
}
