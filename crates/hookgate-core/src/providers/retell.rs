//! Retell AI: agent webhooks, custom functions, inbound-call webhook.
//!
//! Sources: retell-typescript-sdk `src/lib/webhook_auth.ts` (b274013, 2026-07-30), retell-sdk
//! py 6.2.13; docs.retellai.com/features/webhook-overview, /secure-webhook,
//! /inbound-call-webhook (read November 2026). Any 2xx within 10 s is success; up to three
//! retries.

mod canonical;
mod tools;

use crate::event::{Answer, Asks, ClaimKind, Facts, Kind};
use crate::json::{Fields, Path};
use crate::provider::{BODY_BYTES_MAX, Hint, Provider, Refusal, claims, first, key};
use crate::tool::{NOT_AVAILABLE, canonical};

/// The row.
pub const PROVIDER: Provider = Provider {
    name: "retell",
    title: "Retell AI",
    paths: &["/webhook/retell"],
    tool_paths: &[
        ("/api/bookings/availability", "bookings_availability"),
        ("/api/bookings/create", "bookings_create"),
        ("/api/bookings/reschedule", "bookings_reschedule"),
        ("/api/bookings/cancel", "bookings_cancel"),
        ("/api/bookings/list", "bookings_list"),
        ("/api/services/list", "services_list"),
        ("/api/customers/find", "customers_find"),
    ],
    calls: Some(tools::CALLS),
    secret_variables: &["RETELL_API_KEY"],
    account_key_variable: None,
    policy: "retell.v_d",
    refusal: Refusal { status: 401, body: r#"{"error":"Invalid signature"}"# },
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
        ("call_ended", include_str!("../../samples/retell/call_ended.json")),
        ("call_started", include_str!("../../samples/retell/call_started.json")),
        ("call_analyzed", include_str!("../../samples/retell/call_analyzed.json")),
        ("transcript_updated", include_str!("../../samples/retell/transcript_updated.json")),
        ("transfer_started", include_str!("../../samples/retell/transfer_started.json")),
        ("chat_started", include_str!("../../samples/retell/chat_started.json")),
        ("chat_ended", include_str!("../../samples/retell/chat_ended.json")),
        ("chat_analyzed", include_str!("../../samples/retell/chat_analyzed.json")),
        ("call_inbound", include_str!("../../samples/retell/call_inbound.request.json")),
        (
            "tool:bookings_cancel",
            include_str!("../../samples/retell/custom_function.args_only.json"),
        ),
    ],
    dashboard: "Settings > Webhooks: paste this URL (or the agent's own webhook URL); the secret is the API key \
                with the webhook badge",
};

const EVENT: usize = 0;
const CALL_ID: usize = 1;
const CHAT_ID: usize = 2;
const CALL_AGENT: usize = 3;
const CHAT_AGENT: usize = 4;
const NAME: usize = 5;
const ROOT_CALL_ID: usize = 6;
const ROOT_AGENT: usize = 7;
const DIRECTION: usize = 8;
const FROM: usize = 9;
const TO: usize = 10;
const INBOUND_AGENT: usize = 11;
const INBOUND_TO: usize = 12;
const CHAT_INBOUND_AGENT: usize = 13;
const CHAT_INBOUND_TO: usize = 14;
const CALL_STATUS: usize = 15;
const REASON: usize = 16;

const FIELDS: &[Path] = &[
    &["event"],
    &["call", "call_id"],
    &["chat", "chat_id"],
    &["call", "agent_id"],
    &["chat", "agent_id"],
    &["name"],
    &["call_id"],
    &["agent_id"],
    &["call", "direction"],
    &["call", "from_number"],
    &["call", "to_number"],
    &["call_inbound", "agent_id"],
    &["call_inbound", "to_number"],
    &["chat_inbound", "agent_id"],
    &["chat_inbound", "to_number"],
    &["call", "call_status"],
    &["call", "disconnection_reason"],
];

/// Events that happen once in a conversation, so that the same again is a repetition
/// (docs: "dedupe on event and `call_id`"). Transfers and transcript updates happen often.
const ONCE: [&str; 6] =
    ["call_started", "call_ended", "call_analyzed", "chat_started", "chat_ended", "chat_analyzed"];

