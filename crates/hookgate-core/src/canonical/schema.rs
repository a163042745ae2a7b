//! The JSON Schema of canonical events, for programs that receive them.
//!
//! It is open: an object may have members that it does not name, so that a later version of
//! the gateway may add some. A test holds it against the events of all samples, closed.

use serde_json::{Map, Value, json};

use super::VERSION;
use crate::event::Kind;
use crate::provider;

/// Where it is published, as its name.
pub const ID: &str = "urn:hookgate:schema:canonical-event:1";

/// The JSON Schema (2020-12) of a [`super::CanonicalEvent`].
#[must_use]
pub fn schema() -> Value {
    let mut root = object(
        "What a provider says, in one shape. What it does not say is left out.",
        &["version", "kind", "type", "provider", "sources"],
        members(),
    );
    if let Value::Object(root) = &mut root {
        root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        root.insert("$id".into(), ID.into());
        root.insert("title".into(), "Canonical event".into());
        root.insert("$defs".into(), definitions());
    }
    root
}

/// Members by name.
type Members = Vec<(&'static str, Value)>;

fn members() -> Members {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|it| it.name()).collect();
    let providers: Vec<&str> = provider::ALL.iter().map(|it| it.name).collect();
    let version = "The version of the shape. It rises when a member changes its meaning or goes.";
    let sources = "Where in the body values were read: the path of the value, and a JSON pointer \
                   (RFC 6901). A value that is computed of two points at the later one.";
    let pointers = json!({ "type": "string", "format": "json-pointer" });
    vec![
        ("version", json!({ "const": VERSION, "description": version })),
        ("kind", choice("The canonical word for what happened.", &kinds)),
        ("type", text("The provider's word for it.")),
        ("provider", choice("The provider.", &providers)),
        ("source", text("The source that it came to.")),
        ("event_id", text("The gateway's id of the event.")),
        ("external_id", text("The provider's id of the event.")),
        ("received_at", moment("When the gateway received it.")),
        ("occurred_at", moment("When it happened, as the provider says.")),
        ("conversation", named("Conversation")),
        ("message", named("Message")),
        ("transcript", list("What was said, in order, as far as the body tells.", "Turn")),
        ("recordings", list("Recordings of the conversation.", "Recording")),
        ("analysis", named("Analysis")),
        ("ticket", named("Ticket")),
        ("report", named("Report")),
        ("tools", list("The tools that it asks for.", "Tool")),
        ("truncated", flag("True where a list or a text met its limit.")),
        (
            "sources",
            json!({
                "type": "object",
                "description": sources,
                "additionalProperties": pointers,
            }),
        ),
    ]
}

fn definitions() -> Value {
    let of = |name: &str, about: &str, required: &[&str], members: Members| {
        (name.to_owned(), object(about, required, members))
    };
    let all = [
        of("Conversation", "A call, chat, thread or ticket.", &[], conversation()),
        of("Message", "A message, or an utterance that is reported alone.", &[], message()),
        of("Turn", "One turn of a transcript.", &["role"], turn()),
        of(
            "Recording",
            "A recording: of `url` and `pointer` there is one.",
            &["kind"],
            recording(),
        ),
        of("Analysis", "What the provider made of the conversation.", &[], analysis()),
        of(
            "PhoneNumber",
            "A telephone number, or what stands in the place of one.",
            &[],
            vec![
                (
                    "e164",
                    pattern("The number, where its country is certain.", r"^\+[1-9][0-9]{6,14}$"),
                ),
                ("raw", text("What was sent, where it is not the same.")),
            ],
        ),
        of("Agent", "An agent, assistant or extension.", &[], named_one(&["version"])),
        of(
            "Participant",
            "The other side of a conversation.",
            &[],
            named_one(&["email", "city", "country"]),
        ),
        of("Property", "A site with a chat widget.", &[], named_one(&[])),
        of(
            "Cost",
            "What the provider charges: of `currency` and `unit` there is one.",
            &["amount"],
            vec![
                ("amount", number("How much.")),
                ("currency", pattern("The currency (ISO 4217).", "^[A-Z]{3}$")),
                ("unit", text("What is counted where it is no money, as `credits`.")),
            ],
        ),
        of(
            "Attachment",
            "What hangs on a message.",
            &[],
            vec![
                ("kind", text("What it is, in the provider's word.")),
                ("name", text("Its file name.")),
                ("url", link("Where it lies.")),
            ],
        ),
        of(
            "Ticket",
            "A ticket.",
            &[],
            vec![
                ("id", text("The provider's id of it.")),
                ("number", text("Its number for people.")),
                ("subject", text("What it is about.")),
                ("text", text("Its text.")),
            ],
        ),
        of(
            "Report",
            "A report.",
            &["metrics"],
            vec![
                ("id", text("The provider's id of it.")),
                ("type", text("Which report it is.")),
                ("date", text("The day that it is of, as sent.")),
                ("metrics", list("What it counts.", "Metric")),
            ],
        ),
        of(
            "Metric",
            "One number of a report.",
            &["name"],
            vec![
                ("name", text("What is measured.")),
                ("value", number("How much.")),
                ("unit", text("Of what.")),
            ],
        ),
        of(
            "Tool",
            "A tool that is called. Its arguments stand in the body alone.",
            &[],
            vec![("name", text("Its name.")), ("call_id", text("The provider's id of the call."))],
        ),
    ];
    Value::Object(all.into_iter().collect())
}

