//! Vapi's messages in the canonical shape.
//!
//! Sources: Vapi's OpenAPI document; docs.vapi.ai/server-url/events (docs repository at
//! eabfa53, 2026-08-20). `timestamp` and a message's `time` are milliseconds since 1970,
//! `startedAt` and its like RFC 3339, `secondsFromStart` and `durationSeconds` seconds,
//! `cost` US dollars.
//!
//! `call.monitor` opens the call to whoever has its links, and `phoneNumber` may hold Twilio's
//! credentials: nothing is read of either but the number.

use serde_json::Value;

use crate::canonical::reader::{Reader, Unit, at, filled as text, moment, seconds, word};
use crate::canonical::shape::filled;
use crate::canonical::transcript::{spoken, tool, tool_turn};
use crate::canonical::{
    Agent, Analysis, CanonicalEvent, Channel, Conversation, Direction, Message, Participant,
    RecordingKind, Role, Tool, Turn,
};
use crate::event::Kind;
use crate::tool;

/// Vapi's dollars.
const PER_DOLLAR: f64 = 1.0;

/// Fills in what the body says.
pub(super) fn canonical(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    let event_type = reader.about().event_type;
    // The seed's flat form has no `message`.
    reader.enter(&["/message"]);
    let ids = &["/call/id", "/chat/id", "/session/id", "/campaignId"];
    // Of a tool call the first call's id names the event.
    let calls = &["/toolCallList/0/id", "/toolWithToolCallList/0/toolCall/id", "/toolCalls/0/id"];
    reader.note_about(&["/type"], calls, ids);
    event.occurred_at = reader.moment("occurred_at", &["/timestamp"], Unit::Millis);
    let it = event.conversation.get_or_insert_default();
    conversation(reader, it);
    sides(reader, it);
    if event_type.starts_with("transcript") {
        event.message = utterance(reader);
    } else {
        event.transcript = transcript(reader);
    }
    if event_type.starts_with("chat.") {
        event.message = input(reader);
    }
    recordings(reader, event);
    event.analysis = analysis(reader);
    if reader.about().kind == Kind::ToolCalled {
        event.tools = Some(tools(reader));
    }
}

fn conversation(reader: &mut Reader<'_>, it: &mut Conversation) {
    let event_type = reader.about().event_type;
    let agents = &["/call/assistantId", "/chat/assistantId", "/session/assistantId"];
    it.agent = filled(Agent {
        id: reader.word("conversation.agent.id", agents),
        name: reader.word(
            "conversation.agent.name",
            &["/assistant/name", "/call/assistant/name", "/chat/assistant/name"],
        ),
        version: None,
    });
    let statuses: &[&str] = match event_type {
        "status-update" => &["/status"],
        // The call in it is older than the report: it says "in-progress".
        "end-of-call-report" => &[],
        _ => &["/call/status", "/session/status"],
    };
    it.status = reader.word("conversation.status", statuses);
    let reasons = &["/endedReason", "/call/endedReason"];
    it.end_reason = reader.word("conversation.end_reason", reasons);
    // A chat and a session begin when they are made; a call is made before it begins.
    let starts = &["/startedAt", "/call/startedAt", "/chat/createdAt", "/session/createdAt"];
    it.started_at = reader.moment("conversation.started_at", starts, Unit::Text);
    let ends = &["/endedAt", "/call/endedAt"];
    it.ended_at = reader.moment("conversation.ended_at", ends, Unit::Text);
    // Not in the OpenAPI document, but in many receivers.
    it.duration_seconds =
        reader.seconds("conversation.duration_seconds", &["/durationSeconds"], 1.0);
    reader.length(it);
    it.cost = reader.dollars(&["/cost", "/call/cost", "/chat/cost"], PER_DOLLAR);
    let metadata = &["/call/metadata", "/call/assistantOverrides/metadata"];
    it.metadata = reader.data("conversation.metadata", metadata);
}