fn read(fields: &Fields, hint: &Hint<'_>) -> Facts {
    if let Some(tool) = hint.tool {
        return read_tool_call(fields, tool, hint.flat_claims);
    }
    let event_type = match (fields.text(EVENT), fields.text(NAME)) {
        (Some(event), _) => event.to_owned(),
        // A custom function in its full form has no event, but the function's name.
        (None, Some(name)) => tool_event(name),
        (None, None) => "unknown".to_owned(),
    };
    let conversation_id = first(fields, &[CALL_ID, CHAT_ID]);
    let dedupe = ONCE
        .contains(&event_type.as_str())
        .then(|| key(&[Some(&event_type), conversation_id.as_deref()]))
        .flatten();
    let is_tool = fields.text(EVENT).is_none() && fields.text(NAME).is_some();
    let kind = match event_type.as_str() {
        _ if is_tool => Kind::ToolCalled,
        "call_started" => Kind::CallStarted,
        "call_ended" if is_unanswered(fields) => Kind::CallFailed,
        "call_ended" => Kind::CallEnded,
        "call_analyzed" | "chat_analyzed" => Kind::CallAnalyzed,
        "chat_started" => Kind::ChatStarted,
        "chat_ended" => Kind::ChatEnded,
        _ => Kind::Other,
    };
    let (answer, asks) = match event_type.as_str() {
        _ if is_tool => (NOT_AVAILABLE, Asks::Tools),
        // All fields of these answers are optional: the number's own agent takes the call.
        "call_inbound" => (Answer::fixed(r#"{"call_inbound":{}}"#), Asks::Guidance),
        "chat_inbound" => (Answer::fixed(r#"{"chat_inbound":{}}"#), Asks::Guidance),
        _ => (Answer::OK, Asks::Nothing),
    };
    let mut rows = vec![
        (ClaimKind::Conversation, CALL_ID),
        (ClaimKind::Conversation, CHAT_ID),
        (ClaimKind::Agent, CALL_AGENT),
        (ClaimKind::Agent, CHAT_AGENT),
        (ClaimKind::Agent, INBOUND_AGENT),
        (ClaimKind::Agent, CHAT_INBOUND_AGENT),
        (ClaimKind::PhoneNumber, INBOUND_TO),
        (ClaimKind::PhoneNumber, CHAT_INBOUND_TO),
    ];
    // Our number is the one that was called, or the one that calls out.
    match fields.text(DIRECTION) {
        Some("inbound") => rows.push((ClaimKind::PhoneNumber, TO)),
        Some("outbound") => rows.push((ClaimKind::PhoneNumber, FROM)),
        _ => {}
    }
    let claims = claims(fields, &rows);
    Facts {
        event_type,
        kind,
        external_id: None,
        conversation_id,
        bears_call: false,
        dedupe,
        claims,
        answer,
        refusal: None,
        asks,
    }
}

/// Whether a call ended before it began. Retell sends no `call_started` then (docs,
/// webhook-overview).
fn is_unanswered(fields: &Fields) -> bool {
    let reason = fields.text(REASON).unwrap_or_default();
    fields.text(CALL_STATUS) == Some("not_connected")
        || ["dial_busy", "dial_failed", "dial_no_answer"].contains(&reason)
}

/// The type of a call of this tool.
fn tool_event(tool: &str) -> String {
    format!("tool:{}", canonical(tool))
}

/// A call of a custom function on a path of its own: the full form with `call`, or the
/// arguments alone at the root. What stands among the arguments a model may have filled
/// in, so it counts only where nothing better is there and the source says so.
fn read_tool_call(fields: &Fields, tool: &str, flat_claims: bool) -> Facts {
    let attested = [(ClaimKind::Conversation, CALL_ID), (ClaimKind::Agent, CALL_AGENT)];
    let flat = [(ClaimKind::Conversation, ROOT_CALL_ID), (ClaimKind::Agent, ROOT_AGENT)];
    let mut claims = claims(fields, &attested);
    if claims.is_empty() && flat_claims {
        claims = crate::provider::claims(fields, &flat);
    }
    Facts {
        event_type: tool_event(tool),
        kind: Kind::ToolCalled,
        external_id: None,
        conversation_id: first(fields, &[CALL_ID, ROOT_CALL_ID]),
        bears_call: false,
        dedupe: None,
        claims,
        answer: NOT_AVAILABLE,
        refusal: None,
        asks: Asks::Tools,
    }
}
