//! What each provider's bodies say: every sample is read, and the fields that decide are
//! where the provider puts them.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;

use bytes::Bytes;
use hookgate_core::attribution::{
    Attributed, Cause, Consulted, Content, Quarantined, Readable, read, read_from,
};
use hookgate_core::event::{Asks, Facts};
use hookgate_core::headers::{Headers, Value};
use hookgate_core::received::{Blob, Body, Received, Verified};
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_core::{named, provider};
use serde_json::json;

/// A proven request of `provider_name` with this body: proven by a token, so that any
/// body will do.
fn verified(provider_name: &str, body: Body, tool: Option<&'static str>) -> Verified {
    verified_at(provider_name, body, tool, "/")
}

fn verified_at(
    provider_name: &str,
    body: Body,
    tool: Option<&'static str>,
    target: &str,
) -> Verified {
    let policy = named::policy("vapi.token", &json!({})).unwrap();
    let row = provider::named(provider_name).unwrap();
    let secrets = Secrets::from_text("s", "");
    let source = Arc::new(Source::new(provider_name, row, policy, secrets, Verification::Enforce));
    let mut headers = Headers::new();
    headers.push("authorization".parse().unwrap(), Value::Plain(Bytes::from_static(b"Bearer s")));
    headers.push_plain("x-hook-event-id".parse().unwrap(), "hook-1");
    let at = Timestamp::from_millis(1_700_000_000_000);
    let envelope = Envelope { method: "POST", url: "", headers: &headers, mask_key: None };
    let mut examination = Examination::open(&source.policy, &source.secrets, envelope, at);
    if let Body::Whole(bytes) = &body {
        examination.update(bytes);
    }
    let received = Received {
        source,
        method: "POST".to_owned(),
        target: target.to_owned(),
        tool: tool.map(Into::into),
        token: None,
        headers,
        body,
        peer: [127, 0, 0, 1].into(),
        at,
        late: false,
        correlation_id: "c".to_owned(),
    };
    received.judge(examination).unwrap()
}

/// What becomes of a request where nobody is registered.
fn conclude(readable: Result<Readable, Box<Quarantined>>) -> Result<Attributed, Box<Quarantined>> {
    readable?.decide(&Consulted::default()).conclude()
}

fn facts(provider_name: &str, body: &str) -> Facts {
    let verified = verified(provider_name, Body::Whole(Bytes::from(body.to_owned())), None);
    match conclude(read(verified)) {
        Ok(event) => event.facts().clone(),
        Err(quarantined) => match quarantined.content() {
            Content::Read(_, facts, _) => facts.clone(),
            _ => panic!("{body} cannot be read"),
        },
    }
}

/// What a request on the path of a tool says, with this query.
fn tool_facts(provider_name: &str, tool: &'static str, query: &str, body: &str) -> Facts {
    let body = Body::Whole(Bytes::from(body.to_owned()));
    let verified = verified_at(provider_name, body, Some(tool), &format!("/?{query}"));
    conclude(read(verified)).unwrap().facts().clone()
}

fn cause(provider_name: &str, body: &[u8]) -> Option<Cause> {
    let verified = verified(provider_name, Body::Whole(Bytes::copy_from_slice(body)), None);
    conclude(read(verified)).err().map(|it| it.cause())
}

#[track_caller]
fn check(provider_name: &str, body: &str, expected: &str) {
    let facts = facts(provider_name, body);
    let claims: Vec<String> = facts
        .claims
        .iter()
        .map(|it| format!("{:?}={}", it.kind, it.external_id.as_deref().unwrap_or("!")))
        .collect();
    let told = format!(
        "{} {} id={} conversation={} {} [{}]",
        facts.event_type,
        facts.kind.name(),
        facts.external_id.as_deref().unwrap_or("-"),
        facts.conversation_id.as_deref().unwrap_or("-"),
        facts.answer.body,
        claims.join(" "),
    );
    assert_eq!(told, expected);
}