fn conversation() -> Members {
    let channels = ["phone", "web", "chat", "sms", "ticket"];
    let metadata = "What the caller of the provider's API attached to it, credentials masked. Not \
                    attested: it may name anybody.";
    vec![
        ("id", text("The provider's id of it.")),
        ("channel", choice("What it goes over.", &channels)),
        ("direction", direction("Who began it.")),
        ("agent", named("Agent")),
        ("our_number", named("PhoneNumber")),
        ("their_number", named("PhoneNumber")),
        ("participant", named("Participant")),
        ("property", named("Property")),
        ("status", text("Its state, in the provider's word.")),
        ("end_reason", text("Why it ended or failed, in the provider's word.")),
        ("started_at", moment("When it began.")),
        ("ended_at", moment("When it ended.")),
        ("duration_seconds", seconds("How long it was, in seconds.")),
        ("cost", named("Cost")),
        ("metadata", json!({ "type": "object", "description": metadata })),
    ]
}

fn message() -> Members {
    vec![
        ("id", text("The provider's id of it.")),
        ("direction", direction("Whether it came in or went out.")),
        ("role", role("Who wrote or said it.")),
        ("from", named("PhoneNumber")),
        ("to", named("PhoneNumber")),
        ("text", text("Its text.")),
        ("sent_at", moment("When it was sent.")),
        ("partial", flag("True while it is still being said.")),
        ("attachments", list("What hangs on it.", "Attachment")),
    ]
}

fn turn() -> Members {
    let said = "What was said; of a tool its arguments or its result, credentials masked.";
    vec![
        ("role", role("Whose turn it is.")),
        ("name", text("The name of who speaks.")),
        ("text", text(said)),
        ("at_seconds", seconds("When, in seconds since the conversation began.")),
        ("at", moment("When, where the provider states the time of day.")),
        ("tool", named("Tool")),
    ]
}

fn recording() -> Members {
    let kinds = ["mixed", "multi_channel", "agent", "user"];
    let url = "Where it lies. The link may open it for everybody, and may live for minutes only.";
    let pointer = "Where it stands in the body itself, as base64.";
    let pointer = json!({ "type": "string", "format": "json-pointer", "description": pointer });
    vec![
        ("kind", choice("What is to be heard.", &kinds)),
        ("url", link(url)),
        ("pointer", pointer),
        ("format", text("Its format, where the provider says so.")),
        ("seconds", seconds("Its length in seconds.")),
        ("expires_at", moment("When the link ends.")),
    ]
}

fn analysis() -> Members {
    let data = "What was to be taken out of the conversation, as sent, credentials masked.";
    vec![
        ("title", text("A title.")),
        ("summary", text("A summary.")),
        ("sentiment", text("The other side's mood, in lower case.")),
        ("successful", flag("Whether the agent reached its goal.")),
        ("voicemail", flag("Whether a voicemail was reached.")),
        ("data", json!({ "type": "object", "description": data })),
        (
            "evaluation",
            json!({
                "type": ["object", "string"],
                "description": "How it was judged, as sent, where that is more than yes or no.",
            }),
        ),
    ]
}

/// Something with an id, a name and these texts more.
fn named_one(more: &[&'static str]) -> Members {
    let mut members = vec![("id", text("The provider's id of it.")), ("name", text("Its name."))];
    members.extend(more.iter().map(|it| (*it, json!({ "type": "string" }))));
    members
}

fn object(about: &str, required: &[&str], members: Members) -> Value {
    let members: Map<String, Value> =
        members.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
    let mut object = json!({ "type": "object", "description": about, "properties": members });
    if let (false, Some(object)) = (required.is_empty(), object.as_object_mut()) {
        object.insert("required".to_owned(), required.into());
    }
    object
}

fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn list(about: &str, of: &str) -> Value {
    json!({ "type": "array", "items": named(of), "description": about })
}

fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

fn pattern(about: &str, pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "description": about })
}

fn link(about: &str) -> Value {
    pattern(about, "^https?://")
}

fn flag(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

fn number(about: &str) -> Value {
    json!({ "type": "number", "description": about })
}

fn seconds(about: &str) -> Value {
    json!({ "type": "number", "minimum": 0, "description": about })
}

fn moment(about: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": about })
}

fn choice(about: &str, words: &[&str]) -> Value {
    json!({ "enum": words, "description": about })
}

fn direction(about: &str) -> Value {
    choice(about, &["inbound", "outbound"])
}

fn role(about: &str) -> Value {
    choice(about, &["agent", "user", "system", "tool", "unknown"])
}
