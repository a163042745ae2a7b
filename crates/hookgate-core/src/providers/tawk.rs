//! Tawk.to: chat and ticket webhooks.
//!
//! Source: developer.tawk.to/webhooks (as copied by independent repositories, read
//! November 2026). Anything but a 2xx within 30 s is retried for up to 12 hours.
//! `X-Hook-Event-Id` is the same over retries, but it is not signed: it is recorded, and
//! it never makes two events one.

mod canonical;

use http::HeaderName;

use crate::event::{Answer, Asks, ClaimKind, Facts, Kind};
use crate::json::{Fields, Path};
use crate::provider::{BODY_BYTES_MAX, Hint, Provider, Refusal, claims, first};

/// The row.
pub const PROVIDER: Provider = Provider {
    name: "tawk",
    title: "Tawk.to",
    paths: &["/tawk-webhook"],
    tool_paths: &[],
    calls: None,
    secret_variables: &["TAWK_WEBHOOK_SECRET", "TAWK_TAWK_WEBHOOK_SECRET"],
    account_key_variable: None,
    policy: "tawk.hmac_sha1",
    refusal: Refusal { status: 403, body: r#"{"error":"Forbidden"}"# },
    unread: r#"{"status":"ok"}"#,
    large_body_bytes_max: BODY_BYTES_MAX,
    needs_organization: false,
    missing_call: None,
    unknown_call: None,
    echoes: false,
    fields: FIELDS,
    read,
    canonical: canonical::canonical,
    samples: &[
        ("chat:start", include_str!("../../samples/tawk/chat.start.json")),
        ("chat:end", include_str!("../../samples/tawk/chat.end.json")),
        (
            "chat:transcript_created",
            include_str!("../../samples/tawk/chat.transcript_created.json"),
        ),
        ("ticket:create", include_str!("../../samples/tawk/ticket.create.json")),
    ],
    dashboard: "Administration > Settings > Webhooks: create a webhook with this URL; its secret key is shown there",
};

const EVENT: usize = 0;
const CHAT_ID: usize = 1;
const TRANSCRIPT_CHAT_ID: usize = 2;
const TICKET_ID: usize = 3;
const PROPERTY: usize = 4;

const FIELDS: &[Path] =
    &[&["event"], &["chatId"], &["chat", "id"], &["ticket", "id"], &["property", "id"]];

fn read(fields: &Fields, hint: &Hint<'_>) -> Facts {
    let event_type = fields.text(EVENT).unwrap_or("unknown").to_owned();
    let kind = match event_type.as_str() {
        "chat:start" => Kind::ChatStarted,
        "chat:end" => Kind::ChatEnded,
        "chat:transcript_created" => Kind::TranscriptReady,
        "ticket:create" => Kind::TicketCreated,
        _ => Kind::Other,
    };
    let event_id = hint.headers.text(&HeaderName::from_static("x-hook-event-id"));
    Facts {
        event_type,
        kind,
        external_id: event_id
            .filter(|id| id.len() <= crate::json::TEXT_BYTES_MAX)
            .map(str::to_owned),
        conversation_id: first(fields, &[CHAT_ID, TRANSCRIPT_CHAT_ID, TICKET_ID]),
        bears_call: false,
        dedupe: None,
        claims: claims(fields, &[(ClaimKind::Property, PROPERTY)]),
        answer: Answer::OK,
        refusal: None,
        asks: Asks::Nothing,
    }
}
