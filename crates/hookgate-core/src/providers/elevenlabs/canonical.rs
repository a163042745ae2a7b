//! ElevenLabs' events in the canonical shape.
//!
//! Sources: elevenlabs py 2.78.0, types `ConversationHistory…CommonModel`;
//! elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks and the page on Twilio
//! personalization (read November 2026). Times are whole seconds since 1970, lengths are
//! seconds, `metadata.cost` is credits. `metadata.cost_fiat` names no currency, so it is
//! left out.

use serde_json::Value;

use super::INITIATION;
use crate::canonical::reader::{Reader, Unit, amount, filled as text, seconds, word};
use crate::canonical::shape::filled;
use crate::canonical::transcript::{spoken, tool_turn};
use crate::canonical::{
    Agent, Analysis, CanonicalEvent, Channel, Conversation, Cost, Direction, Moment, Participant,
    Recording, RecordingKind, Role, Tool, Turn,
};
use crate::time::Timestamp;

/// The event that has the whole call in it, as base64 of an MP3.
const AUDIO: &str = "post_call_audio";

/// Fills in what the body says.
pub(super) fn canonical(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    let event_type = reader.about().event_type;
    let is_wrapped = reader.enter(&["/data"]);
    let ids =
        &["/conversation_id", "#/conversation_id", "#/system__conversation_id", "#/conversationId"];
    reader.note_about(&["#/type"], &[], ids);
    if event_type == INITIATION {
        return initiation(reader, event);
    }
    if let Some(name) = event_type.strip_prefix("tool:") {
        // What stands in the body of a tool's call the operator decides, and a model fills in.
        event.tools = Some(vec![Tool { name: word(&Value::from(name)), call_id: None }]);
        return;
    }
    event.occurred_at = reader.moment("occurred_at", &["#/event_timestamp"], Unit::Seconds);
    let it = event.conversation.get_or_insert_default();
    conversation(reader, it);
    if event_type == "call_initiation_failure" {
        failure(reader, it);
    } else {
        phone_call(reader, it);
    }
    let turns = reader.turns(&["/transcript"], turns);
    event.transcript = turns.or_else(|| reader.spoken(&["/transcript"], spoken));
    event.analysis = analysis(reader);
    // A body that is not at hand is one of many megabytes: there the type has to do.
    let has_audio = reader.peek_text("/full_audio").is_some();
    if event_type == AUDIO && (has_audio || !reader.has_body()) {
        let base = if is_wrapped || !reader.has_body() { "/data" } else { "" };
        if has_audio {
            reader.note("recordings.0.pointer", "/full_audio");
        }
        event.recordings = Some(vec![Recording {
            kind: RecordingKind::Mixed,
            pointer: Some(format!("{base}/full_audio")),
            format: Some("mp3".to_owned()),
            ..Recording::default()
        }]);
    }
}

fn conversation(reader: &mut Reader<'_>, it: &mut Conversation) {
    it.agent = filled(Agent {
        id: reader.word("conversation.agent.id", &["/agent_id"]),
        name: reader.word("conversation.agent.name", &["/agent_name"]),
        version: reader.word("conversation.agent.version", &["/version_id"]),
    });
    it.participant = filled(Participant {
        id: reader.word("conversation.participant.id", &["/user_id"]),
        ..Participant::default()
    });
    it.status = reader.word("conversation.status", &["/status"]);
    let reasons = &["/metadata/termination_reason", "/failure_reason"];
    it.end_reason = reader.word("conversation.end_reason", reasons);
    let starts = &["/metadata/start_time_unix_secs"];
    it.started_at = reader.moment("conversation.started_at", starts, Unit::Seconds);
    // The seed's flat form calls it `call_duration`.
    let lengths = &["/metadata/call_duration_secs", "/call_duration"];
    it.duration_seconds = reader.seconds("conversation.duration_seconds", lengths, 1.0);
    if let (Some(started), Some(length)) = (it.started_at, &it.duration_seconds) {
        // Nobody says when it ended; both are whole seconds.
        let millis = length.as_i64().and_then(|it| it.checked_mul(1000));
        let ended = millis.and_then(|it| started.at().millis().checked_add(it));
        it.ended_at = ended.and_then(|it| Moment::of(Timestamp::from_millis(it)));
        if it.ended_at.is_some() {
            reader.note_same("conversation.ended_at", "conversation.duration_seconds");
        }
    }
    let credits = |it: &Value| amount(it, 1.0);
    it.cost = reader.find("conversation.cost", &["/metadata/cost"], credits).map(|amount| Cost {
        amount,
        currency: None,
        unit: Some("credits".to_owned()),
    });
    let variables = &["/conversation_initiation_client_data/dynamic_variables"];
    it.metadata = reader.data("conversation.metadata", variables);
}