/// The channel, and who is on either side.
fn sides(reader: &mut Reader<'_>, it: &mut Conversation) {
    let way = reader.find("conversation.channel", &["/call/type"], |it| match it.as_str()? {
        "inboundPhoneCall" => Some((Channel::Phone, Some(Direction::Inbound))),
        "outboundPhoneCall" => Some((Channel::Phone, Some(Direction::Outbound))),
        "webCall" | "vapi.websocketCall" => Some((Channel::Web, None)),
        _ => None,
    });
    if let Some((channel, direction)) = way {
        (it.channel, it.direction) = (Some(channel), direction);
        let is_told = direction.is_some();
        reader.note_same_if(is_told, "conversation.direction", "conversation.channel");
    } else if let Some(at) = ["/chat", "/session"].iter().find(|it| reader.peek(it).is_some()) {
        it.channel = Some(Channel::Chat);
        reader.note("conversation.channel", at);
    }
    let ours = &["/phoneNumber/number", "/call/phoneNumber/number"];
    it.our_number = reader.phone("conversation.our_number", ours);
    let theirs = &[
        "/customer/number",
        "/call/customer/number",
        "/contact/number",
        "/customer/sipUri",
        "/call/customer/sipUri",
    ];
    it.their_number = reader.phone("conversation.their_number", theirs);
    it.participant = filled(Participant {
        id: reader.word("conversation.participant.id", &["/contact/id"]),
        name: reader.word(
            "conversation.participant.name",
            &["/customer/name", "/call/customer/name", "/contact/name"],
        ),
        email: reader.word(
            "conversation.participant.email",
            &["/customer/email", "/call/customer/email", "/contact/email"],
        ),
        ..Participant::default()
    });
}

fn transcript(reader: &mut Reader<'_>) -> Option<Vec<Turn>> {
    let lists = &[
        "/artifact/messages",
        "/messages",
        "/artifact/messagesOpenAIFormatted",
        "/messagesOpenAIFormatted",
        "/session/messages",
    ];
    if let Some(turns) = reader.turns(lists, turn) {
        return Some(turns);
    }
    // A chat's answer stands beside what led to it.
    if let Some(mut turns) = reader.turns(&["/chat/messages"], turn) {
        let answered = reader.items("/chat/output");
        for (_, item) in answered {
            turn(item, &mut turns);
        }
        return Some(reader.bounded(turns));
    }
    let texts = &["/artifact/transcript", "/transcript"];
    reader.turns(&["/chat/output"], turn).or_else(|| reader.spoken(texts, spoken))
}

/// A message in Vapi's form (`message`) or in `OpenAI`'s (`content`). The `system` message is
/// the assistant's prompt, which nobody said: it is left out.
fn turn(item: &Value, into: &mut Vec<Turn>) {
    let at_seconds = item.get("secondsFromStart").and_then(|it| seconds(it, 1.0));
    let at = item.get("time").and_then(|it| moment(it, Unit::Millis));
    let timed = |turn: Turn| Turn { at_seconds: at_seconds.clone(), at, ..turn };
    let said = item.get("message").or_else(|| item.get("content"));
    let role = match item.get("role").and_then(Value::as_str) {
        Some("bot" | "assistant") => Role::Agent,
        Some("user") => Role::User,
        Some("system" | "developer") => return,
        Some("tool_call_result" | "tool" | "function") => {
            let id = item.get("toolCallId").or_else(|| item.get("tool_call_id"));
            let turn = tool_turn(item.get("name"), id, item.get("result").or(said));
            return into.push(timed(turn));
        }
        Some("tool_calls") => Role::Tool,
        _ => Role::Unknown,
    };
    let text = said.and_then(Value::as_str).and_then(text).filter(|_| role != Role::Tool);
    if text.is_some() {
        into.push(timed(Turn { role, text, ..Turn::default() }));
    }
    let calls = item.get("toolCalls").or_else(|| item.get("tool_calls"));
    for call in calls.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
        let function = call.get("function").filter(|it| it.is_object()).unwrap_or(call);
        let arguments = function.get("arguments").or_else(|| function.get("parameters"));
        into.push(timed(tool_turn(function.get("name"), call.get("id"), arguments)));
    }
}

/// What one side says right now.
fn utterance(reader: &mut Reader<'_>) -> Option<Message> {
    let role = reader.find("message.role", &["/role"], |it| match it.as_str()? {
        "assistant" | "bot" => Some(Role::Agent),
        "user" => Some(Role::User),
        _ => None,
    });
    let text = reader.text("message.text", &["/transcript"]);
    let kind = reader.peek_text("/transcriptType");
    let is_partial = kind == Some("partial");
    if is_partial {
        reader.note("message.partial", "/transcriptType");
    }
    reader.note_same_if(role.is_some(), "message.direction", "message.role");
    filled(Message {
        direction: role.map(direction),
        role,
        text,
        partial: is_partial.then_some(true),
        ..Message::default()
    })
}

