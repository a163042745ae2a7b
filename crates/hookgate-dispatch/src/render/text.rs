//! The text of a message for people: a template of the destination's, or ours for the kind.

use hookgate_core::alert::AlertKind;
use hookgate_core::event::Kind;
use hookgate_core::mask::credentials;
use hookgate_core::tool::template::render_text;
use serde_json::{Value, json};

use super::Subject;

/// What stands at the end of a text that was cut.
const CUT: char = '…';

/// A few words for a kind of event, in ASCII.
#[must_use]
pub fn title(kind: &str) -> &'static str {
    if let Some(alert) = AlertKind::named(kind) {
        return alert.title();
    }
    match Kind::named(kind) {
        Some(Kind::CallStarted) => "Call started",
        Some(Kind::CallEnded) => "Call ended",
        Some(Kind::CallAnalyzed) => "Call analyzed",
        Some(Kind::CallFailed) => "Call failed",
        Some(Kind::MessageReceived) => "Message received",
        Some(Kind::MessageSent) => "Message sent",
        Some(Kind::ChatStarted) => "Chat started",
        Some(Kind::ChatEnded) => "Chat ended",
        Some(Kind::TranscriptReady) => "Transcript ready",
        Some(Kind::RecordingReady) => "Recording ready",
        Some(Kind::TicketCreated) => "Ticket created",
        Some(Kind::ReportReady) => "Report ready",
        Some(Kind::ToolCalled) => "Tool called",
        Some(Kind::Other) | None => "Event",
    }
}

/// The template for an event of this kind. What was said stands in none.
fn template(event: &hookgate_store::Event) -> &'static str {
    if AlertKind::named(&event.kind).is_some() {
        return "{{event.title}}: {{canonical.text}}";
    }
    let is_named = event.conversation_id.as_deref().is_some_and(|it| !it.trim().is_empty());
    match Kind::named(&event.kind) {
        Some(Kind::Other) | None => {
            "{{event.title}}: {{event.type|of no type}} ({{event.provider}}, {{event.source}})"
        }
        Some(_) if is_named => {
            "{{event.title}}: {{event.conversation_id}} ({{event.provider}}, {{event.source}})"
        }
        Some(_) => "{{event.title}} ({{event.provider}}, {{event.source}})",
    }
}

/// The text. What is filled in goes through `escape`, so that a value says nothing in the
/// markup of whoever shows it; what the template's author wrote stays.
#[must_use]
pub fn text(subject: &Subject<'_>, own: Option<&str>, escape: fn(&str) -> String) -> String {
    let mut canonical = subject.canonical.clone();
    credentials(&mut canonical);
    let context = json!({ "event": event(subject), "canonical": canonical });
    let own = own.map(|it| render_text(it, &context, escape));
    // Nobody shows an empty message, and some refuse it.
    own.filter(|it| !it.trim().is_empty())
        .unwrap_or_else(|| render_text(template(subject.event), &context, escape))
}

fn event(subject: &Subject<'_>) -> Value {
    let event = subject.event;
    json!({
        "id": event.id.to_string(),
        "title": title(&event.kind),
        "kind": event.kind,
        "type": event.event_type,
        "provider": event.provider,
        "source": event.source,
        "tenant": event.tenant,
        "conversation_id": event.conversation_id,
        "external_id": event.external_id,
        "received_at": event.received_at.to_string(),
    })
}

/// A value without control characters, line breaks and tabs excepted.
#[must_use]
pub fn plain(value: &str) -> String {
    let seen = |it: char| if it.is_control() && !matches!(it, '\n' | '\t') { ' ' } else { it };
    value.chars().map(seen).collect()
}

/// At most so many characters, with a sign where it was cut.
#[must_use]
pub fn cut_chars(text: &str, chars_max: usize) -> String {
    if text.chars().nth(chars_max).is_none() {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain([CUT]).collect()
}

/// At most so many bytes, cut between two characters, with a sign where it was cut.
#[must_use]
pub fn cut_bytes(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub(CUT.len_utf8()));
    let mut cut = text.get(..end).unwrap_or_default().to_owned();
    cut.push(CUT);
    cut
}