#[test]
fn every_sample_of_every_provider_is_read() {
    for row in provider::ALL {
        assert!(!row.samples.is_empty());
        for (name, body) in row.samples {
            let tool = name.strip_prefix("tool:").map(|_| "bookings_cancel");
            let verified =
                verified(row.name, Body::Whole(Bytes::from_static(body.as_bytes())), tool);
            let event =
                conclude(read(verified)).unwrap_or_else(|it| panic!("{name}: {}", it.cause()));
            if tool.is_none() && *name != "post_conversation" {
                assert_eq!(&event.facts().event_type, name, "{}", row.name);
            }
        }
    }
}

#[test]
fn elevenlabs_ids_stand_in_data_or_at_the_root() {
    check(
        "elevenlabs",
        r#"{"type":"post_call_audio","event_timestamp":5,"data":{"agent_id":"a","conversation_id":"c"}}"#,
        r#"post_call_audio recording.ready id=- conversation=c {"status":"ok"} [Conversation=c Agent=a]"#,
    );
    check(
        "elevenlabs",
        r#"{"conversation_id":"c","agent_id":"a","call_duration":1}"#,
        r#"post_conversation transcript.ready id=- conversation=c {"status":"ok"} [Conversation=c Agent=a]"#,
    );
    check(
        "elevenlabs",
        "{}",
        r#"post_conversation transcript.ready id=- conversation=- {"status":"ok"} []"#,
    );
}

#[test]
fn retell_names_our_number_by_direction() {
    check(
        "retell",
        r#"{"event":"call_ended","call":{"call_id":"c","agent_id":"a","direction":"inbound","from_number":"+1","to_number":"+2"}}"#,
        r#"call_ended call.ended id=- conversation=c {"status":"ok"} [Conversation=c Agent=a PhoneNumber=+2]"#,
    );
    check(
        "retell",
        r#"{"event":"call_started","call":{"call_id":"c","agent_id":"a","direction":"outbound","from_number":"+1","to_number":"+2"}}"#,
        r#"call_started call.started id=- conversation=c {"status":"ok"} [Conversation=c Agent=a PhoneNumber=+1]"#,
    );
    check(
        "retell",
        r#"{"event":"call_inbound","call_inbound":{"agent_id":"a","from_number":"+1","to_number":"+2"}}"#,
        r#"call_inbound other id=- conversation=- {"call_inbound":{}} [Agent=a PhoneNumber=+2]"#,
    );
}

