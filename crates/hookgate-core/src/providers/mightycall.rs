//! MightyCall: call events, and the shapes of the seed that asked for them.
//!
//! Sources: independent receivers of the platform (Webasyst crm/yandextelephony plugin,
//! AdvantShop, a Laravel application; read November 2026), because MightyCall's own webhook
//! page is not public. Real bodies are `{EventType, Guid, ApiKey, Timestamp, Body}` and
//! carry the account's key; a URL is checked by an `Echo` header that must come back. An
//! answer is due within 8 seconds.

mod canonical;

use serde_json::json;

use crate::digest::sha256;
use crate::event::{Answer, Asks, Claim, ClaimKind, Facts, Kind};
use crate::json::{Field, Fields, Path};
use crate::provider::{BODY_BYTES_MAX, Hint, Provider, Refusal, claims, first, key};

/// The row.
pub const PROVIDER: Provider = Provider {
    name: "mightycall",
    title: "MightyCall",
    paths: &["/functions/v1/mightycall-webhook"],
    tool_paths: &[],
    calls: None,
    secret_variables: &["MIGHTYCALL_WEBHOOK_SECRET"],
    account_key_variable: Some("MIGHTYCALL_API_KEY"),
    policy: "mightycall.auto",
    refusal: Refusal::UNAUTHORIZED,
    unread: r#"{"success":true,"message":"Event recorded"}"#,
    large_body_bytes_max: BODY_BYTES_MAX,
    needs_organization: true,
    missing_call: None,
    unknown_call: None,
    echoes: true,
    fields: FIELDS,
    read,
    canonical: canonical::canonical,
    samples: &[
        ("call.completed", include_str!("../../samples/mightycall/seed.call.completed.json")),
        ("sms.received", include_str!("../../samples/mightycall/seed.sms.received.json")),
        (
            "recording.available",
            include_str!("../../samples/mightycall/seed.recording.available.json"),
        ),
        ("report.daily", include_str!("../../samples/mightycall/seed.report.daily.json")),
        ("IncomingCall", include_str!("../../samples/mightycall/IncomingCall.json")),
        (
            "IncomingCallConnected",
            include_str!("../../samples/mightycall/IncomingCallConnected.json"),
        ),
        (
            "IncomingCallCompleted",
            include_str!("../../samples/mightycall/IncomingCallCompleted.json"),
        ),
        ("OutgoingCall", include_str!("../../samples/mightycall/OutgoingCall.json")),
        (
            "OutgoingCallCompleted",
            include_str!("../../samples/mightycall/OutgoingCallCompleted.json"),
        ),
    ],
    dashboard: "Settings > Integrations > Webhooks: paste this URL; if your account offers an auth method, choose \
                bearer token or HMAC-SHA256 with the secret, else set MIGHTYCALL_API_KEY to the account's API key",
};

const EVENT: usize = 0;
const EVENT_TYPE: usize = 1;
const GUID: usize = 2;
const EVENT_ID: usize = 3;
const ID: usize = 4;
const CALL_ID: usize = 5;
const SMS_ID: usize = 6;
const RECORDING_ID: usize = 7;
const REPORT_ID: usize = 8;
const BODY_ID: usize = 9;
const ROOT_CALL_ID: usize = 10;
const ORG_ID: usize = 11;
const INTEGRATION_ID: usize = 12;
const API_KEY: usize = 13;
const EXTENSION: usize = 14;

const FIELDS: &[Path] = &[
    &["event"],
    &["EventType"],
    &["Guid"],
    &["event_id"],
    &["id"],
    &["call_id"],
    &["sms_id"],
    &["recording_id"],
    &["report_id"],
    &["Body", "Id"],
    &["CallId"],
    &["org_id"],
    &["integration_id"],
    &["ApiKey"],
    &["Body", "Extension"],
];

/// What an event is about: the word of the answer, the name of its id there, and where
/// the id stands.
struct Subject {
    word: &'static str,
    id_name: Option<&'static str>,
    ids: &'static [usize],
}

fn subject(event_type: &str) -> Subject {
    let lower = event_type.to_ascii_lowercase();
    if lower.starts_with("recording") {
        Subject { word: "Recording", id_name: Some("recording_id"), ids: &[RECORDING_ID] }
    } else if lower.starts_with("report") {
        Subject { word: "Report", id_name: Some("report_id"), ids: &[REPORT_ID] }
    } else if lower.starts_with("sms") || lower.contains("message") {
        Subject { word: "Message", id_name: Some("sms_id"), ids: &[SMS_ID, BODY_ID] }
    } else if lower.contains("call") {
        Subject { word: "Call", id_name: Some("call_id"), ids: &[CALL_ID, BODY_ID, ROOT_CALL_ID] }
    } else {
        Subject { word: "Event", id_name: None, ids: &[] }
    }
}

fn kind(event_type: &str) -> Kind {
    match event_type {
        "call.started" | "IncomingCall" | "OutgoingCall" | "CallbackCall" => Kind::CallStarted,
        "call.completed"
        | "IncomingCallCompleted"
        | "OutgoingCallCompleted"
        | "CallbackCallCompleted" => Kind::CallEnded,
        "call.missed" => Kind::CallFailed,
        "sms.received" => Kind::MessageReceived,
        "sms.sent" => Kind::MessageSent,
        "recording.available" => Kind::RecordingReady,
        _ if event_type.starts_with("report.") => Kind::ReportReady,
        _ => Kind::Other,
    }
}

fn read(fields: &Fields, _: &Hint<'_>) -> Facts {
    let event_type = first(fields, &[EVENT, EVENT_TYPE]).unwrap_or_else(|| "unknown".to_owned());
    let subject = subject(&event_type);
    let subject_id = first(fields, subject.ids);
    let external_id = first(fields, &[GUID, EVENT_ID, ID]);

    let mut told = json!({
        "success": true,
        "message": format!("{} recorded", subject.word),
        "event": event_type,
    });
    if let (Some(name), Some(id), Some(told)) = (subject.id_name, &subject_id, told.as_object_mut())
    {
        told.insert(name.to_owned(), id.clone().into());
    }

    let mut claims = claims(
        fields,
        &[
            (ClaimKind::Organization, ORG_ID),
            (ClaimKind::Integration, INTEGRATION_ID),
            // Who takes or makes the call stands behind an extension.
            (ClaimKind::Agent, EXTENSION),
        ],
    );
    // The key is a credential, so the claim holds a digest of it, which names the account
    // as well. 16 bytes of SHA-256 keep accounts apart.
    if let Some(Field::Text(account_key)) =
        fields.get(API_KEY).filter(|_| fields.text(API_KEY).is_some())
    {
        let digest = hex::encode(sha256(account_key.as_bytes()));
        let external_id = digest.get(..32).map(|digest| format!("sha256:{digest}"));
        claims.push(Claim::new(ClaimKind::Account, external_id));
    }
    Facts {
        kind: kind(&event_type),
        dedupe: key(&[Some(&event_type), external_id.as_deref()]),
        conversation_id: first(fields, &[CALL_ID, BODY_ID, ROOT_CALL_ID]).or(subject_id),
        bears_call: false,
        external_id,
        event_type,
        claims,
        answer: Answer::json(&told),
        refusal: None,
        asks: Asks::Nothing,
    }
}
