//! ElevenLabs (Agents, Conversational AI): post-call webhooks, server tools and the
//! conversation-initiation webhook.
//!
//! Sources: elevenlabs py 2.78.0 `webhooks_custom.py` and js 2.73.0 `webhooks.js`;
//! elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks (read November 2026).
//! Success is 200 exactly. Retries are off by default, and a 4xx is final.

mod canonical;
mod tools;

use crate::event::{Answer, Asks, ClaimKind, Facts, Kind};
use crate::json::{Fields, Path};
use crate::provider::{Hint, Provider, Refusal, claims, first, key};
use crate::tool::{NOT_AVAILABLE, canonical};

/// The row.
pub const PROVIDER: Provider = Provider {
    name: "elevenlabs",
    title: "ElevenLabs",
    paths: &["/webhook/post_conversation"],
    tool_paths: &[],
    calls: Some(tools::CALLS),
    secret_variables: &["ELEVENLABS_WEBHOOK_SECRET"],
    account_key_variable: None,
    policy: "elevenlabs.auto",
    refusal: Refusal::UNAUTHORIZED,
    unread: r#"{"status":"ok"}"#,
    // `post_call_audio` holds a whole call as base64 MP3: an hour at 128 kbit/s is about
    // 77 MB. No maximum is published.
    large_body_bytes_max: 128 * 1024 * 1024,
    needs_organization: false,
    missing_call: None,
    unknown_call: None,
    echoes: false,
    fields: FIELDS,
    read,
    canonical: canonical::canonical,
    samples: &[
        (
            "post_call_transcription",
            include_str!("../../samples/elevenlabs/post_call_transcription.phone.json"),
        ),
        ("post_call_audio", include_str!("../../samples/elevenlabs/post_call_audio.json")),
        (
            "call_initiation_failure",
            include_str!("../../samples/elevenlabs/call_initiation_failure.twilio.json"),
        ),
        ("post_conversation", include_str!("../../samples/elevenlabs/seed.post_conversation.json")),
    ],
    dashboard: "ElevenAgents > Settings > Post-call webhook: create a webhook with this URL and auth method HMAC; \
                its secret is shown once",
};

const TYPE: usize = 0;
const EVENT_TIMESTAMP: usize = 1;
const CONVERSATION: usize = 2;
const ROOT_CONVERSATION: usize = 3;
const AGENT: usize = 4;
const ROOT_AGENT: usize = 5;
const PHONE_NUMBER: usize = 6;
const SYSTEM_CONVERSATION: usize = 7;
const CAMEL_CONVERSATION: usize = 8;

const FIELDS: &[Path] = &[
    &["type"],
    &["event_timestamp"],
    &["data", "conversation_id"],
    &["conversation_id"],
    &["data", "agent_id"],
    &["agent_id"],
    &["data", "metadata", "phone_call", "phone_number_id"],
    &["system__conversation_id"],
    &["conversationId"],
];

/// The end of the path on which the platform asks how to begin a conversation.
const INITIATION: &str = "conversation_initiation";

fn read(fields: &Fields, hint: &Hint<'_>) -> Facts {
    if let Some(tool) = hint.tool {
        return read_tool_call(fields, tool, hint.query);
    }
    let event_type = fields.text(TYPE).unwrap_or("post_conversation").to_owned();
    let conversation_id = first(fields, &[CONVERSATION, ROOT_CONVERSATION]);
    // A retry is identical and unmarked; the documentation says to compare these.
    let dedupe = key(&[
        Some(&event_type),
        conversation_id.as_deref(),
        fields.word(EVENT_TIMESTAMP).as_deref(),
    ]);
    let kind = match event_type.as_str() {
        "post_call_transcription" | "post_conversation" => Kind::TranscriptReady,
        "post_call_audio" => Kind::RecordingReady,
        "call_initiation_failure" => Kind::CallFailed,
        _ => Kind::Other,
    };
    let claims = claims(
        fields,
        &[
            (ClaimKind::Conversation, CONVERSATION),
            (ClaimKind::Conversation, ROOT_CONVERSATION),
            (ClaimKind::Agent, AGENT),
            (ClaimKind::Agent, ROOT_AGENT),
            (ClaimKind::PhoneNumber, PHONE_NUMBER),
        ],
    );
    Facts {
        event_type,
        kind,
        external_id: None,
        conversation_id,
        bears_call: false,
        dedupe,
        claims,
        answer: Answer::OK,
        refusal: None,
        asks: Asks::Nothing,
    }
}

/// A request on the path of a tool. Nothing in it is a claim: the operator decides what
/// stands where, and a model fills most of it in. The URL's token says whose it is.
fn read_tool_call(fields: &Fields, tool: &str, query: &str) -> Facts {
    let tool = canonical(tool);
    let named = first(fields, &[SYSTEM_CONVERSATION, ROOT_CONVERSATION, CAMEL_CONVERSATION]);
    let (event_type, kind, answer, asks) = if tool == INITIATION {
        // Nothing is overridden: the agent begins as it is set up.
        let neutral = r#"{"type":"conversation_initiation_client_data","dynamic_variables":{}}"#;
        (tool, Kind::Other, Answer::fixed(neutral), Asks::Guidance)
    } else {
        (format!("tool:{tool}"), Kind::ToolCalled, NOT_AVAILABLE, Asks::Tools)
    };
    Facts {
        event_type,
        kind,
        external_id: None,
        conversation_id: named.or_else(|| tools::conversation(query)),
        bears_call: false,
        // The same bytes: what the store compares holds the tool and the query too.
        dedupe: None,
        claims: Vec::new(),
        answer,
        refusal: None,
        asks,
    }
}
