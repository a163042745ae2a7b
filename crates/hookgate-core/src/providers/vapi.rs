//! Vapi: server messages.
//!
//! Sources: Vapi's OpenAPI document, docs.vapi.ai/server-url/events and
//! /server-authentication (docs repository at eabfa53, 2026-08-20). The body is
//! `{"message":{"type":…}}`; the seed's flat form is read too. Vapi has no fixed scheme:
//! a credential says how it signs. Most messages want nothing but a 2xx; eight types want
//! an answer within 20 s (`assistant-request`: 7.5 s).

mod canonical;
mod tools;

use serde_json::json;

use crate::event::{Answer, Asks, ClaimKind, Facts, Kind};
use crate::json::{Field, Fields, Path};
use crate::provider::{BODY_BYTES_MAX, Hint, Provider, Refusal, claims, first, key};
use crate::tool::NOT_NOW;

/// The row.
pub const PROVIDER: Provider = Provider {
    name: "vapi",
    title: "Vapi",
    paths: &["/webhook/vapi"],
    tool_paths: &[],
    calls: Some(tools::CALLS),
    secret_variables: &["VAPI_WEBHOOK_SECRET"],
    account_key_variable: None,
    policy: "vapi.auto",
    refusal: Refusal::UNAUTHORIZED,
    unread: r#"{"status":"ok"}"#,
    large_body_bytes_max: BODY_BYTES_MAX,
    needs_organization: false,
    missing_call: Some(Refusal { status: 400, body: r#"{"error":"Missing call ID"}"# }),
    unknown_call: Some(Refusal { status: 404, body: r#"{"error":"Call not found"}"# }),
    echoes: false,
    fields: FIELDS,
    read,
    canonical: canonical::canonical,
    samples: &[
        ("end-of-call-report", include_str!("../../samples/vapi/end-of-call-report.json")),
        ("status-update", include_str!("../../samples/vapi/status-update.ended.json")),
        ("assistant-request", include_str!("../../samples/vapi/assistant-request.json")),
        ("tool-calls", include_str!("../../samples/vapi/tool-calls.json")),
        ("conversation-update", include_str!("../../samples/vapi/conversation-update.json")),
        ("transcript", include_str!("../../samples/vapi/transcript.partial.json")),
        ("hang", include_str!("../../samples/vapi/hang.json")),
        ("chat.created", include_str!("../../samples/vapi/chat.created.json")),
        ("session.created", include_str!("../../samples/vapi/session.created.json")),
        ("call.ended", include_str!("../../samples/vapi/seed.call.ended.json")),
    ],
    dashboard: "the assistant's, phone number's or organization's Server URL: paste this URL and attach a custom \
                credential (bearer token, or HMAC) with the secret",
};

const TYPE: usize = 0;
const ROOT_TYPE: usize = 1;
const CALL: usize = 2;
const ROOT_CALL: usize = 3;
const ASSISTANT: usize = 4;
const ROOT_ASSISTANT: usize = 5;
const PHONE_NUMBER: usize = 6;
const ROOT_PHONE_NUMBER: usize = 7;
const PHONE_NUMBER_OBJECT: usize = 8;
const CHAT: usize = 9;
const SESSION: usize = 10;
const CAMPAIGN: usize = 11;
const STATUS: usize = 12;
const TOOL_CALL_ID: usize = 13;
const CHAT_ASSISTANT: usize = 14;
const SESSION_ASSISTANT: usize = 15;
const TRANSCRIPT_ROLE: usize = 16;
const WRAPPED_CALL_ID: usize = 17;
const OTHER_CALL_ID: usize = 18;
const REASON: usize = 19;
const TRANSCRIPT_TYPE: usize = 20;
const SESSION_STATUS: usize = 21;

const FIELDS: &[Path] = &[
    &["message", "type"],
    &["type"],
    &["message", "call", "id"],
    &["call", "id"],
    &["message", "call", "assistantId"],
    &["call", "assistantId"],
    &["message", "call", "phoneNumberId"],
    &["call", "phoneNumberId"],
    &["message", "phoneNumber", "id"],
    &["message", "chat", "id"],
    &["message", "session", "id"],
    &["message", "campaignId"],
    &["message", "status"],
    &["message", "toolCallList", "*", "id"],
    &["message", "chat", "assistantId"],
    &["message", "session", "assistantId"],
    &["message", "role"],
    &["message", "toolWithToolCallList", "*", "toolCall", "id"],
    &["message", "toolCalls", "*", "id"],
    &["message", "endedReason"],
    &["message", "transcriptType"],
    &["message", "session", "status"],
];

fn read(fields: &Fields, _: &Hint<'_>) -> Facts {
    let event_type = first(fields, &[TYPE, ROOT_TYPE]).unwrap_or_else(|| "unknown".to_owned());
    let call = first(fields, &[CALL, ROOT_CALL]);
    let conversation_id = call.clone().or_else(|| first(fields, &[CHAT, SESSION, CAMPAIGN]));
    // The calls are decoded from the first of these lists that has any.
    let lists = [TOOL_CALL_ID, WRAPPED_CALL_ID, OTHER_CALL_ID];
    let lists = lists.into_iter().map(|path| fields.all(path).filter_map(text).collect());
    let tool_calls: Vec<&str> =
        lists.into_iter().find(|it: &Vec<_>| !it.is_empty()).unwrap_or_default();
    let mut rows = vec![
        (ClaimKind::Conversation, CALL),
        (ClaimKind::Conversation, ROOT_CALL),
        (ClaimKind::Agent, ASSISTANT),
        (ClaimKind::Agent, ROOT_ASSISTANT),
        (ClaimKind::Agent, CHAT_ASSISTANT),
        (ClaimKind::Agent, SESSION_ASSISTANT),
        (ClaimKind::PhoneNumber, PHONE_NUMBER),
        (ClaimKind::PhoneNumber, ROOT_PHONE_NUMBER),
        (ClaimKind::PhoneNumber, PHONE_NUMBER_OBJECT),
    ];
    // A message without a call belongs to its chat, else to its session.
    let is_named = |path: &usize| fields.get(*path).is_some_and(|it| *it != Field::Null);
    if ![CALL, ROOT_CALL].iter().any(is_named) {
        rows.extend(
            [CHAT, SESSION].iter().find(|it| is_named(it)).map(|it| (ClaimKind::Conversation, *it)),
        );
    }
    let claims = claims(fields, &rows);
    Facts {
        kind: kind(&event_type, fields),
        external_id: tool_calls.first().map(|&id| id.to_owned()),
        dedupe: dedupe(&event_type, call.as_deref(), fields.text(STATUS), &tool_calls),
        answer: answer(&event_type, &tool_calls),
        refusal: refusal(&event_type, &tool_calls),
        asks: asks(&event_type),
        bears_call: bears_call(&event_type),
        conversation_id,
        event_type,
        claims,
    }
}

fn text(field: &Field) -> Option<&str> {
    match field {
        Field::Text(id) => Some(id),
        _ => None,
    }
}

/// The kind of a message.
fn kind(event_type: &str, fields: &Fields) -> Kind {
    match (event_type, fields.text(STATUS)) {
        ("status-update", Some("in-progress")) | ("call.started", _) => Kind::CallStarted,
        ("status-update", Some("ended")) if is_unanswered(fields) => Kind::CallFailed,
        // `hang` is no end: it says that the assistant is slow to answer.
        ("status-update", Some("ended")) | ("call.ended", _) => Kind::CallEnded,
        ("end-of-call-report", _) => Kind::CallAnalyzed,
        ("chat.created" | "session.created", _) => Kind::ChatStarted,
        ("session.updated", _) if fields.text(SESSION_STATUS) == Some("completed") => {
            Kind::ChatEnded
        }
        ("tool-calls" | "function-call", _) => Kind::ToolCalled,
        // What is still being said comes again with every word.
        (word, _)
            if word.starts_with("transcript")
                && fields.text(TRANSCRIPT_TYPE) == Some("partial") =>
        {
            Kind::Other
        }
        (word, _) if word.starts_with("transcript") => match fields.text(TRANSCRIPT_ROLE) {
            Some("user") => Kind::MessageReceived,
            Some(_) => Kind::MessageSent,
            None => Kind::Other,
        },
        _ => Kind::Other,
    }
}

/// Whether a call ended before anybody talked. Reasons: Vapi's OpenAPI document, the enum of
/// `endedReason`.
fn is_unanswered(fields: &Fields) -> bool {
    let reason = fields.text(REASON).unwrap_or_default();
    let words = [
        "customer-busy",
        "customer-did-not-answer",
        "customer-did-not-give-microphone-permission",
        "twilio-failed-to-connect-call",
        "vonage-failed-to-connect-call",
        "vonage-rejected",
        "twilio-reported-customer-misdialed",
        "assistant-not-found",
        "assistant-not-valid",
        "assistant-not-provided",
        "assistant-request-failed",
    ];
    // `assistant-request-returned-forwarding-phone-number` is an answer: the call goes on.
    let is_refused = reason.starts_with("assistant-request-returned-")
        && reason != "assistant-request-returned-forwarding-phone-number";
    let is_stillborn =
        ["call.start.error-", "call-start-error-"].iter().any(|it| reason.starts_with(it));
    words.contains(&reason) || is_refused || is_stillborn
}

/// Vapi sends no event id. A body's digest does not find a repeated end-of-call report:
/// its presigned URLs "are regenerated per response and per webhook delivery" (OpenAPI).
fn dedupe(
    event_type: &str,
    call: Option<&str>,
    status: Option<&str>,
    tool_calls: &[&str],
) -> Option<String> {
    match event_type {
        "status-update" => key(&[Some(event_type), call, status]),
        "end-of-call-report" | "assistant-request" => key(&[Some(event_type), call]),
        "tool-calls" if !tool_calls.is_empty() => {
            key(&[Some(event_type), call, Some(&tool_calls.join("\u{1e}"))])
        }
        _ => None,
    }
}

/// Whether a message of this type belongs to a call. A request for an assistant comes
/// while there is none yet.
fn bears_call(event_type: &str) -> bool {
    let own_ids = ["chat.", "session.", "campaign."];
    event_type != "assistant-request" && !own_ids.iter().any(|it| event_type.starts_with(it))
}

/// What a message of this type wants besides being stored.
fn asks(event_type: &str) -> Asks {
    match event_type {
        "tool-calls" | "function-call" => Asks::Tools,
        "assistant-request"
        | "transfer-destination-request"
        | "handoff-destination-request"
        | "knowledge-base-request"
        | "call.endpointing.request"
        | "campaign.predial"
        | "voice-request" => Asks::Guidance,
        _ => Asks::Nothing,
    }
}

/// Vapi reads nothing but a 200, and speaks the error of a tool.
fn refusal(event_type: &str, tool_calls: &[&str]) -> Option<Answer> {
    const SENTENCE: &str = "I am sorry, I cannot do that on this call.";
    match event_type {
        "tool-calls" => Some(refused(tool_calls, SENTENCE)),
        "function-call" => Some(Answer::json(&json!({ "error": SENTENCE }))),
        _ => None,
    }
}

/// Every call refused with this sentence.
fn refused(tool_calls: &[&str], sentence: &str) -> Answer {
    let refuse = |id: &&str| json!({"toolCallId": id, "error": sentence});
    Answer::json(&json!({ "results": tool_calls.iter().map(refuse).collect::<Vec<_>>() }))
}

/// The types that want an answer get a valid one that changes nothing.
fn answer(event_type: &str, tool_calls: &[&str]) -> Answer {
    match event_type {
        "tool-calls" => refused(tool_calls, NOT_NOW),
        "function-call" => Answer::json(&json!({ "result": NOT_NOW })),
        "assistant-request" => {
            Answer::fixed(r#"{"error":"This number is not set up to take calls yet."}"#)
        }
        "transfer-destination-request" | "handoff-destination-request" => {
            Answer::fixed(r#"{"error":"There is nobody to transfer to."}"#)
        }
        "knowledge-base-request" => Answer::fixed(r#"{"documents":[]}"#),
        // Anything but an explicit yes keeps the campaign from dialling at all.
        "campaign.predial" => Answer::fixed(r#"{"eligible":true}"#),
        "call.endpointing.request" => Answer::fixed(r#"{"timeoutSeconds":0.5}"#),
        // `voice-request` wants raw PCM, which nothing here can make: no audio is as good
        // an answer as any.
        _ => Answer::OK,
    }
}
