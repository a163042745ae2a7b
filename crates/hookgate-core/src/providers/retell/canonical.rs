//! Retell's events in the canonical shape.
//!
//! Sources: retell-typescript-sdk 5.66.1 `src/resources/call.ts` and `chat.ts`;
//! docs.retellai.com/features/webhook-overview and /inbound-call-webhook (read November
//! 2026). Times are milliseconds since 1970, `duration_ms` is milliseconds, `combined_cost`
//! is US cents.

use serde_json::Value;

use crate::canonical::reader::{Reader, Unit, at, moment, seconds, word};
use crate::canonical::shape::filled;
use crate::canonical::transcript::{spoken, tool, tool_turn};
use crate::canonical::{
    Agent, Analysis, CanonicalEvent, Channel, Conversation, Direction, RecordingKind, Role, Turn,
};
use crate::event::Kind;
use crate::tool;

/// Retell's milliseconds.
const PER_SECOND: f64 = 1000.0;

/// Retell's cents.
const PER_DOLLAR: f64 = 100.0;

/// Fills in what the body says.
pub(super) fn canonical(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    let is_tool = reader.about().kind == Kind::ToolCalled;
    let is_whole = reader.enter(&["/call", "/chat", "/call_inbound", "/chat_inbound"]);
    reader.note_about(&["#/event"], &[], &["/call_id", "/chat_id"]);
    event.occurred_at = reader.moment("occurred_at", &["#/event_timestamp"], Unit::Millis);
    if is_tool {
        tools(reader, event);
    }
    let it = event.conversation.get_or_insert_default();
    if is_whole {
        conversation(reader, it);
    } else {
        // A tool's arguments alone, or nothing known: of those only the agent's id is what
        // its name says.
        it.agent = agent(reader);
        return;
    }
    event.transcript = transcript(reader);
    let mixed = &["/recording_url", "/scrubbed_recording_url"];
    reader.recording(event, RecordingKind::Mixed, mixed);
    let channels = &["/recording_multi_channel_url", "/scrubbed_recording_multi_channel_url"];
    reader.recording(event, RecordingKind::MultiChannel, channels);
    event.analysis = analysis(reader);
}

fn agent(reader: &mut Reader<'_>) -> Option<Agent> {
    filled(Agent {
        id: reader.word("conversation.agent.id", &["/agent_id"]),
        name: reader.word("conversation.agent.name", &["/agent_name"]),
        version: reader.word("conversation.agent.version", &["/agent_version", "/version"]),
    })
}

fn conversation(reader: &mut Reader<'_>, it: &mut Conversation) {
    it.channel = channel(reader);
    it.direction =
        reader.find("conversation.direction", &["/direction"], |it| match it.as_str()? {
            "inbound" => Some(Direction::Inbound),
            "outbound" => Some(Direction::Outbound),
            _ => None,
        });
    // Somebody calls or writes, and Retell asks how to begin.
    if reader.about().event_type.ends_with("_inbound") {
        it.direction = Some(Direction::Inbound);
        reader.note_same("conversation.direction", "type");
    }
    let sides = match it.direction {
        Some(Direction::Inbound) => Some(("/to_number", "/from_number")),
        Some(Direction::Outbound) => Some(("/from_number", "/to_number")),
        // Which of the two numbers is ours nobody says.
        None => None,
    };
    if let Some((ours, theirs)) = sides {
        it.our_number = reader.phone("conversation.our_number", &[ours]);
        it.their_number = reader.phone("conversation.their_number", &[theirs]);
    }
    it.agent = agent(reader);
    it.status = reader.word("conversation.status", &["/call_status", "/chat_status"]);
    it.end_reason = reader.word("conversation.end_reason", &["/disconnection_reason"]);
    it.started_at = reader.moment("conversation.started_at", &["/start_timestamp"], Unit::Millis);
    it.ended_at = reader.moment("conversation.ended_at", &["/end_timestamp"], Unit::Millis);
    it.duration_seconds =
        reader.seconds("conversation.duration_seconds", &["/duration_ms"], PER_SECOND);
    reader.length(it);
    let costs = &["/call_cost/combined_cost", "/chat_cost/combined_cost"];
    it.cost = reader.dollars(costs, PER_DOLLAR);
    it.metadata = reader.data("conversation.metadata", &["/metadata"]);
}