const fn direction(role: Role) -> Direction {
    match role {
        Role::Agent => Direction::Outbound,
        _ => Direction::Inbound,
    }
}

/// What was written in a chat.
fn input(reader: &mut Reader<'_>) -> Option<Message> {
    let text = reader.text("message.text", &["/chat/input"])?;
    // `input` is what the user wrote.
    let (role, direction) = (Some(Role::User), Some(Direction::Inbound));
    reader.note_same("message.role", "message.text");
    reader.note_same("message.direction", "message.text");
    Some(Message { role, direction, text: Some(text), ..Message::default() })
}

fn recordings(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    // A presigned link opens a recording that lies in private; it is new with every message.
    let expiry = "/artifact/presignedUrlsExpiresAt";
    let kinds = [
        (
            RecordingKind::Mixed,
            "/artifact/presignedMonoUrl",
            &[
                "/artifact/recording/mono/combinedUrl",
                "/artifact/recordingUrl",
                "/recordingUrl",
                "/call/artifact/recordingUrl",
            ][..],
        ),
        (
            RecordingKind::MultiChannel,
            "/artifact/presignedStereoUrl",
            &[
                "/artifact/recording/stereoUrl",
                "/artifact/stereoRecordingUrl",
                "/stereoRecordingUrl",
            ],
        ),
        (RecordingKind::Agent, "", &["/artifact/recording/mono/assistantUrl"]),
        (RecordingKind::User, "", &["/artifact/recording/mono/customerUrl"]),
    ];
    for (kind, presigned, plain) in kinds {
        let before = event.recordings.as_ref().map_or(0, Vec::len);
        if !presigned.is_empty() {
            reader.recording(event, kind, &[presigned]);
        }
        if let Some(recording) = event.recordings.as_mut().and_then(|it| it.get_mut(before)) {
            let field = format!("recordings.{before}.expires_at");
            recording.expires_at = reader.moment(&field, &[expiry], Unit::Text);
        } else {
            reader.recording(event, kind, plain);
        }
    }
}

fn analysis(reader: &mut Reader<'_>) -> Option<Analysis> {
    let verdict = "/analysis/successEvaluation";
    // The rubric decides what stands here: of "PassFail" it is `true` or `false`, as a text;
    // of others a grade, a number, a matrix.
    let told = |it: &Value| match it {
        Value::Bool(it) => Some(*it),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    };
    let successful = reader.find("analysis.successful", &[verdict], told);
    let evaluation = if successful.is_some() {
        None
    } else {
        let grade = reader.word("analysis.evaluation", &[verdict]).map(Value::from);
        grade.or_else(|| reader.data("analysis.evaluation", &[verdict]))
    };
    let data = &["/analysis/structuredData", "/artifact/structuredOutputs"];
    filled(Analysis {
        summary: reader.text("analysis.summary", &["/analysis/summary", "/summary"]),
        successful,
        data: reader.data("analysis.data", data),
        evaluation,
        ..Analysis::default()
    })
}

/// The calls of the first list that has any, as `tools.rs` decodes them.
fn tools(reader: &mut Reader<'_>) -> Vec<Tool> {
    let mut tools = Vec::new();
    if let Some(function) = reader.peek("/functionCall") {
        let called = tool(function.get("name"), None);
        if called.name.is_some() {
            reader.note("tools.0.name", "/functionCall/name");
            tools.push(called);
        }
    }
    for (list, inside) in
        [("/toolCallList", ""), ("/toolWithToolCallList", "/toolCall"), ("/toolCalls", "")]
    {
        if !tools.is_empty() {
            break;
        }
        for (pointer, item) in reader.items(list) {
            let index = tools.len();
            let mut found = Tool::default();
            let names = ["/function/name", "/name"].map(|it| format!("{inside}{it}"));
            let names = names.into_iter().chain(["/function/name".to_owned(), "/name".to_owned()]);
            for name in names {
                if found.name.is_none()
                    && let Some(it) = at(item, &name).and_then(word)
                {
                    found.name = Some(tool::canonical(&it));
                    reader.note(&format!("tools.{index}.name"), &format!("{pointer}{name}"));
                }
            }
            let id = format!("{inside}/id");
            if let Some(it) = at(item, &id).and_then(word) {
                found.call_id = Some(it);
                reader.note(&format!("tools.{index}.call_id"), &format!("{pointer}{id}"));
            }
            tools.extend(filled(found));
        }
    }
    tools
}