/// A call that came about. Without one of these objects it may have been a browser, an app
/// or a telephone: nobody says.
fn phone_call(reader: &mut Reader<'_>, it: &mut Conversation) {
    let is_object = |it: &Value| it.is_object().then_some(());
    let phone = "/metadata/phone_call";
    if reader.find("conversation.channel", &[phone], is_object).is_some() {
        it.channel = Some(Channel::Phone);
    } else if reader.find("conversation.channel", &["/metadata/sms"], is_object).is_some() {
        it.channel = Some(Channel::Sms);
    } else if reader.find("conversation.channel", &["/metadata/whatsapp"], is_object).is_some() {
        it.channel = Some(Channel::Chat);
    }
    it.direction = direction(reader, "/metadata/phone_call/direction");
    it.our_number = reader.phone("conversation.our_number", &["/metadata/phone_call/agent_number"]);
    it.their_number =
        reader.phone("conversation.their_number", &["/metadata/phone_call/external_number"]);
}

/// A call that did not come about. Twilio's own form says which way it went
/// (`outbound-api`); a SIP trunk's form is sent for calls that were placed.
fn failure(reader: &mut Reader<'_>, it: &mut Conversation) {
    it.channel = reader.find("conversation.channel", &["/metadata/type"], |it| {
        ["twilio", "sip", "sip_trunking"].contains(&it.as_str()?).then_some(Channel::Phone)
    });
    it.direction = direction(reader, "/metadata/body/Direction");
    let is_sip = reader.peek("/metadata/body/from_number").is_some();
    if it.direction.is_none() && is_sip {
        it.direction = Some(Direction::Outbound);
        reader.note_same("conversation.direction", "type");
    }
    let from = &["/metadata/body/From", "/metadata/body/from_number"];
    let to = &["/metadata/body/To", "/metadata/body/to_number"];
    let (ours, theirs) = match it.direction {
        Some(Direction::Outbound) => (from, to),
        Some(Direction::Inbound) => (to, from),
        None => return,
    };
    it.our_number = reader.phone("conversation.our_number", ours);
    it.their_number = reader.phone("conversation.their_number", theirs);
}

fn direction(reader: &mut Reader<'_>, pointer: &str) -> Option<Direction> {
    reader.find("conversation.direction", &[pointer], |it| match it.as_str()? {
        "inbound" => Some(Direction::Inbound),
        "outbound" | "outbound-api" | "outbound-dial" => Some(Direction::Outbound),
        _ => None,
    })
}

/// A turn: what was said, then the tools that were called, then what they gave.
fn turns(item: &Value, into: &mut Vec<Turn>) {
    let at_seconds = item.get("time_in_call_secs").and_then(|it| seconds(it, 1.0));
    let role = match item.get("role").and_then(Value::as_str) {
        Some("agent") => Role::Agent,
        Some("user") => Role::User,
        _ => Role::Unknown,
    };
    if let Some(said) = item.get("message").and_then(Value::as_str).and_then(text) {
        let at_seconds = at_seconds.clone();
        into.push(Turn { role, text: Some(said), at_seconds, ..Turn::default() });
    }
    for (list, said) in [("tool_calls", "params_as_json"), ("tool_results", "result_value")] {
        let items = item.get(list).and_then(Value::as_array);
        into.extend(items.map(Vec::as_slice).unwrap_or_default().iter().map(|it| {
            let turn = tool_turn(it.get("tool_name"), it.get("request_id"), it.get(said));
            Turn { at_seconds: at_seconds.clone(), ..turn }
        }));
    }
}

fn analysis(reader: &mut Reader<'_>) -> Option<Analysis> {
    let successful = |it: &Value| match it.as_str()? {
        "success" => Some(true),
        "failure" => Some(false),
        // `unknown`
        _ => None,
    };
    let verdicts = &["/analysis/call_successful"];
    let criteria = &["/analysis/evaluation_criteria_results"];
    filled(Analysis {
        title: reader.text("analysis.title", &["/analysis/call_summary_title"]),
        summary: reader.text("analysis.summary", &["/analysis/transcript_summary"]),
        successful: reader.find("analysis.successful", verdicts, successful),
        data: reader.data("analysis.data", &["/analysis/data_collection_results"]),
        evaluation: reader.data("analysis.evaluation", criteria),
        ..Analysis::default()
    })
}

/// Somebody calls, and the platform asks how to begin.
fn initiation(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    let it = event.conversation.get_or_insert_default();
    it.channel = Some(Channel::Phone);
    it.direction = Some(Direction::Inbound);
    it.agent = filled(Agent {
        id: reader.word("conversation.agent.id", &["/agent_id"]),
        ..Agent::default()
    });
    it.our_number = reader.phone("conversation.our_number", &["/called_number"]);
    it.their_number = reader.phone("conversation.their_number", &["/caller_id"]);
}