fn channel(reader: &mut Reader<'_>) -> Option<Channel> {
    let told = reader.find("conversation.channel", &["/call_type", "/chat_type"], |it| {
        match it.as_str()? {
            "phone_call" => Some(Channel::Phone),
            "web_call" => Some(Channel::Web),
            "api_chat" => Some(Channel::Chat),
            "sms_chat" => Some(Channel::Sms),
            _ => None,
        }
    });
    if told.is_some() {
        return told;
    }
    let typed = match reader.about().event_type {
        // Only numbers have these two webhooks.
        "call_inbound" => Some(Channel::Phone),
        "chat_inbound" => Some(Channel::Sms),
        word if word.starts_with("chat_") => Some(Channel::Chat),
        _ => None,
    };
    reader.note_same_if(typed.is_some(), "conversation.channel", "type");
    typed
}

fn transcript(reader: &mut Reader<'_>) -> Option<Vec<Turn>> {
    // `transcript_updated` is documented with the list beside the call; both are read.
    let lists = &[
        "/transcript_with_tool_calls",
        "#/transcript_with_tool_calls",
        "/message_with_tool_calls",
        "/transcript_object",
        "/scrubbed_transcript_with_tool_calls",
    ];
    let texts = &["/transcript"];
    let turns = reader.turns(lists, turn);
    turns.or_else(|| reader.spoken(texts, spoken))
}

/// An utterance of a call, a message of a chat, or a tool's call or result.
fn turn(item: &Value, into: &mut Vec<Turn>) {
    let content = item.get("content");
    let role = match item.get("role").and_then(Value::as_str) {
        Some("tool_call_invocation") => {
            let (name, id) = (item.get("name"), item.get("tool_call_id"));
            return into.push(tool_turn(name, id, item.get("arguments")));
        }
        Some("tool_call_result") => {
            return into.push(tool_turn(None, item.get("tool_call_id"), content));
        }
        Some("user") => Role::User,
        // Who takes over in a transfer is on our side.
        Some("agent" | "transfer_target") => Role::Agent,
        Some("system") => Role::System,
        _ => Role::Unknown,
    };
    let Some(text) = content.and_then(Value::as_str).filter(|it| !it.trim().is_empty()) else {
        return;
    };
    // Words have their place in seconds (`start: 0.5`), messages their time of day.
    let at_seconds = at(item, "/words/0/start").and_then(|it| seconds(it, 1.0));
    let at = item.get("created_timestamp").and_then(|it| moment(it, Unit::Millis));
    into.push(Turn { role, text: Some(text.to_owned()), at_seconds, at, ..Turn::default() });
}

fn analysis(reader: &mut Reader<'_>) -> Option<Analysis> {
    let sentiments = &["/call_analysis/user_sentiment", "/chat_analysis/user_sentiment"];
    let data = &["/call_analysis/custom_analysis_data", "/chat_analysis/custom_analysis_data"];
    filled(Analysis {
        summary: reader.text(
            "analysis.summary",
            &["/call_analysis/call_summary", "/chat_analysis/chat_summary"],
        ),
        sentiment: reader.word("analysis.sentiment", sentiments).map(|it| it.to_lowercase()),
        successful: reader.flag(
            "analysis.successful",
            &["/call_analysis/call_successful", "/chat_analysis/chat_successful"],
        ),
        voicemail: reader.flag("analysis.voicemail", &["/call_analysis/in_voicemail"]),
        data: reader.data("analysis.data", data),
        ..Analysis::default()
    })
}

/// The one tool that a custom function asks for. The id of its call stands only at the end
/// of the transcript.
fn tools(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    let Some(name) = reader.about().event_type.strip_prefix("tool:") else { return };
    let is_it = |it: &Value| it.as_str().map(tool::canonical).as_deref() == Some(name);
    if reader.peek("#/name").is_some_and(is_it) {
        reader.note("tools.0.name", "#/name");
    }
    let invocations = "/transcript_with_tool_calls";
    let list = reader.peek(invocations).and_then(Value::as_array);
    let list = list.map(Vec::as_slice).unwrap_or_default();
    let invoked = list
        .iter()
        .enumerate()
        .rev()
        .find(|(_, it)| it.get("role").and_then(Value::as_str) == Some("tool_call_invocation"));
    let call = invoked.filter(|(_, it)| it.get("name").is_some_and(is_it));
    let mut asked = tool(None, call.and_then(|(_, it)| it.get("tool_call_id")));
    asked.name = word(&Value::from(name));
    if let Some((index, _)) = call.filter(|_| asked.call_id.is_some()) {
        reader.note("tools.0.call_id", &format!("{invocations}/{index}/tool_call_id"));
    }
    event.tools = Some(vec![asked]);
}