#[test]
fn vapi_is_read_in_its_envelope_and_flat() {
    let claims = "[Conversation=c Agent=a PhoneNumber=p]";
    check(
        "vapi",
        r#"{"message":{"type":"hang","call":{"id":"c","assistantId":"a","phoneNumberId":"p"}}}"#,
        &format!(r#"hang other id=- conversation=c {{"status":"ok"}} {claims}"#),
    );
    check(
        "vapi",
        r#"{"type":"call.ended","call":{"id":"c","assistantId":"a","phoneNumberId":"p"}}"#,
        &format!(r#"call.ended call.ended id=- conversation=c {{"status":"ok"}} {claims}"#),
    );
    check(
        "vapi",
        r#"{"message":{"type":"tool-calls","toolCallList":[{"id":"t1"},{"id":"t2"}],"call":{"id":"c"}}}"#,
        r#"tool-calls tool.called id=t1 conversation=c {"results":[{"error":"I am sorry, I cannot do that right now.","toolCallId":"t1"},{"error":"I am sorry, I cannot do that right now.","toolCallId":"t2"}]} [Conversation=c]"#,
    );
    check(
        "vapi",
        r#"{"message":{"type":"hang","call":{"id":["x"],"assistantId":{},"phoneNumberId":7}}}"#,
        r#"hang other id=- conversation=- {"status":"ok"} [Conversation=! Agent=! PhoneNumber=7]"#,
    );
}

#[track_caller]
fn check_kind(provider_name: &str, body: &str, kind: &str) {
    assert_eq!(facts(provider_name, body).kind.name(), kind, "{body}");
}

#[test]
fn a_call_that_nobody_took_failed() {
    let retell = |rest: &str| format!(r#"{{"event":"call_ended","call":{{{rest}}}}}"#);
    check_kind("retell", &retell(r#""call_status":"not_connected""#), "call.failed");
    for reason in ["dial_busy", "dial_failed", "dial_no_answer"] {
        let rest = format!(r#""call_status":"ended","disconnection_reason":"{reason}""#);
        check_kind("retell", &retell(&rest), "call.failed");
    }
    check_kind("retell", &retell(r#""disconnection_reason":"user_hangup""#), "call.ended");
    check_kind("retell", &retell(r#""disconnection_reason":"voicemail_reached""#), "call.ended");
    check_kind("retell", &retell(r#""disconnection_reason":["dial_busy"]"#), "call.ended");
    for (reason, kind) in [
        ("customer-busy", "call.failed"),
        ("customer-did-not-answer", "call.failed"),
        ("assistant-request-failed", "call.failed"),
        ("assistant-request-returned-no-assistant", "call.failed"),
        ("call.start.error-get-assistant", "call.failed"),
        ("call-start-error-neither-assistant-nor-server-set", "call.failed"),
        ("assistant-request-returned-forwarding-phone-number", "call.ended"),
        ("customer-ended-call", "call.ended"),
        ("voicemail", "call.ended"),
        ("call.in-progress.error-providerfault-outbound-sip-503", "call.ended"),
    ] {
        let rest = format!(r#""call":{{"id":"c"}},"endedReason":"{reason}""#);
        let update = format!(r#"{{"message":{{"type":"status-update","status":"ended",{rest}}}}}"#);
        check_kind("vapi", &update, kind);
        let report = format!(r#"{{"message":{{"type":"end-of-call-report",{rest}}}}}"#);
        check_kind("vapi", &report, "call.analyzed");
    }
}

#[test]
fn what_is_still_being_said_is_no_message_yet() {
    for (rest, kind) in [
        (r#""role":"user","transcriptType":"partial""#, "other"),
        (r#""role":"user","transcriptType":"final""#, "message.received"),
        (r#""role":"assistant","transcriptType":"final""#, "message.sent"),
        (r#""role":"assistant""#, "message.sent"),
        (r#""transcriptType":"final""#, "other"),
    ] {
        check_kind("vapi", &format!(r#"{{"message":{{"type":"transcript",{rest}}}}}"#), kind);
    }
}

#[test]
fn a_session_that_is_completed_ended() {
    for (event_type, status, kind) in [
        ("session.created", "active", "chat.started"),
        ("session.updated", "active", "other"),
        ("session.updated", "completed", "chat.ended"),
        ("session.deleted", "completed", "other"),
    ] {
        let body = format!(
            r#"{{"message":{{"type":"{event_type}","session":{{"id":"s","status":"{status}"}}}}}}"#
        );
        check_kind("vapi", &body, kind);
    }
}

#[test]
fn mightycall_answers_by_what_the_event_is_about() {
    check(
        "mightycall",
        r#"{"org_id":"o","event":"call.completed","call_id":"test-123"}"#,
        r#"call.completed call.ended id=- conversation=test-123 {"call_id":"test-123","event":"call.completed","message":"Call recorded","success":true} [Organization=o]"#,
    );
    for (body, answer) in [
        (
            r#"{"org_id":"o","event":"sms.received","sms_id":"s"}"#,
            r#""message":"Message recorded","sms_id":"s""#,
        ),
        (
            r#"{"org_id":"o","event":"recording.available","recording_id":"r"}"#,
            r#""message":"Recording recorded","recording_id":"r""#,
        ),
        (
            r#"{"org_id":"o","event":"report.daily","report_id":"p"}"#,
            r#""message":"Report recorded","report_id":"p""#,
        ),
        (
            r#"{"integration_id":"i","event":"IncomingCall","Body":{"Id":"b"}}"#,
            r#"{"call_id":"b","event":"IncomingCall""#,
        ),
        (
            r#"{"org_id":"o","event":"call.missed"}"#,
            r#"{"event":"call.missed","message":"Call recorded","success":true}"#,
        ),
        (
            r#"{"org_id":"o","event":"odd"}"#,
            r#"{"event":"odd","message":"Event recorded","success":true}"#,
        ),
    ] {
        let told = facts("mightycall", body).answer.body;
        assert!(told.contains(answer), "{told} lacks {answer}");
    }
}

#[test]
fn mightycall_wants_an_organisation() {
    for body in [
        r#"{"event":"call.completed"}"#,
        r#"{"org_id":null}"#,
        r#"{"org_id":""}"#,
        r#"{"org_id":{}}"#,
        // An integration must be known.
        r#"{"integration_id":5}"#,
    ] {
        assert_eq!(cause("mightycall", body.as_bytes()), Some(Cause::NoOrganization), "{body}");
    }
    for body in [
        r#"{"org_id":"o"}"#,
        r#"{"org_id":"o","integration_id":5}"#,
        r#"{"ApiKey":"k","EventType":"IncomingCall"}"#,
    ] {
        assert_eq!(cause("mightycall", body.as_bytes()), None, "{body}");
    }
}

#[test]
fn an_account_key_is_never_kept_as_a_claim() {
    let facts = facts("mightycall", r#"{"ApiKey":"8a77c828-31c2","EventType":"IncomingCall"}"#);
    assert!(!format!("{facts:?}").contains("8a77c828"));
}

#[test]
fn tawk_records_the_unsigned_event_id_and_never_compares_it() {
    let told = facts("tawk", r#"{"event":"chat:start","chatId":"c","property":{"id":"p"}}"#);
    assert_eq!(told.external_id.as_deref(), Some("hook-1"));
    assert_eq!(told.dedupe, None);
}

#[test]
fn what_cannot_be_read_is_not_attributed() {
    for body in [&b"{"[..], b"", b"[]", b"{\"a\":1,\"a\":1}", b"\xff"] {
        for row in provider::ALL {
            assert!(matches!(cause(row.name, body), Some(Cause::Unreadable(_))));
        }
    }
}

#[test]
fn a_large_body_is_read_through_its_file_and_not_without() {
    let blob = || Body::Blob(Blob { id: [0; 16], bytes: 3_000_000, sha256: [0; 32] });
    let audio = "A".repeat(3_000_000);
    let body = format!(
        r#"{{"type":"post_call_audio","event_timestamp":5,"data":{{"full_audio":"{audio}","conversation_id":"c"}}}}"#
    );
    let event = conclude(read_from(verified("elevenlabs", blob(), None), body.as_bytes())).unwrap();
    assert_eq!(event.facts().conversation_id.as_deref(), Some("c"));
    assert!(read(verified("elevenlabs", blob(), None)).is_err());
}

#[test]
fn repetitions_are_recognised_by_what_the_provider_repeats() {
    let same = |provider_name, one: &str, other: &str| {
        let (one, other) = (facts(provider_name, one).dedupe, facts(provider_name, other).dedupe);
        one.is_some() && one == other
    };
    let ended = |url: &str| {
        format!(
            r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"c"}},"recordingUrl":"{url}"}}}}"#
        )
    };
    assert!(same("vapi", &ended("one"), &ended("two")));
    let status = |status: &str| {
        format!(
            r#"{{"message":{{"type":"status-update","status":"{status}","call":{{"id":"c"}}}}}}"#
        )
    };
    assert!(!same("vapi", &status("queued"), &status("ended")));
    let guid = |guid: &str, at: &str| {
        format!(r#"{{"EventType":"IncomingCall","Guid":"{guid}","ApiKey":"k","Timestamp":"{at}"}}"#)
    };
    assert!(same("mightycall", &guid("g", "1"), &guid("g", "2")));
    assert!(!same("mightycall", &guid("g", "1"), &guid("h", "1")));
    let updated = r#"{"event":"transcript_updated","call":{"call_id":"c"}}"#;
    assert!(!same("retell", updated, updated), "updates of one call are not repetitions");
}

#[test]
fn a_tool_call_asks_for_tools_and_is_refused_in_words_without() {
    let neutral = r#"{"ok":false,"status":"not_available","message":"I am sorry, I cannot do that right now."}"#;
    let full = r#"{"name":"bookings.cancel","args":{},"call":{"call_id":"c","agent_id":"a"}}"#;
    check(
        "retell",
        full,
        &format!(
            "tool:bookings_cancel tool.called id=- conversation=c {neutral} [Conversation=c Agent=a]"
        ),
    );
    for facts in [
        facts("retell", full),
        tool_facts("retell", "bookings_cancel", "", full),
        tool_facts("elevenlabs", "bookings.cancel", "", "{}"),
    ] {
        assert_eq!(facts.event_type, "tool:bookings_cancel");
        assert_eq!((facts.asks, facts.answer.status), (Asks::Tools, 200));
        assert_eq!(facts.answer.body, neutral);
    }
    let message = |rest: &str| format!(r#"{{"message":{{"call":{{"id":"c"}},{rest}}}}}"#);
    let older = facts("vapi", &message(r#""type":"function-call","functionCall":{}"#));
    assert_eq!((older.asks, older.answer.status), (Asks::Tools, 200));
    let wrapped = r#""type":"tool-calls","toolWithToolCallList":[{"toolCall":{"id":"t1"}}]"#;
    let told = facts("vapi", &message(wrapped));
    assert_eq!((told.asks, told.external_id.as_deref()), (Asks::Tools, Some("t1")));
    assert!(told.answer.body.contains("t1") && told.refusal.unwrap().body.contains("t1"));
}

#[test]
fn a_request_for_a_decision_asks_for_guidance() {
    for kind in [
        "assistant-request",
        "transfer-destination-request",
        "handoff-destination-request",
        "knowledge-base-request",
        "call.endpointing.request",
        "campaign.predial",
        "voice-request",
    ] {
        let told =
            facts("vapi", &format!(r#"{{"message":{{"type":"{kind}","call":{{"id":"c"}}}}}}"#));
        assert_eq!((told.asks, told.answer.status), (Asks::Guidance, 200), "{kind}");
    }
    for kind in ["call_inbound", "chat_inbound"] {
        assert_eq!(facts("retell", &format!(r#"{{"event":"{kind}"}}"#)).asks, Asks::Guidance);
    }
    let body = r#"{"caller_id":"+1","agent_id":"a","called_number":"+2","call_sid":"s"}"#;
    let told = tool_facts("elevenlabs", "conversation_initiation", "", body);
    assert_eq!((told.asks, told.event_type.as_str()), (Asks::Guidance, "conversation_initiation"));
    let neutral = r#"{"type":"conversation_initiation_client_data","dynamic_variables":{}}"#;
    assert_eq!(told.answer.body, neutral);
    for (provider_name, body) in [
        ("vapi", r#"{"message":{"type":"hang","call":{"id":"c"}}}"#),
        ("retell", r#"{"event":"call_ended"}"#),
        ("elevenlabs", r#"{"type":"post_call_audio"}"#),
    ] {
        assert_eq!(facts(provider_name, body).asks, Asks::Nothing, "{provider_name}");
    }
}

#[test]
fn nothing_in_an_elevenlabs_tool_call_is_a_claim() {
    let body = r#"{"conversation_id":"c","agent_id":"a","data":{"agent_id":"b"}}"#;
    let told = tool_facts("elevenlabs", "weather", "", body);
    assert!(told.claims.is_empty());
    assert_eq!(told.conversation_id.as_deref(), Some("c"));
    let body = r#"{"system__conversation_id":"own","conversation_id":"c"}"#;
    let told = tool_facts("elevenlabs", "weather", "", body);
    assert_eq!(told.conversation_id.as_deref(), Some("own"));
}

#[test]
fn a_tool_may_be_called_without_a_body() {
    let told = tool_facts("elevenlabs", "weather", "system__conversation_id=c%201", "");
    assert_eq!(told.conversation_id.as_deref(), Some("c 1"));
    assert_eq!(tool_facts("retell", "services_list", "", "").event_type, "tool:services_list");
}
